//! Messages as they go on a wire, with an index, so that any whole one can still be told apart.

mod kept;
mod rest;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;

use self::kept::Kept;
use self::rest::{Part, Rest};
use super::batch::Progress;
use super::marks::Marks;
use super::parcel::Copied;
use crate::message::Message;
use crate::zmtp::frame;

/// A frame of this many octets or more is shared with whoever sent it; a
/// smaller one is copied, which costs less than an entry of its own in a vectored write, and frees
/// the sender's memory while it is in the cache: of 4 KiB a fifth more messages in a second go so,
/// of 8 KiB a quarter fewer (`benches/compare --rows push-pull-4k,push-pull-8k`, with 4, 8 and 16 KiB
/// here).
pub(super) const SHARED_FROM: usize = 8 << 10;

/// An emptied arena above this is given back, so that a link at rest costs little, unless the next burst
/// may fill it ([`Kept`]). A sender fills a write of 256 KiB, and the message that makes it one goes beyond.
const ARENA_KEPT: usize = (256 << 10) + 2 * SHARED_FROM;

/// What the index costs for a message.
const ENTRY: usize = 32;

/// Messages as they go on the wire, in order.
///
/// ```text
///  arena   [hdr|payload|hdr|payload|hdr]         [hdr|payload]
///  pieces   Arena(n)                    Shared(b) what is behind them
///  index    message     message     message ------ message
///           ^ begun: octets of the first that are written
/// ```
///
/// What each message changes stands in front, for as few cache lines as there can be.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Encoded {
    arena: Vec<u8>,
    /// Octets of the arena that are written already.
    consumed: usize,
    /// Messages that are not yet wholly written.
    messages: usize,
    /// Octets of shared frames that are not yet written.
    shared: usize,
    /// Octets of memory of shared frames: of each all until the last is written.
    whole: usize,
    /// All entries, in runs.
    index: VecDeque<Run>,
    marks: Marks,
    /// All but the last piece of the arena: none where nothing but that has been put here.
    pieces: VecDeque<Piece>,
    /// Where the last piece of the arena begins, unless some of it is written.
    last_piece: usize,
    /// Octets of the first entry that are written already.
    begun: usize,
    /// All of its memory, where that is more than [`ARENA_KEPT`] and was kept for the next burst.
    kept: Kept,
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

/// Entries in a row, in as little memory as [`ENTRY`] counts for one.
#[derive(Clone, Copy)]
struct Run {
    /// Of each entry.
    octets: usize,
    /// How many messages; none are commands, which belong to one connection and die with it.
    messages: usize,
}

impl Run {
    fn is_commands(self) -> bool {
        self.messages == 0
    }
}

impl Encoded {
    /// The most that it will hold more with this message.
    #[inline]
    pub(super) fn cost(message: Copied<'_>) -> usize {
        ENTRY + message.encoded_length()
    }

    /// Octets of memory that it holds, of the arena also those that are written.
    #[inline]
    pub(super) fn pinned(&self) -> usize {
        self.arena.len() + self.whole + self.messages * ENTRY
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn marks_mut(&mut self) -> &mut Marks {
        &mut self.marks
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.octets() == 0
    }

    /// Messages that are not yet wholly written.
    #[inline]
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Octets that are not yet written.
    #[inline]
    pub(crate) fn octets(&self) -> usize {
        self.arena.len() - self.consumed + self.shared
    }

    /// Encodes a message behind all others.
    #[inline(always)]
    pub(super) fn push<'a>(&mut self, message: impl Into<Copied<'a>>) {
        let copied = message.into();
        let message = copied.message();
        let before = self.octets();
        if let Some(octets) = copied.octets() {
            self.arena.extend_from_slice(octets);
        } else if message.size() < SHARED_FROM {
            frame::encode_message(message, &mut self.arena);
        } else {
            self.push_large(message);
        }
        self.enter(self.octets() - before);
    }

    /// Counts a message of so many octets, which are there. Most are of the size of the one before.
    #[inline(always)]
    fn enter(&mut self, octets: usize) {
        self.messages += 1;
        match self.index.back_mut() {
            Some(run) if run.octets == octets && run.messages > 0 => run.messages += 1,
            _ => {
                let messages = 1;
                self.index.push_back(Run { octets, messages });
            }
        }
    }

