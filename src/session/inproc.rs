//! Joins two sockets of this process: messages pass from one to the other as they are.
//!
//! ```text
//!  socket A ── pipe ──▶ Joined A ── port.accept ──▶ pipe ── socket B
//!  socket A ── pipe ◀── port.accept ── Joined B ◀── pipe ── socket B
//! ```
//!
//! Each end passes on what its own socket sends, from whichever task has the
//! occasion, and takes one socket's lock after the other, never both: that is
//! why a socket may be joined with itself. What the other socket has no room
//! for waits at the end, counted as unwritten, until that socket asks for it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use parking_lot::Mutex as LastingMutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time;

use super::expire;
use super::handshake::{introduce, local};
use super::port::{Attach, Left, PipeId, Port, Subscription, Taken, Writer};
use super::{Link, Settings};
use crate::context::Context as Owner;
use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::pipe::{Batch, Fate};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{AtomicWaker, Mutex};
use crate::transport::WireName;
use crate::zmtp::{Command, Decoder, Local, Peer};

/// What both ends speak.
pub(super) const VERSION: (u8, u8) = (3, 1);

/// Sockets that may wait for a listener to take them.
const BACKLOG: usize = 1_024;

/// Batches that a driver passes on in one turn.
const ROUNDS: usize = 16;

/// One end of a connection within the process.
pub(crate) struct Joined {
    pub(super) pipe: PipeId,
    pub(super) port: Arc<dyn Port>,
    outgoing: Mutex<Direction>,
    driver: AtomicWaker,
    /// What is queued is to be passed on, then the connection ends.
    finishing: AtomicBool,
    failure: Mutex<Option<LinkError>>,
}

/// From one end to the other. Its lock is taken before that of a socket, and
/// never with that of another direction.
struct Direction {
    /// `None` before the ends are joined and after the connection has ended.
    peer: Option<Arc<Joined>>,
    ended: bool,
    /// Taken from our socket, and not yet accepted by the other.
    batch: Batch,
}

/// How a round went.
#[derive(PartialEq)]
enum Step {
    /// Nothing waits.
    Done,
    /// A burst is let grow.
    Growing,
    /// The other socket has no room; it asks for the rest when it has.
    Stalled,
    /// There may be more.
    More,
    /// An answer has passed, which is all there is to say: nobody needs to look.
    Answered,
}

