//! Listens on an endpoint and drives every connection that is accepted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::driver::Driver;
use super::handshake::{local, shake_hands};
use super::hosts::{Hosts, OfHost};
use super::port::{Phase, Port};
use super::{Link, Settings, inproc};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::options::Origin;
use crate::transport::{self, Wire};

/// The waits after a failed accept, as when descriptors have run out.
const ACCEPT_WAIT_LEAST: Duration = Duration::from_millis(10);
const ACCEPT_WAIT_MOST: Duration = Duration::from_secs(1);

/// What a listener works for.
pub(crate) struct Bound {
    port: Arc<dyn Port>,
    endpoint: Arc<Endpoint>,
    settings: Settings,
    /// Of the connections: they outlive the listener.
    connections: watch::Receiver<Phase>,
    /// Of connections of this listener: `Options::max_connections`.
    places: Arc<Semaphore>,
    hosts: Hosts,
}

/// The place of a connection among those of its listener and of its host.
struct Place {
    _connection: OwnedSemaphorePermit,
    /// Boxed, as most have none: programs of this machine are counted by request only.
    _of_host: Option<Box<OfHost>>,
}

impl Bound {
    pub(crate) fn new(
        port: Arc<dyn Port>,
        endpoint: Endpoint,
        settings: Settings,
        connections: watch::Receiver<Phase>,
    ) -> Self {
        let places = settings.transport.connections.min(Semaphore::MAX_PERMITS);
        let hosts = Hosts::new(settings.transport.connections_of_host);
        Self {
            port,
            endpoint: Arc::new(endpoint),
            settings,
            connections,
            places: Arc::new(Semaphore::new(places)),
            hosts,
        }
    }

    fn take_place(&self, origin: Origin) -> Result<Place, LinkError> {
        let of_host = self.hosts.take_place(origin);
        let of_host = of_host.map_err(|_| LinkError::TooManyOfHost)?;
        let _of_host = of_host.map(Box::new);
        let connection = self.places.clone().try_acquire_owned();
        let _connection = connection.map_err(|_| LinkError::TooManyConnections)?;
        Ok(Place {
            _connection,
            _of_host,
        })
    }
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
        let listener = inproc::Listener::bind(&settings.context, name)?;
        return Ok((Listener::Sockets(listener), endpoint.clone()));
    }
    let (listener, bound) = transport::Listener::bind(endpoint, &settings.transport).await?;
    Ok((Listener::Wires(listener), bound))
}

/// Takes over a tcp socket that listens already, and says on which endpoint.
pub(crate) fn adopt(
    socket: std::net::TcpListener,
    settings: &Settings,
) -> io::Result<(Listener, Endpoint)> {
    let (listener, bound) = transport::Listener::adopt(socket, &settings.transport)?;
    Ok((Listener::Wires(listener), bound))
}

/// Accepts until `phase` leaves open. What was accepted goes on after that.
pub(crate) async fn listen(listener: Listener, bound: Bound, mut phase: watch::Receiver<Phase>) {
    let bound = Arc::new(bound);
    let unbound = Unbound(&bound);
    // Dropped before the end is told, however it comes.
    let mut listener = listener;
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
    drop(unbound);
}

/// Tells the port that the endpoint is free again, also when the runtime drops the session.
struct Unbound<'a>(&'a Bound);

impl Drop for Unbound<'_> {
    fn drop(&mut self) {
        self.0.port.unbound(&self.0.endpoint);
    }
}

/// Joins a socket of this process with ours.
fn join(offer: inproc::Offer, bound: &Arc<Bound>) {
    let place = bound.take_place(Origin::Here);
    let accepted = match &place {
        Ok(_) => offer.accept(&bound.port, &bound.endpoint, local(&bound.settings)),
        Err(reason) => Err(offer.refuse(reason)),
    };
    match accepted {
        Ok(link) => {
            let bound = bound.clone();
            tokio::spawn(async move {
                link.drive(&bound.settings).await;
                drop(place);
            });
        }
        Err(reason) => bound.port.refused(&bound.endpoint, "inproc", &reason),
    }
}

