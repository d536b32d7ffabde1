//! What the public types hold: binds, connects, and closes the socket with its last clone.

use std::sync::Arc;
use std::task::Waker;

use tokio::runtime;
use tokio::sync::watch;

use super::closing::Closing;
use super::core::Core;
use super::ledger;
use super::monitor::{Event, Monitor};
use super::peer::PeerInfo;
use super::stats::Stats;
use crate::endpoint::{Endpoint, IntoEndpoint};
use crate::error::{BindError, ConnectError, LinkError};
use crate::message::Message;
use crate::options::{Identity, Options, SocketType};
use crate::pipe::Ticket;
use crate::session::{Bound, Listener, Phase, PipeId, Writer, adopt, bind, dial, listen};

/// A share of a socket, with a place in each queue for its `Stream` and `Sink`.
pub(super) struct Handle {
    owner: Arc<Owner>,
    pub(super) receiving: Ticket,
    pub(super) sending: Ticket,
    /// What the `Sink` took and could not send at once.
    pub(super) unsent: Option<Message>,
    /// The `Sink` was given something since it was flushed.
    pub(super) fed: bool,
}

/// Its drop is the drop of the last handle.
struct Owner {
    core: Arc<Core>,
}

/// The sessions of a socket, by what was bound or connected.
#[derive(Default)]
pub(super) struct Endpoints {
    sessions: Vec<Session>,
    /// Where the first session was started: it ends what a dropped socket leaves.
    pub(super) runtime: Option<runtime::Handle>,
}

struct Session {
    endpoint: Endpoint,
    /// The pipe of a connected endpoint; `None` for a bound one.
    pipe: Option<PipeId>,
    phase: watch::Sender<Phase>,
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::of(self.owner.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.rest();
        if self.sending.is_waiting() {
            self.owner.core.leave_senders(&mut self.sending);
        }
        self.flush_fed();
    }
}

impl Handle {
    pub(super) fn new(socket_type: SocketType, options: Options) -> Self {
        let core = Core::new(socket_type, options);
        ledger::enter(&core);
        Self::of(Arc::new(Owner { core }))
    }

    fn of(owner: Arc<Owner>) -> Self {
        let (receiving, sending) = (Ticket::standing(), Ticket::standing());
        Self {
            owner,
            receiving,
            sending,
            unsent: None,
            fed: false,
        }
    }

    /// Its `Stream` is polled whenever it wakes, and until it waits, or else it [rests](Self::rest)
    /// before long: what else can be read by then is read by nobody.
    pub(super) fn attend(&mut self) {
        self.rest();
        self.receiving = Ticket::attended();
    }

