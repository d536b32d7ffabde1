//! Who is at the other end of a connection.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::state::State;
use crate::endpoint::Endpoint;
use crate::options::{Credentials, SocketType};
use crate::session::{Attach, Metadata};

/// Who is at the other end of one connection: what the peer said of itself in
/// its handshake, and what the system knows of it.
///
/// Nothing proves what it said, unless [`credentials`](Self::credentials) do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Tells this connection from all others that the socket has, had or will
    /// have. Later ones have higher numbers.
    pub connection: u64,
    /// The endpoint that was connected or bound.
    pub endpoint: Endpoint,
    /// Whether the peer dialled, and this socket is the one that is bound.
    pub accepted: bool,
    /// Where it is, for people to read: `127.0.0.1:49152`.
    pub address: String,
    /// Its socket type.
    pub socket_type: SocketType,
    /// The name by which this ROUTER knows it; for other sockets the name it
    /// gave itself, or nothing.
    pub identity: Bytes,
    /// Whose process it is, where the system vouches for it: ipc.
    pub credentials: Option<Credentials>,
    /// When its handshake was over.
    pub since: Instant,
    metadata: Metadata,
}

impl PeerInfo {
    pub(super) fn new(connection: u64, attach: &Attach<'_>, identity: Bytes) -> Self {
        Self {
            connection,
            endpoint: Endpoint::clone(attach.endpoint),
            accepted: attach.pipe.is_none(),
            address: attach.address.to_owned(),
            socket_type: attach.peer.socket_type,
            identity,
            credentials: attach.credentials,
            // Tokio's clock, which a test may pause.
            since: tokio::time::Instant::now().into_std(),
            metadata: attach.peer.properties.clone(),
        }
    }

    /// What it said of itself under this name: `Socket-Type`, `Identity`, or a
    /// name of its [`Options::metadata`](crate::Options::metadata). The case of
    /// the name does not matter.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Bytes> {
        self.metadata.property(name)
    }

    /// All that it said of itself, in its order: at most 64 names and values,
    /// of 8 KiB together, and no name twice.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.metadata.iter()
    }
}

impl State {
    /// Who is connected at present, in the order in which they came.
    pub(super) fn peers(&self) -> Vec<Arc<PeerInfo>> {
        let live = self.pipes.iter().filter(|(_, pipe)| pipe.link.is_some());
        let mut peers: Vec<_> = live.filter_map(|(_, pipe)| pipe.peer.clone()).collect();
        peers.sort_unstable_by_key(|peer| peer.connection);
        peers
    }
}
