//! What a library can hope for: frames of a bare connection as in [`raw`](super::raw), but each message
//! received is a `Bytes` of its own, a slice of what was read, which the caller may keep.

use anyhow::{Result, bail};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Kind;
use super::framing::{PREFIX, READ, WRITE, encode};
use super::raw::Wire;

pub(crate) struct Socket {
    wire: Wire,
    outgoing: Vec<u8>,
    incoming: BytesMut,
}

impl Socket {
    fn new(wire: Wire) -> Self {
        Self {
            wire,
            outgoing: Vec::with_capacity(WRITE),
            incoming: BytesMut::with_capacity(READ),
        }
    }

    async fn fill(&mut self) -> Result<()> {
        self.incoming.reserve(READ);
        let stream = self.wire.stream().await?;
        if stream.read_buf(&mut self.incoming).await? == 0 {
            bail!("the other end is gone");
        }
        Ok(())
    }

    /// Takes whole frames out. Returns how many there were.
    fn take(&mut self, mut note: impl FnMut(&[u8])) -> u64 {
        let mut count = 0;
        while let Some(prefix) = self.incoming.first_chunk::<PREFIX>() {
            let length = u32::from_le_bytes(*prefix) as usize;
            if self.incoming.len() < PREFIX + length {
                break;
            }
            self.incoming.advance(PREFIX);
            let message = self.incoming.split_to(length).freeze();
            note(&message);
            count += 1;
        }
        count
    }
}

impl super::Socket for Socket {
    const SPEAKS_ZMTP: bool = false;

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
        while self.take(&mut *note) == 0 {
            self.fill().await?;
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        self.fill().await?;
        let mut answers = std::mem::take(&mut self.outgoing);
        self.take(|payload| encode(&mut answers, payload));
        self.outgoing = answers;
        self.flush().await
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await?;
        Ok(self.wire.stream().await?.shutdown().await?)
    }
}
