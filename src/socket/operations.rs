//! The operations that socket types share, written once: each type takes those that it has.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::coop::RestoreOnPending;

use super::core::Core;
use super::handle::Handle;
use super::manual::Received;
use super::peer::PeerInfo;
use super::receipt::{Receipt, SendOptions, Sending};
use crate::error::{RecvError, SendError, TrySendError};
use crate::message::Message;
use crate::pipe::Ticket;

/// A place in a queue, left when the future that waits is dropped.
pub(super) struct Waiting<'a> {
    core: &'a Core,
    pub(super) ticket: Ticket,
    leave: fn(&Core, &mut Ticket),
}

impl<'a> Waiting<'a> {
    pub(super) fn to_send(core: &'a Core) -> Self {
        Self {
            core,
            ticket: Ticket::default(),
            leave: Core::leave_senders,
        }
    }

    pub(super) fn to_receive(core: &'a Core) -> Self {
        Self {
            core,
            ticket: Ticket::default(),
            leave: Core::leave_receivers,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.ticket.is_waiting() {
            (self.leave)(self.core, &mut self.ticket);
        }
    }
}

impl Handle {
    #[inline]
    pub(super) fn send(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<(), SendError>> + Send + '_ {
        let core = self.core();
        let mut waiting = Waiting::to_send(core);
        let mut message = Some(message);
        poll_fn(move |context| core.poll_send(context, &mut message, &mut waiting.ticket))
    }

    pub(super) async fn send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<Receipt, SendError> {
        let core = self.core();
        let sending = Sending::new(options, core.state.wakeups());
        let mut waiting = Waiting::to_send(core);
        let mut message = Some(message);
        poll_fn(|context| {
            core.poll_send_with(context, &mut message, &sending, &mut waiting.ticket)
        })
        .await?;
        Ok(sending.into_receipt())
    }

    pub(super) fn try_send_with(
        &self,
        message: Message,
        options: SendOptions,
    ) -> Result<Receipt, TrySendError> {
        let core = self.core();
        let sending = Sending::new(options, core.state.wakeups());
        core.try_send_with(message, &sending)?;
        Ok(sending.into_receipt())
    }

    /// Takes a message of a `Sink`, which is written when that is flushed.
    pub(super) fn feed(&mut self, message: Message) -> Result<(), SendError> {
        match self.core().feed(message) {
            Ok(()) => self.fed = true,
            Err(TrySendError::Refused(error)) => return Err(error),
            Err(TrySendError::Full(message)) => self.unsent = Some(message),
        }
        Ok(())
    }

    /// Writes what the `Sink` was given.
    pub(super) fn flush_fed(&mut self) {
        if std::mem::take(&mut self.fed) {
            self.core().flush_fed();
        }
    }

    /// Whether a `Sink` takes a message, which is a step of its task's turn as a send is.
    pub(super) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.unsent.is_some() {
            return self.poll_unsent(context);
        }
        let Poll::Ready(turn) = self.core().poll_turn(context) else {
            self.flush_fed();
            return Poll::Pending;
        };
        turn.inspect(RestoreOnPending::made_progress);
        Poll::Ready(Ok(()))
    }

    /// Sends what a `Sink` took when there was no room for it.
    pub(super) fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.unsent.is_none() {
            return Poll::Ready(Ok(()));
        }
        // There is never room while nobody writes what takes it.
        self.flush_fed();
        let core = self.core().clone();
        core.poll_send(context, &mut self.unsent, &mut self.sending)
    }

    pub(super) fn recv(&self) -> impl Future<Output = Result<Message, RecvError>> + Send + '_ {
        let core = self.core();
        let mut waiting = Waiting::to_receive(core);
        poll_fn(move |context| core.poll_recv(context, &mut waiting.ticket))
    }

    pub(super) fn recv_from(
        &self,
    ) -> impl Future<Output = Result<(Message, Arc<PeerInfo>), RecvError>> + Send + '_ {
        let core = self.core();
        let mut waiting = Waiting::to_receive(core);
        poll_fn(move |context| core.poll_recv_from(context, &mut waiting.ticket))
    }

    pub(super) fn recv_upstream(
        &self,
    ) -> impl Future<Output = Result<Received, RecvError>> + Send + '_ {
        let core = self.core();
        let mut waiting = Waiting::to_receive(core);
        poll_fn(move |context| {
            core.poll_take(context, &mut waiting.ticket, |state, resumed| {
                let (received, link) = state.pop_upstream()?;
                resumed.extend(link);
                Some(received)
            })
        })
    }

    pub(super) fn recv_many<'a>(
        &'a self,
        messages: &'a mut Vec<Message>,
        limit: usize,
    ) -> impl Future<Output = Result<usize, RecvError>> + Send + 'a {
        let core = self.core();
        let mut waiting = Waiting::to_receive(core);
        poll_fn(move |context| core.poll_recv_many(context, messages, limit, &mut waiting.ticket))
    }
}

