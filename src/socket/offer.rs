//! Where a message goes: the pattern names the pipes, and those that have room take it.

use std::borrow::Cow;
use std::sync::Arc;

use slab::Slab;

use super::pattern::Pattern;
use super::place::Pipe;
use super::receipt::Terms;
use super::state::State;
use crate::error::{GivenUp, SendError};
use crate::message::Message;
use crate::options::{Options, Overflow};
use crate::session::{Link, Phase};

/// What became of a message that was offered.
pub(super) enum Offer {
    /// Accepted; these links are to be flushed by this task.
    Accepted(Flush),
    Full(Message),
    Refused(SendError),
}

/// Links that wait for this task to write.
pub(super) enum Flush {
    None,
    One(Arc<Link>),
    Many(Vec<Arc<Link>>),
}

impl Flush {
    pub(super) fn add(&mut self, link: Option<Arc<Link>>) {
        let Some(link) = link else { return };
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(link),
            Self::One(first) => Self::Many(vec![first, link]),
            Self::Many(mut links) => {
                links.push(link);
                Self::Many(links)
            }
        };
    }

    #[inline]
    pub(super) fn run(self) {
        match self {
            Self::None => {}
            Self::One(link) => link.flush_now(),
            Self::Many(links) => links.iter().for_each(|link| link.flush_now()),
        }
    }
}

/// Whether a message for several pipes may be queued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admitted {
    /// In all of them, where it is charged.
    Yes,
    /// One of them has no room.
    NoRoom,
    /// All have room, and the budget has not.
    NoBudget,
}

/// Whether all these pipes have room for the message, which is charged then.
///
/// The budget is asked once, for all: what was granted to some and given back
/// would be told to those who wait for it, the caller among them.
fn all_admit(pipes: &mut Slab<Pipe>, indexes: &[usize], message: &Message) -> Admitted {
    if !indexes.iter().all(|index| pipes[*index].has_room()) {
        return Admitted::NoRoom;
    }
    let lacking: usize = indexes
        .iter()
        .map(|index| pipes[*index].lacks(message))
        .sum();
    let Some(first) = indexes.first().filter(|_| lacking > 0) else {
        return Admitted::Yes;
    };
    if pipes[*first].outgoing.take_for_all(lacking) {
        for index in indexes {
            pipes[*index].grant(message);
        }
        return Admitted::Yes;
    }
    // As with one pipe that is empty: the message is slow, not stuck.
    let mut all = indexes.iter();
    if all.all(|index| pipes[*index].outgoing.messages() == 0) {
        return Admitted::Yes;
    }
    Admitted::NoBudget
}

impl State {
    /// Offers a message to whom the pattern sends it.
    pub(super) fn offer(
        &mut self,
        message: Message,
        terms: Option<&Terms<'_>>,
        options: &Options,
    ) -> Offer {
        if self.phase != Phase::Open {
            return Offer::Refused(SendError::Closed(message));
        }
        if options.refuses(&message) {
            return Offer::Refused(SendError::TooLarge(message));
        }
        match &self.pattern {
            Pattern::RoundRobin { .. } | Pattern::Pair(_) => self.offer_next(message, terms),
            Pattern::FanOut { .. } => self.offer_all(message, terms, options),
            Pattern::Router(_) | Pattern::Reply(_) => self.offer_named(message, terms, options),
            Pattern::Request { .. } => self.offer_request(message, terms, options.correlate),
            Pattern::Subscriber { .. } => self.offer_upstream(&message, terms, options),
            Pattern::Sink => unreachable!("PULL has no send"),
        }
    }

    /// RT08 to RT12: the first frame names the peer; what cannot go is dropped
    /// and counted, or refused where the options say so.
    fn offer_named(
        &mut self,
        message: Message,
        terms: Option<&Terms<'_>>,
        options: &Options,
    ) -> Offer {
        let State {
            pattern: Pattern::Router(identities) | Pattern::Reply(identities),
            pipes,
            ..
        } = self
        else {
            unreachable!("called for a router")
        };
        let found = identities
            .lookup(message.first())
            .filter(|_| message.frames().len() > 1);
        let Some(index) = found else {
            if options.mandatory {
                return Offer::Refused(SendError::Unroutable(message));
            }
            self.count_unroutable();
            if let Some(terms) = terms {
                terms.give_up(GivenUp::Unroutable);
            }
            return Offer::Accepted(Flush::None);
        };
        let pipe = &mut pipes[index];
        if options.mandatory && !(pipe.has_room() && pipe.try_charge(&message)) {
            return Offer::Refused(SendError::PeerFull(message));
        }
        let (_, Some(body)) = message.split_first() else {
            unreachable!("it has two frames")
        };
        let overflow = options.pattern.overflow.unwrap_or(Overflow::DropNewest);
        let link = pipe.push_or(Cow::Owned(body), terms, overflow);
        Offer::Accepted(link.map_or(Flush::None, Flush::One))
    }

    /// PS05, DL06: the next peer that has room.
    fn offer_next(&mut self, message: Message, terms: Option<&Terms<'_>>) -> Offer {
        let Some(index) = self.next_for(&message) else {
            return Offer::Full(message);
        };
        let link = self.pipes[index].push(Cow::Owned(message), terms);
        if let Some(peers) = self.pattern.rotation() {
            peers.advance();
        }
        Offer::Accepted(link.map_or(Flush::None, Flush::One))
    }

    /// PB07 to PB09: everybody who subscribed; who has no room misses it, unless
    /// the options say otherwise.
    fn offer_all(
        &mut self,
        message: Message,
        terms: Option<&Terms<'_>>,
        options: &Options,
    ) -> Offer {
        let State {
            pattern: Pattern::FanOut { subscriptions, .. },
            pipes,
            matched,
            ..
        } = self
        else {
            unreachable!("called for a fan-out")
        };
        matched.clear();
        subscriptions.matches(message.first(), &mut |index| matched.push(index));
        if options.pattern.invert_matching {
            let live = pipes.iter().filter(|(_, pipe)| pipe.link.is_some());
            let others = live.map(|(index, _)| index);
            *matched = others.filter(|index| !matched.contains(index)).collect();
        }
        let overflow = options.pattern.overflow.unwrap_or(Overflow::DropNewest);
        let waits = matches!(overflow, Overflow::Block);
        if waits {
            let admitted = all_admit(pipes, matched, &message);
            self.refused_by_budget = admitted == Admitted::NoBudget;
            if admitted != Admitted::Yes {
                return Offer::Full(message);
            }
        }
        let mut flush = Flush::None;
        for index in matched.iter() {
            let (pipe, message) = (&mut pipes[*index], Cow::Borrowed(&message));
            flush.add(if waits {
                pipe.push(message, terms)
            } else {
                pipe.push_or(message, terms, overflow)
            });
        }
        self.unmatched += u64::from(self.matched.is_empty());
        Offer::Accepted(flush)
    }
}
