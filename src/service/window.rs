//! What an instance remembers of a client's requests, to know a repeat: pure.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::service::wire::{Codec, Status};

/// What an entry costs beside the octets of its answer.
const ENTRY: usize = 64;

/// The requests of one client handle that were answered lately.
#[derive(Debug, Default)]
pub(crate) struct Window {
    answers: HashMap<u64, Option<Answer>>,
    /// Counter, time and cost of each, the oldest first.
    order: VecDeque<(u64, Instant, usize)>,
    octets: usize,
}

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
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
        answer: Option<Answer>,
        memory: Memory,
        now: Instant,
    ) {
        let answer = answer.filter(|answer| answer.cost() <= memory.octets);
        let cost = answer.as_ref().map_or(ENTRY, Answer::cost);
        if self.answers.insert(counter, answer).is_none() {
            self.order.push_back((counter, now, cost));
            self.octets += cost;
        }
        self.forget(memory, now);
    }

    /// The answer to a request: `None` if the request is not known, `Some(None)` if only the fact is.
    pub(crate) fn recall(&self, counter: u64) -> Option<Option<&Answer>> {
        self.answers.get(&counter).map(Option::as_ref)
    }

    /// Forgets what is too old or too much.
    pub(crate) fn forget(&mut self, memory: Memory, now: Instant) {
        while let Some((counter, at, cost)) = self.order.front().copied() {
            let old = now.saturating_duration_since(at) >= memory.time;
            if !old && self.octets <= memory.octets {
                break;
            }
            self.order.pop_front();
            self.octets -= cost;
            self.answers.remove(&counter);
        }
    }
}

impl Answer {
    /// An answer in memory of its own: a slice of a read buffer would keep all of the buffer.
    pub(crate) fn detached(&self) -> Self {
        Self {
            headers: Bytes::copy_from_slice(&self.headers),
            payload: Bytes::copy_from_slice(&self.payload),
            ..*self
        }
    }

    fn cost(&self) -> usize {
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

    fn answer(size: usize) -> Option<Answer> {
        Some(Answer {
            status: Status::OK,
            codec: Codec::RAW,
            headers: Bytes::new(),
            payload: vec![0; size].into(),
        })
    }

    #[test]
    fn an_answer_is_remembered_for_its_time() {
        let start = Instant::now();
        let mut window = Window::default();
        window.remember(1, answer(8), MEMORY, start);
        window.remember(2, None, MEMORY, start + Duration::from_secs(1));
        assert_eq!(window.recall(1), Some(answer(8).as_ref()));
        assert_eq!(window.recall(2), Some(None));
        assert_eq!(window.recall(3), None);
        window.forget(MEMORY, start + Duration::from_secs(30));
        assert_eq!(window.recall(1), None);
        assert_eq!(window.recall(2), Some(None));
    }

    #[test]
    fn the_oldest_makes_room_and_the_bound_holds() {
        let now = Instant::now();
        let mut window = Window::default();
        for counter in 0..1_000 {
            window.remember(counter, answer(ENTRY / 2), MEMORY, now);
            assert!(window.octets <= MEMORY.octets);
        }
        assert_eq!(window.answers.len(), 2);
        assert_eq!(window.order.len(), 2);
        assert!(window.recall(999).is_some());
    }

    #[test]
    fn of_an_answer_over_the_bound_only_the_fact_is_kept() {
        let mut window = Window::default();
        window.remember(1, answer(10_000), MEMORY, Instant::now());
        assert_eq!(window.recall(1), Some(None));
    }
}
