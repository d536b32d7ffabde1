//! The socket under attack, of any type.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use pushsub::{Message, Monitor, Options, SocketType, Stats};

use super::Result;

macro_rules! victims {
    ($($kind:ident)*) => {
        /// A socket whose type is known when the test runs.
        #[derive(Clone)]
        pub(crate) enum Victim {
            $($kind(pushsub::$kind),)*
        }

        impl Victim {
            pub(crate) fn new(kind: SocketType, options: Options) -> Result<Self> {
                Ok(match kind {
                    $(SocketType::$kind => Self::$kind(pushsub::$kind::with_options(options)?),)*
                })
            }

            pub(crate) async fn bind(&self, endpoint: &str) -> Result<String> {
                Ok(match self {
                    $(Self::$kind(socket) => socket.bind(endpoint).await?.to_string(),)*
                })
            }

            pub(crate) fn connect(&self, endpoint: &str) -> Result {
                match self {
                    $(Self::$kind(socket) => socket.connect(endpoint)?,)*
                }
                Ok(())
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
        }
    };
}

victims! { Pair Pub Sub XPub XSub Push Pull Req Rep Dealer Router }

impl Victim {
    /// What has come to the application and was not taken yet, one message.
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

    /// The next message for the application, of those types that have `recv`.
    pub(crate) async fn recv(&self) -> Result<Message> {
        Ok(match self {
            Self::Pair(socket) => socket.recv().await?,
            Self::Sub(socket) => socket.recv().await?,
            Self::XPub(socket) => socket.recv().await?,
            Self::XSub(socket) => socket.recv().await?,
            Self::Pull(socket) => socket.recv().await?,
            Self::Dealer(socket) => socket.recv().await?,
            Self::Router(socket) => socket.recv().await?,
            Self::Rep(socket) => socket.recv().await?.0,
            Self::Pub(_) | Self::Push(_) | Self::Req(_) => return Err("it does not receive".into()),
        })
    }

    /// Sends without waiting, where the type sends. Whether it was taken.
    pub(crate) fn try_send(&self, message: Message) -> bool {
        match self {
            Self::Pair(socket) => socket.try_send(message).is_ok(),
            Self::Pub(socket) => socket.try_send(message).is_ok(),
            Self::XPub(socket) => socket.try_send(message).is_ok(),
            Self::XSub(socket) => socket.try_send(message).is_ok(),
            Self::Push(socket) => socket.try_send(message).is_ok(),
            Self::Dealer(socket) => socket.try_send(message).is_ok(),
            Self::Router(socket) => socket.try_send(message).is_ok(),
            Self::Req(socket) => socket.request(message).now_or_never().is_none(),
            Self::Sub(_) | Self::Pull(_) | Self::Rep(_) => false,
        }
    }
}

/// The type of a peer that a socket of this type talks to.
pub(crate) fn partner(kind: SocketType) -> SocketType {
    match kind {
        SocketType::Pair => SocketType::Pair,
        SocketType::Pub | SocketType::XPub => SocketType::Sub,
        SocketType::Sub | SocketType::XSub => SocketType::Pub,
        SocketType::Push => SocketType::Pull,
        SocketType::Pull => SocketType::Push,
        SocketType::Req => SocketType::Rep,
        SocketType::Rep => SocketType::Req,
        SocketType::Dealer | SocketType::Router => SocketType::Dealer,
    }
}

/// Waits for it, for a second at most.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    let limit = Duration::from_secs(1);
    let done = tokio::time::timeout(limit, future).await;
    done.map_err(|_| format!("{what}: not within a second").into())
}
