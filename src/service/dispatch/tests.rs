//! The scheduler alone: scripts, then a model under random deaths, joins and answers.

mod model;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Choice, Config, Dispatch, Job, TargetId, Ticket};

const A: TargetId = TargetId(1);
const B: TargetId = TargetId(2);
const C: TargetId = TargetId(3);

fn config(choice: Choice) -> Config {
    Config {
        messages: 1_000,
        bytes: 1 << 20,
        per_key_in_flight: usize::MAX,
        choice,
    }
}

fn dispatch() -> Dispatch<u32> {
    Dispatch::new(config(Choice::LeastOutstanding))
}

fn job(item: u32) -> Job<u32> {
    Job {
        key: None,
        size: 100,
        expires: None,
        item,
    }
}

fn keyed(key: &'static str, item: u32) -> Job<u32> {
    Job {
        key: Some(Bytes::from_static(key.as_bytes())),
        ..job(item)
    }
}

fn submit(dispatch: &mut Dispatch<u32>, job: Job<u32>) -> Ticket {
    dispatch.submit(job).expect("room in the queue")
}

/// Everything that can be handed out now.
fn poll(dispatch: &mut Dispatch<u32>) -> Vec<(TargetId, u32)> {
    let mut handed = Vec::new();
    while let Some((target, _, job)) = dispatch.poll() {
        handed.push((target, job.item));
    }
    handed
}

#[test]
fn no_target_is_given_more_than_its_credit() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 2);
    dispatch.add_target(B, b"b", 1);
    let first = submit(&mut dispatch, job(0));
    for item in 1..5 {
        submit(&mut dispatch, job(item));
    }
    assert_eq!(poll(&mut dispatch), [(A, 0), (B, 1), (A, 2)]);
    assert_eq!((dispatch.in_flight(A), dispatch.queued()), (2, 2));
    assert_eq!(dispatch.complete(A, first).map(|job| job.item), Some(0));
    assert_eq!(poll(&mut dispatch), [(A, 3)]);
    dispatch.set_credit(B, 3);
    assert_eq!(poll(&mut dispatch), [(B, 4)]);
}

#[test]
fn a_credit_lowered_below_what_is_in_flight_takes_nothing_back() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 2);
    let tickets: Vec<Ticket> = (0..3).map(|n| submit(&mut dispatch, job(n))).collect();
    assert_eq!(poll(&mut dispatch).len(), 2);
    dispatch.set_credit(A, 1);
    assert!(dispatch.complete(A, tickets[0]).is_some());
    assert_eq!(poll(&mut dispatch), []);
    assert!(dispatch.complete(A, tickets[1]).is_some());
    assert_eq!(poll(&mut dispatch), [(A, 2)]);
}

#[test]
fn the_least_outstanding_takes_the_next() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 10);
    dispatch.add_target(B, b"b", 10);
    let tickets: Vec<Ticket> = (0..4).map(|n| submit(&mut dispatch, job(n))).collect();
    assert_eq!(poll(&mut dispatch), [(A, 0), (B, 1), (A, 2), (B, 3)]);
    dispatch.complete(B, tickets[1]);
    dispatch.complete(B, tickets[3]);
    submit(&mut dispatch, job(4));
    submit(&mut dispatch, job(5));
    assert_eq!(poll(&mut dispatch), [(B, 4), (B, 5)]);
}

#[test]
fn round_robin_looks_at_nothing_but_turns() {
    let mut dispatch = Dispatch::new(config(Choice::RoundRobin));
    for (id, name) in [(A, b"a"), (B, b"b"), (C, b"c")] {
        dispatch.add_target(id, name, 10);
    }
    let tickets: Vec<Ticket> = (0..3).map(|n| submit(&mut dispatch, job(n))).collect();
    assert_eq!(poll(&mut dispatch), [(A, 0), (B, 1), (C, 2)]);
    dispatch.complete(C, tickets[2]);
    submit(&mut dispatch, job(3));
    assert_eq!(poll(&mut dispatch), [(A, 3)]);
}

