//! A stream of what happens to the connections of a socket.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::channel::mpsc;

use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::options::{Credentials, SocketType};

/// Events that wait for a slow reader; later ones are lost to it.
const CAPACITY: usize = 4_096;

/// Something that happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The socket listens on this endpoint.
    Listening {
        /// The endpoint, wildcards resolved.
        endpoint: Endpoint,
    },
    /// A peer has finished its handshake.
    Connected {
        /// The endpoint that was connected or bound.
        endpoint: Endpoint,
        /// Who it is.
        peer: PeerInfo,
    },
    /// A connection that was made has ended.
    Disconnected {
        /// The endpoint that was connected or bound.
        endpoint: Endpoint,
        /// Who it was.
        peer: PeerInfo,
        /// Why.
        reason: LinkError,
    },
    /// A connected endpoint will be tried again.
    Retrying {
        /// The endpoint.
        endpoint: Endpoint,
        /// After this time.
        wait: Duration,
        /// Why the last connection ended or was not made.
        reason: LinkError,
    },
    /// A connected endpoint is not tried again, as
    /// [`Options::reconnect_stop`](crate::Options::reconnect_stop) has it.
    GaveUp {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why the last connection ended or was not made.
        reason: LinkError,
    },
    /// A peer that dialled in was turned away.
    Refused {
        /// The endpoint it came to.
        endpoint: Endpoint,
        /// Where it came from, for people to read.
        address: String,
        /// Why.
        reason: LinkError,
    },
    /// The system would not accept a connection, as when descriptors have run out.
    AcceptFailed {
        /// The endpoint that listens.
        endpoint: Endpoint,
        /// When it is tried again.
        wait: Duration,
        /// What the system said.
        reason: String,
    },
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Where it is, for people to read: `127.0.0.1:49152`.
    pub address: String,
    /// Its socket type.
    pub socket_type: SocketType,
    /// The name by which this ROUTER knows it; for other sockets the name it
    /// gave itself, or nothing.
    pub identity: Bytes,
    /// Whose process it is, where the system vouches for it: ipc.
    pub credentials: Option<Credentials>,
}

/// The events of a socket from the time of the call to `monitor` on. It ends
/// with the socket. A reader that lags by 4,096 events loses those that follow.
#[derive(Debug)]
pub struct Monitor(mpsc::Receiver<Event>);

impl Stream for Monitor {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}

/// Who listens to the events of one socket.
#[derive(Default)]
pub(super) struct Monitors(Vec<mpsc::Sender<Event>>);

impl Monitors {
    pub(super) fn add(&mut self) -> Monitor {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        self.0.push(sender);
        Monitor(receiver)
    }

    pub(super) fn emit(&mut self, event: &Event) {
        self.0
            .retain_mut(|sender| match sender.try_send(event.clone()) {
                Ok(()) => true,
                Err(error) => !error.is_disconnected(),
            });
    }

    pub(super) fn end(&mut self) {
        self.0.clear();
    }
}
