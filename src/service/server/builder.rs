//! What a server is told when it is made.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::{Server, Wire};
use crate::endpoint::{Endpoint, EndpointError, IntoEndpoint};
use crate::error::{BindError, ConnectError};
use crate::options::Options;
use crate::service::ambient::{draw, now};
use crate::service::headers::Headers;
use crate::service::intake::{Config, Intake};
use crate::service::reply::{HandlerError, Reply, Request};
use crate::service::window::Memory;
use crate::service::wire::Name;

/// Makes a [`Server`].
#[derive(Debug)]
#[must_use = "a server begins with serve"]
pub struct ServerBuilder {
    service: String,
    requests: Option<Result<Endpoint, EndpointError>>,
    responses: Option<Result<Endpoint, EndpointError>>,
    broker: Option<Result<Endpoint, EndpointError>>,
    name: Option<String>,
    concurrency: usize,
    queue: usize,
    queue_octets: usize,
    memory: Memory,
    heartbeat: Duration,
    options: Options,
}

/// Why a server did not begin. The caller's fault, or the system's; nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An endpoint is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It cannot listen there.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It cannot connect there.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The name of the service is longer than 255 octets, or that of the
    /// worker longer than 8 KiB.
    #[error("the name of the service or worker is too long")]
    Name,
    /// Neither `bind` nor `connect` was called, or both were.
    #[error("a server needs either bind, to be reached, or connect, to serve behind a broker")]
    Place,
}

impl ServerBuilder {
    pub(super) fn new(service: String) -> Self {
        Self {
            service,
            requests: None,
            responses: None,
            broker: None,
            name: None,
            concurrency: 16,
            queue: 1_000,
            queue_octets: 64 << 20,
            memory: Memory {
                octets: 1 << 20,
                time: Duration::from_secs(30),
            },
            heartbeat: Duration::from_secs(1),
            options: Options::default(),
        }
    }

    /// Clients reach it directly, and push their requests here. Responses get
    /// a port of their own on the same host, unless
    /// [`bind_responses`](Self::bind_responses) says where.
    pub fn bind(mut self, requests: impl IntoEndpoint) -> Self {
        self.requests = Some(requests.into_endpoint());
        self
    }

    /// Where responses are published.
    pub fn bind_responses(mut self, responses: impl IntoEndpoint) -> Self {
        self.responses = Some(responses.into_endpoint());
        self
    }

    /// It serves behind the broker whose back is here.
    pub fn connect(mut self, broker: impl IntoEndpoint) -> Self {
        self.broker = Some(broker.into_endpoint());
        self
    }

    /// The name under which a broker knows it and spreads keys to it, best
    /// kept over restarts. Default: one that is drawn.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How many handlers run at once. Default 16; 0 counts as 1.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// How many requests wait for a handler before others are answered
    /// *overloaded*. Default 1,000.
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }

    /// How many octets of requests wait. Default 64 MiB.
    pub fn queue_bytes(mut self, octets: usize) -> Self {
        self.queue_octets = octets;
        self
    }

    /// How much is remembered of each client's answered requests, and for how
    /// long, to know a repeat. Default 1 MiB and 30 s.
    pub fn memory(mut self, octets: usize, time: Duration) -> Self {
        self.memory = Memory { octets, time };
        self
    }

    /// The time between two heartbeats to a broker. Default 1 s; less than 1 ms
    /// counts as 1 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.max(Duration::from_millis(1));
        self
    }

    /// Lets it listen beyond loopback though nothing is encrypted and nobody
    /// proves who they are.
    pub fn allow_plaintext(mut self) -> Self {
        self.options = self.options.allow_plaintext();
        self
    }

    /// Begins to serve.
    ///
    /// The handler runs as a task for each request, requests of the same key
    /// one after another. A handler that panics is an error to its client, and
    /// the server goes on.
    ///
    /// Where the last 64 were all done at their first poll, within 5 µs each, the
    /// next is polled by the server's own task, and gets one of its own if it
    /// waits for anything. One that is slow there, and holds up the server, takes
    /// that away from those behind it, each time for twice as many. So a handler
    /// must not block its thread until another request of this server is answered.
    ///
    /// # Errors
    ///
    /// See [`ServeError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future serves nothing.
    pub async fn serve<H, F>(self, handler: H) -> Result<Server, ServeError>
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, HandlerError>> + Send + 'static,
    {
        let config = Config {
            service: Name::new(self.service).map_err(|_| ServeError::Name)?,
            concurrency: self.concurrency,
            queue: self.queue,
            queue_octets: self.queue_octets,
            memory: self.memory,
            heartbeat: self.heartbeat,
            forget: Duration::from_secs(30),
            clients: 65_536,
        };
        match (self.requests, self.broker) {
            (Some(requests), None) => {
                let requests = requests?;
                let responses = match self.responses {
                    Some(responses) => responses?,
                    None => requests.beside(),
                };
                let wire = Wire::bind(requests, responses, self.options).await?;
                Ok(Server::start(
                    Intake::direct(config, draw(), now()),
                    wire,
                    handler,
                ))
            }
            (None, Some(broker)) => {
                let name = self
                    .name
                    .unwrap_or_else(|| format!("worker-{:016x}", draw()));
                let headers = introduction(&name)?;
                let wire = Wire::connect(broker?, self.options)?;
                let intake = Intake::behind_broker(config, headers, now());
                Ok(Server::start(intake, wire, handler))
            }
            _ => Err(ServeError::Place),
        }
    }
}

/// The headers of a worker's hello.
fn introduction(name: &str) -> Result<Bytes, ServeError> {
    let headers: Headers = [("name", name)].into_iter().collect();
    headers.encode().map_err(|_| ServeError::Name)
}
