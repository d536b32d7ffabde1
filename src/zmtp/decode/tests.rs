//! The decoder against limits, hostile headers and cuts at every octet.

use bytes::{Bytes, BytesMut};

use super::{Decoder, MAX_COMMAND, ProtocolError, ROUND};
use crate::message::Message;
use crate::zmtp::command::{Command, CommandError};
use crate::zmtp::frame::{COMMAND, FrameError, MORE, encode_frame, encode_message};

const MAX: usize = 1 << 20;

/// What came out, in order.
#[derive(Debug, PartialEq)]
enum Event {
    Message(Message),
    Command(Command),
    Fault(ProtocolError),
}

fn message(frames: &[&'static [u8]]) -> Message {
    Message::from_frames(
        frames
            .iter()
            .map(|frame| Bytes::from_static(frame))
            .collect(),
    )
    .unwrap()
}

fn ping() -> Command {
    Command::Ping {
        ttl_deciseconds: 10,
        context: Bytes::from("context"),
    }
}

/// Feeds the pieces one after the other, draining after each.
fn events<'a>(decoder: &mut Decoder, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut input = BytesMut::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let mut messages = Vec::new();
            let outcome = decoder.decode(&mut input, &mut messages);
            events.extend(messages.into_iter().map(Event::Message));
            match outcome {
                Ok(Some(command)) => events.push(Event::Command(command)),
                Ok(None) => break,
                Err(fault) => {
                    events.push(Event::Fault(fault));
                    return events;
                }
            }
        }
    }
    events
}

fn whole(octets: &[u8]) -> Vec<Event> {
    events(&mut Decoder::new(MAX, 8), [octets])
}

#[track_caller]
fn assert_fault(octets: &[u8], fault: ProtocolError) {
    assert_eq!(whole(octets), [Event::Fault(fault)]);
}

fn long_header(flags: u8, length: u64) -> Vec<u8> {
    let mut octets = vec![flags | 0x02];
    octets.extend_from_slice(&length.to_be_bytes());
    octets
}

/// A conversation with everything in it: short, empty and long frames,
/// multipart messages, commands before, within and after them.
fn conversation() -> (Vec<u8>, Vec<Event>) {
    let mut octets = Vec::new();
    let mut expected = Vec::new();
    let long = Message::new(vec![3; 300]);
    for single in [message(&[b"one"]), message(&[b""]), long] {
        encode_message(&single, &mut octets);
        expected.push(Event::Message(single));
    }
    ping().encode(&mut octets);
    expected.push(Event::Command(ping()));
    // BI-41: a PING between the frames of a message.
    encode_frame(MORE, b"head", &mut octets);
    ping().encode(&mut octets);
    encode_frame(MORE, b"", &mut octets);
    encode_frame(0, b"tail", &mut octets);
    expected.push(Event::Command(ping()));
    expected.push(Event::Message(message(&[b"head", b"", b"tail"])));
    // BI-34: the long form of a short message.
    octets.extend(long_header(0, 2));
    octets.extend_from_slice(b"ok");
    expected.push(Event::Message(message(&[b"ok"])));
    (octets, expected)
}

/// Z22, BI-34, BI-41.
#[test]
fn a_conversation_comes_out_as_it_was_put_in() {
    let (octets, expected) = conversation();
    assert_eq!(whole(&octets), expected);
}

/// BI-42.
#[test]
fn a_conversation_cut_at_any_octet_comes_out_the_same() {
    let (octets, expected) = conversation();
    for cut in 0..=octets.len() {
        let (head, tail) = octets.split_at(cut);
        let mut decoder = Decoder::new(MAX, 8);
        assert_eq!(events(&mut decoder, [head, tail]), expected, "cut at {cut}");
    }
}

/// BI-42.
#[test]
fn a_conversation_in_single_octets_comes_out_the_same() {
    let (octets, expected) = conversation();
    let mut decoder = Decoder::new(MAX, 8);
    assert_eq!(events(&mut decoder, octets.chunks(1)), expected);
    assert_eq!(decoder.wanted(), 0);
}

/// Z22, BI-40.
#[test]
fn a_message_cut_anywhere_is_never_delivered() {
    let mut octets = Vec::new();
    encode_message(&message(&[b"head", b"body", b"tail"]), &mut octets);
    for cut in 0..octets.len() {
        assert_eq!(whole(&octets[..cut]), [], "cut at {cut}");
    }
}

