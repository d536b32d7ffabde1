//! A server: runs a handler for each request, as an instance or behind a broker.
//!
//! [`Intake`] decides; the one task here moves messages between it, the
//! sockets and the handlers.

mod builder;
mod wire;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet, yield_now};

pub use self::builder::{ServeError, ServerBuilder};
use self::wire::{Heard, Wire};
use crate::discovery::Instance;
use crate::service::ambient::{Alarm, draw, now};
use crate::service::dispatch::Ticket;
use crate::service::intake::{Counts, Incoming, Intake, Output};
use crate::service::reply::{HandlerError, Reply, Request, answer};
use crate::service::window::Answer;

/// Where a handler has finished within this time of its start, those that were started with it
/// are let finish too before its answer is written.
const QUICK: Duration = Duration::from_micros(50);

/// Answers the requests to one service. See [`Server::builder`].
///
/// Dropping it ends it at once, with what its handlers were doing;
/// [`close`](Self::close) lets them finish.
#[derive(Debug)]
pub struct Server {
    instance: Option<Instance>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    report: Arc<Mutex<ServerStats>>,
}

/// What a server has done so far, and what it is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Requests that wait for a handler.
    pub queued: usize,
    /// Handlers that run.
    pub running: usize,
    /// Handlers that were started.
    pub started: u64,
    /// Answers that were sent, rejections among them.
    pub answered: u64,
    /// Requests that were answered without being executed.
    pub rejected: u64,
    /// Requests that their client cancelled.
    pub cancelled: u64,
    /// Repeats of what was in progress or answered already.
    pub repeats: u64,
    /// Messages that a server has no use for.
    pub ignored: u64,
}

impl Server {
    /// Begins a server of this service.
    ///
    /// ```
    /// # tokio_test(async {
    /// use pushsub::{Client, HandlerError, Reply, Request, Server};
    ///
    /// let server = Server::builder("arithmetic")
    ///     .bind("tcp://127.0.0.1:*")
    ///     .serve(|request: Request| async move {
    ///         match request.method() {
    ///             "double" => Reply::body(&(2 * request.decode::<u64>()?)),
    ///             other => Err(HandlerError::no_such_method(other)),
    ///         }
    ///     })
    ///     .await?;
    ///
    /// let instance = server.instance().expect("it was bound");
    /// let client = Client::builder("arithmetic").connect(instance).await?;
    /// let doubled: u64 = client.call("double", &21).await?;
    /// assert_eq!(doubled, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
    /// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
    /// # }
    /// ```
    pub fn builder(service: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(service.into())
    }

    /// What a client connects to; `None` behind a broker.
    #[must_use]
    pub fn instance(&self) -> Option<Instance> {
        self.instance.clone()
    }

    /// What it has done so far, as of its last turn.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        *self.report.lock()
    }

    /// Takes no more requests, says so, answers what it has, and closes.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the server to finish in the background.
    pub async fn close(self) {
        // Where the task has ended already there is nothing to wait for.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }

    pub(in crate::service) fn start<H, F>(intake: Intake, wire: Wire, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, HandlerError>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let report = Arc::default();
        let instance = wire.instance();
        let driver = Driver {
            intake,
            wire,
            handlers: Handlers::new(handler),
            report: Arc::clone(&report),
        };
        Self {
            instance,
            stop,
            task: tokio::spawn(driver.run(stopped)),
            report,
        }
    }
}

/// The task of a server.
struct Driver<H> {
    intake: Intake,
    wire: Wire,
    handlers: Handlers<H>,
    report: Arc<Mutex<ServerStats>>,
}

