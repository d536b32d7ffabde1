//! Silence: who is asked for a sign of life, for how long, and who is cut.

use std::time::Duration;

use pushsub::testing::dial;
use pushsub::{
    Dealer, Event, LinkError, Monitor, Options, OptionsError, Pair, Pub, Pull, Push, Rep, Req,
    Router, Sub, XPub, XSub,
};
use tokio::time::Instant;

use crate::support::peer::{Peer, command, frame};
use crate::support::{Result, connected, event, in_virtual_time, in_virtual_time_for, memory_name};

/// Waits until a peer is cut for its silence.
async fn silent(monitor: &mut Monitor) {
    event(monitor, |event| {
        let Event::Disconnected { reason, .. } = event else {
            return false;
        };
        *reason == LinkError::Silent
    })
    .await;
}

fn ping(deciseconds: u16) -> Vec<u8> {
    command(&[b"\x04PING", &deciseconds.to_be_bytes()[..]].concat())
}

/// A PULL with these options, and a PUSH beside it that is played.
async fn pull_and_peer(options: Options) -> Result<(Pull, Monitor, Peer)> {
    let pull = Pull::with_options(options)?;
    let mut monitor = pull.monitor();
    let name = memory_name();
    pull.bind(format!("memory://{name}")).await?;
    let peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
    connected(&mut monitor).await;
    Ok((pull, monitor, peer))
}

fn quiet() -> Options {
    Options::default().heartbeat_interval(None)
}

/// C11, H05: a peer that falls silent in the middle of its work is found within
/// three intervals by each of the eleven types.
#[test]
fn a_peer_that_falls_silent_is_found_by_every_type_within_three_intervals() -> Result {
    macro_rules! find {
        ($($socket:ident and $peer:literal;)*) => {
            $(
                let interval = Duration::from_secs(7);
                let options = Options::default().heartbeat_interval(Some(interval));
                let socket = $socket::with_options(options)?;
                let mut monitor = socket.monitor();
                let name = memory_name();
                socket.bind(format!("memory://{name}")).await?;
                let mut peer = Peer::shaken(dial(&name)?, $peer, 1).await?;
                connected(&mut monitor).await;
                for _ in 0..20 {
                    tokio::time::advance(Duration::from_secs(3)).await;
                    peer.write(&command(b"\x04PONG")).await?;
                    tokio::task::yield_now().await;
                }
                let since = Instant::now();
                silent(&mut monitor).await;
                let took = since.elapsed();
                assert!(took >= interval && took <= interval * 3, "{}: {took:?}", $peer);
            )*
        };
    }
    in_virtual_time(async {
        find! {
            Pair and "PAIR";
            Pub and "SUB";
            Sub and "PUB";
            XPub and "XSUB";
            XSub and "XPUB";
            Push and "PULL";
            Pull and "PUSH";
            Req and "REP";
            Rep and "REQ";
            Dealer and "ROUTER";
            Router and "DEALER";
        }
        Ok(())
    })
}

/// `ZMQ_HEARTBEAT_TIMEOUT`.
#[test]
fn the_heartbeat_timeout_is_what_a_peer_has_after_a_ping() -> Result {
    in_virtual_time(async {
        let options = Options::default().heartbeat_timeout(Duration::from_millis(2_500));
        let (_pull, mut monitor, mut peer) = pull_and_peer(options).await?;
        let since = Instant::now();
        let (_, body) = peer.frame().await?;
        assert_eq!(body, b"\x04PING\0\x7d", "10 s and 2.5 s");
        peer.write(&command(b"\x04PONG")).await?;
        peer.frame().await?;
        assert_eq!(since.elapsed(), Duration::from_secs(20));
        silent(&mut monitor).await;
        assert_eq!(since.elapsed(), Duration::from_millis(22_500));
        Ok(())
    })
}

/// H01: `ZMQ_HEARTBEAT_TTL`.
#[test]
fn a_ping_says_the_time_to_live_of_the_options() -> Result {
    in_virtual_time(async {
        for (time, octets) in [
            (None, [1, 0x2c]),
            (Some(Duration::ZERO), [0, 0]),
            (Some(Duration::from_millis(6_553_500)), [0xff, 0xff]),
        ] {
            let options = match time {
                Some(time) => Options::default().heartbeat_time_to_live(time),
                None => Options::default(),
            };
            let (_pull, _, mut peer) = pull_and_peer(options).await?;
            let (_, body) = peer.frame().await?;
            assert_eq!(body[5..7], octets, "{time:?}");
        }
        Ok(())
    })
}

