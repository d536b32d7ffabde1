//! What a client knows of its calls and instances, and what it does next: pure.
//!
//! ```text
//!              submit                 poll: Send                  an answer
//!   (caller) ─────────▶ │ waiting │ ───────────▶ │ in flight │ ─────────────▶ End
//!                       └─────────┘              └───────────┘
//!                         │     ▲   idempotent, or     │
//!   nobody to ask, expired│     │   never executed     │ instance lost, gap, deadline
//!                         ▼     └──────────────────────┤
//!                        End                           ▼
//!                                                     End (unknown)
//! ```
//!
//! The machine is mutated, then [`Calls::poll`]ed until it returns `None`.
//! Who is asked next is decided by [`Dispatch`]; the life of an instance is in `peer`.

mod peer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use self::peer::Peer;
use crate::message::Message;
use crate::service::dispatch::{Choice, Config as Limits, Dispatch, Job, TargetId, Ticket};
use crate::service::envelope::{Clock, Envelope};
use crate::service::outcome::{CallError, Payload, Rejected, Unknown};
use crate::service::wire::{Control, Flags, Key, Kind, Name, RequestId, Status, WireError, skim};

/// The calls of one client handle. `T` is what the owner keeps of a call.
#[derive(Debug)]
pub(crate) struct Calls<T> {
    config: Config,
    clock: Clock,
    /// The last number that a request or probe was given.
    counter: u64,
    /// Holds the counters of the calls; everything else of them is in `calls`.
    dispatch: Dispatch<u64>,
    calls: FxHashMap<u64, Call<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// When a waiting call gives up unless an instance is up by then; in order of time.
    patience: VecDeque<(Instant, u64)>,
    peers: BTreeMap<PeerId, Peer>,
    epochs: HashMap<u64, PeerId>,
    targets: FxHashMap<TargetId, PeerId>,
    last_target: u64,
    /// Whether the source of instances stands behind what it says.
    live: bool,
    out: VecDeque<Output<T>>,
    counts: Counts,
}

/// What a client is told when it is made.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) service: Name,
    pub(crate) topic: Bytes,
    pub(crate) nonce: u64,
    /// What probes announce; the owner keeps the calls within it.
    pub(crate) window: u32,
    pub(crate) window_bytes: u64,
    pub(crate) heartbeat: Duration,
    /// How long a call waits for an instance that is still being reached.
    pub(crate) patience: Duration,
    pub(crate) choice: Choice,
    /// Of the jitter.
    pub(crate) seed: u64,
}

/// An instance, by a number that the owner gives: never the same again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerId(pub(crate) u64);

/// A request as its caller submits it.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) method: Name,
    pub(crate) key: Key,
    pub(crate) headers: Bytes,
    pub(crate) payload: Payload,
    pub(crate) idempotent: bool,
    pub(crate) deadline: Option<Instant>,
}

/// What the owner has to do.
#[derive(Debug)]
pub(crate) enum Output<T> {
    /// Push a message to an instance, in this order, without waiting. Where that
    /// is not possible and it is a request (a counter is given), say [`Calls::not_sent`].
    Send {
        peer: PeerId,
        message: Message,
        request: Option<u64>,
    },
    /// Close the PUSH of an instance without linger and connect a new one.
    Reconnect(PeerId),
    /// Disconnect from an instance for good.
    Forget(PeerId),
    /// A call has ended.
    End(Ended<T>),
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct Ended<T> {
    pub(crate) owner: T,
    pub(crate) id: RequestId,
    pub(crate) method: Name,
    pub(crate) key: Key,
    pub(crate) headers: Bytes,
    pub(crate) outcome: Result<Payload, CallError>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) submitted: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
    pub(crate) cancelled: u64,
    /// Sent again to another instance, or to the same one after a gap.
    pub(crate) repeated: u64,
    /// Answers to what was not outstanding, or from another instance than asked.
    pub(crate) late: u64,
    /// Messages that a client has no use for.
    pub(crate) ignored: u64,
    pub(crate) gaps: u64,
}

#[derive(Debug)]
struct Call<T> {
    ticket: Ticket,
    owner: T,
    submission: Submission,
    attempt: u16,
    /// Where it is in flight.
    assigned: Option<TargetId>,
    /// It was handed over at least once to an instance that was lost.
    may_have_run: bool,
    /// Until when it waits for somebody to ask, if nobody is up.
    patience: Option<Instant>,
}

