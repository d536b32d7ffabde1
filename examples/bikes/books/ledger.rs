//! The collector's books: what was pushed, what was answered, and what must be pushed again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

use crate::books::readings::Readings;
use crate::station::{self, Answer, Reading};

/// How often a station is pushed again without one answer in between, before
/// it is given up and what is left of it is lost.
const FRUITLESS_RECOVERIES: u32 = 100;

/// What to push next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Push {
    pub(crate) order: Order,
    /// Which station of the file.
    pub(crate) station: usize,
    pub(crate) reading: Reading,
    /// The recovery of the station that it belongs to; what belongs to an
    /// earlier one is superseded.
    recovery: u32,
}

/// What a worker is asked to do with a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Answer it.
    Read,
    /// Take it as answered: the next one goes on from here.
    Restore,
}

impl Order {
    /// The method that is called for it.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Read => station::READ,
            Self::Restore => station::RESTORE,
        }
    }
}

/// A reading whose answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) station: usize,
    pub(crate) reading: Reading,
    pub(crate) change: i64,
}

impl Accepted {
    /// The station has no bike any more: a change to 0.
    pub(crate) fn is_to_empty(&self) -> bool {
        self.change != 0 && self.reading.value == 0
    }
}

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) changes: usize,
    /// Changes to 0.
    pub(crate) empty: usize,
    /// Answers discarded, because the reading had one already.
    pub(crate) repeats: usize,
    /// Answers accepted after that of a later reading of the same station.
    pub(crate) out_of_order: usize,
    /// Times a station was restored at a worker that did not know it.
    pub(crate) restored: usize,
    /// Answers accepted from each worker.
    pub(crate) handled: BTreeMap<usize, usize>,
}

/// The pushes of one run, by the id that the client gave them.
///
/// Each station is a line of readings, pushed from the left and answered from
/// the left, whoever answers:
///
/// ```text
///   0 ── answered ── open ───── pushed ───── pushed ───── of the file, not pushed yet
///                └─ restored ─┘└──── pushed again ────┘
/// ```
///
/// When a worker does not know the station, or a push ends without an answer,
/// the station is recovered: the last reading before the open one is restored
/// and all from the open one on are pushed again, under new ids and before
/// anything new. What the pushes before the recovery still bring is
/// taken where it is an answer and ignored where it is none.
#[derive(Debug)]
pub(crate) struct Ledger<'a, Id> {
    readings: &'a Readings,
    /// How many readings of the file were pushed, in its order.
    pushed: usize,
    /// Readings that may still be answered, of stations that were not given up.
    open: usize,
    again: VecDeque<Push>,
    outstanding: HashMap<Id, Push>,
    stations: Vec<Station>,
    tally: Tally,
}

#[derive(Clone, Debug, Default)]
struct Station {
    /// Its readings below were pushed at least once.
    pushed: usize,
    /// Its readings below were answered.
    open: usize,
    /// Those answered beyond the open one.
    ahead: BTreeSet<usize>,
    recovery: u32,
    fruitless: u32,
    given_up: bool,
}

impl<'a, Id: Eq + Hash> Ledger<'a, Id> {
    pub(crate) fn new(readings: &'a Readings) -> Self {
        Self {
            readings,
            pushed: 0,
            open: readings.len(),
            again: VecDeque::new(),
            outstanding: HashMap::new(),
            stations: vec![Station::default(); readings.stations().len()],
            tally: Tally::default(),
        }
    }

    /// What to push next, or `None` until an answer changes that.
    ///
    /// The same again until it is [`pushed`](Self::pushed) or no longer needed.
    pub(crate) fn next_push(&mut self) -> Option<Push> {
        while let Some(push) = self.again.front() {
            if !self.stations[push.station].supersedes(push) {
                return Some(*push);
            }
            self.again.pop_front();
        }
        while self.pushed < self.readings.len() {
            let (station, sequence) = self.readings.place(self.pushed);
            if !self.stations[station].given_up {
                return Some(self.push(Order::Read, station, sequence));
            }
            self.pushed += 1;
        }
        None
    }

    /// Notes that what [`next_push`](Self::next_push) returned was pushed, and under which id.
    pub(crate) fn pushed(&mut self, push: Push, id: Id) {
        if self.again.front() == Some(&push) {
            self.again.pop_front();
        } else {
            self.pushed += 1;
            self.stations[push.station].pushed = push.reading.sequence + 1;
        }
        self.outstanding.insert(id, push);
    }

