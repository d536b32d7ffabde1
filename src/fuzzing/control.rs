//! The four frames of a service message: what is read is written as it was, but for what is reserved.

use bytes::Bytes;

use super::frames::messages;
use crate::message::Message;
use crate::service::Headers;
use crate::service::envelope::{ClientId, Envelope};
use crate::service::wire::{Control, Kind, WireError, salvage, skim};

/// Octets as a control frame and as headers, and as those of a link that has service messages.
pub fn control(octets: &[u8]) {
    let frame = Bytes::copy_from_slice(octets);
    check_control(&frame);
    check_headers(&frame);
    check_client(&frame);
    for message in messages(octets) {
        check_envelope(message);
    }
}

/// The octets before the three names, and those of their lengths.
const HEAD: usize = 72;
const LENGTHS: usize = 4;

fn check_control(frame: &Bytes) {
    let told = Control::decode(frame);
    let skimmed = skim(frame);
    match &told {
        Ok(control) => {
            let names = control.service.as_str().len() + control.method.as_str().len();
            assert_eq!(
                frame.len(),
                HEAD + LENGTHS + names + control.key.as_bytes().len()
            );
            assert_eq!(skimmed, Some((control.kind, control.id)));
            let again = control.encode();
            assert_eq!(reserved_zero(&again), reserved_zero(frame));
            assert_eq!(Control::decode(&again).as_ref(), Ok(control));
        }
        Err(WireError::Version(version)) => assert!(*version != 1 && frame[0] == *version),
        Err(WireError::Kind(kind)) => assert_eq!((frame[1], skimmed), (*kind, None)),
        Err(WireError::Frames(_) | WireError::Topic) => unreachable!("of an envelope"),
        Err(WireError::Trailing | WireError::Utf8) => assert!(frame.len() > HEAD),
        Err(WireError::Truncated) => {}
    }
    if let Some((kind, _)) = salvage(frame) {
        assert!(matches!(kind, Kind::Request | Kind::Probe));
        assert!(frame.len() >= 24);
    }
}

/// The frame with zeros for the flags that mean nothing yet and the two octets that are reserved.
fn reserved_zero(frame: &Bytes) -> Vec<u8> {
    let mut octets = frame.to_vec();
    octets[2] = 0;
    octets[3] &= 1;
    octets[58..60].fill(0);
    octets
}

fn check_headers(frame: &Bytes) {
    let Ok(headers) = Headers::decode(frame) else {
        return;
    };
    assert_eq!(headers.is_empty(), headers.iter().next().is_none());
    let octets: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(octets <= frame.len());
    // Written, they are no longer than they were.
    let again = headers.encode().expect("they were within the limit");
    assert!(again.len() <= frame.len());
    assert_eq!(Headers::decode(&again), Ok(headers));
}

fn check_client(frame: &Bytes) {
    if let Ok(client) = ClientId::new(frame) {
        assert!((1..=254).contains(&frame.len()) && !frame.contains(&0));
        assert_eq!(client.as_bytes(), &frame[..]);
        assert_eq!(ClientId::from_topic(client.topic()), Some(client.clone()));
    }
    if let Some(client) = ClientId::from_topic(frame) {
        assert_eq!(client.topic(), frame);
        assert_eq!(ClientId::new(client.as_bytes()), Ok(client));
    }
}

fn check_envelope(message: Message) {
    let frames = message.frames().to_vec();
    let Ok(envelope) = Envelope::decode(message) else {
        return;
    };
    let again = envelope.clone().encode();
    assert_eq!(again.frames().len(), 4);
    assert_eq!(
        [&again[0], &again[2], &again[3]],
        [&frames[0], &frames[2], &frames[3]]
    );
    assert_eq!(reserved_zero(&again[1]), reserved_zero(&frames[1]));
    assert!(envelope.topic.is_empty() || ClientId::from_topic(&envelope.topic).is_some());
    assert_eq!(Envelope::decode(again), Ok(envelope));
}
