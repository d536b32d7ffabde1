//! Which messages leave together, and when: what a sink is fed, and answers to what was read at once.

use futures::{SinkExt, poll};
use pushsub::testing::dial;
use pushsub::{Dealer, Message, Options, Pub, Router};
use tokio::task::{unconstrained, yield_now};

use crate::support::peer::{FRAME, Peer, command, frame, frames_there};
use crate::support::{Result, connected, in_virtual_time, memory_name};

mod spread;

/// Lets all that can run have its turn.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

fn quiet() -> Options {
    Options::default().heartbeat_interval(None)
}

/// A bound DEALER, and so many peers that the test plays.
async fn dealer_and_peers(options: Options, count: usize) -> Result<(Dealer, Vec<Peer>)> {
    let dealer = Dealer::with_options(options)?;
    let peers = peers_of(&dealer, count).await?;
    Ok((dealer, peers))
}

/// So many peers, one behind the other, of a socket that is bound here.
async fn peers_of(dealer: &Dealer, count: usize) -> Result<Vec<Peer>> {
    let name = memory_name();
    let mut monitor = dealer.monitor();
    dealer.bind(format!("memory://{name}").as_str()).await?;
    let mut peers = Vec::new();
    for _ in 0..count {
        peers.push(Peer::shaken(dial(&name)?, "ROUTER", 1).await?);
        connected(&mut monitor).await;
    }
    settle().await;
    Ok(peers)
}

async fn dealer_and_peer(options: Options) -> Result<(Dealer, Peer)> {
    let (dealer, mut peers) = dealer_and_peers(options, 1).await?;
    Ok((dealer, peers.remove(0)))
}

/// A bound PUB, and a peer that the test plays, which subscribes to all.
async fn pub_and_peer(options: Options) -> Result<(Pub, Peer)> {
    let name = memory_name();
    let publisher = Pub::with_options(options)?;
    publisher.bind(format!("memory://{name}").as_str()).await?;
    let mut peer = Peer::shaken(dial(&name)?, "SUB", 1).await?;
    peer.write(&command(b"\x09SUBSCRIBE")).await?;
    settle().await;
    Ok((publisher, peer))
}

/// The peer asks so often, with one write.
async fn ask(peer: &mut Peer, count: usize) -> Result {
    peer.write(&frame(false, b"?").repeat(count)).await
}

#[test]
fn what_a_sink_is_fed_leaves_when_it_is_flushed() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = dealer_and_peer(quiet()).await?;
        for _ in 0..3 {
            sink.feed(Message::from("!")).await?;
        }
        settle().await;
        assert_eq!(frames_there(&mut peer).await, 0, "nobody has flushed it");
        assert!(poll!(sink.flush()).is_ready());
        assert_eq!(frames_there(&mut peer).await, 3, "and not by who flushed");
        Ok(())
    })
}

#[test]
fn a_flush_writes_to_every_peer_that_a_sink_has_fed() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peers) = dealer_and_peers(quiet(), 3).await?;
        for _ in 0..6 {
            sink.feed(Message::from("!")).await?;
        }
        assert!(poll!(sink.flush()).is_ready());
        for peer in &mut peers {
            assert_eq!(frames_there(peer).await, 2);
        }
        Ok(())
    })
}

#[test]
fn what_a_sink_was_fed_goes_before_a_message_of_another_handle() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = dealer_and_peer(quiet()).await?;
        let other = sink.clone();
        sink.feed(Message::from("1")).await?;
        other.send("2").await?;
        assert_eq!(peer.frame().await?.1, b"1");
        assert_eq!(peer.frame().await?.1, b"2");
        Ok(())
    })
}

/// Two sinks of one socket: neither waits for the flush of the other.
#[test]
fn a_sink_is_flushed_with_what_another_was_fed() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = dealer_and_peer(quiet()).await?;
        let mut other = sink.clone();
        sink.feed(Message::from("1")).await?;
        other.feed(Message::from("2")).await?;
        assert!(poll!(other.flush()).is_ready());
        assert_eq!(frames_there(&mut peer).await, 2);
        Ok(())
    })
}

#[test]
fn a_sink_that_is_dropped_writes_what_it_was_fed() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = dealer_and_peer(quiet()).await?;
        let socket = sink.clone();
        sink.feed(Message::from("!")).await?;
        drop(sink);
        assert_eq!(frames_there(&mut peer).await, 1);
        assert_eq!(socket.stats().sent.written, 1);
        Ok(())
    })
}

/// What takes the room is written, or there would never be any.
#[test]
fn a_sink_that_is_full_is_written_without_a_flush() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = dealer_and_peer(quiet().send_high_water_mark(2)).await?;
        for _ in 0..5 {
            sink.feed(Message::from("!")).await?;
        }
        sink.flush().await?;
        settle().await;
        assert_eq!(frames_there(&mut peer).await, 5);
        Ok(())
    })
}

