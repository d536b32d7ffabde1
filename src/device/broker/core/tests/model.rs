//! Random runs: every request ends once, whatever becomes of the workers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::{Bench, Envelope, SECOND, answer, from_client, hello, idempotent, request};
use crate::service::wire::{Kind, Status};

const LINKS: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: [&str; 3] = ["k", "l", "m"];

/// The world around the broker, with the naive truth about it.
struct Model {
    bench: Bench,
    random: u64,
    /// Live workers by link: epoch, credit, whether they said goodbye, what they have.
    workers: BTreeMap<&'static str, Worker>,
    /// What workers had that are gone, under their epochs: they may still answer.
    ghosts: Vec<(&'static str, Envelope)>,
    last_epoch: u64,
    last_counter: u64,
    last_sequence: u64,
    outstanding: HashSet<u64>,
    /// Requests that are not idempotent, by how often a worker may have run them.
    runs: HashMap<u64, u32>,
}

struct Worker {
    epoch: u64,
    credit: usize,
    stopped: bool,
    has: Vec<Envelope>,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            bench: Bench::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            workers: BTreeMap::new(),
            ghosts: Vec::new(),
            last_epoch: 0,
            last_counter: 0,
            last_sequence: 0,
            outstanding: HashSet::new(),
            runs: HashMap::new(),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as usize % limit
    }

