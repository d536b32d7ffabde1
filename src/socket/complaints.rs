//! Warnings about peers that misbehave, which no peer can turn into a flood of lines.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines in one second, for each socket.
const LINES: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// What a socket has said of its peers lately.
pub(super) struct Complaints(Mutex<Said>);

struct Said {
    since: Instant,
    lines: u32,
    withheld: u64,
}

impl Complaints {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Said {
            since: Instant::now(),
            lines: 0,
            withheld: 0,
        }))
    }

    /// Whether one more may be said; if so, how many were not since the last.
    pub(super) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock();
        if now.saturating_duration_since(said.since) >= SECOND {
            said.since = now;
            said.lines = 0;
        }
        if said.lines == LINES {
            said.withheld += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.withheld))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Complaints, LINES, SECOND};

    #[test]
    fn ten_lines_a_second_are_said_and_the_others_counted() {
        let complaints = Complaints::new();
        let start = Instant::now();
        let said = (0..1_000).filter_map(|_| complaints.admit_at(start));
        assert_eq!(said.count(), LINES as usize);
        assert_eq!(complaints.admit_at(start + SECOND * 2), Some(990));
        assert_eq!(complaints.admit_at(start + SECOND * 2), Some(0));
    }
}
