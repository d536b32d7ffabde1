//! The chaos proxy: a wire between two sockets that goes wrong as it is told, the same way for the same seed.
//!
//! ```text
//!             ┌───────────────── Chaos ─────────────────┐
//!  who dials ─┼─▶ lane: Forth ─ faults, strikes ─▶──────┼─▶ who is bound
//!            ◀┼──────◀─ strikes, faults ─ lane: Back ◀──┼─
//!             └─────────────────────────────────────────┘
//! ```
//!
//! It knows octets and not what they mean. It runs over tcp, and over wires in memory under virtual time.

mod lane;
mod wires;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use parking_lot::Mutex;
use pushsub::Endpoint;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::Result;
use lane::{Ended, Lane};
use wires::{Doors, Wire};

/// One of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From who dials to who is bound.
    Forth,
    Back,
}

/// What goes wrong with the octets of one way all the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Each octet is this late.
    pub(crate) latency: Duration,
    /// And by anything up to this later; octets stay in order.
    pub(crate) jitter: Duration,
    /// Octets in a second.
    pub(crate) bandwidth: Option<u32>,
    /// Octets that arrive at once, at most.
    pub(crate) slice: Option<usize>,
    /// About so many octets pass between two of which one bit is turned.
    pub(crate) flip_every: Option<u64>,
    /// What happens to each connection once.
    pub(crate) strike: Option<(When, Strike)>,
}

/// When a connection is struck.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// After so many octets of this way.
    Octets(u64),
    /// So long after its beginning.
    Time(Duration),
    /// After a number of octets that is drawn, so many on average.
    About(u64),
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// Both ways are cut, and what is under way is lost; on tcp with a RST.
    Reset,
    /// This way ends, as if its sender had shut it down; the other goes on.
    HalfClose,
    /// Nothing gets through this way until it is healed.
    Blackhole,
    /// What a black hole has held back goes on.
    Heal,
}

/// The proxy. Its connections end with it.
pub(crate) struct Chaos {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    seed: u64,
    faults: Mutex<[Faults; 2]>,
    strikes: broadcast::Sender<(Way, Strike)>,
    connections: AtomicU64,
    flips: AtomicU64,
}

impl Chaos {
    /// A proxy to whoever is bound to `target`: in memory for `memory://`, else on tcp.
    pub(crate) async fn before(target: &Endpoint, seed: u64) -> Result<Self> {
        let (mut doors, endpoint) = Doors::open(target).await?;
        let shared = Arc::new(Shared {
            seed,
            faults: Mutex::default(),
            strikes: broadcast::channel(64).0,
            connections: AtomicU64::new(0),
            flips: AtomicU64::new(0),
        });
        let serving = shared.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            // What connects here is cut where nobody is bound there.
            while let Ok((near, far)) = doors.accept().await {
                let number = serving.connections.fetch_add(1, Ordering::Relaxed);
                if let Some(far) = far {
                    connections.spawn(serving.clone().join(number, near, far));
                }
            }
        });
        Ok(Self {
            endpoint,
            shared,
            accepting,
        })
    }

    /// Where to dial it.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What goes wrong one way from here on; what strikes is for connections to come.
    pub(crate) fn set(&self, way: Way, faults: Faults) {
        self.shared.faults.lock()[way as usize] = faults;
    }

    /// The same for both ways.
    pub(crate) fn set_both(&self, faults: &Faults) {
        self.set(Way::Forth, faults.clone());
        self.set(Way::Back, faults.clone());
    }

    /// Strikes every connection that there is.
    pub(crate) fn strike(&self, way: Way, strike: Strike) {
        self.striker()(way, strike);
    }

    /// As [`strike`](Self::strike), for a task of its own.
    pub(crate) fn striker(&self) -> impl Fn(Way, Strike) + Send + use<> {
        let strikes = self.shared.strikes.clone();
        move |way, strike| drop(strikes.send((way, strike)))
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bits turned so far.
    pub(crate) fn flips(&self) -> u64 {
        self.shared.flips.load(Ordering::Relaxed)
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// One connection, until both its ways have ended or it is cut.
    async fn join(self: Arc<Self>, number: u64, near: Wire, far: Wire) {
        let cut = [near.cut, far.cut];
        let lane = |way| Lane::new(self.clone(), way, number);
        let forth = lane(Way::Forth).run(near.read, far.write);
        let back = lane(Way::Back).run(far.read, near.write);
        let ended = match select(Box::pin(forth), Box::pin(back)).await {
            Either::Left((Ended::Closed, back)) => back.await,
            Either::Right((Ended::Closed, forth)) => forth.await,
            Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
        };
        if ended == Ended::Reset {
            cut.iter().for_each(wires::Cut::reset);
        }
    }
}
