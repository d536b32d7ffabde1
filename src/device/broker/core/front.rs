//! The front: what clients send, and what they are told.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{Core, Request, reply};
use crate::message::Message;
use crate::service::dispatch::{Job, Ticket};
use crate::service::envelope::{ClientId, Envelope};
use crate::service::wire::{Control, Key, Kind, Name, Status, WireError, salvage};

/// The most octets of headers (0x0015 beyond).
const HEADERS: usize = 8 << 10;

/// Requests up to so many octets are copied out of the buffer they were read
/// into, which they would pin as long as they are here.
const COPIED: usize = 4 << 10;

/// What a request costs beyond its octets, by and large.
const OVERHEAD: usize = 512;

impl Core {
    /// Takes a message that a client pushed.
    pub(in crate::device::broker) fn front(&mut self, message: Message, now: Instant) {
        let (topic, control) = (message.first().clone(), message.frames().get(1).cloned());
        let envelope = match Envelope::decode(message) {
            Ok(envelope) => envelope,
            Err(error) => return self.front_malformed(&topic, control, error, now),
        };
        if envelope.topic.is_empty() {
            self.counters.ignored += 1;
            return;
        }
        let nonce = envelope.control.id.nonce;
        match envelope.control.kind {
            Kind::Request | Kind::Probe => {
                let Some(client) = self.clients.heard(&envelope.topic, nonce, now) else {
                    self.counters.ignored += 1;
                    return;
                };
                if envelope.control.kind == Kind::Probe {
                    self.probed(client, &envelope, now);
                } else {
                    self.requested(client, envelope, now);
                }
            }
            Kind::Cancel => self.cancelled(&envelope, now),
            Kind::Goodbye => {
                if let Some(client) = self.clients.find(&envelope.topic, nonce) {
                    self.forget(client, now);
                }
            }
            _ => self.counters.ignored += 1,
        }
    }

    /// Tells the sender of what cannot be read, if it can be told at all.
    fn front_malformed(
        &mut self,
        topic: &Bytes,
        control: Option<Bytes>,
        error: WireError,
        now: Instant,
    ) {
        self.counters.ignored += 1;
        let id = control.as_ref().and_then(salvage);
        let Some((kind, id)) = id.filter(|_| is_client(topic)) else {
            return;
        };
        let status = match error {
            WireError::Version(_) => Status::VERSION_MISMATCH,
            _ => Status::MALFORMED,
        };
        let control = Control::new(Kind::Error, id, Name::default());
        let client = self.clients.find(topic, id.nonce);
        match client.filter(|_| kind == Kind::Request) {
            Some(client) => self.refuse(client, control, status, now),
            // Neither probes nor strangers have their answers numbered.
            None => {
                self.counters.refused.count(status);
                let error = Control { status, ..control };
                self.publish(Envelope::bare(topic.clone(), error), now);
            }
        }
    }

    /// Answers a probe: where the service is known, with a hello. What answers
    /// probes is not numbered.
    fn probed(&mut self, slot: usize, probe: &Envelope, now: Instant) {
        let stamp = self.clock.stamp(now);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        // A probe waits nowhere for long: it sets the clocks right.
        client.transit.spent(stamp, probe.control.stamp);
        client.awaited = false;
        let sequence = client.sequence;
        let id = probe.control.id;
        let name = probe.control.service.clone();
        let service = self.service_slots.get(&name).copied();
        let answer = match service {
            _ if self.draining.is_some() => Control {
                sequence,
                ..Control::new(Kind::Goodbye, id, name)
            },
            Some(service) => Control {
                sequence,
                window: self.credit_of(service),
                ..Control::new(Kind::Hello, id, name)
            },
            None => Control {
                status: Status::NO_SUCH_SERVICE,
                ..Control::new(Kind::Error, id, name)
            },
        };
        self.publish(Envelope::bare(probe.topic.clone(), answer), now);
    }

    /// How many requests for a service are taken before it is overloaded.
    fn credit_of(&self, service: usize) -> u32 {
        let workers = self.workers.iter().map(|(_, worker)| worker);
        let workers = workers.filter(|worker| worker.service == service && !worker.stopped);
        let credit: usize = workers.map(|worker| worker.credit).sum();
        u32::try_from(credit.saturating_add(self.limits.queue_messages)).unwrap_or(u32::MAX)
    }

