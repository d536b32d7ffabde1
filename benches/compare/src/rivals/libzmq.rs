//! libzmq: one socket and one IO thread a process, with and without high-water marks.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::PATIENCE;
use crate::row::{Row, Tally, number};

/// The high-water mark of a socket that nobody has told anything.
pub(super) const DEFAULT_MARK: i32 = 1_000;

/// What libzmq takes for "none".
pub(super) const NO_MARK: i32 = 0;

pub(super) fn receive(mark: i32, row: Row, messages: u64, tally: &mut Tally) -> Result<Duration> {
    let context = zmq::Context::new();
    let pull = context.socket(zmq::PULL)?;
    pull.set_rcvhwm(mark)?;
    pull.set_rcvtimeo(i32::try_from(PATIENCE.as_millis())?)?;
    pull.bind("tcp://127.0.0.1:*")?;
    let endpoint = pull
        .get_last_endpoint()?
        .map_err(|_| anyhow!("an endpoint is text"))?;
    println!(
        "{}",
        endpoint.strip_prefix("tcp://").context("bound to tcp")?
    );
    let mut buffer = vec![0; row.size()];
    while tally.received < messages {
        // Into a buffer of ours: faster than a message object, which is made and freed each time.
        let Ok(length) = pull.recv_into(&mut buffer, 0) else {
            break;
        };
        tally.note(&buffer[..length]);
    }
    Ok(tally.elapsed())
}

pub(super) fn send(mark: i32, row: Row, messages: u64, address: &str) -> Result<u64> {
    let context = zmq::Context::new();
    let push = context.socket(zmq::PUSH)?;
    push.set_sndhwm(mark)?;
    push.set_sndtimeo(i32::try_from(PATIENCE.as_millis())?)?;
    push.set_linger(i32::try_from(PATIENCE.as_millis())?)?;
    push.connect(&format!("tcp://{address}"))?;
    let mut payload = row.payload();
    for sequence in 0..messages {
        number(&mut payload, sequence);
        push.send(&payload[..], 0)?;
    }
    Ok(messages)
}
