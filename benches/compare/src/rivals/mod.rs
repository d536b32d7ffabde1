//! Who takes part, each in its best flavour; a rival never does less than deliver every message.

mod framing;
mod libzmq;
mod model;
mod omq;
mod pushsub;
mod raw;
mod raw_crowd;
mod raw_std;
mod rzmq;
mod service;
#[cfg(feature = "rpc")]
mod tarpc;
mod tokio_channel;
#[cfg(feature = "rpc")]
mod tonic;
mod zeromq;

use std::future::{Future, ready};

use anyhow::{Result, bail};
use tokio::runtime::{Builder, Runtime};

use crate::ends::{Orders, Outcome, both, device, first, second};
use crate::row::{Content, Row, Transport, Work};

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Push,
    Pull,
    /// Drops nothing: it waits for its slowest subscriber.
    Pub,
    Sub,
    Dealer,
    Router,
}

/// Where a device has its clients.
#[derive(Clone, Copy)]
pub(crate) enum Front<'a> {
    /// They connect to it.
    Bound(&'a [String]),
    /// It connects to another device, whose clients they are.
    Behind(&'a str),
}

impl<'a> Front<'a> {
    /// The first endpoint.
    fn endpoint(self) -> &'a str {
        match self {
            Self::Bound(endpoints) => &endpoints[0],
            Self::Behind(endpoint) => endpoint,
        }
    }
}

/// A socket of one rival, as a program that wants the most of it would use it.
pub(crate) trait Socket: Sized + Send + 'static {
    /// Whether a peer greets it and is greeted.
    const SPEAKS_ZMTP: bool = true;

    /// How many work behind its device.
    const WORKERS: usize = 2;

    /// How many endpoints one that is asked has.
    const ENDPOINTS: usize = 1;

    fn bind(kind: Kind, endpoints: &[String]) -> impl Future<Output = Result<Self>> + Send;

    fn connect(kind: Kind, endpoints: &[String]) -> impl Future<Output = Result<Self>> + Send;

    /// One that answers what a device hands it.
    fn work(back: &[String]) -> impl Future<Output = Result<Self>> + Send {
        Self::connect(Kind::Dealer, back)
    }

    /// Asks for what begins so.
    fn subscribe(&mut self, _topic: &[u8]) -> impl Future<Output = Result<()>> + Send {
        ready(Err(anyhow::anyhow!("it does not subscribe")))
    }

    /// Sends one message.
    fn send(&mut self, payload: &[u8]) -> impl Future<Output = Result<()>> + Send;

    /// Sends one message of three frames.
    fn send_parts(&mut self, _frames: [&[u8]; 3]) -> impl Future<Output = Result<()>> + Send {
        ready(Err(anyhow::anyhow!("its messages have one frame")))
    }

    /// Has everything leave that was sent, where it does not leave by itself.
    fn flush(&mut self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// Receives one message or as many as are there, and shows their last frames.
    fn receive(
        &mut self,
        note: &mut (dyn FnMut(&[u8]) + Send),
    ) -> impl Future<Output = Result<()>> + Send;

    /// The same where messages have several frames; by itself as where they have one.
    fn receive_parts(
        &mut self,
        note: &mut (dyn FnMut(&[u8]) + Send),
    ) -> impl Future<Output = Result<()>> + Send {
        self.receive(note)
    }

    /// Sends what was received back to where it came from: one message or as many as are there.
    fn echo(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// The same until it fails.
    fn echo_for_ever(mut self) -> impl Future<Output = Result<()>> + Send {
        async move {
            loop {
                self.echo().await?;
            }
        }
    }

    /// Keeps what connects to it, until it fails.
    fn hold(self) -> impl Future<Output = Result<()>> + Send {
        self.echo_for_ever()
    }

    /// Forwards between clients in front and workers at the back, until it fails.
    fn device(
        _front: Front<'_>,
        _back: &str,
        _ready: impl FnOnce() + Send,
    ) -> impl Future<Output = Result<()>> + Send {
        ready(Err(anyhow::anyhow!("it is no device")))
    }

    /// Ends the socket.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Rival {
    /// pushsub on a runtime of the current thread
    PushsubCt,
    /// pushsub on a runtime of two workers
    PushsubMt,
    /// pushsub's service layer on a runtime of the current thread
    #[value(name = "pushsub-service")]
    Service,
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
    /// tarpc on a runtime of the current thread
    #[cfg(feature = "rpc")]
    Tarpc,
    /// tonic on a runtime of the current thread
    #[cfg(feature = "rpc")]
    Tonic,
    /// A ceiling: frames in writes of 64 KiB over bare connections of the standard library
    RawStd,
    /// A ceiling: the same with tokio, on a runtime of the current thread; within a process its channel
    RawCt,
    /// The same on a runtime of two workers
    RawMt,
    /// A ceiling: the same with tokio, each message received an object of its own
    Model,
}

/// What a program runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    CurrentThread,
    TwoWorkers,
    /// As many threads as there may be sockets that block theirs.
    Blocking,
}

