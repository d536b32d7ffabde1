//! Tests of the proxy between channels, and between sides that misbehave.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};

use super::{Manner, Proxy, ProxyHandle, Traffic};
use crate::message::Message;

/// One side of a proxy: what it receives and where it sends.
struct Side {
    source: mpsc::Receiver<Message>,
    sink: mpsc::Sender<Message>,
    /// Messages that begin so are refused.
    refuses: &'static str,
    /// How often it was asked for a message.
    polls: Arc<AtomicUsize>,
    /// How often it was flushed.
    flushes: Arc<AtomicUsize>,
}

/// The peer of a side.
struct Peer {
    sink: mpsc::Sender<Message>,
    source: mpsc::Receiver<Message>,
}

/// A side that takes `room` messages and one more of each sender, and its peer.
fn side(room: usize) -> (Side, Peer) {
    let (peer_sink, source) = mpsc::channel(1_000);
    let (sink, peer_source) = mpsc::channel(room);
    let side = Side {
        source,
        sink,
        refuses: "refused",
        polls: Arc::default(),
        flushes: Arc::default(),
    };
    let peer = Peer {
        sink: peer_sink,
        source: peer_source,
    };
    (side, peer)
}

impl Stream for Side {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.source.poll_next_unpin(context)
    }
}

impl Sink<Message> for Side {
    type Error = &'static str;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), &'static str>> {
        self.sink.poll_ready_unpin(context).map_err(|_| "gone")
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), &'static str> {
        if message.first().starts_with(self.refuses.as_bytes()) {
            return Err("refused");
        }
        self.sink.start_send_unpin(message).map_err(|_| "gone")
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), &'static str>> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.sink.poll_flush_unpin(context).map_err(|_| "gone")
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), &'static str>> {
        self.poll_flush(context)
    }
}

fn number(number: u32) -> Message {
    Message::new(number.to_string())
}

/// Lets all that can run do so, on the one thread there is.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn spawn(front: Side, back: Side) -> ProxyHandle {
    let proxy = Proxy::new(front, back);
    let handle = proxy.handle();
    tokio::spawn(proxy.run());
    handle
}

#[tokio::test]
async fn messages_go_both_ways_in_order_and_are_counted() {
    let (front, mut client) = side(1_000);
    let (back, mut worker) = side(1_000);
    let handle = spawn(front, back);
    for value in 0..700 {
        client.sink.send(number(value)).await.expect("it runs");
        worker.sink.send(number(value)).await.expect("it runs");
    }
    for value in 0..700 {
        assert_eq!(worker.source.next().await, Some(number(value)));
        assert_eq!(client.source.next().await, Some(number(value)));
    }
    settle().await;
    let octets = 10 + 90 * 2 + 600 * 3;
    let traffic = Traffic {
        received: 700,
        received_octets: octets,
        sent: 700,
        sent_octets: octets,
        refused: 0,
    };
    assert_eq!(handle.stats().forth, traffic);
    assert_eq!(handle.stats().home, traffic);
}

/// Often enough something has come, and more may follow: it is looked for before the proxy sleeps.
#[tokio::test]
async fn behind_what_comes_a_proxy_looks_for_more() {
    let (front, mut client) = side(10);
    let (back, mut worker) = side(10);
    let polls = Arc::clone(&front.polls);
    spawn(front, back);
    let mut looks = Vec::new();
    for value in 0..4 {
        client.sink.send(number(value)).await.expect("it runs");
        assert_eq!(worker.source.next().await, Some(number(value)));
        let before = polls.load(Ordering::Relaxed);
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        looks.push(polls.load(Ordering::Relaxed) - before);
    }
    assert_eq!(looks, [0, 0, 0, 2]);
}

#[tokio::test]
async fn a_refused_message_is_counted_and_the_next_goes_on() {
    let (front, mut client) = side(10);
    let (back, mut worker) = side(10);
    let handle = spawn(front, back);
    for text in ["first", "refused", "refused too", "last"] {
        client.sink.send(text.into()).await.expect("it runs");
    }
    assert_eq!(worker.source.next().await, Some("first".into()));
    assert_eq!(worker.source.next().await, Some("last".into()));
    let forth = handle.terminate().await.forth;
    assert_eq!((forth.received, forth.sent, forth.refused), (4, 2, 2));
}

