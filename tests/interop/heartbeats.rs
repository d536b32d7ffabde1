//! Heartbeats between our sockets and those of libzmq, which have nothing else to say.
#![cfg(unix)]
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use pushsub::{Endpoint, Event, LinkError, Monitor, SocketType};

use crate::matrix::ours::Ours;
use crate::peer::{options, soon};
use crate::support::{Script, python};

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

/// C11: a peer that answers is kept by both ends, each of which would else cut
/// it, and one that is frozen is cut, whatever the types and whoever connected.
#[tokio::test]
async fn a_peer_that_answers_heartbeats_is_kept_and_a_frozen_one_is_cut() {
    let Some(python) = python() else { return };
    let interval = Some(Duration::from_millis(500));
    let mut sockets: Vec<(Ours, Monitor)> = Vec::new();
    let mut arguments = Vec::new();
    for (ours, theirs) in PAIRS {
        for role in ["bind", "connect"] {
            let socket = Ours::new(ours, options().heartbeat_interval(interval));
            let monitor = socket.monitor();
            let endpoint = match role {
                "connect" => socket.bind("tcp://127.0.0.1:*").await.to_string(),
                _ => "tcp://127.0.0.1:*".to_owned(),
            };
            arguments.push(format!("{theirs},{endpoint},{role}"));
            sockets.push((socket, monitor));
        }
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut peer = Script::start(python, "heartbeats.py", &arguments);
    for (place, (socket, _)) in sockets.iter().enumerate() {
        let endpoint = peer.expect("endpoint").await;
        if place % 2 == 0 {
            let endpoint: Endpoint = endpoint.parse().expect("an endpoint");
            socket.connect(&endpoint);
        }
    }
    for (_, monitor) in &mut sockets {
        while !matches!(soon(monitor.next()).await, Some(Event::Connected { .. })) {}
    }
    // They would cut us after two seconds without an answer, we them after one.
    peer.tell("wait 2500").await;
    peer.expect("waited").await;
    for (place, (_, monitor)) in sockets.iter_mut().enumerate() {
        let event = monitor.next().now_or_never();
        assert!(event.is_none(), "{}: {event:?}", arguments[place]);
    }
    peer.tell("freeze").await;
    for (place, (_, monitor)) in sockets.iter_mut().enumerate() {
        let Some(Event::Disconnected { reason, .. }) = soon(monitor.next()).await else {
            panic!("{}: not cut", arguments[place]);
        };
        assert_eq!(reason, LinkError::Silent, "{}", arguments[place]);
    }
}
