//! Clients: answers and their numbers, queues, expiry, cancels, what cannot be read, drains.

use std::time::Duration;

use bytes::Bytes;

use super::Said::{Client, Worker};
use super::{BROKER, Bench, SECOND, Said, answer, from_client, hello, idempotent, name, request};
use crate::message::Message;
use crate::service::envelope::Envelope;
use crate::service::wire::{Kind, Status};

#[test]
fn a_request_goes_to_the_worker_and_its_answer_to_the_client() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    let (link, handed) = bench.envelopes().remove(0);
    assert_eq!(link, Some("a"));
    assert_eq!(handed.control.hops, 7);
    assert_eq!(handed.control.epoch, 5);
    assert_eq!(handed.control.method, name("locate"));
    assert_eq!(
        (&handed.topic[..], &handed.payload[..]),
        (&b"web\0"[..], &b"where?"[..])
    );

    bench.back("a", answer(Kind::Response, 1, 5));
    let (_, response) = bench.envelopes().remove(0);
    assert_eq!(
        (response.control.sequence, response.control.epoch),
        (1, BROKER)
    );
    assert_eq!(
        (&response.topic[..], &response.payload[..]),
        (&b"web\0"[..], &b"here"[..])
    );
    assert_eq!(bench.worker(0).handled, 1);
    assert!(bench.core.is_idle());
}

#[test]
fn answers_to_one_client_are_numbered_from_one_whatever_they_are() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(request(1));
    bench.front(request(2));
    bench.said();
    bench.back("a", answer(Kind::Error, 2, 5));
    bench.back("a", answer(Kind::Response, 1, 5));
    let mut unknown = from_client(Kind::Probe, 3);
    unknown.control.service = name("nowhere");
    bench.front(unknown);
    bench.front(from_client(Kind::Probe, 4));
    assert_eq!(
        bench.said(),
        [
            Client("web", Kind::Error, 2, Status::OK, 1),
            Client("web", Kind::Response, 1, Status::OK, 2),
            Client("web", Kind::Error, 3, Status::NO_SUCH_SERVICE, 0),
            Client("web", Kind::Hello, 4, Status::OK, 2),
        ]
    );
}

#[test]
fn a_service_that_never_had_a_worker_is_refused_at_once() {
    let mut bench = Bench::new();
    bench.front(request(1));
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 1, Status::NO_SUCH_SERVICE, 1)]
    );
    bench.front(from_client(Kind::Probe, 2));
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 2, Status::NO_SUCH_SERVICE, 0)]
    );
}

/// FT-06, FT-07.
#[test]
fn a_service_without_workers_queues_to_the_limit_and_then_refuses() {
    let mut bench = Bench::with_worker(5, 1);
    bench
        .core
        .disconnected(&Bytes::from_static(b"a"), bench.now);
    for counter in 1..=4 {
        bench.front(request(counter));
    }
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 4, Status::OVERLOADED, 1)]
    );
    bench.back("b", hello(6, 10));
    let handed: Vec<Said> = bench.said().split_off(1);
    let expected = [1, 2, 3].map(|counter| Worker("b", Kind::Request, counter, 0, 6));
    assert_eq!(handed, expected);
}

#[test]
fn what_expires_in_the_queue_was_never_executed() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    bench.said();
    let mut late = request(2);
    late.control.time_left = Some(Duration::from_millis(300));
    bench.front(late);
    let mut too_late = request(3);
    too_late.control.time_left = Some(Duration::ZERO);
    bench.front(too_late);
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 3, Status::EXPIRED, 1)]
    );
    bench.wait(Duration::from_millis(299));
    assert_eq!(bench.said(), []);
    bench.wait(Duration::from_millis(1));
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 2, Status::EXPIRED, 2)]
    );
    assert_eq!(bench.core.stats().refused.expired, 2);
}

#[test]
fn the_time_left_shrinks_by_what_was_spent_in_the_queue() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    let mut second = request(2);
    second.control.time_left = Some(3 * SECOND);
    bench.front(second);
    bench.said();
    bench.wait(SECOND);
    bench.back("a", answer(Kind::Response, 1, 5));
    let (_, handed) = bench.envelopes().remove(1);
    assert_eq!(handed.control.time_left, Some(2 * SECOND));
}

/// FT-15, FT-16.
#[test]
fn repeats_and_late_answers_are_dropped_and_counted() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(request(1));
    bench.front(request(1));
    assert_eq!(bench.said().len(), 1);
    bench.back("a", answer(Kind::Response, 1, 5));
    bench.back("a", answer(Kind::Response, 1, 5));
    bench.back("a", answer(Kind::Response, 2, 5));
    assert_eq!(bench.said().len(), 1);
    // It has run: once more is once too often, unless that does no harm.
    bench.front(request(1));
    assert_eq!(bench.said(), []);
    let stats = bench.core.stats();
    assert_eq!(
        (stats.accepted, stats.repeats, stats.answered, stats.late),
        (1, 2, 1, 2)
    );
    // That it has run is known, not how: only the worker can say.
    bench.front(idempotent(1, ""));
    assert_eq!(bench.said(), [Worker("a", Kind::Request, 1, 0, 5)]);
}

