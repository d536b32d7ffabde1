//! What the handles of a client and its task share, under one lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{ClientStats, InstanceStats};
use crate::discovery::Instance;
use crate::error::{SendError, TrySendError};
use crate::service::ambient::now;
use crate::service::call::{Calls, Ended, Output, PeerId, Submission};
use crate::service::envelope::Envelope;
use crate::service::headers::Headers;
use crate::service::outcome::{Rejected, Response};
use crate::service::wire::RequestId;
use crate::socket::Push;

/// How many ends of pushes may wait to be looked at before further pushes wait.
const UNREAD: usize = 65_536;

/// A client, but for its task and what keeps it alive.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    /// Wakes the task: there is something for it in the core.
    wake: Notify,
    /// Room in the window, in messages and in octets.
    window: Arc<Semaphore>,
    window_octets: Arc<Semaphore>,
    most_octets: u32,
    /// Room for ends that nobody has looked at.
    unread: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

/// What is behind the lock. Held for as long as a request takes to encode, never across an await.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) calls: Calls<Owner>,
    pub(super) links: FxHashMap<PeerId, Link>,
    /// Links that the task has to make anew.
    pub(super) broken: Vec<PeerId>,
    /// Links that the task has to end.
    pub(super) forgotten: Vec<PeerId>,
    /// Links that have answered calls when the task read last.
    answering: Vec<PeerId>,
    /// The ends of pushes that nobody has looked at yet.
    unread: VecDeque<(Response, OwnedSemaphorePermit)>,
    readers: Vec<Waker>,
    /// When the task will look again of itself.
    pub(super) scheduled: Option<Instant>,
    pub(super) closed: bool,
}

/// The link to an instance.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) instance: Instance,
    pub(super) push: Push,
    /// Tells the events of this PUSH from those of the one before.
    pub(super) generation: u64,
    pub(super) up: bool,
    /// It is gone from the view.
    pub(super) leaving: bool,
    /// Calls that it has answered lately, whose callers may make others.
    pub(super) answered: usize,
}

/// Who gets the end of a call.
#[derive(Debug)]
pub(super) enum Owner {
    Call(oneshot::Sender<Response>, Room),
    Push(OwnedSemaphorePermit, Room),
}

/// A place in the window, given back when the call has ended.
#[derive(Debug)]
pub(super) struct Room {
    _message: OwnedSemaphorePermit,
    _octets: OwnedSemaphorePermit,
}

