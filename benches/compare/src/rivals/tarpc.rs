//! tarpc over tcp with bincode, as its examples set it up: a service beside our service layer.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{StreamExt as _, future};
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport::tcp};
use tokio::task::JoinHandle;

use super::Kind;

#[tarpc::service]
trait Echo {
    async fn echo(payload: Bytes) -> Bytes;
}

#[derive(Clone)]
struct Server;

impl Echo for Server {
    async fn echo(self, _: context::Context, payload: Bytes) -> Bytes {
        payload
    }
}

pub(crate) enum Socket {
    Server(JoinHandle<()>),
    Client(Calls),
}

pub(crate) struct Calls {
    client: EchoClient,
    in_flight: FuturesOrdered<BoxFuture<'static, Result<Bytes>>>,
}

fn address(endpoint: &str) -> Result<&str> {
    endpoint.strip_prefix("tcp://").context("it needs tcp")
}

impl super::Socket for Socket {
    const SPEAKS_ZMTP: bool = false;

    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        let incoming = tcp::listen(address(&endpoints[0])?, Bincode::default).await?;
        let connections = incoming.filter_map(|connection| future::ready(connection.ok()));
        Ok(Self::Server(tokio::spawn(connections.for_each_concurrent(
            None,
            |connection| async move {
                // Its examples leave it off; without it the row would measure Nagle's algorithm.
                if let Err(error) = connection.get_ref().set_nodelay(true) {
                    eprintln!("a connection keeps Nagle's algorithm: {error}");
                }
                let requests = BaseChannel::with_defaults(connection).execute(Server.serve());
                requests
                    .for_each(|response| async move {
                        tokio::spawn(response);
                    })
                    .await;
            },
        ))))
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        let connection = tcp::connect(address(&endpoints[0])?, Bincode::default).await?;
        connection.get_ref().set_nodelay(true)?;
        Ok(Self::Client(Calls {
            client: EchoClient::new(client::Config::default(), connection).spawn(),
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
            Ok(client.echo(context::current(), payload).await?)
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

    async fn close(self) -> Result<()> {
        if let Self::Server(accepting) = self {
            accepting.abort();
        }
        Ok(())
    }
}