/// FT-15.
#[test]
fn the_repeat_of_an_idempotent_request_gets_the_answer_that_there_was() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(idempotent(1, "k"));
    bench.front(idempotent(1, "k"));
    let mut error = answer(Kind::Error, 2, 5);
    error.control.status = Status::HANDLER_ERROR;
    error.headers = Bytes::from_static(b"\x80");
    bench.front(idempotent(2, ""));
    bench.said();
    bench.back("a", answer(Kind::Response, 1, 5));
    bench.back("a", error);
    let first = bench.envelopes();
    bench.front(idempotent(1, "k"));
    bench.front(idempotent(2, ""));
    let mut again = bench.envelopes();
    for ((_, envelope), sequence) in again.iter_mut().zip([3, 4]) {
        assert_eq!(envelope.control.sequence, sequence);
        envelope.control.sequence -= 2;
    }
    assert_eq!(again, first);
    assert_eq!(bench.core.stats().repeats, 3);

    // After its time the answer is forgotten, and it runs again.
    for _ in 0..10 {
        bench.wait(3 * SECOND);
        bench.front(from_client(Kind::Probe, 3));
        bench.back("a", hello(5, 10));
    }
    bench.said();
    bench.front(idempotent(1, ""));
    assert_eq!(bench.said(), [Worker("a", Kind::Request, 1, 0, 5)]);
}

/// FT-15: nothing was executed, so it may be asked again.
#[test]
fn a_rejected_request_may_come_again() {
    let mut bench = Bench::with_worker(5, 10);
    for _ in 0..2 {
        bench.front(request(1));
        assert_eq!(bench.said(), [Worker("a", Kind::Request, 1, 0, 5)]);
        let mut refused = answer(Kind::Error, 1, 5);
        refused.control.status = Status::OVERLOADED;
        bench.back("a", refused);
        assert_eq!(bench.said().len(), 1);
    }
}

/// FT-15.
#[test]
fn what_was_cancelled_or_lost_with_its_worker_does_not_run_again() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(request(1));
    bench.front(request(2));
    bench.front(from_client(Kind::Cancel, 1));
    bench
        .core
        .disconnected(&Bytes::from_static(b"a"), bench.now);
    bench.back("b", hello(6, 10));
    bench.said();
    bench.front(request(1));
    bench.front(request(2));
    assert_eq!(bench.said(), []);
    assert_eq!(bench.core.stats().repeats, 2);
}

#[test]
fn the_answers_of_all_clients_together_have_their_limit() {
    let mut bench = Bench::with_worker(5, 10);
    let (mut asked, mut answered) = (idempotent(1, ""), answer(Kind::Response, 1, 5));
    answered.payload = Bytes::from(vec![0; 900]);
    for nonce in [9, 10] {
        asked.control.id.nonce = nonce;
        answered.control.id.nonce = nonce;
        bench.front(asked.clone());
        bench.back("a", answered.clone());
        bench.said();
        bench.front(asked.clone());
        let remembered = matches!(bench.said()[..], [Client(_, Kind::Response, ..)]);
        assert_eq!(remembered, nonce == 9);
    }
    // The first one goes, and its answers make room.
    bench.front(from_client(Kind::Goodbye, 2));
    bench.back("a", answered);
    bench.said();
    bench.front(asked);
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Response, 1, Status::OK, 3)]
    );
}

#[test]
fn a_cancelled_request_is_called_back_and_its_answer_ignored() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    bench.front(request(2));
    bench.front(request(3));
    bench.said();
    bench.front(from_client(Kind::Cancel, 2));
    bench.front(from_client(Kind::Cancel, 1));
    assert_eq!(
        bench.said(),
        [
            Worker("a", Kind::Cancel, 1, 0, 5),
            Worker("a", Kind::Request, 3, 0, 5)
        ]
    );
    bench.back("a", answer(Kind::Response, 1, 5));
    assert_eq!((bench.said(), bench.core.stats().late), (vec![], 1));
}

