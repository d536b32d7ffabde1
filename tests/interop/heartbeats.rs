//! Heartbeats between our sockets and those of libzmq, which have nothing else to say.
#![cfg(unix)]
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use pushsub::{Endpoint, Event, LinkError, Monitor, SocketType};

use crate::matrix::ours::Ours;
use crate::peer::{options, soon};
use crate::support::{Script, guarded, python};

/// Each of our types with one of theirs.
const PAIRS: [(SocketType, SocketType); 11] = {
    use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
    [
        (Pair, Pair),
        (Pub, Sub),
        (Sub, XPub),
        (XPub, XSub),
        (XSub, Pub),
        (Push, Pull),
        (Pull, Push),
        (Req, Rep),
        (Rep, Req),
        (Dealer, Router),
        (Router, Dealer),
    ]
};

/// One of ours, and where and how one of theirs meets it.
struct Meeting {
    ours: Ours,
    monitor: Monitor,
    /// TYPE,ENDPOINT,ROLE for `heartbeats.py`.
    theirs: String,
    we_ping: bool,
}

impl Meeting {
    async fn arrange((ours, theirs): (SocketType, SocketType), role: &str, we_ping: bool) -> Self {
        let interval = we_ping.then_some(Duration::from_millis(500));
        let ours = Ours::new(ours, options().heartbeat_interval(interval));
        let monitor = ours.monitor();
        let mut endpoint = "tcp://127.0.0.1:*".to_owned();
        if role == "connect" {
            endpoint = ours.bind(&endpoint).await.to_string();
        }
        let theirs = format!("{theirs},{endpoint},{role}");
        Self {
            ours,
            monitor,
            theirs,
            we_ping,
        }
    }
}

/// C11: a peer that answers is kept by both ends, each of which would else cut
/// it, and one that is frozen is cut, whatever the types and whoever connected.
/// Where we do not ask, nothing but our answers keeps the link.
#[test]
fn a_peer_that_answers_heartbeats_is_kept_and_a_frozen_one_is_cut() {
    let Some(python) = python() else { return };
    guarded(peers_answer_and_freeze(python));
}

async fn peers_answer_and_freeze(python: &'static Path) {
    let mut meetings = Vec::new();
    for pair in PAIRS {
        for (role, we_ping) in [
            ("bind", false),
            ("bind", true),
            ("connect", false),
            ("connect", true),
        ] {
            meetings.push(Meeting::arrange(pair, role, we_ping).await);
        }
    }
    let arguments: Vec<_> = meetings.iter().map(|one| one.theirs.as_str()).collect();
    let mut peer = Script::start(python, "heartbeats.py", &arguments);
    for Meeting { ours, theirs, .. } in &meetings {
        let endpoint = peer.expect("endpoint").await;
        if theirs.ends_with("bind") {
            let endpoint: Endpoint = endpoint.parse().expect("an endpoint");
            ours.connect(&endpoint);
        }
    }
    for Meeting { monitor, .. } in &mut meetings {
        while !matches!(soon(monitor.next()).await, Some(Event::Connected { .. })) {}
    }
    // They would cut us after two seconds without an answer, we them after one.
    peer.tell("wait 2500").await;
    peer.expect("waited").await;
    for one in &mut meetings {
        let event = one.monitor.next().now_or_never();
        assert!(event.is_none(), "{}: {event:?}", one.theirs);
    }
    peer.tell("freeze").await;
    for one in meetings.iter_mut().filter(|one| one.we_ping) {
        let Some(Event::Disconnected { reason, .. }) = soon(one.monitor.next()).await else {
            panic!("{}: not cut", one.theirs);
        };
        assert_eq!(reason, LinkError::Silent, "{}", one.theirs);
    }
}
