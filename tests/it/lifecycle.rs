//! Ends and accidents: sockets closed, dropped and cut at the worst moment, and what then still waits.

use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt, poll};
use pushsub::testing::{Listening, dial};
use pushsub::{Dealer, Event, Options, Pull, Push, Sub, TryRecvError, XPub};
use tokio::time::{Instant, timeout};

use crate::support::peer::{Peer, command, frame};
use crate::support::{
    Result, assert_accounted, connected, disconnected, in_real_time, in_virtual_time, memory_name,
};

const SECOND: Duration = Duration::from_secs(1);

/// Nothing but what a test does wakes a driver.
fn quiet() -> Options {
    Options::default().heartbeat_interval(None)
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A connected PUSH and the PULL at its other end, played by the test.
async fn push_and_peer(options: Options) -> Result<(Push, Peer)> {
    let name = memory_name();
    let mut listening = Listening::bind(&name)?;
    let push = Push::with_options(options)?;
    let mut monitor = push.monitor();
    push.connect(format!("memory://{name}"))?;
    let peer = Peer::shaken(listening.accept().await?, "PULL", 1).await?;
    connected(&mut monitor).await;
    Ok((push, peer))
}

/// A bound PULL and this many PUSHes that the test plays.
async fn pull_and_peers(options: Options, count: usize) -> Result<(Pull, Vec<Peer>)> {
    let name = memory_name();
    let pull = Pull::with_options(options)?;
    let mut monitor = pull.monitor();
    pull.bind(format!("memory://{name}")).await?;
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(Peer::shaken(dial(&name)?, "PUSH", 1).await?);
        connected(&mut monitor).await;
    }
    settle().await;
    Ok((pull, peers))
}

/// The one that waits least decides; neither counts what the other still writes.
#[test]
fn two_closes_at_once_end_together_and_count_once() -> Result {
    in_virtual_time(async {
        let (push, mut peer) = push_and_peer(quiet()).await?;
        for _ in 0..3 {
            push.send(vec![1; 100_000]).await?;
        }
        let mut patient = Box::pin(push.clone().close(10 * SECOND));
        assert!(poll!(&mut patient).is_pending());
        let hasty = push.clone().close(Duration::ZERO).await;
        assert_eq!(hasty.unsent, 3);
        let _ = peer.read_to_end().await?;
        patient.await;
        let stats = push.stats();
        assert_accounted(&stats);
        assert_eq!((stats.sent.queued, stats.sent.dropped.total()), (0, 3));
        Ok(())
    })
}

#[test]
fn a_close_that_is_dropped_half_way_closes_at_once() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let dealer = Dealer::with_options(quiet())?;
        let mut monitor = dealer.monitor();
        dealer.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "DEALER", 1).await?;
        connected(&mut monitor).await;
        dealer.send(vec![1; 100_000]).await?;
        let mut closing = Box::pin(dealer.clone().close(10 * SECOND));
        assert!(poll!(&mut closing).is_pending());
        drop(closing);
        let _ = peer.read_to_end().await?;
        disconnected(&mut monitor).await;
        assert_accounted(&dealer.stats());
        Ok(())
    })
}

#[test]
fn closing_outside_of_a_runtime_is_no_panic() -> Result {
    let closed = Push::new().close(SECOND).now_or_never();
    assert_eq!(closed.map(|closed| closed.unsent), Some(0));
    let (push, pull) = (Push::new(), Pull::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        push.connect(pull.bind("tcp://127.0.0.1:*").await?)?;
        push.send("never").await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    drop(runtime);
    let closed = push.clone().close(SECOND).now_or_never();
    assert_eq!(closed.map(|closed| closed.unsent), Some(1));
    assert_accounted(&push.stats());
    Ok(())
}

/// The runtime of the first session is gone, that of the second is told all the same.
#[test]
fn a_socket_on_two_runtimes_ends_on_the_one_that_lives() -> Result {
    let dealer = Dealer::with_options(quiet())?;
    let first = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    first.block_on(async { dealer.connect("memory://nobody-is-there") })?;
    drop(first);
    in_virtual_time(async {
        let name = memory_name();
        let mut monitor = dealer.monitor();
        dealer.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "DEALER", 1).await?;
        connected(&mut monitor).await;
        drop(dealer);
        let _ = peer.read_to_end().await?;
        drop(peer);
        // Nobody holds the socket any more.
        while monitor.next().await.is_some() {}
        Ok(())
    })
}