/// What every socket type can do.
macro_rules! every_socket {
    ($socket:ident) => {
        impl $socket {
            /// A socket with the default options. It needs no runtime until it
            /// binds or connects.
            #[must_use]
            pub fn new() -> Self {
                Self::of(Options::default())
            }

            /// A socket with these options.
            ///
            /// # Errors
            ///
            /// See [`OptionsError`]: the first option that is out of its range, or that
            /// this type of socket cannot heed. No socket is made.
            pub fn with_options(options: Options) -> Result<Self, OptionsError> {
                options.check(SocketType::$socket)?;
                Ok(Self::of(options))
            }

            /// A socket with options that need no check.
            pub(crate) fn of(options: Options) -> Self {
                Self {
                    handle: Handle::new(SocketType::$socket, options),
                }
            }

            /// Listens on `endpoint` and returns the real one: a wildcard port
            /// is replaced by the port that the system picked.
            ///
            /// # Errors
            ///
            /// See [`BindError`]; the socket is as before.
            ///
            /// # Cancel safety
            ///
            /// A dropped future has bound nothing.
            pub async fn bind(&self, endpoint: impl IntoEndpoint) -> Result<Endpoint, BindError> {
                self.handle.bind(endpoint).await
            }

            /// Listens on a tcp socket that somebody else has bound and that
            /// listens already (`ZMQ_USE_FD`): a supervisor that passes it on,
            /// or the process that this one takes over from. While any process
            /// has it open no connection is refused. Returns its endpoint.
            ///
            /// Its backlog, device and family are as they are; the other
            /// options hold for what is accepted.
            ///
            /// # Errors
            ///
            /// See [`BindError`]; the socket is as before, and the listener closed.
            pub fn bind_listener(
                &self,
                listener: std::net::TcpListener,
            ) -> Result<Endpoint, BindError> {
                self.handle.bind_listener(listener)
            }

            /// Connects to `endpoint` and keeps it connected: returns at once,
            /// and tries for ever, unless [`Options::reconnect_stop`] says when
            /// to give up. The peer need not be there yet.
            ///
            /// # Errors
            ///
            /// See [`ConnectError`]; the socket is as before. A peer that
            /// cannot be reached is no error: [`Self::monitor`] tells of it.
            pub fn connect(&self, endpoint: impl IntoEndpoint) -> Result<(), ConnectError> {
                self.handle.connect(endpoint)
            }

            /// Ends what `connect` began for this endpoint, with the messages
            /// that wait for it. What was received stays. Returns whether
            /// there was such an endpoint.
            pub fn disconnect(&self, endpoint: &Endpoint) -> bool {
                self.handle.disconnect(endpoint)
            }

            /// Stops listening on the endpoint that `bind` returned; peers
            /// that are connected stay so. Returns whether there was one.
            pub fn unbind(&self, endpoint: &Endpoint) -> bool {
                self.handle.unbind(endpoint)
            }

            /// Closes the socket for all its handles: from now on nothing is
            /// accepted or received. What is queued is written for at most
            /// `linger`; returns what was not.
            ///
            /// # Cancel safety
            ///
            /// A dropped future closes the socket at once; what was not yet
            /// written is given up.
            pub async fn close(self, linger: Duration) -> Closed {
                self.handle.clone().close(linger).await
            }

            /// The counters of this socket.
            #[must_use]
            pub fn stats(&self) -> Stats {
                self.handle.stats()
            }

            /// Who is connected at present, in the order in which they came: those
            /// whose `Connected` a [`Monitor`] has told and whose `Disconnected` not.
            #[must_use]
            pub fn peers(&self) -> Vec<std::sync::Arc<crate::PeerInfo>> {
                self.handle.peers()
            }

            /// What happens to the connections of this socket from now on.
            #[must_use]
            pub fn monitor(&self) -> Monitor {
                self.handle.monitor()
            }
        }

        impl Clone for $socket {
            fn clone(&self) -> Self {
                Self {
                    handle: self.handle.clone(),
                }
            }
        }

        impl Default for $socket {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .debug_struct(stringify!($socket))
                    .finish_non_exhaustive()
            }
        }
    };
}

