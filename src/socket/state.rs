//! What a socket's lock guards: its pipes, its routing, and who waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use slab::Slab;

use super::monitor::Monitors;
use super::news::Speaker;
use super::offer::Lacking;
use super::pattern::Pattern;
use super::peer::PeerInfo;
use super::place::Pipe;
use super::receipt::now;
use super::spread::Spread;
use super::stats::{PeerStats, Received, Sent, Stats};
use crate::endpoint::Endpoint;
use crate::error::GivenUp;
use crate::message::Message;
use crate::options::{Identity, Options};
use crate::pipe::{Ticket, Waiters};
use crate::routing::FairQueue;
use crate::session::{Link, Phase, PipeId};

/// What was taken of a queue, and a link to wake because it may be read again.
pub(super) type Popped<T> = (T, Option<Link>);

/// Messages of one peer that who takes many takes in a row at least, while others wait: what a
/// thousand peers have sent is in no cache any more, and its neighbours come with the first of it.
const RUN: usize = 16;

pub(super) struct State {
    /// Goes up when its lock is taken for anything but one message: that ends all allowances.
    pub(super) visits: u64,
    pub(super) pipes: Slab<Pipe>,
    next_serial: u64,
    /// The number of the last connection.
    last_connection: u64,
    pub(super) pattern: Pattern,
    /// Pipes that have received something.
    pub(super) fair: FairQueue<usize>,
    /// Links that have something to read; entries of links that were read since are stale.
    readable: VecDeque<PipeId>,
    /// Pipes that owe answers to messages that were read several at once.
    owing: Vec<PipeId>,
    /// Pipes that hold what sinks were given since they were flushed.
    pub(super) fed: Vec<PipeId>,
    /// Pipes that a leader writes.
    pub(super) spread: Spread,
    pub(super) receivers: Waiters,
    pub(super) senders: Waiters,
    pub(super) phase: Phase,
    /// It waits to be told that the budget has room.
    pub(super) starving: bool,
    /// When the timekeeper looks at the queues next.
    pub(super) next_expiry: Option<Instant>,
    /// The counters of pipes that are gone.
    gone: (Sent, Received),
    /// Commands of pipes that are gone, which were passed over.
    gone_ignored: u64,
    pub(super) unmatched: u64,
    /// Of those peers of which the application is told something.
    pub(super) speaker: Speaker,
    pub(super) monitors: Monitors,
    /// Scratch of a fan-out.
    pub(super) matched: Vec<usize>,
    /// Another: how its message goes on a wire.
    pub(super) encoded: Vec<u8>,
}

/// Who is woken in place of one that gave up.
#[derive(Default)]
pub(super) struct PassedOn {
    receivers: Vec<Waker>,
    links: Vec<Link>,
}

impl PassedOn {
    pub(super) fn wake(self) {
        self.receivers.into_iter().for_each(Waker::wake);
        self.links.iter().for_each(|link| link.wake());
    }
}

impl State {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            visits: 1,
            pipes: Slab::new(),
            next_serial: 0,
            last_connection: 0,
            pattern,
            fair: FairQueue::new(),
            readable: VecDeque::new(),
            owing: Vec::new(),
            fed: Vec::new(),
            spread: Spread::default(),
            receivers: Waiters::default(),
            senders: Waiters::default(),
            phase: Phase::Open,
            starving: false,
            next_expiry: None,
            gone: (Sent::default(), Received::default()),
            gone_ignored: 0,
            unmatched: 0,
            speaker: Speaker::default(),
            monitors: Monitors::default(),
            matched: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// A new pipe, with no connection yet.
    pub(super) fn add_pipe(
        &mut self,
        endpoint: Arc<Endpoint>,
        kept: bool,
        options: &Options,
    ) -> PipeId {
        let serial = self.next_serial;
        self.next_serial += 1;
        let pipe = Pipe::new(serial, endpoint, kept, options);
        let index = self.pipes.insert(pipe);
        PipeId { index, serial }
    }

    /// Gives a pipe of a ROUTER its identity before its peer is there. Returns
    /// whether it was free.
    pub(super) fn assign(&mut self, index: usize, identity: &Identity) -> bool {
        let Pattern::Router(identities) = &mut self.pattern else {
            unreachable!("only ROUTER has connect_as")
        };
        let free = identities.insert(identity, index).is_ok();
        if free {
            let pipe = &mut self.pipes[index];
            pipe.identity = identity.as_bytes().clone();
            pipe.assigned = true;
        }
        free
    }