/// H05, BI-49: no silence but that of the peer ends it, also where we do not ask.
#[test]
fn a_peer_is_cut_when_the_time_to_live_of_its_ping_is_over() -> Result {
    in_virtual_time_for(Duration::from_secs(10_000), async {
        for deciseconds in [1, 655, 656, 6_553, 65_535] {
            let (_pull, mut monitor, mut peer) = pull_and_peer(quiet()).await?;
            let since = Instant::now();
            peer.write(&ping(deciseconds)).await?;
            silent(&mut monitor).await;
            let took = since.elapsed().as_millis();
            // The clock of the runtime counts whole milliseconds.
            let expected = u128::from(deciseconds) * 100;
            assert!((expected..=expected + 2).contains(&took), "{took} ms");
        }
        Ok(())
    })
}

/// H05, BI-49: the peer may be silent for ever after these.
#[test]
fn a_time_to_live_of_zero_or_anything_behind_a_ping_asks_for_no_haste() -> Result {
    in_virtual_time(async {
        let said = [
            ping(0),
            [ping(10), frame(false, b"at once")].concat(),
            [ping(10), command(b"\x04PONG")].concat(),
        ];
        for said in said {
            let (pull, _, mut peer) = pull_and_peer(quiet()).await?;
            peer.write(&said).await?;
            peer.frame().await?;
            tokio::time::advance(Duration::from_secs(1_000)).await;
            peer.write(&frame(false, b"late")).await?;
            while pull.recv().await?.first() != "late" {}
        }
        let (pull, _, mut peer) = pull_and_peer(quiet()).await?;
        peer.write(&ping(10)).await?;
        tokio::time::advance(Duration::from_millis(900)).await;
        peer.write(&frame(false, b"in time")).await?;
        pull.recv().await?;
        tokio::time::advance(Duration::from_secs(1_000)).await;
        peer.write(&frame(false, b"late")).await?;
        assert_eq!(pull.recv().await?.first(), "late");
        Ok(())
    })
}

/// H06: who was cut for silence is dialled again.
#[test]
fn after_silence_the_endpoint_is_connected_again() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = pushsub::testing::Listening::bind(&name)?;
        let push = Push::new();
        let mut monitor = push.monitor();
        push.connect(format!("memory://{name}"))?;
        let _mute = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        silent(&mut monitor).await;
        let _again = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        connected(&mut monitor).await;
        Ok(())
    })
}

/// C11: what we do not read cannot show a sign of life.
#[test]
fn a_link_that_is_left_unread_is_not_taken_for_dead() -> Result {
    in_virtual_time(async {
        let options = Options::default()
            .receive_high_water_mark(1)
            .heartbeat_timeout(Duration::from_secs(1));
        let (pull, mut monitor, mut peer) = pull_and_peer(options).await?;
        // The PING's promise is not held against a peer that is not read either.
        peer.write(&[frame(false, b"one"), ping(10)].concat())
            .await?;
        while pull.stats().received.queued == 0 {
            tokio::task::yield_now().await;
        }
        peer.write(&frame(false, b"two")).await?;
        for _ in 0..1_000 {
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        assert!(pull.stats().peers[0].connected);
        assert_eq!(pull.recv().await?.first(), "one");
        assert_eq!(pull.recv().await?.first(), "two");
        silent(&mut monitor).await;
        Ok(())
    })
}

/// H07: a peer of ZMTP 3.0 is not asked, and its silence is no offence.
#[test]
fn a_peer_of_the_older_version_may_be_silent() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let pull = Pull::new();
        pull.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "PUSH", 0).await?;
        tokio::time::advance(Duration::from_secs(1_000)).await;
        peer.write(&frame(false, b"late")).await?;
        assert_eq!(pull.recv().await?.first(), "late");
        Ok(())
    })
}

/// BI-112.
#[test]
fn a_heartbeat_of_no_time_is_refused() {
    let refused = Pull::with_options(Options::default().heartbeat_interval(Some(Duration::ZERO)));
    assert!(matches!(
        refused,
        Err(OptionsError::OutOfRange {
            option: "heartbeat_interval",
            ..
        })
    ));
}

/// H05: a PING without a time to live promises nothing and asks for nothing: it is a sign of life as
/// any other, and keeps the promise of the one before.
#[test]
fn a_ping_without_a_time_to_live_keeps_the_promise_of_the_last() -> Result {
    in_virtual_time(async {
        let (_pull, mut monitor, mut peer) = pull_and_peer(quiet()).await?;
        peer.write(&command(b"\x04PING\0\x0a")).await?;
        tokio::time::advance(Duration::from_millis(500)).await;
        peer.write(&command(b"\x04PING\0\0")).await?;
        let ended = tokio::time::timeout(Duration::from_secs(60), silent(&mut monitor));
        assert!(ended.await.is_err(), "the peer was heard within its time");
        Ok(())
    })
}
