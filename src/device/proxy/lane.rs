//! One direction of a proxy: takes from a source when the sink has room.

use std::fmt::Display;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::Instant;

use super::handle::{Phase, Traffic};
use super::poll_room;
use super::tap::Tap;
use crate::message::Message;

/// Messages that one direction forwards before the other has its turn: enough
/// to share a flush among many, little enough that the task's budget, some
/// 1,000 operations of our sockets, is not used up by both.
const BATCH: usize = 256;

/// Batches that share a flush at most, where a sink has little for each of its peers and there is more.
const BATCHES: u8 = 8;

/// Where others have had so much time since the last turn, what is moved does not wait for the next.
const LATE: Duration = Duration::from_micros(500);

/// What a proxy can tell and ask a side that no stream and no sink can be told and asked.
pub(in crate::device) struct Manner<S> {
    /// It is not looked at for now, whatever it has woken this task for.
    pub(in crate::device) rest: fn(&mut S),
    /// Whether a flush would write little to each of its peers.
    pub(in crate::device) has_little: fn(&S) -> bool,
}

impl<S> Manner<S> {
    /// That of whatever is a stream and a sink.
    pub(super) const PLAIN: Self = Self {
        rest: |_| {},
        has_little: |_| false,
    };
}

/// What is under way in one direction, from a source to a sink, and its counters.
pub(super) struct Lane<S, K> {
    rest: fn(&mut S),
    has_little: fn(&K) -> bool,
    /// Taken in a pause.
    held: Option<Message>,
    /// The octets of a message that the sink was given and has not yet accepted.
    offered: Option<u64>,
    /// The sink was given something since its last flush.
    unflushed: bool,
    /// Batches since then.
    batches: u8,
    /// When the last turn ended.
    turned: Option<Instant>,
    /// The source has ended.
    ended: bool,
    pub(super) traffic: Traffic,
}

/// How a turn of one direction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A whole batch was moved: there may be more.
    Busy,
    /// The sink has no room.
    Blocked,
    /// Nothing more was there, and all that was is accepted.
    Idle,
    /// As idle, and nothing will come any more.
    Ended,
}

impl<S, K> Lane<S, K>
where
    S: Stream<Item = Message> + Unpin,
    K: Sink<Message, Error: Display> + Unpin,
{
    /// Nothing is under way yet.
    pub(super) fn new(source: &Manner<S>, sink: &Manner<K>) -> Self {
        Self {
            rest: source.rest,
            has_little: sink.has_little,
            held: None,
            offered: None,
            unflushed: false,
            batches: 0,
            turned: None,
            ended: false,
            traffic: Traffic::default(),
        }
    }

    /// The source is not looked at any more.
    pub(super) fn rest(&self, source: &mut S) {
        (self.rest)(source);
    }

    /// Moves what is there, one batch at most, then flushes, unless more follows that may share it.
    pub(super) fn turn(
        &mut self,
        context: &mut Context<'_>,
        phase: Phase,
        source: &mut S,
        sink: &mut K,
        tap: &mut Option<Tap>,
    ) -> Turn {
        let in_time = self.turned.is_some_and(|turned| turned.elapsed() < LATE);
        let moved = match phase {
            Phase::Running | Phase::Finishing => self.forward(context, source, sink, tap),
            Phase::Paused => self.hold(context, source),
            Phase::Terminated => Turn::Ended,
        };
        self.batches += 1;
        let more_follows = moved == Turn::Busy && in_time && self.batches < BATCHES;
        let flushed = match more_follows && (self.has_little)(sink) {
            true => Poll::Ready(()),
            false => self.flush(context, sink),
        };
        self.turned = Some(Instant::now());
        match flushed {
            Poll::Pending if moved != Turn::Busy => Turn::Blocked,
            _ => moved,
        }
    }

    fn forward(
        &mut self,
        context: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
        tap: &mut Option<Tap>,
    ) -> Turn {
        for _ in 0..BATCH {
            let Poll::Ready(room) = poll_room(sink, context) else {
                self.rest(source);
                return Turn::Blocked;
            };
            if self.settle(&room) && room.is_err() {
                continue;
            }
            let message = match self.take(context, source) {
                Poll::Ready(Some(message)) => message,
                Poll::Ready(None) => return Turn::Ended,
                Poll::Pending => return Turn::Idle,
            };
            if let Some(tap) = tap {
                tap.offer(context, &message);
            }
            self.offered = Some(message.size() as u64);
            self.unflushed = true;
            let taken = room.and_then(|()| sink.start_send_unpin(message));
            if taken.is_err() {
                self.settle(&taken);
            }
        }
        // One peer may send for ever, and the others are not looked at meanwhile.
        self.rest(source);
        Turn::Busy
    }

    /// In a pause one message is taken and held, and the socket's own tasks read on.
    fn hold(&mut self, context: &mut Context<'_>, source: &mut S) -> Turn {
        match self.take(context, source) {
            Poll::Ready(Some(message)) => {
                self.held = Some(message);
                self.rest(source);
                Turn::Blocked
            }
            Poll::Ready(None) => Turn::Ended,
            Poll::Pending => Turn::Idle,
        }
    }

    fn take(&mut self, context: &mut Context<'_>, source: &mut S) -> Poll<Option<Message>> {
        if let Some(message) = self.held.take() {
            return Poll::Ready(Some(message));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let message = ready!(source.poll_next_unpin(context));
        match &message {
            Some(message) => {
                self.traffic.received += 1;
                self.traffic.received_octets += message.size() as u64;
            }
            None => self.ended = true,
        }
        Poll::Ready(message)
    }

    /// Has the sink flush what it was given, if anything.
    fn flush(&mut self, context: &mut Context<'_>, sink: &mut K) -> Poll<()> {
        self.batches = 0;
        if self.unflushed {
            let flushed = ready!(sink.poll_flush_unpin(context));
            self.unflushed = false;
            self.settle(&flushed);
        }
        Poll::Ready(())
    }

    /// The sink has said what became of the message that it was given, if there
    /// is one. Returns whether there was.
    fn settle<E: Display>(&mut self, outcome: &Result<(), E>) -> bool {
        let offered = self.offered.take();
        match (outcome, offered) {
            (Ok(()), Some(octets)) => {
                self.traffic.sent += 1;
                self.traffic.sent_octets += octets;
            }
            (Err(error), Some(_)) => {
                tracing::debug!(%error, "a message was refused");
                self.traffic.refused += 1;
            }
            (_, None) => {}
        }
        offered.is_some()
    }
}
