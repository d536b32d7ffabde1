//! `pushsub streamer`, `queue` and `forwarder` as processes: what they forward, print and refuse.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader};
use std::time::Duration;

use pushsub::{Dealer, Options, Pull, Push, Sub, XPub};

use support::{Process, run};

const DEVICES: [&str; 3] = ["streamer", "queue", "forwarder"];

/// A device on ports that the system picks.
fn any(device: &'static str) -> [&'static str; 5] {
    let (front, back) = ("--front", "--back");
    [
        device,
        front,
        "tcp://127.0.0.1:*",
        back,
        "tcp://127.0.0.1:*",
    ]
}

#[tokio::test]
async fn a_streamer_forwards_what_has_come_before_it_stops() {
    let mut device = Process::start(&any("streamer"));
    let [front, back] = device.endpoints(["front ", "back "]);
    let (push, pull) = (Push::new(), Pull::new());
    push.connect(&front).expect("an endpoint");
    pull.connect(&back).expect("an endpoint");
    for number in 0..100_u8 {
        push.send(vec![number]).await.expect("open");
    }
    assert_eq!(pull.recv().await.expect("open").first()[0], 0);
    push.close(Duration::from_secs(5)).await;
    device.signal("-TERM");
    for number in 1..100_u8 {
        assert_eq!(pull.recv().await.expect("open").first()[0], number);
    }
    assert_eq!(device.wait().code(), Some(0));
}

/// What waits in a device is bounded by the octets that it is told, not by the default 8 MiB.
#[tokio::test]
async fn a_streamer_keeps_as_many_octets_as_it_is_told() {
    let arguments = any("streamer").into_iter();
    let arguments: Vec<_> = arguments
        .chain(["--high-water-mark-bytes", "64MiB"])
        .collect();
    let mut device = Process::start(&arguments);
    let [front, back] = device.endpoints(["front ", "back "]);
    let push = Push::new();
    push.connect(&front).expect("an endpoint");
    for number in 0..48_u8 {
        push.send(vec![number; 1 << 20]).await.expect("open");
    }
    // Nobody is there to take them on.
    let closed = push.close(Duration::from_secs(20)).await;
    assert_eq!(closed.unsent, 0);
    let pull = Pull::new();
    pull.connect(&back).expect("an endpoint");
    for number in 0..48_u8 {
        assert_eq!(pull.recv().await.expect("open").first()[0], number);
    }
}

/// Also with several endpoints, and with sides that connect.
#[tokio::test]
async fn a_queue_brings_replies_back_through_another() {
    let mut last = Process::start(&any("queue"));
    let [front, back] = last.endpoints(["front ", "back "]);
    let mut first = Process::start(&[
        "queue",
        "--front",
        "tcp://127.0.0.1:*",
        "--front",
        "tcp://127.0.0.1:*",
        "--connect-back",
        &front,
    ]);
    let [one, two, connected] = first.endpoints(["front ", "front ", "back "]);
    assert_eq!(connected, front);
    let worker = Dealer::new();
    worker.connect(&back).expect("an endpoint");
    for front in [one, two] {
        let client = Dealer::new();
        client.connect(&front).expect("an endpoint");
        client.send("question").await.expect("open");
        let request = worker.recv().await.expect("open");
        assert_eq!(request.frames().len(), 3, "one name for each queue");
        worker.send(request).await.expect("open");
        assert_eq!(client.recv().await.expect("open").first(), "question");
    }
}

#[tokio::test]
async fn a_forwarder_connects_to_publishers_and_shows_what_it_forwards() {
    let publisher = XPub::new();
    let endpoint = publisher.bind("tcp://127.0.0.1:*").await;
    let endpoint = endpoint.expect("a free port").to_string();
    let (watched, any) = ("--capture", "tcp://127.0.0.1:*");
    let mut device = Process::start(&[
        "forwarder",
        "--connect-front",
        &endpoint,
        "--back",
        any,
        watched,
        any,
    ]);
    let [_, back, capture] = device.endpoints(["front ", "back ", "capture "]);
    let (subscriber, watcher) = (Sub::new(), Sub::new());
    watcher.subscribe("");
    watcher.connect(&capture).expect("an endpoint");
    subscriber.subscribe("a");
    subscriber.connect(&back).expect("an endpoint");
    assert_eq!(publisher.recv().await.expect("open").first(), "\x01a");
    // The watcher joins as late as it likes: what it sees begins then.
    let seen = async {
        loop {
            publisher.send("a: news").await.expect("open");
            assert_eq!(subscriber.recv().await.expect("open").first(), "a: news");
            if let Ok(copy) = watcher.try_recv() {
                return copy;
            }
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), seen).await;
    let first = seen.expect("it joins soon").first().clone();
    assert!(first == "a: news" || first == "\x01a", "{first:?}");
}

/// Kills a device as a crash would, and starts it again on the same ports.
fn restart(device: Process, name: &'static str, endpoints: &[String; 2]) -> Process {
    device.signal("-KILL");
    device.wait();
    let [front, back] = endpoints;
    let mut device = Process::start(&[name, "--front", front, "--back", back]);
    assert_eq!(device.endpoints(["front ", "back "]), *endpoints);
    device
}

/// Finds a peer that is back at once.
fn eager() -> Options {
    Options::default().reconnect(Duration::from_millis(10), Duration::from_millis(50))
}