    /// Puts its frames behind all that is there.
    fn push_large(&mut self, message: &Message) {
        let frames = message.frames();
        for (position, payload) in frames.iter().enumerate() {
            let more = position + 1 < frames.len();
            let flags = if more { frame::MORE } else { 0 };
            let (header, size) = frame::encode_header(flags, payload.len());
            self.arena.extend_from_slice(&header[..size]);
            if payload.len() < SHARED_FROM {
                self.arena.extend_from_slice(payload);
            } else {
                self.share(Shared {
                    rest: payload.clone(),
                    whole: payload.len(),
                });
            }
        }
    }

    /// Puts this behind all that is there.
    fn share(&mut self, shared: Shared) {
        self.end_piece();
        self.shared += shared.rest.len();
        self.whole += shared.whole;
        self.pieces.push_back(Piece::Shared(shared));
    }

    /// Octets of the last piece of the arena.
    #[inline]
    fn behind_pieces(&self) -> usize {
        self.arena.len() - self.last_piece.max(self.consumed)
    }

    /// Counts the last piece of the arena among the others.
    fn end_piece(&mut self) {
        let octets = self.behind_pieces();
        if octets > 0 {
            self.pieces.push_back(Piece::Arena(octets));
        }
        self.last_piece = self.arena.len();
    }

