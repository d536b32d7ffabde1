//! The handshake against golden octets, every illegal pair, and cuts at every octet.

use bytes::{Bytes, BytesMut};

use super::{Handshake, HandshakeError, Local, Peer};
use crate::message::Message;
use crate::options::{Identity, SocketType};
use crate::zmtp::command::{Command, CommandError};
use crate::zmtp::decode::Decoder;
use crate::zmtp::frame::{COMMAND, FrameError, encode_frame};
use crate::zmtp::greeting::{GreetingError, OURS};
use crate::zmtp::metadata::{Metadata, MetadataError};

/// Octets of libzmq 4.3.5, taken on a raw Python socket from pyzmq 27.3.0: the
/// greeting of a DEALER whose routing id has five octets (octet 8 tells it, in
/// padding that ZMTP 3 does not read).
const LIBZMQ_GREETING: &[u8; 64] = b"\xff\0\0\0\0\0\0\0\x06\x7f\x03\x01NULL\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Its READY.
const LIBZMQ_READY: &[u8] =
    b"\x04\x2e\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x05web-7";
/// The READY of a ROUTER without a routing id.
const LIBZMQ_ROUTER_READY: &[u8] =
    b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0";
/// The READY of a PUSH, and the messages `one` and `a`, empty, 300 times `c`.
const LIBZMQ_PUSH_READY: &[u8] = b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PUSH";
const LIBZMQ_MESSAGES: &[u8] = b"\0\x03one\x01\x01a\x01\0\x02\0\0\0\0\0\0\x01\x2c";
/// The READY of a PULL with a heartbeat TTL of 1 s, and its first PING.
const LIBZMQ_PULL_PING: &[u8] =
    b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PULL\x04\x07\x04PING\0\x0a";
/// Its answer to a PING with the context `abc`.
const LIBZMQ_PONG: &[u8] = b"\x04\x08\x04PONGabc";

fn handshake(socket_type: SocketType) -> Handshake {
    Handshake::new(Local {
        socket_type,
        identity: None,
        metadata: [].into(),
    })
}

fn frame(command: &Command) -> Vec<u8> {
    let mut octets = Vec::new();
    command.encode(&mut octets);
    octets
}

fn ready(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let mut metadata = Metadata::default();
    for (name, value) in properties {
        metadata.insert(name, Bytes::copy_from_slice(value));
    }
    frame(&Command::Ready(metadata))
}

fn greeted(after: &[u8]) -> Vec<u8> {
    [&OURS[..], after].concat()
}

/// The outcome for a socket of this type when it reads these octets at once.
fn outcome(local: SocketType, octets: &[u8]) -> Result<Option<Peer>, HandshakeError> {
    handshake(local).receive(&mut BytesMut::from(octets))
}

#[track_caller]
fn assert_refused(local: SocketType, octets: &[u8], error: HandshakeError) {
    assert_eq!(outcome(local, octets), Err(error));
}

/// Z02, Z08, BI-10, BI-13: nothing is waited for before the whole greeting goes out.
#[test]
fn the_whole_greeting_goes_out_before_anything_is_read() {
    let mut handshake = handshake(SocketType::Push);
    assert_eq!(handshake.outgoing(), OURS);
    assert!(handshake.outgoing().is_empty());
}

/// N01, N03: in either role, on the peer's greeting alone.
#[test]
fn ready_goes_out_as_soon_as_the_peers_greeting_is_read() {
    let mut handshake = handshake(SocketType::Push);
    handshake.outgoing();
    let mut input = BytesMut::new();
    for octet in OURS {
        assert!(handshake.outgoing().is_empty());
        input.extend_from_slice(&[octet]);
        assert_eq!(handshake.receive(&mut input), Ok(None));
    }
    // N07; the octets of libzmq's PUSH.
    assert_eq!(handshake.outgoing(), LIBZMQ_PUSH_READY);
}

/// N10.
#[test]
fn an_identity_is_announced_by_the_types_that_have_one() {
    for (socket_type, announced) in [
        (SocketType::Dealer, true),
        (SocketType::Router, true),
        (SocketType::Req, true),
        (SocketType::Push, false),
        (SocketType::Sub, false),
    ] {
        let mut handshake = Handshake::new(Local {
            socket_type,
            identity: Some(Identity::new("web-7").unwrap()),
            metadata: [].into(),
        });
        handshake.receive(&mut BytesMut::from(&OURS[..])).unwrap();
        let out = handshake.outgoing();
        let found = out.windows(5).any(|window| window == b"web-7");
        assert_eq!(found, announced, "{socket_type}");
        if socket_type == SocketType::Dealer {
            assert_eq!(&out[64..], LIBZMQ_READY);
        }
    }
}

#[test]
fn libzmqs_dealer_is_understood_with_its_identity() {
    let octets = [&LIBZMQ_GREETING[..], LIBZMQ_READY].concat();
    let peer = outcome(SocketType::Router, &octets).unwrap().unwrap();
    assert_eq!(peer.version, (3, 1));
    assert_eq!(peer.socket_type, SocketType::Dealer);
    assert_eq!(peer.identity, Some(Identity::new("web-7").unwrap()));
    assert_eq!(peer.properties.iter().count(), 2);

    let peer = outcome(SocketType::Dealer, &greeted(LIBZMQ_ROUTER_READY));
    assert_eq!(peer.unwrap().unwrap().identity, None);
}

