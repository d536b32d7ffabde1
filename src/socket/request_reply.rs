//! REQ and REP: one question, its one answer (28/REQREP).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;

use super::closing::Closed;
use super::envelope;
use super::handle::Handle;
use super::monitor::Monitor;
use super::operations::every_socket;
use super::peer::PeerInfo;
use super::receipt::{Receipt, SendOptions, Sending};
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{
    BindError, ConnectError, OptionsError, RecvError, RequestError, SendError, TryRecvError,
};
use crate::message::Message;
use crate::options::{Options, SocketType};

/// Asks one of its peers at a time, in turn among those with room, and waits
/// for the reply.
///
/// ```
/// # tokio_test(async {
/// use pushsub::{Rep, Req};
///
/// let rep = Rep::new();
/// let endpoint = rep.bind("tcp://127.0.0.1:*").await?;
/// tokio::spawn(async move {
///     while let Ok((question, responder)) = rep.recv().await {
///         let _ = responder.send(format!("{} to you", question[0].escape_ascii()));
///     }
/// });
/// let req = Req::new();
/// req.connect(&endpoint)?;
/// assert_eq!(req.request("hello").await?.first(), "hello to you");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
/// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
/// # }
/// ```
///
/// # Trade-offs
///
/// It never wedges: a request that was given up is forgotten with the next
/// one. What tells its late reply from the next answer is either a new
/// connection to the peer that owes it, or with [`Options::correlate`] an id,
/// which a peer must send back. Where many requests are to be in flight, a
/// [`Dealer`](crate::Dealer) is the better choice.
pub struct Req {
    handle: Handle,
}

every_socket!(Req);

impl Req {
    /// Sends a request and waits for its reply. Requests of several tasks on
    /// one socket are made one after the other, in the order of the calls.
    /// Waits while no peer has room, or there is no peer.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]; the socket is ready for the next request.
    ///
    /// # Cancel safety
    ///
    /// A dropped future gives the request up: it may have been sent, and its
    /// reply will be dropped.
    pub async fn request(&self, message: impl Into<Message>) -> Result<Message, RequestError> {
        self.handle.request(message.into()).await
    }
}

/// Receives the requests of all its peers, one peer after the other, each with
/// a [`Responder`] that takes the reply back. See [`Req`].
///
/// Several requests may be open at a time, and be answered in any order. A
/// request without the empty frame that ends its envelope, or with more than
/// 16 hops, is dropped and counted.
pub struct Rep {
    handle: Handle,
}

every_socket!(Rep);

impl Rep {
    /// Receives the next request.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] once the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no request.
    pub async fn recv(&self) -> Result<(Message, Responder), RecvError> {
        let message = self.handle.recv().await?;
        Ok(self.open(message))
    }

    /// Receives a request if one is there.
    ///
    /// # Errors
    ///
    /// See [`TryRecvError`].
    pub fn try_recv(&self) -> Result<(Message, Responder), TryRecvError> {
        let message = self.handle.core().try_recv()?;
        Ok(self.open(message))
    }

    /// As [`recv`](Self::recv), with whom the request came by.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] once the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no request.
    pub async fn recv_from(&self) -> Result<(Message, Responder, Arc<PeerInfo>), RecvError> {
        let (message, peer) = self.handle.recv_from().await?;
        let (request, responder) = self.open(message);
        Ok((request, responder, peer))
    }

    /// As [`try_recv`](Self::try_recv), with whom the request came by.
    ///
    /// # Errors
    ///
    /// See [`TryRecvError`].
    pub fn try_recv_from(&self) -> Result<(Message, Responder, Arc<PeerInfo>), TryRecvError> {
        let (message, peer) = self.handle.core().try_recv_from()?;
        let (request, responder) = self.open(message);
        Ok((request, responder, peer))
    }

    fn open(&self, message: Message) -> (Message, Responder) {
        let (envelope, request) = envelope::split(message);
        let handle = self.handle.clone();
        (request, Responder { handle, envelope })
    }
}

/// Ends when the socket is closed.
impl Stream for Rep {
    type Item = (Message, Responder);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let core = self.handle.core().clone();
        let received = core.poll_recv(context, &mut self.handle.receiving);
        received.map(|received| received.ok().map(|message| self.open(message)))
    }
}

/// The way back to whoever asked. Dropping it answers nothing.
///
/// It keeps the socket open as another handle would.
#[must_use = "whoever asked waits for a reply"]
pub struct Responder {
    handle: Handle,
    /// Who asked, the hops on the way, the delimiter.
    envelope: Vec<Bytes>,
}

impl Responder {
    /// Sends the reply, without waiting (RP07). If the connection that the
    /// request came by is gone, or its pipe is full, the reply is dropped and
    /// counted, or with [`Options::mandatory`] given back.
    ///
    /// # Errors
    ///
    /// See [`SendError`], which gives the reply back.
    pub fn send(self, reply: impl Into<Message>) -> Result<(), SendError> {
        self.send_as(reply.into(), &Sending::PLAIN)
    }

    /// As [`send`](Self::send), with a time to live of its own where the terms
    /// give one. Returns a receipt, which tells when the reply is written.
    ///
    /// # Errors
    ///
    /// See [`SendError`], which gives the reply back.
    pub fn send_with(
        self,
        reply: impl Into<Message>,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        let sending = Sending::new(options, self.handle.core().state.wakeups());
        self.send_as(reply.into(), &sending)?;
        Ok(sending.into_receipt())
    }

    fn send_as(self, reply: Message, sending: &Sending) -> Result<(), SendError> {
        let enveloped = envelope::join(self.envelope, &reply);
        self.handle
            .core()
            .try_reply(enveloped, sending)
            .map_err(|error| error.with_message(reply))
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Responder").finish_non_exhaustive()
    }
}
