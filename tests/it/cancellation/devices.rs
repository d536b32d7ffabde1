//! Devices and the broker, with futures dropped at any poll: they go on, or end as they say.

use std::time::Duration;

use pushsub::{
    Broker, BrokerBuilder, Client, DeviceBuilder, Proxy, Pull, Push, Reply, Request, Server,
    Streamer,
};

use super::{Runs, turns_of_others, until};
use crate::support::{Result, in_virtual_time, memory_name};

fn streamer() -> (DeviceBuilder<Pull, Push>, String, String) {
    let (front, back) = (memory_name(), memory_name());
    let (front, back) = (format!("memory://{front}"), format!("memory://{back}"));
    let builder = Streamer::builder().front(front.clone()).back(back.clone());
    (builder, front, back)
}

/// Whether somebody has bound this name.
async fn is_bound(endpoint: &str) -> bool {
    Pull::new().bind(endpoint).await.is_err()
}

async fn is_free_again(endpoint: &str) {
    while is_bound(endpoint).await {
        turns_of_others(1).await;
    }
}

/// A8.
#[test]
fn a_device_whose_start_is_dropped_has_started_nothing() -> Result {
    in_virtual_time(async {
        let mut runs = Runs::of("DeviceBuilder::spawn");
        let mut brokers = Runs::of("BrokerBuilder::spawn");
        for _ in 0..200 {
            let (builder, front, back) = streamer();
            let device = runs.run(builder.spawn()).await.transpose()?;
            for endpoint in [&front, &back] {
                assert_eq!(is_bound(endpoint).await, device.is_some());
            }
            let (builder, front) = broker();
            let broker = brokers.run(builder.spawn()).await.transpose()?;
            assert_eq!(is_bound(&front).await, broker.is_some());
        }
        runs.end_at_once(200);
        brokers.end_at_once(200);
        Ok(())
    })
}

/// A8: the end that was begun comes, at once; what was forwarded was forwarded once.
#[test]
fn a_device_whose_end_is_dropped_ends_and_doubles_nothing() -> Result {
    in_virtual_time(async {
        let mut ends = [Runs::of("Device::close"), Runs::of("Device::terminate")];
        for run in 0..200_u32 {
            let (builder, front, back) = streamer();
            let device = builder.spawn().await?;
            let (push, pull) = (Push::new(), Pull::new());
            push.connect(front.as_str())?;
            pull.connect(back.as_str())?;
            for number in 0..20_u32 {
                push.send(number.to_be_bytes().to_vec()).await?;
            }
            turns_of_others(run % 20).await;
            match run % 2 {
                0 => drop(ends[0].run(device.close(Duration::from_secs(1))).await),
                _ => drop(ends[1].run(device.terminate()).await),
            }
            is_free_again(&front).await;
            turns_of_others(20).await;
            let mut next = 0;
            while let Ok(message) = pull.try_recv() {
                let number = u32::from_be_bytes(message.first()[..].try_into()?);
                assert_eq!(number, next, "in order, none twice and none left out");
                next += 1;
            }
        }
        for runs in ends {
            runs.end(100);
        }
        Ok(())
    })
}

/// A8: a proxy that is run and left loses at most the one message that it had taken; those who
/// steer it may give up waiting.
#[test]
fn a_proxy_that_is_left_loses_one_message_at_most() -> Result {
    in_virtual_time(async {
        let mut runs = Runs::of("Proxy::run");
        let source = Push::new();
        let front = Pull::new();
        let endpoint = format!("memory://{}", memory_name());
        source.connect(&front.bind(&endpoint).await?)?;
        let sink = Pull::new();
        let back = Push::new();
        let endpoint = format!("memory://{}", memory_name());
        back.connect(&sink.bind(&endpoint).await?)?;
        let (mut sent, mut received, mut last) = (0_u32, 0_u32, None);
        for run in 0..600_u32 {
            for _ in 0..run % 4 {
                source.send(sent.to_be_bytes().to_vec()).await?;
                sent += 1;
            }
            let front = pushsub::Receiving::new(front.clone());
            let back = pushsub::Sending::new(back.clone());
            let left = runs.run(Proxy::new(front, back).run()).await;
            assert!(left.is_none(), "nobody ends it");
            while let Ok(message) = sink.try_recv() {
                let number = u32::from_be_bytes(message.first()[..].try_into()?);
                assert!(last.is_none_or(|last| number > last));
                last = Some(number);
                received += 1;
            }
        }
        runs.end(600);
        assert!(
            received + 600 >= sent && received > 0,
            "{received} of {sent}"
        );
        Ok(())
    })
}