/// A peer that is gone costs the messages for it, not the other direction.
#[tokio::test]
async fn a_sink_that_is_gone_ends_nothing() {
    let (front, mut client) = side(10);
    let (back, worker) = side(10);
    let handle = spawn(front, back);
    let Peer { mut sink, source } = worker;
    drop(source);
    for value in 0..20 {
        client.sink.send(number(value)).await.expect("it runs");
    }
    sink.send("reply".into()).await.expect("it runs");
    assert_eq!(client.source.next().await, Some("reply".into()));
    settle().await;
    assert_eq!(handle.terminate().await.forth.refused, 20);
}

#[tokio::test]
async fn what_the_back_cannot_take_stays_with_the_front() {
    let (front, mut client) = side(1);
    let (back, mut worker) = side(3);
    let handle = spawn(front, back);
    for value in 0..100 {
        client.sink.send(number(value)).await.expect("it runs");
    }
    settle().await;
    // Three and the one that each sender of a channel may have beyond.
    assert_eq!(handle.stats().forth.received, 4);
    for value in 0..100 {
        assert_eq!(worker.source.next().await, Some(number(value)));
    }
    settle().await;
    assert_eq!(handle.terminate().await.forth.sent, 100);
}

#[tokio::test]
async fn a_blocked_direction_does_not_hold_up_the_other() {
    let (front, mut client) = side(1_000);
    let (back, mut worker) = side(0);
    let handle = spawn(front, back);
    for value in 0..900 {
        client.sink.send(number(value)).await.expect("it runs");
        worker.sink.send(number(value)).await.expect("it runs");
    }
    for value in 0..900 {
        assert_eq!(client.source.next().await, Some(number(value)));
    }
    assert_eq!(handle.stats().forth.received, 1);
}

/// Fair: a direction that always has more does not keep the other waiting
/// beyond a batch.
#[tokio::test]
async fn a_flood_one_way_leaves_the_other_its_turn() {
    let endless = futures::stream::repeat_with(|| Message::from("flood"));
    let flood = super::Receiving::new(endless.boxed());
    let (back, worker) = side(0);
    let Peer {
        mut source,
        mut sink,
    } = worker;
    let proxy = Proxy::new(flood, back);
    let handle = proxy.handle();
    let task = tokio::spawn(proxy.run());
    sink.send("reply".into()).await.expect("it runs");
    while handle.stats().home.received == 0 {
        source.next().await.expect("it runs");
    }
    handle.terminate().await;
    task.await.expect("it does not panic");
}

/// A proxy of so many messages, whose back says whether it has little for each of its peers; and how often
/// that was flushed.
fn flood(
    messages: usize,
    has_little: fn(&Side) -> bool,
) -> (impl Future<Output = ()>, ProxyHandle, Arc<AtomicUsize>) {
    let endless = futures::stream::repeat_with(|| Message::from("flood"));
    let front = super::Receiving::new(endless.take(messages).boxed());
    let (back, worker) = side(messages);
    let flushes = Arc::clone(&back.flushes);
    let of_back = Manner {
        has_little,
        ..Manner::PLAIN
    };
    let proxy = Proxy::tapped(front, back, None, &Manner::PLAIN, &of_back);
    let handle = proxy.handle();
    let running = async move {
        // Its peer sends nothing, and takes what it gets.
        let Peer { sink, mut source } = worker;
        drop(sink);
        proxy.run().await;
        while source.next().await.is_some() {}
    };
    (running, handle, flushes)
}

