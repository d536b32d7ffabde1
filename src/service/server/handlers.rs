//! The handlers that run: each in a task of its own, unless such a task costs more than they do.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::task::coop::has_budget_remaining;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::service::dispatch::Ticket;
use crate::service::reply::{HandlerError, Reply, Request, answer};
use crate::service::window::Answer;

/// What a handler may take, at most, to be called quick. A task of its own costs some 5,000
/// instructions, which are then no small part of it.
const QUICK: Duration = Duration::from_micros(5);

/// One that takes longer where it is has held up the server.
const LONG: Duration = Duration::from_micros(50);

/// So many handlers in a row are to be quick before the next is run where it is.
const TRUST: u32 = 64;

/// So many at most, however often they were slow then.
const MOST_TRUST: u32 = 1 << 20;

/// Within this time of their start, handlers are let finish before the answer of the first is written.
const SOON: Duration = Duration::from_micros(50);

/// The handlers that run.
pub(super) struct Handlers<H> {
    handler: H,
    tasks: JoinSet<Finished>,
    aborts: FxHashMap<Ticket, AbortHandle>,
    pace: Pace,
    /// When the last of them were started, until it was asked whether they are about to finish.
    fresh: Option<Instant>,
}

/// What a task says of its handler.
struct Finished {
    ticket: Ticket,
    answer: Answer,
    /// `None` where it was polled before it got the task.
    first: Option<FirstPoll>,
}

/// How the first poll of a handler went.
#[derive(Clone, Copy)]
struct FirstPoll {
    /// It has answered.
    done: bool,
    took: Duration,
}

/// Whether handlers are so quick that they are run where they are. A slow one there holds up all
/// that the server does, so each makes it harder to be trusted again.
#[derive(Debug)]
struct Pace {
    /// Quick ones since the last that was not.
    quick: u32,
    /// How many of them it takes.
    wanted: u32,
}

type Outcome = Result<Reply, HandlerError>;

