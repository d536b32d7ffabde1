//! What the command line says, checked.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use pushsub::Broker;

use crate::books::readings::{Readings, ReadingsError};

const EXAMPLES: &str = "\
Examples:
  bikes                                    a made-up day, 3 workers behind an embedded broker
  bikes dublin-bikes-2015-10-08.csv        a real day
  bikes --workers 5 --direct day.csv       no broker: the readings are spread over 5 servers
  bikes --kill-one --json day.csv          half-way the busiest worker is killed

The file: first column `time`, then one column a station, whole numbers, one row a reading.";

/// Push a day of bike station readings to worker processes and print every change
#[derive(Debug, Parser)]
#[command(name = "bikes", after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) run: Run,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// The collector's side.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The day's readings; without a file a sample is made
    pub(crate) csv: Option<PathBuf>,
    /// How many worker processes
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) workers: u16,
    /// No broker: the collector spreads the readings over the workers itself
    #[arg(long)]
    pub(crate) direct: bool,
    /// Kill the worker with the most in flight once N readings are pushed
    #[arg(long, value_name = "N")]
    kill_at: Option<usize>,
    /// The same, half-way
    #[arg(long, conflicts_with = "kill_at")]
    kill_one: bool,
    /// The city to print; default: the file's name up to the first `-`
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    city: Option<String>,
    /// Print nothing but one line of JSON, at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a child process of the collector does.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Serve readings until standard input ends
    #[command(hide = true)]
    Worker {
        /// The broker to work behind; without one the worker binds, and prints where
        #[arg(long)]
        broker: Option<String>,
        /// The number by which its answers are counted
        id: usize,
    },
}

/// What the collector cannot run with. Nothing was pushed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Readings(#[from] ReadingsError),
    #[error(
        "--kill-at {kill_at}: there are only {readings} readings: give a number from 0 to {readings}"
    )]
    KillAt { kill_at: usize, readings: usize },
}

impl Role {
    /// How a child process is told that it is a worker; its number follows.
    pub(crate) fn worker(broker: Option<&Broker>) -> Vec<String> {
        let broker = broker.map(|broker| format!("--broker={}", broker.back()));
        ["worker".to_owned()].into_iter().chain(broker).collect()
    }
}

/// Whatever ends the program before its end.
pub(crate) type Failure = Box<dyn Error>;

/// What the program ends with: 2 where it could not run, and nothing was pushed.
///
/// A closed output is no fault: who reads it has seen enough.
pub(crate) fn exit_code(done: Result<(), Failure>) -> ExitCode {
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    let io_error = error.downcast_ref::<io::Error>();
    if io_error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("bikes: {error}");
    match error.downcast_ref::<RunError>() {
        Some(_) => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}

impl Run {
    /// The readings of the file, or the sample, and after how many a worker is to be killed.
    pub(crate) fn readings(&self) -> Result<(Readings, Option<usize>), RunError> {
        let readings = match &self.csv {
            Some(path) => Readings::read(path)?,
            None => Readings::sample(),
        };
        let kill_at = self.kill_at.or(self.kill_one.then(|| readings.len() / 2));
        match kill_at {
            Some(kill_at) if kill_at > readings.len() => Err(RunError::KillAt {
                kill_at,
                readings: readings.len(),
            }),
            _ => Ok((readings, kill_at)),
        }
    }

    /// The name to print behind each station.
    pub(crate) fn city(&self) -> String {
        if let Some(city) = &self.city {
            return city.clone();
        }
        let stem = self.csv.as_deref().and_then(|path| path.file_stem());
        let stem = stem.map(OsStr::to_string_lossy).unwrap_or("sample".into());
        match stem.split_once('-') {
            Some((city, _)) if !city.is_empty() => city.to_owned(),
            _ => stem.into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["bikes"].iter().chain(arguments))
    }

    fn run(arguments: &[&str]) -> Run {
        parse(arguments).unwrap().run
    }

    #[test]
    fn the_command_is_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn without_arguments_three_workers_take_the_sample_behind_a_broker() {
        let run = run(&[]);
        assert_eq!((run.workers, run.direct, run.json), (3, false, false));
        let (readings, kill_at) = run.readings().unwrap();
        assert_eq!((readings, kill_at), (Readings::sample(), None));
        assert_eq!(run.city(), "sample");
    }

    #[test]
    fn the_city_is_the_files_name_up_to_the_first_dash() {
        assert_eq!(
            run(&["/data-1/dublin-bikes-2015-10-08.csv"]).city(),
            "dublin"
        );
        assert_eq!(run(&["lyon.csv"]).city(), "lyon");
        assert_eq!(run(&["-", "--json"]).city(), "-");
        assert_eq!(
            run(&["dublin-1.csv", "--city", "Baile Átha Cliath"]).city(),
            "Baile Átha Cliath"
        );
    }

    #[test]
    fn a_worker_is_killed_where_asked() {
        let half = Readings::sample().len() / 2;
        assert_eq!(run(&["--kill-one"]).readings().unwrap().1, Some(half));
        assert_eq!(run(&["--kill-at", "0"]).readings().unwrap().1, Some(0));
        let all = (2 * half).to_string();
        assert_eq!(
            run(&["--kill-at", &all]).readings().unwrap().1,
            Some(2 * half)
        );
        let beyond = (2 * half + 1).to_string();
        let error = run(&["--kill-at", &beyond]).readings().unwrap_err();
        assert!(error.to_string().contains("there are only"), "{error}");
    }

    #[test]
    fn a_wrong_command_line_ends_with_code_2() {
        for arguments in [
            &["--workers", "0"][..],
            &["--workers", "101"],
            &["--workers", "x"],
            &["--kill-at", "-1"],
            &["--kill-at", "1", "--kill-one"],
            &["--city", ""],
            &["--fast"],
            &["a.csv", "b.csv"],
            &["worker"],
            &["--json", "worker", "1"],
        ] {
            let error = parse(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }

    #[test]
    fn a_worker_is_told_its_number_and_its_broker() {
        let arguments = parse(&["worker", "--broker", "tcp://127.0.0.1:1", "2"]).unwrap();
        let Some(Role::Worker { broker, id }) = arguments.role else {
            panic!("not a worker");
        };
        assert_eq!((id, broker.as_deref()), (2, Some("tcp://127.0.0.1:1")));
    }
}
