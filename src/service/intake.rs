//! What a server knows of its clients and their requests, and what it does next: pure.
//!
//! ```text
//!           a request                  poll: Run                finished
//!  (wire) ───────────▶ │ queued │ ───────────────▶ │ running │ ─────────▶ an answer
//!     │                └────────┘                  └─────────┘
//!     ▼                     │ expired                 │ deadline: 0x0021
//!   rejected ◀──────────────┘                         ▼ cancel: no answer
//! ```
//!
//! The machine is mutated, then [`Intake::poll`]ed until it returns `None`. It
//! serves in one of two roles: as an instance that clients reach directly, or
//! as a worker behind a broker; `worker` has what only the latter does.

mod client;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use self::client::{ClientSlot, Clients};
use self::worker::Worker;
use crate::message::Message;
use crate::service::dispatch::{Choice, Config as Limits, Dispatch, Job, TargetId, Ticket};
use crate::service::envelope::{ClientId, Clock, Envelope};
use crate::service::headers::Headers;
use crate::service::outcome::Payload;
use crate::service::window::{Answer, Memory};
use crate::service::wire::{Control, Kind, Name, RequestId, Status, WireError, salvage};

/// The one target of the scheduler: the server itself.
const SELF: TargetId = TargetId(0);

/// The requests of one server.
#[derive(Debug)]
pub(crate) struct Intake {
    config: Config,
    clock: Clock,
    epoch: u64,
    /// What it is behind a broker; `None`: clients reach it directly.
    worker: Option<Worker>,
    clients: Clients,
    dispatch: Dispatch<()>,
    progress: FxHashMap<Ticket, Progress>,
    /// The requests in progress, to know a repeat.
    tickets: HashMap<RequestId, Ticket>,
    running: usize,
    /// When what is running is of no use any more.
    deadlines: BTreeSet<(Instant, Ticket)>,
    next_sweep: Instant,
    /// Since when it stops.
    stopping: Option<Instant>,
    out: VecDeque<Output>,
    counts: Counts,
}

/// What a server is told when it is made.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) service: Name,
    /// How many handlers run at once.
    pub(crate) concurrency: usize,
    /// How many requests wait, and how many octets of them.
    pub(crate) queue: usize,
    pub(crate) queue_octets: usize,
    pub(crate) memory: Memory,
    pub(crate) heartbeat: Duration,
    /// A client of which nothing came for so long is forgotten.
    pub(crate) forget: Duration,
    /// How many clients are known at once.
    pub(crate) clients: usize,
}

/// What the owner has to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// Publish it, or as a worker send it to the broker.
    Send(Message),
    /// Start the handler, and say [`Intake::finished`] when it is.
    Run(Ticket, Box<Incoming>),
    /// Drop the handler; it need not say that it finished.
    Abort(Ticket),
    /// Close the DEALER without linger, connect a new one, and [`Intake::register`] anew.
    Reconnect,
    /// The broker has given us up: [`Intake::register`] anew.
    Fenced,
}

/// A request as the handler gets it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) topic: Bytes,
    pub(crate) control: Control,
    pub(crate) headers: Headers,
    pub(crate) payload: Payload,
    pub(crate) deadline: Option<Instant>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that a handler was started for.
    pub(crate) started: u64,
    pub(crate) answered: u64,
    pub(crate) rejected: u64,
    pub(crate) cancelled: u64,
    /// Repeats of what was in progress or answered already.
    pub(crate) repeats: u64,
    /// Messages that a server has no use for.
    pub(crate) ignored: u64,
}

#[derive(Debug)]
struct Progress {
    /// Who asked: it is kept while anything of it is in progress.
    client: ClientSlot,
    /// Its payload leaves it when the handler starts.
    envelope: Envelope,
    headers: Headers,
    deadline: Option<Instant>,
    running: bool,
    /// Whether anybody still waits for the answer.
    owed: bool,
}

impl Intake {
    /// A server that clients reach directly, in this life.
    pub(crate) fn direct(config: Config, epoch: u64, now: Instant) -> Self {
        let mut dispatch = Dispatch::new(Limits {
            messages: config.queue,
            bytes: config.queue_octets,
            per_key_in_flight: 1,
            choice: Choice::RoundRobin,
        });
        dispatch.add_target(SELF, b"", config.concurrency);
        Self {
            clock: Clock::starting(now),
            epoch,
            worker: None,
            clients: Clients::default(),
            dispatch,
            progress: FxHashMap::default(),
            tickets: HashMap::new(),
            running: 0,
            deadlines: BTreeSet::new(),
            next_sweep: now + config.heartbeat,
            stopping: None,
            out: VecDeque::new(),
            counts: Counts::default(),
            config,
        }
    }

    /// Reads a message of a client, or of the broker.
    pub(crate) fn receive(&mut self, message: Message, now: Instant) {
        let topic = message.first().clone();
        let frame = message.frames().get(1).cloned().unwrap_or_default();
        match Envelope::decode(message) {
            Ok(envelope) if self.worker.is_some() => self.receive_as_worker(envelope, now),
            Ok(envelope) => self.receive_directly(envelope, now),
            Err(error) => self.unreadable(error, topic, &frame),
        }
    }

