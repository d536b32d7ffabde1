//! One after the other: the next message goes to the next pipe that has room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The rotation of the pipes that messages are spread over (30/PIPELINE, 28/REQREP).
///
/// A full pipe is taken out of the rotation and put back when it has room:
/// both cost the same however many pipes there are, as long as the pipe taken
/// out is the current one, which is where a full pipe is found.
#[derive(Debug)]
pub(crate) struct RoundRobin<K> {
    /// All keys, and whether they are in the rotation.
    members: HashMap<K, bool>,
    /// The keys in the rotation, the current one in front.
    rotation: VecDeque<K>,
}

impl<K: Copy + Eq + Hash> RoundRobin<K> {
    /// A rotation of nobody.
    pub(crate) fn new() -> Self {
        Self {
            members: HashMap::new(),
            rotation: VecDeque::new(),
        }
    }

    /// Adds a key to the end of the rotation. Without effect where it is known.
    pub(crate) fn add(&mut self, key: K) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.members.entry(key) {
            entry.insert(true);
            self.rotation.push_back(key);
        }
    }

    /// Forgets a key. Returns whether it was known.
    pub(crate) fn remove(&mut self, key: K) -> bool {
        match self.members.remove(&key) {
            Some(active) => {
                if active {
                    self.take_out(key);
                }
                true
            }
            None => false,
        }
    }

    /// Puts a key back at the end of the rotation. Without effect where it is
    /// there already, or was removed in the meantime.
    #[inline]
    pub(crate) fn activate(&mut self, key: K) {
        // Behind each write of a peer that keeps up: nobody is out, and nothing looked up.
        if self.rotation.len() == self.members.len() {
            return;
        }
        if let Some(active @ false) = self.members.get_mut(&key) {
            *active = true;
            self.rotation.push_back(key);
        }
    }

    /// Takes a key out of the rotation until it is activated. Where it is the
    /// current one, the next becomes current.
    pub(crate) fn deactivate(&mut self, key: K) {
        if let Some(active @ true) = self.members.get_mut(&key) {
            *active = false;
            self.take_out(key);
        }
    }

    /// Whose turn it is; `None` where no key is active.
    #[inline]
    pub(crate) fn current(&self) -> Option<K> {
        self.rotation.front().copied()
    }

    /// How many keys are in the rotation.
    pub(crate) fn active(&self) -> usize {
        self.rotation.len()
    }

    /// Whether the key is known.
    pub(crate) fn contains(&self, key: K) -> bool {
        self.members.contains_key(&key)
    }

    /// Ends the turn of the current key.
    #[inline]
    pub(crate) fn advance(&mut self) {
        // A rotation by one in a ring that is not full moves a single key.
        if self.rotation.len() > 1
            && let Some(key) = self.rotation.pop_front()
        {
            self.rotation.push_back(key);
        }
    }

    fn take_out(&mut self, key: K) {
        if self.current() == Some(key) {
            self.rotation.pop_front();
        } else {
            self.rotation.retain(|other| *other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RoundRobin;
    use crate::routing::random::Random;

    fn of(keys: &[u32]) -> RoundRobin<u32> {
        let mut round_robin = RoundRobin::new();
        for key in keys {
            round_robin.add(*key);
        }
        round_robin
    }

    fn turns(round_robin: &mut RoundRobin<u32>, count: usize) -> Vec<u32> {
        let turn = |_| {
            let key = round_robin.current();
            round_robin.advance();
            key
        };
        (0..count).map_while(turn).collect()
    }

    /// PS05, DL06, RQ03.
    #[test]
    fn the_turns_go_round_in_the_order_of_joining() {
        assert_eq!(turns(&mut of(&[7, 3, 5]), 7), [7, 3, 5, 7, 3, 5, 7]);
    }

    /// PS06, DL07.
    #[test]
    fn nobody_has_no_turn() {
        assert_eq!(turns(&mut of(&[]), 1), [0_u32; 0]);
        let mut single = of(&[1]);
        single.deactivate(1);
        assert_eq!(single.current(), None);
        single.advance();
        single.activate(1);
        assert_eq!(turns(&mut single, 3), [1, 1, 1]);
    }

    /// PS04, DL05.
    #[test]
    fn a_full_pipe_is_passed_over_and_loses_only_its_own_turns() {
        let mut round_robin = of(&[1, 2, 3]);
        round_robin.deactivate(1);
        assert_eq!(turns(&mut round_robin, 3), [2, 3, 2]);
        round_robin.activate(1);
        assert_eq!(turns(&mut round_robin, 6), [3, 2, 1, 3, 2, 1]);
    }

    #[test]
    fn a_key_that_is_not_current_leaves_without_a_turn_changing() {
        let mut round_robin = of(&[1, 2, 3, 4]);
        round_robin.advance();
        round_robin.deactivate(4);
        round_robin.remove(1);
        assert_eq!(turns(&mut round_robin, 4), [2, 3, 2, 3]);
    }

    #[test]
    fn a_removed_key_does_not_come_back_by_being_activated() {
        let mut round_robin = of(&[1, 2]);
        round_robin.deactivate(1);
        assert!(round_robin.remove(1));
        assert!(!round_robin.remove(1));
        round_robin.activate(1);
        round_robin.deactivate(1);
        assert_eq!(turns(&mut round_robin, 2), [2, 2]);
    }

    #[test]
    fn what_is_said_twice_counts_once() {
        let mut round_robin = of(&[1, 1, 2]);
        round_robin.activate(1);
        round_robin.deactivate(2);
        round_robin.deactivate(2);
        round_robin.activate(2);
        round_robin.activate(2);
        assert_eq!(turns(&mut round_robin, 4), [1, 2, 1, 2]);
    }

    /// The model is the rotation as a plain list.
    #[test]
    fn it_does_what_a_list_does() {
        let mut random = Random(42);
        let mut round_robin = of(&[]);
        let (mut list, mut inactive) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let key = random.below(6) as u32;
            let active = list.contains(&key);
            match random.below(6) {
                0 => {
                    round_robin.add(key);
                    if !active && !inactive.contains(&key) {
                        list.push(key);
                    }
                }
                1 => {
                    let known = round_robin.remove(key);
                    assert_eq!(known, active || inactive.contains(&key));
                    list.retain(|other| *other != key);
                    inactive.retain(|other| *other != key);
                }
                2 => {
                    round_robin.activate(key);
                    if inactive.contains(&key) {
                        inactive.retain(|other| *other != key);
                        list.push(key);
                    }
                }
                3 => {
                    round_robin.deactivate(key);
                    if active {
                        list.retain(|other| *other != key);
                        inactive.push(key);
                    }
                }
                _ => {
                    round_robin.advance();
                    if !list.is_empty() {
                        list.rotate_left(1);
                    }
                }
            }
            assert_eq!(round_robin.current(), list.first().copied());
        }
    }
}
