//! What must hold of whatever octets come: a function for each parser, which asserts it of any input.
//!
//! ```text
//!  fuzz/targets/*.rs ── any octets ──▶ frames, greeting, handshake, metadata, commands,
//!  tests.rs ── seeds, mutants ──────▶ subscriptions, envelopes, endpoints, control
//! ```
//!
//! It exists for the fuzzer (`fuzz/`) and for the tests alone, and asserts more than that nothing
//! panics: the pieces do not matter, what is read can be written and read again, the limits hold,
//! and a plain model comes to the same. It never does IO and never decides anything for a socket.

mod commands;
mod control;
mod endpoints;
mod envelopes;
mod frames;
mod handshake;
#[cfg(test)]
mod mutate;
mod pieces;
mod subscriptions;

pub use commands::{commands, metadata};
pub use control::control;
pub use endpoints::endpoints;
pub use envelopes::envelopes;
pub use frames::frames;
pub use handshake::{greeting, handshake};
pub use subscriptions::subscriptions;

#[cfg(test)]
mod tests;
