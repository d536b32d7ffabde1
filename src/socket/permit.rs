//! A place in a pipe that is taken before its message is there.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::core::Core;
use super::departure::Leaves;
use super::handle::Handle;
use super::offer::Flush;
use super::operations::Waiting;
use super::pattern::Pattern;
use super::receipt::{Sending, Terms};
use super::state::State;
use crate::error::{PermitError, ReserveError};
use crate::message::Message;
use crate::pipe::{Parcel, Ticket};
use crate::session::{Phase, PipeId};

/// A place for one message, which [`Push::reserve`](crate::Push::reserve) and its
/// like have taken. Dropping it gives the place back.
///
/// It counts as a message against the high-water mark, and not against the octets:
/// its message is charged for when it is sent, be it above the mark in
/// octets or above the budget of the context.
///
/// It does not keep its socket open: once that is closed, `send` gives the message back.
#[must_use = "a permit that is dropped gives its place back"]
pub struct Permit {
    core: Arc<Core>,
    pipe: PipeId,
    /// It is not given back any more.
    used: bool,
}

impl Permit {
    /// Sends the message at once. Where the peer whose place it is has gone, its queue
    /// with it, another that has room gets the message.
    ///
    /// # Errors
    ///
    /// See [`PermitError`], which gives the message back.
    pub fn send(mut self, message: impl Into<Message>) -> Result<(), PermitError> {
        self.used = true;
        let sent = self.core.send_permitted(self.pipe, message.into());
        sent.map(|flush| self.core.write(flush))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.used {
            self.core.return_permit(self.pipe);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn reserve(&self) -> impl Future<Output = Result<Permit, ReserveError>> + Send + '_ {
        let core = self.core();
        let mut waiting = Waiting::to_send(core);
        poll_fn(move |context| {
            let reserved = ready!(core.poll_reserve(context, &mut waiting.ticket));
            Poll::Ready(reserved.map(|pipe| Permit {
                core: core.clone(),
                pipe,
                used: false,
            }))
        })
    }
}

impl Core {
    fn poll_reserve(
        &self,
        context: &mut Context<'_>,
        ticket: &mut Ticket,
    ) -> Poll<Result<PipeId, ReserveError>> {
        let turn = ready!(self.poll_turn(context));
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            state.senders.leave(ticket);
            return Poll::Ready(Err(ReserveError::Closed));
        }
        let Some(pipe) = state.reserve() else {
            state.senders.wait(ticket, context.waker());
            return Poll::Pending;
        };
        turn.inspect(|turn| turn.made_progress());
        let mut wakers = Vec::new();
        if ticket.is_waiting() {
            // There may be room for more than the one that was woken.
            state.senders.leave(ticket);
            state.share_room(&mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(pipe))
    }

    fn send_permitted(&self, id: PipeId, message: Message) -> Result<Flush, PermitError> {
        let sending = Sending::default();
        let terms = sending.terms(&self.options);
        let mut state = self.state.lock();
        let sent = state.send_permitted(id, message, terms.as_ref(), &self.options);
        if let (Ok(_), Some(terms)) = (&sent, &terms) {
            self.expect_expiry(&mut state, terms.expires);
        }
        let mut wakers = Vec::new();
        if !matches!(sent, Ok((true, _))) {
            state.share_room(&mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        sent.map(|(_, flush)| flush)
    }

    fn return_permit(&self, id: PipeId) {
        let mut wakers = Vec::new();
        let mut state = self.state.lock();
        state.unreserve(id);
        state.share_room(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// Takes a place with the peer whose turn it is.
    fn reserve(&mut self) -> Option<PipeId> {
        let index = self.next_with_room()?;
        let pipe = &mut self.pipes[index];
        pipe.outgoing.reserve();
        let serial = pipe.serial;
        if let Some(peers) = self.pattern.rotation() {
            peers.advance();
        }
        Some(PipeId { index, serial })
    }

    /// Gives a place back. Returns whether the pipe is still there.
    fn unreserve(&mut self, id: PipeId) -> bool {
        let Some(pipe) = self.pipe(id) else {
            return false;
        };
        pipe.outgoing.unreserve();
        if pipe.has_room()
            && let Some(peers) = self.pattern.rotation()
        {
            peers.activate(id.index);
        }
        true
    }

    /// Returns also whether the message went where its place was.
    fn send_permitted(
        &mut self,
        id: PipeId,
        message: Message,
        terms: Option<&Terms<'_>>,
        options: &crate::options::Options,
    ) -> Result<(bool, Flush), PermitError> {
        let there = self.unreserve(id) && self.sends_to(id.index);
        if self.phase != Phase::Open {
            return Err(PermitError::Closed(message));
        }
        if options.refuses(&message) {
            return Err(PermitError::TooLarge(message));
        }
        let place = there.then_some(id.index);
        let Some(index) = place.or_else(|| self.next_for(&message).ok()) else {
            return Err(PermitError::NoPeer(message));
        };
        let mut flush = Flush::new(Leaves::AtOnce);
        let mut message = Some(message);
        flush.add(self.pipes[index].push(Parcel::Whole(&mut message), terms, flush.leaves));
        if !there && let Some(peers) = self.pattern.rotation() {
            peers.advance();
        }
        self.spread_out(&mut flush);
        Ok((there, flush))
    }

    /// Whether messages still go to this pipe: one that is disconnected has none to get.
    fn sends_to(&mut self, index: usize) -> bool {
        match &self.pattern {
            Pattern::Pair(peer) => *peer == Some(index),
            Pattern::RoundRobin { peers, .. } => peers.contains(index),
            _ => false,
        }
    }
}

/// What socket types can do whose pipe does not depend on the message.
macro_rules! reserving_socket {
    ($socket:ident) => {
        impl $socket {
            /// Waits for room as `send` does, and takes a place for one message, so
            /// that nothing has to be waited for once the message is made.
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")]
            /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
            #[doc = concat!("use pushsub::", stringify!($socket), ";")]
            ///
            #[doc = concat!("let socket = ", stringify!($socket), "::new();")]
            /// socket.connect("tcp://127.0.0.1:5555")?;
            /// let permit = socket.reserve().await?;
            /// permit.send("work")?;
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            ///
            /// See [`ReserveError`](crate::ReserveError).
            ///
            /// # Cancel safety
            ///
            /// A dropped future has taken no place, and no message can be lost
            /// with it, as none was given to it.
            pub async fn reserve(&self) -> Result<crate::Permit, crate::ReserveError> {
                self.handle.reserve().await
            }
        }
    };
}

pub(super) use reserving_socket;