    /// Notes the answer to a push. Returns the reading where the answer counts.
    pub(crate) fn answered(&mut self, id: &Id, answer: Answer) -> Option<Accepted> {
        let Some(push) = self.outstanding.remove(id) else {
            self.tally.repeats += 1;
            return None;
        };
        let station = &mut self.stations[push.station];
        if push.order == Order::Restore {
            self.tally.restored += 1;
            return None;
        }
        if !station.note(push.reading.sequence, &mut self.tally) {
            return None;
        }
        if !station.given_up {
            self.open -= 1;
        }
        *self.tally.handled.entry(answer.worker).or_default() += 1;
        let accepted = Accepted {
            station: push.station,
            reading: push.reading,
            change: answer.change,
        };
        self.tally.changes += usize::from(accepted.change != 0);
        self.tally.empty += usize::from(accepted.is_to_empty());
        Some(accepted)
    }

    /// Notes that a push has no answer: its worker does not know the station
    /// so far, or it failed on the way.
    pub(crate) fn unanswered(&mut self, id: &Id) {
        let Some(push) = self.outstanding.remove(id) else {
            return;
        };
        let station = &mut self.stations[push.station];
        if station.supersedes(&push) || station.open == station.pushed {
            return;
        }
        station.recovery += 1;
        station.fruitless += 1;
        if station.fruitless > FRUITLESS_RECOVERIES {
            station.given_up = true;
            self.open -= self.readings.rows() - station.open - station.ahead.len();
            return;
        }
        let (open, pushed) = (station.open, station.pushed);
        if let Some(last) = open.checked_sub(1) {
            let restore = self.push(Order::Restore, push.station, last);
            self.again.push_back(restore);
        }
        // Those ahead of the open one too: a worker must not see a gap.
        for sequence in open..pushed {
            let read = self.push(Order::Read, push.station, sequence);
            self.again.push_back(read);
        }
    }

    /// How many readings of the file were pushed; repetitions do not count.
    pub(crate) fn readings_pushed(&self) -> usize {
        self.pushed
    }

    /// Nothing is left to push or to wait for.
    pub(crate) fn is_done(&self) -> bool {
        self.open == 0
    }

    /// How many readings were never answered.
    pub(crate) fn lost(&self) -> usize {
        self.readings.len() - self.tally.handled.values().sum::<usize>()
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    fn push(&self, order: Order, station: usize, sequence: usize) -> Push {
        let value = self.readings.value(station, sequence);
        Push {
            order,
            station,
            reading: Reading { sequence, value },
            recovery: self.stations[station].recovery,
        }
    }
}

impl Station {
    fn supersedes(&self, push: &Push) -> bool {
        self.given_up || push.recovery != self.recovery
    }

    /// Notes that a reading was answered; false where it was before.
    fn note(&mut self, sequence: usize, tally: &mut Tally) -> bool {
        if sequence < self.open || self.ahead.contains(&sequence) {
            tally.repeats += 1;
            return false;
        }
        if self.ahead.last().is_some_and(|&last| sequence < last) {
            tally.out_of_order += 1;
        }
        self.ahead.insert(sequence);
        while self.ahead.remove(&self.open) {
            self.open += 1;
        }
        self.fruitless = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two stations, three rows: a goes 5 6 0, b stays 0.
    fn readings() -> Readings {
        Readings::of(&["a", "b"], &[5, 0, 6, 0, 0, 0])
    }

    /// Pushes all that there is to push now, with ids that count on from `first`.
    fn push_all(ledger: &mut Ledger<'_, u32>, first: u32) -> Vec<(Order, usize, usize)> {
        let mut pushes = Vec::new();
        for id in first.. {
            let Some(push) = ledger.next_push() else {
                break;
            };
            ledger.pushed(push, id);
            pushes.push((push.order, push.station, push.reading.sequence));
        }
        pushes
    }

    fn answer(change: i64) -> Answer {
        Answer { worker: 1, change }
    }

    #[test]
    fn readings_are_pushed_in_file_order_and_counted_as_they_are_answered() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        let pushes = push_all(&mut ledger, 0);
        let places: Vec<_> = pushes
            .iter()
            .map(|&(_, station, row)| (row, station))
            .collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
        assert_eq!(ledger.readings_pushed(), 6);
        for (id, change) in (0..).zip([0, 0, 1, 0, -6, 0]) {
            assert!(!ledger.is_done());
            assert_eq!(
                ledger.answered(&id, answer(change)).map(|a| a.change),
                Some(change)
            );
        }
        assert!(ledger.is_done());
        assert_eq!((ledger.tally().changes, ledger.tally().empty), (2, 1));
        assert_eq!(ledger.tally().handled, BTreeMap::from([(1, 6)]));
        assert_eq!(ledger.lost(), 0);
    }

