//! PUB, XPUB and SUB with libzmq at the other end.

use std::path::Path;

use pushsub::{Message, Pub, Sub, Upstream, XPub};
use tokio::task::yield_now;

use crate::peer::{Peer, Role, in_both_roles, message, messages, options, soon};

in_both_roles!(
    what_pub_publishes_arrives_at_their_sub,
    what_xpub_publishes_arrives_at_their_sub,
    xpub_sees_their_sub_subscribe_and_cancel,
    what_their_pub_publishes_arrives_at_sub,
    what_their_xpub_publishes_arrives_at_sub,
    their_xpub_sees_sub_subscribe_and_cancel,
    pub_goes_on_with_a_subscriber_that_was_restarted,
    xpub_goes_on_with_a_subscriber_that_was_restarted,
    sub_goes_on_with_a_publisher_that_was_restarted,
    a_manual_xpub_decides_what_their_sub_gets,
    their_sub_reads_what_we_say_of_ourselves,
);

async fn what_pub_publishes_arrives_at_their_sub(python: &'static Path, role: Role) {
    let publisher = Pub::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    subscribe(&publisher, &mut peer).await;
    for frames in messages() {
        let frames = format!("t:news {frames}");
        publisher.send("other").await.expect("open");
        publisher.send(message(&frames)).await.expect("open");
        peer.tell(&format!("expect {frames}"), "good").await;
    }
}

async fn what_xpub_publishes_arrives_at_their_sub(python: &'static Path, role: Role) {
    let publisher = XPub::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    peer.tell("subscribe t:news", "done").await;
    assert_eq!(soon(publisher.recv()).await, Ok(Message::from("\x01news")));
    for frames in messages() {
        let frames = format!("t:news {frames}");
        publisher.send("other").await.expect("open");
        publisher.send(message(&frames)).await.expect("open");
        peer.tell(&format!("expect {frames}"), "good").await;
    }
}

async fn xpub_sees_their_sub_subscribe_and_cancel(python: &'static Path, role: Role) {
    let publisher = XPub::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    for (line, seen) in [
        ("subscribe t:a", "h:0161"),
        ("subscribe h:", "h:01"),
        ("unsubscribe t:a", "h:0061"),
        ("unsubscribe h:", "h:00"),
    ] {
        peer.tell(line, "done").await;
        assert_eq!(soon(publisher.recv()).await, Ok(message(seen)));
    }
    publisher.send("nobody wants it").await.expect("open");
    assert_eq!(publisher.stats().unmatched, 1);
}

/// A PUB does not tell who has subscribed: it is asked until it answers.
async fn what_their_pub_publishes_arrives_at_sub(python: &'static Path, role: Role) {
    let subscriber = Sub::with_options(options()).expect("options that it heeds");
    subscriber.subscribe("news");
    let mut peer = Peer::join(python, "PUB", role, &subscriber).await;
    peer.begin("repeat t:news").await;
    assert_eq!(soon(subscriber.recv()).await, Ok(message("t:news")));
    peer.tell("stop", "stopped").await;
    for frames in messages() {
        let frames = format!("t:news {frames}");
        peer.tell("send t:other", "sent").await;
        peer.tell(&format!("send {frames}"), "sent").await;
        let mut received = message("t:news");
        while received == message("t:news") {
            received = soon(subscriber.recv()).await.expect("open");
        }
        assert_eq!(received, message(&frames));
    }
}

async fn what_their_xpub_publishes_arrives_at_sub(python: &'static Path, role: Role) {
    let subscriber = Sub::with_options(options()).expect("options that it heeds");
    subscriber.subscribe("news");
    let mut peer = Peer::join(python, "XPUB", role, &subscriber).await;
    peer.tell("expect h:016e657773", "good").await;
    for frames in messages() {
        let frames = format!("t:news {frames}");
        peer.tell("send t:other", "sent").await;
        peer.tell(&format!("send {frames}"), "sent").await;
        assert_eq!(soon(subscriber.recv()).await, Ok(message(&frames)));
    }
}

async fn their_xpub_sees_sub_subscribe_and_cancel(python: &'static Path, role: Role) {
    let subscriber = Sub::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "XPUB", role, &subscriber).await;
    subscriber.subscribe("a");
    peer.tell("expect h:0161", "good").await;
    subscriber.subscribe("");
    peer.tell("expect h:01", "good").await;
    subscriber.unsubscribe("a");
    peer.tell("expect h:0061", "good").await;
    subscriber.unsubscribe("");
    peer.tell("expect h:00", "good").await;
}

