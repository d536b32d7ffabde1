//! Drives a link to its end: writes, reads while nobody receives, heartbeats.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::Settings;
use super::link::Wired;
use super::port::Phase;
use crate::error::LinkError;
use crate::zmtp::Command;

/// Intervals of silence in a row, each begun with a PING, after which a peer is dead (H05).
const SILENT_INTERVALS: u32 = 2;

/// Runs the link until it ends, however it ends, and tells the port.
///
/// Dropping the future ends the link as well.
pub(super) async fn drive(
    link: &Wired,
    settings: &Settings,
    phase: &mut watch::Receiver<Phase>,
) -> LinkError {
    let mut end = End {
        link,
        reason: LinkError::RuntimeGone,
    };
    let heartbeat = settings
        .heartbeat_interval
        .filter(|_| link.version >= (3, 1));
    let mut heartbeat = heartbeat.map(Heartbeat::new);
    // What came with the handshake is decoded, and the wire's waker set.
    link.read();
    let mut patience = None;
    let run = poll_fn(|context| {
        let ended = poll(link, &mut heartbeat, context);
        if ended.is_pending() && poll_patience(link, &mut patience, context).is_ready() {
            return Poll::Ready(LinkError::OutOfBudget);
        }
        ended
    });
    end.reason = tokio::select! {
        reason = run => reason,
        _ = phase.wait_for(|phase| *phase == Phase::Closed) => LinkError::ClosedHere,
    };
    end.reason.clone()
}

/// Tells the port that the link ended, also when the runtime drops the driver.
struct End<'a> {
    link: &'a Wired,
    reason: LinkError,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let unwritten = self.link.sever();
        self.link
            .port
            .detach(self.link.pipe, unwritten, &self.reason);
    }
}

/// One turn. Every step may have been the reason for the wake-up, so each is looked at.
fn poll(
    link: &Wired,
    heartbeat: &mut Option<Heartbeat>,
    context: &mut Context<'_>,
) -> Poll<LinkError> {
    link.register_driver(context.waker());
    if link.port.claim_readable(link.pipe) {
        link.read();
    }
    if let Some(reason) = link.failure() {
        return Poll::Ready(ended(link, reason));
    }
    if let Some(heartbeat) = heartbeat
        && heartbeat.poll(link, context).is_ready()
    {
        return Poll::Ready(LinkError::Silent);
    }
    match link.poll_flush() {
        Poll::Ready(Ok(())) if link.is_finishing() && link.port.is_drained(link.pipe) => {
            // The peer reads to the end of what was written and closes; its
            // closing is read as any other.
            let _ = link.poll_shutdown();
        }
        Poll::Ready(Err(reason)) => return Poll::Ready(ended(link, reason)),
        Poll::Ready(Ok(())) | Poll::Pending => {}
    }
    Poll::Pending
}

/// Takes what a peer that went has left on the wire.
fn ended(link: &Wired, reason: LinkError) -> LinkError {
    if matches!(reason, LinkError::Io(_) | LinkError::ClosedByPeer) {
        link.read_rest();
    }
    reason
}

/// How long the rest of a message may have no place in the budget: what has
/// come of it has one, which others want.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for a link that has no place in the budget.
struct Patience {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    fn new(since: Instant) -> Self {
        Self {
            since,
            timer: Box::pin(sleep_until(since + PATIENCE)),
        }
    }
}

/// Ready when the link has had no place for long enough.
fn poll_patience(
    link: &Wired,
    patience: &mut Option<Patience>,
    context: &mut Context<'_>,
) -> Poll<()> {
    let Some(since) = link.starved() else {
        *patience = None;
        return Poll::Pending;
    };
    if patience.as_ref().is_none_or(|other| other.since != since) {
        *patience = Some(Patience::new(since));
    }
    let patience = patience.as_mut();
    patience.map_or(Poll::Pending, |patience| {
        patience.timer.as_mut().poll(context)
    })
}

/// Asks a peer for a sign of life, and counts the intervals without one.
struct Heartbeat {
    interval: Duration,
    timer: Pin<Box<Sleep>>,
    silent: u32,
}

impl Heartbeat {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            timer: Box::pin(sleep(interval)),
            silent: 0,
        }
    }

    /// Ready when the peer is dead.
    fn poll(&mut self, link: &Wired, context: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            self.timer.as_mut().reset(Instant::now() + self.interval);
            // A link that we have stopped reading cannot show a sign of life.
            let alive = link.take_heard() || link.port.is_paused(link.pipe);
            self.silent = if alive { 0 } else { self.silent + 1 };
            if self.silent >= SILENT_INTERVALS {
                return Poll::Ready(());
            }
            let ping = Command::Ping {
                ttl_deciseconds: self.time_to_live(),
                context: [][..].into(),
            };
            link.port
                .command(link.pipe, &mut |octets| ping.encode(octets));
        }
        Poll::Pending
    }

    /// How long the peer may wait for us: as long as we wait for it.
    fn time_to_live(&self) -> u16 {
        let deciseconds = (self.interval * (SILENT_INTERVALS + 1))
            .as_millis()
            .div_ceil(100);
        u16::try_from(deciseconds).unwrap_or(u16::MAX)
    }
}
