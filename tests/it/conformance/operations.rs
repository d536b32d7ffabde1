//! What every handle promises: a message that is not sent comes back, a future that
//! is dropped loses nothing, and what happens can be seen.

use std::time::Duration;

use futures::{FutureExt, Sink, Stream, StreamExt};
use pushsub::{
    Dealer, Event, Identity, LinkError, Message, Options, Pair, Pub, Pull, Push, Rep, Req,
    RequestError, Router, SendError, SocketType, Sub, TrySendError, XPub, XSub,
};
use tokio::time::Instant;

use super::{Role, joined, meet, quiet, settled, shake, until};
use crate::support::peer::{Peer, greeting, ready};
use crate::support::{Result, assert_accounted, connected, in_virtual_time, memory_name};

fn two_frames() -> Message {
    let mut message = Message::from("head");
    message.push_back("body");
    message
}

/// C6: with every reason that there is, through `try_send` and through `send`.
#[test]
fn a_message_that_is_not_sent_comes_back() -> Result {
    in_virtual_time(async {
        let full = [
            Push::new().try_send(two_frames()),
            Dealer::new().try_send(two_frames()),
            Pair::new().try_send(two_frames()),
        ];
        for full in full {
            assert!(matches!(full, Err(TrySendError::Full(message)) if message == two_frames()));
        }
        let small = || Options::default().max_message_size(7);
        let too_large = [
            Push::with_options(small())?.send(two_frames()).await,
            Pub::with_options(small())?.send(two_frames()).await,
            XSub::with_options(small())?.send(two_frames()).await,
            Router::with_options(small())?.send(two_frames()).await,
            Router::with_options(Options::default().max_frames(1))?
                .send(two_frames())
                .await,
        ];
        for refused in too_large {
            assert!(
                matches!(refused, Err(SendError::TooLarge(message)) if message == two_frames())
            );
        }
        let router = Router::with_options(Options::default().mandatory(true))?;
        let nobody = router.try_send(two_frames());
        let Err(TrySendError::Refused(SendError::Unroutable(message))) = nobody else {
            return Err("nobody has that name".into());
        };
        assert_eq!(message, two_frames());
        let push = Push::new();
        let pub_ = XPub::new();
        push.clone().close(Duration::ZERO).await;
        pub_.clone().close(Duration::ZERO).await;
        for closed in [push.send(two_frames()).await, pub_.send(two_frames()).await] {
            assert!(matches!(closed, Err(SendError::Closed(message)) if message == two_frames()));
        }
        let req = Req::new();
        req.clone().close(Duration::ZERO).await;
        let refused = req.request(two_frames()).await;
        let Err(RequestError::Refused(SendError::Closed(message))) = refused else {
            return Err("it is closed".into());
        };
        assert_eq!(message, two_frames());
        Ok(())
    })
}

/// A7: each type in the directions that it has, checked by the compiler.
#[test]
fn what_receives_is_a_stream_and_what_sends_is_a_sink() {
    fn stream<T: Stream<Item = Message> + Unpin + Send>(_: &T) {}
    fn sink<T: Sink<Message, Error = SendError> + Unpin + Send>(_: &T) {}
    stream(&Pull::new());
    stream(&Sub::new());
    sink(&Push::new());
    sink(&Pub::new());
    macro_rules! both {
        ($($type:ident)*) => { $( stream(&$type::new()); sink(&$type::new()); )* };
    }
    both!(Pair XPub XSub Dealer Router);
    fn requests<T: Stream<Item = (Message, pushsub::Responder)> + Unpin>(_: &T) {}
    requests(&Rep::new());
}

