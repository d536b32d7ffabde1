//! The ledger against simulated workers that die, are replaced, fail and answer late.

use std::collections::{BTreeSet, VecDeque};

use crate::books::ledger::{Ledger, Order, Push};
use crate::books::readings::tests::{naive_counts, real_day};
use crate::books::readings::{Random, Readings};
use crate::station::{Answer, Stations, UnknownState};

/// What goes on between the collector and its workers: for each station a line
/// of requests, which one worker at a time takes in order.
struct World<'a> {
    ledger: Ledger<'a, usize>,
    random: Random,
    lines: Vec<VecDeque<Request>>,
    owners: Vec<usize>,
    workers: Vec<Stations>,
    names: &'a [String],
    next_id: usize,
    seen: BTreeSet<(usize, usize)>,
    duplicates: usize,
}

struct Request {
    id: usize,
    push: Push,
    /// `None` until its worker has taken it, and again when that worker dies
    /// before the answer arrived.
    end: Option<Result<Answer, UnknownState>>,
}

impl<'a> World<'a> {
    const WORKERS: usize = 3;

    fn new(readings: &'a Readings, seed: u64) -> Self {
        let names = readings.stations();
        Self {
            ledger: Ledger::new(readings),
            random: Random(seed),
            lines: names.iter().map(|_| VecDeque::new()).collect(),
            owners: (0..names.len())
                .map(|station| station % Self::WORKERS)
                .collect(),
            workers: (0..Self::WORKERS).map(|_| Stations::default()).collect(),
            names,
            next_id: 0,
            seen: BTreeSet::new(),
            duplicates: 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as i64) as usize
    }

    fn push(&mut self) {
        let outstanding: usize = self.lines.iter().map(VecDeque::len).sum();
        if outstanding < 64
            && let Some(push) = self.ledger.next_push()
        {
            let id = self.next_id;
            self.next_id += 1;
            self.ledger.pushed(push, id);
            self.lines[push.station].push_back(Request {
                id,
                push,
                end: None,
            });
        }
    }

    /// The station's worker takes the next request of its line.
    fn work(&mut self, station: usize) {
        let worker = self.owners[station];
        let Some(request) = self.lines[station].iter_mut().find(|r| r.end.is_none()) else {
            return;
        };
        let (stations, name) = (&mut self.workers[worker], &self.names[station]);
        let change = match request.push.order {
            Order::Read => stations.read(name, request.push.reading),
            Order::Restore => {
                stations.restore(name, request.push.reading);
                Ok(0)
            }
        };
        request.end = Some(change.map(|change| Answer { worker, change }));
    }

    /// The first answer of the line arrives at the collector.
    fn deliver(&mut self, station: usize) {
        if self.lines[station].front().is_some_and(|r| r.end.is_some())
            && let Some(request) = self.lines[station].pop_front()
            && let Some(end) = request.end
        {
            self.end(request.id, end);
        }
    }

    fn end(&mut self, id: usize, end: Result<Answer, UnknownState>) {
        let Ok(answer) = end else {
            return self.ledger.unanswered(&id);
        };
        if let Some(accepted) = self.ledger.answered(&id, answer) {
            let place = (accepted.station, accepted.reading.sequence);
            self.duplicates += usize::from(!self.seen.insert(place));
        }
    }

    /// A worker dies with all it knew; what it had in flight goes to others.
    fn kill(&mut self, worker: usize) {
        self.workers[worker] = Stations::default();
        for station in 0..self.names.len() {
            if self.owners[station] == worker {
                self.owners[station] = self.below(Self::WORKERS);
                for request in &mut self.lines[station] {
                    request.end = None;
                }
            }
        }
    }

    /// A key without anything in flight moves, as it does when a worker joins or comes back.
    fn move_station(&mut self, station: usize) {
        if self.lines[station].is_empty() {
            self.owners[station] = self.below(Self::WORKERS);
        }
    }

    /// A request ends without an answer, whether it was handled or not.
    fn fail(&mut self, station: usize) {
        let length = self.lines[station].len();
        if length > 0 {
            let place = self.below(length);
            if let Some(request) = self.lines[station].remove(place) {
                self.ledger.unanswered(&request.id);
            }
        }
    }

    /// An answer overtakes those before it.
    fn overtake(&mut self, station: usize) {
        if let Some(request) = self.lines[station].pop_back() {
            match request.end {
                Some(end) => self.end(request.id, end),
                None => self.lines[station].push_back(request),
            }
        }
    }

    fn run(&mut self, trouble: impl Fn(&mut Self, usize)) {
        while !self.ledger.is_done() {
            let station = self.below(self.names.len());
            match self.below(8) {
                0..=3 => self.push(),
                4 | 5 => self.work(station),
                6 => self.deliver(station),
                _ => trouble(self, station),
            }
        }
    }

    fn assert_counts(&self, readings: &Readings) {
        let (all, changes, empty) = naive_counts(readings);
        let tally = self.ledger.tally();
        assert_eq!((tally.changes, tally.empty), (changes, empty));
        assert_eq!((self.ledger.lost(), self.duplicates), (0, 0));
        assert_eq!(tally.handled.values().sum::<usize>(), all);
        assert_eq!(self.seen.len(), all);
    }
}

/// A short day with many changes to 0.
fn day(seed: u64) -> Readings {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let mut random = Random(seed);
    let values: Vec<_> = (0..5 * 60).map(|_| random.below(4)).collect();
    Readings::of(&NAMES, &values)
}

#[test]
fn kills_at_any_time_change_no_count_and_no_order() {
    let mut restored = 0;
    for seed in 0..200 {
        let readings = day(seed);
        let mut world = World::new(&readings, seed);
        world.run(|world, station| match world.below(20) {
            0 => {
                let worker = world.below(World::WORKERS);
                world.kill(worker);
            }
            _ => world.move_station(station),
        });
        world.assert_counts(&readings);
        assert_eq!(world.ledger.tally().out_of_order, 0);
        restored += world.ledger.tally().restored;
    }
    assert!(
        restored > 1_000,
        "the kills must have cost something: {restored}"
    );
}

#[test]
fn failures_and_answers_out_of_order_change_no_count() {
    let (mut out_of_order, mut repeats) = (0, 0);
    for seed in 0..200 {
        let readings = day(seed);
        let mut world = World::new(&readings, seed);
        world.run(|world, station| match world.below(20) {
            0 => {
                let worker = world.below(World::WORKERS);
                world.kill(worker);
            }
            1..=4 => world.fail(station),
            5..=8 => world.overtake(station),
            _ => world.move_station(station),
        });
        world.assert_counts(&readings);
        out_of_order += world.ledger.tally().out_of_order;
        repeats += world.ledger.tally().repeats;
    }
    assert!(out_of_order > 0 && repeats > 0, "{out_of_order} {repeats}");
}

#[test]
fn the_real_day_survives_kills() {
    let Some(readings) = real_day() else { return };
    let mut world = World::new(&readings, 2015);
    world.run(|world, station| match world.below(500) {
        0 => {
            let worker = world.below(World::WORKERS);
            world.kill(worker);
        }
        _ => world.deliver(station),
    });
    world.assert_counts(&readings);
    assert_eq!(world.ledger.tally().changes, 22_514);
    assert_eq!(world.ledger.tally().empty, 3_229);
    assert_eq!(world.ledger.tally().out_of_order, 0);
}
