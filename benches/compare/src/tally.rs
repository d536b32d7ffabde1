//! What a receiver notes: the numbers in the payloads, which tell order, loss and change.

use std::time::{Duration, Instant};

use crate::row::Content;

/// Publications with this number only show that a subscription is there.
pub(crate) const PROBE: u64 = u64::MAX;

/// Writes the message's number into its first eight octets. Returns as many as such a message has.
pub(crate) fn number(payload: &mut [u8], content: Content, sequence: u64) -> &[u8] {
    payload[..8].copy_from_slice(&sequence.to_le_bytes());
    &payload[..content.octets(sequence)]
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

    /// The time from the first message until now, or until then.
    pub(crate) fn elapsed(&self, until: Option<Instant>) -> Duration {
        let until = until.unwrap_or_else(Instant::now);
        self.first
            .map_or(Duration::ZERO, |first| until.duration_since(first))
    }
}

/// The next sum over numbers and sizes; their order does not matter.
fn add_up(sum: u64, sequence: u64, size: usize) -> u64 {
    sum.wrapping_add((sequence + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ size as u64))
}

/// The sum over so many messages.
pub(crate) fn sum_of(messages: u64, content: Content) -> u64 {
    (0..messages).fold(0, |sum, sequence| {
        add_up(sum, sequence, content.octets(sequence))
    })
}
