//! The whole stack: clients and servers as programs use them, directly and through a broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use pushsub::{
    Broker, CallError, Client, HandlerError, Instance, Registry, Reply, Request, Server, Unknown,
};

use crate::support::{self, in_real_time, in_virtual_time};

/// What every test here asks for, and what it is answered: twice the number.
async fn double(request: Request) -> Result<Reply, HandlerError> {
    let number: u64 = request.decode()?;
    Reply::body(&(2 * number))
}

async fn broker(name: &str) -> Broker {
    let builder = Broker::builder()
        .front(format!("memory://{name}-front"))
        .back(format!("memory://{name}-back"));
    builder.spawn().await.expect("free names")
}

async fn worker(broker: &Broker, name: &str) -> Server {
    let builder = Server::builder("numbers").connect(broker.back()).name(name);
    builder
        .concurrency(4)
        .serve(double)
        .await
        .expect("it connects")
}

async fn client(id: &str, instance: Instance) -> Client {
    let builder = Client::builder("numbers").client_id(id);
    builder.connect(instance).await.expect("it connects")
}

/// The same for either topology: fresh clients call at once, and each has its own answers.
async fn each_client_has_its_own_answers(instance: Instance) {
    let calls = (0..20_u64).map(|number| {
        let instance = instance.clone();
        async move {
            // client-1 and client-10 begin alike.
            let client = client(&format!("client-{number}"), instance).await;
            for round in 0..20 {
                let asked = number * 100 + round;
                let answer: u64 = client.call("double", &asked).await.expect("an answer");
                assert_eq!(answer, 2 * asked);
            }
            client.close().await;
        }
    });
    futures::future::join_all(calls).await;
}

/// Workload 3.2 a.
#[test]
fn directly_each_client_has_its_own_answers() -> support::Result {
    in_virtual_time(async {
        let builder = Server::builder("numbers").bind("memory://stack-direct");
        let server = builder.bind_responses("memory://stack-direct-responses");
        let server = server.serve(double).await.expect("free names");
        each_client_has_its_own_answers(server.instance().expect("it is bound")).await;
        server.close().await;
        Ok(())
    })
}

/// Workload 3.2 b.
#[test]
fn through_a_broker_each_client_has_its_own_answers() -> support::Result {
    in_virtual_time(async {
        let broker = broker("stack-brokered").await;
        let servers = [worker(&broker, "one").await, worker(&broker, "two").await];
        broker.wait_for_workers("numbers", 2).await;
        each_client_has_its_own_answers(broker.front()).await;
        let stats = broker.stats();
        assert_eq!((stats.accepted, stats.answered), (400, 400));
        assert!(
            stats.workers.iter().all(|worker| worker.handled > 0),
            "{stats:?}"
        );
        for server in servers {
            server.close().await;
        }
        broker.close().await;
        Ok(())
    })
}

#[test]
fn over_tcp_through_a_broker_each_push_has_one_end() -> support::Result {
    in_real_time(async {
        let broker = Broker::builder().spawn().await.expect("free ports");
        let _servers = [worker(&broker, "one").await, worker(&broker, "two").await];
        broker.wait_for_workers("numbers", 2).await;
        let client = client("web-7", broker.front()).await;
        let mut responses = client.responses();
        let push = async {
            let mut asked = HashMap::new();
            for number in 0..5_000_u64 {
                let key = (number % 17).to_string();
                let request = client
                    .request("double")
                    .key(key)
                    .body(&number)
                    .expect("a number");
                asked.insert(request.push().await.expect("open"), number);
            }
            asked
        };
        let listen = async {
            let mut answers = Vec::new();
            while answers.len() < 5_000 {
                answers.push(responses.next().await.expect("open"));
            }
            answers
        };
        let (mut asked, answers) = tokio::join!(push, listen);
        for response in answers {
            let number = asked.remove(&response.id).expect("one end for each push");
            let answer: u64 = response
                .outcome
                .expect("a value")
                .decode()
                .expect("a number");
            assert_eq!(answer, 2 * number);
        }
        assert!(asked.is_empty());
        Ok(())
    })
}

/// FT-12: whoever calls notices nothing of a rolling restart.
#[test]
fn workers_that_are_replaced_one_by_one_fail_no_call() -> support::Result {
    in_virtual_time(async {
        let broker = broker("stack-rolling").await;
        let mut servers = [worker(&broker, "0").await, worker(&broker, "1").await];
        broker.wait_for_workers("numbers", 2).await;
        let client = client("web-7", broker.front()).await;
        let stop = tokio::sync::Notify::new();
        let calls = std::cell::Cell::new(0);
        let calling = futures::future::join_all((0..8_u64).map(|task| {
            let (client, stop, calls) = (&client, &stop, &calls);
            async move {
                let mut stopped = std::pin::pin!(stop.notified());
                while futures::poll!(&mut stopped).is_pending() {
                    let answer: Result<u64, CallError> = client.call("double", &task).await;
                    assert_eq!(answer, Ok(2 * task));
                    calls.set(calls.get() + 1);
                }
            }
        }));
        let restarting = async {
            for life in 2..12 {
                while calls.get() < 10 * life {
                    tokio::task::yield_now().await;
                }
                let next = worker(&broker, &life.to_string()).await;
                broker.wait_for_workers("numbers", 3).await;
                let old = std::mem::replace(&mut servers[life % 2], next);
                old.close().await;
            }
            stop.notify_waiters();
        };
        tokio::join!(calling, restarting);
        assert!(calls.get() > 110, "{}", calls.get());
        assert_eq!(broker.stats().refused, pushsub::Refused::default());
        Ok(())
    })
}

