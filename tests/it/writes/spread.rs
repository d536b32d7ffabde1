//! Bursts that spread over many peers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pushsub::SendError;
use tokio::time::advance;

use super::*;
use crate::support::{a_turn, on_two_workers};

/// So many peers that a burst which goes to each in its turn has one message for each.
const MANY: usize = 200;

/// How many of these peers have something now, of which each is to have so many frames.
async fn reached(peers: &mut [Peer], frames: usize) -> usize {
    let mut reached = 0;
    for peer in peers {
        let there = frames_there(peer).await;
        assert!([0, frames].contains(&there), "{there} and not {frames}");
        reached += usize::from(there > 0);
    }
    reached
}

/// A write costs more than a hundred messages.
#[test]
fn of_a_burst_over_many_peers_all_that_goes_to_one_leaves_together() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for _ in 0..MANY {
            dealer.send("!").await?;
        }
        assert_eq!(
            reached(&mut peers, 1).await,
            7,
            "those behind them are a burst"
        );
        for _ in 0..MANY {
            dealer.send("!").await?;
        }
        assert_eq!(
            reached(&mut peers[7..], 1).await,
            0,
            "its task has not yielded"
        );
        settle().await;
        assert_eq!(reached(&mut peers[7..], 2).await, MANY - 7);
        Ok(())
    })
}

#[test]
fn over_few_peers_a_burst_begins_at_once_at_each() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), 100).await?;
        for _ in 0..100 {
            dealer.send("!").await?;
        }
        assert_eq!(reached(&mut peers, 1).await, 100);
        Ok(())
    })
}

#[test]
fn messages_that_do_not_follow_each_other_leave_at_once_to_many_peers_too() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for peer in &mut peers[..50] {
            dealer.send("!").await?;
            assert_eq!(frames_there(peer).await, 1);
            advance(Duration::from_micros(100)).await;
        }
        Ok(())
    })
}

#[test]
fn large_messages_leave_at_once_to_many_peers_too() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for peer in &mut peers[..50] {
            dealer.send(vec![b'!'; 4 << 10]).await?;
            assert!(poll!(Box::pin(unconstrained(peer.frame()))).is_ready());
        }
        Ok(())
    })
}

/// Sends one message to each of so many peers, of which some go then, and demands that the others get theirs.
async fn others_are_reached(count: usize, gone: &[usize]) -> Result {
    let (dealer, mut peers) = dealer_and_peers(quiet(), count).await?;
    for _ in 0..count {
        dealer.send("!").await?;
    }
    for index in gone.iter().rev() {
        peers.remove(*index);
    }
    settle().await;
    let others = count - gone.len();
    assert_eq!(reached(&mut peers, 1).await, others, "without {gone:?}");
    Ok(())
}

#[test]
fn a_burst_over_many_peers_is_written_whichever_of_them_goes() -> Result {
    in_virtual_time(async {
        for gone in [0, 7, 8, 50, MANY - 1] {
            others_are_reached(MANY, &[gone]).await?;
        }
        Ok(())
    })
}

#[test]
fn a_burst_over_many_peers_is_written_before_its_socket_ends() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for _ in 0..MANY {
            dealer.send("!").await?;
        }
        let closed = tokio::spawn(dealer.close(Duration::from_secs(1)));
        settle().await;
        assert_eq!(reached(&mut peers, 1).await, MANY);
        drop(peers);
        assert_eq!(closed.await?.unsent, 0);
        Ok(())
    })
}

#[test]
fn while_a_burst_over_many_peers_is_written_others_have_their_turns() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for _ in 0..MANY {
            dealer.send("!").await?;
        }
        assert_eq!(reached(&mut peers, 1).await, 7);
        for _ in 0..3 {
            yield_now().await;
            let written = reached(&mut peers, 1).await;
            assert!((1..=32).contains(&written), "{written} in a turn");
        }
        Ok(())
    })
}

