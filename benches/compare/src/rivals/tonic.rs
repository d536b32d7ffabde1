//! tonic over tcp, with a codec that takes octets as they are: no code of a generator, and no protobuf.

use std::convert::Infallible;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, BufMut as _, Bytes};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use http::uri::PathAndQuery;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::Kind;

const PATH: PathAndQuery = PathAndQuery::from_static("/compare.Echo/Echo");

/// Octets, as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

/// Answers any path.
#[derive(Clone)]
struct Echo;

impl Service<Request<Bytes>> for Echo {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = std::future::Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(Plain).unary(Self, request).await) })
    }
}

pub(crate) enum Socket {
    Server(JoinHandle<()>),
    Client(Box<Calls>),
}

pub(crate) struct Calls {
    client: tonic::client::Grpc<Channel>,
    in_flight: FuturesOrdered<BoxFuture<'static, Result<Bytes>>>,
}

fn address(endpoint: &str) -> Result<&str> {
    endpoint.strip_prefix("tcp://").context("it needs tcp")
}

impl super::Socket for Socket {
    const SPEAKS_ZMTP: bool = false;

    async fn bind(_: Kind, endpoints: &[String]) -> Result<Self> {
        let address = address(&endpoints[0])?.parse()?;
        Ok(Self::Server(tokio::spawn(async move {
            let ended = tonic::transport::Server::builder().serve(address, Echo);
            if let Err(error) = ended.await {
                eprintln!("the server of tonic ended: {error}");
            }
        })))
    }

    async fn connect(_: Kind, endpoints: &[String]) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{}", address(&endpoints[0])?))?;
        // The server binds in a task of its own, which says nobody when it has.
        let channel = loop {
            match endpoint.connect().await {
                Ok(channel) => break channel,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        Ok(Self::Client(Box::new(Calls {
            client: tonic::client::Grpc::new(channel),
            in_flight: FuturesOrdered::new(),
        })))
    }

    async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let Self::Client(calls) = self else {
            bail!("it answers")
        };
        let mut client = calls.client.clone();
        let request = Request::new(Bytes::copy_from_slice(payload));
        calls.in_flight.push_back(Box::pin(async move {
            client.ready().await?;
            Ok(client.unary(request, PATH, Plain).await?.into_inner())
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
        if let Self::Server(serving) = self {
            serving.abort();
        }
        Ok(())
    }
}
