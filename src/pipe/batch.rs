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
    Encoded(Lazy<Encoded>),
    /// For a peer in this process.
    Plain(Lazy<Plain>),
}

/// What is made when it is first written to: a pipe at rest holds nothing but its place.
pub(crate) struct Lazy<T>(Option<Box<T>>);

impl<T: Default> Lazy<T> {
    pub(crate) const NOTHING: Self = Self(None);

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// What is there, from now on at least.
    #[inline]
    pub(crate) fn made(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    #[inline]
    fn count(&self, of: impl FnOnce(&T) -> usize) -> usize {
        self.get().map_or(0, of)
    }
}

impl Batch {
    pub(crate) const ENCODED: Self = Self::Encoded(Lazy::NOTHING);
    pub(crate) const PLAIN: Self = Self::Plain(Lazy::NOTHING);

    /// An empty one of the same kind.
    pub(crate) fn another(&self) -> Self {
        match self {
            Self::Encoded(_) => Self::ENCODED,
            Self::Plain(_) => Self::PLAIN,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Encoded(encoded) => encoded.get().is_none_or(Encoded::is_empty),
            Self::Plain(plain) => plain.get().is_none_or(Plain::is_empty),
        }
    }

    /// Gives up the first message, of which nothing is written. Returns
    /// whether there was one.
    pub(super) fn drop_first(&mut self) -> bool {
        match self {
            Self::Encoded(encoded) => encoded.get_mut().is_some_and(Encoded::drop_first),
            Self::Plain(plain) => plain.get_mut().is_some_and(Plain::drop_first),
        }
    }

    /// Gives back the memory of what has left.
    pub(super) fn compact(&mut self) {
        if let Self::Encoded(Lazy(Some(encoded))) = self {
            encoded.compact();
        }
    }

    /// Messages that are not yet wholly written.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.count(Encoded::messages),
            Self::Plain(plain) => plain.count(Plain::messages),
        }
    }

    /// Octets that are not yet written.
    #[inline]
    pub(crate) fn octets(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.count(Encoded::octets),
            Self::Plain(plain) => plain.count(Plain::octets),
        }
    }

    /// Octets of memory that it holds.
    #[inline]
    pub(super) fn pinned(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.count(Encoded::pinned),
            Self::Plain(plain) => plain.count(Plain::octets),
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
            Self::Encoded(encoded) => encoded.made().push(parcel.as_copied()),
            Self::Plain(plain) => plain.made().push(parcel.into_message()),
        }
    }

    /// Marks the last message.
    pub(super) fn mark_last(&mut self, mark: Mark) {
        let last = self.messages() - 1;
        if let Some(marks) = self.marks_mut() {
            marks.mark(last, mark);
        }
    }

    fn marks(&self) -> Option<&Marks> {
        match self {
            Self::Encoded(encoded) => encoded.get().map(Encoded::marks),
            Self::Plain(plain) => plain.get().map(|plain| &plain.marks),
        }
    }

    fn marks_mut(&mut self) -> Option<&mut Marks> {
        match self {
            Self::Encoded(encoded) => encoded.get_mut().map(Encoded::marks_mut),
            Self::Plain(plain) => plain.get_mut().map(|plain| &mut plain.marks),
        }
    }

    /// Whether a message in it may expire.
    pub(crate) fn is_timed(&self) -> bool {
        self.marks().is_some_and(Marks::is_timed)
    }

    /// Before this nothing in it expires.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.marks()?.earliest()
    }

    /// Takes out the messages whose time has passed and of which nothing is
    /// written; the caller counts them, and settles.
    pub(crate) fn expire(&mut self, now: Instant) -> Progress {
        match self {
            Self::Encoded(Lazy(Some(encoded))) => encoded.expire(now),
            Self::Plain(Lazy(Some(plain))) => plain.expire(now),
            Self::Encoded(_) | Self::Plain(_) => Progress::default(),
        }
    }

    /// Whether it has memory that it gives back when it has been of no use for a while.
    #[inline]
    pub(super) fn keeps_much(&self) -> bool {
        match self {
            Self::Encoded(encoded) => encoded.get().is_some_and(Encoded::keeps_much),
            Self::Plain(_) => false,
        }
    }

    /// Whether of no message that has left it is still to be said what became of it.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.marks().is_none_or(Marks::is_settled)
    }

    /// Says what became of the messages that have left; the socket's lock is not held.
    pub(crate) fn settle(&mut self, fate: Fate) {
        if let Some(marks) = self.marks_mut() {
            marks.settle(fate);
        }
    }

    /// As [`settle`](Self::settle), under the socket's lock.
    pub(super) fn settle_locked(&mut self, fate: Fate) {
        if let Some(marks) = self.marks_mut() {
            marks.settle_locked(fate);
        }
    }

    /// Puts commands before the first message of which nothing is written yet.
    pub(super) fn push_commands_front(&mut self, commands: Vec<u8>) {
        match self {
            Self::Encoded(encoded) => encoded.made().push_commands_front(commands),
            Self::Plain(plain) => plain.made().push_commands(commands),
        }
    }

    /// What the next connection may still write, and the number of messages
    /// that died because they were begun; the caller settles.
    pub(super) fn into_unwritten(self) -> (Self, usize) {
        match self {
            Self::Encoded(Lazy(Some(encoded))) => {
                let (rest, died) = encoded.into_unwritten();
                (Self::Encoded(Lazy(Some(Box::new(rest)))), died)
            }
            Self::Plain(Lazy(Some(plain))) => {
                let rest = plain.into_unwritten();
                (Self::Plain(Lazy(Some(Box::new(rest)))), 0)
            }
            nothing => (nothing, 0),
        }
    }

    /// Appends all of `later`.
    pub(super) fn append(&mut self, later: Self) {
        match (self, later) {
            (Self::Encoded(encoded), Self::Encoded(Lazy(Some(later)))) => {
                encoded.made().append(*later);
            }
            (Self::Plain(plain), Self::Plain(Lazy(Some(later)))) => plain.made().append(*later),
            (Self::Encoded(_), Self::Encoded(_)) | (Self::Plain(_), Self::Plain(_)) => {}
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
