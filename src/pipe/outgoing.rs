//! What waits to be written to one peer: bounded in messages and octets, outlives a connection.

#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::Bytes;

use super::batch::{Batch, Progress};
use super::keyed::Keyed;
use super::marks::Mark;
use super::parcel::{Copied, Parcel};
use super::receipt::Fate;
use crate::context::{Growth, Lease};
use crate::error::GivenUp;
use crate::message::Message;
use crate::options::Limit;

/// The sending half of a pipe.
///
/// A message is encoded when it is accepted. The writer of a connection takes
/// all that waits as one [`Batch`]; until it reports a message as written, the
/// message counts against the limit.
pub(crate) struct Outgoing {
    /// Accepted, and not yet taken by a writer.
    waiting: Batch,
    /// Accepted behind all of it, where a newer message replaces one of its key.
    /// Encoded when a writer takes it. Boxed, as hardly any pipe has it.
    keyed: Option<Box<Keyed>>,
    /// Commands for the present connection; they go before the messages.
    commands: Vec<u8>,
    /// Taken by a writer and not yet written.
    taken: Held,
    /// The writer is about to say how much of it is written: the wire has not refused it.
    writing: bool,
    /// Places that were promised to messages yet to come.
    reserved: usize,
    /// What a writer took last may expire.
    taken_timed: bool,
    limit: Limit,
    lease: Lease,
}

/// What messages that are not yet written come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    messages: usize,
    /// Octets on the wire.
    octets: usize,
    /// Octets of memory.
    pinned: usize,
}

impl Held {
    fn of(batch: &Batch) -> Self {
        Self {
            messages: batch.messages(),
            octets: batch.octets(),
            pinned: batch.pinned(),
        }
    }
}

impl Outgoing {
    /// `plain`: the peer is in this process, and nothing is encoded.
    pub(crate) fn new(limit: Limit, plain: bool, lease: Lease) -> Self {
        let waiting = if plain { Batch::PLAIN } else { Batch::ENCODED };
        Self {
            waiting,
            keyed: None,
            commands: Vec::new(),
            taken: Held::default(),
            writing: false,
            reserved: 0,
            taken_timed: false,
            limit,
            lease,
        }
    }

