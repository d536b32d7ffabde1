//! What options bound and give up: attempts, subscriptions, full pipes; and texts that are no endpoints.

use std::time::Duration;

use bytes::Bytes;
use pushsub::testing::{Listening, dial};
use pushsub::{
    BindError, ConnectError, Dealer, Endpoint, EndpointError, Event, Identity, LinkError, Message,
    Monitor, Options, OptionsError, Overflow, Pub, Pull, Push, ReconnectStop, Req, RequestError,
    Router, SendError, SocketType, Streamer, Sub, TrySendError, XPub, XSub,
};

use crate::support::peer::{Peer, command};
use crate::support::{
    Result, assert_accounted, connected, event, in_real_time, in_virtual_time, memory_name,
    on_every_transport,
};

on_every_transport! {
    drop_newest_keeps_exactly_the_first_that_fit;
    drop_oldest_keeps_exactly_the_last_that_fit;
    conflation_keeps_exactly_the_newest_of_each_key;
    conflation_misses_a_new_key_where_the_pipe_is_full;
    a_publisher_conflates_for_a_slow_subscriber;
    a_subscriber_conflates_what_it_sends_upstream;
    a_blocked_publisher_accounts_for_every_message;
    a_disconnected_peer_misses_exactly_one_message;
}

fn first_frame(message: &Message) -> Bytes {
    message.first().clone()
}

/// An endpoint that is free, wildcards resolved.
async fn endpoint_to_come(endpoint: &str) -> Result<Endpoint> {
    let placeholder = Pull::new();
    let endpoint = placeholder.bind(endpoint).await?;
    placeholder.close(Duration::ZERO).await;
    Ok(endpoint)
}

/// A ROUTER that has sent to a peer that is not there yet, which then comes. The
/// messages have a key, of three, and a number.
async fn router_with_a_full_pipe(
    endpoint: &str,
    overflow: Overflow,
    mark: usize,
) -> Result<(Router, Dealer)> {
    let options = Options::default()
        .overflow(overflow)
        .send_high_water_mark(mark);
    let router = Router::with_options(options)?;
    let endpoint = endpoint_to_come(endpoint).await?;
    router.connect_as(&endpoint, &Identity::new("ann")?)?;
    for number in 0..20_u8 {
        let key = ["a", "b", "c"][usize::from(number) % 3];
        let frames = [
            Bytes::from("ann"),
            Bytes::from(key),
            Bytes::copy_from_slice(&[number]),
        ];
        router.send(frames).await?;
    }
    let dealer = Dealer::new();
    dealer.bind(&endpoint).await?;
    Ok((router, dealer))
}

/// The numbers of the next messages.
async fn numbers(dealer: &Dealer, count: usize) -> Result<Vec<u8>> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        numbers.push(dealer.recv().await?[1][0]);
    }
    assert!(dealer.try_recv().is_err(), "and no more");
    Ok(numbers)
}

/// C4.
async fn drop_newest_keeps_exactly_the_first_that_fit(endpoint: String) -> Result {
    let (router, dealer) = router_with_a_full_pipe(&endpoint, Overflow::DropNewest, 5).await?;
    assert_eq!(numbers(&dealer, 5).await?, [0, 1, 2, 3, 4]);
    let sent = router.stats().sent;
    assert_eq!((sent.accepted, sent.written), (20, 5));
    assert_eq!((sent.dropped.full, sent.dropped.total()), (15, 15));
    Ok(())
}

/// C4.
async fn drop_oldest_keeps_exactly_the_last_that_fit(endpoint: String) -> Result {
    let (router, dealer) = router_with_a_full_pipe(&endpoint, Overflow::DropOldest, 5).await?;
    assert_eq!(numbers(&dealer, 5).await?, [15, 16, 17, 18, 19]);
    let sent = router.stats().sent;
    assert_eq!((sent.accepted, sent.written), (20, 5));
    assert_eq!((sent.dropped.replaced, sent.dropped.total()), (15, 15));
    Ok(())
}

/// C4.
async fn conflation_keeps_exactly_the_newest_of_each_key(endpoint: String) -> Result {
    let overflow = Overflow::ConflateBy(first_frame);
    let (router, dealer) = router_with_a_full_pipe(&endpoint, overflow, 5).await?;
    assert_eq!(numbers(&dealer, 3).await?, [17, 18, 19], "c, a, b");
    let sent = router.stats().sent;
    assert_eq!((sent.accepted, sent.written), (20, 3));
    assert_eq!((sent.dropped.replaced, sent.dropped.total()), (17, 17));
    Ok(())
}