/// A8.
#[test]
fn who_waits_for_the_end_of_a_proxy_may_give_up() -> Result {
    in_virtual_time(async {
        let methods = [
            "ProxyHandle::finish",
            "ProxyHandle::terminate",
            "ProxyHandle::wait_until_ended",
        ];
        let mut runs = methods.map(Runs::of);
        for run in 0..300_usize {
            let front = pushsub::Receiving::new(Pull::new());
            let back = pushsub::Sending::new(Push::new());
            let proxy = Proxy::new(front, back);
            let handle = proxy.handle();
            let running = tokio::spawn(proxy.run());
            match run % 3 {
                0 => runs[0].run(handle.finish()).await,
                1 => runs[1].run(handle.terminate()).await,
                _ => runs[2].run(handle.wait_until_ended()).await,
            };
            if run % 3 == 2 {
                assert!(!running.is_finished(), "it was not told to end");
                handle.terminate().await;
            }
            running.await?;
            handle.wait_until_ended().await;
        }
        for runs in runs {
            runs.end(100);
        }
        Ok(())
    })
}

fn broker() -> (BrokerBuilder, String) {
    let (front, back) = (memory_name(), memory_name());
    let front = format!("memory://{front}");
    let builder = Broker::builder().front(front.clone());
    (builder.back(format!("memory://{back}")), front)
}

/// A8: who waits for workers changes nothing by giving up, and a broker whose end is dropped ends.
#[test]
fn a_broker_outlives_those_who_wait_for_its_workers() -> Result {
    in_virtual_time(async {
        let methods = [
            "Broker::workers_changed",
            "Broker::wait_for_workers",
            "Broker::close",
        ];
        let mut runs = methods.map(Runs::of);
        for run in 0..100 {
            let (builder, front) = broker();
            let broker = builder.spawn().await?;
            let server = Server::builder("geo").connect(broker.back());
            runs[0].run(broker.workers_changed()).await;
            runs[1].run(broker.wait_for_workers("geo", 1)).await;
            let handle = |request: Request| async move { Ok(Reply::echo(&request)) };
            let server = server.serve(handle).await?;
            broker.wait_for_workers("geo", 1).await;
            let client = Client::builder("geo").connect(broker.front()).await?;
            assert_eq!(client.call::<_, u32>("echo", &run).await?, run);
            runs[2].run(broker.close()).await;
            is_free_again(&front).await;
            server.close().await;
        }
        for runs in runs {
            runs.end(100);
        }
        Ok(())
    })
}

/// A8: of a change that comes while nobody waits nothing is lost that `stats` does not show.
#[test]
fn a_worker_that_comes_is_seen_by_who_waits_again() -> Result {
    in_virtual_time(async {
        let (builder, _) = broker();
        let broker = builder.spawn().await?;
        let mut runs = Runs::of("Broker::wait_for_workers beside a change");
        let mut servers = Vec::new();
        for workers in 1..=50 {
            let handle = |request: Request| async move { Ok(Reply::echo(&request)) };
            let server = Server::builder("geo").connect(broker.back());
            let server = server.serve(handle).await?;
            runs.run(broker.wait_for_workers("geo", workers)).await;
            broker.wait_for_workers("geo", workers).await;
            until(|| broker.stats().workers.len() == workers).await;
            servers.push(server);
        }
        runs.end(50);
        Ok(())
    })
}
