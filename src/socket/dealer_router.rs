//! DEALER and ROUTER: asynchronous requests and replies (28/REQREP).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};

use super::closing::Closed;
use super::handle::Handle;
use super::monitor::Monitor;
use super::operations::{
    attended_socket, every_socket, feeding_socket, receiving_socket, sending_socket,
};
use super::permit::reserving_socket;
use super::receipt::{Receipt, SendOptions};
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{
    BindError, ConnectError, OptionsError, RecvError, SendError, TryRecvError, TrySendError,
};
use crate::message::Message;
use crate::options::{Identity, Options, SocketType};

/// Sends to its peers in turn and receives from all of them, in any order.
///
/// ```
/// # tokio_test(async {
/// use pushsub::{Dealer, Router};
///
/// let router = Router::new();
/// let endpoint = router.bind("tcp://127.0.0.1:*").await?;
/// let dealer = Dealer::new();
/// dealer.connect(&endpoint)?;
/// dealer.send("question").await?;
/// let received = router.recv().await?;
/// assert_eq!(&received[1], "question");
/// // What goes back begins with the same identity, which routes it.
/// router.send(received).await?;
/// assert_eq!(dealer.recv().await?.first(), "question");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
pub struct Dealer {
    handle: Handle,
}

every_socket!(Dealer);
sending_socket!(Dealer, "Waits while no peer has room, or there is no peer.");
reserving_socket!(Dealer);
receiving_socket!(Dealer);
attended_socket!(Dealer);
feeding_socket!(Dealer);

/// Receives from all peers, each message behind the identity of its sender,
/// and sends each message to the peer whose identity its first frame is.
///
/// A message for a peer that is unknown, or whose pipe is full, is dropped and
/// counted, or with [`Options::mandatory`] given back as an error.
pub struct Router {
    handle: Handle,
}

every_socket!(Router);
sending_socket!(Router, "Never waits.");
receiving_socket!(Router);
attended_socket!(Router);
feeding_socket!(Router);

impl Router {
    /// As [`connect`](Self::connect), and knows whoever is there by this
    /// identity, whatever it calls itself (`ZMQ_CONNECT_ROUTING_ID`). Messages
    /// may be sent to it at once; they wait for the connection.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`]; the socket is as before.
    pub fn connect_as(
        &self,
        endpoint: impl IntoEndpoint,
        identity: &Identity,
    ) -> Result<(), ConnectError> {
        self.handle.connect_as(endpoint, Some(identity))
    }
}
