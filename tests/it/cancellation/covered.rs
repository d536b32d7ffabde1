//! The table of all that is public and has to be polled, and where it is dropped; a test holds it complete.

use std::collections::BTreeSet;

use crate::tidy::source::{House, Source};

/// Each public method that is a future, as `file::name`, and the test of this folder that drops it.
const METHODS: &[(&str, &str)] = &[
    (
        "device/broker/mod.rs::close",
        "devices.rs::a_broker_outlives_those_who_wait_for_its_workers",
    ),
    (
        "device/broker/mod.rs::spawn",
        "devices.rs::a_device_whose_start_is_dropped_has_started_nothing",
    ),
    (
        "device/broker/mod.rs::wait_for_workers",
        "devices.rs::a_worker_that_comes_is_seen_by_who_waits_again",
    ),
    (
        "device/broker/mod.rs::workers_changed",
        "devices.rs::a_broker_outlives_those_who_wait_for_its_workers",
    ),
    (
        "device/classic.rs::close",
        "devices.rs::a_device_whose_end_is_dropped_ends_and_doubles_nothing",
    ),
    (
        "device/classic.rs::spawn",
        "devices.rs::a_device_whose_start_is_dropped_has_started_nothing",
    ),
    (
        "device/classic.rs::terminate",
        "devices.rs::a_device_whose_end_is_dropped_ends_and_doubles_nothing",
    ),
    (
        "device/proxy.rs::run",
        "devices.rs::a_proxy_that_is_left_loses_one_message_at_most",
    ),
    (
        "device/proxy/handle.rs::finish",
        "devices.rs::who_waits_for_the_end_of_a_proxy_may_give_up",
    ),
    (
        "device/proxy/handle.rs::terminate",
        "devices.rs::who_waits_for_the_end_of_a_proxy_may_give_up",
    ),
    (
        "device/proxy/handle.rs::wait_until_ended",
        "devices.rs::who_waits_for_the_end_of_a_proxy_may_give_up",
    ),
    (
        "service/client.rs::call",
        "services.rs::a_call_that_is_dropped_gives_its_window_back",
    ),
    (
        "service/client.rs::close",
        "services.rs::an_end_that_nobody_waits_for_comes_even_so",
    ),
    (
        "service/client.rs::next",
        "services.rs::a_push_that_is_dropped_has_pushed_nothing",
    ),
    (
        "service/client.rs::push",
        "services.rs::a_push_that_is_dropped_has_pushed_nothing",
    ),
    (
        "service/client/builder.rs::connect",
        "services.rs::a_beginning_that_is_dropped_has_begun_nothing",
    ),
    (
        "service/client/request.rs::call",
        "services.rs::a_call_that_is_dropped_gives_its_window_back",
    ),
    (
        "service/client/request.rs::push",
        "services.rs::a_push_that_is_dropped_has_pushed_nothing",
    ),
    (
        "service/listener.rs::connect",
        "services.rs::a_listener_that_is_left_hears_every_response",
    ),
    (
        "service/listener.rs::next",
        "services.rs::a_listener_that_is_left_hears_every_response",
    ),
    (
        "service/server.rs::close",
        "services.rs::an_end_that_nobody_waits_for_comes_even_so",
    ),
    (
        "service/server/builder.rs::serve",
        "services.rs::a_beginning_that_is_dropped_has_begun_nothing",
    ),
    (
        "socket/operations.rs::bind",
        "life.rs::a_bind_that_is_dropped_has_bound_nothing",
    ),
    (
        "socket/operations.rs::close",
        "life.rs::a_close_that_is_dropped_closes_at_once_and_doubles_nothing",
    ),
    (
        "socket/operations.rs::recv",
        "receiving.rs::a_receive_that_is_dropped_loses_nothing",
    ),
    (
        "socket/operations.rs::recv_from",
        "receiving.rs::a_receive_with_its_peer_that_is_dropped_loses_nothing",
    ),
    (
        "socket/operations.rs::recv_many",
        "receiving.rs::a_receive_of_many_that_is_dropped_loses_nothing",
    ),
    (
        "socket/operations.rs::send",
        "sending.rs::a_send_that_is_dropped_has_sent_nothing",
    ),
    (
        "socket/operations.rs::send_with",
        "sending.rs::a_send_for_a_receipt_that_is_dropped_has_sent_nothing",
    ),
    (
        "socket/permit.rs::reserve",
        "sending.rs::a_reservation_that_is_dropped_has_taken_no_place",
    ),
    (
        "socket/publish.rs::recv_upstream",
        "receiving.rs::a_receive_of_subscriptions_that_is_dropped_loses_none",
    ),
    (
        "socket/receipt.rs::written",
        "sending.rs::a_send_for_a_receipt_that_is_dropped_has_sent_nothing",
    ),
    (
        "socket/request_reply.rs::recv",
        "receiving.rs::a_request_received_in_a_future_that_is_dropped_is_received_by_the_next",
    ),
    (
        "socket/request_reply.rs::recv_from",
        "receiving.rs::a_request_received_in_a_future_that_is_dropped_is_received_by_the_next",
    ),
    (
        "socket/request_reply.rs::request",
        "exchange.rs::a_request_that_is_dropped_leaves_a_sound_socket",
    ),
    (
        "testing.rs::accept",
        "life.rs::an_accept_that_is_dropped_loses_no_wire",
    ),
];

