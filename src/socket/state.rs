//! What a socket's lock guards: its pipes, its routing, and who waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use slab::Slab;

use super::envelope;
use super::monitor::{Event, Monitors, PeerInfo};
use super::pattern::{Pattern, TOPIC_LENGTH, TOPIC_OCTETS, TOPICS, subscription_message};
use super::stats::{PeerStats, Received, Sent, Stats};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::message::Message;
use crate::options::Options;
use crate::pipe::{Batch, Incoming, Outgoing, Ticket, Waiters};
use crate::routing::{Canceled, FairQueue, Subscribed};
use crate::session::{Link, Phase, PipeId, Subscription, Taken, Writer};

/// Octets that wait behind a write of the same burst before the sender writes
/// them itself instead of leaving them to the driver.
const FLUSH_AT: usize = 64 << 10;

/// Turns of the driver for which a burst that grows is let grow. A turn passes
/// when every task that can run has run, so a lone burst loses next to nothing.
const BURST_TURNS: u8 = 8;

/// Octets of commands that wait for a peer that does not read. Above them no
/// PING and no PONG is queued: a peer could ask for any number.
const COMMANDS_KEPT: usize = 64 << 10;

pub(super) struct State {
    pub(super) pipes: Slab<Pipe>,
    next_serial: u64,
    pub(super) pattern: Pattern,
    /// Pipes that have received something.
    pub(super) fair: FairQueue<usize>,
    /// Links that have something to read; entries of links that were read since are stale.
    readable: VecDeque<PipeId>,
    pub(super) receivers: Waiters,
    pub(super) senders: Waiters,
    pub(super) phase: Phase,
    /// The counters of pipes that are gone.
    gone: (Sent, Received),
    pub(super) unmatched: u64,
    pub(super) monitors: Monitors,
    /// Scratch of a fan-out.
    pub(super) matched: Vec<usize>,
}

/// One peer, or the place of one that is dialled.
pub(super) struct Pipe {
    pub(super) serial: u64,
    pub(super) endpoint: Endpoint,
    /// The pipe of a connected endpoint: it survives its connections.
    pub(super) kept: bool,
    pub(super) link: Option<Arc<Link>>,
    pub(super) peer: Option<PeerInfo>,
    /// The first frame of what a ROUTER delivers of it.
    pub(super) identity: Bytes,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    /// It stands in the fair queue.
    queued: bool,
    /// Its link has something to read.
    readable: bool,
    /// It stands in the list of readable links.
    listed: bool,
    /// A writer is at work or on its way: what is queued will be written.
    pub(super) flushing: bool,
    /// Its link is being cut, with what it holds: nothing is to follow that.
    pub(super) resetting: bool,
    burst: Burst,
    pub(super) sent: Sent,
    pub(super) received: Received,
}

/// Who is woken in place of one that gave up.
#[derive(Default)]
pub(super) struct PassedOn {
    receivers: Vec<Waker>,
    links: Vec<Arc<Link>>,
}

impl PassedOn {
    pub(super) fn wake(self) {
        self.receivers.into_iter().for_each(Waker::wake);
        self.links.iter().for_each(|link| link.wake());
    }
}

/// What the driver saw of a burst in its last turn.
#[derive(Default)]
struct Burst {
    /// Messages accepted by then.
    accepted: u64,
    /// Turns for which the driver has let it grow.
    turns: u8,
}

