//! The process that dials: very many sockets, each with one connection.

use std::time::{Duration, Instant};

use pushsub::{Dealer, Options, Push, Sub};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::other::{Orders, answer};
use crate::{ALLOCATOR, Result};

/// Topics that each subscriber wants.
const TOPICS: usize = 10;

/// For one message, while thousands of others are on their way.
const LIMIT: Duration = Duration::from_secs(50);

/// One of the sockets.
#[derive(Clone)]
enum Dialling {
    Dealer(Dealer),
    Push(Push),
    Sub(Sub),
}

pub(crate) async fn play(kind: &str, endpoint: &str, count: usize, mut orders: Orders) -> Result {
    let sockets = dial_all(kind, endpoint, count)?;
    answer(count);
    while let Some(order) = orders.recv().await {
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("all", "") => answer(all(&sockets).await?),
            ("trips", trips) => answer(trips_of_one(&sockets, trips.parse()?).await?),
            ("allocated", "") => answer(ALLOCATOR.allocated()),
            _ => return Err(format!("no such order: {order}").into()),
        }
    }
    Ok(())
}

fn dial_all(kind: &str, endpoint: &str, count: usize) -> Result<Vec<Dialling>> {
    let dial = |number: usize| -> Result<Dialling> {
        let options = Options::default();
        Ok(match kind {
            "dealer" => {
                let socket = Dealer::with_options(options)?;
                socket.connect(endpoint)?;
                Dialling::Dealer(socket)
            }
            "push" => {
                let socket = Push::with_options(options)?;
                socket.connect(endpoint)?;
                Dialling::Push(socket)
            }
            "sub" => {
                let socket = Sub::with_options(options)?;
                for topic in 0..TOPICS {
                    socket.subscribe(topic_of(number, topic));
                }
                socket.connect(endpoint)?;
                Dialling::Sub(socket)
            }
            _ => return Err("no such kind".into()),
        })
    };
    (0..count).map(dial).collect()
}

/// A topic that nobody else wants, in this process or in another.
fn topic_of(subscriber: usize, topic: usize) -> String {
    format!("{}/{subscriber}/{topic}.", std::process::id())
}

impl Dialling {
    /// One message each way, or the one that the pattern has. Returns how many came back.
    async fn exchange(self, number: usize) -> Result<usize> {
        match self {
            Self::Dealer(socket) => {
                let text = number.to_string();
                socket.send(text.clone()).await?;
                let reply = timeout(LIMIT, socket.recv()).await??;
                if reply.first() != text.as_bytes() {
                    return Err(format!("{reply:?} in place of {text}").into());
                }
                Ok(1)
            }
            Self::Push(socket) => {
                socket.send(number.to_string()).await?;
                Ok(0)
            }
            Self::Sub(socket) => {
                for topic in 0..TOPICS {
                    let message = timeout(LIMIT, socket.recv()).await??;
                    if message.first() != topic_of(number, topic).as_bytes() {
                        return Err(format!("{message:?} for {number}/{topic}").into());
                    }
                }
                Ok(TOPICS)
            }
        }
    }
}

/// All sockets at once. Returns how many messages have come.
async fn all(sockets: &[Dialling]) -> Result<usize> {
    let mut exchanges = JoinSet::new();
    for (number, socket) in sockets.iter().enumerate() {
        exchanges.spawn(socket.clone().exchange(number));
    }
    let mut came = 0;
    while let Some(exchange) = exchanges.join_next().await {
        came += exchange??;
    }
    Ok(came)
}

/// One exchange after the other on the first socket: the time within which 99 of 100 came back, in microseconds.
async fn trips_of_one(sockets: &[Dialling], trips: usize) -> Result<u128> {
    let mut times = Vec::with_capacity(trips);
    for number in 0..trips {
        let since = Instant::now();
        sockets[0].clone().exchange(number).await?;
        times.push(since.elapsed());
    }
    times.sort_unstable();
    Ok(times[(trips * 99).div_ceil(100) - 1].as_micros())
}