#[test]
fn of_two_random_targets_the_freer_one_takes_it() {
    let mut dispatch = Dispatch::new(config(Choice::TwoRandomChoices(7)));
    for id in 0..4 {
        dispatch.add_target(TargetId(id), &[id as u8], 100);
    }
    for item in 0..200 {
        submit(&mut dispatch, job(item));
    }
    assert_eq!(poll(&mut dispatch).len(), 200);
    for id in 0..4 {
        let in_flight = dispatch.in_flight(TargetId(id));
        assert!((40..=60).contains(&in_flight), "{id} has {in_flight}");
    }
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let limits = Config {
        messages: 2,
        bytes: 250,
        ..config(Choice::LeastOutstanding)
    };
    let mut dispatch = Dispatch::new(limits);
    dispatch.add_target(A, b"a", 1);
    submit(&mut dispatch, job(0));
    assert_eq!(poll(&mut dispatch).len(), 1);
    submit(&mut dispatch, job(1));
    let large = Job {
        size: 151,
        ..job(2)
    };
    assert_eq!(dispatch.submit(large.clone()), Err(large));
    submit(&mut dispatch, job(3));
    assert_eq!(dispatch.submit(job(4)), Err(job(4)));
    assert_eq!((dispatch.queued(), dispatch.queued_bytes()), (2, 200));
}

#[test]
fn an_empty_queue_takes_one_request_of_any_size() {
    let limits = Config {
        bytes: 10,
        ..config(Choice::LeastOutstanding)
    };
    let mut dispatch = Dispatch::new(limits);
    assert!(dispatch.submit(job(0)).is_ok());
    assert!(dispatch.submit(job(1)).is_err());
}

#[test]
fn a_key_waits_for_its_owner_and_holds_up_no_other() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 1);
    dispatch.add_target(B, b"b", 1);
    let first = submit(&mut dispatch, keyed("k", 0));
    let owner = poll(&mut dispatch)[0].0;
    let other = if owner == A { B } else { A };
    for item in 1..4 {
        submit(&mut dispatch, keyed("k", item));
    }
    submit(&mut dispatch, job(9));
    assert_eq!(poll(&mut dispatch), [(other, 9)]);
    dispatch.complete(owner, first);
    assert_eq!(poll(&mut dispatch), [(owner, 1)]);
}

#[test]
fn the_limit_per_key_keeps_one_after_another() {
    let limits = Config {
        per_key_in_flight: 1,
        ..config(Choice::LeastOutstanding)
    };
    let mut dispatch = Dispatch::new(limits);
    dispatch.add_target(A, b"a", 10);
    let first = submit(&mut dispatch, keyed("k", 0));
    submit(&mut dispatch, keyed("k", 1));
    submit(&mut dispatch, keyed("l", 2));
    submit(&mut dispatch, job(3));
    assert_eq!(poll(&mut dispatch), [(A, 0), (A, 2), (A, 3)]);
    dispatch.complete(A, first);
    assert_eq!(poll(&mut dispatch), [(A, 1)]);
}

#[test]
fn a_key_moves_to_a_better_owner_only_when_nothing_of_it_is_in_flight() {
    for newcomer in 0..20_u64 {
        let mut dispatch = dispatch();
        dispatch.add_target(A, b"a", 10);
        let first = submit(&mut dispatch, keyed("k", 0));
        assert_eq!(poll(&mut dispatch), [(A, 0)]);
        let newcomer = TargetId(100 + newcomer);
        dispatch.add_target(newcomer, format!("n{newcomer:?}").as_bytes(), 10);
        submit(&mut dispatch, keyed("k", 1));
        if poll(&mut dispatch).is_empty() {
            dispatch.complete(A, first);
            assert_eq!(poll(&mut dispatch), [(newcomer, 1)]);
        } else {
            assert_eq!(dispatch.in_flight(A), 2);
        }
    }
}

#[test]
fn a_stopped_target_keeps_what_it_has_and_its_keys_wait_for_it() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 10);
    let first = submit(&mut dispatch, keyed("k", 0));
    assert_eq!(poll(&mut dispatch), [(A, 0)]);
    dispatch.stop_target(A);
    dispatch.add_target(B, b"b", 10);
    submit(&mut dispatch, keyed("k", 1));
    submit(&mut dispatch, keyed("l", 2));
    assert_eq!(poll(&mut dispatch), [(B, 2)]);
    assert_eq!(dispatch.complete(A, first).map(|job| job.item), Some(0));
    assert_eq!(poll(&mut dispatch), [(B, 1)]);
}

