//! What the one who started this process says to it, line by line on its standard input.

use std::io::BufRead as _;

use anyhow::{Result, bail};
use tokio::sync::mpsc::{
    UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel,
};

pub(crate) struct Orders(UnboundedReceiver<String>);

impl Orders {
    /// Listens on a thread of its own, which ends with the process.
    pub(crate) fn listen() -> Self {
        let (told, orders) = unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self(orders)
    }

    /// Of an end that is in the same process.
    pub(crate) fn within() -> (UnboundedSender<String>, Self) {
        let (told, orders) = unbounded_channel();
        (told, Self(orders))
    }

    /// Waits for this order; the end of the input is an error, as nobody is there any more.
    pub(crate) async fn wait_for(&mut self, order: &str) -> Result<()> {
        while let Some(line) = self.0.recv().await {
            if line == order {
                return Ok(());
            }
        }
        bail!("nobody said `{order}`")
    }

    /// Whether anything was said.
    pub(crate) fn have_come(&mut self) -> Result<bool> {
        match self.0.try_recv() {
            Ok(_) => Ok(true),
            Err(TryRecvError::Empty) => Ok(false),
            Err(TryRecvError::Disconnected) => bail!("nobody is there any more"),
        }
    }
}
