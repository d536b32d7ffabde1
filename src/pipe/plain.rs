//! Messages in a row for a peer in this process: not encoded, and their payload not copied.

use std::collections::VecDeque;
use std::time::Instant;

use super::batch::Progress;
use super::incoming::{Incoming, footprint};
use super::marks::Marks;
use crate::message::Message;

/// Messages as they are, in order.
#[derive(Default)]
pub(crate) struct Plain {
    messages: VecDeque<Message>,
    /// Encoded commands; they go before the messages, and belong to one connection.
    commands: Vec<u8>,
    /// What the messages count against a limit.
    octets: usize,
    pub(super) marks: Marks,
}

impl Plain {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.commands.is_empty()
    }

    pub(super) fn messages(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn push(&mut self, message: Message) {
        self.octets += footprint(&message);
        self.messages.push_back(message);
    }

    pub(super) fn push_commands(&mut self, mut commands: Vec<u8>) {
        self.commands.append(&mut commands);
    }

    /// The first message, and what it counted against the limit.
    pub(crate) fn pop(&mut self) -> Option<(Message, usize)> {
        let message = self.messages.pop_front()?;
        let octets = footprint(&message);
        self.octets -= octets;
        self.marks.pass(1);
        Some((message, octets))
    }

    /// Moves those in front that are admitted into `incoming`, as far as that has room.
    pub(crate) fn pass_to(
        &mut self,
        incoming: &mut Incoming,
        admits: impl Fn(&Message) -> bool,
    ) -> Progress {
        let (messages, octets) = incoming.take_from(&mut self.messages, admits);
        self.octets -= octets;
        self.marks.pass(messages);
        Progress {
            messages,
            octets,
            freed: octets,
        }
    }

    /// Takes out the messages whose time has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Progress {
        let expired = self.marks.expire(now, 0);
        let (octets, _) = take_out(&mut self.messages, &expired);
        self.octets -= octets;
        Progress {
            messages: expired.len(),
            octets,
            freed: octets,
        }
    }

    /// Gives up the first message. Returns whether there was one.
    pub(super) fn drop_first(&mut self) -> bool {
        self.pop().is_some()
    }

    /// The commands, which are to be obeyed before the next message.
    pub(crate) fn take_commands(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.commands)
    }

    pub(super) fn into_unwritten(mut self) -> Self {
        self.commands = Vec::new();
        self
    }

    pub(super) fn append(&mut self, mut later: Self) {
        self.marks.append(self.messages.len(), later.marks);
        self.messages.append(&mut later.messages);
        self.octets += later.octets;
    }
}

/// Takes out the messages at these places, ascending. Returns what they counted against a limit,
/// and their frames.
pub(super) fn take_out(messages: &mut VecDeque<Message>, places: &[usize]) -> (usize, usize) {
    let mut places = places.iter().copied().peekable();
    if places.peek().is_none() {
        return (0, 0);
    }
    let (mut octets, mut frames) = (0, 0);
    let mut place = 0;
    messages.retain(|message| {
        let goes = places.next_if_eq(&place).is_some();
        place += 1;
        if goes {
            octets += footprint(message);
            frames += message.frames().len();
        }
        !goes
    });
    (octets, frames)
}
