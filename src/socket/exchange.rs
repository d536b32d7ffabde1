//! The requests of a REQ: one at a time, and none that is given up blocks the next.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::core::Core;
use super::envelope;
use super::handle::Handle;
use super::offer::{Flush, Lacking, Offer};
use super::operations::Waiting;
use super::pattern::Pattern;
use super::receipt::{Sending, Terms};
use super::state::State;
use crate::error::{GivenUp, LinkError, RequestError, SendError, TrySendError};
use crate::message::Message;
use crate::pipe::{Parcel, Ticket};
use crate::routing::{End, Lockstep};
use crate::session::{Link, PipeId};

/// A request that was sent. Dropped before its end it is given up.
struct Asked<'a> {
    core: &'a Core,
    ended: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.core.give_up_request();
        }
    }
}

impl Handle {
    pub(super) async fn request(&self, message: Message) -> Result<Message, RequestError> {
        let core = self.core();
        let mut message = Some(message);
        let mut sending = Waiting::to_send(core);
        poll_fn(|context| {
            core.reset_given_up();
            core.poll_send(context, &mut message, &mut sending.ticket)
        })
        .await?;
        let mut asked = Asked { core, ended: false };
        let mut receiving = Waiting::to_receive(core);
        let reply = poll_fn(|context| core.poll_reply(context, &mut receiving.ticket)).await;
        asked.ended = true;
        core.pass_turn();
        reply
    }
}

impl Core {
    fn poll_reply(
        &self,
        context: &mut Context<'_>,
        ticket: &mut Ticket,
    ) -> Poll<Result<Message, RequestError>> {
        let reply = self.poll_take(context, ticket, State::take_reply);
        reply.map(|reply| reply.unwrap_or(Err(RequestError::Closed)))
    }

    /// The next request may be sent.
    fn pass_turn(&self) {
        let mut wakers = Vec::new();
        self.state.lock().wake_senders(1, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn give_up_request(&self) {
        let resumed = self.state.lock().give_up_request();
        resumed.inspect(|link| link.wake());
        self.pass_turn();
    }

    /// Cuts the link on which a request was given up: a late reply would
    /// answer the next one. Ids tell them apart without that.
    fn reset_given_up(&self) {
        if self.options.correlate {
            return;
        }
        let link = self.state.lock().reset_given_up();
        link.inspect(|link| link.fail(LinkError::GivenUp));
    }

    /// RP05 to RP07: sends a reply behind the name that its request came with.
    pub(super) fn try_reply(&self, enveloped: Message, sending: &Sending) -> Result<(), SendError> {
        match self.try_send_with(enveloped, sending) {
            Ok(()) => Ok(()),
            Err(TrySendError::Refused(error)) => Err(error),
            Err(TrySendError::Full(_)) => unreachable!("a reply never waits"),
        }
    }
}

impl State {
    fn lockstep(&mut self) -> &mut Lockstep<PipeId> {
        match &mut self.pattern {
            Pattern::Request { lockstep, .. } => lockstep,
            _ => unreachable!("only REQ makes requests"),
        }
    }

    /// RQ01 to RQ05: the next peer that has room, once no other request waits for its reply.
    pub(super) fn offer_request(
        &mut self,
        offered: &mut Option<Message>,
        terms: Option<&Terms<'_>>,
        correlate: bool,
        flush: &mut Flush,
    ) -> Offer {
        let Some(message) = offered else {
            return Offer::Accepted;
        };
        if self.lockstep().is_busy() {
            return Offer::Full(Lacking::Room);
        }
        let index = match self.next_for(message) {
            Ok(index) => index,
            Err(lacking) => return Offer::Full(lacking),
        };
        let id = correlate.then(|| self.lockstep().draw());
        let pipe = &mut self.pipes[index];
        let asked = PipeId {
            index,
            serial: pipe.serial,
        };
        let mut request = Some(envelope::wrap(id, message));
        flush.add(pipe.push(Parcel::Whole(&mut request), terms, flush.leaves));
        *offered = None;
        self.lockstep().begin(asked);
        self.pattern.rotation().expect("of a REQ").advance();
        Offer::Accepted
    }

    /// RQ06 to RQ08: takes in the reply that is waited for, and nothing else.
    pub(super) fn admit_reply(&mut self, index: usize, message: Message, correlated: bool) {
        let pipe = &mut self.pipes[index];
        let serial = pipe.serial;
        pipe.received.received += 1;
        let reply = envelope::unwrap(message, correlated)
            .filter(|(id, _)| self.lockstep().accept(PipeId { index, serial }, *id));
        match reply {
            Some((_, reply)) => self.enqueue(index, reply),
            None => self.pipes[index].received.dropped += 1,
        }
    }

    fn take_reply(&mut self, resumed: &mut Vec<Link>) -> Option<Result<Message, RequestError>> {
        match self.lockstep().settle()? {
            End::Answered => {
                let (reply, link) = self.pop()?;
                resumed.extend(link);
                Some(Ok(reply))
            }
            End::Lost => Some(Err(RequestError::PeerLost)),
        }
    }

    fn give_up_request(&mut self) -> Option<Link> {
        let answered = self.lockstep().give_up();
        answered.then(|| self.drop_next()).flatten()
    }

    /// Returns the link that is to be cut; its pipe takes nothing until it is.
    fn reset_given_up(&mut self) -> Option<Link> {
        let id = self.lockstep().take_given_up()?;
        let pipe = self.pipe(id)?;
        if let Some(link) = pipe.link.clone() {
            pipe.resetting = true;
            return Some(link);
        }
        pipe.discard(GivenUp::Discarded);
        self.pattern
            .rotation()
            .expect("of a REQ")
            .activate(id.index);
        None
    }

    /// The pipe has no link any more: a request that was in it and was not
    /// kept for the next one has lost its peer.
    pub(super) fn lose_request(&mut self, index: usize) {
        let pipe = &self.pipes[index];
        let (serial, kept) = (pipe.serial, pipe.outgoing.messages() > 0);
        if let Pattern::Request { lockstep, .. } = &mut self.pattern
            && !kept
        {
            lockstep.lose(PipeId { index, serial });
        }
    }
}