    #[test]
    fn what_was_not_pushed_is_next_again() {
        let readings = readings();
        let mut ledger = Ledger::<u32>::new(&readings);
        assert_eq!(ledger.next_push(), ledger.next_push());
        assert_eq!(ledger.readings_pushed(), 0);
    }

    #[test]
    fn an_unknown_station_is_restored_once_and_its_open_readings_pushed_again_in_order() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        push_all(&mut ledger, 0);
        ledger.answered(&0, answer(0));
        ledger.unanswered(&2);
        ledger.unanswered(&4);
        assert_eq!(
            push_all(&mut ledger, 10),
            [
                (Order::Restore, 0, 0),
                (Order::Read, 0, 1),
                (Order::Read, 0, 2)
            ]
        );
        assert_eq!(ledger.answered(&10, answer(0)), None);
        assert!(ledger.answered(&11, answer(1)).is_some());
        assert!(ledger.answered(&12, answer(-6)).is_some());
        assert_eq!(ledger.tally().restored, 1);
        assert_eq!(ledger.tally().handled[&1], 3);
    }

    #[test]
    fn a_station_without_an_answer_has_nothing_to_restore() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        push_all(&mut ledger, 0);
        ledger.unanswered(&2);
        assert_eq!(
            push_all(&mut ledger, 10),
            [
                (Order::Read, 0, 0),
                (Order::Read, 0, 1),
                (Order::Read, 0, 2)
            ]
        );
    }

    #[test]
    fn a_late_answer_counts_once() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        push_all(&mut ledger, 0);
        ledger.answered(&0, answer(0));
        ledger.unanswered(&4);
        push_all(&mut ledger, 10);
        assert!(ledger.answered(&2, answer(1)).is_some());
        assert_eq!(ledger.answered(&11, answer(1)), None);
        assert_eq!(ledger.tally().repeats, 1);
        assert_eq!(ledger.tally().changes, 1);
        assert_eq!(ledger.answered(&11, answer(1)), None);
        assert_eq!(ledger.tally().repeats, 2);
    }

    #[test]
    fn a_recovery_that_fails_is_begun_again_and_what_is_left_of_it_is_not_pushed() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        push_all(&mut ledger, 0);
        ledger.answered(&0, answer(0));
        ledger.unanswered(&2);
        let restore = ledger.next_push().unwrap();
        ledger.pushed(restore, 10);
        ledger.unanswered(&10);
        assert_eq!(
            push_all(&mut ledger, 20),
            [
                (Order::Restore, 0, 0),
                (Order::Read, 0, 1),
                (Order::Read, 0, 2)
            ]
        );
    }

    #[test]
    fn recovered_readings_go_before_new_ones() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        for id in 0..3 {
            let push = ledger.next_push().unwrap();
            ledger.pushed(push, id);
        }
        ledger.answered(&0, answer(0));
        ledger.unanswered(&2);
        assert_eq!(
            push_all(&mut ledger, 10),
            [
                (Order::Restore, 0, 0),
                (Order::Read, 0, 1),
                (Order::Read, 1, 1),
                (Order::Read, 0, 2),
                (Order::Read, 1, 2),
            ]
        );
    }

    #[test]
    fn an_answer_before_its_elder_is_counted_and_leaves_no_gap_for_a_recovery() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        push_all(&mut ledger, 0);
        ledger.answered(&2, answer(1));
        ledger.unanswered(&0);
        assert_eq!(push_all(&mut ledger, 10).len(), 3);
        ledger.answered(&10, answer(0));
        assert_eq!(ledger.tally().out_of_order, 1);
        ledger.answered(&11, answer(1));
        assert_eq!(ledger.tally().repeats, 1);
    }

    #[test]
    fn a_station_that_nobody_answers_is_given_up_and_the_rest_goes_on() {
        let readings = readings();
        let mut ledger = Ledger::new(&readings);
        let (mut id, mut recoveries) = (0, 0);
        while let Some(push) = ledger.next_push() {
            ledger.pushed(push, id);
            if push.station == 0 {
                ledger.unanswered(&id);
                recoveries += 1;
            } else {
                ledger.answered(&id, answer(0));
            }
            id += 1;
        }
        assert!(ledger.is_done());
        assert_eq!(recoveries, FRUITLESS_RECOVERIES + 1);
        assert_eq!(ledger.lost(), 3);
        assert_eq!(ledger.tally().handled[&1], 3);
    }
}
