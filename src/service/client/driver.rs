//! The task of a client: reads the responses, keeps the links, watches the clock.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use tokio::task::yield_now;

use super::shared::{Core, Link, Shared};
use crate::discovery::{Freshness, Instance, View, Watch};
use crate::endpoint::Endpoint;
use crate::message::Message;
use crate::options::Options;
use crate::service::ambient::{Alarm, IDLE};
use crate::service::call::PeerId;
use crate::service::envelope::{ClientId, Envelope};
use crate::socket::{Event, Monitor, Push, Sub};

/// How many messages are taken in one turn.
const BATCH: usize = 256;

/// How long what was pushed may be written when the client closes.
const LINGER: Duration = Duration::from_secs(1);

/// The task and what only it touches.
pub(super) struct Driver {
    shared: Arc<Shared>,
    watch: Watch,
    view: View,
    sub: Sub,
    sub_events: Monitor,
    /// The events of each PUSH, with its instance and generation.
    push_events: SelectAll<BoxStream<'static, (PeerId, u64, Event)>>,
    push_options: Options,
    messages: Vec<Message>,
    /// The last number given to an instance or a PUSH.
    number: u64,
    alarm: Alarm,
}

/// What woke the task.
enum Woken {
    Messages,
    Link(PeerId, u64, Event),
    Subscribed(Endpoint),
    View(View),
    Nothing,
}