impl Flavour {
    fn runtime(self) -> Result<Runtime> {
        let (mut builder, threads) = match self {
            Self::CurrentThread => (Builder::new_current_thread(), 1),
            Self::TwoWorkers => (Builder::new_multi_thread(), 2),
            Self::Blocking => (Builder::new_multi_thread(), 10),
        };
        Ok(builder.worker_threads(threads).enable_all().build()?)
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

/// What a process has to do.
pub(crate) struct Task {
    pub(crate) row: &'static Row,
    pub(crate) endpoints: Vec<String>,
    pub(crate) messages: u64,
}

/// Calls a function with the socket type of a rival, in the flavour of its runtime.
macro_rules! of_rival {
    ($rival:expr, $row:expr, $function:ident($($argument:expr),*)) => {{
        let flavour = $rival.flavour();
        let inproc = $row.transport == Transport::Inproc;
        match $rival {
            Self::PushsubCt | Self::PushsubMt => {
                flavour.run($function::<pushsub::Socket>($($argument),*))
            }
            Self::Service => flavour.run($function::<service::Socket>($($argument),*)),
            Self::Libzmq => flavour.run($function::<libzmq::Socket<1_000>>($($argument),*)),
            Self::LibzmqUnbounded => flavour.run($function::<libzmq::Socket<0>>($($argument),*)),
            Self::ZeromqCt | Self::ZeromqMt => {
                flavour.run($function::<zeromq::Socket>($($argument),*))
            }
            Self::RzmqCt | Self::RzmqMt => flavour.run($function::<rzmq::Socket>($($argument),*)),
            Self::OmqCt | Self::OmqMt => flavour.run($function::<omq::Socket>($($argument),*)),
            #[cfg(feature = "rpc")]
            Self::Tarpc => flavour.run($function::<tarpc::Socket>($($argument),*)),
            #[cfg(feature = "rpc")]
            Self::Tonic => flavour.run($function::<tonic::Socket>($($argument),*)),
            Self::RawStd => flavour.run($function::<raw_std::Socket>($($argument),*)),
            Self::RawCt | Self::RawMt if inproc => {
                flavour.run($function::<tokio_channel::Socket>($($argument),*))
            }
            Self::RawCt if matches!($row.work, Work::Gather(_)) => {
                flavour.run($function::<raw_crowd::Socket>($($argument),*))
            }
            Self::RawCt | Self::RawMt => flavour.run($function::<raw::Socket>($($argument),*)),
            Self::Model => flavour.run($function::<model::Socket>($($argument),*)),
        }
    }};
}

impl Rival {
    /// In the order of a report.
    pub(crate) const ALL: &[Self] = &[
        Self::PushsubCt,
        Self::PushsubMt,
        Self::Service,
        Self::Libzmq,
        Self::LibzmqUnbounded,
        Self::ZeromqCt,
        Self::ZeromqMt,
        Self::RzmqCt,
        Self::RzmqMt,
        Self::OmqCt,
        Self::OmqMt,
        #[cfg(feature = "rpc")]
        Self::Tarpc,
        #[cfg(feature = "rpc")]
        Self::Tonic,
        Self::RawStd,
        Self::RawCt,
        Self::RawMt,
        Self::Model,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PushsubCt => "pushsub-ct",
            Self::PushsubMt => "pushsub-mt",
            Self::Service => "pushsub-service",
            Self::Libzmq => "libzmq",
            Self::LibzmqUnbounded => "libzmq-unbounded",
            Self::ZeromqCt => "zeromq-ct",
            Self::ZeromqMt => "zeromq-mt",
            Self::RzmqCt => "rzmq-ct",
            Self::RzmqMt => "rzmq-mt",
            Self::OmqCt => "omq-ct",
            Self::OmqMt => "omq-mt",
            #[cfg(feature = "rpc")]
            Self::Tarpc => "tarpc",
            #[cfg(feature = "rpc")]
            Self::Tonic => "tonic",
            Self::RawStd => "raw-std",
            Self::RawCt => "raw-ct",
            Self::RawMt => "raw-mt",
            Self::Model => "model",
        }
    }

    /// The one of this name.
    pub(crate) fn find(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|rival| rival.name() == name);
        match found {
            Some(rival) => Ok(*rival),
            None => bail!("there is no rival `{name}`"),
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::PushsubCt | Self::PushsubMt | Self::Service)
    }

