//! The broker on real sockets, with a client and a worker written from the specification.

mod wire;

use std::time::Duration;

use pushsub::{BindError, Broker, BrokerBuilder};

use wire::{CANCEL, Client, Control, GOODBYE, HELLO, PROBE, Worker};

use crate::support::{Result, in_real_time, in_virtual_time};

const OVERLOADED: u16 = 0x0010;
const NO_SUCH_SERVICE: u16 = 0x0013;
const STOPPING: u16 = 0x0017;
const WORKER_LOST: u16 = 0x0020;

/// A broker on in-memory wires, for virtual time.
fn in_memory(name: &str) -> BrokerBuilder {
    Broker::builder()
        .front(format!("memory://{name}-front"))
        .back(format!("memory://{name}-back"))
}

async fn spawn(name: &str) -> Broker {
    in_memory(name).spawn().await.expect("free names")
}

#[test]
fn over_tcp_each_of_many_requests_has_its_answer() -> Result {
    in_real_time(async {
        let broker = Broker::builder().spawn().await.expect("free ports");
        let workers = [
            Worker::connect(&broker, 5, 10).await,
            Worker::connect(&broker, 6, 10).await,
        ];
        let serve = workers.map(|worker| {
            tokio::spawn(async move {
                loop {
                    let request = worker.request().await;
                    worker.respond(request).await;
                }
            })
        });
        let mut client = Client::connect(&broker, "web", 9).await;
        let mut asked = Vec::new();
        for _ in 0..1_000 {
            asked.push(client.request("", false).await);
        }
        let mut answered = Vec::new();
        for sequence in 1..=1_000 {
            let (counter, status, number) = client.answer().await;
            assert_eq!((status, number), (0, sequence));
            answered.push(counter);
        }
        answered.sort_unstable();
        assert_eq!(answered, asked);
        let handled: Vec<u64> = broker
            .stats()
            .workers
            .iter()
            .map(|worker| worker.handled)
            .collect();
        assert_eq!(handled.iter().sum::<u64>(), 1_000);
        assert!(handled.iter().all(|handled| *handled > 0), "{handled:?}");
        serve.iter().for_each(|task| task.abort());
        Ok(())
    })
}

#[test]
fn a_request_carries_what_the_client_said() -> Result {
    in_virtual_time(async {
        let broker = spawn("carries").await;
        let worker = Worker::connect(&broker, 5, 10).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        let counter = client.request("k", true).await;
        let request = worker.request().await;
        assert_eq!(
            (&request.topic[..], &request.payload[..]),
            (&b"web\0"[..], &b"where?"[..])
        );
        let expected = Control {
            idempotent: true,
            hops: 7,
            epoch: 5,
            key: "k".into(),
            ..Control::new(wire::REQUEST, 9, counter)
        };
        assert_eq!(request.control, expected);
        worker.respond(request).await;
        let response = client.hear().await;
        assert_eq!(
            (&response.topic[..], &response.payload[..]),
            (&b"web\0"[..], &b"where?"[..])
        );
        assert_eq!(response.control.sequence, 1);
        Ok(())
    })
}

/// FT-01, FT-02.
#[test]
fn a_link_that_is_cut_loses_its_worker_at_once() -> Result {
    in_virtual_time(async {
        let broker = spawn("cut").await;
        let (first, second) = (
            Worker::connect(&broker, 5, 1).await,
            Worker::connect(&broker, 6, 1).await,
        );
        let mut client = Client::connect(&broker, "web", 9).await;
        client.request("", true).await;
        first.request().await;
        let other = client.request("", false).await;
        let kept = second.request().await;
        let before = tokio::time::Instant::now();
        first.die().await;
        second.respond(kept).await;
        assert_eq!(client.answer().await, (other, 0, 1));
        let again = second.request().await;
        assert_eq!(
            (again.control.counter, again.control.attempt),
            (other - 1, 1)
        );
        second.respond(again).await;
        assert_eq!(client.answer().await, (other - 1, 0, 2));

        client.request("", false).await;
        second.request().await;
        second.die().await;
        assert_eq!(client.answer().await, (other + 1, WORKER_LOST, 3));
        assert!(before.elapsed() < Duration::from_secs(1));
        assert!(broker.stats().workers.is_empty());
        Ok(())
    })
}

/// FT-03.
#[test]
fn a_worker_that_wakes_up_late_is_sent_away_and_comes_back_anew() -> Result {
    in_virtual_time(async {
        let broker = spawn("late").await;
        let mut sleeper = Worker::connect(&broker, 5, 10).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        let counter = client.request("", true).await;
        let stale = sleeper.request().await;
        broker.workers_changed().await;
        assert!(broker.stats().workers.is_empty());

        sleeper.respond(stale).await;
        let goodbye = sleeper.hear().await.control;
        assert_eq!((goodbye.kind, goodbye.epoch), (GOODBYE, 5));
        sleeper.epoch = 6;
        sleeper.hello(10).await;
        assert_eq!(sleeper.hear().await.control.kind, HELLO);
        let again = sleeper.request().await;
        assert_eq!((again.control.counter, again.control.attempt), (counter, 1));
        sleeper.respond(again).await;
        assert_eq!(client.answer().await, (counter, 0, 1));
        assert_eq!(broker.stats().fenced, 1);
        Ok(())
    })
}

