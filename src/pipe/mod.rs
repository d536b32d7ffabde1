//! The bounded queue between a socket and a connection, one half each way.
//!
//! The socket guards both halves with its own lock. This layer does no IO, wakes
//! nobody and never waits: it says what has room, and the callers act.

mod batch;
mod incoming;
mod outgoing;
mod plain;
mod waiters;

pub(crate) use batch::{Batch, Encoded, Progress};
pub(crate) use incoming::{Incoming, OVERHEAD};
pub(crate) use outgoing::Outgoing;
pub(crate) use plain::Plain;
pub(crate) use waiters::{Ticket, Waiters};
