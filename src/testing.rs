//! For tests: bare wires to sockets on `memory://` endpoints, for those that play a peer octet by
//! octet, and a ledger that holds both ends of every link to account.
//!
//! With tokio's paused time such a test runs without waiting.

use std::io;

use tokio::io::DuplexStream;

pub use crate::socket::{Ledger, Passage};

use crate::transport::{Acceptor, Listener, accept_raw, dial_raw};

/// Dials the socket that is bound to `memory://name`: the test is the peer that connects.
///
/// # Errors
///
/// `ConnectionRefused` where nobody listens under that name.
pub fn dial(name: &str) -> io::Result<DuplexStream> {
    dial_raw(name)
}

/// A listener under `memory://name`: the test is the peer that is bound.
pub struct Listening(Acceptor);

impl std::fmt::Debug for Listening {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Listening").finish_non_exhaustive()
    }
}

impl Listening {
    /// Takes the name. It is free again when the listener is dropped.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where somebody listens under that name.
    pub fn bind(name: &str) -> io::Result<Self> {
        Listener::memory(name).map(Self)
    }

    /// The next wire that a socket dials.
    ///
    /// # Errors
    ///
    /// None while the listener lives.
    pub async fn accept(&mut self) -> io::Result<DuplexStream> {
        accept_raw(&mut self.0).await
    }
}
