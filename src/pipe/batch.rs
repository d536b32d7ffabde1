//! Messages in a row for one connection: encoded for a wire, or as they are for a
//! peer in this process.

use std::time::Instant;

use super::encoded::Encoded;
use super::incoming::footprint;
use super::marks::{Mark, Marks};
use super::parcel::{Copied, Parcel};
use super::plain::Plain;
use super::receipt::Fate;

/// What waits to be written, or was taken by a writer. A pipe's batches are all of one kind.
pub(crate) enum Batch {
    /// For a wire.
    Encoded(Encoded),
    /// For a peer in this process.
    Plain(Plain),
}

impl Batch {
    /// An empty one of the same kind.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::Encoded(_) => Self::Encoded(Encoded::default()),
            Self::Plain(_) => Self::Plain(Plain::default()),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Encoded(encoded) => encoded.is_empty(),
            Self::Plain(plain) => plain.is_empty(),
        }
    }

    /// Gives up the first message, of which nothing is written. Returns
    /// whether there was one.
    pub(super) fn drop_first(&mut self) -> bool {
        match self {
            Self::Encoded(messages) => messages.drop_first(),
            Self::Plain(messages) => messages.drop_first(),
        }
    }

    /// Gives back the memory of what has left.
    pub(super) fn compact(&mut self) {
        match self {
            Self::Encoded(messages) => messages.compact(),
            Self::Plain(_) => {}
        }
    }

    /// Messages that are not yet wholly written.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.messages(),
            Self::Plain(plain) => plain.messages(),
        }
    }

    /// Octets that are not yet written.
    #[inline]
    pub(crate) fn octets(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.octets(),
            Self::Plain(plain) => plain.octets(),
        }
    }

    /// Octets of memory that it holds.
    #[inline]
    pub(super) fn pinned(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.pinned(),
            Self::Plain(plain) => plain.octets(),
        }
    }

    /// The most that it will hold more with this message.
    #[inline]
    pub(super) fn cost(&self, message: Copied<'_>) -> usize {
        match self {
            Self::Encoded(_) => Encoded::cost(message),
            Self::Plain(_) => footprint(message.message()),
        }
    }

    /// Puts a message behind all others.
    #[inline(always)]
    pub(super) fn push(&mut self, parcel: Parcel<'_>) {
        match self {
            Self::Encoded(encoded) => encoded.push(parcel.as_copied()),
            Self::Plain(plain) => plain.push(parcel.into_message()),
        }
    }

    /// Marks the last message.
    pub(super) fn mark_last(&mut self, mark: Mark) {
        let last = self.messages() - 1;
        self.marks_mut().mark(last, mark);
    }

    fn marks(&self) -> &Marks {
        match self {
            Self::Encoded(encoded) => encoded.marks(),
            Self::Plain(plain) => &plain.marks,
        }
    }

    fn marks_mut(&mut self) -> &mut Marks {
        match self {
            Self::Encoded(encoded) => encoded.marks_mut(),
            Self::Plain(plain) => &mut plain.marks,
        }
    }

    /// Whether a message in it may expire.
    pub(crate) fn is_timed(&self) -> bool {
        self.marks().is_timed()
    }

    /// Before this nothing in it expires.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.marks().earliest()
    }

    /// Takes out the messages whose time has passed and of which nothing is
    /// written; the caller counts them, and settles.
    pub(crate) fn expire(&mut self, now: Instant) -> Progress {
        match self {
            Self::Encoded(encoded) => encoded.expire(now),
            Self::Plain(plain) => plain.expire(now),
        }
    }

    /// Says what became of the messages that have left; the socket's lock is not held.
    pub(crate) fn settle(&mut self, fate: Fate) {
        self.marks_mut().settle(fate);
    }

    /// As [`settle`](Self::settle), under the socket's lock.
    pub(super) fn settle_locked(&mut self, fate: Fate) {
        self.marks_mut().settle_locked(fate);
    }

    /// Puts commands before the first message of which nothing is written yet.
    pub(super) fn push_commands_front(&mut self, commands: Vec<u8>) {
        match self {
            Self::Encoded(encoded) => encoded.push_commands_front(commands),
            Self::Plain(plain) => plain.push_commands(commands),
        }
    }

    /// What the next connection may still write, and the number of messages
    /// that died because they were begun; the caller settles.
    pub(super) fn into_unwritten(self) -> (Self, usize) {
        match self {
            Self::Encoded(encoded) => {
                let (rest, died) = encoded.into_unwritten();
                (Self::Encoded(rest), died)
            }
            Self::Plain(plain) => (Self::Plain(plain.into_unwritten()), 0),
        }
    }

    /// Appends all of `later`.
    pub(super) fn append(&mut self, later: Self) {
        match (self, later) {
            (Self::Encoded(encoded), Self::Encoded(later)) => encoded.append(later),
            (Self::Plain(plain), Self::Plain(later)) => plain.append(later),
            _ => unreachable!("the batches of a pipe are all of one kind"),
        }
    }
}

/// What a write has finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Messages wholly written.
    pub(crate) messages: usize,
    /// Octets written, those of commands and of unfinished messages included.
    pub(crate) octets: usize,
    /// Octets of memory given back.
    pub(crate) freed: usize,
}
