//! DEALER and ROUTER with libzmq at the other end: DEALER, ROUTER, REQ and REP.

use std::path::Path;

use pushsub::{Dealer, Identity, Message, Router};

use crate::peer::{Peer, Role, in_both_roles, message, messages, options, soon};

in_both_roles!(
    dealer_and_their_router_talk,
    dealer_and_their_dealer_talk,
    dealer_and_their_rep_talk,
    router_and_their_dealer_talk,
    router_and_their_req_talk,
    router_and_their_router_talk,
    dealer_goes_on_with_a_router_that_was_restarted,
    router_goes_on_with_a_dealer_that_was_restarted,
);

/// Both ways, and under the identity that the DEALER was given (N10).
async fn dealer_and_their_router_talk(python: &'static Path, role: Role) {
    let identity = Identity::new("ours").expect("a sound identity");
    let dealer = Dealer::with_options(options().identity(identity)).expect("options that it heeds");
    let mut peer = Peer::join(python, "ROUTER", role, &dealer).await;
    for frames in messages() {
        soon(dealer.send(message(&frames))).await.expect("open");
        peer.tell(&format!("expect t:ours {frames}"), "good").await;
        peer.tell(&format!("send t:ours {frames}"), "sent").await;
        assert_eq!(soon(dealer.recv()).await, Ok(message(&frames)));
    }
}

async fn dealer_and_their_dealer_talk(python: &'static Path, role: Role) {
    let dealer = Dealer::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "DEALER", role, &dealer).await;
    for frames in messages() {
        soon(dealer.send(message(&frames))).await.expect("open");
        peer.tell("echo", "echoed").await;
        assert_eq!(soon(dealer.recv()).await, Ok(message(&frames)));
    }
}

/// A REP wants an empty frame before the request, and gives it back (DL08).
async fn dealer_and_their_rep_talk(python: &'static Path, role: Role) {
    let dealer = Dealer::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "REP", role, &dealer).await;
    for frames in messages() {
        let request = message(&format!("h: {frames}"));
        soon(dealer.send(request.clone())).await.expect("open");
        peer.tell("echo", "echoed").await;
        assert_eq!(soon(dealer.recv()).await, Ok(request));
    }
}

async fn router_and_their_dealer_talk(python: &'static Path, role: Role) {
    let router = Router::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "DEALER", role, &router).await;
    for frames in messages() {
        peer.tell(&format!("send {frames}"), "sent").await;
        let received = soon(router.recv()).await.expect("open");
        assert_eq!(received, message(&format!("t:python {frames}")));
        soon(router.send(received)).await.expect("open");
        peer.tell(&format!("expect {frames}"), "good").await;
    }
}

async fn router_and_their_req_talk(python: &'static Path, role: Role) {
    let router = Router::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "REQ", role, &router).await;
    for frames in messages() {
        peer.tell(&format!("send {frames}"), "sent").await;
        let received = soon(router.recv()).await.expect("open");
        assert_eq!(received, message(&format!("t:python h: {frames}")));
        soon(router.send(received)).await.expect("open");
        peer.tell(&format!("expect {frames}"), "good").await;
    }
}

async fn router_and_their_router_talk(python: &'static Path, role: Role) {
    let identity = Identity::new("ours").expect("a sound identity");
    let router = Router::with_options(options().identity(identity)).expect("options that it heeds");
    let mut peer = Peer::join(python, "ROUTER", role, &router).await;
    for frames in messages() {
        soon(router.send(message(&format!("t:python {frames}"))))
            .await
            .expect("open");
        peer.tell(&format!("expect t:ours {frames}"), "good").await;
        peer.tell(&format!("send t:ours {frames}"), "sent").await;
        let received = soon(router.recv()).await;
        assert_eq!(received, Ok(message(&format!("t:python {frames}"))));
    }
}

async fn dealer_goes_on_with_a_router_that_was_restarted(python: &'static Path, role: Role) {
    let dealer = Dealer::with_options(options()).expect("options that it heeds");
    let mut peer = Peer::join(python, "ROUTER", role, &dealer).await;
    for round in ["first", "second", "third"] {
        soon(dealer.send(round)).await.expect("open");
        peer.tell("echo", "echoed").await;
        assert_eq!(soon(dealer.recv()).await, Ok(Message::from(round)));
        peer = peer.restart().await;
    }
}

/// The new peer has the identity of the one that is gone.
async fn router_goes_on_with_a_dealer_that_was_restarted(python: &'static Path, role: Role) {
    let router = Router::with_options(options().mandatory(true)).expect("options that it heeds");
    let mut peer = Peer::join(python, "DEALER", role, &router).await;
    for round in ["t:first", "t:second", "t:third"] {
        peer.tell(&format!("send {round}"), "sent").await;
        let received = soon(router.recv()).await.expect("open");
        soon(router.send(received))
            .await
            .expect("a peer that is known");
        peer.tell(&format!("expect {round}"), "good").await;
        peer = peer.restart().await;
    }
}
