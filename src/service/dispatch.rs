//! Which request goes to which target, and when: the pure scheduler of client, server and broker.
//!
//! ```text
//!             submit                 poll                     complete
//!  (refused) ◀─────── │ queued │ ──────────▶ │ in flight │ ─────────────▶ gone
//!                     └────────┘             └───────────┘
//!                       ▲  │ expire, cancel     │     │ cancel
//!              resubmit │  └──▶ gone            │     └──▶ gone
//!                       └────── remove_target ◀─┘
//! ```
//!
//! A request without a key goes to a target with credit, by [`Choice`]. One with
//! a key goes to the target that rendezvous hashing assigns to the key among
//! those that take work, and nowhere else: no credit there means it waits. When
//! the assignment changes while requests of the key are in flight, the key waits
//! until they are answered, so no key is ever on two targets.
//!
//! Keys are listed with the target that could take them, ordered by their oldest
//! request; targets that have both credit and listed keys are listed in turn.
//! Hence every operation costs O(log n), and a key that waits holds up no other.
//! Only a change of targets looks at all keys that have requests. What is written
//! about a key is dropped with its last request.
//!
//! The machine is mutated, then [`Dispatch::poll`]ed until it returns `None`.

mod choice;
mod rendezvous;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use slab::Slab;

pub(crate) use self::choice::Choice;
use self::choice::{Open, Rank};

/// Schedules requests over targets; `T` is what the owner keeps of a request.
#[derive(Debug)]
pub(crate) struct Dispatch<T> {
    config: Config,
    jobs: FxHashMap<Ticket, Entry<T>>,
    targets: FxHashMap<TargetId, Target>,
    keys: Slab<Key>,
    key_slots: HashMap<Bytes, usize>,
    /// Queued requests without a key.
    unkeyed: BTreeSet<Ticket>,
    /// Targets with credit whose listed keys are not empty, by their oldest request.
    ready: BTreeSet<(Ticket, TargetId)>,
    /// Targets with credit.
    open: Open,
    /// Deadlines of what is queued.
    expiries: BTreeSet<(Instant, Ticket)>,
    queued_messages: usize,
    queued_bytes: usize,
    last_ticket: u64,
    last_hand_out: u64,
}

/// The limits of a [`Dispatch`], and how it chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    /// The most requests that are queued; those in flight do not count.
    pub(crate) messages: usize,
    /// The most octets that are queued. An empty queue takes one request of any size.
    pub(crate) bytes: usize,
    /// The most requests of one key that are in flight; `usize::MAX` sets no limit.
    pub(crate) per_key_in_flight: usize,
    /// Where requests without a key go.
    pub(crate) choice: Choice,
}

/// A request as its owner submits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job<T> {
    /// Requests of one key go to one target in the order of their tickets.
    pub(crate) key: Option<Bytes>,
    /// The octets it counts for while it is queued.
    pub(crate) size: usize,
    /// When it is of no use any more, if it is still queued.
    pub(crate) expires: Option<Instant>,
    /// What the owner keeps of it.
    pub(crate) item: T,
}

/// A request's place in the order of all that were submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// A target, by a number that its owner gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TargetId(pub(crate) u64);

#[derive(Debug)]
struct Entry<T> {
    job: Job<T>,
    key: Option<usize>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Queued,
    InFlight { target: TargetId, hand_out: u64 },
}

#[derive(Debug)]
struct Target {
    hash: u64,
    credit: usize,
    /// It takes no new work, and answers what it has.
    stopped: bool,
    /// In the order of their hand-out.
    in_flight: BTreeMap<u64, Ticket>,
    /// The last hand-out to it: the lowest is the longest unused.
    last_hand_out: u64,
    /// The keys that could go out now but for its credit, by their oldest request.
    keys: BTreeSet<(Ticket, usize)>,
    /// Its entry in `Dispatch::ready`.
    ready_at: Option<Ticket>,
    /// Its entry in `Dispatch::open`.
    open_at: Option<Rank>,
}

impl Target {
    fn has_room(&self) -> bool {
        !self.stopped && self.in_flight.len() < self.credit
    }
}

