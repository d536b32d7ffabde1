//! The bounded queue between a socket and a connection, one half each way.
//!
//! The socket guards both halves with its own lock. This layer does no IO, wakes
//! nobody and never waits: it says what has room, and the callers act.

mod batch;
mod encoded;
mod incoming;
mod keyed;
mod marks;
#[cfg(test)]
mod model;
mod outgoing;
mod parcel;
mod plain;
#[cfg(test)]
mod property;
mod receipt;
mod waiters;

pub(crate) use batch::{Batch, Progress};
pub(crate) use incoming::{Incoming, OVERHEAD};
pub(crate) use marks::Mark;
pub(crate) use outgoing::Outgoing;
pub(crate) use parcel::{Copied, Parcel};
pub(crate) use plain::Plain;
pub(crate) use receipt::{Fate, Fates, Slip, Tally, Wakeups};
pub(crate) use waiters::{Ticket, Waiters};
