//! Push requests to a service, subscribe to its responses.

mod device;
mod discovery;
mod endpoint;
mod error;
mod message;
mod options;
mod pipe;
mod routing;
mod service;
mod session;
mod socket;
pub mod testing;
mod transport;
mod zmtp;

pub use device::{Broker, BrokerBuilder, BrokerStats, Refused, ServiceStats, WorkerStats};
pub use discovery::{Discovery, Freshness, Instance, Registration, Registry, Static, View, Watch};
pub use endpoint::{Endpoint, EndpointError, Host, IntoEndpoint};
pub use error::{
    BindError, ConnectError, LinkError, RecvError, SendError, TryRecvError, TrySendError,
};
pub use message::Message;
pub use options::{Identity, IdentityError, Options, SocketType};
pub use service::{
    CallError, Client, ClientBuilder, ClientError, ClientId, ClientIdError, ClientStats,
    HandlerError, Headers, InstanceStats, Listener, Payload, Rejected, Reply, Request,
    RequestBuilder, RequestId, Response, Responses, ServeError, Server, ServerBuilder, ServerStats,
    Unknown,
};
pub use socket::{
    Closed, Dealer, Drops, Event, Monitor, PeerInfo, PeerStats, Pub, Pull, Push, Received, Router,
    Sent, Stats, Sub, XPub,
};
