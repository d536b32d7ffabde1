//! What is peculiar to inproc: nothing is encoded, and two sockets hold what two sockets may.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use pushsub::{
    BindError, Dealer, Event, Identity, LinkError, Message, Options, Pub, Pull, Push, Router,
    SendOptions, Sub, TrySendError, XPub,
};
use tokio::runtime::Runtime;

use crate::support::{
    Result, assert_accounted, connected, disconnected, event, in_real_time, in_virtual_time,
    memory_name,
};

fn endpoint() -> String {
    format!("inproc://{}", memory_name())
}

/// B3.
#[test]
fn a_payload_arrives_without_a_copy() -> Result {
    in_virtual_time(async {
        let pull = Pull::new();
        let endpoint = pull.bind(endpoint()).await?;
        let push = Push::new();
        push.connect(&endpoint)?;
        for size in [1, 64, 1 << 20] {
            let payload = Bytes::from(vec![7; size]);
            let mut message = Message::from("head");
            message.push_back(payload.clone());
            push.send(message).await?;
            assert_eq!(pull.recv().await?[1].as_ptr(), payload.as_ptr());
        }
        Ok(())
    })
}

/// B3: a fan-out shares it as well.
#[test]
fn subscribers_share_one_payload() -> Result {
    in_virtual_time(async {
        let publisher = XPub::new();
        let endpoint = publisher.bind(endpoint()).await?;
        let subscribers = [Sub::new(), Sub::new()];
        for (subscriber, topic) in subscribers.iter().zip(["a", "ab"]) {
            subscriber.subscribe(topic);
            subscriber.connect(&endpoint)?;
            publisher.recv().await?;
        }
        let payload = Bytes::from(b"abc".to_vec());
        publisher.send(payload.clone()).await?;
        for subscriber in &subscribers {
            assert_eq!(subscriber.recv().await?.first().as_ptr(), payload.as_ptr());
        }
        subscribers[1].unsubscribe("ab");
        assert_eq!(publisher.recv().await?.first(), "\0ab");
        publisher.send("abd").await?;
        assert_eq!(subscribers[0].recv().await?.first(), "abd");
        assert!(subscribers[1].try_recv().is_err());
        Ok(())
    })
}

/// C1: the bound of a connection is the sum of both marks, to the message.
#[test]
fn what_two_sockets_hold_is_the_sum_of_their_marks() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(Options::default().receive_high_water_mark(5))?;
        let endpoint = pull.bind(endpoint()).await?;
        let push = Push::with_options(Options::default().send_high_water_mark(7))?;
        let mut monitor = push.monitor();
        push.connect(&endpoint)?;
        connected(&mut monitor).await;
        let mut accepted = 0;
        // Between two tries the drivers have their turns.
        while push.try_send("message").is_ok() {
            accepted += 1;
            tokio::task::yield_now().await;
        }
        assert_eq!(accepted, 5 + 7);
        assert_eq!(push.stats().sent.written, 5);
        assert_eq!(push.stats().sent.queued, 7);
        for _ in 0..accepted {
            pull.recv().await?;
        }
        push.send("room again").await?;
        assert_eq!(pull.recv().await?.first(), "room again");
        assert_accounted(&push.stats());
        assert_accounted(&pull.stats());
        assert_eq!(push.stats().sent.written, pull.stats().received.received);
        Ok(())
    })
}

