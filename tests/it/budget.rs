//! The context: names of inproc of its own, and a budget that bounds what its sockets hold.

use std::time::Duration;

use pushsub::testing::{Listening, dial};
use pushsub::{
    Context, Dealer, Event, LinkError, Message, Options, Pair, Pub, Pull, Push, Router, SendError,
    TrySendError,
};

use crate::support::peer::Peer;
use crate::support::{Result, connected, event, in_virtual_time, memory_name};

/// More than a wire in memory takes: the first message is begun and none is written.
const LARGE: usize = 100 << 10;

const BUDGET: usize = 1 << 20;

fn small_budget() -> Context {
    Context::builder().budget(BUDGET).build()
}

fn within(context: &Context) -> Options {
    Options::default().context(context)
}

/// A message frame of `announced` octets of which `sent` follow.
fn part(announced: usize, sent: usize) -> Vec<u8> {
    let mut octets = vec![2];
    octets.extend((announced as u64).to_be_bytes());
    octets.extend(vec![7; sent]);
    octets
}

/// Lets every task that can run do so.
async fn settled() {
    tokio::time::advance(Duration::from_millis(1)).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn two_contexts_may_bind_the_same_inproc_name_and_do_not_see_each_other() -> Result {
    in_virtual_time(async {
        let endpoint = format!("inproc://{}", memory_name());
        let contexts = [Context::new(), Context::new()];
        let pulls = contexts
            .each_ref()
            .map(|context| Pull::with_options(within(context)));
        let mut bound = Vec::new();
        for (context, pull) in contexts.iter().zip(pulls) {
            let pull = pull?;
            pull.bind(endpoint.as_str()).await?;
            bound.push((context, pull));
        }
        for (text, (context, pull)) in ["one", "other"].into_iter().zip(&bound) {
            let push = Push::with_options(within(context))?;
            push.connect(endpoint.as_str())?;
            push.send(text).await?;
            assert_eq!(pull.recv().await?.first(), text);
        }
        Ok(())
    })
}

/// C1: PUSH, DEALER and PAIR accept exactly the mark, with what a writer has taken.
#[test]
fn with_a_peer_that_never_reads_exactly_the_high_water_mark_is_accepted() -> Result {
    in_virtual_time(async {
        macro_rules! accepts_its_mark {
            ($socket:ident, $peer:literal) => {
                for mark in [1, 7] {
                    let options = Options::default().send_high_water_mark(mark);
                    let socket = $socket::with_options(options)?;
                    let name = memory_name();
                    let mut listening = Listening::bind(&name)?;
                    let mut monitor = socket.monitor();
                    socket.connect(format!("memory://{name}").as_str())?;
                    let _peer = Peer::shaken(listening.accept().await?, $peer, 1).await?;
                    connected(&mut monitor).await;
                    let mut accepted = 0;
                    for _ in 0..20 {
                        accepted += usize::from(socket.try_send(vec![0; LARGE]).is_ok());
                        settled().await;
                    }
                    assert_eq!(accepted, mark, stringify!($socket));
                }
            };
        }
        accepts_its_mark!(Push, "PULL");
        accepts_its_mark!(Dealer, "ROUTER");
        accepts_its_mark!(Pair, "PAIR");
        Ok(())
    })
}

/// C1: those that never wait queue exactly the mark, and count the rest.
#[test]
fn pub_and_router_queue_exactly_the_mark_and_count_what_they_drop() -> Result {
    in_virtual_time(async {
        let options = Options::default().send_high_water_mark(7);
        let publisher = Pub::with_options(options.clone())?;
        let name = memory_name();
        publisher.bind(format!("memory://{name}").as_str()).await?;
        let mut subscriber = Peer::shaken(dial(&name)?, "SUB", 0).await?;
        subscriber.write(&[0, 1, 1]).await?;
        settled().await;
        let router = Router::with_options(options)?;
        let name = memory_name();
        router.bind(format!("memory://{name}").as_str()).await?;
        let _dealer = Peer::identified(dial(&name)?, "DEALER", 1, b"d").await?;
        settled().await;
        for _ in 0..20 {
            publisher.try_send(vec![0; LARGE])?;
            router.try_send([&b"d"[..], &[0; LARGE][..]].map(|part| part.to_vec()))?;
            settled().await;
        }
        for stats in [publisher.stats(), router.stats()] {
            assert_eq!(stats.sent.queued, 7);
            assert_eq!(stats.sent.dropped.full, 13);
        }
        Ok(())
    })
}

/// C2, BI-63.
#[test]
fn a_healthy_pair_goes_on_while_stalled_peers_hold_the_whole_budget() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let push = Push::with_options(within(&context))?;
        let name = memory_name();
        push.bind(format!("memory://{name}").as_str()).await?;
        let mut monitor = push.monitor();
        let mut stalled = Vec::new();
        for _ in 0..4 {
            stalled.push(Peer::shaken(dial(&name)?, "PULL", 1).await?);
            connected(&mut monitor).await;
        }
        let mut accepted = 0;
        while push.try_send(vec![0; LARGE]).is_ok() {
            accepted += 1;
            settled().await;
        }
        assert!(accepted >= 6, "{accepted} of 100 KiB in 1 MiB");
        assert!(context.used() > BUDGET / 2 && context.used() <= BUDGET);

        let (healthy, pull) = (
            Push::with_options(within(&context))?,
            Pull::with_options(within(&context))?,
        );
        let endpoint = pull
            .bind(format!("memory://{}", memory_name()).as_str())
            .await?;
        healthy.connect(&endpoint)?;
        for number in 0..5_000_u32 {
            healthy.send(number.to_be_bytes().to_vec()).await?;
            if number % 50 == 49 {
                for back in (0..50).rev() {
                    let wanted = (number - back).to_be_bytes();
                    assert_eq!(pull.recv().await?.first()[..], wanted);
                }
            }
        }

        // What the stalled ones hold comes back, and whoever waits for it is woken.
        let waiting = healthy.clone();
        let sending = tokio::spawn(async move { waiting.send(vec![1; 500 << 10]).await });
        settled().await;
        assert!(!sending.is_finished(), "nothing is left for it");
        drop(stalled);
        sending.await??;
        assert_eq!(pull.recv().await?.size(), 500 << 10);
        push.close(Duration::ZERO).await;
        settled().await;
        assert_eq!(context.used(), 0);
        Ok(())
    })
}

