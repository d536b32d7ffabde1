//! Drives a link to its end: writes, reads while nobody receives, heartbeats.

use std::sync::Arc;
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
/// Dropping it ends the link as well. Each link at rest keeps one, and little in it: it is told the
/// settings at each turn, which must be those that it began with.
pub(super) struct Driver {
    turns: Turns,
}

impl Driver {
    pub(super) fn new(link: Link, settings: &Settings) -> Self {
        Self {
            turns: Turns::new(link, settings),
        }
    }

    /// One turn. Ready when the link has ended.
    pub(super) fn poll(
        &mut self,
        settings: &Settings,
        context: &mut Context<'_>,
    ) -> Poll<LinkError> {
        let reason = ready!(self.turns.poll(settings, context));
        self.end(&reason);
        Poll::Ready(reason)
    }

    /// Tells the port of the end, once.
    fn end(&mut self, reason: &LinkError) {
        match std::mem::replace(&mut self.turns, Turns::Over) {
            Turns::Wired(WiredTurns { link, .. }) => {
                let unwritten = link.sever();
                link.port.detach(link.pipe, unwritten, reason);
            }
            Turns::Joined(link) => {
                let unwritten = link.sever();
                link.port.detach(link.pipe, unwritten, reason);
            }
            Turns::Over => {}
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end(&LinkError::RuntimeGone);
    }
}

/// The turns of a driver, until the link ends.
pub(super) enum Turns {
    Wired(WiredTurns),
    Joined(Arc<Joined>),
    Over,
}

impl Turns {
    pub(super) fn new(link: Link, settings: &Settings) -> Self {
        match link {
            Link::Wired(wired) => Self::Wired(WiredTurns::new(wired, &settings.connection)),
            Link::Joined(joined) => Self::Joined(joined),
        }
    }

    /// One turn. Ready when the link has ended.
    pub(super) fn poll(
        &mut self,
        settings: &Settings,
        context: &mut Context<'_>,
    ) -> Poll<LinkError> {
        match self {
            Self::Wired(turns) => turns.poll(settings, context),
            Self::Joined(joined) => joined.poll(context),
            Self::Over => Poll::Pending,
        }
    }
}

/// The turns over a wire.
pub(super) struct WiredTurns {
    link: Arc<Wired>,
    heartbeat: Heartbeat,
    /// Set to when the heartbeat has something to do.
    alarm: Alarm,
    stall: Stall,
    patience: Patience,
    /// There has been a turn.
    begun: bool,
    /// It was time for something, after which the link may give back memory.
    beaten: bool,
}

impl WiredTurns {
    fn new(link: Arc<Wired>, options: &ConnectionOptions) -> Self {
        // PINGs are of 3.1; to a peer of 3.0 they would be noise (H07).
        let asks = link.version >= (3, 1);
        let mut turns = Self {
            heartbeat: Heartbeat::new(Instant::now(), options, asks),
            alarm: Alarm::new(),
            stall: Stall::default(),
            patience: Patience::default(),
            begun: false,
            beaten: false,
            link,
        };
        turns.arm(options);
        turns
    }

    fn arm(&mut self, options: &ConnectionOptions) {
        self.alarm.set(&self.link, self.heartbeat.next(options));
    }

    fn poll(&mut self, settings: &Settings, context: &mut Context<'_>) -> Poll<LinkError> {
        if !std::mem::replace(&mut self.begun, true) {
            // What came with the handshake is decoded, and the wire's waker set.
            self.link.read(false);
        }
        let ended = self.look(settings, context);
        if ended.is_pending() && self.patience.poll(&self.link, context).is_ready() {
            return Poll::Ready(LinkError::OutOfBudget);
        }
        ended
    }

    /// Every step may have been the reason for the wake-up, so each is looked at.
    fn look(&mut self, settings: &Settings, context: &mut Context<'_>) -> Poll<LinkError> {
        self.link.register_driver(context.waker());
        if self.link.port.claim_readable(self.link.pipe) {
            // For who is about to wait: it may have been late by no more than a look.
            self.link.read(true);
        }
        if let Some(reason) = self.link.failure() {
            return Poll::Ready(self.ended(context, reason));
        }
        if self.poll_pulse(&settings.connection, context).is_ready() {
            // The last look at the wire may have found the peer gone.
            let reason = self.link.failure().unwrap_or(LinkError::Silent);
            return Poll::Ready(self.ended(context, reason));
        }
        let link = &self.link;
        match link.poll_flush(context) {
            Poll::Ready(Ok(())) if link.is_finishing() && link.port.is_drained(link.pipe) => {
                // The peer reads to the end of what was written and closes; its
                // closing is read as any other.
                let _ = link.poll_shutdown(context);
            }
            Poll::Ready(Err(reason)) => return Poll::Ready(self.ended(context, reason)),
            // Behind the PING, for which nothing is kept either.
            Poll::Ready(Ok(())) if std::mem::take(&mut self.beaten) => link.shed(),
            Poll::Ready(Ok(())) => {}
            Poll::Pending => {
                if self.stall.poll(link.intake(), settings, context).is_ready() {
                    return Poll::Ready(LinkError::Stalled);
                }
            }
        }
        Poll::Pending
    }

    /// Takes what a peer that went has left on the wire, and gives one that is left what its wire takes.
    fn ended(&self, context: &mut Context<'_>, reason: LinkError) -> LinkError {
        match reason {
            LinkError::Io(_) | LinkError::ClosedByPeer => self.link.read_rest(),
            LinkError::ClosedHere => {
                let _ = self.link.poll_flush(context);
            }
            _ => {}
        }
        reason
    }

    /// Does what the heartbeat has to do. Ready when the peer is dead.
    fn poll_pulse(&mut self, options: &ConnectionOptions, context: &mut Context<'_>) -> Poll<()> {
        if let Some(deciseconds) = self.link.take_promise() {
            self.heartbeat.promise(Instant::now(), deciseconds);
            self.arm(options);
        }
        loop {
            ready!(self.alarm.poll(&*self.link, context));
            let now = Instant::now();
            let mut due = self.heartbeat.look(now, self.link.signs(), options);
            if due == Due::Cut {
                // What the kernel holds is a sign of life too: whoever was to read
                // it may not have had its turn.
                self.link.read(false);
                due = self.heartbeat.look(now, self.link.signs(), options);
            }
            match due {
                Due::Cut => return Poll::Ready(()),
                Due::Ping => self.ping(options),
                Due::Nothing => {}
            }
            self.beaten = true;
            self.arm(options);
        }
    }

    fn ping(&self, options: &ConnectionOptions) {
        let ping = Command::Ping {
            ttl_deciseconds: heartbeat::time_to_live(options),
            context: [][..].into(),
        };
        let link = &self.link;
        link.asks();
        link.port
            .command(link.pipe, &mut |octets| ping.encode(octets));
    }
}
