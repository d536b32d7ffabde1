//! The guard over the counters is itself guarded: it sees both ends of every link, and each law can fail.

use std::time::Duration;

use pushsub::testing::{Ledger, Passage};
use pushsub::{Options, Pub, Pull, Push, SocketType, Stats, Sub};

use crate::support::guard::{Guard, broken_laws};
use crate::support::{Result, connected, in_virtual_time, memory_name, on_every_transport};

on_every_transport! {
    the_ledger_knows_both_ends_of_a_link;
    the_ledger_remembers_links_that_are_gone;
}

/// A PUSH that has sent one message to a PULL, and the PULL.
async fn pair(endpoint: &str) -> Result<(Push, Pull)> {
    let pull = Pull::new();
    let bound = pull.bind(endpoint).await?;
    let push = Push::new();
    push.connect(&bound)?;
    push.send("hello").await?;
    pull.recv().await?;
    Ok((push, pull))
}

fn from_push(ledger: &Ledger) -> Vec<Passage> {
    let mut passages = ledger.passages();
    passages.retain(|passage| passage.from == SocketType::Push);
    passages
}

async fn the_ledger_knows_both_ends_of_a_link(endpoint: String) -> Result {
    let ledger = Ledger::open();
    let (push, pull) = pair(&endpoint).await?;
    assert_eq!(ledger.sockets().len(), 2);
    let passages = from_push(&ledger);
    let [passage] = &passages[..] else {
        return Err(format!("one link, not {passages:?}").into());
    };
    assert_eq!(passage.to, SocketType::Pull);
    assert_eq!((passage.written, passage.received), (1, 1));
    assert!(passage.flows);
    drop((push, pull));
    Ok(())
}

async fn the_ledger_remembers_links_that_are_gone(endpoint: String) -> Result {
    let ledger = Ledger::open();
    let (push, pull) = pair(&endpoint).await?;
    pull.close(Duration::ZERO).await;
    push.close(Duration::ZERO).await;
    let passages = from_push(&ledger);
    assert_eq!(passages.len(), 1);
    assert_eq!((passages[0].written, passages[0].received), (1, 1));
    assert!(!passages[0].flows);
    let sent: u64 = ledger
        .sockets()
        .iter()
        .map(|(_, stats)| stats.sent.written)
        .sum();
    assert_eq!(sent, 1);
    Ok(())
}

/// What a guard would see at the end of a test in which one message passed.
async fn one_message() -> Result<(Vec<(SocketType, Stats)>, Vec<Passage>)> {
    let ledger = Ledger::open();
    let sockets = pair(&format!("memory://{}", memory_name())).await?;
    let seen = (ledger.sockets(), from_push(&ledger));
    assert_eq!(broken_laws(&seen.0, &seen.1), [""; 0]);
    drop(sockets);
    Ok(seen)
}

/// A counter, and how it goes wrong.
type Wrong = (&'static str, fn(&mut Stats));

/// C5.
#[test]
fn each_counter_that_is_wrong_by_one_breaks_a_law() -> Result {
    let wrongs: &[Wrong] = &[
        ("accepted", |stats| stats.sent.accepted += 1),
        ("written", |stats| stats.sent.written += 1),
        ("dropped", |stats| stats.sent.dropped.cut += 1),
        ("queued to send", |stats| stats.sent.queued += 1),
        ("received", |stats| stats.received.received += 1),
        ("delivered", |stats| stats.received.delivered += 1),
        ("dropped unread", |stats| stats.received.dropped += 1),
        ("queued to receive", |stats| stats.received.queued += 1),
        ("of a peer", |stats| stats.peers[0].sent.accepted += 1),
    ];
    in_virtual_time(async move {
        let (sockets, passages) = one_message().await?;
        for (what, wrong) in wrongs {
            let mut sockets = sockets.clone();
            wrong(&mut sockets[0].1);
            assert_eq!(broken_laws(&sockets, &passages).len(), 1, "{what}");
        }
        Ok(())
    })
}

#[test]
fn a_link_that_stands_has_lost_nothing_and_no_link_has_doubled_anything() -> Result {
    in_virtual_time(async {
        let (sockets, passages) = one_message().await?;
        let broken = |flows: bool, received: u64| {
            let mut passages = passages.clone();
            passages[0].flows = flows;
            passages[0].received = received;
            broken_laws(&sockets, &passages)
        };
        assert!(broken(true, 0)[0].contains("1 never arrived"));
        assert!(broken(false, 2)[0].contains("1 written and 2 received"));
        assert_eq!(broken(false, 0), [""; 0], "lost with its link");
        Ok(())
    })
}

/// What is written and not yet read is waited for.
#[test]
fn the_guard_waits_until_what_is_on_its_way_has_arrived() -> Result {
    in_virtual_time(async {
        let guard = Guard::begin();
        let endpoint = format!("memory://{}", memory_name());
        let (push, pull) = pair(&endpoint).await?;
        push.send("on its way").await?;
        guard.end().await?;
        assert_eq!(pull.stats().received.received, 2);
        Ok(())
    })
}

/// What a full pipe leaves unread is not lost, and does not hold up the guard.
#[test]
fn the_guard_does_not_wait_for_a_socket_that_nobody_reads() -> Result {
    in_virtual_time(async {
        let guard = Guard::begin();
        let pull = Pull::with_options(Options::default().receive_high_water_mark(1))?;
        let bound = pull.bind(format!("memory://{}", memory_name())).await?;
        let push = Push::new();
        push.connect(&bound)?;
        let mut monitor = push.monitor();
        connected(&mut monitor).await;
        for _ in 0..9 {
            push.send("more than it has room for").await?;
        }
        guard.end().await?;
        drop((push, pull));
        Ok(())
    })
}

/// What a publisher tells its application of subscriptions is no message of a peer.
#[test]
fn a_subscription_that_is_shown_is_not_taken_for_a_message() -> Result {
    in_virtual_time(async {
        let guard = Guard::begin();
        let publisher = pushsub::XPub::new();
        let bound = publisher
            .bind(format!("memory://{}", memory_name()))
            .await?;
        let subscriber = Sub::new();
        subscriber.subscribe("topic");
        subscriber.connect(&bound)?;
        publisher.recv().await?;
        assert_eq!(publisher.stats().received.received, 1);
        guard.end().await?;
        drop((publisher, subscriber, Pub::new()));
        Ok(())
    })
}
