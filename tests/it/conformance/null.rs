//! READY on the wire: who is let in, what he may say of himself, and what waits for it.

use pushsub::{Event, LinkError, Options, Pull, Push, Router, SocketType};

use super::{
    ROLES, Role, assert_silent, meet, message, octets, quiet, settled, sized_frame, socket,
};
use crate::support::peer::{frame, greeting, ready};
use crate::support::{Result, connected, event, in_virtual_time};

/// The octets of a property.
fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
    let name_length = u8::try_from(name.len()).expect("a name that can be encoded");
    let length = u32::try_from(value.len()).expect("a value that can be encoded");
    [&[name_length], name, &length.to_be_bytes(), value].concat()
}

/// A READY of these properties, in the form that its size asks for.
fn ready_of(properties: &[Vec<u8>]) -> Vec<u8> {
    sized_frame(4, &[b"\x05READY".to_vec(), properties.concat()].concat())
}

/// Whether a socket of this type takes such a READY for one.
async fn admits(local: SocketType, ready: &[u8]) -> Result<bool> {
    let socket = socket(local);
    let mut peer = meet(&*socket, Role::Binds).await?;
    peer.write(&[&greeting(1), ready].concat()).await?;
    peer.read(64).await?;
    peer.frame().await?;
    if socket.stats().peers.is_empty() {
        // It may not have been looked at; a peer that is in answers a PING.
        return Ok(settled(&mut peer).await.is_ok());
    }
    settled(&mut peer).await?;
    Ok(true)
}

fn push() -> Vec<u8> {
    property(b"Socket-Type", b"PUSH")
}

/// N01, N03: what waits for a peer waits for its READY, in both roles.
#[test]
fn no_message_goes_out_before_the_peers_ready() -> Result {
    in_virtual_time(async {
        for role in ROLES {
            let push = Push::with_options(
                quiet().handshake_timeout(std::time::Duration::from_secs(86_400)),
            )?;
            let mut peer = meet(&push, role).await?;
            let sending = tokio::spawn({
                let push = push.clone();
                async move { push.send("patience").await }
            });
            peer.write(&greeting(1)).await?;
            peer.read(64).await?;
            assert_eq!(peer.frame().await?.0, 4, "READY");
            assert_silent(&mut peer).await;
            let theirs = ready("PULL", b"");
            peer.write(&theirs[..theirs.len() - 1]).await?;
            assert_silent(&mut peer).await;
            peer.write(&theirs[theirs.len() - 1..]).await?;
            assert_eq!(message(&mut peer).await?, [b"patience"]);
            sending.await??;
        }
        Ok(())
    })
}

/// N02: a READY whose frame is whole and whose properties end anywhere but between two.
#[test]
fn a_ready_that_is_cut_off_closes_the_connection() -> Result {
    in_virtual_time(async {
        let properties = [push(), property(b"X-Color", b"red")];
        let body = properties.concat();
        for cut in 0..=body.len() {
            let sound = [properties[0].len(), body.len()].contains(&cut);
            let theirs = ready_of(&[body[..cut].to_vec()]);
            assert_eq!(
                admits(SocketType::Pull, &theirs).await?,
                sound,
                "cut at {cut}"
            );
        }
        Ok(())
    })
}

/// N04: names of every length there is, with values of no octet, few and many.
#[test]
fn a_property_has_a_name_and_may_have_a_value() -> Result {
    in_virtual_time(async {
        for length in 0..=255 {
            let extra = property(&vec![b'x'; length], &vec![0; length * 30]);
            let theirs = ready_of(&[push(), extra]);
            assert_eq!(
                admits(SocketType::Pull, &theirs).await?,
                length > 0,
                "{length}"
            );
        }
        Ok(())
    })
}

/// N04: a value that claims more octets than there are.
#[test]
fn a_value_longer_than_what_is_left_closes_the_connection() -> Result {
    in_virtual_time(async {
        for length in [4, 255, 256, (1 << 31) - 1, 1 << 31, u32::MAX] {
            let claimed = [b"\x01X", &length.to_be_bytes()[..], b"abc"].concat();
            let theirs = ready_of(&[push(), claimed]);
            assert!(!admits(SocketType::Pull, &theirs).await?, "{length}");
        }
        Ok(())
    })
}

/// N05: all 1,024 ways to write the name.
#[test]
fn the_name_of_a_property_may_be_in_any_case() -> Result {
    in_virtual_time(async {
        let letters: Vec<usize> = (0..11).filter(|place| *place != 6).collect();
        for mask in 0_u32..1 << letters.len() {
            let mut name = *b"socket-type";
            for (bit, place) in letters.iter().enumerate() {
                if mask & (1 << bit) != 0 {
                    name[*place].make_ascii_uppercase();
                }
            }
            let theirs = ready_of(&[property(&name, b"PUSH")]);
            assert!(admits(SocketType::Pull, &theirs).await?, "{name:?}");
        }
        Ok(())
    })
}

