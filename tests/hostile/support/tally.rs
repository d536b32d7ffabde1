//! Counts the cases of a row and of the whole run, and the panics that no test made.

use std::fmt::Display;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use super::Result;

static CASES: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);
static ROWS: Mutex<usize> = Mutex::new(0);
static ROW_ENDED: Condvar = Condvar::new();

/// Panics of the library, in whatever task they were caught.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts every panic from here on that does not come from these tests.
fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let here = panic
                .location()
                .is_some_and(|place| place.file().contains("tests/hostile"));
            if !here {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            former(panic);
        }));
    });
}

pub(crate) fn panics() -> usize {
    PANICS.load(Ordering::Relaxed)
}

/// The cases of one row.
pub(crate) struct Row {
    name: &'static str,
    cases: usize,
    failures: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &'static str) -> Self {
        watch_panics();
        Self {
            name,
            cases: 0,
            failures: Vec::new(),
        }
    }

    /// Counts a case, and notes how it ended.
    pub(crate) fn note(&mut self, what: impl Display, result: Result) {
        self.cases += 1;
        if let Err(error) = result {
            self.failures.push(format!("{what}: {error}"));
        }
    }

    /// Counts cases that are known to have gone well.
    pub(crate) fn held(&mut self, cases: usize) {
        self.cases += cases;
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.len() as u64
    }

    pub(crate) fn cases(&self) -> usize {
        self.cases
    }

    /// Tells the count of the row. Fails with what has failed.
    pub(crate) fn finish(mut self) -> Result {
        let panics = panics();
        if panics > 0 {
            self.failures
                .push(format!("{panics} panics of the library"));
        }
        let (name, cases, failed) = (self.name, self.cases, self.failures.len());
        println!("{name}: cases {cases} failed {failed}");
        if failed == 0 {
            return Ok(());
        }
        let told: Vec<_> = self.failures.iter().take(12).cloned().collect();
        Err(format!(
            "{failed} of {cases} cases of {name} failed:\n{}",
            told.join("\n")
        )
        .into())
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        CASES.fetch_add(self.cases, Ordering::Relaxed);
        FAILED.fetch_add(self.failures.len(), Ordering::Relaxed);
        *ROWS.lock() += 1;
        ROW_ENDED.notify_all();
    }
}

/// Waits until so many rows have ended, while one of them does in three minutes. Returns how many
/// have ended, and their cases and failures.
pub(crate) fn whole_run(rows: usize) -> (usize, usize, usize) {
    let mut ended = ROWS.lock();
    let limit = std::time::Duration::from_secs(180);
    while *ended < rows && !ROW_ENDED.wait_for(&mut ended, limit).timed_out() {}
    (
        *ended,
        CASES.load(Ordering::Relaxed),
        FAILED.load(Ordering::Relaxed),
    )
}