#[test]
fn a_linger_without_end_is_no_overflow() -> Result {
    in_virtual_time(async {
        let (push, mut peer) = push_and_peer(quiet().linger(Duration::MAX)).await?;
        push.send("last words").await?;
        let closing = tokio::spawn(push.clone().close(Duration::MAX));
        assert_eq!(peer.frame().await?, (0, b"last words".to_vec()));
        drop(peer);
        assert_eq!(closing.await?.unsent, 0);
        let (push, mut peer) = push_and_peer(quiet().linger(Duration::MAX)).await?;
        push.send("last words").await?;
        drop(push);
        assert_eq!(peer.frame().await?, (0, b"last words".to_vec()));
        let _ = peer.read_to_end().await?;
        Ok(())
    })
}

/// A stream keeps its place between polls, and nobody may poll it again.
#[test]
fn a_stream_that_is_not_polled_takes_no_wake_up_from_others() -> Result {
    in_virtual_time(async {
        let (mut pull, mut peers) = pull_and_peers(quiet(), 1).await?;
        let receiver = pull.clone();
        let pull = tokio::spawn(async move {
            assert!(poll!(pull.next()).is_pending());
            pull
        })
        .await?;
        let receiving = tokio::spawn(async move { receiver.recv().await });
        settle().await;
        peers[0]
            .write(&frame(false, b"for whoever listens"))
            .await?;
        let received = timeout(SECOND, receiving).await??;
        assert_eq!(received?.first(), "for whoever listens");
        drop(pull);
        Ok(())
    })
}

/// As for streams: the room goes to a sender that takes it.
#[test]
fn a_sink_that_is_not_polled_takes_no_room_from_others() -> Result {
    in_virtual_time(async {
        let (push, mut peer) = push_and_peer(quiet().send_high_water_mark(1)).await?;
        push.send(vec![1; 100_000]).await?;
        let mut sink = push.clone();
        assert!(poll!(SinkExt::send(&mut sink, vec![2; 10].into())).is_pending());
        let sender = push.clone();
        let sending = tokio::spawn(async move { sender.send("through").await });
        settle().await;
        peer.frame().await?;
        timeout(SECOND, sending).await???;
        assert_eq!(peer.frame().await?, (0, b"through".to_vec()));
        sink.flush().await?;
        assert_eq!(peer.frame().await?, (0, vec![2; 10]));
        Ok(())
    })
}

/// A receiver that is woken for one link and served by another leaves the first to its driver.
#[test]
fn a_link_is_read_though_its_reader_found_something_else() -> Result {
    in_virtual_time(async {
        let (pull, mut peers) = pull_and_peers(quiet(), 2).await?;
        let mut receiving = Box::pin(pull.recv());
        assert!(poll!(&mut receiving).is_pending());
        peers[0].write(&command(b"\x04PING\0\0")).await?;
        peers[1].write(&frame(false, b"something else")).await?;
        settle().await;
        assert_eq!(receiving.await?.first(), "something else");
        let answer = timeout(SECOND, peers[0].frame()).await??;
        assert_eq!(answer, (4, b"\x04PONG".to_vec()));
        Ok(())
    })
}

#[test]
fn every_link_that_a_batch_makes_room_for_is_read_on() -> Result {
    in_virtual_time(async {
        let (pull, mut peers) = pull_and_peers(quiet().receive_high_water_mark(1), 3).await?;
        for peer in &mut peers {
            peer.write(&frame(false, b"fills the pipe")).await?;
        }
        settle().await;
        for peer in &mut peers {
            peer.write(&command(b"\x04PING\0\0")).await?;
        }
        let mut messages = Vec::new();
        assert_eq!(pull.recv_many(&mut messages, 9).await?, 3);
        for peer in &mut peers {
            let answer = timeout(SECOND, peer.frame()).await??;
            assert_eq!(answer, (4, b"\x04PONG".to_vec()));
        }
        Ok(())
    })
}

/// Z24: the message that died with the link leaves its room to the next.
#[test]
fn a_sender_gets_the_room_of_a_message_that_was_cut() -> Result {
    in_virtual_time(async {
        let (push, mut peer) = push_and_peer(quiet().send_high_water_mark(1)).await?;
        push.send(vec![1; 100_000]).await?;
        let sender = push.clone();
        let sending = tokio::spawn(async move { sender.send("next").await });
        settle().await;
        peer.read(10).await?;
        settle().await;
        drop(peer);
        timeout(SECOND, sending).await???;
        let sent = push.stats().sent;
        assert_eq!((sent.dropped.cut, sent.queued), (1, 1));
        Ok(())
    })
}

