//! How connections are made, lost and made again, by every type of socket.

use std::time::Duration;

use futures::StreamExt;
use pushsub::testing::Listening;
use pushsub::{Event, LinkError, Options, Push, SocketType};
use tokio::time::Instant;

use super::{meet, partner, quiet, settled, shake, socket, socket_with, until};
use crate::support::peer::{Peer, frame, greeting, ready};
use crate::support::{Result, event, in_virtual_time, memory_name};

/// Z14, Z26, C12: every type, when the wire ends at every octet of the handshake and within a
/// message: the endpoint is dialled again, and a PUSH loses no message that it had not begun.
#[test]
fn a_connection_that_ends_anywhere_is_made_again() -> Result {
    in_virtual_time(async {
        for socket_type in SocketType::ALL {
            let name = memory_name();
            let mut listening = Listening::bind(&name)?;
            let socket = socket_with(socket_type, brisk());
            socket.connect(&format!("memory://{name}"))?;
            let theirs = [
                greeting(1),
                ready(partner(socket_type).name(), b""),
                frame(true, b"half"),
            ]
            .concat();
            for cut in (0..=theirs.len()).step_by(7) {
                let mut peer = Peer::new(listening.accept().await?);
                peer.write(&theirs[..cut]).await?;
                if cut % 2 == 0 {
                    peer.read(64).await?;
                }
            }
            let mut peer = Peer::new(listening.accept().await?);
            shake(&mut peer, partner(socket_type), 1).await?;
            settled(&mut peer).await?;
            assert!(socket.stats().peers[0].connected, "{socket_type}");
        }
        Ok(())
    })
}

/// Options under which the waits between attempts are short.
fn brisk() -> Options {
    let least = Duration::from_millis(1);
    quiet().reconnect(least, Duration::from_millis(10))
}

/// Z14, Z15: what a monitor says of the waits: below a ceiling that doubles up
/// to its greatest, drawn anew each time, and the next attempt comes when it was said.
#[test]
fn the_waits_are_random_and_ever_longer() -> Result {
    in_virtual_time(async {
        let mut waits = Vec::new();
        for _ in 0..20 {
            let push = Push::with_options(quiet())?;
            let mut monitor = push.monitor();
            push.connect(format!("memory://{}", memory_name()))?;
            let mut ceiling = Duration::from_millis(100);
            let mut due = Instant::now();
            for _ in 0..17 {
                let retrying = |event: &Event| matches!(event, Event::Retrying { .. });
                let Event::Retrying { wait, reason, .. } = event(&mut monitor, retrying).await
                else {
                    return Err("it is tried again".into());
                };
                assert!(matches!(reason, LinkError::Io(_)), "{reason}");
                assert!(wait <= ceiling, "{wait:?} over {ceiling:?}");
                let late = Instant::now() - due;
                assert!(late < Duration::from_millis(2), "{late:?}");
                due = Instant::now() + wait;
                ceiling = (ceiling * 2).min(Duration::from_secs(30));
                waits.push(wait);
            }
        }
        let last: Vec<_> = waits.chunks(17).map(|waits| waits[16]).collect();
        let mean = last.iter().sum::<Duration>() / 20;
        assert!(
            (5..25).contains(&mean.as_secs()),
            "15 s are expected: {mean:?}"
        );
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 300, "they are drawn");
        Ok(())
    })
}

/// Z13, Z15: a peer that answers with ERROR is asked again, ever less often.
#[test]
fn a_peer_that_refuses_is_asked_ever_less_often() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let push = Push::with_options(quiet())?;
        push.connect(format!("memory://{name}"))?;
        let since = Instant::now();
        for _ in 0..100 {
            let mut peer = Peer::new(listening.accept().await?);
            peer.write(&[greeting(1), b"\x04\x09\x05ERROR\x02no".to_vec()].concat())
                .await?;
            peer.read_to_end().await?;
        }
        let mean = since.elapsed() / 100;
        assert!(mean > Duration::from_secs(8), "{mean:?}");
        Ok(())
    })
}

/// Z26, A5: every type connects before anybody listens, in no time at all, and
/// has as many endpoints of both kinds as it is given; a PAIR one at a time.
#[test]
fn every_type_binds_and_connects_as_often_as_it_likes() -> Result {
    in_virtual_time(async {
        for socket_type in SocketType::ALL
            .into_iter()
            .filter(|of| *of != SocketType::Pair)
        {
            let socket = socket_with(socket_type, brisk());
            let mut monitor = socket.monitor();
            let names: Vec<String> = (0..6).map(|_| memory_name()).collect();
            let since = Instant::now();
            for name in &names[..3] {
                socket.connect(&format!("memory://{name}"))?;
            }
            assert!(since.elapsed().is_zero());
            let mut peers = Vec::new();
            for name in &names[3..] {
                socket.bind(&format!("memory://{name}")).await?;
                peers.push(Peer::new(pushsub::testing::dial(name)?));
            }
            let mut listening = Vec::new();
            for name in &names[..3] {
                let mut listener = Listening::bind(name)?;
                peers.push(Peer::new(listener.accept().await?));
                listening.push(listener);
            }
            for peer in &mut peers {
                shake(peer, partner(socket_type), 1).await?;
                settled(peer).await?;
            }
            let mut endpoints = std::collections::HashSet::new();
            while endpoints.len() < 6 {
                match monitor.next().await {
                    Some(Event::Connected { endpoint, .. }) => {
                        endpoints.insert(endpoint.to_string())
                    }
                    Some(_) => continue,
                    None => return Err("the socket is open".into()),
                };
            }
            assert_eq!(socket.stats().peers.len(), 6, "{socket_type}");
        }
        Ok(())
    })
}

/// A PAIR may bind and connect at once: who comes first is its peer (PR01, Z26).
#[test]
fn a_pair_binds_and_connects_and_has_one_peer() -> Result {
    in_virtual_time(async {
        let pair = socket(SocketType::Pair);
        let mut first = meet(&*pair, super::Role::Binds).await?;
        shake(&mut first, SocketType::Pair, 1).await?;
        settled(&mut first).await?;
        for _ in 0..10 {
            let mut second = meet(&*pair, super::Role::Binds).await?;
            assert_eq!(second.read_to_end().await?, b"");
            settled(&mut first).await?;
        }
        drop(first);
        until(|| pair.stats().peers.is_empty()).await;
        let mut next = meet(&*pair, super::Role::Binds).await?;
        shake(&mut next, SocketType::Pair, 1).await?;
        settled(&mut next).await
    })
}
