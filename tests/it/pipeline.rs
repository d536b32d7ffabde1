//! PUSH and PULL.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use pushsub::{ConnectError, Options, Pull, Push, RecvError, SendError, TrySendError};

use crate::support::{
    Result, assert_accounted, connected, disconnected, in_real_time, on_every_transport,
};

on_every_transport! {
    messages_sent_before_the_peer_is_there_arrive_in_order;
    every_puller_gets_its_turn;
    everybody_who_pushes_is_heard;
    who_takes_many_takes_of_each_peer_its_share;
    a_sender_waits_for_room_and_loses_nothing;
    closing_writes_what_is_queued;
    dropping_the_last_handle_writes_what_is_queued;
    closing_without_a_peer_says_what_was_not_sent;
    messages_wait_for_a_peer_that_comes_back;
    messages_of_any_size_arrive_whole;
    both_ends_agree_on_what_was_sent;
    a_socket_is_a_stream_and_a_sink;
    disconnecting_gives_up_what_waits;
    unbinding_keeps_the_peers_that_are_there;
}

fn text(number: u32) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// A5, DL02, PS02.
async fn messages_sent_before_the_peer_is_there_arrive_in_order(endpoint: String) -> Result {
    let finder = Pull::new();
    let endpoint = finder.bind(&endpoint).await?;
    finder.close(Duration::ZERO).await;
    let push = Push::new();
    push.connect(&endpoint)?;
    for number in 0..500 {
        push.send(text(number)).await?;
    }
    let pull = Pull::new();
    pull.bind(&endpoint).await?;
    for number in 0..500 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    Ok(())
}

/// PS05.
async fn every_puller_gets_its_turn(endpoint: String) -> Result {
    let push = Push::new();
    let mut monitor = push.monitor();
    let endpoint = push.bind(&endpoint).await?;
    let pullers = [Pull::new(), Pull::new(), Pull::new()];
    for pull in &pullers {
        pull.connect(&endpoint)?;
        connected(&mut monitor).await;
    }
    for number in 0..9 {
        push.send(text(number)).await?;
    }
    for (first, pull) in (0..).zip(&pullers) {
        for number in [first, first + 3, first + 6] {
            assert_eq!(pull.recv().await?.first(), &text(number));
        }
    }
    Ok(())
}

/// PL03: fair queuing, and order for each sender.
async fn everybody_who_pushes_is_heard(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let senders: Vec<_> = (0..4_u32)
        .map(|sender| {
            let endpoint = endpoint.clone();
            tokio::spawn(async move {
                let push = Push::new();
                push.connect(&endpoint).expect("a good endpoint");
                for number in 0..1_000 {
                    push.send(text(sender * 1_000 + number))
                        .await
                        .expect("an open socket");
                }
                push.close(Duration::from_secs(10)).await
            })
        })
        .collect();
    let mut next = [0; 4];
    for _ in 0..4_000 {
        let message = pull.recv().await?;
        let number: usize = std::str::from_utf8(message.first())?.parse()?;
        assert_eq!(number % 1_000, next[number / 1_000]);
        next[number / 1_000] += 1;
    }
    for sender in senders {
        assert_eq!(sender.await?.unsent, 0);
    }
    Ok(())
}

/// PL03, C13.
async fn who_takes_many_takes_of_each_peer_its_share(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let senders = [Push::new(), Push::new()];
    for (push, name) in senders.iter().zip(["0", "1"]) {
        push.connect(&endpoint)?;
        for _ in 0..70 {
            push.send(name).await?;
        }
    }
    while pull.stats().received.queued < 140 {
        tokio::task::yield_now().await;
    }
    let mut of_each = [0; 2];
    // Of 60 each gives its share. Of 17 one gives 16, and the other one, and the first of the next 17. Of
    // three one gives all, and the other the next three.
    for (limit, calls, taken) in [(60, 1, 30), (17, 4, 64), (3, 2, 67)] {
        for _ in 0..calls {
            let mut messages = Vec::new();
            assert_eq!(pull.recv_many(&mut messages, limit).await?, limit);
            for message in messages {
                of_each[std::str::from_utf8(message.first())?.parse::<usize>()?] += 1;
            }
        }
        assert_eq!(of_each, [taken; 2]);
    }
    Ok(())
}

/// PS06 to PS08, FT-23.
async fn a_sender_waits_for_room_and_loses_nothing(endpoint: String) -> Result {
    let options = || {
        Options::default()
            .send_high_water_mark(7)
            .receive_high_water_mark(7)
    };
    let pull = Pull::with_options(options())?;
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::with_options(options())?;
    push.connect(&endpoint)?;
    let sender = push.clone();
    let sending = tokio::spawn(async move {
        for number in 0..20_000_u32 {
            let mut padded = text(number);
            padded.resize(300, b' ');
            sender.send(padded).await.expect("an open socket");
        }
    });
    for number in 0..20_000_u32 {
        let message = pull.recv().await?;
        assert_eq!(
            std::str::from_utf8(message.first())?.trim_end(),
            number.to_string()
        );
    }
    sending.await?;
    assert_accounted(&push.stats());
    assert_accounted(&pull.stats());
    Ok(())
}

/// C10.
async fn closing_writes_what_is_queued(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    for number in 0..1_000 {
        push.send(text(number)).await?;
    }
    let other = push.clone();
    assert_eq!(push.close(Duration::from_secs(2)).await.unsent, 0);
    assert!(matches!(
        other.send("late").await,
        Err(SendError::Closed(_))
    ));
    for number in 0..1_000 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    Ok(())
}

async fn dropping_the_last_handle_writes_what_is_queued(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    for number in 0..1_000 {
        push.send(text(number)).await?;
    }
    drop(push);
    for number in 0..1_000 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    Ok(())
}