    pub(crate) fn is_ceiling(self) -> bool {
        matches!(self, Self::RawStd | Self::RawCt | Self::RawMt | Self::Model)
    }

    /// Whether it calls services, which is more than to pass messages.
    pub(crate) fn is_rpc(self) -> bool {
        match self {
            #[cfg(feature = "rpc")]
            Self::Tarpc | Self::Tonic => true,
            _ => false,
        }
    }

    /// Whether it can do what the row asks.
    pub(crate) fn supports(self, row: &Row) -> bool {
        let inproc = row.transport == Transport::Inproc;
        let publishes = row.is_publication();
        let asks = matches!(row.work, Work::Ask(_));
        let devices = matches!(row.work, Work::Device(_) | Work::Chain(_));
        let flows = row.work == Work::Flow;
        let gathers = matches!(row.work, Work::Gather(_));
        let parts = row.content == Content::Parts;
        match self {
            Self::RawStd | Self::RawCt | Self::RawMt | Self::Model if parts => false,
            // Its receivers block their threads, and of a share nobody knows how large it is.
            Self::Libzmq | Self::LibzmqUnbounded if row.is_shared() => false,
            // A row of many seconds, in which nothing happens: in one flavour.
            Self::PushsubMt | Self::ZeromqMt | Self::RzmqMt | Self::OmqMt if row.is_idle() => false,
            // It has no inproc, and its PUB drops what does not fit.
            Self::ZeromqCt | Self::ZeromqMt => !inproc && !publishes,
            // The crate `zmq` has no `ZMQ_XPUB_NODROP`: only without marks is nothing dropped.
            Self::Libzmq => !publishes,
            Self::LibzmqUnbounded => publishes || flows,
            Self::Service => {
                (asks || matches!(row.work, Work::Device(_))) && row.transport == Transport::Tcp
            }
            #[cfg(feature = "rpc")]
            Self::Tarpc | Self::Tonic => asks && row.transport == Transport::Tcp,
            Self::RawStd => !inproc && (flows || asks || matches!(row.work, Work::Publish(_))),
            Self::RawCt => flows || asks || devices || gathers || row.is_idle(),
            Self::RawMt => flows || asks || devices,
            Self::Model => !inproc && (flows || asks),
            _ => true,
        }
    }

    fn flavour(self) -> Flavour {
        match self {
            Self::PushsubMt | Self::ZeromqMt | Self::RzmqMt | Self::OmqMt | Self::RawMt => {
                Flavour::TwoWorkers
            }
            Self::Libzmq | Self::LibzmqUnbounded | Self::RawStd => Flavour::Blocking,
            _ => Flavour::CurrentThread,
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
        let orders = Orders::listen();
        of_rival!(self, row, first(row, endpoints, messages, orders, ready))
    }

    /// Runs the end that connects.
    pub(crate) fn second(self, task: Task) -> Result<Outcome> {
        let Task {
            row,
            endpoints,
            messages,
        } = task;
        let orders = Orders::listen();
        of_rival!(self, row, second(row, endpoints, messages, orders))
    }

    /// Runs both ends in this process.
    pub(crate) fn both(self, task: Task) -> Result<Outcome> {
        let Task {
            row,
            endpoints,
            messages,
        } = task;
        of_rival!(self, row, both(row, endpoints, messages))
    }

    /// Runs what stands between clients and workers, or `behind` such a one, and says when it is ready.
    pub(crate) fn device(
        self,
        task: Task,
        behind: bool,
        ready: impl FnOnce() + Send + 'static,
    ) -> Result<Outcome> {
        let Task { row, endpoints, .. } = task;
        let orders = Orders::listen();
        of_rival!(self, row, device(endpoints, behind, orders, ready))
    }
}