/// What waits for a socket that goes is kept for the next, and nothing comes twice.
#[test]
fn what_a_full_peer_had_no_room_for_survives_it() -> Result {
    in_virtual_time(async {
        let name = endpoint();
        let push = Push::with_options(Options::default().send_high_water_mark(100))?;
        let mut monitor = push.monitor();
        push.connect(&name)?;
        let small = || {
            Pull::with_options(Options::default().receive_high_water_mark(3))
                .expect("options that it heeds")
        };
        let first = small();
        first.bind(&name).await?;
        connected(&mut monitor).await;
        for number in 0..50_u8 {
            push.send(vec![number]).await?;
            tokio::task::yield_now().await;
        }
        assert_eq!(first.recv().await?.first(), &vec![0]);
        first.close(Duration::ZERO).await;
        disconnected(&mut monitor).await;
        let written = push.stats().sent.written;
        assert_eq!(push.stats().sent.queued, 50 - written);
        let second = Pull::new();
        second.bind(&name).await?;
        for number in written..50 {
            assert_eq!(second.recv().await?.first(), &vec![u8::try_from(number)?]);
        }
        assert_eq!(push.stats().sent.written, 50);
        assert_accounted(&push.stats());
        Ok(())
    })
}

/// B3: sockets do not mind which runtime the other one lives in, or whether it still does.
#[test]
fn sockets_of_two_runtimes_talk_until_one_runtime_is_gone() -> Result {
    let (one, other) = (Runtime::new()?, Runtime::new()?);
    let name = endpoint();
    let (pull, push) = (Pull::new(), Push::new());
    let mut monitor = pull.monitor();
    one.block_on(pull.bind(&name))?;
    {
        let _entered = other.enter();
        push.connect(&name)?;
    }
    let sending = other.spawn(async move {
        for number in 0..20_000_u32 {
            push.send(number.to_string()).await.expect("it is open");
        }
        push
    });
    one.block_on(async {
        for number in 0..20_000_u32 {
            let message = pull.recv().await?;
            assert_eq!(message.first(), &number.to_string());
        }
        connected(&mut monitor).await;
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    let push = one.block_on(sending)?;
    assert_accounted(&push.stats());
    other.shutdown_background();
    one.block_on(disconnected(&mut monitor));
    Ok(())
}

/// N08: the rules of the handshake hold without one.
#[test]
fn sockets_that_do_not_fit_are_not_joined() -> Result {
    in_virtual_time(async {
        let pull = Pull::new();
        let endpoint = pull.bind(endpoint()).await?;
        let publisher = Pub::new();
        let (mut here, mut there) = (pull.monitor(), publisher.monitor());
        publisher.connect(&endpoint)?;
        let is_handshake = |reason: &LinkError| matches!(reason, LinkError::Handshake(_));
        event(
            &mut here,
            |event| matches!(event, Event::Refused { reason, .. } if is_handshake(reason)),
        )
        .await;
        event(
            &mut there,
            |event| matches!(event, Event::Retrying { reason, .. } if is_handshake(reason)),
        )
        .await;
        Ok(())
    })
}

/// RT03, N10: the name that a DEALER brings is the one that a ROUTER knows it by.
#[test]
fn an_identity_is_known_and_is_nobody_elses() -> Result {
    in_virtual_time(async {
        let router = Router::with_options(Options::default().mandatory(true))?;
        let endpoint = router.bind(endpoint()).await?;
        let named = || Identity::new("worker").map(|name| Options::default().identity(name));
        let dealer = Dealer::with_options(named()?)?;
        dealer.connect(&endpoint)?;
        dealer.send("ready").await?;
        assert_eq!(router.recv().await?.first(), "worker");
        let mut monitor = router.monitor();
        let twin = Dealer::with_options(named()?)?;
        twin.connect(&endpoint)?;
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
        let mut message = Message::from("worker");
        message.push_back("work");
        router.send(message).await?;
        assert_eq!(dealer.recv().await?.first(), "work");
        Ok(())
    })
}

/// One lock for each socket, and never two of them: a socket may even meet itself.
#[test]
fn a_socket_may_be_joined_with_itself() -> Result {
    in_virtual_time(async {
        let dealer = Dealer::new();
        let mut monitor = dealer.monitor();
        let endpoint = dealer.bind(endpoint()).await?;
        dealer.connect(&endpoint)?;
        connected(&mut monitor).await;
        connected(&mut monitor).await;
        for number in 0..2_000_u32 {
            dealer.send(number.to_string()).await?;
            dealer.recv().await?;
        }
        assert_accounted(&dealer.stats());
        Ok(())
    })
}

/// Two sockets that are joined both ways and send from four threads never wait for each other's lock.
#[test]
fn sockets_joined_both_ways_do_not_lock_each_other_up() -> Result {
    const EACH: usize = 20_000;
    let runtime = Runtime::new()?;
    let (left, right) = (Dealer::new(), Dealer::new());
    runtime.block_on(async {
        left.connect(&right.bind(endpoint()).await?)?;
        right.connect(&left.bind(endpoint()).await?)?;
        let mut tasks = Vec::new();
        for dealer in [&left, &right] {
            let (sender, receiver) = (dealer.clone(), dealer.clone());
            tasks.push(tokio::spawn(async move {
                for _ in 0..EACH {
                    sender.send("across").await.expect("it is open");
                }
            }));
            tasks.push(tokio::spawn(async move {
                for _ in 0..EACH {
                    receiver.recv().await.expect("it is open");
                }
            }));
        }
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(20), task).await??;
        }
        assert_accounted(&left.stats());
        assert_accounted(&right.stats());
        Ok(())
    })
}

