//! The classic devices between sockets.

use std::time::Duration;

use pushsub::{
    Dealer, DeviceError, Event, Forwarder, Identity, Message, Options, Pull, Push, Queue, Rep, Req,
    Streamer, Sub, XPub, XSub,
};

use crate::support::{
    Result, assert_accounted, connected, disconnected, event, in_real_time, memory_name,
    on_every_transport,
};

mod many;

on_every_transport! {
    a_streamer_hands_work_on_and_loses_none;
    a_streamer_makes_its_front_wait_while_its_back_is_full;
    a_streamer_ends_at_once_with_a_blocked_back;
    a_streamer_that_closes_forwards_what_has_come;
    a_paused_streamer_goes_on_where_it_stopped;
    a_device_binds_and_connects_on_both_sides;
    a_capture_gets_copies_and_its_absence_harms_nobody;
    a_queue_brings_each_reply_to_who_asked;
    replies_find_their_way_through_a_chain_of_queues;
    a_queue_outlives_clients_and_workers;
    a_queue_without_workers_loses_nothing_that_it_took;
    a_flood_of_one_client_leaves_the_others_their_turn;
    a_forwarder_asks_for_a_topic_once_and_cancels_it_with_the_last;
    a_forwarder_tells_late_publishers_all_subscriptions;
    sixty_four_subscribers_of_a_thousand_topics_are_merged;
    what_subscribers_send_goes_up_through_a_forwarder;
    a_forwarder_behind_a_forwarder_merges_again;
    a_replier_behind_two_queues_answers_a_requester;
}

/// A second endpoint on the transport of the first.
fn another(endpoint: &str) -> String {
    if endpoint.starts_with("tcp://") {
        return endpoint.to_owned();
    }
    format!("{endpoint}-{}", memory_name())
}

fn text(number: u32) -> Vec<u8> {
    number.to_string().into_bytes()
}

fn small() -> Options {
    Options::default()
        .send_high_water_mark(5)
        .receive_high_water_mark(5)
}

async fn streamer(endpoint: &str) -> Result<Streamer> {
    let builder = Streamer::builder().front(endpoint).back(another(endpoint));
    Ok(builder
        .front_options(small())
        .back_options(small())
        .spawn()
        .await?)
}

async fn queue(endpoint: &str) -> Result<Queue> {
    let builder = Queue::builder().front(endpoint).back(another(endpoint));
    Ok(builder.spawn().await?)
}

/// Answers each request with itself and its own name, until it is dropped.
fn echo(endpoint: &pushsub::Endpoint, name: &'static str) -> Result<Dealer> {
    let worker = Dealer::new();
    worker.connect(endpoint)?;
    let replies = worker.clone();
    tokio::spawn(async move {
        while let Ok(mut request) = replies.recv().await {
            request.push_back(name);
            if replies.send(request).await.is_err() {
                return;
            }
        }
    });
    Ok(worker)
}

/// D3.
async fn a_streamer_hands_work_on_and_loses_none(endpoint: String) -> Result {
    let device = streamer(&endpoint).await?;
    let (push, pull) = (Push::new(), Pull::new());
    push.connect(device.front())?;
    pull.connect(device.back())?;
    let sender = push.clone();
    tokio::spawn(async move {
        for number in 0..3_000 {
            sender.send(text(number)).await.expect("it is open");
        }
    });
    for number in 0..3_000 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    let closed = device.close(Duration::from_secs(1)).await;
    assert_eq!(closed.stats.forth.received, 3_000);
    assert_eq!(closed.stats.forth.sent, 3_000);
    assert_eq!((closed.back.unsent, closed.front.undelivered), (0, 0));
    Ok(())
}

/// D3: bounded memory.
async fn a_streamer_makes_its_front_wait_while_its_back_is_full(endpoint: String) -> Result {
    let device = streamer(&endpoint).await?;
    let push = Push::with_options(small())?;
    push.connect(device.front())?;
    let mut sent = 0;
    // More than all the queues hold, and what the system has between them.
    while tokio::time::timeout(Duration::from_millis(200), push.send(vec![0; 100_000]))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 1_000, "nobody ever waits");
    }
    assert!(device.back_socket().stats().sent.queued <= 5);
    let pull = Pull::new();
    pull.connect(device.back())?;
    for _ in 0..sent {
        assert_eq!(pull.recv().await?.size(), 100_000);
    }
    Ok(())
}

