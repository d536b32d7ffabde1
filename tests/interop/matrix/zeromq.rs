//! The pairs with the crate `zeromq` 0.7, in both roles, in this process.
//!
//! It has no PAIR and no heartbeats. Only its SUB and XSUB connect again by
//! themselves: the others are made anew, but PULL, which never lets go.

use std::time::Duration;

use futures::StreamExt;
use pushsub::{Event, Identity, Message, Monitor, SocketType, XPub};
use tokio::task::yield_now;
use zeromq::{Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqError, ZmqMessage};

use super::ours::Ours;
use super::talk::{OURS, THEIRS, Theirs, talk};
use super::{assert_page_shows, table};
use crate::peer::{Folder, message, options, soon};
use crate::support::guarded;

/// A test for each pair, and the list of them.
macro_rules! pairs {
    ($($name:ident: $ours:ident, $theirs:ident;)*) => {
        const PAIRS: &[(SocketType, SocketType)] =
            &[$((SocketType::$ours, SocketType::$theirs)),*];

        $(
            #[test]
            fn $name() {
                guarded(cells(SocketType::$ours, SocketType::$theirs));
            }
        )*
    };
}

pairs! {
    pub_and_their_sub: Pub, Sub;
    pub_and_their_xsub: Pub, XSub;
    sub_and_their_pub: Sub, Pub;
    sub_and_their_xpub: Sub, XPub;
    xpub_and_their_sub: XPub, Sub;
    xpub_and_their_xsub: XPub, XSub;
    xsub_and_their_pub: XSub, Pub;
    xsub_and_their_xpub: XSub, XPub;
    push_and_their_pull: Push, Pull;
    pull_and_their_push: Pull, Push;
    req_and_their_rep: Req, Rep;
    req_and_their_router: Req, Router;
    rep_and_their_req: Rep, Req;
    rep_and_their_dealer: Rep, Dealer;
    dealer_and_their_rep: Dealer, Rep;
    dealer_and_their_dealer: Dealer, Dealer;
    dealer_and_their_router: Dealer, Router;
    router_and_their_req: Router, Req;
    router_and_their_dealer: Router, Dealer;
    router_and_their_router: Router, Router;
}

/// Both roles, over tcp and ipc.
async fn cells(ours: SocketType, theirs: SocketType) {
    for we_bind in [true, false] {
        let tcp = "tcp://127.0.0.1:0".to_owned();
        join(ours, theirs, we_bind, tcp).await;
        let folder = Folder::new();
        join(ours, theirs, we_bind, folder.endpoint()).await;
    }
    println!("{ours} and their {theirs}: cells 4, failed 0");
}

/// Both rounds of a cell, with another of their sockets in the second.
async fn join(our_type: SocketType, their_type: SocketType, we_bind: bool, mut endpoint: String) {
    let identity = Identity::new(OURS).expect("a sound identity");
    let ours = Ours::new(our_type, options().identity(identity));
    let mut monitor = ours.monitor();
    if matches!(our_type, SocketType::Sub | SocketType::XSub) {
        ours.subscribe();
    }
    if we_bind {
        endpoint = ours.bind(&endpoint).await.to_string();
    }
    for round in 0..2 {
        let mut theirs = Theirs07::new(their_type);
        if we_bind {
            theirs.connect(&endpoint).await;
        } else {
            // What its closed socket leaves, it takes for one that listens.
            let file = endpoint.strip_prefix("ipc://").map(std::fs::remove_file);
            drop(file);
            endpoint = theirs.bind(&endpoint).await;
        }
        if !we_bind && round == 0 {
            ours.connect(&endpoint.parse().expect("an endpoint"));
        }
        happens(&mut monitor, |event| {
            matches!(event, Event::Connected { .. })
        })
        .await;
        talk((&ours, our_type), (&mut theirs, their_type)).await;
        theirs.close().await;
        // A PULL of theirs that is closed leaves its connections open.
        if their_type == SocketType::Pull {
            return;
        }
        happens(&mut monitor, |event| {
            matches!(event, Event::Disconnected { .. })
        })
        .await;
    }
    let stats = ours.stats();
    assert_eq!(stats.sent.dropped.total(), 0, "{stats:?}");
    soon(ours.close(Duration::from_secs(5))).await;
}

/// Its SUB connects again and subscribes again when we are back.
#[test]
fn their_sub_is_back_with_its_subscription_when_we_are() {
    guarded(their_sub_comes_back());
}

async fn their_sub_comes_back() {
    let publisher = XPub::with_options(options()).expect("options that it heeds");
    let endpoint = publisher.bind("tcp://127.0.0.1:*").await.expect("a port");
    let mut theirs = SubSocket::new();
    theirs.subscribe("news").await.expect("it is open");
    let connected = theirs.connect(&endpoint.to_string()).await;
    connected.expect("we listen");
    assert_eq!(soon(publisher.recv()).await, Ok(message("h:016e657773")));
    publisher.close(Duration::from_secs(5)).await;
    let publisher = XPub::with_options(options()).expect("options that it heeds");
    publisher.bind(&endpoint).await.expect("the port is ours");
    // It notices the end of a connection, and that there is a new one, while it receives.
    let receiving = async {
        loop {
            if let Ok(received) = theirs.recv().await {
                return received;
            }
        }
    };
    let publishing = async {
        assert_eq!(publisher.recv().await, Ok(message("h:016e657773")));
        publisher.send("news").await.expect("open");
    };
    let (received, ()) = soon(async { tokio::join!(receiving, publishing) }).await;
    assert_eq!(Message::try_from(received), Ok(message("t:news")));
}