/// A publisher drops what has no room: what takes the last place is written first.
#[test]
fn a_sink_that_drops_what_has_no_room_is_written_when_it_is_full() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = pub_and_peer(quiet().send_high_water_mark(4)).await?;
        for there in [0, 0, 0, 4, 0, 0, 0, 4, 0, 0] {
            sink.feed(Message::from("!")).await?;
            assert_eq!(frames_there(&mut peer).await, there);
        }
        assert!(poll!(sink.flush()).is_ready());
        assert_eq!(frames_there(&mut peer).await, 2);
        Ok(())
    })
}

/// A turn of a task that is over is no wire that takes nothing more.
#[test]
fn a_publisher_that_is_fed_without_a_pause_drops_nothing() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = pub_and_peer(quiet().send_high_water_mark(1)).await?;
        for _ in 0..1_000 {
            sink.feed(Message::from("!")).await?;
        }
        assert_eq!(sink.stats().sent.dropped.full, 0);
        assert_eq!(frames_there(&mut peer).await, 1_000);
        Ok(())
    })
}

#[test]
fn a_sink_that_is_full_behind_a_message_of_another_handle_is_written() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = pub_and_peer(quiet().send_high_water_mark(4)).await?;
        sink.try_send("!")?;
        for _ in 0..100 {
            sink.feed(Message::from("!")).await?;
        }
        assert_eq!(sink.stats().sent.dropped.full, 0);
        assert_eq!(frames_there(&mut peer).await, 101);
        Ok(())
    })
}

/// Of which its sender says a little in each of its turns.
#[test]
fn a_burst_that_goes_on_leaves_together() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        dealer.send("!").await?;
        for _ in 0..4 {
            dealer.send("!").await?;
            yield_now().await;
        }
        assert_eq!(frames_there(&mut peer).await, 1, "the first alone");
        settle().await;
        assert_eq!(frames_there(&mut peer).await, 4);
        Ok(())
    })
}

#[test]
fn a_sink_that_fills_a_write_does_not_wait_for_its_flush() -> Result {
    in_virtual_time(async {
        let (mut sink, mut peer) = dealer_and_peer(quiet()).await?;
        for _ in 0..5 {
            sink.feed(Message::from(vec![0; 60 << 10])).await?;
        }
        assert_eq!(peer.frame().await?.1.len(), 60 << 10);
        Ok(())
    })
}

#[test]
fn answers_to_what_was_read_at_once_leave_with_the_last() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        ask(&mut peer, 3).await?;
        let mut asked = Vec::new();
        assert_eq!(dealer.recv_many(&mut asked, 10).await?, 3);
        for _ in 0..2 {
            dealer.send("!").await?;
        }
        assert_eq!(frames_there(&mut peer).await, 0, "one is to follow");
        dealer.send("!").await?;
        assert_eq!(frames_there(&mut peer).await, 3, "there are no more");
        Ok(())
    })
}

/// Each peer of a ROUTER has answers of its own.
#[test]
fn answers_to_several_peers_leave_with_the_last_to_each() -> Result {
    in_virtual_time(async {
        let name = memory_name();
        let router = Router::with_options(quiet())?;
        router.bind(format!("memory://{name}").as_str()).await?;
        let mut peers = Vec::new();
        for _ in 0..2 {
            let mut peer = Peer::shaken(dial(&name)?, "DEALER", 1).await?;
            ask(&mut peer, 2).await?;
            peers.push(peer);
        }
        settle().await;
        let mut asked = Vec::new();
        while asked.len() < 4 {
            router.recv_many(&mut asked, 10).await?;
        }
        let last = asked.pop().expect("four were asked");
        for request in asked {
            router.send(request).await?;
        }
        let there = [
            frames_there(&mut peers[0]).await,
            frames_there(&mut peers[1]).await,
        ];
        assert_eq!(there.iter().sum::<usize>(), 2, "of one peer alone");
        router.send(last).await?;
        let late = there.iter().position(|count| *count == 0);
        let late = late.expect("one has no answer yet");
        assert_eq!(frames_there(&mut peers[late]).await, 2);
        Ok(())
    })
}

#[test]
fn a_quarter_of_the_answers_does_not_wait_for_the_others_unless_it_is_little() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        for (count, share) in [(80, 32), (200, 50)] {
            ask(&mut peer, count).await?;
            let mut asked = Vec::new();
            assert_eq!(dealer.recv_many(&mut asked, 1_000).await?, count);
            for sent in 1..=count {
                dealer.send("!").await?;
                let there = match sent {
                    _ if sent % share == 0 => share,
                    _ if sent == count => count % share,
                    _ => 0,
                };
                assert_eq!(frames_there(&mut peer).await, there, "behind {sent}");
            }
        }
        Ok(())
    })
}

