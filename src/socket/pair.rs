//! PAIR: one peer, in both directions (31/EXPAIR).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Sink, Stream};

use super::closing::Closed;
use super::handle::Handle;
use super::monitor::Monitor;
use super::operations::{every_socket, receiving_socket, sending_socket};
use super::permit::reserving_socket;
use super::receipt::{Receipt, SendOptions};
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{
    BindError, ConnectError, OptionsError, RecvError, SendError, TryRecvError, TrySendError,
};
use crate::message::Message;
use crate::options::{Options, SocketType};

/// Talks to one peer at a time, another PAIR.
///
/// A second peer is turned away while the first is there, and may come back
/// when it is gone. A connected endpoint holds the place from `connect` to
/// `disconnect`, an accepted peer as long as its connection lasts.
///
/// ```
/// # tokio_test(async {
/// use pushsub::Pair;
///
/// let (one, other) = (Pair::new(), Pair::new());
/// let endpoint = one.bind("tcp://127.0.0.1:*").await?;
/// other.connect(&endpoint)?;
/// other.send("ping").await?;
/// assert_eq!(one.recv().await?.first(), "ping");
/// one.send("pong").await?;
/// assert_eq!(other.recv().await?.first(), "pong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
pub struct Pair {
    handle: Handle,
}

every_socket!(Pair);
sending_socket!(Pair, "Waits while the peer has no room, or there is none.");
reserving_socket!(Pair);
receiving_socket!(Pair);