/// C2, BI-67: what nobody receives is left on the wires, and nothing of it is lost.
#[test]
fn links_are_left_unread_where_the_budget_is_used_up_and_read_on_when_it_is_not() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let pull = Pull::with_options(within(&context))?;
        let name = memory_name();
        pull.bind(format!("memory://{name}").as_str()).await?;
        let mut senders = Vec::new();
        for _ in 0..4 {
            let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
            senders.push(tokio::spawn(async move {
                for _ in 0..40 {
                    let written = peer.write(&part(50 << 10, 50 << 10)).await;
                    assert!(written.is_ok(), "the link is not cut");
                }
                peer
            }));
        }
        settled().await;
        assert!(senders.iter().all(|sender| !sender.is_finished()));
        // What was read when the budget ran out is 128 KiB a link at most.
        assert!(context.used() > BUDGET / 2 && context.used() < BUDGET + 4 * (128 << 10));
        for _ in 0..160 {
            assert_eq!(pull.recv().await?.size(), 50 << 10);
        }
        for sender in senders {
            sender.await?;
        }
        settled().await;
        assert_eq!(context.used(), 0);
        Ok(())
    })
}

/// BI-32: parts of messages cannot hold the budget for ever.
#[test]
fn a_part_of_a_message_that_has_no_place_to_grow_ends_its_link_after_ten_seconds() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let pull = Pull::with_options(within(&context).heartbeat_interval(None))?;
        let name = memory_name();
        let mut monitor = pull.monitor();
        pull.bind(format!("memory://{name}").as_str()).await?;
        let mut writing = Vec::new();
        for _ in 0..5 {
            let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
            writing.push(tokio::spawn(async move {
                // The last octet never comes.
                let _ = peer.write(&part(400 << 10, (400 << 10) - 1)).await;
                peer
            }));
        }
        settled().await;
        let since = tokio::time::Instant::now();
        let ended = event(&mut monitor, |event| {
            matches!(event, Event::Disconnected { .. })
        });
        let Event::Disconnected { reason, .. } = ended.await else {
            unreachable!("waited for above")
        };
        assert_eq!(reason, LinkError::OutOfBudget);
        assert!(
            since.elapsed() >= Duration::from_secs(9),
            "{:?}",
            since.elapsed()
        );
        assert!(context.used() <= BUDGET);
        pull.close(Duration::ZERO).await;
        settled().await;
        assert_eq!(context.used(), 0);
        Ok(())
    })
}

/// BI-32: an announced length costs nothing.
#[test]
fn an_announced_length_is_not_charged_before_its_octets_come() -> Result {
    in_virtual_time(async {
        let context = Context::new();
        let pull = Pull::with_options(within(&context))?;
        let name = memory_name();
        pull.bind(format!("memory://{name}").as_str()).await?;
        let mut peers = Vec::new();
        for _ in 0..100 {
            let mut peer = Peer::shaken(dial(&name)?, "PUSH", 1).await?;
            peer.write(&part(16 << 20, 100)).await?;
            peers.push(peer);
        }
        settled().await;
        assert_eq!(context.used(), 0);
        Ok(())
    })
}

#[test]
fn a_message_above_half_of_the_budget_is_refused_and_not_waited_for() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let push = Push::with_options(within(&context))?;
        push.connect(format!("inproc://{}", memory_name()).as_str())?;
        let refused = push.try_send(vec![0; BUDGET / 2 + 1]);
        let refused = matches!(refused, Err(TrySendError::Refused(SendError::TooLarge(_))));
        assert!(refused);
        push.try_send(Message::from(vec![0; BUDGET / 2]))?;
        Ok(())
    })
}
