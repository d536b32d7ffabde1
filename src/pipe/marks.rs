//! Which messages of a queue have a time to live or a receipt: a table beside it, for those alone.

use std::collections::VecDeque;
use std::time::Instant;

use super::receipt::{Fate, Slip};

/// What a message has beside itself.
pub(crate) struct Mark {
    /// When it is given up if it is still in the queue.
    pub(crate) expires: Option<Instant>,
    pub(crate) slip: Option<Slip>,
}

/// The marks of a queue, in its order. Where no message has one there is no table, and each
/// operation looks for it in vain.
#[derive(Default)]
pub(super) struct Marks(Option<Box<Table>>);

impl Marks {
    /// Whether a message in the queue may expire.
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.earliest().is_some()
    }

    /// Before this nothing expires.
    #[inline]
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.0.as_ref()?.earliest
    }

    /// Marks the message at this place behind the first; those before have theirs.
    pub(super) fn mark(&mut self, place: usize, mark: Mark) {
        self.0.get_or_insert_default().mark(place, mark);
    }

    /// So many messages have left at the front.
    #[inline]
    pub(super) fn pass(&mut self, messages: usize) {
        if let Some(table) = &mut self.0 {
            table.pass(messages);
        }
    }

    /// A message without a mark was taken out at this place.
    pub(super) fn take_back(&mut self, place: usize) {
        if let Some(table) = &mut self.0 {
            table.take_back(place);
        }
    }

    /// The messages of `later` stand behind the `messages` of this queue.
    pub(super) fn append(&mut self, messages: usize, later: Self) {
        if let Some(later) = later.0 {
            self.0.get_or_insert_default().append(messages, *later);
        }
    }

    /// Takes out the marks of messages whose time has passed, except of the
    /// first `kept`. Returns the places where they are to be taken out, ascending.
    pub(super) fn expire(&mut self, now: Instant, kept: usize) -> Vec<usize> {
        let table = self.0.as_mut();
        table.map_or_else(Vec::new, |table| table.expire(now, kept))
    }

    /// Whether none has left of which that is still to be said.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.0.as_ref().is_none_or(|table| table.passed.is_empty())
    }

    /// Says what became of the messages that have left; the socket's lock is not held.
    #[inline]
    pub(super) fn settle(&mut self, fate: Fate) {
        let passed = self.0.iter_mut().flat_map(|table| table.passed.drain(..));
        passed.for_each(|slip| slip.end(fate));
    }

    /// As [`settle`](Self::settle), under the socket's lock.
    pub(super) fn settle_locked(&mut self, fate: Fate) {
        let passed = self.0.iter_mut().flat_map(|table| table.passed.drain(..));
        passed.for_each(|slip| slip.end_locked(fate));
    }
}

#[derive(Default)]
struct Table {
    /// The number of the first message in the queue.
    first: u64,
    /// By the number of the message, ascending.
    entries: VecDeque<(u64, Mark)>,
    /// Nothing expires before. `None`: nothing expires at all.
    earliest: Option<Instant>,
    /// The marks of messages that have left, until it is said what became of them.
    passed: Vec<Slip>,
}

impl Table {
    fn mark(&mut self, place: usize, mark: Mark) {
        self.notice(mark.expires);
        self.entries.push_back((self.first + place as u64, mark));
    }

    fn notice(&mut self, expires: Option<Instant>) {
        self.earliest = match (self.earliest, expires) {
            (Some(earliest), Some(expires)) => Some(earliest.min(expires)),
            (earliest, expires) => earliest.or(expires),
        };
    }

    fn pass(&mut self, messages: usize) {
        self.first += messages as u64;
        if !self.entries.is_empty() {
            self.pass_marks();
        }
    }

    fn pass_marks(&mut self) {
        while let Some((_, mark)) = self
            .entries
            .pop_front_if(|(number, _)| *number < self.first)
        {
            self.passed.extend(mark.slip);
        }
        if self.entries.is_empty() {
            self.earliest = None;
        }
    }

    fn take_back(&mut self, place: usize) {
        let place = self.first + place as u64;
        for (number, _) in self.entries.iter_mut().rev() {
            if *number < place {
                return;
            }
            *number -= 1;
        }
    }

    fn append(&mut self, messages: usize, later: Self) {
        self.notice(later.earliest);
        let behind = self.first + messages as u64;
        let entries = later.entries.into_iter();
        self.entries
            .extend(entries.map(|(number, mark)| (behind + (number - later.first), mark)));
        self.passed.extend(later.passed);
    }

    fn expire(&mut self, now: Instant, kept: usize) -> Vec<usize> {
        let mut expired = Vec::new();
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return expired;
        }
        self.earliest = None;
        let kept = self.first + kept as u64;
        for (number, mut mark) in std::mem::take(&mut self.entries) {
            let is_over = mark.expires.is_some_and(|expires| expires <= now);
            if is_over && number >= kept {
                expired.push(usize::try_from(number - self.first).expect("a place in the queue"));
                self.passed.extend(mark.slip);
                continue;
            }
            if is_over {
                // It is begun: what is begun is finished.
                mark.expires = None;
            }
            self.notice(mark.expires);
            self.entries
                .push_back((number - expired.len() as u64, mark));
        }
        expired
    }
}
