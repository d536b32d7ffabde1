//! What the drivers take from their surroundings for the pure parts: time and chance.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

/// This moment, by the clock of the runtime, which tests may have paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A number that nobody else has drawn, not zero: a nonce, an epoch, a seed.
///
/// The standard library seeds its hash maps from the system's source of randomness.
pub(crate) fn draw() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

/// Where nothing is due, a task looks again after this time.
pub(crate) const IDLE: Duration = Duration::from_secs(3_600);

/// A timer of a task that says after each turn when it is due next. A later time than the one
/// before is looked at when that has come, which costs less than to set it each time.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// One that rings after [`IDLE`], unless it is set. Wants a runtime.
    pub(crate) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep(IDLE)),
        }
    }

    /// Sees to it that it rings at this time, or before. Returns when.
    pub(crate) fn set(&mut self, due: Instant) -> Instant {
        if due < self.sleep.deadline().into_std() || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(due.into());
        }
        self.sleep.deadline().into_std()
    }

    /// Waits until it rings. Cancel safe.
    pub(crate) async fn rings(&mut self) {
        self.sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Alarm, now};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_the_earliest_time_that_it_was_set_to() {
        let (start, mut alarm) = (now(), Alarm::new());
        for seconds in [3, 2, 5] {
            alarm.set(start + seconds * SECOND);
        }
        alarm.rings().await;
        assert_eq!(now() - start, 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_has_rung_is_set_to_whatever_is_next() {
        let (start, mut alarm) = (now(), Alarm::new());
        alarm.set(start + SECOND);
        alarm.rings().await;
        assert_eq!(alarm.set(start + 5 * SECOND), start + 5 * SECOND);
        alarm.rings().await;
        assert_eq!(now() - start, 5 * SECOND);
    }
}
