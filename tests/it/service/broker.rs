//! The same client and server with a broker between them.

use std::time::Duration;

use pushsub::{Broker, Client, Server, ServerBuilder, Unknown};

use super::{serve, two_hundred_fresh_listeners};
use crate::support::{Result, in_real_time, in_virtual_time, memory_name};

/// Runs a test on tcp in real time, and in memory under virtual time.
macro_rules! through_a_broker {
    ($($name:ident;)*) => {
        mod tcp {
            $(#[test]
            fn $name() -> crate::support::Result {
                super::in_real_time(super::$name(None))
            })*
        }
        mod memory {
            $(#[test]
            fn $name() -> crate::support::Result {
                super::in_virtual_time(super::$name(Some(super::memory_name())))
            })*
        }
    };
}

through_a_broker! {
    a_call_through_a_broker_has_its_value;
    workers_share_the_work_and_none_is_lost;
    a_worker_that_closes_fails_no_call;
    a_worker_that_dies_loses_nothing_that_may_run_twice;
    a_dropped_call_is_cancelled_behind_the_broker;
    a_fresh_listener_hears_what_is_pushed_at_once_through_a_broker;
}

async fn broker(name: Option<String>) -> Result<Broker> {
    let builder = Broker::builder();
    let builder = match name {
        Some(name) => builder
            .front(format!("memory://{name}-front"))
            .back(format!("memory://{name}-back")),
        None => builder,
    };
    Ok(builder.spawn().await?)
}

fn worker(broker: &Broker, name: &str) -> ServerBuilder {
    Server::builder("geo").connect(broker.back()).name(name)
}

async fn client(broker: &Broker) -> Result<Client> {
    Ok(Client::builder("geo").connect(broker.front()).await?)
}

async fn a_call_through_a_broker_has_its_value(name: Option<String>) -> Result {
    let broker = broker(name).await?;
    let worker = serve(worker(&broker, "one")).await?;
    broker.wait_for_workers("geo", 1).await;
    let client = client(&broker).await?;
    for number in 0..100_u32 {
        let echoed: u32 = client.call("echo", &number).await?;
        assert_eq!(echoed, number);
    }
    worker.close().await;
    broker.close().await;
    Ok(())
}

async fn workers_share_the_work_and_none_is_lost(name: Option<String>) -> Result {
    let broker = broker(name).await?;
    let workers = [
        serve(worker(&broker, "one")).await?,
        serve(worker(&broker, "two")).await?,
        serve(worker(&broker, "three")).await?,
    ];
    broker.wait_for_workers("geo", 3).await;
    let client = client(&broker).await?;
    for number in 0..600_u32 {
        let request = client.request("echo").key((number % 50).to_be_bytes());
        request.body(&number)?.push().await?;
    }
    let mut responses = client.responses();
    let mut sum = 0;
    for _ in 0..600 {
        let response = responses.next().await.ok_or("it is open")?;
        sum += response.outcome?.decode::<u32>()?;
    }
    assert_eq!(sum, (0..600).sum::<u32>());
    let started: Vec<u64> = workers
        .iter()
        .map(|worker| worker.stats().started)
        .collect();
    assert_eq!(started.iter().sum::<u64>(), 600);
    assert!(started.iter().all(|started| *started > 0), "{started:?}");
    Ok(())
}

/// FT-12.
async fn a_worker_that_closes_fails_no_call(name: Option<String>) -> Result {
    let broker = broker(name).await?;
    let closing = serve(worker(&broker, "closing")).await?;
    let _staying = serve(worker(&broker, "staying")).await?;
    broker.wait_for_workers("geo", 2).await;
    let client = client(&broker).await?;
    for number in 0..400_u32 {
        client.push("echo", &number).await?;
    }
    closing.close().await;
    let mut responses = client.responses();
    for _ in 0..400 {
        let response = responses.next().await.ok_or("it is open")?;
        response.outcome?;
    }
    assert_eq!(client.call::<u8, u8>("echo", &1).await, Ok(1));
    Ok(())
}

/// D11.
async fn a_worker_that_dies_loses_nothing_that_may_run_twice(name: Option<String>) -> Result {
    let broker = broker(name).await?;
    let dying = serve(worker(&broker, "dying")).await?;
    broker.wait_for_workers("geo", 1).await;
    let client = client(&broker).await?;
    client.request("wait").push().await?;
    for number in 0..10_u32 {
        let request = client.request("wait").idempotent();
        request
            .deadline(Duration::from_secs(15))
            .body(&number)?
            .push()
            .await?;
    }
    while dying.stats().started < 11 {
        tokio::task::yield_now().await;
    }
    let healthy = |request: pushsub::Request| async move { Ok(pushsub::Reply::echo(&request)) };
    let _living = worker(&broker, "living").serve(healthy).await?;
    broker.wait_for_workers("geo", 2).await;
    drop(dying);
    let mut responses = client.responses();
    let (mut values, mut unknown) = (0, 0);
    for _ in 0..11 {
        match responses.next().await.ok_or("it is open")?.outcome {
            Ok(_) => values += 1,
            Err(error) => {
                assert_eq!(error, Unknown::InstanceLost.into());
                unknown += 1;
            }
        }
    }
    assert_eq!((values, unknown), (10, 1));
    Ok(())
}

/// E5.
async fn a_dropped_call_is_cancelled_behind_the_broker(name: Option<String>) -> Result {
    let broker = broker(name).await?;
    let worker = serve(worker(&broker, "one")).await?;
    broker.wait_for_workers("geo", 1).await;
    let client = client(&broker).await?;
    let calling = client.call::<(), ()>("wait", &());
    let started = async {
        while worker.stats().running == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = calling => unreachable!("the handler never ends"),
        () = started => {}
    }
    while worker.stats().cancelled == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(worker.stats().running, 0);
    Ok(())
}

async fn a_fresh_listener_hears_what_is_pushed_at_once_through_a_broker(
    name: Option<String>,
) -> Result {
    let broker = broker(name).await?;
    let _worker = serve(worker(&broker, "one")).await?;
    broker.wait_for_workers("geo", 1).await;
    let client = Client::builder("geo").client_id("web-7");
    let client = client.connect(broker.front()).await?;
    two_hundred_fresh_listeners(&client, broker.front()).await?;
    // Each took its leave: the client alone is known.
    while broker.stats().clients > 1 {
        tokio::task::yield_now().await;
    }
    Ok(())
}