#[test]
fn an_answer_leaves_at_once_while_a_burst_goes_to_many_peers() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for _ in 0..MANY - 1 {
            dealer.send("!").await?;
        }
        let last = &mut peers[MANY - 1];
        ask(last, 1).await?;
        dealer.recv().await?;
        dealer.send("!").await?;
        assert_eq!(frames_there(last).await, 1, "it is no part of it");
        let eighth = &mut peers[7];
        ask(eighth, 1).await?;
        dealer.recv().await?;
        for _ in 0..8 {
            dealer.send("!").await?;
        }
        assert_eq!(frames_there(eighth).await, 2, "it is listed, and was asked");
        Ok(())
    })
}

/// What comes next is dropped, or holds others up, as soon as with few peers, and no sooner.
#[test]
fn a_message_that_fills_its_queue_leaves_at_once_to_many_peers_too() -> Result {
    in_virtual_time(async {
        let options = quiet().send_high_water_mark(1);
        let (dealer, mut peers) = dealer_and_peers(options, MANY).await?;
        for _ in 0..50 {
            dealer.send("!").await?;
        }
        assert_eq!(reached(&mut peers, 1).await, 50);
        Ok(())
    })
}

#[test]
fn a_message_that_fills_a_queue_which_waits_with_others_has_it_written() -> Result {
    in_virtual_time(async {
        let options = quiet().send_high_water_mark(2);
        let (dealer, mut peers) = dealer_and_peers(options, MANY).await?;
        for _ in 0..MANY + 57 {
            dealer.send("!").await?;
        }
        assert_eq!(reached(&mut peers[7..57], 2).await, 50);
        Ok(())
    })
}

#[test]
fn a_place_that_was_reserved_is_no_way_past_a_burst() -> Result {
    in_virtual_time(async {
        let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
        for _ in 0..MANY {
            dealer.reserve().await?.send("!")?;
        }
        assert_eq!(reached(&mut peers, 1).await, 7);
        settle().await;
        assert_eq!(reached(&mut peers, 1).await, MANY - 7);
        Ok(())
    })
}

/// Who was to write it is gone with that.
#[test]
fn behind_a_runtime_that_has_ended_a_burst_is_written_on_another() -> Result {
    let dealer = Dealer::with_options(quiet())?;
    let ends = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let gone = ends.block_on(async {
        let peers = peers_of(&dealer, MANY).await?;
        for _ in 0..MANY {
            dealer.send("!").await?;
        }
        Result::Ok(peers)
    })?;
    drop((ends, gone));
    in_virtual_time(async {
        let mut peers = peers_of(&dealer, MANY).await?;
        for _ in 0..MANY {
            dealer.send("!").await?;
        }
        assert_eq!(reached(&mut peers, 1).await, 7);
        settle().await;
        assert_eq!(reached(&mut peers, 1).await, MANY - 7);
        Ok(())
    })
}

#[test]
fn a_burst_is_written_where_the_runtime_of_who_sent_it_stands_still() -> Result {
    let at_rest = tokio::runtime::Builder::new_current_thread().build()?;
    in_virtual_time(async {
        let dealer = Dealer::with_options(quiet())?;
        let mut peers = peers_of(&dealer, MANY).await?;
        let entered = at_rest.enter();
        for _ in 0..MANY {
            dealer.try_send("!")?;
        }
        drop(entered);
        settle().await;
        assert_eq!(reached(&mut peers, 1).await, MANY);
        Ok(())
    })
}

#[test]
fn a_burst_is_written_where_the_runtime_of_some_peers_stands_still() -> Result {
    let dealer = Dealer::with_options(quiet())?;
    let at_rest = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // To seven a message is written alone, and the eighth is listed.
    let held_up = at_rest.block_on(peers_of(&dealer, 8))?;
    in_virtual_time(async {
        let mut peers = peers_of(&dealer, MANY).await?;
        for _ in 0..8 + MANY {
            dealer.send("!").await?;
        }
        settle().await;
        assert_eq!(reached(&mut peers, 1).await, MANY);
        drop((dealer, held_up));
        at_rest.shutdown_background();
        Ok(())
    })
}