#[test]
fn what_libzmq_sends_after_its_ready_is_left_to_the_decoder_and_understood() {
    let body = [b'c'; 300];
    let octets = [&OURS[..], LIBZMQ_PUSH_READY, LIBZMQ_MESSAGES, &body].concat();
    let mut input = BytesMut::from(&octets[..]);
    let peer = handshake(SocketType::Pull).receive(&mut input).unwrap();
    assert_eq!(peer.map(|peer| peer.socket_type), Some(SocketType::Push));
    let mut messages = Vec::new();
    let mut decoder = Decoder::new(1_000, 8);
    assert_eq!(decoder.decode(&mut input, &mut messages), Ok(None));
    let mut multipart = Message::from("a");
    multipart.push_back("");
    multipart.push_back(body.to_vec());
    assert_eq!(messages, [Message::from("one"), multipart]);
}

/// H01, H02.
#[test]
fn libzmqs_ping_and_pong_are_understood() {
    let mut input = BytesMut::from(&greeted(LIBZMQ_PULL_PING)[..]);
    handshake(SocketType::Push).receive(&mut input).unwrap();
    input.extend_from_slice(LIBZMQ_PONG);
    let mut decoder = Decoder::new(1_000, 8);
    let mut next = || decoder.decode(&mut input, &mut Vec::new());
    let ping = Command::Ping {
        ttl_deciseconds: 10,
        context: Bytes::new(),
    };
    assert_eq!(next(), Ok(Some(ping)));
    let context = Bytes::from("abc");
    assert_eq!(next(), Ok(Some(Command::Pong { context })));
}

/// BI-26, BI-42: and what follows READY stays in the input.
#[test]
fn a_handshake_cut_at_any_octet_comes_out_the_same() {
    let octets = greeted(&[LIBZMQ_READY, b"\0\x03one"].concat());
    let expected = outcome(SocketType::Router, &octets);
    for cut in 0..octets.len() {
        let mut handshake = handshake(SocketType::Router);
        let mut input = BytesMut::from(&octets[..cut]);
        let mut peer = handshake.receive(&mut input);
        input.extend_from_slice(&octets[cut..]);
        if peer == Ok(None) {
            peer = handshake.receive(&mut input);
        }
        assert_eq!(peer, expected, "cut at {cut}");
        assert_eq!(&input[..], b"\0\x03one", "cut at {cut}");
        assert_eq!(handshake.receive(&mut input), Ok(None));
    }
}

/// Z05, Z06, BI-09.
#[test]
fn the_peer_has_the_version_that_it_announced() {
    for version in [(3, 0), (3, 1), (4, 0)] {
        let mut octets = greeted(&ready(&[("socket-type", b"PULL")]));
        (octets[10], octets[11]) = version;
        let peer = outcome(SocketType::Push, &octets).unwrap().unwrap();
        assert_eq!(peer.version, version);
    }
}

/// Z09, BI-03, BI-08, BI-13.
#[test]
fn a_greeting_that_is_none_ends_the_handshake_and_no_ready_is_sent() {
    let mut handshake = handshake(SocketType::Push);
    handshake.outgoing();
    let outcome = handshake.receive(&mut BytesMut::from(&b"GET /"[..]));
    assert_eq!(outcome, Err(GreetingError::Signature.into()));
    assert!(handshake.outgoing().is_empty());
    let mut curve = OURS;
    curve[12..17].copy_from_slice(b"CURVE");
    assert_refused(SocketType::Push, &curve, GreetingError::Mechanism.into());
}

/// N08, N09, BI-16: the peer is told, and ours says what it met.
#[test]
fn each_of_the_100_illegal_pairs_is_answered_with_error() {
    let mut refused = 0;
    for local in SocketType::ALL {
        for peer in SocketType::ALL {
            let mut handshake = handshake(local);
            let octets = greeted(&ready(&[("Socket-Type", peer.name().as_bytes())]));
            let outcome = handshake.receive(&mut BytesMut::from(&octets[..]));
            let sent = handshake.outgoing();
            let told = sent.windows(6).any(|window| window == b"\x05ERROR");
            assert_eq!(told, !local.accepts(peer), "{local} and {peer}");
            if told {
                refused += 1;
                let peer = peer.to_string();
                let error = HandshakeError::SocketType { local, peer };
                assert_eq!(outcome, Err(error));
            }
        }
    }
    assert_eq!(refused, 100);
}

/// N07, BI-16.
#[test]
fn a_socket_type_is_one_of_eleven_to_the_letter() {
    let local = SocketType::Push;
    for (name, peer) in [
        (&b"pull"[..], "pull"),
        (b"CLIENT", "CLIENT"),
        (b"PULL\0", "PULL\\x00"),
        (b"", ""),
        (&[b'A'; 300], "AAAAAAAAAAAAAAAA"),
    ] {
        let peer = peer.to_owned();
        let error = HandshakeError::SocketType { local, peer };
        assert_refused(local, &greeted(&ready(&[("Socket-Type", name)])), error);
    }
    let peer = String::new();
    let error = HandshakeError::SocketType { local, peer };
    assert_refused(local, &greeted(&ready(&[])), error);
}