/// Room in octets comes before the end of a message, and is room for all who wait.
#[test]
fn senders_get_the_room_of_a_large_message_while_it_is_written() -> Result {
    in_virtual_time(async {
        let options = quiet().send_high_water_mark_bytes(100_000);
        let (push, mut peer) = push_and_peer(options).await?;
        push.send(vec![1; 200_000]).await?;
        let senders = [push.clone(), push.clone(), push.clone()];
        let sending = senders.map(|sender| tokio::spawn(async move { sender.send("next").await }));
        settle().await;
        // What is left is below the mark, and the peer reads no further.
        peer.read(80_000).await?;
        for sending in sending {
            timeout(SECOND, sending).await???;
        }
        Ok(())
    })
}

/// SB05: none is lost, however many are told in one turn.
#[test]
fn a_burst_of_subscriptions_reaches_the_publisher_whole() -> Result {
    const TOPICS: usize = 20_000;
    in_virtual_time(async {
        let name = memory_name();
        let publisher = XPub::with_options(quiet())?;
        publisher.bind(format!("memory://{name}")).await?;
        let sub = Sub::with_options(quiet())?;
        let mut monitor = sub.monitor();
        sub.connect(format!("memory://{name}"))?;
        connected(&mut monitor).await;
        for number in 0..TOPICS {
            sub.subscribe(format!("topic {number}"));
        }
        for _ in 0..TOPICS {
            timeout(SECOND, publisher.recv()).await??;
        }
        Ok(())
    })
}

/// BI-37: the offence ends the connection for good, whoever asks for more.
#[test]
fn nothing_is_taken_from_a_link_after_an_offence() -> Result {
    in_virtual_time(async {
        let (pull, mut peers) = pull_and_peers(quiet().receive_high_water_mark(1), 1).await?;
        let octets = [
            frame(false, b"before"),
            command(b"\x04PING\0"),
            frame(false, b"after"),
        ];
        peers[0].write(&octets.concat()).await?;
        assert_eq!(pull.recv().await?.first(), "before");
        assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
        let _ = peers[0].read_to_end().await?;
        assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
        Ok(())
    })
}

/// FT-23, C16: a peer that wrote all and closed is heard to its end, though a PING to it fails.
#[test]
fn what_a_peer_wrote_before_it_closed_is_received_though_it_cannot_be_written_to() -> Result {
    in_virtual_time(async {
        let (pull, mut peers) =
            pull_and_peers(Options::default().receive_high_water_mark(2), 1).await?;
        let mut monitor = pull.monitor();
        peers[0].write(&frame(false, b"message").repeat(2)).await?;
        settle().await;
        peers[0]
            .write(&frame(false, b"message").repeat(5_000))
            .await?;
        peers.clear();
        disconnected(&mut monitor).await;
        for number in 0..5_002 {
            let message = timeout(SECOND, pull.recv()).await;
            assert!(message.is_ok(), "message {number} is lost");
        }
        Ok(())
    })
}

/// As above, when it is the application that writes.
#[test]
fn requests_are_received_though_the_first_answer_finds_the_peer_gone() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let dealer = Dealer::with_options(quiet().receive_high_water_mark(10_000))?;
        let mut monitor = dealer.monitor();
        dealer.bind(format!("memory://{name}")).await?;
        let mut peer = Peer::shaken(dial(&name)?, "DEALER", 1).await?;
        connected(&mut monitor).await;
        settle().await;
        peer.write(&frame(false, b"request").repeat(5_000)).await?;
        drop(peer);
        dealer.send("answer").await?;
        for number in 0..5_000 {
            let message = timeout(SECOND, dealer.recv()).await;
            assert!(message.is_ok(), "request {number} is lost");
        }
        Ok(())
    })
}