/// BI-42: more messages than a round holds, in one read.
#[test]
fn many_tiny_messages_in_one_read_all_come_out_in_order() {
    for count in [ROUND - 1, ROUND, ROUND + 1, 10 * ROUND + 7] {
        let mut octets = Vec::new();
        let numbers: Vec<_> = (0..count).map(|n| Message::new(n.to_string())).collect();
        for number in &numbers {
            encode_message(number, &mut octets);
        }
        let mut input = BytesMut::from(&octets[..]);
        let mut messages = Vec::new();
        let outcome = Decoder::new(MAX, 8).decode(&mut input, &mut messages);
        assert_eq!(outcome, Ok(None));
        assert_eq!(messages, numbers);
        assert!(input.is_empty());
    }
}

#[test]
fn a_multipart_message_across_the_end_of_a_round_is_whole() {
    for before in ROUND - 3..=ROUND {
        let mut octets = Vec::new();
        for _ in 0..before {
            encode_frame(0, b"x", &mut octets);
        }
        let multipart = message(&[b"a", b"b", b"c"]);
        encode_message(&multipart, &mut octets);
        assert_eq!(whole(&octets).pop(), Some(Event::Message(multipart)));
    }
}

/// BI-30.
#[test]
fn a_message_of_exactly_the_limit_passes_and_one_octet_more_is_refused_at_its_header() {
    let limit = 1_000;
    let mut octets = Vec::new();
    encode_frame(0, &vec![1; limit], &mut octets);
    let passed = events(&mut Decoder::new(limit, 8), [&octets[..]]);
    assert_eq!(passed, [Event::Message(Message::new(vec![1; limit]))]);

    let header = long_header(0, limit as u64 + 1);
    let refused = events(&mut Decoder::new(limit, 8), [&header[..]]);
    assert_eq!(
        refused,
        [Event::Fault(ProtocolError::MessageTooBig { limit })]
    );
}

/// BI-30, BI-38: the frames count together, whether read at once or apart.
#[test]
fn the_frames_of_a_message_share_its_limit() {
    let limit = 10;
    let mut octets = Vec::new();
    encode_frame(MORE, b"123456", &mut octets);
    octets.extend_from_slice(&[0, 5]);
    let fault = Event::Fault(ProtocolError::MessageTooBig { limit });
    for cut in 0..octets.len() {
        let (head, tail) = octets.split_at(cut);
        let refused = events(&mut Decoder::new(limit, 8), [head, tail]);
        assert_eq!(
            refused,
            [Event::Fault(ProtocolError::MessageTooBig { limit })]
        );
    }
    // The next message has the whole limit again.
    let mut octets = Vec::new();
    encode_message(&message(&[b"12345", b"67890"]), &mut octets);
    encode_message(&message(&[b"1234567890"]), &mut octets);
    octets.extend_from_slice(&[0, 11]);
    let mut seen = events(&mut Decoder::new(limit, 8), [&octets[..]]);
    assert_eq!(seen.pop(), Some(fault));
    assert_eq!(seen.len(), 2);
}

/// BI-31.
#[test]
fn absurd_lengths_are_refused_at_the_header_and_nothing_is_reserved_for_them() {
    for length in [
        1 << 31,
        1 << 32,
        (1 << 33) - 1,
        1 << 46,
        1 << 62,
        i64::MAX as u64,
    ] {
        assert_fault(
            &long_header(0, length),
            ProtocolError::MessageTooBig { limit: MAX },
        );
        assert_fault(
            &long_header(COMMAND, length),
            ProtocolError::CommandTooBig(length),
        );
    }
    for length in [1 << 63, u64::MAX] {
        assert_fault(&long_header(0, length), FrameError::Length.into());
    }
    // Even where the limit is none.
    let mut decoder = Decoder::new(usize::MAX, 8);
    let mut input = BytesMut::from(&long_header(0, 1 << 62)[..]);
    assert_eq!(decoder.decode(&mut input, &mut Vec::new()), Ok(None));
    assert_eq!(decoder.wanted(), 1 << 62);
    assert!(input.capacity() < 64);
}

/// BI-33.
#[test]
fn a_command_over_64_kibibytes_is_refused_at_its_header() {
    assert_eq!(whole(&long_header(COMMAND, MAX_COMMAND)), []);
    assert_fault(
        &long_header(COMMAND, MAX_COMMAND + 1),
        ProtocolError::CommandTooBig(MAX_COMMAND + 1),
    );
}

