//! Finds out that a peer takes nothing of what is written to it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::Settings;
use crate::options::StallLimit;

/// How long a peer may leave the answers to its own PINGs unread while it goes on asking.
const ANSWERS_UNREAD: Duration = Duration::from_secs(10);

/// PINGs in that time that make it a flood: a peer that only falls behind asks once in a second.
const FLOOD: u32 = 1_000;

/// Octets written to a peer and PINGs that came of it, since the link began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intake {
    pub(super) written: u64,
    pub(super) pings: u32,
}

/// Watches a link whose writes do not go on.
///
/// Its timer is set when a write first has to wait, and looked at only while
/// one does: a link that flows pays nothing.
#[derive(Default)]
pub(super) struct Stall {
    /// Boxed, as hardly any write has to wait.
    watch: Option<Box<Watch>>,
}

struct Watch {
    /// At the beginning of this period.
    since: Intake,
    /// When something was written last, as far as it was looked at.
    progress: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Stall {
    /// Ready when the peer has taken nothing for too long; to be asked while a write waits.
    pub(super) fn poll(
        &mut self,
        intake: Intake,
        settings: &Settings,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let limit = settings.stall;
        // The limit holds to the instant: an option asks for it. Otherwise what is stuck is
        // noticed a period later, and a link that flows again and again costs no clock.
        let exact = settings.transport.stall != StallLimit::OfPattern;
        let watch = self
            .watch
            .get_or_insert_with(|| Box::new(Watch::new(intake, limit)));
        if limit.is_some() && exact && intake.written != watch.since.written {
            watch.restart(intake, limit);
        }
        while watch.timer.as_mut().poll(context).is_ready() {
            let stuck = intake.written == watch.since.written;
            let asked = intake.pings.wrapping_sub(watch.since.pings);
            let over = limit.is_some_and(|limit| watch.progress.elapsed() >= limit);
            if stuck && (over || asked >= FLOOD) {
                return Poll::Ready(());
            }
            watch.restart(intake, limit);
        }
        Poll::Pending
    }
}

impl Watch {
    fn new(intake: Intake, limit: Option<Duration>) -> Self {
        Self {
            since: intake,
            progress: Instant::now(),
            timer: Box::pin(sleep(period(limit, Duration::ZERO))),
        }
    }

    /// Begins another period; what is stuck stays stuck since it was.
    fn restart(&mut self, intake: Intake, limit: Option<Duration>) {
        let now = Instant::now();
        if intake.written != self.since.written {
            self.progress = now;
        }
        self.since = intake;
        let period = period(limit, now - self.progress);
        self.timer.as_mut().reset(now + period);
    }
}

/// How long to wait before the next look at what is stuck for so long.
fn period(limit: Option<Duration>, stuck: Duration) -> Duration {
    limit.map_or(ANSWERS_UNREAD, |limit| {
        limit.saturating_sub(stuck).min(ANSWERS_UNREAD)
    })
}
