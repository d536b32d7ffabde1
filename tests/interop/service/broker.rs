//! Our broker, with a client, a worker or both in Python.

use std::path::Path;

use futures::StreamExt;
use pushsub::{Broker, BrokerStats, CallError, Client, Server};
use tokio::task::yield_now;

use super::{check_calls, check_nonsense, check_repeats, handle, say, start_client, with_python};
use crate::peer::soon;
use crate::support::Script;

with_python!(
    a_client_calls_a_worker_through_the_broker,
    requests_of_a_key_stay_in_order_over_three_workers,
    a_repeat_is_answered_again_only_where_that_is_harmless,
    nonsense_of_a_client_is_refused_or_ignored,
    a_cancelled_request_is_forgotten,
    the_idempotent_requests_of_a_lost_worker_go_to_another,
    the_other_requests_of_a_lost_worker_end_as_unknown,
    a_worker_that_stops_fails_no_request,
    a_service_that_nobody_serves_is_refused,
    our_client_calls_a_worker_through_the_broker,
    a_client_calls_our_worker_through_the_broker,
);

#[derive(serde::Serialize)]
struct Terms {
    a: u64,
    b: u64,
}

async fn a_client_calls_a_worker_through_the_broker(python: &Path) {
    let (broker, _worker, mut client) = chain(python).await;
    check_calls(&mut client).await;
    say(&mut client, r#"{"do": "goodbye"}"#, "gone", "").await;
    until(&broker, |stats| stats.clients == 0).await;
}

async fn requests_of_a_key_stay_in_order_over_three_workers(python: &Path) {
    let (broker, _first, mut client) = chain(python).await;
    let _others = [
        worker(python, &broker, "worker-2").await,
        worker(python, &broker, "worker-3").await,
    ];
    let line = r#"{"do": "push", "method": "echo", "count": 3000, "keys": 7}"#;
    say(
        &mut client,
        line,
        "values",
        "3000 of 3000, right True, in order True",
    )
    .await;
    let workers = broker.stats().workers;
    assert_eq!(
        workers.iter().map(|worker| worker.handled).sum::<u64>(),
        3_000
    );
    assert!(
        workers.iter().filter(|worker| worker.handled > 0).count() > 1,
        "{workers:?}"
    );
}

/// FT-15: the worker remembers nothing, and runs nothing twice all the same.
async fn a_repeat_is_answered_again_only_where_that_is_harmless(python: &Path) {
    let (broker, _worker, mut client) = chain(python).await;
    check_repeats(&mut client).await;
    let stats = broker.stats();
    assert_eq!((stats.repeats, stats.workers[0].handled), (2, 2 + 5));
}

async fn nonsense_of_a_client_is_refused_or_ignored(python: &Path) {
    let (_broker, _worker, mut client) = chain(python).await;
    check_nonsense(&mut client).await;
}

async fn a_cancelled_request_is_forgotten(python: &Path) {
    let (broker, mut worker, mut client) = chain(python).await;
    say(
        &mut client,
        r#"{"do": "cancel", "method": "wait"}"#,
        "cancelled",
        "",
    )
    .await;
    until(&broker, |stats| stats.cancelled == 1).await;
    say(&mut worker, "release", "released", "").await;
    check_calls(&mut client).await;
}

async fn the_idempotent_requests_of_a_lost_worker_go_to_another(python: &Path) {
    let (broker, first, mut client) = chain(python).await;
    let line = r#"{"do": "push", "method": "wait", "count": 4, "idempotent": true}"#;
    client.tell(line).await;
    until(&broker, |stats| in_flight(stats) == 4).await;
    first.kill().await;
    let mut second = worker(python, &broker, "worker-2").await;
    until(&broker, |stats| {
        stats.workers.len() == 1 && in_flight(stats) == 4
    })
    .await;
    // What the broker has handed over is on its way: the worker is released until it has all.
    let ended = client.expect("values");
    tokio::pin!(ended);
    let ended = loop {
        second.tell("release").await;
        tokio::select! {
            ended = &mut ended => break ended,
            _ = second.expect("released") => {}
        }
    };
    assert_eq!(ended, "4 of 4, right True, in order True");
    assert_eq!(broker.stats().sent_again, 4);
}

async fn the_other_requests_of_a_lost_worker_end_as_unknown(python: &Path) {
    let (broker, worker, mut client) = chain(python).await;
    client
        .tell(r#"{"do": "call", "method": "wait", "body": 1}"#)
        .await;
    until(&broker, |stats| in_flight(stats) == 1).await;
    worker.kill().await;
    assert_eq!(client.expect("unknown").await, "0x0020");
}

async fn a_worker_that_stops_fails_no_request(python: &Path) {
    let (broker, mut first, mut client) = chain(python).await;
    let mut second = worker(python, &broker, "worker-2").await;
    client
        .tell(r#"{"do": "push", "method": "echo", "count": 3000, "keys": 50}"#)
        .await;
    until(&broker, |stats| stats.answered > 100).await;
    first.tell("stop").await;
    assert_eq!(
        client.expect("values").await,
        "3000 of 3000, right True, in order True"
    );
    let handled: u64 = first.expect("handled").await.parse().expect("a number");
    second.tell("stop").await;
    let others: u64 = second.expect("handled").await.parse().expect("a number");
    assert_eq!(handled + others, 3_000);
}

async fn a_service_that_nobody_serves_is_refused(python: &Path) {
    let broker = Broker::builder().spawn().await.expect("free ports");
    let mut client = start_client(python, &broker.front());
    assert_eq!(client.expect("refused").await, "rejected 0x0013");
    let _worker = worker(python, &broker, "worker-1").await;
    client.expect("hello").await;
}

/// Our client cannot tell a worker in Python from one of ours.
async fn our_client_calls_a_worker_through_the_broker(python: &Path) {
    let (broker, _worker, _) = chain(python).await;
    let client = Client::builder("geo")
        .client_id("rust-1")
        .connect(broker.front())
        .await;
    let client = client.expect("a runtime");
    let sum: u64 = client
        .call("add", &Terms { a: 2, b: 3 })
        .await
        .expect("a sum");
    assert_eq!(sum, 5);
    let refused = client.call::<_, ()>("fail", &()).await;
    let (code, message) = ("on_purpose".to_owned(), "it was asked to".to_owned());
    assert_eq!(refused, Err(CallError::Handler { code, message }));
    let mut responses = client.responses();
    let pushed = client.push("echo", &"pushed").await.expect("room");
    let response = soon(StreamExt::next(&mut responses))
        .await
        .expect("an end for each push");
    assert_eq!(response.id, pushed);
    assert_eq!(
        response
            .outcome
            .expect("a value")
            .decode::<String>()
            .as_deref(),
        Ok("pushed")
    );
}

/// A client in Python cannot tell our server, behind the broker, from one in Python.
async fn a_client_calls_our_worker_through_the_broker(python: &Path) {
    let broker = Broker::builder().spawn().await.expect("free ports");
    let _server = Server::builder("geo")
        .connect(broker.back())
        .serve(handle)
        .await
        .expect("a runtime");
    soon(broker.wait_for_workers("geo", 1)).await;
    let mut client = start_client(python, &broker.front());
    client.expect("hello").await;
    check_calls(&mut client).await;
    say(
        &mut client,
        r#"{"do": "call", "method": "panic", "body": 1}"#,
        "error",
        "0x0031 panicked the handler panicked",
    )
    .await;
    check_repeats(&mut client).await;
    let line = r#"{"do": "push", "method": "echo", "count": 3000, "keys": 7}"#;
    say(
        &mut client,
        line,
        "values",
        "3000 of 3000, right True, in order True",
    )
    .await;
}

/// A broker, a worker behind it, and a client whose ways are proven.
async fn chain(python: &Path) -> (Broker, Script, Script) {
    let broker = Broker::builder().spawn().await.expect("free ports");
    let worker = worker(python, &broker, "worker-1").await;
    let mut client = start_client(python, &broker.front());
    client.expect("hello").await;
    (broker, worker, client)
}

async fn worker(python: &Path, broker: &Broker, name: &str) -> Script {
    let back = broker.back().to_string();
    let mut script = Script::start(python, "service_worker.py", &[&back, "geo", name, "16"]);
    script.expect("registered").await;
    script
}

async fn until(broker: &Broker, holds: impl Fn(&BrokerStats) -> bool) {
    let wait = async {
        while !holds(&broker.stats()) {
            yield_now().await;
        }
    };
    soon(wait).await;
}

fn in_flight(stats: &BrokerStats) -> usize {
    stats.workers.iter().map(|worker| worker.in_flight).sum()
}
