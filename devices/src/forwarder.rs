//! `pushsub forwarder`: publications from many to many.

use std::process::ExitCode;

use clap::Args;
use pushsub::{XPub, XSub};

use crate::classic::{self, Kind, Sides};

const EXAMPLES: &str = "\
It prints a line for each endpoint to stdout when it is ready, with the ports that
were picked:
  front tcp://127.0.0.1:5561
  back tcp://127.0.0.1:5562

PUB peers are told the front, SUB peers the back.

Examples:
  pushsub forwarder
  pushsub forwarder --front 'tcp://127.0.0.1:*' --back 'tcp://127.0.0.1:*'
  pushsub forwarder --front 'tcp://*:5561' --back 'tcp://*:5562' --insecure
  pushsub forwarder --connect-front tcp://10.0.0.7:5556 --back 'tcp://127.0.0.1:*'
  pushsub forwarder --capture tcp://127.0.0.1:9999

A side that is told nothing binds the port shown above. SIGTERM and SIGINT let what
has come be forwarded and written, for --linger at most; a second one ends it at
once. Exit code: 0 after a stop, 1 after a second signal, 2 for what is wrong with
the arguments or endpoints.";

/// Pass publications of PUB peers on to the SUB peers that subscribed to them
///
/// Subscriptions are merged: a topic is asked for with its first subscriber and no
/// longer with its last, and publishers that come late are told all. A subscriber that
/// is too slow misses messages.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    sides: Sides,
}

/// Runs a forwarder until a signal ends it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    let kind = Kind {
        name: "forwarder",
        front: "tcp://127.0.0.1:5561",
        back: "tcp://127.0.0.1:5562",
    };
    classic::run::<XSub, XPub>(kind, arguments.sides)
}
