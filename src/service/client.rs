//! A client: calls a service, or pushes requests to it and listens to the responses.
//!
//! [`Calls`](crate::service::call::Calls) decides. Who calls mutates it under a
//! lock and pushes at once what follows from it; one task reads what comes back.

mod builder;
mod driver;
mod request;
mod shared;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::builder::{ClientBuilder, ClientError};
pub use self::request::RequestBuilder;
use self::shared::Shared;
use crate::discovery::Instance;
use crate::service::outcome::{CallError, Response};
use crate::service::wire::RequestId;

/// Calls a service. See [`Client::builder`].
///
/// A clone is the same client. When the last one is dropped the client ends at
/// once; [`close`](Self::close) first writes what was pushed.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

/// Its drop is the drop of the last handle.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    deadline: Option<Duration>,
}

/// The ends of what was pushed. See [`Client::responses`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Responses {
    shared: Arc<Shared>,
}

/// What a client has done so far, and what it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Requests that have not ended.
    pub outstanding: usize,
    /// The instances of the view.
    pub instances: Vec<InstanceStats>,
    /// Requests that were taken on: the sum of all ends and of `outstanding`.
    pub submitted: u64,
    /// Ended with a value.
    pub succeeded: u64,
    /// Ended with the handler's error, or because the client was closed.
    pub failed: u64,
    /// Ended as rejected.
    pub rejected: u64,
    /// Ended as unknown.
    pub unknown: u64,
    /// Given up by their caller.
    pub cancelled: u64,
    /// Times that a request was sent again.
    pub repeated: u64,
    /// Answers to what was not outstanding, or from another instance than asked.
    pub late: u64,
    /// Messages that a client has no use for.
    pub ignored: u64,
    /// Times that answers of an instance were lost on the way.
    pub gaps: u64,
}

/// What a client knows of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceStats {
    /// Where it is.
    pub instance: Instance,
    /// Whether it can be given requests.
    pub up: bool,
    /// Requests that it has not answered.
    pub in_flight: usize,
}

impl Client {
    /// Begins a client of this service.
    ///
    /// ```
    /// # tokio_test(async {
    /// use pushsub::{Client, Reply, Request, Server};
    ///
    /// # let server = Server::builder("geo").bind("tcp://127.0.0.1:*");
    /// # let server = server.serve(|request: Request| async move { Ok(Reply::echo(&request)) });
    /// # let server = server.await?;
    /// # let instance = server.instance().expect("it was bound");
    /// let client = Client::builder("geo").client_id("web-7").connect(instance).await?;
    /// for city in ["Dublin", "Cork"] {
    ///     client.request("locate").key(city).idempotent().body(city)?.push().await?;
    /// }
    /// let mut responses = client.responses();
    /// for _ in 0..2 {
    ///     let response = responses.next().await.expect("the client is open");
    ///     println!("{}: {:?}", response.id, response.outcome?.decode::<String>()?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # fn tokio_test<F: std::future::Future>(f: F) -> F::Output {
    /// #     tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
    /// # }
    /// ```
    pub fn builder(service: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(service.into())
    }

    /// Calls a method with a value and waits for its value.
    ///
    /// # Errors
    ///
    /// See [`CallError`]: it says whether the request was executed.
    ///
    /// # Cancel safety
    ///
    /// A dropped future cancels the call, also where it is being executed.
    pub async fn call<A, R>(&self, method: &str, argument: &A) -> Result<R, CallError>
    where
        A: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let response = self.request(method).body(argument)?.call().await?;
        response.outcome?.decode()
    }

    /// Pushes a request; [`responses`](Self::responses) yields its end.
    /// Waits while the window is full, or while 65,536 ends are waiting there.
    ///
    /// # Errors
    ///
    /// It was not pushed, and [`CallError`] says why.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has pushed nothing.
    pub async fn push<A>(&self, method: &str, argument: &A) -> Result<RequestId, CallError>
    where
        A: Serialize + ?Sized,
    {
        self.request(method).body(argument)?.push().await
    }

    /// Begins a request of which more is to be said than its method and value.
    pub fn request(&self, method: impl Into<String>) -> RequestBuilder<'_> {
        RequestBuilder::new(self, method.into())
    }

    /// The ends of what was pushed: exactly one for each push, in the order in
    /// which they came. Calls have none here. Several streams share the ends
    /// among them. It ends when the client is closed and all was yielded.
    pub fn responses(&self) -> Responses {
        Responses {
            shared: Arc::clone(&self.inner.shared),
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.inner.shared.stats()
    }

    /// Ends the client for all its handles: what is outstanding ends as
    /// [`CallError::Closed`], what was pushed is written for at most a second.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the rest to the background.
    pub async fn close(self) {
        self.inner.shared.close();
        self.inner.shared.ended().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Stream for Responses {
    type Item = Response;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        self.shared.poll_response(context)
    }
}

impl Responses {
    /// The next end, or `None` when the client is closed and all was yielded.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing.
    pub async fn next(&mut self) -> Option<Response> {
        std::future::poll_fn(|context| self.shared.poll_response(context)).await
    }
}
