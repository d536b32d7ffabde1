//! Calls of a service, straight or through a broker to two workers, in one process, for callgrind to
//! count the instructions of.
//!
//! `benches/README.md` has the commands. Two runs of different length tell what a call costs.

use std::error::Error;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use pushsub::{Broker, Client, Reply, Request, Server, ServerBuilder};

/// Handlers that run at once, at most.
const HANDLERS: usize = 64;

const USAGE: &str = "calls CALLS [IN_FLIGHT] [broker]";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A server of echoes, where this says.
async fn serve(place: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<Server> {
    let server = place(Server::builder("echo").concurrency(HANDLERS));
    let server = server.serve(|request: Request| async move { Ok(Reply::echo(&request)) });
    Ok(server.await?)
}

/// Calls so often, with so many calls in flight.
async fn call(client: Client, calls: usize, in_flight: usize) -> Result {
    let payload = Bytes::from_static(&[7; 64]);
    let call = || client.request("echo").raw(payload.clone()).call();
    let mut made = in_flight.min(calls);
    let mut outstanding: FuturesUnordered<_> = (0..made).map(|_| call()).collect();
    let mut answered = 0;
    while let Some(response) = outstanding.next().await {
        response?.outcome?;
        answered += 1;
        if made < calls {
            made += 1;
            outstanding.push(call());
        }
    }
    println!("{answered} answers");
    Ok(())
}

fn main() -> Result {
    // Cargo tells every bench that it is one.
    let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    let mut number = |least| arguments.next().map_or(Ok(least), |text| text.parse());
    let calls: usize = number(1_024).map_err(|_| USAGE)?;
    let in_flight: usize = number(64).map_err(|_| USAGE)?;
    let through_a_broker = arguments.next().is_some_and(|text| text == "broker");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if through_a_broker {
            let builder = Broker::builder().front("tcp://127.0.0.1:*");
            let broker = builder.back("tcp://127.0.0.1:*").spawn().await?;
            let worker = || serve(|server| server.connect(broker.back()));
            let _workers = (worker().await?, worker().await?);
            broker.wait_for_workers("echo", 2).await;
            let client = Client::builder("echo").connect(broker.front()).await?;
            return call(client, calls, in_flight).await;
        }
        let server = serve(|server| server.bind("tcp://127.0.0.1:*")).await?;
        let instance = server.instance().ok_or("it was bound")?;
        let client = Client::builder("echo").connect(instance).await?;
        call(client, calls, in_flight).await
    })
}
