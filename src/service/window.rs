//! What an instance remembers of a client's requests, to know a repeat: pure.

mod recent;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::recent::Recent;
use crate::service::wire::{Codec, Status};

/// What an entry costs beside the octets of its answer.
const ENTRY: usize = 64;

/// The requests of one client handle that were answered lately.
///
/// That a request was answered is kept apart from how: large answers must not
/// push out the facts that keep what may not run twice from doing so.
#[derive(Debug, Default)]
pub(crate) struct Window {
    answered: Recent,
    answers: HashMap<u64, Answer>,
    /// Counter and time of each of the answers, the oldest first.
    order: VecDeque<(u64, Instant)>,
    octets: usize,
}

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Of the answers of one client handle.
    pub(crate) octets: usize,
    pub(crate) time: Duration,
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) codec: Codec,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

impl Window {
    /// Remembers that a request was answered, and how if an answer is given.
    pub(crate) fn remember(
        &mut self,
        counter: u64,
        answer: Option<&Answer>,
        memory: Memory,
        now: Instant,
    ) {
        self.answered.insert(counter);
        let answer = answer.filter(|answer| answer.cost() <= memory.octets);
        if let Some(answer) = answer
            && !self.answers.contains_key(&counter)
        {
            self.octets += answer.cost();
            self.answers.insert(counter, answer.detached());
            self.order.push_back((counter, now));
        }
        self.forget(memory, now);
    }

    /// The answer to a request: `None` if the request is not known, `Some(None)` if only the fact is.
    pub(crate) fn recall(&self, counter: u64) -> Option<Option<&Answer>> {
        match self.answers.get(&counter) {
            Some(answer) => Some(Some(answer)),
            None => self.answered.contains(counter).then_some(None),
        }
    }

    /// Forgets the answers that are too old or too much.
    pub(crate) fn forget(&mut self, memory: Memory, now: Instant) {
        while let Some((counter, at)) = self.order.front().copied() {
            let old = now.saturating_duration_since(at) >= memory.time;
            if !old && self.octets <= memory.octets {
                break;
            }
            self.order.pop_front();
            if let Some(answer) = self.answers.remove(&counter) {
                self.octets -= answer.cost();
            }
        }
    }

    /// What the answers in it cost.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }
}

impl Answer {
    /// An answer that is nothing but its status.
    pub(crate) fn status(status: Status) -> Self {
        Self {
            status,
            codec: Codec::RAW,
            headers: Bytes::new(),
            payload: Bytes::new(),
        }
    }

    /// An answer in memory of its own: a slice of a read buffer would keep all of the buffer.
    pub(crate) fn detached(&self) -> Self {
        Self {
            headers: Bytes::copy_from_slice(&self.headers),
            payload: Bytes::copy_from_slice(&self.payload),
            ..*self
        }
    }

    /// What it costs to remember it.
    pub(crate) fn cost(&self) -> usize {
        ENTRY + self.headers.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::{Answer, ENTRY, Memory, Window};
    use crate::service::wire::{Codec, Status};

    const MEMORY: Memory = Memory {
        octets: 3 * ENTRY,
        time: Duration::from_secs(30),
    };

    fn answer(size: usize) -> Answer {
        Answer {
            status: Status::OK,
            codec: Codec::RAW,
            headers: Bytes::new(),
            payload: vec![0; size].into(),
        }
    }

    #[test]
    fn an_answer_is_remembered_for_its_time() {
        let start = Instant::now();
        let mut window = Window::default();
        window.remember(1, Some(&answer(8)), MEMORY, start);
        window.remember(2, None, MEMORY, start);
        assert_eq!(window.recall(1), Some(Some(&answer(8))));
        assert_eq!(window.recall(2), Some(None));
        assert_eq!(window.recall(3), None);
        window.forget(MEMORY, start + Duration::from_secs(30));
        assert_eq!((window.recall(1), window.octets()), (Some(None), 0));
    }

    #[test]
    fn the_oldest_makes_room_and_the_bound_holds() {
        let now = Instant::now();
        let mut window = Window::default();
        for counter in 0..1_000 {
            window.remember(counter, Some(&answer(ENTRY / 2)), MEMORY, now);
            assert!(window.octets <= MEMORY.octets);
        }
        assert_eq!(window.answers.len(), 2);
        assert_eq!(window.order.len(), 2);
        assert!(window.recall(999).flatten().is_some());
        assert_eq!(window.recall(0), Some(None));
    }

    #[test]
    fn of_an_answer_over_the_bound_only_the_fact_is_kept() {
        let mut window = Window::default();
        window.remember(1, Some(&answer(10_000)), MEMORY, Instant::now());
        assert_eq!(window.recall(1), Some(None));
    }
}
