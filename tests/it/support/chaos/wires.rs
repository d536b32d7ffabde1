//! What the chaos proxy runs on: tcp, or wires in memory.

use std::net::SocketAddr;
use std::time::Duration;

use pushsub::Endpoint;
use pushsub::testing::{Listening, dial};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, split};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Result, memory_name};

/// A connection to one side.
pub(super) struct Wire {
    pub(super) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) cut: Cut,
}

/// Has a connection end with a RST where there is such a thing.
pub(super) struct Cut(Option<Socket>);

impl Cut {
    pub(super) fn reset(&self) {
        if let Some(socket) = &self.0 {
            // One that the other side has left already needs none.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}

impl Wire {
    fn tcp(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        let cut = Cut(Some(SockRef::from(&stream).try_clone()?));
        // Halves that know to whom they belong would shut the connection down in order.
        let (read, write) = split(stream);
        Ok(Self {
            read: Box::new(read),
            write: Box::new(write),
            cut,
        })
    }

    fn memory(stream: DuplexStream) -> Self {
        let (read, write) = split(stream);
        Self {
            read: Box::new(read),
            write: Box::new(write),
            cut: Cut(None),
        }
    }
}

/// Where it listens, and where it dials.
pub(super) enum Doors {
    Tcp(TcpListener, SocketAddr),
    Memory(Listening, String),
}

impl Doors {
    pub(super) async fn open(target: &Endpoint) -> Result<(Self, Endpoint)> {
        let target = target.to_string();
        if let Some(name) = target.strip_prefix("memory://") {
            let here = memory_name();
            let endpoint = format!("memory://{here}").parse()?;
            let doors = Self::Memory(Listening::bind(&here)?, name.to_owned());
            return Ok((doors, endpoint));
        }
        let there = target.strip_prefix("tcp://").ok_or("not on tcp")?.parse()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("tcp://{}", listener.local_addr()?).parse()?;
        Ok((Self::Tcp(listener, there), endpoint))
    }

    /// Both sides of the next connection, or the near one alone where nobody is bound there.
    pub(super) async fn accept(&mut self) -> Result<(Wire, Option<Wire>)> {
        match self {
            Self::Tcp(listener, there) => {
                let near = Wire::tcp(listener.accept().await?.0)?;
                let far = TcpStream::connect(*there).await.ok();
                Ok((near, far.map(Wire::tcp).transpose()?))
            }
            Self::Memory(listening, there) => {
                let near = Wire::memory(listening.accept().await?);
                Ok((near, dial(there).ok().map(Wire::memory)))
            }
        }
    }
}