/// Each file with a public stream or sink, and the test that leaves one between its polls.
const STREAMS: &[(&str, &str, &str)] = &[
    (
        "socket/operations.rs::Sink",
        "sending.rs::what_a_sink_was_given_is_sent_once_or_not_at_all",
        "SinkExt",
    ),
    (
        "socket/operations.rs::Stream",
        "receiving.rs::a_stream_that_is_left_loses_nothing",
        "next",
    ),
    (
        "socket/request_reply.rs::Stream",
        "receiving.rs::a_request_received_in_a_future_that_is_dropped_is_received_by_the_next",
        "next",
    ),
    (
        "socket/monitor.rs::Stream",
        "life.rs::a_monitor_that_is_left_misses_no_event",
        "next",
    ),
    (
        "service/client.rs::Stream",
        "services.rs::a_push_that_is_dropped_has_pushed_nothing",
        "next",
    ),
    (
        "service/listener.rs::Stream",
        "services.rs::a_listener_that_is_left_hears_every_response",
        "next",
    ),
    (
        "device/proxy/one_way.rs::Stream",
        "devices.rs::a_proxy_that_is_left_loses_one_message_at_most",
        "Receiving",
    ),
    (
        "device/proxy/one_way.rs::Sink",
        "devices.rs::a_proxy_that_is_left_loses_one_message_at_most",
        "Sending",
    ),
];

/// What is polled and is in neither table, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "discovery/watch.rs::Stream",
        "it yields whole views of the present state, so that one may be passed over",
    ),
    (
        "zeromq.rs::Stream",
        "only with the feature `zeromq`; what it holds, it holds between its polls (tests/it/zeromq.rs)",
    ),
    (
        "zeromq.rs::Sink",
        "only with the feature `zeromq`; what it holds, it holds between its polls (tests/it/zeromq.rs)",
    ),
];

/// A8: every public method that is a future is dropped at any poll by a test, and so is every
/// public stream and sink.
#[test]
fn every_public_future_is_dropped_by_a_test() {
    let house = House::read();
    let found: BTreeSet<String> = house.sources.iter().flat_map(polled).collect();
    assert!(found.len() > 30, "the sources have more than {found:?}");
    let methods = METHODS.iter().map(|(method, _)| *method);
    let streams = STREAMS.iter().map(|(stream, _, _)| *stream);
    let excepted = EXCEPTIONS.iter().map(|(place, _)| *place);
    let listed: BTreeSet<String> = methods
        .chain(streams)
        .chain(excepted)
        .map(Into::into)
        .collect();
    assert_eq!(found, listed);
}

/// The test that stands in the table calls what it stands for.
#[test]
fn the_tests_of_the_table_are_there_and_name_what_they_drop() {
    let house = House::read();
    let methods = METHODS.iter().map(|(method, test)| {
        let name = method.rsplit("::").next().expect("file::name");
        (*test, name)
    });
    let streams = STREAMS.iter().map(|(_, test, word)| (*test, *word));
    for (test, word) in methods.chain(streams) {
        let (file, name) = test.split_once("::").expect("file::test");
        let path = format!("tests/it/cancellation/{file}");
        let source = house.sources.iter().find(|source| source.path == path);
        let source = source.unwrap_or_else(|| unreachable!("{path} is in the table"));
        let body = body_of(source, name);
        assert!(body.contains(&word), "{test} does not say `{word}`");
        assert!(body.contains(&"run"), "{test} drops nothing");
    }
}

/// What a file has that is public and polled: `pub async fn`, and streams and sinks.
fn polled(source: &Source) -> Vec<String> {
    let Some(file) = source.path.strip_prefix("src/") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (_, tokens) in &source.shipped {
        let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
        for (at, window) in words.windows(4).enumerate() {
            match window {
                ["pub", "async", "fn", name] => found.push(format!("{file}::{name}")),
                ["pub", "fn", name, _] if returns_a_future(&words[at..]) => {
                    found.push(format!("{file}::{name}"));
                }
                [kind @ ("Stream" | "Sink"), "for", ..] => found.push(format!("{file}::{kind}")),
                ["Sink", "<", "Message", ">"] if words.get(at + 4) == Some(&"for") => {
                    found.push(format!("{file}::Sink"));
                }
                _ => {}
            }
        }
    }
    found
}

/// Whether a function says that it returns an `impl Future`, before its body or its end.
fn returns_a_future(words: &[&str]) -> bool {
    let body = words.iter().position(|word| matches!(*word, "{" | ";"));
    let signature = &words[..body.unwrap_or(words.len())];
    let mut pairs = signature.windows(2);
    pairs.any(|pair| pair == ["impl", "Future"])
}

/// The words of a function, up to the next that is not inside of it.
fn body_of<'a>(source: &'a Source, name: &str) -> Vec<&'a str> {
    let words: Vec<&str> = source
        .tokens
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    let begins = |pair: &[&str]| pair == ["fn", name];
    let Some(start) = words.windows(2).position(begins) else {
        return Vec::new();
    };
    let mut depth = 0_usize;
    let mut body = Vec::new();
    for word in &words[start..] {
        body.push(*word);
        match *word {
            "{" => depth += 1,
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            _ => {}
        }
    }
    body
}
