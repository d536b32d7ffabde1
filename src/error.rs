//! One error type per operation; a failed send gives the message back.

use std::io;

use crate::endpoint::{Endpoint, EndpointError};
use crate::message::Message;
use crate::options::SocketType;

/// Why a socket was not made: the caller's fault, and nothing of it is left. `option`
/// is the method of [`Options`](crate::Options) that set it, with the value where
/// only that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The value is out of the option's range.
    #[error("the value of {option} is out of its range: it takes {range}")]
    #[non_exhaustive]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What it takes, for people to read.
        range: &'static str,
    },
    /// Sockets of this type cannot heed the option.
    #[error("{option} means nothing to a socket of type {socket_type}")]
    #[non_exhaustive]
    NotForType {
        /// The option.
        option: &'static str,
        /// The type of the socket that was to be made.
        socket_type: SocketType,
    },
}

/// Why a message was not accepted. It was not sent, and is given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The socket was closed; it stays so.
    #[error("the socket is closed")]
    Closed(Message),
    /// The message is over the socket's own limit of octets or frames, or over half
    /// of its context's budget: the caller's fault; the socket is as before.
    #[error("the message is larger than the socket's limits allow")]
    TooLarge(Message),
    /// A ROUTER that is told to (`Options::mandatory`) knows no peer by the
    /// first frame, or the message has no second one; of a REP that is told to,
    /// the connection that the request came by is gone.
    #[error("no peer has the identity that the first frame names")]
    Unroutable(Message),
    /// A ROUTER or REP that is told to (`Options::mandatory`) has too much queued
    /// for this peer.
    #[error("the peer's pipe is full")]
    PeerFull(Message),
}

impl SendError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Closed(message)
            | Self::TooLarge(message)
            | Self::Unroutable(message)
            | Self::PeerFull(message) => message,
        }
    }

    /// The same error about the message as the application knows it.
    pub(crate) fn with_message(self, message: Message) -> Self {
        match self {
            Self::Closed(_) => Self::Closed(message),
            Self::TooLarge(_) => Self::TooLarge(message),
            Self::Unroutable(_) => Self::Unroutable(message),
            Self::PeerFull(_) => Self::PeerFull(message),
        }
    }
}

/// Why a copy of a message was given up before it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum GivenUp {
    /// It waited longer than its time to live.
    #[error("it waited longer than its time to live")]
    Expired,
    /// The peer's pipe was full, and the pattern drops.
    #[error("the peer's pipe was full")]
    Full,
    /// A newer message took its place.
    #[error("a newer message took its place")]
    Replaced,
    /// No peer has the identity that the first frame names.
    #[error("no peer has the identity that the first frame names")]
    Unroutable,
    /// The link was cut when a part of it was written: the peer did not get it.
    #[error("the link was cut when a part of it was written")]
    Cut,
    /// The peer went, and its queue with it.
    #[error("the peer went, and its queue with it")]
    Discarded,
    /// The socket was closed, or its runtime ended, before it was written.
    #[error("the socket was closed")]
    Closed,
}

/// Why a request has no reply. The socket is ready for the next one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not sent; it is given back.
    #[error(transparent)]
    Refused(#[from] SendError),
    /// The connection ended after the request was written, or while it was:
    /// the peer may have executed it, and its reply will not come.
    #[error("the peer was lost after the request had been sent")]
    PeerLost,
    /// The socket was closed while the reply was waited for.
    #[error("the socket was closed before the reply came")]
    Closed,
}

/// Why a message could not be accepted at once. It is given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError {
    /// No peer has room now, or there is no peer: a later try may succeed.
    #[error("no peer has room for the message now")]
    Full(Message),
    /// It will not be accepted later either.
    #[error(transparent)]
    Refused(#[from] SendError),
}

impl TrySendError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Full(message) => message,
            Self::Refused(refused) => refused.into_message(),
        }
    }
}

/// Why a place was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The socket was closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why a message was not sent though there was a permit for it, which is used up:
/// its place is free again. The message is given back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermitError {
    /// The socket was closed; it stays so.
    #[error("the socket is closed")]
    Closed(Message),
    /// The message is over the socket's own limit of octets or frames, or over half
    /// of its context's budget: the caller's fault; the socket is as before.
    #[error("the message is larger than the socket's limits allow")]
    TooLarge(Message),
    /// The peer whose place it was is gone, and no other has room.
    #[error("the peer is gone, and no other has room for the message")]
    NoPeer(Message),
}

impl PermitError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Closed(message) | Self::TooLarge(message) | Self::NoPeer(message) => message,
        }
    }
}

