//! The broker's driver: moves messages between the sockets and the core.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
use super::core::{Core, Output};
use crate::service::ambient::Alarm;
use crate::socket::{Event, Monitor, Pull, Router, XPub};

/// Messages that are taken from a socket before the answers are sent.
const BATCH: usize = 256;

/// Messages that are read of a link that is cut, before its worker is lost.
const LAST_WORDS: usize = 100_000;

/// How long the last answers may take to be written.
const LINGER: Duration = Duration::from_secs(1);

/// Where a broker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It takes requests.
    Serving,
    /// It answers what it has, until the deadline at most.
    Draining { deadline: Instant },
}

/// The sockets of a broker, and what decides about them.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) pull: Pull,
    pub(super) publisher: XPub,
    pub(super) router: Router,
    pub(super) events: Monitor,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Driver {
    /// Runs until a drain has ended, or a socket is closed, which nobody does.
    pub(super) async fn run(mut self) {
        let mut phase = Phase::Serving;
        let (mut requests, mut answers, mut subscriptions) = (Vec::new(), Vec::new(), Vec::new());
        let mut alarm = Alarm::new();
        self.router.attend();
        self.pull.attend();
        self.publisher.attend();
        loop {
            // One step: whatever comes first is told to the core, which then
            // says what to send. It loops because none of the three ends.
            let due = self.shared.core.lock().next_timeout();
            alarm.set(match phase {
                Phase::Serving => due,
                Phase::Draining { deadline } => due.min(deadline.into_std()),
            });
            tokio::select! {
                received = poll_fn(|it| self.router.poll_recv_many(it, &mut answers, BATCH)) => {
                    if received.is_err() { return }
                    self.decide(|core, now| answers.drain(..).for_each(|it| core.back(it, now)));
                }
                received = poll_fn(|it| self.pull.poll_recv_many(it, &mut requests, BATCH)) => {
                    if received.is_err() { return }
                    self.decide(|core, now| requests.drain(..).for_each(|it| core.front(it, now)));
                }
                Some(event) = self.events.next() => self.observe(event),
                // Nobody needs the subscriptions, but they must not pile up.
                received = poll_fn(|it| self.publisher.poll_recv_many(it, &mut subscriptions, BATCH)) => {
                    if received.is_err() { return }
                    subscriptions.clear();
                }
                Ok(()) = self.phase.changed() => {
                    phase = *self.phase.borrow_and_update();
                    self.decide(Core::drain);
                }
                () = alarm.rings() => self.decide(Core::tick),
            }
            self.send();
            if self.drained(phase) {
                break;
            }
        }
        self.send();
        // Who goes meanwhile is noticed by who reads.
        self.pull.rest();
        self.publisher.rest();
        self.router.rest();
        self.pull.close(Duration::ZERO).await;
        let published = self.publisher.close(LINGER).await;
        let handed = self.router.close(LINGER).await;
        tracing::info!(?published, ?handed, "the broker has stopped");
    }

    fn decide(&self, decision: impl FnOnce(&mut Core, std::time::Instant)) {
        decision(&mut self.shared.core.lock(), Instant::now().into_std());
    }

    /// A worker whose link is cut is lost, once its last words are read.
    fn observe(&self, event: Event) {
        let Event::Disconnected { peer, reason, .. } = event else {
            return;
        };
        tracing::debug!(address = peer.address, %reason, "a worker's link was cut");
        self.decide(|core, now| {
            for _ in 0..LAST_WORDS {
                let Ok(message) = self.router.try_recv() else {
                    break;
                };
                core.back(message, now);
            }
            core.disconnected(&peer.identity, now);
        });
    }

    /// Sends what the core wants sent. A worker that cannot be reached, or has
    /// let its pipe fill, is lost: what it was to do goes elsewhere.
    fn send(&self) {
        let mut outputs = Vec::new();
        loop {
            self.decide(|core, _| outputs.extend(std::iter::from_fn(|| core.poll())));
            if outputs.is_empty() {
                break;
            }
            for output in outputs.drain(..) {
                match output {
                    // It is closed at the end of `run` only, and drops and
                    // counts what a client does not take.
                    Output::Publish(message) => {
                        let _ = self.publisher.try_feed(message);
                    }
                    Output::Hand(message) => {
                        let identity = message.first().clone();
                        if let Err(error) = self.router.try_feed(message) {
                            tracing::debug!(%error, "a worker takes no message");
                            self.decide(|core, now| core.disconnected(&identity, now));
                        }
                    }
                }
            }
        }
        self.router.flush_fed();
        self.publisher.flush_fed();
        let membership = self.shared.core.lock().membership();
        self.shared
            .membership
            .send_if_modified(|known| std::mem::replace(known, membership) != membership);
    }

    /// Whether a drain is over; at its deadline the rest is answered without workers.
    fn drained(&self, phase: Phase) -> bool {
        let Phase::Draining { deadline } = phase else {
            return false;
        };
        let now = Instant::now();
        if now >= deadline {
            self.decide(Core::abandon);
            return true;
        }
        self.shared.core.lock().is_drained(now.into_std())
    }
}
