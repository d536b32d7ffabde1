//! The life of an instance as a client sees it.
//!
//! ```text
//!                 hello                    goodbye, or gone from the view
//!   │ Reaching │ ───────▶ │ Up │ ─────────────────────────────▶ │ Stopping │
//!     ▲  │  ▲               │                                        │
//!     │  │  └── lost ◀──────┴──────────── silence, cut, epoch ───────┘
//!     │  ▼ an error to a probe
//!   │ Refusing │
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{CallError, Calls, Output, PeerId, Rejected, Unknown};
use crate::service::dispatch::TargetId;
use crate::service::wire::{Control, Kind};

/// The time between two probes until the first hello is back.
const EAGER: Duration = Duration::from_millis(50);

/// After so many probes without an answer the heartbeat interval is enough.
const EAGER_PROBES: u32 = 40;

/// Probes that may be on their way at once: the hello of an older one is not heard.
const PROBES: usize = 64;

/// A probe is due and as many as these are unanswered: nothing came for 4 intervals.
const UNANSWERED: u32 = 3;

/// An instance.
#[derive(Debug)]
pub(super) struct Peer {
    /// Decides which keys are its own.
    pub(super) name: Bytes,
    pub(super) state: State,
    /// How many requests it takes at once.
    pub(super) credit: usize,
    /// It is gone from the view: it is forgotten when it has answered what it has.
    pub(super) leaving: bool,
    /// The number of its last numbered answer.
    sequence: u64,
    /// Counters of the probes that a hello may answer.
    probes: VecDeque<u64>,
    unanswered: u32,
    next_probe: Instant,
    /// Its link was cut after its goodbye: what it has answered may still be on its way until then.
    grace: Option<Instant>,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not answered yet.
    Reaching,
    /// It does not serve the service, or cannot read what we say.
    Refusing(Rejected),
    /// Its hello is back.
    Up { target: TargetId, epoch: u64 },
    /// It takes no more requests, and answers what it has.
    Stopping {
        target: Option<TargetId>,
        epoch: u64,
    },
}

impl Peer {
    fn new(name: Bytes, now: Instant) -> Self {
        Self {
            name,
            state: State::Reaching,
            credit: 0,
            leaving: false,
            sequence: 0,
            probes: VecDeque::new(),
            unanswered: 0,
            next_probe: now,
            grace: None,
        }
    }

    pub(super) fn target(&self) -> Option<TargetId> {
        match self.state {
            State::Up { target, .. } => Some(target),
            State::Stopping { target, .. } => target,
            State::Reaching | State::Refusing(_) => None,
        }
    }

