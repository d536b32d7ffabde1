//! Everybody in turn: the pipes that have something to read.

use std::collections::VecDeque;

/// A queue of pipes with something to read. Whoever is read and has more
/// queues up again behind the others: so nobody starves, however much another sends.
///
/// The caller keeps a flag with each pipe, and pushes only one that is not in the queue.
#[derive(Debug)]
pub(crate) struct FairQueue<K> {
    waiting: VecDeque<K>,
}

impl<K: Copy + Eq> FairQueue<K> {
    /// A queue of nobody.
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }

    /// Queues a key up.
    pub(crate) fn push(&mut self, key: K) {
        self.waiting.push_back(key);
    }

    /// Whether nobody has anything to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many have something to read.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whose turn it is to be read.
    #[inline]
    pub(crate) fn current(&self) -> Option<K> {
        self.waiting.front().copied()
    }

    /// Takes out a key that has nothing to read any more.
    pub(crate) fn remove(&mut self, key: K) {
        self.waiting.retain(|waiting| *waiting != key);
    }

    /// Whose turn it was has more, and queues up again.
    #[inline]
    pub(crate) fn advance(&mut self) {
        if self.waiting.len() > 1
            && let Some(key) = self.waiting.pop_front()
        {
            self.waiting.push_back(key);
        }
    }

    /// Whose turn it was has nothing more.
    pub(crate) fn leave(&mut self) {
        self.waiting.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::FairQueue;

    fn of(keys: &[u32]) -> FairQueue<u32> {
        let mut queue = FairQueue::new();
        for key in keys {
            queue.push(*key);
        }
        queue
    }

    fn drained(mut queue: FairQueue<u32>) -> Vec<u32> {
        let turns = iter::from_fn(|| {
            let key = queue.current();
            queue.leave();
            key
        });
        turns.collect()
    }

    #[test]
    fn an_empty_queue_has_nobody() {
        assert_eq!(of(&[]).current(), None);
    }

    #[test]
    fn who_comes_first_is_read_first() {
        assert_eq!(drained(of(&[3, 1, 2])), [3, 1, 2]);
    }

    /// PL03, DL10, RT07, SB03, RP02.
    #[test]
    fn a_pipe_that_always_has_more_gets_its_share_and_no_more() {
        let mut queue = of(&[1, 2, 3]);
        let mut reads = [0; 4];
        for _ in 0..300 {
            reads[queue.current().unwrap() as usize] += 1;
            queue.advance();
        }
        assert_eq!(reads, [0, 100, 100, 100]);
    }
}
