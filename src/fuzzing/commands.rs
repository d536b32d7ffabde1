//! Commands and the properties of a READY: what is read is written as it was.

use bytes::Bytes;

use super::frames::messages;
use crate::message::Message;
use crate::zmtp::frame::Header;
use crate::zmtp::metadata::{MAX_METADATA, MAX_PROPERTIES, MetadataError};
use crate::zmtp::{Command, Metadata, encode_subscription};

/// The properties of a READY: within their limits, found in any case, written as they were read;
/// and cut anywhere they are fewer or none.
pub fn metadata(octets: &[u8]) {
    let metadata = match Metadata::parse(octets) {
        Ok(metadata) => metadata,
        Err(fault) => {
            assert!(!octets.is_empty(), "{fault}");
            assert!(octets.len() <= MAX_METADATA || fault == MetadataError::TooMuch);
            return;
        }
    };
    assert!(octets.len() <= MAX_METADATA && metadata.iter().count() <= MAX_PROPERTIES);
    let mut out = Vec::new();
    metadata.encode(&mut out);
    assert_eq!(out, octets);
    let mut ends = vec![0];
    for (name, value) in metadata.iter() {
        ends.push(ends[ends.len() - 1] + 5 + name.len() + value.len());
        assert_eq!(metadata.property(&name.to_ascii_uppercase()), Some(value));
        assert_eq!(metadata.property(&name.to_ascii_lowercase()), Some(value));
    }
    // Around the ends is where a length could be taken for another.
    for end in &ends {
        for cut in end.saturating_sub(2)..=(end + 6).min(octets.len()) {
            let parsed = Metadata::parse(&octets[..cut]);
            assert_eq!(parsed.is_ok(), ends.contains(&cut), "cut at {cut}");
        }
    }
}

/// The body of a command: what is read is written as it was, and read again is the same.
pub fn commands(octets: &[u8]) {
    let body = Bytes::copy_from_slice(octets);
    if let Ok(command) = Command::parse(&body) {
        check_command(&body, &command);
    }
    check_subscription(&body);
}

fn check_command(body: &Bytes, command: &Command) {
    let mut out = Vec::new();
    command.encode(&mut out);
    if *command == Command::Unknown {
        assert!(out.is_empty());
        return;
    }
    let (header, size) = Header::parse(&out)
        .expect("ours")
        .expect("its header is whole");
    assert!(header.command && !header.more);
    let written = Bytes::copy_from_slice(&out[size..]);
    assert_eq!(header.length, written.len() as u64);
    assert_eq!(Command::parse(&written).as_ref(), Ok(command));
    match command {
        // What cannot be printed was replaced, and what followed the reason was left out.
        Command::Error(reason) => {
            assert!(
                reason.len() <= 255 && reason.bytes().all(|octet| (b' '..=b'~').contains(&octet))
            );
            assert!(written.len() <= body.len());
        }
        Command::Ping { context, .. } | Command::Pong { context } => {
            assert!(context.len() <= 16);
            assert_eq!(written, body);
        }
        _ => assert_eq!(written, body),
    }
}

/// A topic is told to a peer of either version, and a message of one frame may be one.
fn check_subscription(topic: &Bytes) {
    for subscribe in [true, false] {
        let expected = match subscribe {
            true => Command::Subscribe(topic.clone()),
            false => Command::Cancel(topic.clone()),
        };
        let mut out = Vec::new();
        encode_subscription((3, 0), subscribe, topic, &mut out);
        let said = messages(&out);
        assert_eq!(said.len(), 1);
        assert_eq!(Command::from_message(&said[0]), Some(expected.clone()));
        let mut out = Vec::new();
        encode_subscription((3, 1), subscribe, topic, &mut out);
        let size = Header::size(out[0]);
        assert_eq!(
            Command::parse(&Bytes::copy_from_slice(&out[size..])),
            Ok(expected)
        );
    }
    let message = Message::new(topic.clone());
    match (Command::from_message(&message), topic.first()) {
        (Some(Command::Subscribe(rest)), Some(1)) | (Some(Command::Cancel(rest)), Some(0)) => {
            assert_eq!(rest, topic[1..]);
        }
        (None, first) => assert!(first.is_none_or(|first| *first > 1)),
        other => unreachable!("{other:?}"),
    }
}
