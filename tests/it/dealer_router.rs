//! DEALER and ROUTER.

use std::time::Duration;

use pushsub::{
    Dealer, Event, Identity, LinkError, Message, Options, Router, SendError, TrySendError,
};

use crate::support::{Result, assert_accounted, connected, event, on_every_transport};

on_every_transport! {
    a_reply_finds_the_dealer_that_asked;
    a_dealer_is_known_by_the_name_it_brings;
    a_second_peer_of_the_same_name_is_refused_until_the_first_is_gone;
    a_message_for_nobody_is_dropped_and_counted;
    a_mandatory_router_says_whom_it_cannot_reach;
    dealers_talk_to_each_other;
}

fn named(name: &'static str) -> Options {
    Options::default().identity(Identity::new(name).expect("a good name"))
}

/// RT08, RT09, DL10.
async fn a_reply_finds_the_dealer_that_asked(endpoint: String) -> Result {
    let router = Router::new();
    let endpoint = router.bind(&endpoint).await?;
    let dealers: Vec<Dealer> = (0..5).map(|_| Dealer::new()).collect();
    for (number, dealer) in dealers.iter().enumerate() {
        dealer.connect(&endpoint)?;
        for question in 0..20 {
            dealer.send(format!("{number} asks {question}")).await?;
        }
    }
    for _ in 0..100 {
        let message = router.recv().await?;
        assert_eq!(message.first()[0], 0, "a drawn name begins with zero");
        router.send(message).await?;
    }
    for (number, dealer) in dealers.iter().enumerate() {
        for question in 0..20 {
            let expected = format!("{number} asks {question}");
            assert_eq!(dealer.recv().await?.first(), expected.as_bytes());
        }
        assert_accounted(&dealer.stats());
    }
    assert_accounted(&router.stats());
    Ok(())
}

/// RT05.
async fn a_dealer_is_known_by_the_name_it_brings(endpoint: String) -> Result {
    let router = Router::new();
    let mut monitor = router.monitor();
    let endpoint = router.bind(&endpoint).await?;
    let dealer = Dealer::with_options(named("ann"))?;
    dealer.connect(&endpoint)?;
    connected(&mut monitor).await;
    let mut message = Message::from("ann");
    message.push_back("hello");
    router.send(message).await?;
    assert_eq!(dealer.recv().await?.first(), "hello");
    dealer.close(Duration::ZERO).await;
    event(
        &mut monitor,
        |event| matches!(event, Event::Disconnected { peer, .. } if peer.identity == "ann"),
    )
    .await;
    Ok(())
}

/// BI-19a, RT04.
async fn a_second_peer_of_the_same_name_is_refused_until_the_first_is_gone(
    endpoint: String,
) -> Result {
    let router = Router::new();
    let mut monitor = router.monitor();
    let endpoint = router.bind(&endpoint).await?;
    let first = Dealer::with_options(named("ann"))?;
    first.connect(&endpoint)?;
    connected(&mut monitor).await;
    let second = Dealer::with_options(named("ann"))?;
    second.connect(&endpoint)?;
    event(&mut monitor, |event| {
        matches!(
            event,
            Event::Refused {
                reason: LinkError::DuplicateIdentity,
                ..
            }
        )
    })
    .await;
    first.send("first").await?;
    assert_eq!(&router.recv().await?[1], "first");
    first.close(Duration::ZERO).await;
    second.send("second").await?;
    assert_eq!(&router.recv().await?[1], "second");
    Ok(())
}

/// RT11, RT12, BI-19.
async fn a_message_for_nobody_is_dropped_and_counted(endpoint: String) -> Result {
    let router = Router::new();
    router.bind(&endpoint).await?;
    let mut message = Message::from("nobody");
    message.push_back("hello");
    for _ in 0..1_000 {
        router.send(message.clone()).await?;
    }
    router.send("an address without a letter").await?;
    let stats = router.stats();
    assert_accounted(&stats);
    assert_eq!(stats.sent.dropped.unroutable, 1_001);
    Ok(())
}

/// RT11, BI-19.
async fn a_mandatory_router_says_whom_it_cannot_reach(endpoint: String) -> Result {
    let options = Options::default().mandatory(true).send_high_water_mark(5);
    let router = Router::with_options(options)?;
    let mut monitor = router.monitor();
    let endpoint = router.bind(&endpoint).await?;
    let mut message = Message::from("ann");
    message.push_back(vec![0; 100_000]);
    assert!(matches!(
        router.send(message.clone()).await,
        Err(SendError::Unroutable(_))
    ));
    let dealer = Dealer::with_options(named("ann").receive_high_water_mark(5))?;
    dealer.connect(&endpoint)?;
    connected(&mut monitor).await;
    let full = loop {
        match router.try_send(message.clone()) {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(
        full,
        TrySendError::Refused(SendError::PeerFull(_))
    ));
    assert_eq!(dealer.recv().await?.size(), 100_000);
    Ok(())
}

async fn dealers_talk_to_each_other(endpoint: String) -> Result {
    let (one, two) = (Dealer::new(), Dealer::new());
    let endpoint = one.bind(&endpoint).await?;
    two.connect(&endpoint)?;
    two.send("ping").await?;
    assert_eq!(one.recv().await?.first(), "ping");
    one.send("pong").await?;
    assert_eq!(two.recv().await?.first(), "pong");
    Ok(())
}