/// BI-38, BI-39.
#[test]
fn a_message_has_at_most_so_many_frames() {
    let limit = 8;
    let frames = |count: usize| {
        let mut octets = [MORE, 0].repeat(count - 1);
        octets.extend_from_slice(&[0, 0]);
        octets
    };
    let full = Message::from_frames(vec![Bytes::new(); limit]).unwrap();
    assert_eq!(whole(&frames(limit)), [Event::Message(full)]);
    assert_fault(&frames(limit + 1), ProtocolError::TooManyFrames { limit });
    let mut endless = Decoder::new(MAX, limit);
    let refused = events(&mut endless, [MORE, 0].repeat(1_000).chunks(2));
    assert_eq!(
        refused,
        [Event::Fault(ProtocolError::TooManyFrames { limit })]
    );
    assert!(endless.partial.len() < limit);
}

/// BI-35, BI-36, BI-12: what came before the fault is delivered first.
#[test]
fn the_messages_before_a_fault_are_delivered() {
    for (flags, fault) in [
        (0xff, FrameError::ReservedFlags(0xf8)),
        (COMMAND | MORE, FrameError::MoreOnCommand),
    ] {
        let octets = [0, 1, b'a', flags, 0];
        let expected = [
            Event::Message(message(&[b"a"])),
            Event::Fault(ProtocolError::Frame(fault)),
        ];
        assert_eq!(whole(&octets), expected);
        let mut decoder = Decoder::new(MAX, 8);
        assert_eq!(events(&mut decoder, octets.chunks(1)), expected);
    }
}

/// BI-43, BI-48, BI-50, BI-51.
#[test]
fn a_nameless_command_is_passed_over_and_a_broken_ping_is_not() {
    for body in [&b""[..], b"\0", b"\x09short", b"\x04JOIN"] {
        let mut octets = Vec::new();
        encode_frame(COMMAND, body, &mut octets);
        assert_eq!(whole(&octets), [Event::Command(Command::Unknown)]);
    }
    let mut octets = Vec::new();
    encode_frame(COMMAND, b"\x04PING\0", &mut octets);
    assert_fault(&octets, CommandError::ShortPing.into());
}

#[test]
fn what_a_frame_lacks_is_told() {
    let mut octets = Vec::new();
    encode_frame(0, &[5; 1_000], &mut octets);
    let mut decoder = Decoder::new(MAX, 8);
    let mut messages = Vec::new();
    for cut in 0..=octets.len() {
        let mut input = BytesMut::from(&octets[..cut]);
        assert_eq!(decoder.decode(&mut input, &mut messages), Ok(None));
        let expected = match cut {
            0 => 0,
            1..9 => 9 - cut,
            _ => octets.len() - cut,
        };
        assert_eq!(decoder.wanted(), expected, "cut at {cut}");
    }
    assert_eq!(messages.len(), 1);
}

#[test]
fn the_body_of_a_message_is_the_memory_that_was_read() {
    let mut input = BytesMut::from(&b"\0\x05hello\0\x05world"[..]);
    let read = input.as_ptr() as usize;
    let mut messages = Vec::new();
    Decoder::new(MAX, 8)
        .decode(&mut input, &mut messages)
        .unwrap();
    assert_eq!(messages[0].first().as_ptr() as usize, read + 2);
    assert_eq!(messages[1].first().as_ptr() as usize, read + 9);
}

/// BI-05, BI-42: octets that nobody meant, drawn from few values so that many
/// of them are frames.
#[test]
fn arbitrary_octets_come_out_the_same_however_they_are_cut() {
    const VALUES: [u8; 8] = [0, 0, 1, 1, 2, 3, 4, 0x10];
    for seed in 1..=1_000_u64 {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) as usize
        };
        let octets: Vec<u8> = (0..200).map(|_| VALUES[next() % VALUES.len()]).collect();
        let mut pieces = Vec::new();
        let mut rest = &octets[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + next() % rest.len().min(9));
            pieces.push(piece);
            rest = after;
        }
        let mut decoder = Decoder::new(20, 4);
        let expected = events(&mut Decoder::new(20, 4), [&octets[..]]);
        assert_eq!(events(&mut decoder, pieces), expected, "seed {seed}");
    }
}
