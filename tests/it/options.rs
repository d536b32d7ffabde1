//! What the patterns can be told, option by option.

use std::time::Duration;

use futures::FutureExt;
use pushsub::{
    ConnectError, Dealer, Endpoint, Event, Identity, LinkError, Message, Options, Overflow, Pair,
    Pub, Pull, Push, Req, Router, Shown, Sub, TrySendError, XPub, XSub,
};

use crate::support::{
    Result, assert_accounted, connected, disconnected, event, memory_name, on_every_transport,
};

on_every_transport! {
    immediate_queues_for_no_peer_that_is_not_there;
    immediate_keeps_what_was_queued_when_a_connection_ended;
    conflate_keeps_the_newest_on_the_way_out;
    conflate_keeps_the_newest_on_the_way_in;
    a_publisher_that_blocks_loses_nothing;
    a_publisher_that_blocks_goes_on_when_the_slow_one_leaves;
    drop_oldest_keeps_the_newest;
    a_peer_that_is_too_slow_is_cut_where_that_is_asked_for;
    handover_lets_the_second_in_and_cuts_the_first;
    a_probe_tells_a_router_who_is_there;
    a_router_names_whom_it_connects;
    a_verbose_xpub_shows_what_is_not_new;
    inverted_matching_sends_what_was_not_asked_for;
    a_burst_is_matched_inversely_to_its_end;
    a_welcome_comes_before_all_publications;
    a_hello_comes_first_on_every_connection;
    a_router_hears_that_a_peer_is_gone;
    a_dealer_hears_that_it_is_connected_anew;
}

fn named(name: &'static str) -> Options {
    Options::default().identity(Identity::new(name).expect("a good name"))
}

fn message(frames: &[&'static str]) -> Message {
    let mut message = Message::from(frames[0]);
    for frame in &frames[1..] {
        message.push_back(*frame);
    }
    message
}

/// A message that carries a number and is large enough to fill a kernel soon.
fn numbered(number: u32) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(100_000, 0);
    body
}

fn number(message: &Message) -> u32 {
    let octets = message.first()[..4].try_into().expect("four octets");
    u32::from_be_bytes(octets)
}

/// `ZMQ_IMMEDIATE`.
async fn immediate_queues_for_no_peer_that_is_not_there(endpoint: String) -> Result {
    let push = Push::with_options(Options::default().immediate(true))?;
    let nobody = format!("memory://{}", memory_name());
    push.connect(&nobody)?;
    assert!(matches!(push.try_send("?"), Err(TrySendError::Full(_))));
    let mut sending = std::pin::pin!(push.send("work"));
    assert!(sending.as_mut().now_or_never().is_none());
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    push.connect(&endpoint)?;
    sending.await?;
    for _ in 0..10 {
        push.send("more").await?;
    }
    for _ in 0..11 {
        pull.recv().await?;
    }
    let pair = Pair::with_options(Options::default().immediate(true))?;
    pair.connect(&nobody)?;
    assert!(matches!(pair.try_send("?"), Err(TrySendError::Full(_))));
    Ok(())
}

async fn immediate_keeps_what_was_queued_when_a_connection_ended(endpoint: String) -> Result {
    let options = Options::default().receive_high_water_mark(1);
    let pull = Pull::with_options(options)?;
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::with_options(Options::default().immediate(true))?;
    let mut monitor = push.monitor();
    push.connect(&endpoint)?;
    connected(&mut monitor).await;
    let mut accepted = 0;
    while push.try_send(numbered(accepted)).is_ok() && push.stats().sent.queued < 20 {
        accepted += 1;
        tokio::task::yield_now().await;
    }
    pull.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    assert!(push.stats().sent.queued > 0);
    assert!(matches!(push.try_send("?"), Err(TrySendError::Full(_))));
    let pull = Pull::new();
    pull.bind(&endpoint).await?;
    pull.recv().await?;
    Ok(())
}

/// `ZMQ_CONFLATE`.
async fn conflate_keeps_the_newest_on_the_way_out(endpoint: String) -> Result {
    let push = Push::with_options(Options::default().conflate(true))?;
    let name: Endpoint = endpoint_to_come(&endpoint).await?;
    push.connect(&name)?;
    for number in 0..100_u32 {
        push.send(message_of(number)).await?;
    }
    assert_eq!(push.stats().sent.queued, 1);
    assert_eq!(push.stats().sent.dropped.replaced, 99);
    let pull = Pull::new();
    pull.bind(&name).await?;
    let received = pull.recv().await?;
    assert_eq!(received, message_of(99), "with all its frames");
    assert_accounted(&push.stats());
    Ok(())
}

