//! A socket of ours whose type is known at run time, and what it says to a peer of another type.

use std::time::Duration;

use pushsub::{
    Closed, Dealer, Endpoint, Message, Monitor, Options, Pair, Pub, Pull, Push, Rep, Req, Router,
    SocketType, Stats, Sub, XPub, XSub,
};

macro_rules! any_socket {
    ($($kind:ident),*) => {
        pub(crate) enum Ours {
            $($kind($kind),)*
        }

        impl Ours {
            pub(crate) fn new(socket_type: SocketType, options: Options) -> Self {
                match socket_type {
                    $(SocketType::$kind => Self::$kind(
                        $kind::with_options(options).expect("options of every type"),
                    ),)*
                }
            }

            pub(crate) async fn bind(&self, endpoint: &str) -> Endpoint {
                match self {
                    $(Self::$kind(socket) => socket.bind(endpoint).await,)*
                }
                .expect("a free place")
            }

            pub(crate) fn connect(&self, endpoint: &Endpoint) {
                match self {
                    $(Self::$kind(socket) => socket.connect(endpoint),)*
                }
                .expect("an endpoint to connect to");
            }

            pub(crate) fn monitor(&self) -> Monitor {
                match self {
                    $(Self::$kind(socket) => socket.monitor(),)*
                }
            }

            pub(crate) fn stats(&self) -> Stats {
                match self {
                    $(Self::$kind(socket) => socket.stats(),)*
                }
            }

            pub(crate) async fn close(self, linger: Duration) -> Closed {
                match self {
                    $(Self::$kind(socket) => socket.close(linger).await,)*
                }
            }
        }
    };
}

any_socket!(
    Pair, Pub, Sub, XPub, XSub, Push, Pull, Req, Rep, Dealer, Router
);

impl Ours {
    pub(crate) async fn send(&self, message: Message) {
        match self {
            Self::Pair(socket) => socket.send(message).await,
            Self::Pub(socket) => socket.send(message).await,
            Self::XPub(socket) => socket.send(message).await,
            Self::XSub(socket) => socket.send(message).await,
            Self::Push(socket) => socket.send(message).await,
            Self::Dealer(socket) => socket.send(message).await,
            Self::Router(socket) => socket.send(message).await,
            Self::Sub(_) | Self::Pull(_) | Self::Req(_) | Self::Rep(_) => {
                unreachable!("these do not send by themselves")
            }
        }
        .expect("it is open");
    }

    pub(crate) async fn recv(&self) -> Message {
        match self {
            Self::Pair(socket) => socket.recv().await,
            Self::Sub(socket) => socket.recv().await,
            Self::XPub(socket) => socket.recv().await,
            Self::XSub(socket) => socket.recv().await,
            Self::Pull(socket) => socket.recv().await,
            Self::Dealer(socket) => socket.recv().await,
            Self::Router(socket) => socket.recv().await,
            Self::Pub(_) | Self::Push(_) | Self::Req(_) | Self::Rep(_) => {
                unreachable!("these do not receive by themselves")
            }
        }
        .expect("it is open")
    }

    /// What has come, if anything has and the type has use for it.
    pub(crate) fn try_recv(&self) -> Option<Message> {
        match self {
            Self::Pair(socket) => socket.try_recv().ok(),
            Self::Sub(socket) => socket.try_recv().ok(),
            Self::XPub(socket) => socket.try_recv().ok(),
            Self::XSub(socket) => socket.try_recv().ok(),
            Self::Pull(socket) => socket.try_recv().ok(),
            Self::Dealer(socket) => socket.try_recv().ok(),
            Self::Router(socket) => socket.try_recv().ok(),
            Self::Rep(socket) => socket.try_recv().ok().map(|(request, _)| request),
            Self::Pub(_) | Self::Push(_) | Self::Req(_) => None,
        }
    }

    /// Sends a message and returns what comes back.
    pub(crate) async fn ask(&self, message: Message) -> Message {
        if let Self::Req(socket) = self {
            return socket.request(message).await.expect("it is open");
        }
        self.send(message).await;
        self.recv().await
    }

    /// Receives a message, sends it back, and returns what it was.
    pub(crate) async fn answer(&self) -> Message {
        if let Self::Rep(socket) = self {
            let (question, responder) = socket.recv().await.expect("it is open");
            responder.send(question.clone()).expect("it is open");
            return question;
        }
        let message = self.recv().await;
        self.send(message.clone()).await;
        message
    }

    /// Subscribes to everything.
    pub(crate) fn subscribe(&self) {
        match self {
            Self::Sub(socket) => socket.subscribe(""),
            Self::XSub(socket) => socket.subscribe(""),
            _ => unreachable!("no subscriber"),
        }
    }
}