    /// The handler of a request has finished.
    pub(crate) fn finished(&mut self, ticket: Ticket, answer: Answer, now: Instant) {
        let Some(progress) = self.conclude(ticket) else {
            return;
        };
        if !answer.status.is_rejection() {
            let idempotent = progress.envelope.control.flags.idempotent;
            self.remember(&progress, idempotent.then_some(&answer), now);
        }
        if progress.owed {
            self.answer(progress.envelope, Some(progress.client), answer);
        }
    }

    /// The next thing to do; drained until `None` after each mutation.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Output> {
        // What expired while everything was busy must not run.
        self.reject_expired(now);
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        let (_, ticket, _) = self.dispatch.poll()?;
        let progress = self
            .progress
            .get_mut(&ticket)
            .expect("what is queued is in progress");
        progress.running = true;
        self.running += 1;
        if let Some(deadline) = progress.deadline {
            self.deadlines.insert((deadline, ticket));
        }
        self.counts.started += 1;
        let envelope = &mut progress.envelope;
        envelope.headers = Bytes::new();
        let payload = std::mem::take(&mut envelope.payload);
        let incoming = Box::new(Incoming {
            topic: envelope.topic.clone(),
            control: envelope.control.clone(),
            headers: std::mem::take(&mut progress.headers),
            payload: Payload::new(envelope.control.codec, payload),
            deadline: progress.deadline,
        });
        Some(Output::Run(ticket, incoming))
    }

    /// When [`Self::handle_timeout`] is to be called at the latest.
    pub(crate) fn next_timeout(&self) -> Instant {
        let running = self.deadlines.first().map(|(deadline, _)| *deadline);
        let queued = self.dispatch.next_expiry();
        let soonest = running.into_iter().chain(queued).min();
        soonest.map_or(self.next_sweep, |instant| instant.min(self.next_sweep))
    }

    /// Does what is due by now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, ticket)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.out.push_back(Output::Abort(ticket));
            self.finished(ticket, Answer::status(Status::DEADLINE_PASSED), now);
            self.deadlines.remove(&(deadline, ticket));
        }
        self.reject_expired(now);
        if self.next_sweep <= now {
            self.next_sweep = now + self.config.heartbeat;
            self.forget_clients(now);
            self.beat();
        }
    }

    /// Takes no more requests, answers what it has, and says so.
    pub(crate) fn stop(&mut self, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now);
        self.next_sweep = now + self.config.heartbeat;
        if self.worker.is_some() {
            self.retire();
        } else {
            self.say_goodbye();
        }
    }

    /// Whether it has stopped and nothing is owed or under way.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        let Some(since) = self.stopping else {
            return false;
        };
        let (awaits, intervals) = match &self.worker {
            Some(worker) => (worker.awaits_release(), 4),
            None => (self.clients.are_awaited(), 1),
        };
        let patience = self.config.heartbeat * intervals;
        self.progress.is_empty() && (!awaits || now.saturating_duration_since(since) >= patience)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many requests wait and how many run.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.dispatch.queued(), self.running)
    }
}

impl Intake {
    fn request(&mut self, envelope: Envelope, now: Instant) {
        let id = envelope.control.id;
        // Meant for another life, whose loss its client learns from our next hello.
        let stale = envelope.control.epoch != self.epoch && envelope.control.epoch != 0;
        if stale || envelope.topic.is_empty() {
            self.counts.ignored += 1;
            return;
        }
        let Some(client) = self.meet(&envelope, now) else {
            return self.turn_away(envelope, None, Status::OVERLOADED);
        };
        let Some(envelope) = self.unless_repeated(envelope, client) else {
            self.counts.repeats += 1;
            return;
        };
        let deadline = self.deadline(&envelope.control, client, now);
        let Ok(headers) = Headers::decode(&envelope.headers) else {
            return self.turn_away(envelope, Some(client), Status::MALFORMED);
        };
        // A worker takes what crossed its goodbye: the broker counts on the answer.
        let refusal = if self.stopping.is_some() && self.worker.is_none() {
            Some(Status::STOPPING)
        } else if envelope.control.service != self.config.service {
            Some(Status::NO_SUCH_SERVICE)
        } else if deadline.is_some_and(|deadline| deadline <= now) {
            Some(Status::EXPIRED)
        } else {
            None
        };
        if let Some(status) = refusal {
            return self.turn_away(envelope, Some(client), status);
        }
        let job = Job {
            key: envelope.control.key.some().cloned(),
            size: envelope.payload.len() + envelope.headers.len(),
            expires: deadline,
            item: (),
        };
        let Ok(ticket) = self.dispatch.submit(job) else {
            return self.turn_away(envelope, Some(client), Status::OVERLOADED);
        };
        self.clients[client].outstanding += 1;
        let progress = Progress {
            client,
            envelope,
            headers,
            deadline,
            running: false,
            owed: true,
        };
        self.progress.insert(ticket, progress);
        self.tickets.insert(id, ticket);
    }

