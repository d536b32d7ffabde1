//! pushsub with its default options, on a runtime of one thread or of two workers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use pushsub::{Pull, Push};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::PATIENCE;
use crate::row::{Row, Tally, number};

/// No run takes longer; what is missing then is reported as lost.
const RUN: Duration = Duration::from_secs(60);

/// What the program runs on.
#[derive(Clone, Copy)]
pub(super) enum Flavour {
    CurrentThread,
    TwoWorkers,
}

impl Flavour {
    fn runtime(self) -> Result<Runtime> {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::TwoWorkers => Builder::new_multi_thread(),
        };
        Ok(builder.worker_threads(2).enable_all().build()?)
    }

    pub(super) fn receive(self, messages: u64, tally: &mut Tally) -> Result<Duration> {
        let runtime = self.runtime()?;
        // A task of its own, as in a program: what `block_on` polls is not a worker's.
        let mut own = std::mem::replace(tally, Tally::new());
        let task = runtime.spawn(async move {
            let elapsed = receive(messages, &mut own).await;
            (own, elapsed)
        });
        let (own, elapsed) = runtime.block_on(task)?;
        *tally = own;
        elapsed
    }

    pub(super) fn send(self, row: Row, messages: u64, address: &str) -> Result<u64> {
        let runtime = self.runtime()?;
        let address = format!("tcp://{address}");
        let task = runtime.spawn(async move { send(row, messages, &address).await });
        runtime.block_on(task)?
    }
}

async fn receive(messages: u64, tally: &mut Tally) -> Result<Duration> {
    const BATCH: usize = 1_024;
    let pull = Pull::new();
    let endpoint = pull.bind("tcp://127.0.0.1:*").await?.to_string();
    println!(
        "{}",
        endpoint.strip_prefix("tcp://").context("bound to tcp")?
    );
    let mut batch = Vec::with_capacity(BATCH);
    // One clock for the whole of it: one for each batch would be part of what is measured.
    let all = timeout(RUN, async {
        while tally.received < messages {
            pull.recv_many(&mut batch, BATCH).await?;
            for message in batch.drain(..) {
                tally.note(message.first());
            }
        }
        Ok(tally.elapsed())
    });
    all.await.unwrap_or(Ok(RUN))
}

async fn send(row: Row, messages: u64, address: &str) -> Result<u64> {
    let push = Push::new();
    push.connect(address)?;
    let mut payload = row.payload();
    for sequence in 0..messages {
        number(&mut payload, sequence);
        push.send(Bytes::copy_from_slice(&payload)).await?;
    }
    let closed = push.close(PATIENCE).await;
    ensure!(
        closed.unsent == 0,
        "{} messages were not sent",
        closed.unsent
    );
    Ok(messages)
}