/// FT-39: who asks again after a time gets the answer, and nobody gets another's.
#[tokio::test]
async fn requests_outlive_a_queue_that_is_killed() {
    let mut device = Process::start(&any("queue"));
    let endpoints = device.endpoints(["front ", "back "]);
    let worker = Dealer::with_options(eager()).expect("options");
    worker.connect(&endpoints[1]).expect("an endpoint");
    tokio::spawn(async move {
        while let Ok(request) = worker.recv().await {
            worker.send(request).await.expect("open");
        }
    });
    let clients = ["ann", "bob"].map(|name| {
        let client = Dealer::with_options(eager()).expect("options");
        client.connect(&endpoints[0]).expect("an endpoint");
        (name, client)
    });
    for round in 0..4 {
        for number in 0..50 {
            for (name, client) in &clients {
                let question = format!("{name} {round} {number}");
                client.send(question.clone()).await.expect("open");
                if number == 25 && *name == "ann" {
                    device = restart(device, "queue", &endpoints);
                }
                answer(client, &question, name).await;
            }
        }
    }
}

/// Waits for the answer to a question, and asks again while none comes.
async fn answer(client: &Dealer, question: &str, name: &str) {
    loop {
        let reply = tokio::time::timeout(Duration::from_millis(300), client.recv()).await;
        let Ok(reply) = reply else {
            client.send(question.to_owned()).await.expect("open");
            continue;
        };
        let reply = reply.expect("open");
        assert!(reply.first().starts_with(name.as_bytes()), "{reply:?}");
        // An earlier question may have been answered twice.
        if reply.first() == question.as_bytes() {
            return;
        }
    }
}

/// FT-38: a gap may be seen, but no publication out of its order.
#[tokio::test]
async fn subscribers_outlive_a_forwarder_that_is_killed() {
    let mut device = Process::start(&any("forwarder"));
    let endpoints = device.endpoints(["front ", "back "]);
    let publisher = XPub::with_options(eager()).expect("options");
    publisher.connect(&endpoints[0]).expect("an endpoint");
    let subscriber = Sub::with_options(eager()).expect("options");
    subscriber.subscribe("n");
    subscriber.connect(&endpoints[1]).expect("an endpoint");
    let publishing = tokio::spawn(async move {
        for number in 0_u64.. {
            publisher
                .send(format!("n{number:020}"))
                .await
                .expect("open");
            tokio::task::yield_now().await;
        }
    });
    let mut last = None;
    for round in 0..3 {
        for _ in 0..2_000 {
            let news = tokio::time::timeout(Duration::from_secs(20), subscriber.recv()).await;
            let news = news.expect("it goes on").expect("open").first().clone();
            assert!(last.is_none_or(|last| last < news), "{news:?}");
            last = Some(news);
        }
        if round < 2 {
            device = restart(device, "forwarder", &endpoints);
        }
    }
    publishing.abort();
}

#[test]
fn either_signal_stops_each_cleanly_without_a_peer() {
    for name in DEVICES {
        for signal in ["-TERM", "-INT"] {
            let mut device = Process::start(&any(name));
            device.endpoints(["front ", "back "]);
            device.signal(signal);
            assert_eq!(device.wait().code(), Some(0), "{name} {signal}");
        }
    }
}

/// D4: nobody takes what is there, and the linger is long.
#[tokio::test]
async fn a_second_signal_ends_one_that_is_blocked() {
    let arguments = [&any("streamer")[..], &["--linger", "1h"]].concat();
    let mut device = Process::start(&arguments);
    let [front, _] = device.endpoints(["front ", "back "]);
    let log = device.stderr();
    let push = Push::new();
    push.connect(&front).expect("an endpoint");
    push.send("nobody wants it").await.expect("open");
    let closed = push.close(Duration::from_secs(5)).await;
    assert_eq!(closed.unsent, 0);
    device.signal("-TERM");
    let mut lines = BufReader::new(log).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("stopping")));
    device.signal("-TERM");
    assert_eq!(device.wait().code(), Some(1));
}

#[test]
fn what_is_wrong_is_said_in_one_line_and_exits_with_2() {
    for name in DEVICES {
        let mut taken = Process::start(&any(name));
        let [front, _] = taken.endpoints(["front ", "back "]);
        for (arguments, says) in [
            (vec![name, "--front", &front], "cannot listen on"),
            (vec![name, "--front", "nowhere"], "names no transport"),
            (vec![name, "--back", "memory://here"], "reaches nobody"),
            (vec![name, "--back", "tcp://*:*"], "--insecure"),
            (
                vec![name, "--connect-back", "tcp://127.0.0.1:*"],
                "wildcard",
            ),
            (vec![name, "--capture", &front], "cannot listen on"),
            (vec![name, "--linger", "long"], "a number and a unit"),
            (vec![name, "--high-water-mark", "0"], "0 is not in"),
            (vec![name, "--frnt", "x"], "--frnt"),
        ] {
            let output = run(&arguments);
            let said = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
            assert!(said.contains(says), "{arguments:?}: {said}");
            assert!(output.stdout.is_empty(), "{arguments:?}");
        }
    }
}

#[test]
fn a_stranger_finds_help() {
    for name in DEVICES {
        let output = run(&[name, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(said.contains(&format!("pushsub {name} --front")), "{said}");
        assert!(said.contains("Exit code"), "{said}");
    }
}
