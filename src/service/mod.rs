//! The service layer: push requests to a service, subscribe to its responses.
//!
//! It never touches a connection: it composes sockets and says what travels
//! in their messages (`docs/protocol.md`). What decides (`wire`, `envelope`,
//! `dispatch`, `call`) takes the time as an argument and never waits; what
//! waits (`client`, `server`) decides nothing.

pub(crate) mod dispatch;
pub(crate) mod envelope;
pub(crate) mod wire;

pub use envelope::{ClientId, ClientIdError};
pub use wire::RequestId;