impl<H, F> Driver<H>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Reply, HandlerError>> + Send + 'static,
{
    /// Takes turns: what came, what finished, what is due, then all that follows from it.
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut stopping = false;
        let mut alarm = Alarm::new();
        loop {
            self.turn().await;
            if self.intake.is_done(now()) {
                break;
            }
            alarm.set(self.intake.next_timeout());
            tokio::select! {
                asked = &mut stop, if !stopping => match asked {
                    Ok(()) => {
                        stopping = true;
                        self.intake.stop(now());
                    }
                    // The server was dropped.
                    Err(_) => return,
                },
                heard = self.wire.heard() => match heard {
                    Heard::Messages => self.read(),
                    Heard::LinkUp => self.intake.register(draw(), now()),
                    Heard::LinkCut => self.intake.link_cut(),
                },
                finished = self.handlers.next() => self.finish(finished),
                // What is due is done by the turn.
                () = alarm.rings() => {}
            }
        }
        self.wire.read_all();
        self.read();
        self.turn().await;
        self.wire.close().await;
    }

    fn read(&mut self) {
        let now = now();
        for message in self.wire.messages.drain(..) {
            self.intake.receive(message, now);
        }
    }

    fn finish(&mut self, finished: Option<(Ticket, Answer)>) {
        if let Some((ticket, answer)) = finished {
            self.intake.finished(ticket, answer, now());
        }
    }

    /// Does what is due and all that follows, and writes what there is to say.
    async fn turn(&mut self) {
        self.step();
        // Handlers that are as quick as the first of them may share its write.
        if self.wire.fed && self.handlers.are_about_to_finish() {
            yield_now().await;
            self.step();
        }
        self.wire.flush();
    }

    /// Does everything that the machine wants done.
    fn step(&mut self) {
        // A flood of requests must not keep what has finished waiting.
        while let Some(finished) = self.handlers.try_next() {
            self.finish(finished);
        }
        let now = now();
        if self.intake.next_timeout() <= now {
            self.intake.handle_timeout(now);
        }
        while let Some(output) = self.intake.poll(now) {
            match output {
                Output::Send(message) => self.wire.send(message),
                Output::Run(ticket, incoming) => self.handlers.start(ticket, incoming, now),
                Output::Abort(ticket) => self.handlers.abort(ticket),
                Output::Reconnect => self.wire.reconnect(),
                Output::Fenced => self.intake.register(draw(), now),
            }
        }
        *self.report.lock() = report(&self.intake);
    }
}

/// The handlers that run.
struct Handlers<H> {
    handler: H,
    tasks: JoinSet<(Ticket, Answer)>,
    aborts: FxHashMap<Ticket, AbortHandle>,
    /// When the last of them were started, until it was asked whether they are about to finish.
    fresh: Option<Instant>,
}

impl<H, F> Handlers<H>
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Reply, HandlerError>> + Send + 'static,
{
    fn new(handler: H) -> Self {
        Self {
            handler,
            tasks: JoinSet::new(),
            aborts: FxHashMap::default(),
            fresh: None,
        }
    }

    fn start(&mut self, ticket: Ticket, incoming: Box<Incoming>, now: Instant) {
        // The handler itself may panic before its future exists.
        let make = std::panic::AssertUnwindSafe(|| (self.handler)(Request::new(incoming)));
        let future = std::panic::catch_unwind(make);
        let abort = self.tasks.spawn(async move {
            let result = match future {
                Ok(future) => future.await,
                Err(_) => Err(HandlerError::panicked()),
            };
            (ticket, answer(result))
        });
        self.fresh = Some(now);
        self.aborts.insert(ticket, abort);
    }

    /// Whether others were started with one that took no time: says so once.
    fn are_about_to_finish(&mut self) -> bool {
        let started = self.fresh.take();
        !self.tasks.is_empty() && started.is_some_and(|started| now() - started < QUICK)
    }

    fn abort(&mut self, ticket: Ticket) {
        if let Some(task) = self.aborts.remove(&ticket) {
            task.abort();
        }
    }

    /// The next handler that has finished; waits for ever where none runs.
    async fn next(&mut self) -> Option<(Ticket, Answer)> {
        match self.tasks.join_next().await {
            Some(joined) => self.joined(joined),
            None => std::future::pending().await,
        }
    }

    fn try_next(&mut self) -> Option<Option<(Ticket, Answer)>> {
        let joined = self.tasks.try_join_next()?;
        Some(self.joined(joined))
    }

    /// What a handler that has ended answers: nothing where it was aborted.
    fn joined(&mut self, joined: Result<(Ticket, Answer), JoinError>) -> Option<(Ticket, Answer)> {
        let (ticket, answer) = match joined {
            Ok(finished) => finished,
            Err(error) => {
                let mut running = self.aborts.iter();
                let (ticket, _) = running.find(|(_, task)| task.id() == error.id())?;
                (*ticket, answer(Err(HandlerError::panicked())))
            }
        };
        self.aborts.remove(&ticket);
        Some((ticket, answer))
    }
}

fn report(intake: &Intake) -> ServerStats {
    let Counts {
        started,
        answered,
        rejected,
        cancelled,
        repeats,
        ignored,
    } = intake.counts();
    let (queued, running) = intake.load();
    ServerStats {
        queued,
        running,
        started,
        answered,
        rejected,
        cancelled,
        repeats,
        ignored,
    }
}
