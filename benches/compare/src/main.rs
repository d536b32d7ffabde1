//! pushsub beside its rivals in the same run: every message between two processes, over tcp.
//!
//! ```text
//! cargo run --release --manifest-path benches/compare/Cargo.toml -- --rows push-pull-64 --repetitions 5
//! ```
//!
//! A repetition runs every rival once, so that what else the machine does
//! meets all of them: compare within a repetition, not between two days.

mod cpu;
mod report;
mod rivals;
mod row;
mod run;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use crate::report::Report;
use crate::rivals::Rival;
use crate::row::Row;
use crate::run::Run;

/// Measures pushsub beside its rivals, interleaved, each message between two processes.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    end: Option<End>,
    /// What to measure
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "push-pull-64"
    )]
    rows: Vec<Row>,
    /// Who takes part; all where not given
    #[arg(long, value_enum, value_delimiter = ',')]
    rivals: Vec<Rival>,
    /// How often each rival runs, in turns
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// How long a run is to take: the number of messages follows from a trial
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// How many messages a run moves, instead of `--seconds`
    #[arg(long)]
    messages: Option<u64>,
}

/// One of the two processes of a run; the program starts itself with these.
#[derive(Subcommand)]
enum End {
    #[command(hide = true)]
    Receive(EndArguments),
    #[command(hide = true)]
    Send(EndArguments),
}

#[derive(clap::Args)]
struct EndArguments {
    #[arg(long, value_enum)]
    row: Row,
    #[arg(long, value_enum)]
    rival: Rival,
    #[arg(long)]
    messages: u64,
    /// Where the receiver listens, for the sender
    #[arg(long, default_value = "")]
    address: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.end {
        Some(End::Receive(end)) => run::receive(end.rival, end.row, end.messages),
        Some(End::Send(end)) => run::send(end.rival, end.row, end.messages, &end.address),
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let rivals = if arguments.rivals.is_empty() {
        Rival::all()
    } else {
        arguments.rivals.clone()
    };
    let mut faultless = true;
    for &row in &arguments.rows {
        let mut counts = Vec::new();
        for &rival in &rivals {
            counts.push(match arguments.messages {
                Some(messages) => messages,
                None => trial(rival, row, arguments.seconds)?,
            });
        }
        let mut report = Report::new(row);
        for repetition in 0..arguments.repetitions {
            // Each turn begins with another rival, so that none always follows the same one.
            for turn in 0..rivals.len() {
                let place = (turn + repetition) % rivals.len();
                let run = Run::measure(rivals[place], row, counts[place])?;
                println!("{:>3} {run}", repetition + 1);
                faultless &= run.is_faultless();
                report.add(run);
            }
        }
        println!("\n{report}");
    }
    ensure!(faultless, "messages were lost or came out of order");
    Ok(())
}

/// How many messages this rival moves in that time, by runs that grow until they say something.
fn trial(rival: Rival, row: Row, seconds: f64) -> Result<u64> {
    let mut messages = 200_000;
    loop {
        let run = Run::measure(rival, row, messages)?;
        let wanted = (run.rate() * seconds) as u64;
        if wanted <= messages * 8 {
            return Ok(wanted.max(1));
        }
        messages *= 8;
    }
}