    pub(super) fn pipe(&mut self, id: PipeId) -> Option<&mut Pipe> {
        self.pipes
            .get_mut(id.index)
            .filter(|pipe| pipe.serial == id.serial)
    }

    /// What nobody can send to or receive from any more leaves the table; its counters stay.
    pub(super) fn remove_if_done(&mut self, index: usize) {
        let Some(pipe) = self.pipes.get(index) else {
            return;
        };
        if pipe.kept || pipe.link.is_some() || pipe.incoming.len() > 0 {
            return;
        }
        let pipe = self.pipes.remove(index);
        let (sent, received) = pipe.counters();
        self.gone.0.add(&sent);
        self.gone.1.add(&received);
        self.gone_ignored += pipe.ignored_commands;
    }

    /// Ends the sending side of a pipe for good: what it holds is given up.
    pub(super) fn discard_outgoing(&mut self, index: usize) {
        self.pattern.forget(index);
        let pipe = &mut self.pipes[index];
        if let Pattern::Router(identities) = &mut self.pattern
            && pipe.assigned
        {
            identities.remove(&std::mem::take(&mut pipe.identity));
        }
        pipe.kept = false;
        pipe.discard(match self.phase {
            Phase::Open => GivenUp::Discarded,
            Phase::Finishing | Phase::Closed => GivenUp::Closed,
        });
        self.lose_request(index);
    }

    pub(super) fn enqueue(&mut self, index: usize, message: Message) {
        self.pipes[index].take_in(message);
        self.queue_up(index);
    }

    /// A pipe has something to receive.
    #[inline]
    pub(super) fn queue_up(&mut self, index: usize) {
        if !std::mem::replace(&mut self.pipes[index].queued, true) {
            self.fair.push(index);
        }
    }

    /// Tells the application something of a peer that the peer did not write as a message.
    pub(super) fn say(&mut self, index: usize, words: Message) {
        let pipe = &mut self.pipes[index];
        pipe.received.received += 1;
        pipe.own_words += 1;
        self.speaker.speaks(pipe.serial);
        self.enqueue(index, words);
    }

    /// The next message, from one peer after the other, and a link to wake
    /// because it may be read again.
    pub(super) fn pop(&mut self) -> Option<Popped<Message>> {
        let (message, link, ()) = self.take_next(|_, pipe| pipe.received.delivered += 1)?;
        Some((message, link))
    }

    /// As [`pop`](Self::pop), where no pipe, link or peer changes by it.
    #[inline]
    pub(super) fn pop_along(&mut self) -> Option<Message> {
        let index = self.fair.current()?;
        let pipe = &mut self.pipes[index];
        let message = pipe.incoming.pop_along()?;
        pipe.received.delivered += 1;
        self.fair.advance();
        Some(message)
    }

    /// How many of `limit` messages one peer may give in a row: its share, but no less than a [`RUN`]
    /// where so many are taken.
    pub(super) fn share(&self, limit: usize) -> usize {
        let share = limit.div_ceil(self.fair.len().max(1));
        share.max(RUN).min(limit)
    }

    /// As [`pop`](Self::pop), or a share of that peer in a row: for whoever takes more than one. A peer
    /// that has more of its share than the `limit` lets it give keeps its turn, for the next to begin with.
    pub(super) fn pop_some(
        &mut self,
        messages: &mut Vec<Message>,
        share: usize,
        limit: usize,
    ) -> Option<Option<Link>> {
        let index = self.fair.current()?;
        let pipe = &mut self.pipes[index];
        if pipe.incoming.is_timed() {
            let (message, link) = self.pop()?;
            messages.push(message);
            return Some(link);
        }
        let taken = pipe.incoming.pop_into(messages, share.min(limit));
        pipe.received.delivered += taken as u64;
        Some(self.after_pop(index, taken == share))
    }

    /// As [`pop`](Self::pop), with whom the message came by.
    pub(super) fn pop_from(&mut self) -> Option<Popped<(Message, Arc<PeerInfo>)>> {
        let ((message, peer, _), link) = self.pop_with_pipe()?;
        Some(((message, peer), link))
    }

    pub(super) fn pop_with_pipe(&mut self) -> Option<Popped<(Message, Arc<PeerInfo>, PipeId)>> {
        let (message, link, (id, peer)) = self.take_next(|id, pipe| {
            pipe.received.delivered += 1;
            let peer = pipe.sender_of_next();
            let peer = peer.expect("a message came by a connection, and the last one is kept");
            (id, peer)
        })?;
        Some(((message, peer, id), link))
    }

