//! rzmq with its defaults; its publisher waits for its slowest subscriber.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rzmq::socket::options::{HEARTBEAT_IVL, LINGER, SUBSCRIBE, XPUB_NODROP};
use rzmq::{Context, Msg, SocketType};
use tokio::task::JoinSet;

use super::{Front, Kind};

/// How long the end of a socket may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// As ours, which are on by default.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(crate) struct Socket(rzmq::Socket);

impl Socket {
    async fn new(kind: Kind) -> Result<Self> {
        // One for the process, as sockets that meet over inproc need the same.
        static CONTEXT: std::sync::OnceLock<Context> = std::sync::OnceLock::new();
        if CONTEXT.get().is_none() {
            // The loser of a race is dropped.
            let _ = CONTEXT.set(Context::new()?);
        }
        let context = CONTEXT.get().context("it was set above")?;
        let socket = context.socket(match kind {
            Kind::Push => SocketType::Push,
            Kind::Pull => SocketType::Pull,
            Kind::Pub => SocketType::Pub,
            Kind::Sub => SocketType::Sub,
            Kind::Dealer => SocketType::Dealer,
            Kind::Router => SocketType::Router,
        })?;
        socket
            .set_option(LINGER, i32::try_from(PATIENCE.as_millis())?)
            .await?;
        socket
            .set_option(HEARTBEAT_IVL, i32::try_from(HEARTBEAT.as_millis())?)
            .await?;
        if kind == Kind::Pub {
            socket.set_option(XPUB_NODROP, 1_i32).await?;
        }
        Ok(Self(socket))
    }
}

impl super::Socket for Socket {
    async fn bind(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind).await?;
        socket.0.bind(&endpoints[0]).await?;
        Ok(socket)
    }

    async fn connect(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind).await?;
        for endpoint in endpoints {
            socket.0.connect(endpoint).await?;
        }
        Ok(socket)
    }

    async fn subscribe(&mut self, topic: &[u8]) -> Result<()> {
        Ok(self.0.set_option_raw(SUBSCRIBE, topic).await?)
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.0.send(Msg::from_vec(payload.to_vec())).await?)
    }

    async fn send_parts(&mut self, frames: [&[u8]; 3]) -> Result<()> {
        let frames = frames.map(|frame| Msg::from_vec(frame.to_vec()));
        Ok(self.0.send_multipart(frames.into()).await?)
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let message = self.0.recv().await?;
        note(message.data().unwrap_or_default());
        Ok(())
    }

    async fn receive_parts(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let frames = self.0.recv_multipart().await?;
        let last = frames.last().context("a message has a frame")?;
        note(last.data().unwrap_or_default());
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        let message = self.0.recv_multipart().await?;
        self.0.send_multipart(message).await?;
        Ok(())
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let (router, dealer) = (
            Self::new(Kind::Router).await?,
            Self::new(Kind::Dealer).await?,
        );
        match front {
            Front::Bound(_) => router.0.bind(front.endpoint()).await?,
            Front::Behind(_) => router.0.connect(front.endpoint()).await?,
        }
        dealer.0.bind(back).await?;
        ready();
        // It has no proxy: a task each way.
        let mut ways = JoinSet::new();
        ways.spawn(forward(router.0.clone(), dealer.0.clone()));
        ways.spawn(forward(dealer.0, router.0));
        match ways.join_next().await {
            Some(ended) => ended?,
            None => Ok(()),
        }
    }

    async fn close(self) -> Result<()> {
        Ok(self.0.close().await?)
    }
}

async fn forward(from: rzmq::Socket, to: rzmq::Socket) -> Result<()> {
    loop {
        to.send_multipart(from.recv_multipart().await?).await?;
    }
}