    pub(super) fn epoch(&self) -> Option<u64> {
        match self.state {
            State::Up { epoch, .. } | State::Stopping { epoch, .. } => Some(epoch),
            State::Reaching | State::Refusing(_) => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. }) && !self.leaving
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.state, State::Stopping { .. })
    }

    /// Why it takes no requests, if it said that it never does.
    pub(super) fn refusal(&self) -> Option<Rejected> {
        match self.state {
            State::Refusing(reason) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn next_timeout(&self) -> Instant {
        self.grace
            .map_or(self.next_probe, |grace| grace.min(self.next_probe))
    }

    pub(super) fn heard(&mut self) {
        self.unanswered = 0;
    }

    pub(super) fn retarget(&mut self, renewed: TargetId) {
        match &mut self.state {
            State::Up { target, .. } => *target = renewed,
            State::Stopping { target, .. } => *target = Some(renewed),
            State::Reaching | State::Refusing(_) => {}
        }
    }

    /// Takes note of the number of an answer, and says whether it shows a gap.
    pub(super) fn numbered(&mut self, sequence: u64, expected: bool) -> bool {
        if sequence == 0 {
            return false;
        }
        let gap = sequence > self.sequence.saturating_add(1);
        // A lower number of an answer that is owed: the instance had forgotten us.
        if sequence > self.sequence || expected {
            self.sequence = sequence;
        }
        gap
    }

    /// Takes note of the number that a hello or goodbye holds, and says whether it shows a gap.
    fn told(&mut self, sequence: u64) -> bool {
        let gap = sequence > self.sequence;
        self.sequence = sequence;
        gap
    }
}

impl<T> Calls<T> {
    /// An instance has come into the view.
    pub(crate) fn add_peer(&mut self, id: PeerId, name: Bytes, now: Instant) {
        self.peers.insert(id, Peer::new(name, now));
        self.probe_where_due(now);
    }

    /// An instance has gone from the view: it answers what it has.
    pub(crate) fn remove_peer(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.leaving = true;
        if let Some(target) = peer.target() {
            self.dispatch.stop_target(target);
            self.forget_if_idle(Some(target));
        } else {
            self.forget(id);
        }
        self.nobody_is_up_perhaps(now);
    }

    /// Says whether the view is live: an empty one then means that nobody serves.
    pub(crate) fn set_live(&mut self, live: bool) {
        self.live = live;
        self.reject_hopeless();
    }

    /// The link to an instance was made: what is probed now is not dropped.
    pub(crate) fn link_up(&mut self, id: PeerId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.next_probe = now;
            peer.unanswered = 0;
            self.probe_where_due(now);
        }
    }

    /// The way back from an instance was made: a probe may now be answered.
    pub(crate) fn way_back(&mut self, id: PeerId, now: Instant) {
        if self
            .peers
            .get(&id)
            .is_some_and(|peer| peer.state == State::Reaching)
        {
            self.link_up(id, now);
        }
    }

    /// The link to an instance was cut.
    pub(crate) fn link_cut(&mut self, id: PeerId, now: Instant) {
        let heartbeat = self.config.heartbeat;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let idle = peer
            .target()
            .is_none_or(|target| self.dispatch.in_flight(target) == 0);
        match peer.state {
            State::Reaching => {}
            // It has answered what it had before it went, on another link than this one.
            State::Stopping { .. } if !idle => peer.grace = Some(now + heartbeat),
            _ => self.lose(id, now),
        }
    }

    pub(super) fn is_anyone_up(&self) -> bool {
        self.peers.values().any(Peer::is_up)
    }

    /// The instance and epoch behind a target.
    pub(super) fn peer_of(&self, target: TargetId) -> Option<(PeerId, u64)> {
        let id = *self.targets.get(&target)?;
        Some((id, self.peers.get(&id)?.epoch()?))
    }

    /// An answer to what is not outstanding still has a number.
    fn too_late(&mut self, control: &Control) {
        self.counts.late += 1;
        let Some(id) = self.epochs.get(&control.epoch).copied() else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.heard();
            if peer.numbered(control.sequence, false) {
                self.lapse(id);
            }
        }
    }

    pub(super) fn prober(&self, counter: u64) -> Option<PeerId> {
        let probed = |(id, peer): (&PeerId, &Peer)| peer.probes.contains(&counter).then_some(*id);
        self.peers.iter().find_map(probed)
    }

    pub(super) fn new_target(&mut self, id: PeerId) -> TargetId {
        self.last_target += 1;
        let target = TargetId(self.last_target);
        self.targets.insert(target, id);
        target
    }

    /// A hello: the instance lives, and both ways are proven.
    pub(super) fn greeted(&mut self, control: &Control, now: Instant) {
        let Some(id) = self
            .prober(control.id.counter)
            .filter(|_| control.epoch != 0)
        else {
            self.counts.ignored += 1;
            return;
        };
        let credit = usize::try_from(control.window).unwrap_or(usize::MAX);
        let heartbeat = self.config.heartbeat;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match peer.state {
            State::Up { target, epoch } if epoch == control.epoch => {
                peer.heard();
                peer.credit = credit;
                let gap = peer.told(control.sequence);
                self.dispatch.set_credit(target, credit);
                if gap {
                    self.lapse(id);
                }
            }
            State::Stopping { epoch, .. } if epoch == control.epoch => peer.heard(),
            State::Up { .. } | State::Stopping { .. } => self.lose(id, now),
            State::Reaching | State::Refusing(_) => {
                peer.heard();
                peer.credit = credit;
                peer.sequence = control.sequence;
                peer.next_probe = now + heartbeat;
                let name = peer.name.clone();
                let target = self.new_target(id);
                let epoch = control.epoch;
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.state = State::Up { target, epoch };
                }
                self.epochs.insert(epoch, id);
                self.dispatch.add_target(target, &name, credit);
            }
        }
    }

    /// An error to no call: it answers a probe, and the instance refuses us, or is late.
    pub(super) fn refused(&mut self, control: &Control, now: Instant) {
        let Some(id) = self.prober(control.id.counter) else {
            return self.too_late(control);
        };
        let known = self.peers.get(&id).and_then(Peer::epoch);
        if known.is_some_and(|known| known != control.epoch) {
            // Another life, and it serves something else.
            return self.lose(id, now);
        }
        let reason = match CallError::of(control.status, b"") {
            CallError::Rejected(reason) => reason,
            _ => Rejected::NoSuchService,
        };
        self.refuse(id, reason);
    }

    /// An instance that is not up takes no requests of ours, until a hello comes all the same.
    pub(super) fn refuse(&mut self, id: PeerId, reason: Rejected) {
        let heartbeat = self.config.heartbeat;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.heard();
        match peer.state {
            State::Reaching => peer.next_probe += heartbeat,
            State::Refusing(_) => {}
            State::Up { .. } | State::Stopping { .. } => return,
        }
        peer.state = State::Refusing(reason);
        self.reject_hopeless();
    }

    /// A goodbye: the instance takes no more requests.
    pub(super) fn dismissed(&mut self, control: &Control, now: Instant) {
        let known = self.epochs.get(&control.epoch).copied();
        let Some(id) = known.or_else(|| self.prober(control.id.counter)) else {
            self.counts.ignored += 1;
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.heard();
        if matches!(peer.state, State::Reaching | State::Refusing(_)) {
            peer.sequence = control.sequence;
            peer.state = State::Stopping {
                target: None,
                epoch: control.epoch,
            };
            peer.next_probe = now + self.config.heartbeat;
            return;
        }
        let gap = peer.told(control.sequence);
        self.stop(id, now);
        if gap {
            self.lapse(id);
        }
    }

    /// Gives an instance no more requests.
    pub(super) fn stop(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if let State::Up { target, epoch } = peer.state {
            peer.state = State::Stopping {
                target: Some(target),
                epoch,
            };
            // The probe shows the instance that no more requests are under way to it.
            peer.next_probe = now;
            self.dispatch.stop_target(target);
            self.nobody_is_up_perhaps(now);
        }
    }

    /// An instance is lost: what it has goes elsewhere or has ended, and it is probed anew.
    pub(super) fn lose(&mut self, id: PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let (target, epoch) = (peer.target(), peer.epoch());
        let leaving = peer.leaving;
        *peer = Peer {
            leaving,
            ..Peer::new(peer.name.clone(), now)
        };
        if let Some(epoch) = epoch {
            self.epochs.remove(&epoch);
        }
        if let Some(target) = target {
            self.vacate(target, Unknown::InstanceLost);
        }
        if leaving {
            self.forget(id);
        } else {
            self.out.push_back(Output::Reconnect(id));
        }
        self.nobody_is_up_perhaps(now);
    }

    /// Forgets an instance that is gone from the view once it has nothing more to answer.
    pub(super) fn forget_if_idle(&mut self, target: Option<TargetId>) {
        let Some(id) = target.and_then(|target| self.targets.get(&target).copied()) else {
            return;
        };
        let leaving = self.peers.get(&id).is_some_and(|peer| peer.leaving);
        if leaving && target.is_some_and(|target| self.dispatch.in_flight(target) == 0) {
            self.forget(id);
        }
    }

    pub(super) fn lose_the_silent(&mut self, now: Instant) {
        let silent = |(id, peer): (&PeerId, &Peer)| {
            let in_touch = peer.state != State::Reaching;
            let silent = peer.next_probe <= now && peer.unanswered >= UNANSWERED;
            let grace_over = peer.grace.is_some_and(|grace| grace <= now);
            (in_touch && (silent || grace_over)).then_some(*id)
        };
        let silent: Vec<PeerId> = self.peers.iter().filter_map(silent).collect();
        for id in silent {
            self.lose(id, now);
        }
    }

    /// Ends what waits where nobody will come: the view is empty, or nobody in it serves.
    pub(super) fn reject_hopeless(&mut self) {
        let refusals: Option<Vec<Rejected>> = self.peers.values().map(Peer::refusal).collect();
        let empty = self.peers.values().all(|peer| peer.leaving);
        let reason = match refusals {
            Some(reasons) if !reasons.is_empty() => {
                // What needs somebody to look at it comes first.
                let other = |reason: &Rejected| *reason != Rejected::NoSuchService;
                let other = reasons.into_iter().find(other);
                other.unwrap_or(Rejected::NoSuchService)
            }
            _ if self.live && empty => Rejected::NoInstance,
            _ => return,
        };
        for counter in self.waiting() {
            self.give_up(counter, reason);
        }
    }

    /// What an instance refused a while ago it may serve by now: a request that
    /// finds nobody else is worth a probe.
    pub(super) fn ask_the_refusing(&mut self, now: Instant) {
        let refusing = |(id, peer): (&PeerId, &Peer)| peer.refusal().map(|_| *id);
        let refusing: Vec<PeerId> = self.peers.iter().filter_map(refusing).collect();
        for id in refusing {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.state = State::Reaching;
                peer.unanswered = 0;
            }
            self.probe(id, now);
        }
    }

    pub(super) fn probe_where_due(&mut self, now: Instant) {
        let due = |(id, peer): (&PeerId, &Peer)| (peer.next_probe <= now).then_some(*id);
        let due: Vec<PeerId> = self.peers.iter().filter_map(due).collect();
        for id in due {
            self.probe(id, now);
        }
    }

    fn probe(&mut self, id: PeerId, now: Instant) {
        let counter = self.next_counter();
        let jitter = self.jitter();
        let heartbeat = self.config.heartbeat;
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let eager = peer.state == State::Reaching && peer.unanswered < EAGER_PROBES;
        peer.next_probe = now
            + if eager {
                EAGER.min(heartbeat).mul_f64(jitter)
            } else {
                heartbeat
            };
        peer.unanswered = peer.unanswered.saturating_add(1);
        if peer.probes.len() == PROBES {
            peer.probes.pop_front();
        }
        peer.probes.push_back(counter);
        let mut control = self.control(Kind::Probe, counter);
        control.stamp = self.clock.stamp(now);
        control.window = self.config.window;
        control.window_bytes = self.config.window_bytes;
        self.send(id, control, None);
    }

    /// A factor of 0.5 to 1.5, by xorshift.
    fn jitter(&mut self) -> f64 {
        let seed = &mut self.config.seed;
        *seed |= 1;
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        0.5 + f64::from(u16::try_from(*seed >> 48).unwrap_or(u16::MAX)) / f64::from(u16::MAX)
    }

    fn forget(&mut self, id: PeerId) {
        let Some(peer) = self.peers.remove(&id) else {
            return;
        };
        if let Some(target) = peer.target() {
            self.targets.remove(&target);
            self.dispatch.remove_target(target);
        }
        if let Some(epoch) = peer.epoch() {
            self.epochs.remove(&epoch);
            let counter = self.next_counter();
            let goodbye = self.control(Kind::Goodbye, counter);
            self.send(id, goodbye, None);
        }
        self.out.push_back(Output::Forget(id));
        self.reject_hopeless();
    }

    /// Where nobody is up any more, what waits gets its patience, or is rejected at once.
    fn nobody_is_up_perhaps(&mut self, now: Instant) {
        if self.is_anyone_up() {
            return;
        }
        for counter in self.waiting() {
            self.be_patient(counter, now);
        }
        self.reject_hopeless();
    }
}