    /// Its `Stream` is not polled for now: others see to what it was woken for.
    pub(super) fn rest(&mut self) {
        if self.receiving.is_waiting() {
            self.owner.core.leave_receivers(&mut self.receiving);
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.owner.core
    }

    pub(super) async fn bind(&self, endpoint: impl IntoEndpoint) -> Result<Endpoint, BindError> {
        let endpoint = endpoint.into_endpoint()?;
        let core = self.core();
        if !endpoint.is_local() && !core.options.allow_plaintext {
            return Err(BindError::Plaintext(endpoint));
        }
        let runtime = runtime::Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let bound = bind(&endpoint, &core.settings).await;
        let (listener, bound) = bound.map_err(|source| BindError::Io { endpoint, source })?;
        self.start_listening(listener, bound, runtime)
    }

    pub(super) fn bind_listener(
        &self,
        socket: std::net::TcpListener,
    ) -> Result<Endpoint, BindError> {
        let core = self.core();
        let runtime = runtime::Handle::try_current().map_err(|_| BindError::NoRuntime)?;
        let (listener, bound) = adopt(socket, &core.settings).map_err(BindError::Adopt)?;
        if !bound.is_local() && !core.options.allow_plaintext {
            return Err(BindError::Plaintext(bound));
        }
        self.start_listening(listener, bound, runtime)
    }

    fn start_listening(
        &self,
        listener: Listener,
        bound: Endpoint,
        runtime: runtime::Handle,
    ) -> Result<Endpoint, BindError> {
        let core = self.core();
        core.timekeeper.prepare(core, &runtime);
        let (sender, phase) = watch::channel(Phase::Open);
        let endpoint = bound.clone();
        let mut wakers = Vec::new();
        let mut endpoints = core.endpoints.lock();
        if core.state.lock().phase != Phase::Open {
            return Err(BindError::Closed);
        }
        let work = Bound::new(
            core.clone(),
            bound.clone(),
            core.settings.clone(),
            core.connections.subscribe(),
        );
        // Said before anybody can be accepted.
        let listening = Event::Listening { endpoint };
        core.state.lock().monitors.emit(&listening, &mut wakers);
        runtime.spawn(listen(listener, work, phase));
        endpoints.add(
            Session {
                endpoint: bound.clone(),
                pipe: None,
                phase: sender,
            },
            runtime,
        );
        drop(endpoints);
        wakers.into_iter().for_each(Waker::wake);
        Ok(bound)
    }

    pub(super) fn connect(&self, endpoint: impl IntoEndpoint) -> Result<(), ConnectError> {
        self.connect_as(endpoint, None)
    }

    /// With the identity by which a ROUTER knows whoever is there.
    pub(super) fn connect_as(
        &self,
        endpoint: impl IntoEndpoint,
        identity: Option<&Identity>,
    ) -> Result<(), ConnectError> {
        let endpoint = endpoint.into_endpoint()?;
        if endpoint.is_wildcard() {
            return Err(ConnectError::Wildcard(endpoint));
        }
        let runtime = runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let core = self.core();
        core.timekeeper.prepare(core, &runtime);
        let (sender, phase) = watch::channel(Phase::Open);
        let mut endpoints = core.endpoints.lock();
        let mut state = core.state.lock();
        if state.phase != Phase::Open {
            return Err(ConnectError::Closed);
        }
        // The queue is there before the peer is (DL02, PS02).
        let pipe = state.add_pipe(Arc::new(endpoint.clone()), true, &core.options);
        state.pattern.expect(pipe.index);
        if let Some(identity) = identity
            && !state.assign(pipe.index, identity)
        {
            state.discard_outgoing(pipe.index);
            state.remove_if_done(pipe.index);
            return Err(ConnectError::IdentityTaken);
        }
        let mut waiting = state.senders.all();
        let dialled = endpoint.clone();
        let dialling = Event::Dialling { endpoint: dialled };
        state.monitors.emit(&dialling, &mut waiting);
        drop(state);
        let settings = core.settings.clone();
        runtime.spawn(dial(core.clone(), endpoint.clone(), pipe, settings, phase));
        endpoints.add(
            Session {
                endpoint,
                pipe: Some(pipe),
                phase: sender,
            },
            runtime,
        );
        drop(endpoints);
        waiting.into_iter().for_each(Waker::wake);
        Ok(())
    }

    pub(super) fn disconnect(&self, endpoint: &Endpoint) -> bool {
        let core = self.core();
        let Some(session) = core.endpoints.lock().remove(endpoint, true) else {
            return false;
        };
        let Some(id) = session.pipe else { return false };
        let link = {
            let mut state = core.state.lock();
            state.cancel_all(id);
            // From now on no message is for this peer, though its connection may still last.
            state.pattern.forget(id.index);
            state.pipe(id).and_then(|pipe| {
                pipe.kept = false;
                pipe.link.clone()
            })
        };
        match link {
            // Its driver gives up the pipe when the connection has ended.
            Some(link) => {
                link.flush_now(Writer::Flush);
                link.fail(LinkError::ClosedHere);
            }
            None => {
                let mut state = core.state.lock();
                if state.pipe(id).is_some_and(|pipe| pipe.link.is_none()) {
                    state.discard_outgoing(id.index);
                    state.remove_if_done(id.index);
                }
                // A request may have been in it, whose end is to be told.
                let waiting = state.receivers.all();
                drop(state);
                waiting.into_iter().for_each(Waker::wake);
            }
        }
        true
    }

    pub(super) fn unbind(&self, endpoint: &Endpoint) -> bool {
        let session = self.core().endpoints.lock().remove(endpoint, false);
        session.is_some()
    }

    pub(super) fn peers(&self) -> Vec<Arc<PeerInfo>> {
        self.core().state.lock().peers()
    }

    pub(super) fn stats(&self) -> Stats {
        self.core().state.lock().stats()
    }

    pub(super) fn monitor(&self) -> Monitor {
        let mut state = self.core().state.lock();
        let peers = state.peers();
        match state.phase {
            Phase::Open => state.monitors.add(peers),
            _ => Monitor::ended(peers),
        }
    }
}

impl Endpoints {
    fn add(&mut self, session: Session, runtime: runtime::Handle) {
        self.sessions.push(session);
        self.runtime.get_or_insert(runtime);
    }

    pub(super) fn phases(&self) -> Vec<watch::Sender<Phase>> {
        let phases = self.sessions.iter().map(|session| &session.phase);
        phases.cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.sessions.clear();
    }

    /// Forgets the session of a pipe that ended by itself.
    pub(super) fn give_up(&mut self, pipe: PipeId) {
        self.sessions.retain(|session| session.pipe != Some(pipe));
    }

    /// Takes a session out, which is told to end.
    fn remove(&mut self, endpoint: &Endpoint, connected: bool) -> Option<Session> {
        let position = self.sessions.iter().position(|session| {
            session.endpoint == *endpoint && session.pipe.is_some() == connected
        })?;
        let session = self.sessions.remove(position);
        session.phase.send_replace(Phase::Closed);
        Some(session)
    }
}

impl Drop for Owner {
    /// What is queued is written as far as the kernel takes it; the drivers
    /// have the linger for the rest, while their runtime lives.
    fn drop(&mut self) {
        if self.core.state.lock().phase != Phase::Open {
            return;
        }
        let closing = Closing::begin(&self.core);
        let runtime = self.core.endpoints.lock().runtime.take();
        if let Some(runtime) = runtime {
            // A runtime that is gone drops it, which ends what others drive.
            runtime.spawn(closing.run(self.core.options.linger));
        } else {
            self.core.end_monitors();
        }
    }
}
