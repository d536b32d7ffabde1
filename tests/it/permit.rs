//! Places that are taken before their message is there.

use std::time::Duration;

use futures::FutureExt;
use pushsub::testing::dial;
use pushsub::{Dealer, Options, Pair, PermitError, Pull, Push, ReserveError, Router, TrySendError};

use crate::support::peer::Peer;
use crate::support::{
    Result, assert_accounted, connected, disconnected, in_virtual_time, memory_name,
    on_every_transport,
};

on_every_transport! {
    a_permit_sends_without_waiting_and_its_message_arrives;
    permits_never_take_more_places_than_the_mark_has;
    a_dropped_permit_wakes_the_next_who_waits;
    a_permit_of_a_peer_that_is_gone_sends_to_another_or_gives_the_message_back;
    a_permit_of_a_closed_socket_gives_the_message_back_and_holds_up_no_close;
}

async fn a_permit_sends_without_waiting_and_its_message_arrives(endpoint: String) -> Result {
    let pair = Pair::new();
    let endpoint = pair.bind(&endpoint).await?;
    let other = Pair::new();
    other.connect(&endpoint)?;
    other.reserve().await?.send("of a pair")?;
    assert_eq!(pair.recv().await?.first(), "of a pair");
    pair.close(Duration::ZERO).await;
    other.close(Duration::ZERO).await;

    let router = Router::new();
    let endpoint = router.bind(&endpoint).await?;
    let dealer = Dealer::new();
    dealer.connect(&endpoint)?;
    dealer.reserve().await?.send("of a dealer")?;
    assert_eq!(&router.recv().await?[1], "of a dealer");
    Ok(())
}

async fn permits_never_take_more_places_than_the_mark_has(endpoint: String) -> Result {
    let finder = Pull::new();
    let endpoint = finder.bind(&endpoint).await?;
    finder.close(Duration::ZERO).await;
    // Nobody is there: nothing is written, and the mark is exact.
    let push = Push::with_options(Options::default().send_high_water_mark(5))?;
    push.connect(&endpoint)?;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let push = push.clone();
            tokio::spawn(async move { push.reserve().await })
        })
        .collect();
    while tasks.iter().filter(|task| task.is_finished()).count() < 5 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(push.try_send("no"), Err(TrySendError::Full(_))));
    let mut permits = Vec::new();
    for task in tasks {
        if task.is_finished() {
            permits.push(task.await??);
        } else {
            task.abort();
            let _ = task.await;
        }
    }
    assert_eq!(permits.len(), 5);
    for permit in permits.drain(..3) {
        permit.send("reserved")?;
    }
    assert!(matches!(push.try_send("no"), Err(TrySendError::Full(_))));
    drop(permits);
    for _ in 0..2 {
        push.try_send("of a place given back")?;
    }
    assert!(matches!(push.try_send("no"), Err(TrySendError::Full(_))));
    assert_eq!(push.stats().sent.queued, 5);
    push.close(Duration::ZERO).await;
    Ok(())
}

async fn a_dropped_permit_wakes_the_next_who_waits(endpoint: String) -> Result {
    let finder = Pull::new();
    let endpoint = finder.bind(&endpoint).await?;
    finder.close(Duration::ZERO).await;
    let push = Push::with_options(Options::default().send_high_water_mark(1))?;
    push.connect(&endpoint)?;
    let permit = push.reserve().await?;
    let sender = push.clone();
    let waiting = tokio::spawn(async move { sender.send("after it").await });
    let given_up = push.reserve();
    tokio::task::yield_now().await;
    assert!(given_up.now_or_never().is_none());
    assert!(!waiting.is_finished());
    drop(permit);
    waiting.await??;
    push.close(Duration::ZERO).await;
    Ok(())
}

async fn a_permit_of_a_peer_that_is_gone_sends_to_another_or_gives_the_message_back(
    endpoint: String,
) -> Result {
    let push = Push::new();
    let mut monitor = push.monitor();
    let endpoint = push.bind(&endpoint).await?;
    let pull = Pull::new();
    pull.connect(&endpoint)?;
    connected(&mut monitor).await;
    let (one, other) = (push.reserve().await?, push.reserve().await?);
    pull.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    match one.send("nobody is there") {
        Err(PermitError::NoPeer(message)) => assert_eq!(message.first(), "nobody is there"),
        other => return Err(format!("{other:?}").into()),
    }
    let next = Pull::new();
    next.connect(&endpoint)?;
    connected(&mut monitor).await;
    other.send("to whoever is there")?;
    assert_eq!(next.recv().await?.first(), "to whoever is there");
    assert_accounted(&push.stats());
    Ok(())
}

async fn a_permit_of_a_closed_socket_gives_the_message_back_and_holds_up_no_close(
    endpoint: String,
) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    let permit = push.reserve().await?;
    let clone = push.clone();
    assert_eq!(push.close(Duration::from_secs(5)).await.unsent, 0);
    let sent = permit.send("late");
    assert!(matches!(sent, Err(PermitError::Closed(_))), "{sent:?}");
    assert_eq!(clone.reserve().await.err(), Some(ReserveError::Closed));
    Ok(())
}

/// The others of a burst take a shorter way than the first, as long as nothing has happened between.
#[test]
fn a_burst_takes_no_place_that_is_promised_meanwhile() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let options = Options::default().send_high_water_mark(10);
        let push = Push::with_options(options)?;
        let mut monitor = push.monitor();
        push.bind(format!("memory://{name}").as_str()).await?;
        let peer = Peer::shaken(dial(&name)?, "PULL", 1).await?;
        connected(&mut monitor).await;
        // The first is written at once, and the others wait for the driver, which has no turn here.
        for _ in 0..4 {
            push.try_send("of a burst")?;
        }
        let promised: Vec<_> = (0..7)
            .filter_map(|_| push.reserve().now_or_never())
            .collect();
        assert_eq!(promised.len(), 7);
        let another = push.try_send("another");
        assert!(matches!(another, Err(TrySendError::Full(_))), "{another:?}");
        drop(promised);
        push.try_send("another")?;
        drop(peer);
        Ok(())
    })
}