/// D4 (libzmq #1382).
async fn a_streamer_ends_at_once_with_a_blocked_back(endpoint: String) -> Result {
    let device = streamer(&endpoint).await?;
    let push = Push::new();
    let mut events = device.front_socket().monitor();
    push.connect(device.front())?;
    connected(&mut events).await;
    for number in 0..50 {
        push.send(text(number)).await?;
    }
    while device.front_socket().stats().received.received == 0 {
        tokio::task::yield_now().await;
    }
    let before = std::time::Instant::now();
    let closed = device.terminate().await;
    assert!(before.elapsed() < Duration::from_millis(100));
    assert_eq!(
        closed.back.unsent, 0,
        "no peer was there, so nothing was accepted"
    );
    assert!(closed.stats.forth.received <= 1);
    Ok(())
}

async fn a_streamer_that_closes_forwards_what_has_come(endpoint: String) -> Result {
    let device = Streamer::builder()
        .front(&endpoint)
        .back(another(&endpoint));
    let device = device.spawn().await?;
    device.pause();
    let (push, pull) = (Push::new(), Pull::new());
    let mut events = device.back_socket().monitor();
    pull.connect(device.back())?;
    connected(&mut events).await;
    push.connect(device.front())?;
    for number in 0..600 {
        push.send(text(number)).await?;
    }
    push.close(Duration::from_secs(5)).await;
    while device.front_socket().stats().received.received < 600 {
        tokio::task::yield_now().await;
    }
    let closed = device.close(Duration::from_secs(5)).await;
    assert_eq!((closed.back.unsent, closed.front.undelivered), (0, 0));
    for number in 0..600 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    Ok(())
}

/// D4.
async fn a_paused_streamer_goes_on_where_it_stopped(endpoint: String) -> Result {
    let device = streamer(&endpoint).await?;
    let (push, pull) = (Push::new(), Pull::new());
    push.connect(device.front())?;
    pull.connect(device.back())?;
    push.send("before").await?;
    assert_eq!(pull.recv().await?.first(), "before");
    device.pause();
    for number in 0..100 {
        push.send(text(number)).await?;
    }
    while device.stats().forth.received < 2 {
        tokio::task::yield_now().await;
    }
    assert!(pull.try_recv().is_err());
    device.resume();
    for number in 0..100 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    assert_eq!(device.stats().forth.received, 101);
    Ok(())
}

/// Also while it runs (D4).
async fn a_device_binds_and_connects_on_both_sides(endpoint: String) -> Result {
    let (push, pull) = (Push::new(), Pull::new());
    let source = push.bind(another(&endpoint)).await?;
    let target = pull.bind(another(&endpoint)).await?;
    let device = Streamer::builder()
        .front(&endpoint)
        .front(another(&endpoint))
        .connect_front(&source)
        .back(another(&endpoint))
        .connect_back(&target)
        .spawn()
        .await?;
    assert_eq!((device.fronts().len(), device.backs().len()), (3, 2));
    assert_eq!(device.fronts()[2], source);
    let late = device.front_socket().bind(another(&endpoint)).await?;
    push.send("by a connected endpoint").await?;
    for front in [&device.fronts()[0], &device.fronts()[1], &late] {
        let push = Push::new();
        push.connect(front)?;
        push.send("by a bound one").await?;
        push.close(Duration::from_secs(1)).await;
    }
    for _ in 0..4 {
        pull.recv().await?;
    }
    Ok(())
}

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() -> Result {
    in_real_time(async {
        let taken = Pull::new();
        let endpoint = taken.bind("tcp://127.0.0.1:*").await.expect("a free port");
        let refused = [
            Queue::builder().front(&endpoint).spawn().await,
            Queue::builder().back("nowhere").spawn().await,
            Queue::builder().front("tcp://*:*").spawn().await,
            Queue::builder()
                .connect_back("tcp://127.0.0.1:*")
                .spawn()
                .await,
        ];
        let said = refused.map(|refused| refused.expect_err("it cannot"));
        assert!(
            said[..3]
                .iter()
                .all(|error| matches!(error, DeviceError::Bind(_)))
        );
        assert!(matches!(said[3], DeviceError::Connect(_)));
        Ok(())
    })
}

