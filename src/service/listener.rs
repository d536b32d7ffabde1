//! A listener: hears the responses to a client id without being that client.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};

use crate::discovery::{Discovery, Instance, Watch};
use crate::endpoint::Endpoint;
use crate::options::Options;
use crate::service::client::ClientError;
use crate::service::envelope::{ClientId, Envelope};
use crate::service::headers::Headers;
use crate::service::outcome::{CallError, Payload, Response};
use crate::service::wire::Kind;
use crate::socket::{Event, Monitor, Sub};

/// How long `connect` waits for instances that it cannot reach.
const PATIENCE: Duration = Duration::from_secs(5);

/// The responses that instances publish for a client id, whoever asked.
///
/// It hears what is published while it is connected: a response that came
/// before is gone, one that has no room is dropped, and a request that is
/// answered twice (a repeat) is heard twice. Only a [`Client`](crate::Client)
/// knows how each of its requests ended.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Listener {
    sub: Sub,
    watch: Watch,
    instances: HashSet<Instance>,
}

impl Listener {
    /// Listens to what the instances of a service answer to a client id.
    ///
    /// Waits until it has subscribed at the instances that are known now, at
    /// most 5 s; others are subscribed to as they come while it is polled.
    ///
    /// # Errors
    ///
    /// The client id is none, or there is no runtime.
    ///
    /// # Cancel safety
    ///
    /// A dropped future listens to nothing.
    pub async fn connect(
        service: &str,
        client_id: impl AsRef<[u8]>,
        discovery: impl Discovery,
    ) -> Result<Self, ClientError> {
        tokio::runtime::Handle::try_current().map_err(|_| ClientError::NoRuntime)?;
        let id = ClientId::new(client_id)?;
        let options = Options::default()
            .receive_high_water_mark(10_000)
            .receive_high_water_mark_bytes(64 << 20)
            .reconnect(Duration::from_millis(50), Duration::from_secs(1))
            .linger(Duration::ZERO);
        let sub = Sub::with_options(options);
        let events = sub.monitor();
        sub.subscribe(id.topic().clone());
        let watch = discovery.watch(service);
        let mut listener = Self {
            sub,
            watch,
            instances: HashSet::new(),
        };
        listener.reconcile(listener.watch.latest().instances);
        let awaited = listener.instances.iter().map(|it| it.responses.clone());
        // One that cannot be reached is heard when it can be.
        let _ = tokio::time::timeout(PATIENCE, connected(events, awaited.collect())).await;
        Ok(listener)
    }

    /// The next response, or `None` never: it listens until it is dropped.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing.
    pub async fn next(&mut self) -> Option<Response> {
        StreamExt::next(self).await
    }

    fn reconcile(&mut self, instances: Vec<Instance>) {
        let instances: HashSet<Instance> = instances.into_iter().collect();
        for gone in self.instances.difference(&instances) {
            self.sub.disconnect(&gone.responses);
        }
        for new in instances.difference(&self.instances) {
            if let Err(error) = self.sub.connect(&new.responses) {
                tracing::error!(%error, endpoint = %new.responses, "an instance cannot be dialled");
            }
        }
        self.instances = instances;
    }
}

impl Stream for Listener {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        while let Poll::Ready(Some(view)) = self.watch.poll_next_unpin(context) {
            self.reconcile(view.instances);
        }
        loop {
            let Some(message) = std::task::ready!(self.sub.poll_next_unpin(context)) else {
                return Poll::Ready(None);
            };
            if let Some(response) = Envelope::decode(message).ok().and_then(response) {
                return Poll::Ready(Some(response));
            }
        }
    }
}

/// The response in a message, if it is one.
fn response(envelope: Envelope) -> Option<Response> {
    let control = envelope.control;
    let outcome = match control.kind {
        Kind::Response => Ok(Payload::new(control.codec, envelope.payload)),
        Kind::Error if !control.method.as_bytes().is_empty() => {
            Err(CallError::of(control.status, &envelope.payload))
        }
        _ => return None,
    };
    Some(Response {
        id: control.id,
        method: control.method.as_str().to_owned(),
        key: control.key.as_bytes().clone(),
        headers: Headers::decode(&envelope.headers).unwrap_or_default(),
        outcome,
    })
}

async fn connected(mut events: Monitor, mut awaited: HashSet<Endpoint>) {
    while !awaited.is_empty() {
        match events.next().await {
            Some(Event::Connected { endpoint, .. }) => {
                awaited.remove(&endpoint);
            }
            Some(_) => {}
            None => return,
        }
    }
}
