//! What may follow into a pipe without a look at anything else.
//!
//! A burst is many sends with nobody else between them. The first of them that finds its pipe under
//! way leaves an allowance: so many messages, of so many octets, only go behind the others. So does
//! the first of several answers, for those before the last, and the first that a sink is fed, for
//! those until it is flushed. A publication follows where all the pipes that it goes into allow it. An
//! allowance ends when anybody takes the lock for anything but a message, as what it rests on may be
//! true no more.

use super::departure::Leaves;
use super::pattern::Pattern;
use super::state::State;
use crate::message::Message;
use crate::pipe::{Copied, Parcel};

/// What may follow into a pipe; by default nothing.
#[derive(Clone, Copy, Default)]
pub(super) struct Allowance {
    /// [`State::visits`] when it was made: the next visit ends it.
    made: u64,
    /// Not only for what is fed to a sink.
    for_all: bool,
    messages: u32,
    /// By what each is sure to hold at most.
    octets: usize,
}

impl Allowance {
    pub(super) fn new(visits: u64, for_all: bool, messages: usize, octets: usize) -> Self {
        Self {
            made: visits,
            for_all,
            messages: u32::try_from(messages).unwrap_or(u32::MAX),
            octets,
        }
    }

    /// Whether a message may follow, unless it costs too much.
    #[inline]
    pub(super) fn is_open(&self, visits: u64, leaves: Leaves) -> bool {
        let for_it = self.for_all || leaves == Leaves::WithFlush;
        self.made == visits && for_it && self.messages > 0
    }

    /// Whether a message that costs so much may follow, if [any](Self::is_open) may.
    #[inline]
    pub(super) fn admits(&self, cost: usize) -> bool {
        cost <= self.octets
    }

    /// Whether a message that costs so much follows, if [any](Self::is_open) may.
    #[inline]
    pub(super) fn takes(&mut self, cost: usize) -> bool {
        let admitted = self.admits(cost);
        if admitted {
            self.messages -= 1;
            self.octets -= cost;
        }
        admitted
    }
}

impl State {
    /// Queues a message that only follows others, and takes it. Whether it does.
    #[inline]
    pub(super) fn follow(&mut self, message: &mut Option<Message>, leaves: Leaves) -> bool {
        match self.pattern {
            Pattern::Router(_) | Pattern::Reply(_) => self.follow_named(message, leaves),
            Pattern::FanOut { .. } => self.follow_to_all(message, leaves),
            _ => self.follow_next(message, leaves),
        }
    }

    /// As [`follow`](Self::follow), to the peer whose turn it is.
    #[inline]
    fn follow_next(&mut self, message: &mut Option<Message>, leaves: Leaves) -> bool {
        let Some(index) = self.pattern.next() else {
            return false;
        };
        let parcel = Parcel::Whole(message);
        let follows = self.pipes[index].follow(self.visits, parcel, leaves);
        if follows {
            *message = None;
            if let Some(peers) = self.pattern.rotation() {
                peers.advance();
            }
        }
        follows
    }

    /// As [`follow`](Self::follow), to all who subscribed, if there are any and all their pipes allow it.
    fn follow_to_all(&mut self, offered: &mut Option<Message>, leaves: Leaves) -> bool {
        let Some(message) = offered.as_ref() else {
            return false;
        };
        self.find_subscribers(message.first());
        let State {
            pipes,
            visits,
            matched,
            encoded,
            ..
        } = self;
        let open = |index: &usize| pipes[*index].is_followed(*visits, leaves);
        if matched.is_empty() || !matched.iter().all(open) {
            return false;
        }
        let copied = Copied::new(message, matched.len(), encoded);
        let follows = |index: &usize| pipes[*index].is_followed_by(*visits, copied, leaves);
        if !matched.iter().all(follows) {
            return false;
        }
        for index in matched.iter() {
            let followed = pipes[*index].follow(*visits, Parcel::Copy(copied), leaves);
            debug_assert!(followed, "it was asked");
        }
        *offered = None;
        true
    }

    /// As [`follow`](Self::follow), to the peer that the first frame names.
    fn follow_named(&mut self, offered: &mut Option<Message>, leaves: Leaves) -> bool {
        let Some(message) = offered.as_ref() else {
            return false;
        };
        let Some(index) = self.pattern.named(message) else {
            return false;
        };
        let (visits, pipe) = (self.visits, &mut self.pipes[index]);
        // Without the name it costs less.
        let follows = pipe.is_followed_by(visits, message.into(), leaves);
        if follows && let Some(message) = offered.take() {
            let (_, mut body) = message.split_first();
            let followed = pipe.follow(visits, Parcel::Whole(&mut body), leaves);
            debug_assert!(followed, "a part of it is admitted where all of it is");
        }
        follows
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Leaves};

    const VISITS: u64 = 7;

    /// Whether a message follows.
    fn follows(allowance: &mut Allowance, visits: u64, cost: usize, leaves: Leaves) -> bool {
        allowance.is_open(visits, leaves) && allowance.takes(cost)
    }

    #[test]
    fn an_allowance_is_of_so_many_messages() {
        let mut allowance = Allowance::new(VISITS, true, 2, 1_000);
        assert!(follows(&mut allowance, VISITS, 1, Leaves::AtOnce));
        assert!(follows(&mut allowance, VISITS, 1, Leaves::AtOnce));
        assert!(!follows(&mut allowance, VISITS, 1, Leaves::AtOnce));
    }

    #[test]
    fn an_allowance_is_of_so_many_octets() {
        let mut allowance = Allowance::new(VISITS, true, 1_000, 10);
        assert!(follows(&mut allowance, VISITS, 6, Leaves::AtOnce));
        assert!(!follows(&mut allowance, VISITS, 5, Leaves::AtOnce));
        assert!(follows(&mut allowance, VISITS, 4, Leaves::AtOnce));
    }

    #[test]
    fn an_allowance_ends_with_a_visit_and_there_is_none_before() {
        let mut allowance = Allowance::new(VISITS, true, 1_000, 1_000);
        assert!(!follows(&mut allowance, VISITS + 1, 1, Leaves::AtOnce));
        assert!(!follows(&mut Allowance::default(), 1, 0, Leaves::AtOnce));
    }

    #[test]
    fn an_allowance_until_a_flush_is_for_what_waits_for_it() {
        let mut allowance = Allowance::new(VISITS, false, 1_000, 1_000);
        assert!(!follows(&mut allowance, VISITS, 1, Leaves::AtOnce));
        assert!(follows(&mut allowance, VISITS, 1, Leaves::WithFlush));
    }
}
