//! Why two implementations may differ on some octets: what in them each reads in its own way.

use std::collections::BTreeSet;

use pushsub::SocketType::{Dealer, Pub, Rep, Req, Router, XPub};

use super::cases::Case;
use crate::octets::{COMMAND, LONG, MORE};

/// The classes of differences, by the names that `docs/differences.md` explains.
pub(super) const CLASSES: &[&str] = &[
    "an older protocol",
    "a greeting that goes wrong",
    "the flags of READY",
    "the metadata of READY",
    "the identity",
    "an ERROR",
    "a reserved bit",
    "MORE on a command",
    "a limit",
    "a PING",
    "a subscription to who publishes nothing",
    "a subscription that is counted",
    "a subscription in frames",
    "an empty request",
    "what is no reply",
];

/// The class of a difference on these octets, the whole of what was said: the first that fits.
pub(super) fn class_of(case: &Case, said: &[u8]) -> Option<&'static str> {
    let mut found = Vec::new();
    if !is_of_version_3(said) {
        found.push("an older protocol");
    } else if said.len() < 64 {
        found.push("a greeting that goes wrong");
    } else {
        let mut frames = frames(&said[64..]).into_iter();
        if let Some(first) = frames.next() {
            found.extend(of_ready(case, &first));
        }
        let frames: Vec<_> = frames.collect();
        found.extend(frames.iter().filter_map(|frame| of_frame(case, frame)));
        found.extend(of_messages(case, &frames));
    }
    found.first().copied()
}

fn is_of_version_3(said: &[u8]) -> bool {
    let at = |place: usize| said.get(place).copied();
    at(0) == Some(0xff)
        && at(9).is_none_or(|octet| octet & 1 == 1)
        && at(10).is_none_or(|octet| octet >= 3)
}

/// A frame as its header has it, and as much of its body as is there.
struct Frame<'a> {
    flags: u8,
    length: u64,
    body: &'a [u8],
}

/// The frames until the octets end, the last of them perhaps cut.
fn frames(mut octets: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let [flags, rest @ ..] = octets {
        let size = if flags & LONG == 0 { 1 } else { 8 };
        let length = rest.get(..size).unwrap_or_default().iter();
        let length = length.fold(0, |length, octet| length << 8 | u64::from(*octet));
        let rest = rest.get(size..).unwrap_or_default();
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        let (body, after) = rest.split_at(whole.min(rest.len()));
        frames.push(Frame {
            flags: *flags,
            length,
            body,
        });
        octets = after;
    }
    frames
}

/// The name of a command and its data, where it has one.
fn command(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

fn of_ready(case: &Case, frame: &Frame<'_>) -> Option<&'static str> {
    if frame.flags & !LONG != COMMAND {
        return Some("the flags of READY");
    }
    if frame.length > 8 << 10 {
        return Some("a limit");
    }
    let Some((b"READY", metadata)) = command(frame.body) else {
        return None;
    };
    let Some(properties) = properties(metadata) else {
        return Some("the metadata of READY");
    };
    let names: BTreeSet<_> = properties
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    let sound = |name: &[u8]| {
        let known = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.+".contains(octet);
        !name.is_empty() && name.iter().all(known)
    };
    if names.len() < properties.len()
        || !names.contains(&b"socket-type"[..])
        || !names.iter().all(|name| sound(name))
    {
        return Some("the metadata of READY");
    }
    if properties.len() > 64 {
        return Some("a limit");
    }
    let offends = |(name, value): &(&[u8], &[u8])| {
        name.eq_ignore_ascii_case(b"identity") && (value.len() > 255 || value.first() == Some(&0))
    };
    let named = case.kind == Router && properties.iter().any(offends);
    named.then_some("the identity")
}

/// Names and values, where all of them are whole.
fn properties(mut octets: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut properties = Vec::new();
    while !octets.is_empty() {
        let (name, rest) = command(octets)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        properties.push((name, value));
        octets = rest;
    }
    Some(properties)
}

/// What in a frame after the handshake is read in two ways.
fn of_frame(case: &Case, frame: &Frame<'_>) -> Option<&'static str> {
    if frame.flags & !(MORE | LONG | COMMAND) != 0 {
        return Some("a reserved bit");
    }
    if frame.flags & COMMAND == 0 {
        return (frame.length > 16 << 20).then_some("a limit");
    }
    if frame.flags & MORE != 0 {
        return Some("MORE on a command");
    }
    if frame.length > 64 << 10 {
        return Some("a limit");
    }
    match command(frame.body)? {
        (b"ERROR", _) => Some("an ERROR"),
        (b"PING", data) => (!(2..=18).contains(&data.len())).then_some("a PING"),
        (b"SUBSCRIBE" | b"CANCEL", _) => Some(match case.kind {
            Pub | XPub => "a subscription that is counted",
            _ => "a subscription to who publishes nothing",
        }),
        _ => None,
    }
}

/// What in the messages after the handshake is read in two ways.
fn of_messages(case: &Case, frames: &[Frame<'_>]) -> Option<&'static str> {
    let frames = frames.iter().filter(|frame| frame.flags & COMMAND == 0);
    let frames: Vec<_> = frames.collect();
    let mut messages = frames.split_inclusive(|frame| frame.flags & MORE == 0);
    messages.find_map(|message| {
        let delimiter = message.iter().position(|frame| frame.length == 0);
        let is_topic = message[0].body.first().is_some_and(|octet| *octet <= 1);
        match case.kind {
            Req if message[0].length > 0 => Some("what is no reply"),
            Rep if delimiter.is_some_and(|at| at > 16) => Some("a limit"),
            Rep if delimiter == Some(message.len() - 1) => Some("an empty request"),
            XPub if message.len() > 1 => Some("a subscription in frames"),
            XPub | Pub if is_topic => Some("a subscription that is counted"),
            _ if message.len() > 1_024 => Some("a limit"),
            _ => None,
        }
    })
}

/// The classes are of what is offensive or ambiguous, not of everything.
#[test]
fn a_good_session_is_in_no_class() {
    let octets = crate::octets::session(Dealer);
    let case = Case {
        name: "good".into(),
        kind: Router,
        octets: octets.clone(),
    };
    assert_eq!(class_of(&case, &octets), None);
}
