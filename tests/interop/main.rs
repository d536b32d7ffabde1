//! Real peers: programs in Python over libzmq on the other end of the wire.

mod devices;
mod heartbeats;
mod matrix;
mod peer;
mod pipeline;
mod publish;
mod pyzmq_suite;
mod requests;
mod service;
mod support;