impl<T> Calls<T> {
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        // The window of the owner is the limit: nothing is ever refused here.
        let limits = Limits {
            messages: usize::MAX,
            bytes: usize::MAX,
            per_key_in_flight: usize::MAX,
            choice: config.choice,
        };
        Self {
            config,
            clock: Clock::starting(now),
            counter: 0,
            dispatch: Dispatch::new(limits),
            calls: FxHashMap::default(),
            deadlines: BTreeSet::new(),
            patience: VecDeque::new(),
            peers: BTreeMap::new(),
            epochs: HashMap::new(),
            targets: FxHashMap::default(),
            last_target: 0,
            live: false,
            out: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes on a request. Its end comes by [`Self::poll`], perhaps at once.
    pub(crate) fn submit(&mut self, submission: Submission, owner: T, now: Instant) -> RequestId {
        self.counter += 1;
        let counter = self.counter;
        let job = Job {
            key: submission.key.some().cloned(),
            size: submission.payload.bytes().len(),
            expires: None,
            item: counter,
        };
        let Ok(ticket) = self.dispatch.submit(job) else {
            unreachable!("the queue has no limit");
        };
        if let Some(deadline) = submission.deadline {
            self.deadlines.insert((deadline, counter));
        }
        let call = Call {
            ticket,
            owner,
            submission,
            attempt: 0,
            assigned: None,
            may_have_run: false,
            patience: None,
        };
        self.calls.insert(counter, call);
        self.counts.submitted += 1;
        if !self.is_anyone_up() {
            self.ask_the_refusing(now);
            self.be_patient(counter, now);
            self.reject_hopeless();
        }
        self.id(counter)
    }

    /// Gives up a call; nothing comes of it any more. Returns what the owner kept of it.
    pub(crate) fn cancel(&mut self, counter: u64) -> Option<T> {
        let (call, target) = self.remove(counter)?;
        self.counts.cancelled += 1;
        if let Some((peer, epoch)) = target.and_then(|target| self.peer_of(target)) {
            let mut control = self.control(Kind::Cancel, counter);
            control.epoch = epoch;
            control.method = call.submission.method;
            control.key = call.submission.key;
            self.send(peer, control, None);
        }
        Some(call.owner)
    }

    /// Ends a call as rejected: the owner cannot send it at all.
    pub(crate) fn reject(&mut self, counter: u64, reason: Rejected) {
        self.end(counter, Bytes::new(), Err(reason.into()));
    }

    /// A request that [`Output::Send`] asked for could not be handed to the link: it goes again.
    pub(crate) fn not_sent(&mut self, peer: PeerId, counter: u64, now: Instant) {
        self.take_back(counter, false);
        self.lose(peer, now);
    }

    /// Ends everything; used when the client closes.
    pub(crate) fn close(&mut self) {
        let mut counters: Vec<u64> = self.calls.keys().copied().collect();
        counters.sort_unstable();
        for counter in counters {
            self.end(counter, Bytes::new(), Err(CallError::Closed));
        }
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            let counter = self.next_counter();
            let goodbye = self.control(Kind::Goodbye, counter);
            self.send(peer, goodbye, None);
        }
    }

    /// Reads a message of the SUB. Returns the instance that has answered a call by it.
    pub(crate) fn receive(&mut self, envelope: Envelope, now: Instant) -> Option<PeerId> {
        let id = envelope.control.id;
        if envelope.topic != self.config.topic || id.nonce != self.config.nonce {
            self.counts.ignored += 1;
            return None;
        }
        match envelope.control.kind {
            Kind::Error if !self.calls.contains_key(&id.counter) => {
                self.refused(&envelope.control, now);
            }
            Kind::Response | Kind::Error => return self.answered(envelope, now),
            Kind::Hello => self.greeted(&envelope.control, now),
            Kind::Goodbye => self.dismissed(&envelope.control, now),
            _ => self.counts.ignored += 1,
        }
        None
    }

    /// A message of the SUB could not be read. `control` is its second frame.
    pub(crate) fn unreadable(&mut self, error: WireError, control: &Bytes) {
        tracing::debug!(%error, "a message could not be read");
        self.counts.ignored += 1;
        if let (WireError::Version(_), Some((Kind::Error, id))) = (error, skim(control))
            && id.nonce == self.config.nonce
            && let Some(peer) = self.prober(id.counter)
        {
            // Whoever speaks another version says so in its own.
            self.refuse(peer, Rejected::VersionMismatch);
        }
    }

