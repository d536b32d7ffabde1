//! Messages from PUSH to PULL in one process, for callgrind to count the instructions of.
//!
//! `benches/README.md` has the commands. Two runs of different length tell what a message costs: the
//! difference is free of what starting costs.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use pushsub::{Pull, Push};

/// Messages of a turn: they fit a pipe.
const BATCH: usize = 512;

const USAGE: &str = "steps MESSAGES [OCTETS] [ENDPOINT]";

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo tells every bench that it is one.
    let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    let messages: usize = arguments
        .next()
        .map_or(Ok(BATCH), |text| text.parse())
        .map_err(|_| USAGE)?;
    let octets: usize = arguments
        .next()
        .map_or(Ok(64), |text| text.parse())
        .map_err(|_| USAGE)?;
    let endpoint = arguments
        .next()
        .unwrap_or_else(|| "tcp://127.0.0.1:*".into());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (push, pull) = (Push::new(), Pull::new());
        push.connect(&pull.bind(endpoint.as_str()).await?)?;
        let message = Bytes::from(vec![7; octets]);
        let mut received = Vec::with_capacity(BATCH);
        let mut left = messages;
        while left > 0 {
            let batch = left.min(BATCH);
            for _ in 0..batch {
                push.send(message.clone()).await?;
            }
            while received.len() < batch {
                let room = batch - received.len();
                pull.recv_many(&mut received, room).await?;
            }
            received.clear();
            left -= batch;
        }
        let closed = push.close(Duration::from_secs(1)).await;
        println!(
            "{messages} messages of {octets} octets, {} unsent",
            closed.unsent
        );
        Ok(())
    })
}
