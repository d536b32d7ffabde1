//! What a socket can be told when it is made, and the words for it.

mod check;
mod connection;
mod metadata;
mod network;
mod pattern;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::context::Context;
use crate::message::Message;

pub(crate) use connection::ConnectionOptions;
pub use connection::ReconnectStop;
pub(crate) use metadata::is_property_name;
pub use network::{Network, NetworkError};
pub use pattern::{Overflow, Shown};
pub(crate) use pattern::{PatternOptions, TopicLimits};
pub use transport::Credentials;
pub(crate) use transport::{Origin, StallLimit, TcpOptions, TransportOptions};

/// The patterns' socket types, by the names that ZMTP gives them (23/ZMTP, Socket-Type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    missing_docs,
    reason = "the names say it; the types of the same names are documented"
)]
pub enum SocketType {
    Pair,
    Pub,
    Sub,
    XPub,
    XSub,
    Push,
    Pull,
    Req,
    Rep,
    Dealer,
    Router,
}

impl SocketType {
    /// All eleven.
    pub const ALL: [Self; 11] = [
        Self::Pair,
        Self::Pub,
        Self::Sub,
        Self::XPub,
        Self::XSub,
        Self::Push,
        Self::Pull,
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pair => "PAIR",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
        }
    }

    /// The type of this name, to the letter.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// Whether the RFCs let a socket of this type talk to one of that type.
    #[must_use]
    pub fn accepts(self, peer: Self) -> bool {
        match self {
            Self::Pair => peer == Self::Pair,
            Self::Pub | Self::XPub => matches!(peer, Self::Sub | Self::XSub),
            Self::Sub | Self::XSub => matches!(peer, Self::Pub | Self::XPub),
            Self::Push => peer == Self::Pull,
            Self::Pull => peer == Self::Push,
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
            Self::Dealer => matches!(peer, Self::Rep | Self::Dealer | Self::Router),
            Self::Router => matches!(peer, Self::Req | Self::Dealer | Self::Router),
        }
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The name by which a ROUTER knows a peer: 1 to 255 octets, the first not zero.
///
/// Identities that begin with a zero octet are those that a ROUTER draws for
/// peers that bring none.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(Bytes);

/// The octets are no identity: none, more than 255, or a zero in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity has 1 to 255 octets, the first of them not zero")]
pub struct IdentityError;

impl Identity {
    /// Checks and takes the octets.
    pub fn new(octets: impl Into<Bytes>) -> Result<Self, IdentityError> {
        let octets = octets.into();
        // 37/ZMTP: the first octet of an identity shall not be zero.
        let sound = (1..=255).contains(&octets.len()) && octets[0] != 0;
        if sound {
            Ok(Self(octets))
        } else {
            Err(IdentityError)
        }
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// What a socket is told when it is made; the defaults suit most programs.
///
/// Nothing is judged before a socket is to be made of them: `with_options` names
/// the first value that is out of its range, and the first option that the type
/// of the socket cannot heed. An option at its default is heeded by all. The
/// others say for which types they are; those that name none, such as marks,
/// times and what concerns the transports, are harmless where they have no use.
///
/// ```
/// use std::time::Duration;
/// use pushsub::{Options, Push};
///
/// let push = Push::with_options(
///     Options::default().send_high_water_mark(10_000).linger(Duration::from_secs(5)),
/// )?;
/// # Ok::<(), pushsub::OptionsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) context: Context,
    pub(crate) identity: Option<Identity>,
    /// What it says of itself: names and values.
    pub(crate) metadata: Vec<(String, Bytes)>,
    pub(crate) send_limit: Limit,
    pub(crate) receive_limit: Limit,
    pub(crate) linger: Duration,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) connection: ConnectionOptions,
    pub(crate) max_message_size: usize,
    pub(crate) max_frames: usize,
    pub(crate) mandatory: bool,
    pub(crate) correlate: bool,
    /// Boxed, as most programs set none of it.
    pub(crate) pattern: Box<PatternOptions>,
    pub(crate) allow_plaintext: bool,
    /// Behind a pointer: they are many, and each session has a share of them.
    pub(crate) transport: Arc<TransportOptions>,
}

/// How much a pipe holds: it is full when either count is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Limit {
    /// Below it one that was full takes more.
    #[inline]
    pub(crate) fn half(self) -> Self {
        Self {
            messages: self.messages.div_ceil(2),
            bytes: self.bytes / 2,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        let limit = Limit {
            messages: 1_000,
            bytes: 8 << 20,
        };
        Self {
            context: Context::default(),
            identity: None,
            metadata: Vec::new(),
            send_limit: limit,
            receive_limit: limit,
            linger: Duration::from_secs(1),
            time_to_live: None,
            connection: ConnectionOptions::default(),
            max_message_size: 16 << 20,
            max_frames: 1_024,
            mandatory: false,
            correlate: false,
            pattern: Box::default(),
            allow_plaintext: false,
            transport: Arc::default(),
        }
    }
}

impl Options {
    /// The context of the socket: the names of inproc that it knows, and the
    /// budget of memory that it shares. Default: that of the process,
    /// [`Context::default`].
    #[must_use]
    pub fn context(mut self, context: impl Into<Context>) -> Self {
        self.context = context.into();
        self
    }

    /// The name by which a ROUTER at the other end knows this socket (`ZMQ_ROUTING_ID`).
    /// Default: none, the ROUTER draws one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Messages that wait to be written to one peer before the pipe is full
    /// (`ZMQ_SNDHWM`). Default 1,000; at least 1. Where libzmq has 0, no limit,
    /// there is `usize::MAX`.
    #[must_use]
    pub fn send_high_water_mark(mut self, messages: usize) -> Self {
        self.send_limit.messages = messages;
        self
    }

    /// Octets that wait to be written to one peer before the pipe is full. An
    /// empty pipe admits one message of any permitted size. Default 8 MiB; at
    /// least 1, and `usize::MAX` is no limit.
    #[must_use]
    pub fn send_high_water_mark_bytes(mut self, octets: usize) -> Self {
        self.send_limit.bytes = octets;
        self
    }

    /// Messages of one peer that wait to be received before its link is left
    /// unread (`ZMQ_RCVHWM`). Default 1,000; at least 1. Where libzmq has 0, no
    /// limit, there is `usize::MAX`. What one read of the link held beyond the
    /// mark is kept.
    #[must_use]
    pub fn receive_high_water_mark(mut self, messages: usize) -> Self {
        self.receive_limit.messages = messages;
        self
    }

    /// Octets of one peer that wait to be received before its link is left
    /// unread. Default 8 MiB; at least 1, and `usize::MAX` is no limit. It is left
    /// unread earlier where the frames of its messages are for the most part empty.
    #[must_use]
    pub fn receive_high_water_mark_bytes(mut self, octets: usize) -> Self {
        self.receive_limit.bytes = octets;
        self
    }

    /// How long what is queued may still be written after the last handle is
    /// dropped (`ZMQ_LINGER`). Default 1 s. Only `close` promises.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// How long a message may wait in a queue of this socket: from the moment
    /// when it is accepted to the first octet that is written, and again from
    /// its arrival to its delivery. One that waits longer is given up and
    /// counted as expired ([`Sent`](crate::Sent), [`Received`](crate::Received)),
    /// within about a millisecond, and makes room. `None` waits for ever, which is the default.
    ///
    /// What the system's own buffers hold is in no queue of this socket, and is
    /// sent and read however old it is: [`send_buffer`](Self::send_buffer) and
    /// [`receive_buffer`](Self::receive_buffer) bound it. What the socket tells
    /// the application of its own accord, as an XPUB of subscriptions, never
    /// expires. A REQ cannot heed this: a timeout around its request does it.
    #[must_use]
    pub fn time_to_live(mut self, limit: Option<Duration>) -> Self {
        self.time_to_live = limit;
        self
    }

    /// The largest message that is sent or received, all frames together, in
    /// octets (`ZMQ_MAXMSGSIZE`). A peer that announces more is disconnected
    /// before a byte of the body is read. Default 16 MiB; where libzmq has -1, no
    /// limit, there is `usize::MAX`. Half of the budget of the
    /// [`context`](Self::context) is a limit as well.
    #[must_use]
    pub fn max_message_size(mut self, octets: usize) -> Self {
        self.max_message_size = octets;
        self
    }

    /// The most frames of a message that is sent or received. Default 1,024; at least 1.
    #[must_use]
    pub fn max_frames(mut self, frames: usize) -> Self {
        self.max_frames = frames;
        self
    }

    /// Whether a ROUTER answers a message for a peer that it does not know, or
    /// whose pipe is full, with an error instead of dropping and counting it,
    /// and a REP a reply to one (`ZMQ_ROUTER_MANDATORY`), whatever
    /// [`overflow`](Self::overflow) says. Default no.
    #[must_use]
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Whether a REQ puts an id before each request and takes only the reply
    /// that brings it back (`ZMQ_REQ_CORRELATE` with `ZMQ_REQ_RELAXED`). A late
    /// reply is told apart by its id then, and the connection stays; the peer must
    /// return the whole envelope, as a REP does. Default no: a new connection
    /// tells them apart.
    #[must_use]
    pub fn correlate(mut self, correlate: bool) -> Self {
        self.correlate = correlate;
        self
    }

    /// Whether a message is over the limits of octets or frames.
    #[inline]
    pub(crate) fn refuses(&self, message: &Message) -> bool {
        message.frames().len() > self.max_frames || message.size() > self.max_message_size
    }

    /// Lets `bind` listen beyond loopback though nothing on the wire is
    /// encrypted and no peer proves who it is. Default no.
    #[must_use]
    pub fn allow_plaintext(mut self) -> Self {
        self.allow_plaintext = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, SocketType};

    /// N08.
    #[test]
    fn of_the_121_pairs_of_types_21_may_talk() {
        let legal = SocketType::ALL
            .iter()
            .flat_map(|left| SocketType::ALL.iter().map(move |right| (left, right)))
            .filter(|(left, right)| left.accepts(**right))
            .count();
        assert_eq!(legal, 21);
    }

    #[test]
    fn who_accepts_is_accepted() {
        for left in SocketType::ALL {
            for right in SocketType::ALL {
                assert_eq!(
                    left.accepts(right),
                    right.accepts(left),
                    "{left} and {right}"
                );
            }
        }
    }

    #[test]
    fn a_type_has_one_spelling() {
        assert_eq!(SocketType::from_name(b"ROUTER"), Some(SocketType::Router));
        assert_eq!(SocketType::from_name(b"router"), None);
    }

    /// N10, N11.
    #[test]
    fn an_identity_is_neither_empty_nor_long_nor_begins_with_zero() {
        assert!(Identity::new("a").is_ok());
        assert!(Identity::new(vec![1; 255]).is_ok());
        assert!(Identity::new(vec![1; 256]).is_err());
        assert!(Identity::new("").is_err());
        assert!(Identity::new("\0a").is_err());
    }
}
