//! Every pair of socket types that may talk, ours at one end and another implementation at the other.
//!
//! Each pair is a test. It goes through its cells, one for each way to join the
//! two, and in a cell all messages pass twice, with a reconnect between. It never
//! looks into one pattern more deeply than that: the files beside it do.
#![allow(clippy::panic, reason = "a test fails by panicking")]

mod libzmq;
pub(crate) mod ours;
mod talk;
#[cfg(feature = "zeromq")]
mod zeromq;