#[tokio::test(start_paused = true)]
async fn eight_batches_that_have_little_for_each_peer_share_a_flush() {
    let (running, _handle, flushes) = flood(20 * 256 + 1, |_| true);
    running.await;
    assert_eq!(
        flushes.load(Ordering::Relaxed),
        4,
        "and the first has its own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_flushed_where_others_have_long_turns() {
    let (running, _handle, flushes) = flood(10 * 256, |_| true);
    let mut running = std::pin::pin!(running);
    for turn in 1..10 {
        assert!(futures::poll!(&mut running).is_pending());
        assert_eq!(flushes.load(Ordering::Relaxed), turn);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_much_for_each_peer_is_flushed() {
    let (running, _handle, flushes) = flood(20 * 256 + 1, |_| false);
    running.await;
    assert_eq!(flushes.load(Ordering::Relaxed), 21);
}

#[tokio::test(start_paused = true)]
async fn what_has_not_been_flushed_is_when_a_proxy_is_terminated() {
    let (running, handle, flushes) = flood(10 * 256, |_| true);
    let mut running = std::pin::pin!(running);
    for _ in 0..2 {
        assert!(futures::poll!(&mut running).is_pending());
    }
    assert_eq!(flushes.load(Ordering::Relaxed), 1);
    let terminated = handle.terminate();
    futures::pin_mut!(terminated);
    assert!(futures::poll!(&mut terminated).is_pending());
    running.await;
    assert_eq!(flushes.load(Ordering::Relaxed), 2);
    assert_eq!(terminated.await.forth.sent, 512);
}

/// D4: terminate ends a proxy whose back takes nothing.
#[tokio::test]
async fn terminating_needs_no_room() {
    let (front, mut client) = side(1);
    let (back, worker) = side(0);
    let handle = spawn(front, back);
    for value in 0..10 {
        client.sink.send(number(value)).await.expect("it runs");
    }
    settle().await;
    assert_eq!(handle.terminate().await.forth.received, 1);
    drop(worker);
}

#[tokio::test]
async fn a_pause_holds_one_message_and_a_resume_loses_none() {
    let (front, mut client) = side(10);
    let (back, mut worker) = side(1_000);
    let handle = spawn(front, back);
    settle().await;
    handle.pause();
    for value in 0..300 {
        client.sink.send(number(value)).await.expect("it runs");
    }
    settle().await;
    assert_eq!(worker.source.next().now_or_never(), None);
    assert_eq!(handle.stats().forth.received, 1);
    handle.resume();
    for value in 0..300 {
        assert_eq!(worker.source.next().await, Some(number(value)));
    }
    settle().await;
    assert_eq!(handle.terminate().await.forth.sent, 300);
}

#[tokio::test]
async fn finishing_forwards_what_has_come() {
    let (front, mut client) = side(10);
    let (back, mut worker) = side(1_000);
    let handle = spawn(front, back);
    handle.pause();
    for value in 0..900 {
        client.sink.send(number(value)).await.expect("it runs");
    }
    let finished = handle.finish().await;
    assert_eq!((finished.forth.received, finished.forth.sent), (900, 900));
    for value in 0..900 {
        assert_eq!(worker.source.next().await, Some(number(value)));
    }
}

#[tokio::test]
async fn it_ends_by_itself_when_both_streams_have() {
    let (front, client) = side(10);
    let (back, worker) = side(10);
    let handle = spawn(front, back);
    let Peer { mut sink, .. } = client;
    sink.send("last".into()).await.expect("it runs");
    drop(sink);
    settle().await;
    assert!(handle.wait_until_ended().now_or_never().is_none());
    drop(worker.sink);
    assert_eq!(handle.wait_until_ended().await.forth.sent, 1);
}

#[tokio::test]
async fn a_proxy_that_is_dropped_has_ended_for_its_handles() {
    let (front, _client) = side(1);
    let (back, _worker) = side(1);
    let proxy = Proxy::new(front, back);
    let handle = proxy.handle();
    drop(proxy);
    assert_eq!(handle.terminate().await.forth.received, 0);
}

/// D6: best effort.
#[tokio::test]
async fn a_full_capture_loses_copies_and_holds_up_nobody() {
    let (front, mut client) = side(10);
    let (back, mut worker) = side(1_000);
    let (copies, mut captured) = mpsc::channel(4);
    let proxy = Proxy::new(front, back).capture(copies);
    let handle = proxy.handle();
    tokio::spawn(proxy.run());
    for value in 0..100 {
        client.sink.send(number(value)).await.expect("it runs");
    }
    for value in 0..100 {
        assert_eq!(worker.source.next().await, Some(number(value)));
    }
    let capture = handle.terminate().await.capture;
    assert_eq!((capture.taken, capture.dropped), (5, 95));
    for value in 0..5 {
        assert_eq!(captured.next().await, Some(number(value)));
    }
}

#[tokio::test]
async fn a_capture_sees_both_ways() {
    let (front, mut client) = side(10);
    let (back, mut worker) = side(10);
    let (copies, mut captured) = mpsc::unbounded();
    let proxy = Proxy::new(front, back).capture(copies);
    tokio::spawn(proxy.run());
    client.sink.send("question".into()).await.expect("it runs");
    assert_eq!(captured.next().await, Some("question".into()));
    worker.sink.send("answer".into()).await.expect("it runs");
    assert_eq!(captured.next().await, Some("answer".into()));
}
