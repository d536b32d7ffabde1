//! Bytes on a wire: tcp, ipc, and an in-memory one for tests under virtual time.
//!
//! This layer dials, listens and hands out the two halves of a byte stream. It
//! never looks into the bytes and never decides when to try again.

mod half;
#[cfg(unix)]
mod ipc;
mod memory;
mod tcp;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::endpoint::Endpoint;
use crate::options::{Credentials, Origin, TransportOptions};

pub(crate) use half::{ReadHalf, WriteHalf};
pub(crate) use memory::{Acceptor, accept_raw, dial_raw};

/// An open byte stream to a peer. Dropping both halves closes it.
pub(crate) struct Wire {
    pub(crate) read: ReadHalf,
    pub(crate) write: WriteHalf,
    pub(crate) remote: Remote,
}

/// Who is at the other end, as far as the system knows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remote {
    /// A program at this address: tcp.
    Host(SocketAddr),
    /// A process on this machine, if the system says which: ipc.
    #[cfg_attr(not(unix), allow(dead_code, reason = "ipc is for Unix"))]
    Process(Option<Credentials>),
    /// This process; the wire has this number.
    Here(u64),
}

impl Wire {
    /// The other end, for people to read: `127.0.0.1:49152`.
    pub(crate) fn address(&self) -> String {
        match self.remote {
            Remote::Host(address) => address.to_string(),
            Remote::Process(Some(peer)) => peer.to_string(),
            Remote::Process(None) => "local".to_owned(),
            Remote::Here(_) => "memory".to_owned(),
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        match self.remote {
            Remote::Host(address) => Origin::Host(address.ip()),
            Remote::Process(credentials) => Origin::Process(credentials),
            Remote::Here(_) => Origin::Here,
        }
    }

    pub(crate) fn name(&self) -> WireName {
        match (self.remote, self.write.own_address()) {
            (Remote::Host(address), Some(own)) => WireName::between(own, address),
            (Remote::Here(number), _) => WireName::Number(number),
            _ => WireName::Unnamed,
        }
    }
}

/// What both ends of a connection know it by, where there is such a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WireName {
    /// The addresses of its ends, the lesser one first.
    Addresses(SocketAddr, SocketAddr),
    /// A number of this process.
    Number(u64),
    /// Nothing tells it from another (ipc).
    Unnamed,
}

impl WireName {
    /// Of a connection between these two.
    pub(crate) fn between(one: SocketAddr, other: SocketAddr) -> Self {
        Self::Addresses(one.min(other), one.max(other))
    }

    /// Of a new connection within this process.
    pub(crate) fn next() -> Self {
        Self::Number(next_number())
    }
}

/// A number that no other connection within this process has.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Wire").field(&self.remote).finish()
    }
}

/// Opens a wire to `endpoint`. Dropping the future abandons the attempt.
pub(crate) async fn dial(endpoint: &Endpoint, options: &TransportOptions) -> io::Result<Wire> {
    match endpoint {
        Endpoint::Tcp { host, port } => tcp::dial(host, *port, &options.tcp).await,
        #[cfg(unix)]
        Endpoint::Ipc(name) => ipc::dial(name).await,
        #[cfg(not(unix))]
        Endpoint::Ipc(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        // No bytes travel there: it is the sessions that join two sockets.
        Endpoint::Inproc(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
        Endpoint::Memory(name) => memory::dial(name),
    }
}

/// A bound endpoint on which peers dial in.
pub(crate) enum Listener {
    Tcp(tcp::Listener),
    #[cfg(unix)]
    Ipc(ipc::Listener),
    Memory(Acceptor),
}

impl Listener {
    /// Binds `endpoint` and says which one it really is, wildcards resolved.
    pub(crate) async fn bind(
        endpoint: &Endpoint,
        options: &TransportOptions,
    ) -> io::Result<(Self, Endpoint)> {
        match endpoint {
            Endpoint::Tcp { host, port } => {
                let (listener, bound) =
                    tcp::Listener::bind(host, *port, &options.tcp, options.backlog).await?;
                Ok((Self::Tcp(listener), bound))
            }
            #[cfg(unix)]
            Endpoint::Ipc(name) => {
                let (listener, bound) = ipc::Listener::bind(name, options.backlog).await?;
                Ok((Self::Ipc(listener), bound))
            }
            #[cfg(not(unix))]
            Endpoint::Ipc(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
            Endpoint::Inproc(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
            Endpoint::Memory(name) => Ok((Self::Memory(Acceptor::bind(name)?), endpoint.clone())),
        }
    }

    /// Takes over a tcp socket that listens, and says on which endpoint.
    pub(crate) fn adopt(
        socket: std::net::TcpListener,
        options: &TransportOptions,
    ) -> io::Result<(Self, Endpoint)> {
        let (listener, address) = tcp::Listener::adopt(socket, &options.tcp)?;
        Ok((Self::Tcp(listener), address.into()))
    }

    /// The next peer that dials in. Cancel safe: no peer is lost to a dropped future.
    pub(crate) async fn accept(&mut self) -> io::Result<Wire> {
        match self {
            Self::Tcp(listener) => listener.accept().await,
            #[cfg(unix)]
            Self::Ipc(listener) => listener.accept().await,
            Self::Memory(acceptor) => acceptor.accept().await,
        }
    }
}

impl Listener {
    /// A bare in-memory listener, for tests that play the peer.
    pub(crate) fn memory(name: &str) -> io::Result<Acceptor> {
        Acceptor::bind(name)
    }
}