impl Shared {
    pub(super) fn new(calls: Calls<Owner>, window: u32, window_octets: u32) -> Self {
        let permits = |limit: u32| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            core: Mutex::new(Core {
                calls,
                links: FxHashMap::default(),
                broken: Vec::new(),
                forgotten: Vec::new(),
                answering: Vec::new(),
                unread: VecDeque::new(),
                readers: Vec::new(),
                scheduled: None,
                closed: false,
            }),
            wake: Notify::new(),
            window: permits(window),
            window_octets: permits(window_octets),
            most_octets: window_octets,
            unread: Arc::new(Semaphore::new(UNREAD)),
            ended: watch::Sender::new(false),
        }
    }

    /// Waits for room in the window; `None`: the client is closed.
    pub(super) async fn room(&self, octets: usize) -> Option<Room> {
        // A request larger than the window has it alone.
        let octets = u32::try_from(octets)
            .unwrap_or(u32::MAX)
            .min(self.most_octets);
        let message = Arc::clone(&self.window).acquire_owned().await.ok()?;
        let octets = Arc::clone(&self.window_octets).acquire_many_owned(octets);
        Some(Room {
            _message: message,
            _octets: octets.await.ok()?,
        })
    }

    /// Waits while too many ends are unread; `None`: the client is closed.
    pub(super) async fn room_unread(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.unread).acquire_owned().await.ok()
    }

    /// Submits a request and pushes it if it can go now. `None`: the client is closed.
    pub(super) fn submit(&self, submission: Submission, owner: Owner) -> Option<RequestId> {
        self.with(|core, now| (!core.closed).then(|| core.calls.submit(submission, owner, now)))
    }

    pub(super) fn cancel(&self, id: RequestId) {
        self.with(|core, _| core.calls.cancel(id.counter));
    }

    /// Mutates the machine and does what follows, as far as it needs no task.
    pub(super) fn with<R>(&self, mutate: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let now = now();
        let mut core = self.core.lock();
        let result = mutate(&mut core, now);
        core.drain(now);
        let due = core.calls.next_timeout();
        let sooner = due.is_some_and(|due| core.scheduled.is_none_or(|scheduled| due < scheduled));
        let work = sooner || core.closed || !core.broken.is_empty() || !core.forgotten.is_empty();
        drop(core);
        if work {
            self.wake.notify_one();
        }
        result
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn close(&self) {
        for room in [&self.window, &self.window_octets, &self.unread] {
            room.close();
        }
        self.with(|core, _| {
            if !core.closed {
                core.closed = true;
                core.calls.close();
            }
        });
    }

    /// The task has ended.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits for the end of the task.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender is here: it cannot be gone.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    pub(super) fn poll_response(&self, context: &mut Context<'_>) -> Poll<Option<Response>> {
        let mut core = self.core.lock();
        if let Some((response, _)) = core.unread.pop_front() {
            return Poll::Ready(Some(response));
        }
        if core.closed {
            return Poll::Ready(None);
        }
        let known = core
            .readers
            .iter()
            .any(|waker| waker.will_wake(context.waker()));
        if !known {
            core.readers.push(context.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn stats(&self) -> ClientStats {
        let core = self.core.lock();
        let counts = core.calls.counts();
        let mut links: Vec<_> = core.links.iter().collect();
        links.sort_unstable_by_key(|(peer, _)| **peer);
        let instances = links.into_iter().map(|(peer, link)| {
            let (in_flight, up) = core.calls.load(*peer);
            InstanceStats {
                instance: link.instance.clone(),
                up,
                in_flight,
            }
        });
        ClientStats {
            outstanding: core.calls.outstanding(),
            instances: instances.collect(),
            submitted: counts.submitted,
            succeeded: counts.succeeded,
            failed: counts.failed,
            rejected: counts.rejected,
            unknown: counts.unknown,
            cancelled: counts.cancelled,
            repeated: counts.repeated,
            late: counts.late,
            ignored: counts.ignored,
            gaps: counts.gaps,
        }
    }
}

impl Core {
    /// Reads a message of an instance.
    pub(super) fn receive(&mut self, envelope: Envelope, now: Instant) {
        let Some(peer) = self.calls.receive(envelope, now) else {
            return;
        };
        if let Some(link) = self.links.get_mut(&peer) {
            if link.answered == 0 {
                self.answering.push(peer);
            }
            link.answered += 1;
        }
    }

    /// Whose calls have ended are about to make others.
    pub(super) fn expect_requests(&mut self) {
        for peer in &self.answering {
            if let Some(link) = self.links.get_mut(peer) {
                link.push.expect_answers(std::mem::take(&mut link.answered));
            }
        }
    }

    /// Who had an answer has made another request by now, or makes none.
    pub(super) fn expect_no_requests(&mut self) {
        for peer in self.answering.drain(..) {
            if let Some(link) = self.links.get_mut(&peer) {
                link.answered = 0;
                link.push.expect_no_answers();
            }
        }
    }

    /// Does all that the machine wants done.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.calls.poll(now) {
            match output {
                Output::Send {
                    peer,
                    message,
                    request,
                } => {
                    let Some(link) = self.links.get(&peer) else {
                        continue;
                    };
                    // A probe that waits for its link would only come late.
                    if request.is_none() && !link.up {
                        continue;
                    }
                    let sent = link.push.try_send(message);
                    if let (Err(error), Some(counter)) = (sent, request) {
                        self.unsent(peer, counter, &error, now);
                    }
                }
                Output::Reconnect(peer) => {
                    if let Some(link) = self.links.get_mut(&peer) {
                        link.up = false;
                    }
                    self.broken.push(peer);
                }
                Output::Forget(peer) => self.forgotten.push(peer),
                Output::End(ended) => self.end(ended),
            }
        }
    }

    fn unsent(&mut self, peer: PeerId, counter: u64, error: &TrySendError, now: Instant) {
        match error {
            TrySendError::Refused(SendError::TooLarge(_)) => {
                self.calls.reject(counter, Rejected::Malformed);
            }
            _ => self.calls.not_sent(peer, counter, now),
        }
    }

    fn end(&mut self, ended: Ended<Owner>) {
        let response = Response {
            id: ended.id,
            method: ended.method.as_str().to_owned(),
            key: ended.key.as_bytes().clone(),
            headers: Headers::decode(&ended.headers).unwrap_or_default(),
            outcome: ended.outcome,
        };
        match ended.owner {
            Owner::Call(caller, room) => {
                drop(room);
                // Who waits no longer has cancelled, which came a moment too late.
                let _ = caller.send(response);
            }
            Owner::Push(unread, room) => {
                drop(room);
                self.unread.push_back((response, unread));
                self.readers.drain(..).for_each(Waker::wake);
            }
        }
        if self.closed {
            self.readers.drain(..).for_each(Waker::wake);
        }
    }
}
