//! What a pattern can be told: when it queues, what it does with a full pipe, what it says unasked.

use std::time::Duration;

use bytes::Bytes;

use super::{Options, SocketType, StallLimit};
use crate::message::Message;

/// What becomes of a message for a peer whose pipe is full.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Overflow {
    /// The sender waits until all whom the message is for have room.
    Block,
    /// The peer misses the message.
    DropNewest,
    /// The peer misses the oldest one that waits and is not being written.
    DropOldest,
    /// The peer misses it, and its connection is cut.
    Disconnect,
    /// Of all that wait for a peer only the newest of each key is kept, whether
    /// the pipe is full or not. It comes behind the others; what it replaces is
    /// counted. A message whose key none has that waits is missed where the pipe is
    /// full. What is on its way to the system is not replaced any more.
    ///
    /// The function says which key a message has, as it goes to the peer: at a
    /// ROUTER without the identity. It is called with the socket locked, for each
    /// peer: it must be quick, and must not use the socket.
    ///
    /// ```
    /// use pushsub::{Options, Overflow, Pub};
    ///
    /// // A slow subscriber gets the newest price of each share.
    /// let options = Options::default()
    ///     .overflow(Overflow::ConflateBy(|message| message.first().clone()));
    /// let prices = Pub::with_options(options)?;
    /// # Ok::<(), pushsub::OptionsError>(())
    /// ```
    ConflateBy(fn(&Message) -> Bytes),
}

/// What one peer may subscribe to. A peer that wants more is disconnected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicLimits {
    /// Topics.
    pub(crate) count: usize,
    /// Octets of all topics together.
    pub(crate) octets: usize,
    /// Octets of one topic.
    pub(crate) longest: usize,
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self {
            count: 100_000,
            octets: 16 << 20,
            longest: 64 << 10,
        }
    }
}

/// Which subscriptions of its peers an XPUB shows to the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// The first and the last of each topic.
    #[default]
    Changes,
    /// Every subscription, and the last cancel of each topic.
    Subscriptions,
    /// Every subscription and every cancel.
    Everything,
}

/// The options of this file, at their defaults.
#[derive(Clone, Debug, Default)]
pub(crate) struct PatternOptions {
    pub(crate) immediate: bool,
    pub(crate) conflate: bool,
    pub(crate) overflow: Option<Overflow>,
    pub(crate) handover: bool,
    pub(crate) probe_router: bool,
    pub(crate) shown: Shown,
    pub(crate) manual: bool,
    pub(crate) invert_matching: bool,
    pub(crate) topics: TopicLimits,
    pub(crate) welcome: Option<Message>,
    pub(crate) hello: Option<Message>,
    pub(crate) disconnect: Option<Message>,
    pub(crate) hiccup: Option<Message>,
}

impl Options {
    /// Whether a message is queued only for peers that are connected
    /// (`ZMQ_IMMEDIATE`). What was queued when a connection ended waits for the
    /// next one all the same. Default no: a connected endpoint has its queue
    /// before its peer is there.
    #[must_use]
    pub fn immediate(mut self, immediate: bool) -> Self {
        self.pattern.immediate = immediate;
        self
    }

    /// Whether only the newest message is kept for each peer, and of each peer
    /// (`ZMQ_CONFLATE`), whatever the high-water marks are; messages of several
    /// frames too. For PUSH, PULL, PUB, SUB, DEALER and PAIR. What it replaces is
    /// counted as dropped. Default no.
    #[must_use]
    pub fn conflate(mut self, conflate: bool) -> Self {
        self.pattern.conflate = conflate;
        self
    }