/// A7: the combinators of `futures` take a socket at either end.
#[test]
fn a_subscriber_is_mapped_buffered_and_forwarded_to_a_push() -> Result {
    in_virtual_time(async {
        let (publisher, sub) = (XPub::new(), Sub::new());
        let (push, pull) = (Push::new(), Pull::new());
        let names = [memory_name(), memory_name()].map(|name| format!("memory://{name}"));
        publisher.bind(&names[0]).await?;
        pull.bind(&names[1]).await?;
        sub.subscribe("");
        sub.connect(&names[0])?;
        push.connect(&names[1])?;
        publisher.recv().await?;
        let work = |message: Message| async move {
            tokio::task::yield_now().await;
            Message::from([b"done ", &message.first()[..]].concat())
        };
        tokio::spawn(sub.map(work).buffer_unordered(8).map(Ok).forward(push));
        let mut done = Vec::new();
        for number in 0..500_u32 {
            publisher.send(number.to_string()).await?;
            done.push(pull.recv().await?.first().to_vec());
        }
        let expected = (0..500).map(|number| format!("done {number}").into_bytes());
        assert_eq!(done, expected.collect::<Vec<_>>());
        Ok(())
    })
}

/// C10: without a linger closing takes no time, however much a dead peer has
/// not read; with one it takes that long and says what was not written.
#[test]
fn closing_takes_its_linger_and_no_longer() -> Result {
    in_virtual_time(async {
        for linger in [0, 50, 2_000].map(Duration::from_millis) {
            let push = Push::with_options(quiet())?;
            let _deaf = joined(&push, SocketType::Pull).await?;
            for _ in 0..100 {
                push.send(vec![1; 10_000]).await?;
            }
            until(|| push.stats().sent.written > 0).await;
            let since = Instant::now();
            let closed = push.clone().close(linger).await;
            assert!(
                since.elapsed() <= linger + Duration::from_millis(50),
                "{linger:?}"
            );
            let sent = push.stats().sent;
            assert_eq!(closed.unsent, 100 - sent.written);
            assert_accounted(&push.stats());
        }
        Ok(())
    })
}

/// F5: a large payload that is sent over inproc is received in the same memory,
/// through a chain of sockets, and however many frames stand around it.
#[test]
fn a_payload_is_the_same_memory_at_the_other_end() -> Result {
    in_virtual_time(async {
        let payload = bytes::Bytes::from(vec![5; 1 << 20]);
        let here = payload.as_ptr();
        let mut message = Message::from("head");
        message.push_back(payload);
        message.push_back("tail");
        for _ in 0..5 {
            let (push, pull) = (Push::new(), Pull::new());
            let name = format!("inproc://{}", memory_name());
            pull.bind(&name).await?;
            push.connect(&name)?;
            push.send(message).await?;
            message = pull.recv().await?;
            assert_eq!(message[1].as_ptr(), here);
        }
        Ok(())
    })
}

/// What a scripted peer does, and what the socket is to say of it.
#[derive(Clone, Copy, Debug)]
enum Scene {
    /// Shakes hands and leaves.
    Leaves,
    /// Shakes hands and breaks the protocol.
    Offends,
    /// Shakes hands and says why it gives up.
    GivesUp,
    /// Is of a type that does not fit.
    WrongType,
    /// Speaks another protocol.
    Stranger,
    /// Has a name that is none.
    BadName,
}

const SCENES: [Scene; 6] = [
    Scene::Leaves,
    Scene::Offends,
    Scene::GivesUp,
    Scene::WrongType,
    Scene::Stranger,
    Scene::BadName,
];

async fn play(scene: Scene, router: &Router, name: &str, identity: &str) -> Result {
    let mut peer = Peer::new(pushsub::testing::dial(name)?);
    let said = match scene {
        Scene::WrongType => [greeting(1), ready("SUB", b"")].concat(),
        Scene::Stranger => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Scene::BadName => [greeting(1), ready("DEALER", b"\0name")].concat(),
        _ => [greeting(1), ready("DEALER", identity.as_bytes())].concat(),
    };
    peer.write(&said).await?;
    if matches!(scene, Scene::Leaves | Scene::Offends | Scene::GivesUp) {
        until(|| router.stats().peers.len() == 1).await;
        match scene {
            Scene::Offends => peer.write(&[0xFF]).await?,
            Scene::GivesUp => peer.write(b"\x04\x09\x05ERROR\x02no").await?,
            _ => {}
        }
    } else {
        peer.read_to_end().await?;
    }
    drop(peer);
    Ok(())
}