impl<H, F> Handlers<H>
where
    H: Fn(Request) -> F,
    F: Future<Output = Outcome> + Send + 'static,
{
    pub(super) fn new(handler: H) -> Self {
        Self {
            handler,
            tasks: JoinSet::new(),
            aborts: FxHashMap::default(),
            pace: Pace::default(),
            fresh: None,
        }
    }

    /// As where enough of them have been quick, however slow the next ones are.
    #[cfg(test)]
    pub(super) fn trusted(handler: H) -> Self {
        let mut handlers = Self::new(handler);
        handlers.pace.wanted = 0;
        handlers
    }

    /// Starts a handler. Returns its answer if it has one already.
    pub(super) fn start(&mut self, ticket: Ticket, request: Request) -> Option<Answer> {
        if self.pace.is_trusted() && has_budget_remaining() {
            return self.run(ticket, request);
        }
        // The handler itself may panic before its future exists.
        let Some(future) = unless_it_panics(|| (self.handler)(request)) else {
            return Some(answer(Err(HandlerError::panicked())));
        };
        self.spawn(ticket, async move {
            let mut future = pin!(future);
            let begun = Instant::now();
            let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            let first = FirstPoll {
                done: polled.is_ready(),
                took: begun.elapsed(),
            };
            let result = match polled {
                Poll::Ready(result) => result,
                Poll::Pending => future.await,
            };
            Finished {
                ticket,
                answer: answer(result),
                first: Some(first),
            }
        });
        self.fresh = Some(Instant::now());
        None
    }

    /// Runs a handler where it is; if it waits for anything, it gets a task.
    fn run(&mut self, ticket: Ticket, request: Request) -> Option<Answer> {
        let begun = Instant::now();
        let polled = unless_it_panics(|| {
            let mut future: Pin<Box<F>> = Box::pin((self.handler)(request));
            // Whoever polls it next says whom to wake.
            let mut nobody = Context::from_waker(Waker::noop());
            match future.as_mut().poll(&mut nobody) {
                Poll::Ready(result) => Ok(result),
                Poll::Pending => Err(future),
            }
        });
        let first = FirstPoll {
            done: !matches!(polled, Some(Err(_))),
            took: begun.elapsed(),
        };
        // One that waits because this task has taken all its steps is not slow.
        if first.done || has_budget_remaining() {
            self.pace.note_here(first);
        }
        match polled {
            Some(Ok(result)) => Some(answer(result)),
            Some(Err(future)) => {
                self.spawn(ticket, async move {
                    Finished {
                        ticket,
                        answer: answer(future.await),
                        first: None,
                    }
                });
                None
            }
            None => Some(answer(Err(HandlerError::panicked()))),
        }
    }

    fn spawn(&mut self, ticket: Ticket, run: impl Future<Output = Finished> + Send + 'static) {
        let abort = self.tasks.spawn(run);
        self.aborts.insert(ticket, abort);
    }

    /// Whether others were started with one that was quick, a moment ago: says so once.
    pub(super) fn are_about_to_finish(&mut self) -> bool {
        let soon = |started: Instant| started.elapsed() < SOON;
        let fresh = self.fresh.take().is_some_and(soon);
        fresh && self.pace.was_quick() && !self.tasks.is_empty()
    }

    pub(super) fn abort(&mut self, ticket: Ticket) {
        if let Some(task) = self.aborts.remove(&ticket) {
            task.abort();
        }
    }

    /// The next handler that has finished; waits for ever where none runs.
    pub(super) async fn next(&mut self) -> Option<(Ticket, Answer)> {
        match self.tasks.join_next().await {
            Some(joined) => self.joined(joined),
            None => pending().await,
        }
    }

    pub(super) fn try_next(&mut self) -> Option<Option<(Ticket, Answer)>> {
        let joined = self.tasks.try_join_next()?;
        Some(self.joined(joined))
    }

    /// What a handler that has ended answers: nothing where it was aborted.
    fn joined(&mut self, joined: Result<Finished, JoinError>) -> Option<(Ticket, Answer)> {
        let (ticket, answer) = match joined {
            Ok(finished) => {
                if let Some(first) = finished.first {
                    self.pace.note(first);
                }
                (finished.ticket, finished.answer)
            }
            // Aborted, or the runtime ends.
            Err(error) if !error.is_panic() => return None,
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

/// What this returns, or `None` where it panics.
fn unless_it_panics<T>(run: impl FnOnce() -> T) -> Option<T> {
    let ran = catch_unwind(AssertUnwindSafe(run));
    // What it panicked with may panic when it is dropped.
    ran.map_err(std::mem::forget).ok()
}

impl FirstPoll {
    fn is_quick(self) -> bool {
        self.done && self.took <= QUICK
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            quick: 0,
            wanted: TRUST,
        }
    }
}

impl Pace {
    fn is_trusted(&self) -> bool {
        self.quick >= self.wanted
    }

    /// Whether the last one was.
    fn was_quick(&self) -> bool {
        self.quick > 0
    }

    /// Takes note of a handler that had a task.
    fn note(&mut self, first: FirstPoll) {
        self.quick = match first.is_quick() {
            true => self.quick.saturating_add(1),
            false => 0,
        };
    }

    /// Takes note of one that was run where it is.
    fn note_here(&mut self, first: FirstPoll) {
        if !first.done || first.took > LONG {
            self.wanted = MOST_TRUST.min(self.wanted * 2);
        }
        self.note(first);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::sync::Notify;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::{FirstPoll, Handlers, LONG, MOST_TRUST, Pace, QUICK, TRUST};
    use crate::service::dispatch::{Choice, Config, Dispatch, Job, Ticket};
    use crate::service::intake::Incoming;
    use crate::service::outcome::Payload;
    use crate::service::reply::{Reply, Request};
    use crate::service::wire::{Control, Kind, Name, RequestId, Status};

    fn ticket() -> Ticket {
        let mut dispatch = Dispatch::new(Config {
            messages: 1,
            bytes: 1,
            per_key_in_flight: 1,
            choice: Choice::RoundRobin,
        });
        let job = Job {
            key: None,
            size: 0,
            expires: None,
            item: (),
        };
        dispatch.submit(job).expect("it is empty")
    }

    fn request() -> Request {
        let id = RequestId {
            nonce: 1,
            counter: 1,
        };
        Request::new(Box::new(Incoming {
            topic: Bytes::new(),
            control: Control::new(Kind::Request, id, Name::default()),
            headers: Default::default(),
            payload: Payload::default(),
            deadline: None,
        }))
    }

    #[tokio::test]
    async fn handlers_have_tasks_of_their_own_until_they_are_trusted() {
        let mut handlers = Handlers::new(|_| async { Ok(Reply::raw("done")) });
        assert_eq!(handlers.start(ticket(), request()), None);
        let (_, answer) = handlers.next().await.expect("it was not aborted");
        assert_eq!(answer.payload, "done");
    }

    #[tokio::test]
    async fn one_that_is_trusted_has_answered_when_it_was_started() {
        let mut handlers = Handlers::trusted(|_| async { Ok(Reply::raw("done")) });
        let answer = handlers.start(ticket(), request()).expect("no task");
        assert_eq!(answer.payload, "done");
    }

    #[tokio::test]
    async fn one_that_is_trusted_and_waits_goes_on_in_a_task() {
        let released = Arc::new(Notify::new());
        let waits = Arc::clone(&released);
        let mut handlers = Handlers::trusted(move |_| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                Ok(Reply::raw("released"))
            }
        });
        assert_eq!(handlers.start(ticket(), request()), None);
        released.notify_one();
        let (_, answer) = handlers.next().await.expect("it was not aborted");
        assert_eq!(answer.payload, "released");
    }

    #[tokio::test]
    async fn one_that_goes_on_in_a_task_can_be_aborted() {
        let mut handlers = Handlers::trusted(|_| std::future::pending());
        assert_eq!(handlers.start(ticket(), request()), None);
        handlers.abort(ticket());
        assert_eq!(handlers.next().await, None);
    }

    #[tokio::test]
    async fn one_that_waits_for_a_step_of_the_servers_own_task_is_still_trusted() {
        let mut handlers = Handlers::trusted(|_| async {
            while has_budget_remaining() {
                consume_budget().await;
            }
            consume_budget().await;
            Ok(Reply::default())
        });
        handlers.pace = Pace::default();
        assert!(noted(&mut handlers.pace, TRUST));
        assert_eq!(handlers.start(ticket(), request()), None);
        assert!(handlers.pace.is_trusted());
        assert!(handlers.next().await.is_some());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_wherever_the_handler_runs() {
        let panics = |_| async { std::panic::resume_unwind(Box::new(())) };
        let mut handlers = Handlers::new(panics);
        assert_eq!(handlers.start(ticket(), request()), None);
        let (_, in_a_task) = handlers.next().await.expect("it was not aborted");
        handlers.pace.wanted = 0;
        let at_once = handlers.start(ticket(), request()).expect("no task");
        for answer in [in_a_task, at_once] {
            assert_eq!(answer.status, Status::HANDLER_PANICKED);
        }
    }

    const AT_ONCE: FirstPoll = FirstPoll {
        done: true,
        took: QUICK,
    };

    const SLOWLY: FirstPoll = FirstPoll {
        done: true,
        took: LONG.saturating_mul(2),
    };

    const NOT_YET: FirstPoll = FirstPoll {
        done: false,
        took: QUICK,
    };

    fn noted(pace: &mut Pace, quick: u32) -> bool {
        (0..quick).for_each(|_| pace.note(AT_ONCE));
        pace.is_trusted()
    }

    #[test]
    fn handlers_are_trusted_once_enough_in_a_row_were_quick() {
        let mut pace = Pace::default();
        assert!(!noted(&mut pace, TRUST - 1));
        pace.note(SLOWLY);
        assert!(!noted(&mut pace, TRUST - 1));
        assert!(noted(&mut pace, 1));
    }

    #[test]
    fn one_that_waits_for_anything_is_not_quick() {
        let mut pace = Pace::default();
        assert!(noted(&mut pace, TRUST));
        pace.note(NOT_YET);
        assert!(!pace.is_trusted());
        assert!(noted(&mut pace, TRUST), "it has held up nobody");
    }

    #[test]
    fn one_that_was_not_quite_quick_where_it_is_has_held_up_nobody() {
        let mut pace = Pace::default();
        assert!(noted(&mut pace, TRUST));
        pace.note_here(FirstPoll {
            took: LONG,
            ..AT_ONCE
        });
        assert!(!pace.is_trusted());
        assert!(noted(&mut pace, TRUST));
    }

    #[test]
    fn trust_that_was_disappointed_takes_twice_as_many_and_a_million_at_most() {
        let mut pace = Pace::default();
        assert!(noted(&mut pace, TRUST));
        pace.note_here(NOT_YET);
        assert!(!noted(&mut pace, 2 * TRUST - 1));
        assert!(noted(&mut pace, 1));
        for _ in 0..30 {
            assert!(noted(&mut pace, MOST_TRUST));
            pace.note_here(SLOWLY);
        }
    }
}
