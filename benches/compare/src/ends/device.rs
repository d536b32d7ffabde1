//! A device between clients and workers, and the workers: both go on until they are told to stop.

use anyhow::Result;
use tokio::task::JoinSet;

use super::Outcome;
use super::orders::Orders;
use crate::rivals::{Front, Socket};

/// Forwards between the first endpoints, for clients, and the next, for workers: or, `behind` the
/// device that does so, between the latter, as its worker, and those after them.
pub(crate) async fn device<S: Socket>(
    endpoints: Vec<String>,
    behind: bool,
    orders: Orders,
    ready: impl FnOnce() + Send + 'static,
) -> Result<Outcome> {
    let mut work = JoinSet::new();
    work.spawn(async move {
        let (clients, workers) = endpoints.split_at(S::ENDPOINTS);
        let (front, back) = match behind {
            true => (Front::Behind(&workers[0]), &workers[1]),
            false => (Front::Bound(clients), &workers[0]),
        };
        S::device(front, back, ready).await
    });
    until_stopped(work, orders).await
}

/// Answer what the device hands them.
pub(super) async fn workers<S: Socket>(
    endpoints: &[String],
    orders: Orders,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    let mut work = JoinSet::new();
    for _ in 0..S::WORKERS {
        let worker = S::work(endpoints).await?;
        work.spawn(worker.echo_for_ever());
    }
    ready();
    until_stopped(work, orders).await
}

/// Waits for the order to stop. Work that ends before it is no failure of this end, as a client may
/// leave first; what is lost by it, the client counts.
pub(super) async fn until_stopped(
    mut work: JoinSet<Result<()>>,
    mut orders: Orders,
) -> Result<Outcome> {
    tokio::select! {
        Some(ended) = work.join_next() => {
            if let Err(error) = ended? {
                println!("ended {error}");
            }
            orders.wait_for("stop").await?;
        }
        told = orders.wait_for("stop") => told?,
    }
    Ok(Outcome::done())
}
