//! The ends of a run, over any socket: what is sent, what is counted, what is timed.

mod ask;
mod device;
mod flow;
mod idle;
mod orders;

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::Either;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::rivals::Socket;
use crate::row::{Content, Row, Work};
use crate::tally::number;

pub(crate) use device::device;
pub(crate) use orders::Orders;

/// What stands before the last frame of a message of several.
const ENVELOPE: [&[u8]; 2] = [b"0123456789abcdef", b"fedcba9876543210"];

/// Sends the message with this number, whose octets are written into `payload`.
fn send<S: Socket>(
    socket: &mut S,
    row: &Row,
    payload: &mut [u8],
    sequence: u64,
) -> impl Future<Output = Result<()>> + Send {
    let last = number(payload, row.content, sequence);
    // Not an async function: two futures around that of the socket took a quarter of the time of a
    // sender of pushsub (`perf record`, `--rows push-pull-64`).
    match row.content {
        Content::Octets(_) | Content::Mixed => Either::Left(socket.send(last)),
        Content::Parts => {
            let [first, second] = ENVELOPE;
            Either::Right(socket.send_parts([first, second, last]))
        }
    }
}

/// Receives what [`send`] has sent.
async fn receive<S: Socket>(
    socket: &mut S,
    row: &Row,
    note: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<()> {
    match row.content {
        Content::Octets(_) | Content::Mixed => socket.receive(note).await,
        Content::Parts => socket.receive_parts(note).await,
    }
}

/// No end works for longer; what is missing then is reported as lost.
const LONGEST: Duration = Duration::from_secs(30);

/// What one end reports; an end leaves at zero what only another can know.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) reordered: u64,
    /// Of those received, what came to one that is slow on purpose.
    #[serde(default)]
    pub(crate) late: u64,
    /// From the first message to the last.
    pub(crate) seconds: f64,
    /// Of round trips, in µs.
    pub(crate) median: f64,
    pub(crate) p99: f64,
    /// Whether the numbers and sizes that came are those that were sent.
    pub(crate) sound: bool,
    /// Seconds of the processor for the messages, in this process; all of its time where that is not told.
    pub(crate) cpu: Option<f64>,
    /// The most KiB that this process had in memory.
    pub(crate) peak: f64,
    /// KiB for each idle peer.
    pub(crate) per_peer: f64,
    /// Percent of a processor while nothing happens.
    pub(crate) at_rest: f64,
}

/// The end that binds, or that works behind a device. `ready` is called when it may be connected to.
pub(crate) async fn first<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    orders: Orders,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    match row.work {
        Work::Flow
        | Work::Scatter(_)
        | Work::ScatterSlow(_)
        | Work::Gather(_)
        | Work::Publish(_)
        | Work::Topics(_) => flow::receive::<S>(row, endpoints, messages, ready).await,
        Work::Ask(_) => ask::echo::<S>(&endpoints[..S::ENDPOINTS], orders, ready).await,
        Work::Device(_) => {
            device::workers::<S>(&endpoints[S::ENDPOINTS..][..1], orders, ready).await
        }
        Work::Chain(_) => {
            device::workers::<S>(&endpoints[S::ENDPOINTS + 1..][..1], orders, ready).await
        }
        Work::Idle(peers) => idle::hold::<S>(&endpoints[..1], peers, orders, ready).await,
    }
}

/// The end that connects.
pub(crate) async fn second<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    orders: Orders,
) -> Result<Outcome> {
    match row.work {
        Work::Flow => flow::push::<S>(row, endpoints, messages, orders).await,
        Work::Scatter(_) | Work::ScatterSlow(_) => {
            flow::scatter::<S>(row, endpoints, messages, orders).await
        }
        Work::Gather(peers) => {
            flow::push_in_turns::<S>(row, endpoints, messages, peers, orders).await
        }
        Work::Publish(_) | Work::Topics(_) => {
            flow::publish::<S>(row, endpoints, messages, orders).await
        }
        Work::Ask(in_flight) | Work::Device(in_flight) | Work::Chain(in_flight) => {
            ask::ask::<S>(row, &endpoints[..S::ENDPOINTS], messages, in_flight as u64).await
        }
        Work::Idle(count) => idle::peers(&endpoints[0], count, S::SPEAKS_ZMTP, orders).await,
    }
}

/// Both ends in one process. Who is done first, has the other stop.
pub(crate) async fn both<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
) -> Result<Outcome> {
    let (told, ready) = oneshot::channel();
    let (first_told, first_orders) = Orders::within();
    let (second_told, second_orders) = Orders::within();
    let bound = endpoints.clone();
    let mut first = tokio::spawn(first::<S>(row, bound, messages, first_orders, || {
        // The other end is there; nobody listens only if it has failed.
        let _ = told.send(());
    }));
    ready.await.context("the first end did not start")?;
    let mut second = tokio::spawn(second::<S>(row, endpoints, messages, second_orders));
    // An end that is done does not listen.
    let stop = |told: UnboundedSender<String>| drop(told.send("stop".into()));
    tokio::select! {
        ended = &mut first => {
            stop(second_told);
            Ok(ended??.with(second.await??))
        }
        ended = &mut second => {
            stop(first_told);
            let ended = ended??;
            Ok(first.await??.with(ended))
        }
    }
}

impl Outcome {
    /// What both ends know together; the peak is that of the other, which sends.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            sent: self.sent.max(other.sent),
            received: self.received.max(other.received),
            reordered: self.reordered.max(other.reordered),
            late: self.late.max(other.late),
            seconds: self.seconds.max(other.seconds),
            median: self.median.max(other.median),
            p99: self.p99.max(other.p99),
            sound: self.sound && other.sound,
            cpu: self.cpu.zip(other.cpu).map(|(one, other)| one + other),
            peak: other.peak,
            per_peer: self.per_peer.max(other.per_peer),
            at_rest: self.at_rest.max(other.at_rest),
        }
    }

    /// Of an end that did its part and has nothing to say.
    fn done() -> Self {
        Self {
            sound: true,
            ..Self::default()
        }
    }
}
