//! PING and PONG: contexts, signs of life, and what silence leads to.

use std::time::Duration;

use pushsub::testing::Listening;
use pushsub::{Options, Pull, Push, SocketType, XPub};
use tokio::time::{Instant, advance};

use super::{
    ROLES, Role, joined, meet, partner, quiet, settled, shake, sized_frame, socket, socket_with,
};
use crate::support::peer::{Peer, command, frame};
use crate::support::{Result, in_virtual_time, memory_name};

/// H01, H02: contexts of 0 to 16 octets with any time to live, from peers of
/// 3.0 and 3.1, to every type in both roles.
#[test]
fn a_pong_has_the_context_of_its_ping() -> Result {
    in_virtual_time(async {
        for socket_type in SocketType::ALL {
            for (role, minor) in ROLES.into_iter().zip([0, 1]) {
                let socket = socket(socket_type);
                let mut peer = meet(&*socket, role).await?;
                shake(&mut peer, partner(socket_type), minor).await?;
                for length in 0..=16 {
                    for ttl in [0, 1, 6_553, u16::MAX] {
                        let context: Vec<u8> = (0..length).map(|place| place * 15).collect();
                        let ping = [b"\x04PING", &ttl.to_be_bytes()[..], &context].concat();
                        peer.write(&command(&ping)).await?;
                        let pong = [b"\x04PONG", &context[..]].concat();
                        assert_eq!(peer.frame().await?, (4, pong), "{socket_type}");
                    }
                }
            }
        }
        Ok(())
    })
}

/// H02: a PING with one, and a PING without its time to live; a PONG that nobody asked for does no harm.
#[test]
fn a_ping_with_a_context_over_16_octets_closes_the_connection() -> Result {
    in_virtual_time(async {
        let mut offences = vec![b"\x04PING".to_vec(), b"\x04PING\0".to_vec()];
        for length in (17..=40).chain([248, 249, 255, 256, 1_000]) {
            let context = vec![b'c'; length];
            offences.push([b"\x04PING\0\0", &context[..]].concat());
            let pull = Pull::with_options(quiet())?;
            let mut peer = joined(&pull, SocketType::Push).await?;
            let pong = [b"\x04PONG", &context[..]].concat();
            peer.write(&sized_frame(4, &pong)).await?;
            settled(&mut peer).await?;
        }
        for offence in offences {
            let pull = Pull::with_options(quiet())?;
            let mut peer = joined(&pull, SocketType::Push).await?;
            peer.write(&sized_frame(4, &offence)).await?;
            assert_eq!(peer.read_to_end().await?, b"", "{}", offence.len());
        }
        Ok(())
    })
}

/// H04, H05: after at most three PINGs, for every type in both roles.
#[test]
fn a_peer_that_says_nothing_is_asked_twice_and_given_up() -> Result {
    in_virtual_time(async {
        for socket_type in SocketType::ALL {
            for role in ROLES {
                let (pings, lived) = silent_life(socket_type, role).await?;
                assert!((1..=3).contains(&pings), "{socket_type} {role:?}: {pings}");
                let lived = lived.as_secs();
                assert!(
                    (20..=40).contains(&lived),
                    "{socket_type} {role:?}: {lived} s"
                );
            }
        }
        Ok(())
    })
}

/// The PINGs that a silent peer gets, and how long it has its connection.
async fn silent_life(socket_type: SocketType, role: Role) -> Result<(u32, Duration)> {
    let socket = socket_with(socket_type, Options::default());
    let mut peer = meet(&*socket, role).await?;
    shake(&mut peer, partner(socket_type), 1).await?;
    let since = Instant::now();
    let mut pings = 0;
    while let Ok((flags, body)) = peer.frame().await {
        assert_eq!((flags, &body[..5]), (4, &b"\x04PING"[..]));
        // H01: a time to live that we keep, and a context of at most 16 octets.
        assert!(u16::from_be_bytes([body[5], body[6]]) >= 200);
        assert!(body.len() <= 7 + 16);
        pings += 1;
    }
    Ok((pings, since.elapsed()))
}

/// H03: a message, a subscription, a PONG, a PING, a command that nobody
/// knows, one octet of a frame: each keeps a connection for many times what silence would.
#[test]
fn anything_that_comes_is_a_sign_of_life() -> Result {
    in_virtual_time(async {
        let endless = [&[2], &600_u64.to_be_bytes()[..]].concat();
        for (first, sign) in [
            (vec![], frame(false, b"ordinary")),
            (vec![], frame(false, b"\x01a")),
            (vec![], command(b"\x09SUBSCRIBEa")),
            (vec![], command(b"\x04PONG")),
            (vec![], command(b"\x04PING\0\0")),
            (vec![], command(b"\x07UNKNOWN")),
            (endless, vec![b'.']),
        ] {
            let publisher = XPub::new();
            let mut peer = meet(&publisher, Role::Binds).await?;
            shake(&mut peer, SocketType::Sub, 1).await?;
            peer.write(&first).await?;
            for _ in 0..40 {
                advance(Duration::from_secs(10)).await;
                peer.write(&sign).await?;
                tokio::task::yield_now().await;
                while publisher.try_recv().is_ok() {}
            }
            assert!(publisher.stats().peers[0].connected, "{sign:?}");
        }
        Ok(())
    })
}

/// H06: the next connection is made as after any other end, and carries what was not written.
#[test]
fn a_connection_that_died_of_silence_is_made_again() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let push = Push::new();
        push.connect(format!("memory://{name}"))?;
        for round in 0..5 {
            let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
            push.send(format!("round {round}")).await?;
            assert_eq!(
                peer.frame().await?,
                (0, format!("round {round}").into_bytes())
            );
            while peer.frame().await.is_ok() {}
        }
        assert_eq!(push.stats().sent.written, 5);
        Ok(())
    })
}

/// H07: libzmq sends PING to peers of 3.0 as well, and is answered.
#[test]
fn a_ping_of_a_3_0_peer_is_answered() -> Result {
    in_virtual_time(async {
        let pull = Pull::new();
        let mut peer = meet(&pull, Role::Binds).await?;
        shake(&mut peer, SocketType::Push, 0).await?;
        peer.write(&[command(b"\x04PING\0\x0a"), command(b"\x05OTHER")].concat())
            .await?;
        assert_eq!(peer.frame().await?, (4, b"\x04PONG".to_vec()));
        peer.write(&frame(false, b"still here")).await?;
        assert_eq!(pull.recv().await?.first(), "still here");
        Ok(())
    })
}
