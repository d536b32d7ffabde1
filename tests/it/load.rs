//! What must hold by the thousand: many clients, long queues, floods, peers that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pushsub::testing::{Listening, dial};
use pushsub::{Dealer, Event, Message, Options, Pull, Push, Queue};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use crate::support::peer::Peer;
use crate::support::{
    Result, connected, disconnected, event, in_virtual_time, memory_name, on_every_transport,
};

on_every_transport! {
    nine_peers_have_their_share_beside_one_that_floods;
    a_queue_goes_on_through_the_death_of_twenty_workers;
}

fn number(of: &Message) -> Result<u32> {
    Ok(u32::from_be_bytes(of.first()[..].try_into()?))
}

/// A6: eight operations are a step of the task's budget, and 128 steps a turn, however short their way is.
#[test]
fn who_sends_and_receives_without_waiting_lets_others_have_their_turns() -> Result {
    in_virtual_time(async {
        const BURST: usize = 5_000;
        let deep = || {
            Options::default()
                .send_high_water_mark(BURST)
                .receive_high_water_mark(BURST)
        };
        let (push, pull) = (Push::with_options(deep())?, Pull::with_options(deep())?);
        let mut monitor = push.monitor();
        push.connect(pull.bind(format!("inproc://{}", memory_name())).await?)?;
        connected(&mut monitor).await;
        let turns = Arc::new(AtomicUsize::new(0));
        let others = turns.clone();
        tokio::spawn(async move {
            loop {
                others.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        for _ in 0..BURST {
            push.send("one of many").await?;
        }
        assert!(turns.swap(0, Ordering::Relaxed) >= 3, "while it sends");
        while pull.stats().received.received < BURST as u64 {
            yield_now().await;
        }
        turns.store(0, Ordering::Relaxed);
        for _ in 0..BURST {
            pull.recv().await?;
        }
        assert!(turns.load(Ordering::Relaxed) >= 3, "while it receives");
        Ok(())
    })
}

/// A5: connected five seconds before the peer is bound, all that was queued arrives in order.
#[test]
fn ten_thousand_messages_wait_for_a_peer_that_comes_late() -> Result {
    in_virtual_time(async {
        let endpoint = format!("memory://{}", memory_name());
        let push = Push::with_options(Options::default().send_high_water_mark(10_000))?;
        push.connect(&endpoint)?;
        for number in 0..10_000_u32 {
            push.try_send(number.to_be_bytes().to_vec())?;
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        let pull = Pull::new();
        pull.bind(&endpoint).await?;
        for wanted in 0..10_000 {
            assert_eq!(number(&pull.recv().await?)?, wanted);
        }
        Ok(())
    })
}

/// C10.
#[test]
fn a_close_waits_for_a_peer_that_comes_within_its_linger() -> Result {
    in_virtual_time(async {
        let endpoint = format!("memory://{}", memory_name());
        let push = Push::new();
        push.connect(&endpoint)?;
        for number in 0..1_000_u32 {
            push.try_send(number.to_be_bytes().to_vec())?;
        }
        let closing = tokio::spawn(push.close(Duration::from_secs(2)));
        yield_now().await;
        tokio::time::advance(Duration::from_millis(500)).await;
        let pull = Pull::new();
        pull.bind(&endpoint).await?;
        for wanted in 0..1_000 {
            assert_eq!(number(&pull.recv().await?)?, wanted);
        }
        assert_eq!(closing.await?.unsent, 0);
        Ok(())
    })
}

/// C10 (libzmq #2586, #4660): neither a peer that does not read nor one that is
/// not there holds up a close without linger.
#[test]
fn a_close_without_linger_ends_at_once_whatever_the_peer_does() -> Result {
    in_virtual_time(async {
        let (dead, silent) = (memory_name(), memory_name());
        let mut listening = Listening::bind(&dead)?;
        // This one accepts the wire and says nothing.
        let _silent = Listening::bind(&silent)?;
        let push = Push::new();
        push.connect(format!("memory://{dead}"))?;
        push.connect(format!("memory://{silent}"))?;
        push.connect(format!("memory://{}", memory_name()))?;
        let _peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        while push.try_send(vec![0; 10_000]).is_ok() {
            yield_now().await;
        }
        let since = Instant::now();
        assert!(push.close(Duration::ZERO).await.unsent > 0);
        assert!(since.elapsed().is_zero(), "{:?}", since.elapsed());
        Ok(())
    })
}

/// When attempts to connect were made; each is turned away.
async fn attempts(name: &str, until: Instant) -> Result<Vec<Instant>> {
    let mut listening = Listening::bind(name)?;
    let mut attempts = Vec::new();
    while let Ok(wire) = timeout_at(until, listening.accept()).await {
        drop(wire?);
        attempts.push(Instant::now());
    }
    Ok(attempts)
}

/// The most that fall within 10 ms, of moments in their order.
fn peak(moments: &[Instant]) -> usize {
    let from = |(place, first): (usize, &Instant)| {
        let end = *first + Duration::from_millis(10);
        moments[place..].partition_point(|moment| *moment < end)
    };
    moments
        .iter()
        .enumerate()
        .map(from)
        .max()
        .unwrap_or_default()
}

/// C12: a server is gone for half a second. All come back within two seconds, and not
/// all at once. While each waits 50 ms on average, a fifth of them comes within 10 ms, and by
/// chance a quarter: twice that would be a herd.
#[test]
fn a_thousand_clients_come_back_and_not_all_at_once() -> Result {
    const CLIENTS: usize = 1_000;
    in_virtual_time(async {
        let name = memory_name();
        let endpoint = format!("memory://{name}");
        let server = Pull::new();
        let mut monitor = server.monitor();
        server.bind(&endpoint).await?;
        let clients: Vec<_> = (0..CLIENTS).map(|_| Push::new()).collect();
        for client in &clients {
            client.connect(&endpoint)?;
        }
        for _ in 0..CLIENTS {
            connected(&mut monitor).await;
        }
        server.close(Duration::ZERO).await;
        let since = Instant::now();
        let mut tried = attempts(&name, since + Duration::from_millis(500)).await?;
        let server = Pull::new();
        let mut monitor = server.monitor();
        server.bind(&endpoint).await?;
        for _ in 0..CLIENTS {
            connected(&mut monitor).await;
            tried.push(Instant::now());
        }
        let (attempts, peak, all) = (tried.len(), peak(&tried), since.elapsed());
        println!("{attempts} attempts, {peak} at most in 10 ms, all back after {all:?}");
        assert!(peak < 2 * CLIENTS / 5, "{peak} attempts within 10 ms");
        assert!(all < Duration::from_secs(2), "{all:?}");
        for client in &clients {
            client.send("back").await?;
        }
        for _ in 0..CLIENTS {
            assert_eq!(server.recv().await?.first(), "back");
        }
        Ok(())
    })
}

/// C13: ten peers send all they can, one of them with a queue and senders of
/// its own size. Each of the others has a twentieth of what is received, or more.
async fn nine_peers_have_their_share_beside_one_that_floods(endpoint: String) -> Result {
    const RECEIVED: usize = 10_000;
    let pull = Pull::new();
    let mut monitor = pull.monitor();
    let bound = pull.bind(&endpoint).await?;
    let mut senders = tokio::task::JoinSet::new();
    for peer in 0..10_u8 {
        let marks = if peer == 0 { 10_000 } else { 100 };
        let push = Push::with_options(Options::default().send_high_water_mark(marks))?;
        push.connect(&bound)?;
        connected(&mut monitor).await;
        if peer == 0 {
            for _ in 0..5_000 {
                push.send(vec![peer]).await?;
            }
        }
        for _ in 0..if peer == 0 { 8 } else { 1 } {
            let push = push.clone();
            senders.spawn(async move { while push.send(vec![peer]).await.is_ok() {} });
        }
    }
    let heard = |pull: &Pull| {
        let peers = pull.stats().peers;
        peers
            .iter()
            .filter(|peer| peer.received.received > 0)
            .count()
    };
    while heard(&pull) < 10 {
        yield_now().await;
    }
    let mut shares = [0; 10];
    for _ in 0..RECEIVED {
        shares[usize::from(pull.recv().await?.first()[0])] += 1;
    }
    senders.shutdown().await;
    let least = shares.iter().min().copied().unwrap_or_default();
    assert!(least >= RECEIVED / 20, "{shares:?}");
    Ok(())
}

/// D2: each worker dies with requests that it was given. Those are lost, as
/// the pattern has it; the device and everybody else go on.
async fn a_queue_goes_on_through_the_death_of_twenty_workers(endpoint: String) -> Result {
    let back = match endpoint.split_once("://") {
        Some((scheme @ ("inproc" | "memory"), _)) => format!("{scheme}://{}", memory_name()),
        Some(("ipc", path)) => format!("ipc://{path}-back"),
        _ => endpoint.clone(),
    };
    let device = Queue::builder().front(&endpoint).back(back).spawn().await?;
    let mut workers = device.back_socket().monitor();
    let client = Dealer::new();
    client.connect(device.front())?;
    for _ in 0..20 {
        let worker = Dealer::new();
        worker.connect(device.back())?;
        connected(&mut workers).await;
        for _ in 0..20 {
            client.send("question").await?;
        }
        for _ in 0..10 {
            worker.send(worker.recv().await?).await?;
        }
        for _ in 0..10 {
            assert_eq!(client.recv().await?.first(), "question");
        }
        worker.close(Duration::ZERO).await;
        disconnected(&mut workers).await;
    }
    let worker = Dealer::new();
    worker.connect(device.back())?;
    client.send("last").await?;
    let answering = async {
        loop {
            worker.send(worker.recv().await?).await?;
        }
    };
    let asking = async {
        while client.recv().await?.first() != "last" {}
        Ok(())
    };
    tokio::select! {
        failed = answering => failed,
        answered = asking => answered,
    }
}

/// BI-113: a socket that is dropped while its tasks send and receive ends what
/// they wait for, and loses nothing that was received.
#[test]
fn a_close_ends_those_who_wait_and_leaves_what_others_received() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let pull = Pull::new();
        let mut monitor = pull.monitor();
        pull.bind(format!("memory://{name}")).await?;
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let pull = pull.clone();
            waiting.spawn(async move {
                let mut taken = 0_u64;
                while pull.recv().await.is_ok() {
                    taken += 1;
                }
                taken
            });
        }
        let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
        connected(&mut monitor).await;
        peer.write(&crate::support::peer::frame(false, b"m").repeat(500))
            .await?;
        while pull.stats().received.delivered < 100 {
            yield_now().await;
        }
        let counted = pull.clone();
        pull.close(Duration::ZERO).await;
        let taken: u64 = waiting.join_all().await.into_iter().sum();
        assert_eq!(counted.stats().received.delivered, taken);
        Ok(())
    })
}

/// C12: every attempt is told, with the wait before the next.
#[test]
fn a_client_tells_of_every_attempt() -> Result {
    in_virtual_time(async {
        let push = Push::new();
        let mut monitor = push.monitor();
        push.connect(format!("memory://{}", memory_name()))?;
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            let retrying = event(&mut monitor, |event| {
                matches!(event, Event::Retrying { .. })
            });
            if let Event::Retrying { wait, .. } = retrying.await {
                longest = longest.max(wait);
            }
        }
        assert!(longest <= Duration::from_secs(30));
        assert!(longest > Duration::from_secs(10), "{longest:?}");
        Ok(())
    })
}
