//! What a client is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use super::driver::Driver;
use super::shared::Shared;
use super::{Client, Inner};
use crate::discovery::Discovery;
use crate::service::ambient::{draw, now};
use crate::service::call::{Calls, Config};
use crate::service::dispatch::Choice;
use crate::service::envelope::{ClientId, ClientIdError};
use crate::service::wire::Name;

/// Makes a [`Client`].
#[derive(Debug)]
#[must_use = "a client begins with connect"]
pub struct ClientBuilder {
    service: String,
    client_id: Option<Vec<u8>>,
    deadline: Option<Duration>,
    window: u32,
    window_octets: u32,
    heartbeat: Duration,
    patience: Duration,
}

/// Why a client did not begin. The caller's fault; nothing is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The name of the service is longer than 255 octets.
    #[error("the name of a service has at most 255 octets")]
    Service,
    /// The client id is none.
    #[error(transparent)]
    ClientId(#[from] ClientIdError),
    /// `connect` was called outside of a tokio runtime.
    #[error("connect needs a running tokio runtime: call it from within one")]
    NoRuntime,
}

impl ClientBuilder {
    pub(super) fn new(service: String) -> Self {
        Self {
            service,
            client_id: None,
            deadline: Some(Duration::from_secs(5)),
            window: 512,
            window_octets: 8 << 20,
            heartbeat: Duration::from_secs(1),
            patience: Duration::from_secs(5),
        }
    }

    /// The id under which it subscribes to responses, and under which anyone
    /// who may can listen in. Default: one that is drawn.
    pub fn client_id(mut self, id: impl AsRef<[u8]>) -> Self {
        self.client_id = Some(id.as_ref().to_vec());
        self
    }

    /// How long the end of a request is waited for where the request does not
    /// say. Default 5 s.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// How many requests are outstanding at once; further ones wait. Default 512; 0 counts as 1.
    pub fn window(mut self, requests: u32) -> Self {
        self.window = requests.max(1);
        self
    }

    /// How many octets of requests are outstanding at once. A larger request
    /// goes alone. Default 8 MiB; 0 counts as 1.
    pub fn window_bytes(mut self, octets: u32) -> Self {
        self.window_octets = octets.max(1);
        self
    }

    /// The time between two probes of an instance that is up; it is lost after
    /// four without a word. Default 1 s; less than 1 ms counts as 1 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a request waits for an instance that is still being reached. Default 5 s.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Begins to reach the instances that discovery names. Requests can be
    /// made at once: they wait for the first instance that answers.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    ///
    /// # Cancel safety
    ///
    /// It does not wait.
    pub async fn connect(self, discovery: impl Discovery) -> Result<Client, ClientError> {
        tokio::runtime::Handle::try_current().map_err(|_| ClientError::NoRuntime)?;
        let id = self
            .client_id
            .unwrap_or_else(|| format!("client-{:016x}", draw()).into_bytes());
        let id = ClientId::new(id)?;
        let watch = discovery.watch(&self.service);
        let seed = draw();
        let config = Config {
            service: Name::new(self.service).map_err(|_| ClientError::Service)?,
            topic: id.topic().clone(),
            nonce: draw(),
            window: self.window,
            window_bytes: self.window_octets.into(),
            heartbeat: self.heartbeat,
            patience: self.patience,
            choice: Choice::TwoRandomChoices(seed),
            seed,
        };
        let calls = Calls::new(config, now());
        let shared = Arc::new(Shared::new(calls, self.window, self.window_octets));
        let driver = Driver::new(Arc::clone(&shared), watch, &id, self.window);
        tokio::spawn(driver.run());
        let inner = Inner {
            shared,
            deadline: self.deadline,
        };
        Ok(Client {
            inner: Arc::new(inner),
        })
    }
}
