//! The lane into a pipe: what a sender has found out of it, so that those who follow look at nothing else.
//!
//! A burst is many sends with nobody else between them. The first of them, that finds its pipe under
//! way, opens a lane: so many messages, of so many octets, can follow and are only to be put behind.
//! It is closed by whoever takes the lock for anything but a send, as what it says may be true no more.

use super::state::State;
use crate::message::Message;
use crate::pipe::Parcel;

/// What may follow into a pipe; by default nothing.
#[derive(Clone, Copy, Default)]
pub(super) struct Lane {
    /// [`State::visits`] when it was opened. With the next visit it is closed.
    opened: u64,
    messages: usize,
    /// By what each is sure to hold at most.
    octets: usize,
}

impl Lane {
    pub(super) fn new(visits: u64, messages: usize, octets: usize) -> Self {
        Self {
            opened: visits,
            messages,
            octets,
        }
    }

    /// Whether a message that costs so much may follow.
    #[inline]
    pub(super) fn admits(&self, visits: u64, cost: usize) -> bool {
        self.opened == visits && self.messages > 0 && cost <= self.octets
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
    use super::Lane;

    const VISITS: u64 = 7;

    #[test]
    fn a_lane_takes_so_many_messages_and_no_more() {
        let mut lane = Lane::new(VISITS, 2, 1_000);
        assert!(lane.takes(VISITS, 1));
        assert!(lane.takes(VISITS, 1));
        assert!(!lane.takes(VISITS, 1));
    }

    #[test]
    fn a_lane_takes_so_many_octets_and_no_more() {
        let mut lane = Lane::new(VISITS, 1_000, 10);
        assert!(lane.takes(VISITS, 6));
        assert!(!lane.takes(VISITS, 5));
        assert!(lane.takes(VISITS, 4));
    }

    #[test]
    fn a_lane_is_closed_by_a_visit_and_before_the_first() {
        let mut lane = Lane::new(VISITS, 1_000, 1_000);
        assert!(!lane.takes(VISITS + 1, 1));
        assert!(!Lane::default().takes(1, 0));
    }
}