/// FT-11, as far as a stop goes: another broker takes over, and no call fails.
#[test]
fn a_broker_that_is_stopped_hands_its_clients_to_another_and_fails_no_call() -> support::Result {
    in_virtual_time(async {
        let (first, second) = (broker("stack-first").await, broker("stack-second").await);
        let _servers = [worker(&first, "one").await, worker(&second, "two").await];
        first.wait_for_workers("numbers", 1).await;
        second.wait_for_workers("numbers", 1).await;
        let registry = Registry::new();
        let registration = registry.register("numbers", first.front());
        let _other = registry.register("numbers", second.front());
        let builder = Client::builder("numbers").client_id("web-7");
        let client = builder.connect(registry).await.expect("it connects");
        let calling = futures::future::join_all((0..8_u64).map(|task| {
            let client = &client;
            async move {
                for _ in 0..200 {
                    let answer: Result<u64, CallError> = client.call("double", &task).await;
                    assert_eq!(answer, Ok(2 * task));
                }
            }
        }));
        let stopping = async {
            while first.stats().answered < 50 {
                tokio::task::yield_now().await;
            }
            first.close().await;
            drop(registration);
        };
        tokio::join!(calling, stopping);
        assert!(second.stats().answered > 50);
        Ok(())
    })
}

/// What a handler ran: the key and the number.
type Ran = (Vec<u8>, u64);

/// FT-02, FT-03: a worker dies with what it has; its keys lose their place in no line.
#[test]
fn a_dead_workers_keys_go_on_in_order_at_another() -> support::Result {
    in_virtual_time(async {
        let broker = broker("stack-order").await;
        let ran: Arc<Mutex<Vec<Ran>>> = Arc::default();
        let serve = |name: &str, stuck: bool| {
            let ran = Arc::clone(&ran);
            let builder = Server::builder("numbers").connect(broker.back()).name(name);
            builder.concurrency(4).serve(move |request: Request| {
                let ran = Arc::clone(&ran);
                async move {
                    if stuck {
                        std::future::pending::<()>().await;
                    }
                    let entry = (request.key().to_vec(), request.decode()?);
                    ran.lock().expect("no panic").push(entry);
                    double(request).await
                }
            })
        };
        let stuck = serve("stuck", true).await.expect("it connects");
        broker.wait_for_workers("numbers", 1).await;
        let client = client("web-7", broker.front()).await;
        for number in 0..60_u64 {
            let key = (number % 6).to_string();
            let request = client.request("double").key(key).idempotent().no_deadline();
            let request = request.body(&number).expect("a number");
            request.push().await.expect("open");
        }
        while broker.stats().workers[0].in_flight < 4 {
            tokio::task::yield_now().await;
        }
        let _healthy = [
            serve("one", false).await.expect("it connects"),
            serve("two", false).await.expect("it connects"),
        ];
        broker.wait_for_workers("numbers", 3).await;
        drop(stuck);
        let ends: Vec<_> = client.responses().take(60).collect().await;
        assert!(ends.iter().all(|end| end.outcome.is_ok()));
        let ran = ran.lock().expect("no panic");
        for key in 0..6_u64 {
            let numbers = ran
                .iter()
                .filter(|(of, _)| *of == key.to_string().into_bytes());
            let numbers: Vec<u64> = numbers.map(|(_, number)| *number).collect();
            assert_eq!(numbers, (key..60).step_by(6).collect::<Vec<_>>());
        }
        Ok(())
    })
}

#[test]
fn what_may_not_run_twice_ends_as_unknown_when_its_worker_dies() -> support::Result {
    in_virtual_time(async {
        let broker = broker("stack-unknown").await;
        let builder = Server::builder("numbers").connect(broker.back());
        let stuck = builder
            .serve(|_| std::future::pending())
            .await
            .expect("it connects");
        broker.wait_for_workers("numbers", 1).await;
        let client = client("web-7", broker.front()).await;
        let before = tokio::time::Instant::now();
        let dying = async {
            while broker.stats().accepted == 0 {
                tokio::task::yield_now().await;
            }
            drop(stuck);
        };
        let (answer, ()) = tokio::join!(client.call::<u64, u64>("double", &1), dying);
        assert_eq!(answer, Err(CallError::Unknown(Unknown::InstanceLost)));
        assert!(before.elapsed() < Duration::from_secs(1));
        Ok(())
    })
}

/// E5: whoever gives up frees the worker.
#[test]
fn a_call_that_is_dropped_is_cancelled_at_the_worker() -> support::Result {
    in_virtual_time(async {
        struct Dropped(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                // The test may have ended.
                let _ = self.0.take().map(|sender| sender.send(()));
            }
        }
        let broker = broker("stack-cancel").await;
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let builder = Server::builder("numbers").connect(broker.back());
        let serving = builder.serve(move |_| {
            let guard = Dropped(sender.lock().expect("no panic").take());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        });
        let _server = serving.await.expect("it connects");
        broker.wait_for_workers("numbers", 1).await;
        let client = client("web-7", broker.front()).await;
        let deadline = Duration::from_millis(500);
        let call = tokio::time::timeout(deadline, client.call::<u64, u64>("double", &1));
        assert!(call.await.is_err());
        dropped
            .await
            .expect("the handler is dropped, not forgotten");
        assert_eq!(broker.stats().cancelled, 1);
        Ok(())
    })
}
