//! pushsub with its default options; its publisher waits for its slowest subscriber.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use pushsub::{Dealer, Message, Options, Overflow, Pub, Pull, Push, Queue, Router, Sub};

use super::{Front, Kind};

/// How long the end of a socket may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages received at once.
const BATCH: usize = 1_024;

pub(crate) struct Socket {
    socket: Any,
    batch: Vec<Message>,
}

enum Any {
    Push(Push),
    Pull(Pull),
    Pub(Pub),
    Sub(Sub),
    Dealer(Dealer),
    Router(Router),
}

/// Does the same for a socket of any kind.
macro_rules! each {
    ($any:expr, $socket:ident => $body:expr) => {
        match $any {
            Any::Push($socket) => $body,
            Any::Pull($socket) => $body,
            Any::Pub($socket) => $body,
            Any::Sub($socket) => $body,
            Any::Dealer($socket) => $body,
            Any::Router($socket) => $body,
        }
    };
}

/// Sends a message from a socket of a kind that does.
macro_rules! send {
    ($socket:expr, $message:expr) => {
        Ok(match &$socket.socket {
            Any::Push(socket) => socket.send($message).await?,
            Any::Pub(socket) => socket.send($message).await?,
            Any::Dealer(socket) => socket.send($message).await?,
            Any::Pull(_) | Any::Sub(_) | Any::Router(_) => bail!("it does not send"),
        })
    };
}

impl Socket {
    fn new(kind: Kind) -> Result<Self> {
        let socket = match kind {
            Kind::Push => Any::Push(Push::new()),
            Kind::Pull => Any::Pull(Pull::new()),
            Kind::Pub => Any::Pub(Pub::with_options(
                Options::default().overflow(Overflow::Block),
            )?),
            Kind::Sub => Any::Sub(Sub::new()),
            Kind::Dealer => Any::Dealer(Dealer::new()),
            Kind::Router => Any::Router(Router::new()),
        };
        Ok(Self {
            socket,
            batch: Vec::with_capacity(BATCH),
        })
    }
}

impl super::Socket for Socket {
    async fn bind(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind)?;
        each!(&socket.socket, socket => socket.bind(endpoints[0].as_str()).await?);
        Ok(socket)
    }

    async fn connect(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind)?;
        for endpoint in endpoints {
            each!(&socket.socket, socket => socket.connect(endpoint.as_str())?);
        }
        Ok(socket)
    }

    async fn subscribe(&mut self, topic: &[u8]) -> Result<()> {
        let Any::Sub(socket) = &self.socket else {
            bail!("it does not subscribe")
        };
        socket.subscribe(Bytes::copy_from_slice(topic));
        Ok(())
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        send!(self, Message::new(Bytes::copy_from_slice(payload)))
    }

    async fn send_parts(&mut self, frames: [&[u8]; 3]) -> Result<()> {
        let frames = frames.map(Bytes::copy_from_slice).into();
        send!(
            self,
            Message::from_frames(frames).context("a message has a frame")?
        )
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let batch = &mut self.batch;
        match &self.socket {
            Any::Pull(socket) => socket.recv_many(batch, BATCH).await?,
            Any::Sub(socket) => socket.recv_many(batch, BATCH).await?,
            Any::Dealer(socket) => socket.recv_many(batch, BATCH).await?,
            Any::Push(_) | Any::Pub(_) | Any::Router(_) => bail!("it does not receive"),
        };
        for message in batch.drain(..) {
            note(message.frames().last().context("a message has a frame")?);
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        match &self.socket {
            Any::Router(socket) => {
                socket.recv_many(&mut self.batch, BATCH).await?;
                for message in self.batch.drain(..) {
                    socket.send(message).await?;
                }
            }
            Any::Dealer(socket) => {
                socket.recv_many(&mut self.batch, BATCH).await?;
                for message in self.batch.drain(..) {
                    socket.send(message).await?;
                }
            }
            _ => bail!("it does not echo"),
        }
        Ok(())
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let queue = Queue::builder().back(back);
        let queue = match front {
            Front::Bound(_) => queue.front(front.endpoint()),
            Front::Behind(_) => queue.connect_front(front.endpoint()),
        };
        let queue = queue.spawn().await?;
        ready();
        std::future::pending::<()>().await;
        drop(queue);
        Ok(())
    }

    async fn close(self) -> Result<()> {
        let closed = each!(self.socket, socket => socket.close(PATIENCE).await);
        ensure!(
            closed.unsent == 0,
            "{} messages were not sent",
            closed.unsent
        );
        Ok(())
    }
}