    /// Puts commands before the first message of which nothing is written yet:
    /// they never cut a message, and wait for no second one.
    pub(crate) fn push_commands_front(&mut self, commands: Vec<u8>) {
        self.end_piece();
        let begun = self.index.front().copied().filter(|_| self.begun > 0);
        let left = begun.map_or(0, |run| run.octets - self.begun);
        let piece = self.piece_behind(left);
        // The one that is begun goes first, without those behind it.
        if let Some(Run { octets, messages }) = begun.filter(|run| run.messages > 1) {
            self.index[0].messages = 1;
            let messages = messages - 1;
            self.index.insert(1, Run { octets, messages });
        }
        let (octets, messages) = (commands.len(), 0);
        let position = usize::from(begun.is_some());
        self.index.insert(position, Run { octets, messages });
        self.shared += commands.len();
        self.whole += commands.len();
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
        match self.pieces.front() {
            None => Some(&self.arena[self.consumed..]),
            Some(Piece::Shared(shared)) if self.pieces.len() == 1 && self.behind_pieces() == 0 => {
                Some(&shared.rest)
            }
            Some(_) => None,
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
        if let Some(slot) = slices.get_mut(self.pieces.len())
            && !arena.is_empty()
        {
            *slot = IoSlice::new(arena);
            count += 1;
        }
        count
    }

    /// Takes off what was written.
    pub(crate) fn advance(&mut self, written: usize) -> Progress {
        let pinned = self.pinned();
        self.advance_pieces(written);
        let messages = self.advance_index(written);
        self.messages -= messages;
        self.marks.pass(messages);
        if self.is_empty() {
            self.rest();
        }
        Progress {
            messages,
            octets: written,
            freed: pinned - self.pinned(),
        }
    }

    /// Takes off the entries that are written. Returns how many messages those were.
    fn advance_index(&mut self, written: usize) -> usize {
        self.begun += written;
        let mut messages = 0;
        while let Some(run) = self.index.front_mut() {
            if self.begun < run.octets {
                break;
            }
            let entries = match run.messages {
                0 | 1 => 1,
                many => (self.begun / run.octets).min(many),
            };
            self.begun -= entries * run.octets;
            if !run.is_commands() {
                messages += entries;
                run.messages -= entries;
            }
            if run.messages > 0 {
                break;
            }
            self.index.pop_front();
        }
        messages
    }

    fn advance_pieces(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut()
            && written > 0
        {
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
                    self.shared -= step;
                    if step == shared.rest.len() {
                        self.whole -= shared.whole;
                        self.pieces.pop_front();
                    } else {
                        let _ = shared.rest.split_to(step);
                    }
                    step
                }
            };
            written -= step;
        }
        self.consumed += written;
    }

    /// Gives up the first message, of which nothing is written. Returns
    /// whether there was one.
    pub(super) fn drop_first(&mut self) -> bool {
        debug_assert_eq!(self.begun, 0, "what is begun is finished");
        let Some(first) = self.index.front().copied() else {
            return false;
        };
        self.advance(first.octets);
        // What is dropped from the front for ever would grow the arena for ever.
        if self.consumed > ARENA_KEPT && self.consumed > self.arena.len() / 2 {
            self.compact();
        }
        true
    }

    pub(super) fn compact(&mut self) {
        self.arena.drain(..self.consumed);
        self.last_piece = self.last_piece.saturating_sub(self.consumed);
        self.consumed = 0;
    }

    /// Everything is written: keep the memory for the next batch, unless it is much.
    fn rest(&mut self) {
        self.consumed = 0;
        self.last_piece = 0;
        let filled = self.arena.len();
        self.arena.clear();
        if self.keeps_much() {
            self.rest_large(filled);
        }
    }

    /// Whether it has more memory than it keeps at rest, for bursts that need it.
    #[inline]
    pub(super) fn keeps_much(&self) -> bool {
        self.arena.capacity() > ARENA_KEPT
    }

    #[cold]
    fn rest_large(&mut self, filled: usize) {
        let capacity = self.arena.capacity();
        if !self.kept.keeps(capacity, filled > capacity / 4) {
            self.arena.shrink_to(ARENA_KEPT);
        }
    }

    /// What the next connection may still write: no commands, and no message
    /// of which an octet has been written, for such a one dies with its link.
    /// Returns the rest and the number of messages that died.
    pub(crate) fn into_unwritten(mut self) -> (Self, usize) {
        let mut died = 0;
        while let Some(first) = self.index.front().copied() {
            if !first.is_commands() && self.begun == 0 {
                break;
            }
            died += usize::from(!first.is_commands());
            self.advance(first.octets - self.begun);
        }
        (self, died)
    }

    /// Appends all of `later`.
    pub(crate) fn append(&mut self, mut later: Self) {
        later.end_piece();
        let mut arena = &later.arena[later.consumed..];
        for piece in later.pieces {
            match piece {
                Piece::Arena(octets) => {
                    let (piece, rest) = arena.split_at(octets);
                    arena = rest;
                    self.arena.extend_from_slice(piece);
                }
                Piece::Shared(shared) => self.share(shared),
            }
        }
        self.index.extend(later.index);
        self.marks.append(self.messages, later.marks);
        self.messages += later.messages;
    }

    /// Takes out the messages whose time has passed and of which nothing is written.
    pub(super) fn expire(&mut self, now: Instant) -> Progress {
        let first = self.index.front();
        let begun = self.begun > 0 && first.is_some_and(|run| !run.is_commands());
        let expired = self.marks.expire(now, usize::from(begun));
        let (before, pinned) = (self.octets(), self.pinned());
        if !expired.is_empty() {
            self.take_out(&expired);
        }
        Progress {
            messages: expired.len(),
            octets: before - self.octets(),
            freed: pinned - self.pinned(),
        }
    }

    /// Takes out the messages at these places, ascending; their marks are out.
    fn take_out(&mut self, places: &[usize]) {
        self.end_piece();
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
        for run in old.index {
            if run.is_commands() {
                let left = run.octets - std::mem::take(&mut written);
                rest.split(left, |part| self.keep(part));
                self.index.push_back(run);
            }
            for _ in 0..run.messages {
                let left = run.octets - std::mem::take(&mut written);
                if places.next_if_eq(&place).is_some() {
                    rest.split(left, |_| {});
                } else {
                    rest.split(left, |part| self.keep(part));
                    self.enter(run.octets);
                }
                place += 1;
            }
        }
        self.begun = old.begun;
    }

    fn keep(&mut self, part: Part<'_>) {
        match part {
            Part::Copied(octets) => self.arena.extend_from_slice(octets),
            Part::Shared(shared) => self.share(shared),
        }
    }
}

#[cfg(test)]
mod tests;
