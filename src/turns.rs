//! What tasks do about the runtime that they are in: when one has its next turn, on which threads, by which
//! clock.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::runtime::{self, Handle};
use tokio::task::coop::has_budget_remaining;
use tokio::task::{self, unconstrained};
use tokio::time;

/// A runtime, all of whose tasks have their turns on the same threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home(runtime::Id);

impl Home {
    /// That of the present task.
    pub(crate) fn here() -> Option<Self> {
        Handle::try_current().ok().map(|handle| Self(handle.id()))
    }
}

/// Whether what is ready here may have its turn on one of several threads.
pub(crate) fn are_on_several_threads() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.metrics().num_workers() > 1)
}

/// Wakes this task when all that is ready has had its turn, the future of a `block_on` included, which
/// may be who sends: it comes behind the tasks that wake each other.
pub(crate) fn wake_behind_others(context: &mut Context<'_>) {
    let _ = pin!(task::yield_now()).poll(context);
}

/// Wakes this task, which has much to do, for its next turn, with others in between. On several threads any of
/// them may take it: one that is behind all that is ready waits with its thread, however long that takes.
pub(crate) fn wake_to_go_on(context: &mut Context<'_>, on_several_threads: bool) {
    if on_several_threads {
        context.waker().wake_by_ref();
    } else {
        wake_behind_others(context);
    }
}

/// Does something that is a step of this task's turn, also where that is over: it is not refused for that.
pub(crate) fn at_any_rate<T>(
    step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    context: &mut Context<'_>,
) -> Poll<T> {
    let step = pin!(poll_fn(step));
    match has_budget_remaining() {
        true => step.poll(context),
        false => pin!(unconstrained(step)).poll(context),
    }
}

/// Whether the runtime's clock is that of the system: a clock that is paused, or was, is another.
pub(crate) fn time_is_real() -> bool {
    let before = Instant::now();
    let now = time::Instant::now().into_std();
    before <= now && now <= Instant::now()
}

#[cfg(test)]
mod tests {
    use std::mem;
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::task::yield_now;

    use super::*;

    /// A turn of a task that goes on.
    async fn go_on() {
        let mut woken = false;
        poll_fn(|context| {
            if mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            wake_to_go_on(context, are_on_several_threads());
            Poll::Pending
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_goes_on_behind_a_long_turn_of_another_is_taken_by_a_free_thread() {
        let (went_on, goes_on) = mpsc::channel();
        let task = tokio::spawn(async move {
            // Its turn is the next on this thread.
            let other = tokio::spawn(async move { goes_on.recv_timeout(Duration::from_secs(5)) });
            go_on().await;
            let _ = went_on.send(());
            other.await
        });
        let other = task.await.expect("no panic").expect("no panic");
        assert_eq!(other, Ok(()), "it went on while the other had its turn");
    }

    #[test]
    fn who_yields_has_its_turns_between_those_of_who_goes_on_with_the_only_thread() {
        let alone = Builder::new_current_thread().build().expect("a runtime");
        let one_worker = Builder::new_multi_thread().worker_threads(1).build();
        for runtime in [alone, one_worker.expect("a runtime")] {
            runtime.block_on(async {
                let yields = tokio::spawn(async {
                    for _ in 0..10 {
                        yield_now().await;
                    }
                });
                let goes_on = tokio::spawn(async move {
                    for _ in 0..20 {
                        go_on().await;
                    }
                    yields.is_finished()
                });
                assert!(goes_on.await.expect("no panic"));
            });
        }
    }
}
