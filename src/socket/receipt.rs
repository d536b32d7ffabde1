//! A send with terms of its own: how long the message may wait, and a receipt of what became of it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stats::Drops;
use crate::error::GivenUp;
use crate::options::Options;
use crate::pipe::{Fates, Mark, Slip, Tally, Wakeups};

/// What holds for one message alone.
///
/// ```
/// use std::time::Duration;
///
/// use pushsub::SendOptions;
///
/// let terms = SendOptions::default().time_to_live(Duration::from_millis(500));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendOptions {
    time_to_live: Option<Duration>,
}

impl SendOptions {
    /// How long the message may wait in the queues of this socket, from the
    /// moment when it is accepted to the first octet that is written, in place
    /// of [`Options::time_to_live`] and with the same meaning; [`Duration::MAX`] is
    /// for ever. Default: the socket's.
    #[must_use]
    pub fn time_to_live(mut self, limit: Duration) -> Self {
        self.time_to_live = Some(limit);
        self
    }
}

/// Tells what became of a message that was accepted.
///
/// Dropping it changes nothing: the message goes its way.
pub struct Receipt {
    tally: Arc<Tally>,
}

/// Every copy of a message was handed to the system whole; over inproc, to the other socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// How many copies there were: 1, or as many as peers for a publication,
    /// which is none where nobody has subscribed to it.
    pub copies: u64,
}

/// A copy of a message, or all of them, was not written and never will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given_up} of {copies} copies were not written: {reason}", given_up = dropped.total() + expired, copies = written + dropped.total() + expired)]
#[non_exhaustive]
pub struct NotWritten {
    /// Why the first that was given up was.
    pub reason: GivenUp,
    /// Copies handed to the system whole.
    pub written: u64,
    /// Copies given up, by reason.
    pub dropped: Drops,
    /// Copies that waited too long.
    pub expired: u64,
}

impl Receipt {
    /// Ends when every copy of the message is handed to the system whole, or
    /// given up. What the system holds, the peer may not have read yet: only
    /// an answer of the peer says that it has.
    ///
    /// A message waits for as long as its peer may come back, unless it has a
    /// time to live.
    ///
    /// # Errors
    ///
    /// See [`NotWritten`]; the socket goes on.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has changed nothing; another may be made.
    pub async fn written(&mut self) -> Result<Written, NotWritten> {
        let fates = poll_fn(|context| self.tally.poll(context)).await;
        let Some(reason) = fates.given_up.first().copied() else {
            let copies = fates.written;
            return Ok(Written { copies });
        };
        Err(NotWritten::of(reason, &fates))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receipt").finish_non_exhaustive()
    }
}

impl NotWritten {
    fn of(reason: GivenUp, fates: &Fates) -> Self {
        let mut outcome = Self {
            reason,
            written: fates.written,
            dropped: Drops::default(),
            expired: 0,
        };
        for given_up in &fates.given_up {
            *match given_up {
                GivenUp::Expired => &mut outcome.expired,
                GivenUp::Full => &mut outcome.dropped.full,
                GivenUp::Replaced => &mut outcome.dropped.replaced,
                GivenUp::Unroutable => &mut outcome.dropped.unroutable,
                GivenUp::Cut => &mut outcome.dropped.cut,
                GivenUp::Discarded | GivenUp::Closed => &mut outcome.dropped.discarded,
            } += 1;
        }
        outcome
    }
}

/// What a message is sent with, until it is accepted.
#[derive(Default)]
pub(super) struct Sending {
    time_to_live: Option<Duration>,
    tally: Option<Arc<Tally>>,
}

impl Sending {
    /// With nothing of its own.
    pub(super) const PLAIN: Self = Self {
        time_to_live: None,
        tally: None,
    };

    pub(super) fn new(options: SendOptions, wakeups: &Arc<Wakeups>) -> Self {
        Self {
            time_to_live: options.time_to_live,
            tally: Some(Tally::new(wakeups.clone())),
        }
    }

    /// The message was accepted.
    pub(super) fn into_receipt(self) -> Receipt {
        let tally = self.tally.expect("it was made with one");
        Receipt { tally }
    }

    /// The terms of a message that is accepted at this moment; `None` where it has none.
    #[inline]
    pub(super) fn terms(&self, options: &Options) -> Option<Terms<'_>> {
        let time_to_live = self.time_to_live.or(options.time_to_live);
        if time_to_live.is_none() && self.tally.is_none() {
            return None;
        }
        Some(Terms {
            expires: time_to_live.and_then(expiry),
            tally: self.tally.as_ref(),
        })
    }
}

/// The end of a time that begins at this moment. One beyond what the clock can say never comes.
pub(super) fn expiry(time_to_live: Duration) -> Option<Instant> {
    now().checked_add(time_to_live)
}

/// The time by the runtime's clock, which a test may hold.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What goes with each copy of a message into its queue.
pub(super) struct Terms<'a> {
    pub(super) expires: Option<Instant>,
    tally: Option<&'a Arc<Tally>>,
}

impl Terms<'_> {
    /// For one copy.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            expires: self.expires,
            slip: self.tally.map(Slip::new),
        }
    }

    /// A copy is given up without having been in a queue.
    pub(super) fn give_up(&self, reason: GivenUp) {
        if let Some(tally) = self.tally {
            tally.give_up(reason);
        }
    }
}
