//! A collector pushes a day of bike station readings to worker processes and prints every change.
//!
//! `cargo run --release --example bikes -- --help`
//!
//! ```text
//!              readings                ┌──▶ worker ──┐  changes
//!   collector ──────────▶ broker, or ──┼──▶ worker ──┼─────────▶ collector ──▶ alerter
//!              by station  directly    └──▶ worker ──┘                    empty
//! ```

mod arguments;
mod books;
mod fleet;
mod ledger;
mod printing;
mod readings;
mod station;
mod summary;

use std::env::current_exe;
use std::error::Error;
use std::future::{pending, ready};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use parking_lot::Mutex;
use pushsub::{
    Broker, CallError, Client, Message, Registry, Request, RequestId, Server, Sub, XPub,
};

use crate::arguments::{Arguments, Role, Run, exit_code};
use crate::books::Books;
use crate::fleet::{Fleet, loads, place};
use crate::ledger::Push;
use crate::readings::Readings;
use crate::station::Stations;

const SERVICE: &str = "stations";
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

/// A worker: serves until standard input ends.
async fn work(broker: Option<String>, id: usize) -> Result<(), Box<dyn Error>> {
    let (stations, name) = (Mutex::new(Stations::default()), format!("worker-{id}"));
    let server = Server::builder(SERVICE).name(&name).concurrency(256);
    let server = match broker {
        Some(broker) => server.connect(broker),
        None => server.bind(LOOPBACK),
    };
    let answer = move |request: Request| ready(stations.lock().answer(id, &request));
    let server = server.serve(answer).await?;
    println!("{}", server.instance().as_ref().map_or(name, place));
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    server.close().await;
    Ok(())
}

/// The collector: pushes all readings and accounts for what comes back.
async fn collect(run: &Run) -> Result<(), Box<dyn Error>> {
    let (readings, kill_at) = run.readings()?;
    let mut books = Books::open(run, &readings, kill_at);
    let registry = Registry::new();
    let broker = match run.direct {
        true => None,
        false => Some(Broker::builder().spawn().await?),
    };
    let front = broker.as_ref().map(Broker::front);
    let _front = front.map(|front| registry.register(SERVICE, front));
    let mut fleet = Fleet::new(current_exe()?, Role::worker(broker.as_ref()), &registry);
    for _ in 0..run.workers {
        books.started(fleet.start().await?);
    }
    if let Some(broker) = &broker {
        broker.wait_for_workers(SERVICE, run.workers.into()).await;
    }
    let client = Client::builder(SERVICE)
        .client_id("collector")
        .deadline(DEADLINE);
    let client = client.connect(registry).await?;
    let (alerts, alerter) = (XPub::new(), Sub::new());
    alerter.subscribe("empty");
    alerter.connect(alerts.bind(LOOPBACK).await?)?;
    alerts.recv().await?; // The alerter has subscribed.
    tokio::spawn(take_time(alerter.clone()));

    let mut responses = client.responses();
    books.begin();
    while !books.is_done() {
        if books.kill_is_due() {
            books.killed(fleet.kill_busiest(loads(broker.as_ref(), &client))?);
        }
        tokio::select! {
            pushed = push(&client, &readings, books.next_push()) => books.pushed(pushed?),
            Some(response) = responses.next() => {
                let answer = response.outcome.and_then(|payload| payload.decode());
                if let Some(station) = books.ended(&response.id, answer.ok())? {
                    let mut alert = Message::from("empty");
                    alert.push_back(station.to_owned());
                    alerts.send(alert).await?;
                }
            }
            id = fleet.ended() => if let Some(worker) = fleet.replace(id).await? {
                books.started(worker);
            },
        }
    }
    books.close(fleet.pids(), &alerts.stats(), &alerter.stats())?;
    client.close().await;
    fleet.stop().await;
    Ok(())
}

/// Pushes a reading, or waits for ever where there is none to push.
async fn push(
    client: &Client,
    readings: &Readings,
    next: Option<Push>,
) -> Result<(Push, RequestId), CallError> {
    let Some(push) = next else {
        return pending().await;
    };
    let station = &readings.stations()[push.station];
    let request = client
        .request(push.order.method())
        .key(station)
        .idempotent();
    Ok((push, request.body(&push.reading)?.push().await?))
}

/// The alerter: takes its time with each station that became empty.
async fn take_time(alerter: Sub) {
    let mut time = tokio::time::interval(Duration::from_millis(10));
    while alerter.recv().await.is_ok() {
        time.tick().await;
    }
}
