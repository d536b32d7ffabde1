//! omq-tokio with its defaults, on the caller's runtime; its publisher waits for its slowest subscriber.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use omq_tokio::{Message, OnMute, Options, Proxy, SocketType};

use super::{Front, Kind};

/// How long the end of a socket may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// As ours, which are on by default.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Messages received at once.
const BATCH: usize = 1_024;

pub(crate) struct Socket {
    socket: omq_tokio::Socket,
    batch: Vec<Message>,
}

impl Socket {
    async fn new(kind: Kind) -> Result<Self> {
        let options = Options::default()
            .linger(PATIENCE)
            .heartbeat_interval(HEARTBEAT)
            .on_mute(OnMute::Block);
        let socket_type = match kind {
            Kind::Push => SocketType::Push,
            Kind::Pull => SocketType::Pull,
            Kind::Pub => SocketType::Pub,
            Kind::Sub => SocketType::Sub,
            Kind::Dealer => SocketType::Dealer,
            Kind::Router => SocketType::Router,
        };
        let socket = omq_tokio::Socket::new(socket_type, options);
        Ok(Self {
            socket,
            batch: Vec::with_capacity(BATCH),
        })
    }
}

impl super::Socket for Socket {
    async fn bind(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind).await?;
        socket.socket.bind(endpoints[0].as_str()).await?;
        Ok(socket)
    }

    async fn connect(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind).await?;
        for endpoint in endpoints {
            socket.socket.connect(endpoint.as_str()).await?;
        }
        Ok(socket)
    }

    async fn subscribe(&mut self, topic: &[u8]) -> Result<()> {
        Ok(self.socket.subscribe(topic.to_vec()).await?)
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.socket.send(Message::from_slice(payload)).await?)
    }

    async fn send_parts(&mut self, frames: [&[u8]; 3]) -> Result<()> {
        Ok(self
            .socket
            .send(Message::multipart(frames.map(Bytes::copy_from_slice)))
            .await?)
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        self.socket.recv_many_into(BATCH, &mut self.batch).await?;
        for message in self.batch.drain(..) {
            let last = message.len().saturating_sub(1);
            note(message.part_slice(last).context("a message has a frame")?);
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        self.socket.recv_many_into(BATCH, &mut self.batch).await?;
        for message in self.batch.drain(..) {
            self.socket.send(message).await?;
        }
        Ok(())
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let (router, dealer) = (
            Self::new(Kind::Router).await?.socket,
            Self::new(Kind::Dealer).await?.socket,
        );
        match front {
            Front::Bound(_) => drop(router.bind(front.endpoint()).await?),
            Front::Behind(_) => drop(router.connect(front.endpoint()).await?),
        }
        dealer.bind(back).await?;
        ready();
        Proxy::new(router, dealer).run().await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.socket.close().await?)
    }
}
