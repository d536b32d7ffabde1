//! Real peers: programs in Python over libzmq on the other end of the wire.

mod devices;
#[path = "../it/support/guard.rs"]
mod guard;
mod heartbeats;
mod matrix;
mod peer;
mod pipeline;
mod publish;
mod pyzmq_suite;
mod requests;
mod service;
mod support;
