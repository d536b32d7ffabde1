//! A message on its way into one queue or into several.

use super::encoded::SHARED_FROM;
use crate::message::Message;
use crate::zmtp::frame;

/// A parcel is made with its message, and gone when that is taken.
const TAKEN_ONCE: &str = "the message of a parcel is taken with it";

/// A message for a queue.
pub(crate) enum Parcel<'a> {
    /// For this queue alone, which takes it out unless octets of it are all that it keeps.
    Whole(&'a mut Option<Message>),
    /// For other queues, too.
    Copy(Copied<'a>),
}

/// A message that is looked at or copied: for several queues with what is worked out
/// once for all of them.
#[derive(Clone, Copy)]
pub(crate) struct Copied<'a> {
    message: &'a Message,
    /// How it goes on a wire, where that is worth keeping; empty otherwise.
    octets: &'a [u8],
}

impl<'a> Copied<'a> {
    /// For as many queues. A small message for more than one is encoded once, into `scratch`.
    pub(crate) fn new(message: &'a Message, queues: usize, scratch: &'a mut Vec<u8>) -> Self {
        scratch.clear();
        if queues > 1 && message.size() < SHARED_FROM {
            frame::encode_message(message, scratch);
        }
        let octets = scratch;
        Self { message, octets }
    }

    /// How it goes on a wire, if it was encoded.
    #[inline]
    pub(super) fn octets(&self) -> Option<&'a [u8]> {
        Some(self.octets).filter(|octets| !octets.is_empty())
    }

    #[inline]
    pub(super) fn message(&self) -> &'a Message {
        self.message
    }

    /// The octets that it takes on a wire.
    #[inline]
    pub(super) fn encoded_length(&self) -> usize {
        let known = self.octets().map(<[u8]>::len);
        known.unwrap_or_else(|| frame::encoded_length(self.message))
    }
}

impl Parcel<'_> {
    #[inline]
    pub(crate) fn message(&self) -> &Message {
        match self {
            Self::Whole(message) => message.as_ref().expect(TAKEN_ONCE),
            Self::Copy(copied) => copied.message,
        }
    }

    #[inline]
    pub(crate) fn into_message(self) -> Message {
        match self {
            Self::Whole(message) => message.take().expect(TAKEN_ONCE),
            Self::Copy(copied) => copied.message.clone(),
        }
    }

    /// For looking at it.
    #[inline]
    pub(crate) fn as_copied(&self) -> Copied<'_> {
        match self {
            Self::Whole(_) => Copied::from(self.message()),
            Self::Copy(copied) => *copied,
        }
    }
}

impl<'a> From<&'a Message> for Copied<'a> {
    #[inline]
    fn from(message: &'a Message) -> Self {
        let octets = &[];
        Self { message, octets }
    }
}

impl<'a> From<&'a Message> for Parcel<'a> {
    #[inline]
    fn from(message: &'a Message) -> Self {
        Self::Copy(message.into())
    }
}
