//! `pushsub broker` as a process: what it prints, how it stops, how it says no.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use pushsub::{Dealer, Message};

/// A broker's process, which does not outlive the test.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let child = program(arguments).spawn().expect("the program starts");
        Self(child)
    }

    /// The three lines: requests, responses, workers.
    fn endpoints(&mut self) -> [String; 3] {
        let mut lines = BufReader::new(self.0.stdout.as_mut().expect("piped")).lines();
        ["requests ", "responses ", "workers "].map(|name| {
            let line = lines.next().expect("three lines").expect("text");
            line.strip_prefix(name).expect(name).to_owned()
        })
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill is there").success());
    }

    fn wait(mut self) -> ExitStatus {
        self.0.wait().expect("it is our child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushsub"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program starts")
}

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
    let endpoints = broker.endpoints();
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
        broker.endpoints();
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line_and_exits_with_2() {
    let mut taken = Process::start(&ANY);
    let [requests, ..] = taken.endpoints();
    for (arguments, says) in [
        (vec!["broker", "--front", &requests], "cannot listen on"),
        (
            vec!["broker", "--front", "nowhere"],
            "starts with a transport",
        ),
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
        broker.endpoints();
        let stderr = broker.0.stderr.take().expect("piped");
        broker.signal("-TERM");
        assert_eq!(broker.wait().code(), Some(0));
        assert_eq!(
            BufReader::new(stderr).lines().count() > 0,
            lines,
            "{filter}"
        );
    }
}