impl State {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pipes: Slab::new(),
            next_serial: 0,
            pattern,
            fair: FairQueue::new(),
            readable: VecDeque::new(),
            receivers: Waiters::default(),
            senders: Waiters::default(),
            phase: Phase::Open,
            gone: (Sent::default(), Received::default()),
            unmatched: 0,
            monitors: Monitors::default(),
            matched: Vec::new(),
        }
    }

    /// A new pipe, with no connection yet.
    pub(super) fn add_pipe(&mut self, endpoint: Endpoint, kept: bool, options: &Options) -> PipeId {
        let serial = self.next_serial;
        self.next_serial += 1;
        let index = self.pipes.insert(Pipe {
            serial,
            endpoint,
            kept,
            link: None,
            peer: None,
            identity: Bytes::new(),
            outgoing: Outgoing::new(options.send_limit),
            incoming: Incoming::new(options.receive_limit),
            queued: false,
            readable: false,
            listed: false,
            flushing: false,
            resetting: false,
            burst: Burst::default(),
            sent: Sent::default(),
            received: Received::default(),
        });
        PipeId { index, serial }
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
    }

    /// Ends the sending side of a pipe for good: what it holds is given up.
    pub(super) fn discard_outgoing(&mut self, index: usize) {
        if let Some(peers) = self.pattern.rotation() {
            peers.remove(index);
        }
        let pipe = &mut self.pipes[index];
        pipe.kept = false;
        pipe.discard();
        self.lose_request(index);
    }

    /// Takes in a message that was read, as the pattern wants it.
    pub(super) fn admit(&mut self, index: usize, mut message: Message, options: &Options) {
        let admitted = match &mut self.pattern {
            Pattern::Sink | Pattern::RoundRobin(_) => true,
            Pattern::Request { .. } => {
                return self.admit_reply(index, message, options.correlate);
            }
            Pattern::Reply(_) => {
                let whole = envelope::length(&message).is_some();
                message.push_front(self.pipes[index].identity.clone());
                whole
            }
            Pattern::Subscriber(wanted) => wanted.matches_any(message.first()),
            Pattern::Router(_) => {
                message.push_front(self.pipes[index].identity.clone());
                true
            }
            Pattern::FanOut { shown, .. } => {
                let shown = *shown;
                // PF03: what a 3.0 peer subscribes to comes as a message.
                if let Some(subscription) = Subscription::from_message(&message) {
                    return self.apply_subscription(index, &subscription);
                }
                shown
            }
        };
        self.pipes[index].received.received += 1;
        if admitted {
            self.enqueue(index, message);
        } else {
            self.pipes[index].received.dropped += 1;
        }
    }

    /// Counts a subscription of a peer, and shows it to the application of an
    /// XPUB where it is the first or the last of its topic.
    pub(super) fn apply_subscription(&mut self, index: usize, subscription: &Subscription) {
        let Pattern::FanOut {
            subscriptions,
            shown,
        } = &mut self.pattern
        else {
            return;
        };
        let shown = *shown;
        let (news, show) = match subscription {
            Subscription::Subscribe(topic) => {
                let full = subscriptions.len(index) >= TOPICS
                    || subscriptions.octets(index) >= TOPIC_OCTETS
                    || topic.len() > TOPIC_LENGTH;
                if full {
                    let reason = "more subscriptions than a peer may have".to_owned();
                    let link = self.pipes[index].link.as_ref();
                    link.inspect(|link| link.fail(LinkError::Protocol(reason)));
                    return;
                }
                let news = subscriptions.subscribe(index, topic) == Subscribed::First;
                (news, subscription_message(true, topic))
            }
            Subscription::Cancel(topic) => {
                let news = subscriptions.cancel(index, topic) == Canceled::Last;
                (news, subscription_message(false, topic))
            }
        };
        if news && shown {
            self.pipes[index].received.received += 1;
            self.enqueue(index, show);
        }
    }

    pub(super) fn enqueue(&mut self, index: usize, message: Message) {
        let pipe = &mut self.pipes[index];
        pipe.incoming.push(message);
        if !pipe.queued {
            pipe.queued = true;
            self.fair.push(index);
        }
    }

    /// The next message, from one peer after the other, and a link to wake
    /// because it may be read again.
    pub(super) fn pop(&mut self) -> Option<(Message, Option<Arc<Link>>)> {
        self.take_next(|received| received.delivered += 1)
    }

    /// Drops the next message, which nobody wants any more. Returns a link to
    /// wake because it may be read again.
    pub(super) fn drop_next(&mut self) -> Option<Arc<Link>> {
        self.take_next(|received| received.dropped += 1)?.1
    }

    fn take_next(
        &mut self,
        count: impl FnOnce(&mut Received),
    ) -> Option<(Message, Option<Arc<Link>>)> {
        let index = self.fair.pop()?;
        let pipe = &mut self.pipes[index];
        let message = pipe
            .incoming
            .pop()
            .expect("a pipe in the fair queue has a message");
        count(&mut pipe.received);
        let resumes = pipe.incoming.resume();
        let id = PipeId {
            index,
            serial: pipe.serial,
        };
        if pipe.incoming.len() > 0 {
            self.fair.push(index);
        } else {
            pipe.queued = false;
        }
        let wake = if resumes {
            self.mark_readable(id)
        } else {
            None
        };
        self.remove_if_done(index);
        Some((message, wake))
    }

    /// Notes that a link has something to read, and returns it.
    pub(super) fn mark_readable(&mut self, id: PipeId) -> Option<Arc<Link>> {
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

    /// The live links. Those that were left unread because nobody received are
    /// to be read on: a peer that is not read does not end.
    pub(super) fn read_all(&mut self) -> Vec<Arc<Link>> {
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
    pub(super) fn next_readable(&mut self) -> Option<Arc<Link>> {
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
        if !ticket.is_waiting() || !self.receivers.leave(ticket) {
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
        for _ in 0..count {
            let Some(waker) = self.senders.next(wakers) else {
                return;
            };
            wakers.push(waker);
        }
    }

    /// The peer whose turn it is, without those that are full.
    pub(super) fn next_with_room(&mut self) -> Option<usize> {
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
        if self.next_with_room().is_some() {
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
        let peers = self.pipes.iter().map(|(_, pipe)| {
            let (of_pipe, in_pipe) = pipe.counters();
            sent.add(&of_pipe);
            received.add(&in_pipe);
            PeerStats {
                endpoint: pipe.endpoint.clone(),
                identity: pipe.identity.clone(),
                connected: pipe.link.is_some(),
                sent: of_pipe,
                received: in_pipe,
            }
        });
        let peers = peers.collect();
        Stats {
            sent,
            received,
            unmatched: self.unmatched,
            peers,
        }
    }

    /// Counts a message that no pipe could take (ROUTER).
    pub(super) fn count_unroutable(&mut self) {
        self.gone.0.accepted += 1;
        self.gone.0.dropped.unroutable += 1;
    }

    pub(super) fn emit(&mut self, event: &Event) {
        self.monitors.emit(event);
    }
}

impl Pipe {
    fn counters(&self) -> (Sent, Received) {
        let sent = Sent {
            queued: self.outgoing.messages() as u64,
            ..self.sent
        };
        let received = Received {
            queued: self.incoming.len() as u64,
            ..self.received
        };
        (sent, received)
    }

    /// Whether a message may be queued.
    pub(super) fn has_room(&self) -> bool {
        !self.resetting && self.outgoing.has_room()
    }

    /// Gives up and counts what waits to be written.
    pub(super) fn discard(&mut self) {
        self.sent.dropped.discarded += self.outgoing.messages() as u64;
        self.outgoing.clear();
    }

    /// Queues a message that has room. Returns the link if this task is to flush it.
    pub(super) fn push(&mut self, message: &Message) -> Option<Arc<Link>> {
        self.outgoing.push(message);
        self.sent.accepted += 1;
        let link = self.link.as_ref()?;
        // A lone message leaves at once; those that follow before its writer
        // is done leave together, at the latest when they fill a write.
        let lone = !self.flushing;
        if lone || self.outgoing.fills_a_write(FLUSH_AT) {
            self.flushing = true;
            return Some(link.clone());
        }
        None
    }

    /// Moves what waits into the batch, unless it grows and may be let to.
    pub(super) fn take(&mut self, batch: &mut Batch, writer: Writer) -> Taken {
        let grown = self.burst.accepted != self.sent.accepted;
        self.burst.accepted = self.sent.accepted;
        let may_grow = grown && self.burst.turns < BURST_TURNS;
        if writer != Writer::Sender && may_grow && self.outgoing.is_growing(FLUSH_AT) {
            self.burst.turns += 1;
            return Taken::Growing;
        }
        self.burst.turns = 0;
        if self.outgoing.take(batch) {
            return Taken::Batch;
        }
        if writer == Writer::Driver {
            self.flushing = false;
        }
        Taken::Nothing
    }

    /// Whether a command that the peer can do without may be queued.
    pub(super) fn keeps_commands(&self) -> bool {
        self.outgoing.command_octets() < COMMANDS_KEPT
    }

    /// Queues a command for the present connection. Returns the link to wake.
    pub(super) fn push_command(
        &mut self,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Option<Arc<Link>> {
        let link = self.link.clone()?;
        write(self.outgoing.commands());
        self.flushing = true;
        Some(link)
    }
}
