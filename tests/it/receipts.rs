//! Receipts: when a message that was accepted is written, or why it never will be.

use std::time::Duration;

use futures::{FutureExt, poll};
use pushsub::testing::Listening;
use pushsub::{
    Dealer, Endpoint, GivenUp, Message, Options, Overflow, Pair, Pub, Pull, Push, Receipt, Rep,
    Req, Router, SendOptions, Sent, Sub, TrySendError, XPub, XSub,
};
use tokio::time::timeout;

use crate::support::peer::{Peer, command};
use crate::support::{
    Result, assert_accounted, connected, in_virtual_time, memory_name, on_every_transport,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

on_every_transport! {
    pipeline_pair_and_dealer_tell_when_a_message_is_written;
    a_publication_is_written_when_every_copy_is;
    a_router_and_a_responder_tell_what_became_of_a_reply;
    what_is_queued_at_the_end_is_told_of;
}

fn quiet() -> Options {
    Options::default()
        .heartbeat_interval(None)
        .reconnect(MILLISECOND, 10 * MILLISECOND)
}

fn terms() -> SendOptions {
    SendOptions::default()
}

async fn reason(receipt: &mut Receipt) -> Result<GivenUp> {
    match receipt.written().await {
        Ok(written) => Err(format!("it was written: {written:?}").into()),
        Err(not_written) => Ok(not_written.reason),
    }
}

/// C9.
async fn pipeline_pair_and_dealer_tell_when_a_message_is_written(endpoint: String) -> Result {
    let pull = Pull::new();
    let bound = pull.bind(&*endpoint).await?;
    let push = Push::new();
    push.connect(&bound)?;
    let mut receipt = push.send_with("work", terms()).await?;
    assert_eq!(receipt.written().await?.copies, 1);
    assert_eq!(push.stats().sent.written, 1);
    assert_eq!(pull.recv().await?.first(), "work");
    pull.close(SECOND).await;

    let (one, other) = (Pair::new(), Pair::new());
    let bound = one.bind(&bound).await?;
    push.close(Duration::ZERO).await;
    other.connect(&bound)?;
    let mut receipt = other.send_with("ping", terms()).await?;
    assert_eq!(receipt.written().await?.copies, 1);
    assert_eq!(one.recv().await?.first(), "ping");
    Ok(())
}

/// C9.
async fn a_publication_is_written_when_every_copy_is(endpoint: String) -> Result {
    let publisher = XPub::new();
    let bound = publisher.bind(endpoint).await?;
    let mut receipt = publisher.send_with("nobody", terms()).await?;
    assert_eq!(receipt.written().await?.copies, 0);
    let subscribers = [Sub::new(), Sub::new()];
    for subscriber in &subscribers {
        subscriber.subscribe("news");
        subscriber.connect(&bound)?;
    }
    let xsub = XSub::new();
    xsub.connect(&bound)?;
    let mut receipt = xsub.send_with("upstream", terms()).await?;
    assert_eq!(receipt.written().await?.copies, 1);
    // Two subscribe to the same, and the second is no news: its copies tell of it.
    loop {
        let mut receipt = publisher.send_with("news", terms()).await?;
        if receipt.written().await?.copies == 2 {
            break;
        }
        let heard = publisher.recv().now_or_never();
        if heard.is_none() {
            tokio::task::yield_now().await;
        }
    }
    for subscriber in &subscribers {
        assert_eq!(subscriber.recv().await?.first(), "news");
    }
    assert_accounted(&publisher.stats());
    Ok(())
}

/// C9.
async fn a_router_and_a_responder_tell_what_became_of_a_reply(endpoint: String) -> Result {
    let router = Router::new();
    let bound = router.bind(&*endpoint).await?;
    let dealer = Dealer::new();
    dealer.connect(&bound)?;
    let mut receipt = dealer.send_with("question", terms()).await?;
    assert_eq!(receipt.written().await?.copies, 1);
    let question = router.recv().await?;
    let mut receipt = router.send_with(question, terms()).await?;
    assert_eq!(receipt.written().await?.copies, 1);
    let mut receipt = router.send_with(["who", "text"], terms()).await?;
    assert_eq!(reason(&mut receipt).await?, GivenUp::Unroutable);
    assert_accounted(&router.stats());
    dealer.close(Duration::ZERO).await;
    router.close(Duration::ZERO).await;

    let rep = Rep::new();
    let bound = rep.bind(&bound).await?;
    let req = Req::new();
    req.connect(&bound)?;
    let asked = async { Ok::<_, Box<dyn std::error::Error>>(req.request("question").await?) };
    let answered = async {
        let (_, responder) = rep.recv().await?;
        let mut receipt = responder.send_with("answer", terms())?;
        Ok(receipt.written().await?.copies)
    };
    let (reply, copies) = tokio::try_join!(asked, answered)?;
    assert_eq!((reply.first().as_ref(), copies), (&b"answer"[..], 1));
    Ok(())
}

/// C9: what goes with its queue, by `disconnect` and by `close`.
async fn what_is_queued_at_the_end_is_told_of(endpoint: String) -> Result {
    let pull = Pull::new();
    let bound = pull.bind(endpoint).await?;
    pull.close(Duration::ZERO).await;
    let push = Push::with_options(quiet())?;
    push.connect(&bound)?;
    let mut first = push.send_with("first", terms()).await?;
    drop(
        push.send_with("nobody asks for its receipt", terms())
            .await?,
    );
    assert!(push.disconnect(&bound));
    assert_eq!(reason(&mut first).await?, GivenUp::Discarded);
    push.connect(&bound)?;
    let mut second = push.try_send_with("second", terms())?;
    let closed = push.clone().close(Duration::ZERO).await;
    assert_eq!(closed.unsent, 1);
    assert_eq!(reason(&mut second).await?, GivenUp::Closed);
    assert_accounted(&push.stats());
    let refused = push.try_send_with("third", terms());
    assert!(matches!(refused, Err(TrySendError::Refused(_))));
    Ok(())
}

/// A connected PUSH and the PULL at its other end, played by the test.
async fn push_and_peer(options: Options) -> Result<(Push, Listening, Peer)> {
    let name = memory_name();
    let mut listening = Listening::bind(&name)?;
    let push = Push::with_options(options)?;
    let mut monitor = push.monitor();
    push.connect(format!("memory://{name}"))?;
    let peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
    connected(&mut monitor).await;
    Ok((push, listening, peer))
}

/// C9: accepted at once, written when the peer reads.
#[test]
fn a_peer_that_does_not_read_keeps_a_receipt_waiting() -> Result {
    in_virtual_time(async {
        let (push, _listening, mut peer) = push_and_peer(quiet()).await?;
        let mut large = push.try_send_with(vec![1; 200_000], terms())?;
        let mut small = push.try_send_with("small", terms())?;
        for receipt in [&mut large, &mut small] {
            let waiting = timeout(60 * SECOND, receipt.written());
            assert!(waiting.await.is_err(), "nothing has been read");
        }
        assert_eq!(peer.frame().await?.1.len(), 200_000);
        assert_eq!(large.written().await?.copies, 1);
        assert_eq!(small.written().await?.copies, 1);
        // It says so as often as it is asked.
        assert_eq!(small.written().await?.copies, 1);
        assert_eq!(peer.frame().await?.1, b"small");
        Ok(())
    })
}

/// C9: the one that was begun dies, the others go out on the next connection.
#[test]
fn after_a_cut_the_begun_one_is_cut_and_the_others_are_written_later() -> Result {
    in_virtual_time(async {
        let (push, mut listening, mut peer) = push_and_peer(quiet()).await?;
        let mut begun = push.try_send_with(vec![1; 200_000], terms())?;
        let mut next = push.try_send_with("next", terms())?;
        peer.read(100).await?;
        assert!(poll!(Box::pin(next.written())).is_pending());
        drop(peer);
        assert_eq!(reason(&mut begun).await?, GivenUp::Cut);
        assert!(poll!(Box::pin(next.written())).is_pending());
        let mut peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
        assert_eq!(peer.frame().await?.1, b"next");
        assert_eq!(next.written().await?.copies, 1);
        assert_accounted(&push.stats());
        Ok(())
    })
}

/// C9: each reason of a fan-out is counted.
#[test]
fn a_publication_tells_how_many_copies_went_where() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let options = quiet().send_high_water_mark(1);
        let publisher = Pub::with_options(options)?;
        publisher.bind(format!("memory://{name}")).await?;
        let mut monitor = publisher.monitor();
        let mut peers = Vec::new();
        for _ in 0..2 {
            let mut peer = Peer::shaken(pushsub::testing::dial(&name)?, "SUB", 1).await?;
            connected(&mut monitor).await;
            peer.write(&command(b"\x09SUBSCRIBE")).await?;
            peers.push(peer);
        }
        let large = Message::from(vec![1; 100_000]);
        while publisher.stats().sent.queued < 2 {
            publisher.send(large.clone()).await?;
            tokio::task::yield_now().await;
            if publisher.stats().sent.queued == 1 {
                peers[0].frame().now_or_never();
            }
        }
        // One reads what it has, the other stays full.
        while publisher.stats().peers[0].sent.queued > 0 {
            peers[0].frame().await?;
        }
        let mut receipt = publisher.send_with("m", terms()).await?;
        let Err(outcome) = receipt.written().await else {
            return Err("one of them was full".into());
        };
        assert_eq!((outcome.written, outcome.dropped.full), (1, 1));
        assert_eq!(outcome.reason, GivenUp::Full);
        let text = "1 of 2 copies were not written: the peer's pipe was full";
        assert_eq!(outcome.to_string(), text);
        Ok(())
    })
}

