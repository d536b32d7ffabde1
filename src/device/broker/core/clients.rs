//! The clients that a broker knows: their sequences, their clocks, what they wait for,
//! and what was answered to them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use crate::service::dispatch::Ticket;
use crate::service::envelope::Transit;
use crate::service::window::{Answer, Memory, Window};

/// All clients, by topic and nonce.
#[derive(Debug)]
pub(super) struct Clients {
    limit: usize,
    memory: Memory,
    /// The most octets of answers that are remembered of all together, and how many are.
    most_octets: usize,
    octets: usize,
    slots: HashMap<(Bytes, u64), usize>,
    clients: Slab<Client>,
}

/// One client handle.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) topic: Bytes,
    pub(super) nonce: u64,
    /// The number of the last answer to it.
    pub(super) sequence: u64,
    pub(super) transit: Transit,
    last_heard: Instant,
    /// Its unanswered requests by their counter: the service's slot and the ticket there.
    pub(super) requests: HashMap<u64, (usize, Ticket)>,
    /// Its requests that were answered, or may have run: those that are not
    /// idempotent do not run again, whoever repeats them.
    window: Window,
    /// It was told goodbye; its next probe shows that it has heard it, and that
    /// all it pushed before is here.
    pub(super) awaited: bool,
}

impl Clients {
    /// No clients yet, and never more than `limit`.
    pub(super) fn new(limit: usize, memory: Memory, most_octets: usize) -> Self {
        Self {
            limit,
            memory,
            most_octets,
            octets: 0,
            slots: HashMap::new(),
            clients: Slab::new(),
        }
    }

    /// The slot of a client that is known.
    pub(super) fn find(&self, topic: &Bytes, nonce: u64) -> Option<usize> {
        self.slots.get(&(topic.clone(), nonce)).copied()
    }

    /// The slot of a client that was heard now. `None` where it is one too many.
    pub(super) fn heard(&mut self, topic: &Bytes, nonce: u64, now: Instant) -> Option<usize> {
        if let Some(slot) = self.find(topic, nonce) {
            self.clients[slot].last_heard = now;
            return Some(slot);
        }
        if self.clients.len() >= self.limit {
            return None;
        }
        // It is kept for long: it must not pin the buffer that it was read into.
        let topic = Bytes::copy_from_slice(topic);
        let slot = self.clients.insert(Client {
            topic: topic.clone(),
            nonce,
            sequence: 0,
            transit: Transit::default(),
            last_heard: now,
            requests: HashMap::new(),
            window: Window::default(),
            awaited: false,
        });
        self.slots.insert((topic, nonce), slot);
        Some(slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Client> {
        self.clients.get_mut(slot)
    }

    /// Forgets a client and returns what it was waiting for.
    pub(super) fn remove(&mut self, slot: usize) -> Option<Client> {
        let client = self.clients.try_remove(slot)?;
        self.slots.remove(&(client.topic.clone(), client.nonce));
        self.octets -= client.window.octets();
        Some(client)
    }

    /// Remembers that a request was answered or may have run, and its answer
    /// if one is given and there is room for it.
    pub(super) fn remember(
        &mut self,
        slot: usize,
        counter: u64,
        answer: Option<&Answer>,
        now: Instant,
    ) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let room = self.most_octets - self.octets;
        let answer = answer.filter(|answer| answer.cost() <= room);
        self.octets -= client.window.octets();
        client.window.remember(counter, answer, self.memory, now);
        self.octets += client.window.octets();
    }

    /// How a request was answered: `None` if it is not known, `Some(None)` if only the fact is.
    pub(super) fn recall(&self, slot: usize, counter: u64) -> Option<Option<&Answer>> {
        self.clients.get(slot)?.window.recall(counter)
    }

    /// Forgets the answers that are too old.
    pub(super) fn forget_answers(&mut self, now: Instant) {
        for (_, client) in &mut self.clients {
            self.octets -= client.window.octets();
            client.window.forget(self.memory, now);
            self.octets += client.window.octets();
        }
    }

    /// The clients that wait for nothing, and of which nothing was heard for `silence`.
    pub(super) fn silent(&self, silence: Duration, now: Instant) -> Vec<usize> {
        let silent = |(slot, client): (usize, &Client)| {
            let quiet = now.saturating_duration_since(client.last_heard);
            (quiet >= silence && client.requests.is_empty()).then_some(slot)
        };
        self.clients.iter().filter_map(silent).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().map(|(_, client)| client)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.iter_mut().map(|(_, client)| client)
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }
}
