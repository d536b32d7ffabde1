//! A server behind a broker: it registers, beats, is fenced, and retires.
//!
//! ```text
//!               hello answered                    stop
//!   │ Unheard │ ──────────────▶ │ Registered │ ─────────▶ │ Retiring │
//!     ▲                               │ goodbye (fenced), or silence
//!     └───────────────────────────────┘ a new epoch
//! ```

use std::time::Instant;

use bytes::Bytes;

use super::{Config, Intake, Output};
use crate::service::envelope::{Envelope, Transit};
use crate::service::wire::{Control, Kind, RequestId};

/// A hello is due and as many as these are unanswered: nothing came for 4 intervals.
const UNANSWERED: u32 = 3;

/// What a server is to its broker.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The headers of its hellos: its name.
    headers: Bytes,
    /// Counts its hellos.
    counter: u64,
    /// Whether this life was announced on the link that stands.
    registered: bool,
    /// Hellos since the broker was last heard.
    unanswered: u32,
    /// The hello that announced no more credit: its answer comes after every request.
    last_hello: Option<u64>,
    /// The life of the broker, as its last hello says.
    broker: Option<u64>,
    /// What messages of this life of the broker spent in buffers: all their
    /// stamps are of its clock, whichever client asked.
    pub(super) transit: Transit,
}

impl Worker {
    /// Whether requests may still be under way from the broker.
    pub(super) fn awaits_release(&self) -> bool {
        self.last_hello.is_some()
    }

    /// What answers on the next link may be another broker, with another clock.
    fn leave_link(&mut self) {
        self.registered = false;
        self.broker = None;
        self.transit = Transit::default();
    }
}

impl Intake {
    /// A server behind a broker. It is registered by [`Self::register`].
    pub(crate) fn behind_broker(config: Config, headers: Bytes, now: Instant) -> Self {
        let mut intake = Self::direct(config, 0, now);
        intake.worker = Some(Worker {
            headers,
            counter: 0,
            registered: false,
            unanswered: 0,
            last_hello: None,
            broker: None,
            transit: Transit::default(),
        });
        intake
    }

    /// Begins a life under a new epoch.
    pub(crate) fn register(&mut self, epoch: u64, now: Instant) {
        self.epoch = epoch;
        self.next_sweep = now + self.config.heartbeat;
        let stopping = self.stopping.is_some();
        if !stopping {
            self.hello();
        }
        let Some(worker) = &mut self.worker else {
            return;
        };
        worker.registered = !stopping;
        worker.unanswered = 0;
        if stopping {
            // Nobody hands anything to a life that was never announced.
            worker.last_hello = None;
        }
    }

    /// The link to the broker was cut: it has given this life up.
    pub(crate) fn link_cut(&mut self) {
        self.drop_everything();
        if let Some(worker) = &mut self.worker {
            worker.leave_link();
            worker.last_hello = None;
        }
    }

    pub(super) fn receive_as_worker(&mut self, envelope: Envelope, now: Instant) {
        let control = &envelope.control;
        if let Some(worker) = &mut self.worker {
            worker.unanswered = 0;
        }
        match control.kind {
            Kind::Request => self.request(envelope, now),
            Kind::Cancel => self.cancel(control.id, now),
            Kind::Hello => self.greeted(control, now),
            Kind::Goodbye if control.epoch == self.epoch => self.fenced(),
            _ => self.counts.ignored += 1,
        }
    }

    /// The broker answers a hello. Another life of it knows nothing of what the
    /// one before handed out; what it hands out itself comes after this.
    fn greeted(&mut self, control: &Control, now: Instant) {
        let clock = self.clock.stamp(now);
        let Some(worker) = &mut self.worker else {
            return;
        };
        if worker.last_hello == Some(control.id.counter) {
            worker.last_hello = None;
        }
        let before = worker.broker.replace(control.epoch);
        let reborn = before.is_some_and(|before| before != control.epoch);
        if reborn {
            worker.transit = Transit::default();
        }
        worker.transit.spent(clock, control.stamp);
        if reborn {
            self.drop_everything();
        }
    }

    /// The heartbeat: a hello, or the goodbye again while it retires.
    pub(super) fn beat(&mut self) {
        let Some(worker) = &mut self.worker else {
            return;
        };
        if !worker.registered {
            return;
        }
        if self.stopping.is_some() {
            return self.goodbye();
        }
        if worker.unanswered >= UNANSWERED {
            worker.leave_link();
            self.drop_everything();
            self.out.push_back(Output::Reconnect);
            return;
        }
        self.hello();
    }

    /// Takes no more: a hello without credit, whose answer follows every
    /// request that was handed out before it, and the goodbye.
    pub(super) fn retire(&mut self) {
        if !self.worker.as_ref().is_some_and(|worker| worker.registered) {
            return;
        }
        self.hello();
        if let Some(worker) = &mut self.worker {
            worker.last_hello = Some(worker.counter);
        }
        self.goodbye();
    }

    fn hello(&mut self) {
        let credit = match self.stopping {
            Some(_) => 0,
            None => u32::try_from(self.config.concurrency).unwrap_or(u32::MAX),
        };
        let Some(worker) = &mut self.worker else {
            return;
        };
        worker.counter += 1;
        worker.unanswered += 1;
        let headers = worker.headers.clone();
        let mut control = self.concerning_nobody(Kind::Hello);
        control.window = credit;
        self.send(Envelope {
            headers,
            ..Envelope::bare(Bytes::new(), control)
        });
    }

    fn goodbye(&mut self) {
        let control = self.concerning_nobody(Kind::Goodbye);
        self.send(Envelope::bare(Bytes::new(), control));
    }

    fn concerning_nobody(&self, kind: Kind) -> Control {
        let counter = self.worker.as_ref().map_or(0, |worker| worker.counter);
        let id = RequestId { nonce: 0, counter };
        let mut control = Control::new(kind, id, self.config.service.clone());
        control.epoch = self.epoch;
        control
    }

    /// The broker has given this life up, and its requests to others.
    fn fenced(&mut self) {
        self.drop_everything();
        self.out.push_back(Output::Fenced);
    }

    /// Drops what has not begun, and owes no answer for what has.
    fn drop_everything(&mut self) {
        for (ticket, _) in self.dispatch.drain_queued() {
            self.conclude(ticket);
        }
        for progress in self.progress.values_mut() {
            progress.owed = false;
        }
    }
}
