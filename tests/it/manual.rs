//! An XPUB whose application decides which subscriptions take effect (`ZMQ_XPUB_MANUAL`).

use std::time::Duration;

use pushsub::{Message, Options, PeerInfo, Sub, SubscriptionRequest, Upstream, XPub, XSub};

use crate::support::{Result, assert_accounted, disconnected, on_every_transport};

on_every_transport! {
    a_subscription_takes_effect_only_when_it_is_accepted;
    what_was_granted_ends_when_the_peer_cancels_what_it_asked_for;
    a_request_that_was_canceled_or_whose_peer_is_gone_cannot_be_accepted;
    what_a_peer_had_asked_for_is_canceled_when_it_goes;
    a_welcome_comes_unasked_and_messages_are_no_requests;
}

async fn manual(endpoint: &str) -> Result<(XPub, pushsub::Endpoint)> {
    let publisher = XPub::with_options(Options::default().manual_subscriptions(true))?;
    let endpoint = publisher.bind(endpoint).await?;
    Ok((publisher, endpoint))
}

async fn request(publisher: &XPub) -> Result<SubscriptionRequest> {
    match publisher.recv_upstream().await? {
        Upstream::Subscription(request) => Ok(request),
        other => Err(format!("{other:?}").into()),
    }
}

async fn cancellation(publisher: &XPub) -> Result<(Vec<u8>, std::sync::Arc<PeerInfo>)> {
    match publisher.recv_upstream().await? {
        Upstream::Cancellation { topic, peer } => Ok((topic.to_vec(), peer)),
        other => Err(format!("{other:?}").into()),
    }
}

/// XP04, XP05: requests are shown each, also the second of a topic.
async fn a_subscription_takes_effect_only_when_it_is_accepted(endpoint: String) -> Result {
    let (publisher, endpoint) = manual(&endpoint).await?;
    let subscribers = [Sub::new(), Sub::new()];
    for (number, sub) in subscribers.iter().enumerate() {
        for topic in ["secret", "public"] {
            sub.subscribe(topic);
        }
        sub.connect(&endpoint)?;
        for _ in 0..2 {
            let request = request(&publisher).await?;
            assert_eq!(request.peer().connection, number as u64 + 1);
            if request.topic() == "public" {
                assert!(request.accept());
            }
        }
    }
    publisher.send("secret").await?;
    publisher.send("public").await?;
    for sub in subscribers {
        assert_eq!(sub.recv().await?.first(), "public");
    }
    assert_eq!(publisher.stats().unmatched, 1);
    Ok(())
}

async fn what_was_granted_ends_when_the_peer_cancels_what_it_asked_for(endpoint: String) -> Result {
    let (publisher, endpoint) = manual(&endpoint).await?;
    let subscriber = XSub::new();
    subscriber.connect(&endpoint)?;
    subscriber.subscribe("all");
    let asked = request(&publisher).await?;
    assert!(asked.accept_as(["eu.", "us."]));
    subscriber.subscribe("refused");
    drop(request(&publisher).await?);
    for topic in ["all", "eu.one", "us.two", "refused"] {
        publisher.send(topic).await?;
    }
    assert_eq!(subscriber.recv().await?.first(), "eu.one");
    assert_eq!(subscriber.recv().await?.first(), "us.two");
    // The end of what was refused is not told.
    subscriber.unsubscribe("refused");
    subscriber.unsubscribe("all");
    assert_eq!(cancellation(&publisher).await?.0, b"all");
    let unmatched = publisher.stats().unmatched;
    publisher.send("eu.three").await?;
    assert_eq!(publisher.stats().unmatched, unmatched + 1);
    assert_accounted(&publisher.stats());
    Ok(())
}

async fn a_request_that_was_canceled_or_whose_peer_is_gone_cannot_be_accepted(
    endpoint: String,
) -> Result {
    let (publisher, endpoint) = manual(&endpoint).await?;
    let mut monitor = publisher.monitor();
    let subscriber = Sub::new();
    subscriber.connect(&endpoint)?;
    subscriber.subscribe("a");
    let canceled = request(&publisher).await?;
    subscriber.unsubscribe("a");
    assert_eq!(cancellation(&publisher).await?.0, b"a");
    assert!(!canceled.accept());
    subscriber.subscribe("b");
    let of_a_peer_that_goes = request(&publisher).await?;
    subscriber.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    assert!(!of_a_peer_that_goes.accept());
    publisher.send("a").await?;
    publisher.send("b").await?;
    assert_eq!(publisher.stats().unmatched, 2);
    Ok(())
}

/// XP06.
async fn what_a_peer_had_asked_for_is_canceled_when_it_goes(endpoint: String) -> Result {
    let (publisher, endpoint) = manual(&endpoint).await?;
    let subscriber = Sub::new();
    for topic in ["accepted", "as another", "refused", "undecided"] {
        subscriber.subscribe(topic);
    }
    subscriber.connect(&endpoint)?;
    let mut undecided = None;
    for _ in 0..4 {
        let request = request(&publisher).await?;
        match &request.topic()[..] {
            b"accepted" => assert!(request.accept()),
            b"as another" => assert!(request.accept_as(["x", "y"])),
            b"refused" => drop(request),
            _ => undecided = Some(request),
        }
    }
    subscriber.close(Duration::ZERO).await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        let (topic, peer) = cancellation(&publisher).await?;
        assert_eq!(peer.connection, 1);
        ended.push(topic);
    }
    ended.sort();
    assert_eq!(ended, [&b"accepted"[..], b"as another", b"undecided"]);
    drop(undecided);
    for topic in ["accepted", "x", "y"] {
        publisher.send(topic).await?;
    }
    assert_eq!(publisher.stats().unmatched, 3);
    assert!(publisher.try_recv_upstream().is_err());
    assert_accounted(&publisher.stats());
    Ok(())
}

/// XP04.
async fn a_welcome_comes_unasked_and_messages_are_no_requests(endpoint: String) -> Result {
    let options = Options::default()
        .manual_subscriptions(true)
        .welcome("welcome");
    let publisher = XPub::with_options(options)?;
    let endpoint = publisher.bind(&endpoint).await?;
    let subscriber = XSub::with_options(Options::default().metadata("X-Name", "ann"))?;
    subscriber.connect(&endpoint)?;
    assert_eq!(subscriber.recv().await?.first(), "welcome");
    subscriber.send("news from below").await?;
    let Upstream::Message { message, peer } = publisher.recv_upstream().await? else {
        return Err("it was a message".into());
    };
    assert_eq!(message, Message::from("news from below"));
    assert_eq!(peer.property("X-Name"), Some(&"ann".into()));
    Ok(())
}
