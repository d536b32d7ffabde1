//! Octets in, messages and commands out.

use bytes::{Bytes, BytesMut};

use crate::message::Message;
use crate::zmtp::command::{Command, CommandError};
use crate::zmtp::frame::{FrameError, Header};

/// Takes messages and commands out of what a link has read.
///
/// Each round scans the headers of the complete frames that are there, takes
/// them off the buffer as one chunk, and makes every body a slice of it: a
/// one-frame message costs a share of the chunk and no allocation.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_message_size: usize,
    max_frames: usize,
    /// The frames so far of a message whose last one is not here yet.
    partial: Vec<Bytes>,
    /// The octets of those frames, as far as scanned.
    size: usize,
    /// How many there are, as far as scanned.
    frames: usize,
    /// The bodies that the scan found, as ranges of its chunk; empty between calls.
    spans: Vec<Span>,
    /// What the frame begun in the input lacks, in octets.
    wanted: usize,
}

/// The most frames of one round: bounds the scratch of a link to 6 KiB, and
/// keeps the headers in the first cache until their bodies are cut.
const ROUND: usize = 256;

/// Frames that a socket may put before those that it has read: the name of the sender.
const NAME: usize = 1;

/// The most octets of a command after the handshake.
pub(crate) const MAX_COMMAND: u64 = 64 << 10;

/// Why a link cannot be read any further. The peer's fault; the messages
/// before the fault were delivered, the one begun is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    /// A header is none.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A command is malformed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A command is longer than any command is.
    #[error("the peer announced a command of {0} octets, and 64 KiB is the most")]
    CommandTooBig(u64),
    /// A message is over the limit.
    #[error("the peer announced a message larger than the limit of {limit} octets")]
    MessageTooBig {
        /// `Options::max_message_size`.
        limit: usize,
    },
    /// A message has too many frames.
    #[error("the peer sent a message of more than {limit} frames")]
    TooManyFrames {
        /// `Options::max_frames`.
        limit: usize,
    },
}

/// Where the body of a message frame lies in the chunk.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    more: bool,
}

/// Why a scan ended.
enum Stop {
    /// No complete frame is left.
    Starved,
    /// The round is full.
    Full,
    /// A complete command, whose body starts here and ends with the chunk.
    Command(usize),
    /// The peer broke the protocol after the frames of the chunk.
    Fault(ProtocolError),
}

impl Decoder {
    /// A decoder that refuses messages over either limit.
    pub(crate) fn new(max_message_size: usize, max_frames: usize) -> Self {
        Self {
            max_message_size,
            max_frames,
            partial: Vec::new(),
            size: 0,
            frames: 0,
            spans: Vec::new(),
            wanted: 0,
        }
    }

    /// Takes what is complete out of `input` and appends the messages to `messages`.
    ///
    /// Returns a command as soon as it is met: to be called again until it
    /// says `None`, which asks for more octets. After an error the rest of
    /// `input` cannot be read.
    pub(crate) fn decode(
        &mut self,
        input: &mut BytesMut,
        messages: &mut Vec<Message>,
    ) -> Result<Option<Command>, ProtocolError> {
        loop {
            let (extent, stop) = self.scan(input);
            let mut body = Bytes::new();
            if extent > 0 {
                let chunk = input.split_to(extent).freeze();
                self.deliver(&chunk, messages);
                if let Stop::Command(start) = stop {
                    body = chunk.slice(start..);
                }
            }
            match stop {
                Stop::Starved => return Ok(None),
                Stop::Full => {}
                Stop::Command(_) => {
                    return match Command::parse(&body) {
                        // Its frame is sound, so it can be passed over.
                        Err(CommandError::Name) => Ok(Some(Command::Unknown)),
                        parsed => Ok(parsed.map(Some)?),
                    };
                }
                Stop::Fault(fault) => return Err(fault),
            }
        }
    }

    /// The frames of the message begun that were taken off the input, and their octets.
    pub(crate) fn partial(&self) -> (usize, usize) {
        (self.frames, self.size)
    }

    /// The octets that the frame begun in the input still lacks, as far as its
    /// header tells; 0 where none is begun. Only a hint: it is the peer's word.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Notes the bodies of complete message frames, and says where the last ends.
    fn scan(&mut self, octets: &[u8]) -> (usize, Stop) {
        let mut at = 0;
        self.wanted = 0;
        while self.spans.len() < ROUND {
            let rest = &octets[at..];
            let (header, size) = match Header::parse(rest) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => {
                    self.wanted = header_lacks(rest);
                    return (at, Stop::Starved);
                }
                Err(fault) => return (at, Stop::Fault(fault.into())),
            };
            // Before the body is waited for: a length alone may cost us nothing.
            if let Err(fault) = self.admit(header) {
                return (at, Stop::Fault(fault));
            }
            let length = usize::try_from(header.length).expect("admitted lengths fit");
            let available = rest.len() - size;
            if length > available {
                self.wanted = length - available;
                return (at, Stop::Starved);
            }
            let start = at + size;
            at = start + length;
            if header.command {
                return (at, Stop::Command(start));
            }
            if header.more {
                self.size += length;
                self.frames += 1;
            } else {
                self.size = 0;
                self.frames = 0;
            }
            self.spans.push(Span {
                start,
                end: at,
                more: header.more,
            });
        }
        (at, Stop::Full)
    }

    #[inline]
    fn admit(&self, header: Header) -> Result<(), ProtocolError> {
        if header.command {
            return if header.length > MAX_COMMAND {
                Err(ProtocolError::CommandTooBig(header.length))
            } else {
                Ok(())
            };
        }
        if header.length > (self.max_message_size - self.size) as u64 {
            let limit = self.max_message_size;
            return Err(ProtocolError::MessageTooBig { limit });
        }
        // A frame with MORE announces one after it.
        if self.frames + usize::from(header.more) >= self.max_frames {
            let limit = self.max_frames;
            return Err(ProtocolError::TooManyFrames { limit });
        }
        Ok(())
    }

    /// Makes messages of the scanned frames.
    fn deliver(&mut self, chunk: &Bytes, messages: &mut Vec<Message>) {
        messages.reserve(self.spans.len());
        for (place, span) in self.spans.iter().enumerate() {
            let body = chunk.slice(span.start..span.end);
            if span.more {
                if self.partial.is_empty() {
                    let here = self.spans[place..].iter().take_while(|span| span.more);
                    self.partial.reserve_exact(here.count() + 1 + NAME);
                }
                self.partial.push(body);
            } else if self.partial.is_empty() {
                messages.push(Message::new(body));
            } else {
                self.partial.push(body);
                messages.extend(Message::from_frames(std::mem::take(&mut self.partial)));
            }
        }
        self.spans.clear();
    }
}

/// What a header that is not complete lacks, in octets.
fn header_lacks(octets: &[u8]) -> usize {
    match octets {
        [] => 0,
        [flags, ..] => Header::size(*flags) - octets.len(),
    }
}

#[cfg(test)]
mod tests;
