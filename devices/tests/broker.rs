//! `pushsub broker` as a process: what it prints, how it stops, how it says no.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader};

use pushsub::{Dealer, Message};

use support::{Process, run};

/// The lines that it prints.
const LINES: [&str; 3] = ["requests ", "responses ", "workers "];

const ANY: [&str; 5] = [
    "broker",
    "--front",
    "tcp://127.0.0.1:*",
    "--back",
    "tcp://127.0.0.1:*",
];

/// A worker's hello, as docs/protocol.md has it.
fn hello() -> Message {
    let mut control = vec![0; 72];
    control[0] = 1;
    control[1] = 9;
    control[39] = 7;
    control[63] = 1;
    control.extend_from_slice(b"\x03geo\0\0\0");
    let frames = vec![vec![].into(), control.into(), vec![].into(), vec![].into()];
    Message::from_frames(frames).expect("four frames")
}

#[tokio::test]
async fn it_prints_where_it_listens_and_serves_there() {
    let mut broker = Process::start(&ANY);
    let endpoints = broker.endpoints(LINES);
    for endpoint in &endpoints {
        assert!(
            !endpoint.ends_with('*') && !endpoint.ends_with(":0"),
            "{endpoint}"
        );
    }
    let worker = Dealer::new();
    worker.connect(&endpoints[2]).expect("an endpoint");
    worker.send(hello()).await.expect("open");
    let answer = worker.recv().await.expect("open");
    assert_eq!((answer[1][0], answer[1][1]), (1, 9));
    broker.signal("-TERM");
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn either_signal_stops_it_cleanly() {
    for signal in ["-TERM", "-INT"] {
        let mut broker = Process::start(&ANY);
        broker.endpoints(LINES);
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line_and_exits_with_2() {
    let mut taken = Process::start(&ANY);
    let [requests, ..] = taken.endpoints(LINES);
    for (arguments, says) in [
        (vec!["broker", "--front", &requests], "cannot listen on"),
        (vec!["broker", "--front", "nowhere"], "names no transport"),
        (vec!["broker", "--back", "memory://here"], "reaches nobody"),
        (vec!["broker", "--back", "tcp://*:*"], "--insecure"),
        (vec!["broker", "--heartbeat", "fast"], "a number and a unit"),
        (vec!["broker", "--heartbeat", "0s"], "1ms to 1h"),
        (vec!["broker", "--queue-messages", "0"], "0 is not in"),
        (vec!["broker", "--queue-bytes", "much"], "--queue-bytes"),
        (vec!["broker", "--frnt", "x"], "--frnt"),
        (vec!["brokr"], "brokr"),
        (vec!["broker", "--log", "a=b=c"], "--log"),
    ] {
        let output = run(&arguments);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_stranger_finds_help_and_version() {
    for (arguments, says) in [
        (&["--help"][..], "broker"),
        (&["broker", "--help"], "pushsub broker --front"),
        (&["broker", "-h"], "Examples"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn the_log_goes_to_stderr_and_follows_its_filter() {
    for (filter, lines) in [("info", true), ("off", false)] {
        let mut broker = Process::start(&[&ANY[..], &["--log", filter]].concat());
        broker.endpoints(LINES);
        let stderr = broker.stderr();
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
        assert_eq!(
            BufReader::new(stderr).lines().count() > 0,
            lines,
            "{filter}"
        );
    }
}
