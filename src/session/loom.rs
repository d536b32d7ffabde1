//! Links and their drivers for the models of a socket: without a runtime, and with nobody at the other end.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::DuplexStream;

use super::driver::Turns;
use super::inproc::Joined;
use super::link::Wired;
use super::{Link, PipeId, Port, Settings};
use crate::error::LinkError;
use crate::transport::{ReadHalf, Remote, Wire, WriteHalf};
use crate::zmtp::Peer;

/// An end of a connection in the process, whose other end is not joined yet.
pub(crate) fn joined(port: &Arc<dyn Port>, pipe: PipeId) -> Link {
    Link::Joined(Joined::new(port, pipe))
}

/// An end of a wire, on which `early` has come, and the other one.
pub(crate) fn wired(
    port: &Arc<dyn Port>,
    pipe: PipeId,
    peer: &Peer,
    early: BytesMut,
    settings: &Settings,
) -> (Link, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1 << 10);
    let (read, write) = tokio::io::split(ours);
    let wire = Wire {
        read: ReadHalf::Memory(read),
        write: WriteHalf::Memory(write),
        remote: Remote::Here(0),
    };
    let wired = Wired::new(port, pipe, wire, peer, early, settings);
    (Link::Wired(Arc::new(wired)), theirs)
}

/// The turns of a link's driver, until the link ends by itself.
pub(crate) async fn drive(link: &Link, settings: &Settings) -> LinkError {
    let mut turns = Turns::new(link.clone(), settings);
    poll_fn(|context| turns.poll(settings, context)).await
}