/// C4: the mark holds for the number of keys; 2, 5 and so on have the third.
async fn conflation_misses_a_new_key_where_the_pipe_is_full(endpoint: String) -> Result {
    let overflow = Overflow::ConflateBy(first_frame);
    let (router, dealer) = router_with_a_full_pipe(&endpoint, overflow, 2).await?;
    assert_eq!(numbers(&dealer, 2).await?, [18, 19]);
    let sent = router.stats().sent;
    assert_eq!((sent.accepted, sent.written), (20, 2));
    assert_eq!((sent.dropped.full, sent.dropped.replaced), (6, 12));
    assert_eq!(sent.dropped.total(), 18);
    Ok(())
}

/// A publication that is large enough to fill a kernel soon.
fn publication(topic: &'static str, number: u32) -> Message {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(100_000, 0);
    Message::from([Bytes::from(topic), Bytes::from(body)])
}

/// An XPUB, and a SUB of it that takes little at a time.
async fn publisher_and_slow_subscriber(
    endpoint: &str,
    overflow: Overflow,
) -> Result<(XPub, Monitor, Sub)> {
    let options = Options::default().overflow(overflow);
    let publisher = XPub::with_options(options.send_high_water_mark(5))?;
    let monitor = publisher.monitor();
    let endpoint = publisher.bind(endpoint).await?;
    let sub = Sub::with_options(Options::default().receive_high_water_mark(5))?;
    sub.subscribe("");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    Ok((publisher, monitor, sub))
}

/// C4: whatever the kernel took before, the last word of each topic arrives last.
async fn a_publisher_conflates_for_a_slow_subscriber(endpoint: String) -> Result {
    const COUNT: u32 = 200;
    let overflow = Overflow::ConflateBy(first_frame);
    let (publisher, _, sub) = publisher_and_slow_subscriber(&endpoint, overflow).await?;
    for number in 0..COUNT {
        publisher.send(publication("a", number)).await?;
        publisher.send(publication("b", number)).await?;
        tokio::task::yield_now().await;
    }
    let mut newest = [None, None];
    let mut received = 0;
    while newest != [Some(COUNT - 1); 2] {
        let message = sub.recv().await?;
        let number = u32::from_be_bytes(message[1][..4].try_into()?);
        let topic = usize::from(message.first() == "b");
        assert!(newest[topic] < Some(number), "in order, with gaps");
        newest[topic] = Some(number);
        received += 1;
    }
    let stats = publisher.stats();
    assert_accounted(&stats);
    let sent = stats.sent;
    assert_eq!(sent.accepted, u64::from(COUNT) * 2);
    assert_eq!((sent.written, sent.queued), (received, 0));
    assert_eq!(sent.dropped.replaced, sent.accepted - received);
    assert!(sent.dropped.replaced > 0);
    Ok(())
}

/// C4.
async fn a_subscriber_conflates_what_it_sends_upstream(endpoint: String) -> Result {
    let overflow = Overflow::ConflateBy(first_frame);
    let xsub = XSub::with_options(Options::default().overflow(overflow))?;
    let endpoint = endpoint_to_come(&endpoint).await?;
    xsub.connect(&endpoint)?;
    for text in ["first", "second", "third"] {
        xsub.send(["up", text]).await?;
    }
    let publisher = XPub::new();
    publisher.bind(&endpoint).await?;
    assert_eq!(publisher.recv().await?.frames(), ["up", "third"]);
    let sent = xsub.stats().sent;
    assert_eq!((sent.accepted, sent.written), (3, 1));
    assert_eq!((sent.dropped.replaced, sent.dropped.total()), (2, 2));
    Ok(())
}

/// C4.
async fn a_blocked_publisher_accounts_for_every_message(endpoint: String) -> Result {
    const COUNT: u32 = 100;
    let (publisher, _, sub) = publisher_and_slow_subscriber(&endpoint, Overflow::Block).await?;
    let publishing = async {
        for number in 0..COUNT {
            publisher.send(publication("a", number)).await?;
        }
        Result::Ok(())
    };
    let receiving = async {
        for _ in 0..COUNT {
            sub.recv().await?;
        }
        Result::Ok(())
    };
    let (published, received) = tokio::join!(publishing, receiving);
    published?;
    received?;
    let sent = publisher.stats().sent;
    assert_eq!((sent.accepted, sent.written), (100, 100));
    assert_eq!(sent.dropped.total(), 0);
    Ok(())
}

