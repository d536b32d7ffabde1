//! Workers: credit, loss, fences, goodbyes, limits.

use bytes::Bytes;

use super::Said::{Client, Worker};
use super::{BROKER, Bench, SECOND, answer, from_client, hello, idempotent, name, request};
use crate::service::envelope::Envelope;
use crate::service::wire::{Kind, Status};

#[test]
fn a_worker_is_never_given_more_than_its_credit() {
    let mut bench = Bench::with_worker(5, 2);
    for counter in 1..=4 {
        bench.front(request(counter));
    }
    assert_eq!(bench.said().len(), 2);
    assert_eq!(bench.worker(0).in_flight, 2);
    bench.back("a", hello(5, 3));
    assert_eq!(
        bench.said(),
        [
            Worker("a", Kind::Hello, 0, 0, BROKER),
            Worker("a", Kind::Request, 3, 0, 5),
        ]
    );
}

/// FT-02.
#[test]
fn a_lost_worker_ends_what_may_not_run_twice_as_unknown_at_once() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(request(1));
    bench.front(idempotent(2, ""));
    bench.said();
    bench
        .core
        .disconnected(&Bytes::from_static(b"a"), bench.now);
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 1, Status::WORKER_LOST, 1)]
    );
    bench.back("b", hello(6, 10));
    assert_eq!(bench.said()[1], Worker("b", Kind::Request, 2, 1, 6));
}

#[test]
fn a_lost_workers_idempotent_requests_go_before_newer_ones_of_their_key() {
    let mut bench = Bench::with_worker(5, 2);
    for counter in 1..=4 {
        bench.front(idempotent(counter, "k"));
    }
    bench.back("b", hello(6, 10));
    bench.said();
    bench
        .core
        .disconnected(&Bytes::from_static(b"a"), bench.now);
    let mut expected = [1, 2, 3, 4].map(|counter| Worker("b", Kind::Request, counter, 0, 6));
    for again in &mut expected[..2] {
        let Worker(_, _, _, attempt, _) = again else {
            continue;
        };
        *attempt = 1;
    }
    // The key may have been the newcomer's own from the start: then 3 and 4 were
    // waiting for 1 and 2 all the same.
    assert_eq!(bench.said(), expected);
}

#[test]
fn what_was_lost_with_a_worker_and_expires_then_may_have_executed() {
    let mut bench = Bench::with_worker(5, 10);
    let mut request = idempotent(1, "");
    request.control.time_left = Some(SECOND);
    bench.front(request);
    bench
        .core
        .disconnected(&Bytes::from_static(b"a"), bench.now);
    bench.said();
    bench.wait(SECOND);
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Error, 1, Status::DEADLINE_PASSED, 1)]
    );
}

/// FT-03.
#[test]
fn a_silent_worker_is_lost_after_four_heartbeats_and_its_epoch_fenced() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(idempotent(1, ""));
    bench.said();
    bench.wait(3 * SECOND);
    assert_eq!(bench.core.workers_serving("geo"), 1);
    bench.wait(SECOND);
    assert_eq!(bench.core.workers_serving("geo"), 0);
    bench.back("b", hello(6, 10));
    bench.said();

    // The old one wakes up: neither its answer nor its hello counts any more.
    bench.back("a", answer(Kind::Response, 1, 5));
    bench.back("a", hello(5, 10));
    let goodbye = Worker("a", Kind::Goodbye, 0, 0, 5);
    assert_eq!(bench.said(), [goodbye.clone(), goodbye]);
    assert_eq!(bench.core.stats().fenced, 2);

    bench.back("a", hello(7, 10));
    assert_eq!(bench.said(), [Worker("a", Kind::Hello, 0, 0, BROKER)]);
    bench.back("b", answer(Kind::Response, 1, 6));
    assert_eq!(
        bench.said(),
        [Client("web", Kind::Response, 1, Status::OK, 1)]
    );
}

/// FT-04.
#[test]
fn a_worker_that_is_heard_in_time_is_never_lost() {
    let mut bench = Bench::with_worker(5, 10);
    for _ in 0..10 {
        bench.wait(3 * SECOND);
        bench.back("a", hello(5, 10));
    }
    assert_eq!(bench.core.membership(), 1);
}

/// FT-30: whoever was stopped itself has not listened to the others.
#[test]
fn a_broker_that_slept_judges_nobody_by_it() {
    let mut bench = Bench::with_worker(5, 10);
    bench.now += 60 * SECOND;
    bench.core.tick(bench.now);
    assert_eq!(bench.core.workers_serving("geo"), 1);
    bench.back("a", hello(5, 10));
    bench.wait(3 * SECOND);
    assert_eq!(bench.core.workers_serving("geo"), 1);
}

