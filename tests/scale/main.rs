//! Scale: thousands of connections, each end in a process of its own, whose descriptors and memory are its alone.
//!
//! The tests that run with all others have as many links as that has time for. The others are
//! ignored unless asked for: `cargo test --test scale -- --ignored --test-threads 1 --nocapture`.
//! Each test prints its figures in one line.
#![cfg(target_os = "linux")]

mod bound;
mod churn;
mod crowd;
mod dialling;
mod exhaustion;
mod many;
mod other;
mod signals;
mod storm;
mod weather;

/// What a test or a process fails with.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Counts what is allocated, so that what a link costs can be told from what the allocator keeps.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);
