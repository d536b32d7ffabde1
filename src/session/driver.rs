//! Drives a link to its end: writes, reads while nobody receives, heartbeats.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::alarm::Alarm;
use super::heartbeat::{self, Due, Heartbeat};
use super::inproc::Joined;
use super::link::Wired;
use super::patience::Patience;
use super::stall::Stall;
use super::{Link, Settings};
use crate::error::LinkError;
use crate::options::ConnectionOptions;
use crate::zmtp::Command;

/// Drives a link until it ends, however it ends, and tells the port.
///
/// Dropping it ends the link as well. It is a future by hand, as each link at rest
/// keeps one, and an async function would hold some of it twice.
pub(super) struct Driver<'a> {
    turns: Turns<'a>,
    /// The port knows of the end.
    told: bool,
}

impl<'a> Driver<'a> {
    pub(super) fn new(link: &'a Link, settings: &'a Settings) -> Self {
        Self {
            turns: Turns::new(link, settings),
            told: false,
        }
    }

    fn tell(&mut self, reason: &LinkError) {
        self.told = true;
        match &self.turns {
            Turns::Wired(WiredTurns { link, .. }) => {
                let unwritten = link.sever();
                link.port.detach(link.pipe, unwritten, reason);
            }
            Turns::Joined(link) => {
                let unwritten = link.sever();
                link.port.detach(link.pipe, unwritten, reason);
            }
        }
    }
}

impl Future for Driver<'_> {
    type Output = LinkError;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<LinkError> {
        let reason = ready!(self.turns.poll(context));
        self.tell(&reason);
        Poll::Ready(reason)
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(&LinkError::RuntimeGone);
        }
    }
}

/// The turns of a driver, until the link ends.
pub(super) enum Turns<'a> {
    Wired(WiredTurns<'a>),
    Joined(&'a Joined),
}

impl<'a> Turns<'a> {
    pub(super) fn new(link: &'a Link, settings: &'a Settings) -> Self {
        match link {
            Link::Wired(wired) => Self::Wired(WiredTurns::new(wired, settings)),
            Link::Joined(joined) => Self::Joined(joined),
        }
    }

    /// One turn. Ready when the link has ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<LinkError> {
        match self {
            Self::Wired(turns) => turns.poll(context),
            Self::Joined(joined) => joined.poll(context),
        }
    }
}

/// The turns over a wire.
pub(super) struct WiredTurns<'a> {
    link: &'a Wired,
    /// There has been a turn.
    begun: bool,
    pulse: Pulse<'a>,
    stall: Stall,
    patience: Patience,
}

impl<'a> WiredTurns<'a> {
    fn new(link: &'a Wired, settings: &'a Settings) -> Self {
        Self {
            link,
            begun: false,
            pulse: Pulse::new(link, &settings.connection),
            stall: Stall::new(settings),
            patience: Patience::default(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<LinkError> {
        if !std::mem::replace(&mut self.begun, true) {
            // What came with the handshake is decoded, and the wire's waker set.
            self.link.read();
        }
        let ended = self.look(context);
        if ended.is_pending() && self.patience.poll(self.link, context).is_ready() {
            return Poll::Ready(LinkError::OutOfBudget);
        }
        ended
    }

    /// Every step may have been the reason for the wake-up, so each is looked at.
    fn look(&mut self, context: &mut Context<'_>) -> Poll<LinkError> {
        let link = self.link;
        link.register_driver(context.waker());
        if link.port.claim_readable(link.pipe) {
            link.read();
        }
        if let Some(reason) = link.failure() {
            return Poll::Ready(ended(link, reason));
        }
        if self.pulse.poll(link, context).is_ready() {
            // The last look at the wire may have found the peer gone.
            let reason = link.failure().unwrap_or(LinkError::Silent);
            return Poll::Ready(ended(link, reason));
        }
        match link.poll_flush() {
            Poll::Ready(Ok(())) if link.is_finishing() && link.port.is_drained(link.pipe) => {
                // The peer reads to the end of what was written and closes; its
                // closing is read as any other.
                let _ = link.poll_shutdown();
            }
            Poll::Ready(Err(reason)) => return Poll::Ready(ended(link, reason)),
            // Behind the PING, for which nothing is kept either.
            Poll::Ready(Ok(())) if std::mem::take(&mut self.pulse.beaten) => link.shed(),
            Poll::Ready(Ok(())) => {}
            Poll::Pending => {
                if self.stall.poll(link.intake(), context).is_ready() {
                    return Poll::Ready(LinkError::Stalled);
                }
            }
        }
        Poll::Pending
    }
}

/// Takes what a peer that went has left on the wire, and gives one that is left what its wire takes.
fn ended(link: &Wired, reason: LinkError) -> LinkError {
    match reason {
        LinkError::Io(_) | LinkError::ClosedByPeer => link.read_rest(),
        LinkError::ClosedHere => {
            let _ = link.poll_flush();
        }
        _ => {}
    }
    reason
}

/// The heartbeat, and its alarm, which is set to when something is due.
struct Pulse<'a> {
    heartbeat: Heartbeat<'a>,
    /// What our PINGs say of us.
    time_to_live: u16,
    alarm: Alarm,
    /// It was time for something, after which the link may give back memory.
    beaten: bool,
}

impl<'a> Pulse<'a> {
    fn new(link: &Wired, options: &'a ConnectionOptions) -> Self {
        // PINGs are of 3.1; to a peer of 3.0 they would be noise (H07).
        let asks = link.version >= (3, 1);
        let mut pulse = Self {
            heartbeat: Heartbeat::new(Instant::now(), options, asks),
            time_to_live: heartbeat::time_to_live(options),
            alarm: Alarm::new(link.bell()),
            beaten: false,
        };
        pulse.arm();
        pulse
    }

    fn arm(&mut self) {
        self.alarm.set(self.heartbeat.next());
    }

    /// Ready when the peer is dead.
    fn poll(&mut self, link: &Wired, context: &mut Context<'_>) -> Poll<()> {
        if let Some(deciseconds) = link.take_promise() {
            self.heartbeat.promise(Instant::now(), deciseconds);
            self.arm();
        }
        loop {
            ready!(self.alarm.poll(context));
            let now = Instant::now();
            let mut due = self.heartbeat.look(now, link.signs());
            if due == Due::Cut {
                // What the kernel holds is a sign of life too: whoever was to read
                // it may not have had its turn.
                link.read();
                due = self.heartbeat.look(now, link.signs());
            }
            match due {
                Due::Cut => return Poll::Ready(()),
                Due::Ping => self.ping(link),
                Due::Nothing => {}
            }
            self.beaten = true;
            self.arm();
        }
    }

    fn ping(&self, link: &Wired) {
        let ping = Command::Ping {
            ttl_deciseconds: self.time_to_live,
            context: [][..].into(),
        };
        link.asks();
        link.port
            .command(link.pipe, &mut |octets| ping.encode(octets));
    }
}
