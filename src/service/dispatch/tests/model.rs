//! Random runs against what must always hold; a seed that fails is in the message.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::service::dispatch::{Choice, Config, Dispatch, Job, TargetId, Ticket};

/// The world around the scheduler, with the naive truth about it.
struct Model {
    dispatch: Dispatch<u32>,
    random: u64,
    now: Instant,
    next_item: u32,
    next_target: u64,
    /// Live targets: credit, stopped, in flight in order.
    targets: BTreeMap<TargetId, (usize, bool, Vec<Ticket>)>,
    /// What is neither queued nor in flight any more.
    ended: HashSet<u32>,
    submitted: u32,
    /// The highest item of a key that was handed out for the first time.
    first_handed: HashMap<Bytes, u32>,
    handed_before: HashSet<u32>,
    per_key: usize,
}

impl Model {
    fn new(seed: u64) -> Self {
        let choices = [
            Choice::LeastOutstanding,
            Choice::RoundRobin,
            Choice::TwoRandomChoices(seed),
        ];
        let per_key = if seed.is_multiple_of(2) {
            usize::MAX
        } else {
            1
        };
        Self {
            dispatch: Dispatch::new(Config {
                messages: 60,
                bytes: 2_000,
                per_key_in_flight: per_key,
                choice: choices[seed as usize % 3],
            }),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Instant::now(),
            next_item: 0,
            next_target: 0,
            targets: BTreeMap::new(),
            ended: HashSet::new(),
            submitted: 0,
            first_handed: HashMap::new(),
            handed_before: HashSet::new(),
            per_key,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % limit
    }

    fn some_target(&mut self) -> Option<TargetId> {
        let ids: Vec<TargetId> = self.targets.keys().copied().collect();
        (!ids.is_empty()).then(|| ids[self.below(ids.len())])
    }

    fn step(&mut self) {
        match self.below(100) {
            0..45 => self.submit(),
            45..85 => self.complete(),
            85..88 => self.join(),
            88..90 => self.die(),
            90..91 => self.stop(),
            91..93 => self.change_credit(),
            93..96 => self.cancel(),
            _ => self.expire(),
        }
        self.poll();
        self.check();
    }

    fn submit(&mut self) {
        let key = match self.below(8) {
            number @ 0..5 => Some(Bytes::from(format!("key {number}"))),
            _ => None,
        };
        let expires = (self.below(4) == 0).then(|| self.now + Duration::from_millis(50));
        let job = Job {
            key,
            size: self.below(100),
            expires,
            item: self.next_item,
        };
        self.next_item += 1;
        if self.dispatch.submit(job).is_ok() {
            self.submitted += 1;
        }
    }

    fn complete(&mut self) {
        let Some(id) = self.some_target() else { return };
        let count = self.targets[&id].2.len();
        if count == 0 {
            return;
        }
        let position = self.below(count);
        let ticket = self.targets.get_mut(&id).expect("live").2.remove(position);
        let job = self.dispatch.complete(id, ticket).expect("in flight there");
        assert!(self.ended.insert(job.item), "ended twice");
        assert_eq!(self.dispatch.complete(id, ticket), None);
    }

    fn join(&mut self) {
        if self.targets.len() < 6 {
            self.next_target += 1;
            let id = TargetId(self.next_target);
            let credit = 1 + self.below(5);
            let name = format!("worker {}", id.0 % 9);
            self.dispatch.add_target(id, name.as_bytes(), credit);
            self.targets.insert(id, (credit, false, Vec::new()));
        }
    }

    fn die(&mut self) {
        let Some(id) = self.some_target() else { return };
        let (_, _, in_flight) = self.targets.remove(&id).expect("live");
        let orphans = self.dispatch.remove_target(id);
        let tickets: Vec<Ticket> = orphans.iter().map(|(ticket, _)| *ticket).collect();
        assert_eq!(tickets, in_flight);
        for (ticket, job) in orphans {
            // One in ten is not idempotent.
            if job.item % 10 == 0 {
                assert!(self.ended.insert(job.item), "ended twice");
            } else {
                self.dispatch.resubmit(ticket, job);
            }
        }
    }

    fn stop(&mut self) {
        if let Some(id) = self.some_target() {
            self.dispatch.stop_target(id);
            self.targets.get_mut(&id).expect("live").1 = true;
        }
    }

    fn change_credit(&mut self) {
        let credit = self.below(5);
        if let Some(id) = self.some_target() {
            self.dispatch.set_credit(id, credit);
            self.targets.get_mut(&id).expect("live").0 = credit;
        }
    }

    fn cancel(&mut self) {
        let last = self.dispatch.last_ticket as usize;
        let ticket = Ticket(self.below(last + 1) as u64);
        let Some((holder, job)) = self.dispatch.cancel(ticket) else {
            return;
        };
        assert!(self.ended.insert(job.item), "ended twice");
        if let Some(id) = holder {
            let in_flight = &mut self.targets.get_mut(&id).expect("live").2;
            in_flight.retain(|other| *other != ticket);
        }
    }

    fn expire(&mut self) {
        self.now += Duration::from_millis(20);
        for (_, job) in self.dispatch.expire(self.now) {
            assert!(self.ended.insert(job.item), "ended twice");
        }
    }

    fn poll(&mut self) {
        while let Some((id, ticket, job)) = self.dispatch.poll() {
            let job = job.clone();
            let (credit, stopped, in_flight) = self.targets.get_mut(&id).expect("live");
            assert!(!*stopped, "work for a target that stopped");
            in_flight.push(ticket);
            assert!(in_flight.len() <= *credit, "more than the credit");
            let Some(key) = job.key else { continue };
            if self.handed_before.insert(job.item) {
                let last = self.first_handed.insert(key, job.item);
                assert!(last < Some(job.item), "{last:?} before {}", job.item);
            }
        }
    }

    /// What holds whenever the scheduler has been drained.
    fn check(&self) {
        let mut holders: HashMap<Bytes, (TargetId, usize, Ticket)> = HashMap::new();
        for (id, (_, _, in_flight)) in &self.targets {
            assert_eq!(self.dispatch.in_flight(*id), in_flight.len());
            for ticket in in_flight {
                let job = self.dispatch.job(*ticket).expect("in flight");
                let Some(key) = job.key.clone() else { continue };
                let holder = holders.entry(key).or_insert((*id, 0, Ticket(0)));
                assert_eq!(holder.0, *id, "one key on two targets");
                assert!(
                    holder.2 < *ticket,
                    "handed out in another order than submitted"
                );
                holder.2 = *ticket;
                holder.1 += 1;
                assert!(holder.1 <= self.per_key, "too many of one key in flight");
            }
        }
        let in_flight: usize = self.targets.values().map(|(_, _, list)| list.len()).sum();
        let alive = self.dispatch.queued() + in_flight;
        assert_eq!(
            alive + self.ended.len(),
            self.submitted as usize,
            "one was lost"
        );
    }

    /// Lets everybody answer until nothing is left: what stays was stuck.
    fn finish(&mut self) {
        for id in self.targets.keys() {
            self.dispatch.set_credit(*id, 10);
        }
        self.targets.values_mut().for_each(|target| target.0 = 10);
        let id = TargetId(u64::MAX);
        self.dispatch.add_target(id, b"the last one", 10);
        self.targets.insert(id, (10, false, Vec::new()));
        self.poll();
        while self
            .targets
            .values()
            .any(|(_, _, in_flight)| !in_flight.is_empty())
        {
            self.complete();
            self.poll();
            self.check();
        }
        assert!(
            self.dispatch.is_empty(),
            "{} are stuck",
            self.dispatch.queued()
        );
        assert_eq!(self.ended.len(), self.submitted as usize);
        assert!(self.dispatch.keys.is_empty() && self.dispatch.expiries.is_empty());
        assert_eq!(self.dispatch.queued_bytes(), 0);
    }
}

#[test]
fn nothing_is_lost_doubled_misplaced_or_reordered_by_deaths_and_joins() {
    for seed in 1..=60 {
        let mut model = Model::new(seed);
        for _ in 0..800 {
            model.step();
        }
        assert!(model.ended.len() > 100, "seed {seed} did little");
        model.finish();
    }
}
