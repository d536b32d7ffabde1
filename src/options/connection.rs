//! How long a connection may take to be made, when it is made again, and when its peer is dead.

use std::time::Duration;

use super::Options;

/// The options of this file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionOptions {
    pub(crate) reconnect_initial: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) reconnect_stop: Stops,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) heartbeat_interval: Option<Duration>,
    pub(crate) heartbeat_timeout: Option<Duration>,
    pub(crate) heartbeat_time_to_live: Option<Duration>,
}

/// After what a connected endpoint is given up instead of being connected again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReconnectStop {
    /// Nobody listens there: the system refused, or there is no such socket file
    /// (`ZMQ_RECONNECT_STOP_CONN_REFUSED`).
    Refused,
    /// Whoever is there did not finish the handshake, or is no peer for this
    /// socket (`ZMQ_RECONNECT_STOP_HANDSHAKE_FAILED`).
    HandshakeFailed,
    /// A connection that was made has ended, whoever ended it. This is not
    /// `ZMQ_RECONNECT_STOP_AFTER_DISCONNECT`, which is about calls of `disconnect`:
    /// after those nothing is ever tried again.
    Disconnected,
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stops {
    refused: bool,
    handshake_failed: bool,
    disconnected: bool,
}

impl Stops {
    pub(crate) fn contains(self, stop: ReconnectStop) -> bool {
        match stop {
            ReconnectStop::Refused => self.refused,
            ReconnectStop::HandshakeFailed => self.handshake_failed,
            ReconnectStop::Disconnected => self.disconnected,
        }
    }

    fn insert(&mut self, stop: ReconnectStop) {
        match stop {
            ReconnectStop::Refused => self.refused = true,
            ReconnectStop::HandshakeFailed => self.handshake_failed = true,
            ReconnectStop::Disconnected => self.disconnected = true,
        }
    }
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            reconnect_initial: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(30),
            reconnect_stop: Stops::default(),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            heartbeat_interval: Some(Duration::from_secs(10)),
            heartbeat_timeout: None,
            heartbeat_time_to_live: None,
        }
    }
}

impl Options {
    /// The wait before the first reconnect and the longest one between two
    /// (`ZMQ_RECONNECT_IVL`, `ZMQ_RECONNECT_IVL_MAX`). Each wait is drawn from nothing
    /// to a ceiling, which doubles from the one to the other, but beyond the first is
    /// at most twice what has been waited so far. Default 100 ms and 30 s; 1 ms to
    /// 365 days, and the longest is not shorter than the first.
    #[must_use]
    pub fn reconnect(mut self, initial: Duration, max: Duration) -> Self {
        self.connection.reconnect_initial = initial;
        self.connection.reconnect_max = max;
        self
    }

    /// After what a connected endpoint is given up (`ZMQ_RECONNECT_STOP`): what
    /// waits for it is dropped and counted, the monitor tells, and it may be
    /// connected anew. Over inproc nobody is refused: there `connect` waits for
    /// `bind`. Default: after nothing, it is tried for ever.
    ///
    /// ```
    /// use pushsub::{Options, ReconnectStop};
    ///
    /// let options = Options::default()
    ///     .reconnect_stop([ReconnectStop::Refused, ReconnectStop::HandshakeFailed]);
    /// ```
    #[must_use]
    pub fn reconnect_stop(mut self, after: impl IntoIterator<Item = ReconnectStop>) -> Self {
        let stops = &mut self.connection.reconnect_stop;
        after.into_iter().for_each(|stop| stops.insert(stop));
        self
    }

    /// How long an attempt to reach a peer may take, before its handshake
    /// (`ZMQ_CONNECT_TIMEOUT`). Default 10 s; 1 ms to 365 days. The system may
    /// give up earlier.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connection.connect_timeout = timeout;
        self
    }

    /// How long a peer has from the connection to the end of its handshake
    /// (`ZMQ_HANDSHAKE_IVL`). Default 10 s; 1 ms to 365 days.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.connection.handshake_timeout = timeout;
        self
    }

    /// The time between PINGs to a peer that speaks ZMTP 3.1 or later
    /// (`ZMQ_HEARTBEAT_IVL`). `None` sends none. Default 10 s; 1 ms to 365 days.
    #[must_use]
    pub fn heartbeat_interval(mut self, interval: Option<Duration>) -> Self {
        self.connection.heartbeat_interval = interval;
        self
    }

    /// How long nothing may be heard of a peer after a PING before its connection
    /// is cut (`ZMQ_HEARTBEAT_TIMEOUT`). Anything it sends is a sign of life, and a
    /// connection that is left unread because nobody receives is not cut. Default:
    /// two intervals, so that a peer that falls silent is found within three; 1 ms
    /// to 365 days.
    ///
    /// A peer whose application receives nothing leaves its link unread, and our
    /// PINGs with it, which wait for no message. It is heard of all the same where it
    /// sends PINGs itself, as every socket of this library does unless told otherwise,
    /// and may pause for as long as it likes. A libzmq peer sends them only with
    /// `ZMQ_HEARTBEAT_IVL`: without, it is cut when it has paused for so long, and
    /// connects again. Where such peers pause, let this be longer, or send no PINGs.
    #[must_use]
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.connection.heartbeat_timeout = Some(timeout);
        self
    }

    /// How long the peer is to wait for a sign of life of ours after a PING
    /// (`ZMQ_HEARTBEAT_TTL`): at most 6,553.5 s, in tenths of a second, rounded up;
    /// zero says nothing. Default: as long as we wait for it, an interval and the
    /// timeout, but at most what a PING can say. Without
    /// [`heartbeat_interval`](Self::heartbeat_interval) no PING says it. What the
    /// peer says of itself in its PINGs is always heeded (H05).
    #[must_use]
    pub fn heartbeat_time_to_live(mut self, time_to_live: Duration) -> Self {
        self.connection.heartbeat_time_to_live = Some(time_to_live);
        self
    }
}
