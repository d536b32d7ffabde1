//! The process that is bound: one socket, which counts its peers and what it hears of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use pushsub::{Event, Monitor, Options, Pull, Router, XPub};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::other::{Orders, answer};
use crate::{ALLOCATOR, Result};

/// The socket under test.
#[derive(Clone)]
enum Bound {
    /// Sends back what it gets.
    Router(Router),
    /// Counts what it gets.
    Pull(Pull),
    /// Counts subscriptions.
    XPub(XPub),
}

/// What it has told of its peers.
#[derive(Clone, Default)]
struct Seen {
    peers: watch::Sender<usize>,
    refused: watch::Sender<usize>,
    /// Accepting failed.
    starved: watch::Sender<usize>,
}

/// What it has heard.
#[derive(Default)]
struct Heard {
    count: watch::Sender<usize>,
    topics: Mutex<Vec<Bytes>>,
}

impl Heard {
    fn one(&self) {
        self.count.send_modify(|count| *count += 1);
    }
}

pub(crate) async fn play(kind: &str, endpoint: &str, mut orders: Orders) -> Result {
    let bound = Bound::new(kind)?;
    let seen = Seen::default();
    tokio::spawn(see(bound.clone(), seen.clone()));
    let heard = Arc::new(Heard::default());
    tokio::spawn(hear(bound.clone(), heard.clone()));
    answer(bound.bind(endpoint).await?);
    while let Some(order) = orders.recv().await {
        let words: Vec<_> = order.split(' ').collect();
        let since = Instant::now();
        match words[..] {
            ["peers", count] => reach(&seen.peers, count.parse()?, usize::eq).await?,
            ["refused", count] => reach(&seen.refused, count.parse()?, usize::ge).await?,
            ["starved", count] => reach(&seen.starved, count.parse()?, usize::ge).await?,
            ["heard", count] => reach(&heard.count, count.parse()?, usize::eq).await?,
            ["publish"] => {
                let topics = std::mem::take(&mut *heard.topics.lock());
                bound.publish(&topics).await?;
            }
            ["allocated"] => {
                answer(ALLOCATOR.allocated());
                continue;
            }
            ["tasks"] => {
                answer(Handle::current().metrics().num_alive_tasks());
                continue;
            }
            _ => return Err(format!("no such order: {order}").into()),
        }
        answer(since.elapsed().as_millis());
    }
    Ok(())
}

/// Waits until a count is as wanted.
async fn reach(
    count: &watch::Sender<usize>,
    wanted: usize,
    is: fn(&usize, &usize) -> bool,
) -> Result {
    let mut watched = count.subscribe();
    watched.wait_for(|count| is(count, &wanted)).await?;
    Ok(())
}

impl Bound {
    /// `router`, or `router,heartbeat=100,handshake=2000` with options in milliseconds.
    fn new(kind: &str) -> Result<Self> {
        let mut words = kind.split(',');
        let kind = words.next().unwrap_or_default();
        let mut options = Options::default();
        for word in words {
            let (name, value) = word.split_once('=').ok_or("no value")?;
            let value = Duration::from_millis(value.parse()?);
            options = match name {
                "heartbeat" => options.heartbeat_interval(Some(value)),
                "handshake" => options.handshake_timeout(value),
                _ => return Err("no such option".into()),
            };
        }
        Ok(match kind {
            "router" => Self::Router(Router::with_options(options)?),
            "pull" => Self::Pull(Pull::with_options(options)?),
            "xpub" => Self::XPub(XPub::with_options(options)?),
            _ => return Err("no such kind".into()),
        })
    }

    async fn bind(&self, endpoint: &str) -> Result<String> {
        let bound = match self {
            Self::Router(socket) => socket.bind(endpoint).await?,
            Self::Pull(socket) => socket.bind(endpoint).await?,
            Self::XPub(socket) => socket.bind(endpoint).await?,
        };
        Ok(bound.to_string())
    }

    fn monitor(&self) -> Monitor {
        match self {
            Self::Router(socket) => socket.monitor(),
            Self::Pull(socket) => socket.monitor(),
            Self::XPub(socket) => socket.monitor(),
        }
    }

    async fn publish(&self, topics: &[Bytes]) -> Result {
        let Self::XPub(socket) = self else {
            return Err("it publishes nothing".into());
        };
        for topic in topics {
            socket.send(topic.clone()).await?;
        }
        Ok(())
    }
}

/// Counts by the events of the socket.
async fn see(bound: Bound, seen: Seen) {
    let one_more = |count: &watch::Sender<usize>| count.send_modify(|count| *count += 1);
    let mut monitor = bound.monitor();
    while let Some(event) = monitor.next().await {
        match event {
            Event::Connected { .. } => one_more(&seen.peers),
            Event::Disconnected { .. } => seen.peers.send_modify(|count| *count -= 1),
            Event::Refused { .. } => one_more(&seen.refused),
            Event::AcceptFailed { .. } => one_more(&seen.starved),
            Event::Lagged { .. } => {
                monitor = bound.monitor();
                seen.peers.send_replace(monitor.peers().len());
            }
            _ => {}
        }
    }
}

/// Takes what comes.
async fn hear(bound: Bound, heard: Arc<Heard>) -> Result {
    loop {
        match &bound {
            Bound::Router(socket) => {
                let message = socket.recv().await?;
                heard.one();
                socket.send(message).await?;
            }
            Bound::Pull(socket) => {
                socket.recv().await?;
                heard.one();
            }
            Bound::XPub(socket) => {
                let message = socket.recv().await?;
                if let [1, ..] = message.first()[..] {
                    heard.topics.lock().push(message.first().slice(1..));
                    heard.one();
                }
            }
        }
    }
}
