//! All that the collector writes down: its ledger, the lines it prints, and who is killed when.

use std::error::Error;
use std::io::{self, Stdout};
use std::time::Instant;

use pushsub::{RequestId, Stats};

use crate::arguments::Run;
use crate::fleet::Started;
use crate::ledger::{Ledger, Push};
use crate::printing::{Printer, bar};
use crate::readings::Readings;
use crate::station::Answer;
use crate::summary::{Alerts, Killed, Summary};

/// One run over the readings of a file.
pub(crate) struct Books<'a> {
    readings: &'a Readings,
    json: bool,
    ledger: Ledger<'a, RequestId>,
    printer: Printer<Stdout>,
    /// After how many pushes a worker is to be killed; `None` once one was.
    kill_at: Option<usize>,
    killed: Option<Killed>,
    begun: Instant,
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
            begun: Instant::now(),
        }
    }

    /// Tells a person which process serves.
    pub(crate) fn started(&self, worker: Started) {
        if !self.json {
            let Started { id, pid } = worker;
            self.printer.note(&format!("worker {id} has pid {pid}"));
        }
    }

    /// The pushes begin.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// See [`Ledger::next_push`].
    pub(crate) fn next_push(&mut self) -> Option<Push> {
        self.ledger.next_push()
    }

    /// See [`Ledger::pushed`].
    pub(crate) fn pushed(&mut self, (push, id): (Push, RequestId)) {
        self.ledger.pushed(push, id);
    }

    /// Notes how a push ended. Returns the station that has no bike since.
    ///
    /// # Errors
    ///
    /// The output is closed.
    pub(crate) fn ended(
        &mut self,
        id: &RequestId,
        answer: Option<Answer>,
    ) -> io::Result<Option<&'a str>> {
        let Some(answer) = answer else {
            self.ledger.unanswered(id);
            return Ok(None);
        };
        let Some(accepted) = self.ledger.answered(id, answer) else {
            return Ok(None);
        };
        self.printer.answer(&accepted)?;
        let station = &self.readings.stations()[accepted.station];
        Ok(accepted.is_to_empty().then_some(station))
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
    ) -> Result<(), Box<dyn Error>> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let summary = Summary {
            duplicates: self.printer.finish()?,
            alerts: Alerts::of(publisher, alerter),
            seconds: (seconds * 1_000.0).round() / 1_000.0,
            ..Summary::new(&self.ledger, pids, self.killed)
        };
        summary.print(self.json)
    }
}
