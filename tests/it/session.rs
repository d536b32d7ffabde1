//! Sessions against a scripted peer: handshake, commands, silence, reconnects.

use std::time::Duration;

use pushsub::testing::{Listening, dial};
use pushsub::{Dealer, Event, LinkError, Options, Pub, Pull, Push, Sub, XPub};
use tokio::time::{Instant, timeout};

use crate::support::peer::{Peer, command, frame, greeting, ready};
use crate::support::{Result, connected, event, in_virtual_time, memory_name};

/// A PULL under a new name, and the name.
async fn bound_pull() -> Result<(Pull, String)> {
    let name = memory_name();
    let pull = Pull::new();
    pull.bind(format!("memory://{name}")).await?;
    Ok((pull, name))
}

/// Z17, N01.
#[test]
fn a_scripted_peer_is_a_peer() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        peer.write(&frame(true, b"one")).await?;
        peer.write(&frame(false, b"two")).await?;
        let message = pull.recv().await?;
        assert_eq!(message.frames(), ["one", "two"]);
        Ok(())
    })
}

/// BI-42: the handshake and a message in single octets.
#[test]
fn a_session_in_single_octets_is_the_same_session() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut peer = Peer::new(dial(&name)?);
        let session = [
            greeting(1),
            ready("PUSH", b""),
            frame(false, b"drop by drop"),
        ]
        .concat();
        for octet in session {
            peer.write(&[octet]).await?;
            tokio::task::yield_now().await;
        }
        assert_eq!(pull.recv().await?.first(), "drop by drop");
        Ok(())
    })
}

/// Z22, BI-40, C16: cut at every octet of the second message.
#[test]
fn a_message_that_was_cut_is_never_delivered() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let cut = [
            frame(true, b"one"),
            frame(true, b"two"),
            frame(false, b"three"),
        ]
        .concat();
        for length in 0..cut.len() {
            let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
            peer.write(&frame(false, b"whole")).await?;
            peer.write(&cut[..length]).await?;
            drop(peer);
            assert_eq!(pull.recv().await?.frames(), ["whole"]);
        }
        assert!(pull.try_recv().is_err());
        Ok(())
    })
}

/// Z12, BI-37.
#[test]
fn a_message_before_the_handshake_ends_the_connection() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut monitor = pull.monitor();
        let mut peer = Peer::new(dial(&name)?);
        peer.write(&[greeting(1), frame(false, b"sneaky")].concat())
            .await?;
        peer.read_to_end().await?;
        event(&mut monitor, |event| matches!(event, Event::Refused { .. })).await;
        assert!(pull.try_recv().is_err());
        Ok(())
    })
}

/// N09, BI-16.
#[test]
fn a_peer_of_the_wrong_type_is_told_so() -> Result {
    in_virtual_time(async {
        let (_pull, name) = bound_pull().await?;
        let mut peer = Peer::new(dial(&name)?);
        peer.write(&[greeting(1), ready("SUB", b"")].concat())
            .await?;
        let said = peer.read_to_end().await?;
        assert!(
            said.windows(6).any(|octets| octets == b"\x05ERROR"),
            "{said:?}"
        );
        Ok(())
    })
}

/// BI-01, BI-21: in silence or in drops, the time is the same.
#[test]
fn a_handshake_has_its_time_and_no_more() -> Result {
    in_virtual_time(async {
        let (_pull, name) = bound_pull().await?;
        for drops in [false, true] {
            let mut peer = Peer::new(dial(&name)?);
            peer.read(64).await?;
            let since = Instant::now();
            let greeting = greeting(1);
            for octet in &greeting[..if drops { 9 } else { 0 }] {
                peer.write(&[*octet]).await?;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            let left = Duration::from_secs(10) - since.elapsed();
            tokio::time::advance(left).await;
            peer.read_to_end().await?;
        }
        Ok(())
    })
}

/// H02, BI-41.
#[test]
fn a_ping_between_the_frames_of_a_message_is_answered() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        peer.write(&frame(true, b"one")).await?;
        peer.write(&command(b"\x04PING\0\x0acontext")).await?;
        assert_eq!(peer.frame().await?, (4, b"\x04PONGcontext".to_vec()));
        peer.write(&frame(false, b"two")).await?;
        assert_eq!(pull.recv().await?.frames(), ["one", "two"]);
        Ok(())
    })
}

