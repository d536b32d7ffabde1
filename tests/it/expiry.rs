//! Messages that are worth nothing after a time: given up in every queue, and counted.

use std::time::Duration;

use futures::poll;
use pushsub::testing::Listening;
use pushsub::{
    Dealer, GivenUp, Identity, Message, Options, OptionsError, Pull, Push, Receipt, Req, Router,
    SendOptions, XPub,
};
use tokio::time::{Instant, advance};

use crate::support::peer::{Peer, command, frame};
use crate::support::{
    Result, assert_accounted, connected, in_virtual_time, memory_name, on_every_transport,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

on_every_transport! {
    what_waits_for_a_peer_expires_by_its_own_time;
    who_waits_to_send_is_let_in_when_others_expire;
    what_nobody_receives_expires_and_makes_room;
}

/// Sends that reconnect quickly, so that a test need not wait for it.
fn prompt() -> Options {
    Options::default()
        .heartbeat_interval(None)
        .reconnect(MILLISECOND, 10 * MILLISECOND)
}

fn lasting(limit: Duration) -> SendOptions {
    SendOptions::default().time_to_live(limit)
}

/// Waits for the end of a message that is never written.
async fn given_up(receipt: &mut Receipt) -> Result<GivenUp> {
    match receipt.written().await {
        Ok(written) => Err(format!("it was written: {written:?}").into()),
        Err(not_written) => Ok(not_written.reason),
    }
}

/// An endpoint where nobody listens at present.
async fn deserted(endpoint: String) -> Result<pushsub::Endpoint> {
    let pull = Pull::new();
    let bound = pull.bind(endpoint).await?;
    pull.close(Duration::ZERO).await;
    Ok(bound)
}

/// C3, C5.
async fn what_waits_for_a_peer_expires_by_its_own_time(endpoint: String) -> Result {
    let endpoint = deserted(endpoint).await?;
    let push = Push::with_options(prompt().time_to_live(Some(600 * SECOND)))?;
    push.connect(&endpoint)?;
    push.send("first").await?;
    let mut short = push.send_with("short", lasting(20 * MILLISECOND)).await?;
    push.send("middle").await?;
    let mut shorter = push.send_with("shorter", lasting(MILLISECOND)).await?;
    let long = lasting(500 * SECOND);
    let mut last = push.send_with("last", long).await?;
    assert_eq!(given_up(&mut shorter).await?, GivenUp::Expired);
    assert_eq!(given_up(&mut short).await?, GivenUp::Expired);
    assert_eq!(push.stats().sent.expired, 2);
    assert_eq!(push.stats().sent.queued, 3);

    let pull = Pull::new();
    pull.bind(&endpoint).await?;
    for text in ["first", "middle", "last"] {
        assert_eq!(pull.recv().await?.first(), text);
    }
    assert_eq!(last.written().await?.copies, 1);
    let stats = push.stats();
    assert_accounted(&stats);
    assert_eq!((stats.sent.written, stats.sent.expired), (3, 2));
    Ok(())
}

/// C3: nobody reads, and no peer is there.
async fn who_waits_to_send_is_let_in_when_others_expire(endpoint: String) -> Result {
    let endpoint = deserted(endpoint).await?;
    let options = prompt().send_high_water_mark(2);
    let push = Push::with_options(options.time_to_live(Some(2 * MILLISECOND)))?;
    push.connect(&endpoint)?;
    for number in 0..10 {
        push.send(vec![number]).await?;
    }
    let mut last = push.send_with("last", SendOptions::default()).await?;
    assert_eq!(given_up(&mut last).await?, GivenUp::Expired);
    let stats = push.stats();
    assert_accounted(&stats);
    assert_eq!((stats.sent.expired, stats.sent.queued), (11, 0));
    Ok(())
}

/// C3, C5: the receiving queue is emptied though nobody receives, and the link read on.
async fn what_nobody_receives_expires_and_makes_room(endpoint: String) -> Result {
    const COUNT: u64 = 60;
    let options = Options::default()
        .receive_high_water_mark(2)
        .time_to_live(Some(3 * MILLISECOND));
    let pull = Pull::with_options(options)?;
    let endpoint = pull.bind(endpoint).await?;
    let push = Push::with_options(prompt().send_high_water_mark(2))?;
    push.connect(&endpoint)?;
    // More than the buffers of any transport hold: only what is read lets it go on.
    let payload = Message::from(vec![7; 400_000]);
    for _ in 1..COUNT {
        push.send(payload.clone()).await?;
    }
    let last = push.send_with(payload, SendOptions::default());
    last.await?.written().await?;
    let stats = pull.stats();
    assert_accounted(&stats);
    assert_eq!(stats.received.delivered, 0);
    assert!(stats.received.expired > COUNT / 4, "{stats:?}");
    assert_accounted(&push.stats());
    assert_eq!(push.stats().sent.expired, 0);
    Ok(())
}

/// C3: ten messages a second for ten seconds, kept for four.
async fn a_late_receiver_gets_what_is_young_enough(endpoint: String, patient: bool) -> Result {
    const KEPT: Duration = Duration::from_secs(4);
    let kept = prompt().time_to_live(Some(KEPT));
    let (push, pull) = (Push::with_options(kept.clone())?, Pull::with_options(kept)?);
    if patient {
        // They wait at the receiver, else at the sender.
        pull.bind(&*endpoint).await?;
    }
    let mut sent = Vec::new();
    push.connect(&*endpoint)?;
    for number in 0..100_u8 {
        push.send(vec![number]).await?;
        sent.push(Instant::now());
        for _ in 0..10 {
            advance(10 * MILLISECOND).await;
        }
    }
    if !patient {
        pull.bind(&*endpoint).await?;
    }
    let mut received = Vec::new();
    loop {
        let message = pull.recv().await?;
        let number = message.first()[0];
        let age = sent[usize::from(number)].elapsed();
        assert!(age <= KEPT + 10 * MILLISECOND, "{number} is {age:?} old");
        received.push(number);
        if number == 99 {
            break;
        }
    }
    assert!(received.iter().copied().eq(100 - received.len() as u8..100));
    assert!((39..=40).contains(&received.len()), "{received:?}");
    let (sent, received) = (push.stats().sent, pull.stats().received);
    assert_accounted(&push.stats());
    assert_accounted(&pull.stats());
    assert_eq!((sent.queued, received.queued), (0, 0));
    assert_eq!(sent.expired + received.expired + received.delivered, 100);
    assert_eq!(received.expired > 0, patient);
    Ok(())
}

/// C3.
#[test]
fn nothing_older_than_four_seconds_is_delivered() -> Result {
    for scheme in ["memory", "inproc"] {
        for patient in [false, true] {
            let endpoint = format!("{scheme}://{}", memory_name());
            in_virtual_time(a_late_receiver_gets_what_is_young_enough(endpoint, patient))?;
        }
    }
    Ok(())
}

/// C3: the peer reads nothing while the writer has all of them.
#[test]
fn what_a_writer_has_taken_and_not_begun_expires_too() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let push = Push::with_options(prompt())?;
        let mut monitor = push.monitor();
        push.connect(format!("memory://{name}"))?;
        let short = lasting(50 * MILLISECOND);
        let mut begun = push.send_with(vec![b'a'; 100_000], short).await?;
        let mut first = push.send_with("b", short).await?;
        push.send("c").await?;
        let mut second = push.send_with(vec![b'd'; 9_000], short).await?;
        push.send("e").await?;
        let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        connected(&mut monitor).await;
        assert_eq!(given_up(&mut first).await?, GivenUp::Expired);
        assert_eq!(given_up(&mut second).await?, GivenUp::Expired);
        assert!(poll!(Box::pin(begun.written())).is_pending());
        assert_accounted(&push.stats());
        assert_eq!(push.stats().sent.queued, 3);
        for expected in [&[b'a'; 100_000][..], b"c", b"e"] {
            assert!(peer.frame().await?.1 == expected);
        }
        assert_eq!(begun.written().await?.copies, 1);
        push.send("f").await?;
        assert_eq!(peer.frame().await?.1, b"f");
        let stats = push.stats();
        assert_accounted(&stats);
        assert_eq!((stats.sent.written, stats.sent.expired), (4, 2));
        Ok(())
    })
}

