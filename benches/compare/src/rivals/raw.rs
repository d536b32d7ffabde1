//! What the wire gives: length-prefixed frames over a bare connection, encoded and decoded
//! in the caller's task, with nothing between them and the socket but a buffer.

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::Kind;

/// What is written at once.
const WRITE: usize = 64 << 10;

/// What is read at once.
const READ: usize = 128 << 10;

const PREFIX: usize = 4;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Socket {
    /// Bound, and not yet connected.
    listener: Option<Listener>,
    stream: Option<Box<dyn Stream>>,
    /// Encoded and not yet written.
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// Octets of `incoming` that were read.
    filled: usize,
}

enum Listener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

impl Socket {
    fn new(listener: Option<Listener>, stream: Option<Box<dyn Stream>>) -> Self {
        Self {
            listener,
            stream,
            outgoing: Vec::with_capacity(WRITE),
            incoming: vec![0; READ],
            filled: 0,
        }
    }

    async fn stream(&mut self) -> Result<&mut Box<dyn Stream>> {
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

    async fn flush(&mut self) -> Result<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let outgoing = std::mem::take(&mut self.outgoing);
        self.stream().await?.write_all(&outgoing).await?;
        self.outgoing = outgoing;
        self.outgoing.clear();
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let filled = self.filled;
        let read = self.stream().await?.read(&mut incoming[filled..]).await?;
        self.incoming = incoming;
        self.filled += read;
        if read == 0 {
            bail!("the other end is gone");
        }
        Ok(())
    }

    /// Shows whole frames. Returns how many there were.
    fn take(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> u64 {
        let mut start = 0;
        let mut count = 0;
        while let Some(prefix) = self.incoming[start..self.filled].first_chunk::<PREFIX>() {
            let end = start + PREFIX + u32::from_le_bytes(*prefix) as usize;
            if end > self.filled {
                break;
            }
            note(&self.incoming[start + PREFIX..end]);
            start = end;
            count += 1;
        }
        self.incoming.copy_within(start..self.filled, 0);
        self.filled -= start;
        count
    }

    fn encode(&mut self, payload: &[u8]) {
        let prefix = (payload.len() as u32).to_le_bytes();
        self.outgoing.extend_from_slice(&prefix);
        self.outgoing.extend_from_slice(payload);
    }
}

impl super::Socket for Socket {
    async fn bind(_: Kind, endpoint: &str) -> Result<Self> {
        let listener = match endpoint.split_once("://") {
            Some(("tcp", address)) => Listener::Tcp(TcpListener::bind(address).await?),
            Some(("ipc", path)) => Listener::Ipc(UnixListener::bind(path)?),
            _ => bail!("{endpoint} is for sockets"),
        };
        Ok(Self::new(Some(listener), None))
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        let stream: Box<dyn Stream> = match endpoints[0].split_once("://") {
            Some(("tcp", address)) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Some(("ipc", path)) => Box::new(UnixStream::connect(path).await?),
            _ => bail!("{} is for sockets", endpoints[0]),
        };
        Ok(Self::new(None, Some(stream)))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        if self.outgoing.len() + PREFIX + payload.len() > WRITE {
            self.flush().await?;
        }
        self.encode(payload);
        Ok(())
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        self.flush().await?;
        while self.take(note) == 0 {
            self.fill().await?;
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<u64> {
        self.fill().await?;
        let mut answers = std::mem::take(&mut self.outgoing);
        let count = self.take(&mut |payload| {
            answers.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            answers.extend_from_slice(payload);
        });
        self.outgoing = answers;
        self.flush().await?;
        Ok(count)
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await?;
        Ok(self.stream().await?.shutdown().await?)
    }
}
