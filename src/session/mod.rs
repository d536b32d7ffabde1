//! The one place where protocol meets IO: dialling, listening, and driving a connection.
//!
//! ```text
//!  dial ──▶ wire ─┐                       ┌─ read: wire → decode → port.deliver
//!                 ├─▶ handshake ─▶ Link ──┤
//!  listen ▶ wire ─┘                       └─ flush: port.take → wire
//!    ▲                                       │
//!    └───────── backoff ◀── the link ended ◀─┘ driver
//! ```
//!
//! A session knows its socket only as a [`Port`]. It never decides where a
//! message goes, and keeps no message beyond what a write has begun.

mod backoff;
mod dial;
mod driver;
mod handshake;
mod link;
mod listen;
mod port;

use std::time::Duration;

use crate::options::{Identity, Options, SocketType};

pub(crate) use dial::dial;
pub(crate) use link::Link;
pub(crate) use listen::{Bound, bind, listen};
pub(crate) use port::{Attach, Phase, PipeId, Port, Subscription, Taken, Writer};

/// What a session needs to know of its socket's options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) socket_type: SocketType,
    pub(crate) identity: Option<Identity>,
    pub(crate) reconnect_initial: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) heartbeat_interval: Option<Duration>,
    pub(crate) max_message_size: usize,
    pub(crate) max_frames: usize,
}

impl Settings {
    pub(crate) fn new(socket_type: SocketType, options: &Options) -> Self {
        Self {
            socket_type,
            identity: options.identity.clone(),
            reconnect_initial: options.reconnect_initial,
            reconnect_max: options.reconnect_max,
            handshake_timeout: options.handshake_timeout,
            heartbeat_interval: options.heartbeat_interval,
            max_message_size: options.max_message_size,
            max_frames: options.max_frames,
        }
    }
}
