//! The greeting and the NULL handshake, for every type of socket and in pieces of all sizes.

use bytes::{Bytes, BytesMut};

use super::pieces::{deliveries, fingerprint};
use crate::options::{Identity, SocketType};
use crate::zmtp::frame::Header;
use crate::zmtp::greeting::{Greeting, GreetingError, LENGTH, OURS};
use crate::zmtp::handshake::HandshakeError;
use crate::zmtp::metadata::{MAX_METADATA, MAX_PROPERTIES};
use crate::zmtp::{Command, Handshake, Local, Peer};

/// The first octets of a link: a greeting is read from 64 octets by the rules of the table, and
/// what is wrong is told at the octet that is wrong, whatever follows.
pub fn greeting(octets: &[u8]) {
    let mut earlier = Ok(None);
    for length in 0..=octets.len().min(LENGTH + 8) {
        let told = Greeting::parse(&octets[..length]);
        if earlier != Ok(None) {
            assert_eq!(told, earlier, "at {length} other than before");
        }
        earlier = told;
    }
    let whole = Greeting::parse(octets);
    assert_eq!(whole, earlier, "what follows 64 octets matters");
    match whole {
        Ok(None) => assert!(octets.len() < LENGTH),
        Ok(Some(greeting)) => {
            assert!(is_sound(octets));
            assert_eq!(greeting.version, (octets[10], octets[11]));
        }
        Err(fault) => {
            assert!(octets.len() < LENGTH || !is_sound(octets));
            if let GreetingError::UnsupportedVersion(major) = fault {
                assert!(major < 3 && major == octets[10]);
            }
        }
    }
}

/// Whether these octets begin with a greeting that is no offence (37/ZMTP, Greeting).
fn is_sound(octets: &[u8]) -> bool {
    octets.len() >= LENGTH
        && octets[0] == 0xff
        && octets[9] & 1 == 1
        && octets[10] >= 3
        && octets[12..16] == *b"NULL"
        && octets[16..32].iter().all(|octet| *octet == 0)
}

/// All that comes of a handshake.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    told: Result<Option<Peer>, HandshakeError>,
    /// What the peer was sent.
    said: Vec<u8>,
    /// What follows the handshake, where there was one.
    rest: Option<Vec<u8>>,
}

/// The first octets of a link: for a ROUTER and a socket of another type, a handshake comes to
/// the same in any pieces, keeps to its limits, leaves what follows, and says what is due.
pub fn handshake(octets: &[u8]) {
    let other = fingerprint(octets) as usize % SocketType::ALL.len();
    for socket_type in [SocketType::Router, SocketType::ALL[other]] {
        let local = local(socket_type);
        let mut deliveries = deliveries(octets).into_iter();
        let first = deliveries.next().expect("one is whole");
        let outcome = shake(&local, &first);
        for pieces in deliveries {
            let again = shake(&local, &pieces);
            assert_eq!(again, outcome, "in {} pieces", pieces.len());
        }
        check(&local, octets, &outcome);
    }
}

fn local(socket_type: SocketType) -> Local {
    Local {
        socket_type,
        identity: Identity::new("fuzz").ok(),
        metadata: [("X-Fuzz".to_owned(), Bytes::from("1"))].into(),
    }
}

fn shake(local: &Local, pieces: &[&[u8]]) -> Outcome {
    let mut handshake = Handshake::new(local.clone());
    let mut said = handshake.outgoing();
    let mut input = BytesMut::new();
    let mut told = Ok(None);
    for piece in pieces {
        input.extend_from_slice(piece);
        if matches!(told, Ok(None)) {
            told = handshake.receive(&mut input);
            said.extend(handshake.outgoing());
        }
    }
    if !matches!(told, Ok(None)) {
        let before = input.len();
        assert_eq!(handshake.receive(&mut input), Ok(None));
        assert_eq!(input.len(), before, "read on after its end");
        assert!(handshake.outgoing().is_empty());
    }
    let met = matches!(told, Ok(Some(_)));
    let rest = met.then(|| input.to_vec());
    Outcome { told, said, rest }
}

fn check(local: &Local, octets: &[u8], outcome: &Outcome) {
    let said = outcome.said.strip_prefix(&OURS).expect("our greeting");
    let greeted = matches!(Greeting::parse(octets), Ok(Some(_)));
    let commands = commands(said);
    match &commands[..] {
        [] => assert!(!greeted),
        [Command::Ready(ours), others @ ..] => {
            assert!(greeted);
            let name = local.socket_type.name().as_bytes();
            assert_eq!(
                ours.property("Socket-Type").map(|name| &name[..]),
                Some(name)
            );
            let refused = matches!(outcome.told, Err(HandshakeError::SocketType { .. }));
            assert_eq!(matches!(others, [Command::Error(_)]), refused);
            assert_eq!(others.len(), usize::from(refused));
        }
        other => unreachable!("{other:?} in place of a READY"),
    }
    if let Ok(Some(peer)) = &outcome.told {
        check_peer(local, octets, peer);
        let rest = outcome.rest.as_deref().expect("kept with the peer");
        assert!(octets.ends_with(rest) && octets.len() - rest.len() <= LENGTH + 9 + (8 << 10));
    }
}

fn commands(mut octets: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    while let Ok(Some((header, size))) = Header::parse(octets) {
        assert!(header.command);
        let (body, rest) = octets[size..].split_at(header.length as usize);
        commands.push(Command::parse(&Bytes::copy_from_slice(body)).expect("ours"));
        octets = rest;
    }
    assert!(octets.is_empty());
    commands
}

fn check_peer(local: &Local, octets: &[u8], peer: &Peer) {
    assert!(local.socket_type.accepts(peer.socket_type));
    assert!(peer.version >= (3, 0) && peer.version == (octets[10], octets[11]));
    let (count, size) = peer
        .properties
        .iter()
        .fold((0, 0), |(count, size), (name, value)| {
            (count + 1, size + 5 + name.len() + value.len())
        });
    assert!(count <= MAX_PROPERTIES && size <= MAX_METADATA);
    if let Some(identity) = &peer.identity {
        assert_eq!(local.socket_type, SocketType::Router);
        assert!((1..=255).contains(&identity.as_bytes().len()));
        assert_ne!(identity.as_bytes()[0], 0);
    }
    // Whoever says the same again is the same peer.
    let mut again = octets[..LENGTH].to_vec();
    Command::Ready(peer.properties.clone()).encode(&mut again);
    assert_eq!(
        shake(local, &[&again]).told.as_ref(),
        Ok(&Some(peer.clone()))
    );
}
