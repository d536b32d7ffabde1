//! Who takes part, each in its best flavour; a rival never does less than deliver every message.

mod libzmq;
mod pushsub;
mod raw;

use std::time::Duration;

use anyhow::Result;

use self::pushsub::Flavour;
use crate::row::{Row, Tally};

/// How long an end waits for the other before it reports what it has.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rival {
    /// pushsub on a runtime of the current thread
    PushsubCt,
    /// pushsub on a runtime of two workers
    PushsubMt,
    /// libzmq 4.3 through the crate `zmq`, with its default high-water marks
    Libzmq,
    /// The same without high-water marks: its sender may run ahead without bound
    LibzmqUnbounded,
    /// Length-prefixed frames in writes of 64 KiB over a std socket: the ceiling
    Raw,
}

impl Rival {
    /// In the order in which a report compares them: each with those after it.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::PushsubCt,
            Self::PushsubMt,
            Self::Libzmq,
            Self::LibzmqUnbounded,
            Self::Raw,
        ]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PushsubCt => "pushsub-ct",
            Self::PushsubMt => "pushsub-mt",
            Self::Libzmq => "libzmq",
            Self::LibzmqUnbounded => "libzmq-unbounded",
            Self::Raw => "raw",
        }
    }

    /// Binds to a free port, prints its address as `127.0.0.1:port`, and receives.
    /// Returns the time from the first message to the last.
    pub(crate) fn receive(self, row: Row, messages: u64, tally: &mut Tally) -> Result<Duration> {
        match self {
            Self::PushsubCt => Flavour::CurrentThread.receive(messages, tally),
            Self::PushsubMt => Flavour::TwoWorkers.receive(messages, tally),
            Self::Libzmq => libzmq::receive(libzmq::DEFAULT_MARK, row, messages, tally),
            Self::LibzmqUnbounded => libzmq::receive(libzmq::NO_MARK, row, messages, tally),
            Self::Raw => raw::receive(row, messages, tally),
        }
    }

    /// Connects to the receiver and sends; returns how many messages it has handed over.
    pub(crate) fn send(self, row: Row, messages: u64, address: &str) -> Result<u64> {
        match self {
            Self::PushsubCt => Flavour::CurrentThread.send(row, messages, address),
            Self::PushsubMt => Flavour::TwoWorkers.send(row, messages, address),
            Self::Libzmq => libzmq::send(libzmq::DEFAULT_MARK, row, messages, address),
            Self::LibzmqUnbounded => libzmq::send(libzmq::NO_MARK, row, messages, address),
            Self::Raw => raw::send(row, messages, address),
        }
    }
}
