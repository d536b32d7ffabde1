//! Messages as they go on a wire, with an index, so that any whole one can still be told apart.

mod rest;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;

use self::rest::{Part, Rest};
use super::batch::{Added, Progress};
use super::marks::Marks;
use super::parcel::Copied;
use crate::message::Message;
use crate::zmtp::frame;

/// A frame of this many octets or more is shared with whoever sent it; a
/// smaller one is copied, which costs less than an entry of its own in a vectored write.
pub(super) const SHARED_FROM: usize = 4 << 10;

/// An emptied arena above this is given back, so that a link at rest costs little.
const ARENA_KEPT: usize = 256 << 10;

/// What the index costs for a message.
const ENTRY: usize = 32;

/// Messages as they go on the wire, in order.
///
/// ```text
///  arena   [hdr|payload|hdr|payload|hdr]         [hdr|payload]
///  pieces   Arena(n)                    Shared(b) Arena(m)
///  index    message     message     message ------ message
///           ^ begun: octets of the first that are written
/// ```
#[derive(Default)]
pub(crate) struct Encoded {
    arena: Vec<u8>,
    /// Octets of the arena that are written already.
    consumed: usize,
    pieces: VecDeque<Piece>,
    index: VecDeque<Entry>,
    /// Octets of the first entry that are written already.
    begun: usize,
    /// Octets that are not yet written.
    octets: usize,
    /// Messages that are not yet wholly written.
    messages: usize,
    /// Octets of memory held: of the arena also those that are written, of a
    /// shared frame all until the last is written.
    pinned: usize,
    marks: Marks,
}

enum Piece {
    /// The next octets of the arena.
    Arena(usize),
    Shared(Shared),
}

/// A frame that is not copied.
struct Shared {
    /// What is not yet written of it.
    rest: Bytes,
    /// Octets of all of it, which stay in memory until the last is written.
    whole: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    octets: usize,
    kind: EntryKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Message,
    /// Commands belong to one connection and die with it.
    Commands,
}

impl Encoded {
    /// The most that it will hold more with this message.
    #[inline]
    pub(super) fn cost(message: Copied<'_>) -> usize {
        ENTRY + message.encoded_length()
    }

    /// Octets of memory that it holds.
    pub(super) fn pinned(&self) -> usize {
        self.pinned
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn marks_mut(&mut self) -> &mut Marks {
        &mut self.marks
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.octets == 0
    }

    /// Messages that are not yet wholly written.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Octets that are not yet written.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Encodes a message behind all others.
    #[inline(always)]
    pub(super) fn push<'a>(&mut self, message: impl Into<Copied<'a>>) -> Added {
        let copied = message.into();
        let message = copied.message();
        let octets = if let Some(octets) = copied.octets() {
            self.in_arena(|arena| arena.extend_from_slice(octets))
        } else if message.size() < SHARED_FROM {
            self.in_arena(|arena| frame::encode_message(message, arena))
        } else {
            self.push_large(message)
        };
        self.index.push_back(Entry {
            octets,
            kind: EntryKind::Message,
        });
        // Whether copied or shared, what goes on the wire is held once.
        let pinned = octets + ENTRY;
        self.messages += 1;
        self.octets += octets;
        self.pinned += pinned;
        Added { octets, pinned }
    }

    /// Puts its frames behind all that is there, and returns how many octets they are: to be
    /// counted.
    fn push_large(&mut self, message: &Message) -> usize {
        let frames = message.frames();
        let mut octets = 0;
        for (position, payload) in frames.iter().enumerate() {
            let more = position + 1 < frames.len();
            octets += self.in_arena(|arena| {
                let flags = if more { frame::MORE } else { 0 };
                let (header, size) = frame::encode_header(flags, payload.len());
                arena.extend_from_slice(&header[..size]);
                if payload.len() < SHARED_FROM {
                    arena.extend_from_slice(payload);
                }
            });
            if payload.len() >= SHARED_FROM {
                octets += self.share(payload.clone());
            }
        }
        octets
    }

    /// Puts these behind all that is there, and returns how many they are: to be counted.
    fn share(&mut self, octets: Bytes) -> usize {
        let whole = octets.len();
        let rest = octets;
        self.pieces.push_back(Piece::Shared(Shared { rest, whole }));
        whole
    }

