//! How long to wait before the next attempt: doubling, with full jitter, and never
//! much longer than what was waited already.

use std::time::Duration;

/// The waits between attempts (Z15).
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
    /// In all waits since the last success.
    waited: Duration,
}

impl Backoff {
    pub(super) fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            next: initial,
            waited: Duration::ZERO,
        }
    }

    /// The next wait: anything from nothing to a ceiling that doubles each time.
    ///
    /// Who draws short waits makes many attempts in a short time, and would
    /// come to long waits by them: the ceiling stays below twice what was
    /// waited in all. After an outage everybody is back within thrice its length (C12).
    pub(super) fn wait(&mut self) -> Duration {
        let ceiling = self.next.min(self.initial.max(self.waited * 2));
        self.next = (self.next * 2).min(self.max);
        let wait = ceiling.mul_f64(fastrand::f64());
        let wait = wait.max(Duration::from_millis(1));
        self.waited += wait;
        wait
    }

    /// An attempt succeeded and lasted for `lived`: one that was cut at once
    /// is no better than one that failed.
    pub(super) fn succeeded(&mut self, lived: Duration) {
        if lived >= self.next {
            self.next = self.initial;
            self.waited = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    const INITIAL: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn the_ceiling_doubles_up_to_the_longest_wait() {
        let mut backoff = Backoff::new(INITIAL, MAX);
        let mut ceiling = INITIAL;
        for _ in 0..20 {
            assert!(backoff.wait() <= ceiling);
            ceiling = (ceiling * 2).min(MAX);
            assert_eq!(backoff.next, ceiling);
        }
        assert_eq!(ceiling, MAX);
    }

    /// C12.
    #[test]
    fn no_wait_is_longer_than_twice_what_was_waited_before() {
        for _ in 0..1_000 {
            let mut backoff = Backoff::new(INITIAL, MAX);
            let mut waited = Duration::ZERO;
            for _ in 0..12 {
                let wait = backoff.wait();
                assert!(wait <= INITIAL.max(waited * 2), "{wait:?} after {waited:?}");
                waited += wait;
            }
        }
    }

    /// BI-28: a peer that accepts and closes at once, again and again, is waited for ever longer.
    #[test]
    fn only_a_link_that_lasted_starts_the_waits_anew() {
        let mut backoff = Backoff::new(INITIAL, MAX);
        for _ in 0..4 {
            backoff.wait();
            backoff.succeeded(Duration::from_millis(1));
        }
        assert_eq!(backoff.next, INITIAL * 16);
        backoff.succeeded(Duration::from_secs(60));
        assert_eq!(backoff.next, INITIAL);
    }
}
