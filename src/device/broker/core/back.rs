//! The back: what workers send, and what becomes of them.

use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;

use super::workers::Worker;
use super::{Core, Request, Service, reply};
use crate::message::Message;
use crate::service::dispatch::{Choice, Config, Dispatch, TargetId};
use crate::service::envelope::Envelope;
use crate::service::window::Answer;
use crate::service::wire::{Control, Kind, Name, RequestId, Status};

/// The most octets of a hello's headers.
const HEADERS: usize = 8 << 10;

/// The most octets of a worker's name.
const NAME: usize = 255;

/// A map of text to text nests once; what nests deeper is not read.
const NESTING: usize = 8;

/// What a worker's hello may say in its headers.
#[derive(Deserialize)]
struct HelloHeaders {
    name: Option<String>,
}

impl Core {
    /// Takes a message of a worker; its first frame is the identity of the link.
    pub(in crate::device::broker) fn back(&mut self, message: Message, now: Instant) {
        let (identity, rest) = message.split_first();
        let envelope = rest.and_then(|rest| Envelope::decode(rest).ok());
        let Some(envelope) = envelope else {
            self.counters.ignored += 1;
            return;
        };
        if envelope.control.kind == Kind::Hello {
            return self.greeted(identity, envelope, now);
        }
        let epoch = envelope.control.epoch;
        let known = self.workers.by_identity(&identity).and_then(|id| {
            let worker = self.workers.get_mut(id)?;
            (worker.epoch == epoch).then(|| {
                worker.last_heard = now;
                id
            })
        });
        let Some(id) = known else {
            // Whoever said goodbye and was let go says it once more: no answer.
            if envelope.control.kind != Kind::Goodbye {
                self.counters.fenced += 1;
                self.dismiss(identity, epoch, now);
            }
            return;
        };
        match envelope.control.kind {
            Kind::Response | Kind::Error => self.answered(id, envelope, now),
            Kind::Goodbye => {
                self.stop(id, now);
                self.retire(id);
            }
            _ => self.counters.ignored += 1,
        }
    }

    /// The link of a worker is cut, or does not take what is sent to it.
    pub(in crate::device::broker) fn disconnected(&mut self, identity: &Bytes, now: Instant) {
        if let Some(id) = self.workers.by_identity(identity) {
            self.lose(id, now);
        }
    }

    fn greeted(&mut self, identity: Bytes, hello: Envelope, now: Instant) {
        let (epoch, credit) = (hello.control.epoch, hello.control.window as usize);
        let credit = credit.min(self.limits.credit);
        let by_link = self.workers.by_identity(&identity);
        let by_epoch = self.workers.by_epoch(epoch);
        if let (Some(id), true) = (by_link, by_link == by_epoch)
            && let Some(worker) = self.workers.get_mut(id)
            && self.services[worker.service].name == hello.control.service
        {
            worker.last_heard = now;
            worker.credit = credit;
            let service = worker.service;
            self.services[service].dispatch.set_credit(id, credit);
            self.greet(identity, &hello, now);
            return self.hand_out(service, now);
        }
        // Another epoch on the link, or the epoch on another link: what was
        // registered under either is over.
        for id in [by_link, by_epoch].into_iter().flatten() {
            self.lose(id, now);
        }
        if epoch == 0 || self.workers.is_fenced(epoch) {
            self.counters.fenced += 1;
            return self.dismiss(identity, epoch, now);
        }
        self.register(identity, &hello, credit, now);
    }

    fn register(&mut self, identity: Bytes, hello: &Envelope, credit: usize, now: Instant) {
        let room = self.workers.len() < self.limits.workers;
        let service = room
            .then(|| self.service_slot(&hello.control.service))
            .flatten();
        let Some(service) = service else {
            self.counters.ignored += 1;
            return self.dismiss(identity, hello.control.epoch, now);
        };
        let epoch = hello.control.epoch;
        let name = name_of(&hello.headers).unwrap_or_else(|| format!("worker-{epoch:016x}"));
        let dispatch_name = name.clone();
        let id = self.workers.add(Worker {
            identity: Bytes::copy_from_slice(&identity),
            epoch,
            name,
            service,
            credit,
            last_heard: now,
            stopped: false,
            handled: 0,
        });
        self.membership += 1;
        let dispatch = &mut self.services[service].dispatch;
        dispatch.add_target(id, dispatch_name.as_bytes(), credit);
        self.greet(identity, hello, now);
        self.hand_out(service, now);
    }

    /// The slot of a service that a worker announces. `None` where it is one too many.
    fn service_slot(&mut self, name: &Name) -> Option<usize> {
        if let Some(slot) = self.service_slots.get(name) {
            return Some(*slot);
        }
        if self.services.len() >= self.limits.services {
            let unused = |core: &Self, slot: usize| {
                let mut workers = core.workers.iter();
                let served = workers.any(|(_, worker)| worker.service == slot);
                !served && core.services[slot].dispatch.is_empty()
            };
            let slot = self.slots().into_iter().find(|slot| unused(self, *slot))?;
            self.service_slots.remove(&self.services.remove(slot).name);
        }
        let name = name.detached();
        let config = Config {
            messages: self.limits.queue_messages,
            bytes: self.limits.queue_bytes,
            per_key_in_flight: usize::MAX,
            choice: Choice::LeastOutstanding,
        };
        let dispatch = Dispatch::new(config);
        let slot = self.services.insert(Service {
            name: name.clone(),
            dispatch,
        });
        self.service_slots.insert(name, slot);
        Some(slot)
    }

