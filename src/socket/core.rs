//! The socket itself: offers messages to pipes and takes them from pipes, under one lock.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::coop::{RestoreOnPending, poll_proceed};

use super::complaints::Complaints;
use super::departure::Leaves;
use super::handle::Endpoints;
use super::ledger::Entry;
use super::locked::Guarded;
use super::monitor::Event;
use super::offer::{Flush, Lacking, Offer};
use super::pattern::Pattern;
use super::peer::PeerInfo;
use super::receipt::Sending;
use super::state::{PassedOn, Popped, State};
use super::timekeeper::Timekeeper;
use crate::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::message::Message;
use crate::options::{Options, SocketType};
use crate::pipe::Ticket;
use crate::session::{Link, Phase, Settings, Writer};

/// What all handles and sessions of a socket share.
pub(super) struct Core {
    pub(super) me: Weak<Self>,
    pub(super) state: Guarded,
    pub(super) options: Options,
    pub(super) settings: Settings,
    pub(super) socket_type: SocketType,
    pub(super) endpoints: Mutex<Endpoints>,
    /// Ends the accepted connections.
    pub(super) connections: watch::Sender<Phase>,
    pub(super) complaints: Complaints,
    /// Sends and receives so far, roughly.
    operations: AtomicU32,
    /// What `send` sent last may be followed to where that went: behind a lone one nobody need look.
    allows: AtomicBool,
    /// Something was written, or a connection ended, since the socket is closing.
    pub(super) progress: Notify,
    pub(super) timekeeper: Timekeeper,
    /// In the ledger of a test that made it.
    pub(super) entry: OnceLock<Entry>,
}

const STAYS: &str = "a message stays where it is unless it is accepted";

/// Links that a task reads, with nothing for it on any, before it yields.
const READS_A_TURN: usize = 8;

/// Links that are read, with nothing on any, before one that does not wait is told so.
const READS_AT_ONCE: usize = 128;

/// A send or receive takes some 50 ns; the budget of a tokio task, 128 steps,
/// is made for steps of a microsecond. Eight of ours make one. The first read of a receive is in its
/// price, so that a turn sees to a thousand peers; each other costs as much as a receive.
const OPERATIONS_A_STEP: u32 = 8;

/// A step that was taken, where one was due: given back unless something is done.
pub(super) type Turn = Option<RestoreOnPending>;

