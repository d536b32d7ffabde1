//! Waits for the rest of a message that has no place in the budget.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::link::Wired;

/// How long the rest of a message may have no place in the budget: what has
/// come of it has one, which others want.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts the time of a link that has no place in the budget.
#[derive(Default)]
pub(super) struct Patience {
    /// Boxed, as hardly any link has to wait.
    waiting: Option<Box<Waiting>>,
}

/// For the budget.
struct Waiting {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    /// Ready when the link has had no place for long enough.
    pub(super) fn poll(&mut self, link: &Wired, context: &mut Context<'_>) -> Poll<()> {
        let Some(since) = link.starved() else {
            self.waiting = None;
            return Poll::Pending;
        };
        let waiting = self.waiting.take_if(|waiting| waiting.since == since);
        let waiting = self.waiting.insert(waiting.unwrap_or_else(|| {
            let timer = Box::pin(sleep_until(since + PATIENCE));
            Box::new(Waiting { since, timer })
        }));
        waiting.timer.as_mut().poll(context)
    }
}
