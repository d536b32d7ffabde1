//! There and back: a client with one request in flight or many, and who answers them.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::device::until_stopped;
use super::orders::Orders;
use super::{LONGEST, Outcome, receive, send};
use crate::resources;
use crate::rivals::{Kind, Socket};
use crate::row::Row;
use crate::tally::{PROBE, Tally, sum_of};

/// Requests before the clock starts.
const WARM_UP: u64 = 1_000;

/// Answers requests with themselves until it is told to stop.
pub(super) async fn echo<S: Socket>(
    endpoints: &[String],
    orders: Orders,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    let router = S::bind(Kind::Router, endpoints).await?;
    ready();
    let mut work = JoinSet::new();
    work.spawn(router.echo_for_ever());
    until_stopped(work, orders).await
}

/// Asks, and times it.
pub(super) async fn ask<S: Socket>(
    row: &'static Row,
    endpoints: &[String],
    messages: u64,
    in_flight: u64,
) -> Result<Outcome> {
    let mut dealer = S::connect(Kind::Dealer, endpoints).await?;
    let mut payload = row.payload();
    for _ in 0..WARM_UP {
        send(&mut dealer, row, &mut payload, PROBE).await?;
        receive(&mut dealer, row, &mut |_| {}).await?;
    }
    let mut tally = Tally::default();
    let mut times = Vec::with_capacity(if in_flight == 1 { messages as usize } else { 0 });
    let cpu_before = resources::cpu_seconds()?;
    let begun = Instant::now();
    let mut sent = 0;
    let work = async {
        while tally.received < messages {
            let asked = Instant::now();
            while sent < messages && sent < tally.received + in_flight {
                send(&mut dealer, row, &mut payload, sent).await?;
                sent += 1;
            }
            receive(&mut dealer, row, &mut |reply| tally.note(reply)).await?;
            if in_flight == 1 {
                times.push(asked.elapsed());
            }
        }
        anyhow::Ok(())
    };
    if let Ok(ended) = timeout(LONGEST, work).await {
        ended?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = resources::cpu_seconds()? - cpu_before;
    times.sort_unstable();
    Ok(Outcome {
        sent,
        received: tally.received,
        reordered: tally.reordered,
        seconds,
        median: microseconds(&times, 0.5),
        p99: microseconds(&times, 0.99),
        sound: tally.checksum == sum_of(messages, row.content),
        cpu: Some(cpu),
        ..Outcome::default()
    })
}

/// The time at this share of the sorted list; 0 of an empty one.
fn microseconds(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