#[test]
fn the_page_shows_the_pairs_that_are_run() {
    assert_page_shows(&table(PAIRS, 4));
}

#[test]
fn every_pair_that_may_talk_has_a_test_but_that_of_pairs() {
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            let tested = PAIRS.contains(&(ours, theirs));
            let legal = ours.accepts(theirs) && ours != SocketType::Pair;
            assert_eq!(tested, legal, "{ours} and {theirs}");
        }
    }
}

async fn happens(monitor: &mut Monitor, is_it: fn(&Event) -> bool) {
    let wanted = async { while !is_it(&monitor.next().await.expect("the socket is open")) {} };
    soon(wanted).await;
}

/// A socket of the crate whose type is known at run time.
macro_rules! any_socket {
    ($($kind:ident: $socket:ident),*) => {
        enum Theirs07 {
            $($kind(zeromq::$socket),)*
        }

        impl Theirs07 {
            fn new(socket_type: SocketType) -> Self {
                let mut options = SocketOptions::default();
                options.peer_identity(THEIRS.parse().expect("a sound identity"));
                match socket_type {
                    $(SocketType::$kind => Self::$kind(zeromq::$socket::with_options(options)),)*
                    SocketType::Pair => unreachable!("it has none"),
                }
            }

            async fn bind(&mut self, endpoint: &str) -> String {
                let bound = match self {
                    $(Self::$kind(socket) => socket.bind(endpoint).await,)*
                };
                bound.expect("a free port").to_string()
            }

            async fn connect(&mut self, endpoint: &str) {
                let connected = match self {
                    $(Self::$kind(socket) => socket.connect(endpoint).await,)*
                };
                connected.expect("we listen");
            }

            async fn close(self) {
                let errors = match self {
                    $(Self::$kind(socket) => socket.close().await,)*
                };
                assert!(errors.is_empty(), "{errors:?}");
            }
        }
    };
}

any_socket!(
    Pub: PubSocket,
    Sub: SubSocket,
    XPub: XPubSocket,
    XSub: XSubSocket,
    Push: PushSocket,
    Pull: PullSocket,
    Req: ReqSocket,
    Rep: RepSocket,
    Dealer: DealerSocket,
    Router: RouterSocket
);

impl Theirs07 {
    async fn recv(&mut self) -> Message {
        let received = async {
            match self {
                Self::Sub(socket) => socket.recv().await,
                Self::XPub(socket) => socket.recv().await,
                Self::XSub(socket) => socket.recv().await,
                Self::Pull(socket) => socket.recv().await,
                Self::Req(socket) => socket.recv().await,
                Self::Rep(socket) => socket.recv().await,
                Self::Dealer(socket) => socket.recv().await,
                Self::Router(socket) => socket.recv().await,
                Self::Pub(_) | Self::Push(_) => unreachable!("these do not receive"),
            }
        };
        let received = soon(received).await.expect("it is connected");
        received.try_into().expect("at least one frame")
    }

    async fn try_send(&mut self, message: ZmqMessage) -> Result<(), ZmqError> {
        match self {
            Self::Pub(socket) => socket.send(message).await,
            Self::XPub(socket) => socket.send(message).await,
            Self::XSub(socket) => socket.send(message).await,
            Self::Push(socket) => socket.send(message).await,
            Self::Req(socket) => socket.send(message).await,
            Self::Rep(socket) => socket.send(message).await,
            Self::Dealer(socket) => socket.send(message).await,
            Self::Router(socket) => socket.send(message).await,
            Self::Sub(_) | Self::Pull(_) => unreachable!("these do not send"),
        }
    }
}

impl Theirs for Theirs07 {
    async fn subscribe(&mut self) {
        let subscribed = match self {
            Self::Sub(socket) => socket.subscribe("").await,
            Self::XSub(socket) => socket.subscribe("").await,
            _ => unreachable!("no subscriber"),
        };
        subscribed.expect("it is open");
    }

    /// It gives a message back until it has noticed that we are there.
    async fn send(&mut self, frames: &str) {
        let mut sending = ZmqMessage::from(message(frames));
        let sent = async {
            loop {
                match self.try_send(sending).await {
                    Ok(()) => return,
                    Err(ZmqError::ReturnToSender { message, .. }) => sending = message,
                    Err(error) => panic!("{error}"),
                }
                yield_now().await;
            }
        };
        soon(sent).await;
    }

    async fn expect(&mut self, frames: &str) {
        assert_eq!(self.recv().await, message(frames));
    }

    async fn answer(&mut self, frames: &str) {
        self.expect(frames).await;
        self.send(frames).await;
    }

    async fn repeat_until(&mut self, frames: &str, heard: impl Future<Output = ()>) {
        let mut heard = std::pin::pin!(heard);
        loop {
            self.send(frames).await;
            tokio::select! {
                () = &mut heard => return,
                () = yield_now() => {}
            }
        }
    }
}
