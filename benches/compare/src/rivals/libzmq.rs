//! libzmq: one IO thread a process; its sockets block the thread that uses them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};

use super::{Front, Kind};

/// How long a socket waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// As ours, which are on by default.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Sockets of one process that are to meet over inproc need the same context.
static CONTEXT: Mutex<Option<zmq::Context>> = Mutex::new(None);

/// A socket with a high-water mark for each direction; 0 is none.
pub(crate) struct Socket<const MARK: i32> {
    socket: zmq::Socket,
    buffer: Vec<u8>,
}

impl<const MARK: i32> Socket<MARK> {
    fn new(kind: Kind) -> Result<Self> {
        let mut context = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let context = context.get_or_insert_with(zmq::Context::new);
        let socket = context.socket(match kind {
            Kind::Push => zmq::PUSH,
            Kind::Pull => zmq::PULL,
            Kind::Pub => zmq::PUB,
            Kind::Sub => zmq::SUB,
            Kind::Dealer => zmq::DEALER,
            Kind::Router => zmq::ROUTER,
        })?;
        let patience = i32::try_from(PATIENCE.as_millis())?;
        socket.set_sndhwm(MARK)?;
        socket.set_rcvhwm(MARK)?;
        socket.set_sndtimeo(patience)?;
        socket.set_rcvtimeo(patience)?;
        socket.set_linger(patience)?;
        socket.set_heartbeat_ivl(i32::try_from(HEARTBEAT.as_millis())?)?;
        Ok(Self {
            socket,
            buffer: vec![0; 1 << 20],
        })
    }
}

impl<const MARK: i32> super::Socket for Socket<MARK> {
    async fn bind(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind)?;
        socket.socket.bind(&endpoints[0])?;
        Ok(socket)
    }

    async fn connect(kind: Kind, endpoints: &[String]) -> Result<Self> {
        let socket = Self::new(kind)?;
        for endpoint in endpoints {
            socket.socket.connect(endpoint)?;
        }
        Ok(socket)
    }

    async fn subscribe(&mut self, topic: &[u8]) -> Result<()> {
        Ok(self.socket.set_subscribe(topic)?)
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.socket.send(payload, 0)?)
    }

    async fn send_parts(&mut self, frames: [&[u8]; 3]) -> Result<()> {
        Ok(self.socket.send_multipart(frames, 0)?)
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        // Into a buffer of ours: faster than a message object, which is made and freed each time.
        let length = self.socket.recv_into(&mut self.buffer, 0)?;
        if length > self.buffer.len() {
            bail!("a message of {length} octets");
        }
        note(&self.buffer[..length]);
        Ok(())
    }

    async fn receive_parts(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let mut length = self.socket.recv_into(&mut self.buffer, 0)?;
        while self.socket.get_rcvmore()? {
            length = self.socket.recv_into(&mut self.buffer, 0)?;
        }
        note(&self.buffer[..length]);
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        loop {
            let frame = self.socket.recv_msg(0)?;
            let more = frame.get_more();
            let flags = if more { zmq::SNDMORE } else { 0 };
            self.socket.send(frame, flags)?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let (router, dealer) = (Self::new(Kind::Router)?, Self::new(Kind::Dealer)?);
        for socket in [&router.socket, &dealer.socket] {
            socket.set_rcvtimeo(-1)?;
        }
        match front {
            Front::Bound(_) => router.socket.bind(front.endpoint())?,
            Front::Behind(_) => router.socket.connect(front.endpoint())?,
        }
        dealer.socket.bind(back)?;
        ready();
        Ok(zmq::proxy(&router.socket, &dealer.socket)?)
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}