    fn some_link(&mut self) -> Option<&'static str> {
        let links: Vec<&'static str> = self.workers.keys().copied().collect();
        (!links.is_empty()).then(|| links[self.below(links.len())])
    }

    fn step(&mut self) {
        match self.below(100) {
            0..40 => self.request(),
            40..80 => self.answer(),
            80..85 => self.join(),
            85..88 => self.die(),
            88..90 => self.stop(),
            90..93 => self.cancel(),
            93..95 => self.haunt(),
            _ => self.pass(),
        }
        self.read();
    }

    fn request(&mut self) {
        self.last_counter += 1;
        let counter = self.last_counter;
        let mut asked = match self.below(6) {
            number @ 0..3 => idempotent(counter, KEYS[number]),
            3 => idempotent(counter, ""),
            _ => request(counter),
        };
        if self.below(4) == 0 {
            asked.control.time_left = Some(Duration::from_millis(500));
        }
        self.outstanding.insert(counter);
        let repeated = self.below(10) == 0;
        self.bench.front(asked.clone());
        self.read();
        if repeated && self.outstanding.contains(&counter) {
            self.bench.front(asked);
        }
    }

    fn answer(&mut self) {
        let Some(link) = self.some_link() else { return };
        let worker = &self.workers[link];
        let (count, epoch, stopped) = (worker.has.len(), worker.epoch, worker.stopped);
        if count == 0 {
            return;
        }
        let place = self.below(count);
        let counter = self.workers.get_mut(link).expect("live").has.remove(place);
        let counter = counter.control.id.counter;
        let mut said = answer(Kind::Response, counter, epoch);
        if stopped && self.below(2) == 0 {
            said.control.kind = Kind::Error;
            said.control.status = Status::STOPPING;
            self.runs.remove(&counter);
        }
        self.bench.back(link, said);
        self.let_go();
    }

    fn join(&mut self) {
        let link = LINKS[self.below(4)];
        if self.workers.contains_key(link) {
            return;
        }
        self.last_epoch += 1;
        let worker = Worker {
            epoch: self.last_epoch,
            credit: 1 + self.below(3),
            stopped: false,
            has: Vec::new(),
        };
        self.bench
            .back(link, hello(worker.epoch, worker.credit as u32));
        self.workers.insert(link, worker);
    }

    fn die(&mut self) {
        let Some(link) = self.some_link() else { return };
        self.bench.core.disconnected(&link.into(), self.bench.now);
        let worker = self.workers.remove(link).expect("live");
        self.ghosts
            .extend(worker.has.into_iter().map(|had| (link, had)));
    }

    /// Somebody who was lost answers all the same.
    fn haunt(&mut self) {
        let Some((link, had)) = self.ghosts.pop() else {
            return;
        };
        let late = answer(Kind::Response, had.control.id.counter, had.control.epoch);
        self.bench.back(link, late);
    }

    fn stop(&mut self) {
        let Some(link) = self.some_link() else { return };
        let worker = self.workers.get_mut(link).expect("live");
        worker.stopped = true;
        let mut goodbye = hello(worker.epoch, 0);
        goodbye.control.kind = Kind::Goodbye;
        self.bench.back(link, goodbye);
        self.let_go();
    }

    /// Whoever said goodbye and has nothing left goes.
    fn let_go(&mut self) {
        self.workers
            .retain(|_, worker| !worker.stopped || !worker.has.is_empty());
    }

    fn cancel(&mut self) {
        let counter = self.last_counter.saturating_sub(self.below(8) as u64);
        self.bench.front(from_client(Kind::Cancel, counter));
        self.outstanding.remove(&counter);
        for worker in self.workers.values_mut() {
            worker.has.retain(|had| had.control.id.counter != counter);
        }
        self.let_go();
    }

    fn pass(&mut self) {
        self.bench.wait(SECOND / 3);
        self.beat();
    }

    fn beat(&mut self) {
        for (link, worker) in &self.workers {
            let mut sign = hello(worker.epoch, worker.credit as u32);
            if worker.stopped {
                sign.control.kind = Kind::Goodbye;
            }
            self.bench.back(link, sign);
        }
    }

    /// Takes what the broker said, and checks it.
    fn read(&mut self) {
        for (link, said) in self.bench.envelopes() {
            let counter = said.control.id.counter;
            match (link, said.control.kind) {
                (Some(link), Kind::Request) => {
                    if !said.control.flags.idempotent {
                        let runs = self.runs.entry(counter).or_insert(0);
                        *runs += 1;
                        assert_eq!(*runs, 1, "{counter} ran twice");
                    }
                    let worker = self.workers.get_mut(link).expect("a live worker");
                    assert!(!worker.stopped, "work for a worker that said goodbye");
                    assert_eq!(said.control.epoch, worker.epoch);
                    worker.has.push(said);
                    assert!(worker.has.len() <= worker.credit, "more than the credit");
                }
                (None, Kind::Response | Kind::Error) => {
                    self.last_sequence += 1;
                    assert_eq!(said.control.sequence, self.last_sequence);
                    assert!(self.outstanding.remove(&counter), "{counter} ended twice");
                }
                _ => {}
            }
        }
        self.check_keys();
    }

    fn check_keys(&self) {
        let mut holders = HashMap::new();
        for (link, worker) in &self.workers {
            for had in &worker.has {
                if let Some(key) = had.control.key.some() {
                    let holder = holders.entry(key.clone()).or_insert(link);
                    assert_eq!(holder, &link, "one key on two workers");
                }
            }
        }
    }

    /// Lets everybody answer until nothing is left.
    fn finish(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "{:?} never ended", self.outstanding);
            if self.outstanding.is_empty() {
                break;
            }
            self.join();
            self.answer();
            self.pass();
            self.read();
        }
        assert!(self.bench.core.is_idle());
        let stats = self.bench.core.stats();
        let refused = stats.refused;
        // Of what was taken on, those ended by the broker ended in one of these.
        assert!(
            stats.accepted
                <= stats.answered
                    + stats.cancelled
                    + refused.expired
                    + refused.worker_lost
                    + refused.deadline_passed
        );
    }
}

#[test]
fn every_request_ends_once_whatever_becomes_of_the_workers() {
    for seed in 1..=60 {
        let mut model = Model::new(seed);
        for _ in 0..600 {
            model.step();
        }
        assert!(model.last_sequence > 50, "seed {seed} did little");
        model.finish();
    }
}
