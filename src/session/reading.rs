//! The buffer that a wire is read into: grows by what has come, within the budget.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::task::coop::unconstrained;

use super::Settings;
use crate::context::{FREE, GRANULE, Lease};
use crate::error::LinkError;
use crate::looks::Looks;
use crate::message::Message;
use crate::pipe::OVERHEAD;
use crate::transport::ReadHalf;
use crate::zmtp::decode::ProtocolError;
use crate::zmtp::{Command, Decoder};

/// The least and the most that is read at once; it doubles while reads fill it.
const READ_LEAST: usize = 4 << 10;
const READ_MOST: usize = 128 << 10;

/// What is read at once where there is no buffer, by way of the stack: which is in the cache
/// whichever of a thousand links is read, and a buffer is made for what came.
const BY_STACK: usize = FREE;

/// The reading half of a wire, and what came of a message that is not whole yet.
pub(super) struct Reading {
    /// `None` once the connection has ended.
    wire: Option<ReadHalf>,
    buffer: BytesMut,
    decoder: Decoder,
    /// Octets of the memory that the buffer is the rest of.
    memory: usize,
    /// Up to where they begin again.
    octets_read: usize,
    /// How much is read at once at present.
    chunk: usize,
    /// The most octets that a large frame has filled since the driver last had memory given back.
    largest: usize,
    lease: Lease,
    /// Something was read that has not been looked at yet.
    fresh: bool,
    /// The last look at the budget found nothing.
    starved: bool,
    /// A message has come since the driver last had the buffer given back.
    busy: bool,
    looks: Looks,
}

impl Reading {
    /// `early` is what came behind the handshake.
    pub(super) fn new(wire: ReadHalf, early: BytesMut, settings: &Settings) -> Self {
        Self {
            wire: Some(wire),
            fresh: !early.is_empty(),
            memory: early.capacity(),
            octets_read: 0,
            buffer: early,
            decoder: Decoder::new(settings.max_message_size, settings.max_frames),
            chunk: READ_LEAST,
            largest: 0,
            lease: settings.context.lease(),
            starved: false,
            busy: false,
            looks: Looks::new(),
        }
    }

    pub(super) fn close(&mut self) {
        self.wire = None;
        self.buffer = BytesMut::new();
        self.decoder = Decoder::new(0, 0);
        self.lease.settle(0);
    }

