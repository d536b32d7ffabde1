//! The service layer: push requests to a service, subscribe to its responses.
//!
//! It never touches a connection: it composes sockets and says what travels
//! in their messages (`docs/protocol.md`). What decides (`wire`, `envelope`,
//! `dispatch`, `call`) takes the time as an argument and never waits; what
//! waits (`client`, `server`) decides nothing.

pub(crate) mod ambient;
mod call;
mod client;
pub(crate) mod dispatch;
pub(crate) mod envelope;
mod headers;
mod intake;
mod listener;
mod outcome;
mod reply;
mod server;
pub(crate) mod window;
pub(crate) mod wire;

pub use client::{
    Client, ClientBuilder, ClientError, ClientStats, InstanceStats, RequestBuilder, Responses,
};
pub use envelope::{ClientId, ClientIdError};
pub use headers::Headers;
pub use listener::Listener;
pub use outcome::{CallError, Payload, Rejected, Response, Unknown};
pub use reply::{HandlerError, Reply, Request};
pub use server::{ServeError, Server, ServerBuilder, ServerStats};
pub use wire::RequestId;
