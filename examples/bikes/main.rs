//! A collector pushes a day of bike station readings to worker processes and prints every change.
//!
//! `cargo run --release --example bikes -- --help`
//!
//! ```text
//!              readings                ┌──▶ worker ──┐  changes
//!   collector ──────────▶ broker, or ──┼──▶ worker ──┼─────────▶ collector ──▶ alerter
//!              by station  directly    └──▶ worker ──┘                    empty
//! ```

mod alerter;
mod arguments;
mod books;
mod fleet;
mod station;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::future::{OptionFuture, ready};
use parking_lot::Mutex;
use pushsub::{Broker, CallError, Client, Message, Registry, RequestId, Server, XPub};

use crate::alerter::alerter;
use crate::arguments::{Arguments, Failure, Role, Run, exit_code};
use crate::books::{Books, Next};
use crate::fleet::{Fleet, loads, place, until_orphaned};
use crate::station::{SERVICE, Stations};

const EMPTY: &str = "empty";
const LOOPBACK: &str = "tcp://127.0.0.1:*";
/// So long that a worker may be stopped for a while, and yet every run ends.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    exit_code(match arguments.role {
        Some(Role::Worker { broker, id }) => work(broker, id).await,
        None => collect(&arguments.run).await,
    })
}

/// A worker serves until the collector is gone.
async fn work(broker: Option<String>, id: usize) -> Result<(), Failure> {
    let (stations, name) = (Mutex::new(Stations::default()), format!("worker-{id}"));
    let server = Server::builder(SERVICE).name(&name).concurrency(256);
    let server = match broker {
        Some(broker) => server.connect(broker),
        None => server.bind(LOOPBACK),
    };
    let answer = move |request| ready(stations.lock().answer(id, &request));
    let server = server.serve(answer).await?;
    Ok(until_orphaned(server.instance().as_ref().map_or(name, place)).await?)
}

/// The collector pushes all readings, and accounts for what comes back.
async fn collect(run: &Run) -> Result<(), Failure> {
    let (readings, kill_at) = run.readings()?;
    let mut books = Books::open(run, &readings, kill_at);
    let broker = match run.direct {
        true => None,
        false => Some(Broker::builder().spawn().await?),
    };
    let registry = Registry::new();
    let mut fleet = Fleet::start(run, broker.as_ref(), &registry).await?;
    let client = Client::builder(SERVICE).client_id("collector");
    let client = client.deadline(DEADLINE).connect(registry).await?;
    let alerts = XPub::new();
    let alerter = alerter(&alerts.bind(LOOPBACK).await?, EMPTY)?;
    alerts.recv().await?; // It has subscribed: no alert is lost.

    let mut responses = client.responses();
    while !books.is_done() {
        if books.kill_is_due() {
            books.killed(fleet.kill_busiest(loads(broker.as_ref(), &client))?);
        }
        let next = books.next_push().map(|next| push(&client, next));
        tokio::select! {
            Some(pushed) = OptionFuture::from(next) => books.pushed(pushed?),
            Some(response) = responses.next() => if let Some(station) = books.ended(response)? {
                let mut alert = Message::from(EMPTY);
                alert.push_back(station);
                alerts.send(alert).await?;
            },
            id = fleet.ended() => fleet.replace(id).await?,
        }
    }
    let received = alerter.stats(); // Before the publisher is asked, which is ahead of it.
    books.close(fleet.pids(), &alerts.stats(), &received)?;
    client.close().await;
    fleet.stop().await;
    Ok(())
}

/// The response comes when it comes, and not for this.
async fn push<'a>(client: &Client, next: Next<'a>) -> Result<(Next<'a>, RequestId), CallError> {
    let request = client.request(next.method).key(next.station).idempotent();
    Ok((next, request.body(&next.reading)?.push().await?))
}