/// What a turn finds to do.
enum Work {
    /// The time of something has come.
    Due,
    /// These links are to be made anew, and those ended.
    Links(Vec<PeerId>, Vec<PeerId>),
    None {
        /// The client is.
        open: bool,
    },
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, watch: Watch, id: &ClientId, window: u32) -> Self {
        let options = Options::default()
            // The service layer's own window is what bounds these.
            .send_high_water_mark(
                usize::try_from(window)
                    .unwrap_or(usize::MAX)
                    .saturating_add(1_000),
            )
            .send_high_water_mark_bytes(usize::MAX >> 1)
            .receive_high_water_mark(10_000)
            .receive_high_water_mark_bytes(64 << 20)
            .reconnect(Duration::from_millis(50), Duration::from_secs(1))
            .linger(Duration::ZERO);
        let mut sub = Sub::of(options.clone());
        sub.attend();
        let sub_events = sub.monitor();
        sub.subscribe(id.topic().clone());
        Self {
            shared,
            view: View::default(),
            watch,
            sub,
            sub_events,
            push_events: SelectAll::new(),
            push_options: options,
            messages: Vec::with_capacity(BATCH),
            number: 0,
            alarm: Alarm::new(),
        }
    }

    /// Takes turns: what came, what is due, then the links that it takes.
    pub(super) async fn run(mut self) {
        // The first view is there already: who calls at once is not kept waiting for it.
        if let Some(Some(view)) = self.watch.next().now_or_never() {
            self.view = view;
            self.reconcile();
        }
        while self.turn() {
            match self.woken().await {
                Woken::Messages => self.read_and_let_follow().await,
                Woken::Link(peer, generation, event) => self.link_event(peer, generation, &event),
                Woken::Subscribed(endpoint) => self.subscribed(&endpoint),
                Woken::View(view) => {
                    self.view = view;
                    self.reconcile();
                }
                Woken::Nothing => {}
            }
        }
        self.close().await;
    }

    /// Does what is due, makes the links that are wanted, and sets the alarm for when it is to be
    /// done again. Returns whether the client is open.
    fn turn(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut looks_at_clock = true;
        loop {
            let alarm = &mut self.alarm;
            let work = shared.with(|core, now| {
                let due = core.calls.next_timeout();
                if looks_at_clock && due.is_some_and(|due| due <= now) {
                    return Work::Due;
                }
                if !core.broken.is_empty() || !core.forgotten.is_empty() {
                    let broken = std::mem::take(&mut core.broken);
                    return Work::Links(broken, std::mem::take(&mut core.forgotten));
                }
                core.scheduled = Some(alarm.set(due.unwrap_or(now + IDLE)));
                Work::None { open: !core.closed }
            });
            match work {
                Work::Due => {
                    looks_at_clock = false;
                    // What has come must count before what has not.
                    self.read_all();
                    shared.with(|core, now| core.calls.handle_timeout(now));
                }
                Work::Links(broken, forgotten) => {
                    broken.into_iter().for_each(|peer| self.renew(peer));
                    if !forgotten.is_empty() {
                        forgotten.into_iter().for_each(|peer| self.forget(peer));
                        // One that left and came back is another one now.
                        self.reconcile();
                    }
                }
                Work::None { open } => return open,
            }
        }
    }

    /// Waits for what happens next. Cancel safe: what was received stays in `messages`.
    async fn woken(&mut self) -> Woken {
        let links = !self.push_events.is_empty();
        let (sub, messages) = (&mut self.sub, &mut self.messages);
        tokio::select! {
            // Nobody else has this socket: it is open as long as this is.
            Ok(_) = poll_fn(|context| sub.poll_recv_many(context, messages, BATCH)) => Woken::Messages,
            Some((peer, generation, event)) = self.push_events.next(), if links => {
                Woken::Link(peer, generation, event)
            }
            Some(event) = self.sub_events.next() => match event {
                Event::Connected { endpoint, .. } => Woken::Subscribed(endpoint),
                _ => Woken::Nothing,
            },
            Some(view) = self.watch.next() => Woken::View(view),
            () = self.shared.woken() => Woken::Nothing,
            // The turn has something to do.
            () = self.alarm.rings() => Woken::Nothing,
        }
    }

    /// Reads what came, and lets callers who have their answers make other requests: those to
    /// one instance share writes.
    async fn read_and_let_follow(&mut self) {
        let several = self.messages.len() > 1;
        self.read(Core::expect_requests);
        if several {
            yield_now().await;
            self.shared.with(|core, _| core.expect_no_requests());
        }
    }

    fn read(&mut self, then: impl FnOnce(&mut Core)) {
        let messages = &mut self.messages;
        self.shared.with(|core, now| {
            core.expect_no_requests();
            for message in messages.drain(..) {
                let control = message.frames().get(1).cloned().unwrap_or_default();
                match Envelope::decode(message) {
                    Ok(envelope) => core.receive(envelope, now),
                    Err(error) => core.calls.unreadable(error, &control),
                }
            }
            then(core);
        });
    }

    /// Reads what is there without waiting.
    fn read_all(&mut self) {
        // A flood must not keep the clock from being looked at for ever.
        for _ in 0..64 * BATCH {
            match self.sub.try_recv() {
                Ok(message) => self.messages.push(message),
                Err(_) => break,
            }
        }
        self.read(Core::expect_no_requests);
    }

    fn link_event(&mut self, peer: PeerId, generation: u64, event: &Event) {
        let current = |core: &Core| {
            let link = core.links.get(&peer);
            link.is_some_and(|link| link.generation == generation)
        };
        match event {
            Event::Connected { .. } => self.shared.with(|core, now| {
                if current(core) {
                    if let Some(link) = core.links.get_mut(&peer) {
                        link.up = true;
                    }
                    core.calls.link_up(peer, now);
                }
            }),
            Event::Disconnected { .. } => {
                // The answers that came before the cut are on another link.
                self.read_all();
                self.shared.with(|core, now| {
                    if current(core) {
                        if let Some(link) = core.links.get_mut(&peer) {
                            link.up = false;
                        }
                        core.calls.link_cut(peer, now);
                    }
                });
            }
            _ => {}
        }
    }

    /// The way back from an instance was made: a probe may now be answered.
    fn subscribed(&self, endpoint: &Endpoint) {
        self.shared.with(|core, now| {
            let Core { links, calls, .. } = core;
            for (peer, link) in links {
                if link.up && link.instance.responses == *endpoint {
                    calls.way_back(*peer, now);
                }
            }
        });
    }

    /// Brings the links in line with the view.
    fn reconcile(&mut self) {
        let view = self.view.clone();
        let known: Vec<Instance> = self.shared.with(|core, now| {
            let Core { links, calls, .. } = core;
            for (peer, link) in links.iter_mut() {
                if !link.leaving && !view.instances.contains(&link.instance) {
                    link.leaving = true;
                    calls.remove_peer(*peer, now);
                }
            }
            links.values().map(|link| link.instance.clone()).collect()
        });
        for instance in view.instances {
            if !known.contains(&instance) {
                self.add(instance);
            }
        }
        let live = view.freshness == Freshness::Live;
        self.shared.with(|core, _| core.calls.set_live(live));
    }

    fn add(&mut self, instance: Instance) {
        self.number += 1;
        let peer = PeerId(self.number);
        if let Err(error) = self.sub.connect(&instance.responses) {
            tracing::error!(%error, endpoint = %instance.responses, "an instance cannot be dialled");
            return;
        }
        let Some((push, generation)) = self.dial(peer, &instance.requests) else {
            self.sub.disconnect(&instance.responses);
            return;
        };
        let name = Bytes::from(instance.requests.to_string());
        let link = Link {
            instance,
            push,
            generation,
            up: false,
            leaving: false,
            answered: 0,
        };
        self.shared.with(|core, now| {
            core.links.insert(peer, link);
            core.calls.add_peer(peer, name, now);
        });
    }

    /// Replaces the PUSH of an instance, and with it all that was not written.
    fn renew(&mut self, peer: PeerId) {
        let shared = Arc::clone(&self.shared);
        let requests = shared.with(|core, _| {
            let link = core.links.get(&peer)?;
            Some(link.instance.requests.clone())
        });
        let Some((push, generation)) = requests.and_then(|requests| self.dial(peer, &requests))
        else {
            return;
        };
        shared.with(|core, _| {
            if let Some(link) = core.links.get_mut(&peer) {
                link.push = push;
                link.generation = generation;
                link.up = false;
            }
        });
    }

    fn dial(&mut self, peer: PeerId, requests: &Endpoint) -> Option<(Push, u64)> {
        let push = Push::of(self.push_options.clone());
        let events = push.monitor();
        if let Err(error) = push.connect(requests) {
            tracing::error!(%error, endpoint = %requests, "an instance cannot be dialled");
            return None;
        }
        self.number += 1;
        let generation = self.number;
        let tagged = events.map(move |event| (peer, generation, event));
        self.push_events.push(tagged.boxed());
        Some((push, generation))
    }

    fn forget(&self, peer: PeerId) {
        let link = self.shared.with(|core, _| core.links.remove(&peer));
        if let Some(link) = link {
            self.sub.disconnect(&link.instance.responses);
        }
    }

    async fn close(mut self) {
        // An instance that goes meanwhile is noticed by who reads.
        self.sub.rest();
        let links = self.shared.with(|core, _| std::mem::take(&mut core.links));
        let closing = links.into_values().map(|link| link.push.close(LINGER));
        futures::future::join_all(closing).await;
        self.sub.clone().close(Duration::ZERO).await;
    }
}

impl Drop for Driver {
    /// Also where the runtime ends before the client does.
    fn drop(&mut self) {
        self.shared.close();
        self.shared.end();
    }
}
