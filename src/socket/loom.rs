//! Models of what tasks on one socket pass to each other: wake-ups, room, budget, and the end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use ::loom::future::block_on;
use ::loom::{model, thread};
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::closing::Closing;
use super::core::Core;
use super::operations::Waiting;
use super::receipt::Sending;
use crate::context::{Context, GRANULE, Lease};
use crate::endpoint::Endpoint;
use crate::error::{LinkError, RecvError, SendError};
use crate::message::Message;
use crate::options::{Options, SocketType};
use crate::pipe::Batch;
use crate::session::{self, Attach, Link, Metadata, PipeId, Port, Taken, WireName, Writer};
use crate::zmtp::Peer;

/// A socket with one peer.
struct Stage {
    core: Arc<Core>,
    context: Context,
    link: Link,
    pipe: PipeId,
    wire: Option<DuplexStream>,
}

impl Stage {
    /// With a mark of one message, and a budget of two granules.
    fn new(ours: SocketType, theirs: SocketType, wire: bool) -> Self {
        Self::with_early(ours, theirs, wire, &[])
    }

    /// As [`Self::new`], with octets that have come on the wire.
    fn with_early(ours: SocketType, theirs: SocketType, wire: bool, early: &[u8]) -> Self {
        let context = Context::builder().budget(2 * GRANULE).build();
        let options = Options::default()
            .context(&context)
            .heartbeat_interval(None)
            .send_high_water_mark(1);
        let core = Core::new(ours, options);
        let port: Arc<dyn Port> = core.clone();
        let peer = Peer {
            version: (3, 1),
            socket_type: theirs,
            identity: None,
            properties: Metadata::default(),
        };
        let endpoint = Arc::new(Endpoint::Memory("model".into()));
        let attach = Attach {
            pipe: None,
            endpoint: &endpoint,
            address: "model",
            wire: WireName::Unnamed,
            credentials: None,
            peer: &peer,
        };
        let mut made = None;
        let link = port.attach(attach, &mut |pipe| {
            if wire {
                let (link, other) =
                    session::loom::wired(&port, pipe, &peer, early.into(), &core.settings);
                made = Some((pipe, Some(other)));
                return link;
            }
            made = Some((pipe, None));
            session::loom::joined(&port, pipe)
        });
        let link = link.expect("the socket is open");
        let (pipe, wire) = made.expect("attach has made the link");
        Self {
            core,
            context,
            link,
            pipe,
            wire,
        }
    }

    /// Receives, as the methods of a socket do.
    async fn recv(core: &Core) -> Result<Message, RecvError> {
        let mut waiting = Waiting::to_receive(core);
        poll_fn(|context| core.poll_recv(context, &mut waiting.ticket)).await
    }

    async fn send(core: &Core, message: Message) -> Result<(), SendError> {
        let mut waiting = Waiting::to_send(core);
        let mut message = Some(message);
        let sending = Sending::PLAIN;
        poll_fn(|context| core.poll_send_with(context, &mut message, &sending, &mut waiting.ticket))
            .await
    }

    fn deliver(core: &Core, pipe: PipeId, text: &'static str) {
        core.deliver(pipe, &mut vec![Message::from(text)]);
    }

    /// Writes what waits, as a driver does.
    fn write(core: &Core, pipe: PipeId) {
        let mut batch = Batch::ENCODED;
        while let Taken::Growing | Taken::Little | Taken::Waiting =
            core.take(pipe, &mut batch, Writer::Driver)
        {}
        if let Batch::Encoded(encoded) = &mut batch
            && let Some(encoded) = encoded.get_mut()
            && encoded.octets() > 0
        {
            let progress = encoded.advance(encoded.octets());
            core.written(pipe, progress, &mut batch);
        }
    }

    /// Runs with a task of its own beside this one.
    fn beside(&self, run: impl FnOnce(Arc<Core>, PipeId) + 'static) -> thread::JoinHandle<()> {
        let (core, pipe) = (self.core.clone(), self.pipe);
        thread::spawn(move || run(core, pipe))
    }
}

impl Drop for Stage {
    /// The link holds its socket, and the socket its link, until it is detached.
    fn drop(&mut self) {
        let nothing = Batch::ENCODED;
        self.core.detach(self.pipe, nothing, &LinkError::ClosedHere);
    }
}

/// Polls a future once, with a waker that wakes nobody, and drops it.
fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Gives back what a lease holds, from a task of its own.
fn gives_back(context: &Context, lease: Lease) -> thread::JoinHandle<()> {
    let context = context.clone();
    thread::spawn(move || {
        drop(lease);
        context.shared_budget().tell();
    })
}

/// Interleavings with at most two switches that no lock asks for, unless the environment says otherwise.
fn explore(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(run);
}

/// A6, A8: one message, two who wait for it, one of whom gives up at any moment.
#[test]
fn a_message_reaches_who_still_waits() {
    explore(|| {
        let stage = Stage::new(SocketType::Pull, SocketType::Push, false);
        let sender = stage.beside(|core, pipe| Stage::deliver(&core, pipe, "one"));
        let gives_up = stage.beside(|core, pipe| {
            // What it got after all goes to the other.
            if polled_once(Stage::recv(&core)).is_some() {
                Stage::deliver(&core, pipe, "one");
            }
        });
        let received = block_on(Stage::recv(&stage.core));
        assert_eq!(received.expect("it is open").first(), "one");
        sender.join().expect("it delivers");
        gives_up.join().expect("it gives up");
    });
}