#[test]
fn a_message_that_a_newer_one_replaces_is_told_of() -> Result {
    in_virtual_time(async {
        let push = Push::with_options(quiet().conflate(true))?;
        push.connect(format!("memory://{}", memory_name()))?;
        let mut old = push.send_with("old", terms()).await?;
        let _new = push.send_with("new", terms()).await?;
        assert_eq!(reason(&mut old).await?, GivenUp::Replaced);
        Ok(())
    })
}

/// The runtime of the socket ends, and with it all that could write.
#[test]
fn the_end_of_the_last_handle_ends_every_receipt() -> Result {
    let push = Push::with_options(quiet())?;
    let mut receipt = None;
    in_virtual_time(async {
        push.connect(format!("memory://{}", memory_name()))?;
        receipt = Some(push.send_with("never", terms()).await?);
        Ok(())
    })?;
    drop(push);
    let mut receipt = receipt.ok_or("it was sent")?;
    in_virtual_time(async {
        assert_eq!(reason(&mut receipt).await?, GivenUp::Closed);
        Ok(())
    })
}

macro_rules! walk {
    ($socket:ident, $peer:literal, $random:ident) => {{
        let mut random = $random;
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        let endpoint: Endpoint = format!("memory://{name}").parse()?;
        $socket.connect(&endpoint)?;
        let (mut peer, mut receipts) = (None, Vec::new());
        for _ in 0..150 {
            let options = match random.bool() {
                true => terms().time_to_live(random.u32(1..30) * MILLISECOND),
                false => terms(),
            };
            match random.u8(0..10) {
                0..=4 => {
                    let size = random.usize(0..40_000);
                    let sent = $socket.try_send_with(vec![1; size], options);
                    receipts.extend(sent.ok());
                }
                5 | 6 => tokio::time::advance(random.u32(0..8) * MILLISECOND).await,
                7 => drop(peer.take()),
                8 if peer.is_none() => {
                    let wire = timeout(20 * MILLISECOND, listening.accept()).await;
                    if let Ok(wire) = wire {
                        let mut shaken = Peer::shaken(wire?, $peer, 1).await?;
                        shaken.write(&command(b"\x09SUBSCRIBE")).await?;
                        peer = Some(shaken);
                    }
                }
                8 if random.u8(0..8) == 0 => {
                    $socket.disconnect(&endpoint);
                    $socket.connect(&endpoint)?;
                    peer = None;
                }
                _ => {
                    let octets = random.usize(0..60_000);
                    if let Some(peer) = &mut peer {
                        let _ = timeout(MILLISECOND, peer.read(octets)).await;
                    }
                }
            }
            for _ in 0..random.u8(0..9) {
                tokio::task::yield_now().await;
            }
            assert_accounted(&$socket.stats());
        }
        $socket.clone().close(random.u32(0..20) * MILLISECOND).await;
        assert_agreed(&$socket.stats().sent, receipts).await?;
        assert_accounted(&$socket.stats());
    }};
}