#[test]
fn a_new_epoch_on_the_same_link_ends_the_old_one() {
    let mut bench = Bench::with_worker(5, 10);
    bench.front(request(1));
    bench.said();
    bench.back("a", hello(6, 10));
    assert_eq!(
        bench.said(),
        [
            Client("web", Kind::Error, 1, Status::WORKER_LOST, 1),
            Worker("a", Kind::Hello, 0, 0, BROKER),
        ]
    );
    bench.back("a", answer(Kind::Response, 1, 5));
    assert_eq!(bench.said(), [Worker("a", Kind::Goodbye, 0, 0, 5)]);
}

#[test]
fn an_epoch_that_shows_up_on_another_link_is_fenced() {
    let mut bench = Bench::with_worker(5, 10);
    bench.back("b", hello(5, 10));
    assert_eq!(bench.said(), [Worker("b", Kind::Goodbye, 0, 0, 5)]);
    assert_eq!(bench.core.stats().workers, []);
}

/// FT-12.
#[test]
fn a_worker_that_says_goodbye_answers_what_it_has_and_loses_nothing() {
    let mut bench = Bench::with_worker(5, 2);
    bench.front(request(1));
    bench.front(request(2));
    bench.front(request(3));
    bench.said();
    let mut goodbye = hello(5, 0);
    goodbye.control.kind = Kind::Goodbye;
    bench.back("a", goodbye.clone());
    bench.back("b", hello(6, 10));
    assert_eq!(bench.said()[1], Worker("b", Kind::Request, 3, 0, 6));

    // It still works, and says so.
    for _ in 0..4 {
        bench.wait(2 * SECOND);
        bench.back("a", goodbye.clone());
        bench.back("b", hello(6, 10));
    }
    bench.said();
    bench.back("a", answer(Kind::Response, 1, 5));
    // The second crossed with the goodbye: it was never run there.
    let mut stopping = answer(Kind::Error, 2, 5);
    stopping.control.status = Status::STOPPING;
    bench.back("a", stopping);
    assert_eq!(
        bench.said(),
        [
            Client("web", Kind::Response, 1, Status::OK, 1),
            Worker("b", Kind::Request, 2, 0, 6),
        ]
    );
    assert_eq!(bench.core.stats().workers.len(), 1);
    bench.back("a", goodbye);
    assert_eq!(bench.said(), []);
}

/// FT-41.
#[test]
fn a_worker_cannot_answer_for_another_nor_say_what_the_request_was() {
    let mut bench = Bench::with_worker(5, 1);
    bench.front(request(1));
    bench.back("b", hello(6, 1));
    bench.said();
    bench.back("b", answer(Kind::Response, 1, 6));
    assert_eq!((bench.said(), bench.core.stats().late), (vec![], 1));
    let mut forged = answer(Kind::Response, 1, 5);
    forged.control.service = name("bank");
    forged.control.sequence = 99;
    bench.back("a", forged);
    let (_, response) = bench.envelopes().remove(0);
    assert_eq!(
        (response.control.service, response.control.sequence),
        (name("geo"), 1)
    );
}

#[test]
fn clients_workers_and_services_have_their_limits() {
    let mut bench = Bench::new();
    for nonce in 0..4 {
        let mut probe = from_client(Kind::Probe, 1);
        probe.control.id.nonce = nonce;
        bench.front(probe);
    }
    assert_eq!((bench.said().len(), bench.core.stats().ignored), (3, 1));
    for (link, epoch) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)] {
        bench.back(link, hello(epoch, u32::MAX));
    }
    assert_eq!(
        bench.said().last(),
        Some(&Worker("e", Kind::Goodbye, 0, 0, 5))
    );
    assert_eq!(bench.worker(0).credit, 100);
    for (epoch, service) in [(6, "one"), (7, "two"), (8, "three")] {
        let mut other = hello(epoch, 1);
        other.control.service = name(service);
        bench.back("a", other);
    }
    // What nobody serves any more makes room.
    assert_eq!(bench.core.stats().services.len(), 2);
    assert_eq!(bench.core.workers_serving("three"), 1);
}

#[test]
fn a_worker_is_called_what_its_headers_say() {
    let mut bench = Bench::new();
    for (link, epoch, headers) in [
        ("a", 1, &b"\x82\xa1x\xa1y\xa4name\xa5paris"[..]),
        ("b", 2, b"\x81\xa4name"),
        ("c", 3, b"\xdf\xff\xff\xff\xff"),
    ] {
        let headers = Bytes::from_static(headers);
        bench.back(
            link,
            Envelope {
                headers,
                ..hello(epoch, 1)
            },
        );
    }
    let names: Vec<String> = (0..3).map(|index| bench.worker(index).name).collect();
    assert_eq!(
        names,
        [
            "paris",
            "worker-0000000000000002",
            "worker-0000000000000003"
        ]
    );
}
