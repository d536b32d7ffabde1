//! What the socket does for its sessions.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use super::core::Core;
use super::membership::{join_pattern, last_words, leave_pattern, subscriptions_to_send};
use super::monitor::Event;
use super::pattern::Pattern;
use super::peer::PeerInfo;
use super::receipt::now;
use super::timekeeper::Afterwards;
use crate::endpoint::Endpoint;
use crate::error::{GivenUp, LinkError};
use crate::message::Message;
use crate::options::SocketType;
use crate::pipe::{Batch, Plain, Progress};
use crate::session::{Attach, Left, Link, Phase, PipeId, Port, Subscription, Taken, Writer};

impl Port for Core {
    fn attach(
        &self,
        attach: Attach<'_>,
        link: &mut dyn FnMut(PipeId) -> Link,
    ) -> Result<Link, LinkError> {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed {
            return Err(LinkError::ClosedHere);
        }
        let id = match attach.pipe {
            Some(id) => id,
            None => state.add_pipe(attach.endpoint.clone(), false, &self.options),
        };
        // That of a dialled endpoint is kept until it is given up, for whatever reason.
        let wanted = state
            .pipe(id)
            .is_some_and(|pipe| pipe.kept || attach.pipe.is_none());
        if !wanted {
            return Err(LinkError::ClosedHere);
        }
        let identity = match join_pattern(&mut state, id.index, &attach, &self.options) {
            Ok(identity) => identity,
            Err(error) => {
                state.remove_if_done(id.index);
                return Err(error);
            }
        };
        let link = link(id);
        let number = state.number_connection();
        let peer = Arc::new(PeerInfo::new(number, &attach, identity.clone()));
        let preamble = subscriptions_to_send(&state, link.version());
        let Some(pipe) = state.pipe(id) else {
            return Err(LinkError::ClosedHere);
        };
        pipe.meet(link.clone(), peer.clone());
        if let Some(entry) = self.entry.get() {
            entry.attached(&attach, id, pipe);
        }
        if matches!(self.socket_type, SocketType::Router | SocketType::Rep) {
            pipe.identity = identity;
        }
        pipe.outgoing.commands().extend_from_slice(&preamble);
        for message in self.options.pattern.first_words().iter().rev() {
            pipe.push_first(message);
        }
        // The driver's first turn writes what has waited for this connection.
        pipe.departure.begins();
        // A pipe that is new to the routing has room for those who wait.
        let mut waiting = state.senders.all();
        let endpoint = Endpoint::clone(attach.endpoint);
        let event = Event::Connected { endpoint, peer };
        state.monitors.emit(&event, &mut waiting);
        let closing = state.phase != Phase::Open;
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        if closing {
            link.finish();
        }
        Ok(link)
    }

    fn has_place(&self) -> bool {
        !matches!(self.state.lock().pattern, Pattern::Pair(Some(_)))
    }

    fn detach(&self, id: PipeId, unwritten: Batch, reason: &LinkError) {
        let mut state = self.state.lock();
        let Some(pipe) = state.pipe(id) else {
            // Those who hold receipts are woken when the lock is free.
            drop(state);
            drop(unwritten);
            return;
        };
        if let Some(entry) = self.entry.get() {
            entry.detached(id, pipe);
        }
        pipe.sent.dropped.cut += pipe.outgoing.restore(unwritten) as u64;
        let link = pipe.unlink();
        // A reply belongs to the connection that its request came by (RP05).
        if std::mem::take(&mut pipe.resetting) || self.socket_type == SocketType::Rep {
            pipe.discard(GivenUp::Discarded);
        }
        let earliest = pipe.outgoing.earliest();
        let (kept, endpoint, peer) = (pipe.kept, pipe.endpoint.clone(), pipe.peer.clone());
        last_words(&mut state, id.index, &self.options);
        leave_pattern(&mut state, id.index);
        state.lose_request(id.index);
        if !kept {
            state.discard_outgoing(id.index);
        }
        state.remove_if_done(id.index);
        if state.phase == Phase::Closed && state.pipe(id).is_some() {
            state.discard_outgoing(id.index);
        }
        self.expect_expiry(&mut state, earliest);
        let mut wakers = Vec::new();
        if let Some(peer) = peer.filter(|_| link.is_some()) {
            if let LinkError::Protocol(reason) = reason
                && let Some(withheld) = self.complaints.admit()
            {
                tracing::warn!(%endpoint, address = peer.address, reason, withheld, "peer cut off");
            }
            let reason = reason.clone();
            let event = Event::Disconnected {
                endpoint: Endpoint::clone(&endpoint),
                peer,
                reason,
            };
            state.monitors.emit(&event, &mut wakers);
        }
        state.wake_receivers(usize::MAX, &mut wakers);
        state.share_room(&mut wakers);
        drop(state);
        drop(link);
        wakers.into_iter().for_each(Waker::wake);
        self.progress.notify_waiters();
    }

