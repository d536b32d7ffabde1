//! Who waits while the budget of a context is used up: nobody spins, nobody is forgotten, and no
//! more is dropped than has to be.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::poll_fn;
use pushsub::testing::{Listening, dial};
use pushsub::{Context, Event, LinkError, Options, Overflow, Pub, Pull, Push};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use crate::support::peer::{Peer, frame};
use crate::support::{Result, connected, event, in_virtual_time, memory_name};

const KIB: usize = 1 << 10;
const BUDGET: usize = KIB << 10;

/// More than a wire in memory takes.
const LARGE: usize = 100 * KIB;

fn small_budget() -> Context {
    Context::builder().budget(BUDGET).build()
}

/// Long before a heartbeat would wake anybody.
async fn soon<T>(future: impl Future<Output = T>) -> Result<T> {
    let ended = timeout(Duration::from_secs(1), future).await;
    Ok(ended.map_err(|_| "it waits though it need not")?)
}

async fn settled() {
    tokio::time::advance(Duration::from_millis(1)).await;
    for _ in 0..200 {
        yield_now().await;
    }
}

/// A peer of a bound PUSH or PUB, which reads nothing.
async fn deaf(name: &str, socket_type: &str) -> Result<Peer> {
    let mut peer = Peer::shaken(dial(name)?, socket_type, 0).await?;
    if socket_type == "SUB" {
        peer.write(&frame(false, b"\x01")).await?;
    }
    settled().await;
    Ok(peer)
}

/// Holds most of a budget until it is dropped.
struct Hog {
    _push: Push,
    _peer: Peer,
}

impl Hog {
    /// Takes what is left of the budget but for so many octets, or up to 64 KiB less.
    async fn leaving(context: &Context, octets: usize) -> Result<Self> {
        let options = Options::default().heartbeat_interval(None);
        let push = Push::with_options(options.context(context))?;
        let name = memory_name();
        push.bind(format!("memory://{name}").as_str()).await?;
        let peer = deaf(&name, "PULL").await?;
        while context.budget() - context.used() > octets {
            push.try_send(vec![0; 8 * KIB])?;
            settled().await;
        }
        Ok(Self {
            _push: push,
            _peer: peer,
        })
    }
}

/// A task that sends, and how often it was polled.
fn counted<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> (JoinHandle<T>, Arc<AtomicU32>) {
    let polls = Arc::new(AtomicU32::new(0));
    let count = polls.clone();
    let task = tokio::spawn(async move {
        let mut future = pin!(future);
        poll_fn(|context| {
            count.fetch_add(1, Ordering::Relaxed);
            future.as_mut().poll(context)
        })
        .await
    });
    (task, polls)
}

fn publisher(context: &Context, overflow: Overflow) -> Result<Pub> {
    let options = Options::default()
        .heartbeat_interval(None)
        .overflow(overflow);
    Ok(Pub::with_options(options.context(context))?)
}

/// C2, C9: the budget has enough for one of two subscribers. What is granted for it and given
/// back must not wake the one who asked.
#[test]
fn a_publisher_that_waits_for_the_budget_neither_spins_nor_hangs() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let publisher = publisher(&context, Overflow::Block)?;
        let name = memory_name();
        publisher.bind(format!("memory://{name}").as_str()).await?;
        let mut subscribers = [deaf(&name, "SUB").await?, deaf(&name, "SUB").await?];
        publisher.send(vec![1; LARGE]).await?;
        settled().await;
        // Each lacks some 72 KiB for a second message.
        let hog = Hog::leaving(&context, 140 * KIB).await?;
        let waiting = publisher.clone();
        let (sending, polls) = counted(async move { waiting.send(vec![2; LARGE]).await });
        settled().await;
        assert!(!sending.is_finished(), "the budget has not enough for both");
        let polls = polls.load(Ordering::Relaxed);
        assert!(
            polls < 5,
            "it was polled {polls} times and nothing had changed"
        );
        drop(hog);
        soon(sending).await???;
        for subscriber in &mut subscribers {
            for octet in [1, 2] {
                assert_eq!(subscriber.frame().await?.1, vec![octet; LARGE]);
            }
        }
        Ok(())
    })
}

