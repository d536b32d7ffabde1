//! The counters of a socket: every message is accounted for.

use bytes::Bytes;

use crate::endpoint::Endpoint;

/// What became of the messages of a socket, in copies: a publication to three
/// subscribers is three.
///
/// At rest `sent.accepted = sent.written + sent.dropped + sent.expired + sent.queued` and
/// `received.received = received.delivered + received.dropped + received.expired + received.queued`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The sending side, over all peers that are or were.
    pub sent: Sent,
    /// The receiving side, over all peers that are or were.
    pub received: Received,
    /// Publications that nobody had subscribed to: no copy of them was made.
    pub unmatched: u64,
    /// Commands that were passed over, of all peers that are or were: unknown
    /// and nameless ones, a second READY, subscriptions to a socket that
    /// publishes nothing, and PONGs that nobody asked for.
    pub ignored_commands: u64,
    /// The pipes that are there now.
    pub peers: Vec<PeerStats>,
}

/// The counters of one pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// The endpoint that was connected or bound.
    pub endpoint: Endpoint,
    /// The name by which a ROUTER knows the peer; empty for other sockets.
    pub identity: Bytes,
    /// Whether a connection is there.
    pub connected: bool,
    /// Its sending side.
    pub sent: Sent,
    /// Its receiving side.
    pub received: Received,
    /// Commands of its peers that were passed over.
    pub ignored_commands: u64,
}

/// Messages on their way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// Taken from the application.
    pub accepted: u64,
    /// Handed to the system whole.
    pub written: u64,
    /// Given up, by reason.
    pub dropped: Drops,
    /// Given up because they had waited longer than their time to live.
    pub expired: u64,
    /// Waiting to be written.
    pub queued: u64,
}

/// Why messages on their way out were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// The peer's pipe was full, and the pattern drops (PUB, XPUB, XSUB, ROUTER, REP).
    pub full: u64,
    /// A newer message took its place ([`Overflow::DropOldest`](crate::Overflow),
    /// [`Overflow::ConflateBy`](crate::Overflow), conflate).
    pub replaced: u64,
    /// No peer has the identity (ROUTER), or whoever asked is gone (REP).
    pub unroutable: u64,
    /// The link was cut when a part of the message was written.
    pub cut: u64,
    /// The peer went, and its queue with it, or the socket closed.
    pub discarded: u64,
}

impl Drops {
    /// All reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.full + self.replaced + self.unroutable + self.cut + self.discarded
    }
}

/// Messages on their way in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Read from the wire whole.
    pub received: u64,
    /// Handed to the application.
    pub delivered: u64,
    /// Not for the application: not subscribed to, of no use to the pattern, or
    /// read when the socket was closed.
    pub dropped: u64,
    /// Given up because they had waited longer than their time to live.
    pub expired: u64,
    /// Waiting to be delivered.
    pub queued: u64,
}

impl Sent {
    pub(super) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.written += other.written;
        self.expired += other.expired;
        self.queued += other.queued;
        self.dropped.full += other.dropped.full;
        self.dropped.replaced += other.dropped.replaced;
        self.dropped.unroutable += other.dropped.unroutable;
        self.dropped.cut += other.dropped.cut;
        self.dropped.discarded += other.dropped.discarded;
    }
}

impl Received {
    pub(super) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.delivered += other.delivered;
        self.expired += other.expired;
        self.dropped += other.dropped;
        self.queued += other.queued;
    }
}
