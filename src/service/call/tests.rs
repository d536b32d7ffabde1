//! Tests of the machine of the client: what is said to it, and what it does.

mod random;
mod refusals;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Calls, Config, Ended, Output, PeerId, Submission};
use crate::service::dispatch::Choice;
use crate::service::envelope::{Envelope, topic};
use crate::service::outcome::{CallError, Payload, Rejected, Unknown};
use crate::service::wire::{Control, Key, Kind, Name, RequestId, Status};

const NONCE: u64 = 7;
const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

/// A client without sockets: what it pushes is kept for the test to look at.
struct Script {
    calls: Calls<&'static str>,
    now: Instant,
    /// Who was sent what and not yet looked at.
    sent: Vec<(PeerId, Envelope)>,
    ended: Vec<Ended<&'static str>>,
    reconnected: Vec<PeerId>,
    forgotten: Vec<PeerId>,
    /// The last number of each epoch's answers.
    sequence: u64,
}

impl Script {
    fn new() -> Self {
        let now = Instant::now();
        let config = Config {
            service: Name::new("geo").expect("a name"),
            topic: topic(b"web").expect("an id"),
            nonce: NONCE,
            window: 512,
            window_bytes: 8 << 20,
            heartbeat: Duration::from_secs(1),
            patience: Duration::from_secs(5),
            choice: Choice::RoundRobin,
            seed: 1,
        };
        Self {
            calls: Calls::new(config, now),
            now,
            sent: Vec::new(),
            ended: Vec::new(),
            reconnected: Vec::new(),
            forgotten: Vec::new(),
            sequence: 0,
        }
    }

    /// A client that knows these instances and has their hellos.
    fn up(peers: &[PeerId]) -> Self {
        let mut script = Self::new();
        for peer in peers {
            script.add(*peer);
            script.greet(*peer, epoch(*peer));
        }
        script.calls.set_live(true);
        script.drain();
        script
    }

    fn drain(&mut self) {
        while let Some(output) = self.calls.poll(self.now) {
            match output {
                Output::Send { peer, message, .. } => {
                    let envelope = Envelope::decode(message).expect("what is sent is readable");
                    self.sent.push((peer, envelope));
                }
                Output::Reconnect(peer) => self.reconnected.push(peer),
                Output::Forget(peer) => self.forgotten.push(peer),
                Output::End(ended) => self.ended.push(ended),
            }
        }
    }

    fn add(&mut self, peer: PeerId) {
        let name = peer.0.to_be_bytes().to_vec();
        self.calls.add_peer(peer, name.into(), self.now);
        self.drain();
    }

    /// Answers the last probe to this instance.
    fn greet(&mut self, peer: PeerId, epoch: u64) {
        self.answer_probe(peer, Kind::Hello, epoch, Status::OK);
    }

    fn answer_probe(&mut self, peer: PeerId, kind: Kind, epoch: u64, status: Status) {
        let (_, probe) = self
            .sent
            .iter()
            .rfind(|(to, envelope)| *to == peer && envelope.control.kind == Kind::Probe)
            .expect("it was probed");
        let id = probe.control.id;
        let mut control = Control::new(kind, id, probe.control.service.clone());
        control.epoch = epoch;
        control.window = 100;
        control.sequence = self.sequence;
        control.status = status;
        self.receive(control, "");
    }

    fn receive(&mut self, control: Control, payload: &'static str) {
        let envelope = Envelope {
            payload: Bytes::from_static(payload.as_bytes()),
            ..Envelope::bare(topic(b"web").expect("an id"), control)
        };
        self.calls.receive(envelope, self.now);
        self.drain();
    }

    fn submit(&mut self, owner: &'static str, key: &'static str, idempotent: bool) -> RequestId {
        let submission = Submission {
            method: Name::new("locate").expect("a name"),
            key: Key::new(key).expect("a key"),
            headers: Bytes::new(),
            payload: Payload::raw(owner),
            idempotent,
            deadline: Some(self.now + Duration::from_secs(10)),
        };
        let id = self.calls.submit(submission, owner, self.now);
        self.drain();
        id
    }

    /// Answers a request as an instance of this epoch would, with the next number.
    fn respond(&mut self, id: RequestId, epoch: u64) {
        self.sequence += 1;
        let control = self.answer(id, Kind::Response, epoch);
        self.receive(control, "value");
    }