    /// Drops the next message, which nobody wants any more. Returns a link to
    /// wake because it may be read again.
    pub(super) fn drop_next(&mut self) -> Option<Link> {
        self.take_next(|_, pipe| pipe.received.dropped += 1)?.1
    }

    /// Takes the next message; `look` sees its pipe while the message is there.
    fn take_next<T>(
        &mut self,
        look: impl FnOnce(PipeId, &mut Pipe) -> T,
    ) -> Option<(Message, Option<Link>, T)> {
        let mut index = self.fair.current()?;
        if self.pipes[index].incoming.is_timed() {
            self.expire_next();
            index = self.fair.current()?;
        }
        let pipe = &mut self.pipes[index];
        let serial = pipe.serial;
        let id = PipeId { index, serial };
        let seen = look(id, pipe);
        let message = pipe
            .incoming
            .pop()
            .expect("a pipe in the fair queue has a message");
        let wake = self.after_pop(index, true);
        Some((message, wake, seen))
    }

    /// Behind what was taken of the pipe whose turn it is: the next has its turn, if this one `had_its`
    /// or has nothing more, and a link that may be read again is returned.
    #[inline]
    fn after_pop(&mut self, index: usize, had_its: bool) -> Option<Link> {
        let pipe = &mut self.pipes[index];
        let serial = pipe.serial;
        let resumes = pipe.incoming.resume();
        let empty = pipe.incoming.len() == 0;
        if empty {
            pipe.queued = false;
            self.fair.leave();
        } else if had_its {
            self.fair.advance();
        }
        let wake = resumes
            .then(|| self.mark_readable(PipeId { index, serial }))
            .flatten();
        if empty {
            self.remove_if_done(index);
        }
        wake
    }

    /// Notes that a link has something to read, and returns it.
    pub(super) fn mark_readable(&mut self, id: PipeId) -> Option<Link> {
        let pipe = self
            .pipes
            .get_mut(id.index)
            .filter(|pipe| pipe.serial == id.serial)?;
        let link = pipe.link.clone()?;
        pipe.readable = true;
        if !pipe.listed {
            pipe.listed = true;
            self.readable.push_back(id);
        }
        Some(link)
    }

    pub(super) fn claim_readable(&mut self, id: PipeId) -> bool {
        self.pipe(id)
            .is_some_and(|pipe| std::mem::take(&mut pipe.readable))
    }

    /// So many messages of a peer were read at once: what is sent to it next may be their answers.
    pub(super) fn expect_answers(&mut self, id: PipeId, count: usize) {
        let answers = self.pattern.answers();
        let Some(pipe) = self.pipe(id).filter(|_| count > 0) else {
            return;
        };
        if answers && pipe.departure.asked(count, now) {
            self.owing.push(id);
        }
    }

    /// As many answers are about to be sent to each peer, whatever they answer.
    pub(super) fn expect_answers_to_all(&mut self, count: usize) {
        for (index, pipe) in &mut self.pipes {
            if count > 0 && pipe.departure.asked(count, now) {
                let serial = pipe.serial;
                self.owing.push(PipeId { index, serial });
            }
        }
    }

    /// Who receives waits: nothing more is expected of it.
    pub(super) fn expect_no_answers(&mut self) {
        while let Some(id) = self.owing.pop() {
            if let Some(pipe) = self.pipe(id) {
                pipe.departure.owes_nothing();
            }
        }
    }

    /// The live links. Those that were left unread because nobody received are
    /// to be read on: a peer that is not read does not end.
    pub(super) fn read_all(&mut self) -> Vec<Link> {
        let mut links = Vec::new();
        let mut resumed = Vec::new();
        for (index, pipe) in &mut self.pipes {
            links.extend(pipe.link.clone());
            if pipe.incoming.release() {
                let serial = pipe.serial;
                resumed.push(PipeId { index, serial });
            }
        }
        for id in resumed {
            self.mark_readable(id);
        }
        links
    }

    /// The next link to read; whoever asks reads it.
    pub(super) fn next_readable(&mut self) -> Option<Link> {
        while let Some(id) = self.readable.pop_front() {
            let Some(pipe) = self.pipe(id) else { continue };
            pipe.listed = false;
            if std::mem::take(&mut pipe.readable)
                && let Some(link) = &pipe.link
            {
                return Some(link.clone());
            }
        }
        None
    }