#[test]
fn an_answer_waits_for_no_other_once_its_task_yields() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        ask(&mut peer, 3).await?;
        let mut asked = Vec::new();
        assert_eq!(dealer.recv_many(&mut asked, 10).await?, 3);
        // Nobody has a turn to come but for this answer.
        settle().await;
        dealer.send("!").await?;
        settle().await;
        assert_eq!(frames_there(&mut peer).await, 1);
        Ok(())
    })
}

#[test]
fn what_is_sent_after_its_task_has_waited_for_more_is_no_answer_and_leaves_at_once() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        ask(&mut peer, 3).await?;
        let mut asked = Vec::new();
        assert_eq!(dealer.recv_many(&mut asked, 10).await?, 3);
        assert!(poll!(Box::pin(dealer.recv())).is_pending());
        dealer.send("!").await?;
        assert_eq!(frames_there(&mut peer).await, 1);
        Ok(())
    })
}

#[test]
fn a_message_of_its_own_leaves_at_once() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        for _ in 0..20 {
            dealer.send("!").await?;
            assert_eq!(frames_there(&mut peer).await, 1);
            settle().await;
        }
        Ok(())
    })
}

/// Who sends in bursts is spared a write of the first message alone.
#[test]
fn behind_a_burst_another_is_expected_and_its_first_message_leaves_with_the_others() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        for first_alone in [1, 0, 0] {
            dealer.send("!").await?;
            assert_eq!(frames_there(&mut peer).await, first_alone);
            for _ in 0..19 {
                dealer.send("!").await?;
            }
            assert_eq!(frames_there(&mut peer).await, 0, "its task has not yielded");
            settle().await;
            assert_eq!(frames_there(&mut peer).await, 20 - first_alone);
        }
        Ok(())
    })
}

#[test]
fn where_no_burst_follows_a_burst_messages_leave_at_once_again() -> Result {
    in_virtual_time(async {
        let (dealer, mut peer) = dealer_and_peer(quiet()).await?;
        for _ in 0..20 {
            dealer.send("!").await?;
        }
        settle().await;
        assert_eq!(frames_there(&mut peer).await, 20);
        for at_once in [0, 1, 1] {
            dealer.send("!").await?;
            assert_eq!(frames_there(&mut peer).await, at_once);
            // The driver needs one turn.
            yield_now().await;
            assert_eq!(frames_there(&mut peer).await, 1 - at_once);
            settle().await;
        }
        Ok(())
    })
}

#[test]
fn a_burst_is_let_in_until_its_octets_are_those_of_the_mark() -> Result {
    in_virtual_time(async {
        let (dealer, peer) = dealer_and_peer(quiet().send_high_water_mark_bytes(1_000)).await?;
        // The first leaves at once; each of the others is a header of two octets and a body of 98.
        let message = Message::from(vec![7; 98]);
        let sent = (0..100).take_while(|_| dealer.try_send(message.clone()).is_ok());
        assert_eq!(sent.count(), 11);
        drop(peer);
        Ok(())
    })
}

/// Feeds a publisher, whom nobody hears, and says how many messages it took until others had a turn.
async fn fed_until_others_run(
    publisher: &mut Pub,
    feed: impl AsyncFn(&mut Pub) -> Result,
) -> Result<usize> {
    let others = tokio::spawn(yield_now());
    let mut fed = 0;
    while !others.is_finished() && fed < 10_000 {
        feed(publisher).await?;
        fed += 1;
    }
    Ok(fed)
}

#[test]
fn who_feeds_a_sink_without_an_end_starves_nobody() -> Result {
    in_virtual_time(async {
        let mut publisher = Pub::new();
        let feed = async |sink: &mut Pub| Ok(sink.feed(Message::from("!")).await?);
        assert!(fed_until_others_run(&mut publisher, feed).await? < 5_000);
        let send = async |sink: &mut Pub| Ok(SinkExt::send(sink, Message::from("!")).await?);
        assert!(fed_until_others_run(&mut publisher, send).await? < 5_000);
        Ok(())
    })
}

#[test]
fn what_a_sink_was_fed_leaves_where_the_turn_of_its_task_is_over() -> Result {
    in_virtual_time(async {
        let options = quiet().send_high_water_mark(10_000);
        let (mut sink, mut peer) = dealer_and_peer(options).await?;
        let mut fed = 0;
        while fed < 9_000 && poll!(sink.feed(Message::from("!"))).is_ready() {
            fed += 1;
        }
        assert!(fed < 5_000, "it takes as much as a turn has");
        settle().await;
        assert_eq!(frames_there(&mut peer).await, fed);
        Ok(())
    })
}