/// An endpoint that is free, wildcards resolved.
async fn endpoint_to_come(endpoint: &str) -> Result<Endpoint> {
    let placeholder = Pull::new();
    let endpoint = placeholder.bind(endpoint).await?;
    placeholder.close(Duration::ZERO).await;
    Ok(endpoint)
}

fn message_of(number: u32) -> Message {
    let mut message = Message::from(format!("{number}"));
    message.push_back("second frame");
    message
}

async fn conflate_keeps_the_newest_on_the_way_in(endpoint: String) -> Result {
    let pull = Pull::with_options(Options::default().conflate(true))?;
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    for number in 0..100_u32 {
        push.send(message_of(number)).await?;
    }
    while pull.stats().received.received < 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pull.recv().await?, message_of(99));
    assert!(pull.try_recv().is_err());
    assert_eq!(pull.stats().received.dropped, 99);
    assert_accounted(&pull.stats());
    Ok(())
}

/// `ZMQ_XPUB_NODROP`.
async fn a_publisher_that_blocks_loses_nothing(endpoint: String) -> Result {
    const COUNT: u32 = 300;
    let options = Options::default().overflow(Overflow::Block);
    let publisher = XPub::with_options(options.send_high_water_mark(5))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::with_options(Options::default().receive_high_water_mark(5))?;
    sub.subscribe("");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    let publishing = async {
        for number in 0..COUNT {
            publisher.send(numbered(number)).await?;
        }
        Result::Ok(())
    };
    let receiving = async {
        for expected in 0..COUNT {
            assert_eq!(number(&sub.recv().await?), expected);
        }
        Result::Ok(())
    };
    let (published, received) = tokio::join!(publishing, receiving);
    published?;
    received?;
    assert_eq!(publisher.stats().sent.dropped.total(), 0);
    assert_accounted(&publisher.stats());
    Ok(())
}

async fn a_publisher_that_blocks_goes_on_when_the_slow_one_leaves(endpoint: String) -> Result {
    let options = Options::default().overflow(Overflow::Block);
    let publisher = XPub::with_options(options.send_high_water_mark(5))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::with_options(Options::default().receive_high_water_mark(5))?;
    sub.subscribe("");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    loop {
        let sending = publisher.send(numbered(0));
        let sent = tokio::time::timeout(Duration::from_secs(1), sending).await;
        let Ok(sent) = sent else { break };
        sent?;
    }
    let leaving = async {
        sub.close(Duration::ZERO).await;
    };
    let (sent, ()) = tokio::join!(publisher.send(numbered(0)), leaving);
    sent?;
    Ok(())
}

async fn drop_oldest_keeps_the_newest(endpoint: String) -> Result {
    const COUNT: u32 = 500;
    let options = Options::default().overflow(Overflow::DropOldest);
    let publisher = XPub::with_options(options.send_high_water_mark(5))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::with_options(Options::default().receive_high_water_mark(5))?;
    sub.subscribe("");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    for number in 0..COUNT {
        publisher.send(numbered(number)).await?;
        tokio::task::yield_now().await;
    }
    let stats = publisher.stats();
    assert_accounted(&stats);
    assert!(stats.sent.dropped.replaced > 0);
    assert_eq!(stats.sent.dropped.full, 0);
    let mut previous = None;
    while previous != Some(COUNT - 1) {
        let number = number(&sub.recv().await?);
        assert!(previous < Some(number), "in order, with gaps");
        previous = Some(number);
    }
    Ok(())
}

async fn a_peer_that_is_too_slow_is_cut_where_that_is_asked_for(endpoint: String) -> Result {
    let options = Options::default().overflow(Overflow::Disconnect);
    let publisher = XPub::with_options(options.send_high_water_mark(5))?;
    let mut monitor = publisher.monitor();
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::with_options(Options::default().receive_high_water_mark(5))?;
    sub.subscribe("");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    while publisher.stats().sent.dropped.full == 0 {
        publisher.send(numbered(0)).await?;
        tokio::task::yield_now().await;
    }
    event(&mut monitor, |event| {
        let Event::Disconnected { reason, .. } = event else {
            return false;
        };
        *reason == LinkError::TooSlow
    })
    .await;
    assert_accounted(&publisher.stats());
    Ok(())
}

