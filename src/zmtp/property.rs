//! Properties of the codec: what holds for all messages and commands, and for octets of any kind.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::command::{Command, CommandError, encode_subscription};
use super::decode::{Decoder, MAX_COMMAND, ProtocolError};
use super::frame::{
    COMMAND, FrameError, Header, MORE, encode_frame, encode_header, encode_message, encoded_length,
};
use super::greeting::{Greeting, GreetingError, LENGTH, OURS};
use super::metadata::{MAX_PROPERTIES, Metadata, MetadataError};
use crate::message::Message;

const MAX: usize = 1 << 20;

/// What comes out of a decoder, in its order.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Message(Message),
    Command(Command),
    Fault(ProtocolError),
}

/// Bodies on both sides of 255 octets, the small ones more often.
fn body() -> impl Strategy<Value = Bytes> {
    let octets = prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 250..260),
        1 => vec(any::<u8>(), 0..1_500),
    ];
    octets.prop_map(Bytes::from)
}

fn message() -> impl Strategy<Value = Message> {
    vec(body(), 1..6).prop_map(|frames| Message::from_frames(frames).expect("one frame at least"))
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let names = proptest::collection::btree_set("[a-z0-9._+-]{1,20}", 0..8);
    (names, vec(body(), 8)).prop_map(|(names, values)| {
        let mut metadata = Metadata::default();
        for (name, value) in names.iter().zip(values) {
            metadata.insert(name, value.slice(..value.len().min(300)));
        }
        metadata
    })
}

fn command() -> impl Strategy<Value = Command> {
    let context = || vec(any::<u8>(), 0..=16).prop_map(Bytes::from);
    prop_oneof![
        metadata().prop_map(Command::Ready),
        "[ -~]{0,255}".prop_map(Command::Error),
        (any::<u16>(), context()).prop_map(|(ttl_deciseconds, context)| Command::Ping {
            ttl_deciseconds,
            context
        }),
        context().prop_map(|context| Command::Pong { context }),
        body().prop_map(Command::Subscribe),
        body().prop_map(Command::Cancel),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<Item>> {
    let item = prop_oneof![
        3 => message().prop_map(Item::Message),
        1 => command().prop_map(Item::Command),
    ];
    vec(item, 0..12)
}

fn octets_of(items: &[Item]) -> Vec<u8> {
    let mut octets = Vec::new();
    for item in items {
        match item {
            Item::Message(message) => encode_message(message, &mut octets),
            Item::Command(command) => command.encode(&mut octets),
            Item::Fault(fault) => unreachable!("{fault} is not said"),
        }
    }
    octets
}

fn body_of(command: &Command) -> Bytes {
    let mut octets = Vec::new();
    command.encode(&mut octets);
    let (_, size) = Header::parse(&octets).expect("sound").expect("whole");
    Bytes::from(octets).slice(size..)
}

/// What comes out where the octets come in pieces that end at these places.
fn decoded(octets: &[u8], cuts: &[usize], max: usize, frames: usize) -> Vec<Item> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (octets.len() + 1)).collect();
    cuts.push(octets.len());
    cuts.sort_unstable();
    let mut decoder = Decoder::new(max, frames);
    let (mut items, mut input, mut start) = (Vec::new(), BytesMut::new(), 0);
    for cut in cuts {
        input.extend_from_slice(&octets[start..cut]);
        start = cut;
        loop {
            let mut messages = Vec::new();
            let next = decoder.decode(&mut input, &mut messages);
            items.extend(messages.into_iter().map(Item::Message));
            match next {
                Ok(Some(command)) => items.push(Item::Command(command)),
                Ok(None) => break,
                Err(fault) => {
                    items.push(Item::Fault(fault));
                    return items;
                }
            }
        }
    }
    items
}

