//! The one core of the classic devices: moves messages both ways between two sides.
//!
//! ```text
//!            poll_ready ◀─── room? ───┐
//!   front ── poll_next ──▶ [held] ──▶ back      forth, and the same the other way
//!                            │
//!                            ▼ copy, if it has room
//!                         capture
//! ```
//!
//! A turn serves both directions, each with a batch at most. A message is taken
//! from one side only when the other has room, so what a side cannot take stays
//! with the peers that send it, and the proxy itself holds one message at most
//! in each direction.

mod handle;
mod lane;
mod one_way;
mod tap;
/// Whether a sink has room. It takes no step of the turn of this task, as one is taken for what is received:
/// that the turn is over would be taken for a want of room.
fn poll_room<K>(sink: &mut K, context: &mut Context<'_>) -> Poll<Result<(), K::Error>>
where
    K: Sink<Message> + Unpin,
{
    let room = unconstrained(poll_fn(|context| sink.poll_ready_unpin(context)));
    pin!(room).poll(context)
}

#[cfg(test)]
mod tests;

use std::fmt::{self, Display};
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Sink, SinkExt, Stream};
use tokio::task::coop::has_budget_remaining;
use tokio::task::unconstrained;

pub use self::handle::{Captured, ProxyHandle, ProxyStats, Traffic};
use self::handle::{Phase, Shared};
pub(super) use self::lane::Manner;
use self::lane::{Lane, Turn};
pub use self::one_way::{Receiving, Sending};
pub(super) use self::tap::Tap;
use crate::looks::Looks;
use crate::message::Message;
use crate::turns::wake_behind_others;

/// Moves every message of its front to its back, and every message of its back
/// to its front, until it is told to end.
///
/// A side is whatever is a [`Stream`] and a [`Sink`] of messages: a [`Dealer`],
/// a [`Router`], a socket of the `zeromq` crate, a pair of channels. A side that
/// only receives or only sends is wrapped in [`Receiving`] or [`Sending`].
///
/// An error of a sink costs the message that met it, which is counted; it never
/// ends the proxy. A stream that ends, ends its direction; the proxy ends with
/// the second.
///
/// ```
/// use futures::channel::mpsc;
/// use futures::{SinkExt, StreamExt};
/// use pushsub::{Message, Proxy, Receiving, Sending};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let (mut source, front) = mpsc::channel::<Message>(1);
/// let (back, mut drain) = mpsc::channel::<Message>(1);
/// let proxy = Proxy::new(Receiving::new(front), Sending::new(back));
/// let handle = proxy.handle();
/// tokio::spawn(proxy.run());
/// source.send("work".into()).await?;
/// assert_eq!(drain.next().await, Some(Message::from("work")));
/// assert_eq!(handle.terminate().await.forth.received, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Dealer`]: crate::Dealer
/// [`Router`]: crate::Router
pub struct Proxy<F, B> {
    front: F,
    back: B,
    forth: Lane<F, B>,
    home: Lane<B, F>,
    tap: Option<Tap>,
    handle: ProxyHandle,
    /// Dropped with the proxy or its `run`: tells those who wait for the end.
    ended: Ended,
}

/// Tells the handles that the proxy is no more, however it went.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}

impl<F, B, FE, BE> Proxy<F, B>
where
    F: Stream<Item = Message> + Sink<Message, Error = FE> + Unpin,
    B: Stream<Item = Message> + Sink<Message, Error = BE> + Unpin,
    FE: Display,
    BE: Display,
{
    /// A proxy between these two, yet to be run.
    #[must_use]
    pub fn new(front: F, back: B) -> Self {
        Self::tapped(front, back, None, &Manner::PLAIN, &Manner::PLAIN)
    }

    /// As [`new`](Self::new), of sides that have these manners.
    pub(super) fn tapped(
        front: F,
        back: B,
        tap: Option<Tap>,
        of_front: &Manner<F>,
        of_back: &Manner<B>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        Self {
            front,
            back,
            forth: Lane::new(of_front, of_back),
            home: Lane::new(of_back, of_front),
            tap,
            handle: ProxyHandle::new(Arc::clone(&shared)),
            ended: Ended(shared),
        }
    }

    /// Gives `capture` a copy of every message that is forwarded, either way.
    /// A copy that it has no room for is dropped and counted; nobody waits for it.
    #[must_use]
    pub fn capture<S>(mut self, capture: S) -> Self
    where
        S: Sink<Message> + Send + 'static,
    {
        self.tap = Some(Tap::new(capture));
        self
    }

    /// What steers it and reads its counters while it runs.
    #[must_use]
    pub fn handle(&self) -> ProxyHandle {
        self.handle.clone()
    }

    /// Runs until it is terminated or both streams have ended. Returns the sides.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the proxy at once: the sides are dropped with at
    /// most one message that was taken in each direction, and with what their
    /// sinks were given and have not flushed, which the sockets of this crate
    /// write all the same.
    pub async fn run(mut self) -> (F, B) {
        let mut looks = Looks::new();
        poll_fn(|context| self.poll_turn(context, &mut looks)).await;
        self.forth.rest(&mut self.front);
        self.home.rest(&mut self.back);
        let Self {
            front, back, ended, ..
        } = self;
        drop(ended);
        (front, back)
    }

    fn poll_turn(&mut self, context: &mut Context<'_>, looks: &mut Looks) -> Poll<()> {
        let phase = self.ended.0.begin_turn(context.waker());
        let before = self.received();
        let (front, back, tap) = (&mut self.front, &mut self.back, &mut self.tap);
        let turns = [
            self.forth.turn(context, phase, front, back, tap),
            self.home.turn(context, phase, back, front, tap),
        ];
        let tapped = tap.as_mut().map(|tap| tap.flush(context));
        self.ended.0.end_turn(ProxyStats {
            forth: self.forth.traffic,
            home: self.home.traffic,
            capture: tapped.unwrap_or_default(),
        });
        let finishing = phase == Phase::Finishing;
        // Where the turn of the task is used up, a side that seems to have nothing may have more.
        let cut_short = !has_budget_remaining();
        let is_idle = |turn: &Turn| finishing && *turn == Turn::Idle && !cut_short;
        let all_done = turns
            .iter()
            .all(|turn| *turn == Turn::Ended || is_idle(turn));
        // Terminated, it waits for no sink.
        if all_done || phase == Phase::Terminated {
            return Poll::Ready(());
        }
        let (messages, octets) = self.received();
        if messages != before.0 {
            looks.note((octets - before.1) as usize, (messages - before.0) as usize);
        }
        if turns.contains(&Turn::Busy) || finishing && cut_short {
            // There may be more at once: others in this task's runtime have their turn first.
            context.waker().wake_by_ref();
        } else if looks.again() {
            wake_behind_others(context);
        }
        Poll::Pending
    }

    /// How many messages both sides have given, and the octets of them.
    fn received(&self) -> (u64, u64) {
        let (forth, home) = (&self.forth.traffic, &self.home.traffic);
        (
            forth.received + home.received,
            forth.received_octets + home.received_octets,
        )
    }
}

impl<F, B> fmt::Debug for Proxy<F, B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Proxy")
            .field("stats", &self.handle.stats())
            .finish_non_exhaustive()
    }
}
