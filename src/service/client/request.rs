//! A request in the making.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::shared::{Owner, Room, Shared};
use super::{Client, Inner};
use crate::service::ambient::now;
use crate::service::call::Submission;
use crate::service::headers::Headers;
use crate::service::outcome::{CallError, Payload, Rejected, Response};
use crate::service::wire::{Key, Name, RequestId};

/// A request of which more is said than its method and value. See [`Client::request`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is called or pushed"]
pub struct RequestBuilder<'client> {
    client: &'client Client,
    method: String,
    key: Bytes,
    idempotent: bool,
    deadline: Option<Duration>,
    headers: Headers,
    payload: Payload,
}

impl<'client> RequestBuilder<'client> {
    pub(super) fn new(client: &'client Client, method: String) -> Self {
        Self {
            client,
            method,
            key: Bytes::new(),
            idempotent: false,
            deadline: client.inner.deadline,
            headers: Headers::new(),
            payload: Payload::default(),
        }
    }

    /// Requests of one key go to one instance and run one after another, in
    /// the order in which they were submitted. At most 65,535 octets.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Bytes::copy_from_slice(key.as_ref());
        self
    }

    /// Running it twice does no harm: when an instance is lost it is sent to
    /// another one, until the deadline.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// How long its end is waited for, from the call or push on.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Its end is waited for as long as it takes.
    pub fn no_deadline(mut self) -> Self {
        self.deadline = None;
        self
    }

    /// Adds a header. All together have at most 8 KiB.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The value that the method is given, as MessagePack.
    ///
    /// # Errors
    ///
    /// The value cannot be written as MessagePack.
    pub fn body<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, CallError> {
        self.payload = Payload::value(value)?;
        Ok(self)
    }

    /// Bytes that the method is given as they are.
    pub fn raw(mut self, bytes: impl Into<Bytes>) -> Self {
        self.payload = Payload::raw(bytes);
        self
    }

    /// Submits it and waits for its end.
    ///
    /// # Errors
    ///
    /// It was not submitted. Once it was, its end is [`Response::outcome`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future cancels the request, also where it is being executed.
    pub async fn call(self) -> Result<Response, CallError> {
        let client = &*self.client.inner;
        let (submission, room) = self.prepare().await?;
        let (caller, end) = oneshot::channel();
        let id = client
            .shared
            .submit(submission, Owner::Call(caller, room))
            .ok_or(CallError::Closed)?;
        let mut cancel = Cancel {
            shared: &client.shared,
            id: Some(id),
        };
        let end = end.await;
        cancel.id = None;
        end.map_err(|_| CallError::Closed)
    }

    /// Submits it; [`Client::responses`] yields its end.
    ///
    /// # Errors
    ///
    /// It was not submitted.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has submitted nothing.
    pub async fn push(self) -> Result<RequestId, CallError> {
        let client = &*self.client.inner;
        let unread = client.shared.room_unread().await.ok_or(CallError::Closed)?;
        let (submission, room) = self.prepare().await?;
        let id = client.shared.submit(submission, Owner::Push(unread, room));
        id.ok_or(CallError::Closed)
    }

    /// Checks it, and waits for room in the window until the deadline.
    async fn prepare(self) -> Result<(Submission, Room), CallError> {
        let malformed = CallError::Rejected(Rejected::Malformed);
        let submission = Submission {
            method: Name::new(self.method).map_err(|_| malformed.clone())?,
            key: Key::new(self.key).map_err(|_| malformed.clone())?,
            headers: self.headers.encode().map_err(|_| malformed)?,
            payload: self.payload,
            idempotent: self.idempotent,
            deadline: self.deadline.and_then(|time| now().checked_add(time)),
        };
        let inner = &*self.client.inner;
        let room = inner.room(submission.payload.bytes().len(), submission.deadline);
        Ok((submission, room.await?))
    }
}

impl Inner {
    async fn room(&self, octets: usize, deadline: Option<Instant>) -> Result<Room, CallError> {
        let room = self.shared.room(octets);
        let room = match deadline {
            Some(deadline) => timeout_at(deadline.into(), room)
                .await
                .map_err(|_| CallError::Rejected(Rejected::Expired))?,
            None => room.await,
        };
        room.ok_or(CallError::Closed)
    }
}

/// Cancels a call whose caller waits no longer.
struct Cancel<'client> {
    shared: &'client Shared,
    id: Option<RequestId>,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.cancel(id);
        }
    }
}
