//! What tasks do about the runtime that they are in: when one has its next turn, on which threads, by which
//! clock.

use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle};
use tokio::{task, time};

/// What others had less time than nothing else was ready for a turn.
const AT_ONCE: Duration = Duration::from_micros(10);

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

/// Wakes this task to go on with what it did in its last turn, before which others had so much time.
///
/// Behind all that is ready it waits with its thread, however long that takes, while another may be free.
/// So where others had something to do, it only queues, and is taken by whichever thread is free first.
pub(crate) fn wake_to_go_on(context: &mut Context<'_>, others: Duration) {
    if others >= AT_ONCE && are_on_several_threads() {
        context.waker().wake_by_ref();
    } else {
        wake_behind_others(context);
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
    use std::future::poll_fn;
    use std::mem;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::Poll;

    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;

    use super::*;

    /// A turn of a task that goes on, before which others had so much time.
    async fn go_on(others: Duration) {
        let mut woken = false;
        poll_fn(|context| {
            if mem::replace(&mut woken, true) {
                return Poll::Ready(());
            }
            wake_to_go_on(context, others);
            Poll::Pending
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_goes_on_where_others_have_long_turns_is_taken_by_a_free_thread() {
        let (went_on, goes_on) = mpsc::channel();
        let task = tokio::spawn(async move {
            // Its turn is the next on this thread.
            let other = tokio::spawn(async move { goes_on.recv_timeout(Duration::from_secs(5)) });
            go_on(AT_ONCE).await;
            let _ = went_on.send(());
            other.await
        });
        let other = task.await.expect("no panic").expect("no panic");
        assert_eq!(other, Ok(()), "it went on while the other had its turn");
    }

    /// How many turns a task that yields has while another goes on for ten.
    fn turns_of_who_yields(runtime: &Runtime, others: Duration) -> usize {
        let turns = Arc::<AtomicUsize>::default();
        let counted = turns.clone();
        runtime.block_on(async {
            let yields = tokio::spawn(async move {
                loop {
                    counted.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            });
            let goes_on = tokio::spawn(async move {
                yield_now().await;
                let before = turns.load(Ordering::Relaxed);
                for _ in 0..10 {
                    go_on(others).await;
                }
                turns.load(Ordering::Relaxed) - before
            });
            let had = goes_on.await.expect("no panic");
            yields.abort();
            had
        })
    }

    #[test]
    fn who_yields_has_its_turns_between_those_of_who_goes_on_with_the_same_thread() {
        let alone = Builder::new_current_thread().build().expect("a runtime");
        let one_worker = Builder::new_multi_thread().worker_threads(1).build();
        for runtime in [alone, one_worker.expect("a runtime")] {
            for others in [Duration::ZERO, AT_ONCE] {
                let turns = turns_of_who_yields(&runtime, others);
                assert!((9..=11).contains(&turns), "{turns} behind {others:?}");
            }
        }
    }
}
