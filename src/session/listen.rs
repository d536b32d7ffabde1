//! Listens on an endpoint and drives every connection that is accepted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::Settings;
use super::driver::drive;
use super::handshake::shake_hands;
use super::link::Link;
use super::port::{Attach, Phase, Port};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::transport::{Listener, Wire};
use crate::zmtp::Decoder;

/// Connections of one listener that may be before the end of their handshake;
/// at the limit accepting pauses, and the kernel's backlog fills.
const HALF_OPEN: usize = 1_000;

/// The waits after a failed accept, as when descriptors have run out.
const ACCEPT_WAIT_LEAST: Duration = Duration::from_millis(10);
const ACCEPT_WAIT_MOST: Duration = Duration::from_secs(1);

/// What a listener works for.
pub(crate) struct Bound {
    pub(crate) port: Arc<dyn Port>,
    pub(crate) endpoint: Endpoint,
    pub(crate) settings: Settings,
    /// Of the connections: they outlive the listener.
    pub(crate) connections: watch::Receiver<Phase>,
}

/// Binds `endpoint`, and says which one it really is.
pub(crate) async fn bind(endpoint: &Endpoint) -> io::Result<(Listener, Endpoint)> {
    Listener::bind(endpoint).await
}

/// Accepts until `phase` leaves open. What was accepted goes on after that.
pub(crate) async fn listen(
    mut listener: Listener,
    bound: Bound,
    mut phase: watch::Receiver<Phase>,
) {
    let bound = Arc::new(bound);
    tokio::select! {
        () = accept_for_ever(&mut listener, &bound) => {}
        _ = phase.wait_for(|phase| *phase != Phase::Open) => {}
    }
}

async fn accept_for_ever(listener: &mut Listener, bound: &Arc<Bound>) {
    let half_open = Arc::new(Semaphore::new(HALF_OPEN));
    let mut wait = ACCEPT_WAIT_LEAST;
    loop {
        let Ok(permit) = half_open.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(wire) => {
                wait = ACCEPT_WAIT_LEAST;
                tokio::spawn(serve(wire, bound.clone(), permit));
            }
            Err(error) => {
                bound.port.accept_failed(&bound.endpoint, wait, &error);
                sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MOST);
            }
        }
    }
}

/// One accepted connection, from its first octet to its last.
async fn serve(mut wire: Wire, bound: Arc<Bound>, permit: tokio::sync::OwnedSemaphorePermit) {
    let mut phase = bound.connections.clone();
    if !bound.port.has_place() {
        // Said before the handshake, so that the peer sends nothing into the void.
        let (endpoint, reason) = (&bound.endpoint, LinkError::SecondPeer);
        return bound.port.refused(endpoint, &wire.address, &reason);
    }
    let mut watched = bound.connections.clone();
    let shaken = tokio::select! {
        shaken = shake_hands(&mut wire, &bound.settings) => shaken,
        _ = watched.wait_for(|phase| *phase != Phase::Open) => Err(LinkError::ClosedHere),
    };
    drop(permit);
    let address = wire.address.clone();
    let attached = shaken.and_then(|(peer, early)| {
        let attach = Attach {
            pipe: None,
            endpoint: &bound.endpoint,
            address: &address,
            peer: &peer,
        };
        let mut parts = Some((wire, early));
        bound.port.attach(attach, &mut |pipe| {
            let (wire, early) = parts.take().expect("attach makes one link");
            let limits = (bound.settings.max_message_size, bound.settings.max_frames);
            let decoder = Decoder::new(limits.0, limits.1);
            Arc::new(Link::new(
                &bound.port,
                pipe,
                wire,
                peer.version,
                early,
                decoder,
            ))
        })
    });
    match attached {
        Ok(link) => {
            drive(link, &bound.settings, &mut phase).await;
        }
        Err(reason) => bound.port.refused(&bound.endpoint, &address, &reason),
    }
}