    /// Messages that are not yet written.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.waiting_messages() + self.taken.messages
    }

    /// Messages that no writer has taken.
    #[inline]
    fn waiting_messages(&self) -> usize {
        let keyed = self.keyed.as_ref().map_or(0, |keyed| keyed.messages());
        self.waiting.messages() + keyed
    }

    /// Octets that are not yet written, those of commands that a writer has taken included.
    pub(crate) fn octets(&self) -> usize {
        self.waiting_octets() + self.taken.octets
    }

    /// Octets that no writer has taken.
    #[inline]
    fn waiting_octets(&self) -> usize {
        self.waiting.octets() + self.keyed_octets()
    }

    #[inline]
    fn keyed_octets(&self) -> usize {
        self.keyed.as_ref().map_or(0, |keyed| keyed.octets())
    }

    /// Octets of memory of all that is not yet written.
    #[inline]
    fn pinned(&self) -> usize {
        self.waiting.pinned() + self.keyed_octets() + self.taken.pinned
    }

    /// What a message is sure to hold at most.
    #[inline]
    pub(crate) fn cost(&self, message: Copied<'_>) -> usize {
        self.waiting.cost(message)
    }

    /// How many messages, and octets, are sure to have room and to be charged already, and
    /// do not fill a write of so many octets.
    pub(crate) fn room(&self, write: usize) -> (usize, usize) {
        let held = self.octets();
        let fills = match self.taken.octets {
            0 => (write - 1).saturating_sub(held),
            _ => usize::MAX,
        };
        let octets = self.limit.bytes.saturating_sub(held);
        let messages = self
            .limit
            .messages
            .saturating_sub(self.messages() + self.reserved);
        (
            messages,
            octets.min(fills).min(self.lease.free(self.pinned())),
        )
    }

    /// Accepts a message that has [room](Self::room).
    #[inline]
    pub(crate) fn follow(&mut self, parcel: Parcel<'_>) {
        self.waiting.push(parcel);
        debug_assert!(self.lease.lacks(self.pinned(), Growth::Exact) == 0);
    }

    /// Whether as many octets wait as one write takes, and no writer is at work.
    #[inline]
    pub(crate) fn fills_a_write(&self, octets: usize) -> bool {
        self.taken.octets == 0 && self.waiting_octets() >= octets
    }

    /// Whether no more messages have room, and no writer has any of them.
    pub(crate) fn is_full_of_what_waits(&self) -> bool {
        self.taken.octets == 0 && !self.has_room()
    }

    /// Octets of the messages that wait for a writer, where there are any, and nothing else does.
    pub(crate) fn growing(&self) -> Option<usize> {
        let octets = self.waiting_octets();
        (self.commands.is_empty() && octets > 0).then_some(octets)
    }

    /// Gives up all that waits.
    pub(crate) fn clear(&mut self, reason: GivenUp) {
        while self.waiting.drop_first() {}
        self.waiting.settle_locked(Fate::GivenUp(reason));
        let keyed = self.keyed.iter_mut().flat_map(|keyed| keyed.drain());
        let slips = keyed.filter_map(|(_, mark)| mark?.slip);
        slips.for_each(|slip| slip.end_locked(Fate::GivenUp(reason)));
        let plain = matches!(self.waiting, Batch::Plain(_));
        let reserved = self.reserved;
        *self = Self::new(self.limit, plain, self.lease.another());
        self.reserved = reserved;
    }

    /// Whether everything is written.
    pub(crate) fn is_drained(&self) -> bool {
        self.messages() == 0 && self.commands.is_empty()
    }

    /// Whether one more message fits. An empty pipe admits one of any size, so
    /// that a message above the limit in octets is slow, not stuck.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        let messages = self.messages() + self.reserved;
        let octets = self.octets();
        messages == 0 || (messages < self.limit.messages && octets < self.limit.bytes)
    }

    /// Whether one more fits if all is written that a writer is writing now. It may be at the
    /// peer already, and answered: who has less outstanding than the limit is to miss nothing.
    pub(crate) fn has_room_behind_a_write(&self) -> bool {
        let messages = self.waiting_messages() + self.reserved;
        let octets = self.waiting_octets();
        self.writing && messages < self.limit.messages && octets < self.limit.bytes
    }

    /// Whether the budget has room for this message, beside what waits here or
    /// in its place. What it is granted is kept for it: it is to be pushed, or
    /// [`settle`](Self::settle) called.
    #[inline]
    pub(crate) fn try_charge(&mut self, message: Copied<'_>, in_place: bool) -> bool {
        let octets = self.octets_with(message, in_place);
        self.lease.try_cover(octets)
    }

    /// What it pins with this message.
    #[inline]
    fn octets_with(&self, message: Copied<'_>, in_place: bool) -> usize {
        let kept = if in_place {
            self.taken.pinned
        } else {
            self.pinned()
        };
        kept + self.waiting.cost(message)
    }

    /// What the budget would have to give for this message.
    pub(crate) fn lacks(&self, message: Copied<'_>, in_place: bool, growth: Growth) -> usize {
        self.lease
            .lacks(self.octets_with(message, in_place), growth)
    }

    /// Takes from the budget what several pipes lack together, all of it or nothing.
    pub(crate) fn take_for_all(&self, lacking: usize) -> bool {
        self.lease.take_for_all(lacking)
    }

    /// Charges this message, for which the budget has given what was lacking.
    pub(crate) fn grant(&mut self, message: Copied<'_>, in_place: bool, growth: Growth) {
        let octets = self.octets_with(message, in_place);
        self.lease.grant(octets, growth);
    }

    /// Gives back to the budget what is not needed.
    pub(crate) fn settle(&mut self) {
        let pinned = self.pinned();
        self.lease.settle(pinned);
    }

    /// Charges what there is.
    #[inline]
    fn cover(&mut self) {
        let pinned = self.pinned();
        self.lease.cover(pinned);
    }

    /// Promises a place; the caller has asked for room.
    pub(crate) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Takes one promise back.
    pub(crate) fn unreserve(&mut self) {
        self.reserved -= 1;
    }

    /// Accepts a message; the caller has asked for room and charged it, or it
    /// is charged though the budget has nothing left.
    #[inline(always)]
    pub(crate) fn push(&mut self, parcel: Parcel<'_>) {
        self.waiting.push(parcel);
        self.cover();
    }

    /// Gives the message that was accepted last a time to live or a receipt.
    pub(crate) fn mark_last(&mut self, mark: Mark) {
        self.waiting.mark_last(mark);
    }

    /// Whether a message may expire that no writer has taken.
    pub(crate) fn is_timed(&self) -> bool {
        self.earliest().is_some()
    }

    /// Whether a message may expire that a writer has taken.
    pub(crate) fn is_taken_timed(&self) -> bool {
        self.taken_timed
    }

    /// Before this nothing expires that no writer has taken.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        let keyed = self.keyed.as_ref().and_then(|keyed| keyed.earliest());
        let earliest = [self.waiting.earliest(), keyed];
        earliest.into_iter().flatten().min()
    }

    /// Gives up what has waited too long and no writer has taken. Returns how many.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let expired = self.waiting.expire(now).messages;
        self.waiting.settle_locked(Fate::GivenUp(GivenUp::Expired));
        let keyed = self.keyed.as_mut();
        let expired = expired + keyed.map_or(0, |keyed| keyed.expire(now));
        self.settle();
        expired
    }

    /// Gives up the message of this key that no writer has taken. Returns
    /// whether there was one.
    pub(crate) fn drop_of_key(&mut self, key: &Bytes) -> bool {
        self.keyed.as_mut().is_some_and(|keyed| keyed.remove(key))
    }

    /// Accepts a message of which none waits with this key.
    pub(crate) fn push_keyed(&mut self, key: Bytes, message: Message, mark: Option<Mark>) {
        self.keyed.get_or_insert_default().push(key, message, mark);
        self.cover();
    }

    /// Accepts a message before all that wait.
    pub(crate) fn push_first(&mut self, message: &Message) {
        let mut first = self.waiting.another();
        first.push(message.into());
        let none = first.another();
        first.append(std::mem::replace(&mut self.waiting, none));
        self.waiting = first;
        self.cover();
    }

    /// Gives up the oldest message that no writer has taken. Returns whether there was one.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let dropped = self.waiting.drop_first();
        self.settle();
        self.waiting.settle_locked(Fate::GivenUp(GivenUp::Replaced));
        dropped
    }

    /// Gives back the memory of what was dropped.
    pub(crate) fn compact(&mut self) {
        self.waiting.compact();
        self.settle();
    }

    /// Gives back the memory that an empty queue keeps for its next burst.
    pub(crate) fn shed(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = self.waiting.another();
            self.settle();
        }
    }

    /// Octets of commands that no writer has taken.
    pub(crate) fn command_octets(&self) -> usize {
        self.commands.len()
    }

    /// The commands for the present connection, to append to.
    pub(crate) fn commands(&mut self) -> &mut Vec<u8> {
        &mut self.commands
    }

    /// Moves all that waits into `batch`, which must be empty. Returns whether there was anything.
    pub(crate) fn take(&mut self, batch: &mut Batch) -> bool {
        debug_assert!(
            batch.is_empty(),
            "the writer finishes a batch before the next"
        );
        if let Some(keyed) = &mut self.keyed {
            for (message, mark) in keyed.drain() {
                self.waiting.push(Parcel::Whole(&mut Some(message)));
                mark.into_iter()
                    .for_each(|mark| self.waiting.mark_last(mark));
            }
        }
        if self.waiting.is_empty() && self.commands.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.waiting, batch);
        if !self.commands.is_empty() {
            batch.push_commands_front(std::mem::take(&mut self.commands));
        }
        self.taken = Held::of(batch);
        self.writing = true;
        self.taken_timed = batch.is_timed();
        // What is encoded may be more than it was.
        self.cover();
        true
    }

    /// Moves the commands alone into `batch`, which the writer has not finished:
    /// an answer to a PING waits for no queue (BI-55).
    pub(crate) fn take_commands(&mut self, batch: &mut Batch) {
        let commands = std::mem::take(&mut self.commands);
        if !commands.is_empty() {
            batch.push_commands_front(commands);
            self.taken = Held::of(batch);
        }
    }

    /// Whether the wire may be taking what was taken, or has refused it for now.
    pub(crate) fn set_writing(&mut self, writing: bool) {
        self.writing = writing;
    }

    /// The writer finished so much of what it took, or gave it up.
    pub(crate) fn written(&mut self, progress: Progress) {
        self.taken.messages -= progress.messages;
        // It goes on with the rest, until the wire takes no more.
        self.writing = self.taken.messages > 0;
        self.taken.octets -= progress.octets;
        self.taken.pinned -= progress.freed;
        self.settle();
    }

    /// Takes over the memory of what a writer has written all of, unless it has still to be said what became
    /// of that. It is nearer than that of the batch before, and a peer that gets no more than one write
    /// takes needs no other. A large one is not put aside for it: only uses that need less have it given back.
    #[inline]
    pub(crate) fn reuse(&mut self, written: &mut Batch) {
        let spare = self.waiting.is_empty() && !self.waiting.keeps_much();
        if spare && written.is_empty() && written.is_settled() {
            std::mem::swap(&mut self.waiting, written);
        }
    }

    /// The connection is gone: what its writer had not begun goes to the next
    /// one, before all else. Returns how many messages died half written.
    pub(crate) fn restore(&mut self, batch: Batch) -> usize {
        let (mut unwritten, died) = batch.into_unwritten();
        unwritten.settle_locked(Fate::GivenUp(GivenUp::Cut));
        self.taken_timed = false;
        self.commands = Vec::new();
        self.taken = Held::default();
        self.writing = false;
        let none = self.waiting.another();
        unwritten.append(std::mem::replace(&mut self.waiting, none));
        self.waiting = unwritten;
        self.settle();
        // There may be no other connection for long.
        self.shed();
        died
    }
}