/// D6.
async fn a_capture_gets_copies_and_its_absence_harms_nobody(endpoint: String) -> Result {
    let (copies, watcher) = (Push::with_options(small())?, Pull::new());
    let tapped = copies.bind(another(&endpoint)).await?;
    let device = Queue::builder().front(&endpoint).back(another(&endpoint));
    let device = device.capture(copies).spawn().await?;
    let client = Dealer::with_options(Options::default().identity(Identity::new("ann")?))?;
    client.connect(device.front())?;
    let _worker = echo(&device.back(), "worker")?;
    // Nobody watches: one copy waits for a watcher and the others are dropped.
    for number in 0..10 {
        client.send(text(number)).await?;
        client.recv().await?;
    }
    assert_eq!(device.stats().capture.dropped, 19);
    watcher.connect(&tapped)?;
    assert_eq!(watcher.recv().await?.frames(), ["ann", "0"]);
    client.send("seen").await?;
    assert_eq!(watcher.recv().await?.frames(), ["ann", "seen"]);
    assert_eq!(watcher.recv().await?.frames(), ["ann", "seen", "worker"]);
    Ok(())
}

/// D2.
async fn a_queue_brings_each_reply_to_who_asked(endpoint: String) -> Result {
    let device = queue(&endpoint).await?;
    let workers = [echo(&device.back(), "one")?, echo(&device.back(), "two")?];
    let clients = [Dealer::new(), Dealer::new(), Dealer::new()];
    for (name, client) in (0_u32..).zip(&clients) {
        client.connect(device.front())?;
        for number in 0..100 {
            client.send(text(name * 1_000 + number)).await?;
        }
    }
    for (name, client) in (0_u32..).zip(&clients) {
        let mut answers = Vec::new();
        for _ in 0..100 {
            let answer = client.recv().await?;
            answers.push(std::str::from_utf8(answer.first())?.parse::<u32>()?);
        }
        answers.sort_unstable();
        assert!(answers.into_iter().eq(name * 1_000..name * 1_000 + 100));
    }
    assert_accounted(&device.front_socket().stats());
    assert_accounted(&device.back_socket().stats());
    drop(workers);
    Ok(())
}

async fn replies_find_their_way_through_a_chain_of_queues(endpoint: String) -> Result {
    let last = queue(&endpoint).await?;
    let middle = Queue::builder()
        .front(another(&endpoint))
        .connect_back(last.front());
    let middle = middle.spawn().await?;
    let first = Queue::builder()
        .front(another(&endpoint))
        .connect_back(middle.front());
    let first = first.spawn().await?;
    let _worker = echo(&last.back(), "worker")?;
    let clients = [Dealer::new(), Dealer::new()];
    for (name, client) in (0..).zip(&clients) {
        client.connect(first.front())?;
        client.send(text(name)).await?;
    }
    for (name, client) in (0..).zip(&clients) {
        assert_eq!(
            client.recv().await?.frames(),
            [text(name), b"worker".to_vec()]
        );
    }
    Ok(())
}

/// D2 (zmq.rs #216): what is for a client that is gone is dropped and counted.
async fn a_queue_outlives_clients_and_workers(endpoint: String) -> Result {
    let device = queue(&endpoint).await?;
    let mut clients = device.front_socket().monitor();
    let mut workers = device.back_socket().monitor();
    for round in 0..3 {
        let (client, worker) = (Dealer::new(), Dealer::new());
        client.connect(device.front())?;
        worker.connect(device.back())?;
        client.send("question").await?;
        let request = worker.recv().await?;
        client.close(Duration::ZERO).await;
        disconnected(&mut clients).await;
        worker.send(request).await?;
        worker.send("a reply without an envelope").await?;
        let dropped = || device.front_socket().stats().sent.dropped.unroutable;
        while dropped() < 2 * (round + 1) {
            tokio::task::yield_now().await;
        }
        worker.close(Duration::ZERO).await;
        disconnected(&mut workers).await;
    }
    let client = Dealer::new();
    client.connect(device.front())?;
    let _worker = echo(&device.back(), "worker")?;
    client.send("question").await?;
    assert_eq!(client.recv().await?.frames(), ["question", "worker"]);
    assert_eq!(device.stats().home.refused, 0);
    Ok(())
}