#[test]
fn the_last_words_of_a_worker_count() -> Result {
    in_virtual_time(async {
        let broker = spawn("last-words").await;
        let worker = Worker::connect(&broker, 5, 100).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        for _ in 0..50 {
            client.request("", false).await;
        }
        for _ in 0..50 {
            let request = worker.request().await;
            worker.respond(request).await;
        }
        worker.say(Control::new(GOODBYE, 0, 1)).await;
        drop(worker);
        for sequence in 1..=50 {
            let (_, status, number) = client.answer().await;
            assert_eq!((status, number), (0, sequence));
        }
        Ok(())
    })
}

#[test]
fn a_full_queue_answers_and_a_cancel_makes_room() -> Result {
    in_virtual_time(async {
        let broker = in_memory("full")
            .queue_messages(1)
            .spawn()
            .await
            .expect("free names");
        let worker = Worker::connect(&broker, 5, 1).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        let running = client.request("", false).await;
        let waiting = client.request("", false).await;
        let refused = client.request("", false).await;
        assert_eq!(client.answer().await, (refused, OVERLOADED, 1));
        let running_at = worker.request().await;
        for counter in [waiting, running] {
            let cancel = Control {
                counter,
                ..client.control(CANCEL)
            };
            client.say(cancel, "").await;
        }
        let cancel = worker.hear().await.control;
        assert_eq!(
            (cancel.kind, cancel.counter, cancel.epoch),
            (CANCEL, running, 5)
        );
        // Its answer is late now, and the next request is answered all the same.
        worker.respond(running_at).await;
        let next = client.request("", false).await;
        let request = worker.request().await;
        worker.respond(request).await;
        assert_eq!(client.answer().await, (next, 0, 2));
        assert_eq!(broker.stats().late, 1);
        Ok(())
    })
}

#[test]
fn a_service_without_a_worker_ever_is_unknown() -> Result {
    in_virtual_time(async {
        let broker = spawn("unknown").await;
        let _worker = Worker::connect(&broker, 5, 1).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        client.counter += 1;
        let probe = Control {
            service: "nowhere".into(),
            ..client.control(PROBE)
        };
        client.say(probe, "").await;
        assert_eq!(client.answer().await, (client.counter, NO_SUCH_SERVICE, 0));
        Ok(())
    })
}

/// FT-12, FT-43.
#[test]
fn a_broker_that_closes_answers_what_it_has_and_refuses_the_rest() -> Result {
    in_virtual_time(async {
        let broker = spawn("drain").await;
        let worker = Worker::connect(&broker, 5, 1).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        client.request("", false).await;
        client.request("", false).await;
        let running = worker.request().await;
        while broker.stats().accepted < 2 {
            tokio::task::yield_now().await;
        }
        let closing = tokio::spawn(broker.close());
        let goodbye = client.hear().await.control;
        assert_eq!((goodbye.kind, goodbye.nonce), (GOODBYE, 9));
        let refused = client.request("", false).await;
        assert_eq!(client.answer().await, (refused, STOPPING, 1));
        worker.respond(running).await;
        assert_eq!(client.answer().await, (refused - 2, 0, 2));
        let queued = worker.request().await;
        worker.respond(queued).await;
        assert_eq!(client.answer().await, (refused - 1, 0, 3));
        // Nothing more is on its way: that ends the broker.
        client.counter += 1;
        client.say(client.control(PROBE), "").await;
        assert_eq!(client.hear().await.control.kind, GOODBYE);
        closing.await.expect("no panic");
        Ok(())
    })
}

#[test]
fn a_drain_ends_in_time_whatever_the_workers_do() -> Result {
    in_virtual_time(async {
        let timeout = Duration::from_secs(3);
        let broker = in_memory("stuck")
            .drain_timeout(timeout)
            .spawn()
            .await
            .expect("free names");
        let worker = Worker::connect(&broker, 5, 1).await;
        let mut client = Client::connect(&broker, "web", 9).await;
        let counter = client.request("", true).await;
        worker.request().await;
        let before = tokio::time::Instant::now();
        broker.close().await;
        assert!((timeout..timeout * 2).contains(&before.elapsed()));
        assert_eq!(client.answer().await, (counter, WORKER_LOST, 1));
        Ok(())
    })
}

#[test]
fn waiting_for_workers_ends_when_they_are_there() -> Result {
    in_virtual_time(async {
        let broker = spawn("waiting").await;
        broker.wait_for_workers("geo", 0).await;
        let (_, _workers) = tokio::join!(broker.wait_for_workers("geo", 2), async {
            let first = Worker::connect(&broker, 5, 1).await;
            (first, Worker::connect(&broker, 6, 1).await)
        });
        let stats = broker.stats();
        assert_eq!(stats.workers.len(), 2);
        assert_eq!(
            (stats.services[0].name.as_str(), stats.services[0].workers),
            ("geo", 2)
        );
        Ok(())
    })
}

#[test]
fn what_cannot_be_bound_is_said_and_nothing_is_started() -> Result {
    in_real_time(async {
        let beyond_loopback = Broker::builder().back("tcp://*:*").spawn().await;
        assert!(matches!(beyond_loopback, Err(BindError::Plaintext(_))));
        let no_endpoint = Broker::builder().front_responses("nowhere").spawn().await;
        assert!(matches!(no_endpoint, Err(BindError::Endpoint(_))));
        let first = Broker::builder().spawn().await.expect("free ports");
        let taken = Broker::builder()
            .front(first.front().requests)
            .spawn()
            .await;
        assert!(matches!(taken, Err(BindError::Io { .. })));
        Ok(())
    })
}
