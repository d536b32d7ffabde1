//! Messages in a row for a peer in this process: not encoded, and their payload not copied.

use std::collections::VecDeque;

use super::incoming::footprint;
use crate::message::Message;

/// Messages as they are, in order.
#[derive(Default)]
pub(crate) struct Plain {
    messages: VecDeque<Message>,
    /// Encoded commands; they go before the messages, and belong to one connection.
    commands: Vec<u8>,
    /// What the messages count against a limit.
    octets: usize,
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
        Some((message, octets))
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
        self.messages.append(&mut later.messages);
        self.octets += later.octets;
    }
}