async fn a_queue_without_workers_loses_nothing_that_it_took(endpoint: String) -> Result {
    let device = Queue::builder().front(&endpoint).back(another(&endpoint));
    let device = device.back_options(small()).spawn().await?;
    let client = Dealer::new();
    client.connect(device.front())?;
    for number in 0..2_000 {
        let sent = client.send(text(number));
        if tokio::time::timeout(Duration::from_millis(50), sent)
            .await
            .is_err()
        {
            break;
        }
    }
    assert!(device.stats().forth.received <= 1, "there is no room yet");
    let _worker = echo(&device.back(), "worker")?;
    for number in 0..100 {
        assert_eq!(client.recv().await?.first(), &text(number));
    }
    Ok(())
}

/// FT-40: who sends much waits behind itself, not before the others.
async fn a_flood_of_one_client_leaves_the_others_their_turn(endpoint: String) -> Result {
    let device = queue(&endpoint).await?;
    device.pause();
    let worker = Dealer::new();
    worker.connect(device.back())?;
    let (flood, polite) = (Dealer::new(), Dealer::new());
    flood.connect(device.front())?;
    for _ in 0..900 {
        flood.send("flood").await?;
    }
    received(&device, 900).await;
    polite.connect(device.front())?;
    for number in 0..10 {
        polite.send(text(number)).await?;
    }
    received(&device, 910).await;
    device.resume();
    let mut answered = 0;
    for _ in 0..22 {
        answered += u32::from(&worker.recv().await?[1] != "flood");
    }
    assert_eq!(answered, 10);
    Ok(())
}

/// Waits until the front of a queue has read so many requests.
async fn received(device: &Queue, count: u64) {
    while device.front_socket().stats().received.received < count {
        tokio::task::yield_now().await;
    }
}

async fn forwarder(endpoint: &str) -> Result<Forwarder> {
    let builder = Forwarder::builder().front(endpoint).back(another(endpoint));
    Ok(builder.spawn().await?)
}

fn subscriber(device: &Forwarder, topic: &'static str) -> Result<Sub> {
    let subscriber = Sub::new();
    subscriber.subscribe(topic);
    subscriber.connect(device.back())?;
    Ok(subscriber)
}

/// D1, FT-37.
async fn a_forwarder_asks_for_a_topic_once_and_cancels_it_with_the_last(
    endpoint: String,
) -> Result {
    let device = forwarder(&endpoint).await?;
    let publisher = XPub::new();
    publisher.connect(device.front())?;
    let first = subscriber(&device, "a")?;
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    let second = subscriber(&device, "a")?;
    let other = subscriber(&device, "b")?;
    assert_eq!(publisher.recv().await?.first(), "\x01b");
    publisher.send("a: to two").await?;
    assert_eq!(first.recv().await?.first(), "a: to two");
    assert_eq!(second.recv().await?.first(), "a: to two");
    first.unsubscribe("a");
    other.unsubscribe("b");
    assert_eq!(publisher.recv().await?.first(), "\x00b");
    publisher.send("a: to one").await?;
    assert_eq!(second.recv().await?.first(), "a: to one");
    // The last one leaves without a word.
    second.close(Duration::ZERO).await;
    assert_eq!(publisher.recv().await?.first(), "\x00a");
    assert!(first.try_recv().is_err());
    Ok(())
}