    fn take(&self, id: PipeId, batch: &mut Batch, writer: Writer) -> Taken {
        let mut state = self.state.lock();
        if state.pipe(id).is_some_and(|pipe| pipe.outgoing.is_timed()) {
            let mut afterwards = Afterwards::default();
            state.expire_outgoing(id.index, now(), &mut afterwards);
            drop(state);
            afterwards.run(self);
            state = self.state.lock();
        }
        state
            .pipe(id)
            .map_or(Taken::Nothing, |pipe| pipe.take(batch, writer))
    }

    fn expired(&self, id: PipeId, progress: Progress) {
        let mut afterwards = Afterwards::default();
        let mut state = self.state.lock();
        let Some(pipe) = state.pipe(id) else { return };
        pipe.outgoing.written(progress);
        state.count_expired(id.index, progress.messages, &mut afterwards);
        drop(state);
        afterwards.run(self);
    }

    fn writing(&self, id: PipeId, writing: bool) {
        if let Some(pipe) = self.state.lock().pipe(id) {
            pipe.outgoing.set_writing(writing);
        }
    }

    fn written(&self, id: PipeId, progress: Progress, batch: &mut Batch) -> Left {
        let mut state = self.state.lock();
        let Some(pipe) = state.pipe(id) else {
            return Left::Something;
        };
        pipe.sent.written += progress.messages as u64;
        pipe.outgoing.written(progress);
        pipe.outgoing.reuse(batch);
        let left = pipe.left();
        let mut wakers = Vec::new();
        if pipe.has_room() {
            if let Some(peers) = state.pattern.rotation() {
                peers.activate(id.index);
            }
            // Room in octets may come before a message is done.
            state.wake_senders(progress.messages.max(1), &mut wakers);
        }
        let closing = state.phase != Phase::Open;
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if closing {
            self.progress.notify_waiters();
        }
        left
    }

    fn take_commands(&self, id: PipeId, batch: &mut Batch) {
        let mut state = self.state.lock();
        if let Some(pipe) = state.pipe(id) {
            pipe.take_commands(batch);
        }
    }

    fn deliver(&self, id: PipeId, messages: &mut Vec<Message>) -> bool {
        let mut state = self.state.lock();
        let count = messages.len();
        let Some(pipe) = state.pipe(id) else {
            messages.clear();
            return false;
        };
        pipe.unread = false;
        if state.phase != Phase::Open {
            // Nobody receives any more, and the peer is to be read to its end.
            messages.clear();
            let received = &mut state.pipes[id.index].received;
            received.received += count as u64;
            received.dropped += count as u64;
            return true;
        }
        state.expect_answers(id, count);
        state.admit_all(id.index, messages, &self.options);
        self.expect_arrivals_to_expire(&mut state, id);
        let mut wakers = Vec::new();
        state.wake_receivers(count, &mut wakers);
        let paused = state.pipe(id).is_some_and(|pipe| pipe.incoming.is_paused());
        self.resume_or_wait(&mut state, id);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        !paused
    }

    fn accept(&self, id: PipeId, messages: &mut Plain) -> Progress {
        let mut state = self.state.lock();
        let mut progress = match state.pipe(id) {
            Some(_) => state.admit_run(id.index, messages, &self.options),
            None => Progress::default(),
        };
        while let Some(pipe) = state.pipe(id).filter(|pipe| !pipe.incoming.is_paused()) {
            let Some((message, octets)) = messages.pop() else {
                break;
            };
            progress.messages += 1;
            progress.octets += octets;
            progress.freed += octets;
            if self.options.refuses(&message) {
                pipe.received.received += 1;
                pipe.received.dropped += 1;
            } else {
                state.admit(id.index, message, &self.options);
            }
        }
        state.expect_answers(id, progress.messages);
        self.expect_arrivals_to_expire(&mut state, id);
        let mut wakers = Vec::new();
        state.wake_receivers(progress.messages, &mut wakers);
        self.resume_or_wait(&mut state, id);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        progress
    }

    fn subscription(&self, id: PipeId, subscription: Subscription) -> bool {
        let mut state = self.state.lock();
        if state.pipe(id).is_none() {
            return false;
        }
        state.apply_subscription(id.index, &subscription, &self.options);
        let mut wakers = Vec::new();
        state.wake_receivers(1, &mut wakers);
        // A full pipe that cancels holds up no publication any more.
        state.share_room(&mut wakers);
        // BI-61: an XPUB whose application does not look lets its peers wait.
        let paused = state.pipe(id).is_some_and(|pipe| pipe.incoming.is_paused());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        !paused
    }