/// A8: room for one message, two who wait for it, one of whom gives up at any moment.
#[test]
fn room_reaches_who_still_waits() {
    explore(|| {
        let stage = Stage::new(SocketType::Push, SocketType::Pull, false);
        assert!(stage.core.try_send("filler".into()).is_ok());
        let writer = stage.beside(|core, pipe| Stage::write(&core, pipe));
        let gives_up = stage.beside(|core, pipe| {
            if polled_once(Stage::send(&core, "given up".into())).is_some() {
                Stage::write(&core, pipe);
            }
        });
        let sent = block_on(Stage::send(&stage.core, "second".into()));
        assert!(sent.is_ok());
        writer.join().expect("it writes");
        gives_up.join().expect("it gives up");
    });
}

/// C10: nobody is left waiting on a socket that was closed, and nothing is accepted behind its back.
#[test]
fn who_waits_to_send_or_to_receive_learns_of_the_end() {
    explore(|| {
        let stage = Stage::new(SocketType::Push, SocketType::Pull, false);
        assert!(stage.core.try_send("filler".into()).is_ok());
        let closing = stage.beside(|core, _| drop(Closing::begin(&core)));
        let sent = block_on(Stage::send(&stage.core, "late".into()));
        assert!(matches!(sent, Err(SendError::Closed(_))), "{sent:?}");
        closing.join().expect("it closes");
    });
    explore(|| {
        let stage = Stage::new(SocketType::Pull, SocketType::Push, false);
        let closing = stage.beside(|core, _| drop(Closing::begin(&core)));
        let received = block_on(Stage::recv(&stage.core));
        assert!(matches!(received, Err(RecvError::Closed)));
        closing.join().expect("it closes");
    });
}

/// C2: a sender whom the budget refuses goes on when another gives back, at whatever moment.
#[test]
fn who_waits_for_the_budget_goes_on_when_it_is_free() {
    explore(|| {
        let stage = Stage::new(SocketType::Push, SocketType::Pull, false);
        let mut hog = stage.context.lease();
        assert!(hog.try_cover(2 * GRANULE));
        let giver = gives_back(&stage.context, hog);
        let sent = block_on(Stage::send(&stage.core, vec![0; 40 << 10].into()));
        assert!(sent.is_ok());
        giver.join().expect("it gives back");
    });
}

/// C2: a link that was left unread for want of budget is read on when others have given back,
/// also where what the first gave was not enough, and the second came meanwhile.
#[test]
fn who_is_left_unread_is_read_on_when_the_budget_is_free() {
    explore(|| {
        let stage = Stage::new(SocketType::Pull, SocketType::Push, false);
        let mut hogs = [stage.context.lease(), stage.context.lease()];
        hogs[0].cover(GRANULE);
        hogs[1].cover(2 * GRANULE);
        let message = Message::from(vec![0; 40 << 10]);
        stage.core.deliver(stage.pipe, &mut vec![message]);
        assert!(stage.core.is_paused(stage.pipe), "the budget is used up");
        let givers = hogs.map(|hog| gives_back(&stage.context, hog));
        for giver in givers {
            giver.join().expect("it gives back");
        }
        assert!(!stage.core.is_paused(stage.pipe), "nobody told it");
    });
}

/// C2: a link that finds no place in the budget, and one when it looks once more, is read on when
/// more comes.
#[test]
fn who_starves_for_a_moment_hears_of_what_comes() {
    // A frame of 64 KiB, of which 20 KiB have come.
    let mut early = vec![0x02, 0, 0, 0, 0, 0, 1, 0, 0];
    early.resize(20 << 10, 0);
    explore(move || {
        let mut stage = Stage::with_early(SocketType::Pull, SocketType::Push, true, &early);
        let mut hog = stage.context.lease();
        assert!(hog.try_cover(2 * GRANULE));
        let giver = gives_back(&stage.context, hog);
        stage.link.read(false);
        giver.join().expect("it gives back");
        if stage.core.claim_readable(stage.pipe) {
            stage.link.read(false);
        }
        let mut wire = stage.wire.take().expect("it is on a wire");
        let written = polled_once(wire.write(b"more"));
        assert!(written.is_some_and(|written| written.is_ok()));
        assert!(stage.core.claim_readable(stage.pipe), "nobody told it");
    });
}

/// A driver that goes to sleep misses neither that it is to finish nor that its link has failed.
fn a_driver_hears(wire: bool, tell: fn(&Link), wanted: &'static LinkError) {
    explore(move || {
        let stage = Stage::new(SocketType::Push, SocketType::Pull, wire);
        let link = stage.link.clone();
        let teller = thread::spawn(move || tell(&link));
        let ended = block_on(session::loom::drive(&stage.link, &stage.core.settings));
        assert_eq!(ended, *wanted);
        teller.join().expect("it tells");
    });
}

#[test]
fn a_driver_that_goes_to_sleep_hears_that_its_link_is_to_finish() {
    a_driver_hears(false, Link::finish, &LinkError::ClosedHere);
}

#[test]
fn a_driver_that_goes_to_sleep_hears_that_its_link_has_failed() {
    for wire in [false, true] {
        a_driver_hears(
            wire,
            |link| link.fail(LinkError::TooSlow),
            &LinkError::TooSlow,
        );
    }
}

/// What is queued while the driver goes to sleep is written, by it or by who sent it.
#[test]
fn a_message_that_is_sent_while_the_driver_goes_to_sleep_is_written() {
    explore(|| {
        let stage = Stage::new(SocketType::Push, SocketType::Pull, true);
        let sender = stage.beside(|core, _| {
            assert!(core.try_send("one".into()).is_ok());
        });
        let core = &stage.core;
        let mut driver = pin!(session::loom::drive(&stage.link, &core.settings));
        block_on(poll_fn(|context| {
            assert!(
                driver.as_mut().poll(context).is_pending(),
                "nothing ends it"
            );
            match core.state.lock().stats().sent.written {
                1 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        }));
        sender.join().expect("it sends");
    });
}
