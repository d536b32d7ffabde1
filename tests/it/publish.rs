//! PUB, XPUB and SUB.

use std::time::Duration;

use pushsub::{Message, Options, Pub, Sub, XPub};

use crate::support::{Result, assert_accounted, connected, disconnected, on_every_transport};

on_every_transport! {
    only_what_was_subscribed_to_arrives;
    a_topic_wanted_twice_needs_two_cancels;
    a_publisher_that_comes_back_hears_the_subscriptions_again;
    an_xpub_sees_the_first_and_the_last_of_a_topic;
    a_peer_that_goes_takes_its_subscriptions_along;
    a_slow_subscriber_misses_what_is_counted_and_slows_nobody;
    a_publication_nobody_wants_is_counted_and_gone;
}

fn publication(topic: &'static str, body: &'static str) -> Message {
    let mut message = Message::from(topic);
    message.push_back(body);
    message
}

/// PB07, PF01, SB07.
async fn only_what_was_subscribed_to_arrives(endpoint: String) -> Result {
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let some = Sub::new();
    some.subscribe("b");
    some.connect(&endpoint)?;
    publisher.recv().await?;
    let all = Sub::new();
    all.subscribe("");
    all.connect(&endpoint)?;
    publisher.recv().await?;
    for topic in ["a", "b", "bc", "c", "b"] {
        publisher.send(publication(topic, "body")).await?;
    }
    for topic in ["b", "bc", "b"] {
        assert_eq!(some.recv().await?.first(), topic);
    }
    for topic in ["a", "b", "bc", "c", "b"] {
        assert_eq!(all.recv().await?, publication(topic, "body"));
    }
    Ok(())
}

/// SB05.
async fn a_topic_wanted_twice_needs_two_cancels(endpoint: String) -> Result {
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::new();
    sub.subscribe("a");
    sub.subscribe("a");
    sub.subscribe("z");
    sub.connect(&endpoint)?;
    publisher.recv().await?;
    publisher.recv().await?;
    sub.unsubscribe("a");
    publisher.send("a still").await?;
    assert_eq!(sub.recv().await?.first(), "a still");
    sub.unsubscribe("a");
    assert_eq!(publisher.recv().await?.first(), "\0a");
    publisher.send("a no more").await?;
    publisher.send("z").await?;
    assert_eq!(sub.recv().await?.first(), "z");
    Ok(())
}

/// SB06.
async fn a_publisher_that_comes_back_hears_the_subscriptions_again(endpoint: String) -> Result {
    let sub = Sub::new();
    let mut monitor = sub.monitor();
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    sub.connect(&endpoint)?;
    connected(&mut monitor).await;
    sub.subscribe("a");
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    publisher.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    sub.subscribe("b");
    let publisher = XPub::new();
    publisher.bind(&endpoint).await?;
    let mut topics = [publisher.recv().await?, publisher.recv().await?];
    topics.sort_by_key(|message| message.first().clone());
    assert_eq!(
        topics.map(|message| message.first().clone()),
        ["\x01a", "\x01b"]
    );
    Ok(())
}

/// XP05.
async fn an_xpub_sees_the_first_and_the_last_of_a_topic(endpoint: String) -> Result {
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let (one, two) = (Sub::new(), Sub::new());
    one.subscribe("a");
    one.connect(&endpoint)?;
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    two.subscribe("a");
    two.subscribe("b");
    two.connect(&endpoint)?;
    assert_eq!(publisher.recv().await?.first(), "\x01b", "a is not new");
    one.unsubscribe("a");
    two.unsubscribe("b");
    assert_eq!(publisher.recv().await?.first(), "\0b", "two still wants a");
    Ok(())
}

/// XP06, BI-62.
async fn a_peer_that_goes_takes_its_subscriptions_along(endpoint: String) -> Result {
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let sub = Sub::new();
    sub.subscribe("a");
    sub.connect(&endpoint)?;
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    sub.close(Duration::ZERO).await;
    assert_eq!(publisher.recv().await?.first(), "\0a");
    publisher.send("a").await?;
    assert_eq!(publisher.stats().unmatched, 1);
    Ok(())
}

/// FT-22, PB08, PB09.
async fn a_slow_subscriber_misses_what_is_counted_and_slows_nobody(endpoint: String) -> Result {
    const COUNT: u32 = 5_000;
    let publisher = XPub::with_options(Options::default().send_high_water_mark(100));
    let endpoint = publisher.bind(&endpoint).await?;
    let slow = Sub::with_options(Options::default().receive_high_water_mark(10));
    let quick = Sub::new();
    for sub in [&slow, &quick] {
        sub.subscribe("");
        sub.connect(&endpoint)?;
    }
    publisher.recv().await?;
    while publisher.stats().peers.len() < 2 {
        tokio::task::yield_now().await;
    }
    // The second subscription to the same topic is not shown: ask with one of its own.
    quick.subscribe("quick");
    assert_eq!(publisher.recv().await?.first(), "\x01quick");
    for number in 0..COUNT {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(2_000, 0);
        publisher.send(body).await?;
        assert_eq!(quick.recv().await?.first()[..4], number.to_be_bytes());
    }
    let stats = publisher.stats();
    assert_accounted(&stats);
    assert_eq!(stats.sent.accepted, u64::from(COUNT) * 2);
    assert!(stats.sent.dropped.full > 0);
    let mut previous = None;
    while let Ok(message) = slow.try_recv() {
        let number = u32::from_be_bytes(message.first()[..4].try_into()?);
        assert!(previous < Some(number), "in order, with gaps");
        previous = Some(number);
    }
    Ok(())
}

/// W1.6 in miniature: a publication without subscribers costs nothing and is seen.
async fn a_publication_nobody_wants_is_counted_and_gone(endpoint: String) -> Result {
    let publisher = Pub::new();
    publisher.bind(&endpoint).await?;
    publisher.send("anybody?").await?;
    let stats = publisher.stats();
    assert_eq!((stats.unmatched, stats.sent.accepted), (1, 0));
    Ok(())
}