impl Joined {
    pub(super) fn new(port: &Arc<dyn Port>, pipe: PipeId) -> Arc<Self> {
        Arc::new(Self {
            pipe,
            port: port.clone(),
            outgoing: Mutex::new(Direction {
                peer: None,
                ended: false,
                batch: Batch::PLAIN,
            }),
            driver: AtomicWaker::new(),
            finishing: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    pub(super) fn wake(&self) {
        self.driver.wake();
    }

    pub(super) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn fail(&self, reason: LinkError) {
        self.failure.lock().get_or_insert(reason);
        self.wake();
    }

    /// Passes on what waits, from the task that made it wait. The rest is left to the driver.
    pub(super) fn flush_now(&self, asks: Writer) {
        let mut step = Step::More;
        if let Some(mut outgoing) = self.outgoing.try_lock() {
            step = self.pass_on(&mut outgoing, asks);
        }
        if step != Step::Answered || self.finishing.load(Ordering::Acquire) {
            self.wake();
        }
    }

    /// Has the other end pass on what it holds: there is room for it.
    pub(super) fn read(&self) {
        let peer = self.outgoing.lock().peer.clone();
        let Some(peer) = peer else { return };
        let mut outgoing = peer.outgoing.lock();
        peer.pass_on(&mut outgoing, Writer::Sender);
        drop(outgoing);
        peer.wake();
    }

    /// Gives up what was taken, and kept too long because the other socket has
    /// no room. Returns the time before which nothing else of it expires.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let batch = &mut self.outgoing.lock().batch;
        expire(batch, &*self.port, self.pipe, now);
        batch.earliest()
    }

    /// Passes on one batch, as far as the other socket has room.
    fn pass_on(&self, outgoing: &mut Direction, writer: Writer) -> Step {
        let Direction {
            peer: Some(peer),
            batch,
            ..
        } = outgoing
        else {
            return Step::Stalled;
        };
        if batch.is_empty() {
            match self.port.take(self.pipe, batch, writer) {
                Taken::Batch => {}
                Taken::Growing | Taken::Little | Taken::Waiting => return Step::Growing,
                Taken::Nothing => return Step::Done,
            }
        }
        if batch.is_timed() {
            let now = time::Instant::now().into_std();
            expire(batch, &*self.port, self.pipe, now);
        }
        let Batch::Plain(messages) = batch else {
            unreachable!("what stays in the process is not encoded")
        };
        let messages = messages.made();
        peer.obey(&messages.take_commands());
        let progress = peer.port.accept(peer.pipe, messages);
        let mut left = Left::Something;
        if progress.messages > 0 {
            left = self.port.written(self.pipe, progress, batch);
            batch.settle(Fate::Written);
        } else {
            self.port.writing(self.pipe, false);
        }
        match left {
            _ if !batch.is_empty() => Step::Stalled,
            Left::Nothing => Step::Answered,
            Left::Something | Left::Commands => Step::More,
        }
    }

    /// Does what the other end's commands ask: subscriptions alone travel here.
    fn obey(&self, commands: &[u8]) {
        if commands.is_empty() {
            return;
        }
        let mut input = BytesMut::from(commands);
        let mut decoder = Decoder::new(0, 0);
        loop {
            let subscription = match decoder.decode(&mut input, &mut Vec::new()) {
                Ok(Some(Command::Subscribe(topic))) => Subscription::Subscribe(topic),
                Ok(Some(Command::Cancel(topic))) => Subscription::Cancel(topic),
                Ok(Some(_)) => continue,
                Ok(None) => return,
                Err(error) => return self.fail(LinkError::Protocol(error.to_string())),
            };
            self.port.subscription(self.pipe, subscription);
        }
    }

    /// One turn of the driver. Ready when the connection has ended.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<LinkError> {
        self.driver.register(context.waker());
        if self.port.claim_readable(self.pipe) {
            self.read();
        }
        if let Some(reason) = self.failure.lock().clone() {
            return Poll::Ready(reason);
        }
        self.flush(context);
        if self.finishing.load(Ordering::Acquire) && self.port.is_drained(self.pipe) {
            return Poll::Ready(LinkError::ClosedHere);
        }
        Poll::Pending
    }

    fn flush(&self, context: &mut Context<'_>) {
        let mut outgoing = self.outgoing.lock();
        let mut asks = Writer::Driver;
        for _ in 0..ROUNDS {
            match self.pass_on(&mut outgoing, asks) {
                Step::More => asks = Writer::DriverAgain,
                Step::Stalled => return,
                Step::Growing => break,
                Step::Done | Step::Answered => return,
            }
        }
        context.waker().wake_by_ref();
    }

    /// Ends both directions. Returns what the other socket had no room for.
    pub(super) fn sever(&self) -> Batch {
        let mut outgoing = self.outgoing.lock();
        outgoing.ended = true;
        let peer = outgoing.peer.take();
        let none = outgoing.batch.another();
        let unwritten = std::mem::replace(&mut outgoing.batch, none);
        drop(outgoing);
        if let Some(peer) = peer {
            peer.outgoing.lock().peer = None;
            peer.fail(LinkError::ClosedByPeer);
        }
        unwritten
    }
}

/// Lets messages pass. One that has ended by now takes the other with it.
fn join(ours: &Arc<Joined>, theirs: &Arc<Joined>) {
    for (from, to) in [(ours, theirs), (theirs, ours)] {
        let mut outgoing = from.outgoing.lock();
        if outgoing.ended {
            drop(outgoing);
            to.fail(LinkError::ClosedByPeer);
        } else {
            outgoing.peer = Some(to.clone());
        }
    }
    ours.wake();
    theirs.wake();
}

/// Who listens, by context and name.
static NAMES: LazyLock<Names> = LazyLock::new(Names::default);

/// The id of a context, and a name in it.
type Name = (u64, String);

#[derive(Default)]
struct Names {
    /// Of the process: it lasts longer than a model's locks may.
    listeners: LastingMutex<HashMap<Name, mpsc::Sender<Offer>>>,
    /// Somebody listens since.
    bound: Notify,
}

/// A bound name. Dropping it frees the name.
pub(crate) struct Listener {
    name: Name,
    offers: mpsc::Receiver<Offer>,
}

/// A socket that wants to be joined.
pub(super) struct Offer {
    local: Local,
    wire: WireName,
    answer: oneshot::Sender<Result<(Half, Peer), LinkError>>,
}

/// The end of the socket that listens, which ends if it is never joined.
struct Half(Arc<Joined>);

impl Drop for Half {
    fn drop(&mut self) {
        if self.0.outgoing.lock().peer.is_none() {
            self.0.fail(LinkError::ClosedByPeer);
        }
    }
}

impl Listener {
    pub(super) fn bind(context: &Owner, name: &str) -> io::Result<Self> {
        let name = (context.id(), name.to_owned());
        let mut listeners = NAMES.listeners.lock();
        if listeners.contains_key(&name) {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        let (sender, offers) = mpsc::channel(BACKLOG);
        listeners.insert(name.clone(), sender);
        drop(listeners);
        NAMES.bound.notify_waiters();
        Ok(Self { name, offers })
    }

    /// The next socket that wants to be joined; `None` never comes while this lives.
    pub(super) async fn accept(&mut self) -> Option<Offer> {
        self.offers.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        NAMES.listeners.lock().remove(&self.name);
    }
}

impl Offer {
    /// Gives the socket that dialled its other end, once the listening one has a pipe for it.
    pub(super) fn accept(
        self,
        port: &Arc<dyn Port>,
        endpoint: &Arc<Endpoint>,
        local: Local,
    ) -> Result<Link, LinkError> {
        let (ours, theirs) = introduce(local, self.local);
        // Nobody has a pipe whom the other does not take.
        let attached = ours.and_then(|peer| {
            let theirs = theirs?;
            Ok((attach(port, None, endpoint, self.wire, &peer)?, theirs))
        });
        match attached {
            Ok(((link, joined), peer)) => {
                // Who has given up meanwhile drops it, which ends it.
                let _ = self.answer.send(Ok((Half(joined), peer)));
                Ok(link)
            }
            Err(reason) => {
                let _ = self.answer.send(Err(reason.clone()));
                Err(reason)
            }
        }
    }

