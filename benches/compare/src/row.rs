//! What is measured: the rows of the comparison, and the payloads that tell order and loss.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// One line of the comparison.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// For people to read.
    pub(crate) about: &'static str,
    pub(crate) work: Work,
    pub(crate) transport: Transport,
    /// Octets of a message, at least eight.
    pub(crate) size: usize,
    /// The processors that the two processes are bound to, where the row is about wake-ups.
    pub(crate) cores: Option<[&'static str; 2]>,
}

/// What the two ends do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// PUSH to PULL, as fast as it goes.
    Flow,
    /// PUB to so many SUB, nothing dropped.
    Publish(usize),
    /// DEALER to ROUTER and back, with so many requests in flight.
    Ask(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ipc,
    /// Both ends in one process.
    Inproc,
}

const fn row(
    name: &'static str,
    about: &'static str,
    work: Work,
    transport: Transport,
    size: usize,
) -> Row {
    Row {
        name,
        about,
        work,
        transport,
        size,
        cores: None,
    }
}

const fn bound(row: Row, cores: [&'static str; 2]) -> Row {
    Row {
        cores: Some(cores),
        ..row
    }
}

/// All rows, in the order in which they run.
pub(crate) static ROWS: [Row; 13] = {
    use Transport::{Inproc, Ipc, Tcp};
    use Work::{Ask, Flow, Publish};
    [
        row("push-pull-64", "one way, tcp, 64 B", Flow, Tcp, 64),
        row("push-pull-1k", "one way, tcp, 1 KiB", Flow, Tcp, 1 << 10),
        row("push-pull-32k", "one way, tcp, 32 KiB", Flow, Tcp, 32 << 10),
        row("push-pull-64-ipc", "one way, ipc, 64 B", Flow, Ipc, 64),
        row(
            "push-pull-64-inproc",
            "one way, inproc, 64 B",
            Flow,
            Inproc,
            64,
        ),
        row(
            "publish-1",
            "to 1 subscriber, tcp, 64 B",
            Publish(1),
            Tcp,
            64,
        ),
        row(
            "publish-8",
            "to 8 subscribers, tcp, 64 B",
            Publish(8),
            Tcp,
            64,
        ),
        bound(
            row(
                "round-trip",
                "round trip, tcp, 64 B, one core",
                Ask(1),
                Tcp,
                64,
            ),
            ["0", "0"],
        ),
        bound(
            row(
                "round-trip-2",
                "round trip, tcp, 64 B, two cores",
                Ask(1),
                Tcp,
                64,
            ),
            ["0", "1"],
        ),
        bound(
            row(
                "round-trip-ipc",
                "round trip, ipc, 64 B, one core",
                Ask(1),
                Ipc,
                64,
            ),
            ["0", "0"],
        ),
        row(
            "round-trip-inproc",
            "round trip, inproc, 64 B",
            Ask(1),
            Inproc,
            64,
        ),
        row(
            "ask-64",
            "64 requests in flight, tcp, 64 B",
            Ask(64),
            Tcp,
            64,
        ),
        row(
            "ask-64-1k",
            "64 requests in flight, tcp, 1 KiB",
            Ask(64),
            Tcp,
            1 << 10,
        ),
    ]
};

impl Row {
    /// The row of this name.
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        let names = || ROWS.each_ref().map(|row| row.name).join(", ");
        let found = ROWS.iter().find(|row| row.name == name);
        found.with_context(|| format!("there is no row `{name}`, but {}", names()))
    }

    /// Whether what counts is the time of one message, not how many there are in a second.
    pub(crate) fn is_round_trip(&self) -> bool {
        self.work == Work::Ask(1)
    }

    /// A payload to be numbered with [`number`] before each send.
    pub(crate) fn payload(&self) -> Vec<u8> {
        vec![0x5a; self.size]
    }
}

/// Publications with this number only show that a subscription is there.
pub(crate) const PROBE: u64 = u64::MAX;

/// Writes the message's number into its first eight octets.
pub(crate) fn number(payload: &mut [u8], sequence: u64) {
    payload[..8].copy_from_slice(&sequence.to_le_bytes());
}

/// What a receiver has seen. The clock runs from the first message to the last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    /// Messages with a number below one that was seen before.
    pub(crate) reordered: u64,
    pub(crate) probes: u64,
    /// Of all numbers and sizes, to be compared with what was sent.
    pub(crate) checksum: u64,
    next: u64,
    first: Option<Instant>,
}

impl Tally {
    /// Notes one message.
    pub(crate) fn note(&mut self, payload: &[u8]) {
        let sequence = payload
            .first_chunk()
            .map_or(0, |number| u64::from_le_bytes(*number));
        if sequence == PROBE {
            self.probes += 1;
            return;
        }
        if self.received == 0 {
            self.first = Some(Instant::now());
        }
        self.reordered += u64::from(sequence < self.next);
        self.next = self.next.max(sequence + 1);
        self.checksum = add_up(self.checksum, sequence, payload.len());
        self.received += 1;
    }

    /// The time since the first message.
    pub(crate) fn elapsed(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| first.elapsed())
    }
}

/// The next sum over numbers and sizes; their order does not matter.
pub(crate) fn add_up(sum: u64, sequence: u64, size: usize) -> u64 {
    sum.wrapping_add((sequence + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ size as u64))
}

/// The sum over so many messages of this size.
pub(crate) fn sum_of(messages: u64, size: usize) -> u64 {
    (0..messages).fold(0, |sum, sequence| add_up(sum, sequence, size))
}
