//! What tells one socket type from another: where a message goes, and what is let in.

use bytes::{BufMut, BytesMut};

use crate::message::Message;
use crate::options::SocketType;
use crate::routing::{Identities, Lockstep, RoundRobin, Subscriptions};
use crate::session::PipeId;

/// The routing of a socket, over the indexes of its pipes.
pub(super) enum Pattern {
    /// PULL: receives only.
    Sink,
    /// PUSH and DEALER: one peer after the other, those with room.
    RoundRobin {
        peers: RoundRobin<usize>,
        /// DEALER: what peers send is for the application.
        receives: bool,
    },
    /// PUB and XPUB: everybody who subscribed. XPUB shows subscriptions to the application.
    FanOut {
        subscriptions: Subscriptions<usize>,
        shown: bool,
    },
    /// SUB and XSUB: what the application wants; one key, as the application is one.
    Subscriber {
        wanted: Subscriptions<usize>,
        /// SUB: what nobody asked for is dropped.
        filters: bool,
    },
    /// PAIR: its one peer.
    Pair(Option<usize>),
    /// ROUTER: whom the first frame names.
    Router(Identities<usize>),
    /// REQ: one peer after the other, and no other until it has answered.
    Request {
        peers: RoundRobin<usize>,
        lockstep: Lockstep<PipeId>,
    },
    /// REP: whoever asked, by a name that is drawn for each connection.
    Reply(Identities<usize>),
}

/// The most topics, and the most octets of topics, that all peers of a socket
/// may subscribe to together (BI-59). A peer that wants more is disconnected.
pub(super) const TOPICS_OF_ALL: usize = 1_000_000;
pub(super) const TOPIC_OCTETS_OF_ALL: usize = 64 << 20;

/// The key under which a SUB keeps its own subscriptions.
pub(super) const OWN: usize = 0;

impl Pattern {
    pub(super) fn new(socket_type: SocketType) -> Self {
        match socket_type {
            SocketType::Push | SocketType::Dealer => Self::RoundRobin {
                peers: RoundRobin::new(),
                receives: socket_type == SocketType::Dealer,
            },
            SocketType::Pub => Self::FanOut {
                subscriptions: Subscriptions::new(),
                shown: false,
            },
            SocketType::XPub => Self::FanOut {
                subscriptions: Subscriptions::new(),
                shown: true,
            },
            SocketType::Sub | SocketType::XSub => Self::Subscriber {
                wanted: Subscriptions::new(),
                filters: socket_type == SocketType::Sub,
            },
            SocketType::Router => Self::Router(Identities::new(fastrand::u32(..))),
            SocketType::Req => Self::Request {
                peers: RoundRobin::new(),
                lockstep: Lockstep::new(fastrand::u32(..)),
            },
            SocketType::Rep => Self::Reply(Identities::new(fastrand::u32(..))),
            SocketType::Pair => Self::Pair(None),
            SocketType::Pull => Self::Sink,
        }
    }

    /// A connected endpoint has its pipe, before any peer is there.
    pub(super) fn expect(&mut self, index: usize) {
        match self {
            Self::RoundRobin { peers, .. } | Self::Request { peers, .. } => peers.add(index),
            Self::Pair(peer) => {
                peer.get_or_insert(index);
            }
            _ => {}
        }
    }

    /// Nothing goes to this pipe any more.
    pub(super) fn forget(&mut self, index: usize) {
        match self {
            Self::RoundRobin { peers, .. } | Self::Request { peers, .. } => {
                peers.remove(index);
            }
            Self::Pair(peer) => {
                peer.take_if(|peer| *peer == index);
            }
            _ => {}
        }
    }

    /// Whether what is received may be answered through the same pipe, several at once.
    #[inline]
    pub(super) fn answers(&self) -> bool {
        matches!(
            self,
            Self::RoundRobin { receives: true, .. }
                | Self::Pair(_)
                | Self::Router(_)
                | Self::Request { .. }
                | Self::Reply(_)
        )
    }

    /// The pipe whose turn it is, of a PUSH, DEALER or PAIR.
    #[inline]
    pub(super) fn next(&self) -> Option<usize> {
        match self {
            Self::RoundRobin { peers, .. } => peers.current(),
            Self::Pair(peer) => *peer,
            _ => None,
        }
    }

    /// The pipe of the peer that a message of a ROUTER or REP names, where there is more than the name.
    #[inline]
    pub(super) fn named(&self, message: &Message) -> Option<usize> {
        let (Self::Router(identities) | Self::Reply(identities)) = self else {
            return None;
        };
        let found = identities.lookup(message.first());
        found.filter(|_| message.frames().len() > 1)
    }

    /// The turns of the peers, where messages go to one after the other.
    #[inline]
    pub(super) fn rotation(&mut self) -> Option<&mut RoundRobin<usize>> {
        match self {
            Self::RoundRobin { peers, .. } | Self::Request { peers, .. } => Some(peers),
            _ => None,
        }
    }
}

/// A subscription as XPUB shows it: one octet, 1 or 0, and the topic.
pub(super) fn subscription_message(subscribe: bool, topic: &[u8]) -> Message {
    let mut frame = BytesMut::with_capacity(1 + topic.len());
    frame.put_u8(u8::from(subscribe));
    frame.put_slice(topic);
    Message::new(frame)
}
