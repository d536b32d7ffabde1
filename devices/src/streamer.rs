//! `pushsub streamer`: work from many to many.

use std::process::ExitCode;

use clap::Args;
use pushsub::{Pull, Push};

use crate::classic::{self, Kind, Sides};

const EXAMPLES: &str = "\
It prints a line for each endpoint to stdout when it is ready, with the ports that
were picked:
  front tcp://127.0.0.1:5557
  back tcp://127.0.0.1:5558

PUSH peers are told the front, PULL peers the back.

Examples:
  pushsub streamer
  pushsub streamer --front 'tcp://127.0.0.1:*' --back 'tcp://127.0.0.1:*'
  pushsub streamer --front 'tcp://*:5557' --back 'tcp://*:5558' --insecure
  pushsub streamer --connect-front tcp://10.0.0.7:5557 --connect-back tcp://10.0.0.8:5558
  pushsub streamer --capture tcp://127.0.0.1:9999

A side that is told nothing binds the port shown above. SIGTERM and SIGINT let what
has come be forwarded and written, for --linger at most; a second one ends it at
once. Exit code: 0 after a stop, 1 after a second signal, 2 for what is wrong with
the arguments or endpoints.";

/// Hand work from PUSH peers to PULL peers, in turn among those with room
///
/// All that the front receives leaves by the back. While no peer of the back has room,
/// the peers of the front wait.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sides: Sides,
}

/// Runs a streamer until a signal ends it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let kind = Kind {
        name: "streamer",
        front: "tcp://127.0.0.1:5557",
        back: "tcp://127.0.0.1:5558",
    };
    classic::run::<Pull, Push>(kind, arguments.sides)
}