/// C3: over inproc, what the other socket has no room for.
#[test]
fn what_the_other_socket_has_no_room_for_expires_at_the_sender() -> Result {
    in_virtual_time(async {
        let endpoint = format!("inproc://{}", memory_name());
        let pull = Pull::with_options(Options::default().receive_high_water_mark(1))?;
        pull.bind(&*endpoint).await?;
        let push = Push::with_options(prompt())?;
        push.connect(&*endpoint)?;
        let short = lasting(50 * MILLISECOND);
        let mut first = push.send_with("a", short).await?;
        first.written().await?;
        let mut second = push.send_with("b", short).await?;
        let mut third = push.send_with("c", lasting(SECOND)).await?;
        assert_eq!(given_up(&mut second).await?, GivenUp::Expired);
        assert_accounted(&push.stats());
        assert_eq!(pull.recv().await?.first(), "a");
        assert_eq!(pull.recv().await?.first(), "c");
        assert_eq!(third.written().await?.copies, 1);
        assert_eq!(push.stats().sent.expired, 1);
        Ok(())
    })
}

/// A subscription is no message of a peer: an XPUB that looks late still learns of it.
#[test]
fn what_an_xpub_shows_of_subscriptions_does_not_expire() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let xpub = XPub::with_options(prompt().time_to_live(Some(SECOND)))?;
        xpub.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(pushsub::testing::dial(&name)?, "XSUB", 1).await?;
        peer.write(&command(b"\x09SUBSCRIBEtopic")).await?;
        peer.write(&frame(false, b"message")).await?;
        while xpub.stats().received.received < 2 {
            tokio::task::yield_now().await;
        }
        advance(2 * SECOND).await;
        assert_eq!(xpub.recv().await?.first(), "\x01topic");
        let stats = xpub.stats();
        assert_accounted(&stats);
        assert_eq!((stats.received.expired, stats.received.queued), (1, 0));
        Ok(())
    })
}

