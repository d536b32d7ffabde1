//! What a pattern can be told: when it queues, what it does with a full pipe, what it says unasked.

use super::{Options, SocketType};
use crate::message::Message;

/// What becomes of a message for a peer whose pipe is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The sender waits until all whom the message is for have room.
    Block,
    /// The peer misses the message.
    DropNewest,
    /// The peer misses the oldest one that waits and is not being written.
    DropOldest,
    /// The peer misses it, and its connection is cut.
    Disconnect,
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
    /// frames too. PUSH, PULL, PUB, SUB, DEALER and PAIR do so, the others take
    /// no notice. What it replaces is counted as dropped. Default no.
    #[must_use]
    pub fn conflate(mut self, conflate: bool) -> Self {
        self.pattern.conflate = conflate;
        self
    }

    /// What becomes of a message for a peer whose pipe is full, where the
    /// pattern leaves a choice. PUB and XPUB know all four, and
    /// [`Overflow::Block`] is what libzmq calls `ZMQ_XPUB_NODROP`; XSUB, ROUTER
    /// and REP never wait (XS04, RT12, RP07) and take `Block` for `DropNewest`.
    /// The others always wait (PS08, DL09), and take no notice. Default:
    /// [`Overflow::DropNewest`] where there is a choice.
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

impl PatternOptions {
    /// Keeps what means something to a socket of this type.
    pub(crate) fn limit_to(&mut self, socket_type: SocketType) {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
        self.manual &= socket_type == XPub;
        self.conflate &= matches!(socket_type, Push | Pull | Pub | Sub | Dealer | Pair);
        self.probe_router &= matches!(socket_type, Dealer | Req | Router);
        self.overflow = match (socket_type, self.overflow) {
            (Pub | XPub, overflow) => overflow,
            (XSub | Router | Rep, Some(Overflow::Block)) => None,
            (XSub | Router | Rep, overflow) => overflow,
            _ => None,
        };
        let keep = |words: &mut Option<Message>, kept: bool| {
            words.take_if(|_| !kept);
        };
        keep(&mut self.welcome, matches!(socket_type, Pub | XPub));
        keep(&mut self.hello, matches!(socket_type, Dealer | Router));
        keep(&mut self.disconnect, socket_type == Router);
        keep(&mut self.hiccup, socket_type == Dealer);
    }

    /// What is said first on a new connection, in its order.
    pub(crate) fn first_words(&self) -> Vec<Message> {
        let probe = self.probe_router.then(|| Message::new(""));
        let words = [&self.welcome, &self.hello].into_iter().flatten().cloned();
        probe.into_iter().chain(words).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Overflow;
    use crate::options::{Options, SocketType};

    #[test]
    fn an_option_means_nothing_to_a_type_that_cannot_heed_it() {
        let options = Options::default()
            .conflate(true)
            .probe_router(true)
            .overflow(Overflow::Block)
            .welcome("welcome")
            .hello("hello")
            .disconnect_message("gone")
            .hiccup_message("again");
        let of = |socket_type| {
            let mut pattern = options.pattern.clone();
            pattern.limit_to(socket_type);
            pattern
        };
        assert!(of(SocketType::Push).conflate);
        assert!(!of(SocketType::XPub).conflate);
        assert!(!of(SocketType::Rep).probe_router);
        assert_eq!(of(SocketType::XPub).overflow, Some(Overflow::Block));
        assert_eq!(of(SocketType::Router).overflow, None);
        assert_eq!(of(SocketType::Push).overflow, None);
        assert_eq!(of(SocketType::Pub).first_words().len(), 1);
        assert_eq!(of(SocketType::Dealer).first_words().len(), 2);
        assert_eq!(of(SocketType::Router).hiccup, None);
        assert_eq!(of(SocketType::Dealer).disconnect, None);
    }
}
