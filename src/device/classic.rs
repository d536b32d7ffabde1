//! The classic devices: two sockets of ours with a proxy between them.

use std::convert::identity;
use std::fmt::{self, Display};
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use futures::{Sink, Stream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::proxy::{Manner, Proxy, ProxyHandle, ProxyStats, Receiving, Sending, Tap};
use crate::endpoint::{Endpoint, EndpointError, IntoEndpoint};
use crate::error::{BindError, ConnectError, OptionsError};
use crate::message::Message;
use crate::options::Options;
use crate::socket::{Closed, Dealer, Pull, Push, Router, XPub, XSub};

/// How long [`Device::terminate`] lets the sockets write what they have.
const LAST_WRITES: Duration = Duration::from_millis(50);

/// Work from all PUSH peers of its front to the PULL peers of its back, in turn
/// among those with room. While none has, the peers of its front wait.
///
/// ```
/// use pushsub::{Pull, Push, Streamer};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let streamer = Streamer::builder()
///     .front("tcp://127.0.0.1:*")
///     .back("tcp://127.0.0.1:*")
///     .spawn()
///     .await?;
/// let (push, pull) = (Push::new(), Pull::new());
/// push.connect(streamer.front())?;
/// pull.connect(streamer.back())?;
/// push.send("work").await?;
/// assert_eq!(pull.recv().await?.first(), "work");
/// assert_eq!(streamer.stats().forth.received, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Streamer = Device<Pull, Push>;

/// Requests of all REQ and DEALER peers of its front to the REP and DEALER peers
/// of its back, in turn among those with room, and the replies back to who
/// asked, also through a chain of queues.
///
/// A reply for a client that is gone is dropped, and counted in the `unroutable`
/// of [`Device::front_socket`]'s counters. While no worker has room the clients wait.
///
/// ```
/// use pushsub::{Dealer, Message, Queue};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let queue = Queue::builder().spawn().await?;
/// let (client, worker) = (Dealer::new(), Dealer::new());
/// client.connect(queue.front())?;
/// worker.connect(queue.back())?;
/// client.send("question").await?;
/// let request = worker.recv().await?; // the client's identity, then the question
/// assert_eq!(&request[1], "question");
/// worker.send(request).await?;
/// assert_eq!(client.recv().await?.first(), "question");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Queue = Device<Router, Dealer>;

/// Publications of all PUB peers of its front to the SUB peers of its back that
/// subscribed to them.
///
/// The subscriptions of the back are merged: a topic is asked for at the front
/// with its first subscriber and no longer with its last, counted exactly, and
/// publishers that come late or come back are told all of them. A subscriber
/// that is too slow misses messages, and they are counted. What an XSUB peer of
/// the back sends beside subscriptions goes to all publishers.
///
/// ```
/// use pushsub::{Forwarder, Sub, XPub};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let forwarder = Forwarder::builder().spawn().await?;
/// let (publisher, subscriber) = (XPub::new(), Sub::new());
/// publisher.connect(forwarder.front())?;
/// subscriber.subscribe("weather.");
/// subscriber.connect(forwarder.back())?;
/// publisher.recv().await?; // the subscription has come through
/// publisher.send("weather.dublin: rain").await?;
/// assert_eq!(subscriber.recv().await?.first(), "weather.dublin: rain");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Forwarder = Device<XSub, XPub>;

/// A device that runs in this program: what comes to one socket leaves by the
/// other. See [`Streamer`], [`Queue`] and [`Forwarder`].
///
/// An error of one message or one peer never ends it. It holds a message or two
/// of its own; all else waits in the bounded queues of its sockets, and beyond
/// them with the peers.
///
/// # Trade-offs
///
/// It is one task, and as fast as one core. Dropping it ends it at once; what
/// its sockets have accepted is then written for their linger. Only
/// [`Self::close`] forwards first what has come.
pub struct Device<F: Side, B: Side> {
    front: F,
    back: B,
    fronts: Vec<Endpoint>,
    backs: Vec<Endpoint>,
    proxy: ProxyHandle,
    task: JoinHandle<(F::Traffic, B::Traffic)>,
}

/// What a device is told before it starts.
pub struct DeviceBuilder<F: Side, B: Side> {
    front: Endpoints,
    back: Endpoints,
    plaintext: bool,
    tap: Option<Tap>,
    sides: PhantomData<fn() -> (F, B)>,
}

/// The options of a side, and where it binds and connects.
#[derive(Debug, Default)]
struct Endpoints {
    options: Options,
    list: Vec<(Join, Result<Endpoint, EndpointError>)>,
}

#[derive(Clone, Copy, Debug)]
enum Join {
    Bind,
    Connect,
}

/// Why a device did not start. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// An option of a side is out of its range, or not for its socket.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// It cannot listen on an endpoint.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It cannot even try to connect to an endpoint.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// What the end of a device achieved.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct DeviceClosed {
    /// The last counters.
    pub stats: ProxyStats,
    /// What the front had not yet written or given to the device.
    pub front: Closed,
    /// What the back had not yet written or given to the device.
    pub back: Closed,
}