/// BI-19a, A11: `ZMQ_ROUTER_HANDOVER`.
async fn handover_lets_the_second_in_and_cuts_the_first(endpoint: String) -> Result {
    let options = Options::default().handover(true).mandatory(true);
    let router = Router::with_options(options)?;
    let mut monitor = router.monitor();
    let endpoint = router.bind(&endpoint).await?;
    let first = Dealer::with_options(named("ann"))?;
    first.connect(&endpoint)?;
    connected(&mut monitor).await;
    let second = Dealer::with_options(named("ann"))?;
    second.connect(&endpoint)?;
    event(&mut monitor, |event| {
        let Event::Disconnected { reason, .. } = event else {
            return false;
        };
        *reason == LinkError::HandedOver
    })
    .await;
    // The first comes back in its turn: it is stopped, so that the second stays.
    first.close(Duration::ZERO).await;
    second.send("mine").await?;
    assert_eq!(router.recv().await?, message(&["ann", "mine"]));
    while router.send(message(&["ann", "yours"])).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(second.recv().await?.first(), "yours");
    assert_accounted(&router.stats());
    Ok(())
}

/// `ZMQ_PROBE_ROUTER`.
async fn a_probe_tells_a_router_who_is_there(endpoint: String) -> Result {
    let router = Router::new();
    let endpoint = router.bind(&endpoint).await?;
    let dealer = Dealer::with_options(named("ann").probe_router(true))?;
    dealer.connect(&endpoint)?;
    assert_eq!(router.recv().await?, message(&["ann", ""]));
    router.send(message(&["ann", "first word"])).await?;
    assert_eq!(dealer.recv().await?.first(), "first word");
    let req = Req::with_options(named("bob").probe_router(true))?;
    req.connect(&endpoint)?;
    assert_eq!(router.recv().await?, message(&["bob", ""]));
    assert_accounted(&dealer.stats());
    assert_eq!(dealer.stats().sent.written, 1);
    Ok(())
}

/// `ZMQ_CONNECT_ROUTING_ID`.
async fn a_router_names_whom_it_connects(endpoint: String) -> Result {
    let dealer = Dealer::with_options(named("what it calls itself"))?;
    let router = Router::with_options(Options::default().mandatory(true))?;
    let mut monitor = router.monitor();
    let name = endpoint_to_come(&endpoint).await?;
    let ann = Identity::new("ann")?;
    router.connect_as(&name, &ann)?;
    router.send(message(&["ann", "early"])).await?;
    let twice = router.connect_as(&name, &ann);
    assert_eq!(twice, Err(ConnectError::IdentityTaken));
    dealer.bind(&name).await?;
    assert_eq!(dealer.recv().await?.first(), "early");
    dealer.send("hello").await?;
    assert_eq!(router.recv().await?, message(&["ann", "hello"]));
    dealer.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    router.send(message(&["ann", "for the next"])).await?;
    let dealer = Dealer::new();
    dealer.bind(&name).await?;
    assert_eq!(dealer.recv().await?.first(), "for the next");
    assert!(router.disconnect(&name));
    disconnected(&mut monitor).await;
    assert!(router.send(message(&["ann", "nobody"])).await.is_err());
    router.connect_as(&name, &ann)?;
    assert_accounted(&router.stats());
    Ok(())
}

/// XP05: `ZMQ_XPUB_VERBOSE`, `ZMQ_XPUB_VERBOSER`.
async fn a_verbose_xpub_shows_what_is_not_new(endpoint: String) -> Result {
    for (shown, expected) in [
        (Shown::Changes, vec!["\x01a", "\0a", "\x01end"]),
        (
            Shown::Subscriptions,
            vec!["\x01a", "\x01a", "\0a", "\x01end"],
        ),
        (
            Shown::Everything,
            vec!["\x01a", "\x01a", "\0a", "\0a", "\x01end"],
        ),
    ] {
        let publisher = XPub::with_options(Options::default().shown(shown))?;
        let bound = publisher.bind(&endpoint).await?;
        let subs = [Sub::new(), Sub::new()];
        for (number, sub) in subs.iter().enumerate() {
            sub.subscribe("a");
            sub.connect(&bound)?;
            while publisher.stats().peers.len() <= number {
                tokio::task::yield_now().await;
            }
        }
        let mut seen = vec![publisher.recv().await?];
        if shown != Shown::Changes {
            seen.push(publisher.recv().await?);
        } else {
            subs[1].subscribe("b");
            assert_eq!(publisher.recv().await?.first(), "\x01b");
        }
        subs[0].unsubscribe("a");
        if shown == Shown::Everything {
            seen.push(publisher.recv().await?);
        }
        subs[1].unsubscribe("a");
        subs[1].subscribe("end");
        while seen
            .last()
            .is_none_or(|message| message.first() != "\x01end")
        {
            seen.push(publisher.recv().await?);
        }
        let seen: Vec<_> = seen.iter().map(|message| message.first().clone()).collect();
        assert_eq!(seen, expected, "{shown:?}");
        publisher.close(Duration::ZERO).await;
    }
    Ok(())
}

