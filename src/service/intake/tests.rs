//! Tests of the machine of the server: what reaches it, and what it does.

mod worker;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Config, Incoming, Intake, Output};
use crate::message::Message;
use crate::service::dispatch::Ticket;
use crate::service::envelope::{Envelope, topic};
use crate::service::window::{Answer, Memory};
use crate::service::wire::{Codec, Control, Flags, Key, Kind, Name, RequestId, Status};

const EPOCH: u64 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// A server without sockets and handlers.
struct Script {
    intake: Intake,
    now: Instant,
    sent: Vec<Envelope>,
    running: Vec<(Ticket, Box<Incoming>)>,
    aborted: Vec<Ticket>,
    reconnects: usize,
    fences: usize,
}

impl Script {
    fn direct() -> Self {
        let now = Instant::now();
        Self::of(Intake::direct(config(), EPOCH, now), now)
    }

    fn worker() -> Self {
        let now = Instant::now();
        let mut script = Self::of(Intake::behind_broker(config(), Bytes::new(), now), now);
        script.intake.register(EPOCH, now);
        script.drain();
        script
    }

    fn of(intake: Intake, now: Instant) -> Self {
        Self {
            intake,
            now,
            sent: Vec::new(),
            running: Vec::new(),
            aborted: Vec::new(),
            reconnects: 0,
            fences: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.intake.poll(self.now) {
            match output {
                Output::Send(message) => {
                    self.sent
                        .push(Envelope::decode(message).expect("what is sent is readable"));
                }
                Output::Run(ticket, incoming) => self.running.push((ticket, incoming)),
                Output::Abort(ticket) => self.aborted.push(ticket),
                Output::Reconnect => self.reconnects += 1,
                Output::Fenced => self.fences += 1,
            }
        }
    }

    fn receive(&mut self, envelope: Envelope) {
        self.intake.receive(envelope.encode(), self.now);
        self.drain();
    }

    fn request(&mut self, counter: u64, key: &'static str, idempotent: bool) {
        let mut envelope = envelope(Kind::Request, counter);
        envelope.control.key = Key::new(key).expect("a key");
        envelope.control.flags = Flags { idempotent };
        self.receive(envelope);
    }

    /// Finishes the oldest handler that runs.
    fn finish(&mut self) {
        let (ticket, incoming) = self.running.remove(0);
        let answer = Answer {
            payload: incoming.payload.into_bytes(),
            ..Answer::status(Status::OK)
        };
        self.intake.finished(ticket, answer, self.now);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.intake.next_timeout() <= until {
            self.now = self.now.max(self.intake.next_timeout());
            self.intake.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Kind, counter, sequence and status of what was sent since it was last asked.
    fn said(&mut self) -> Vec<(Kind, u64, u64, Status)> {
        let said = |it: Envelope| {
            let control = it.control;
            (
                control.kind,
                control.id.counter,
                control.sequence,
                control.status,
            )
        };
        self.sent.drain(..).map(said).collect()
    }

    fn runs(&self) -> Vec<u64> {
        let counter = |(_, it): &(Ticket, Box<Incoming>)| it.control.id.counter;
        self.running.iter().map(counter).collect()
    }
}

fn config() -> Config {
    Config {
        service: Name::new("geo").expect("a name"),
        concurrency: 2,
        queue: 3,
        queue_octets: 1 << 20,
        memory: Memory {
            octets: 1 << 20,
            time: 30 * SECOND,
        },
        heartbeat: SECOND,
        forget: 30 * SECOND,
        clients: 4,
    }
}

fn envelope(kind: Kind, counter: u64) -> Envelope {
    let id = RequestId { nonce: 7, counter };
    let mut control = Control::new(kind, id, Name::new("geo").expect("a name"));
    control.epoch = EPOCH;
    Envelope {
        payload: Bytes::from_static(b"payload"),
        ..Envelope::bare(topic(b"web").expect("an id"), control)
    }
}

#[test]
fn a_probe_is_answered_at_once_though_every_handler_is_busy() {
    let mut script = Script::direct();
    for counter in 1..=5 {
        script.request(counter, "", false);
    }
    script.receive(envelope(Kind::Probe, 6));
    assert_eq!(script.sent.len(), 1);
    let hello = &script.sent[0].control;
    assert_eq!(
        (hello.kind, hello.id.counter, hello.epoch),
        (Kind::Hello, 6, EPOCH)
    );
    assert_eq!(hello.window, 5);
    assert_eq!(&script.sent[0].topic[..], b"web\0");
}

#[test]
fn an_answer_is_the_envelope_sent_back_with_the_next_number() {
    let mut script = Script::direct();
    script.request(1, "k", false);
    script.request(2, "", false);
    script.finish();
    script.finish();
    let mut expected = envelope(Kind::Response, 1);
    expected.control.key = Key::new("k").expect("a key");
    expected.control.sequence = 1;
    assert_eq!(script.sent[0], expected);
    assert_eq!(script.sent[1].control.sequence, 2);
    script.receive(envelope(Kind::Probe, 3));
    assert_eq!(script.sent[2].control.sequence, 2);
}

#[test]
fn requests_of_one_key_run_one_after_another_and_others_meanwhile() {
    let mut script = Script::direct();
    script.request(1, "k", false);
    script.request(2, "k", false);
    script.request(3, "", false);
    assert_eq!(script.runs(), [1, 3]);
    script.finish();
    assert_eq!(script.runs(), [3, 2]);
}

#[test]
fn a_full_queue_is_overloaded_and_nothing_else_is() {
    let mut script = Script::direct();
    for counter in 1..=6 {
        script.request(counter, "", false);
    }
    assert_eq!(script.said(), [(Kind::Error, 6, 1, Status::OVERLOADED)]);
    script.finish();
    script.request(7, "", false);
    assert_eq!(script.runs(), [2, 3]);
}

/// BI-90: a deadline in the past is never executed.
#[test]
fn what_expired_is_answered_and_not_executed() {
    let mut script = Script::direct();
    let mut past = envelope(Kind::Request, 1);
    past.control.time_left = Some(Duration::ZERO);
    script.receive(past);
    assert_eq!(script.said(), [(Kind::Error, 1, 1, Status::EXPIRED)]);

    script.request(2, "", false);
    script.request(3, "", false);
    let mut waiting = envelope(Kind::Request, 4);
    waiting.control.time_left = Some(SECOND / 2);
    script.receive(waiting);
    script.pass(SECOND / 2);
    assert_eq!(script.said(), [(Kind::Error, 4, 2, Status::EXPIRED)]);
    assert_eq!(script.runs(), [2, 3]);
}

#[test]
fn a_handler_that_outlives_its_deadline_is_dropped() {
    let mut script = Script::direct();
    let mut slow = envelope(Kind::Request, 1);
    slow.control.time_left = Some(SECOND / 2);
    script.receive(slow);
    script.pass(SECOND / 2);
    assert_eq!(
        script.said(),
        [(Kind::Error, 1, 1, Status::DEADLINE_PASSED)]
    );
    assert_eq!(script.aborted.len(), 1);
    script.finish();
    assert!(script.said().is_empty());
}

#[test]
fn time_spent_in_buffers_is_taken_off_the_time_left() {
    let mut script = Script::direct();
    let mut quick = envelope(Kind::Probe, 1);
    quick.control.stamp = 5_000_000;
    script.receive(quick);
    script.said();
    script.now += SECOND;
    let mut delayed = envelope(Kind::Request, 2);
    delayed.control.stamp = 5_400_000;
    delayed.control.time_left = Some(SECOND / 2);
    script.receive(delayed);
    assert_eq!(script.said(), [(Kind::Error, 2, 1, Status::EXPIRED)]);
}

/// BI-90: 2^64-1 is no deadline, and just below it none that any clock can hold.
#[test]
fn endless_deadlines_are_no_deadlines() {
    let mut script = Script::direct();
    for (counter, left) in [(1, None), (2, Some(Duration::from_micros(u64::MAX - 1)))] {
        let mut endless = envelope(Kind::Request, counter);
        endless.control.time_left = left;
        script.receive(endless);
    }
    assert_eq!(script.runs(), [1, 2]);
}

#[test]
fn a_cancelled_request_is_not_answered_and_makes_room() {
    let mut script = Script::direct();
    for counter in 1..=3 {
        script.request(counter, "", false);
    }
    script.receive(envelope(Kind::Cancel, 1));
    assert_eq!(script.aborted, [script.running[0].0]);
    assert_eq!(script.runs(), [1, 2, 3]);
    script.finish();
    assert!(script.said().is_empty());
    script.finish();
    assert_eq!(script.said(), [(Kind::Response, 2, 1, Status::OK)]);
}

/// FT-15.
#[test]
fn a_repeat_is_not_run_twice() {
    let mut script = Script::direct();
    script.request(1, "", true);
    script.request(1, "", true);
    assert_eq!(script.runs(), [1]);
    script.finish();
    assert_eq!(script.said(), [(Kind::Response, 1, 1, Status::OK)]);
    script.request(1, "", true);
    assert!(script.runs().is_empty());
    assert_eq!(script.sent[0].payload, "payload");
    assert_eq!(script.said(), [(Kind::Response, 1, 2, Status::OK)]);
    script.pass(31 * SECOND);
    script.request(1, "", true);
    assert_eq!(script.runs(), [1]);
}

#[test]
fn a_repeat_of_what_may_not_run_twice_is_ignored() {
    let mut script = Script::direct();
    script.request(1, "", false);
    script.finish();
    script.said();
    script.request(1, "", false);
    assert!(script.runs().is_empty());
    assert!(script.said().is_empty());
    assert_eq!(script.intake.counts().repeats, 1);
}

/// FT-15.
#[test]
fn a_cancelled_request_does_not_come_back_unless_that_does_no_harm() {
    let mut script = Script::direct();
    for idempotent in [false, true] {
        script.request(1, "", false);
        script.receive(envelope(Kind::Cancel, 1));
        script.running.clear();
        script.request(1, "", idempotent);
        assert_eq!(script.runs().len(), usize::from(idempotent));
    }
    assert!(script.said().is_empty());
}

/// FT-15.
#[test]
fn large_answers_do_not_push_out_what_may_not_run_twice() {
    let mut script = Script::direct();
    script.request(1, "", false);
    script.finish();
    for counter in 2..=4 {
        script.request(counter, "", true);
        let (ticket, _) = script.running.remove(0);
        let answer = Answer {
            payload: vec![0; 1 << 19].into(),
            ..Answer::status(Status::OK)
        };
        script.intake.finished(ticket, answer, script.now);
        script.drain();
    }
    script.said();
    script.request(1, "", false);
    assert!(script.runs().is_empty() && script.said().is_empty());
}

#[test]
fn another_service_is_refused() {
    let mut script = Script::direct();
    for kind in [Kind::Probe, Kind::Request] {
        let mut other = envelope(kind, 1);
        other.control.service = Name::new("other").expect("a name");
        script.receive(other);
    }
    let refused = Status::NO_SUCH_SERVICE;
    assert_eq!(
        script.said(),
        [(Kind::Error, 1, 0, refused), (Kind::Error, 1, 1, refused)]
    );
}

#[test]
fn a_request_for_another_life_is_ignored() {
    let mut script = Script::direct();
    let mut other = envelope(Kind::Request, 1);
    other.control.epoch = EPOCH + 1;
    script.receive(other);
    assert!(script.runs().is_empty() && script.said().is_empty());
}

/// BI-90: truncated at every octet, unknown version: answered where it can be told whom.
#[test]
fn what_cannot_be_read_is_answered_as_far_as_it_says_who_asks() {
    let whole = envelope(Kind::Request, 1).encode();
    for length in 0..whole[1].len() {
        let mut script = Script::direct();
        let cut = vec![
            whole[0].clone(),
            whole[1].slice(..length),
            Bytes::new(),
            Bytes::new(),
        ];
        script
            .intake
            .receive(Message::from_frames(cut).expect("frames"), script.now);
        script.drain();
        let answers = if length < 24 {
            vec![]
        } else {
            vec![(Kind::Error, 1, 0, Status::MALFORMED)]
        };
        assert_eq!(script.said(), answers, "{length}");
    }
    let mut script = Script::direct();
    let version = [&[0x02][..], &whole[1][1..]].concat();
    let frames = vec![whole[0].clone(), version.into(), Bytes::new(), Bytes::new()];
    script
        .intake
        .receive(Message::from_frames(frames).expect("frames"), script.now);
    script.drain();
    assert_eq!(
        script.said(),
        [(Kind::Error, 1, 0, Status::VERSION_MISMATCH)]
    );
}

/// BI-90: the number of frames is one more thing that may be wrong with a request.
#[test]
fn fewer_or_more_than_four_frames_are_malformed() {
    let whole = envelope(Kind::Request, 1).encode().into_frames();
    let mut script = Script::direct();
    let mut receive = |frames: &[Bytes]| {
        let message = Message::from_frames(frames.to_vec()).expect("frames");
        script.intake.receive(message, script.now);
        script.drain();
        script.said()
    };
    assert_eq!(receive(&whole[..1]), []);
    let five = [&whole[..], &[Bytes::new()]].concat();
    let malformed = [(Kind::Error, 1, 0, Status::MALFORMED)];
    for frames in [&whole[..2], &whole[..3], &five] {
        assert_eq!(receive(frames), malformed, "{}", frames.len());
    }
    // Another version may have as many as it likes.
    let version = [&[0x02][..], &whole[1][1..]].concat().into();
    let mismatch = [(Kind::Error, 1, 0, Status::VERSION_MISMATCH)];
    assert_eq!(receive(&[whole[0].clone(), version]), mismatch);
    // Nobody can be told.
    for topic in [&b""[..], b"web", b"\0"] {
        let topic = Bytes::from_static(topic);
        assert_eq!(receive(&[topic, whole[1].clone(), Bytes::new()]), []);
    }
}

#[test]
fn headers_that_are_no_map_are_malformed() {
    let mut script = Script::direct();
    let mut envelope = envelope(Kind::Request, 1);
    envelope.headers = Bytes::from_static(b"\xc0");
    script.receive(envelope);
    assert_eq!(script.said(), [(Kind::Error, 1, 1, Status::MALFORMED)]);
}

#[test]
fn more_clients_than_the_limit_are_turned_away() {
    let mut script = Script::direct();
    for nonce in 0..6 {
        let mut probe = envelope(Kind::Probe, 1);
        probe.control.id.nonce = nonce;
        script.receive(probe);
    }
    assert_eq!(script.said().len(), 4);
    script.pass(31 * SECOND);
    script.receive(envelope(Kind::Probe, 1));
    assert_eq!(script.said().len(), 1);
}

#[test]
fn a_stopping_server_answers_what_it_has_and_nothing_new() {
    let mut script = Script::direct();
    script.request(1, "", false);
    script.intake.stop(script.now);
    script.drain();
    assert_eq!(script.said(), [(Kind::Goodbye, 0, 0, Status::OK)]);
    script.request(2, "", false);
    assert_eq!(script.said(), [(Kind::Error, 2, 1, Status::STOPPING)]);
    script.receive(envelope(Kind::Probe, 3));
    assert_eq!(script.said(), [(Kind::Goodbye, 3, 1, Status::OK)]);
    assert!(!script.intake.is_done(script.now));
    script.finish();
    assert_eq!(script.said(), [(Kind::Response, 1, 2, Status::OK)]);
    assert!(script.intake.is_done(script.now));
}

#[test]
fn a_stopping_server_waits_for_a_silent_client_for_one_interval() {
    let mut script = Script::direct();
    script.receive(envelope(Kind::Probe, 1));
    script.intake.stop(script.now);
    script.drain();
    assert!(!script.intake.is_done(script.now));
    script.pass(SECOND);
    assert!(script.intake.is_done(script.now));
}

#[test]
fn a_client_that_said_goodbye_is_not_waited_for() {
    let mut script = Script::direct();
    script.receive(envelope(Kind::Probe, 1));
    script.receive(envelope(Kind::Goodbye, 2));
    script.intake.stop(script.now);
    script.drain();
    assert!(script.intake.is_done(script.now));
}

#[test]
fn the_answer_kept_for_repeats_shares_no_memory_with_the_request() {
    let answer = Answer {
        payload: Bytes::from(vec![1, 2, 3]),
        codec: Codec::MESSAGE_PACK,
        ..Answer::status(Status::OK)
    };
    let kept = answer.detached();
    assert_eq!(kept, answer);
    assert_ne!(kept.payload.as_ptr(), answer.payload.as_ptr());
}