    pub(super) fn has_undecoded(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether it holds a part of a message whose rest has not come.
    pub(super) fn holds_a_part(&self) -> bool {
        self.has_undecoded() || self.decoder.partial().0 > 0
    }

    /// Octets that were read so far, up to where they begin again.
    pub(super) fn octets_read(&self) -> usize {
        self.octets_read
    }

    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    pub(super) fn set_starved(&mut self, starved: bool) {
        self.starved = starved;
    }

    /// Takes what is complete out of the buffer, as [`Decoder::decode`] does.
    pub(super) fn decode(
        &mut self,
        messages: &mut Vec<Message>,
    ) -> Result<Option<Command>, ProtocolError> {
        let held = self.buffer.len();
        let decoded = self.decoder.decode(&mut self.buffer, messages);
        self.busy |= !messages.is_empty();
        // What is taken off at once, and is more than is read at once, is mostly a frame.
        let taken = held - self.buffer.len();
        if taken > READ_MOST {
            self.largest = self.largest.max(taken);
        }
        // Commands are no reason to look, and nothing is one twice.
        let ends = matches!(decoded, Ok(None));
        let came = !messages.is_empty() || ends && self.holds_a_part();
        if came && self.fresh {
            self.looks.note(held, messages.len());
        }
        self.fresh &= !(came || ends);
        decoded
    }

    /// Makes room for a read. Returns whether the budget lets it.
    pub(super) fn make_room(&mut self) -> bool {
        let by_stack = self.buffer.capacity() == 0 && self.chunk <= BY_STACK;
        // As much is free where nothing else is held.
        if by_stack && self.parts() == 0 {
            return true;
        }
        let length = self.buffer.len();
        let room = self.buffer.capacity() - length;
        let wanted = self.decoder.wanted();
        if length + wanted >= READ_MOST {
            // Not an octet more than the frame: the message keeps all of the memory alive.
            return room >= wanted.min(self.chunk / 2).max(1) || self.grow_to_frame(wanted);
        }
        room >= self.chunk / 2 || self.grow(self.chunk) || {
            self.chunk = READ_LEAST;
            room >= READ_LEAST / 2 || self.grow(READ_LEAST)
        }
    }

    /// A large frame may double what has come of it, whatever it announces; as much as one before it has
    /// filled it may have at once.
    fn grow_to_frame(&mut self, wanted: usize) -> bool {
        let length = self.buffer.len();
        let double = length.max(self.chunk);
        let proven = self.largest.saturating_sub(length);
        let steps = [double.max(proven), double, GRANULE.max(length / 8)];
        let octets = steps.map(|step| step.min(wanted));
        let covered = octets
            .into_iter()
            .find(|octets| self.try_cover(length + octets));
        let Some(octets) = covered else {
            return false;
        };
        let mut grown = BytesMut::with_capacity(length + octets);
        grown.extend_from_slice(&self.buffer);
        self.buffer = grown;
        self.memory = self.buffer.capacity();
        true
    }

    fn grow(&mut self, octets: usize) -> bool {
        let covered = self.try_cover(self.buffer.len() + octets);
        if covered {
            self.buffer.reserve(octets);
            self.memory = self.buffer.capacity();
        }
        covered
    }

    fn try_cover(&mut self, capacity: usize) -> bool {
        let parts = self.parts();
        self.lease.try_cover(capacity + parts)
    }

    /// What the frames that are taken off the buffer hold.
    fn parts(&self) -> usize {
        let (frames, octets) = self.decoder.partial();
        octets + frames * OVERHEAD
    }

    /// Gives back to the budget what is not needed any more.
    pub(super) fn settle(&mut self) {
        self.lease.settle(self.buffer.capacity() + self.parts());
    }

    /// Reads once into the room that was made. `None`: nothing is there, the
    /// waker is set. Otherwise whether the read took all the room it had, so
    /// that more may be there.
    pub(super) fn fill(&mut self, context: &mut Context<'_>) -> Result<Option<bool>, LinkError> {
        let Some(wire) = &mut self.wire else {
            return Ok(None);
        };
        let buffer = &mut self.buffer;
        let by_stack = buffer.capacity() == 0;
        let room = match by_stack {
            true => BY_STACK,
            false => buffer.capacity() - buffer.len(),
        };
        let read = poll_fn(|context| match by_stack {
            true => read_by_stack(wire, buffer, context),
            false => pin!(wire.read_buf(buffer)).poll(context),
        });
        // Small ones are counted by who asks for them: the task's budget would end in the middle of
        // a thousand peers.
        let read = match room {
            ..=BY_STACK => pin!(unconstrained(read)).poll(context),
            _ => pin!(read).poll(context),
        };
        let octets = match read {
            Poll::Pending => return Ok(None),
            Poll::Ready(Ok(0)) => return Err(LinkError::ClosedByPeer),
            Poll::Ready(Ok(octets)) => octets,
            Poll::Ready(Err(error)) => return Err(LinkError::io(error)),
        };
        if by_stack {
            self.memory = self.buffer.capacity();
        }
        self.fresh = true;
        self.octets_read = self.octets_read.wrapping_add(octets);
        let filled = octets == room;
        if filled {
            let chunk = if by_stack { BY_STACK } else { self.chunk };
            self.chunk = (chunk * 2).min(READ_MOST);
        }
        Ok(Some(filled))
    }

    /// Nothing is there to read. Returns whether to look again, and not to sleep.
    pub(super) fn looks_again(&mut self) -> bool {
        self.looks.again()
    }

    /// Nothing is there to read: the buffer is given back where it is large, or the rest of what was
    /// large, or no message comes, so that a link at rest costs little.
    pub(super) fn rest(&mut self) {
        let kept = self.busy && self.memory <= READ_LEAST && self.buffer.capacity() > 0;
        if self.buffer.is_empty() && !kept {
            self.buffer = BytesMut::new();
            self.memory = 0;
            self.chunk = (self.chunk / 2).max(READ_LEAST);
        }
    }

    /// Gives the buffer back that waits for the next message, until one comes.
    pub(super) fn shed(&mut self) {
        self.busy = false;
        self.largest = 0;
        self.rest();
        self.settle();
    }
}

/// Reads once, and makes a buffer for what came. Out of line, for the sake of those that have one.
#[inline(never)]
fn read_by_stack(
    wire: &mut ReadHalf,
    buffer: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut stack = [MaybeUninit::uninit(); BY_STACK];
    let mut read = ReadBuf::uninit(&mut stack);
    ready!(Pin::new(wire).poll_read(context, &mut read))?;
    let came = read.filled();
    if !came.is_empty() {
        *buffer = BytesMut::with_capacity(came.len().max(READ_LEAST));
        buffer.extend_from_slice(came);
    }
    Poll::Ready(Ok(came.len()))
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex, split};
    use tokio::task::coop::poll_proceed;

