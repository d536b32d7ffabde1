//! PUSH and PULL with libzmq at the other end.

use std::path::Path;

use pushsub::{Pull, Push};

use crate::peer::{Peer, Role, in_both_roles, message, messages, options, soon};

in_both_roles!(
    what_push_sends_arrives_at_their_pull,
    what_their_push_sends_arrives_at_pull,
    push_goes_on_with_a_peer_that_was_restarted,
    pull_goes_on_with_a_peer_that_was_restarted,
    a_thousand_messages_arrive_in_order,
);

async fn what_push_sends_arrives_at_their_pull(python: &'static Path, role: Role) {
    let push = Push::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "PULL", role, &push).await;
    for frames in messages() {
        soon(push.send(message(&frames))).await.expect("open");
        peer.tell(&format!("expect {frames}"), "good").await;
    }
}

async fn what_their_push_sends_arrives_at_pull(python: &'static Path, role: Role) {
    let pull = Pull::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "PUSH", role, &pull).await;
    for frames in messages() {
        peer.tell(&format!("send {frames}"), "sent").await;
        assert_eq!(soon(pull.recv()).await, Ok(message(&frames)));
    }
}

async fn push_goes_on_with_a_peer_that_was_restarted(python: &'static Path, role: Role) {
    let push = Push::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "PULL", role, &push).await;
    for round in ["t:first", "t:second", "t:third"] {
        soon(push.send(message(round))).await.expect("open");
        peer.tell(&format!("expect {round}"), "good").await;
        peer = peer.restart().await;
    }
}

async fn pull_goes_on_with_a_peer_that_was_restarted(python: &'static Path, role: Role) {
    let pull = Pull::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "PUSH", role, &pull).await;
    for round in ["t:first", "t:second", "t:third"] {
        peer.tell(&format!("send {round}"), "sent").await;
        assert_eq!(soon(pull.recv()).await, Ok(message(round)));
        peer = peer.restart().await;
    }
}

/// Also accounts for them: all are written, none is dropped (design, section 4).
async fn a_thousand_messages_arrive_in_order(python: &'static Path, role: Role) {
    let push = Push::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "PULL", role, &push).await;
    for seed in 0..1_000 {
        let frames = format!("p:{seed}:{seed}");
        soon(push.send(message(&frames))).await.expect("open");
    }
    for seed in 0..1_000 {
        peer.tell(&format!("expect p:{seed}:{seed}"), "good").await;
    }
    let sent = push.stats().sent;
    assert_eq!(
        (sent.accepted, sent.written, sent.dropped.total()),
        (1_000, 1_000, 0)
    );
}
