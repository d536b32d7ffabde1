//! Who takes part, each in its best flavour; a rival never does less than deliver every message.

mod libzmq;
mod omq;
mod pushsub;
mod raw;
mod rzmq;
mod tokio_channel;
mod zeromq;

use std::future::Future;

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};

use crate::ends::{Outcome, both, first, second};
use crate::row::{Row, Transport, Work};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Push,
    Pull,
    /// Drops nothing: it waits for its slowest subscriber.
    Pub,
    /// Subscribes to everything.
    Sub,
    Dealer,
    Router,
}

/// A socket of one rival, as a program that wants the most of it would use it.
pub(crate) trait Socket: Sized + Send + 'static {
    fn bind(kind: Kind, endpoint: &str) -> impl Future<Output = Result<Self>> + Send;

    fn connect(kind: Kind, endpoints: &[String]) -> impl Future<Output = Result<Self>> + Send;

    /// Sends one message.
    fn send(&mut self, payload: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Receives one message or as many as are there, and shows their payloads.
    fn receive(
        &mut self,
        note: &mut (dyn FnMut(&[u8]) + Send),
    ) -> impl Future<Output = Result<()>> + Send;

    /// Sends what was received back to where it came from. Returns how many messages.
    fn echo(&mut self) -> impl Future<Output = Result<u64>> + Send;

    /// Ends the socket when everything is written.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Rival {
    /// pushsub on a runtime of the current thread
    PushsubCt,
    /// pushsub on a runtime of two workers
    PushsubMt,
    /// libzmq 4.3 through the crate `zmq`, with its default high-water marks
    Libzmq,
    /// The same without high-water marks: its sender may run ahead without bound
    LibzmqUnbounded,
    /// The crate `zeromq` on a runtime of the current thread
    ZeromqCt,
    /// The crate `zeromq` on a runtime of two workers
    ZeromqMt,
    /// rzmq on a runtime of the current thread
    RzmqCt,
    /// rzmq on a runtime of two workers
    RzmqMt,
    /// omq-tokio on a runtime of the current thread
    OmqCt,
    /// omq-tokio on a runtime of two workers
    OmqMt,
    /// The ceiling, without sockets: frames in writes of 64 KiB over a bare connection, or a channel of tokio
    RawCt,
    /// The same on a runtime of two workers
    RawMt,
}

/// What a program runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    CurrentThread,
    TwoWorkers,
}

impl Flavour {
    fn runtime(self) -> Result<Runtime> {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::TwoWorkers => Builder::new_multi_thread(),
        };
        Ok(builder.worker_threads(2).enable_all().build()?)
    }

    /// In a task of its own, as in a program: what `block_on` polls is not a worker's.
    fn run(self, work: impl Future<Output = Result<Outcome>> + Send + 'static) -> Result<Outcome> {
        let runtime = self.runtime()?;
        let outcome = runtime.block_on(runtime.spawn(work))?;
        // What a rival leaves behind is not waited for.
        runtime.shutdown_background();
        outcome
    }
}

/// What an end has to do.
pub(crate) struct Task {
    pub(crate) row: &'static Row,
    pub(crate) endpoints: Vec<String>,
    pub(crate) messages: u64,
}

/// Calls a function with the socket type of a rival and the flavour of its runtime.
macro_rules! of_rival {
    ($rival:expr, $row:expr, |$flavour:ident| $function:ident($($argument:expr),*)) => {{
        let $flavour = $rival.flavour($row);
        let inproc = $row.transport == Transport::Inproc;
        match $rival {
            Self::PushsubCt | Self::PushsubMt => {
                $flavour.run($function::<pushsub::Socket>($($argument),*))
            }
            Self::Libzmq => $flavour.run($function::<libzmq::Socket<1_000>>($($argument),*)),
            Self::LibzmqUnbounded => $flavour.run($function::<libzmq::Socket<0>>($($argument),*)),
            Self::ZeromqCt | Self::ZeromqMt => {
                $flavour.run($function::<zeromq::Socket>($($argument),*))
            }
            Self::RzmqCt | Self::RzmqMt => $flavour.run($function::<rzmq::Socket>($($argument),*)),
            Self::OmqCt | Self::OmqMt => $flavour.run($function::<omq::Socket>($($argument),*)),
            Self::RawCt | Self::RawMt if inproc => {
                $flavour.run($function::<tokio_channel::Socket>($($argument),*))
            }
            Self::RawCt | Self::RawMt => $flavour.run($function::<raw::Socket>($($argument),*)),
        }
    }};
}