/// BI-114: there is no wire whose decoder could refuse it.
#[test]
fn a_message_above_the_receivers_limits_is_dropped_and_counted() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(Options::default().max_message_size(3))?;
        let endpoint = pull.bind(endpoint()).await?;
        let push = Push::new();
        push.connect(&endpoint)?;
        push.send("four").await?;
        push.send("two").await?;
        assert_eq!(pull.recv().await?.first(), "two");
        assert_eq!(pull.stats().received.dropped, 1);
        assert_accounted(&pull.stats());
        Ok(())
    })
}

#[test]
fn one_above_the_receivers_limits_among_others_is_dropped_and_counted() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(Options::default().max_message_size(3))?;
        let endpoint = pull.bind(endpoint()).await?;
        let push = Push::new();
        push.connect(&endpoint)?;
        for text in ["one", "two", "six", "four", "ten", "five", "nil"] {
            push.send(text).await?;
        }
        for text in ["one", "two", "six", "ten", "nil"] {
            assert_eq!(pull.recv().await?.first(), text);
        }
        let received = pull.stats().received;
        assert_eq!((received.received, received.dropped), (7, 2));
        assert_accounted(&pull.stats());
        Ok(())
    })
}

/// C1, C9: what has room is taken in at once, and the receipts of it alone end.
#[test]
fn of_a_burst_the_receipts_of_those_end_that_had_room() -> Result {
    in_virtual_time(async {
        let pull = Pull::with_options(Options::default().receive_high_water_mark(4))?;
        let endpoint = pull.bind(endpoint()).await?;
        let push = Push::new();
        push.connect(&endpoint)?;
        let mut receipts = Vec::new();
        for number in 0..10 {
            let receipt = push.send_with(number.to_string(), SendOptions::default());
            receipts.push(receipt.await?);
        }
        for receipt in &mut receipts[..4] {
            assert_eq!(receipt.written().await?.copies, 1);
        }
        let told = receipts[4..]
            .iter_mut()
            .filter_map(|one| one.written().now_or_never());
        assert_eq!(told.count(), 0, "the others wait for room");
        for number in 0..10 {
            assert_eq!(pull.recv().await?.first(), number.to_string().as_bytes());
        }
        for receipt in &mut receipts[4..] {
            assert_eq!(receipt.written().await?.copies, 1);
        }
        Ok(())
    })
}

#[test]
fn a_name_is_taken_once_and_free_again_after_close() -> Result {
    in_virtual_time(async {
        let name = endpoint();
        let pull = Pull::new();
        pull.bind(&name).await?;
        let Err(BindError::Io { source, .. }) = Pull::new().bind(&name).await else {
            return Err("two listen under one name".into());
        };
        assert_eq!(source.kind(), ErrorKind::AddrInUse);
        pull.close(Duration::ZERO).await;
        Pull::new().bind(&name).await?;
        Ok(())
    })
}