/// A key that has requests, queued or in flight.
#[derive(Debug)]
struct Key {
    octets: Bytes,
    hash: u64,
    queued: BTreeSet<Ticket>,
    in_flight: usize,
    /// Where its requests are in flight; of meaning while there are any.
    holder: Option<TargetId>,
    /// Where its next requests are to go.
    assigned: Option<TargetId>,
    /// Its entry in `Target::keys`.
    listed_at: Option<(TargetId, Ticket)>,
}

impl<T> Dispatch<T> {
    /// A scheduler without targets.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            jobs: FxHashMap::default(),
            targets: FxHashMap::default(),
            keys: Slab::new(),
            key_slots: HashMap::new(),
            unkeyed: BTreeSet::new(),
            ready: BTreeSet::new(),
            open: Open::new(config.choice),
            expiries: BTreeSet::new(),
            queued_messages: 0,
            queued_bytes: 0,
            last_ticket: 0,
            last_hand_out: 0,
        }
    }

    /// Adds a target that takes `credit` requests at once. The name decides
    /// which keys are its own. A known `id` only has its credit changed.
    pub(crate) fn add_target(&mut self, id: TargetId, name: &[u8], credit: usize) {
        if self.targets.contains_key(&id) {
            return self.set_credit(id, credit);
        }
        let target = Target {
            hash: rendezvous::hash(name),
            credit,
            stopped: false,
            in_flight: BTreeMap::new(),
            last_hand_out: 0,
            keys: BTreeSet::new(),
            ready_at: None,
            open_at: None,
        };
        self.targets.insert(id, target);
        self.refresh(id);
        self.reassign();
    }

    /// Changes how many requests a target takes at once. What is in flight above it stays.
    pub(crate) fn set_credit(&mut self, id: TargetId, credit: usize) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.credit = credit;
            self.refresh(id);
        }
    }

    /// Hands nothing more to a target; what it has stays with it.
    pub(crate) fn stop_target(&mut self, id: TargetId) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.stopped = true;
            self.refresh(id);
            self.reassign();
        }
    }

    /// Forgets a target. Returns what was in flight there, in the order of its
    /// hand-out: before the next poll the owner resubmits what may be done again
    /// and answers the rest.
    pub(crate) fn remove_target(&mut self, id: TargetId) -> Vec<(Ticket, Job<T>)> {
        self.stop_target(id);
        let Some(target) = self.targets.get(&id) else {
            return Vec::new();
        };
        let tickets: Vec<Ticket> = target.in_flight.values().copied().collect();
        let jobs = tickets
            .into_iter()
            .filter_map(|ticket| Some((ticket, self.take(ticket)?.1)))
            .collect();
        self.targets.remove(&id);
        jobs
    }

    /// Queues a request, or gives it back where the queue is full.
    pub(crate) fn submit(&mut self, job: Job<T>) -> Result<Ticket, Job<T>> {
        let queued = self.queued();
        let too_many = queued >= self.config.messages;
        let too_large = queued > 0 && self.queued_bytes + job.size > self.config.bytes;
        if too_many || too_large {
            return Err(job);
        }
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.enqueue(ticket, job);
        Ok(ticket)
    }

    /// Queues a request again that [`Self::remove_target`] gave back: before newer
    /// ones, and whatever the limits say, because it was taken on once.
    pub(crate) fn resubmit(&mut self, ticket: Ticket, job: Job<T>) {
        debug_assert!(ticket.0 <= self.last_ticket && !self.jobs.contains_key(&ticket));
        self.enqueue(ticket, job);
    }

    /// The next request that can go out now, and where. It is in flight from then on.
    pub(crate) fn poll(&mut self) -> Option<(TargetId, Ticket, &Job<T>)> {
        let keyed = self.ready.first().copied();
        let unkeyed = self.unkeyed.first().copied();
        let unkeyed = unkeyed.filter(|_| !self.open.is_empty());
        let (target, ticket) = match (keyed, unkeyed) {
            (Some((keyed, target)), Some(unkeyed)) if keyed < unkeyed => (target, keyed),
            (Some((keyed, target)), None) => (target, keyed),
            (_, Some(unkeyed)) => (self.choose()?, unkeyed),
            (None, None) => return None,
        };
        self.hand_out(target, ticket);
        let entry = self.jobs.get(&ticket)?;
        Some((target, ticket, &entry.job))
    }

    /// Takes a request that its target answered. `None` where it is not in flight
    /// there: the answer is late, double, or not asked for.
    pub(crate) fn complete(&mut self, target: TargetId, ticket: Ticket) -> Option<Job<T>> {
        match self.jobs.get(&ticket)?.place {
            Place::InFlight { target: holder, .. } if holder == target => {
                self.take(ticket).map(|(_, job)| job)
            }
            _ => None,
        }
    }

    /// Takes a request off, and says where it was in flight, if it was.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> Option<(Option<TargetId>, Job<T>)> {
        self.take(ticket)
    }

    /// Takes the queued requests whose deadline has passed, the earliest first.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(Ticket, Job<T>)> {
        let mut expired = Vec::new();
        while let Some((instant, ticket)) = self.expiries.first().copied()
            && instant <= now
        {
            self.expiries.remove(&(instant, ticket));
            expired.extend(self.take(ticket).map(|(_, job)| (ticket, job)));
        }
        expired
    }

    /// Takes everything that is queued, the oldest first; what is in flight stays.
    pub(crate) fn drain_queued(&mut self) -> Vec<(Ticket, Job<T>)> {
        let queued = |(ticket, entry): (&Ticket, &Entry<T>)| {
            matches!(entry.place, Place::Queued).then_some(*ticket)
        };
        let mut tickets: Vec<Ticket> = self.jobs.iter().filter_map(queued).collect();
        tickets.sort_unstable();
        tickets
            .into_iter()
            .filter_map(|ticket| Some((ticket, self.take(ticket)?.1)))
            .collect()
    }

    /// The earliest deadline of what is queued.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(instant, _)| *instant)
    }

    /// A request that is queued or in flight.
    #[cfg(test)]
    pub(crate) fn job(&self, ticket: Ticket) -> Option<&Job<T>> {
        self.jobs.get(&ticket).map(|entry| &entry.job)
    }

    /// How many requests wait to be handed out.
    pub(crate) fn queued(&self) -> usize {
        self.queued_messages
    }

    /// How many octets wait to be handed out.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// How many requests a target has.
    pub(crate) fn in_flight(&self, id: TargetId) -> usize {
        self.targets
            .get(&id)
            .map_or(0, |target| target.in_flight.len())
    }

    /// Whether nothing is queued or in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