async fn accept_for_ever(listener: &mut transport::Listener, bound: &Arc<Bound>) {
    let half_open = bound.settings.transport.half_open;
    let half_open = Arc::new(Semaphore::new(half_open.min(Semaphore::MAX_PERMITS)));
    let mut wait = ACCEPT_WAIT_LEAST;
    loop {
        let Ok(permit) = half_open.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(wire) => {
                wait = ACCEPT_WAIT_LEAST;
                match bound.take_place(wire.origin()) {
                    Ok(place) => {
                        let welcome = welcome(wire, bound.clone(), permit);
                        tokio::spawn(Connection {
                            stage: Stage::Welcome(Box::pin(welcome)),
                            bound: bound.clone(),
                            _place: place,
                        });
                    }
                    Err(reason) => {
                        let address = wire.address();
                        bound.port.refused(&bound.endpoint, &address, &reason);
                    }
                }
            }
            Err(error) => {
                bound.port.accept_failed(&bound.endpoint, wait, &error);
                sleep(wait).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MOST);
            }
        }
    }
}

/// One accepted connection, from its handshake to its last octet. Each link at rest keeps one: with this and
/// no more a task takes 256 octets, and the next size is 384.
struct Connection {
    // The fields are dropped in this order: the link ends before its place is free.
    stage: Stage,
    bound: Arc<Bound>,
    _place: Place,
}

enum Stage {
    /// Boxed, so that a link at rest does not keep the room of its handshake, which the next link takes.
    Welcome(Pin<Box<dyn Future<Output = Option<Link>> + Send>>),
    Driven(Driver),
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { stage, bound, .. } = &mut *self;
        if let Stage::Welcome(welcome) = stage {
            let Some(link) = ready!(welcome.as_mut().poll(context)) else {
                return Poll::Ready(());
            };
            *stage = Stage::Driven(Driver::new(link, &bound.settings));
        }
        match stage {
            Stage::Driven(driver) => driver.poll(&bound.settings, context).map(drop),
            Stage::Welcome(_) => Poll::Pending,
        }
    }
}

/// Takes a fresh wire to its link, or tells why there is none.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function holds its arguments twice, and of these there may be very many at once"
)]
fn welcome(
    mut wire: Wire,
    bound: Arc<Bound>,
    half_open: OwnedSemaphorePermit,
) -> impl Future<Output = Option<Link>> {
    async move {
        if !bound.port.has_place() {
            // Said before the handshake, so that the peer sends nothing into the void.
            let (endpoint, reason) = (&bound.endpoint, LinkError::SecondPeer);
            bound.port.refused(endpoint, &wire.address(), &reason);
            return None;
        }
        // To those whom the filters leave out not a word is said.
        let shaken = if bound.settings.transport.accepted.admit(&wire.origin()) {
            let mut watched = bound.connections.clone();
            tokio::select! {
                shaken = shake_hands(&mut wire, &bound.settings) => shaken,
                _ = watched.wait_for(|phase| *phase != Phase::Open) => Err(LinkError::ClosedHere),
            }
        } else {
            Err(LinkError::NotAdmitted)
        };
        drop(half_open);
        let address = wire.address();
        let Bound {
            port,
            endpoint,
            settings,
            ..
        } = &*bound;
        shaken
            .and_then(|shaken| Link::attach(port, None, endpoint, wire, shaken, settings))
            .inspect_err(|reason| port.refused(endpoint, &address, reason))
            .ok()
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::Connection;

    /// What tokio adds to the future of a task, which it rounds up to a multiple of 128.
    const OF_TOKIO: usize = 104;

    #[test]
    fn the_task_of_a_link_at_rest_takes_256_octets() {
        assert_eq!(
            (size_of::<Connection>() + OF_TOKIO).next_multiple_of(128),
            256
        );
    }
}