    /// Turns the socket that dialled away. Returns the reason.
    pub(super) fn refuse(self, reason: &LinkError) -> LinkError {
        let _ = self.answer.send(Err(reason.clone()));
        reason.clone()
    }
}

/// Waits for somebody who listens under `name`, and joins the two sockets.
pub(super) async fn connect(
    port: &Arc<dyn Port>,
    endpoint: &Arc<Endpoint>,
    name: &str,
    pipe: PipeId,
    settings: &Settings,
) -> Result<Link, LinkError> {
    let (answer, answered) = oneshot::channel();
    let offers = listener(&(settings.context.id(), name.to_owned())).await;
    let wire = WireName::next();
    let offer = Offer {
        local: local(settings),
        wire,
        answer,
    };
    let gone = |_| LinkError::ClosedByPeer;
    offers
        .send(offer)
        .await
        .map_err(|_| LinkError::ClosedByPeer)?;
    let (half, peer) = answered.await.map_err(gone)??;
    let (link, ours) = attach(port, Some(pipe), endpoint, wire, &peer)?;
    join(&ours, &half.0);
    Ok(link)
}

/// Resolves when somebody listens under this name.
async fn listener(name: &Name) -> mpsc::Sender<Offer> {
    loop {
        let bound = NAMES.bound.notified();
        tokio::pin!(bound);
        bound.as_mut().enable();
        if let Some(offers) = NAMES.listeners.lock().get(name) {
            return offers.clone();
        }
        bound.await;
    }
}

/// Asks the socket for a pipe, and makes our end of the connection.
fn attach(
    port: &Arc<dyn Port>,
    pipe: Option<PipeId>,
    endpoint: &Arc<Endpoint>,
    wire: WireName,
    peer: &Peer,
) -> Result<(Link, Arc<Joined>), LinkError> {
    let attach = Attach {
        pipe,
        endpoint,
        address: "inproc",
        wire,
        credentials: None,
        peer,
    };
    let mut made = None;
    let link = port.attach(attach, &mut |pipe| {
        let joined = made.insert(Joined::new(port, pipe));
        Link::Joined(joined.clone())
    })?;
    let joined = made.expect("attach has made the link");
    Ok((link, joined))
}
