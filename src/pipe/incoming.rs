//! What was received from one peer and not yet delivered.

use std::collections::VecDeque;
use std::time::Instant;

use super::marks::{Mark, Marks};
use super::plain::take_out;
use crate::context::Lease;
use crate::message::Message;
use crate::options::Limit;

/// What a frame costs besides its octets, so that empty ones are not free (BI-39).
pub(crate) const OVERHEAD: usize = 64;

/// Messages for which an empty queue keeps its memory.
const KEPT: usize = 4_096;

/// What the frames behind the first of their messages may cost, beside four times
/// the octets in all: a frame of nothing is two octets on the wire and many in memory.
const HOLLOW: usize = 256 << 10;

/// What a message that is not encoded counts against a limit in octets.
#[inline]
pub(super) fn footprint(message: &Message) -> usize {
    message.size() + message.frames().len() * OVERHEAD
}

/// The receiving half of a pipe. Above its limit the link is left unread,
/// until half of the limit is delivered.
pub(crate) struct Incoming {
    messages: VecDeque<Message>,
    /// How many were here and are not any more.
    taken: u64,
    /// What they count against the limit.
    octets: usize,
    /// Of all of them.
    frames: usize,
    /// Of those that may expire.
    marks: Marks,
    limit: Limit,
    /// The link is left unread because the limit was reached.
    paused: bool,
    lease: Lease,
    /// The link is left unread because the budget is used up, in part by this.
    starved: bool,
}

impl Incoming {
    pub(crate) fn new(limit: Limit, lease: Lease) -> Self {
        Self {
            messages: VecDeque::new(),
            taken: 0,
            octets: 0,
            frames: 0,
            marks: Marks::default(),
            limit,
            paused: false,
            lease,
            starved: false,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The number of the next message, counted from the first that ever was here.
    pub(crate) fn position(&self) -> u64 {
        self.taken
    }

    /// Whether the link is left unread.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused || self.starved
    }

    /// Whether it is left unread for want of budget.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    #[inline]
    pub(crate) fn push(&mut self, message: Message) {
        self.count(&message);
        self.messages.push_back(message);
        self.account();
    }

    /// As [`push`](Self::push), of all these.
    pub(crate) fn append(&mut self, messages: &mut Vec<Message>) {
        messages.iter().for_each(|message| self.count(message));
        self.messages.extend(messages.drain(..));
        self.account();
    }

    /// Takes those in front that are admitted, until it is to pause or the budget has no room for
    /// the next. Returns how many, and what they count against the limit. Where these are all there
    /// are, the queues are exchanged: an empty one is small, or given back.
    pub(super) fn take_from(
        &mut self,
        messages: &mut VecDeque<Message>,
        admits: impl Fn(&Message) -> bool,
    ) -> (usize, usize) {
        let (before, held) = (self.octets, self.messages.len());
        let mut count = 0;
        for message in messages.iter() {
            let full = self.is_above(self.limit, held + count) || self.is_hollow(held + count);
            let octets = self.octets + footprint(message);
            if full || !admits(message) || !self.lease.try_cover(octets) {
                break;
            }
            self.count(message);
            count += 1;
        }
        if held == 0 && count > 0 && count == messages.len() {
            std::mem::swap(&mut self.messages, messages);
        } else {
            self.messages.extend(messages.drain(..count));
        }
        self.account();
        (count, self.octets - before)
    }

    #[inline]
    fn count(&mut self, message: &Message) {
        self.octets += footprint(message);
        self.frames += message.frames().len();
    }

    #[inline]
    fn discount(&mut self, message: &Message) {
        self.octets -= footprint(message);
        self.frames -= message.frames().len();
    }

    /// Whether it is made of frames for the most part, and not of what is in them (BI-39), with so
    /// many messages.
    #[inline]
    fn is_hollow(&self, messages: usize) -> bool {
        let behind_the_first = self.frames - messages;
        let size = self.octets - self.frames * OVERHEAD;
        behind_the_first * OVERHEAD > HOLLOW + 4 * size
    }

    /// Charges what was pushed, and pauses where that is too much.
    #[inline]
    fn account(&mut self) {
        let messages = self.messages.len();
        self.paused |= self.is_above(self.limit, messages) || self.is_hollow(messages);
        if !self.lease.try_cover(self.octets) {
            // It is in memory already.
            self.lease.cover(self.octets);
            self.starved = true;
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.discount(&message);
        self.passed(1);
        Some(message)
    }

    /// As [`pop`](Self::pop), where the queue and its link stay as they are: with another message,
    /// none that expires, and read or left unread as before. What came free is to be told.
    #[inline]
    pub(crate) fn pop_along(&mut self) -> Option<Message> {
        let stay = self.messages.len().saturating_sub(1);
        let rests = !self.is_paused() || stay >= self.limit.half().messages;
        if stay == 0 || !rests || self.is_timed() {
            return None;
        }
        self.pop()
    }

    /// Takes up to `limit` behind those in `messages`. Returns how many.
    pub(crate) fn pop_into(&mut self, messages: &mut Vec<Message>, limit: usize) -> usize {
        let count = limit.min(self.messages.len());
        let before = messages.len();
        messages.extend(self.messages.drain(..count));
        messages[before..]
            .iter()
            .for_each(|message| self.discount(message));
        self.passed(count);
        count
    }

    /// So many were taken from the front, and are discounted.
    #[inline]
    fn passed(&mut self, count: usize) {
        self.lease.settle(self.octets);
        self.marks.pass(count);
        self.taken += count as u64;
        if self.messages.is_empty() && self.messages.capacity() > KEPT {
            self.messages = VecDeque::new();
        }
    }

    /// The last so many that wait, the newest first.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = &Message> {
        self.messages.iter().rev().take(count)
    }

    /// Takes out a message that never expires. Those behind it move up.
    pub(crate) fn take_back(&mut self, place: usize) {
        if let Some(message) = self.messages.remove(place) {
            self.discount(&message);
            self.lease.settle(self.octets);
            self.marks.take_back(place);
        }
    }

    /// The message that was pushed last is given up at that time, if it is still here.
    pub(crate) fn expire_last(&mut self, expires: Instant) {
        let mark = Mark {
            expires: Some(expires),
            slip: None,
        };
        self.marks.mark(self.messages.len() - 1, mark);
    }

    /// Whether a message may expire.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.marks.is_timed()
    }

