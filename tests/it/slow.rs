//! Slow consumers: what they miss is counted, what waits for them is bounded, and others do not wait.

use std::time::Duration;

use pushsub::{
    Context, Dealer, Message, Options, PeerStats, Pub, Pull, Push, RecvError, Router, Stats, Sub,
    TrySendError,
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::support::{Result, connected, in_virtual_time, memory_name};

/// Messages in each millisecond, and the time between two that a slow one receives.
const RATE: u32 = 20;
const SLOW: Duration = Duration::from_millis(100);

/// Messages of a test: five seconds of them.
const MESSAGES: u32 = 100_000;

/// After so long without one, no message is on its way.
const SILENCE: Duration = Duration::from_secs(10);

fn numbered(number: u32) -> Message {
    let mut octets = number.to_be_bytes().to_vec();
    octets.resize(64, 7);
    octets.into()
}

/// The numbers of all that comes; one in a tenth of a second while `slow` says so.
async fn numbers(
    receive: impl AsyncFn() -> std::result::Result<Message, RecvError>,
    slow: impl Fn() -> bool,
) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let mut tick = interval(SLOW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Ok(message) = timeout(SILENCE, receive()).await {
        let message = message?;
        let payload = message.frames().last().ok_or("there is a frame")?;
        numbers.push(u32::from_be_bytes(payload[..4].try_into()?));
        if slow() {
            tick.tick().await;
        }
    }
    Ok(numbers)
}

/// Sends twenty in each millisecond, as far as the socket lets it.
async fn send_all(send: impl AsyncFn(Message) -> Result) -> Result {
    let mut tick = interval(Duration::from_millis(1));
    for number in 0..MESSAGES {
        if number % RATE == 0 {
            tick.tick().await;
        }
        send(numbered(number)).await?;
    }
    Ok(())
}

/// What became of what was sent to the peer that missed something, and to the one that did not.
fn by_speed(stats: &Stats) -> (&PeerStats, &PeerStats) {
    let (one, other) = (&stats.peers[0], &stats.peers[1]);
    if one.sent.dropped.full > 0 {
        (one, other)
    } else {
        (other, one)
    }
}

/// FT-22.
#[test]
fn a_slow_subscriber_misses_what_is_counted_and_others_miss_nothing() -> Result {
    in_virtual_time(async {
        let context = Context::new();
        let publisher = Pub::with_options(Options::default().context(&context))?;
        let mut monitor = publisher.monitor();
        let endpoint = publisher
            .bind(format!("memory://{}", memory_name()))
            .await?;
        let (slow, fast) = (Sub::new(), Sub::new());
        for subscriber in [&slow, &fast] {
            subscriber.subscribe("");
            subscriber.connect(&endpoint)?;
            connected(&mut monitor).await;
        }
        // Both have subscribed when both have something.
        while slow.try_recv().is_err() | fast.try_recv().is_err() {
            publisher.send(numbered(0)).await?;
            tokio::task::yield_now().await;
        }
        while slow.try_recv().is_ok() | fast.try_recv().is_ok() {}
        let before = publisher.stats();
        let publishing = async {
            send_all(async |message| Ok(publisher.send(message).await?)).await?;
            Ok::<_, Box<dyn std::error::Error>>((publisher.stats(), context.used()))
        };
        let over =
            || publisher.stats().sent.accepted == before.sent.accepted + u64::from(2 * MESSAGES);
        let (during, missed, all) = tokio::join!(
            publishing,
            numbers(async || slow.recv().await, || !over()),
            numbers(async || fast.recv().await, || false),
        );
        let ((during, used), missed, all) = (during?, missed?, all?);
        assert!(
            all.into_iter().eq(0..MESSAGES),
            "the fast one missed something"
        );
        assert!(missed.is_sorted_by(|one, next| one < next));
        let waiting = by_speed(&during).0.sent.queued;
        assert!(
            (1..=1_000).contains(&waiting),
            "{waiting} wait for the slow one"
        );
        assert!((1..=256 << 10).contains(&used), "{used} octets");
        let after = publisher.stats();
        let (sent, _) = by_speed(&after);
        let delivered = missed.len() as u64;
        assert_eq!(sent.sent.dropped.total(), u64::from(MESSAGES) - delivered);
        assert_eq!(after.sent.queued, 0);
        // What comes next shows that something is missing before it.
        publisher.send(numbered(MESSAGES)).await?;
        assert_eq!(slow.recv().await?, numbered(MESSAGES));
        assert!(missed.last().is_some_and(|last| last + 1 < MESSAGES));
        Ok(())
    })
}

macro_rules! passes_over_a_slow_one {
    ($sender:ident, $receiver:ident) => {
        in_virtual_time(async {
            let sender = $sender::new();
            let (slow, fast) = ($receiver::new(), $receiver::new());
            for receiver in [&slow, &fast] {
                let mut monitor = receiver.monitor();
                sender.connect(receiver.bind(format!("memory://{}", memory_name())).await?)?;
                connected(&mut monitor).await;
            }
            let over = || sender.stats().sent.accepted == u64::from(MESSAGES);
            let (sent, few, many) = tokio::join!(
                send_all(async |message| Ok(sender.send(message).await?)),
                numbers(async || slow.recv().await, || !over()),
                numbers(async || fast.recv().await, || false),
            );
            sent?;
            let (few, many) = (few?, many?);
            // Its queues were filled once; all else went to the other.
            assert!(
                (100..10_000).contains(&few.len()),
                "{} to the slow one",
                few.len()
            );
            let mut all = [few, many].concat();
            all.sort_unstable();
            assert!(
                all.into_iter().eq(0..MESSAGES),
                "something is lost or doubled"
            );
            assert_eq!(sender.stats().sent.dropped.total(), 0);
            Ok(())
        })
    };
}

/// FT-23.
#[test]
fn a_slow_pull_is_passed_over_and_nothing_is_dropped() -> Result {
    passes_over_a_slow_one!(Push, Pull)
}

/// FT-23: the same for the peer of a DEALER.
#[test]
fn a_slow_router_is_passed_over_and_nothing_is_dropped() -> Result {
    passes_over_a_slow_one!(Dealer, Router)
}

/// FT-23: where nobody else is there the sender waits, at the speed of the slow one.
#[test]
fn a_sender_goes_at_the_speed_of_its_only_receiver() -> Result {
    in_virtual_time(async {
        const ROOM: usize = 10;
        let few = Options::default().send_high_water_mark(ROOM);
        let push = Push::with_options(few.receive_high_water_mark(ROOM))?;
        let pull = Pull::with_options(Options::default().receive_high_water_mark(ROOM))?;
        push.connect(pull.bind(format!("memory://{}", memory_name())).await?)?;
        let (mut accepted, mut received) = (0_u32, 0);
        let mut tick = interval(SLOW);
        let large = Message::from(vec![7; 64 << 10]);
        for _ in 0..100 {
            tick.tick().await;
            // What does not fit is given back.
            let refused = loop {
                match push.try_send(large.clone()) {
                    Ok(()) => accepted += 1,
                    Err(refused) => break refused,
                }
                tokio::task::yield_now().await;
            };
            assert!(matches!(&refused, TrySendError::Full(message) if *message == large));
            pull.recv().await?;
            received += 1;
        }
        // Both marks, and what the wire and its ends hold.
        let under_way = accepted - received;
        assert!(under_way <= 2 * ROOM as u32 + 6, "{under_way} under way");
        assert_eq!(push.stats().sent.dropped.total(), 0);
        Ok(())
    })
}
