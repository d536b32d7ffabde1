//! A listener: hears the responses to a client id without being that client.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::discovery::{Discovery, Instance, Watch};
use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::options::Options;
use crate::service::ambient::draw;
use crate::service::client::ClientError;
use crate::service::envelope::{ClientId, Envelope};
use crate::service::headers::Headers;
use crate::service::outcome::{CallError, Payload, Response};
use crate::service::wire::{Control, Kind, Name, RequestId};
use crate::socket::{Push, Sub};

/// How long `connect` waits for instances that it cannot reach.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time between the first two probes, which doubles to the most.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long the goodbye to an instance may take to be written.
const LINGER: Duration = Duration::from_millis(100);

/// Responses that may come before `connect` returns; as many as a socket holds.
const EARLY: usize = 10_000;

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
    /// What was heard before it was first polled.
    early: VecDeque<Response>,
}

impl Listener {
    /// Listens to what the instances of a service answer to a client id.
    ///
    /// Waits until its subscription is proven at every instance that is known
    /// now: whatever these publish from then on is heard. An instance that says
    /// nothing for 5 s is not waited for any longer: what it publishes is heard
    /// once it can be reached, as with those that come while it is polled.
    ///
    /// # Errors
    ///
    /// The client id or the name of the service is none, or there is no runtime.
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
        let service = Name::new(service.to_owned()).map_err(|_| ClientError::Service)?;
        let sub = Sub::of(options);
        sub.subscribe(id.topic().clone());
        let watch = discovery.watch(service.as_str());
        let mut listener = Self {
            sub,
            watch,
            instances: HashSet::new(),
            early: VecDeque::new(),
        };
        listener.reconcile(listener.watch.latest().instances);
        let mut proof = Proof::new(service, id.topic(), &listener.instances);
        // Whoever is silent for so long is heard when it can be.
        let _ = timeout(PATIENCE, listener.prove(&mut proof)).await;
        proof.close().await;
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

    /// Probes the instances until each was heard.
    async fn prove(&mut self, proof: &mut Proof) {
        let mut pause = FIRST_PAUSE;
        while !proof.is_complete() {
            proof.probe();
            let until = Instant::now() + pause.mul_f64(jitter());
            pause = (pause * 2).min(LONGEST_PAUSE);
            while !proof.is_complete()
                && let Ok(Ok(message)) = timeout_at(until, self.sub.recv()).await
            {
                let Ok(envelope) = Envelope::decode(message) else {
                    continue;
                };
                if envelope.control.id.nonce == proof.nonce {
                    proof.answered(envelope.control.id.counter);
                } else if self.early.len() < EARLY {
                    self.early.extend(response(envelope));
                }
            }
        }
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
        if let Some(response) = self.early.pop_front() {
            return Poll::Ready(Some(response));
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

/// What shows that all that instances publish for a topic is heard: answers to
/// probes that were pushed under a nonce of its own.
#[derive(Debug)]
struct Proof {
    service: Name,
    topic: Bytes,
    nonce: u64,
    /// The links to the instances; those that were heard are taken out.
    links: Vec<Option<Push>>,
    heard: Vec<Push>,
    /// Probes so far, of all instances together: those of an instance are all
    /// the same but for a multiple of their number.
    counter: u64,
}

impl Proof {
    fn new(service: Name, topic: &Bytes, instances: &HashSet<Instance>) -> Self {
        let links = instances.iter().map(|instance| dial(&instance.requests));
        Self {
            service,
            topic: topic.clone(),
            nonce: draw(),
            links: links.collect(),
            heard: Vec::new(),
            counter: 0,
        }
    }

    fn is_complete(&self) -> bool {
        self.links.iter().all(Option::is_none)
    }

    /// Probes those that were not heard yet.
    fn probe(&mut self) {
        for index in 0..self.links.len() {
            let probe = self.message(Kind::Probe);
            if let Some(push) = &self.links[index] {
                // Where the link does not stand yet there are probes enough on it.
                let _ = push.try_send(probe);
            }
        }
    }

    /// The instance that was sent this probe was heard, and may forget us.
    fn answered(&mut self, counter: u64) {
        let instances = self.links.len() as u64;
        let index = counter.checked_sub(1).map(|counter| counter % instances);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(push) = index.and_then(|index| self.links[index].take()) {
            self.heard.push(push);
        }
    }

    async fn close(mut self) {
        for index in 0..self.heard.len() {
            let goodbye = self.message(Kind::Goodbye);
            // One that cannot be told forgets us in its time.
            let _ = self.heard[index].try_send(goodbye);
        }
        join_all(self.heard.into_iter().map(|push| push.close(LINGER))).await;
    }

    fn message(&mut self, kind: Kind) -> Message {
        self.counter += 1;
        let id = RequestId {
            nonce: self.nonce,
            counter: self.counter,
        };
        let control = Control::new(kind, id, self.service.clone());
        Envelope::bare(self.topic.clone(), control).encode()
    }
}

fn dial(requests: &Endpoint) -> Option<Push> {
    let options = Options::default()
        .send_high_water_mark(8)
        .reconnect(Duration::from_millis(50), Duration::from_secs(1))
        .linger(Duration::ZERO);
    let push = Push::of(options);
    match push.connect(requests) {
        Ok(()) => Some(push),
        Err(error) => {
            tracing::error!(%error, endpoint = %requests, "an instance cannot be dialled");
            None
        }
    }
}

/// A factor of 0.5 to 1.5.
fn jitter() -> f64 {
    0.5 + f64::from(u16::try_from(draw() >> 48).unwrap_or(u16::MAX)) / f64::from(u16::MAX)
}