/// Whether so many messages have come to so many peers before who sent them has computed for three seconds.
async fn come_while_their_sender_computes(count: usize) -> Result<bool> {
    let (dealer, mut peers) = dealer_and_peers(quiet(), MANY).await?;
    let (all_have_come, computes) = std::sync::mpsc::channel();
    let sender = tokio::spawn(async move {
        for _ in 0..count {
            dealer.send("!").await?;
        }
        let computed = computes.recv_timeout(Duration::from_secs(3));
        Ok::<_, SendError>(computed.is_ok())
    });
    for peer in &mut peers[..count] {
        peer.read(FRAME).await?;
    }
    // It fails where that has given up.
    let _ = all_have_come.send(());
    Ok(sender.await??)
}

/// The thread of who sends is its own for as long as it likes; others are free.
#[test]
fn beside_other_threads_a_burst_is_written_while_who_sent_it_computes() -> Result {
    on_two_workers(async {
        for count in [8, 9, MANY] {
            let mut come = false;
            // One that meets its driver at work waits with that, which its sender may hold up.
            for _ in 0..3 {
                come |= come || come_while_their_sender_computes(count).await?;
            }
            assert!(come, "{count}");
        }
        Ok(())
    })
}

/// Who sends has the one thread that is left, and yields to it.
#[test]
fn while_other_threads_compute_who_sends_has_its_turns_between_those_of_who_writes() -> Result {
    on_two_workers(async {
        let (dealer, _peers) = dealer_and_peers(quiet(), 2 * MANY).await?;
        let computes = computes()?;
        let turns = tokio::spawn(async move {
            let mut most = 0;
            // What is sent slowly, as the machine is busy, is no burst.
            for _ in 0..50 {
                for _ in 0..2 * MANY {
                    dealer.send("!").await?;
                }
                let mut turns = 0;
                while dealer.stats().sent.queued > 0 {
                    yield_now().await;
                    turns += 1;
                }
                most = most.max(turns);
            }
            Ok::<_, SendError>(most)
        });
        let turns = turns.await??;
        assert!(turns > 4, "{turns} at most");
        drop(computes);
        Ok(())
    })
}

/// Keeps a thread until what this returns is dropped, or for ten seconds.
fn computes() -> Result<std::sync::mpsc::Sender<()>> {
    let (begins, begun) = std::sync::mpsc::channel();
    let (ends, ended) = std::sync::mpsc::channel();
    tokio::spawn(async move {
        let _ = begins.send(());
        let _ = ended.recv_timeout(Duration::from_secs(10));
    });
    begun.recv()?;
    Ok(ends)
}

/// How many turns others have before a burst is written that waits when they begin, of which there are always
/// more.
async fn turns_before_all_is_written(dealer: &Dealer) -> Result<usize> {
    let turns = Arc::new(AtomicUsize::new(0));
    let (sender, counted) = (dealer.clone(), turns.clone());
    // Nobody writes until all are sent.
    let computes = computes()?;
    let others = tokio::spawn(async move {
        for _ in 0..4 * MANY {
            sender.send("!").await?;
        }
        let others = (0..20).map(|_| {
            let turns = counted.clone();
            tokio::spawn(async move {
                while turns.fetch_add(1, Ordering::Relaxed) < 4_000 {
                    let begun = Instant::now();
                    while begun.elapsed() < Duration::from_micros(300) {}
                    a_turn().await;
                }
            })
        });
        Ok::<_, SendError>((others.collect::<Vec<_>>(), computes))
    });
    let (others, computes) = others.await??;
    drop(computes);
    while dealer.stats().sent.queued > 0 {
        yield_now().await;
    }
    let had = turns.fetch_add(4_000, Ordering::Relaxed);
    for other in others {
        other.await?;
    }
    Ok(had)
}

/// Many tasks with short turns have some of them meanwhile, and not 64 each before the next is written.
#[test]
fn a_burst_is_written_between_short_turns_of_many_others() -> Result {
    on_two_workers(async {
        let (dealer, _peers) = dealer_and_peers(quiet(), 4 * MANY).await?;
        let mut most = 0;
        for _ in 0..4 {
            most = most.max(turns_before_all_is_written(&dealer).await?);
        }
        assert!(most < 1_000, "{most} turns");
        Ok(())
    })
}
