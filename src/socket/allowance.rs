//! What may follow into a pipe without a look at anything else.
//!
//! A burst is many sends with nobody else between them. The first of them that finds its pipe under
//! way leaves an allowance: so many messages, of so many octets, only go behind the others. It ends
//! when anybody takes the lock for anything but a message, as what it rests on may be true no more.

use super::state::State;
use crate::message::Message;
use crate::pipe::Parcel;

/// What may follow into a pipe; by default nothing.
#[derive(Clone, Copy, Default)]
pub(super) struct Allowance {
    /// [`State::visits`] when it was made: the next visit ends it.
    made: u64,
    messages: usize,
    /// By what each is sure to hold at most.
    octets: usize,
}

impl Allowance {
    pub(super) fn new(visits: u64, messages: usize, octets: usize) -> Self {
        Self {
            made: visits,
            messages,
            octets,
        }
    }

    /// Whether a message that costs so much may follow.
    #[inline]
    pub(super) fn admits(&self, visits: u64, cost: usize) -> bool {
        self.made == visits && self.messages > 0 && cost <= self.octets
    }

    /// Whether a message that costs so much follows.
    #[inline]
    pub(super) fn takes(&mut self, visits: u64, cost: usize) -> bool {
        let open = self.admits(visits, cost);
        if open {
            self.messages -= 1;
            self.octets -= cost;
        }
        open
    }
}

impl State {
    /// Queues a message that only follows others, and takes it. Whether it does.
    #[inline]
    pub(super) fn follow(&mut self, message: &mut Option<Message>) -> bool {
        let Some(index) = self.pattern.next() else {
            return false;
        };
        let follows = self.pipes[index].follow(self.visits, Parcel::Whole(message));
        if follows {
            *message = None;
            if let Some(peers) = self.pattern.rotation() {
                peers.advance();
            }
        }
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::Allowance;

    const VISITS: u64 = 7;

    #[test]
    fn an_allowance_is_of_so_many_messages() {
        let mut allowance = Allowance::new(VISITS, 2, 1_000);
        assert!(allowance.takes(VISITS, 1));
        assert!(allowance.takes(VISITS, 1));
        assert!(!allowance.takes(VISITS, 1));
    }

    #[test]
    fn an_allowance_is_of_so_many_octets() {
        let mut allowance = Allowance::new(VISITS, 1_000, 10);
        assert!(allowance.takes(VISITS, 6));
        assert!(!allowance.takes(VISITS, 5));
        assert!(allowance.takes(VISITS, 4));
    }

    #[test]
    fn an_allowance_ends_with_a_visit_and_there_is_none_before() {
        let mut allowance = Allowance::new(VISITS, 1_000, 1_000);
        assert!(!allowance.takes(VISITS + 1, 1));
        assert!(!Allowance::default().takes(1, 0));
    }
}
