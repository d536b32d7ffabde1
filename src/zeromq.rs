//! The crate `zeromq` beside this one: its messages as ours, its sockets as streams and sinks.
//!
//! A program moves from the one to the other a socket at a time: whatever is a
//! stream and a sink of [`Message`] is a side of a [`Proxy`](crate::Proxy), and
//! on the wire both speak ZMTP.
//!
//! ```
//! use futures::{SinkExt, StreamExt};
//! use pushsub::zeromq::{Inbound, Outbound};
//! use zeromq::{PullSocket, PushSocket, Socket};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let (mut pull, mut push) = (PullSocket::new(), PushSocket::new());
//! let endpoint = pull.bind("tcp://127.0.0.1:0").await?;
//! push.connect(&endpoint.to_string()).await?;
//! Outbound::new(push).send("work".into()).await?;
//! assert_eq!(Inbound::new(pull).next().await, Some("work".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::zeromq::{SocketRecv, SocketSend, ZmqError, ZmqMessage};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};

use crate::message::Message;

/// How long a message that found no peer waits for the next attempt.
const RETRY: Duration = Duration::from_millis(10);

impl From<Message> for ZmqMessage {
    /// The frames are shared, not copied.
    fn from(message: Message) -> Self {
        let mut frames = message.into_frames().into_iter();
        let first = frames.next().expect("a message has at least one frame");
        let mut message = Self::from(first);
        frames.for_each(|frame| message.push_back(frame));
        message
    }
}

/// A message of the crate `zeromq` without any frame: no message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message has at least one frame")]
pub struct NoFrame;

impl TryFrom<ZmqMessage> for Message {
    type Error = NoFrame;

    /// The frames are shared, not copied.
    fn try_from(message: ZmqMessage) -> Result<Self, NoFrame> {
        Self::from_frames(message.into_vec()).ok_or(NoFrame)
    }
}

/// The messages that a socket of the crate `zeromq`, or its receiving half, receives.
///
/// An error of one peer is logged and passed over. It ends when the socket says
/// that nothing more will come.
pub struct Inbound {
    messages: BoxStream<'static, Message>,
}

impl Inbound {
    /// The messages of this socket.
    #[must_use]
    pub fn new<S: SocketRecv + Send + 'static>(socket: S) -> Self {
        let messages = futures::stream::unfold(socket, receive);
        Self {
            messages: messages.boxed(),
        }
    }
}

impl Stream for Inbound {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_next_unpin(context)
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inbound").finish_non_exhaustive()
    }
}

/// A sink into a socket of the crate `zeromq`, or its sending half.
///
/// A message that finds no peer is kept and tried again, while the sink has no
/// room for another: what the crate gives back is not lost. Other errors cost
/// the message that met them.
pub struct Outbound<S> {
    state: State<S>,
}

enum State<S> {
    Idle(S),
    Sending(BoxFuture<'static, (S, Result<(), ZmqError>)>),
    /// Between the two, for as long as a function runs.
    Moving,
}

impl<S: SocketSend + Send + 'static> Outbound<S> {
    /// A sink into this socket.
    #[must_use]
    pub fn new(socket: S) -> Self {
        Self {
            state: State::Idle(socket),
        }
    }
}

impl<S: SocketSend + Send + Unpin + 'static> Sink<Message> for Outbound<S> {
    type Error = ZmqError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ZmqError>> {
        self.poll_flush(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ZmqError> {
        match std::mem::replace(&mut self.state, State::Moving) {
            State::Idle(socket) => {
                self.state = State::Sending(deliver(socket, message.into()).boxed());
                Ok(())
            }
            busy => {
                self.state = busy;
                Err(ZmqError::BufferFull("the message before is not sent yet"))
            }
        }
    }

    /// Flushing waits until the socket has accepted the message.
    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ZmqError>> {
        let State::Sending(sending) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let (socket, result) = ready!(sending.poll_unpin(context));
        self.state = State::Idle(socket);
        Poll::Ready(result)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), ZmqError>> {
        self.poll_flush(context)
    }
}

impl<S> fmt::Debug for Outbound<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Outbound").finish_non_exhaustive()
    }
}

/// Both ways: the two halves that `split` makes of a DEALER or a ROUTER.
#[derive(Debug)]
pub struct Duplex<S> {
    inbound: Inbound,
    outbound: Outbound<S>,
}

impl<S: SocketSend + Send + 'static> Duplex<S> {
    /// A side that sends by the one half and receives by the other.
    #[must_use]
    pub fn new<R: SocketRecv + Send + 'static>(halves: (S, R)) -> Self {
        Self {
            inbound: Inbound::new(halves.1),
            outbound: Outbound::new(halves.0),
        }
    }
}

impl<S: Unpin> Stream for Duplex<S> {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inbound.poll_next_unpin(context)
    }
}

impl<S: SocketSend + Send + Unpin + 'static> Sink<Message> for Duplex<S> {
    type Error = ZmqError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ZmqError>> {
        self.outbound.poll_ready_unpin(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), ZmqError> {
        self.outbound.start_send_unpin(message)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ZmqError>> {
        self.outbound.poll_flush_unpin(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ZmqError>> {
        self.outbound.poll_close_unpin(context)
    }
}

/// The next message of the socket, with the socket.
async fn receive<S: SocketRecv>(mut socket: S) -> Option<(Message, S)> {
    loop {
        match socket.recv().await {
            Ok(message) => {
                if let Ok(message) = Message::try_from(message) {
                    return Some((message, socket));
                }
            }
            Err(ZmqError::NoMessage) => return None,
            Err(error) => tracing::debug!(%error, "a peer of a zeromq socket failed"),
        }
    }
}

/// Sends a message, when there is a peer for it. Returns the socket.
async fn deliver<S: SocketSend>(
    mut socket: S,
    mut message: ZmqMessage,
) -> (S, Result<(), ZmqError>) {
    loop {
        match socket.send(message).await {
            Err(ZmqError::ReturnToSender {
                message: returned, ..
            }) => message = returned,
            result => return (socket, result),
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use ::zeromq::ZmqMessage;
    use bytes::Bytes;

    use super::NoFrame;
    use crate::message::Message;

    #[test]
    fn frames_keep_their_memory_both_ways() {
        let frames: Vec<Bytes> = (1..4).map(|size| Bytes::from(vec![size; 100])).collect();
        let addresses =
            |frames: &[Bytes]| -> Vec<_> { frames.iter().map(|f| f.as_ptr()).collect() };
        let before = addresses(&frames);
        let message = Message::from_frames(frames).expect("three frames");
        let theirs = ZmqMessage::from(message.clone());
        assert_eq!(theirs.len(), 3);
        let ours = Message::try_from(theirs).expect("three frames");
        assert_eq!(ours, message);
        assert_eq!(addresses(ours.frames()), before);
    }

    #[test]
    fn a_message_without_a_frame_is_refused() {
        let mut message = ZmqMessage::from("only");
        let rest = message.split_off(1);
        assert_eq!(Message::try_from(rest), Err(NoFrame));
        assert_eq!(Message::try_from(message), Ok(Message::from("only")));
    }
}