/// C4.
async fn a_disconnected_peer_misses_exactly_one_message(endpoint: String) -> Result {
    let overflow = Overflow::Disconnect;
    let (publisher, mut monitor, _sub) = publisher_and_slow_subscriber(&endpoint, overflow).await?;
    let mut accepted = 0;
    while publisher.stats().sent.dropped.full == 0 {
        publisher.send(publication("a", 0)).await?;
        accepted += 1;
        tokio::task::yield_now().await;
    }
    event(&mut monitor, |event| {
        let Event::Disconnected { reason, .. } = event else {
            return false;
        };
        *reason == LinkError::TooSlow
    })
    .await;
    let stats = publisher.stats();
    assert_accounted(&stats);
    assert_eq!(stats.sent.accepted, accepted);
    assert_eq!((stats.sent.dropped.full, stats.sent.queued), (1, 0));
    assert_eq!(stats.sent.dropped.replaced, 0);
    Ok(())
}

async fn gave_up(monitor: &mut Monitor) -> LinkError {
    let event = event(monitor, |event| matches!(event, Event::GaveUp { .. })).await;
    let Event::GaveUp { reason, .. } = event else {
        unreachable!("it was waited for")
    };
    reason
}

fn stop(after: ReconnectStop) -> Options {
    Options::default().reconnect_stop([after])
}

/// `ZMQ_RECONNECT_STOP_CONN_REFUSED`: what waits is given up, and all goes on.
#[test]
fn an_endpoint_that_refuses_is_given_up_where_that_is_asked_for() -> Result {
    in_virtual_time(async {
        let push = Push::with_options(stop(ReconnectStop::Refused))?;
        let mut monitor = push.monitor();
        let name: Endpoint = format!("memory://{}", memory_name()).parse()?;
        push.connect(&name)?;
        push.send("lost").await?;
        let refused = LinkError::Io(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(gave_up(&mut monitor).await, refused);
        let sent = push.stats().sent;
        assert_eq!((sent.accepted, sent.dropped.discarded), (1, 1));
        assert!(push.stats().peers.is_empty());
        assert!(!push.disconnect(&name), "there is nothing to disconnect");
        assert!(matches!(push.try_send("?"), Err(TrySendError::Full(_))));
        let pull = Pull::new();
        pull.bind(&name).await?;
        push.connect(&name)?;
        push.send("anew").await?;
        assert_eq!(pull.recv().await?.first(), "anew");
        Ok(())
    })
}

#[test]
fn a_request_to_an_endpoint_that_is_given_up_has_an_end() -> Result {
    in_virtual_time(async {
        let req = Req::with_options(stop(ReconnectStop::Refused))?;
        req.connect(format!("memory://{}", memory_name()))?;
        let ended = req.request("anybody?").await;
        assert!(matches!(ended, Err(RequestError::PeerLost)), "{ended:?}");
        Ok(())
    })
}

/// `ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED`: who refuses is not yet a failed handshake.
#[test]
fn an_endpoint_whose_handshake_fails_is_given_up_where_that_is_asked_for() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let push = Push::with_options(stop(ReconnectStop::HandshakeFailed))?;
        let mut monitor = push.monitor();
        push.connect(format!("memory://{name}"))?;
        event(&mut monitor, |event| {
            matches!(event, Event::Retrying { .. })
        })
        .await;
        let publisher = Pub::new();
        publisher.bind(format!("memory://{name}")).await?;
        assert!(matches!(
            gave_up(&mut monitor).await,
            LinkError::Handshake(_) | LinkError::PeerError(_)
        ));
        Ok(())
    })
}

#[test]
fn an_endpoint_whose_connection_ends_is_given_up_where_that_is_asked_for() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let push = Push::with_options(stop(ReconnectStop::Disconnected))?;
        let mut monitor = push.monitor();
        push.connect(format!("memory://{name}"))?;
        drop(listening.accept().await?);
        event(&mut monitor, |event| {
            matches!(event, Event::Retrying { .. })
        })
        .await;
        drop(Peer::shaken(listening.accept().await?, "PULL", 1).await?);
        assert_eq!(gave_up(&mut monitor).await, LinkError::ClosedByPeer);
        Ok(())
    })
}

/// `ZMQ_CONNECT_TIMEOUT`: a listener whose queue is full answers nobody on Linux.
#[cfg(target_os = "linux")]
#[test]
fn an_attempt_to_connect_has_its_time_and_no_more() -> Result {
    in_real_time(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?)?;
        let listener = socket.listen(1)?;
        let address = listener.local_addr()?;
        let mut queued = Vec::new();
        for _ in 0..2 {
            queued.push(tokio::net::TcpStream::connect(address).await?);
        }
        let timeout = Duration::from_millis(50);
        let push = Push::with_options(Options::default().connect_timeout(timeout))?;
        let mut monitor = push.monitor();
        push.connect(format!("tcp://{address}"))?;
        let event = event(&mut monitor, |event| {
            matches!(event, Event::Retrying { .. })
        })
        .await;
        let Event::Retrying { reason, .. } = event else {
            unreachable!("it was waited for")
        };
        assert_eq!(reason, LinkError::ConnectTimeout);
        Ok(())
    })
}