/// `ZMQ_INVERT_MATCHING`.
async fn inverted_matching_sends_what_was_not_asked_for(endpoint: String) -> Result {
    let options = || Options::default().invert_matching(true);
    let publisher = XPub::with_options(options())?;
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::with_options(options())?;
    sub.subscribe("a");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    for topic in ["a", "b", "ab", "c"] {
        publisher.send(topic).await?;
    }
    assert_eq!(sub.recv().await?.first(), "b");
    assert_eq!(sub.recv().await?.first(), "c");
    assert_eq!(publisher.stats().unmatched, 2);
    Ok(())
}

/// The same behind others of a burst. An XSUB drops nothing that it did not ask for.
async fn a_burst_is_matched_inversely_to_its_end(endpoint: String) -> Result {
    let publisher = XPub::with_options(Options::default().invert_matching(true))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = XSub::new();
    let mut monitor = sub.monitor();
    sub.connect(&endpoint)?;
    connected(&mut monitor).await;
    sub.send(&b"\x01a"[..]).await?;
    publisher.recv().await?;
    for topic in ["b", "b", "b", "ab", "c"] {
        publisher.send(topic).await?;
    }
    for topic in ["b", "b", "b", "c"] {
        assert_eq!(sub.recv().await?.first(), topic);
    }
    let stats = publisher.stats();
    assert_eq!((stats.unmatched, stats.sent.accepted), (1, 4));
    Ok(())
}

/// `ZMQ_XPUB_WELCOME_MSG`.
async fn a_welcome_comes_before_all_publications(endpoint: String) -> Result {
    let publisher = Pub::with_options(Options::default().welcome("welcome"))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::new();
    sub.subscribe("");
    sub.connect(&endpoint)?;
    assert_eq!(sub.recv().await?.first(), "welcome");
    while publisher.stats().sent.accepted < 2 {
        publisher.send("news").await?;
        tokio::task::yield_now().await;
    }
    assert_eq!(sub.recv().await?.first(), "news");
    assert_accounted(&publisher.stats());
    Ok(())
}

/// A11: `ZMQ_HELLO_MSG`.
async fn a_hello_comes_first_on_every_connection(endpoint: String) -> Result {
    let dealer = Dealer::with_options(named("ann").hello("hello"))?;
    let mut monitor = dealer.monitor();
    let router = Router::new();
    let endpoint = router.bind(&endpoint).await?;
    dealer.connect(&endpoint)?;
    dealer.send("work").await?;
    assert_eq!(router.recv().await?, message(&["ann", "hello"]));
    assert_eq!(router.recv().await?, message(&["ann", "work"]));
    router.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    dealer.send("more work").await?;
    let router = Router::new();
    router.bind(&endpoint).await?;
    assert_eq!(router.recv().await?, message(&["ann", "hello"]));
    assert_eq!(router.recv().await?, message(&["ann", "more work"]));
    assert_accounted(&dealer.stats());
    Ok(())
}

/// A11: `ZMQ_DISCONNECT_MSG`.
async fn a_router_hears_that_a_peer_is_gone(endpoint: String) -> Result {
    let router = Router::with_options(Options::default().disconnect_message("gone"))?;
    let endpoint = router.bind(&endpoint).await?;
    let dealer = Dealer::with_options(named("ann"))?;
    dealer.connect(&endpoint)?;
    dealer.send("hello").await?;
    assert_eq!(router.recv().await?, message(&["ann", "hello"]));
    dealer.close(Duration::ZERO).await;
    assert_eq!(router.recv().await?, message(&["ann", "gone"]));
    assert_accounted(&router.stats());
    Ok(())
}

/// A11: `ZMQ_HICCUP_MSG`.
async fn a_dealer_hears_that_it_is_connected_anew(endpoint: String) -> Result {
    let dealer = Dealer::with_options(Options::default().hiccup_message("again"))?;
    let mut monitor = dealer.monitor();
    let router = Router::new();
    let endpoint = router.bind(&endpoint).await?;
    dealer.connect(&endpoint)?;
    connected(&mut monitor).await;
    router.close(Duration::ZERO).await;
    assert_eq!(dealer.recv().await?.first(), "again");
    assert_accounted(&dealer.stats());
    Ok(())
}
