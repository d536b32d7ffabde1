//! Gives up what has waited too long, also when nobody sends and nobody receives.

use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Instant;

use tokio::runtime;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::core::Core;
use super::receipt::now;
use super::state::State;
use crate::session::{Link, PipeId};

/// The task of a socket that sleeps until the next message expires. It runs
/// from the first message that may.
#[derive(Default)]
pub(super) struct Timekeeper {
    /// Whom it serves, and where it is to run.
    place: OnceLock<(Weak<Core>, runtime::Handle)>,
    /// Something expires earlier than was known, or the socket is gone.
    news: OnceLock<Arc<Notify>>,
}

impl Timekeeper {
    /// Before the socket has its first pipe.
    pub(super) fn prepare(&self, core: &Arc<Core>, runtime: &runtime::Handle) {
        self.place
            .get_or_init(|| (Arc::downgrade(core), runtime.clone()));
    }

    /// Has it look at the queues, which starts it where it does not run yet.
    /// Wakes nobody else, so that it may be called under the lock.
    fn ring(&self) {
        let news = self.news.get_or_init(|| {
            let news = Arc::new(Notify::new());
            if let Some((core, runtime)) = self.place.get() {
                runtime.spawn(keep_time(core.clone(), news.clone()));
            }
            news
        });
        news.notify_one();
    }
}

impl Drop for Timekeeper {
    fn drop(&mut self) {
        if let Some(news) = self.news.get() {
            news.notify_one();
        }
    }
}

async fn keep_time(core: Weak<Core>, news: Arc<Notify>) {
    while let Some(next) = core.upgrade().map(|core| core.expire()) {
        match next {
            Some(at) => {
                let _ = timeout_at(at.into(), news.notified()).await;
            }
            None => news.notified().await,
        }
    }
}

/// What is to be done when the lock is free.
#[derive(Default)]
pub(super) struct Afterwards {
    pub(super) wakers: Vec<Waker>,
    links: Vec<Link>,
    expired: bool,
}

impl Afterwards {
    pub(super) fn run(self, core: &Core) {
        self.wakers.into_iter().for_each(Waker::wake);
        self.links.iter().for_each(|link| link.wake());
        if self.expired {
            // Nobody waits for it but a socket that closes.
            core.progress.notify_waiters();
        }
    }
}

impl Core {
    /// A queue holds a message that expires then.
    pub(super) fn expect_expiry(&self, state: &mut State, at: Option<Instant>) {
        // Before the first pipe there is no queue, and nobody to look at it.
        let Some(at) = at.filter(|_| self.timekeeper.place.get().is_some()) else {
            return;
        };
        if state.next_expiry.is_none_or(|next| at < next) {
            state.next_expiry = Some(at);
            self.timekeeper.ring();
        }
    }

    /// What this pipe has received may have to be given up one day.
    pub(super) fn expect_arrivals_to_expire(&self, state: &mut State, id: PipeId) {
        if self.options.time_to_live.is_some() {
            let earliest = state.pipe(id).and_then(|pipe| pipe.incoming.earliest());
            self.expect_expiry(state, earliest);
        }
    }

    /// Gives up what has waited too long in any queue. Returns when something expires next.
    fn expire(&self) -> Option<Instant> {
        let now = now();
        let mut afterwards = Afterwards::default();
        let mut state = self.state.lock();
        state.next_expiry = None;
        let writers = state.expire_all(now, &mut afterwards);
        drop(state);
        afterwards.run(self);
        let taken = writers.iter().filter_map(|link| link.expire(now)).min();
        let mut state = self.state.lock();
        // What was queued meanwhile has rung, and is looked at again.
        state.next_expiry = state.next_expiry.into_iter().chain(taken).min();
        state.next_expiry
    }
}

impl State {
    /// Returns the links whose writers hold messages that may expire.
    fn expire_all(&mut self, now: Instant, afterwards: &mut Afterwards) -> Vec<Link> {
        let mut writers = Vec::new();
        let timed = self.pipes.iter().filter(|(_, pipe)| pipe.is_timed());
        let timed: Vec<_> = timed.map(|(index, _)| index).collect();
        for index in timed {
            self.expire_outgoing(index, now, afterwards);
            let pipe = &self.pipes[index];
            if pipe.outgoing.is_taken_timed() {
                writers.extend(pipe.link.clone());
            }
            let outgoing = pipe.outgoing.earliest();
            let incoming = self.expire_incoming(index, now, afterwards);
            let known = self.next_expiry.into_iter();
            self.next_expiry = known.chain(outgoing).chain(incoming).min();
        }
        writers
    }

    /// Gives up what no writer has taken of this pipe in time.
    pub(super) fn expire_outgoing(
        &mut self,
        index: usize,
        now: Instant,
        afterwards: &mut Afterwards,
    ) {
        let pipe = &mut self.pipes[index];
        if !pipe.outgoing.is_timed() {
            return;
        }
        let expired = pipe.outgoing.expire(now);
        self.count_expired(index, expired, afterwards);
    }

    /// Counts what was given up on its way out: there is room for others.
    pub(super) fn count_expired(
        &mut self,
        index: usize,
        expired: usize,
        afterwards: &mut Afterwards,
    ) {
        if expired == 0 {
            return;
        }
        let pipe = &mut self.pipes[index];
        pipe.sent.expired += expired as u64;
        afterwards.expired = true;
        afterwards.links.extend(pipe.link.clone());
        if pipe.has_room() {
            if let Some(peers) = self.pattern.rotation() {
                peers.activate(index);
            }
            self.wake_senders(expired, &mut afterwards.wakers);
        }
    }

    /// Gives up what was not delivered in time. Returns when the next expires.
    fn expire_incoming(
        &mut self,
        index: usize,
        now: Instant,
        afterwards: &mut Afterwards,
    ) -> Option<Instant> {
        let pipe = &mut self.pipes[index];
        if !pipe.incoming.is_timed() {
            return None;
        }
        let expired = pipe.expire_incoming(now);
        pipe.received.expired += expired as u64;
        let next = pipe.incoming.earliest();
        if expired == 0 {
            return next;
        }
        let id = PipeId {
            index,
            serial: pipe.serial,
        };
        if pipe.incoming.len() == 0 && std::mem::take(&mut pipe.queued) {
            self.fair.remove(index);
        }
        if self.pipes[index].incoming.resume() {
            afterwards.links.extend(self.mark_readable(id));
        }
        self.remove_if_done(index);
        next
    }

    /// Gives up what the pipe whose turn it is to be received from did not
    /// deliver in time, so that nothing too old is delivered although the
    /// timekeeper has not had its turn yet.
    pub(super) fn expire_next(&mut self) {
        while let Some(index) = self.fair.current()
            && self.pipes[index].incoming.is_timed()
        {
            let mut afterwards = Afterwards::default();
            self.expire_incoming(index, now(), &mut afterwards);
            // A waker of a link only queues its driver, which takes the lock later.
            afterwards.links.iter().for_each(|link| link.wake());
            if self.fair.current() == Some(index) {
                return;
            }
        }
    }
}
