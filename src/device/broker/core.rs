//! What a broker decides: envelopes and the time in, messages out.
//!
//! ```text
//!  clients ── request, cancel, probe, goodbye ──▶ front ─┐
//!                                                        ▼
//!          ◀── response, error, hello, goodbye ── │ a queue for each service │
//!                                                        │  by key, credit and load
//!  workers ── hello, response, error, goodbye ──▶ back   ▼
//!          ◀── hello, request, cancel, goodbye ──────────┘
//! ```
//!
//! A worker is one epoch on one link. It is lost when the link is cut, when it
//! is silent for too long, or when its epoch shows up on another link; its epoch
//! is fenced then, and nothing that arrives under it counts any more.
//!
//! The machine is mutated once, then [`Core::poll`]ed until it returns `None`.

mod back;
mod clients;
mod front;
#[cfg(test)]
mod tests;
mod workers;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

use self::clients::{Client, Clients};
use self::workers::Workers;
use super::stats::{BrokerStats, ServiceStats, WorkerStats};
use crate::message::Message;
use crate::service::dispatch::{Dispatch, TargetId};
use crate::service::envelope::{Clock, Envelope};
use crate::service::window::{Answer, Memory};
use crate::service::wire::{Control, Kind, Name, RequestId, Status};

/// What a broker allows, and how long it waits.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// How often workers and clients are to be heard.
    pub(super) heartbeat: Duration,
    /// How many heartbeats may fail before a worker is lost.
    pub(super) liveness: u32,
    /// How long a client is known without a sign of life.
    pub(super) client_silence: Duration,
    /// The queue of each service.
    pub(super) queue_messages: usize,
    pub(super) queue_bytes: usize,
    /// What workers announce beyond it is cut to it.
    pub(super) credit: usize,
    pub(super) clients: usize,
    pub(super) workers: usize,
    pub(super) services: usize,
    /// What is remembered of the answers to each client, to know a repeat.
    pub(super) memory: Memory,
    /// The octets of all answers that are remembered: beyond it, only the facts.
    pub(super) memory_total: usize,
}

/// What is to be sent, and on which socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// To the client whose topic is the first frame.
    Publish(Message),
    /// To the worker whose link's identity is the first frame.
    Hand(Message),
}

/// The pure part of a broker.
#[derive(Debug)]
pub(super) struct Core {
    limits: Limits,
    /// The broker's own.
    epoch: u64,
    clock: Clock,
    clients: Clients,
    workers: Workers,
    services: Slab<Service>,
    service_slots: HashMap<Name, usize>,
    outputs: VecDeque<Output>,
    /// Only the counters of it are kept up to date.
    counters: BrokerStats,
    /// Since when no new requests are taken.
    draining: Option<Instant>,
    last_sweep: Instant,
    /// Grows whenever a worker comes, goes or stops.
    membership: u64,
}

#[derive(Debug)]
struct Service {
    name: Name,
    dispatch: Dispatch<Request>,
}

#[derive(Clone, Debug)]
struct Request {
    /// The slot of the client, which is known as long as it has requests.
    client: usize,
    envelope: Envelope,
    /// A worker was lost with it.
    may_have_run: bool,
}

impl Core {
    /// A broker of a fresh random epoch, which is not zero.
    pub(super) fn new(limits: Limits, epoch: u64, now: Instant) -> Self {
        Self {
            epoch,
            clock: Clock::starting(now),
            clients: Clients::new(limits.clients, limits.memory, limits.memory_total),
            workers: Workers::default(),
            services: Slab::new(),
            service_slots: HashMap::new(),
            outputs: VecDeque::new(),
            counters: BrokerStats::default(),
            draining: None,
            last_sweep: now,
            membership: 0,
            limits,
        }
    }

