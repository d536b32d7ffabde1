//! The program `pushsub`: the devices of the library from the command line.

mod broker;
mod classic;
mod common;
mod forwarder;
mod queue;
mod streamer;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Exit code for what the caller can put right: arguments, endpoints.
const USAGE: u8 = 2;

/// Messaging devices from the command line.
#[derive(Debug, Parser)]
#[command(name = "pushsub", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    device: Device,

    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such
    /// as `warn,pushsub=debug` [default: $RUST_LOG, else info]
    #[arg(long, global = true, value_name = "FILTER", display_order = 100)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Device {
    Broker(broker::Arguments),
    Forwarder(forwarder::Arguments),
    Queue(queue::Arguments),
    Streamer(streamer::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let result = log(arguments.log.as_deref()).and_then(|()| match arguments.device {
        Device::Broker(arguments) => broker::run(arguments),
        Device::Forwarder(arguments) => forwarder::run(arguments),
        Device::Queue(arguments) => queue::run(arguments),
        Device::Streamer(arguments) => streamer::run(arguments),
    });
    match result {
        Ok(code) => code,
        Err(reason) => fail(&reason),
    }
}

/// Help and version as they are; what is wrong in one line.
fn refuse(error: &clap::Error) -> ExitCode {
    let shows_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if shows_help {
        error.exit();
    }
    let text = error.render().to_string();
    // What clap has on further lines is its usage, which --help shows whole.
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let line = lines.by_ref().map(str::trim).collect::<Vec<_>>().join(" ");
    let reason = line.strip_prefix("error: ").unwrap_or(&line);
    fail(&format!("{reason} (try --help)"))
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("pushsub: {reason}");
    ExitCode::from(USAGE)
}

fn log(filter: Option<&str>) -> Result<(), String> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let filter = filter.or(from_environment.as_deref()).unwrap_or("info");
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("`{filter}` is no filter for --log or RUST_LOG: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
