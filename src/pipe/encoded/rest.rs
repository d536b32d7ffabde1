//! Takes the pieces of encoded messages apart, message by message.

use std::collections::VecDeque;

use super::{Piece, Shared};

/// What is still to be taken of the pieces of a batch.
pub(super) struct Rest<'a> {
    pub(super) arena: &'a [u8],
    pub(super) pieces: VecDeque<Piece>,
}

/// Octets of one message, or of a part of it.
pub(super) enum Part<'a> {
    Copied(&'a [u8]),
    Shared(Shared),
}

impl Rest<'_> {
    /// Takes off so many octets, and hands them over as they lie.
    pub(super) fn split(&mut self, mut octets: usize, mut part: impl FnMut(Part<'_>)) {
        while octets > 0 {
            match self.pieces.pop_front() {
                Some(Piece::Arena(length)) => {
                    let step = length.min(octets);
                    let (taken, rest) = self.arena.split_at(step);
                    self.arena = rest;
                    if step < length {
                        self.pieces.push_front(Piece::Arena(length - step));
                    }
                    octets -= step;
                    part(Part::Copied(taken));
                }
                Some(Piece::Shared(shared)) => {
                    octets -= shared.rest.len();
                    part(Part::Shared(shared));
                }
                None => return,
            }
        }
    }
}
