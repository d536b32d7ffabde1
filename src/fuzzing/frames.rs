//! The decoder of a link against one that is slow, short and sees all octets at once.

use bytes::{Bytes, BytesMut};

use super::pieces::deliveries;
use crate::message::Message;
use crate::zmtp::command::CommandError;
use crate::zmtp::decode::{MAX_COMMAND, ProtocolError};
use crate::zmtp::frame::{FrameError, encode_message, encoded_length};
use crate::zmtp::{Command, Decoder};

/// What a link hears.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Message(Message),
    Command(Command),
}

/// All that it hears, and how it goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) heard: Vec<Heard>,
    /// Where it goes on: the frames of the message begun, their octets, and what the next frame lacks.
    end: Result<(usize, usize, usize), ProtocolError>,
}

/// What a peer may send at most: octets of a message, and its frames.
#[derive(Clone, Copy)]
struct Limits {
    size: usize,
    frames: usize,
}

/// The limits of every program, and limits that small inputs meet.
const LIMITS: [Limits; 2] = [
    Limits {
        size: 16 << 20,
        frames: 1_024,
    },
    Limits {
        size: 48,
        frames: 3,
    },
];

/// Octets of a link after its handshake: the pieces in which they come do not matter, the limits
/// hold, and what is read is written as it was.
pub fn frames(octets: &[u8]) {
    for limits in LIMITS {
        let wanted = plain(octets, limits);
        for pieces in deliveries(octets) {
            let story = listen(&pieces, limits);
            assert_eq!(story, wanted, "in {} pieces", pieces.len());
        }
        check_limits(&wanted.heard, limits);
        check_encoding(&wanted.heard, limits);
    }
}

/// What comes of these octets with the limits of every program.
pub(super) fn messages(octets: &[u8]) -> Vec<Message> {
    let story = listen(&[octets], LIMITS[0]);
    let messages = story.heard.into_iter().filter_map(|heard| match heard {
        Heard::Message(message) => Some(message),
        Heard::Command(_) => None,
    });
    messages.collect()
}

fn listen(pieces: &[&[u8]], limits: Limits) -> Story {
    let mut decoder = Decoder::new(limits.size, limits.frames);
    let mut input = BytesMut::new();
    let mut heard = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let mut messages = Vec::new();
            let outcome = decoder.decode(&mut input, &mut messages);
            heard.extend(messages.into_iter().map(Heard::Message));
            match outcome {
                Ok(Some(command)) => heard.push(Heard::Command(command)),
                Ok(None) => break,
                Err(fault) => {
                    let end = Err(fault);
                    return Story { heard, end };
                }
            }
        }
    }
    let (frames, size) = decoder.partial();
    let end = Ok((frames, size, decoder.wanted()));
    Story { heard, end }
}

/// The same, by a loop over frames that are all there or not.
fn plain(octets: &[u8], limits: Limits) -> Story {
    let mut heard = Vec::new();
    let mut begun: Vec<Bytes> = Vec::new();
    let mut rest = octets;
    let end = loop {
        let size: usize = begun.iter().map(Bytes::len).sum();
        let (flags, body) = match next_frame(rest, begun.len(), size, limits) {
            Ok(Ok((flags, body, after))) => {
                rest = after;
                (flags, Bytes::copy_from_slice(body))
            }
            Ok(Err(lacking)) => break Ok((begun.len(), size, lacking)),
            Err(fault) => break Err(fault),
        };
        if flags & 4 != 0 {
            match Command::parse(&body) {
                Ok(command) => heard.push(Heard::Command(command)),
                Err(CommandError::Name) => heard.push(Heard::Command(Command::Unknown)),
                Err(fault) => break Err(fault.into()),
            }
            continue;
        }
        begun.push(body);
        if flags & 1 == 0 {
            let message = Message::from_frames(std::mem::take(&mut begun));
            heard.extend(message.map(Heard::Message));
        }
    };
    Story { heard, end }
}

/// Flags, body and what follows, or how many octets are lacking.
type Frame<'a> = Result<(u8, &'a [u8], &'a [u8]), usize>;

fn next_frame(
    octets: &[u8],
    frames: usize,
    size: usize,
    limits: Limits,
) -> Result<Frame<'_>, ProtocolError> {
    let Some(flags) = octets.first().copied() else {
        return Ok(Err(0));
    };
    if flags & 0xf8 != 0 {
        return Err(FrameError::ReservedFlags(flags & 0xf8).into());
    }
    if flags & 5 == 5 {
        return Err(FrameError::MoreOnCommand.into());
    }
    let head = if flags & 2 == 0 { 2 } else { 9 };
    let Some(length) = octets.get(1..head) else {
        return Ok(Err(head - octets.len()));
    };
    let length = length
        .iter()
        .fold(0_u64, |length, octet| length << 8 | u64::from(*octet));
    if length >= 1 << 63 {
        return Err(FrameError::Length.into());
    }
    if flags & 4 != 0 {
        if length > MAX_COMMAND {
            return Err(ProtocolError::CommandTooBig(length));
        }
    } else if u128::from(length) + size as u128 > limits.size as u128 {
        let limit = limits.size;
        return Err(ProtocolError::MessageTooBig { limit });
    } else if frames + 1 + usize::from(flags & 1) > limits.frames {
        let limit = limits.frames;
        return Err(ProtocolError::TooManyFrames { limit });
    }
    let (length, body) = (length as usize, &octets[head..]);
    if body.len() < length {
        return Ok(Err(length - body.len()));
    }
    let (body, after) = body.split_at(length);
    Ok(Ok((flags, body, after)))
}

fn check_limits(heard: &[Heard], limits: Limits) {
    for heard in heard {
        if let Heard::Message(message) = heard {
            assert!(message.size() <= limits.size);
            assert!((1..=limits.frames).contains(&message.frames().len()));
        }
    }
}

/// Everything that was heard, said again and heard again, is the same.
fn check_encoding(heard: &[Heard], limits: Limits) {
    let mut out = Vec::new();
    for heard in heard {
        let before = out.len();
        match heard {
            Heard::Message(message) => {
                encode_message(message, &mut out);
                assert_eq!(out.len() - before, encoded_length(message));
            }
            Heard::Command(command) => command.encode(&mut out),
        }
    }
    let again = plain(&out, limits);
    assert_eq!(again.end, Ok((0, 0, 0)));
    let said = |heard: &&Heard| **heard != Heard::Command(Command::Unknown);
    assert!(again.heard.iter().eq(heard.iter().filter(said)));
}