    /// The next thing to do; drained until `None` after each mutation.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Output<T>> {
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        let (target, _, job) = self.dispatch.poll()?;
        let counter = job.item;
        Some(self.hand_out(target, counter, now))
    }

    /// When [`Self::handle_timeout`] is to be called at the latest.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let patience = self.patience.front().map(|(instant, _)| *instant);
        let peers = self.peers.values().map(|peer| peer.next_timeout());
        peers.chain(deadline).chain(patience).min()
    }

    /// Does what is due by now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, counter)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.expire(counter);
        }
        self.lose_the_silent(now);
        self.probe_where_due(now);
        while let Some((instant, counter)) = self.patience.front().copied()
            && instant <= now
        {
            self.patience.pop_front();
            let waits = |call: &Call<T>| call.is_waiting() && call.patience == Some(instant);
            if self.calls.get(&counter).is_some_and(waits) && !self.is_anyone_up() {
                let stopping = self.peers.values().any(Peer::is_stopping);
                let reason = if stopping {
                    Rejected::Stopping
                } else {
                    Rejected::NoInstance
                };
                self.give_up(counter, reason);
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many calls have not ended.
    pub(crate) fn outstanding(&self) -> usize {
        self.calls.len()
    }

    /// How many calls an instance has, and whether it is up.
    pub(crate) fn load(&self, peer: PeerId) -> (usize, bool) {
        let Some(peer) = self.peers.get(&peer) else {
            return (0, false);
        };
        let in_flight = peer
            .target()
            .map_or(0, |target| self.dispatch.in_flight(target));
        (in_flight, peer.is_up())
    }
}

impl<T> Calls<T> {
    fn hand_out(&mut self, target: TargetId, counter: u64, now: Instant) -> Output<T> {
        let (peer, epoch) = self.peer_of(target).expect("a target belongs to a peer");
        let mut control = self.control(Kind::Request, counter);
        let call = self
            .calls
            .get_mut(&counter)
            .expect("what is dispatched is a call");
        call.assigned = Some(target);
        let submission = &call.submission;
        control.flags = Flags {
            idempotent: submission.idempotent,
        };
        control.codec = submission.payload.codec();
        control.attempt = call.attempt;
        control.epoch = epoch;
        control.time_left = submission
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now));
        control.stamp = self.clock.stamp(now);
        control.method = submission.method.clone();
        control.key = submission.key.clone();
        let envelope = Envelope {
            topic: self.config.topic.clone(),
            control,
            headers: submission.headers.clone(),
            payload: submission.payload.bytes().clone(),
        };
        Output::Send {
            peer,
            message: envelope.encode(),
            request: Some(counter),
        }
    }

    fn answered(&mut self, envelope: Envelope, now: Instant) -> Option<PeerId> {
        let control = envelope.control;
        let counter = control.id.counter;
        let Some(peer_id) = self.epochs.get(&control.epoch).copied() else {
            self.counts.late += 1;
            return None;
        };
        let peer = self.peers.get_mut(&peer_id)?;
        peer.heard();
        let target = peer.target();
        let assigned = self.calls.get(&counter).and_then(|call| call.assigned);
        let expected = assigned.is_some() && assigned == target;
        let gap = peer.numbered(control.sequence, expected);
        if !expected {
            self.counts.late += 1;
        } else if control.kind == Kind::Error && control.status == Status::STOPPING {
            // Never executed: it may go to another instance, whatever it is.
            self.take_back(counter, false);
            self.stop(peer_id, now);
        } else {
            let outcome = match control.kind {
                Kind::Error => Err(CallError::of(control.status, &envelope.payload)),
                _ => Ok(Payload::new(control.codec, envelope.payload)),
            };
            self.end(counter, envelope.headers, outcome);
        }
        if gap {
            self.lapse(peer_id);
        }
        expected.then_some(peer_id)
    }

    /// Answers of an instance were lost: what is outstanding there goes again, or ends.
    fn lapse(&mut self, peer_id: PeerId) {
        self.counts.gaps += 1;
        let Some((target, name, credit, stopped)) = self.peers.get(&peer_id).and_then(|peer| {
            let target = peer.target()?;
            let stopped = peer.is_stopping() || peer.leaving;
            Some((target, peer.name.clone(), peer.credit, stopped))
        }) else {
            return;
        };
        let renewed = self.new_target(peer_id);
        self.dispatch.add_target(renewed, &name, credit);
        if stopped {
            self.dispatch.stop_target(renewed);
        }
        if let Some(peer) = self.peers.get_mut(&peer_id) {
            peer.retarget(renewed);
        }
        self.vacate(target, Unknown::Gap);
        self.forget_if_idle(Some(renewed));
    }

    /// Takes everything off a target: what is idempotent goes again, the rest has ended.
    fn vacate(&mut self, target: TargetId, reason: Unknown) {
        self.targets.remove(&target);
        for (ticket, job) in self.dispatch.remove_target(target) {
            let counter = job.item;
            let Some(call) = self.calls.get_mut(&counter) else {
                continue;
            };
            call.assigned = None;
            call.may_have_run = true;
            if call.submission.idempotent {
                call.attempt = call.attempt.saturating_add(1);
                self.counts.repeated += 1;
                self.dispatch.resubmit(ticket, job);
            } else {
                self.end(counter, Bytes::new(), Err(reason.into()));
            }
        }
    }

    /// Puts one call that is in flight back among those that wait.
    fn take_back(&mut self, counter: u64, may_have_run: bool) {
        let Some(call) = self.calls.get_mut(&counter) else {
            return;
        };
        let (Some(target), ticket) = (call.assigned.take(), call.ticket) else {
            return;
        };
        call.may_have_run |= may_have_run;
        call.attempt = call.attempt.saturating_add(1);
        if let Some(job) = self.dispatch.complete(target, ticket) {
            self.counts.repeated += 1;
            self.dispatch.resubmit(ticket, job);
        }
        self.forget_if_idle(Some(target));
    }

    /// At the deadline: rejected only where nobody can have executed it.
    fn expire(&mut self, counter: u64) {
        match self.calls.get(&counter) {
            Some(call) if call.is_waiting() => {
                // Who is not there at all is named before how long that was waited for.
                let up = self.is_anyone_up();
                let reason = if up {
                    Rejected::Expired
                } else {
                    Rejected::NoInstance
                };
                self.give_up(counter, reason);
            }
            _ => self.end(counter, Bytes::new(), Err(Unknown::DeadlinePassed.into())),
        }
    }

    /// Ends a call that waits, for lack of somebody to ask.
    fn give_up(&mut self, counter: u64, reason: Rejected) {
        let may_have_run = self
            .calls
            .get(&counter)
            .is_some_and(|call| call.may_have_run);
        let error = match (may_have_run, reason) {
            (false, reason) => reason.into(),
            (true, Rejected::Expired) => Unknown::DeadlinePassed.into(),
            (true, _) => Unknown::InstanceLost.into(),
        };
        self.end(counter, Bytes::new(), Err(error));
    }

    /// The calls that wait, the oldest first.
    fn waiting(&self) -> Vec<u64> {
        let waiting = |(counter, call): (&u64, &Call<T>)| call.is_waiting().then_some(*counter);
        let mut waiting: Vec<u64> = self.calls.iter().filter_map(waiting).collect();
        waiting.sort_unstable();
        waiting
    }

    /// Gives a call that waits the whole patience from now on.
    fn be_patient(&mut self, counter: u64, now: Instant) {
        let until = now + self.config.patience;
        if let Some(call) = self.calls.get_mut(&counter) {
            call.patience = Some(until);
            self.patience.push_back((until, counter));
        }
    }

    fn end(&mut self, counter: u64, headers: Bytes, outcome: Result<Payload, CallError>) {
        let Some((call, _)) = self.remove(counter) else {
            return;
        };
        let count = match &outcome {
            Ok(_) => &mut self.counts.succeeded,
            Err(CallError::Rejected(_)) => &mut self.counts.rejected,
            Err(CallError::Unknown(_)) => &mut self.counts.unknown,
            Err(_) => &mut self.counts.failed,
        };
        *count += 1;
        self.out.push_back(Output::End(Ended {
            owner: call.owner,
            id: self.id(counter),
            method: call.submission.method,
            key: call.submission.key,
            headers,
            outcome,
        }));
    }

    /// Takes a call out of every table, and says where it was in flight.
    fn remove(&mut self, counter: u64) -> Option<(Call<T>, Option<TargetId>)> {
        let call = self.calls.remove(&counter)?;
        if let Some(deadline) = call.submission.deadline {
            self.deadlines.remove(&(deadline, counter));
        }
        let target = self
            .dispatch
            .cancel(call.ticket)
            .and_then(|(target, _)| target);
        self.forget_if_idle(target);
        Some((call, target))
    }

    fn next_counter(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn id(&self, counter: u64) -> RequestId {
        RequestId {
            nonce: self.config.nonce,
            counter,
        }
    }

    fn control(&self, kind: Kind, counter: u64) -> Control {
        Control::new(kind, self.id(counter), self.config.service.clone())
    }

    fn send(&mut self, peer: PeerId, control: Control, request: Option<u64>) {
        let message = Envelope::bare(self.config.topic.clone(), control).encode();
        self.out.push_back(Output::Send {
            peer,
            message,
            request,
        });
    }
}

impl<T> Call<T> {
    fn is_waiting(&self) -> bool {
        self.assigned.is_none()
    }
}