/// N05: twice the same name, in the same case or another, says two things of one.
#[test]
fn a_property_that_comes_twice_closes_the_connection() -> Result {
    in_virtual_time(async {
        for (one, other) in [
            ("X-A", "X-A"),
            ("X-A", "x-a"),
            ("Socket-Type", "SOCKET-TYPE"),
        ] {
            let twice = [
                property(one.as_bytes(), b"PUSH"),
                property(other.as_bytes(), b"PUSH"),
            ];
            let theirs = ready_of(
                &[vec![push()], twice.to_vec()].concat()[usize::from(one == "Socket-Type")..],
            );
            assert!(!admits(SocketType::Pull, &theirs).await?, "{one} {other}");
        }
        Ok(())
    })
}

/// N06: every octet, at the beginning, in the middle and at the end of a name.
#[test]
fn the_octets_of_a_name_are_letters_digits_and_four_signs() -> Result {
    in_virtual_time(async {
        for octet in 0..=255_u8 {
            let sound = octet.is_ascii_alphanumeric() || b"-_.+".contains(&octet);
            for place in 0..3 {
                let mut name = *b"abc";
                name[place] = octet;
                let theirs = ready_of(&[push(), property(&name, b"")]);
                assert_eq!(admits(SocketType::Pull, &theirs).await?, sound, "{name:?}");
            }
        }
        Ok(())
    })
}

/// N07: nothing but the eleven names, to the letter.
#[test]
fn a_peer_without_a_proper_type_is_turned_away() -> Result {
    in_virtual_time(async {
        for name in [
            "", "push", "Push", "PUSH ", " PUSH", "PUSH\0", "PUS", "PUSHPUSH", "CLIENT",
        ] {
            let theirs = ready_of(&[property(b"Socket-Type", name.as_bytes())]);
            assert!(!admits(SocketType::Pull, &theirs).await?, "{name:?}");
        }
        assert!(!admits(SocketType::Pull, &ready_of(&[])).await?);
        Ok(())
    })
}

/// N08, N09: all 121 pairs in both roles, as the peer sees it: a legal one may
/// talk, an illegal one is sent an ERROR and nothing after it.
#[test]
fn a_peer_whose_type_does_not_fit_is_sent_an_error() -> Result {
    in_virtual_time(async {
        let mut told = 0;
        for local in SocketType::ALL {
            for theirs in SocketType::ALL {
                for role in ROLES {
                    let socket = socket(local);
                    let mut peer = meet(&*socket, role).await?;
                    peer.write(&[greeting(1), ready(theirs.name(), b"")].concat())
                        .await?;
                    peer.read(64).await?;
                    peer.frame().await?;
                    if local.accepts(theirs) {
                        settled(&mut peer).await?;
                        continue;
                    }
                    told += 1;
                    let (flags, body) = peer.frame().await?;
                    assert_eq!(
                        (flags, &body[..6]),
                        (4, &b"\x05ERROR"[..]),
                        "{local} {theirs}"
                    );
                    let reason = &body[7..];
                    assert_eq!(usize::from(body[6]), reason.len());
                    assert!(reason.iter().all(|octet| (b' '..=b'~').contains(octet)));
                    assert_eq!(peer.read_to_end().await?, b"");
                }
            }
        }
        assert_eq!(told, 200);
        Ok(())
    })
}

/// N10, N11, RT05, RT08: identities of every length from every type that brings
/// one; the octet in front may be any but zero.
#[test]
fn a_router_knows_its_peer_by_any_identity_that_is_one() -> Result {
    in_virtual_time(async {
        for length in 1..=255_u8 {
            for socket_type in [SocketType::Req, SocketType::Dealer, SocketType::Router] {
                let router = Router::with_options(quiet())?;
                let mut peer = meet(&router, Role::Binds).await?;
                let identity: Vec<u8> = (0..length)
                    .map(|place| length.wrapping_add(place))
                    .collect();
                let theirs = ready(socket_type.name(), &[]);
                let theirs = match identity[0] {
                    0 => theirs,
                    _ => ready_of(&[
                        property(b"Socket-Type", socket_type.name().as_bytes()),
                        property(b"Identity", &identity),
                    ]),
                };
                peer.write(&[greeting(1), theirs, frame(false, b"hello")].concat())
                    .await?;
                let received = router.recv().await?;
                assert_eq!(received.first(), &identity);
                assert_eq!(&received[1], "hello");
            }
        }
        Ok(())
    })
}

/// N10, N11: no octet, one too many, or a zero in front of any number of them.
#[test]
fn an_identity_that_is_none_is_drawn_or_refused() -> Result {
    in_virtual_time(async {
        let typed = || property(b"Socket-Type", b"DEALER");
        for nothing in [
            ready_of(&[typed()]),
            ready_of(&[typed(), property(b"Identity", b"")]),
        ] {
            let router = Router::with_options(quiet())?;
            let mut peer = meet(&router, Role::Binds).await?;
            peer.write(&[greeting(1), nothing, frame(false, b"hello")].concat())
                .await?;
            let received = router.recv().await?;
            assert_eq!(received.first()[0], 0, "a drawn name begins with zero");
        }
        for length in 1..=256 {
            let mut identity = vec![1; length];
            identity[0] = u8::from(length == 256);
            let theirs = ready_of(&[typed(), property(b"Identity", &identity)]);
            assert!(!admits(SocketType::Router, &theirs).await?, "{length}");
        }
        Ok(())
    })
}

