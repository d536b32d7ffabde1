//! The tcp transport.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::Wire;
use crate::endpoint::{Endpoint, Host};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 1_024;

/// Connects to the first address of the host that answers.
pub(super) async fn dial(host: &Host, port: u16) -> io::Result<Wire> {
    let stream = match host {
        Host::Address(address) => TcpStream::connect((*address, port)).await?,
        Host::Name(name) => TcpStream::connect((name.as_str(), port)).await?,
        Host::Any => return Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
    };
    let address = stream.peer_addr()?;
    wire(stream, address)
}

fn wire(stream: TcpStream, address: SocketAddr) -> io::Result<Wire> {
    // What is written together leaves together: the pipe batches, so the kernel need not wait.
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok(Wire {
        read: Box::new(read),
        write: Box::new(write),
        address: address.to_string(),
    })
}

/// A listening tcp socket.
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(super) async fn bind(host: &Host, port: u16) -> io::Result<(Self, Endpoint)> {
        let address = match host {
            Host::Any => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            Host::Address(address) => SocketAddr::new(*address, port),
            Host::Name(name) => lookup_host((name.as_str(), port))
                .await?
                .next()
                .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?,
        };
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restarted service gets its port back though old connections still time out.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let port = listener.local_addr()?.port();
        let host = match host {
            Host::Any => Host::Any,
            _ => Host::Address(address.ip()),
        };
        Ok((Self(listener), Endpoint::Tcp { host, port }))
    }

    pub(super) async fn accept(&mut self) -> io::Result<Wire> {
        loop {
            // A connection that its peer has reset by now is no failure of the listener.
            let accepted = match self.0.accept().await {
                Ok((stream, address)) => wire(stream, address),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            if let Ok(wire) = accepted {
                return Ok(wire);
            }
        }
    }
}