/// N10, N11, BI-17, BI-18.
#[test]
fn a_router_refuses_an_identity_that_is_none() {
    let octets = |identity: &[u8]| {
        greeted(&ready(&[
            ("Socket-Type", b"DEALER"),
            ("Identity", identity),
        ]))
    };
    for identity in [&b"\0"[..], b"\0\0\0\0\x01", &[1; 256]] {
        assert_refused(
            SocketType::Router,
            &octets(identity),
            HandshakeError::Identity,
        );
    }
    for (identity, kept) in [(&b""[..], false), (b"a", true), (&[1; 255], true)] {
        let peer = outcome(SocketType::Router, &octets(identity))
            .unwrap()
            .unwrap();
        assert_eq!(peer.identity.is_some(), kept);
    }
    let too_big = octets(&[1; 70_000]);
    assert!(matches!(
        outcome(SocketType::Router, &too_big),
        Err(HandshakeError::TooBig(_))
    ));
}

/// N10, BI-19d.
#[test]
fn an_identity_that_means_nothing_is_ignored() {
    for (local, peer) in [
        (SocketType::Pull, SocketType::Push),
        (SocketType::Pub, SocketType::Sub),
        (SocketType::Dealer, SocketType::Dealer),
    ] {
        for identity in [&b"\0\0"[..], b"same", &[1; 256]] {
            let properties = [
                ("Socket-Type", peer.name().as_bytes()),
                ("Identity", identity),
            ];
            let met = outcome(local, &greeted(&ready(&properties)))
                .unwrap()
                .unwrap();
            assert_eq!(met.identity, None);
        }
    }
}

/// N12, N13.
#[test]
fn unknown_properties_are_kept_and_do_not_matter() {
    let octets = ready(&[
        ("X-Color", b"red"),
        ("Resource", b"a/b"),
        ("Socket-Type", b"PUSH"),
    ]);
    let peer = outcome(SocketType::Pull, &greeted(&octets))
        .unwrap()
        .unwrap();
    assert_eq!(
        peer.properties.property("x-color"),
        Some(&Bytes::from("red"))
    );
}

/// Z12, BI-37.
#[test]
fn a_message_before_ready_is_refused_at_its_header() {
    let error = HandshakeError::MessageBeforeReady;
    assert_refused(SocketType::Pull, &greeted(&[0, 200]), error);
}

/// BI-43, BI-48.
#[test]
fn another_command_before_ready_is_refused() {
    for (body, error) in [
        (&b"\x04PING\0\0"[..], HandshakeError::UnexpectedCommand),
        (b"\x05HELLO", HandshakeError::UnexpectedCommand),
        (b"", CommandError::Name.into()),
        (b"\0", CommandError::Name.into()),
        (b"\x09short", CommandError::Name.into()),
    ] {
        let mut octets = OURS.to_vec();
        encode_frame(COMMAND, body, &mut octets);
        assert_refused(SocketType::Pull, &octets, error);
    }
}

/// BI-12: the second greeting is no frame.
#[test]
fn a_greeting_sent_twice_is_refused() {
    let error = FrameError::ReservedFlags(0xf8).into();
    assert_refused(SocketType::Pull, &greeted(&OURS), error);
}

/// BI-31, BI-33, BI-47.
#[test]
fn a_ready_over_8_kibibytes_is_refused_at_its_header() {
    for length in [8_193, 65_537, 1 << 40, i64::MAX as u64] {
        let mut octets = greeted(&[0x06]);
        octets.extend_from_slice(&length.to_be_bytes());
        assert_refused(SocketType::Pull, &octets, HandshakeError::TooBig(length));
    }
}

/// BI-44: a READY whose frame is whole and whose properties are cut.
#[test]
fn a_ready_truncated_at_any_octet_is_refused() {
    let body = &LIBZMQ_READY[2..];
    for cut in 0..body.len() {
        let mut octets = OURS.to_vec();
        encode_frame(COMMAND, &body[..cut], &mut octets);
        assert!(
            outcome(SocketType::Router, &octets).is_err() || cut == 28,
            "cut at {cut}, which is not between two properties"
        );
    }
}

/// BI-45, BI-47.
#[test]
fn malformed_properties_are_refused() {
    let octets = ready(&[("Socket-Type", b"PUSH"), ("SOCKET-TYPE", b"PUSH")]);
    let error = CommandError::Ready(MetadataError::Duplicate).into();
    assert_refused(SocketType::Pull, &greeted(&octets), error);
}

/// Z13.
#[test]
fn an_error_of_the_peer_ends_the_handshake_with_its_reason() {
    let octets = greeted(&frame(&Command::Error("not today".into())));
    let error = HandshakeError::Refused("not today".into());
    assert_refused(SocketType::Pull, &octets, error);
}