/// H05, C11.
#[test]
fn a_silent_peer_is_sent_pings_and_then_given_up() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut monitor = pull.monitor();
        let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        let since = Instant::now();
        let (flags, body) = peer.frame().await?;
        assert_eq!((flags, &body[..5]), (4, &b"\x04PING"[..]));
        assert_eq!(since.elapsed().as_secs(), 10);
        event(&mut monitor, |event| {
            matches!(
                event,
                Event::Disconnected {
                    reason: LinkError::Silent,
                    ..
                }
            )
        })
        .await;
        assert_eq!(
            since.elapsed().as_secs(),
            30,
            "one interval to ask, and two without a word"
        );
        Ok(())
    })
}

/// H03, BI-54.
#[test]
fn a_peer_that_answers_no_ping_but_sends_is_alive() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(9)).await;
            peer.write(&frame(false, b"busy")).await?;
            pull.recv().await?;
        }
        Ok(())
    })
}

/// PF02, PF03, Z06.
#[test]
fn subscriptions_are_told_in_the_words_of_the_peers_version() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let sub = Sub::new();
        sub.subscribe("weather");
        for (minor, expected) in [
            (0, (0, b"\x01weather".to_vec())),
            (1, (4, b"\x09SUBSCRIBEweather".to_vec())),
        ] {
            let endpoint = format!("memory://{name}").parse()?;
            sub.connect(&endpoint)?;
            let mut peer = Peer::shaken(listening.accept().await?, "PUB", minor).await?;
            assert_eq!(peer.frame().await?, expected);
            sub.disconnect(&endpoint);
        }
        Ok(())
    })
}

/// PL02: whichever of the two the task that dials sees first, in many rounds.
#[test]
fn a_handshake_that_ends_as_its_endpoint_is_disconnected_connects_nothing() -> Result {
    in_virtual_time(async {
        for _ in 0..20 {
            let name = memory_name();
            let mut listening = Listening::bind(&name)?;
            let pull = Pull::new();
            let endpoint = format!("memory://{name}").parse()?;
            pull.connect(&endpoint)?;
            let mut first = Peer::shaken(listening.accept().await?, "PUSH", 1).await?;
            first.write(&frame(false, b"not received")).await?;
            while pull.stats().received.queued == 0 {
                tokio::task::yield_now().await;
            }
            drop(first);
            let mut second = Peer::new(listening.accept().await?);
            second
                .write(&[greeting(1), ready("PUSH", b"")].concat())
                .await?;
            assert!(pull.disconnect(&endpoint));
            timeout(Duration::from_secs(1), second.read_to_end()).await??;
            assert!(pull.peers().is_empty());
        }
        Ok(())
    })
}

/// BI-64: both forms count, from a peer of any version.
#[test]
fn a_publisher_understands_both_forms_of_a_subscription() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let publisher = XPub::new();
        publisher.bind(format!("memory://{name}")).await?;
        for minor in [0, 1] {
            let mut peer = Peer::shaken(dial(&name)?, "SUB", minor).await?;
            peer.write(&frame(false, b"\x01as message")).await?;
            assert_eq!(publisher.recv().await?.first(), "\x01as message");
            peer.write(&command(b"\x09SUBSCRIBEas command")).await?;
            assert_eq!(publisher.recv().await?.first(), "\x01as command");
            peer.write(&command(b"\x06CANCELas message")).await?;
            assert_eq!(publisher.recv().await?.first(), "\0as message");
            publisher.send("as command and more").await?;
            assert_eq!(peer.frame().await?, (0, b"as command and more".to_vec()));
            drop(peer);
            assert_eq!(publisher.recv().await?.first(), "\0as command");
        }
        Ok(())
    })
}

