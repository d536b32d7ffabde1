//! ZMTP 3.1 on the octets of one link: greeting, NULL handshake, frames and commands, with the
//! rules of 3.0 towards peers that announce 3.0 (23/ZMTP, 37/ZMTP).
//!
//! ```text
//!                 greeting read,          READY read,
//!  new ─▶ ExpectGreeting ──────▶ ExpectReady ──────▶ Peer: the link carries messages
//!   │ our greeting    │ our READY     │                        │
//!   ▼ goes out        ▼ goes out      │ illegal socket type    ▼
//!                                     ▼ our ERROR goes out   Decoder: octets ─▶ messages, commands
//!                               HandshakeError               frame::encode_message: message ─▶ octets
//! ```
//!
//! It never does IO, never reads a clock, never waits, never decides when a PING is due, and
//! never allocates what a peer has only announced: a length is held against its limit at the
//! header, and memory is taken for octets that are there.

pub(crate) mod command;
pub(crate) mod decode;
pub(crate) mod frame;
pub(crate) mod greeting;
pub(crate) mod handshake;
pub(crate) mod metadata;
#[cfg(test)]
mod property;

pub(crate) use command::{Command, encode_subscription};
pub(crate) use decode::Decoder;
pub(crate) use handshake::{Handshake, Local, Peer};
pub(crate) use metadata::Metadata;
