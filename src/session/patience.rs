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
    /// Since when, and the timer for it.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    /// Ready when the link has had no place for long enough.
    pub(super) fn poll(&mut self, link: &Wired, context: &mut Context<'_>) -> Poll<()> {
        let Some(since) = link.starved() else {
            self.waiting = None;
            return Poll::Pending;
        };
        if self
            .waiting
            .as_ref()
            .is_none_or(|(other, _)| *other != since)
        {
            self.waiting = Some((since, Box::pin(sleep_until(since + PATIENCE))));
        }
        let timer = self.waiting.as_mut().map(|(_, timer)| timer);
        timer.map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }
}
