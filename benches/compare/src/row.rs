//! What is measured: the rows of the comparison, and the payloads that tell order and loss.

use std::time::{Duration, Instant};

/// One line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Row {
    /// One way, PUSH to PULL, 64 octets
    #[value(name = "push-pull-64")]
    PushPull64,
}

impl Row {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PushPull64 => "push-pull-64",
        }
    }

    /// Octets of a message.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::PushPull64 => 64,
        }
    }

    /// A payload to be numbered with [`number`] before each send.
    pub(crate) fn payload(self) -> Vec<u8> {
        vec![0x5a; self.size()]
    }
}

/// Writes the message's number into its first eight octets.
pub(crate) fn number(payload: &mut [u8], sequence: u64) {
    payload[..8].copy_from_slice(&sequence.to_le_bytes());
}

/// What a receiver has seen. The clock runs from the first message to the last.
pub(crate) struct Tally {
    pub(crate) received: u64,
    /// Messages with a number below one that was seen before.
    pub(crate) reordered: u64,
    next: u64,
    first: Option<Instant>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            received: 0,
            reordered: 0,
            next: 0,
            first: None,
        }
    }

    /// Notes one message.
    pub(crate) fn note(&mut self, payload: &[u8]) {
        if self.received == 0 {
            self.first = Some(Instant::now());
        }
        let sequence = payload
            .first_chunk()
            .map_or(0, |number| u64::from_le_bytes(*number));
        self.reordered += u64::from(sequence < self.next);
        self.next = self.next.max(sequence + 1);
        self.received += 1;
    }

    /// The time since the first message.
    pub(crate) fn elapsed(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| first.elapsed())
    }
}