    /// What becomes of a message for a peer whose pipe is full, where the
    /// pattern leaves a choice. PUB and XPUB know all, and [`Overflow::Block`] is
    /// what libzmq calls `ZMQ_XPUB_NODROP`; XSUB, ROUTER and REP never wait (XS04,
    /// RT12, RP07), and a REP does not conflate. The others always wait (PS08,
    /// DL09), and have no choice but [`conflate`](Self::conflate). Not beside
    /// `conflate`. Default: [`Overflow::DropNewest`] where there is a choice.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.pattern.overflow = Some(overflow);
        self
    }

    /// Whether a peer that brings the identity of another takes its place at a
    /// ROUTER: the other is cut, and what was queued for it is dropped
    /// (`ZMQ_ROUTER_HANDOVER`). Default no: the second is refused while the
    /// first is there.
    #[must_use]
    pub fn handover(mut self, handover: bool) -> Self {
        self.pattern.handover = handover;
        self
    }

    /// Whether a DEALER, REQ or ROUTER sends an empty message on each new
    /// connection, so that a ROUTER at the other end learns of it
    /// (`ZMQ_PROBE_ROUTER`). Default no.
    #[must_use]
    pub fn probe_router(mut self, probe: bool) -> Self {
        self.pattern.probe_router = probe;
        self
    }

    /// Which subscriptions an XPUB shows (`ZMQ_XPUB_VERBOSE`,
    /// `ZMQ_XPUB_VERBOSER`). Default: the changes.
    #[must_use]
    pub fn shown(mut self, shown: Shown) -> Self {
        self.pattern.shown = shown;
        self
    }

    /// Whether a subscription to an XPUB takes effect only as the application
    /// decides (`ZMQ_XPUB_MANUAL`): see
    /// [`XPub::recv_upstream`](crate::XPub::recv_upstream). Every subscription
    /// is shown then, and of every one that was not refused its end, whatever
    /// [`shown`](Self::shown) says. Default no.
    #[must_use]
    pub fn manual_subscriptions(mut self, manual: bool) -> Self {
        self.pattern.manual = manual;
        self
    }

    /// Whether PUB and XPUB send to those who did not subscribe to a message,
    /// and a SUB delivers what it did not subscribe to
    /// (`ZMQ_INVERT_MATCHING`). Both ends need it. Default no.
    #[must_use]
    pub fn invert_matching(mut self, invert: bool) -> Self {
        self.pattern.invert_matching = invert;
        self
    }

    /// The most topics that one peer may subscribe to at a PUB or XPUB; one that
    /// wants more is disconnected. Default 100,000; at least 1. All peers together
    /// have 1,000,000 topics of 64 MiB at most, whatever this says, unless
    /// [`manual_subscriptions`](Self::manual_subscriptions) is set. libzmq has no
    /// such limits.
    #[must_use]
    pub fn max_subscriptions(mut self, topics: usize) -> Self {
        self.pattern.topics.count = topics;
        self
    }

    /// The octets that all topics of one peer of a PUB or XPUB may reach together;
    /// one topic more disconnects it. Default 16 MiB; at least 1. libzmq has no
    /// such limit.
    #[must_use]
    pub fn max_subscription_octets(mut self, octets: usize) -> Self {
        self.pattern.topics.octets = octets;
        self
    }

    /// The octets of the longest topic that a peer may subscribe to at a PUB or
    /// XPUB; one that wants a longer one is disconnected. Default 64 KiB; 0 allows
    /// only to subscribe to all. libzmq has no such limit.
    #[must_use]
    pub fn max_topic(mut self, octets: usize) -> Self {
        self.pattern.topics.longest = octets;
        self
    }

    /// What an XPUB or PUB sends to each new subscriber first, subscribed to
    /// or not (`ZMQ_XPUB_WELCOME_MSG`); a SUB delivers it if it asked for its
    /// topic. Default nothing.
    #[must_use]
    pub fn welcome(mut self, message: impl Into<Message>) -> Self {
        self.pattern.welcome = Some(message.into());
        self
    }

    /// What a DEALER or ROUTER sends first on each new connection
    /// (`ZMQ_HELLO_MSG`). Default nothing.
    #[must_use]
    pub fn hello(mut self, message: impl Into<Message>) -> Self {
        self.pattern.hello = Some(message.into());
        self
    }

    /// What a ROUTER delivers, behind its identity and its last message, when
    /// an accepted peer is gone (`ZMQ_DISCONNECT_MSG`). Default nothing.
    #[must_use]
    pub fn disconnect_message(mut self, message: impl Into<Message>) -> Self {
        self.pattern.disconnect = Some(message.into());
        self
    }

    /// What a DEALER delivers when the connection to an endpoint that it
    /// connects has ended, and is being made again (`ZMQ_HICCUP_MSG`). Default nothing.
    #[must_use]
    pub fn hiccup_message(mut self, message: impl Into<Message>) -> Self {
        self.pattern.hiccup = Some(message.into());
        self
    }
}

/// How long a peer may take nothing of what is written to it where a slow peer misses
/// messages anyway.
const STALL: Duration = Duration::from_secs(30);

impl Options {
    /// How long a peer of a socket of this type may take nothing of what is written to it.
    pub(crate) fn stall_limit(&self, socket_type: SocketType) -> Option<Duration> {
        if let StallLimit::Given(limit) = self.transport.stall {
            return limit;
        }
        let gives_up = match socket_type {
            SocketType::Pub | SocketType::XPub => {
                !matches!(self.pattern.overflow, Some(Overflow::Block))
            }
            SocketType::Router | SocketType::Rep => !self.mandatory,
            SocketType::Pull => true,
            // Back-pressure is what a pause of the peer means there: PS08, DL09; and
            // an XPUB leaves subscriptions unread that nobody receives (BI-67).
            SocketType::Push
            | SocketType::Dealer
            | SocketType::Req
            | SocketType::Pair
            | SocketType::Sub
            | SocketType::XSub => false,
        };
        gives_up.then_some(STALL)
    }
}

impl PatternOptions {
    /// What is said first on a new connection, in its order.
    pub(crate) fn first_words(&self) -> Vec<Message> {
        let probe = self.probe_router.then(|| Message::new(""));
        let words = [&self.welcome, &self.hello].into_iter().flatten().cloned();
        probe.into_iter().chain(words).collect()
    }
}