#[test]
fn a_socket_that_closes_is_gone_for_its_peer() -> Result {
    in_virtual_time(async {
        let router = Router::with_options(Options::default().mandatory(true))?;
        let mut monitor = router.monitor();
        let endpoint = router.bind(endpoint()).await?;
        let dealer = Dealer::new();
        dealer.connect(&endpoint)?;
        dealer.send("hello").await?;
        let hello = router.recv().await?;
        assert_eq!(dealer.close(Duration::from_secs(1)).await.unsent, 0);
        disconnected(&mut monitor).await;
        assert!(matches!(
            router.try_send(hello),
            Err(TrySendError::Refused(_))
        ));
        Ok(())
    })
}

/// B3: 8,192 pairs, each exchanging a message.
#[test]
fn sixteen_thousand_sockets_exchange_a_message_each() -> Result {
    in_real_time(async {
        let mut pairs = Vec::new();
        for _ in 0..8_192 {
            let (pull, push) = (Pull::new(), Push::new());
            push.connect(&pull.bind(endpoint()).await?)?;
            push.send("one").await?;
            pairs.push((pull, push));
        }
        for (pull, _) in &pairs {
            assert_eq!(pull.recv().await?.first(), "one");
        }
        Ok(())
    })
}

/// Run it with `cargo test --release --test it -- --ignored --nocapture inproc`.
#[test]
#[ignore = "a measurement"]
fn inproc_beside_a_channel() -> Result {
    const MESSAGES: u32 = 3_000_000;
    let payload = Bytes::from(vec![7; 64]);
    let speed = |since: Instant| f64::from(MESSAGES) / since.elapsed().as_secs_f64() / 1e6;
    for threads in [1, 2] {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(threads).enable_all().build()?;
        runtime.block_on(async {
            for _ in 0..3 {
                let since = Instant::now();
                let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
                let message = payload.clone();
                let sending = tokio::spawn(async move {
                    for _ in 0..MESSAGES {
                        let message = Message::from(message.clone());
                        sender.send(message).await.expect("it is open");
                    }
                });
                let receiving = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
                sending.await?;
                receiving.await?;
                let channel = speed(since);

                let (pull, push) = (Pull::new(), Push::new());
                push.connect(&pull.bind(endpoint()).await?)?;
                let since = Instant::now();
                let message = payload.clone();
                let sending = tokio::spawn(async move {
                    for _ in 0..MESSAGES {
                        push.send(message.clone()).await.expect("it is open");
                    }
                    push
                });
                let receiving = tokio::spawn(async move {
                    for _ in 0..MESSAGES {
                        pull.recv().await.expect("it is open");
                    }
                });
                sending.await?;
                receiving.await?;
                let inproc = speed(since);
                println!("{threads} threads: channel {channel:.1}, inproc {inproc:.1} million messages a second");
            }
            Ok::<_, Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}

/// Run it with `cargo test --release --test it -- --ignored --nocapture inproc`.
#[test]
#[ignore = "a measurement"]
fn the_time_of_a_hop() -> Result {
    const HOPS: u32 = 400_000;
    for threads in [1, 2] {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(threads).enable_all().build()?;
        runtime.block_on(async {
            let (asking, answering) = (Dealer::new(), Dealer::new());
            asking.connect(&answering.bind(endpoint()).await?)?;
            let answers = tokio::spawn(async move {
                for _ in 0..HOPS / 2 {
                    let message = answering.recv().await.expect("it is open");
                    answering.send(message).await.expect("it is open");
                }
                answering
            });
            let asks = tokio::spawn(async move {
                let since = Instant::now();
                for _ in 0..HOPS / 2 {
                    asking.send("question").await.expect("it is open");
                    asking.recv().await.expect("it is open");
                }
                since.elapsed() / HOPS
            });
            println!("{threads} threads: {:?} a hop", asks.await?);
            answers.await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        })?;
    }
    Ok(())
}
