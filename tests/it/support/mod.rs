//! What the tests share: every transport, a time limit, a guard over the counters, a scripted peer,
//! the order of events.

pub(crate) mod chaos;
pub(crate) mod guard;
pub(crate) mod order;
pub(crate) mod peer;

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use guard::Guard;
use pushsub::{Event, Monitor, Stats};

/// What a test fails with.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs one test on every transport: on tcp and ipc in real time, and within
/// the process, over an in-memory wire and without one, under virtual time. The test gets an endpoint to bind.
macro_rules! on_every_transport {
    ($($(#[$attribute:meta])* $name:ident;)*) => {
        mod tcp {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() -> crate::support::Result {
                    crate::support::in_real_time(super::$name("tcp://127.0.0.1:*".to_owned()))
                }
            )*
        }
        #[cfg(unix)]
        mod ipc {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() -> crate::support::Result {
                    let folder = crate::support::Folder::new()?;
                    crate::support::in_real_time(super::$name(folder.endpoint("socket")))
                }
            )*
        }
        mod inproc {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() -> crate::support::Result {
                    let name = crate::support::memory_name();
                    crate::support::in_virtual_time(super::$name(format!("inproc://{name}")))
                }
            )*
        }
        mod memory {
            $(
                $(#[$attribute])*
                #[test]
                fn $name() -> crate::support::Result {
                    let name = crate::support::memory_name();
                    crate::support::in_virtual_time(super::$name(format!("memory://{name}")))
                }
            )*
        }
    };
}

pub(crate) use on_every_transport;

/// A folder that no other test uses; removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> std::io::Result<Self> {
        let name = format!("pushsub-{}-{}", std::process::id(), memory_name());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An ipc endpoint in it.
    pub(crate) fn endpoint(&self, name: &str) -> String {
        format!("ipc://{}", self.file(name).display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A name that no other test uses.
pub(crate) fn memory_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Lets each that is ready have a turn.
pub(crate) async fn a_turn() {
    let mut had = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a test on a real clock, for a minute at most.
pub(crate) fn in_real_time(test: impl Future<Output = Result>) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread();
    run(runtime, Duration::from_secs(60), test)
}

/// Runs a test on a clock that jumps to the next timer when nothing else is to
/// be done, for an hour of it at most.
pub(crate) fn in_virtual_time(test: impl Future<Output = Result>) -> Result {
    in_virtual_time_for(Duration::from_secs(3_600), test)
}

/// As [`in_virtual_time`], for so much of it at most.
pub(crate) fn in_virtual_time_for(limit: Duration, test: impl Future<Output = Result>) -> Result {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.start_paused(true);
    run(runtime, limit, test)
}

/// Runs a test on a real clock with two workers, for three minutes at most.
pub(crate) fn on_two_workers(test: impl Future<Output = Result>) -> Result {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2);
    run(runtime, Duration::from_secs(180), test)
}

/// Runs a test within a limit of time, and holds its sockets to account at its end.
fn run(
    mut runtime: tokio::runtime::Builder,
    limit: Duration,
    test: impl Future<Output = Result>,
) -> Result {
    let guard = Guard::begin();
    runtime.on_thread_start(guard.on_thread_start());
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(limit, test)
            .await
            .map_err(|_| format!("the test took too long: {}", guard.account()))??;
        Ok(guard.end().await?)
    })
}

/// Waits until an event is as wanted.
pub(crate) async fn event(monitor: &mut Monitor, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = monitor.next().await.expect("the socket is not closed");
        if wanted(&event) {
            return event;
        }
    }
}

/// Waits until a peer has connected.
pub(crate) async fn connected(monitor: &mut Monitor) {
    event(monitor, |event| matches!(event, Event::Connected { .. })).await;
}

/// Waits until a peer has gone.
pub(crate) async fn disconnected(monitor: &mut Monitor) {
    event(monitor, |event| matches!(event, Event::Disconnected { .. })).await;
}

/// The laws of accounting, for the socket and for each of its peers.
pub(crate) fn assert_accounted(stats: &Stats) {
    assert_eq!(guard::broken_sums(stats), [""; 0]);
}