/// tokio lets a task do so much in one turn: then no large read succeeds until the next.
#[test]
fn trying_to_receive_ends_in_a_task_whose_turn_is_used_up() -> Result {
    in_virtual_time(async {
        let (pull, mut peers) = pull_and_peers(quiet(), 1).await?;
        let mut receiving = Box::pin(pull.recv());
        assert!(poll!(&mut receiving).is_pending());
        peers[0].write(&frame(false, &[7; 200]).repeat(200)).await?;
        drop(receiving);
        let mut received = 0;
        std::future::poll_fn(|context| {
            while let std::task::Poll::Ready(turn) = tokio::task::coop::poll_proceed(context) {
                turn.made_progress();
            }
            while pull.try_recv().is_ok() {
                received += 1;
            }
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!(received, (16 << 10) / 202, "as many as a small read has");
        for _ in received..200 {
            assert_eq!(pull.recv().await?.first().len(), 200);
        }
        Ok(())
    })
}

/// Where peers that say nothing come round faster than they are read, it would have no end.
#[test]
fn trying_to_receive_reads_of_so_many_peers_and_then_says_that_nothing_is_there() -> Result {
    in_virtual_time(async {
        let (pull, mut peers) = pull_and_peers(quiet(), 150).await?;
        let mut receiving = Box::pin(pull.recv());
        assert!(poll!(&mut receiving).is_pending());
        let say_nothing = async {
            for peer in &mut peers {
                peer.write(&command(b"\x04HUSH")).await?;
            }
            Result::Ok(())
        };
        tokio::task::unconstrained(say_nothing).await?;
        drop(receiving);
        assert_eq!(pull.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(pull.stats().ignored_commands, 128);
        settle().await;
        assert_eq!(
            pull.stats().ignored_commands,
            150,
            "the others are read too"
        );
        Ok(())
    })
}

/// A connection that is reset before it is accepted is nobody else's affair.
#[test]
fn a_connection_that_is_reset_at_once_does_not_delay_the_next() -> Result {
    in_real_time(async {
        let pull = Pull::new();
        let mut monitor = pull.monitor();
        let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
        let address = endpoint.to_string().replace("tcp://", "");
        for _ in 0..20 {
            let stream = std::net::TcpStream::connect(&address)?;
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        let push = Push::new();
        push.connect(&endpoint)?;
        loop {
            match monitor.next().await.ok_or("the socket is open")? {
                Event::Connected { .. } => return Ok(()),
                Event::AcceptFailed { reason, .. } => return Err(reason.into()),
                _ => {}
            }
        }
    })
}

/// What is read after `close` has nobody to go to, and keeps no peer from ending.
#[test]
fn a_receiver_that_is_full_closes_without_using_up_its_linger() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let pull = Pull::with_options(quiet().receive_high_water_mark(2))?;
        pull.bind(format!("memory://{name}")).await?;
        let push = Push::with_options(quiet())?;
        push.connect(format!("memory://{name}"))?;
        for _ in 0..500 {
            push.send(vec![0; 1_000]).await?;
        }
        settle().await;
        let since = Instant::now();
        let closed = pull.clone().close(10 * SECOND).await;
        assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
        assert!(closed.undelivered > 0);
        assert_accounted(&pull.stats());
        assert_accounted(&push.stats());
        Ok(())
    })
}

/// The end of its own connections is no news that the application has missed.
#[test]
fn a_publisher_that_closes_has_not_left_the_end_of_its_subscribers_unread() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let publisher = XPub::with_options(quiet())?;
        publisher.bind(format!("memory://{name}")).await?;
        let sub = Sub::with_options(quiet())?;
        sub.subscribe("topic");
        sub.connect(format!("memory://{name}"))?;
        publisher.recv().await?;
        let closed = publisher.clone().close(SECOND).await;
        assert_eq!((closed.unsent, closed.undelivered), (0, 0));
        assert_accounted(&publisher.stats());
        Ok(())
    })
}

/// A8: whoever reads as many links as one may in a turn, and is dropped, owes nobody a wake-up.
#[test]
fn a_receiver_that_ends_behind_its_turn_leaves_no_link_unread() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let pull = Pull::with_options(quiet())?;
        pull.bind(format!("memory://{name}")).await?;
        let mut peers = Vec::new();
        for _ in 0..40 {
            peers.push(Peer::shaken(dial(&name)?, "PUSH", 1).await?);
        }
        settle().await;
        let ping = command(b"\x04PING\0\0");
        let mut receiving = Box::pin(pull.recv());
        assert!(poll!(&mut receiving).is_pending());
        let (last, others) = peers.split_last_mut().ok_or("there are peers")?;
        for peer in others {
            peer.write(&ping).await?;
        }
        assert!(poll!(&mut receiving).is_pending(), "a PING is no message");
        last.write(&ping).await?;
        assert!(
            poll!(&mut receiving).is_pending(),
            "it has not come to the last"
        );
        drop(receiving);
        let (_, body) = timeout(SECOND, last.frame()).await??;
        assert_eq!(body, b"\x04PONG");
        Ok(())
    })
}
