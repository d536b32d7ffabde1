//! The broker: a load balancer between clients and workers, which a program embeds.
//!
//! It never reads a payload and stores nothing durably: what it held is gone
//! with it, and no request counts as answered before its answer is there.
//!
//! What it decides is in `core`, which is pure; `driver` moves the messages.

mod core;
mod driver;
mod stats;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::core::{Core, Limits};
use self::driver::{Driver, Phase};
pub use self::stats::{BrokerStats, Refused, ServiceStats, WorkerStats};
use crate::discovery::Instance;
use crate::endpoint::{Endpoint, EndpointError, IntoEndpoint};
use crate::error::BindError;
use crate::options::Options;
use crate::service::window::Memory;
use crate::socket::{Pull, Router, XPub};

/// The most credit of one worker that counts: its pipe holds as much and more.
const CREDIT: usize = 8_192;

/// What the pipe to one worker holds: more than its credit, of requests that
/// may be large. One that is full means that its worker does not read.
const WORKER_MESSAGES: usize = 4 * CREDIT;
const WORKER_BYTES: usize = 256 << 20;

/// What the pipe to one client holds, above any window that it should announce
/// (512 messages and 8 MiB by default). Whoever listens in slower loses the rest.
const CLIENT_MESSAGES: usize = 10_000;
const CLIENT_BYTES: usize = 32 << 20;

/// A broker that runs in this program.
///
/// Clients push requests to its front and subscribe to the responses there, as
/// they would with any instance of a service. Workers connect to its back and
/// say what they serve and how much they take at once; they are given no more
/// than that. A request goes to the worker with the least outstanding, or by its
/// key, in order. The requests of a lost worker go to another where they are
/// idempotent, and are answered as *unknown* at once where they are not.
///
/// ```
/// use pushsub::Broker;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let broker = Broker::builder()
///     .front("tcp://127.0.0.1:*")
///     .back("tcp://127.0.0.1:*")
///     .spawn()
///     .await?;
/// println!("clients: {}", broker.front().requests);
/// println!("workers: {}", broker.back());
/// broker.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Trade-offs
///
/// It is one task: a broker is as fast as one core. Dropping it ends it without
/// a drain; only [`Self::close`] lets the requests that it has be answered.
pub struct Broker {
    front: Instance,
    back: Endpoint,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    drain_timeout: Duration,
    driver: JoinHandle<()>,
}

/// What the handle and the driver share.
struct Shared {
    /// Never locked across an await.
    core: Mutex<Core>,
    /// Follows `Core::membership`.
    membership: watch::Sender<u64>,
}

/// What a broker is told before it starts; the defaults suit most programs.
#[derive(Clone, Debug)]
pub struct BrokerBuilder {
    front: Result<Endpoint, EndpointError>,
    front_responses: Option<Result<Endpoint, EndpointError>>,
    back: Result<Endpoint, EndpointError>,
    limits: Limits,
    drain_timeout: Duration,
    plaintext: bool,
}

impl Broker {
    /// A broker yet to be started. Without more it binds ports of loopback that
    /// the system picks.
    #[must_use]
    pub fn builder() -> BrokerBuilder {
        let loopback = "tcp://127.0.0.1:*".into_endpoint();
        BrokerBuilder {
            front: loopback.clone(),
            front_responses: None,
            back: loopback,
            limits: Limits {
                heartbeat: Duration::from_secs(1),
                liveness: 4,
                client_silence: Duration::from_secs(30),
                queue_messages: 10_000,
                queue_bytes: 64 << 20,
                credit: CREDIT,
                clients: 100_000,
                workers: 10_000,
                services: 1_000,
                memory: Memory {
                    octets: 1 << 20,
                    time: Duration::from_secs(30),
                },
                memory_total: 64 << 20,
            },
            drain_timeout: Duration::from_secs(10),
            plaintext: false,
        }
    }

    /// Where clients connect: to them the broker is one instance.
    #[must_use]
    pub fn front(&self) -> Instance {
        self.front.clone()
    }

    /// Where workers connect.
    #[must_use]
    pub fn back(&self) -> Endpoint {
        self.back.clone()
    }

