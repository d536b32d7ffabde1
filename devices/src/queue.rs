//! `pushsub queue`: requests from many clients to many workers.

use std::process::ExitCode;

use clap::Args;
use pushsub::{Dealer, Router};

use crate::classic::{self, Kind, Sides};

const EXAMPLES: &str = "\
It prints a line for each endpoint to stdout when it is ready, with the ports that
were picked:
  front tcp://127.0.0.1:5559
  back tcp://127.0.0.1:5560

REQ and DEALER clients are told the front, REP and DEALER workers the back.

Examples:
  pushsub queue
  pushsub queue --front 'tcp://127.0.0.1:*' --back 'tcp://127.0.0.1:*'
  pushsub queue --front 'tcp://*:5559' --back 'tcp://*:5560' --insecure
  pushsub queue --front 'tcp://127.0.0.1:*' --connect-back tcp://10.0.0.8:5559
  pushsub queue --capture tcp://127.0.0.1:9999

A side that is told nothing binds the port shown above. SIGTERM and SIGINT let what
has come be forwarded and written, for --linger at most; a second one ends it at
once. Exit code: 0 after a stop, 1 after a second signal, 2 for what is wrong with
the arguments or endpoints.";

/// Share the requests of REQ clients among REP workers, and bring the replies back
///
/// Requests go to the workers in turn; while none has room the clients wait. A reply
/// for a client that is gone is dropped. Queues may stand behind queues.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sides: Sides,
}

/// Runs a queue until a signal ends it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let kind = Kind {
        name: "queue",
        front: "tcp://127.0.0.1:5559",
        back: "tcp://127.0.0.1:5560",
    };
    classic::run::<Router, Dealer>(kind, arguments.sides)
}
