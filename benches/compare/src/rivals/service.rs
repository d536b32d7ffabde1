//! pushsub's service layer: a client that calls and a server that answers, with an id and a deadline
//! each; its device is the broker.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use pushsub::{Broker, Client, Instance, Reply, Request, Server, ServerBuilder};

use super::{Front, Kind};

/// The fewest requests that any row has in flight.
const HANDLERS: usize = 64;

pub(crate) enum Socket {
    Server(Server),
    Client(Calls),
}

pub(crate) struct Calls {
    client: Client,
    in_flight: FuturesOrdered<BoxFuture<'static, Result<Bytes>>>,
}

/// A server of echoes, where this says.
async fn serve(place: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Result<Socket> {
    let server = place(Server::builder("echo").concurrency(HANDLERS))
        .serve(|request: Request| async move { Ok(Reply::echo(&request)) })
        .await?;
    Ok(Socket::Server(server))
}

impl super::Socket for Socket {
    // Requests come by one and responses by the other.
    const ENDPOINTS: usize = 2;

    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        serve(|server| {
            let requests = endpoints[0].as_str();
            server.bind(requests).bind_responses(endpoints[1].as_str())
        })
        .await
    }

    async fn work(back: &[String]) -> Result<Self> {
        serve(|server| server.connect(back[0].as_str())).await
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        let instance = Instance::new(endpoints[0].as_str(), endpoints[1].as_str())?;
        let client = Client::builder("echo").connect(instance).await?;
        Ok(Self::Client(Calls {
            client,
            in_flight: FuturesOrdered::new(),
        }))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let Self::Client(calls) = self else {
            bail!("it answers")
        };
        let client = calls.client.clone();
        let payload = Bytes::copy_from_slice(payload);
        calls.in_flight.push_back(Box::pin(async move {
            let response = client.request("echo").raw(payload).call().await?;
            Ok(response.outcome?.bytes().clone())
        }));
        Ok(())
    }

    async fn receive(&mut self, note: &mut (dyn FnMut(&[u8]) + Send)) -> Result<()> {
        let Self::Client(calls) = self else {
            bail!("it answers")
        };
        let answer = calls.in_flight.next().await;
        note(&answer.context("nothing is in flight")??);
        Ok(())
    }

    async fn echo(&mut self) -> Result<()> {
        // The server does, by itself.
        std::future::pending().await
    }

    async fn device(front: Front<'_>, back: &str, ready: impl FnOnce() + Send) -> Result<()> {
        let Front::Bound(front) = front else {
            bail!("a broker has its clients connect")
        };
        let broker = Broker::builder()
            .front(front[0].as_str())
            .front_responses(front[1].as_str())
            .back(back)
            .spawn()
            .await?;
        ready();
        std::future::pending::<()>().await;
        drop(broker);
        Ok(())
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Server(server) => server.close().await,
            Self::Client(calls) => calls.client.close().await,
        }
        Ok(())
    }
}