/// I1: a thousand scripted peers, and the whole log of events against what was played.
#[test]
fn a_monitor_tells_what_happened_and_nothing_else() -> Result {
    in_virtual_time(async {
        let router = Router::with_options(quiet())?;
        let mut monitor = router.monitor();
        let name = memory_name();
        router.bind(format!("memory://{name}")).await?;
        assert!(matches!(
            monitor.next().await,
            Some(Event::Listening { .. })
        ));
        let mut random = fastrand::Rng::with_seed(1);
        for number in 0..1_000 {
            let scene = SCENES[random.usize(..SCENES.len())];
            let identity = format!("peer {number}");
            play(scene, &router, &name, &identity).await?;
            let mut event = monitor.next().await.ok_or("the socket is open")?;
            if let Event::Connected { endpoint, peer } = &event {
                assert_eq!(endpoint.to_string(), format!("memory://{name}"));
                assert_eq!(peer.identity, identity);
                assert_eq!(peer.socket_type, SocketType::Dealer);
                event = monitor.next().await.ok_or("the socket is open")?;
            }
            let as_played = match (scene, &event) {
                (Scene::Leaves, Event::Disconnected { peer, reason, .. }) => {
                    peer.identity == identity && *reason == LinkError::ClosedByPeer
                }
                (Scene::Offends, Event::Disconnected { peer, reason, .. }) => {
                    peer.identity == identity && matches!(reason, LinkError::Protocol(_))
                }
                (Scene::GivesUp, Event::Disconnected { peer, reason, .. }) => {
                    peer.identity == identity && *reason == LinkError::PeerError("no".into())
                }
                (
                    Scene::WrongType | Scene::Stranger | Scene::BadName,
                    Event::Refused {
                        reason: LinkError::Handshake(_),
                        address,
                        ..
                    },
                ) => address == "memory",
                _ => false,
            };
            assert!(as_played, "{scene:?}: {event:?}");
        }
        assert!(monitor.next().now_or_never().is_none(), "and nothing else");
        Ok(())
    })
}

/// I2: depth, room and drops of each queue at every step, while messages wait on both sides.
#[test]
fn the_counters_can_be_read_at_any_time() -> Result {
    in_virtual_time(async {
        let options = || {
            quiet()
                .identity(Identity::new("ann").expect("a name"))
                .send_high_water_mark(20)
        };
        let dealer = Dealer::with_options(options())?;
        let mut monitor = dealer.monitor();
        let mut peer = meet(&dealer, Role::Binds).await?;
        shake(&mut peer, SocketType::Router, 1).await?;
        connected(&mut monitor).await;
        let mut accepted = 0;
        while dealer.try_send(vec![0; 10_000]).is_ok() {
            accepted += 1;
            let stats = dealer.stats();
            assert_accounted(&stats);
            assert_eq!(stats.sent.accepted, accepted);
            assert!(stats.sent.queued <= 20);
            assert!(stats.peers[0].connected);
        }
        assert_eq!(dealer.stats().sent.queued, 20, "full is the mark");
        for received in 1..=10 {
            peer.write(&super::octets(&["for you"])).await?;
            until(|| dealer.stats().received.queued == received).await;
        }
        for left in (0..10).rev() {
            dealer.recv().await?;
            let received = dealer.stats().received;
            assert_eq!((received.queued, received.delivered), (left, 10 - left));
        }
        for _ in 0..accepted {
            super::message(&mut peer).await?;
        }
        settled(&mut peer).await?;
        assert_eq!(dealer.stats().sent.written, accepted);
        drop(peer);
        until(|| dealer.stats().peers.is_empty()).await;
        assert_eq!(
            dealer.stats().sent.accepted,
            accepted,
            "what is gone stays counted"
        );
        Ok(())
    })
}