/// C9: each publisher waits for pipes of its own, so the room of one is not for whoever came first.
#[test]
fn all_publishers_look_when_one_subscriber_has_room() -> Result {
    in_virtual_time(async {
        let options = Options::default().heartbeat_interval(None);
        let options = options.send_high_water_mark(1).overflow(Overflow::Block);
        let publisher = Pub::with_options(options)?;
        let name = memory_name();
        publisher.bind(format!("memory://{name}").as_str()).await?;
        let mut subscribers = Vec::new();
        for topic in [b"\x01a", b"\x01b"] {
            let mut peer = Peer::shaken(dial(&name)?, "SUB", 0).await?;
            peer.write(&frame(false, topic)).await?;
            settled().await;
            subscribers.push(peer);
        }
        let body = |topic: u8| vec![topic; LARGE];
        publisher.send(body(b'a')).await?;
        publisher.send(body(b'b')).await?;
        let [first, second] = [b'a', b'b'].map(|topic| {
            let publisher = publisher.clone();
            tokio::spawn(async move { publisher.send(body(topic)).await })
        });
        settled().await;
        assert!(!first.is_finished() && !second.is_finished());
        subscribers[1].frame().await?;
        soon(second).await???;
        assert!(!first.is_finished());
        subscribers[0].frame().await?;
        soon(first).await???;
        Ok(())
    })
}

/// C2: room came for one whose message the budget refuses: it goes to the next, and is not kept.
#[test]
fn room_that_the_budget_keeps_from_the_first_goes_to_the_next() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let options = Options::default().send_high_water_mark(1);
        let push = Push::with_options(options.context(&context).heartbeat_interval(None))?;
        let name = memory_name();
        push.bind(format!("memory://{name}").as_str()).await?;
        let mut peer = deaf(&name, "PULL").await?;
        let hog = Hog::leaving(&context, 64 * KIB).await?;
        let place = push.reserve().await?;
        let [first, second] = [LARGE, 100].map(|octets| {
            let push = push.clone();
            counted(async move { push.send(vec![7; octets]).await })
        });
        settled().await;
        assert!(!first.0.is_finished() && !second.0.is_finished());
        drop(place);
        soon(second.0).await???;
        assert_eq!(peer.frame().await?.1.len(), 100);
        settled().await;
        let polls = first.1.load(Ordering::Relaxed);
        assert!(!first.0.is_finished() && polls < 10, "{polls} polls");
        drop(hog);
        soon(first.0).await???;
        assert_eq!(peer.frame().await?.1.len(), LARGE);
        Ok(())
    })
}

/// C9: what is dropped gives its memory back, so that little has to be dropped for the newest.
#[test]
fn the_oldest_are_dropped_for_the_budget_no_more_than_the_newest_needs() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let options = Options::default()
            .heartbeat_interval(None)
            .send_high_water_mark(100_000)
            .overflow(Overflow::DropOldest);
        let publisher = Pub::with_options(options.context(&context))?;
        let name = memory_name();
        publisher.bind(format!("memory://{name}").as_str()).await?;
        let _subscriber = deaf(&name, "SUB").await?;
        // The wire takes what it can, and the writer keeps the rest of its batch.
        for _ in 0..40 {
            publisher.try_send(vec![0; 2_000])?;
        }
        settled().await;
        let mut most = 0;
        for _ in 0..2_000 {
            publisher.try_send(vec![1; 2_000])?;
            let queued = publisher.stats().sent.queued;
            most = most.max(queued);
            // A step of the budget is 64 KiB, some 32 messages.
            assert!(queued + 70 > most, "{queued} are left of {most}");
        }
        assert!(publisher.stats().sent.dropped.replaced > 1_000);
        assert!(context.used() <= BUDGET);
        Ok(())
    })
}