    fn answered(&mut self, id: TargetId, answer: Envelope, now: Instant) {
        let request = answer.control.id;
        let slot = self.clients.find(&answer.topic, request.nonce);
        let client = slot.and_then(|slot| self.clients.get_mut(slot));
        let place = client.and_then(|client| client.requests.get(&request.counter).copied());
        let stopping = answer.control.status == Status::STOPPING;
        if stopping {
            self.stop(id, now);
        }
        let job = place.and_then(|(service, ticket)| {
            let job = self.services[service].dispatch.complete(id, ticket)?;
            Some((service, ticket, job))
        });
        let Some((service, ticket, job)) = job else {
            self.counters.late += 1;
            return self.retire(id);
        };
        if stopping {
            // It was never run, so another may run it, whatever it is.
            self.counters.sent_again += 1;
            self.services[service].dispatch.resubmit(ticket, job);
        } else {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.handled += 1;
            }
            self.counters.answered += 1;
            self.deliver(&job.item, answer, now);
        }
        self.hand_out(service, now);
        self.retire(id);
    }

    /// Gives a worker no more work.
    fn stop(&mut self, id: TargetId, now: Instant) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        if std::mem::replace(&mut worker.stopped, true) {
            return;
        }
        let service = worker.service;
        self.membership += 1;
        self.services[service].dispatch.stop_target(id);
        self.hand_out(service, now);
    }

    /// Forgets a worker that said goodbye and has answered everything.
    pub(super) fn retire(&mut self, id: TargetId) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let dispatch = &mut self.services[worker.service].dispatch;
        if worker.stopped && dispatch.in_flight(id) == 0 {
            dispatch.remove_target(id);
            self.workers.remove(id);
            self.membership += 1;
        }
    }

    /// Fences a worker. What it had and may run twice goes to another, before
    /// newer work of the same key; the rest is answered at once.
    pub(super) fn lose(&mut self, id: TargetId, now: Instant) {
        let Some(worker) = self.workers.remove(id) else {
            return;
        };
        self.membership += 1;
        let dispatch = &mut self.services[worker.service].dispatch;
        let mut unknown = Vec::new();
        for (ticket, mut job) in dispatch.remove_target(id) {
            let control = &mut job.item.envelope.control;
            if control.flags.idempotent {
                control.attempt = control.attempt.saturating_add(1);
                job.item.may_have_run = true;
                self.counters.sent_again += 1;
                dispatch.resubmit(ticket, job);
            } else {
                unknown.push(job.item);
            }
        }
        for request in unknown {
            self.end(&request, Status::WORKER_LOST, now);
        }
        if self.draining.is_some() && self.workers_of(worker.service) == 0 {
            self.refuse_queued(worker.service, now);
        }
        self.hand_out(worker.service, now);
    }

    /// Publishes a worker's answer to the client that asked, and remembers it
    /// unless it says that nothing was executed. What names the request is the
    /// request's own, whatever the worker made of it.
    fn deliver(&mut self, request: &Request, said: Envelope, now: Instant) {
        let asked = &request.envelope.control;
        let kind = said.control.kind;
        let answer = Answer {
            status: said.control.status,
            codec: said.control.codec,
            headers: said.headers,
            payload: said.payload,
        };
        let counter = asked.id.counter;
        if let Some(client) = self.clients.get_mut(request.client) {
            client.requests.remove(&counter);
        }
        if !answer.status.is_rejection() {
            let kept = asked.flags.idempotent.then_some(&answer);
            self.clients.remember(request.client, counter, kept, now);
        }
        self.answer(request.client, reply(asked, kind, &answer), &answer, now);
    }

    /// Answers a worker's hello with the broker's own.
    fn greet(&mut self, identity: Bytes, hello: &Envelope, now: Instant) {
        let control = &hello.control;
        let greeting = Control {
            epoch: self.epoch,
            ..Control::new(Kind::Hello, control.id, control.service.clone())
        };
        self.hand(identity, Envelope::bare(Bytes::new(), greeting), now);
    }

    /// Tells a link that what it said was said under an epoch that does not count.
    fn dismiss(&mut self, identity: Bytes, epoch: u64, now: Instant) {
        let id = RequestId {
            nonce: 0,
            counter: 0,
        };
        let goodbye = Control {
            epoch,
            ..Control::new(Kind::Goodbye, id, Name::default())
        };
        self.hand(identity, Envelope::bare(Bytes::new(), goodbye), now);
    }
}

/// What a worker calls itself, if its headers can be read and say so.
fn name_of(headers: &[u8]) -> Option<String> {
    if headers.len() > HEADERS {
        return None;
    }
    let mut reader = rmp_serde::Deserializer::from_read_ref(headers);
    reader.set_max_depth(NESTING);
    let name = HelloHeaders::deserialize(&mut reader).ok()?.name?;
    (1..=NAME).contains(&name.len()).then_some(name)
}
