//! A collector pushes a day of bike station readings to worker processes and prints every change.

mod arguments;
// Used by the messaging, which this program does not have yet.
#[allow(dead_code)]
mod fleet;
#[allow(dead_code)]
mod ledger;
#[allow(dead_code)]
mod printing;
mod readings;
#[cfg(test)]
mod simulation;
#[allow(dead_code)]
mod station;
#[allow(dead_code)]
mod summary;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.run.readings() {
        Ok((readings, _)) => {
            eprintln!(
                "bikes: {} readings of {}, checked; this version does not push them yet",
                readings.len(),
                arguments.run.city(),
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bikes: {error}");
            ExitCode::from(2)
        }
    }
}