/// H03, C2: a link that was left unread for want of budget is excused from signs of life; the
/// connection that follows it is not.
#[test]
fn the_connection_after_one_that_was_left_unread_has_to_show_signs_of_life() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let _hog = Hog::leaving(&context, 64 * KIB).await?;
        let options = Options::default().heartbeat_interval(Some(Duration::from_secs(2)));
        let pull = Pull::with_options(options.context(&context))?;
        let mut monitor = pull.monitor();
        let name = memory_name();
        let mut listening = Listening::bind(&name)?;
        pull.connect(format!("memory://{name}").as_str())?;
        let mut first = Peer::shaken(listening.accept().await?, "PUSH", 1).await?;
        connected(&mut monitor).await;
        let mut announced = vec![2];
        announced.extend((400 * KIB as u64).to_be_bytes());
        announced.extend(vec![7; 3 * LARGE]);
        let writing = timeout(Duration::from_secs(1), first.write(&announced)).await;
        assert!(writing.is_err(), "it is left unread");
        drop(first);
        let _second = Peer::shaken(listening.accept().await?, "PUSH", 1).await?;
        connected(&mut monitor).await;
        let ended = event(&mut monitor, |event| {
            matches!(event, Event::Disconnected { .. })
        });
        let ended = timeout(Duration::from_secs(60), ended);
        let Event::Disconnected { reason, .. } = ended.await? else {
            unreachable!("waited for above")
        };
        assert_eq!(reason, LinkError::Silent);
        Ok(())
    })
}

/// C2: whoever publishes, and whoever reads, is told when the budget has room again, each time anew.
#[test]
fn all_who_wait_for_the_budget_go_on_when_it_is_free() -> Result {
    in_virtual_time(async {
        let context = small_budget();
        let pushes = [(); 3].map(|()| Push::with_options(Options::default().context(&context)));
        let mut peers = Vec::new();
        let mut sockets = Vec::new();
        for push in pushes {
            let push = push?;
            let name = memory_name();
            push.bind(format!("memory://{name}").as_str()).await?;
            peers.push(deaf(&name, "PULL").await?);
            sockets.push(push);
        }
        for _ in 0..3 {
            let hog = Hog::leaving(&context, 64 * KIB).await?;
            let sending: Vec<_> = sockets
                .iter()
                .cloned()
                .map(|push| counted(async move { push.send(vec![3; LARGE]).await }))
                .collect();
            settled().await;
            assert!(sending.iter().all(|(task, _)| !task.is_finished()));
            drop(hog);
            for ((task, _), peer) in sending.into_iter().zip(&mut peers) {
                soon(task).await???;
                assert_eq!(peer.frame().await?.1.len(), LARGE);
            }
            settled().await;
            assert_eq!(context.used(), 0);
        }
        Ok(())
    })
}

/// C2: `recv` has a shorter way where other messages stay, and what it gives back is told all the same.
#[test]
fn who_waits_for_the_budget_is_told_by_whichever_recv_makes_room() -> Result {
    in_virtual_time(async {
        let budget = 512 * KIB;
        let context = Context::builder().budget(budget).build();
        let options = || Options::default().context(&context);
        let pull = Pull::with_options(options())?;
        let endpoint = pull.bind("inproc://full").await?;
        let push = Push::with_options(options())?;
        push.connect(&endpoint)?;
        for _ in 0..6 {
            push.send(vec![0; 64_000]).await?;
        }
        settled().await;
        let other = Push::with_options(options())?;
        other.connect("inproc://nobody")?;
        let octets = 200_000;
        let waiting = tokio::spawn(async move { other.send(vec![0; octets]).await });
        settled().await;
        assert!(!waiting.is_finished());
        // The first takes the long way, the others the short one.
        let mut received = 0;
        while context.used() + octets + KIB > budget {
            assert!(!waiting.is_finished());
            pull.recv().await?;
            received += 1;
        }
        assert_eq!(received, 2, "the one that made room took the short way");
        settled().await;
        assert!(waiting.is_finished());
        waiting.await??;
        Ok(())
    })
}
