//! Drives a link to its end: writes, reads while nobody receives, heartbeats.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::sync::watch;
use tokio::time::Instant;

use super::Settings;
use super::alarm::Alarm;
use super::heartbeat::{self, Due, Heartbeat};
use super::link::Wired;
use super::patience::Patience;
use super::port::Phase;
use super::stall::Stall;
use crate::error::LinkError;
use crate::options::ConnectionOptions;
use crate::zmtp::Command;

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
    end.reason = tokio::select! {
        reason = run(link, settings) => reason,
        _ = phase.wait_for(|phase| *phase == Phase::Closed) => LinkError::ClosedHere,
    };
    end.reason.clone()
}

/// The turns of the driver, until the link ends by itself.
pub(super) async fn run(link: &Wired, settings: &Settings) -> LinkError {
    let mut pulse = Pulse::new(link, &settings.connection);
    let mut stall = Stall::new(settings);
    // What came with the handshake is decoded, and the wire's waker set.
    link.read();
    let mut patience = Patience::default();
    poll_fn(|context| {
        let ended = poll(link, &mut pulse, &mut stall, context);
        if ended.is_pending() && patience.poll(link, context).is_ready() {
            return Poll::Ready(LinkError::OutOfBudget);
        }
        ended
    })
    .await
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
    pulse: &mut Pulse,
    stall: &mut Stall,
    context: &mut Context<'_>,
) -> Poll<LinkError> {
    link.register_driver(context.waker());
    if link.port.claim_readable(link.pipe) {
        link.read();
    }
    if let Some(reason) = link.failure() {
        return Poll::Ready(ended(link, reason));
    }
    if pulse.poll(link, context).is_ready() {
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
        Poll::Ready(Ok(())) if std::mem::take(&mut pulse.beaten) => link.shed(),
        Poll::Ready(Ok(())) => {}
        Poll::Pending => {
            if stall.poll(link.intake(), context).is_ready() {
                return Poll::Ready(LinkError::Stalled);
            }
        }
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

/// The heartbeat, and its alarm, which is set to when something is due.
struct Pulse {
    heartbeat: Heartbeat,
    /// What our PINGs say of us.
    time_to_live: u16,
    alarm: Alarm,
    /// It was time for something, after which the link may give back memory.
    beaten: bool,
}

impl Pulse {
    fn new(link: &Wired, options: &ConnectionOptions) -> Self {
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
