//! A socket's place for one peer: what goes out to it, what came in from it, and the counters.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::allowance::Allowance;
use super::departure::{Departure, FLUSH_AT, Leaves};
use super::manual::Asks;
use super::peer::PeerInfo;
use super::receipt::{Terms, expiry, now};
use super::stats::{Received, Sent};
use crate::context::Growth;
use crate::endpoint::Endpoint;
use crate::error::{GivenUp, LinkError};
use crate::message::Message;
use crate::options::{Options, Overflow};
use crate::pipe::{Batch, Copied, Incoming, Outgoing, Parcel};
use crate::session::{Left, Link, Taken, Writer, encode_pong};

/// Octets of commands that wait for a peer that does not read. Above them no
/// PING is queued; of the answers to the peer's own PINGs one waits at most.
const COMMANDS_KEPT: usize = 64 << 10;

/// Who was there before: each with the number of the first message that is not of it, ascending.
type Former = VecDeque<(u64, Arc<PeerInfo>)>;

/// One peer, or the place of one that is dialled.
///
/// In this order, from the start of a cache line: what each message out is looked up in stands together, and
/// so does what each message in is, as a socket of a thousand peers finds them in no near cache.
#[repr(C, align(64))]
pub(super) struct Pipe {
    pub(super) outgoing: Outgoing,
    pub(super) link: Option<Link>,
    /// What may follow without a look at any of this.
    allowance: Allowance,
    pub(super) departure: Departure,
    /// It takes messages only while it is connected.
    immediate: bool,
    /// Of all that wait only the newest is kept.
    conflate: bool,
    /// Its link is being cut, with what it holds: nothing is to follow that.
    pub(super) resetting: bool,
    /// The pipe of a connected endpoint: it survives its connections.
    pub(super) kept: bool,
    /// Its identity was given by `connect_as`, and stays between connections.
    pub(super) assigned: bool,
    /// What comes may wait to be received for so long only as its socket's options say.
    expires: bool,
    /// It stands in the fair queue.
    pub(super) queued: bool,
    /// Its link has something to read.
    pub(super) readable: bool,
    /// It stands in the list of readable links.
    pub(super) listed: bool,
    /// Its link is left unread because the budget has no place for what it would read.
    pub(super) unread: bool,
    pub(super) serial: u64,
    pub(super) sent: Sent,
    pub(super) incoming: Incoming,
    pub(super) received: Received,
    /// By whom came what still waits and was not sent by `peer`. Boxed, as hardly any pipe has them.
    former: Option<Box<Former>>,
    /// The first frame of what a ROUTER delivers of it.
    pub(super) identity: Bytes,
    /// Who is there, or was last.
    pub(super) peer: Option<Arc<PeerInfo>>,
    pub(super) endpoint: Arc<Endpoint>,
    /// Of a manual XPUB: what the peer has asked for.
    pub(super) asks: Option<Box<Asks>>,
    /// What the newest PING of the present connection wants back, until it is
    /// written: a peer that asks faster than it reads gets fewer answers.
    /// Boxed, as it waits for a moment only.
    pong: Option<Box<Bytes>>,
    /// Of those received, what this socket told its application itself.
    pub(super) own_words: u64,
    /// Commands of its peers that were passed over.
    pub(super) ignored_commands: u64,
}

impl Pipe {
    pub(super) fn new(serial: u64, endpoint: Arc<Endpoint>, kept: bool, options: &Options) -> Self {
        let plain = matches!(*endpoint, Endpoint::Inproc(_));
        let mut receive_limit = options.receive_limit;
        if options.pattern.conflate {
            // One message waits at most: nothing is to be left unread for it.
            receive_limit.messages = usize::MAX;
            receive_limit.bytes = usize::MAX;
        }
        Self {
            serial,
            endpoint,
            kept,
            link: None,
            peer: None,
            former: None,
            identity: Bytes::new(),
            outgoing: Outgoing::new(options.send_limit, plain, options.context.lease()),
            incoming: Incoming::new(receive_limit, options.context.lease()),
            assigned: false,
            asks: options.pattern.manual.then(Box::default),
            immediate: options.pattern.immediate,
            conflate: options.pattern.conflate,
            expires: options.time_to_live.is_some(),
            queued: false,
            readable: false,
            listed: false,
            unread: false,
            departure: Departure::default(),
            allowance: Allowance::default(),
            resetting: false,
            pong: None,
            sent: Sent::default(),
            received: Received::default(),
            own_words: 0,
            ignored_commands: 0,
        }
    }

