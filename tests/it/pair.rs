//! PAIR.

use std::time::Duration;

use futures::FutureExt;
use pushsub::{Event, LinkError, Message, Options, Pair, TrySendError};

use crate::support::{
    Result, assert_accounted, connected, disconnected, event, on_every_transport,
};

on_every_transport! {
    both_ends_send_and_receive;
    a_second_peer_is_refused_and_the_first_goes_on;
    a_new_peer_comes_when_the_first_is_gone;
    a_second_endpoint_waits_until_the_first_is_disconnected;
    a_message_waits_for_a_peer;
    what_is_queued_is_bounded_and_nothing_of_it_is_lost;
    what_was_not_written_goes_out_after_a_reconnect;
}

async fn refused(monitor: &mut pushsub::Monitor) {
    event(monitor, |event| {
        let Event::Refused { reason, .. } = event else {
            return false;
        };
        *reason == LinkError::SecondPeer
    })
    .await;
}

/// PR02.
async fn both_ends_send_and_receive(endpoint: String) -> Result {
    let (one, other) = (Pair::new(), Pair::new());
    let endpoint = one.bind(&endpoint).await?;
    other.connect(&endpoint)?;
    for number in 0..1_000 {
        let mut message = Message::from(format!("{number}"));
        message.push_back(vec![7; number]);
        one.send(message.clone()).await?;
        other.send(message.clone()).await?;
        assert_eq!(one.recv().await?, message);
        assert_eq!(other.recv().await?, message);
    }
    assert_accounted(&one.stats());
    assert_accounted(&other.stats());
    Ok(())
}

/// PR01, BI-70.
async fn a_second_peer_is_refused_and_the_first_goes_on(endpoint: String) -> Result {
    let one = Pair::new();
    let mut monitor = one.monitor();
    let endpoint = one.bind(&endpoint).await?;
    let first = Pair::new();
    first.connect(&endpoint)?;
    connected(&mut monitor).await;
    let others: Vec<Pair> = (0..2).map(|_| Pair::new()).collect();
    for other in &others {
        other.connect(&endpoint)?;
        other.send("let me in").await?;
        refused(&mut monitor).await;
    }
    for _ in 0..10 {
        first.send("still here").await?;
        assert_eq!(one.recv().await?.first(), "still here");
        one.send("indeed").await?;
        assert_eq!(first.recv().await?.first(), "indeed");
    }
    for other in &others {
        assert_eq!(other.stats().sent.queued, 1, "it waits, it is not lost");
    }
    Ok(())
}

/// PR06, PR01: the refusal is for the time being.
async fn a_new_peer_comes_when_the_first_is_gone(endpoint: String) -> Result {
    let one = Pair::new();
    let mut monitor = one.monitor();
    let endpoint = one.bind(&endpoint).await?;
    let first = Pair::new();
    first.connect(&endpoint)?;
    connected(&mut monitor).await;
    let second = Pair::new();
    second.connect(&endpoint)?;
    second.send("my turn").await?;
    refused(&mut monitor).await;
    first.close(Duration::ZERO).await;
    assert_eq!(one.recv().await?.first(), "my turn");
    one.send("welcome").await?;
    assert_eq!(second.recv().await?.first(), "welcome");
    Ok(())
}

async fn a_second_endpoint_waits_until_the_first_is_disconnected(endpoint: String) -> Result {
    let (first, second) = (Pair::new(), Pair::new());
    let mut monitor = second.monitor();
    let first_endpoint = first.bind(&endpoint).await?;
    let second_name = format!("memory://{}", crate::support::memory_name());
    let second_endpoint = second.bind(&second_name).await?;
    let one = Pair::new();
    one.connect(&first_endpoint)?;
    one.connect(&second_endpoint)?;
    disconnected(&mut monitor).await;
    one.send("to the first").await?;
    assert_eq!(first.recv().await?.first(), "to the first");
    assert!(one.disconnect(&first_endpoint));
    one.send("to the second").await?;
    assert_eq!(second.recv().await?.first(), "to the second");
    assert_accounted(&one.stats());
    Ok(())
}

/// PR03, PR04.
async fn a_message_waits_for_a_peer(endpoint: String) -> Result {
    let one = Pair::new();
    let endpoint = one.bind(&endpoint).await?;
    let mut sending = std::pin::pin!(one.send("anybody?"));
    assert!(sending.as_mut().now_or_never().is_none());
    assert!(matches!(one.try_send("?"), Err(TrySendError::Full(_))));
    let other = Pair::new();
    other.connect(&endpoint)?;
    sending.await?;
    assert_eq!(other.recv().await?.first(), "anybody?");
    Ok(())
}

/// PR04, PR05.
async fn what_is_queued_is_bounded_and_nothing_of_it_is_lost(endpoint: String) -> Result {
    let options = || {
        let options = Options::default().send_high_water_mark(10);
        options.receive_high_water_mark(10)
    };
    let (one, other) = (
        Pair::with_options(options())?,
        Pair::with_options(options())?,
    );
    let endpoint = one.bind(&endpoint).await?;
    other.connect(&endpoint)?;
    let mut accepted = 0_u32;
    loop {
        let mut body = accepted.to_be_bytes().to_vec();
        body.resize(100_000, 0);
        let sending = one.send(body);
        // A second is enough for all that the system takes.
        match tokio::time::timeout(Duration::from_secs(1), sending).await {
            Ok(sent) => sent?,
            Err(_) => break,
        }
        accepted += 1;
    }
    assert!(accepted >= 10);
    for number in 0..accepted {
        assert_eq!(other.recv().await?.first()[..4], number.to_be_bytes());
    }
    assert!(other.try_recv().is_err());
    assert_accounted(&one.stats());
    Ok(())
}

/// PR02, PR04.
async fn what_was_not_written_goes_out_after_a_reconnect(endpoint: String) -> Result {
    let one = Pair::new();
    let mut monitor = one.monitor();
    let other = Pair::new();
    let endpoint = other.bind(&endpoint).await?;
    one.connect(&endpoint)?;
    connected(&mut monitor).await;
    other.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    for text in ["one", "two"] {
        one.send(text).await?;
    }
    let other = Pair::new();
    other.bind(&endpoint).await?;
    assert_eq!(other.recv().await?.first(), "one");
    assert_eq!(other.recv().await?.first(), "two");
    Ok(())
}
