//! Connects an endpoint, for ever or until it is given up: dial, shake hands, drive, wait, again.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::handshake::shake_hands;
use super::port::{Phase, PipeId, Port};
use super::{Link, Settings, inproc};
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::options::ReconnectStop;
use crate::transport;

/// Keeps `endpoint` connected to `pipe` until the phase says to end, or that happens
/// after which the options want no more attempts. While the phase is finishing, goes
/// on for as long as the pipe has something to write.
pub(crate) async fn dial(
    port: Arc<dyn Port>,
    endpoint: Endpoint,
    pipe: PipeId,
    settings: Settings,
    mut phase: watch::Receiver<Phase>,
) {
    let endpoint = Arc::new(endpoint);
    let _released = Released {
        port: &port,
        endpoint: &endpoint,
    };
    let times = &settings.connection;
    let mut backoff = Backoff::new(times.reconnect_initial, times.reconnect_max);
    loop {
        // Boxed, so that a link at rest does not keep the room of its handshake.
        let connecting = connect(&port, &endpoint, pipe, &settings, &mut phase);
        let (reason, stop) = match Box::pin(connecting).await {
            Some(Ok(link)) => {
                let since = Instant::now();
                let reason = link.drive(&settings).await;
                backoff.succeeded(since.elapsed());
                (reason, Some(ReconnectStop::Disconnected))
            }
            Some(Err(reason)) => {
                let stop = failure(&reason);
                (reason, stop)
            }
            None => return,
        };
        if is_over(&port, pipe, &phase) {
            return;
        }
        // The peer is well: it is the request that was given up.
        if reason == LinkError::GivenUp {
            continue;
        }
        if stop.is_some_and(|stop| times.reconnect_stop.contains(stop)) {
            return port.gave_up(pipe, &endpoint, &reason);
        }
        let wait = backoff.wait();
        port.retrying(&endpoint, wait, &reason);
        let mut watched = phase.clone();
        tokio::select! {
            () = sleep(wait) => {}
            () = over(&port, pipe, &mut watched) => return,
        }
    }
}

/// What kind of failure an attempt ended with; others may pass by themselves.
fn failure(reason: &LinkError) -> Option<ReconnectStop> {
    match reason {
        LinkError::Io(ErrorKind::ConnectionRefused | ErrorKind::NotFound) => {
            Some(ReconnectStop::Refused)
        }
        LinkError::Handshake(_)
        | LinkError::HandshakeTimeout
        | LinkError::PeerError(_)
        | LinkError::ClosedByPeer
        | LinkError::Io(
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted,
        ) => Some(ReconnectStop::HandshakeFailed),
        _ => None,
    }
}

/// Tells the port that the endpoint is dialled no more, also when the runtime
/// drops the session: after the end of its connection.
struct Released<'a> {
    port: &'a Arc<dyn Port>,
    endpoint: &'a Endpoint,
}

impl Drop for Released<'_> {
    fn drop(&mut self) {
        self.port.released(self.endpoint);
    }
}

fn is_over(port: &Arc<dyn Port>, pipe: PipeId, phase: &watch::Receiver<Phase>) -> bool {
    match *phase.borrow() {
        Phase::Open => false,
        Phase::Finishing => port.is_drained(pipe),
        Phase::Closed => true,
    }
}

/// Resolves when there is no reason to go on.
async fn over(port: &Arc<dyn Port>, pipe: PipeId, phase: &mut watch::Receiver<Phase>) {
    // A sender that is gone counts as closed.
    let _ = phase
        .wait_for(|phase| match phase {
            Phase::Open => false,
            Phase::Finishing => port.is_drained(pipe),
            Phase::Closed => true,
        })
        .await;
}

/// One attempt. `None`: the session is over.
async fn connect(
    port: &Arc<dyn Port>,
    endpoint: &Arc<Endpoint>,
    pipe: PipeId,
    settings: &Settings,
    phase: &mut watch::Receiver<Phase>,
) -> Option<Result<Link, LinkError>> {
    let attempt = async {
        if let Endpoint::Inproc(name) = &**endpoint {
            return inproc::connect(port, endpoint, name, pipe, settings).await;
        }
        let dialled = timeout(
            settings.connection.connect_timeout,
            transport::dial(endpoint, &settings.transport),
        )
        .await;
        let dialled = dialled.map_err(|_| LinkError::ConnectTimeout)?;
        let mut wire = dialled.map_err(LinkError::io)?;
        let shaken = shake_hands(&mut wire, settings).await?;
        Link::attach(port, Some(pipe), endpoint, wire, shaken, settings)
    };
    tokio::select! {
        result = attempt => Some(result),
        () = over(port, pipe, phase) => None,
    }
}