/// Why nothing can be received any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The socket was closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why nothing was received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// Nothing is there yet; or 128 peers said something, and no message: the next call reads of others.
    #[error("no message is waiting")]
    Empty,
    /// The socket was closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why a socket does not listen on an endpoint. The socket is as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The text is no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Others than this machine could reach it, and nothing proves who they are.
    #[error(
        "{0} can be reached from other machines, and nothing on it is encrypted or authenticated: \
         bind to 127.0.0.1, or allow it with Options::allow_plaintext (on the command line \
         --insecure)"
    )]
    Plaintext(Endpoint),
    /// The system refused: the address is in use, not of this machine, not permitted.
    #[error("cannot listen on {endpoint}: {source}")]
    Io {
        /// Where it was to listen.
        endpoint: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused to hand over the socket: it is no tcp socket, or is closed.
    #[error("cannot listen on the socket that was handed over: {0}")]
    Adopt(io::Error),
    /// `bind` was called outside of a tokio runtime.
    #[error("bind needs a running tokio runtime: call it from within one")]
    NoRuntime,
    /// The socket was closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why a socket does not even try to connect. The socket is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The endpoint has a wildcard, which only `bind` can resolve.
    #[error("{0} names no single peer: a wildcard is for bind")]
    Wildcard(Endpoint),
    /// Another peer of this ROUTER has the identity that `connect_as` names.
    #[error("another peer has the identity")]
    IdentityTaken,
    /// `connect` was called outside of a tokio runtime.
    #[error("connect needs a running tokio runtime: call it from within one")]
    NoRuntime,
    /// The socket was closed.
    #[error("the socket is closed")]
    Closed,
}

/// Why a connection ended, or was never made. The socket goes on: a connected
/// endpoint is dialled again, unless
/// [`Options::reconnect_stop`](crate::Options::reconnect_stop) says otherwise; a
/// bound one accepts others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// This side closed it.
    #[error("closed by this side")]
    ClosedHere,
    /// The system reported an error.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// The peer could not be reached in time.
    #[error("the peer could not be reached in time")]
    ConnectTimeout,
    /// The handshake was not finished in time: the peer's fault, or it is no ZMTP peer.
    #[error("the peer did not finish its handshake in time")]
    HandshakeTimeout,
    /// The peer's greeting or handshake is not acceptable: another protocol, an
    /// old version, another mechanism, a socket type that does not fit.
    #[error("handshake: {0}")]
    Handshake(String),
    /// The peer broke the protocol after its handshake.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The peer ended the connection with an ERROR.
    #[error("the peer reported an error: {0}")]
    PeerError(String),
    /// Nothing was heard of the peer for too long.
    #[error("the peer has been silent for too long")]
    Silent,
    /// Another live peer has the same identity.
    #[error("another peer has the same identity")]
    DuplicateIdentity,
    /// A REQ gave its request up and wants no late reply: it connects anew at once.
    #[error("cut because a request was given up")]
    GivenUp,
    /// A PAIR has its one peer. Another may come when that one is gone.
    #[error("the socket has its one peer already")]
    SecondPeer,
    /// Another peer brought the same identity, and was let take its place.
    #[error("another peer took over the identity")]
    HandedOver,
    /// The peer's pipe was full, and the options say to cut it then.
    #[error("the peer was too slow")]
    TooSlow,
    /// The peer took nothing of what was written to it for too long: for the time
    /// of [`Options::stall_timeout`](crate::Options::stall_timeout), or for 10 s in
    /// which it sent 1,000 PINGs.
    #[error("the peer takes nothing of what is written to it")]
    Stalled,
    /// The endpoint has as many connections as the socket's options allow.
    #[error("the endpoint has as many connections as it may")]
    TooManyConnections,
    /// The peer's host has as many connections to the endpoint as the socket's
    /// options allow.
    #[error("the host has as many connections to the endpoint as it may")]
    TooManyOfHost,
    /// A filter of the socket's options does not let such a peer in.
    #[error("the socket's options do not let this peer in")]
    NotAdmitted,
    /// A part of a message has come, and its rest has had no place in the
    /// budget of the [`Context`](crate::Context) for 10 s. What came of it is given up.
    #[error("the budget has had no place for the rest of a message for 10 s")]
    OutOfBudget,
    /// The runtime that drove the connection is gone.
    #[error("the runtime of the connection is gone")]
    RuntimeGone,
}

impl LinkError {
    /// By value, so that it can stand in `map_err`.
    #[allow(clippy::needless_pass_by_value, reason = "stands in map_err")]
    pub(crate) fn io(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