impl<F: Side, B: Side> Device<F, B> {
    /// A device yet to be started. A side without an endpoint binds a port of
    /// loopback that the system picks.
    #[must_use]
    pub fn builder() -> DeviceBuilder<F, B> {
        DeviceBuilder {
            front: Endpoints::default(),
            back: Endpoints::default(),
            plaintext: false,
            tap: None,
            sides: PhantomData,
        }
    }

    /// The first endpoint of its front, wildcards resolved.
    #[must_use]
    pub fn front(&self) -> Endpoint {
        self.fronts[0].clone()
    }

    /// The first endpoint of its back, wildcards resolved.
    #[must_use]
    pub fn back(&self) -> Endpoint {
        self.backs[0].clone()
    }

    /// All endpoints of its front in the order of the builder, wildcards resolved.
    #[must_use]
    pub fn fronts(&self) -> &[Endpoint] {
        &self.fronts
    }

    /// All endpoints of its back in the order of the builder, wildcards resolved.
    #[must_use]
    pub fn backs(&self) -> &[Endpoint] {
        &self.backs
    }

    /// The socket of its front: for its counters and events, and to bind and
    /// connect it elsewhere too while the device runs.
    #[must_use]
    pub fn front_socket(&self) -> &F {
        &self.front
    }

    /// The socket of its back, as [`Self::front_socket`].
    #[must_use]
    pub fn back_socket(&self) -> &B {
        &self.back
    }

    /// What it has forwarded so far.
    #[must_use]
    pub fn stats(&self) -> ProxyStats {
        self.proxy.stats()
    }

    /// What steers it and reads its counters from elsewhere.
    #[must_use]
    pub fn handle(&self) -> ProxyHandle {
        self.proxy.clone()
    }

    /// Forwards nothing until [`Self::resume`]: see [`ProxyHandle::pause`].
    pub fn pause(&self) {
        self.proxy.pause();
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.proxy.resume();
    }

    /// Ends the device in order: forwards what has come, and writes it, for at
    /// most `linger`. Returns what was left.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the device at once.
    pub async fn close(self, linger: Duration) -> DeviceClosed {
        let deadline = Instant::now() + linger;
        // What is not done by then, `end` gives up.
        let _ = timeout_at(deadline, self.proxy.finish()).await;
        self.end(deadline).await
    }

    /// Ends the device now, also where a side has no room: returns within
    /// 100 ms. Its sockets write what the system takes at once.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the device at once.
    pub async fn terminate(self) -> DeviceClosed {
        self.end(Instant::now() + LAST_WRITES).await
    }

    async fn end(mut self, deadline: Instant) -> DeviceClosed {
        let stats = self.proxy.terminate().await;
        // An error would be a panic of the task, which has nothing left to do then.
        let _ = (&mut self.task).await;
        let linger = deadline.saturating_duration_since(Instant::now());
        let (front, back) = (self.front.clone(), self.back.clone());
        let (front, back) = tokio::join!(front.close(linger), back.close(linger));
        DeviceClosed { stats, front, back }
    }
}

impl<F: Side, B: Side> Drop for Device<F, B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<F: Side, B: Side> fmt::Debug for Device<F, B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Device")
            .field("fronts", &self.fronts)
            .field("backs", &self.backs)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<F: Side, B: Side> DeviceBuilder<F, B> {
    /// Binds the front here; more than once for several endpoints.
    #[must_use]
    pub fn front(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.front.add(Join::Bind, endpoint);
        self
    }

    /// Connects the front there, beside what it binds and connects already.
    #[must_use]
    pub fn connect_front(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.front.add(Join::Connect, endpoint);
        self
    }

    /// Binds the back here; more than once for several endpoints.
    #[must_use]
    pub fn back(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.back.add(Join::Bind, endpoint);
        self
    }

    /// Connects the back there, beside what it binds and connects already.
    #[must_use]
    pub fn connect_back(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.back.add(Join::Connect, endpoint);
        self
    }

    /// The options of the front's socket.
    #[must_use]
    pub fn front_options(mut self, options: Options) -> Self {
        self.front.options = options;
        self
    }

    /// The options of the back's socket.
    #[must_use]
    pub fn back_options(mut self, options: Options) -> Self {
        self.back.options = options;
        self
    }

    /// Lets the device listen beyond loopback though nothing is encrypted and
    /// no peer proves who it is. Default no.
    #[must_use]
    pub fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Gives `capture` a copy of every message, as far as it has room: see
    /// [`Proxy::capture`].
    #[must_use]
    pub fn capture<S>(mut self, capture: S) -> Self
    where
        S: Sink<Message> + Send + 'static,
    {
        self.tap = Some(Tap::new(capture));
        self
    }

    /// Binds and connects the endpoints and starts the device on the present
    /// runtime.
    ///
    /// # Errors
    ///
    /// An endpoint is none, cannot be bound, or is one that nobody can connect
    /// to: then nothing was started. A peer that is not there is no error.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has started nothing.
    pub async fn spawn(self) -> Result<Device<F, B>, DeviceError> {
        let (front, fronts) = self.front.join::<F>(self.plaintext).await?;
        let (back, backs) = self.back.join::<B>(self.plaintext).await?;
        let (seen_front, seen_back) = (front.traffic(), back.traffic());
        let proxy = Proxy::tapped(
            seen_front,
            seen_back,
            self.tap,
            &manner::<F>(),
            &manner::<B>(),
        );
        let handle = proxy.handle();
        tracing::info!(?fronts, ?backs, "the device runs");
        Ok(Device {
            front,
            back,
            fronts,
            backs,
            proxy: handle,
            task: tokio::spawn(proxy.run()),
        })
    }
}

