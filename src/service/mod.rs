//! Push requests to a service, subscribe to its responses.
//!
//! It never touches a byte of the wire: sockets carry its messages.

#[allow(dead_code, reason = "its users are being built")]
pub(crate) mod dispatch;