    fn requested(&mut self, slot: usize, mut envelope: Envelope, now: Instant) {
        let stamp = self.clock.stamp(now);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let control = &mut envelope.control;
        let spent = client.transit.spent(stamp, control.stamp);
        control.time_left = control.time_left.map(|left| left.saturating_sub(spent));
        let counter = control.id.counter;
        if ![0, self.epoch].contains(&control.epoch) {
            // It was meant for another life; the client learns that from the next hello.
            self.counters.fenced += 1;
            return;
        }
        if client.requests.contains_key(&counter) {
            // It runs once, and is answered once, whoever asked twice.
            self.counters.repeats += 1;
            return;
        }
        if self.repeated(slot, &envelope.control, now) {
            self.counters.repeats += 1;
            return;
        }
        let service = match self.admit(&envelope) {
            Ok(service) => service,
            Err(status) => return self.refuse(slot, envelope.control, status, now),
        };
        envelope = detached(&envelope, &self.services[service].name);
        envelope.control.hops -= 1;
        let left = envelope.control.time_left;
        let job = Job {
            key: envelope.control.key.some().cloned(),
            size: size(&envelope),
            // What is too far away to say never comes.
            expires: left.and_then(|left| now.checked_add(left)),
            item: Request {
                client: slot,
                envelope,
                may_have_run: false,
            },
        };
        match self.services[service].dispatch.submit(job) {
            Ok(ticket) => {
                self.counters.accepted += 1;
                if let Some(client) = self.clients.get_mut(slot) {
                    client.requests.insert(counter, (service, ticket));
                }
                self.hand_out(service, now);
            }
            Err(job) => {
                let control = job.item.envelope.control;
                self.refuse(slot, control, Status::OVERLOADED, now);
            }
        }
    }

    /// Whether a request was answered already and must not run again. Then it is
    /// given its answer once more, if it is idempotent, and ignored otherwise.
    fn repeated(&mut self, slot: usize, control: &Control, now: Instant) -> bool {
        let Some(known) = self.clients.recall(slot, control.id.counter) else {
            return false;
        };
        let Some(answer) = known.cloned() else {
            // Running it again does no harm, and there is no other way to an answer.
            return !control.flags.idempotent;
        };
        if control.flags.idempotent {
            let kind = match answer.status {
                Status::OK => Kind::Response,
                _ => Kind::Error,
            };
            self.answer(slot, reply(control, kind, &answer), &answer, now);
        }
        true
    }

    /// The service of a request, or why it is refused.
    fn admit(&self, envelope: &Envelope) -> Result<usize, Status> {
        let control = &envelope.control;
        if self.draining.is_some() {
            return Err(Status::STOPPING);
        }
        if control.hops == 0 {
            return Err(Status::TOO_MANY_HOPS);
        }
        if envelope.headers.len() > HEADERS {
            return Err(Status::MALFORMED);
        }
        if control.time_left == Some(Duration::ZERO) {
            return Err(Status::EXPIRED);
        }
        let slot = self.service_slots.get(&control.service);
        slot.copied().ok_or(Status::NO_SUCH_SERVICE)
    }

    fn cancelled(&mut self, cancel: &Envelope, now: Instant) {
        let id = cancel.control.id;
        let Some(slot) = self.clients.find(&cancel.topic, id.nonce) else {
            return;
        };
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if let Some((service, ticket)) = client.requests.get(&id.counter).copied() {
            client.requests.remove(&id.counter);
            self.clients.remember(slot, id.counter, None, now);
            self.withdraw(service, ticket, now);
            self.hand_out(service, now);
        }
    }

    /// Takes a request off its queue, or back from its worker.
    fn withdraw(&mut self, service: usize, ticket: Ticket, now: Instant) {
        let Some((holder, job)) = self.services[service].dispatch.cancel(ticket) else {
            return;
        };
        self.counters.cancelled += 1;
        let Some(id) = holder else { return };
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let Envelope { topic, control, .. } = job.item.envelope;
        let cancel = Control {
            epoch: worker.epoch,
            method: control.method,
            key: control.key,
            ..Control::new(Kind::Cancel, control.id, control.service)
        };
        let identity = worker.identity.clone();
        self.hand(identity, Envelope::bare(topic, cancel), now);
        self.retire(id);
    }

    pub(super) fn forget(&mut self, client: usize, now: Instant) {
        let Some(client) = self.clients.remove(client) else {
            return;
        };
        let mut requests: Vec<(usize, Ticket)> = client.requests.into_values().collect();
        requests.sort_unstable();
        for (service, ticket) in &requests {
            self.withdraw(*service, *ticket, now);
        }
        requests.dedup_by_key(|(service, _)| *service);
        for (service, _) in requests {
            self.hand_out(service, now);
        }
    }
}

fn size(envelope: &Envelope) -> usize {
    OVERHEAD
        + envelope.headers.len()
        + envelope.payload.len()
        + envelope.control.key.as_bytes().len()
}

/// The same request in memory of its own, where it is small.
fn detached(envelope: &Envelope, service: &Name) -> Envelope {
    let control = &envelope.control;
    let method = control.method.as_bytes();
    let parts = [
        &envelope.topic,
        method,
        control.key.as_bytes(),
        &envelope.headers,
        &envelope.payload,
    ];
    let total: usize = parts.iter().map(|part| part.len()).sum();
    if total > COPIED {
        return envelope.clone();
    }
    let mut copy = BytesMut::with_capacity(total);
    parts.iter().for_each(|part| copy.extend_from_slice(part));
    let mut copy = copy.freeze();
    let [topic, method, key, headers, payload] = parts.map(|part| copy.split_to(part.len()));
    Envelope {
        topic,
        control: Control {
            service: service.clone(),
            method: Name::new(method).unwrap_or_default(),
            key: Key::new(key).unwrap_or_default(),
            ..control.clone()
        },
        headers,
        payload,
    }
}

fn is_client(topic: &Bytes) -> bool {
    ClientId::from_topic(topic).is_some()
}
