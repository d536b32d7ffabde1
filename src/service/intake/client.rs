//! The clients that reach a server directly: probes, numbers, goodbyes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::{Index, IndexMut};
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

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

/// The clients that are known.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: Slab<Client>,
    by_nonce: HashMap<u64, ClientSlot>,
}

/// The place of a client, as long as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientSlot(usize);

impl Clients {
    pub(super) fn find(&mut self, nonce: u64) -> Option<&mut Client> {
        let slot = *self.by_nonce.get(&nonce)?;
        self.get_mut(slot)
    }

    pub(super) fn get_mut(&mut self, slot: ClientSlot) -> Option<&mut Client> {
        self.known.get_mut(slot.0)
    }

    /// Whether any is to say that nothing more of it is under way.
    pub(super) fn are_awaited(&self) -> bool {
        self.known.iter().any(|(_, client)| client.awaited)
    }

    /// Forgets those that are not to stay.
    fn retain(&mut self, mut stays: impl FnMut(&mut Client) -> bool) {
        let Self { known, by_nonce } = self;
        by_nonce.retain(|_, slot| {
            let kept = stays(&mut known[slot.0]);
            if !kept {
                known.remove(slot.0);
            }
            kept
        });
    }
}

impl Index<ClientSlot> for Clients {
    type Output = Client;

    fn index(&self, slot: ClientSlot) -> &Client {
        &self.known[slot.0]
    }
}

impl IndexMut<ClientSlot> for Clients {
    fn index_mut(&mut self, slot: ClientSlot) -> &mut Client {
        &mut self.known[slot.0]
    }
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

    /// Remembers the client of a message; `None` where there are too many.
    pub(super) fn meet(&mut self, envelope: &Envelope, now: Instant) -> Option<ClientSlot> {
        let Clients { known, by_nonce } = &mut self.clients;
        match by_nonce.entry(envelope.control.id.nonce) {
            Entry::Occupied(slot) => {
                let slot = *slot.get();
                known[slot.0].seen = now;
                Some(slot)
            }
            Entry::Vacant(_) if known.len() >= self.config.clients => None,
            Entry::Vacant(new) => {
                let slot = known.insert(Client {
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
                Some(*new.insert(ClientSlot(slot)))
            }
        }
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
        let Some(client) = self.meet(envelope, now) else {
            self.counts.ignored += 1;
            return;
        };
        let clock = self.clock.stamp(now);
        let client = &mut self.clients[client];
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
        let Clients { known, by_nonce } = &mut self.clients;
        let mut goodbyes = Vec::with_capacity(known.len());
        for (nonce, slot) in by_nonce {
            let client = &mut known[slot.0];
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
        let Some(client) = self.clients.find(nonce) else {
            return;
        };
        client.gone = true;
        client.awaited = false;
        if client.outstanding == 0
            && let Some(slot) = self.clients.by_nonce.remove(&nonce)
        {
            self.clients.known.remove(slot.0);
        }
    }

    pub(super) fn forget_clients(&mut self, now: Instant) {
        let (memory, forget) = (self.config.memory, self.config.forget);
        self.clients.retain(|client| {
            client.window.forget(memory, now);
            let silent = now.saturating_duration_since(client.seen) >= forget;
            client.outstanding > 0 || !(client.gone || silent)
        });
    }
}