/// FT-13.
#[test]
fn a_client_that_is_gone_is_forgotten_with_all_it_asked_for() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    bench.front(request(2));
    bench.said();
    bench.front(from_client(Kind::Goodbye, 0));
    assert_eq!(bench.said(), [Worker("a", Kind::Cancel, 1, 0, 5)]);
    assert!(bench.core.is_idle());

    bench.front(from_client(Kind::Probe, 3));
    for _ in 0..10 {
        bench.wait(3 * SECOND);
        bench.back("a", hello(5, 1));
    }
    assert_eq!(bench.core.stats().clients, 0);
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason_or_dropped() {
    let mut bench = Bench::with_worker(5, 1);
    let whole = request(1).encode().into_frames();
    let trailing = [&whole[1], &b"\0"[..]].concat().into();
    let version = [&b"\x02"[..], &whole[1][1..]].concat().into();
    let unreadable: [Vec<Bytes>; 5] = [
        vec![whole[0].clone(), trailing, Bytes::new(), Bytes::new()],
        vec![whole[0].clone(), version, Bytes::new(), Bytes::new()],
        whole[..2].to_vec(),
        whole[..3].to_vec(),
        [&whole[..], &[Bytes::new()]].concat(),
    ];
    let statuses = [
        Status::MALFORMED,
        Status::VERSION_MISMATCH,
        Status::MALFORMED,
        Status::MALFORMED,
        Status::MALFORMED,
    ];
    // A stranger's answers have no numbers, and nothing is kept for it.
    for known in [false, true] {
        for (frames, (status, place)) in unreadable.iter().zip(statuses.into_iter().zip(1..)) {
            let message = Message::from_frames(frames.clone()).expect("frames");
            bench.core.front(message, bench.now);
            let sequence = if known { place } else { 0 };
            assert_eq!(
                bench.said(),
                [Client("web", Kind::Error, 1, status, sequence)]
            );
        }
        assert_eq!(bench.core.stats().clients, usize::from(known));
        bench.front(from_client(Kind::Probe, 2));
        bench.said();
    }
    let ignored = bench.core.stats().ignored;
    bench.core.front(Message::from("noise"), bench.now);
    bench.core.back(Message::from("noise"), bench.now);
    bench.front(Envelope::bare(Bytes::new(), request(1).control));
    bench.front(from_client(Kind::Partial, 1));
    assert_eq!(
        (bench.said(), bench.core.stats().ignored),
        (vec![], ignored + 4)
    );
}

#[test]
fn headers_and_hops_have_their_limits() {
    let mut bench = Bench::with_worker(5, 10);
    let mut large = request(1);
    large.headers = Bytes::from(vec![0; 8193]);
    bench.front(large);
    let mut travelled = request(2);
    travelled.control.hops = 0;
    bench.front(travelled);
    assert_eq!(
        bench.said(),
        [
            Client("web", Kind::Error, 1, Status::MALFORMED, 1),
            Client("web", Kind::Error, 2, Status::TOO_MANY_HOPS, 2),
        ]
    );
}

#[test]
fn a_drain_finishes_what_can_be_finished_and_refuses_the_rest() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    bench.front(request(2));
    bench.said();
    bench.core.drain(bench.now);
    bench.front(request(3));
    bench.front(from_client(Kind::Probe, 4));
    assert_eq!(
        bench.said(),
        [
            Client("web", Kind::Goodbye, 0, Status::OK, 0),
            Client("web", Kind::Error, 3, Status::STOPPING, 1),
            Client("web", Kind::Goodbye, 4, Status::OK, 1),
        ]
    );
    bench.back("a", answer(Kind::Response, 1, 5));
    assert_eq!(bench.said()[1], Worker("a", Kind::Request, 2, 0, 5));
    assert!(!bench.core.is_idle());
    bench
        .core
        .disconnected(&Bytes::from_static(b"a"), bench.now);
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 2, Status::WORKER_LOST, 3)]
    );
    assert!(bench.core.is_idle());
}

#[test]
fn a_drain_that_nobody_waits_for_leaves_nothing_unanswered() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(idempotent(1, ""));
    bench.front(request(2));
    bench.core.drain(bench.now);
    bench.said();
    bench.core.abandon(bench.now);
    assert_eq!(
        bench.said(),
        [
            Client("web", Kind::Error, 2, Status::STOPPING, 1),
            Client("web", Kind::Error, 1, Status::WORKER_LOST, 2),
        ]
    );
    assert!(bench.core.is_idle());
}

/// FT-09.
#[test]
fn a_request_for_another_life_of_the_broker_is_ignored() {
    let mut bench = Bench::with_worker(5, 10);
    let mut stale = request(1);
    stale.control.epoch = BROKER - 1;
    bench.front(stale);
    let mut fresh = request(2);
    fresh.control.epoch = BROKER;
    bench.front(fresh);
    assert_eq!(bench.said(), [Worker("a", Kind::Request, 2, 0, 5)]);
    assert_eq!(bench.core.stats().fenced, 1);
}

/// FT-12.
#[test]
fn a_drain_waits_until_the_clients_have_heard_of_it() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    bench.back("a", answer(Kind::Response, 1, 5));
    assert!(!bench.core.is_drained(bench.now));
    bench.core.drain(bench.now);
    assert!(!bench.core.is_drained(bench.now));
    bench.front(from_client(Kind::Probe, 2));
    assert!(bench.core.is_drained(bench.now));

    // One that is gone is not waited for.
    let mut bench = Bench::with_worker(5, 1);
    bench.front(from_client(Kind::Probe, 1));
    bench.core.drain(bench.now);
    bench.now += 2 * SECOND;
    assert!(bench.core.is_drained(bench.now));
}