/// Octets that begin as frames do, as often as not.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        (0_u8..8, body()).prop_map(|(flags, body)| {
            let mut octets = Vec::new();
            encode_frame(flags & (MORE | COMMAND), &body, &mut octets);
            octets
        }),
        command().prop_map(|command| octets_of(&[Item::Command(command)])),
        vec(any::<u8>(), 0..12),
    ];
    vec(frame, 0..8).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(crate::property::cases(64))]

    /// Z17, Z20.
    #[test]
    fn a_header_is_read_as_it_was_written(flags in 0_u8..3, length in 0..=usize::MAX >> 1) {
        let flags = [0, MORE, COMMAND][usize::from(flags)];
        let (octets, size) = encode_header(flags, length);
        let (header, read) = Header::parse(&octets[..size]).expect("sound").expect("whole");
        prop_assert_eq!(read, size);
        prop_assert_eq!(header.more, flags == MORE);
        prop_assert_eq!(header.command, flags == COMMAND);
        prop_assert_eq!(header.length, length as u64);
        prop_assert_eq!(Header::size(octets[0]), size);
    }

    #[test]
    fn a_header_never_reaches_beyond_the_octets_and_does_not_depend_on_what_follows(
        octets in vec(any::<u8>(), 0..20)
    ) {
        for end in 0..=octets.len() {
            match Header::parse(&octets[..end]) {
                Ok(None) => {}
                Ok(Some((header, size))) => {
                    prop_assert!(size <= end);
                    prop_assert_eq!(Header::parse(&octets), Ok(Some((header, size))));
                }
                Err(fault) => prop_assert_eq!(Header::parse(&octets), Err(fault)),
            }
        }
    }

    /// Z20: the reserved bits, and MORE on a command.
    #[test]
    fn flags_that_are_none_are_refused_by_the_first_octet(
        flags in any::<u8>(), rest in vec(any::<u8>(), 0..9)
    ) {
        let octets = [&[flags][..], &rest].concat();
        let parsed = Header::parse(&octets);
        if flags & 0xf8 != 0 {
            prop_assert_eq!(parsed, Err(FrameError::ReservedFlags(flags & 0xf8)));
        } else if flags & 0x05 == 0x05 {
            prop_assert_eq!(parsed, Err(FrameError::MoreOnCommand));
        } else {
            prop_assert!(matches!(parsed, Ok(_) | Err(FrameError::Length)));
        }
    }

    #[test]
    fn the_length_of_a_message_is_told_before_it_is_written(message in message()) {
        let mut octets = Vec::new();
        encode_message(&message, &mut octets);
        prop_assert_eq!(octets.len(), encoded_length(&message));
    }

    /// Z22.
    #[test]
    fn a_conversation_comes_out_as_it_was_put_in(items in conversation()) {
        prop_assert_eq!(decoded(&octets_of(&items), &[], MAX, 8), items);
    }

    /// BI-42.
    #[test]
    fn a_conversation_comes_out_the_same_in_whatever_pieces_it_comes(
        items in conversation(), cuts in vec(any::<usize>(), 0..30)
    ) {
        prop_assert_eq!(decoded(&octets_of(&items), &cuts, MAX, 8), items);
    }

    #[test]
    fn the_beginning_of_a_conversation_is_incomplete_and_no_fault(
        items in conversation(), end in any::<usize>()
    ) {
        let octets = octets_of(&items);
        let end = end % (octets.len() + 1);
        let begun = decoded(&octets[..end], &[], MAX, 8);
        prop_assert!(begun.len() <= items.len());
        prop_assert_eq!(&begun[..], &items[..begun.len()]);
    }

    #[test]
    fn whatever_octets_come_the_pieces_do_not_matter(
        octets in nearly_frames(), cuts in vec(any::<usize>(), 0..20)
    ) {
        let whole = decoded(&octets, &[], 2_000, 4);
        prop_assert_eq!(decoded(&octets, &cuts, 2_000, 4), whole);
    }

    #[test]
    fn no_more_octets_come_out_than_went_in(octets in nearly_frames()) {
        let mut size = 0;
        for item in decoded(&octets, &[], MAX, 8) {
            size += match item {
                Item::Message(message) => encoded_length(&message),
                Item::Command(command) => body_of_known(&command),
                Item::Fault(_) => 0,
            };
        }
        prop_assert!(size <= octets.len());
    }

    #[test]
    fn a_message_passes_at_its_limit_in_octets_and_is_refused_one_below(message in message()) {
        let mut octets = Vec::new();
        encode_message(&message, &mut octets);
        let size = message.size();
        prop_assert_eq!(decoded(&octets, &[], size, 8), [Item::Message(message)]);
        if let Some(limit) = size.checked_sub(1) {
            let last = decoded(&octets, &[], limit, 8).pop();
            prop_assert_eq!(last, Some(Item::Fault(ProtocolError::MessageTooBig { limit })));
        }
    }

    #[test]
    fn a_message_passes_at_its_limit_in_frames_and_is_refused_one_below(message in message()) {
        let mut octets = Vec::new();
        encode_message(&message, &mut octets);
        let frames = message.frames().len();
        prop_assert_eq!(decoded(&octets, &[], MAX, frames), [Item::Message(message)]);
        let limit = frames - 1;
        let last = decoded(&octets, &[], MAX, limit).pop();
        prop_assert_eq!(last, Some(Item::Fault(ProtocolError::TooManyFrames { limit })));
    }

    /// BI-33.
    #[test]
    fn a_command_above_its_limit_is_refused_by_its_header_alone(more in 1_u64..1 << 40) {
        let length = MAX_COMMAND + more;
        let (header, size) = encode_header(COMMAND, usize::try_from(length).expect("64 bits"));
        let last = decoded(&header[..size], &[], MAX, 8).pop();
        prop_assert_eq!(last, Some(Item::Fault(ProtocolError::CommandTooBig(length))));
    }

    #[test]
    fn what_a_frame_lacks_is_told_to_the_octet(body in body(), end in any::<usize>()) {
        let mut octets = Vec::new();
        encode_frame(0, &body, &mut octets);
        let end = end % octets.len();
        let mut decoder = Decoder::new(MAX, 8);
        let mut input = BytesMut::from(&octets[..end]);
        prop_assert_eq!(decoder.decode(&mut input, &mut Vec::new()), Ok(None));
        if end >= Header::size(octets[0]) {
            prop_assert_eq!(decoder.wanted(), octets.len() - end);
        } else if end > 0 {
            prop_assert_eq!(decoder.wanted(), Header::size(octets[0]) - end);
        } else {
            prop_assert_eq!(decoder.wanted(), 0);
        }
    }

    /// Z21, H01, H02.
    #[test]
    fn a_command_is_read_as_it_was_written(command in command()) {
        prop_assert_eq!(Command::parse(&body_of(&command)), Ok(command));
    }

    #[test]
    fn what_octets_mean_as_a_command_is_what_its_own_encoding_means(
        name in "READY|ERROR|PING|PONG|SUBSCRIBE|CANCEL|OTHER", data in vec(any::<u8>(), 0..30)
    ) {
        let body = [&[name.len() as u8], name.as_bytes(), &data].concat();
        if let Ok(command) = Command::parse(&body.into())
            && command != Command::Unknown
        {
            prop_assert_eq!(Command::parse(&body_of(&command)), Ok(command));
        }
    }

    #[test]
    fn a_name_that_is_not_of_letters_is_no_command(octets in vec(any::<u8>(), 0..30)) {
        let sound = octets.split_first().is_some_and(|(length, rest)| {
            let name = rest.get(..usize::from(*length)).unwrap_or_default();
            !name.is_empty() && name.iter().all(u8::is_ascii_alphabetic)
        });
        let parsed = Command::parse(&octets.into());
        prop_assert_eq!(parsed == Err(CommandError::Name), !sound);
    }

    #[test]
    fn a_reason_of_any_text_is_read_as_printable_text_of_at_most_255_octets(reason in any::<String>()) {
        let body = body_of(&Command::Error(reason.clone()));
        let Ok(Command::Error(read)) = Command::parse(&body) else {
            return Err(TestCaseError::fail("it is an ERROR"));
        };
        prop_assert!(read.len() <= 255);
        prop_assert!(read.bytes().all(|octet| (b' '..=b'~').contains(&octet)));
        prop_assert_eq!(read.len(), reason.floor_char_boundary(255));
    }

    /// H01, H02.
    #[test]
    fn a_context_has_at_most_16_octets(context in vec(any::<u8>(), 0..40)) {
        let long = context.len() > 16;
        let ping = [&b"\x04PING\0\x01"[..], &context].concat();
        prop_assert_eq!(Command::parse(&ping.into()) == Err(CommandError::LongContext), long);
        let pong = [&b"\x04PONG"[..], &context].concat();
        prop_assert_eq!(Command::parse(&pong.into()) == Ok(Command::Unknown), long);
    }

    #[test]
    fn a_subscription_means_the_same_in_the_words_of_both_versions(
        subscribe in any::<bool>(), topic in body()
    ) {
        let wanted = match subscribe {
            true => Command::Subscribe(topic.clone()),
            false => Command::Cancel(topic.clone()),
        };
        let mut octets = Vec::new();
        encode_subscription((3, 1), subscribe, &topic, &mut octets);
        prop_assert_eq!(decoded(&octets, &[], MAX, 8), [Item::Command(wanted.clone())]);
        octets.clear();
        encode_subscription((3, 0), subscribe, &topic, &mut octets);
        let [Item::Message(message)] = &decoded(&octets, &[], MAX, 8)[..] else {
            return Err(TestCaseError::fail("3.0 says it as a message"));
        };
        prop_assert_eq!(Command::from_message(message), Some(wanted));
    }

    /// N04, N12.
    #[test]
    fn properties_are_read_as_they_were_written(metadata in metadata()) {
        let mut octets = Vec::new();
        metadata.encode(&mut octets);
        prop_assert_eq!(Metadata::parse(&octets), Ok(metadata));
    }

    #[test]
    fn octets_that_are_properties_are_what_they_encode_to(octets in vec(0_u8..100, 0..60)) {
        if let Ok(metadata) = Metadata::parse(&octets) {
            let mut again = Vec::new();
            metadata.encode(&mut again);
            prop_assert_eq!(again, octets);
        }
    }

    /// N05.
    #[test]
    fn a_property_that_stands_there_twice_is_refused_in_whatever_case(
        metadata in metadata(), place in any::<prop::sample::Index>(), upper in any::<bool>()
    ) {
        let names: Vec<String> = metadata.iter().map(|(name, _)| name.to_owned()).collect();
        prop_assume!(!names.is_empty());
        let name = place.get(&names);
        let name = if upper { name.to_uppercase() } else { name.clone() };
        let mut twice = metadata;
        twice.insert(&name, Bytes::new());
        let mut octets = Vec::new();
        twice.encode(&mut octets);
        prop_assert_eq!(Metadata::parse(&octets), Err(MetadataError::Duplicate));
    }

    #[test]
    fn properties_are_refused_from_the_first_that_is_too_many(count in 0..2 * MAX_PROPERTIES) {
        let mut metadata = Metadata::default();
        (0..count).for_each(|number| metadata.insert(&format!("p{number}"), Bytes::new()));
        let mut octets = Vec::new();
        metadata.encode(&mut octets);
        let refused = Metadata::parse(&octets) == Err(MetadataError::TooMuch);
        prop_assert_eq!(refused, count > MAX_PROPERTIES);
    }

    /// Z02, Z04, Z10, Z11: padding, a later version, role and filler do not matter; the rest does,
    /// as soon as it is there.
    #[test]
    fn a_greeting_is_judged_by_each_octet_that_matters_and_no_other(
        place in 0..LENGTH, octet in any::<u8>()
    ) {
        let mut octets = OURS;
        octets[place] = octet;
        let wanted = match place {
            0 if octet != 0xff => Err(GreetingError::Signature),
            9 if octet & 1 == 0 => Err(GreetingError::Signature),
            10 if octet < 3 => Err(GreetingError::UnsupportedVersion(octet)),
            12..32 if octet != OURS[place] => Err(GreetingError::Mechanism),
            _ => Ok(Some(Greeting { version: (octets[10], octets[11]) })),
        };
        prop_assert_eq!(Greeting::parse(&octets), wanted);
        for end in 0..LENGTH {
            let refused = wanted.is_err() && end > place;
            let early = if refused { wanted } else { Ok(None) };
            prop_assert_eq!(Greeting::parse(&octets[..end]), early, "the first {}", end);
        }
    }
}

/// The octets of the body of a command that was understood.
fn body_of_known(command: &Command) -> usize {
    match command {
        Command::Unknown => 0,
        command => body_of(command).len(),
    }
}
