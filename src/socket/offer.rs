//! Where a message goes: the pattern names the pipes, and those that have room take it.

use slab::Slab;

use super::core::Core;
use super::departure::Leaves;
use super::pattern::Pattern;
use super::place::Pipe;
use super::receipt::Terms;
use super::state::State;
use crate::context::Growth;
use crate::error::{GivenUp, SendError};
use crate::message::Message;
use crate::options::{Options, Overflow};
use crate::pipe::{Copied, Parcel};
use crate::session::{Link, Phase, Writer};

/// What became of a message that was offered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Accepted,
    /// Neither: the message stays where it is.
    Full(Lacking),
    /// It stays as well.
    Refused(Refusal),
}

/// Why a message goes nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    TooLarge,
    Unroutable,
    PeerFull,
}

impl Refusal {
    /// Gives the message back.
    #[cold]
    pub(super) fn of(self, message: Message) -> SendError {
        match self {
            Self::Closed => SendError::Closed(message),
            Self::TooLarge => SendError::TooLarge(message),
            Self::Unroutable => SendError::Unroutable(message),
            Self::PeerFull => SendError::PeerFull(message),
        }
    }
}

/// Messages that cost as much as the write that they share, or octets.
const SHARE: usize = 64;
const SHARE_OCTETS: usize = 4 << 10;

/// What a message waits for that is not accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacking {
    /// A peer with room.
    Room,
    /// The budget: there is room.
    Budget,
}

/// Links that wait for this task to write.
pub(super) struct Flush {
    links: Links,
    /// Pipes are listed, and nobody leads yet.
    pub(super) wants_leader: bool,
    pub(super) leaves: Leaves,
    /// What went to one peer, or to all who want it, may be followed there.
    pub(super) allows: bool,
}

enum Links {
    None,
    One(Link),
    Many(Vec<Link>),
}

impl Flush {
    pub(super) const fn new(leaves: Leaves) -> Self {
        Self {
            links: Links::None,
            wants_leader: false,
            leaves,
            allows: false,
        }
    }

    #[inline]
    pub(super) fn add(&mut self, link: Option<Link>) {
        if let Some(link) = link {
            self.add_one(link);
        }
    }

    fn add_one(&mut self, link: Link) {
        self.links = match std::mem::replace(&mut self.links, Links::None) {
            Links::None => Links::One(link),
            Links::One(first) => Links::Many(vec![first, link]),
            Links::Many(mut links) => {
                links.push(link);
                Links::Many(links)
            }
        };
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.links, Links::None)
    }

    /// The links, which are this task's no more.
    pub(super) fn take_links(&mut self) -> impl Iterator<Item = Link> + use<> {
        let links = std::mem::replace(&mut self.links, Links::None);
        let (one, many) = match links {
            Links::None => (None, Vec::new()),
            Links::One(link) => (Some(link), Vec::new()),
            Links::Many(links) => (None, links),
        };
        one.into_iter().chain(many)
    }

    #[inline]
    fn run(self) {
        let writer = match self.leaves {
            Leaves::AtOnce => Writer::Sender,
            Leaves::WithFlush => Writer::Flush,
        };
        match self.links {
            Links::None => {}
            Links::One(link) => link.flush_now(writer),
            Links::Many(links) => links.iter().for_each(|link| link.flush_now(writer)),
        }
    }
}

impl Core {
    /// Writes what this task is to write, and has a leader write what it is not.
    #[inline]
    pub(super) fn write(&self, flush: Flush) {
        if flush.wants_leader {
            self.lead();
        }
        flush.run();
    }
}

impl State {
    /// Lists the pipes that are to be written when a sink is flushed. Returns the other links.
    #[inline]
    pub(super) fn list_fed(&mut self, flush: Flush) -> Flush {
        match flush.is_empty() {
            true => flush,
            false => self.list_fed_links(flush),
        }
    }

    fn list_fed_links(&mut self, mut flush: Flush) -> Flush {
        let mut enough = Flush::new(Leaves::WithFlush);
        for link in flush.take_links() {
            let id = link.pipe();
            match self.pipe(id).is_some_and(|pipe| pipe.is_fed_enough()) {
                true => enough.add(Some(link)),
                false => self.fed.push(id),
            }
        }
        enough
    }