async fn pub_goes_on_with_a_subscriber_that_was_restarted(python: &'static Path, role: Role) {
    let publisher = Pub::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    for round in ["t:news t:first", "t:news t:second", "t:news t:third"] {
        subscribe(&publisher, &mut peer).await;
        publisher.send(message(round)).await.expect("open");
        peer.tell(&format!("expect {round}"), "good").await;
        peer = peer.restart().await;
    }
}

async fn xpub_goes_on_with_a_subscriber_that_was_restarted(python: &'static Path, role: Role) {
    let publisher = XPub::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    for round in ["t:news t:first", "t:news t:second", "t:news t:third"] {
        peer.tell("subscribe t:news", "done").await;
        assert_eq!(soon(publisher.recv()).await, Ok(message("h:016e657773")));
        publisher.send(message(round)).await.expect("open");
        peer.tell(&format!("expect {round}"), "good").await;
        peer = peer.restart().await;
        // Who is gone has cancelled (PB14).
        assert_eq!(soon(publisher.recv()).await, Ok(message("h:006e657773")));
    }
}

/// The subscription is made again on each new connection (SB09).
async fn sub_goes_on_with_a_publisher_that_was_restarted(python: &'static Path, role: Role) {
    let subscriber = Sub::with_options(options()).expect("options that it heeds");
    subscriber.subscribe("news");
    let mut peer = Peer::join(python, "XPUB", role, &subscriber).await;
    for round in ["t:news t:first", "t:news t:second", "t:news t:third"] {
        peer.tell("expect h:016e657773", "good").await;
        peer.tell(&format!("send {round}"), "sent").await;
        assert_eq!(soon(subscriber.recv()).await, Ok(message(round)));
        peer = peer.restart().await;
    }
}

/// Lets the peer subscribe to `news`. A PUB does not show it: what is published
/// before is counted as unmatched, and the first that is not says that it is there.
async fn subscribe(publisher: &Pub, peer: &mut Peer) {
    peer.tell("subscribe t:news", "done").await;
    let before = publisher.stats().sent.accepted;
    let heard = async {
        while publisher.stats().sent.accepted == before {
            publisher.send("news").await.expect("open");
            yield_now().await;
        }
    };
    soon(heard).await;
    peer.tell("expect t:news", "good").await;
}

/// XP04, XP06: `ZMQ_XPUB_MANUAL` on our side.
async fn a_manual_xpub_decides_what_their_sub_gets(python: &'static Path, role: Role) {
    let options = options().manual_subscriptions(true);
    let publisher = XPub::with_options(options).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    for topic in ["refused", "news"] {
        peer.tell(&format!("subscribe t:{topic}"), "done").await;
        let upstream = soon(publisher.recv_upstream()).await.expect("open");
        let Upstream::Subscription(request) = upstream else {
            unreachable!("a subscription comes first, not {upstream:?}");
        };
        assert_eq!(request.topic(), topic);
        assert_eq!(request.peer().property("Socket-Type"), Some(&"SUB".into()));
        if topic == "news" {
            assert!(request.accept_as(["news.eu", "news.us"]));
        }
    }
    for topic in ["refused", "news.asia", "news.us"] {
        publisher.send(topic).await.expect("open");
    }
    peer.tell("expect t:news.us", "good").await;
    peer.tell("unsubscribe t:refused", "done").await;
    peer.tell("unsubscribe t:news", "done").await;
    let upstream = soon(publisher.recv_upstream()).await.expect("open");
    let Upstream::Cancellation { topic, .. } = upstream else {
        unreachable!("the end of what was accepted, not {upstream:?}");
    };
    assert_eq!(topic, "news");
    publisher.send("news.us").await.expect("open");
    assert_eq!(publisher.stats().unmatched, 3);
}

/// N12: libzmq gives properties to the application with each message.
async fn their_sub_reads_what_we_say_of_ourselves(python: &'static Path, role: Role) {
    let options = options().metadata("X-Zone", "eu-1");
    let publisher = XPub::with_options(options).expect("options that it heeds");
    let mut peer = Peer::join(python, "SUB", role, &publisher).await;
    peer.tell("subscribe h:", "done").await;
    assert_eq!(soon(publisher.recv()).await, Ok(Message::from("\x01")));
    for (name, value) in [("X-Zone", "eu-1"), ("Socket-Type", "XPUB")] {
        publisher.send("message").await.expect("open");
        peer.tell(&format!("property {name} t:{value}"), "good")
            .await;
    }
}
