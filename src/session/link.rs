//! A connection after its handshake: reads and writes, from whichever task has the occasion.
//!
//! The task that sends the first message of a burst writes it, and the task
//! that waits in `recv` reads: no message crosses from one task to another on
//! its way. The driver does what is left: the rest of a burst, reading while
//! nobody receives, heartbeats, and the end.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::BytesMut;
use futures::task::{ArcWake, waker_ref};
use tokio::io::AsyncWrite;
use tokio::time;

use super::Settings;
use super::alarm::{Bell, Rings};
use super::expire;
use super::heartbeat::Signs;
use super::port::{self, Left, PipeId, Port, Subscription, Taken};
use super::reading::Reading;
use super::stall::Intake;
use crate::context::Budget;
use crate::error::LinkError;
use crate::message::Message;
use crate::pipe::{Batch, Fate};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use crate::transport::{Wire, WriteHalf};
use crate::turns::{Home, are_on_several_threads, at_any_rate, wake_behind_others, wake_to_go_on};
use crate::zmtp::{Command, Peer};

/// Slices in one vectored write.
const SLICES: usize = 64;

/// Commands of a peer that are obeyed before others have their turn: the runtime looks for
/// what is new on other wires once in 61 turns, which a flood of them must not make long.
const COMMANDS_A_TURN: usize = 256;

/// Octets that are read of what a peer has left that went, roughly: more than a kernel keeps for it unless
/// it is told to, and an end where a peer that takes nothing more goes on sending.
const LAST_OCTETS: usize = 16 << 20;

/// A live connection.
pub(crate) struct Wired {
    pub(super) pipe: PipeId,
    pub(super) port: Arc<dyn Port>,
    /// What the peer speaks; commands are encoded by it.
    pub(super) version: (u8, u8),
    writer: Mutex<Writer>,
    reader: Mutex<Reader>,
    /// Wakes the driver.
    driver: Bell,
    /// Where that has its turns.
    pub(super) home: Option<Home>,
    /// PINGs that came, up to where they begin again, and octets that were written, both roughly: who asks
    /// and asks and never reads the answers is told by them.
    pings: AtomicU32,
    /// PINGs of ours that have no answer; a peer that answers several at once leaves some.
    asked: AtomicU32,
    written: AtomicU64,
    /// Something was read since the driver last looked (H03).
    heard: AtomicBool,
    /// Something was read behind the peer's last PING.
    heard_since_ping: AtomicBool,
    /// The time to live of a PING that the driver has not seen yet, in tenths of
    /// a second; 0 is none.
    promise: AtomicU16,
    /// What is queued is to be written, then the connection ends.
    finishing: AtomicBool,
    /// Boxed, as hardly any link has any.
    trouble: Mutex<Option<Box<Trouble>>>,
    budget: Arc<Budget>,
}

/// What a driver looks for at each of its turns.
#[derive(Default)]
struct Trouble {
    /// Why the connection ends.
    failure: Option<LinkError>,
    /// Since when the rest of a message has had no place in the budget.
    starved: Option<time::Instant>,
}

struct Writer {
    /// `None` once the connection has ended.
    wire: Option<WriteHalf>,
    batch: Batch,
    /// The wire took nothing of the batch when it was asked last.
    refused: bool,
    /// Wakes the driver, whoever wrote; before its first turn, in which it writes what waits, and behind
    /// the end of the connection nobody.
    waker: Waker,
}

struct Reader {
    reading: Reading,
    /// Scratch: emptied by each delivery.
    messages: Vec<Message>,
}

/// As the waker of its wire: tells the port that there is something to read.
impl ArcWake for Wired {
    fn wake_by_ref(link: &Arc<Self>) {
        link.port.readable(link.pipe);
    }
}

impl Rings for Wired {
    fn bell(&self) -> &Bell {
        &self.driver
    }
}

/// How a read went on.
enum Step {
    /// The wire has nothing more now; the waker is set.
    Pending,
    /// There may be more at once.
    More,
    /// The pipe is full: whoever empties it reads on.
    Paused,
    /// The budget has no place for more: the port tells when it has.
    Starved,
}

impl Wired {
    /// The connection of `wire`; `early` is what came behind the handshake.
    pub(super) fn new(
        port: &Arc<dyn Port>,
        pipe: PipeId,
        wire: Wire,
        peer: &Peer,
        early: BytesMut,
        settings: &Settings,
    ) -> Self {
        Self {
            pipe,
            port: port.clone(),
            version: peer.version,
            writer: Mutex::new(Writer {
                wire: Some(wire.write),
                batch: Batch::ENCODED,
                refused: false,
                waker: Waker::noop().clone(),
            }),
            reader: Mutex::new(Reader {
                reading: Reading::new(wire.read, early, settings),
                messages: Vec::new(),
            }),
            driver: Bell::new(),
            home: Home::here(),
            pings: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            written: AtomicU64::new(0),
            heard: AtomicBool::new(true),
            heard_since_ping: AtomicBool::new(true),
            promise: AtomicU16::new(0),
            finishing: AtomicBool::new(false),
            trouble: Mutex::new(None),
            budget: settings.context.shared_budget().clone(),
        }
    }