    /// Takes a new connection. What waits came by the last one.
    pub(super) fn meet(&mut self, link: Link, peer: Arc<PeerInfo>) {
        self.link = Some(link);
        self.unread = false;
        let Some(last) = self.peer.replace(peer) else {
            return;
        };
        self.forget_former();
        let end = self.incoming.position() + self.incoming.len() as u64;
        let told = self.former.as_ref().and_then(|former| former.back());
        if end > told.map_or(self.incoming.position(), |of| of.0) {
            self.former.get_or_insert_default().push_back((end, last));
        }
    }

    /// By whom the next message came, which waits.
    pub(super) fn sender_of_next(&mut self) -> Option<Arc<PeerInfo>> {
        self.forget_former();
        let former = self.former.as_ref().and_then(|former| former.front());
        let former = former.map(|(_, peer)| peer);
        former.or(self.peer.as_ref()).cloned()
    }

    /// Gives up what was not delivered in time. Returns how many messages that were.
    pub(super) fn expire_incoming(&mut self, now: Instant) -> usize {
        let first = self.incoming.position();
        let places = self.incoming.expire(now);
        // What stays moves up by all that expired, and its connection with it:
        // what the socket said itself stays, and may stand before what expired.
        for (end, _) in self.former.iter_mut().flat_map(|former| former.iter_mut()) {
            let before = places
                .iter()
                .filter(|place| first + (**place as u64) < *end);
            *end += (places.len() - before.count()) as u64;
        }
        places.len()
    }

    /// Takes out what the socket was to tell of its peer, from this place of those that wait.
    pub(super) fn take_back(&mut self, place: usize) {
        let position = self.incoming.position() + place as u64;
        self.incoming.take_back(place);
        for (end, _) in self.former.iter_mut().flat_map(|former| former.iter_mut()) {
            *end -= u64::from(*end > position);
        }
    }

    /// Forgets connections of which nothing waits any more.
    fn forget_former(&mut self) {
        let next = self.incoming.position();
        let Some(former) = &mut self.former else {
            return;
        };
        while former.front().is_some_and(|(end, _)| *end <= next) {
            former.pop_front();
        }
        if former.is_empty() {
            self.former = None;
        }
    }

    pub(super) fn counters(&self) -> (Sent, Received) {
        let sent = Sent {
            queued: self.outgoing.messages() as u64,
            ..self.sent
        };
        let received = Received {
            queued: self.incoming.len() as u64,
            ..self.received
        };
        (sent, received)
    }

    /// Whether messages for its peer have a place here, be it there or not yet.
    pub(super) fn is_live(&self) -> bool {
        self.kept || self.link.is_some()
    }