/// What socket types that send can do.
macro_rules! sending_socket {
    ($socket:ident, $waits:literal) => {
        impl $socket {
            #[doc = concat!("Sends a message. ", $waits)]
            ///
            /// # Errors
            ///
            /// See [`SendError`], which gives the message back.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped before it was ready has sent nothing,
            /// and its message is dropped with it.
            pub fn send(
                &self,
                message: impl Into<Message>,
            ) -> impl Future<Output = Result<(), SendError>> + Send {
                self.handle.send(message.into())
            }

            /// Sends a message if that is possible without waiting.
            ///
            /// # Errors
            ///
            /// See [`TrySendError`], which gives the message back.
            pub fn try_send(&self, message: impl Into<Message>) -> Result<(), TrySendError> {
                self.handle.core().try_send(message.into())
            }

            /// As [`send`](Self::send), with a time to live of its own where
            /// `options` give one. Returns a receipt as soon as the message is
            /// accepted; the receipt tells when it is written.
            ///
            /// # Errors
            ///
            /// See [`SendError`], which gives the message back.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped before it was ready has sent nothing,
            /// and its message is dropped with it.
            pub async fn send_with(
                &self,
                message: impl Into<Message>,
                options: SendOptions,
            ) -> Result<Receipt, SendError> {
                self.handle.send_with(message.into(), options).await
            }

            /// As [`send_with`](Self::send_with), if that is possible without waiting.
            ///
            /// # Errors
            ///
            /// See [`TrySendError`], which gives the message back.
            pub fn try_send_with(
                &self,
                message: impl Into<Message>,
                options: SendOptions,
            ) -> Result<Receipt, TrySendError> {
                self.handle.try_send_with(message.into(), options)
            }
        }

        impl $socket {
            /// Whether a flush would write little to each peer that was fed.
            #[allow(dead_code, reason = "one macro for all of them")]
            pub(crate) fn has_fed_little(&self) -> bool {
                self.handle.core().has_fed_little()
            }
        }

        /// What is fed leaves with the next flush, in one write for each peer, at the latest
        /// when it fills a write or the queue. Flushing waits until the last message is
        /// accepted, not until it is written. Who feeds without ever having to wait yields now and
        /// then all the same.
        impl Sink<Message> for $socket {
            type Error = SendError;

            fn poll_ready(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Result<(), SendError>> {
                self.handle.poll_room(context)
            }

            fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
                self.handle.feed(message)
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Result<(), SendError>> {
                self.handle.flush_fed();
                self.handle.poll_unsent(context)
            }

            /// Flushes; the socket itself goes on, as other handles may use it.
            fn poll_close(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Result<(), SendError>> {
                self.poll_flush(context)
            }
        }
    };
}

/// What socket types that receive can do.
macro_rules! receiving_socket {
    ($socket:ident) => {
        impl $socket {
            /// Receives the next message, from one peer after the other.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] once the socket is closed.
            ///
            /// # Cancel safety
            ///
            /// A dropped future loses no message.
            pub fn recv(&self) -> impl Future<Output = Result<Message, RecvError>> + Send {
                self.handle.recv()
            }

            /// Receives a message if one is there.
            ///
            /// # Errors
            ///
            /// See [`TryRecvError`].
            pub fn try_recv(&self) -> Result<Message, TryRecvError> {
                self.handle.core().try_recv()
            }

            /// As [`recv`](Self::recv), with whom the message came by: also where
            /// that connection has ended, or was followed by another, since.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] once the socket is closed.
            ///
            /// # Cancel safety
            ///
            /// A dropped future loses no message.
            pub async fn recv_from(
                &self,
            ) -> Result<(Message, std::sync::Arc<crate::PeerInfo>), RecvError> {
                self.handle.recv_from().await
            }

            /// As [`try_recv`](Self::try_recv), with whom the message came by.
            ///
            /// # Errors
            ///
            /// See [`TryRecvError`].
            pub fn try_recv_from(
                &self,
            ) -> Result<(Message, std::sync::Arc<crate::PeerInfo>), TryRecvError> {
                self.handle.core().try_recv_from()
            }

            /// Waits for a message and appends all that are there to
            /// `messages`, at most `limit`. Returns how many.
            ///
            /// Where several peers have sent any, up to a share of the limit is taken of one before
            /// the next has its turn, or up to sixteen, if the limit is as high:
            /// [`recv`](Self::recv) takes one of each in turn.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] once the socket is closed.
            ///
            /// # Cancel safety
            ///
            /// A dropped future loses no message.
            pub async fn recv_many(
                &self,
                messages: &mut Vec<Message>,
                limit: usize,
            ) -> Result<usize, RecvError> {
                self.handle.recv_many(messages, limit).await
            }
        }

        /// Ends when the socket is closed.
        impl Stream for $socket {
            type Item = Message;

            fn poll_next(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Message>> {
                let core = self.handle.core().clone();
                core.poll_recv(context, &mut self.handle.receiving)
                    .map(Result::ok)
            }
        }
    };
}

/// What socket types can do that one task receives from and sees to all the time.
macro_rules! attended_socket {
    ($socket:ident) => {
        #[allow(dead_code, reason = "one macro for all of them")]
        impl $socket {
            /// Promises that its stream, or [`poll_recv_many`](Self::poll_recv_many), is polled
            /// whenever it wakes, and until there is nothing more, or that it rests before long:
            /// until then no driver is woken to read.
            pub(crate) fn attend(&mut self) {
                self.handle.attend();
            }

            /// It is not polled for now: others see to what it was woken for.
            pub(crate) fn rest(&mut self) {
                self.handle.rest();
            }

            /// As its stream, but takes all that is there, up to `limit`. The drivers see to the
            /// rest meanwhile, where there may be any.
            pub(crate) fn poll_recv_many(
                &mut self,
                context: &mut Context<'_>,
                messages: &mut Vec<Message>,
                limit: usize,
            ) -> Poll<Result<usize, RecvError>> {
                let core = self.handle.core().clone();
                let ticket = &mut self.handle.receiving;
                let received = core.poll_recv_many(context, messages, limit, ticket);
                if matches!(received, Poll::Ready(Ok(count)) if count == limit) {
                    self.handle.rest();
                }
                received
            }
        }
    };
}

/// What socket types can do whose owner says several things at once.
macro_rules! feeding_socket {
    ($socket:ident) => {
        impl $socket {
            /// As `try_send`, but the message leaves with [`flush_fed`](Self::flush_fed).
            pub(crate) fn try_feed(&self, message: Message) -> Result<(), TrySendError> {
                self.handle.core().feed(message)
            }

            /// Writes what was fed.
            pub(crate) fn flush_fed(&self) {
                self.handle.core().flush_fed();
            }
        }
    };
}

/// What socket types that subscribe can do.
macro_rules! subscribing_socket {
    ($socket:ident) => {
        impl $socket {
            /// Subscribes to all messages whose first frame begins with `topic`; an
            /// empty one means all. Subscribing twice needs cancelling twice (SB05).
            /// Subscriptions are made again on each new connection.
            pub fn subscribe(&self, topic: impl Into<Bytes>) {
                self.handle
                    .core()
                    .subscribe(&Subscription::Subscribe(topic.into()));
            }

            /// Cancels one earlier [`subscribe`](Self::subscribe); without one it does nothing.
            pub fn unsubscribe(&self, topic: impl Into<Bytes>) {
                self.handle
                    .core()
                    .subscribe(&Subscription::Cancel(topic.into()));
            }
        }
    };
}

pub(super) use {
    attended_socket, every_socket, feeding_socket, receiving_socket, sending_socket,
    subscribing_socket,
};