/// C3, C5, C9: cuts, disconnects, all that gives messages up, and an end in the midst of it.
/// What the receipts say adds up to what the socket has counted.
#[test]
fn whatever_happens_every_receipt_ends_and_agrees_with_the_counters() -> Result {
    for seed in 0..60 {
        let conflate = seed % 3 == 1;
        let options = quiet().send_high_water_mark(20).conflate(conflate);
        let overflow = [Overflow::DropOldest, Overflow::Disconnect][seed as usize / 3 % 2];
        let random = fastrand::Rng::with_seed(seed);
        in_virtual_time(async move {
            if seed % 3 == 2 {
                let publisher = Pub::with_options(options.overflow(overflow))?;
                walk!(publisher, "SUB", random);
            } else {
                let push = Push::with_options(options)?;
                walk!(push, "PULL", random);
            }
            Ok(())
        })?;
    }
    Ok(())
}

async fn assert_agreed(sent: &Sent, receipts: Vec<Receipt>) -> Result {
    let mut told = Sent::default();
    for mut receipt in receipts {
        match timeout(SECOND, receipt.written()).await? {
            Ok(written) => told.written += written.copies,
            Err(not_written) => {
                told.written += not_written.written;
                told.expired += not_written.expired;
                told.dropped.full += not_written.dropped.full;
                told.dropped.replaced += not_written.dropped.replaced;
                told.dropped.cut += not_written.dropped.cut;
                told.dropped.discarded += not_written.dropped.discarded;
            }
        }
    }
    told.accepted = told.written + told.expired + told.dropped.total();
    assert_eq!(told, *sent);
    Ok(())
}
