//! A server behind a broker: its registration, its broker's lives, its retirement.

use bytes::Bytes;

use super::{EPOCH, SECOND, Script, envelope};
use crate::service::wire::{Kind, Status};

#[test]
fn a_worker_registers_and_beats() {
    let mut script = Script::worker();
    let hello = &script.sent[0];
    assert!(hello.topic.is_empty());
    assert_eq!(
        (hello.control.kind, hello.control.epoch),
        (Kind::Hello, EPOCH)
    );
    assert_eq!((hello.control.window, hello.control.id.nonce), (2, 0));
    script.pass(SECOND);
    assert_eq!(script.sent.len(), 2);
}

#[test]
fn a_worker_that_hears_nothing_for_four_intervals_begins_anew() {
    let mut script = Script::worker();
    script.request(1, "", false);
    script.pass(3 * SECOND);
    assert_eq!(script.reconnects, 0);
    script.pass(SECOND);
    assert_eq!(script.reconnects, 1);
    script.said();
    script.finish();
    assert!(script.said().is_empty());
}

/// The broker's clock begins anew with the broker.
#[test]
fn a_worker_measures_the_time_in_buffers_by_the_clock_of_each_life_of_its_broker() {
    let mut script = Script::worker();
    let hello = |epoch, stamp| {
        let mut hello = envelope(Kind::Hello, 1);
        hello.topic = Bytes::new();
        (hello.control.epoch, hello.control.stamp) = (epoch, stamp);
        hello
    };
    let request = |nonce, counter, stamp| {
        let mut request = envelope(Kind::Request, counter);
        request.control.id.nonce = nonce;
        request.control.stamp = stamp;
        request.control.time_left = Some(SECOND / 2);
        request
    };
    script.receive(hello(1, 5_000_000));
    script.said();
    script.now += SECOND;
    // No client was heard before; the hello was, and this waited for a second.
    script.receive(request(7, 1, 5_000_000));
    assert_eq!(script.said(), [(Kind::Error, 1, 0, Status::EXPIRED)]);
    script.receive(request(7, 2, 6_000_000));
    assert_eq!(script.runs(), [2]);

    script.receive(hello(2, 1_000));
    script.receive(request(8, 3, 2_000));
    assert_eq!((script.said(), script.runs()), (vec![], vec![2, 3]));
    // What the life before handed out is owed to nobody.
    script.finish();
    assert_eq!(script.said(), []);
    script.finish();
    assert_eq!(script.said(), [(Kind::Response, 3, 0, Status::OK)]);
}

#[test]
fn a_fenced_worker_owes_no_answers_and_runs_nothing_twice() {
    let mut script = Script::worker();
    for counter in 1..=3 {
        script.request(counter, "", true);
    }
    script.said();
    let mut goodbye = envelope(Kind::Goodbye, 0);
    goodbye.topic = Bytes::new();
    script.receive(goodbye);
    assert_eq!(script.fences, 1);
    script.intake.register(EPOCH + 1, script.now);
    script.drain();
    assert_eq!(script.said(), [(Kind::Hello, 2, 0, Status::OK)]);
    // The second of those that run comes again in the new life: it is answered in it.
    let mut again = envelope(Kind::Request, 2);
    again.control.epoch = EPOCH + 1;
    script.receive(again);
    script.finish();
    assert!(script.said().is_empty());
    script.finish();
    assert_eq!(script.sent[0].control.epoch, EPOCH + 1);
    assert_eq!(script.said(), [(Kind::Response, 2, 0, Status::OK)]);
    assert!(script.running.is_empty());
}

#[test]
fn a_retiring_worker_takes_what_is_under_way_and_leaves_when_released() {
    let mut script = Script::worker();
    script.said();
    script.intake.stop(script.now);
    script.drain();
    assert_eq!(script.sent[0].control.window, 0);
    let kinds: Vec<Kind> = script.said().iter().map(|it| it.0).collect();
    assert_eq!(kinds, [Kind::Hello, Kind::Goodbye]);
    script.request(1, "", false);
    script.finish();
    assert_eq!(script.said(), [(Kind::Response, 1, 0, Status::OK)]);
    assert!(!script.intake.is_done(script.now));
    let mut hello = envelope(Kind::Hello, 2);
    hello.control.epoch = 55;
    hello.topic = Bytes::new();
    script.receive(hello);
    assert!(script.intake.is_done(script.now));
}
