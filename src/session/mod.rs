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

mod alarm;
mod backoff;
mod dial;
mod driver;
mod handshake;
mod heartbeat;
mod hosts;
mod inproc;
mod link;
mod listen;
#[cfg(all(test, pushsub_loom))]
pub(crate) mod loom;
mod patience;
mod port;
mod reading;
mod stall;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::context::Context;
use crate::endpoint::Endpoint;
use crate::error::{GivenUp, LinkError};
use crate::options::{ConnectionOptions, Identity, Options, SocketType, TransportOptions};
use crate::pipe::{Batch, Fate};

use driver::Driver;
use inproc::Joined;
use link::Wired;

use crate::transport::Wire;
use crate::turns::Home;
use crate::zmtp::Peer;

pub(crate) use crate::transport::WireName;
pub(crate) use crate::zmtp::Metadata;
pub(crate) use dial::dial;
pub(crate) use listen::{Bound, Listener, adopt, bind, listen};
pub(crate) use port::{
    Attach, Left, Phase, PipeId, Port, Subscription, Taken, Writer, encode_pong,
};

/// What a session needs to know of its socket's options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) context: Context,
    pub(crate) socket_type: SocketType,
    pub(crate) identity: Option<Identity>,
    pub(crate) metadata: Arc<[(String, Bytes)]>,
    pub(crate) connection: ConnectionOptions,
    pub(crate) max_message_size: usize,
    pub(crate) max_frames: usize,
    pub(crate) transport: Arc<TransportOptions>,
    /// How long a peer may take nothing of what is written to it.
    pub(crate) stall: Option<Duration>,
}

impl Settings {
    pub(crate) fn new(socket_type: SocketType, options: &Options) -> Self {
        Self {
            context: options.context.clone(),
            socket_type,
            identity: options.identity.clone(),
            metadata: options.metadata.clone().into(),
            connection: options.connection,
            max_message_size: options.max_message_size,
            max_frames: options.max_frames,
            transport: options.transport.clone(),
            stall: options.stall_limit(socket_type),
        }
    }
}

/// Gives up what a writer has taken, not begun, and kept too long.
fn expire(batch: &mut Batch, port: &dyn Port, pipe: PipeId, now: Instant) {
    if !batch.is_timed() {
        return;
    }
    let expired = batch.expire(now);
    if expired.messages > 0 {
        port.expired(pipe, expired);
        batch.settle(Fate::GivenUp(GivenUp::Expired));
    }
}

/// The live connection of a pipe, as its socket sees it. A clone is the same one.
#[derive(Clone)]
pub(crate) enum Link {
    /// Over a wire.
    Wired(Arc<Wired>),
    /// To a socket in this process.
    Joined(Arc<Joined>),
}

impl Link {
    /// Joins a wire to its pipe, or to a new one. Its peer has shaken hands, and sent something behind that.
    fn attach(
        port: &Arc<dyn Port>,
        pipe: Option<PipeId>,
        endpoint: &Arc<Endpoint>,
        wire: Wire,
        (peer, early): (Peer, BytesMut),
        settings: &Settings,
    ) -> Result<Self, LinkError> {
        let attach = Attach {
            pipe,
            endpoint,
            address: &wire.address(),
            wire: wire.name(),
            credentials: wire.origin().credentials(),
            peer: &peer,
        };
        let mut parts = Some((wire, early));
        port.attach(attach, &mut |pipe| {
            let (wire, early) = parts.take().expect("attach makes one link");
            Self::Wired(Arc::new(Wired::new(
                port, pipe, wire, &peer, early, settings,
            )))
        })
    }

    /// What the peer speaks; commands are encoded by it.
    pub(crate) fn version(&self) -> (u8, u8) {
        match self {
            Self::Wired(wired) => wired.version,
            Self::Joined(_) => inproc::VERSION,
        }
    }

    /// Where its driver has its turns, if it writes to a wire.
    pub(crate) fn home(&self) -> Option<Home> {
        match self {
            Self::Wired(wired) => wired.home,
            Self::Joined(_) => None,
        }
    }

    /// Wakes the driver, which looks at everything.
    pub(crate) fn wake(&self) {
        match self {
            Self::Wired(wired) => wired.wake(),
            Self::Joined(joined) => joined.wake(),
        }
    }

    /// Asks the driver to write what is queued and to end the connection.
    pub(crate) fn finish(&self) {
        match self {
            Self::Wired(wired) => wired.finish(),
            Self::Joined(joined) => joined.finish(),
        }
    }

    /// Ends the connection for this reason, unless it has one already.
    pub(crate) fn fail(&self, reason: LinkError) {
        match self {
            Self::Wired(wired) => wired.fail(reason),
            Self::Joined(joined) => joined.fail(reason),
        }
    }

    /// Writes what waits, from the task that made it wait or that of a leader.
    pub(crate) fn flush_now(&self, writer: Writer) {
        match self {
            Self::Wired(wired) => wired.flush_now(writer),
            Self::Joined(joined) => joined.flush_now(writer),
        }
    }

    /// The pipe whose connection it is.
    pub(crate) fn pipe(&self) -> PipeId {
        match self {
            Self::Wired(wired) => wired.pipe,
            Self::Joined(joined) => joined.pipe,
        }
    }

    /// Gives up what its writer has taken, not begun, and kept too long.
    /// Returns the time before which nothing else of it expires.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::Wired(wired) => wired.expire(now),
            Self::Joined(joined) => joined.expire(now),
        }
    }

    /// Reads what is there, once, and delivers it. Where nothing is, it `may_look` again before it sleeps.
    pub(crate) fn read(&self, may_look: bool) {
        match self {
            Self::Wired(wired) => wired.read(may_look),
            Self::Joined(joined) => joined.read(),
        }
    }

    /// Drives the link to its end.
    fn drive(self, settings: &Settings) -> impl Future<Output = LinkError> {
        let mut driver = Driver::new(self, settings);
        poll_fn(move |context| driver.poll(settings, context))
    }
}