/// N10: to any socket but a ROUTER an identity means nothing, sound or not.
#[test]
fn an_identity_is_ignored_by_whoever_is_no_router() -> Result {
    in_virtual_time(async {
        for local in SocketType::ALL
            .into_iter()
            .filter(|local| *local != SocketType::Router)
        {
            for theirs in SocketType::ALL
                .into_iter()
                .filter(|peer| local.accepts(*peer))
            {
                for identity in [&b"same"[..], b"\0zero", &[1; 256]] {
                    let ready = ready_of(&[
                        property(b"Socket-Type", theirs.name().as_bytes()),
                        property(b"Identity", identity),
                    ]);
                    assert!(
                        admits(local, &ready).await?,
                        "{local} {theirs} {identity:?}"
                    );
                }
            }
        }
        Ok(())
    })
}

/// N12, N13: what we do not know, and any resource, whatever it holds.
#[test]
fn a_property_that_is_not_known_changes_nothing() -> Result {
    in_virtual_time(async {
        let long = "x".repeat(255);
        for name in ["X-Color", "x-", "Resource", "User-Id", "Identity2", &long] {
            for value in [&b""[..], b"a", b"a/b/c", b"/", b"\0\xff", &[b'r'; 4_000]] {
                let extra = || property(name.as_bytes(), value);
                for theirs in [ready_of(&[push(), extra()]), ready_of(&[extra(), push()])] {
                    assert!(admits(SocketType::Pull, &theirs).await?, "{name} {value:?}");
                }
            }
        }
        Ok(())
    })
}

/// Z12: whatever comes instead of READY, of any size in either form.
#[test]
fn nothing_but_a_ready_ends_the_handshake() -> Result {
    in_virtual_time(async {
        for flags in 0..4 {
            for size in [0, 1, 200] {
                let body = vec![b'x'; size];
                let first = match flags & 2 {
                    0 => [&[flags, body.len() as u8], &body[..]].concat(),
                    _ => super::long_frame(flags, &body),
                };
                refused_before_ready(&first).await?;
            }
        }
        for body in [
            &b"\x04PING\0\0"[..],
            b"\x04PONG",
            b"\x09SUBSCRIBEa",
            b"\x05HELLO",
            b"\x04JOIN",
        ] {
            refused_before_ready(&sized_frame(4, body)).await?;
        }
        Ok(())
    })
}

async fn refused_before_ready(first: &[u8]) -> Result {
    let pull = Pull::with_options(quiet())?;
    let mut monitor = pull.monitor();
    let mut peer = meet(&pull, Role::Binds).await?;
    let said = [
        &greeting(1),
        first,
        &ready("PUSH", b""),
        &octets(&["sneaky"]),
    ]
    .concat();
    peer.write(&said).await?;
    peer.read_to_end().await?;
    event(&mut monitor, |event| {
        let Event::Refused { reason, .. } = event else {
            return false;
        };
        matches!(reason, LinkError::Handshake(_))
    })
    .await;
    assert!(pull.try_recv().is_err());
    Ok(())
}

/// Z13: before READY and after it; the reason is what the peer said.
#[test]
fn an_error_ends_the_connection_whenever_it_comes() -> Result {
    in_virtual_time(async {
        let error = sized_frame(4, b"\x05ERROR\x09not today");
        for role in ROLES {
            let pull = Pull::with_options(quiet())?;
            let mut peer = meet(&pull, role).await?;
            peer.write(&[greeting(1), error.clone()].concat()).await?;
            peer.read_to_end().await?;

            let pull = Pull::with_options(quiet())?;
            let mut monitor = pull.monitor();
            let mut peer = meet(&pull, role).await?;
            super::shake(&mut peer, SocketType::Push, 1).await?;
            connected(&mut monitor).await;
            peer.write(&error).await?;
            assert_eq!(peer.read_to_end().await?, b"");
            let said = LinkError::PeerError("not today".into());
            event(
                &mut monitor,
                |event| matches!(event, Event::Disconnected { reason, .. } if *reason == said),
            )
            .await;
        }
        Ok(())
    })
}

/// N14: every type, on both families; loopback is nobody else's.
#[tokio::test]
async fn binding_beyond_loopback_takes_a_word() -> Result {
    for socket_type in SocketType::ALL {
        let socket = socket(socket_type);
        for open in ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://[::]:*"] {
            let refused = socket.bind(open).await;
            assert!(refused.is_err(), "{socket_type} on {open}");
        }
        socket.bind("tcp://127.0.0.1:*").await?;
    }
    let open = Pull::with_options(Options::default().allow_plaintext())?;
    open.bind("tcp://0.0.0.0:*").await?;
    Ok(())
}
