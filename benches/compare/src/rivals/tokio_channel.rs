//! What a process gives within itself: tokio's bounded channels.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Kind;

/// As many as a socket queues.
const DEPTH: usize = 1_000;

const BATCH: usize = 1_024;

/// What the binding end leaves for the connecting one.
static BOUND: LazyLock<Mutex<HashMap<String, Half>>> = LazyLock::new(Mutex::default);

type Half = (Sender<Bytes>, Receiver<Bytes>);

pub(crate) struct Socket {
    half: Half,
    batch: Vec<Bytes>,
}

impl Socket {
    fn of(half: Half) -> Self {
        Self {
            half,
            batch: Vec::with_capacity(BATCH),
        }
    }
}

impl super::Socket for Socket {
    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        let (there, here) = (channel(DEPTH), channel(DEPTH));
        let Ok(mut bound) = BOUND.lock() else {
            bail!("somebody panicked with the list")
        };
        bound.insert(endpoints[0].clone(), (there.0, here.1));
        Ok(Self::of((here.0, there.1)))
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        let Ok(mut bound) = BOUND.lock() else {
            bail!("somebody panicked with the list")
        };
        let half = bound.remove(&endpoints[0]).context("nobody has bound it")?;
        Ok(Self::of(half))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        Ok(self.half.0.send(Bytes::copy_from_slice(payload)).await?)
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let count = self.half.1.recv_many(&mut self.batch, BATCH).await;
        if count == 0 {
            bail!("the other end is gone");
        }
        for payload in self.batch.drain(..) {
            note(&payload);
        }
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        let payload = self.half.1.recv().await.context("the other end is gone")?;
        self.half.0.send(payload).await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}
