//! pushsub beside its rivals in the same run, on the same work, in processes of their own.
//!
//! ```text
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- --rows push-pull-64,round-trip
//! ```
//!
//! A repetition runs every rival once, so that what else the machine does
//! meets all of them: compare within a repetition, not between two days.

mod compare;
mod ends;
mod machine;
mod plot;
mod process;
mod readme;
mod report;
mod resources;
mod rivals;
mod row;
mod run;
mod spread;
mod tally;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::process::Part;
use crate::report::Report;
use crate::rivals::{Rival, Task};
use crate::row::Row;

/// Measures pushsub beside its rivals, interleaved.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    process: Option<Process>,
    /// What to measure; the rows of the README where not given
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
    /// Minutes after which no further repetition is begun
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Writes all runs to this file as JSON, after each row
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures nothing, and takes the runs from files that `--json` has written on one machine
    #[arg(long, value_delimiter = ',')]
    from: Vec<PathBuf>,
    /// Draws a plot of each group of rows into this folder
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Replaces the figures in this README, between its markers
    #[arg(long)]
    readme: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Process {
    /// One of the processes of a run; the program starts itself with it
    #[command(hide = true)]
    Part {
        part: Part,
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

/// What `--json` writes.
#[derive(Deserialize, Serialize)]
struct Results {
    machine: Machine,
    reports: Vec<Report>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.process {
        Some(Process::Part {
            part,
            row,
            rival,
            messages,
            endpoints,
        }) => process::work(
            part,
            rival,
            Task {
                row,
                endpoints,
                messages,
            },
        ),
        None => show(&arguments),
    }
}

/// Measures or reads, and shows what came of it.
fn show(arguments: &Arguments) -> Result<()> {
    let Results { machine, reports } = match &arguments.from[..] {
        [] => compare::compare(arguments)?,
        files => read(files)?,
    };
    println!("## All rows\n\nOn {machine}.\n");
    for report in &reports {
        println!("{report}");
    }
    for cost in report::scaling(&reports) {
        println!("- {cost}");
    }
    if let Some(folder) = &arguments.plots {
        plot::draw_all(&reports, folder)?;
    }
    if let Some(path) = &arguments.readme {
        readme::rewrite(path, &machine, &reports)?;
    }
    let faults: Vec<_> = reports.iter().flat_map(Report::faults).collect();
    ensure!(
        faults.is_empty(),
        "pushsub did not deliver all as it was sent:\n{}",
        faults.join("\n")
    );
    Ok(())
}

/// The rows of all files; of a row that several have, the last counts.
fn read(files: &[PathBuf]) -> Result<Results> {
    let mut machine = None;
    let mut reports: Vec<Report> = Vec::new();
    for file in files {
        let results: Results = serde_json::from_slice(&fs::read(file)?)?;
        ensure!(
            machine.is_none() || machine.as_ref() == Some(&results.machine),
            "{} is of another machine or of other versions",
            file.display()
        );
        machine = Some(results.machine);
        for report in results.reports {
            reports.retain(|other| other.row != report.row);
            reports.push(report);
        }
    }
    let place = |report: &Report| Row::all().position(|row| row == report.row);
    reports.sort_by_key(place);
    let machine = machine.context("there is no file")?;
    Ok(Results { machine, reports })
}
