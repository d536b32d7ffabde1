//! The crate `zeromq`, with its defaults.

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RouterSocket, Socket as _, SocketRecv as _,
    SocketSend as _, SubSocket,
};

use super::{Front, Kind};

pub(crate) enum Socket {
    Push(PushSocket),
    Pull(PullSocket),
    Pub(PubSocket),
    Sub(SubSocket),
    Dealer(DealerSocket),
    Router(RouterSocket),
}

/// Does the same for a socket of any kind.
macro_rules! each {
    ($any:expr, $socket:ident => $body:expr) => {
        match $any {
            Socket::Push($socket) => $body,
            Socket::Pull($socket) => $body,
            Socket::Pub($socket) => $body,
            Socket::Sub($socket) => $body,
            Socket::Dealer($socket) => $body,
            Socket::Router($socket) => $body,
        }
    };
}

/// Sends a message from a socket of a kind that does.
macro_rules! send {
    ($socket:expr, $message:expr) => {
        Ok(match $socket {
            Self::Push(socket) => socket.send($message).await?,
            Self::Pub(socket) => socket.send($message).await?,
            Self::Dealer(socket) => socket.send($message).await?,
            Self::Pull(_) | Self::Sub(_) | Self::Router(_) => bail!("it does not send"),
        })
    };
}

impl Socket {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Push => Self::Push(PushSocket::new()),
            Kind::Pull => Self::Pull(PullSocket::new()),
            Kind::Pub => Self::Pub(PubSocket::new()),
            Kind::Sub => Self::Sub(SubSocket::new()),
            Kind::Dealer => Self::Dealer(DealerSocket::new()),
            Kind::Router => Self::Router(RouterSocket::new()),
        }
    }
}

impl super::Socket for Socket {
    async fn bind(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let mut socket = Self::new(kind);
        each!(&mut socket, socket => socket.bind(&endpoints[0]).await?);
        Ok(socket)
    }

    async fn connect(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let mut socket = Self::new(kind);
        for endpoint in endpoints {
            each!(&mut socket, socket => socket.connect(endpoint).await?);
        }
        Ok(socket)
    }

    async fn subscribe(&mut self, _: &[u8]) -> Result<()> {
        bail!("its PUB drops what does not fit")
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        send!(self, Bytes::copy_from_slice(payload).into())
    }

    async fn send_parts(&mut self, frames: [&[u8]; 3]) -> Result<()> {
        let frames = frames.map(Bytes::copy_from_slice).to_vec();
        send!(self, frames.try_into().map_err(|_| anyhow!("it is empty"))?)
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let message = match self {
            Self::Pull(socket) => socket.recv().await?,
            Self::Sub(socket) => socket.recv().await?,
            Self::Dealer(socket) => socket.recv().await?,
            Self::Push(_) | Self::Pub(_) | Self::Router(_) => bail!("it does not receive"),
        };
        let last = message.len().saturating_sub(1);
        note(message.get(last).context("a message has a frame")?);
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        match self {
            Self::Router(socket) => {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
            Self::Dealer(socket) => {
                let message = socket.recv().await?;
                socket.send(message).await?;
            }
            _ => bail!("it does not echo"),
        }
        Ok(())
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let (mut router, mut dealer) = (RouterSocket::new(), DealerSocket::new());
        match front {
            Front::Bound(_) => drop(router.bind(front.endpoint()).await?),
            Front::Behind(_) => router.connect(front.endpoint()).await?,
        }
        dealer.bind(back).await?;
        ready();
        // As its proxy does, whose future cannot be spawned. Either ends when a client leaves.
        loop {
            tokio::select! {
                request = router.recv() => dealer.send(request?).await?,
                reply = dealer.recv() => router.send(reply?).await?,
            }
        }
    }

    async fn close(self) -> Result<()> {
        // Its send has written the message before it returns.
        Ok(())
    }
}
