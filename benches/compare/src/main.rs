//! pushsub beside its rivals in the same run, on the same work, in processes of their own.
//!
//! ```text
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- --rows push-pull-64,round-trip
//! ```
//!
//! A repetition runs every rival once, so that what else the machine does
//! meets all of them: compare within a repetition, not between two days.

mod cpu;
mod ends;
mod report;
mod rivals;
mod row;
mod run;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::rivals::{Rival, Task};
use crate::row::{ROWS, Row};
use crate::run::{End, Run};

/// Measures pushsub beside its rivals, interleaved.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// What to measure; everything where not given
    #[arg(long, value_parser = Row::find, value_delimiter = ',')]
    rows: Vec<&'static Row>,
    /// Who takes part; all where not given
    #[arg(long, value_enum, value_delimiter = ',')]
    rivals: Vec<Rival>,
    /// How often each rival runs, in turns
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// How long a run is to take: the number of messages follows from a trial
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How many messages a run moves, instead of `--seconds`
    #[arg(long)]
    messages: Option<u64>,
    /// Minutes after which no further row is begun
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Writes all runs to this file as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Process {
    /// One of the processes of a run; the program starts itself with it
    #[command(hide = true)]
    End {
        end: End,
        #[arg(long, value_parser = Row::find)]
        row: &'static Row,
        #[arg(long, value_enum)]
        rival: Rival,
        #[arg(long)]
        messages: u64,
        #[arg(long, value_delimiter = ',')]
        endpoints: Vec<String>,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.process {
        Some(Process::End {
            end,
            row,
            rival,
            messages,
            endpoints,
        }) => run::work(
            end,
            rival,
            Task {
                row,
                endpoints,
                messages,
            },
        ),
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let rows = match &arguments.rows[..] {
        [] => ROWS.iter().collect(),
        rows => rows.to_vec(),
    };
    let mut reports = Vec::new();
    let mut faulty = Vec::new();
    for row in rows {
        if begun.elapsed() > Duration::from_secs_f64(arguments.minutes * 60.0) {
            println!("{}: not begun, the time is over", row.name);
            continue;
        }
        let report = compare_in(row, arguments, &mut faulty)?;
        println!("\n{report}");
        reports.push(report);
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&reports)?)?;
    }
    println!("## All rows\n");
    for report in &reports {
        println!("{report}");
    }
    ensure!(
        faulty.is_empty(),
        "messages were lost or came out of order: {faulty:?}"
    );
    Ok(())
}

/// Runs one row. Who fails in the trial is left out, and said to be.
fn compare_in(
    row: &'static Row,
    arguments: &Arguments,
    faulty: &mut Vec<String>,
) -> Result<Report> {
    let all = match &arguments.rivals[..] {
        [] => &Rival::ALL[..],
        some => some,
    };
    let mut rivals = Vec::new();
    for &rival in all.iter().filter(|rival| rival.supports(row)) {
        let messages = match arguments.messages {
            Some(messages) => Ok(messages),
            None => trial(rival, row, arguments.seconds),
        };
        match messages {
            Ok(messages) => rivals.push((rival, messages)),
            Err(error) => {
                println!("{} takes no part in {}: {error:#}", rival.name(), row.name);
                ensure!(!rival.is_ours(), "pushsub failed");
            }
        }
    }
    let mut report = Report::new(row);
    for repetition in 0..arguments.repetitions {
        // Each turn begins with another rival, so that none always follows the same one.
        for turn in 0..rivals.len() {
            let (rival, messages) = rivals[(turn + repetition) % rivals.len()];
            let run = Run::measure(rival, row, messages)?;
            let count = turn + 1;
            let of = rivals.len();
            println!(
                "{} {}/{} {count}/{of} {run}",
                row.name,
                repetition + 1,
                arguments.repetitions
            );
            if !run.is_faultless() {
                faulty.push(format!("{} in {}", rival.name(), row.name));
            }
            report.add(run);
        }
    }
    Ok(report)
}

/// Messages of the first trial, and the least of a run.
const LEAST: u64 = 2_000;

/// How many messages this rival moves in that time, by runs that grow until they say something.
fn trial(rival: Rival, row: &'static Row, seconds: f64) -> Result<u64> {
    let mut messages = LEAST;
    loop {
        let run = Run::measure(rival, row, messages)?;
        let share = match row.work {
            row::Work::Publish(subscribers) => subscribers as f64,
            _ => 1.0,
        };
        let wanted = (run.rate() / share * seconds) as u64;
        if wanted <= messages * 8 {
            return Ok(wanted.max(LEAST));
        }
        messages *= 8;
    }
}
