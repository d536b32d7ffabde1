//! The two ends of a run, over any socket: what is sent, what is counted, what is timed.

use std::io::BufRead;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::rivals::{Kind, Socket};
use crate::row::{PROBE, Row, Tally, Work, number, sum_of};

/// No end works for longer; what is missing then is reported as lost.
const LONGEST: Duration = Duration::from_secs(60);

/// Requests before the clock starts.
const WARM_UP: u64 = 1_000;

/// What one end reports; an end leaves at zero what only the other can know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) reordered: u64,
    /// From the first message to the last.
    pub(crate) seconds: f64,
    /// Of round trips, in µs.
    pub(crate) median: f64,
    pub(crate) p99: f64,
    /// Whether the numbers and sizes that came are those that were sent.
    pub(crate) sound: bool,
}

/// The end that binds. `ready` is called when it may be connected to.
pub(crate) async fn first<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    match row.work {
        Work::Flow | Work::Publish(_) => receive::<S>(row, endpoints, messages, ready).await,
        Work::Ask(_) => echo::<S>(&endpoints[0], messages, ready).await,
    }
}

/// The end that connects.
pub(crate) async fn second<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
) -> Result<Outcome> {
    match row.work {
        Work::Flow => {
            let push = S::connect(Kind::Push, &endpoints).await?;
            send(push, row, messages).await
        }
        Work::Publish(_) => publish::<S>(row, endpoints, messages).await,
        Work::Ask(in_flight) => ask::<S>(row, endpoints, messages, in_flight as u64).await,
    }
}

/// One receiver for each endpoint. Of several the sum counts, and the slowest's time.
async fn receive<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    let kind = match row.work {
        Work::Publish(_) => Kind::Sub,
        _ => Kind::Pull,
    };
    let mut receivers = Vec::new();
    for endpoint in &endpoints {
        receivers.push(S::bind(kind, endpoint).await?);
    }
    ready();
    if kind == Kind::Sub {
        for receiver in &mut receivers {
            let mut tally = Tally::default();
            while tally.probes == 0 {
                receiver.receive(&mut |payload| tally.note(payload)).await?;
            }
        }
        println!("subscribed");
    }
    let mut tasks = JoinSet::new();
    for mut receiver in receivers {
        tasks.spawn(async move {
            let mut tally = Tally::default();
            // One clock for the whole of it: one for each batch would be part of what is measured.
            let all = timeout(LONGEST, async {
                while tally.received < messages {
                    receiver.receive(&mut |payload| tally.note(payload)).await?;
                }
                anyhow::Ok(())
            });
            if let Ok(ended) = all.await {
                ended?;
            }
            let elapsed = tally.elapsed();
            anyhow::Ok((tally, elapsed))
        });
    }
    let expected = sum_of(messages, row.size);
    let mut outcome = Outcome {
        sound: true,
        ..Outcome::default()
    };
    while let Some(received) = tasks.join_next().await {
        let (tally, elapsed) = received??;
        outcome.received += tally.received;
        outcome.reordered += tally.reordered;
        outcome.sound &= tally.checksum == expected;
        outcome.seconds = outcome.seconds.max(elapsed.as_secs_f64());
    }
    Ok(outcome)
}

async fn send<S: Socket>(mut socket: S, row: &Row, messages: u64) -> Result<Outcome> {
    let mut payload = row.payload();
    for sequence in 0..messages {
        number(&mut payload, sequence);
        socket.send(&payload).await?;
    }
    socket.close().await?;
    Ok(Outcome {
        sent: messages,
        sound: true,
        ..Outcome::default()
    })
}

/// Publishes probes until it is told, on its standard input, that they arrive.
async fn publish<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
) -> Result<Outcome> {
    let mut publisher = S::connect(Kind::Pub, &endpoints).await?;
    let (told, mut subscribed) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // Nobody listens any more if the run has failed meanwhile.
        let _ = told.send(std::io::stdin().lock().read_line(&mut line));
    });
    let mut probe = row.payload();
    number(&mut probe, PROBE);
    while subscribed.try_recv().is_err() {
        publisher.send(&probe).await?;
        sleep(Duration::from_millis(5)).await;
    }
    let mut outcome = send(publisher, row, messages).await?;
    outcome.sent *= endpoints.len() as u64;
    Ok(outcome)
}

/// Answers so many requests with themselves, after the warm-up.
async fn echo<S: Socket>(
    endpoint: &str,
    messages: u64,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    let mut router = S::bind(Kind::Router, endpoint).await?;
    ready();
    let mut left = messages + WARM_UP;
    while left > 0 {
        left = left.saturating_sub(router.echo().await?);
    }
    router.close().await?;
    Ok(Outcome {
        sound: true,
        ..Outcome::default()
    })
}

async fn ask<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    in_flight: u64,
) -> Result<Outcome> {
    let mut dealer = S::connect(Kind::Dealer, &endpoints).await?;
    let mut payload = row.payload();
    number(&mut payload, PROBE);
    for _ in 0..WARM_UP {
        dealer.send(&payload).await?;
        dealer.receive(&mut |_| {}).await?;
    }
    let mut tally = Tally::default();
    let mut times = Vec::with_capacity(if in_flight == 1 { messages as usize } else { 0 });
    let begun = Instant::now();
    let mut sent = 0;
    let work = async {
        while tally.received < messages {
            let asked = Instant::now();
            while sent < messages && sent < tally.received + in_flight {
                number(&mut payload, sent);
                dealer.send(&payload).await?;
                sent += 1;
            }
            dealer.receive(&mut |reply| tally.note(reply)).await?;
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
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times
            .get(place)
            .map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    Ok(Outcome {
        sent,
        received: tally.received,
        reordered: tally.reordered,
        seconds,
        median: at(0.5),
        p99: at(0.99),
        sound: tally.checksum == sum_of(messages, row.size),
    })
}

/// Both ends in one process.
pub(crate) async fn both<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
) -> Result<Outcome> {
    let (told, ready) = oneshot::channel();
    let bound = endpoints.clone();
    let first = tokio::spawn(first::<S>(row, bound, messages, || {
        // The other end is there; nobody listens only if it has failed.
        let _ = told.send(());
    }));
    ready.await.context("the first end did not start")?;
    let second = tokio::spawn(second::<S>(row, endpoints, messages)).await??;
    let first = first.await??;
    Ok(first.with(second))
}

impl Outcome {
    /// What both ends know together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            sent: self.sent.max(other.sent),
            received: self.received.max(other.received),
            reordered: self.reordered.max(other.reordered),
            seconds: self.seconds.max(other.seconds),
            median: self.median.max(other.median),
            p99: self.p99.max(other.p99),
            sound: self.sound && other.sound,
        }
    }
}
