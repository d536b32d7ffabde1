//! Devices: what stands between peers, composed of sockets.
//!
//! A device never ends because of one message or one peer, and never reads a
//! payload: it routes on the topic and the control frame.

mod broker;

pub use broker::{Broker, BrokerBuilder, BrokerStats, Refused, ServiceStats, WorkerStats};
