//! Push requests to a service, subscribe to its responses: brokerless messaging between services.
//!
//! ```text
//!   Client ──push──▶ PULL ┐                       Push ──▶ Pull        work for whoever has room
//!     ▲                   Server / Broker         Pub  ──▶ Sub         news for whoever subscribed
//!     └──subscribe── XPUB ┘                       Dealer ◀─▶ Router    questions and answers
//!        services                                       sockets
//! ```
//!
//! - [`Server`] and [`Client`] speak of requests and responses. A client connects to an
//!   [`Instance`], to a list of them, or to whatever [`Discovery`] shows.
//! - A [`Broker`] is an instance too: clients connect to its front, servers to its back.
//! - [`Streamer`], [`Queue`] and [`Forwarder`] pass messages on between sockets; a [`Proxy`] does
//!   so between whatever is a stream and a sink.
//! - [`Pair`], [`Pub`], [`Sub`], [`XPub`], [`XSub`], [`Push`], [`Pull`], [`Req`], [`Rep`], [`Dealer`]
//!   and [`Router`] are the ZeroMQ sockets below, and talk to every program that speaks ZMTP 3.0 or
//!   later.
//! - [`Options`] say how a socket behaves, and a [`Context`] how much memory all sockets that share it
//!   may hold. A [`Permit`] is a place for a message that is yet to be made, a [`Receipt`] tells what
//!   became of one; a [`Monitor`], `peers()` and `stats()` show what happens.
//! - [`testing`] has what tests of programs that use sockets want.
//!
//! # Quick start
//!
//! ```
//! use pushsub::{Client, Reply, Request, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let greet = |request: Request| async move {
//!     Reply::body(&format!("hello {}", request.decode::<String>()?))
//! };
//! let server = Server::builder("greeter").bind("tcp://127.0.0.1:*").serve(greet).await?;
//! let instance = server.instance().expect("it was bound");
//!
//! let client = Client::builder("greeter").connect(instance).await?;
//! let greeting: String = client.call("greet", "world").await?;
//! assert_eq!(greeting, "hello world");
//! # Ok(())
//! # }
//! ```
//!
//! Everything runs on tokio. Nothing here panics on what a peer sends; errors are typed, one
//! for each operation, and a message that was not sent comes back with the error.

mod context;
mod device;
mod discovery;
mod endpoint;
mod error;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod looks;
mod message;
mod options;
mod pipe;
#[cfg(test)]
mod property;
mod routing;
mod service;
mod session;
mod socket;
mod sync;
pub mod testing;
mod transport;
mod turns;
#[cfg(feature = "zeromq")]
pub mod zeromq;
mod zmtp;

pub use context::{Context, ContextBuilder};
pub use device::{
    Broker, BrokerBuilder, BrokerStats, Captured, Device, DeviceBuilder, DeviceClosed, DeviceError,
    Forwarder, Proxy, ProxyHandle, ProxyStats, Queue, Receiving, Refused, Sending, ServiceStats,
    Side, Streamer, Traffic, WorkerStats,
};
pub use discovery::{Discovery, Freshness, Instance, Registration, Registry, Static, View, Watch};
pub use endpoint::{Endpoint, EndpointError, Host, IntoEndpoint, IpcName};
pub use error::{
    BindError, ConnectError, GivenUp, LinkError, OptionsError, PermitError, RecvError,
    RequestError, ReserveError, SendError, TryRecvError, TrySendError,
};
pub use message::Message;
pub use options::{
    Credentials, Identity, IdentityError, Network, NetworkError, Options, Overflow, ReconnectStop,
    Shown, SocketType,
};
pub use service::{
    CallError, Client, ClientBuilder, ClientError, ClientId, ClientIdError, ClientStats,
    HandlerError, Headers, InstanceStats, Listener, Payload, Rejected, Reply, Request,
    RequestBuilder, RequestId, Response, Responses, ServeError, Server, ServerBuilder, ServerStats,
    Unknown,
};
pub use socket::{
    Closed, Dealer, Drops, Event, Monitor, NotWritten, Pair, PeerInfo, PeerStats, Permit, Pub,
    Pull, Push, Receipt, Received, Rep, Req, Responder, Router, SendOptions, Sent, Stats, Sub,
    SubscriptionRequest, Upstream, Written, XPub, XSub,
};

/// The examples of the README are compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
