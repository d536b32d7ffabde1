//! Whether options can be heeded: values within their ranges, and for the type of the socket.

use std::time::Duration;

use super::SocketType::{self, Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
use super::{Options, Overflow, PatternOptions, Shown, StallLimit, TransportOptions};
use crate::error::OptionsError;

/// The longest time: far enough, and sums of it do not overflow a clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What times may be, for people to read.
const TIME: &str = "1 ms to 365 days";

/// The longest time to live that a PING can say: tenths of a second in two octets.
const LONGEST_TIME_TO_LIVE: Duration = Duration::from_millis(6_553_500);

/// What the system counts keepalives in: whole seconds, up to this.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// The most probes of a keepalive.
const MOST_PROBES: u32 = 127;

/// The field of an interface's name has 16 octets, the last one a zero.
const DEVICE_NAME: usize = 15;

/// What the system takes for a count of octets or of milliseconds.
const SYSTEM: usize = i32::MAX as usize;

impl Options {
    /// Whether a socket of this type can heed them all.
    pub(crate) fn check(&self, socket_type: SocketType) -> Result<(), OptionsError> {
        self.check_limits()?;
        self.check_connection()?;
        self.transport.check()?;
        self.check_metadata()?;
        self.check_type(socket_type)
    }

    fn check_limits(&self) -> Result<(), OptionsError> {
        const LEAST: &str = "at least 1; usize::MAX is no limit";
        let (send, receive) = (self.send_limit, self.receive_limit);
        let topics = &self.pattern.topics;
        for (option, limit) in [
            ("send_high_water_mark", send.messages),
            ("send_high_water_mark_bytes", send.bytes),
            ("receive_high_water_mark", receive.messages),
            ("receive_high_water_mark_bytes", receive.bytes),
            ("max_frames", self.max_frames),
            ("max_subscriptions", topics.count),
            ("max_subscription_octets", topics.octets),
        ] {
            within(limit >= 1, option, LEAST)?;
        }
        Ok(())
    }

    fn check_connection(&self) -> Result<(), OptionsError> {
        let connection = &self.connection;
        let (initial, max) = (connection.reconnect_initial, connection.reconnect_max);
        for (option, time) in [
            ("reconnect", Some(initial)),
            ("reconnect", Some(max)),
            ("connect_timeout", Some(connection.connect_timeout)),
            ("handshake_timeout", Some(connection.handshake_timeout)),
            ("heartbeat_interval", connection.heartbeat_interval),
            ("heartbeat_timeout", connection.heartbeat_timeout),
        ] {
            let sound = time.is_none_or(|time| is_between(time, Duration::from_millis(1), LONGEST));
            within(sound, option, TIME)?;
        }
        const ORDER: &str = "a longest wait that is not shorter than the first";
        within(initial <= max, "reconnect", ORDER)?;
        let time_to_live = connection.heartbeat_time_to_live.unwrap_or_default();
        within(
            time_to_live <= LONGEST_TIME_TO_LIVE,
            "heartbeat_time_to_live",
            "0 to 6,553.5 s",
        )
    }

    fn check_type(&self, socket_type: SocketType) -> Result<(), OptionsError> {
        let is_one_of = |types: &[SocketType]| types.contains(&socket_type);
        let pattern = &self.pattern;
        let defaults = PatternOptions::default();
        for (option, set, types) in [
            (
                "conflate",
                pattern.conflate,
                &[Push, Pull, Pub, Sub, Dealer, Pair][..],
            ),
            (
                "probe_router",
                pattern.probe_router,
                &[Dealer, Req, Router][..],
            ),
            ("mandatory", self.mandatory, &[Router, Rep][..]),
            ("handover", pattern.handover, &[Router][..]),
            ("correlate", self.correlate, &[Req][..]),
            (
                "time_to_live",
                self.time_to_live.is_some(),
                &[Pair, Pub, Sub, XPub, XSub, Push, Pull, Rep, Dealer, Router][..],
            ),
            ("shown", pattern.shown != Shown::default(), &[XPub][..]),
            ("manual_subscriptions", pattern.manual, &[XPub][..]),
            (
                "invert_matching",
                pattern.invert_matching,
                &[Pub, XPub, Sub][..],
            ),
            ("welcome", pattern.welcome.is_some(), &[Pub, XPub][..]),
            ("hello", pattern.hello.is_some(), &[Dealer, Router][..]),
            (
                "disconnect_message",
                pattern.disconnect.is_some(),
                &[Router][..],
            ),
            ("hiccup_message", pattern.hiccup.is_some(), &[Dealer][..]),
            (
                "max_subscriptions",
                pattern.topics.count != defaults.topics.count,
                &[Pub, XPub][..],
            ),
            (
                "max_subscription_octets",
                pattern.topics.octets != defaults.topics.octets,
                &[Pub, XPub][..],
            ),
            (
                "max_topic",
                pattern.topics.longest != defaults.topics.longest,
                &[Pub, XPub][..],
            ),
        ] {
            heeded(!set || is_one_of(types), option, socket_type)?;
        }
        self.check_overflow(socket_type)
    }

    /// Which policies the pattern leaves to choose from.
    fn check_overflow(&self, socket_type: SocketType) -> Result<(), OptionsError> {
        let (option, types) = match self.pattern.overflow {
            None => return Ok(()),
            // XS04, RT12, RP07: the others of those that drop never wait.
            Some(Overflow::Block) => ("overflow(Overflow::Block)", &[Pub, XPub][..]),
            // A reply is no newer state of an earlier one.
            Some(Overflow::ConflateBy(_)) => (
                "overflow(Overflow::ConflateBy)",
                &[Pub, XPub, XSub, Router][..],
            ),
            // PS08, DL09: those who wait must not discard.
            Some(Overflow::DropNewest | Overflow::DropOldest | Overflow::Disconnect) => {
                ("overflow", &[Pub, XPub, XSub, Router, Rep][..])
            }
        };
        let fits = types.contains(&socket_type);
        heeded(fits, option, socket_type)?;
        // Each says which of the messages that wait is kept.
        let conflates = self.pattern.conflate;
        within(
            !conflates,
            "overflow",
            "no policy where conflate keeps the newest alone",
        )
    }
}

impl TransportOptions {
    fn check(&self) -> Result<(), OptionsError> {
        const LEAST: &str = "at least 1";
        within(self.backlog >= 1, "backlog", LEAST)?;
        within(self.half_open >= 1, "max_half_open", LEAST)?;
        within(self.connections >= 1, "max_connections", LEAST)?;
        let of_host = self.connections_of_host;
        within(of_host != Some(0), "max_connections_per_host", LEAST)?;
        if let StallLimit::Given(Some(time)) = self.stall {
            let sound = is_between(time, Duration::from_millis(1), LONGEST);
            within(sound, "stall_timeout", TIME)?;
        }
        let tcp = &self.tcp;
        for (option, octets) in [
            ("send_buffer", tcp.send_buffer),
            ("receive_buffer", tcp.receive_buffer),
        ] {
            let sound = octets.is_none_or(|octets| (1..=SYSTEM).contains(&octets));
            within(sound, option, "1 to 2,147,483,647 octets")?;
        }
        let timeout = tcp.user_timeout.map(|timeout| timeout.as_millis());
        within(
            timeout.is_none_or(|timeout| (1..=SYSTEM as u128).contains(&timeout)),
            "tcp_user_timeout",
            "1 to 2,147,483,647 ms",
        )?;
        let second = Duration::from_secs(1);
        let sound = tcp.keepalive.is_none_or(|keepalive| {
            is_between(keepalive.idle, second, LONGEST_KEEPALIVE)
                && is_between(keepalive.interval, second, LONGEST_KEEPALIVE)
                && (1..=MOST_PROBES).contains(&keepalive.probes)
        });
        let range = "times of 1 to 32,767 s, and 1 to 127 probes";
        within(sound, "tcp_keepalive", range)?;
        let device = tcp.device.as_deref();
        let range = "1 to 15 octets without blanks, slashes and control characters";
        within(device.is_none_or(is_device), "bind_to_device", range)
    }
}

fn is_device(name: &str) -> bool {
    let forbidden =
        |character: char| character.is_whitespace() || character.is_control() || character == '/';
    (1..=DEVICE_NAME).contains(&name.len()) && !name.contains(forbidden)
}

fn is_between(time: Duration, least: Duration, most: Duration) -> bool {
    (least..=most).contains(&time)
}

fn within(sound: bool, option: &'static str, range: &'static str) -> Result<(), OptionsError> {
    if sound {
        Ok(())
    } else {
        Err(OptionsError::OutOfRange { option, range })
    }
}

fn heeded(fits: bool, option: &'static str, socket_type: SocketType) -> Result<(), OptionsError> {
    if fits {
        Ok(())
    } else {
        Err(OptionsError::NotForType {
            option,
            socket_type,
        })
    }
}

#[cfg(test)]
mod tests;