    /// Whether a message may be queued.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        let reachable = self.link.is_some() || !self.immediate;
        !self.resetting && reachable && (self.conflate || self.outgoing.has_room())
    }

    /// Whether the budget has room for a message, which is charged then: it is
    /// to be pushed.
    #[inline]
    pub(super) fn try_charge(&mut self, message: Copied<'_>) -> bool {
        self.outgoing.try_charge(message, self.conflate)
    }

    /// What the budget would have to give for a message.
    pub(super) fn lacks(&self, message: Copied<'_>, growth: Growth) -> usize {
        self.outgoing.lacks(message, self.conflate, growth)
    }

    /// Charges a message, for which the budget has given what was lacking: it
    /// is to be pushed.
    pub(super) fn grant(&mut self, message: Copied<'_>, growth: Growth) {
        self.outgoing.grant(message, self.conflate, growth);
    }

    /// Whether a message may be queued that is dropped otherwise. It is charged then.
    pub(super) fn admits(&mut self, message: Copied<'_>) -> bool {
        let lags = || !self.resetting && self.outgoing.has_room_behind_a_write();
        (self.has_room() || lags()) && self.try_charge(message)
    }

    /// Whether the link is left unread, whatever for.
    pub(super) fn is_paused(&self) -> bool {
        self.unread || self.incoming.is_paused()
    }

    /// Whether a message may expire in its queues or with its writer.
    pub(super) fn is_timed(&self) -> bool {
        let outgoing = &self.outgoing;
        outgoing.is_timed() || outgoing.is_taken_timed() || self.incoming.is_timed()
    }

    /// Gives up and counts what waits to be written.
    pub(super) fn discard(&mut self, reason: GivenUp) {
        self.sent.dropped.discarded += self.outgoing.messages() as u64;
        self.outgoing.clear(reason);
    }

    /// Queues a message, or does what is to be done where it has no room.
    pub(super) fn push_or(
        &mut self,
        parcel: Parcel<'_>,
        terms: Option<&Terms<'_>>,
        overflow: Overflow,
        leaves: Leaves,
    ) -> Option<Link> {
        if let Overflow::ConflateBy(key) = overflow {
            return self.push_keyed(key(parcel.message()), parcel.into_message(), terms, leaves);
        }
        if matches!(overflow, Overflow::DropOldest) && !self.resetting {
            while !self.admits(parcel.as_copied()) && self.outgoing.drop_oldest() {
                self.sent.dropped.replaced += 1;
                if self.has_room() && !self.try_charge(parcel.as_copied()) {
                    // Only the budget refuses: what was dropped is still in memory.
                    self.outgoing.compact();
                }
            }
            // What a writer has taken is not dropped, and may be all there is:
            // the newest is queued even so, one above the mark, but not above the budget.
            if self.try_charge(parcel.as_copied()) {
                return self.push(parcel, terms, leaves);
            }
        } else if self.admits(parcel.as_copied()) {
            return self.push(parcel, terms, leaves);
        }
        self.sent.accepted += 1;
        self.sent.dropped.full += 1;
        if let Some(terms) = terms {
            terms.give_up(GivenUp::Full);
        }
        if matches!(overflow, Overflow::Disconnect)
            && let Some(link) = &self.link
        {
            // Its waker only queues the driver, which takes the lock later.
            link.fail(LinkError::TooSlow);
        }
        None
    }

    /// Queues a message in place of the one of its key that waits, or else where there is room.
    fn push_keyed(
        &mut self,
        key: Bytes,
        message: Message,
        terms: Option<&Terms<'_>>,
        leaves: Leaves,
    ) -> Option<Link> {
        let charged = self.try_charge((&message).into());
        let replaced = charged && !self.resetting && self.outgoing.drop_of_key(&key);
        let admitted = replaced || (charged && self.has_room());
        if !admitted {
            self.outgoing.settle();
            self.sent.accepted += 1;
            self.sent.dropped.full += 1;
            terms
                .into_iter()
                .for_each(|terms| terms.give_up(GivenUp::Full));
            return None;
        }
        self.sent.dropped.replaced += u64::from(replaced);
        self.outgoing
            .push_keyed(key, message, terms.map(Terms::mark));
        self.accepted(leaves)
    }

    /// Queues what is said first on a new connection.
    pub(super) fn push_first(&mut self, message: &Message) {
        self.outgoing.push_first(message);
        self.sent.accepted += 1;
    }

    /// Takes in what was read, in place of what waits where only the newest is kept.
    pub(super) fn take_in(&mut self, message: Message) {
        if self.conflate && self.incoming.pop().is_some() {
            self.received.dropped += 1;
        }
        self.incoming.push(message);
    }

    /// Whether what is taken in stays, each message, until it is received.
    pub(super) fn keeps_all(&self) -> bool {
        !self.conflate && !self.expires
    }

    /// What was taken in last is of a peer, and not to be kept for ever.
    pub(super) fn time_last(&mut self, options: &Options) {
        if let Some(expires) = options.time_to_live.and_then(expiry) {
            self.incoming.expire_last(expires);
        }
    }

    /// Queues a message that has room. Returns the link if this task is to flush it, at once
    /// or when its sink is flushed.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        parcel: Parcel<'_>,
        terms: Option<&Terms<'_>>,
        leaves: Leaves,
    ) -> Option<Link> {
        while self.conflate && self.outgoing.drop_oldest() {
            self.sent.dropped.replaced += 1;
        }
        self.outgoing.push(parcel);
        if let Some(terms) = terms {
            self.outgoing.mark_last(terms.mark());
        }
        self.accepted(leaves)
    }

    /// Behind a message of a burst: settles what may follow it, and whether any may. `plain`: it has
    /// no terms, nor have those.
    #[inline]
    pub(super) fn allow(&mut self, visits: u64, plain: bool, leaves: Leaves) -> bool {
        let goes_on = plain && self.link.is_some() && !self.resetting && !self.conflate;
        let followers = if goes_on {
            self.departure.followers(leaves)
        } else {
            0
        };
        self.allowance = match followers {
            0 => Allowance::default(),
            _ => {
                let (messages, octets) = self.outgoing.room(FLUSH_AT);
                // Those that a sink is fed may wait for its flush; no others do. The last that has room is
                // looked at.
                let for_all = self.departure.is_under_way();
                let messages = messages.saturating_sub(1);
                Allowance::new(visits, for_all, messages.min(followers), octets)
            }
        };
        self.allowance.is_open(visits, leaves)
    }

    /// Whether a message may only follow others, unless it costs too much.
    #[inline]
    pub(super) fn is_followed(&self, visits: u64, leaves: Leaves) -> bool {
        self.allowance.is_open(visits, leaves)
    }

    /// Whether this message may.
    #[inline]
    pub(super) fn is_followed_by(&self, visits: u64, message: Copied<'_>, leaves: Leaves) -> bool {
        let open = self.is_followed(visits, leaves);
        open && self.allowance.admits(self.outgoing.cost(message))
    }

    /// Queues a message that only follows others. Returns whether it does.
    #[inline]
    pub(super) fn follow(&mut self, visits: u64, parcel: Parcel<'_>, leaves: Leaves) -> bool {
        if !self.allowance.is_open(visits, leaves) {
            return false;
        }
        let cost = self.outgoing.cost(parcel.as_copied());
        let follows = self.allowance.takes(cost);
        if follows {
            self.outgoing.follow(parcel);
            self.sent.accepted += 1;
            self.departure.followed();
        }
        follows
    }

    /// Counts a message that was queued. Returns the link if this task is to flush it.
    #[inline(always)]
    fn accepted(&mut self, leaves: Leaves) -> Option<Link> {
        self.sent.accepted += 1;
        let link = self.link.as_ref()?;
        let (outgoing, accepted) = (&self.outgoing, self.sent.accepted);
        let waits = !self.conflate && self.departure.waits_for_another(leaves);
        let fills = || fills(outgoing, waits);
        let flushes = self.departure.queued(leaves, accepted, fills, now);
        flushes.then(|| link.clone())
    }

    /// Whether what a sink was fed is written at once: it has a writer already, or is as much as may wait.
    pub(super) fn is_fed_enough(&self) -> bool {
        self.departure.is_under_way() || fills(&self.outgoing, !self.conflate)
    }

    /// Whether the message that was queued last begins a burst, and its sender is to write it.
    pub(super) fn begins(&self) -> bool {
        self.departure.begins_with(self.sent.accepted)
    }

    /// A leader is to write what waits. Returns whether it is to be listed for that.
    pub(super) fn is_led(&mut self) -> bool {
        // Who sends more looks whether that may wait too.
        self.allowance = Allowance::default();
        self.departure.is_led()
    }

    /// Octets of the messages that wait, where nothing else does and others have room.
    pub(super) fn growing(&self) -> Option<usize> {
        self.outgoing.growing().filter(|_| self.outgoing.has_room())
    }

    /// Moves what waits into the batch, unless it grows and may be let to.
    pub(super) fn take(&mut self, batch: &mut Batch, writer: Writer) -> Taken {
        let (accepted, growing) = (self.sent.accepted, self.growing());
        if let Some(grows) = self.departure.grows(writer, accepted, growing, now) {
            return grows;
        }
        self.answer();
        if self.outgoing.take(batch) {
            self.departure.is_taken(writer);
            return Taken::Batch;
        }
        self.departure.is_done(writer, accepted)
    }

    /// Whether a command that the peer can do without may be queued.
    pub(super) fn keeps_commands(&self) -> bool {
        self.outgoing.command_octets() < COMMANDS_KEPT
    }

    /// Queues a PONG for the present connection, in place of one that waits.
    /// Returns the link to wake.
    pub(super) fn push_pong(&mut self, context: Bytes) -> Option<Link> {
        let link = self.link.clone()?;
        self.pong = Some(Box::new(context));
        self.departure.begins();
        Some(link)
    }

    /// Moves what is to be said at once into a batch that is being written.
    pub(super) fn take_commands(&mut self, batch: &mut Batch) {
        self.answer();
        self.outgoing.take_commands(batch);
    }

    /// What is left to do behind a write. An answer is all there is to say: its
    /// driver is spared the turn in which it would find that out.
    pub(super) fn left(&mut self) -> Left {
        let commands = self.pong.is_some() || self.outgoing.command_octets() > 0;
        let nothing_waits = !commands && self.outgoing.octets() == 0;
        let finished = self.departure.is_written(nothing_waits);
        if commands {
            return Left::Commands;
        }
        if finished {
            return Left::Nothing;
        }
        Left::Something
    }

    fn answer(&mut self) {
        if let Some(context) = self.pong.take() {
            encode_pong(*context, self.outgoing.commands());
        }
    }

    /// Takes the connection off, and what was to be said on it alone.
    pub(super) fn unlink(&mut self) -> Option<Link> {
        self.pong = None;
        self.departure.ends();
        self.link.take()
    }

    /// Queues a command for the present connection. Returns the link to wake.
    pub(super) fn push_command(&mut self, write: &mut dyn FnMut(&mut Vec<u8>)) -> Option<Link> {
        let link = self.link.clone()?;
        write(self.outgoing.commands());
        self.departure.begins();
        Some(link)
    }
}

/// Whether what is queued is a whole write, or, where it waits for another to write it, takes the last place:
/// who comes next has none until it is written.
#[inline]
fn fills(outgoing: &Outgoing, waits: bool) -> bool {
    outgoing.fills_a_write(FLUSH_AT) || waits && outgoing.is_full_of_what_waits()
}
