//! PUB, XPUB and SUB.

use std::time::Duration;

use pushsub::{Message, Options, Pub, Sub, XPub, XSub};

use crate::support::{Result, assert_accounted, connected, disconnected, on_every_transport};

on_every_transport! {
    only_what_was_subscribed_to_arrives;
    each_message_of_a_burst_goes_to_those_who_want_it;
    a_publication_follows_where_all_who_want_it_allow_it;
    a_topic_wanted_twice_needs_two_cancels;
    a_publisher_that_comes_back_hears_the_subscriptions_again;
    an_xpub_sees_the_first_and_the_last_of_a_topic;
    a_peer_that_goes_takes_its_subscriptions_along;
    a_slow_subscriber_misses_what_is_counted_and_slows_nobody;
    a_publication_nobody_wants_is_counted_and_gone;
    an_xsub_subscribes_by_what_it_sends;
    an_xsub_speaks_to_all_its_publishers;
    a_publisher_that_is_full_misses_what_an_xsub_says;
    a_disconnected_xsub_takes_its_subscriptions_back;
    a_publisher_hears_no_ordinary_message;
    subscriptions_pass_through_a_forwarder;
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

/// PB07, PB08: one goes to another set of subscribers than the one before, and some to nobody.
async fn each_message_of_a_burst_goes_to_those_who_want_it(endpoint: String) -> Result {
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let wanted = ["a", "aa", "ab"];
    let mut subscribers = Vec::new();
    for topic in wanted {
        let subscriber = Sub::new();
        subscriber.subscribe(topic);
        subscriber.connect(&endpoint)?;
        publisher.recv().await?;
        subscribers.push(subscriber);
    }
    let runs = [
        ("aa", 20),
        ("b", 3),
        ("ab", 1),
        ("aa", 1),
        ("a", 20),
        ("b", 20),
    ];
    let mut sent = Vec::new();
    for round in 0..10 {
        for (topic, count) in runs {
            sent.extend((0..count).map(|one| (topic, format!("{round} {one}"))));
        }
    }
    for (topic, body) in &sent {
        let mut message = Message::from(*topic);
        message.push_back(body.clone());
        publisher.send(message).await?;
    }
    for (subscriber, prefix) in subscribers.iter().zip(wanted) {
        for (topic, body) in sent.iter().filter(|(topic, _)| topic.starts_with(prefix)) {
            let message = subscriber.recv().await?;
            assert_eq!(
                (&message[0][..], &message[1][..]),
                (topic.as_bytes(), body.as_bytes())
            );
        }
    }
    let stats = publisher.stats();
    let unwanted = sent.iter().filter(|(topic, _)| *topic == "b").count();
    let copies = wanted.map(|prefix| {
        sent.iter()
            .filter(|(topic, _)| topic.starts_with(prefix))
            .count()
    });
    assert_eq!(stats.unmatched, unwanted as u64);
    assert_eq!(stats.sent.accepted, copies.iter().sum::<usize>() as u64);
    Ok(())
}

/// PB07, PB08: whoever looks at the socket ends what every pipe allows, and the next message allows more
/// to those alone who want it.
async fn a_publication_follows_where_all_who_want_it_allow_it(endpoint: String) -> Result {
    const ROUNDS: usize = 50;
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let mut subscribers = Vec::new();
    for topic in ["a", "aa"] {
        let subscriber = Sub::new();
        subscriber.subscribe(topic);
        subscriber.connect(&endpoint)?;
        publisher.recv().await?;
        subscribers.push(subscriber);
    }
    for _ in 0..ROUNDS {
        for topic in ["aa", "aa", "aa"] {
            publisher.send(topic).await?;
        }
        assert_eq!(publisher.stats().unmatched, 0);
        for topic in ["a", "aa", "aa"] {
            publisher.send(topic).await?;
        }
    }
    for _ in 0..ROUNDS {
        for topic in ["aa", "aa", "aa", "a", "aa", "aa"] {
            assert_eq!(subscribers[0].recv().await?.first(), topic);
        }
        for topic in ["aa"; 5] {
            assert_eq!(subscribers[1].recv().await?.first(), topic);
        }
    }
    assert_eq!(publisher.stats().sent.accepted as usize, ROUNDS * (6 + 5));
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
    let publisher = XPub::with_options(Options::default().send_high_water_mark(100))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let slow = Sub::with_options(Options::default().receive_high_water_mark(10))?;
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

/// XS05, XP04, PF01.
async fn an_xsub_subscribes_by_what_it_sends(endpoint: String) -> Result {
    let publisher = XPub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let xsub = XSub::new();
    xsub.send("\x01a").await?;
    xsub.send("\x01a").await?;
    xsub.connect(&endpoint)?;
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    publisher.send(publication("a", "one")).await?;
    publisher.send(publication("b", "two")).await?;
    publisher.send(publication("ab", "three")).await?;
    assert_eq!(xsub.recv().await?, publication("a", "one"));
    assert_eq!(xsub.recv().await?, publication("ab", "three"));
    xsub.send("\0a").await?;
    xsub.subscribe("b");
    assert_eq!(
        publisher.recv().await?.first(),
        "\x01b",
        "a is wanted still"
    );
    xsub.send("\0a").await?;
    assert_eq!(publisher.recv().await?.first(), "\0a");
    Ok(())
}

/// XS01, XS02, XP03, XP04: several frames are no subscription, whatever they begin with.
async fn an_xsub_speaks_to_all_its_publishers(endpoint: String) -> Result {
    let xsub = XSub::new();
    let mut monitor = xsub.monitor();
    let endpoint = xsub.bind(&endpoint).await?;
    let publishers: Vec<XPub> = (0..3).map(|_| XPub::new()).collect();
    for publisher in &publishers {
        publisher.connect(&endpoint)?;
        connected(&mut monitor).await;
    }
    xsub.send("\x02 ordinary").await?;
    xsub.send(publication("\x01a", "several frames")).await?;
    xsub.send("").await?;
    for publisher in &publishers {
        assert_eq!(publisher.recv().await?.first(), "\x02 ordinary");
        assert_eq!(
            publisher.recv().await?,
            publication("\x01a", "several frames")
        );
        assert_eq!(publisher.recv().await?.first(), "");
        publisher.send("a").await?;
        assert_eq!(publisher.stats().unmatched, 1, "nobody subscribed");
    }
    assert_accounted(&xsub.stats());
    assert_eq!(xsub.stats().sent.written, 9);
    Ok(())
}

/// XS03, XS04, BI-67.
async fn a_publisher_that_is_full_misses_what_an_xsub_says(endpoint: String) -> Result {
    let publisher = XPub::with_options(Options::default().receive_high_water_mark(5))?;
    let endpoint = publisher.bind(&endpoint).await?;
    let xsub = XSub::with_options(Options::default().send_high_water_mark(5))?;
    let mut monitor = xsub.monitor();
    xsub.connect(&endpoint)?;
    connected(&mut monitor).await;
    while xsub.stats().sent.dropped.full == 0 {
        xsub.send(vec![9; 100_000]).await?;
        tokio::task::yield_now().await;
    }
    assert_accounted(&xsub.stats());
    assert!(publisher.stats().received.queued < 100);
    Ok(())
}

/// XS06, XP06: each is shown once, though the connection ends as well.
async fn a_disconnected_xsub_takes_its_subscriptions_back(endpoint: String) -> Result {
    let publisher = XPub::new();
    let mut monitor = publisher.monitor();
    let endpoint = publisher.bind(&endpoint).await?;
    let xsub = XSub::new();
    xsub.connect(&endpoint)?;
    for topic in ["a", "b"] {
        xsub.subscribe(topic);
        publisher.recv().await?;
    }
    assert!(xsub.disconnect(&endpoint));
    disconnected(&mut monitor).await;
    assert_eq!(publisher.recv().await?.first(), "\0a");
    assert_eq!(publisher.recv().await?.first(), "\0b");
    assert!(publisher.try_recv().is_err());
    Ok(())
}

/// PB05, PB11, BI-66.
async fn a_publisher_hears_no_ordinary_message(endpoint: String) -> Result {
    let publisher = Pub::new();
    let endpoint = publisher.bind(&endpoint).await?;
    let xsub = XSub::new();
    xsub.connect(&endpoint)?;
    for _ in 0..100 {
        xsub.send("ordinary").await?;
    }
    while publisher.stats().received.dropped < 100 {
        tokio::task::yield_now().await;
    }
    assert_accounted(&publisher.stats());
    assert_eq!(publisher.stats().received.queued, 0);
    Ok(())
}

/// XP04, XS05: what an XPUB shows an XSUB can send on.
async fn subscriptions_pass_through_a_forwarder(endpoint: String) -> Result {
    let source = XPub::new();
    let endpoint = source.bind(&endpoint).await?;
    let (back, front) = (XSub::new(), XPub::new());
    back.connect(&endpoint)?;
    let name = format!("memory://{}", crate::support::memory_name());
    front.bind(&name).await?;
    let sub = Sub::new();
    sub.subscribe("a");
    sub.connect(&name)?;
    back.send(front.recv().await?).await?;
    assert_eq!(source.recv().await?.first(), "\x01a");
    source.send(publication("a", "through")).await?;
    front.send(back.recv().await?).await?;
    assert_eq!(sub.recv().await?, publication("a", "through"));
    sub.unsubscribe("a");
    back.send(front.recv().await?).await?;
    assert_eq!(source.recv().await?.first(), "\0a");
    Ok(())
}
