//! All that the collector writes down: its ledger, the lines it prints, and who is killed when.
//!
//! It never sends or receives anything.

mod ledger;
mod printing;
pub(crate) mod readings;
#[cfg(test)]
mod simulation;
mod summary;

use std::io::{self, Stdout};
use std::time::Instant;

use pushsub::{RequestId, Response, Stats};

use self::ledger::{Ledger, Push};
use self::printing::{Printer, bar};
use self::readings::Readings;
pub(crate) use self::summary::Killed;
use self::summary::{Alerts, Summary};
use crate::arguments::{Failure, Run};
use crate::station::Reading;

/// One run over the readings of a file.
pub(crate) struct Books<'a> {
    readings: &'a Readings,
    json: bool,
    ledger: Ledger<'a, RequestId>,
    printer: Printer<Stdout>,
    /// After how many pushes a worker is to be killed; `None` once one was.
    kill_at: Option<usize>,
    killed: Option<Killed>,
    /// When the first reading was pushed.
    begun: Option<Instant>,
}

/// What is to be pushed next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next<'a> {
    pub(crate) method: &'static str,
    pub(crate) station: &'a str,
    pub(crate) reading: Reading,
    push: Push,
}

impl<'a> Books<'a> {
    pub(crate) fn open(run: &Run, readings: &'a Readings, kill_at: Option<usize>) -> Self {
        let names = readings.stations().to_vec();
        let printer = Printer::new(io::stdout(), run.city(), names, bar(readings.len()));
        Self {
            readings,
            json: run.json,
            ledger: Ledger::new(readings),
            printer: printer.quiet(run.json),
            kill_at,
            killed: None,
            begun: None,
        }
    }

    /// What to push next, or `None` until an answer changes that.
    ///
    /// The same again until it is [`pushed`](Self::pushed) or no longer needed.
    pub(crate) fn next_push(&mut self) -> Option<Next<'a>> {
        let push = self.ledger.next_push()?;
        Some(Next {
            method: push.order.method(),
            station: &self.readings.stations()[push.station],
            reading: push.reading,
            push,
        })
    }

    /// Notes that this was pushed, and under which id.
    pub(crate) fn pushed(&mut self, (next, id): (Next<'_>, RequestId)) {
        self.begun.get_or_insert_with(Instant::now);
        self.ledger.pushed(next.push, id);
    }

    /// Notes how a push ended. Returns the station that has no bike since.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub(crate) fn ended(&mut self, response: Response) -> io::Result<Option<String>> {
        let answer = response.outcome.and_then(|payload| payload.decode());
        let Ok(answer) = answer else {
            self.ledger.unanswered(&response.id);
            return Ok(None);
        };
        let Some(accepted) = self.ledger.answered(&response.id, answer) else {
            return Ok(None);
        };
        self.printer.answer(&accepted)?;
        let station = &self.readings.stations()[accepted.station];
        Ok(accepted.is_to_empty().then(|| station.clone()))
    }

    /// A worker is to be killed now.
    pub(crate) fn kill_is_due(&self) -> bool {
        let due = |count| self.ledger.readings_pushed() >= count || self.ledger.is_done();
        self.kill_at.is_some_and(due)
    }

    /// A worker was killed, as was due.
    pub(crate) fn killed(&mut self, killed: Killed) {
        self.kill_at = None;
        self.killed = Some(Killed {
            restored: self.ledger.tally().restored,
            ..killed
        });
    }

    /// Nothing is left to push, to wait for, or to kill.
    pub(crate) fn is_done(&self) -> bool {
        self.ledger.is_done() && self.kill_at.is_none()
    }

    /// Prints what it all came to.
    ///
    /// # Errors
    ///
    /// The output is closed, or readings were lost.
    pub(crate) fn close(
        self,
        pids: impl Iterator<Item = u32>,
        publisher: &Stats,
        alerter: &Stats,
    ) -> Result<(), Failure> {
        let seconds = self
            .begun
            .map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        let summary = Summary {
            duplicates: self.printer.finish()?,
            alerts: Alerts::of(publisher, alerter),
            seconds: (seconds * 1_000.0).round() / 1_000.0,
            ..Summary::new(&self.ledger, pids, self.killed)
        };
        summary.print(self.json)
    }
}
