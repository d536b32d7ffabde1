//! How a socket ends: what is queued is written within the linger, then every session ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::core::Core;
use super::handle::Handle;
use super::stats::Stats;
use crate::error::LinkError;
use crate::session::{Link, Phase, Writer};

/// What `close` achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Messages that were accepted and never written: the linger was too short,
    /// there was no peer, or they expired meanwhile.
    pub unsent: u64,
    /// Messages that had been read and were not received by the application.
    pub undelivered: u64,
}

/// The end of a socket, from the moment when it accepts nothing more.
///
/// Several may be under way, one for each handle that closes: the first to run
/// out of its linger decides. One that is dropped ends everything at once.
pub(super) struct Closing {
    core: Arc<Core>,
    /// What was connected when it began; later connections know that they are to end.
    links: Vec<Link>,
    /// Of all sessions, the accepted connections among them.
    phases: Vec<watch::Sender<Phase>>,
    before: Stats,
}

impl Handle {
    pub(super) async fn close(self, linger: Duration) -> Closed {
        let core = self.core().clone();
        let closing = Closing::begin(&core);
        if runtime::Handle::try_current().is_ok() {
            return closing.run(linger).await;
        }
        let before = closing.before.clone();
        let runtime = core.endpoints.lock().runtime.clone();
        if let Some(runtime) = runtime {
            // The linger needs a timer, and only a runtime has one: the sessions'.
            let mut task = JoinSet::new();
            task.spawn_on(closing.run(linger), &runtime);
            if let Some(Ok(closed)) = task.join_next().await {
                return closed;
            }
        } else {
            drop(closing);
        }
        core.closed(&before)
    }
}

impl Closing {
    /// Nothing more is accepted or received; what the wires take is written.
    pub(super) fn begin(core: &Arc<Core>) -> Self {
        let mut state = core.state.lock();
        state.phase = state.phase.max(Phase::Finishing);
        let mut wakers = state.senders.all();
        wakers.extend(state.receivers.all());
        let links = state.read_all();
        let before = state.stats();
        drop(state);
        wakers.into_iter().for_each(std::task::Waker::wake);
        for link in &links {
            link.flush_now(Writer::Flush);
            // A flush of an answer wakes nobody, and the driver is to read on from here.
            link.wake();
        }
        let mut phases = core.endpoints.lock().phases();
        phases.push(core.connections.clone());
        let core = core.clone();
        Self {
            core,
            links,
            phases,
            before,
        }
    }

    /// Writes what is queued, within the linger, and ends all sessions.
    pub(super) async fn run(self, linger: Duration) -> Closed {
        let gently = async {
            self.core.drained().await;
            self.links.iter().for_each(|link| link.finish());
            self.announce(Phase::Finishing);
            // The peers read to the end and close in turn; those that do not
            // are not waited for longer than the linger.
            self.ended().await;
        };
        let _ = timeout(linger, gently).await;
        self.announce(Phase::Closed);
        self.ended().await;
        self.core.closed(&self.before)
    }

    fn announce(&self, phase: Phase) {
        let links = match phase {
            Phase::Closed => self.core.give_up(),
            Phase::Open | Phase::Finishing => Vec::new(),
        };
        for sender in &self.phases {
            sender.send_if_modified(|current| {
                let grows = *current < phase;
                *current = phase.max(*current);
                grows
            });
        }
        // Once the phases are told, so that no endpoint is dialled again.
        links
            .iter()
            .for_each(|link| link.fail(LinkError::ClosedHere));
    }

    async fn ended(&self) {
        for phase in &self.phases {
            phase.closed().await;
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.announce(Phase::Closed);
    }
}

impl Core {
    /// Resolves when nothing waits to be written.
    async fn drained(&self) {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.state.lock().is_drained() {
                return;
            }
            progress.await;
        }
    }

    /// What waits for a connection is given up. What waits on one goes with
    /// it: its writer may be at work. Returns the connections; there will be no others.
    fn give_up(&self) -> Vec<Link> {
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        let unconnected = state.pipes.iter().filter(|(_, pipe)| pipe.link.is_none());
        for index in unconnected.map(|(index, _)| index).collect::<Vec<_>>() {
            state.discard_outgoing(index);
        }
        let links = state.pipes.iter().filter_map(|(_, pipe)| pipe.link.clone());
        links.collect()
    }

    /// Nothing more happens: all sessions have ended, or there never was one.
    pub(super) fn end_monitors(&self) {
        let mut wakers = Vec::new();
        self.state.lock().monitors.end(&mut wakers);
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// All sessions have ended.
    fn closed(&self, before: &Stats) -> Closed {
        self.endpoints.lock().clear();
        let state = self.state.lock();
        let stats = state.stats();
        drop(state);
        self.end_monitors();
        Closed {
            unsent: stats.sent.dropped.total() - before.sent.dropped.total() + stats.sent.expired
                - before.sent.expired,
            undelivered: stats.received.queued + stats.received.dropped - before.received.dropped
                + stats.received.expired
                - before.received.expired,
        }
    }
}