    fn answer(&self, id: RequestId, kind: Kind, epoch: u64) -> Control {
        let mut control = Control::new(kind, id, Name::new("geo").expect("a name"));
        control.epoch = epoch;
        control.sequence = self.sequence;
        control
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.calls.next_timeout().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.calls.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Where requests went since it was last asked, and their payloads.
    fn requests(&mut self) -> Vec<(PeerId, String)> {
        let requests = self
            .sent
            .iter()
            .filter(|(_, it)| it.control.kind == Kind::Request);
        let seen = requests
            .map(|(peer, it)| (*peer, String::from_utf8_lossy(&it.payload).into_owned()))
            .collect();
        self.sent.retain(|(_, it)| it.control.kind != Kind::Request);
        seen
    }

    /// The ends since it was last asked.
    fn ends(&mut self) -> Vec<(&'static str, Result<(), CallError>)> {
        let ends = self.ended.drain(..);
        ends.map(|it| (it.owner, it.outcome.map(drop))).collect()
    }
}

fn epoch(peer: PeerId) -> u64 {
    peer.0 * 100
}

fn went(peer: PeerId, payloads: &[&str]) -> Vec<(PeerId, String)> {
    payloads
        .iter()
        .map(|payload| (peer, (*payload).to_owned()))
        .collect()
}

#[test]
fn nothing_but_probes_goes_out_before_the_hello() {
    let mut script = Script::new();
    script.add(A);
    script.submit("early", "", false);
    script.pass(Duration::from_millis(200));
    assert!(script.requests().is_empty());
    let counters: Vec<u64> = script
        .sent
        .iter()
        .map(|(_, it)| it.control.id.counter)
        .collect();
    assert!(counters.len() >= 3, "the probe is repeated: {counters:?}");
    assert!(
        counters.is_sorted_by(|left, right| left < right),
        "{counters:?}"
    );
    assert_eq!(script.sent[0].1.control.window, 512);

    script.greet(A, epoch(A));
    assert_eq!(script.requests(), went(A, &["early"]));
}

#[test]
fn a_call_ends_once_and_what_comes_later_is_late() {
    let mut script = Script::up(&[A]);
    let id = script.submit("one", "", false);
    script.respond(id, epoch(A));
    script.respond(id, epoch(A));
    assert_eq!(script.ends(), [("one", Ok(()))]);
    assert_eq!(script.calls.counts().late, 1);
    assert_eq!(script.calls.counts().gaps, 0);
}

/// FT-14: the nonce tells the lives of a client apart.
#[test]
fn answers_to_another_nonce_or_topic_are_ignored() {
    let mut script = Script::up(&[A]);
    let id = script.submit("one", "", false);
    script.respond(RequestId { nonce: 8, ..id }, epoch(A));
    script.sequence = 1;
    let control = script.answer(id, Kind::Response, epoch(A));
    let other = Envelope::bare(topic(b"web2").expect("an id"), control);
    script.calls.receive(other, script.now);
    assert!(script.ends().is_empty());
    assert_eq!(script.calls.counts().ignored, 2);
}

#[test]
fn an_answer_from_another_instance_than_asked_is_late() {
    let mut script = Script::up(&[A, B]);
    let id = script.submit("one", "", false);
    let (asked, other) = if script.requests()[0].0 == A {
        (A, B)
    } else {
        (B, A)
    };
    script.respond(id, epoch(other));
    assert!(script.ends().is_empty());
    script.sequence = 0;
    script.respond(id, epoch(asked));
    assert_eq!(script.ends(), [("one", Ok(()))]);
}

#[test]
fn an_error_is_the_outcome_that_its_status_says() {
    let mut script = Script::up(&[A]);
    let id = script.submit("one", "", true);
    script.sequence = 1;
    let mut control = script.answer(id, Kind::Error, epoch(A));
    control.status = Status::OVERLOADED;
    script.receive(control, "");
    assert_eq!(script.ends(), [("one", Err(Rejected::Overloaded.into()))]);
}

/// FT-02.
#[test]
fn a_lost_instance_ends_what_may_not_run_twice_and_the_rest_goes_elsewhere_in_order() {
    let mut script = Script::up(&[A]);
    script.submit("first", "k", true);
    script.submit("once", "k", false);
    script.submit("second", "k", true);
    script.requests();
    script.add(B);
    script.greet(B, epoch(B));
    script.calls.link_cut(A, script.now);
    script.submit("third", "k", true);
    script.drain();
    assert_eq!(script.ends(), [("once", Err(Unknown::InstanceLost.into()))]);
    assert_eq!(script.requests(), went(B, &["first", "second", "third"]));
    assert_eq!(script.reconnected, [A]);
}

#[test]
fn a_request_that_goes_again_says_so() {
    let mut script = Script::up(&[A]);
    script.submit("one", "", true);
    script.add(B);
    script.greet(B, epoch(B));
    script.calls.link_cut(A, script.now);
    script.drain();
    let attempts: Vec<u16> = script
        .sent
        .iter()
        .filter(|(_, it)| it.control.kind == Kind::Request)
        .map(|(_, it)| it.control.attempt)
        .collect();
    assert_eq!(attempts, [0, 1]);
}

/// FT-23: three heartbeats without an answer and a fourth due.
#[test]
fn an_instance_that_falls_silent_is_lost_after_four_intervals() {
    let mut script = Script::up(&[A]);
    script.submit("one", "", false);
    script.pass(Duration::from_millis(3_900));
    assert!(script.ends().is_empty());
    script.pass(Duration::from_millis(200));
    assert_eq!(script.ends(), [("one", Err(Unknown::InstanceLost.into()))]);
    assert_eq!(script.reconnected, [A]);
}

#[test]
fn an_instance_that_answers_its_probes_is_kept() {
    let mut script = Script::up(&[A]);
    for _ in 0..100 {
        script.pass(Duration::from_secs(1));
        script.greet(A, epoch(A));
    }
    assert!(script.reconnected.is_empty());
}

#[test]
fn another_epoch_is_another_life() {
    let mut script = Script::up(&[A]);
    let id = script.submit("one", "", false);
    script.pass(Duration::from_secs(1));
    script.greet(A, 101);
    assert_eq!(script.ends(), [("one", Err(Unknown::InstanceLost.into()))]);
    assert_eq!(script.reconnected, [A]);
    script.pass(Duration::ZERO);
    script.greet(A, 101);
    script.respond(id, epoch(A));
    assert_eq!(script.calls.counts().late, 1);
    script.submit("two", "", false);
    assert_eq!(script.requests().last(), Some(&(A, "two".to_owned())));
}

#[test]
fn a_gap_ends_what_was_outstanding_and_repeats_what_may_be() {
    let mut script = Script::up(&[A]);
    let answered = script.submit("answered", "", false);
    script.submit("once", "", false);
    script.submit("again", "", true);
    script.requests();
    script.sequence = 1;
    script.respond(answered, epoch(A));
    assert_eq!(
        script.ends(),
        [("answered", Ok(())), ("once", Err(Unknown::Gap.into()))]
    );
    assert_eq!(script.requests(), went(A, &["again"]));
    assert_eq!(script.calls.counts().gaps, 1);
}

#[test]
fn a_hello_shows_that_the_last_answer_was_lost() {
    let mut script = Script::up(&[A]);
    script.submit("once", "", false);
    script.sequence = 1;
    script.pass(Duration::from_secs(1));
    script.greet(A, epoch(A));
    assert_eq!(script.ends(), [("once", Err(Unknown::Gap.into()))]);
}

#[test]
fn numbers_that_begin_again_are_no_gap() {
    let mut script = Script::up(&[A]);
    for owner in ["one", "two"] {
        let id = script.submit(owner, "", false);
        script.respond(id, epoch(A));
    }
    let (three, four) = (
        script.submit("three", "", false),
        script.submit("four", "", false),
    );
    script.sequence = 0;
    script.respond(three, epoch(A));
    script.respond(four, epoch(A));
    assert!(script.ends().iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(script.calls.counts().gaps, 0);
}

#[test]
fn a_deadline_is_unknown_after_the_hand_over_and_rejected_before() {
    let mut script = Script::up(&[A]);
    script.submit("handed over", "", false);
    script.calls.remove_peer(A, script.now);
    script.add(B);
    let waiting = Submission {
        method: Name::default(),
        key: Key::default(),
        headers: Bytes::new(),
        payload: Payload::default(),
        idempotent: false,
        deadline: Some(script.now + Duration::from_secs(1)),
    };
    script.calls.submit(waiting, "waiting", script.now);
    script.pass(Duration::from_secs(1));
    // Nobody else is up: that says more than how long it was waited for.
    assert_eq!(
        script.ends(),
        [("waiting", Err(Rejected::NoInstance.into()))]
    );
    for _ in 0..9 {
        script.greet(A, epoch(A));
        script.pass(Duration::from_secs(1));
    }
    assert_eq!(
        script.ends(),
        [("handed over", Err(Unknown::DeadlinePassed.into()))]
    );
}

#[test]
fn a_live_and_empty_view_rejects_at_once() {
    let mut script = Script::new();
    script.submit("before", "", false);
    assert!(script.ends().is_empty());
    script.calls.set_live(true);
    script.drain();
    script.submit("after", "", false);
    let rejected = Err(Rejected::NoInstance.into());
    assert_eq!(
        script.ends(),
        [("before", rejected.clone()), ("after", rejected)]
    );
}

#[test]
fn an_instance_that_cannot_be_reached_is_waited_for_five_seconds() {
    let mut script = Script::new();
    script.calls.set_live(true);
    script.add(A);
    script.submit("one", "", false);
    script.pass(Duration::from_millis(4_999));
    assert!(script.ends().is_empty());
    script.pass(Duration::from_millis(1));
    assert_eq!(script.ends(), [("one", Err(Rejected::NoInstance.into()))]);
}

#[test]
fn after_a_goodbye_an_instance_gets_nothing_more_and_answers_what_it_has() {
    let mut script = Script::up(&[A, B]);
    let id = script.submit("one", "k", false);
    let (owner, other) = if script.requests()[0].0 == A {
        (A, B)
    } else {
        (B, A)
    };
    let mut goodbye = script.answer(
        RequestId {
            nonce: NONCE,
            counter: 0,
        },
        Kind::Goodbye,
        epoch(owner),
    );
    goodbye.sequence = 0;
    script.receive(goodbye, "");
    script.submit("two", "", false);
    assert_eq!(script.requests(), went(other, &["two"]));
    script.calls.link_cut(owner, script.now);
    script.drain();
    script.respond(id, epoch(owner));
    assert_eq!(script.ends(), [("one", Ok(()))]);
    script.pass(Duration::from_secs(1));
    assert_eq!(script.reconnected, [owner]);
}

#[test]
fn what_a_stopping_instance_refuses_goes_to_another() {
    let mut script = Script::up(&[A, B]);
    let id = script.submit("one", "", false);
    let (owner, other) = if script.requests()[0].0 == A {
        (A, B)
    } else {
        (B, A)
    };
    script.sequence = 1;
    let mut control = script.answer(id, Kind::Error, epoch(owner));
    control.status = Status::STOPPING;
    script.receive(control, "");
    assert_eq!(script.requests(), went(other, &["one"]));
    assert!(script.ends().is_empty());
}

#[test]
fn an_instance_that_left_the_view_is_forgotten_once_it_has_answered() {
    let mut script = Script::up(&[A, B]);
    let one = script.submit("one", "", false);
    let owner = script.requests()[0].0;
    script.calls.remove_peer(owner, script.now);
    script.drain();
    assert!(script.forgotten.is_empty());
    script.respond(one, epoch(owner));
    assert_eq!(script.forgotten, [owner]);
    let last = script.sent.last().expect("something was sent");
    assert_eq!((last.0, last.1.control.kind), (owner, Kind::Goodbye));
}

#[test]
fn a_cancelled_call_is_cancelled_where_it_runs() {
    let mut script = Script::up(&[A]);
    let id = script.submit("one", "", false);
    assert_eq!(script.calls.cancel(id.counter), Some("one"));
    script.drain();
    let last = script.sent.last().expect("something was sent");
    assert_eq!((last.1.control.kind, last.1.control.id), (Kind::Cancel, id));
    script.respond(id, epoch(A));
    assert!(script.ends().is_empty());
    assert_eq!(script.calls.counts().late, 1);
}

#[test]
fn what_could_not_be_sent_goes_again_whatever_it_is() {
    let mut script = Script::up(&[A, B]);
    let id = script.submit("one", "", false);
    let (owner, other) = if script.requests()[0].0 == A {
        (A, B)
    } else {
        (B, A)
    };
    script.calls.not_sent(owner, id.counter, script.now);
    script.drain();
    assert_eq!(script.requests(), went(other, &["one"]));
    assert!(script.ends().is_empty());
}

#[test]
fn credit_is_never_exceeded() {
    let mut script = Script::up(&[A]);
    for _ in 0..150 {
        script.submit("one", "", false);
    }
    assert_eq!(script.requests().len(), 100);
    assert_eq!(script.calls.outstanding(), 150);
    assert_eq!(script.calls.load(A), (100, true));
}

#[test]
fn closing_ends_every_call_and_says_goodbye() {
    let mut script = Script::up(&[A]);
    script.submit("one", "", false);
    script.submit("two", "", true);
    script.calls.close();
    script.drain();
    assert_eq!(
        script.ends(),
        [
            ("one", Err(CallError::Closed)),
            ("two", Err(CallError::Closed))
        ]
    );
    let last = script.sent.last().expect("something was sent");
    assert_eq!(last.1.control.kind, Kind::Goodbye);
}
