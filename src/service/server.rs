//! A server: runs a handler for each request, as an instance or behind a broker.
//!
//! [`Intake`] decides; the one task here moves messages between it, the
//! sockets and the handlers.

mod builder;
mod handlers;
mod wire;

use std::future::{Future, ready};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

pub use self::builder::{ServeError, ServerBuilder};
use self::handlers::Handlers;
use self::wire::{Heard, Wire};
use crate::discovery::Instance;
use crate::service::ambient::{Alarm, draw, now};
use crate::service::dispatch::Ticket;
use crate::service::intake::{Counts, Intake, Output};
use crate::service::reply::{HandlerError, Reply, Request};
use crate::service::window::Answer;

/// Requests that are answered where they are, at most, before the sockets have their turn.
const ANSWERS_A_TURN: usize = 256;

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
            let more = self.turn().await;
            if !more && self.intake.is_done(now()) {
                break;
            }
            alarm.set(self.intake.next_timeout());
            tokio::select! {
                // What came and what has finished are both looked at by each turn.
                biased;
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
                () = ready(()), if more => {}
            }
        }
        self.wire.read_all();
        self.read();
        while self.turn().await {}
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

    /// Does what is due and what follows, and writes what there is to say. Returns whether there
    /// is more to do at once.
    async fn turn(&mut self) -> bool {
        let mut more = self.step();
        // Those that are as quick as the first of them share its write.
        if self.wire.has_unwritten() && self.handlers.are_about_to_finish() {
            yield_now().await;
            more = self.step();
        }
        self.wire.flush();
        more
    }

    /// Does everything that the machine wants done, but for requests beyond so many that are
    /// answered at once. Returns whether there may be any.
    fn step(&mut self) -> bool {
        // A flood of requests must not keep what has finished waiting.
        while let Some(finished) = self.handlers.try_next() {
            self.finish(finished);
        }
        let mut time = now();
        if self.intake.next_timeout() <= time {
            self.intake.handle_timeout(time);
        }
        let mut answered = 0;
        while answered < ANSWERS_A_TURN
            && let Some(output) = self.intake.poll(time)
        {
            match output {
                Output::Send(message) => self.wire.send(message),
                Output::Run(ticket, incoming) => {
                    if let Some(answer) = self.handlers.start(ticket, Request::new(incoming)) {
                        // It may have taken its time.
                        time = now();
                        self.intake.finished(ticket, answer, time);
                        answered += 1;
                    }
                }
                Output::Abort(ticket) => self.handlers.abort(ticket),
                Output::Reconnect => self.wire.reconnect(),
                Output::Fenced => self.intake.register(draw(), time),
            }
        }
        *self.report.lock() = report(&self.intake);
        answered == ANSWERS_A_TURN
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use bytes::Bytes;

    use super::{ANSWERS_A_TURN, Driver, Handlers, Intake, Wire};
    use crate::message::Message;
    use crate::options::Options;
    use crate::service::ambient::now;
    use crate::service::envelope::{Envelope, topic};
    use crate::service::intake::Config;
    use crate::service::reply::{HandlerError, Reply, Request};
    use crate::service::window::Memory;
    use crate::service::wire::{Control, Kind, Name, RequestId};

    const SECOND: Duration = Duration::from_secs(1);

    fn request(counter: u64, method: &str, time_left: Option<Duration>) -> Message {
        let id = RequestId { nonce: 1, counter };
        let name = |name: &str| Name::new(name.to_owned()).expect("a name");
        let control = Control {
            method: name(method),
            time_left,
            ..Control::new(Kind::Request, id, name("geo"))
        };
        Envelope::bare(topic(b"client").expect("an id"), control).encode()
    }

    /// A server whose handlers are taken for quick ones.
    async fn server<H, F>(place: &str, handler: H) -> Driver<H>
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, HandlerError>> + Send + 'static,
    {
        let config = Config {
            service: Name::new("geo").expect("a name"),
            concurrency: 1,
            queue: 10_000,
            queue_octets: 1 << 20,
            memory: Memory {
                octets: 0,
                time: SECOND,
            },
            heartbeat: SECOND,
            forget: SECOND,
            clients: 1,
        };
        let [requests, responses] = ["requests", "responses"].map(|what| {
            let endpoint = format!("memory://{place}-{what}");
            endpoint.parse().expect("an endpoint")
        });
        let wire = Wire::bind(requests, responses, Options::default()).await;
        Driver {
            intake: Intake::direct(config, 1, now()),
            wire: wire.expect("a free name"),
            handlers: Handlers::trusted(handler),
            report: Arc::default(),
        }
    }

    #[tokio::test]
    async fn what_expires_while_a_handler_holds_up_the_server_is_not_run() {
        const DEADLINE: Duration = Duration::from_millis(5);
        let ran = Arc::new(AtomicBool::new(false));
        let runs = Arc::clone(&ran);
        let handler = move |request: Request| {
            match request.method() {
                "block" => {
                    let begun = Instant::now();
                    while begun.elapsed() < 2 * DEADLINE {}
                }
                _ => runs.store(true, Ordering::Relaxed),
            }
            async { Ok(Reply::default()) }
        };
        let mut server = server("expires", handler).await;
        let now = now();
        server.intake.receive(request(1, "block", None), now);
        let last = request(2, "run", Some(DEADLINE));
        server.intake.receive(last, now);
        server.step();
        assert!(!ran.load(Ordering::Relaxed));
        assert_eq!(
            (
                server.intake.counts().started,
                server.intake.counts().rejected
            ),
            (1, 1)
        );
    }

    #[tokio::test]
    async fn the_sockets_have_their_turn_behind_so_many_answers() {
        let mut server = server("turns", |_| async { Ok(Reply::raw(Bytes::new())) }).await;
        let now = now();
        for counter in 1..=ANSWERS_A_TURN as u64 + 1 {
            server.intake.receive(request(counter, "quick", None), now);
        }
        assert!(server.step(), "there is more to do");
        assert!(!server.step(), "that was all");
        assert_eq!(server.intake.counts().answered, ANSWERS_A_TURN as u64 + 1);
    }
}