impl Rival {
    /// In the order of a report.
    pub(crate) const ALL: [Self; 12] = [
        Self::PushsubCt,
        Self::PushsubMt,
        Self::Libzmq,
        Self::LibzmqUnbounded,
        Self::ZeromqCt,
        Self::ZeromqMt,
        Self::RzmqCt,
        Self::RzmqMt,
        Self::OmqCt,
        Self::OmqMt,
        Self::RawCt,
        Self::RawMt,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PushsubCt => "pushsub-ct",
            Self::PushsubMt => "pushsub-mt",
            Self::Libzmq => "libzmq",
            Self::LibzmqUnbounded => "libzmq-unbounded",
            Self::ZeromqCt => "zeromq-ct",
            Self::ZeromqMt => "zeromq-mt",
            Self::RzmqCt => "rzmq-ct",
            Self::RzmqMt => "rzmq-mt",
            Self::OmqCt => "omq-ct",
            Self::OmqMt => "omq-mt",
            Self::RawCt => "raw-ct",
            Self::RawMt => "raw-mt",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::PushsubCt | Self::PushsubMt)
    }

    pub(crate) fn is_ceiling(self) -> bool {
        matches!(self, Self::RawCt | Self::RawMt)
    }

    /// Whether it can do what the row asks.
    pub(crate) fn supports(self, row: &Row) -> bool {
        let publishes = matches!(row.work, Work::Publish(_));
        let inproc = row.transport == Transport::Inproc;
        match self {
            // It has no inproc, and its PUB drops what does not fit.
            Self::ZeromqCt | Self::ZeromqMt => !inproc && !publishes,
            // The crate `zmq` has no `ZMQ_XPUB_NODROP`: only without marks is nothing dropped.
            Self::Libzmq => !publishes,
            Self::LibzmqUnbounded => publishes || row.work == Work::Flow,
            Self::RawCt | Self::RawMt => !publishes,
            _ => true,
        }
    }

    fn flavour(self, row: &Row) -> Flavour {
        match self {
            Self::PushsubCt | Self::ZeromqCt | Self::RzmqCt | Self::OmqCt | Self::RawCt => {
                Flavour::CurrentThread
            }
            Self::PushsubMt | Self::ZeromqMt | Self::RzmqMt | Self::OmqMt | Self::RawMt => {
                Flavour::TwoWorkers
            }
            // It blocks its thread: one for each end.
            Self::Libzmq | Self::LibzmqUnbounded
                if row.transport == Transport::Inproc || matches!(row.work, Work::Publish(_)) =>
            {
                Flavour::TwoWorkers
            }
            Self::Libzmq | Self::LibzmqUnbounded => Flavour::CurrentThread,
        }
    }

    /// Runs the end that binds, which says when it is ready.
    pub(crate) fn first(
        self,
        task: Task,
        ready: impl FnOnce() + Send + 'static,
    ) -> Result<Outcome> {
        let Task {
            row,
            endpoints,
            messages,
        } = task;
        of_rival!(self, row, |flavour| first(row, endpoints, messages, ready))
    }

    /// Runs the end that connects.
    pub(crate) fn second(self, task: Task) -> Result<Outcome> {
        let Task {
            row,
            endpoints,
            messages,
        } = task;
        of_rival!(self, row, |flavour| second(row, endpoints, messages))
    }

    /// Runs both ends in this process.
    pub(crate) fn both(self, task: Task) -> Result<Outcome> {
        let Task {
            row,
            endpoints,
            messages,
        } = task;
        of_rival!(self, row, |flavour| both(row, endpoints, messages))
    }
}