    use super::*;
    use crate::options::{Options, SocketType};
    use crate::zmtp::frame::encode_frame;

    const LARGE: usize = 1 << 20;

    fn of(wire: DuplexStream, options: &Options) -> Reading {
        let settings = Settings::new(SocketType::Pull, options);
        let (wire, _) = split(wire);
        Reading::new(ReadHalf::Memory(wire), BytesMut::new(), &settings)
    }

    /// One of messages of these sizes, within a budget.
    fn reading(sizes: &[usize], context: &crate::Context) -> Reading {
        let mut octets = Vec::new();
        for size in sizes {
            encode_frame(0, &vec![0; *size], &mut octets);
        }
        let (mut peer, wire) = duplex(octets.len());
        let mut noop = Context::from_waker(Waker::noop());
        assert!(pin!(peer.write_all(&octets)).poll(&mut noop).is_ready());
        of(wire, &Options::default().context(context))
    }

    /// Reads once. Returns whether it was given other memory for that.
    fn step(reading: &mut Reading, messages: &mut Vec<Message>) -> bool {
        let before = reading.buffer.as_ptr();
        assert!(reading.make_room());
        let moved = reading.buffer.as_ptr() != before;
        let filled = reading.fill(&mut Context::from_waker(Waker::noop()));
        assert!(filled.is_ok_and(|filled| filled.is_some()));
        let decoded = reading.decode(messages);
        assert!(decoded.is_ok_and(|command| command.is_none()));
        moved
    }

    /// Reads a message, which is kept. Returns how often it was given other memory on the way.
    fn moves(reading: &mut Reading, kept: &mut Vec<Message>) -> usize {
        let (mut messages, mut moves) = (Vec::new(), 0);
        while messages.is_empty() {
            moves += usize::from(step(reading, &mut messages));
        }
        kept.append(&mut messages);
        moves
    }

    #[test]
    fn a_large_frame_gets_at_once_what_one_before_it_has_filled() {
        let (mut reading, mut kept) = (reading(&[LARGE; 2], &crate::Context::new()), Vec::new());
        assert!(moves(&mut reading, &mut kept) > 4);
        let second = moves(&mut reading, &mut kept);
        assert_eq!(second, 2, "for its header, and for all of it");
    }

    #[test]
    fn a_frame_larger_than_any_before_grows_on_from_there() {
        let sizes = [LARGE, 4 * LARGE];
        let (mut reading, mut kept) = (reading(&sizes, &crate::Context::new()), Vec::new());
        moves(&mut reading, &mut kept);
        let second = moves(&mut reading, &mut kept);
        assert_eq!(
            second, 4,
            "for its header, and for one, two and four megabytes"
        );
    }

    #[test]
    fn where_the_budget_has_no_room_for_all_of_it_a_large_frame_grows_as_the_first() {
        let context = crate::Context::builder().budget(LARGE + LARGE / 2).build();
        let (mut reading, mut kept) = (reading(&[LARGE; 2], &context), Vec::new());
        moves(&mut reading, &mut kept);
        reading.settle();
        let mut other = context.lease();
        assert!(other.try_cover(LARGE));
        step(&mut reading, &mut kept);
        step(&mut reading, &mut kept);
        assert_eq!(reading.buffer.capacity(), LARGE / 4, "twice what had come");
    }

    #[test]
    fn what_a_large_frame_has_filled_is_forgotten_by_and_by() {
        let (mut reading, mut kept) = (reading(&[LARGE; 2], &crate::Context::new()), Vec::new());
        moves(&mut reading, &mut kept);
        reading.shed();
        assert!(moves(&mut reading, &mut kept) > 4);
    }