    /// Before this nothing expires.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.marks.earliest()
    }

    /// Takes out the messages whose time has passed. Returns the places where they stood, ascending.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<usize> {
        let expired = self.marks.expire(now, 0);
        let (octets, frames) = take_out(&mut self.messages, &expired);
        self.octets -= octets;
        self.frames -= frames;
        self.lease.settle(self.octets);
        self.taken += expired.len() as u64;
        expired
    }

    /// Gives back the memory of an empty queue.
    pub(crate) fn shed(&mut self) {
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }

    /// Whether the link may be read again; says so once for each pause.
    #[inline]
    pub(crate) fn resume(&mut self) -> bool {
        self.is_paused() && self.end_pause()
    }

    fn end_pause(&mut self) -> bool {
        let messages = self.messages.len();
        let rests = self.is_above(self.limit.half(), messages)
            || self.is_hollow(messages)
            || (self.starved && self.lease.is_over());
        let resumes = self.messages.is_empty() || !rests;
        if resumes {
            (self.paused, self.starved) = (false, false);
        }
        resumes
    }

    /// As [`resume`](Self::resume), when nothing more is to be kept.
    pub(crate) fn release(&mut self) -> bool {
        let paused = self.is_paused();
        (self.paused, self.starved) = (false, false);
        paused
    }

    #[inline]
    fn is_above(&self, limit: Limit, messages: usize) -> bool {
        messages >= limit.messages || self.octets >= limit.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Incoming;
    use crate::context::{Context, FREE};
    use crate::message::Message;
    use crate::options::Limit;

    #[test]
    fn it_pauses_at_its_limit_and_resumes_once_below_half() {
        let mut incoming = Incoming::new(
            Limit {
                messages: 4,
                bytes: 1 << 20,
            },
            Context::new().lease(),
        );
        for _ in 0..3 {
            incoming.push(Message::from("m"));
            assert!(!incoming.is_paused());
        }
        incoming.push(Message::from("m"));
        assert!(incoming.is_paused());
        incoming.pop();
        incoming.pop();
        assert!(!incoming.resume(), "half of four are still there");
        incoming.pop();
        assert!(incoming.resume());
        assert!(!incoming.resume());
    }

    #[test]
    fn a_message_above_the_limit_in_octets_does_not_pause_for_ever() {
        let mut incoming = Incoming::new(
            Limit {
                messages: 10,
                bytes: 1,
            },
            Context::new().lease(),
        );
        incoming.push(Message::from("larger than one octet"));
        assert!(incoming.is_paused());
        incoming.pop();
        assert!(incoming.resume());
    }

    #[test]
    fn it_pauses_when_the_budget_is_used_up_and_resumes_when_it_holds_little() {
        let context = Context::builder().budget(64 << 10).build();
        let limit = Limit {
            messages: 1_000,
            bytes: 1 << 20,
        };
        let mut incoming = Incoming::new(limit, context.lease());
        while !incoming.is_paused() {
            incoming.push(Message::from(vec![0; 1_000]));
        }
        assert!(incoming.is_starved());
        assert!(context.used() > 64 << 10);
        let mut left = incoming.len();
        while !incoming.resume() {
            incoming.pop();
            left = incoming.len();
        }
        assert!(left * 1_000 <= FREE.max(64 << 10), "{left}");
    }

    /// BI-39.
    #[test]
    fn it_pauses_when_it_is_made_of_empty_frames() {
        let empty = Message::from_frames(vec![bytes::Bytes::new(); 1_000]);
        let empty = empty.expect("there are frames");
        let limit = Limit {
            messages: 1_000,
            bytes: 8 << 20,
        };
        let mut incoming = Incoming::new(limit, Context::new().lease());
        while !incoming.is_paused() {
            incoming.push(empty.clone());
        }
        assert_eq!(incoming.len(), 5, "of 64,000 octets each");
        incoming.pop();
        assert!(incoming.resume());
        let plain = Message::from(vec![7; 100_000]);
        incoming.push(plain);
        incoming.push(empty);
        assert!(!incoming.is_paused(), "most of it is no frames");
    }

    /// BI-39.
    #[test]
    fn an_empty_frame_is_not_free() {
        let message = Message::from_frames(vec![bytes::Bytes::new(); 100]);
        let message = message.expect("there are frames");
        assert_eq!(super::footprint(&message), 6_400);
    }
}