/// D1 (libzmq #3927), FT-37: also to one that is restarted.
async fn a_forwarder_tells_late_publishers_all_subscriptions(endpoint: String) -> Result {
    let device = forwarder(&endpoint).await?;
    let early = XPub::new();
    early.connect(device.front())?;
    let subscriber = subscriber(&device, "a")?;
    assert_eq!(early.recv().await?.first(), "\x01a");
    for _ in 0..3 {
        let late = XPub::new();
        late.connect(device.front())?;
        assert_eq!(late.recv().await?.first(), "\x01a");
        late.send("a: news").await?;
        assert_eq!(subscriber.recv().await?.first(), "a: news");
        let mut events = device.front_socket().monitor();
        late.close(Duration::ZERO).await;
        event(&mut events, |event| {
            matches!(event, Event::Disconnected { .. })
        })
        .await;
    }
    Ok(())
}

/// D1: 64 subscribers, 1,000 topics, each shared by eight.
async fn sixty_four_subscribers_of_a_thousand_topics_are_merged(endpoint: String) -> Result {
    let device = forwarder(&endpoint).await?;
    let publisher = XPub::new();
    publisher.connect(device.front())?;
    let subscribers: Vec<Sub> = (0..64).map(|_| Sub::new()).collect();
    for topic in 0..1_000 {
        for share in 0..8 {
            let index = (topic * 8 + share) % 64;
            subscribers[index].subscribe(format!("{topic};"));
        }
    }
    for subscriber in &subscribers {
        subscriber.connect(device.back())?;
    }
    let mut asked = std::collections::HashSet::new();
    for _ in 0..1_000 {
        assert!(asked.insert(publisher.recv().await?), "asked for once");
    }
    // Each topic loses all of its subscribers, and only then is it cancelled.
    for subscriber in subscribers {
        subscriber.close(Duration::ZERO).await;
    }
    for _ in 0..1_000 {
        let canceled = publisher.recv().await?;
        let mut octets = canceled.first().to_vec();
        assert_eq!(octets[0], 0);
        octets[0] = 1;
        assert!(asked.remove(&Message::from(octets)));
    }
    assert!(publisher.try_recv().is_err());
    Ok(())
}

async fn what_subscribers_send_goes_up_through_a_forwarder(endpoint: String) -> Result {
    let device = forwarder(&endpoint).await?;
    let (publisher, subscriber) = (XPub::new(), XSub::new());
    publisher.connect(device.front())?;
    subscriber.subscribe("a");
    subscriber.connect(device.back())?;
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    subscriber.send("a word of thanks").await?;
    assert_eq!(publisher.recv().await?.first(), "a word of thanks");
    Ok(())
}

/// D1: the second sees one subscriber, the first.
async fn a_forwarder_behind_a_forwarder_merges_again(endpoint: String) -> Result {
    let upper = forwarder(&endpoint).await?;
    let lower = Forwarder::builder()
        .connect_front(upper.back())
        .back(another(&endpoint));
    let lower = lower.spawn().await?;
    let publisher = XPub::new();
    publisher.connect(upper.front())?;
    let subscribers = [subscriber(&lower, "a")?, subscriber(&lower, "a")?];
    let direct = subscriber(&upper, "a")?;
    assert_eq!(publisher.recv().await?.first(), "\x01a");
    publisher.send("a: news").await?;
    for subscriber in subscribers.iter().chain([&direct]) {
        assert_eq!(subscriber.recv().await?.first(), "a: news");
        assert!(subscriber.try_recv().is_err());
    }
    for subscriber in subscribers {
        subscriber.close(Duration::ZERO).await;
    }
    direct.close(Duration::ZERO).await;
    assert_eq!(publisher.recv().await?.first(), "\x00a");
    Ok(())
}

/// D2: the envelope grows by a name for each queue, and shrinks on the way back.
async fn a_replier_behind_two_queues_answers_a_requester(endpoint: String) -> Result {
    let last = queue(&endpoint).await?;
    let first = Queue::builder()
        .front(another(&endpoint))
        .connect_back(last.front());
    let first = first.spawn().await?;
    let rep = Rep::new();
    rep.connect(last.back())?;
    tokio::spawn(async move {
        while let Ok((question, responder)) = rep.recv().await {
            responder.send(question).expect("it is open");
        }
    });
    let req = Req::new();
    req.connect(first.front())?;
    for number in 0..100 {
        assert_eq!(req.request(text(number)).await?.first(), &text(number));
    }
    Ok(())
}
