//! The greeting on the wire: what goes out unasked, and who is closed for what he says.

use pushsub::{Push, SocketType};

use super::{ROLES, assert_silent, meet, message, partner, quiet, settled, shake, socket};
use crate::support::peer::{greeting, ready};
use crate::support::{Result, in_virtual_time};

/// What a greeting of ours is, octet by octet.
fn ours() -> Vec<u8> {
    greeting(1)
}

/// Z01, Z02, Z04, Z08, Z11: from every type, in both roles, before the peer says a word.
#[test]
fn the_whole_greeting_goes_out_unasked() -> Result {
    in_virtual_time(async {
        for socket_type in SocketType::ALL {
            for role in ROLES {
                let socket = socket(socket_type);
                let mut peer = meet(&*socket, role).await?;
                assert_eq!(peer.read(64).await?, ours(), "{socket_type} {role:?}");
            }
        }
        Ok(())
    })
}

/// Z01, Z08: a peer that sends ten or eleven octets to learn our version, or
/// any other part of its greeting, and then waits for ours.
#[test]
fn a_peer_may_wait_anywhere_in_its_greeting() -> Result {
    in_virtual_time(async {
        for first in 0..=64 {
            for role in ROLES {
                let push = Push::with_options(quiet())?;
                let mut peer = meet(&push, role).await?;
                peer.write(&ours()[..first]).await?;
                assert_eq!(peer.read(64).await?, ours(), "after {first} octets");
                peer.write(&ours()[first..]).await?;
                peer.write(&ready("PULL", b"")).await?;
                assert_eq!(peer.frame().await?.0, 4, "READY");
                push.send("hello").await?;
                assert_eq!(message(&mut peer).await?, [b"hello"]);
            }
        }
        Ok(())
    })
}

/// Z05, Z06: every later version is a peer, and is spoken to as 3.1.
#[test]
fn a_peer_of_any_later_version_is_a_peer() -> Result {
    in_virtual_time(async {
        for version in (1..=255)
            .map(|minor| [3, minor])
            .chain((4..=255).map(|major| [major, 0]))
        {
            for role in ROLES {
                let sub = pushsub::Sub::with_options(quiet())?;
                sub.subscribe("a");
                let mut peer = meet(&sub, role).await?;
                let mut theirs = ours();
                theirs[10..12].copy_from_slice(&version);
                peer.write(&[theirs, ready("PUB", b"")].concat()).await?;
                assert_eq!(peer.read(64).await?, ours());
                peer.frame().await?;
                let expected = (4, b"\x09SUBSCRIBEa".to_vec());
                assert_eq!(peer.frame().await?, expected, "{version:?}");
            }
        }
        Ok(())
    })
}

/// Greetings that nobody may answer, with what is wrong in them.
fn hopeless() -> Vec<(String, Vec<u8>)> {
    let mut greetings = Vec::new();
    let mut add = |what: String, place: usize, octets: &[u8]| {
        let mut greeting = ours();
        greeting[place..place + octets.len()].copy_from_slice(octets);
        greetings.push((what, greeting));
    };
    for first in 0..=254 {
        add(format!("first octet {first}"), 0, &[first]);
    }
    for tenth in (0..=254).step_by(2) {
        add(format!("tenth octet {tenth}"), 9, &[tenth]);
    }
    for major in 0..3 {
        for minor in [0, 1, 255] {
            add(format!("version {major}.{minor}"), 10, &[major, minor]);
        }
    }
    for mechanism in [
        "PLAIN", "CURVE", "GSSAPI", "NULLS", "NUL\0", "null", "\0\0\0\0",
    ] {
        add(format!("mechanism {mechanism:?}"), 12, mechanism.as_bytes());
    }
    for place in 16..32 {
        add(format!("mechanism NULL and octet {place}"), place, b"x");
    }
    greetings
}

/// Z07, Z09, Z10, Z28, Z32: closed in both roles, and no READY is heard.
#[test]
fn a_greeting_that_cannot_be_answered_closes_the_connection() -> Result {
    in_virtual_time(async {
        for (what, theirs) in hopeless() {
            for role in ROLES {
                let push = Push::with_options(quiet())?;
                let mut peer = meet(&push, role).await?;
                peer.write(&theirs).await?;
                peer.write(&ready("PULL", b"")).await?;
                assert_eq!(peer.read_to_end().await?, ours(), "{what}");
            }
        }
        Ok(())
    })
}

/// Z03, Z11: the padding, the as-server octet and the filler, all at once and
/// each alone, may hold anything.
#[test]
fn what_has_no_meaning_in_a_greeting_is_not_looked_at() -> Result {
    in_virtual_time(async {
        let places = || (1..9).chain(32..64);
        let mut greetings = vec![ours(); 40];
        for (place, greeting) in places().zip(&mut greetings) {
            greeting[place] = 0xA5;
        }
        for octet in [0x01, 0x7F, 0xFF] {
            let mut greeting = ours();
            places().for_each(|place| greeting[place] = octet);
            greetings.push(greeting);
        }
        for greeting in greetings {
            for role in ROLES {
                let push = Push::with_options(quiet())?;
                let mut peer = meet(&push, role).await?;
                peer.write(&[&greeting[..], &ready("PULL", b"")].concat())
                    .await?;
                peer.read(64).await?;
                assert_eq!(peer.frame().await?.0, 4, "READY to {greeting:?}");
                settled(&mut peer).await?;
            }
        }
        Ok(())
    })
}

/// Z06: in a session with a peer of 3.0 nothing is said that 3.0 does not know, for as long as it takes.
#[test]
fn a_peer_of_3_0_is_spoken_to_in_3_0() -> Result {
    in_virtual_time(async {
        for role in ROLES {
            let sub = pushsub::Sub::new();
            let mut peer = meet(&sub, role).await?;
            shake(&mut peer, SocketType::Pub, 0).await?;
            for _ in 0..25 {
                assert_silent(&mut peer).await;
            }
            sub.subscribe("a");
            assert_eq!(peer.frame().await?, (0, b"\x01a".to_vec()));
            sub.unsubscribe("a");
            assert_eq!(peer.frame().await?, (0, b"\0a".to_vec()));
        }
        Ok(())
    })
}

/// N01, N07, Z12, Z19: every type says READY on the greeting alone, in both
/// roles, with its exact name, and in a command frame.
#[test]
fn every_type_says_ready_before_it_hears_it() -> Result {
    in_virtual_time(async {
        for socket_type in SocketType::ALL {
            for role in ROLES {
                let socket = socket(socket_type);
                let mut peer = meet(&*socket, role).await?;
                peer.write(&ours()).await?;
                peer.read(64).await?;
                let (flags, body) = peer.frame().await?;
                let name = socket_type.name();
                let length = u8::try_from(name.len())?;
                let property = [b"\x0bSocket-Type\0\0\0", &[length][..], name.as_bytes()].concat();
                assert_eq!(flags, 4);
                assert_eq!(body, [&b"\x05READY"[..], &property].concat());
                peer.write(&ready(partner(socket_type).name(), b"")).await?;
                assert_silent(&mut peer).await;
            }
        }
        Ok(())
    })
}
