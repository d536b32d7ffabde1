//! The clients that reach a server directly: probes, numbers, goodbyes.

use std::collections::hash_map::Entry;
use std::time::Instant;

use bytes::Bytes;

use super::Intake;
use crate::service::envelope::{Envelope, Transit};
use crate::service::window::Window;
use crate::service::wire::{Control, Kind, RequestId, Status};

/// One handle of a client.
#[derive(Debug)]
pub(super) struct Client {
    topic: Bytes,
    /// The number of the last answer to it.
    sequence: u64,
    pub(super) transit: Transit,
    seen: Instant,
    pub(super) outstanding: usize,
    pub(super) window: Window,
    /// It was told goodbye, and its next probe will show that nothing more is under way.
    pub(super) awaited: bool,
    /// It said goodbye.
    gone: bool,
}

impl Client {
    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

impl Intake {
    pub(super) fn receive_directly(&mut self, envelope: Envelope, now: Instant) {
        match envelope.control.kind {
            Kind::Request => self.request(envelope, now),
            Kind::Probe => self.probe(&envelope, now),
            Kind::Cancel => self.cancel(envelope.control.id, now),
            Kind::Goodbye => self.part(envelope.control.id.nonce),
            _ => self.counts.ignored += 1,
        }
    }

    /// Remembers the client of a message; says no where there are too many.
    pub(super) fn meet(&mut self, envelope: &Envelope, now: Instant) -> bool {
        let full = self.clients.len() >= self.config.clients;
        match self.clients.entry(envelope.control.id.nonce) {
            Entry::Occupied(known) => known.into_mut().seen = now,
            Entry::Vacant(_) if full => return false,
            Entry::Vacant(new) => {
                new.insert(Client {
                    // In memory of its own: it outlives the buffer that it was read into.
                    topic: Bytes::copy_from_slice(&envelope.topic),
                    sequence: 0,
                    transit: Transit::default(),
                    seen: now,
                    outstanding: 0,
                    window: Window::default(),
                    awaited: false,
                    gone: false,
                });
            }
        }
        true
    }

    /// Answers at once, whatever else is going on.
    fn probe(&mut self, envelope: &Envelope, now: Instant) {
        let asked = &envelope.control;
        if envelope.topic.is_empty() {
            self.counts.ignored += 1;
            return;
        }
        if asked.service != self.config.service {
            let mut control = Control::new(Kind::Error, asked.id, asked.service.clone());
            control.status = Status::NO_SUCH_SERVICE;
            control.epoch = self.epoch;
            return self.send(Envelope::bare(envelope.topic.clone(), control));
        }
        if !self.meet(envelope, now) {
            self.counts.ignored += 1;
            return;
        }
        let clock = self.clock.stamp(now);
        let Some(client) = self.clients.get_mut(&asked.id.nonce) else {
            return;
        };
        client.transit.spent(clock, asked.stamp);
        client.awaited = false;
        let kind = match self.stopping {
            Some(_) => Kind::Goodbye,
            None => Kind::Hello,
        };
        let mut control = Control::new(kind, asked.id, self.config.service.clone());
        control.sequence = client.sequence;
        control.epoch = self.epoch;
        let credit = self.config.queue.saturating_add(self.config.concurrency);
        control.window = u32::try_from(credit).unwrap_or(u32::MAX);
        self.send(Envelope::bare(envelope.topic.clone(), control));
    }

    /// Tells every client that no more requests are taken.
    pub(super) fn say_goodbye(&mut self) {
        let mut goodbyes = Vec::with_capacity(self.clients.len());
        for (nonce, client) in &mut self.clients {
            client.awaited = !client.gone;
            let id = RequestId {
                nonce: *nonce,
                counter: 0,
            };
            let mut control = Control::new(Kind::Goodbye, id, self.config.service.clone());
            control.sequence = client.sequence;
            control.epoch = self.epoch;
            goodbyes.push(Envelope::bare(client.topic.clone(), control));
        }
        for goodbye in goodbyes {
            self.send(goodbye);
        }
    }

    /// A client said goodbye: what it pushed still runs, and nothing else is kept for it.
    fn part(&mut self, nonce: u64) {
        let Some(client) = self.clients.get_mut(&nonce) else {
            return;
        };
        client.gone = true;
        client.awaited = false;
        if client.outstanding == 0 {
            self.clients.remove(&nonce);
        }
    }

    pub(super) fn forget_clients(&mut self, now: Instant) {
        let (memory, forget) = (self.config.memory, self.config.forget);
        self.clients.retain(|_, client| {
            client.window.forget(memory, now);
            let silent = now.saturating_duration_since(client.seen) >= forget;
            client.outstanding > 0 || !(client.gone || silent)
        });
    }
}
