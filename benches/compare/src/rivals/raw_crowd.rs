//! What the wire gives a task that reads many connections, each of which gets its bursts with a write of
//! their own: the ceiling for one that receives from many.

use anyhow::{Result, bail};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::framing::Incoming;
use super::{Kind, raw};

/// What is read at once of one connection: more than a burst.
const READ: usize = 8 << 10;

pub(crate) enum Socket {
    Sender(raw::Socket),
    Receiver(Crowd),
}

/// Those who have connected.
pub(crate) struct Crowd {
    listener: TcpListener,
    /// One read of each.
    reads: FuturesUnordered<BoxFuture<'static, Result<Peer>>>,
}

struct Peer {
    stream: TcpStream,
    incoming: Incoming,
}

impl Peer {
    async fn read(mut self) -> Result<Self> {
        let read = self.stream.read(self.incoming.room()).await?;
        self.incoming.filled(read);
        if read == 0 {
            bail!("the other end is gone");
        }
        Ok(self)
    }
}

impl Crowd {
    fn read(&self, peer: Peer) {
        self.reads.push(Box::pin(peer.read()));
    }
}

impl super::Socket for Socket {
    const SPEAKS_ZMTP: bool = false;

    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        let Some(address) = endpoints[0].strip_prefix("tcp://") else {
            bail!("{} is for sockets", endpoints[0]);
        };
        Ok(Self::Receiver(Crowd {
            listener: TcpListener::bind(address).await?,
            reads: FuturesUnordered::new(),
        }))
    }

    async fn connect(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let sender = <raw::Socket as super::Socket>::connect(kind, endpoints).await?;
        Ok(Self::Sender(sender))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        match self {
            Self::Sender(sender) => sender.send(payload).await,
            Self::Receiver(_) => bail!("it does not send"),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Sender(sender) => sender.flush().await,
            Self::Receiver(_) => Ok(()),
        }
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let Self::Receiver(crowd) = self else {
            bail!("it does not receive")
        };
        loop {
            tokio::select! {
                Some(peer) = crowd.reads.next() => {
                    let mut peer = peer?;
                    let shown = peer.incoming.take(note);
                    crowd.read(peer);
                    if shown > 0 {
                        return Ok(());
                    }
                }
                accepted = crowd.listener.accept() => {
                    let (stream, _) = accepted?;
                    crowd.read(Peer { stream, incoming: Incoming::of(READ) });
                }
            }
        }
    }

    async fn echo(&mut self) -> Result<()> {
        bail!("it does not echo")
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Sender(sender) => sender.close().await,
            Self::Receiver(_) => Ok(()),
        }
    }
}
