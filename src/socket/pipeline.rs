//! PUSH and PULL: work handed out to whoever has room (30/PIPELINE).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};

use super::closing::Closed;
use super::handle::Handle;
use super::monitor::Monitor;
use super::operations::{attended_socket, every_socket, receiving_socket, sending_socket};
use super::permit::reserving_socket;
use super::receipt::{Receipt, SendOptions};
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{
    BindError, ConnectError, OptionsError, RecvError, SendError, TryRecvError, TrySendError,
};
use crate::message::Message;
use crate::options::{Options, SocketType};

/// Sends each message to one PULL peer, in turn among those with room.
///
/// ```
/// # tokio_test(async {
/// use pushsub::{Pull, Push};
///
/// let pull = Pull::new();
/// let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
/// let push = Push::new();
/// push.connect(&endpoint)?;
/// push.send("work").await?;
/// assert_eq!(pull.recv().await?.first(), "work");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
///
/// # Trade-offs
///
/// A message that is queued for a peer waits for that peer, even while others
/// are idle: for work of uneven length a broker with credit is the better choice.
pub struct Push {
    handle: Handle,
}

every_socket!(Push);
sending_socket!(Push, "Waits while no peer has room, or there is no peer.");
reserving_socket!(Push);

impl Push {
    /// So many messages were received elsewhere, whose receivers are about to send as many here:
    /// they share writes as answers do, until [`expect_nothing`](Self::expect_nothing).
    pub(crate) fn expect(&self, count: usize) {
        self.handle.core().expect(count);
    }

    /// What is sent from now on answers nothing.
    pub(crate) fn expect_nothing(&self) {
        self.handle.core().expect_nothing();
    }
}

/// Receives from all PUSH peers, one after the other. See [`Push`].
pub struct Pull {
    handle: Handle,
}

every_socket!(Pull);
receiving_socket!(Pull);
attended_socket!(Pull);
