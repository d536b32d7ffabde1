//! Counts what the library says in the log of a thread, as a program's own subscriber would see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

use super::Result;

/// Lines of one socket in one second (O6).
const LINES: u64 = 10;

/// Listens to the log of this thread until it is dropped.
pub(crate) struct Log {
    lines: Arc<AtomicU64>,
    since: Instant,
    _guard: DefaultGuard,
}

struct Lines(Arc<AtomicU64>);

impl Log {
    pub(crate) fn listen() -> Self {
        let lines = Arc::<AtomicU64>::default();
        Self {
            lines: lines.clone(),
            since: Instant::now(),
            _guard: set_default(Lines(lines)),
        }
    }

    /// Lines so far that a program would show.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// The sockets that were attacked, so many, have said no more than ten lines a second each.
    pub(crate) fn check(&self, sockets: u64) -> Result {
        // A socket's second begins with a line, and real time is what it counts.
        let seconds = self.since.elapsed().as_secs() + 1;
        let (lines, most) = (self.lines(), seconds * LINES * sockets);
        if lines <= most {
            return Ok(());
        }
        Err(format!("{lines} lines in the log, {most} are the most").into())
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("pushsub")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