    /// Writes behind all that is there, and returns how many octets that were: to be counted. All
    /// counters are written once for a message: two writes of each would cost more than both.
    #[inline(always)]
    fn in_arena(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.arena.len();
        write(&mut self.arena);
        let added = self.arena.len() - before;
        if let Some(Piece::Arena(octets)) = self.pieces.back_mut() {
            *octets += added;
        } else {
            self.pieces.push_back(Piece::Arena(added));
        }
        added
    }

    fn count(&mut self, octets: usize) {
        self.octets += octets;
        self.pinned += octets;
    }

    /// Puts commands before the first message of which nothing is written yet:
    /// they never cut a message, and wait for no second one.
    pub(crate) fn push_commands_front(&mut self, commands: Vec<u8>) {
        let begun = self.index.front().filter(|_| self.begun > 0);
        let left = begun.map_or(0, |entry| entry.octets - self.begun);
        let position = usize::from(begun.is_some());
        let piece = self.piece_behind(left);
        self.octets += commands.len();
        self.index.insert(
            position,
            Entry {
                octets: commands.len(),
                kind: EntryKind::Commands,
            },
        );
        self.pinned += commands.len();
        let shared = Shared {
            whole: commands.len(),
            rest: commands.into(),
        };
        self.pieces.insert(piece, Piece::Shared(shared));
    }

    /// Sees to it that a piece begins behind so many octets that are not
    /// written yet. Returns which.
    fn piece_behind(&mut self, mut octets: usize) -> usize {
        let mut position = 0;
        while octets > 0
            && let Some(piece) = self.pieces.get_mut(position)
        {
            let rest = match piece {
                Piece::Arena(length) if *length > octets => {
                    let rest = *length - octets;
                    *length = octets;
                    Some(Piece::Arena(rest))
                }
                Piece::Shared(shared) if shared.rest.len() > octets => {
                    // The memory of both goes with the last.
                    Some(Piece::Shared(Shared {
                        rest: shared.rest.split_off(octets),
                        whole: std::mem::take(&mut shared.whole),
                    }))
                }
                Piece::Arena(length) => {
                    octets -= *length;
                    None
                }
                Piece::Shared(shared) => {
                    octets -= shared.rest.len();
                    None
                }
            };
            position += 1;
            if let Some(rest) = rest {
                self.pieces.insert(position, rest);
                break;
            }
        }
        position
    }

    /// All the octets to be written, where they lie in one piece.
    #[inline]
    pub(crate) fn only_slice(&self) -> Option<&[u8]> {
        if self.pieces.len() > 1 {
            return None;
        }
        match self.pieces.front()? {
            Piece::Arena(octets) => Some(&self.arena[self.consumed..][..*octets]),
            Piece::Shared(shared) => Some(&shared.rest),
        }
    }

