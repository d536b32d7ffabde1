//! What became of the copies of one message: told by the queues, awaited by whoever sent it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::GivenUp;
use crate::sync::Mutex;

/// What became of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Written,
    GivenUp(GivenUp),
}

/// What became of all copies so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fates {
    pub(crate) written: u64,
    /// In the order in which they were given up.
    pub(crate) given_up: Vec<GivenUp>,
}

/// Those who are to be woken once the lock of the socket is free.
pub(crate) type Wakeups = Mutex<Vec<Waker>>;

/// What the copies of one message share with whoever waits for them.
pub(crate) struct Tally {
    count: Mutex<Count>,
    /// Of the socket: what ends under its lock wakes after it.
    wakeups: Arc<Wakeups>,
}

#[derive(Default)]
struct Count {
    /// Copies in queues.
    pending: u64,
    fates: Fates,
    waiting: Option<Waker>,
}

impl Tally {
    pub(crate) fn new(wakeups: Arc<Wakeups>) -> Arc<Self> {
        let count = Mutex::default();
        Arc::new(Self { count, wakeups })
    }

    /// Counts a copy that is given up before it was in a queue.
    pub(crate) fn give_up(&self, reason: GivenUp) {
        self.count.lock().fates.given_up.push(reason);
    }

    /// Ready when no copy is in a queue.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Fates> {
        let mut count = self.count.lock();
        if count.pending == 0 {
            return Poll::Ready(count.fates.clone());
        }
        count.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    /// Returns whom to wake.
    fn end(&self, fate: Fate) -> Option<Waker> {
        let mut count = self.count.lock();
        count.pending -= 1;
        match fate {
            Fate::Written => count.fates.written += 1,
            Fate::GivenUp(reason) => count.fates.given_up.push(reason),
        }
        let ended = count.pending == 0;
        count.waiting.take_if(|_| ended)
    }
}

/// Goes with a copy through the queues. One that is lost tells that the copy is.
pub(crate) struct Slip(Option<Arc<Tally>>);

impl Slip {
    pub(crate) fn new(tally: &Arc<Tally>) -> Self {
        tally.count.lock().pending += 1;
        Self(Some(tally.clone()))
    }

    /// Tells what became of the copy; the socket's lock is not held.
    pub(crate) fn end(mut self, fate: Fate) {
        let waker = self.0.take().and_then(|tally| tally.end(fate));
        waker.into_iter().for_each(Waker::wake);
    }

    /// As [`end`](Self::end), under the socket's lock: who waits is woken when it is free.
    pub(crate) fn end_locked(mut self, fate: Fate) {
        if let Some(tally) = self.0.take()
            && let Some(waker) = tally.end(fate)
        {
            tally.wakeups.lock().push(waker);
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        let waker = self
            .0
            .take()
            .and_then(|tally| tally.end(Fate::GivenUp(GivenUp::Closed)));
        waker.into_iter().for_each(Waker::wake);
    }
}
