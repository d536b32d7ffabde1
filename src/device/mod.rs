//! Devices: what stands between peers, composed of sockets.
//!
//! A device never ends because of one message or one peer, and never reads a
//! payload: it routes on the topic and the control frame, or on nothing.

mod broker;
mod classic;
mod proxy;

pub use broker::{Broker, BrokerBuilder, BrokerStats, Refused, ServiceStats, WorkerStats};
pub use classic::{
    Device, DeviceBuilder, DeviceClosed, DeviceError, Forwarder, Queue, Side, Streamer,
};
pub use proxy::{Captured, Proxy, ProxyHandle, ProxyStats, Receiving, Sending, Traffic};