    /// What is to be sent next.
    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::tick`] has something to do at the latest.
    pub(super) fn next_timeout(&self) -> Instant {
        let expiries = self.services.iter();
        let expiries = expiries.filter_map(|(_, service)| service.dispatch.next_expiry());
        let sweep = self.last_sweep + self.limits.heartbeat;
        expiries.fold(sweep, Instant::min)
    }

    /// Lets the time pass: queued requests expire, the silent are forgotten.
    pub(super) fn tick(&mut self, now: Instant) {
        for slot in self.slots() {
            self.expire(slot, now);
        }
        let since_sweep = now.saturating_duration_since(self.last_sweep);
        if since_sweep < self.limits.heartbeat {
            return;
        }
        self.last_sweep = now;
        // Whoever slept for so long was not listening: what the others sent
        // meanwhile is to be read before they are judged.
        if since_sweep >= self.limits.heartbeat * 2 {
            return;
        }
        let silence = self.limits.heartbeat * self.limits.liveness;
        for id in self.workers.silent(silence, now) {
            self.lose(id, now);
        }
        for slot in self.clients.silent(self.limits.client_silence, now) {
            self.forget(slot, now);
        }
        self.clients.forget_answers(now);
    }

    /// Takes no new requests from now on; those that can be finished are.
    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = Some(now);
        let goodbyes: Vec<Envelope> = self.clients.iter_mut().map(goodbye).collect();
        for goodbye in goodbyes {
            self.publish(goodbye, now);
        }
        for slot in self.slots() {
            if self.workers_of(slot) == 0 {
                self.refuse_queued(slot, now);
            }
        }
    }

    /// Ends what is left of a drain: nobody waits for it any longer.
    pub(super) fn abandon(&mut self, now: Instant) {
        for slot in self.slots() {
            self.refuse_queued(slot, now);
        }
        let ids: Vec<TargetId> = self.workers.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.lose(id, now);
        }
    }

    /// Whether a drain is over: nothing is queued or in flight, and nothing is on
    /// its way from a client that has not heard of it. Who lives has by its next probe.
    pub(super) fn is_drained(&self, now: Instant) -> bool {
        let Some(since) = self.draining else {
            return false;
        };
        let patience = self.limits.heartbeat * 2;
        let heard = now.saturating_duration_since(since) >= patience
            || self.clients.iter().all(|client| !client.awaited);
        heard && self.is_idle()
    }

    /// Whether nothing is queued or in flight.
    fn is_idle(&self) -> bool {
        let mut services = self.services.iter();
        services.all(|(_, service)| service.dispatch.is_empty())
    }

    /// A number that changes whenever a worker comes, goes or stops.
    pub(super) fn membership(&self) -> u64 {
        self.membership
    }

    /// How many workers of a service take work.
    pub(super) fn workers_serving(&self, service: &str) -> usize {
        let slot = Name::new(Bytes::copy_from_slice(service.as_bytes())).ok();
        let slot = slot.and_then(|name| self.service_slots.get(&name));
        slot.map_or(0, |slot| self.workers_of(*slot))
    }

    /// The counters, and what is held now.
    pub(super) fn stats(&self) -> BrokerStats {
        let mut services: Vec<ServiceStats> = self
            .services
            .iter()
            .map(|(slot, service)| ServiceStats {
                name: service.name.as_str().to_owned(),
                workers: self.workers_of(slot),
                queued: service.dispatch.queued(),
                queued_bytes: service.dispatch.queued_bytes(),
            })
            .collect();
        services.sort_by(|left, right| left.name.cmp(&right.name));
        let workers = self.workers.iter().map(|(id, worker)| WorkerStats {
            name: worker.name.clone(),
            service: self.services[worker.service].name.as_str().to_owned(),
            credit: worker.credit,
            in_flight: self.services[worker.service].dispatch.in_flight(id),
            handled: worker.handled,
            stopping: worker.stopped,
        });
        BrokerStats {
            services,
            workers: workers.collect(),
            clients: self.clients.len(),
            ..self.counters.clone()
        }
    }
}

/// What front and back share: whom to tell what.
impl Core {
    /// Hands out what can be handed out of a service's queue.
    fn hand_out(&mut self, service: usize, now: Instant) {
        self.expire(service, now);
        while let Some((id, _, job)) = self.services[service].dispatch.poll() {
            let mut envelope = job.item.envelope.clone();
            let expires = job.expires;
            let Some(worker) = self.workers.get(id) else {
                continue;
            };
            envelope.control.epoch = worker.epoch;
            envelope.control.time_left =
                expires.map(|expires| expires.saturating_duration_since(now));
            let identity = worker.identity.clone();
            self.hand(identity, envelope, now);
        }
    }

    fn expire(&mut self, service: usize, now: Instant) {
        for (_, job) in self.services[service].dispatch.expire(now) {
            let status = match job.item.may_have_run {
                true => Status::DEADLINE_PASSED,
                false => Status::EXPIRED,
            };
            self.end(&job.item, status, now);
        }
    }

    /// Answers everything that is queued for a service: it will not be handed out.
    fn refuse_queued(&mut self, service: usize, now: Instant) {
        for (_, job) in self.services[service].dispatch.drain_queued() {
            let status = match job.item.may_have_run {
                true => Status::WORKER_LOST,
                false => Status::STOPPING,
            };
            self.end(&job.item, status, now);
        }
    }

    /// Ends a request that was taken on with an error of the broker's own.
    fn end(&mut self, request: &Request, status: Status, now: Instant) {
        let control = &request.envelope.control;
        if let Some(client) = self.clients.get_mut(request.client) {
            client.requests.remove(&control.id.counter);
        }
        if !status.is_rejection() {
            // How it would have been answered is not known: whoever may ask again may run it again.
            self.clients
                .remember(request.client, control.id.counter, None, now);
        }
        self.refuse(request.client, control.clone(), status, now);
    }

    /// Answers what a client sent with an error of the broker's own.
    fn refuse(&mut self, client: usize, control: Control, status: Status, now: Instant) {
        self.counters.refused.count(status);
        let answer = Answer::status(status);
        self.answer(client, reply(&control, Kind::Error, &answer), &answer, now);
    }

    /// Publishes a response or an error under the client's next number.
    fn answer(&mut self, client: usize, mut control: Control, answer: &Answer, now: Instant) {
        let Some(client) = self.clients.get_mut(client) else {
            return;
        };
        client.sequence += 1;
        control.sequence = client.sequence;
        let envelope = Envelope {
            topic: client.topic.clone(),
            control,
            headers: answer.headers.clone(),
            payload: answer.payload.clone(),
        };
        self.publish(envelope, now);
    }

    fn publish(&mut self, mut envelope: Envelope, now: Instant) {
        envelope.control.epoch = self.epoch;
        envelope.control.stamp = self.clock.stamp(now);
        self.outputs.push_back(Output::Publish(envelope.encode()));
    }

    fn hand(&mut self, identity: Bytes, mut envelope: Envelope, now: Instant) {
        envelope.control.stamp = self.clock.stamp(now);
        let mut message = envelope.encode();
        message.push_front(identity);
        self.outputs.push_back(Output::Hand(message));
    }

    fn workers_of(&self, service: usize) -> usize {
        let workers = self.workers.iter();
        workers
            .filter(|(_, worker)| worker.service == service && !worker.stopped)
            .count()
    }

    fn slots(&self) -> Vec<usize> {
        self.services.iter().map(|(slot, _)| slot).collect()
    }
}

/// The control frame of an answer. What names the request is the request's own.
fn reply(asked: &Control, kind: Kind, answer: &Answer) -> Control {
    Control {
        status: answer.status,
        codec: answer.codec,
        attempt: asked.attempt,
        method: asked.method.clone(),
        key: asked.key.clone(),
        ..Control::new(kind, asked.id, asked.service.clone())
    }
}

fn goodbye(client: &mut Client) -> Envelope {
    client.awaited = true;
    let id = RequestId {
        nonce: client.nonce,
        counter: 0,
    };
    let control = Control {
        sequence: client.sequence,
        ..Control::new(Kind::Goodbye, id, Name::default())
    };
    Envelope::bare(client.topic.clone(), control)
}
