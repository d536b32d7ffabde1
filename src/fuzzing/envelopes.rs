//! The frames before a request and its reply, on their way through REQ, ROUTER and REP.

use bytes::Bytes;

use super::frames::messages;
use crate::message::Message;
use crate::options::Identity;
use crate::routing::Identities;
use crate::socket::envelope;

/// The hops and their octets that a request may have, as the rows have them (BI-68).
const HOPS: usize = 16;
const HOP_OCTETS: usize = 64 << 10;

/// Messages of one input that are looked at: more of them tell nothing new.
const MESSAGES: usize = 16;

/// Octets of a link after its handshake: each message comes through envelopes whole.
pub fn envelopes(octets: &[u8]) {
    for message in messages(octets).into_iter().take(MESSAGES) {
        check_received(&message);
        check_reply(&message);
        check_trip(&message);
        check_routed(&message);
    }
}

/// A REP takes a request apart and its reply goes back along the same hops.
fn check_received(message: &Message) {
    let frames = message.frames();
    let delimiter = frames.iter().position(Bytes::is_empty);
    let sound = delimiter.filter(|hops| {
        *hops <= HOPS && frames[..*hops].iter().map(Bytes::len).sum::<usize>() <= HOP_OCTETS
    });
    assert_eq!(envelope::length(message), sound.map(|hops| hops + 1));
    let (hops, body) = envelope::split(message.clone());
    let cut = delimiter.map_or(0, |at| at + 1);
    assert_eq!(hops, frames[..cut]);
    match &frames[cut..] {
        [] => assert_eq!(body, Message::new(Bytes::new())),
        rest => assert_eq!(body.frames(), rest),
    }
    let reply = envelope::join(hops.clone(), &body);
    assert_eq!(reply.frames(), [&hops, body.frames()].concat());
    assert!(reply.frames().starts_with(frames));
}

/// A REQ takes a message for a reply where one is, and no other.
fn check_reply(message: &Message) {
    let expected = match message.frames() {
        [delimiter, _, ..] => delimiter.is_empty(),
        _ => false,
    };
    let reply = envelope::unwrap(message.clone(), false);
    assert_eq!(reply.is_some(), expected);
    if let Some((id, body)) = reply {
        assert_eq!(id, None);
        assert_eq!(envelope::wrap(None, &body), *message);
    }
    let expected = match message.frames() {
        [id, delimiter, _, ..] => id.len() == 4 && delimiter.is_empty(),
        _ => false,
    };
    let reply = envelope::unwrap(message.clone(), true);
    assert_eq!(reply.is_some(), expected);
    if let Some((id, body)) = reply {
        assert!(id.is_some());
        assert_eq!(envelope::wrap(id, &body), *message);
    }
}

/// REQ, some ROUTERs, REP and back: the same octets come out.
fn check_trip(message: &Message) {
    for id in [None, Some(0xffff_0000)] {
        for routers in [0, 1, HOPS - 1, HOPS] {
            let mut request = envelope::wrap(id, message);
            for hop in 0..routers {
                request.push_front(vec![0, hop as u8]);
            }
            let hops = routers + usize::from(id.is_some());
            let length = envelope::length(&request);
            assert_eq!(length, (hops <= HOPS).then_some(hops + 1));
            if length.is_none() {
                continue;
            }
            let (way, body) = envelope::split(request);
            assert_eq!(body, *message);
            let mut reply = envelope::join(way, &body);
            for hop in (0..routers).rev() {
                let (name, rest) = reply.split_first();
                assert_eq!(name, [0, hop as u8][..]);
                reply = rest.expect("the delimiter and a body");
            }
            let expected = Some((id, message.clone()));
            assert_eq!(envelope::unwrap(reply, id.is_some()), expected);
        }
    }
}

/// A ROUTER finds a peer by the first frame, where that is a name that a peer may bring or was given.
fn check_routed(message: &Message) {
    let name = message.first();
    let mut identities = Identities::new(u32::from(name.len() as u8));
    let drawn = identities.draw(0);
    assert_eq!(identities.lookup(&drawn), Some(0));
    let brought = Identity::new(name.clone());
    let sound = (1..=255).contains(&name.len()) && name[0] != 0;
    assert_eq!(brought.is_ok(), sound);
    let Ok(identity) = brought else {
        return;
    };
    assert_eq!(
        identities.lookup(name),
        None,
        "a name that was drawn is no peer's"
    );
    assert_eq!(identities.insert(&identity, 1), Ok(()));
    assert!(identities.insert(&identity, 2).is_err());
    assert_eq!(identities.lookup(name), Some(1));
    assert_eq!(identities.replace(&identity, 2), Some(1));
    let mut routed = message.clone();
    routed.push_front(drawn.clone());
    let (first, rest) = routed.split_first();
    assert_eq!(
        (identities.lookup(&first), rest.as_ref()),
        (Some(0), Some(message))
    );
    assert_eq!(identities.remove(name), Some(2));
    assert_eq!(
        (identities.lookup(name), identities.lookup(&drawn)),
        (None, Some(0))
    );
}
