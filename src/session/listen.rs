//! Listens on an endpoint and drives every connection that is accepted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::handshake::{local, shake_hands};
use super::link::Wired;
use super::port::{Attach, Phase, Port};
use super::{Link, Settings, inproc};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::transport::{self, Wire};
use crate::zmtp::{Decoder, Peer};

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

/// Where connections come from.
pub(crate) enum Listener {
    Wires(transport::Listener),
    /// Sockets of this process.
    Sockets(inproc::Listener),
}

/// Binds `endpoint`, and says which one it really is.
pub(crate) async fn bind(
    endpoint: &Endpoint,
    settings: &Settings,
) -> io::Result<(Listener, Endpoint)> {
    if let Endpoint::Inproc(name) = endpoint {
        let listener = inproc::Listener::bind(name)?;
        return Ok((Listener::Sockets(listener), endpoint.clone()));
    }
    let (listener, bound) = transport::Listener::bind(endpoint, &settings.transport).await?;
    Ok((Listener::Wires(listener), bound))
}

/// Accepts until `phase` leaves open. What was accepted goes on after that.
pub(crate) async fn listen(
    mut listener: Listener,
    bound: Bound,
    mut phase: watch::Receiver<Phase>,
) {
    let bound = Arc::new(bound);
    let accepting = async {
        match &mut listener {
            Listener::Wires(listener) => accept_for_ever(listener, &bound).await,
            Listener::Sockets(listener) => {
                while let Some(offer) = listener.accept().await {
                    join(offer, &bound);
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = phase.wait_for(|phase| *phase != Phase::Open) => {}
    }
    // Whoever waits for the end of this session may bind the same endpoint next.
    drop(listener);
}

/// Joins a socket of this process with ours.
fn join(offer: inproc::Offer, bound: &Arc<Bound>) {
    match offer.accept(&bound.port, &bound.endpoint, local(&bound.settings)) {
        Ok(link) => {
            let bound = bound.clone();
            tokio::spawn(async move {
                let mut phase = bound.connections.clone();
                link.drive(&bound.settings, &mut phase).await;
            });
        }
        Err(reason) => bound.port.refused(&bound.endpoint, "inproc", &reason),
    }
}

async fn accept_for_ever(listener: &mut transport::Listener, bound: &Arc<Bound>) {
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
    let mut watched = bound.connections.clone();
    let shaken = tokio::select! {
        shaken = admit(&mut wire, &bound.settings) => shaken,
        _ = watched.wait_for(|phase| *phase != Phase::Open) => Err(LinkError::ClosedHere),
    };
    drop(permit);
    let (address, credentials) = (wire.address.clone(), wire.origin.credentials());
    let attached = shaken.and_then(|(peer, early)| {
        let attach = Attach {
            pipe: None,
            endpoint: &bound.endpoint,
            address: &address,
            credentials,
            peer: &peer,
        };
        let mut parts = Some((wire, early));
        bound.port.attach(attach, &mut |pipe| {
            let (wire, early) = parts.take().expect("attach makes one link");
            let limits = (bound.settings.max_message_size, bound.settings.max_frames);
            let decoder = Decoder::new(limits.0, limits.1);
            let wired = Wired::new(&bound.port, pipe, wire, peer.version, early, decoder);
            Arc::new(Link::Wired(wired))
        })
    });
    match attached {
        Ok(link) => {
            link.drive(&bound.settings, &mut phase).await;
        }
        Err(reason) => bound.port.refused(&bound.endpoint, &address, &reason),
    }
}

/// Shakes hands with a peer whom the filters let in; to others not a word is said.
async fn admit(wire: &mut Wire, settings: &Settings) -> Result<(Peer, BytesMut), LinkError> {
    if settings.transport.accepted.admit(&wire.origin) {
        shake_hands(wire, settings).await
    } else {
        Err(LinkError::NotAdmitted)
    }
}
