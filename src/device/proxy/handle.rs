//! What steers a proxy from outside, and the counters that it shows.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Steers a [`Proxy`](crate::Proxy), or the device that has it, and reads its
/// counters at any time, also when it is no more.
#[derive(Clone)]
pub struct ProxyHandle {
    shared: Arc<Shared>,
}

/// What a proxy has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// From the front to the back.
    pub forth: Traffic,
    /// From the back to the front.
    pub home: Traffic,
    /// The copies for the capture.
    pub capture: Captured,
}

/// The messages of one direction: `received = sent + refused + held`, where what
/// is held is one or two at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages taken from the one side.
    pub received: u64,
    /// Their octets, without what the wire adds.
    pub received_octets: u64,
    /// Messages that the other side accepted. What it drops later, as a ROUTER
    /// does for a client that is gone, is in the counters of the socket.
    pub sent: u64,
    /// Their octets.
    pub sent_octets: u64,
    /// Messages that the other side refused with an error: they are gone.
    pub refused: u64,
}

/// The copies of messages that were made for a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Captured {
    /// Copies that the capture took.
    pub taken: u64,
    /// Copies that it had no room for, or refused.
    pub dropped: u64,
}

/// Where a proxy is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Running,
    /// Nothing is forwarded.
    Paused,
    /// What is there now is forwarded, then it ends.
    Finishing,
    Terminated,
}

/// What a proxy and its handles share. The lock is held for a copy only.
#[derive(Default)]
pub(super) struct Shared {
    progress: Mutex<Progress>,
    waker: AtomicWaker,
    pub(super) ended: watch::Sender<bool>,
}

#[derive(Default)]
struct Progress {
    phase: Phase,
    stats: ProxyStats,
}

impl Shared {
    /// Says who is to be woken when the phase changes, and what it is now.
    pub(super) fn begin_turn(&self, waker: &Waker) -> Phase {
        // In this order: a change after the look below wakes the task.
        self.waker.register(waker);
        self.progress.lock().phase
    }

    pub(super) fn end_turn(&self, stats: ProxyStats) {
        self.progress.lock().stats = stats;
    }
}

impl ProxyHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The counters as they were after the last batch.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        self.shared.progress.lock().stats
    }

    /// Forwards nothing from the next batch on. What peers send fills the
    /// queues of the sockets and then makes the peers wait; one message of each
    /// side may be taken and held. Without effect on a proxy that is ending.
    pub fn pause(&self) {
        self.steer(|phase| match phase {
            Phase::Running => Phase::Paused,
            other => other,
        });
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.steer(|phase| match phase {
            Phase::Paused => Phase::Running,
            other => other,
        });
    }

    /// Forwards what is there already and ends then. Waits for as long as a
    /// side has no room: [`Self::terminate`] ends that.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has told the proxy to end, and does not wait for it.
    pub async fn finish(&self) -> ProxyStats {
        self.steer(|phase| match phase {
            Phase::Terminated => Phase::Terminated,
            _ => Phase::Finishing,
        });
        self.wait_until_ended().await
    }

    /// Ends the proxy, at once also where a side has no room. Returns the
    /// counters: what was held is what `received` has more.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has told the proxy to end, and does not wait for it.
    pub async fn terminate(&self) -> ProxyStats {
        self.steer(|_| Phase::Terminated);
        self.wait_until_ended().await
    }

    /// Waits until the proxy is no more, and returns its last counters.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has changed nothing.
    pub async fn wait_until_ended(&self) -> ProxyStats {
        let mut ended = self.shared.ended.subscribe();
        // An error means that the sender is gone, and `self` holds it.
        let _ = ended.wait_for(|ended| *ended).await;
        self.stats()
    }

    fn steer(&self, change: impl FnOnce(Phase) -> Phase) {
        let mut progress = self.shared.progress.lock();
        progress.phase = change(progress.phase);
        drop(progress);
        self.shared.waker.wake();
    }
}

impl fmt::Debug for ProxyHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ProxyHandle")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