    /// Answers a repeat without running it again; gives back what is none.
    fn unless_repeated(&mut self, envelope: Envelope, client: ClientSlot) -> Option<Envelope> {
        let id = envelope.control.id;
        let ticket = self.tickets.get(&id);
        if let Some(progress) = ticket.and_then(|ticket| self.progress.get_mut(ticket)) {
            progress.owed = true;
            progress.envelope.control.epoch = envelope.control.epoch;
            progress.envelope.control.attempt = envelope.control.attempt;
            return None;
        }
        let known = self.clients[client].window.recall(id.counter);
        match known {
            None => Some(envelope),
            // Running it again does no harm, and there is no other way to an answer.
            Some(None) if envelope.control.flags.idempotent => Some(envelope),
            Some(None) => None,
            Some(Some(answer)) => {
                let answer = answer.clone();
                self.answer(envelope, Some(client), answer);
                None
            }
        }
    }

    /// Remembers that a request was answered or may have run, and how if it may be told again.
    fn remember(&mut self, progress: &Progress, answer: Option<&Answer>, now: Instant) {
        let counter = progress.envelope.control.id.counter;
        let memory = self.config.memory;
        if let Some(client) = self.clients.get_mut(progress.client) {
            client.window.remember(counter, answer, memory, now);
        }
    }

    fn cancel(&mut self, id: RequestId, now: Instant) {
        let ticket = self.tickets.get(&id).copied();
        let Some((ticket, progress)) = ticket.and_then(|it| Some((it, self.conclude(it)?))) else {
            return;
        };
        self.counts.cancelled += 1;
        self.remember(&progress, None, now);
        if progress.running {
            self.out.push_back(Output::Abort(ticket));
        }
    }

    /// Takes a request out of every table.
    fn conclude(&mut self, ticket: Ticket) -> Option<Progress> {
        let progress = self.progress.remove(&ticket)?;
        self.tickets.remove(&progress.envelope.control.id);
        self.running -= usize::from(progress.running);
        self.dispatch.cancel(ticket);
        if let Some(deadline) = progress.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        if let Some(client) = self.clients.get_mut(progress.client) {
            client.outstanding -= 1;
        }
        Some(progress)
    }

    fn reject_expired(&mut self, now: Instant) {
        if self
            .dispatch
            .next_expiry()
            .is_none_or(|expiry| expiry > now)
        {
            return;
        }
        for (ticket, _) in self.dispatch.expire(now) {
            if let Some(progress) = self.conclude(ticket)
                && progress.owed
            {
                self.turn_away(progress.envelope, Some(progress.client), Status::EXPIRED);
            }
        }
    }

    /// When the client stops waiting, by our clock.
    fn deadline(&mut self, control: &Control, client: ClientSlot, now: Instant) -> Option<Instant> {
        let clock = self.clock.stamp(now);
        let transit = match &mut self.worker {
            Some(worker) => &mut worker.transit,
            None => &mut self.clients[client].transit,
        };
        let spent = transit.spent(clock, control.stamp);
        // A time left that no clock can hold is as good as none.
        now.checked_add(control.time_left?.saturating_sub(spent))
    }

    fn turn_away(&mut self, envelope: Envelope, client: Option<ClientSlot>, status: Status) {
        self.counts.rejected += 1;
        self.answer(envelope, client, Answer::status(status));
    }

    /// Sends a request's envelope back with the answer in it. `client`: whose it is, if that is known.
    fn answer(&mut self, request: Envelope, client: Option<ClientSlot>, answer: Answer) {
        self.counts.answered += 1;
        let mut control = request.control;
        control.kind = match answer.status {
            Status::OK => Kind::Response,
            _ => Kind::Error,
        };
        control.status = answer.status;
        control.codec = answer.codec;
        control.epoch = self.epoch;
        control.sequence = match client.and_then(|client| self.clients.get_mut(client)) {
            Some(client) if self.worker.is_none() => client.next_sequence(),
            // The broker numbers what it publishes.
            _ => 0,
        };
        let envelope = Envelope {
            topic: request.topic,
            control,
            headers: answer.headers,
            payload: answer.payload,
        };
        self.send(envelope);
    }

    /// Tells whom it cannot read that it cannot, where that much can be read.
    fn unreadable(&mut self, error: WireError, topic: Bytes, frame: &Bytes) {
        self.counts.ignored += 1;
        let status = match error {
            WireError::Version(_) => Status::VERSION_MISMATCH,
            _ => Status::MALFORMED,
        };
        let is_client = ClientId::from_topic(&topic).is_some();
        let Some((kind, id)) = salvage(frame).filter(|_| is_client) else {
            return;
        };
        // Unread requests of strangers are answered too, and unnumbered, as probes are.
        let mut control = Control::new(Kind::Error, id, Name::default());
        control.status = status;
        control.epoch = self.epoch;
        if kind == Kind::Request
            && self.worker.is_none()
            && let Some(client) = self.clients.find(id.nonce)
        {
            control.sequence = client.next_sequence();
        }
        self.send(Envelope::bare(topic, control));
    }

    fn send(&mut self, envelope: Envelope) {
        self.out.push_back(Output::Send(envelope.encode()));
    }
}