    /// Whether what waits for the flush of a sink is so little for each peer that its write would cost more.
    pub(super) fn has_fed_little(&self) -> bool {
        let (mut messages, mut octets) = (0, 0);
        for id in &self.fed {
            let pipe = self.pipes.get(id.index);
            messages += pipe.map_or(0, |pipe| pipe.outgoing.messages());
            octets += pipe.map_or(0, |pipe| pipe.outgoing.octets());
        }
        let fed = self.fed.len();
        messages < fed * SHARE && octets < fed * SHARE_OCTETS
    }

    /// The next link to write because a sink is flushed.
    pub(super) fn next_fed(&mut self) -> Option<Link> {
        while let Some(id) = self.fed.pop() {
            let Some(pipe) = self.pipe(id) else { continue };
            pipe.departure.is_fed_no_more();
            if let Some(link) = &pipe.link {
                return Some(link.clone());
            }
        }
        None
    }
}

/// Whether a message may follow others: it only goes behind them.
fn is_plain(terms: Option<&Terms<'_>>, overflow: Overflow) -> bool {
    terms.is_none() && !matches!(overflow, Overflow::ConflateBy(_))
}

/// Sees to it that all these pipes have room for the message, which is charged then.
///
/// The budget is asked once, for all: what was granted to some and given back
/// would be told to those who wait for it, the caller among them.
fn all_admit(
    pipes: &mut Slab<Pipe>,
    indexes: &[usize],
    message: Copied<'_>,
) -> Result<(), Lacking> {
    if !indexes.iter().all(|index| pipes[*index].has_room()) {
        return Err(Lacking::Room);
    }
    for growth in Growth::ALL {
        let lacking = indexes.iter();
        let lacking = lacking.map(|index| pipes[*index].lacks(message, growth));
        let lacking: usize = lacking.sum();
        let Some(first) = indexes.first().filter(|_| lacking > 0) else {
            return Ok(());
        };
        if pipes[*first].outgoing.take_for_all(lacking) {
            for index in indexes {
                pipes[*index].grant(message, growth);
            }
            return Ok(());
        }
    }
    // As with one pipe that is empty: the message is slow, not stuck.
    let mut all = indexes.iter();
    if all.all(|index| pipes[*index].outgoing.messages() == 0) {
        return Ok(());
    }
    Err(Lacking::Budget)
}

impl State {
    /// Offers a message to whom the pattern sends it: it is taken out where it
    /// is accepted, and the links that this task is then to flush are put into `flush`.
    #[inline]
    pub(super) fn offer(
        &mut self,
        message: &mut Option<Message>,
        terms: Option<&Terms<'_>>,
        options: &Options,
        flush: &mut Flush,
    ) -> Offer {
        if self.phase != Phase::Open {
            return Offer::Refused(Refusal::Closed);
        }
        if message.as_ref().is_some_and(|one| options.refuses(one)) {
            return Offer::Refused(Refusal::TooLarge);
        }
        match &self.pattern {
            Pattern::RoundRobin { .. } | Pattern::Pair(_) => self.offer_next(message, terms, flush),
            Pattern::FanOut { .. } => self.offer_all(message, terms, options, flush),
            Pattern::Router(_) | Pattern::Reply(_) => {
                self.offer_named(message, terms, options, flush)
            }
            Pattern::Request { .. } => self.offer_request(message, terms, options.correlate, flush),
            Pattern::Subscriber { .. } => self.offer_upstream(message, terms, options, flush),
            Pattern::Sink => unreachable!("PULL has no send"),
        }
    }