    fn ignored(&self, id: PipeId) {
        if let Some(pipe) = self.state.lock().pipe(id) {
            pipe.ignored_commands += 1;
        }
    }

    fn command(&self, id: PipeId, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let link = self
            .state
            .lock()
            .pipe(id)
            .filter(|pipe| pipe.keeps_commands())
            .and_then(|pipe| pipe.push_command(write));
        link.inspect(|link| link.wake());
    }

    fn pong(&self, id: PipeId, context: Bytes) {
        let link = self
            .state
            .lock()
            .pipe(id)
            .and_then(|pipe| pipe.push_pong(context));
        link.inspect(|link| link.wake());
    }

    fn readable(&self, id: PipeId) {
        let mut state = self.state.lock();
        // One that is left unread is read when it goes on, whatever it has.
        if state.pipe(id).is_some_and(|pipe| pipe.is_paused()) {
            return;
        }
        let Some(link) = state.mark_readable(id) else {
            return;
        };
        let mut streams = Vec::new();
        let receiver = state.receivers.next(&mut streams);
        let read_anyway = state.receivers.are_on_duty();
        drop(state);
        streams.into_iter().for_each(Waker::wake);
        match receiver {
            Some(receiver) => receiver.wake(),
            None if read_anyway => {}
            None => link.wake(),
        }
    }

    fn claim_readable(&self, id: PipeId) -> bool {
        self.state.lock().claim_readable(id)
    }

    fn is_paused(&self, id: PipeId) -> bool {
        self.state
            .lock()
            .pipe(id)
            .is_some_and(|pipe| pipe.is_paused())
    }

    fn starving(&self, id: PipeId, starving: bool) {
        let mut state = self.state.lock();
        if let Some(pipe) = state.pipe(id) {
            pipe.unread = starving;
            if starving {
                self.wait_for_budget(&mut state);
            }
        }
    }

    fn shed(&self, id: PipeId) {
        let mut state = self.state.lock();
        if let Some(pipe) = state.pipe(id) {
            pipe.outgoing.shed();
            pipe.incoming.shed();
        }
    }

    fn is_drained(&self, id: PipeId) -> bool {
        self.state
            .lock()
            .pipe(id)
            .is_none_or(|pipe| pipe.outgoing.is_drained())
    }

    fn released(&self, endpoint: &Endpoint) {
        let endpoint = endpoint.clone();
        self.tell(&Event::Released { endpoint });
    }

    fn unbound(&self, endpoint: &Endpoint) {
        let endpoint = endpoint.clone();
        self.tell(&Event::Unbound { endpoint });
    }

    fn retrying(&self, endpoint: &Endpoint, wait: Duration, reason: &LinkError) {
        tracing::debug!(%endpoint, ?wait, %reason, "connecting again");
        let (endpoint, reason) = (endpoint.clone(), reason.clone());
        self.tell(&Event::Retrying {
            endpoint,
            wait,
            reason,
        });
    }

    fn gave_up(&self, id: PipeId, endpoint: &Endpoint, reason: &LinkError) {
        tracing::info!(%endpoint, %reason, "not connecting again");
        self.endpoints.lock().give_up(id);
        let mut state = self.state.lock();
        if state.pipe(id).is_some() {
            state.discard_outgoing(id.index);
            state.remove_if_done(id.index);
        }
        let (endpoint, reason) = (endpoint.clone(), reason.clone());
        let mut wakers = Vec::new();
        let event = Event::GaveUp { endpoint, reason };
        state.monitors.emit(&event, &mut wakers);
        // A request may have been in it, whose end is to be told; and who waited
        // for room in this pipe may find some in another.
        state.wake_receivers(usize::MAX, &mut wakers);
        state.share_room(&mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.progress.notify_waiters();
    }

    fn refused(&self, endpoint: &Endpoint, address: &str, reason: &LinkError) {
        if let Some(withheld) = self.complaints.admit() {
            tracing::warn!(%endpoint, address, %reason, withheld, "peer turned away");
        }
        let (endpoint, address) = (endpoint.clone(), address.to_owned());
        let reason = reason.clone();
        self.tell(&Event::Refused {
            endpoint,
            address,
            reason,
        });
    }

    fn accept_failed(&self, endpoint: &Endpoint, wait: Duration, error: &std::io::Error) {
        if let Some(withheld) = self.complaints.admit() {
            tracing::warn!(%endpoint, %error, ?wait, withheld, "cannot accept connections");
        }
        let (endpoint, reason) = (endpoint.clone(), error.to_string());
        self.tell(&Event::AcceptFailed {
            endpoint,
            wait,
            reason,
        });
    }
}
