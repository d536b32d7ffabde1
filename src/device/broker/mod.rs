//! The broker.
//!
mod core;
mod stats;
pub use stats::{BrokerStats, Refused, ServiceStats, WorkerStats};