    /// RT08 to RT12: the first frame names the peer; what cannot go is dropped
    /// and counted, or refused where the options say so.
    fn offer_named(
        &mut self,
        offered: &mut Option<Message>,
        terms: Option<&Terms<'_>>,
        options: &Options,
        flush: &mut Flush,
    ) -> Offer {
        let overflow = options.pattern.overflow.unwrap_or(Overflow::DropNewest);
        let plain = is_plain(terms, overflow);
        if plain && self.follow(offered, flush.leaves) {
            flush.allows = true;
            return Offer::Accepted;
        }
        let Some(message) = offered else {
            return Offer::Accepted;
        };
        let Some(index) = self.pattern.named(message) else {
            if options.mandatory {
                return Offer::Refused(Refusal::Unroutable);
            }
            *offered = None;
            self.count_unroutable();
            if let Some(terms) = terms {
                terms.give_up(GivenUp::Unroutable);
            }
            return Offer::Accepted;
        };
        let (visits, pipe) = (self.visits, &mut self.pipes[index]);
        if options.mandatory && !pipe.admits((&*message).into()) {
            return Offer::Refused(Refusal::PeerFull);
        }
        let (_, mut body) = offered.take().expect("looked at above").split_first();
        let link = pipe.push_or(Parcel::Whole(&mut body), terms, overflow, flush.leaves);
        flush.allows = pipe.allow(visits, plain, flush.leaves);
        flush.add(link);
        Offer::Accepted
    }

    /// PS05, DL06: the next peer that has room.
    #[inline(always)]
    fn offer_next(
        &mut self,
        offered: &mut Option<Message>,
        terms: Option<&Terms<'_>>,
        flush: &mut Flush,
    ) -> Offer {
        let plain = is_plain(terms, Overflow::Block);
        if plain && offered.is_some() && self.follow(offered, flush.leaves) {
            flush.allows = true;
            return Offer::Accepted;
        }
        let Some(message) = offered else {
            return Offer::Accepted;
        };
        let index = match self.next_for(message) {
            Ok(index) => index,
            Err(lacking) => return Offer::Full(lacking),
        };
        let (visits, pipe) = (self.visits, &mut self.pipes[index]);
        let link = pipe.push(Parcel::Whole(offered), terms, flush.leaves);
        flush.allows = pipe.allow(visits, plain, flush.leaves);
        *offered = None;
        if let Some(peers) = self.pattern.rotation() {
            peers.advance();
        }
        flush.add(link);
        Offer::Accepted
    }

    /// Puts into `matched` who subscribed to what begins so.
    #[inline]
    pub(super) fn find_subscribers(&mut self, topic: &[u8]) {
        self.matched.clear();
        if let Pattern::FanOut { subscriptions, .. } = &mut self.pattern {
            subscriptions.matches(topic, &mut |index| self.matched.push(index));
        }
    }

    /// PB07 to PB09: everybody who subscribed; who has no room misses it, unless
    /// the options say otherwise.
    fn offer_all(
        &mut self,
        offered: &mut Option<Message>,
        terms: Option<&Terms<'_>>,
        options: &Options,
        flush: &mut Flush,
    ) -> Offer {
        let Some(message) = offered else {
            return Offer::Accepted;
        };
        self.find_subscribers(message.first());
        let State {
            pipes,
            visits,
            matched,
            encoded,
            ..
        } = self;
        if options.pattern.invert_matching {
            let live = pipes.iter().filter(|(_, pipe)| pipe.link.is_some());
            let others = live.map(|(index, _)| index);
            *matched = others.filter(|index| !matched.contains(index)).collect();
        }
        let copied = Copied::new(message, matched.len(), encoded);
        let overflow = options.pattern.overflow.unwrap_or(Overflow::DropNewest);
        let waits = matches!(overflow, Overflow::Block);
        // Whom what is matched inversely goes to is found out with each message: none of it follows.
        let plain = is_plain(terms, overflow) && !options.pattern.invert_matching;
        let leaves = flush.leaves;
        let follows =
            |index: &usize| plain && pipes[*index].is_followed_by(*visits, copied, leaves);
        if waits
            && !matched.iter().all(follows)
            && let Err(lacking) = all_admit(pipes, matched, copied)
        {
            return Offer::Full(lacking);
        }
        let mut allows = plain && !matched.is_empty();
        for index in matched.iter() {
            let (pipe, parcel) = (&mut pipes[*index], Parcel::Copy(copied));
            if plain && pipe.follow(*visits, Parcel::Copy(copied), leaves) {
                continue;
            }
            flush.add(if waits {
                pipe.push(parcel, terms, leaves)
            } else {
                pipe.push_or(parcel, terms, overflow, leaves)
            });
            allows &= pipe.allow(*visits, plain, leaves);
        }
        flush.allows = allows;
        *offered = None;
        self.unmatched += u64::from(self.matched.is_empty());
        Offer::Accepted
    }
}