    /// Wakes the driver, which looks at everything.
    pub(crate) fn wake(&self) {
        self.driver.wake();
    }

    pub(super) fn register_driver(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Asks the driver to write what is queued and to end the connection.
    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    /// What was heard since the last call. A link that we have stopped reading
    /// cannot show a sign of life.
    pub(super) fn signs(&self) -> Signs {
        let heard = self.heard.swap(false, Ordering::Relaxed);
        let paused = self.port.is_paused(self.pipe);
        Signs {
            alive: heard || paused,
            kept: self.heard_since_ping.load(Ordering::Relaxed) || paused,
        }
    }

    /// The time to live that the peer's last PING said, in tenths of a second,
    /// once. For the driver, at each of its turns: a load where there is none.
    pub(super) fn take_promise(&self) -> Option<u16> {
        if self.promise.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(self.promise.swap(0, Ordering::Relaxed))
    }

    /// A PING was queued.
    pub(super) fn asks(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a PING is without its answer; it has it now.
    fn was_asked(&self) -> bool {
        let order = Ordering::Relaxed;
        let answered = |asked: u32| asked.checked_sub(1);
        self.asked.fetch_update(order, order, answered).is_ok()
    }

    /// What tells whether the peer takes what is written to it.
    pub(super) fn intake(&self) -> Intake {
        Intake {
            written: self.written.load(Ordering::Relaxed),
            pings: self.pings.load(Ordering::Relaxed),
        }
    }

    pub(super) fn failure(&self) -> Option<LinkError> {
        self.trouble.lock().as_ref()?.failure.clone()
    }

    /// Ends the connection for this reason, unless it has one already.
    pub(crate) fn fail(&self, reason: LinkError) {
        let mut trouble = self.trouble.lock();
        let failure = &mut trouble.get_or_insert_default().failure;
        failure.get_or_insert(reason);
        drop(trouble);
        self.wake();
    }

    /// Writes what waits, from the task that made it wait, or that of a leader; what the
    /// kernel does not take at once is left to the driver, and so is what follows.
    pub(crate) fn flush_now(&self, asks: port::Writer) {
        let mut left = Left::Something;
        if let Some(mut writer) = self.writer.try_lock() {
            let Writer {
                wire: Some(wire),
                batch,
                refused,
                waker,
            } = &mut *writer
            else {
                return;
            };
            let mut context = Context::from_waker(waker);
            if !batch.is_empty() || self.port.take(self.pipe, batch, asks) == Taken::Batch {
                let mut write =
                    |context: &mut Context<'_>| self.write_some(wire, batch, refused, context);
                // Of what is sent the driver writes the rest, beside its sender if it can. What is fed and
                // not written then is in the way of what is fed next.
                let written = match asks {
                    port::Writer::Flush => at_any_rate(write, &mut context),
                    _ => write(&mut context),
                };
                match written {
                    Poll::Ready(Ok(after)) => left = after,
                    Poll::Ready(Err(reason)) => self.fail(reason),
                    Poll::Pending => {}
                }
            } else if matches!(asks, port::Writer::Flush | port::Writer::Leader) {
                // Another has written it meanwhile.
                left = Left::Nothing;
            }
        }
        if left != Left::Nothing || self.is_finishing() {
            self.wake();
        }
    }

    /// Writes all that waits. Ready when nothing is left. For the driver.
    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut writer = self.writer.lock();
        let Writer {
            wire,
            batch,
            refused,
            waker,
        } = &mut *writer;
        let Some(wire) = wire else {
            return Poll::Ready(Err(LinkError::ClosedByPeer));
        };
        waker.clone_from(context.waker());
        let mut asks = port::Writer::Driver;
        loop {
            if batch.is_empty() {
                let taken = self.port.take(self.pipe, batch, asks);
                if taken != Taken::Batch {
                    match taken {
                        Taken::Growing => wake_behind_others(context),
                        Taken::Little => wake_to_go_on(context, are_on_several_threads()),
                        Taken::Waiting => context.waker().wake_by_ref(),
                        Taken::Batch | Taken::Nothing => {}
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(self.write_some(wire, batch, refused, context))?;
            asks = port::Writer::DriverAgain;
        }
    }

    fn write_some(
        &self,
        wire: &mut WriteHalf,
        batch: &mut Batch,
        refused: &mut bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Left, LinkError>> {
        if batch.is_timed() {
            let now = time::Instant::now().into_std();
            expire(batch, &*self.port, self.pipe, now);
            if batch.is_empty() {
                return Poll::Ready(Ok(Left::Something));
            }
        }
        let Batch::Encoded(encoded) = batch else {
            unreachable!("what goes on a wire is encoded")
        };
        let encoded = encoded.made();
        if std::mem::take(refused) {
            self.port.writing(self.pipe, true);
        }
        let wire = Pin::new(wire);
        // A plain write is a cheaper call, and all that a lone message needs.
        let written = if let Some(octets) = encoded.only_slice() {
            wire.poll_write(context, octets)
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = encoded.slices(&mut slices);
            wire.poll_write_vectored(context, &slices[..count])
        };
        let Poll::Ready(written) = written else {
            *refused = true;
            self.port.writing(self.pipe, false);
            return Poll::Pending;
        };
        let progress = match written {
            Ok(0) => return Poll::Ready(Err(LinkError::ClosedByPeer)),
            Ok(octets) => {
                // Only who holds the writer's lock writes this one.
                let before = self.written.load(Ordering::Relaxed);
                self.written
                    .store(before.wrapping_add(octets as u64), Ordering::Relaxed);
                encoded.advance(octets)
            }
            Err(error) => return Poll::Ready(Err(LinkError::io(error))),
        };
        let left = self.port.written(self.pipe, progress, batch);
        batch.settle(Fate::Written);
        if left == Left::Commands && !batch.is_empty() {
            self.port.take_commands(self.pipe, batch);
        }
        Poll::Ready(Ok(left))
    }

    /// Gives up what the writer has taken, not begun, and kept too long.
    /// Returns the time before which nothing else of it expires.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let batch = &mut self.writer.lock().batch;
        expire(batch, &*self.port, self.pipe, now);
        batch.earliest()
    }

    /// Ends our direction of the wire, so that the peer reads to the end. For the driver.
    pub(super) fn poll_shutdown(&self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.writer.lock().wire {
            Some(wire) => Pin::new(wire).poll_shutdown(context).map(drop),
            None => Poll::Ready(()),
        }
    }

    /// Reads what the wire has, once, and delivers it. Failures end the link. Where nothing is,
    /// it `may_look` again before it sleeps.
    pub(crate) fn read(self: &Arc<Self>, may_look: bool) {
        let mut reader = self.reader.lock();
        let step = self.read_step(&mut reader, may_look);
        if step.is_err() {
            // Nothing that follows an offence is looked at.
            reader.reading.close();
        }
        reader.reading.settle();
        drop(reader);
        self.budget.tell();
        match step {
            Ok(Step::More) => self.port.readable(self.pipe),
            Ok(Step::Pending | Step::Paused | Step::Starved) => {}
            Err(reason) => self.fail(reason),
        }
    }

    /// The link ends because it cannot be written to: what the peer wrote
    /// before it went is there to be read, whether the pipe is full or not.
    pub(super) fn read_rest(self: &Arc<Self>) {
        let mut reader = self.reader.lock();
        let before = reader.reading.octets_read();
        while let Ok(Step::More | Step::Paused) = self.read_step(&mut reader, false)
            && reader.reading.octets_read().wrapping_sub(before) < LAST_OCTETS
        {}
    }

    fn read_step(self: &Arc<Self>, reader: &mut Reader, may_look: bool) -> Result<Step, LinkError> {
        // What is decoded before the wire is asked: the octets that came with
        // the handshake, or a rest left by a pause.
        if reader.reading.has_undecoded()
            && let Some(step) = self.decode(reader)?
        {
            return Ok(step);
        }
        if !self.make_room(&mut reader.reading) {
            return Ok(Step::Starved);
        }
        let waker = waker_ref(self);
        let mut context = Context::from_waker(&waker);
        let Some(filled) = reader.reading.fill(&mut context)? else {
            reader.rest(&mut context, may_look);
            return Ok(Step::Pending);
        };
        self.hear();
        if let Some(step) = self.decode(reader)? {
            return Ok(step);
        }
        if filled {
            return Ok(Step::More);
        }
        // The kernel gave less than was asked for, so this sets the waker and costs no call.
        if !self.make_room(&mut reader.reading) {
            return Ok(Step::Starved);
        }
        match reader.reading.fill(&mut context)? {
            None => {
                reader.rest(&mut context, may_look);
                Ok(Step::Pending)
            }
            Some(_) => {
                let step = self.decode(reader)?;
                Ok(step.unwrap_or(Step::More))
            }
        }
    }

    /// Makes room for a read, if the budget allows it: otherwise the port is
    /// asked to tell when it may.
    fn make_room(&self, reading: &mut Reading) -> bool {
        let mut made = reading.make_room();
        if !made {
            self.port.starving(self.pipe, true);
            // It may have come free before the port knew.
            made = reading.make_room();
            if made {
                self.port.starving(self.pipe, false);
            }
        }
        if made == reading.is_starved() {
            reading.set_starved(!made);
            let since = (!made && reading.holds_a_part()).then(time::Instant::now);
            self.trouble.lock().get_or_insert_default().starved = since;
            // It keeps the time.
            self.wake();
        }
        made
    }

    /// Gives back the memory that waits for the next message or the next burst.
    /// For the driver, now and then: what flows would want it again at once.
    pub(super) fn shed(&self) {
        if let Some(mut reader) = self.reader.try_lock() {
            reader.reading.shed();
            reader.messages = Vec::new();
        }
        if let Some(mut writer) = self.writer.try_lock()
            && writer.batch.is_empty()
        {
            writer.batch = writer.batch.another();
        }
        self.port.shed(self.pipe);
    }

    /// Since when the rest of a message has had no place in the budget.
    pub(super) fn starved(&self) -> Option<time::Instant> {
        self.trouble.lock().as_ref()?.starved
    }

    /// Decodes all of the buffer and delivers it, or as much as one turn may take.
    /// Returns why reading is not to go on, if it is not.
    fn decode(&self, reader: &mut Reader) -> Result<Option<Step>, LinkError> {
        let Reader {
            reading, messages, ..
        } = reader;
        let mut going_on = true;
        let mut commands = 0;
        loop {
            let decoded = reading.decode(messages);
            // What came whole before an offence is delivered, as any of it would have been.
            if !messages.is_empty() {
                self.hear();
                going_on &= self.port.deliver(self.pipe, messages);
            }
            match decoded.map_err(|error| LinkError::Protocol(error.to_string()))? {
                Some(command) => going_on &= self.obey(command)?,
                None => return Ok((!going_on).then_some(Step::Paused)),
            }
            commands += 1;
            if commands == COMMANDS_A_TURN {
                return Ok(Some(if going_on { Step::More } else { Step::Paused }));
            }
        }
    }

    /// The peer gave a sign of life. What was read and waits for its turn is one too.
    fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
        self.heard_since_ping.store(true, Ordering::Relaxed);
    }

    /// Does what a command asks for. Returns whether reading may go on.
    fn obey(&self, command: Command) -> Result<bool, LinkError> {
        self.hear();
        match command {
            Command::Ping {
                ttl_deciseconds,
                context,
            } => {
                if ttl_deciseconds > 0 {
                    self.heard_since_ping.store(false, Ordering::Relaxed);
                    self.promise.store(ttl_deciseconds, Ordering::Relaxed);
                    self.wake();
                }
                self.pings.fetch_add(1, Ordering::Relaxed);
                self.port.pong(self.pipe, context);
            }
            Command::Subscribe(topic) => {
                let subscription = Subscription::Subscribe(topic);
                return Ok(self.port.subscription(self.pipe, subscription));
            }
            Command::Cancel(topic) => {
                let subscription = Subscription::Cancel(topic);
                return Ok(self.port.subscription(self.pipe, subscription));
            }
            Command::Error(reason) => return Err(LinkError::PeerError(reason)),
            // It has done its work by being heard.
            Command::Pong { .. } if self.was_asked() => {}
            // H07, BI-48, BI-53.
            Command::Pong { .. } | Command::Ready(_) | Command::Unknown => {
                self.port.ignored(self.pipe);
            }
        }
        Ok(true)
    }

    /// Closes the wire and returns what the writer had taken and not finished.
    pub(super) fn sever(&self) -> Batch {
        self.reader.lock().reading.close();
        self.budget.tell();
        let mut writer = self.writer.lock();
        writer.wire = None;
        writer.waker = Waker::noop().clone();
        let none = writer.batch.another();
        std::mem::replace(&mut writer.batch, none)
    }
}

/// Messages for which a link at rest keeps its scratch: more come of one read only
/// where they are tiny.
const SCRATCH: usize = 4_096;

impl Reader {
    /// Nothing is there to read. A link at rest is to cost little, but a stream is not at rest
    /// between its parts.
    fn rest(&mut self, context: &mut Context<'_>, may_look: bool) {
        if may_look && self.reading.looks_again() {
            wake_behind_others(context);
            return;
        }
        self.reading.rest();
        self.messages.shrink_to(SCRATCH);
    }
}
