//! Hostile peers and misuse: what a peer may put on the wire, row by row, against every side of a socket.
//!
//! Every test is a row, or a part of one: a generator over kinds of sockets, the side that
//! dials, and the pieces in which the octets come. `whole_run` counts the cases of all of them.

mod churn;
mod commands;
mod flood;
mod framing;
mod full;
mod greeting;
#[path = "../it/support/guard.rs"]
#[allow(dead_code, reason = "its own tests need more of it")]
mod guard;
mod identity;
mod latency;
mod memory;
mod metadata;
mod misuse;
mod mutants;
#[path = "../../src/fuzzing/mutate.rs"]
mod mutate;
mod outside;
mod publish;
mod requests;
mod stall;
mod support;
mod whole_run;

/// Counts what is allocated, for those rows that bound it.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);
