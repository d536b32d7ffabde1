//! Real peers: programs in Python over libzmq on the other end of the wire.

mod devices;
#[path = "../it/support/guard.rs"]
mod guard;
mod peer;
mod pipeline;
mod publish;
mod requests;
mod service;
mod support;