/// PB05, PB11, BI-66.
#[test]
fn what_a_subscriber_says_to_a_pub_is_dropped() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let publisher = Pub::new();
        publisher.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "SUB", 1).await?;
        for _ in 0..1_000 {
            peer.write(&frame(false, b"hello?")).await?;
        }
        peer.write(&command(b"\x04PING\0\0")).await?;
        peer.frame().await?;
        let received = publisher.stats().received;
        assert_eq!((received.dropped, received.queued), (1_000, 0));
        Ok(())
    })
}

/// Z15, BI-28: attempts come ever later, and go on for ever.
#[test]
fn a_peer_that_closes_at_once_is_tried_ever_less_often() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let push = Push::new();
        push.connect(format!("memory://{name}"))?;
        let since = Instant::now();
        for _ in 0..200 {
            drop(listening.accept().await?);
        }
        let mean = since.elapsed() / 200;
        assert!(
            mean > Duration::from_secs(8),
            "{mean:?} where half of 30 s is expected"
        );
        Ok(())
    })
}

/// Z24: a message whose first octet was written dies with its link.
#[test]
fn a_message_half_written_is_not_sent_again() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let push = Push::new();
        push.connect(format!("memory://{name}"))?;
        let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        push.send(vec![1; 1 << 20]).await?;
        push.send("next").await?;
        peer.read(1_000).await?;
        drop(peer);
        let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        assert_eq!(peer.frame().await?, (0, b"next".to_vec()));
        let sent = push.stats().sent;
        assert_eq!((sent.dropped.cut, sent.written), (1, 1));
        Ok(())
    })
}

/// BI-30, BI-31: at the header, before the body.
#[test]
fn a_message_above_the_limit_ends_the_connection_at_its_header() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        for length in [
            (16 << 20) + 1,
            1 << 31,
            1 << 46,
            u64::MAX >> 1,
            1 << 63,
            u64::MAX,
        ] {
            let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
            peer.write(&[&[2], &length.to_be_bytes()[..]].concat())
                .await?;
            peer.read_to_end().await?;
        }
        assert!(pull.try_recv().is_err());
        Ok(())
    })
}

/// C13: one peer floods, another is heard in its turn.
#[test]
fn a_flood_does_not_keep_another_peer_from_being_heard() -> Result {
    in_virtual_time(async {
        let (pull, name) = bound_pull().await?;
        let mut monitor = pull.monitor();
        let mut flood = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        connected(&mut monitor).await;
        flood.write(&frame(false, b"flood").repeat(5_000)).await?;
        let mut other = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        connected(&mut monitor).await;
        other.write(&frame(false, b"other")).await?;
        while pull
            .stats()
            .peers
            .iter()
            .any(|peer| peer.received.received == 0)
        {
            tokio::task::yield_now().await;
        }
        let (first, second) = (pull.recv().await?, pull.recv().await?);
        assert!(first.first() == "other" || second.first() == "other");
        Ok(())
    })
}

/// FT-23: the peer does not read; what it sends is received all the same.
#[test]
fn a_link_that_cannot_be_written_is_read_all_the_same() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let dealer = Dealer::with_options(Options::default().heartbeat_interval(None))?;
        dealer.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "DEALER", 1).await?;
        while dealer.stats().peers.is_empty() {
            tokio::task::yield_now().await;
        }
        while dealer.try_send(vec![0; 10_000]).is_ok() {
            tokio::task::yield_now().await;
        }
        peer.write(&frame(false, b"heard")).await?;
        assert_eq!(dealer.recv().await?.first(), "heard");
        Ok(())
    })
}
