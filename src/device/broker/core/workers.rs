//! The workers that a broker knows, and the epochs that it will not hear again.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::service::dispatch::TargetId;

/// How many epochs stay fenced; beyond, the oldest is forgotten.
const FENCED: usize = 1 << 16;

/// All workers, by number, link and epoch.
#[derive(Debug, Default)]
pub(super) struct Workers {
    workers: BTreeMap<TargetId, Worker>,
    by_identity: HashMap<Bytes, TargetId>,
    by_epoch: HashMap<u64, TargetId>,
    fenced: HashSet<u64>,
    fenced_in_order: VecDeque<u64>,
    last_number: u64,
}

/// One life of a worker: another epoch is another worker.
#[derive(Debug)]
pub(super) struct Worker {
    /// By which the ROUTER knows its link.
    pub(super) identity: Bytes,
    pub(super) epoch: u64,
    pub(super) name: String,
    /// The slot of its service.
    pub(super) service: usize,
    pub(super) credit: usize,
    pub(super) last_heard: Instant,
    /// It said goodbye: it answers what it has, and is silent otherwise.
    pub(super) stopped: bool,
    /// Answers that were accepted from it.
    pub(super) handled: u64,
}

impl Workers {
    /// Adds a worker whose identity and epoch are not in use.
    pub(super) fn add(&mut self, worker: Worker) -> TargetId {
        self.last_number += 1;
        let id = TargetId(self.last_number);
        self.by_identity.insert(worker.identity.clone(), id);
        self.by_epoch.insert(worker.epoch, id);
        self.workers.insert(id, worker);
        id
    }

    /// Forgets a worker and fences its epoch.
    pub(super) fn remove(&mut self, id: TargetId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        self.by_identity.remove(&worker.identity);
        self.by_epoch.remove(&worker.epoch);
        if self.fenced.insert(worker.epoch) {
            self.fenced_in_order.push_back(worker.epoch);
        }
        if self.fenced_in_order.len() > FENCED
            && let Some(oldest) = self.fenced_in_order.pop_front()
        {
            self.fenced.remove(&oldest);
        }
        Some(worker)
    }

    pub(super) fn is_fenced(&self, epoch: u64) -> bool {
        self.fenced.contains(&epoch)
    }

    pub(super) fn by_identity(&self, identity: &Bytes) -> Option<TargetId> {
        self.by_identity.get(identity).copied()
    }

    pub(super) fn by_epoch(&self, epoch: u64) -> Option<TargetId> {
        self.by_epoch.get(&epoch).copied()
    }

    pub(super) fn get(&self, id: TargetId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TargetId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// The workers of which nothing was heard for `silence`.
    pub(super) fn silent(&self, silence: Duration, now: Instant) -> Vec<TargetId> {
        let silent = |(id, worker): (&TargetId, &Worker)| {
            let quiet = now.saturating_duration_since(worker.last_heard);
            (quiet >= silence).then_some(*id)
        };
        self.workers.iter().filter_map(silent).collect()
    }

    /// In the order of their registration.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TargetId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }
}
