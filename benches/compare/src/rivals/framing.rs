//! The ceiling's protocol: a length of four octets in front of each message, and nothing else.

/// What is written at once.
pub(super) const WRITE: usize = 64 << 10;

/// What is read at once.
pub(super) const READ: usize = 128 << 10;

pub(super) const PREFIX: usize = 4;

/// Appends a frame.
pub(super) fn encode(outgoing: &mut Vec<u8>, payload: &[u8]) {
    let prefix = (payload.len() as u32).to_le_bytes();
    outgoing.extend_from_slice(&prefix);
    outgoing.extend_from_slice(payload);
}

/// What was read and not yet shown.
pub(super) struct Incoming {
    octets: Vec<u8>,
    filled: usize,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self::of(READ)
    }

    /// So many octets are read at once.
    pub(super) fn of(octets: usize) -> Self {
        Self {
            octets: vec![0; octets],
            filled: 0,
        }
    }

    /// Where more can be read to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.octets[self.filled..]
    }

    /// So many octets were read.
    pub(super) fn filled(&mut self, octets: usize) {
        self.filled += octets;
    }

    /// Shows whole frames. Returns how many there were.
    pub(super) fn take(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> u64 {
        let mut start = 0;
        let mut count = 0;
        while let Some(prefix) = self.octets[start..self.filled].first_chunk::<PREFIX>() {
            let end = start + PREFIX + u32::from_le_bytes(*prefix) as usize;
            if end > self.filled {
                break;
            }
            note(&self.octets[start + PREFIX..end]);
            start = end;
            count += 1;
        }
        self.octets.copy_within(start..self.filled, 0);
        self.filled -= start;
        count
    }
}