impl<F: Side, B: Side> fmt::Debug for DeviceBuilder<F, B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DeviceBuilder")
            .field("front", &self.front)
            .field("back", &self.back)
            .finish_non_exhaustive()
    }
}

impl Endpoints {
    fn add(&mut self, join: Join, endpoint: impl IntoEndpoint) {
        self.list.push((join, endpoint.into_endpoint()));
    }

    /// A socket that is bound and connected as told, and where: one endpoint at least.
    async fn join<S: Side>(mut self, plaintext: bool) -> Result<(S, Vec<Endpoint>), DeviceError> {
        if self.list.is_empty() {
            self.add(Join::Bind, "tcp://127.0.0.1:*");
        }
        let options = if plaintext {
            self.options.allow_plaintext()
        } else {
            self.options
        };
        let socket = S::with_options(options)?;
        let mut endpoints = Vec::with_capacity(self.list.len());
        for (join, endpoint) in self.list {
            match join {
                Join::Bind => {
                    let endpoint = endpoint.map_err(BindError::from)?;
                    endpoints.push(socket.bind(endpoint).await?);
                }
                Join::Connect => {
                    let endpoint = endpoint.map_err(ConnectError::from)?;
                    socket.connect(endpoint.clone())?;
                    endpoints.push(endpoint);
                }
            }
        }
        Ok((socket, endpoints))
    }
}

/// A socket that can be a side of a [`Device`]. It is implemented where sockets
/// are made, and nowhere else: the patterns decide which devices make sense.
pub trait Side: sealed::Sealed + Clone + Send + Sync + 'static {
    /// How the proxy sees it.
    #[doc(hidden)]
    type Traffic: Stream<Item = Message> + Sink<Message, Error: Display> + Send + Unpin + 'static;

    #[doc(hidden)]
    fn with_options(options: Options) -> Result<Self, OptionsError>;

    #[doc(hidden)]
    fn bind(&self, endpoint: Endpoint) -> impl Future<Output = Result<Endpoint, BindError>> + Send;

    #[doc(hidden)]
    fn connect(&self, endpoint: Endpoint) -> Result<(), ConnectError>;

    #[doc(hidden)]
    fn traffic(&self) -> Self::Traffic;

    /// It is not looked at for now.
    #[doc(hidden)]
    fn rest(traffic: &mut Self::Traffic);

    /// Whether a flush would write little to each of its peers.
    #[doc(hidden)]
    fn has_little(traffic: &Self::Traffic) -> bool;

    #[doc(hidden)]
    fn close(self, linger: Duration) -> impl Future<Output = Closed> + Send;
}

fn manner<S: Side>() -> Manner<S::Traffic> {
    Manner {
        rest: S::rest,
        has_little: S::has_little,
    }
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! side {
    ($socket:ident as $traffic:ty, $wrap:expr, $attend:expr, $rest:expr, $has_little:expr) => {
        impl sealed::Sealed for $socket {}

        impl Side for $socket {
            type Traffic = $traffic;

            fn with_options(options: Options) -> Result<Self, OptionsError> {
                Self::with_options(options)
            }

            async fn bind(&self, endpoint: Endpoint) -> Result<Endpoint, BindError> {
                self.bind(endpoint).await
            }

            fn connect(&self, endpoint: Endpoint) -> Result<(), ConnectError> {
                self.connect(endpoint)
            }

            fn traffic(&self) -> $traffic {
                let mut socket = self.clone();
                $attend(&mut socket);
                $wrap(socket)
            }

            fn rest(traffic: &mut $traffic) {
                $rest(traffic);
            }

            fn has_little(traffic: &$traffic) -> bool {
                $has_little(traffic)
            }

            async fn close(self, linger: Duration) -> Closed {
                Self::close(self, linger).await
            }
        }
    };
}

/// A side that goes both ways, which is its own traffic.
macro_rules! both_ways {
    ($socket:ident) => {
        side!(
            $socket as $socket,
            identity,
            $socket::attend,
            $socket::rest,
            $socket::has_fed_little
        );
    };
}

side!(
    Pull as Receiving<Pull>,
    Receiving::new,
    Pull::attend,
    |traffic: &mut Receiving<Pull>| traffic.0.rest(),
    |_: &_| false
);
side!(
    Push as Sending<Push>,
    Sending::new,
    |_: &mut Push| {},
    |_: &mut _| {},
    |traffic: &Sending<Push>| traffic.0.has_fed_little()
);
both_ways!(Router);
both_ways!(Dealer);
both_ways!(XSub);
both_ways!(XPub);