impl Core {
    pub(super) fn new(socket_type: SocketType, mut options: Options) -> Arc<Self> {
        debug_assert_eq!(options.check(socket_type), Ok(()), "checked, or our own");
        let largest = options.context.largest_message();
        options.max_message_size = options.max_message_size.min(largest);
        let budget = options.context.shared_budget().clone();
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            state: Guarded::new(State::new(Pattern::new(socket_type)), budget),
            settings: Settings::new(socket_type, &options),
            options,
            socket_type,
            endpoints: Mutex::default(),
            connections: watch::Sender::new(Phase::Open),
            complaints: Complaints::new(),
            operations: AtomicU32::new(0),
            allows: AtomicBool::new(false),
            progress: Notify::new(),
            timekeeper: Timekeeper::default(),
            entry: OnceLock::new(),
        })
    }

    pub(super) fn try_send(&self, message: Message) -> Result<(), TrySendError> {
        self.try_send_with(message, &Sending::PLAIN)
    }

    pub(super) fn try_send_with(
        &self,
        message: Message,
        sending: &Sending,
    ) -> Result<(), TrySendError> {
        let (mut message, mut flush) = (Some(message), Flush::new(Leaves::AtOnce));
        match self.offer(&mut message, sending, &mut flush) {
            Offer::Accepted => {
                self.write(flush);
                Ok(())
            }
            Offer::Full(_) => Err(TrySendError::Full(message.expect(STAYS))),
            Offer::Refused(refusal) => Err(refusal.of(message.expect(STAYS)).into()),
        }
    }

    /// Accepts a message as [`Self::try_send`] does, of a sink or of who says several things at
    /// once, and leaves writing it to [`Self::flush_fed`].
    pub(super) fn feed(&self, message: Message) -> Result<(), TrySendError> {
        let (mut message, mut flush) = (Some(message), Flush::new(Leaves::WithFlush));
        let mut state = self.state.lock_for_one();
        match self.offer_locked(&mut state, &mut message, &Sending::PLAIN, &mut flush) {
            Offer::Accepted => {
                let flush = state.list_fed(flush);
                drop(state);
                self.write(flush);
                Ok(())
            }
            Offer::Full(_) => Err(TrySendError::Full(message.expect(STAYS))),
            Offer::Refused(refusal) => Err(refusal.of(message.expect(STAYS)).into()),
        }
    }

    /// Whether a flush would write little to each peer that was fed.
    pub(super) fn has_fed_little(&self) -> bool {
        self.state.lock().has_fed_little()
    }

    /// Writes what was fed.
    pub(super) fn flush_fed(&self) {
        let mut more = true;
        while more {
            let mut state = self.state.lock();
            let Some(link) = state.next_fed() else { return };
            more = !state.fed.is_empty();
            drop(state);
            link.flush_now(Writer::Flush);
        }
    }

    /// So many messages are about to be sent, to each peer, as answers to what came elsewhere.
    pub(super) fn expect_answers(&self, count: usize) {
        self.state.lock().expect_answers_to_all(count);
    }

    pub(super) fn expect_no_answers(&self) {
        self.state.lock().expect_no_answers();
    }

    /// Sends the message, which is taken out of the option, or waits for room.
    #[inline]
    pub(super) fn poll_send(
        &self,
        context: &mut Context<'_>,
        message: &mut Option<Message>,
        ticket: &mut Ticket,
    ) -> Poll<Result<(), SendError>> {
        let turn = ready!(self.poll_turn(context));
        if !ticket.is_waiting() && self.send_along(message) {
            turn.inspect(RestoreOnPending::made_progress);
            return Poll::Ready(Ok(()));
        }
        self.poll_send_in_turn(context, message, &Sending::PLAIN, ticket, turn)
    }

    pub(super) fn poll_send_with(
        &self,
        context: &mut Context<'_>,
        message: &mut Option<Message>,
        sending: &Sending,
        ticket: &mut Ticket,
    ) -> Poll<Result<(), SendError>> {
        let turn = ready!(self.poll_turn(context));
        self.poll_send_in_turn(context, message, sending, ticket, turn)
    }

    fn poll_send_in_turn(
        &self,
        context: &mut Context<'_>,
        message: &mut Option<Message>,
        sending: &Sending,
        ticket: &mut Ticket,
        turn: Turn,
    ) -> Poll<Result<(), SendError>> {
        if message.is_none() {
            return Poll::Ready(Ok(()));
        }
        let mut flush = Flush::new(Leaves::AtOnce);
        let mut offer = self.offer(message, sending, &mut flush);
        if let Offer::Full(_) = offer {
            offer = ready!(self.poll_offer_again(context, message, sending, &mut flush, ticket));
        }
        turn.inspect(RestoreOnPending::made_progress);
        if self.allows.load(Ordering::Relaxed) != flush.allows {
            self.allows.store(flush.allows, Ordering::Relaxed);
        }
        if ticket.is_waiting() {
            self.share_room(ticket);
        }
        match offer {
            Offer::Accepted => {
                self.write(flush);
                Poll::Ready(Ok(()))
            }
            Offer::Refused(refusal) => Poll::Ready(Err(refusal.of(message.take().expect(STAYS)))),
            Offer::Full(_) => unreachable!("waited for above"),
        }
    }

    /// Offers a message once more, and waits if there is still no room: it may
    /// have come between the two looks.
    #[cold]
    fn poll_offer_again(
        &self,
        context: &mut Context<'_>,
        message: &mut Option<Message>,
        sending: &Sending,
        flush: &mut Flush,
        ticket: &mut Ticket,
    ) -> Poll<Offer> {
        let mut state = self.state.lock();
        let mut offer = self.offer_locked(&mut state, message, sending, flush);
        // It is told from now on when the budget has room.
        if let Offer::Full(Lacking::Budget) = offer
            && self.wait_for_budget(&mut state)
        {
            offer = self.offer_locked(&mut state, message, sending, flush);
        }
        let Offer::Full(lacking) = offer else {
            return Poll::Ready(offer);
        };
        let mut wakers = Vec::new();
        state.wait_to_send(ticket, context.waker(), lacking, &mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Pending
    }

    /// One that waited waits no more: there may be room for more than the one that was woken.
    #[cold]
    fn share_room(&self, ticket: &mut Ticket) {
        let mut wakers = Vec::new();
        let mut state = self.state.lock();
        state.senders.leave(ticket);
        state.share_room(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes a step of the task's budget where one is due, so that a task that
    /// never has to wait still yields.
    #[inline]
    pub(super) fn poll_turn(&self, context: &mut Context<'_>) -> Poll<Turn> {
        if self.is_step() {
            return poll_proceed(context).map(Some);
        }
        Poll::Ready(None)
    }

    /// Counts an operation. Returns whether a step begins with it.
    #[inline]
    fn is_step(&self) -> bool {
        let operations = self.operations.load(Ordering::Relaxed);
        // Two tasks that count as one make a step no more than later.
        self.operations
            .store(operations.wrapping_add(1), Ordering::Relaxed);
        operations.is_multiple_of(OPERATIONS_A_STEP)
    }

    #[inline]
    fn offer(&self, message: &mut Option<Message>, sending: &Sending, flush: &mut Flush) -> Offer {
        self.offer_locked(&mut self.state.lock_for_one(), message, sending, flush)
    }

    /// Sends a message that only follows others of its burst. Returns whether it did.
    #[inline]
    fn send_along(&self, message: &mut Option<Message>) -> bool {
        if !self.allows.load(Ordering::Relaxed)
            || message.as_ref().is_none_or(|one| self.options.refuses(one))
        {
            return false;
        }
        self.state.lock_to_follow().follow(message, Leaves::AtOnce)
    }

    #[inline(always)]
    fn offer_locked(
        &self,
        state: &mut State,
        message: &mut Option<Message>,
        sending: &Sending,
        flush: &mut Flush,
    ) -> Offer {
        let terms = sending.terms(&self.options);
        let offer = state.offer(message, terms.as_ref(), &self.options, flush);
        state.spread_out(flush);
        if let Some(terms) = terms
            && offer == Offer::Accepted
        {
            self.expect_expiry(state, terms.expires);
        }
        offer
    }

    /// Tells the monitors.
    pub(super) fn tell(&self, event: &Event) {
        let mut wakers = Vec::new();
        self.state.lock().monitors.emit(event, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn try_recv(&self) -> Result<Message, TryRecvError> {
        self.try_take(State::pop)
    }

    /// Takes what `pop` takes, if that is there, and wakes the link that it names.
    pub(super) fn try_take<T>(
        &self,
        pop: impl Fn(&mut State) -> Option<Popped<T>>,
    ) -> Result<T, TryRecvError> {
        for reads in 0.. {
            let link = {
                let mut state = self.state.lock();
                if let Some((message, wake)) = pop(&mut state) {
                    drop(state);
                    wake.inspect(|link| link.wake());
                    return Ok(message);
                }
                if state.phase != Phase::Open {
                    return Err(TryRecvError::Closed);
                }
                if reads == READS_AT_ONCE {
                    break;
                }
                state.next_readable().ok_or(TryRecvError::Empty)?
            };
            link.read(false);
        }
        // Whoever was woken for the others sees to them.
        Err(TryRecvError::Empty)
    }

    /// Receives one of many messages that were read ahead, where that is all there is to do.
    #[inline]
    fn recv_along(&self) -> Option<Message> {
        self.state.lock_for_one().pop_along()
    }

    /// Receives one message: what was read ahead, or else what a readable link has.
    #[inline]
    pub(super) fn poll_recv(
        &self,
        context: &mut Context<'_>,
        ticket: &mut Ticket,
    ) -> Poll<Result<Message, RecvError>> {
        let turn = ready!(self.poll_turn(context));
        if !ticket.leaves()
            && let Some(message) = self.recv_along()
        {
            turn.inspect(RestoreOnPending::made_progress);
            return Poll::Ready(Ok(message));
        }
        self.poll_take_in_turn(context, ticket, turn, |state, resumed| {
            let (message, link) = state.pop()?;
            resumed.extend(link);
            Some(message)
        })
    }

    /// As [`Self::poll_recv`], with whom the message came by.
    pub(super) fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        ticket: &mut Ticket,
    ) -> Poll<Result<(Message, Arc<PeerInfo>), RecvError>> {
        self.poll_take(context, ticket, |state, resumed| {
            let (received, link) = state.pop_from()?;
            resumed.extend(link);
            Some(received)
        })
    }

    pub(super) fn try_recv_from(&self) -> Result<(Message, Arc<PeerInfo>), TryRecvError> {
        self.try_take(State::pop_from)
    }

    /// Receives all that is there, up to `limit`, behind what `messages` holds.
    pub(super) fn poll_recv_many(
        &self,
        context: &mut Context<'_>,
        messages: &mut Vec<Message>,
        limit: usize,
        ticket: &mut Ticket,
    ) -> Poll<Result<usize, RecvError>> {
        let before = messages.len();
        self.poll_take(context, ticket, |state, resumed| {
            let share = state.share(limit);
            while messages.len() - before < limit {
                let left = limit - (messages.len() - before);
                let Some(link) = state.pop_some(messages, share, left) else {
                    break;
                };
                resumed.extend(link);
            }
            let count = messages.len() - before;
            (count > 0 || limit == 0).then_some(count)
        })
    }

    pub(super) fn poll_take<T>(
        &self,
        context: &mut Context<'_>,
        ticket: &mut Ticket,
        take: impl FnMut(&mut State, &mut Vec<Link>) -> Option<T>,
    ) -> Poll<Result<T, RecvError>> {
        let turn = ready!(self.poll_turn(context));
        self.poll_take_in_turn(context, ticket, turn, take)
    }

    fn poll_take_in_turn<T>(
        &self,
        context: &mut Context<'_>,
        ticket: &mut Ticket,
        turn: Turn,
        mut take: impl FnMut(&mut State, &mut Vec<Link>) -> Option<T>,
    ) -> Poll<Result<T, RecvError>> {
        // Each link is read once at most before the task yields, and a few of them: one that
        // always has more, and a runtime that wants its turn, are both served.
        let mut reads = 0;
        let mut resumed = Vec::new();
        loop {
            let link = {
                let mut state = self.state.lock();
                if let Some(taken) = take(&mut state, &mut resumed) {
                    // It may have been woken for a link, and found this instead.
                    let passed = ticket.leaves().then(|| state.pass_on(ticket));
                    drop(state);
                    turn.inspect(RestoreOnPending::made_progress);
                    passed.into_iter().for_each(PassedOn::wake);
                    resumed.iter().for_each(|link| link.wake());
                    return Poll::Ready(Ok(taken));
                }
                if state.phase != Phase::Open {
                    let passed = state.pass_on(ticket);
                    drop(state);
                    passed.wake();
                    return Poll::Ready(Err(RecvError::Closed));
                }
                if reads > state.pipes.len().min(READS_A_TURN) {
                    // It stays as it is: one that was woken, and is dropped now, passes that on.
                    drop(state);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let Some(link) = state.next_readable() else {
                    state.expect_no_answers();
                    state.receivers.wait(ticket, context.waker());
                    return Poll::Pending;
                };
                link
            };
            reads += 1;
            link.read(true);
            if reads > 1 {
                turn.as_ref().inspect(|turn| turn.made_progress());
                if self.is_step() {
                    ready!(poll_proceed(context)).made_progress();
                }
            }
        }
    }

    /// A task that waited gives up. A wake-up that it had not used goes to the next.
    pub(super) fn leave_senders(&self, ticket: &mut Ticket) {
        let mut state = self.state.lock();
        let mut wakers = Vec::new();
        if state.senders.leave(ticket) {
            state.wake_senders(1, &mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// As [`Self::leave_senders`], for those who receive.
    pub(super) fn leave_receivers(&self, ticket: &mut Ticket) {
        let passed = self.state.lock().pass_on(ticket);
        passed.wake();
    }
}