impl<T> Dispatch<T> {
    fn enqueue(&mut self, ticket: Ticket, job: Job<T>) {
        self.queued_messages += 1;
        self.queued_bytes += job.size;
        if let Some(expires) = job.expires {
            self.expiries.insert((expires, ticket));
        }
        let key = job.key.clone().map(|octets| self.key_slot(octets));
        let place = Place::Queued;
        self.jobs.insert(ticket, Entry { job, key, place });
        match key {
            Some(slot) => {
                self.keys[slot].queued.insert(ticket);
                self.relist(slot);
            }
            None => {
                self.unkeyed.insert(ticket);
            }
        }
    }

    fn choose(&mut self) -> Option<TargetId> {
        let targets = &self.targets;
        self.open.pick(|id| {
            targets
                .get(&id)
                .map_or(usize::MAX, |target| target.in_flight.len())
        })
    }

    fn hand_out(&mut self, id: TargetId, ticket: Ticket) {
        let (Some(entry), Some(target)) = (self.jobs.get_mut(&ticket), self.targets.get_mut(&id))
        else {
            return;
        };
        self.last_hand_out += 1;
        let hand_out = self.last_hand_out;
        entry.place = Place::InFlight {
            target: id,
            hand_out,
        };
        target.last_hand_out = hand_out;
        target.in_flight.insert(hand_out, ticket);
        let key = entry.key;
        let (expires, size) = (entry.job.expires, entry.job.size);
        self.leave_queue(ticket, key, expires, size);
        if let Some(slot) = key {
            let key = &mut self.keys[slot];
            key.in_flight += 1;
            key.holder = Some(id);
            self.relist(slot);
        }
        self.refresh(id);
    }

    fn leave_queue(
        &mut self,
        ticket: Ticket,
        key: Option<usize>,
        expires: Option<Instant>,
        size: usize,
    ) {
        self.queued_messages -= 1;
        self.queued_bytes -= size;
        if let Some(expires) = expires {
            self.expiries.remove(&(expires, ticket));
        }
        match key {
            Some(slot) => self.keys[slot].queued.remove(&ticket),
            None => self.unkeyed.remove(&ticket),
        };
    }

