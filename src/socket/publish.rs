//! PUB, XPUB, SUB and XSUB: publications to all who subscribed (29/PUBSUB).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, Stream};

use super::closing::Closed;
use super::handle::Handle;
use super::manual::Upstream;
use super::monitor::Monitor;
use super::operations::{
    attended_socket, every_socket, feeding_socket, receiving_socket, sending_socket,
    subscribing_socket,
};
use super::receipt::{Receipt, SendOptions};
use super::state::State;
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{
    BindError, ConnectError, OptionsError, RecvError, SendError, TryRecvError, TrySendError,
};
use crate::message::Message;
use crate::options::{Options, SocketType};
use crate::session::Subscription;

/// Sends each message to all peers that subscribed to a prefix of its first frame.
///
/// A subscriber whose pipe is full misses the message, and the miss is counted;
/// nobody waits for it. A publication that nobody subscribed to is gone.
///
/// ```
/// # tokio_test(async {
/// use pushsub::{Message, Sub, XPub};
///
/// let publisher = XPub::new();
/// let endpoint = publisher.bind("tcp://127.0.0.1:*").await?;
/// let subscriber = Sub::new();
/// subscriber.subscribe("weather.");
/// subscriber.connect(&endpoint)?;
/// // An XPUB sees who subscribes: no need to sleep and hope.
/// assert_eq!(publisher.recv().await?.first(), "\x01weather.");
/// let mut message = Message::from("weather.dublin");
/// message.push_back("rain");
/// publisher.send(message).await?;
/// assert_eq!(&subscriber.recv().await?[1], "rain");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
pub struct Pub {
    handle: Handle,
}

every_socket!(Pub);
sending_socket!(
    Pub,
    "Never waits, unless [`Options::overflow`] says so: who has no room misses it."
);
feeding_socket!(Pub);

/// A [`Pub`] that receives the subscriptions of its peers: a first octet of 1
/// (subscribe) or 0 (cancel), then the topic, for the first and the last peer of
/// each, or as [`Options::shown`] says; and what else its peers send.
///
/// They wait in the queue of their peer, which has its high-water mark: a peer
/// whose subscriptions nobody receives is left unread. A program that does not
/// want to look uses a [`Pub`].
pub struct XPub {
    handle: Handle,
}

every_socket!(XPub);
sending_socket!(
    XPub,
    "Never waits, unless [`Options::overflow`] says so: who has no room misses it."
);
receiving_socket!(XPub);
attended_socket!(XPub);
feeding_socket!(XPub);

impl XPub {
    /// Receives what the next subscriber says: a subscription, its end, or a
    /// message. With [`Options::manual_subscriptions`] it is this that decides
    /// which subscriptions take effect; what [`recv`](Self::recv) takes of them
    /// is never accepted.
    ///
    /// ```
    /// # tokio_test(async {
    /// use pushsub::{Options, Sub, Upstream, XPub};
    ///
    /// let publisher = XPub::with_options(Options::default().manual_subscriptions(true))?;
    /// let endpoint = publisher.bind("tcp://127.0.0.1:*").await?;
    /// let subscriber = Sub::new();
    /// subscriber.subscribe("secret.");
    /// subscriber.subscribe("public.");
    /// subscriber.connect(&endpoint)?;
    /// for _ in 0..2 {
    ///     if let Upstream::Subscription(request) = publisher.recv_upstream().await? {
    ///         // What is not accepted is refused.
    ///         if request.topic().starts_with(b"public.") {
    ///             request.accept();
    ///         }
    ///     }
    /// }
    /// publisher.send("secret.plan").await?;
    /// publisher.send("public.plan").await?;
    /// assert_eq!(subscriber.recv().await?.first(), "public.plan");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
    /// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] once the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing.
    pub async fn recv_upstream(&self) -> Result<Upstream, RecvError> {
        let received = self.handle.recv_upstream().await?;
        Ok(received.into_upstream(&self.handle))
    }

    /// As [`recv_upstream`](Self::recv_upstream), if something is there.
    ///
    /// # Errors
    ///
    /// See [`TryRecvError`].
    pub fn try_recv_upstream(&self) -> Result<Upstream, TryRecvError> {
        let received = self.handle.core().try_take(State::pop_upstream)?;
        Ok(received.into_upstream(&self.handle))
    }
}

/// Receives the publications whose first frame begins with a topic that it
/// subscribed to. See [`Pub`].
pub struct Sub {
    handle: Handle,
}

every_socket!(Sub);
receiving_socket!(Sub);
attended_socket!(Sub);

subscribing_socket!(Sub);

/// A [`Sub`] that forwards: what it sends goes to its publishers.
///
/// A message of one frame that begins with an octet of 1 subscribes to the
/// topic behind it, and one that begins with 0 cancels, as an [`XPub`] shows
/// them. Everything else goes to all publishers as it is; one whose pipe is
/// full misses it, and the miss is counted. What is received is what the
/// publishers send: it is not filtered again.
pub struct XSub {
    handle: Handle,
}

every_socket!(XSub);
sending_socket!(XSub, "Never waits: who has no room misses it (XS03, XS04).");
receiving_socket!(XSub);
attended_socket!(XSub);
subscribing_socket!(XSub);
