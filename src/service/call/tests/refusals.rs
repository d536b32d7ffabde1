//! Instances that answer a probe with an error.

use std::time::Duration;

use bytes::Bytes;

use super::{A, NONCE, Script, epoch, went};
use crate::service::outcome::{Rejected, Unknown};
use crate::service::wire::{Control, Kind, Name, RequestId, Status, WireError};

#[test]
fn a_service_that_nobody_serves_rejects_at_once() {
    let mut script = Script::new();
    script.add(A);
    script.submit("one", "", false);
    script.answer_probe(A, Kind::Error, 100, Status::NO_SUCH_SERVICE);
    script.submit("two", "", false);
    script.answer_probe(A, Kind::Error, 100, Status::NO_SUCH_SERVICE);
    let rejected = Err(Rejected::NoSuchService.into());
    assert_eq!(
        script.ends(),
        [("one", rejected.clone()), ("two", rejected)]
    );
    script.pass(Duration::from_secs(2));
    script.greet(A, epoch(A));
    script.submit("three", "", false);
    assert_eq!(script.requests(), went(A, &["three"]));
}

/// A client that was made before the first worker came is not held back by what it was told then.
#[test]
fn who_was_refused_asks_again_when_there_is_a_request() {
    let mut script = Script::new();
    script.add(A);
    script.submit("early", "", false);
    script.answer_probe(A, Kind::Error, 100, Status::NO_SUCH_SERVICE);
    assert_eq!(
        script.ends(),
        [("early", Err(Rejected::NoSuchService.into()))]
    );
    script.submit("late", "", false);
    assert_eq!(script.ends(), []);
    script.greet(A, epoch(A));
    assert_eq!(script.requests(), went(A, &["late"]));
}

#[test]
fn an_instance_of_another_version_rejects_as_that() {
    let mut script = Script::new();
    script.add(A);
    script.submit("one", "", false);
    script.answer_probe(A, Kind::Error, 100, Status::VERSION_MISMATCH);
    let rejected = Err(Rejected::VersionMismatch.into());
    assert_eq!(script.ends(), [("one", rejected)]);
}

/// What it says in its own version is understood as far as it goes.
#[test]
fn an_error_in_another_version_says_that_the_version_is_another() {
    for (nonce, ends) in [(NONCE, 1), (NONCE + 1, 0)] {
        let mut script = Script::new();
        script.add(A);
        script.submit("one", "", false);
        let id = RequestId {
            nonce,
            ..script.sent[0].1.control.id
        };
        let frame = Control::new(Kind::Error, id, Name::default()).encode();
        let frame = Bytes::from([&[0x02], &frame[1..24]].concat());
        script.calls.unreadable(WireError::Version(0x02), &frame);
        script.drain();
        assert_eq!(script.ends().len(), ends);
    }
}

#[test]
fn an_instance_that_comes_back_as_something_else_is_lost() {
    let mut script = Script::up(&[A]);
    script.submit("one", "", false);
    script.pass(Duration::from_secs(1));
    script.answer_probe(A, Kind::Error, 99, Status::NO_SUCH_SERVICE);
    assert_eq!(script.reconnected, [A]);
    assert_eq!(script.ends(), [("one", Err(Unknown::InstanceLost.into()))]);
}