    /// Takes a request from wherever it is.
    fn take(&mut self, ticket: Ticket) -> Option<(Option<TargetId>, Job<T>)> {
        let Entry { job, key, place } = self.jobs.remove(&ticket)?;
        let holder = match place {
            Place::Queued => {
                self.leave_queue(ticket, key, job.expires, job.size);
                None
            }
            Place::InFlight {
                target: id,
                hand_out,
            } => {
                if let Some(target) = self.targets.get_mut(&id) {
                    target.in_flight.remove(&hand_out);
                }
                if let Some(slot) = key {
                    self.keys[slot].in_flight -= 1;
                }
                self.refresh(id);
                Some(id)
            }
        };
        if let Some(slot) = key {
            self.relist(slot);
        }
        Some((holder, job))
    }

    /// The place of a key's state, which is made where the key was idle.
    fn key_slot(&mut self, octets: Bytes) -> usize {
        if let Some(slot) = self.key_slots.get(&octets) {
            return *slot;
        }
        let hash = rendezvous::hash(&octets);
        let assigned = self.assign(hash);
        let slot = self.keys.insert(Key {
            octets: octets.clone(),
            hash,
            queued: BTreeSet::new(),
            in_flight: 0,
            holder: None,
            assigned,
            listed_at: None,
        });
        self.key_slots.insert(octets, slot);
        slot
    }

    /// The target whose own a key is: the highest score of those that take work.
    fn assign(&self, key: u64) -> Option<TargetId> {
        let working = self.targets.iter().filter(|(_, target)| !target.stopped);
        // The number decides between two targets of one name.
        let scored = working.map(|(id, target)| (rendezvous::score(key, target.hash), *id));
        scored.max().map(|(_, id)| id)
    }

    /// Brings every key's assignment up to date after a change of targets.
    fn reassign(&mut self) {
        let slots: Vec<usize> = self.keys.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.keys[slot].assigned = self.assign(self.keys[slot].hash);
            self.relist(slot);
        }
    }

    /// Lists a key with the target that could take its oldest request now, or
    /// with none; drops it where it has no request left.
    fn relist(&mut self, slot: usize) {
        let key = &self.keys[slot];
        let (listed_before, in_flight) = (key.listed_at, key.in_flight);
        let within_limit = in_flight < self.config.per_key_in_flight.max(1);
        let at_home = in_flight == 0 || key.holder == key.assigned;
        let listed_at = key.assigned.zip(key.queued.first().copied());
        let listed_at = listed_at.filter(|_| within_limit && at_home);
        let idle = in_flight == 0 && key.queued.is_empty();
        if idle {
            let key = self.keys.remove(slot);
            self.key_slots.remove(&key.octets);
        } else {
            self.keys[slot].listed_at = listed_at;
        }
        if listed_at == listed_before {
            return;
        }
        if let Some((id, ticket)) = listed_before {
            if let Some(target) = self.targets.get_mut(&id) {
                target.keys.remove(&(ticket, slot));
            }
            self.refresh(id);
        }
        if let Some((id, ticket)) = listed_at {
            if let Some(target) = self.targets.get_mut(&id) {
                target.keys.insert((ticket, slot));
            }
            self.refresh(id);
        }
    }

    /// Brings a target's entries in the lists of what can be handed out up to date.
    fn refresh(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else {
            return;
        };
        let has_room = target.has_room();
        let oldest = target.keys.first().map(|(ticket, _)| *ticket);
        let ready_at = oldest.filter(|_| has_room);
        if ready_at != target.ready_at {
            if let Some(ticket) = target.ready_at {
                self.ready.remove(&(ticket, id));
            }
            self.ready.extend(ready_at.map(|ticket| (ticket, id)));
            target.ready_at = ready_at;
        }
        let rank = Rank {
            in_flight: target.in_flight.len(),
            last_hand_out: target.last_hand_out,
        };
        let open_at = has_room.then_some(rank);
        if open_at != target.open_at {
            self.open.replace(id, target.open_at, open_at);
            target.open_at = open_at;
        }
    }
}