#[test]
fn a_req_is_not_made_with_a_time_to_live() {
    let refused = Req::with_options(Options::default().time_to_live(Some(SECOND)));
    assert!(matches!(
        refused.map(drop),
        Err(OptionsError::NotForType {
            option: "time_to_live",
            ..
        })
    ));
}

/// C3: a timed message that no pipe took, before there was any, is no reason to
/// look at no clock later.
#[test]
fn what_expires_is_given_up_though_the_first_timed_message_went_nowhere() -> Result {
    in_virtual_time(async {
        let router = Router::with_options(prompt().time_to_live(Some(SECOND)))?;
        router.try_send(["nobody", "lost"])?;
        let nowhere = format!("memory://{}", memory_name());
        router.connect_as(nowhere, &Identity::new("peer")?)?;
        router.try_send(["peer", "late"])?;
        let mut sent = router.stats().sent;
        assert_eq!((sent.queued, sent.expired), (1, 0));
        for _ in 0..20 {
            advance(SECOND / 10).await;
            sent = router.stats().sent;
        }
        assert_eq!((sent.queued, sent.expired), (0, 1));
        Ok(())
    })
}

/// C3: what the socket says itself stays while what stood on both sides of it expires, and is
/// still of the connection that it came by.
#[test]
fn what_stays_when_others_expire_is_of_the_connection_that_it_came_by() -> Result {
    in_virtual_time(async {
        let options = prompt().time_to_live(Some(20 * MILLISECOND));
        let dealer = Dealer::with_options(options.hiccup_message("again"))?;
        let mut monitor = dealer.monitor();
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        dealer.connect(format!("memory://{name}").as_str())?;
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let mut peer = Peer::shaken(listening.accept().await?, "ROUTER", 1).await?;
            connected(&mut monitor).await;
            numbers.push(dealer.peers()[0].connection);
            peer.write(&frame(false, b"late")).await?;
            while dealer.stats().received.queued < 2 * numbers.len() as u64 - 1 {
                tokio::task::yield_now().await;
            }
            if numbers.len() == 2 {
                // Both expire together: the first had been given no time to.
                advance(30 * MILLISECOND).await;
                while dealer.stats().received.expired < 2 {
                    tokio::task::yield_now().await;
                }
                peer.write(&frame(false, b"new")).await?;
                for (number, text) in [(0, "again"), (1, "new")] {
                    let (message, from) = dealer.recv_from().await?;
                    assert_eq!(message.first(), text);
                    assert_eq!(from.connection, numbers[number], "{text}");
                }
            }
        }
        Ok(())
    })
}
