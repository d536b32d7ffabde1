//! The service layer with clients and workers in Python, written from `docs/protocol.md` alone.
#![allow(clippy::panic, reason = "a handler panics to show what becomes of it")]

mod broker;
mod server;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;

use pushsub::{HandlerError, Instance, Reply, Request};

use crate::support::Script;

/// A test for each of these functions, which is given a Python.
macro_rules! with_python {
    ($($name:ident),* $(,)?) => {
        mod with_python {
            $(#[test]
            fn $name() {
                if let Some(python) = crate::support::python() {
                    crate::support::guarded(super::$name(python));
                }
            })*
        }
    };
}

pub(crate) use with_python;

/// The methods of `service_worker.py`, and one that panics.
async fn handle(request: Request) -> Result<Reply, HandlerError> {
    match request.method() {
        "echo" => Ok(Reply::echo(&request)),
        "add" => {
            let terms: BTreeMap<String, u64> = request.decode()?;
            Reply::body(&terms.values().sum::<u64>())
        }
        "headers" => Reply::body(&request.headers().iter().collect::<BTreeMap<_, _>>()),
        "fail" => Err(HandlerError::new("on_purpose", "it was asked to")),
        "wait" => pending().await,
        "panic" => panic!("it was asked to"),
        other => Err(HandlerError::no_such_method(other)),
    }
}

/// What every server must do, whatever lies between.
async fn check_calls(client: &mut Script) {
    for (line, answer, rest) in [
        (
            r#"{"do": "call", "method": "echo", "body": {"a": [1, "two"]}}"#,
            "value",
            r#"{"a":[1,"two"]}"#,
        ),
        (
            r#"{"do": "call", "method": "add", "body": {"a": 2, "b": 3}}"#,
            "value",
            "5",
        ),
        (
            r#"{"do": "call", "method": "headers", "body": null, "headers": {"x": "y"}}"#,
            "value",
            r#"{"x":"y"}"#,
        ),
        (
            r#"{"do": "call", "method": "fail", "body": null}"#,
            "error",
            "0x0030 on_purpose it was asked to",
        ),
        (
            r#"{"do": "call", "method": "none", "body": null}"#,
            "rejected",
            "0x0012",
        ),
    ] {
        say(client, line, answer, rest).await;
    }
}

/// An answer is given again only to a request that is idempotent.
async fn check_repeats(client: &mut Script) {
    say(
        client,
        r#"{"do": "again", "idempotent": true}"#,
        "answered",
        "2",
    )
    .await;
    say(
        client,
        r#"{"do": "again", "idempotent": false}"#,
        "answered",
        "1",
    )
    .await;
    check_calls(client).await;
}

/// Four that are malformed and one of another version are answered, the others ignored.
async fn check_nonsense(client: &mut Script) {
    let answers = "0x0015 0x0015 0x0015 0x0015 0x0016";
    say(client, r#"{"do": "nonsense"}"#, answers, "").await;
    check_calls(client).await;
}

fn start_client(python: &Path, instance: &Instance) -> Script {
    let (requests, responses) = (
        instance.requests.to_string(),
        instance.responses.to_string(),
    );
    Script::start(
        python,
        "service_client.py",
        &[&requests, &responses, "geo", "python-1"],
    )
}

async fn say(script: &mut Script, line: &str, answer: &str, rest: &str) {
    script.tell(line).await;
    assert_eq!(script.expect(answer).await, rest, "to {line}");
}
