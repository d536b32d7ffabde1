//! The classic devices between programs over libzmq.

use std::path::Path;

use futures::StreamExt;
use pushsub::{Event, Forwarder, Monitor, Options, Queue, Streamer};

use crate::peer::soon;
use crate::service::with_python;
use crate::support::Script;

with_python!(
    req_clients_and_rep_workers_meet_at_a_queue,
    tasks_pass_through_two_streamers,
    weather_reaches_who_subscribed_through_a_forwarder,
    all_publications_reach_subscribers_that_have_said_that_they_are_there,
);

fn start(python: &Path, arguments: &[&str]) -> Script {
    Script::start(python, "guide.py", arguments)
}

async fn gone(events: &mut Monitor) {
    let wanted =
        async { while !matches!(events.next().await, Some(Event::Disconnected { .. })) {} };
    soon(wanted).await;
}

/// D2, in spirit rrclient and rrworker; a worker that dies stops nothing.
async fn req_clients_and_rep_workers_meet_at_a_queue(python: &'static Path) {
    let queue = Queue::builder().spawn().await.expect("free ports");
    let (front, back) = (queue.front().to_string(), queue.back().to_string());
    let mut events = queue.back_socket().monitor();
    let mut workers = ["one", "two"].map(|name| start(python, &["rrworker", &back, name]));
    for worker in &mut workers {
        worker.expect("ready").await;
    }
    for _ in 0..2 {
        let mut clients = [100, 100, 100].map(|count: u32| {
            let count = count.to_string();
            start(python, &["rrclient", &front, &count])
        });
        for client in &mut clients {
            assert_eq!(client.expect("answered").await, "100");
        }
        let [first, second] = workers;
        first.kill().await;
        gone(&mut events).await;
        let mut third = start(python, &["rrworker", &back, "three"]);
        third.expect("ready").await;
        workers = [second, third];
    }
    let stats = queue.stats();
    assert_eq!((stats.forth.received, stats.home.sent), (600, 600));
    assert_eq!(stats.forth.refused + stats.home.refused, 0);
}

/// D3, in spirit taskvent, taskwork and tasksink.
async fn tasks_pass_through_two_streamers(python: &'static Path) {
    let tasks = Streamer::builder().spawn().await.expect("free ports");
    let results = Streamer::builder().spawn().await.expect("free ports");
    let sink = &["tasksink", &results.back().to_string(), "5000"];
    let mut sink = start(python, sink);
    let mut workers = [(); 3].map(|()| {
        let (from, to) = (tasks.back().to_string(), results.front().to_string());
        start(python, &["taskwork", &from, &to])
    });
    for worker in &mut workers {
        worker.expect("ready").await;
    }
    let mut vent = start(python, &["taskvent", &tasks.front().to_string(), "5000"]);
    assert_eq!(vent.expect("sent").await, "5000");
    // Twice the sum of 0 to 4,999: none is lost and none comes twice.
    assert_eq!(sink.expect("collected").await, "24995000");
    assert_eq!(tasks.stats().forth.sent, 5_000);
    assert_eq!(results.stats().forth.sent, 5_000);
}

/// D1, FT-37, in spirit wuserver and wuclient; the publisher comes late, and again.
async fn weather_reaches_who_subscribed_through_a_forwarder(python: &'static Path) {
    let forwarder = Forwarder::builder().spawn().await.expect("free ports");
    let (front, back) = (forwarder.front().to_string(), forwarder.back().to_string());
    let mut events = forwarder.front_socket().monitor();
    let mut clients =
        ["10001", "10003"].map(|topic| start(python, &["wuclient", &back, topic, "50"]));
    for name in ["first", "second"] {
        let mut server = start(python, &["wuserver", &front, name]);
        server.expect("ready").await;
        for client in &mut clients {
            client.tell(name).await;
            assert_eq!(client.expect("reports").await, "50");
        }
        server.kill().await;
        gone(&mut events).await;
    }
    // The other two topics were never asked for.
    assert_eq!(forwarder.back_socket().stats().unmatched, 0);
}

/// In spirit syncpub and syncsub, with the marks that they have themselves.
async fn all_publications_reach_subscribers_that_have_said_that_they_are_there(
    python: &'static Path,
) {
    const MESSAGES: u64 = 100_000;
    let options = Options::default()
        .send_high_water_mark(1_100_000)
        .send_high_water_mark_bytes(64 << 20);
    let forwarder = Forwarder::builder().back_options(options);
    let forwarder = forwarder.spawn().await.expect("free ports");
    let queue = Queue::builder().spawn().await.expect("free ports");
    let (hear, say) = (forwarder.back().to_string(), queue.front().to_string());
    let mut subscribers = [(); 10].map(|()| start(python, &["syncsub", &hear, &say]));
    let (speak, listen) = (forwarder.front().to_string(), queue.back().to_string());
    let count = MESSAGES.to_string();
    let mut publisher = start(python, &["syncpub", &speak, &listen, "10", &count]);
    assert_eq!(publisher.expect("published").await, count);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.expect("updates").await, count);
    }
    let sent = forwarder.back_socket().stats().sent;
    assert_eq!(sent.dropped.full, 0);
    assert_eq!(queue.stats().home.sent, 10);
}