    /// Takes the ticket of one that receives no more, and says who has to look
    /// at what it was woken for: the next that waits, or else the drivers.
    pub(super) fn pass_on(&mut self, ticket: &mut Ticket) -> PassedOn {
        let mut passed = PassedOn::default();
        if !self.receivers.leave(ticket) {
            return passed;
        }
        if self.readable.is_empty() && self.fair.is_empty() {
            return passed;
        }
        match self.receivers.next(&mut passed.receivers) {
            Some(receiver) => passed.receivers.push(receiver),
            None => {
                let readable = self.readable.iter();
                let pipes = readable.filter_map(|id| self.pipes.get(id.index));
                let pipes = pipes.filter(|pipe| pipe.readable);
                passed.links = pipes.filter_map(|pipe| pipe.link.clone()).collect();
            }
        }
        passed
    }

    /// Wakes up to `count` of those who wait to receive.
    pub(super) fn wake_receivers(&mut self, count: usize, wakers: &mut Vec<Waker>) {
        for _ in 0..count {
            let Some(waker) = self.receivers.next(wakers) else {
                return;
            };
            wakers.push(waker);
        }
    }

    /// Wakes up to `count` of those who wait to send.
    pub(super) fn wake_senders(&mut self, count: usize, wakers: &mut Vec<Waker>) {
        // Each publisher waits for pipes of its own: whose they are only it can say.
        let publishes = matches!(self.pattern, Pattern::FanOut { .. });
        let count = if publishes { usize::MAX } else { count };
        for _ in 0..count {
            let Some(waker) = self.senders.next(wakers) else {
                return;
            };
            wakers.push(waker);
        }
    }

    /// One whose message was not accepted waits. Others are to be woken where
    /// there is room, and only the budget keeps it from this message.
    pub(super) fn wait_to_send(
        &mut self,
        ticket: &mut Ticket,
        waker: &Waker,
        lacking: Lacking,
        wakers: &mut Vec<Waker>,
    ) {
        let requests = matches!(self.pattern, Pattern::Request { .. });
        // RQ01: requests are made in the order of the calls.
        if !requests && lacking == Lacking::Room {
            return self.senders.wait(ticket, waker);
        }
        let was_woken = self.senders.was_woken(ticket);
        self.senders.wait_in_turn(ticket, waker);
        if was_woken && !requests {
            self.senders.next_behind(ticket, wakers);
        }
    }

    /// The peer whose turn it is, without those that are full.
    #[inline(always)]
    pub(super) fn next_with_room(&mut self) -> Option<usize> {
        if let Pattern::Pair(peer) = &self.pattern {
            return peer.filter(|index| self.pipes[*index].has_room());
        }
        let peers = self.pattern.rotation()?;
        while let Some(index) = peers.current() {
            if self.pipes[index].has_room() {
                return Some(index);
            }
            peers.deactivate(index);
        }
        None
    }

    /// Wakes one of those who wait to send, if there is room: it wakes the next.
    pub(super) fn share_room(&mut self, wakers: &mut Vec<Waker>) {
        // A publisher that waits waits for a pipe that nobody else does.
        let publishes = matches!(self.pattern, Pattern::FanOut { .. });
        if publishes || self.next_with_room().is_some() {
            self.wake_senders(1, wakers);
        }
    }

    /// Whether nothing waits to be written any more.
    pub(super) fn is_drained(&self) -> bool {
        self.pipes
            .iter()
            .all(|(_, pipe)| pipe.outgoing.is_drained())
    }

    pub(super) fn stats(&self) -> Stats {
        let (mut sent, mut received) = self.gone;
        let mut ignored_commands = self.gone_ignored;
        let peers = self.pipes.iter().map(|(_, pipe)| {
            let (of_pipe, in_pipe) = pipe.counters();
            sent.add(&of_pipe);
            received.add(&in_pipe);
            ignored_commands += pipe.ignored_commands;
            PeerStats {
                endpoint: Endpoint::clone(&pipe.endpoint),
                identity: pipe.identity.clone(),
                connected: pipe.link.is_some(),
                sent: of_pipe,
                received: in_pipe,
                ignored_commands: pipe.ignored_commands,
            }
        });
        let peers = peers.collect();
        Stats {
            sent,
            received,
            unmatched: self.unmatched,
            ignored_commands,
            peers,
        }
    }

    /// Counts a message that no pipe could take (ROUTER).
    pub(super) fn count_unroutable(&mut self) {
        self.gone.0.accepted += 1;
        self.gone.0.dropped.unroutable += 1;
    }

    /// The number of a connection that is made.
    pub(super) fn number_connection(&mut self) -> u64 {
        self.last_connection += 1;
        self.last_connection
    }
}
