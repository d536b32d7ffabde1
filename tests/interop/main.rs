//! Real peers: programs in Python over libzmq on the other end of the wire.

mod devices;
mod differences;
#[path = "../it/support/guard.rs"]
mod guard;
mod heartbeats;
mod matrix;
#[path = "../../src/fuzzing/mutate.rs"]
mod mutate;
#[path = "../hostile/support/octets.rs"]
mod octets;
mod peer;
mod pipeline;
mod publish;
mod pyzmq_suite;
mod requests;
mod service;
mod support;