/// FT-43.
async fn closing_without_a_peer_says_what_was_not_sent(endpoint: String) -> Result {
    let finder = Pull::new();
    let endpoint = finder.bind(&endpoint).await?;
    drop(finder);
    let push = Push::new();
    push.connect(&endpoint)?;
    for _ in 0..3 {
        push.send("never").await?;
    }
    assert_eq!(push.close(Duration::from_millis(20)).await.unsent, 3);
    Ok(())
}

/// C12.
async fn messages_wait_for_a_peer_that_comes_back(endpoint: String) -> Result {
    let push = Push::new();
    let mut monitor = push.monitor();
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    push.connect(&endpoint)?;
    connected(&mut monitor).await;
    pull.close(Duration::ZERO).await;
    disconnected(&mut monitor).await;
    for number in 0..100 {
        push.send(text(number)).await?;
    }
    let pull = Pull::new();
    pull.bind(&endpoint).await?;
    for number in 0..100 {
        assert_eq!(pull.recv().await?.first(), &text(number));
    }
    assert_accounted(&push.stats());
    Ok(())
}

async fn messages_of_any_size_arrive_whole(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    let sizes = [0, 1, 255, 256, 8_191, 8_192, 65_536, 1 << 20, 16 << 20];
    let sending = async {
        for size in sizes {
            let mut message = pushsub::Message::from(vec![7; size / 2]);
            message.push_back(vec![8; size - size / 2]);
            push.send(message).await?;
        }
        Ok::<(), SendError>(())
    };
    let receiving = async {
        for size in sizes {
            let message = pull.recv().await?;
            assert_eq!(message.size(), size);
            assert!(message[0].iter().all(|octet| *octet == 7));
            assert!(message[1].iter().all(|octet| *octet == 8));
        }
        Ok::<(), RecvError>(())
    };
    let (sent, received) = tokio::join!(sending, receiving);
    sent?;
    received?;
    Ok(())
}

/// C5: a link that was never cut has written what was received.
async fn both_ends_agree_on_what_was_sent(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    for number in 0..300 {
        push.send(text(number)).await?;
    }
    for _ in 0..200 {
        pull.recv().await?;
    }
    let report = push.clone().close(Duration::from_secs(2)).await;
    assert_eq!(report.unsent, 0);
    let (sent, received) = (push.stats(), pull.stats());
    assert_accounted(&sent);
    assert_accounted(&received);
    assert_eq!(sent.sent.written, 300);
    assert_eq!(received.received.received, 300);
    assert_eq!(received.received.queued, 100);
    Ok(())
}

/// A7.
async fn a_socket_is_a_stream_and_a_sink(endpoint: String) -> Result {
    let pull = Pull::new();
    let endpoint = pull.bind(&endpoint).await?;
    let mut push = Push::with_options(Options::default().send_high_water_mark(3))?;
    push.connect(&endpoint)?;
    let feeding = async move {
        for number in 0..200 {
            push.feed(text(number).into())
                .await
                .expect("an open socket");
        }
        push.flush().await.expect("an open socket");
        push
    };
    let collecting = pull
        .take(200)
        .map(|message| message.first().clone())
        .collect::<Vec<_>>();
    let (_push, collected) = tokio::join!(feeding, collecting);
    assert_eq!(collected, (0..200).map(text).collect::<Vec<_>>());
    Ok(())
}

async fn disconnecting_gives_up_what_waits(endpoint: String) -> Result {
    let finder = Pull::new();
    let endpoint = finder.bind(&endpoint).await?;
    drop(finder);
    let push = Push::new();
    push.connect(&endpoint)?;
    push.send("never").await?;
    assert!(push.disconnect(&endpoint));
    assert!(!push.disconnect(&endpoint));
    let stats = push.stats();
    assert_eq!((stats.sent.dropped.discarded, stats.peers.len()), (1, 0));
    assert!(matches!(
        push.try_send("nobody"),
        Err(TrySendError::Full(_))
    ));
    Ok(())
}

async fn unbinding_keeps_the_peers_that_are_there(endpoint: String) -> Result {
    let pull = Pull::new();
    let mut monitor = pull.monitor();
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    connected(&mut monitor).await;
    assert!(pull.unbind(&endpoint));
    push.send("still here").await?;
    assert_eq!(pull.recv().await?.first(), "still here");
    Ok(())
}

#[test]
fn outside_of_a_runtime_connecting_is_a_typed_error() {
    let push = Push::new();
    assert_eq!(
        push.connect("tcp://127.0.0.1:1"),
        Err(ConnectError::NoRuntime)
    );
}

/// BI-114.
#[test]
fn a_message_above_the_limits_is_given_back() {
    let push = Push::with_options(Options::default().max_message_size(3).max_frames(1))
        .expect("options that it heeds");
    assert!(matches!(
        push.try_send("four"),
        Err(TrySendError::Refused(SendError::TooLarge(message))) if message.first() == "four"
    ));
}

#[test]
fn a_sender_without_a_peer_gets_its_message_back() {
    let error = Push::new().try_send("nobody").expect_err("nobody is there");
    assert_eq!(error.into_message().first(), "nobody");
}

/// J5.
#[test]
fn binding_beyond_loopback_needs_a_word() -> Result {
    in_real_time(async {
        let error = Pull::new()
            .bind("tcp://0.0.0.0:*")
            .await
            .expect_err("it is refused");
        assert!(error.to_string().contains("--insecure"), "{error}");
        let open = Pull::with_options(Options::default().allow_plaintext())
            .expect("options that it heeds");
        assert!(open.bind("tcp://0.0.0.0:*").await.is_ok());
        Ok(())
    })
}
