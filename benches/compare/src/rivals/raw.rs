//! What the wire gives a task: length-prefixed frames over a bare connection of tokio, encoded and
//! decoded in the caller's task, with nothing between them and the socket but a buffer.

use anyhow::{Result, bail};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes,
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::framing::{Incoming, PREFIX, WRITE, encode};
use super::{Front, Kind};

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Socket {
    wire: Wire,
    /// Encoded and not yet written.
    outgoing: Vec<u8>,
    incoming: Incoming,
}

/// A connection, or who will accept one.
pub(super) struct Wire {
    listener: Option<Listener>,
    stream: Option<Box<dyn Stream>>,
}

enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

impl Wire {
    pub(super) async fn bind(endpoint: &str) -> Result<Self> {
        let listener = match endpoint.split_once("://") {
            Some(("tcp", address)) => Listener::Tcp(TcpListener::bind(address).await?),
            Some(("ipc", path)) => Listener::Ipc(UnixListener::bind(path)?),
            _ => bail!("{endpoint} is for sockets"),
        };
        Ok(Self {
            listener: Some(listener),
            stream: None,
        })
    }

    pub(super) async fn connect(endpoint: &str) -> Result<Self> {
        let stream: Box<dyn Stream> = match endpoint.split_once("://") {
            Some(("tcp", address)) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Some(("ipc", path)) => Box::new(UnixStream::connect(path).await?),
            _ => bail!("{endpoint} is for sockets"),
        };
        Ok(Self {
            listener: None,
            stream: Some(stream),
        })
    }

    pub(super) async fn stream(&mut self) -> Result<&mut Box<dyn Stream>> {
        if self.stream.is_none() {
            self.stream = match &self.listener {
                Some(Listener::Tcp(listener)) => {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    Some(Box::new(stream))
                }
                Some(Listener::Ipc(listener)) => Some(Box::new(listener.accept().await?.0)),
                None => None,
            };
        }
        match &mut self.stream {
            Some(stream) => Ok(stream),
            None => bail!("it is neither bound nor connected"),
        }
    }
}

impl Socket {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            outgoing: Vec::with_capacity(WRITE),
            incoming: Incoming::new(),
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let stream = self.wire.stream().await?;
        let read = stream.read(self.incoming.room()).await?;
        self.incoming.filled(read);
        if read == 0 {
            bail!("the other end is gone");
        }
        Ok(())
    }
}

impl super::Socket for Socket {
    const SPEAKS_ZMTP: bool = false;

    // Octets are relayed between a pair of connections.
    const WORKERS: usize = 1;

    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        Ok(Self::new(Wire::bind(&endpoints[0]).await?))
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        Ok(Self::new(Wire::connect(&endpoints[0]).await?))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        if self.outgoing.len() + PREFIX + payload.len() > WRITE {
            self.flush().await?;
        }
        encode(&mut self.outgoing, payload);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.outgoing.is_empty() {
            let stream = self.wire.stream().await?;
            stream.write_all(&self.outgoing).await?;
            self.outgoing.clear();
        }
        Ok(())
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        self.flush().await?;
        while self.incoming.take(note) == 0 {
            self.fill().await?;
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        self.fill().await?;
        let answers = &mut self.outgoing;
        self.incoming.take(&mut |payload| encode(answers, payload));
        self.flush().await
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let mut front = match front {
            Front::Bound(_) => Wire::bind(front.endpoint()).await?,
            Front::Behind(_) => Wire::connect(front.endpoint()).await?,
        };
        let mut back = Wire::bind(back).await?;
        ready();
        let (front, back) = (front.stream().await?, back.stream().await?);
        copy_bidirectional_with_sizes(front, back, WRITE, WRITE).await?;
        Ok(())
    }

    async fn hold(self) -> Result<()> {
        let Some(Listener::Tcp(listener)) = self.wire.listener else {
            bail!("it holds what it accepts over tcp")
        };
        let mut held = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await?;
            held.spawn(async move { stream.read_u8().await });
        }
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await?;
        Ok(self.wire.stream().await?.shutdown().await?)
    }
}