/// BI-57: each limit cuts the peer that goes beyond it, and not before.
#[test]
fn a_peer_that_subscribes_to_more_than_the_options_allow_is_cut() -> Result {
    in_virtual_time(async {
        let options = Options::default;
        for (options, beyond) in [
            (options().max_subscriptions(2), "c"),
            (options().max_subscription_octets(2), "c"),
            (options().max_topic(1), "cc"),
        ] {
            let publisher = XPub::with_options(options)?;
            let mut monitor = publisher.monitor();
            let name = memory_name();
            publisher.bind(format!("memory://{name}")).await?;
            let mut peer = Peer::shaken(dial(&name)?, "SUB", 1).await?;
            connected(&mut monitor).await;
            for topic in ["a", "b", beyond] {
                assert!(publisher.stats().peers[0].connected);
                let body = [b"\x09SUBSCRIBE", topic.as_bytes()].concat();
                peer.write(&command(&body)).await?;
                if topic != beyond {
                    assert_eq!(publisher.recv().await?.first()[1..], *topic.as_bytes());
                }
            }
            let event = event(&mut monitor, |event| {
                matches!(event, Event::Disconnected { .. })
            })
            .await;
            let Event::Disconnected { reason, .. } = event else {
                unreachable!("it was waited for")
            };
            assert!(matches!(reason, LinkError::Protocol(_)), "{reason}");
        }
        Ok(())
    })
}

/// BI-112: each side of a device says what it cannot heed.
#[test]
fn a_device_tells_what_the_options_of_its_sides_cannot_be() -> Result {
    in_virtual_time(async {
        let wrong = Options::default().hello("hello");
        let error = Streamer::builder().back_options(wrong).spawn().await;
        let text = error.expect_err("a PUSH greets nobody").to_string();
        assert!(text.contains("hello") && text.contains("PUSH"), "{text}");
        Ok(())
    })
}

/// BI-112.
#[test]
fn a_socket_is_not_made_of_options_that_it_cannot_heed() {
    let told = Push::with_options(Options::default().overflow(Overflow::DropOldest));
    assert!(matches!(
        told,
        Err(OptionsError::NotForType {
            option: "overflow",
            socket_type: SocketType::Push,
            ..
        })
    ));
}

/// BI-111: for `bind` and for `connect`; a port of 0 and every interface are for `bind`.
#[test]
fn a_text_that_is_no_endpoint_is_a_typed_error() -> Result {
    in_virtual_time(async {
        let megabyte = "x".repeat(1 << 20);
        let path = format!("ipc:///{}", "p".repeat(107));
        let pull = Pull::new();
        for text in [
            "",
            "no scheme",
            "tcp://",
            "tcp://host:65536",
            "tcp://host:-1",
            "tcp://[::1",
            "tcp://%zz:1",
            "tcp://a\0b:1",
            "inproc://a\0b",
            megabyte.as_str(),
            path.as_str(),
        ] {
            let bound = pull.bind(text).await;
            let Err(BindError::Endpoint(error)) = bound else {
                return Err(format!("{bound:?}").into());
            };
            assert!(error.to_string().len() < 400);
            assert_eq!(pull.connect(text), Err(ConnectError::Endpoint(error)));
        }
        let wildcard = pull.connect("tcp://127.0.0.1:0");
        assert!(matches!(wildcard, Err(ConnectError::Wildcard(_))));
        let error = pull.bind("tcp://").await.expect_err("it has no port");
        assert!(
            matches!(error, BindError::Endpoint(EndpointError::Port(text)) if text == "tcp://")
        );
        Ok(())
    })
}

/// BI-114: a million frames, and one octet too many, are given back, and nothing is written.
#[test]
fn a_message_above_the_limits_leaves_nothing_on_the_wire() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let options = Options::default().max_message_size(1_000);
        let push = Push::with_options(options.heartbeat_interval(None))?;
        let mut monitor = push.monitor();
        push.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "PULL", 1).await?;
        connected(&mut monitor).await;
        let mut frames = Message::from("");
        for _ in 1..1_000_000 {
            frames.push_back("");
        }
        for message in [frames, Message::from(vec![0; 1_001])] {
            let count = message.frames().len();
            let Err(SendError::TooLarge(message)) = push.send(message).await else {
                return Err("it is above the limits".into());
            };
            assert_eq!(message.frames().len(), count, "it is given back whole");
        }
        assert_eq!(push.stats().sent.accepted, 0);
        push.send("small").await?;
        assert_eq!(peer.frame().await?, (0, b"small".to_vec()));
        Ok(())
    })
}
