//! The kit of an attacker: raw octets, the stage of an attack, the count of the cases.

pub(crate) mod alone;
pub(crate) mod canary;
pub(crate) mod log;
pub(crate) mod octets;
pub(crate) mod process;
pub(crate) mod stage;
pub(crate) mod tally;
pub(crate) mod victim;
pub(crate) mod wage;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::guard::Guard;

/// What a case fails with.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A name that no other test uses.
pub(crate) fn memory_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("hostile-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs on a real clock, for a minute at most.
pub(crate) fn in_real_time<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    run(false, Duration::from_secs(60), test)
}

/// Runs on a clock that jumps to the next timer when nothing else is to be done.
pub(crate) fn in_virtual_time<T>(test: impl Future<Output = Result<T>>) -> Result<T> {
    run(true, Duration::from_secs(100_000), test)
}

fn run<T>(paused: bool, limit: Duration, test: impl Future<Output = Result<T>>) -> Result<T> {
    let guard = Guard::begin();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.on_thread_start(guard.on_thread_start());
    let runtime = runtime.enable_all().start_paused(paused).build()?;
    runtime.block_on(async {
        let outcome = tokio::time::timeout(limit, test)
            .await
            .map_err(|_| format!("the test took too long: {}", guard.account()))??;
        guard.end().await?;
        Ok(outcome)
    })
}

/// Lets every other task that can run do so, more often than a link looks again for a stream.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}