    #[test]
    fn where_there_is_no_buffer_a_burst_is_read_at_once_and_has_one_of_its_size() {
        let mut reading = reading(&[64; 150], &crate::Context::new());
        let mut messages = Vec::new();
        assert!(reading.make_room());
        assert_eq!(reading.buffer.capacity(), 0);
        let filled = reading.fill(&mut Context::from_waker(Waker::noop()));
        assert!(filled.is_ok_and(|filled| filled == Some(false)));
        let sizes = (reading.buffer.len(), reading.buffer.capacity());
        assert_eq!(sizes, (150 * 66, 150 * 66));
        assert!(reading.decode(&mut messages).is_ok());
        assert_eq!(messages.len(), 150);
    }

    #[test]
    fn a_link_at_rest_holds_nothing_of_what_was_received_to_its_last_octet() {
        let (mut reading, mut messages) = (reading(&[10_000], &crate::Context::new()), Vec::new());
        step(&mut reading, &mut messages);
        reading.rest();
        assert!(messages[0].first().is_unique());
    }

    #[test]
    fn a_link_at_rest_holds_no_small_rest_of_much_memory() {
        let sizes = [2_000; 64];
        let (mut reading, mut messages) = (reading(&sizes, &crate::Context::new()), Vec::new());
        reading.chunk = READ_MOST;
        step(&mut reading, &mut messages);
        assert!((1..READ_LEAST).contains(&reading.buffer.capacity()));
        reading.rest();
        messages.truncate(1);
        assert!(messages[0].first().is_unique());
    }

    /// Of a thousand peers that each have little, one turn takes all.
    #[tokio::test]
    async fn a_small_read_takes_no_step_of_the_tasks_budget_and_a_large_one_does() {
        let context = crate::Context::new();
        let [mut small, mut large] =
            [&[64][..], &[64, LARGE]].map(|sizes| reading(sizes, &context));
        large.chunk = READ_MOST;
        let mut noop = Context::from_waker(Waker::noop());
        while let Poll::Ready(step) = poll_proceed(&mut noop) {
            step.made_progress();
        }
        let mut reads = |reading: &mut Reading| {
            assert!(reading.make_room());
            reading.fill(&mut noop).is_ok_and(|read| read.is_some())
        };
        assert_eq!((reads(&mut small), reads(&mut large)), (true, false));
    }

    /// Reads what a peer writes in such pieces. Returns behind which of them it looks, and whether it
    /// sleeps in the end.
    async fn looks_behind(pieces: &[&[u8]]) -> (Vec<bool>, bool) {
        let (mut peer, wire) = duplex(1 << 10);
        let mut reading = of(wire, &Options::default());
        let mut looks = Vec::new();
        for piece in pieces {
            peer.write_all(piece).await.expect("it is there");
            assert!(reading.make_room());
            let filled = reading.fill(&mut Context::from_waker(Waker::noop()));
            assert!(filled.is_ok_and(|filled| filled.is_some()));
            while let Ok(Some(_)) = reading.decode(&mut Vec::new()) {}
            looks.push(reading.looks_again());
        }
        // As a link does at each look.
        let sleeps = |_| {
            let decoded = reading.decode(&mut Vec::new());
            assert!(decoded.is_ok_and(|command| command.is_none()));
            !reading.looks_again()
        };
        (looks, (0..10_000_000).any(sleeps))
    }

    #[tokio::test]
    async fn behind_messages_it_looks_for_the_next() {
        let mut frame = Vec::new();
        encode_frame(0, b"answer", &mut frame);
        let (looks, sleeps) = looks_behind(&[frame.as_slice(); 4]).await;
        assert_eq!(
            (&looks[..], sleeps),
            (&[false, false, false, true][..], true)
        );
    }

    /// A peer that stops in the middle must not keep us awake.
    #[tokio::test]
    async fn behind_a_part_of_a_message_it_looks_for_the_next_and_then_sleeps() {
        let mut frame = Vec::new();
        encode_frame(0, &[7; 200], &mut frame);
        let pieces: Vec<_> = frame.chunks(20).take(4).collect();
        let (looks, sleeps) = looks_behind(&pieces).await;
        assert_eq!(
            (&looks[..], sleeps),
            (&[false, false, false, true][..], true)
        );
    }

    #[tokio::test]
    async fn behind_commands_it_sleeps() {
        let pings = [b"\x04\x07\x04PING\0\0".as_slice(); 2].concat();
        let (looks, _) = looks_behind(&[pings.as_slice(); 10]).await;
        assert_eq!(looks, [false; 10]);
    }
}
