//! When a peer is asked for a sign of life, and when it is dead.
//!
//! ```text
//!        interval        interval   (unanswered since the first of these PINGs)
//!  start ─────────▶ PING ─────────▶ PING ─── timeout after the first ──▶ dead
//!                     ◀── anything that is heard begins anew
//!
//!  the peer's PING ─── its time to live, nothing heard ──▶ dead
//! ```
//!
//! It takes `now` and has no timer: its driver asks when to look again. The options, which are those of
//! a socket, are told each time: one of these is kept for each link.

use std::time::Duration;

use tokio::time::Instant;

use crate::options::ConnectionOptions;

/// PINGs without an answer beyond which no more are sent (H04).
const MOST_UNANSWERED: u8 = 3;

/// Intervals after a PING for which a peer may be silent, where the options do not say.
const SILENT_INTERVALS: u32 = 2;

/// What is known of both sides' patience.
pub(super) struct Heartbeat {
    asking: Option<Asking>,
    /// When the peer has said it is dead if nothing more is heard (H05).
    promised: Option<Instant>,
}

struct Asking {
    next: Instant,
    /// When the first PING was sent since the last sign of life, and how many were.
    unanswered: Option<Instant>,
    pings: u8,
}

/// The signs of life since the last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// Something was read (H03), or the link is left unread, and can show none.
    pub(super) alive: bool,
    /// Something was read behind the peer's last PING, or the link is left unread.
    pub(super) kept: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// The peer is dead.
    Cut,
}

impl Heartbeat {
    /// `asks`: the peer knows PINGs.
    pub(super) fn new(now: Instant, options: &ConnectionOptions, asks: bool) -> Self {
        let interval = options.heartbeat_interval.filter(|_| asks);
        Self {
            asking: interval.map(|interval| Asking {
                next: now + interval,
                unanswered: None,
                pings: 0,
            }),
            promised: None,
        }
    }

    /// The peer sent a PING: it is dead if nothing is heard for its time to live.
    pub(super) fn promise(&mut self, now: Instant, deciseconds: u16) {
        self.promised = Some(now + Duration::from_millis(u64::from(deciseconds) * 100));
    }

    /// When to look again.
    pub(super) fn next(&self, options: &ConnectionOptions) -> Option<Instant> {
        let asking = self.asking.as_ref();
        let ping = asking.map(|asking| asking.next);
        let silence = asking.and_then(|asking| asking.patience(options));
        [ping, silence, self.promised].into_iter().flatten().min()
    }

    pub(super) fn look(&mut self, now: Instant, signs: Signs, options: &ConnectionOptions) -> Due {
        if signs.kept {
            self.promised = None;
        }
        let promised = self.promised;
        let Some(asking) = &mut self.asking else {
            return cut_if(promised.is_some_and(|end| end <= now));
        };
        if signs.alive {
            asking.unanswered = None;
            asking.pings = 0;
        }
        let ends = [promised, asking.patience(options)];
        if ends.into_iter().flatten().any(|end| end <= now) {
            return Due::Cut;
        }
        if asking.next > now {
            return Due::Nothing;
        }
        asking.next = now + interval(options);
        asking.unanswered.get_or_insert(now);
        if asking.pings == MOST_UNANSWERED {
            return Due::Nothing;
        }
        asking.pings += 1;
        Due::Ping
    }
}

impl Asking {
    /// When the peer is dead.
    fn patience(&self, options: &ConnectionOptions) -> Option<Instant> {
        self.unanswered.map(|since| since + timeout(options))
    }
}

fn cut_if(dead: bool) -> Due {
    if dead { Due::Cut } else { Due::Nothing }
}

/// How often a peer is asked: only where it is.
fn interval(options: &ConnectionOptions) -> Duration {
    options.heartbeat_interval.unwrap_or_default()
}

fn timeout(options: &ConnectionOptions) -> Duration {
    let timeout = options.heartbeat_timeout;
    timeout.unwrap_or_else(|| interval(options) * SILENT_INTERVALS)
}

