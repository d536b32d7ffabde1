//! Our server, called directly by a client in Python.

use std::path::Path;

use pushsub::Server;
use tokio::task::yield_now;

use super::{check_calls, check_nonsense, check_repeats, handle, say, start_client, with_python};
use crate::peer::soon;
use crate::support::Script;

with_python!(
    a_client_calls_the_server,
    requests_of_a_key_stay_in_order,
    a_repeat_is_answered_again_only_where_that_is_harmless,
    nonsense_of_a_client_is_refused_or_ignored,
    a_handler_that_panics_is_an_error_and_the_server_goes_on,
    a_cancelled_request_is_forgotten,
    a_deadline_that_passes_ends_the_call_as_unknown,
    a_service_that_the_server_does_not_serve_is_refused,
    a_server_that_stops_answers_what_it_has,
);

async fn a_client_calls_the_server(python: &Path) {
    let (_server, mut client) = pair(python).await;
    check_calls(&mut client).await;
    say(&mut client, r#"{"do": "goodbye"}"#, "gone", "").await;
}

async fn requests_of_a_key_stay_in_order(python: &Path) {
    let (_server, mut client) = pair(python).await;
    let line = r#"{"do": "push", "method": "echo", "count": 3000, "keys": 7}"#;
    say(
        &mut client,
        line,
        "values",
        "3000 of 3000, right True, in order True",
    )
    .await;
}

async fn a_repeat_is_answered_again_only_where_that_is_harmless(python: &Path) {
    let (_server, mut client) = pair(python).await;
    check_repeats(&mut client).await;
}

async fn nonsense_of_a_client_is_refused_or_ignored(python: &Path) {
    let (_server, mut client) = pair(python).await;
    check_nonsense(&mut client).await;
}

async fn a_handler_that_panics_is_an_error_and_the_server_goes_on(python: &Path) {
    let (_server, mut client) = pair(python).await;
    let line = r#"{"do": "call", "method": "panic", "body": null}"#;
    say(
        &mut client,
        line,
        "error",
        "0x0031 panicked the handler panicked",
    )
    .await;
    check_calls(&mut client).await;
}

async fn a_cancelled_request_is_forgotten(python: &Path) {
    let (server, mut client) = pair(python).await;
    say(
        &mut client,
        r#"{"do": "cancel", "method": "wait"}"#,
        "cancelled",
        "",
    )
    .await;
    let cancelled = async {
        while server.stats().cancelled == 0 || server.stats().running > 0 {
            yield_now().await;
        }
    };
    soon(cancelled).await;
    check_calls(&mut client).await;
}

async fn a_deadline_that_passes_ends_the_call_as_unknown(python: &Path) {
    let (_server, mut client) = pair(python).await;
    let line = r#"{"do": "call", "method": "wait", "body": null, "deadline": 0.2}"#;
    say(&mut client, line, "unknown", "0x0021").await;
    check_calls(&mut client).await;
}

async fn a_service_that_the_server_does_not_serve_is_refused(python: &Path) {
    let server = serve("another").await;
    let mut client = start_client(python, &server.instance().expect("it was bound"));
    assert_eq!(client.expect("refused").await, "rejected 0x0013");
}

async fn a_server_that_stops_answers_what_it_has(python: &Path) {
    let (server, mut client) = pair(python).await;
    client
        .tell(r#"{"do": "push", "method": "echo", "count": 300}"#)
        .await;
    let begun = async {
        while server.stats().answered < 300 {
            yield_now().await;
        }
    };
    soon(begun).await;
    let closing = server.close();
    let (ended, ()) = tokio::join!(client.expect("values"), closing);
    assert_eq!(ended, "300 of 300, right True, in order True");
}

async fn pair(python: &Path) -> (Server, Script) {
    let server = serve("geo").await;
    let mut client = start_client(python, &server.instance().expect("it was bound"));
    client.expect("hello").await;
    (server, client)
}

async fn serve(service: &str) -> Server {
    let server = Server::builder(service)
        .bind("tcp://127.0.0.1:*")
        .serve(handle)
        .await;
    server.expect("a free port")
}