#[test]
fn what_a_dead_target_had_goes_before_newer_work_of_its_key() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 3);
    for item in 0..3 {
        submit(&mut dispatch, keyed("k", item));
    }
    submit(&mut dispatch, keyed("k", 3));
    submit(&mut dispatch, job(4));
    assert_eq!(poll(&mut dispatch).len(), 3);
    let orphans = dispatch.remove_target(A);
    let items: Vec<u32> = orphans.iter().map(|(_, job)| job.item).collect();
    assert_eq!(items, [0, 1, 2]);
    for (ticket, job) in orphans.into_iter().rev() {
        dispatch.resubmit(ticket, job);
    }
    dispatch.add_target(B, b"b", 10);
    assert_eq!(
        poll(&mut dispatch),
        [(B, 0), (B, 1), (B, 2), (B, 3), (B, 4)]
    );
}

#[test]
fn requests_wait_where_there_is_no_target() {
    let mut dispatch = dispatch();
    submit(&mut dispatch, keyed("k", 0));
    submit(&mut dispatch, job(1));
    assert_eq!(poll(&mut dispatch), []);
    dispatch.add_target(A, b"a", 10);
    assert_eq!(poll(&mut dispatch), [(A, 0), (A, 1)]);
}

#[test]
fn an_answer_that_is_late_double_or_from_another_is_none() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 1);
    dispatch.add_target(B, b"b", 1);
    let ticket = submit(&mut dispatch, job(0));
    assert_eq!(dispatch.complete(A, ticket), None);
    assert_eq!(poll(&mut dispatch), [(A, 0)]);
    assert_eq!(dispatch.complete(B, ticket), None);
    assert!(dispatch.complete(A, ticket).is_some());
    assert_eq!(dispatch.complete(A, ticket), None);
    assert_eq!(dispatch.cancel(ticket), None);
}

#[test]
fn a_cancelled_request_frees_its_place() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 1);
    let tickets: Vec<Ticket> = (0..3).map(|n| submit(&mut dispatch, job(n))).collect();
    poll(&mut dispatch);
    assert_eq!(dispatch.cancel(tickets[1]), Some((None, job(1))));
    assert_eq!(dispatch.cancel(tickets[0]), Some((Some(A), job(0))));
    assert_eq!(poll(&mut dispatch), [(A, 2)]);
}

#[test]
fn only_what_is_queued_expires() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 1);
    let start = Instant::now();
    for (item, seconds) in [(0, 1), (1, 3), (2, 2)] {
        let expires = Some(start + Duration::from_secs(seconds));
        submit(
            &mut dispatch,
            Job {
                expires,
                ..job(item)
            },
        );
    }
    poll(&mut dispatch);
    assert_eq!(dispatch.next_expiry(), Some(start + Duration::from_secs(2)));
    let expired = dispatch.expire(start + Duration::from_secs(2));
    assert_eq!(
        expired.iter().map(|(_, job)| job.item).collect::<Vec<_>>(),
        [2]
    );
    let expired = dispatch.expire(start + Duration::from_secs(9));
    assert_eq!(
        expired.iter().map(|(_, job)| job.item).collect::<Vec<_>>(),
        [1]
    );
    assert_eq!((dispatch.next_expiry(), dispatch.in_flight(A)), (None, 1));
}

#[test]
fn draining_the_queue_leaves_what_is_in_flight() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 1);
    for item in 0..3 {
        submit(&mut dispatch, keyed("k", item));
    }
    poll(&mut dispatch);
    let drained: Vec<u32> = dispatch
        .drain_queued()
        .iter()
        .map(|(_, job)| job.item)
        .collect();
    assert_eq!((drained, dispatch.in_flight(A)), (vec![1, 2], 1));
}

#[test]
fn an_idle_key_takes_no_memory() {
    let mut dispatch = dispatch();
    dispatch.add_target(A, b"a", 1);
    for number in 0..100 {
        let key = Some(Bytes::from(format!("key {number}")));
        let ticket = submit(&mut dispatch, Job { key, ..job(number) });
        poll(&mut dispatch);
        dispatch.complete(A, ticket);
    }
    assert!(dispatch.is_empty() && dispatch.keys.is_empty() && dispatch.key_slots.is_empty());
    assert!(dispatch.keys.capacity() <= 4);
}
