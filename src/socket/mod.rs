//! What the application holds: the socket types, one file per pattern with both its ends.
//!
//! ```text
//!  Push, Pull, …   (pipeline.rs, publish.rs, dealer_router.rs, request_reply.rs)
//!      │ Handle    the last one dropped closes the socket
//!      ▼
//!    Core          one lock: pipes, routing, who waits         ◀── Port ── sessions
//! ```
//!
//! A socket is a composition of routing policies over pipes. This layer never
//! touches a wire, never holds its lock across IO or an await, and wakes nobody
//! who sends, receives or reads events while it holds it.

mod admit;
mod allowance;
mod closing;
mod complaints;
mod core;
mod dealer_router;
mod departure;
pub(crate) mod envelope;
mod exchange;
mod handle;
mod ledger;
mod locked;
#[cfg(all(test, pushsub_loom))]
mod loom;
mod manual;
mod membership;
mod monitor;
mod news;
mod offer;
mod operations;
mod pair;
mod pattern;
mod peer;
mod permit;
mod pipeline;
mod place;
mod port;
mod publish;
mod receipt;
mod request_reply;
mod spread;
mod starving;
mod state;
mod stats;
mod subscriber;
mod timekeeper;

pub use closing::Closed;
pub use dealer_router::{Dealer, Router};

pub use ledger::{Ledger, Passage};
pub use manual::{SubscriptionRequest, Upstream};
pub use monitor::{Event, Monitor};
pub use pair::Pair;
pub use peer::PeerInfo;
pub use permit::Permit;
pub use pipeline::{Pull, Push};
pub use publish::{Pub, Sub, XPub, XSub};
pub use receipt::{NotWritten, Receipt, SendOptions, Written};
pub use request_reply::{Rep, Req, Responder};
pub use stats::{Drops, PeerStats, Received, Sent, Stats};
