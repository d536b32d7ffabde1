//! What the drivers take from their surroundings for the pure parts: time and chance.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Instant;

/// This moment, by the clock of the runtime, which tests may have paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A number that nobody else has drawn, not zero: a nonce, an epoch, a seed.
///
/// The standard library seeds its hash maps from the system's source of randomness.
pub(crate) fn draw() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}