    /// What it holds now and has done so far.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        self.shared.core.lock().stats()
    }

    /// Waits until a worker comes, goes or stops.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has changed nothing. What happens between two calls is
    /// not waited for: look at [`Self::stats`] first, or use
    /// [`Self::wait_for_workers`].
    pub async fn workers_changed(&self) {
        let mut membership = self.shared.membership.subscribe();
        // An error means that the sender is gone, and `self` holds it.
        let _ = membership.changed().await;
    }

    /// Waits until at least so many workers of a service take work.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has changed nothing.
    pub async fn wait_for_workers(&self, service: &str, workers: usize) {
        let mut membership = self.shared.membership.subscribe();
        while self.shared.core.lock().workers_serving(service) < workers {
            if membership.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends the broker without a failed call, if that is possible: tells the
    /// clients, takes no new request, and goes when those that it has are
    /// answered. What is not after the time of [`BrokerBuilder::drain_timeout`]
    /// is answered by the broker: as rejected where it was queued, as unknown
    /// where a worker has it.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the broker at once.
    pub async fn close(mut self) {
        let deadline = Instant::now() + self.drain_timeout;
        self.phase.send_replace(Phase::Draining { deadline });
        // An error would be a panic of the driver, which has nothing left to do then.
        let _ = (&mut self.driver).await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Broker")
            .field("front", &self.front)
            .field("back", &self.back)
            .finish_non_exhaustive()
    }
}

impl BrokerBuilder {
    /// Where clients push requests. Default `tcp://127.0.0.1:*`.
    #[must_use]
    pub fn front(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.front = endpoint.into_endpoint();
        self
    }

    /// Where clients subscribe to responses. Default: the host of the front, and
    /// a port that the system picks.
    #[must_use]
    pub fn front_responses(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.front_responses = Some(endpoint.into_endpoint());
        self
    }

    /// Where workers connect. Default `tcp://127.0.0.1:*`.
    #[must_use]
    pub fn back(mut self, endpoint: impl IntoEndpoint) -> Self {
        self.back = endpoint.into_endpoint();
        self
    }

    /// How often workers and clients are to be heard: set the same at both ends.
    /// Default 1 s; at least 1 ms.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.limits.heartbeat = interval.max(Duration::from_millis(1));
        self
    }

    /// After how many heartbeats without a word a worker is lost. A link that is
    /// cut loses it at once. Default 4; 0 counts as 1.
    #[must_use]
    pub fn liveness(mut self, intervals: u32) -> Self {
        self.limits.liveness = intervals.max(1);
        self
    }

    /// How many requests of a service wait for credit; those beyond are answered
    /// as overloaded. Default 10,000; 0 counts as 1.
    #[must_use]
    pub fn queue_messages(mut self, messages: usize) -> Self {
        self.limits.queue_messages = messages.max(1);
        self
    }

    /// How many octets of requests of a service wait for credit; those beyond
    /// are answered as overloaded. Default 64 MiB.
    #[must_use]
    pub fn queue_bytes(mut self, octets: usize) -> Self {
        self.limits.queue_bytes = octets;
        self
    }

    /// How many octets of the answers to a client's idempotent requests are
    /// remembered, and for how long, so that a repeat is answered and not run
    /// again. Default 1 MiB and 30 s; of all clients together at most 64 MiB.
    /// That a request was answered is remembered beside it.
    #[must_use]
    pub fn memory(mut self, octets: usize, time: Duration) -> Self {
        self.limits.memory = Memory { octets, time };
        self
    }

    /// How long [`Broker::close`] waits for answers. Default 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Lets the broker listen beyond loopback though nothing is encrypted and no
    /// peer proves who it is. Default no.
    #[must_use]
    pub fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Binds the three endpoints and starts the broker on the present runtime.
    ///
    /// # Errors
    ///
    /// An endpoint is none, or cannot be bound: then nothing was started.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has started nothing.
    pub async fn spawn(self) -> Result<Broker, BindError> {
        let front = self.front?;
        let responses = match self.front_responses {
            Some(endpoint) => endpoint?,
            None => front.beside(),
        };
        let options = |messages, octets| {
            let options = Options::default()
                .send_high_water_mark(messages)
                .send_high_water_mark_bytes(octets);
            if self.plaintext {
                options.allow_plaintext()
            } else {
                options
            }
        };
        let pull = Pull::of(options(1, 1));
        let publisher = XPub::of(options(CLIENT_MESSAGES, CLIENT_BYTES));
        let workers = options(WORKER_MESSAGES, WORKER_BYTES);
        let router = Router::of(workers.mandatory(true));
        // Before the first worker: an event that nobody awaits is lost.
        let events = router.monitor();
        let front = Instance {
            requests: pull.bind(front).await?,
            responses: publisher.bind(responses).await?,
        };
        let back = router.bind(self.back?).await?;

        let now = Instant::now().into_std();
        let epoch = fastrand::u64(1..);
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(self.limits, epoch, now)),
            membership: watch::Sender::new(0),
        });
        let phase = watch::Sender::new(Phase::Serving);
        let driver = Driver {
            shared: Arc::clone(&shared),
            pull,
            publisher,
            router,
            events,
            phase: phase.subscribe(),
        };
        tracing::info!(
            requests = %front.requests,
            responses = %front.responses,
            workers = %back,
            "the broker listens"
        );
        Ok(Broker {
            front,
            back,
            shared,
            phase,
            drain_timeout: self.drain_timeout,
            driver: tokio::spawn(driver.run()),
        })
    }
}
