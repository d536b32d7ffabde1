//! The comparison itself: all rows, each rival in its turn, within the time.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::machine::Machine;
use crate::report::Report;
use crate::rivals::Rival;
use crate::row::{ROWS, Row};
use crate::run::Run;
use crate::{Arguments, Results};

/// Messages of the first trial, and the least of a run.
const LEAST: u64 = 2_000;

/// Measures what the arguments ask for.
pub(crate) fn compare(arguments: &Arguments) -> Result<Results> {
    let machine = Machine::look();
    let rows: Vec<&'static Row> = match &arguments.rows[..] {
        [] => ROWS.iter().collect(),
        rows => rows.to_vec(),
    };
    let comparison = Comparison {
        arguments,
        end: Instant::now() + Duration::from_secs_f64(arguments.minutes * 60.0),
        bar: ProgressBar::new(0).with_style(ProgressStyle::with_template(
            "{wide_bar} {pos}/{len} runs, {eta} left: {msg}",
        )?),
    };
    let runs = rows.iter().map(|row| comparison.rivals(row).len());
    let runs = runs.sum::<usize>() * (arguments.repetitions + 1);
    comparison.bar.set_length(runs as u64);
    let mut results = Results {
        machine,
        reports: Vec::new(),
    };
    for row in rows {
        if Instant::now() > comparison.end {
            comparison.say(&format!("{}: not begun, the time is over", row.name));
            continue;
        }
        let report = comparison.row(row)?;
        comparison.say(&format!("\n{report}"));
        results.reports.push(report);
        if let Some(path) = &arguments.json {
            fs::write(path, serde_json::to_vec_pretty(&results)?)?;
        }
    }
    comparison.bar.finish_and_clear();
    Ok(results)
}

struct Comparison<'a> {
    arguments: &'a Arguments,
    /// When the time is over.
    end: Instant,
    bar: ProgressBar,
}

impl Comparison<'_> {
    /// Prints above the bar, and also where there is none.
    fn say(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    fn rivals(&self, row: &Row) -> Vec<Rival> {
        let all = match &self.arguments.rivals[..] {
            [] => Rival::ALL,
            some => some,
        };
        let able = all.iter().filter(|rival| rival.supports(row));
        able.copied().collect()
    }

    /// Runs one row. A rival that fails is left out from there on, and said to be; we may not fail.
    fn row(&self, row: &'static Row) -> Result<Report> {
        let mut report = Report::new(row);
        let mut rivals = Vec::new();
        for rival in self.rivals(row) {
            self.begin(row, rival);
            match self.trial(rival, row) {
                Ok(messages) => rivals.push((rival, messages)),
                Err(error) => self.leave_out(&mut report, rival, &error)?,
            }
        }
        for repetition in 0..self.arguments.repetitions {
            if Instant::now() > self.end {
                report.note(format!("the time was over after {repetition} repetitions"));
                break;
            }
            // Each turn begins with another rival, so that none always follows the same one.
            let mut turns = rivals.clone();
            turns.rotate_left(repetition % rivals.len().max(1));
            for (rival, messages) in turns {
                self.begin(row, rival);
                match Run::measure(rival, row, messages) {
                    Ok(run) => {
                        let of = self.arguments.repetitions;
                        self.say(&format!("{} {}/{of} {run}", row.name, repetition + 1));
                        report.add(run);
                    }
                    Err(error) => {
                        self.leave_out(&mut report, rival, &error)?;
                        rivals.retain(|(other, _)| *other != rival);
                    }
                }
            }
        }
        Ok(report)
    }

    fn begin(&self, row: &Row, rival: Rival) {
        self.bar.inc(1);
        self.bar
            .set_message(format!("{} {}", row.name, rival.name()));
    }

    fn leave_out(&self, report: &mut Report, rival: Rival, error: &anyhow::Error) -> Result<()> {
        ensure!(!rival.is_ours(), "pushsub failed: {error:#}");
        let remark = format!("{} did not finish a run: {error:#}", rival.name());
        self.say(&remark);
        report.note(remark);
        Ok(())
    }

    /// How many messages this rival moves in the time of a run, by runs that grow until they say something.
    fn trial(&self, rival: Rival, row: &'static Row) -> Result<u64> {
        if let Some(messages) = self.arguments.messages {
            return Ok(messages);
        }
        if row.is_idle() {
            return Ok(0);
        }
        let mut messages = LEAST;
        loop {
            let run = Run::measure(rival, row, messages)?;
            ensure!(run.lost() == 0, "{run}");
            let rate = run.rate() / row.copies() as f64;
            let wanted = (rate * self.arguments.seconds) as u64;
            if wanted <= messages * 8 {
                return Ok(wanted.max(LEAST));
            }
            messages *= 8;
        }
    }
}