    /// The octets to be written next, as many as `slices` takes. Returns how many slices.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut arena = &self.arena[self.consumed..];
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.pieces) {
            *slot = IoSlice::new(match piece {
                Piece::Arena(octets) => {
                    let (piece, rest) = arena.split_at(*octets);
                    arena = rest;
                    piece
                }
                Piece::Shared(shared) => &shared.rest,
            });
            count += 1;
        }
        count
    }

    /// Takes off what was written.
    pub(crate) fn advance(&mut self, written: usize) -> Progress {
        let pinned = self.pinned;
        self.octets -= written;
        self.advance_pieces(written);
        let mut left = self.begun + written;
        let mut messages = 0;
        while let Some(entry) = self.index.front() {
            if left < entry.octets {
                break;
            }
            left -= entry.octets;
            messages += usize::from(entry.kind == EntryKind::Message);
            self.index.pop_front();
        }
        self.begun = left;
        self.messages -= messages;
        self.pinned -= messages * ENTRY;
        self.marks.pass(messages);
        if self.octets == 0 {
            self.rest();
        }
        Progress {
            messages,
            octets: written,
            freed: pinned - self.pinned,
        }
    }

    fn advance_pieces(&mut self, mut written: usize) {
        while written > 0 {
            let Some(piece) = self.pieces.front_mut() else {
                return;
            };
            let step = match piece {
                Piece::Arena(octets) => {
                    let step = written.min(*octets);
                    *octets -= step;
                    self.consumed += step;
                    if *octets == 0 {
                        self.pieces.pop_front();
                    }
                    step
                }
                Piece::Shared(shared) => {
                    let step = written.min(shared.rest.len());
                    if step == shared.rest.len() {
                        self.pinned -= shared.whole;
                        self.pieces.pop_front();
                    } else {
                        let _ = shared.rest.split_to(step);
                    }
                    step
                }
            };
            written -= step;
        }
    }

    /// Gives up the first message, of which nothing is written. Returns
    /// whether there was one.
    pub(super) fn drop_first(&mut self) -> bool {
        debug_assert_eq!(self.begun, 0, "what is begun is finished");
        let Some(entry) = self.index.front().copied() else {
            return false;
        };
        self.advance(entry.octets);
        // What is dropped from the front for ever would grow the arena for ever.
        if self.consumed > ARENA_KEPT && self.consumed > self.arena.len() / 2 {
            self.compact();
        }
        true
    }

    pub(super) fn compact(&mut self) {
        self.arena.drain(..self.consumed);
        self.pinned -= self.consumed;
        self.consumed = 0;
    }

    /// Everything is written: keep the memory for the next batch, unless it is much.
    fn rest(&mut self) {
        self.pinned -= self.arena.len();
        self.consumed = 0;
        self.arena.clear();
        if self.arena.capacity() > ARENA_KEPT {
            self.arena.shrink_to(ARENA_KEPT);
        }
    }

    /// What the next connection may still write: no commands, and no message
    /// of which an octet has been written, for such a one dies with its link.
    /// Returns the rest and the number of messages that died.
    pub(crate) fn into_unwritten(mut self) -> (Self, usize) {
        let mut died = 0;
        while let Some(entry) = self.index.front().copied() {
            let is_message = entry.kind == EntryKind::Message;
            if is_message && self.begun == 0 {
                break;
            }
            died += usize::from(is_message);
            self.advance(entry.octets - self.begun);
        }
        (self, died)
    }

    /// Appends all of `later`.
    pub(crate) fn append(&mut self, later: Self) {
        let mut arena = &later.arena[later.consumed..];
        for piece in later.pieces {
            match piece {
                Piece::Arena(octets) => {
                    let (piece, rest) = arena.split_at(octets);
                    arena = rest;
                    let octets = self.in_arena(|arena| arena.extend_from_slice(piece));
                    self.count(octets);
                }
                Piece::Shared(shared) => {
                    let octets = self.share(shared.rest);
                    self.count(octets);
                }
            }
        }
        self.index.extend(later.index);
        self.marks.append(self.messages, later.marks);
        self.messages += later.messages;
        self.pinned += later.messages * ENTRY;
    }

    /// Takes out the messages whose time has passed and of which nothing is written.
    pub(super) fn expire(&mut self, now: Instant) -> Progress {
        let first = self.index.front().map(|entry| entry.kind);
        let begun = self.begun > 0 && first == Some(EntryKind::Message);
        let expired = self.marks.expire(now, usize::from(begun));
        let (before, pinned) = (self.octets, self.pinned);
        if !expired.is_empty() {
            self.take_out(&expired);
        }
        Progress {
            messages: expired.len(),
            octets: before - self.octets,
            freed: pinned - self.pinned,
        }
    }

    /// Takes out the messages at these places, ascending; their marks are out.
    fn take_out(&mut self, places: &[usize]) {
        let old = std::mem::take(self);
        self.marks = old.marks;
        let mut rest = Rest {
            arena: &old.arena[old.consumed..],
            pieces: old.pieces,
        };
        let mut places = places.iter().copied().peekable();
        let mut place = 0;
        // What is written of the first entry is in no piece any more.
        let mut written = old.begun;
        for entry in old.index {
            let octets = entry.octets - std::mem::take(&mut written);
            let is_message = entry.kind == EntryKind::Message;
            if is_message && places.next_if_eq(&place).is_some() {
                rest.split(octets, |_| {});
            } else {
                rest.split(octets, |part| self.keep(part));
                self.index.push_back(entry);
                self.messages += usize::from(is_message);
                self.pinned += usize::from(is_message) * ENTRY;
            }
            place += usize::from(is_message);
        }
        self.begun = old.begun;
    }

    fn keep(&mut self, part: Part<'_>) {
        match part {
            Part::Copied(octets) => {
                let octets = self.in_arena(|arena| arena.extend_from_slice(octets));
                self.count(octets);
            }
            Part::Shared(shared) => {
                self.octets += shared.rest.len();
                self.pinned += shared.whole;
                self.pieces.push_back(Piece::Shared(shared));
            }
        }
    }
}

#[cfg(test)]
mod tests;