/// What our PINGs say of us, in tenths of a second: the peer may wait for us as
/// long as we wait for it, unless the options say otherwise.
pub(super) fn time_to_live(options: &ConnectionOptions) -> u16 {
    let patience = interval(options) + timeout(options);
    let time = options.heartbeat_time_to_live.unwrap_or(patience);
    u16::try_from(time.as_millis().div_ceil(100)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Due, Heartbeat, Signs, time_to_live};
    use crate::options::ConnectionOptions;

    const SILENCE: Signs = Signs {
        alive: false,
        kept: false,
    };
    const LIFE: Signs = Signs {
        alive: true,
        kept: true,
    };

    /// The seconds at which something is due, and what, where nothing is heard.
    fn course(options: &ConnectionOptions) -> Vec<(u64, Due)> {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start, options, true);
        let mut course = Vec::new();
        while let Some(now) = heartbeat.next(options) {
            let due = heartbeat.look(now, SILENCE, options);
            course.push(((now - start).as_secs(), due));
            if due == Due::Cut {
                break;
            }
        }
        course
    }

    fn seconds(interval: u64, timeout: Option<u64>) -> ConnectionOptions {
        ConnectionOptions {
            heartbeat_interval: Some(Duration::from_secs(interval)),
            heartbeat_timeout: timeout.map(Duration::from_secs),
            ..ConnectionOptions::default()
        }
    }

    /// H05, C11.
    #[test]
    fn a_silent_peer_is_asked_and_then_cut() {
        for (timeout, expected) in [
            (None, vec![(10, Due::Ping), (20, Due::Ping), (30, Due::Cut)]),
            (Some(3), vec![(10, Due::Ping), (13, Due::Cut)]),
            (Some(10), vec![(10, Due::Ping), (20, Due::Cut)]),
            (
                Some(15),
                vec![(10, Due::Ping), (20, Due::Ping), (25, Due::Cut)],
            ),
        ] {
            assert_eq!(course(&seconds(10, timeout)), expected, "{timeout:?}");
        }
    }

    /// H04.
    #[test]
    fn only_a_few_pings_are_unanswered_at_a_time() {
        let course = course(&seconds(1, Some(60)));
        let pings = course.iter().filter(|(_, due)| *due == Due::Ping).count();
        assert_eq!(pings, 3);
        assert_eq!(course.last(), Some(&(61, Due::Cut)));
    }

    /// H03.
    #[test]
    fn any_sign_of_life_begins_anew() {
        let start = Instant::now();
        let options = seconds(10, None);
        let mut heartbeat = Heartbeat::new(start, &options, true);
        for _ in 0..100 {
            let now = heartbeat.next(&options).expect("it asks for ever");
            assert_eq!(heartbeat.look(now, LIFE, &options), Due::Ping);
        }
    }

    /// H05, BI-49: to the tenth, at both ends of the field and of an octet.
    #[test]
    fn a_peer_is_dead_after_the_time_that_its_ping_said() {
        let start = Instant::now();
        for (deciseconds, milliseconds) in [
            (1, 100),
            (655, 65_500),
            (656, 65_600),
            (6_553, 655_300),
            (65_535, 6_553_500),
        ] {
            let none = ConnectionOptions {
                heartbeat_interval: None,
                ..ConnectionOptions::default()
            };
            let mut heartbeat = Heartbeat::new(start, &none, true);
            assert_eq!(heartbeat.next(&none), None);
            heartbeat.promise(start, deciseconds);
            let end = heartbeat.next(&none).expect("the peer has promised");
            assert_eq!(end - start, Duration::from_millis(milliseconds));
            let early = end - Duration::from_millis(1);
            assert_eq!(heartbeat.look(early, SILENCE, &none), Due::Nothing);
            assert_eq!(heartbeat.look(end, SILENCE, &none), Due::Cut);
            heartbeat.promise(start, deciseconds);
            assert_eq!(heartbeat.look(end, LIFE, &none), Due::Nothing);
            assert_eq!(heartbeat.next(&none), None, "until its next PING");
        }
    }

    /// H01.
    #[test]
    fn a_ping_says_for_how_long_to_wait() {
        for (time, expected) in [
            (None, 300),
            (Some(0), 0),
            (Some(1), 1),
            (Some(100), 1),
            (Some(101), 2),
            (Some(6_553_500), u16::MAX),
        ] {
            let options = ConnectionOptions {
                heartbeat_time_to_live: time.map(Duration::from_millis),
                ..seconds(10, None)
            };
            assert_eq!(time_to_live(&options), expected, "{time:?}");
        }
        let year = Duration::from_secs(365 * 24 * 3_600);
        let options = ConnectionOptions {
            heartbeat_interval: Some(year),
            heartbeat_timeout: Some(year),
            ..ConnectionOptions::default()
        };
        assert_eq!(time_to_live(&options), u16::MAX);
    }
}
