//! What a type cannot heed and what is out of its range are told, each by its name.

use std::time::Duration;

use crate::error::OptionsError;
use crate::options::SocketType::{
    self, Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub,
};
use crate::options::{Options, Overflow, Shown};

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn options() -> Options {
    Options::default()
}

/// The option that is out of its range, and the error's text.
fn out_of_range(options: &Options) -> Option<(&'static str, String)> {
    let error = options.check(Pub).err()?;
    let text = error.to_string();
    match error {
        OptionsError::OutOfRange { option, .. } => Some((option, text)),
        OptionsError::NotForType { .. } => None,
    }
}

/// The error names the option of each.
fn assert_told(cases: impl IntoIterator<Item = (&'static str, Options)>) {
    for (option, options) in cases {
        let (told, text) = out_of_range(&options).expect(option);
        assert_eq!(told, option);
        assert!(text.contains(option), "{text}");
    }
}

/// BI-112.
#[test]
fn a_limit_or_a_time_out_of_its_range_is_told_with_the_option_and_the_range() {
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3_600);
    assert_told([
        ("send_high_water_mark", options().send_high_water_mark(0)),
        (
            "send_high_water_mark_bytes",
            options().send_high_water_mark_bytes(0),
        ),
        (
            "receive_high_water_mark",
            options().receive_high_water_mark(0),
        ),
        (
            "receive_high_water_mark_bytes",
            options().receive_high_water_mark_bytes(0),
        ),
        ("max_frames", options().max_frames(0)),
        ("max_subscriptions", options().max_subscriptions(0)),
        (
            "max_subscription_octets",
            options().max_subscription_octets(0),
        ),
        ("reconnect", options().reconnect(ZERO, SECOND)),
        ("reconnect", options().reconnect(SECOND, SECOND / 2)),
        ("reconnect", options().reconnect(SECOND, Duration::MAX)),
        ("connect_timeout", options().connect_timeout(ZERO)),
        ("connect_timeout", options().connect_timeout(ten_years)),
        ("handshake_timeout", options().handshake_timeout(ZERO)),
        (
            "heartbeat_interval",
            options().heartbeat_interval(Some(ZERO)),
        ),
        (
            "heartbeat_interval",
            options().heartbeat_interval(Some(Duration::MAX)),
        ),
        ("heartbeat_timeout", options().heartbeat_timeout(ZERO)),
        (
            "heartbeat_time_to_live",
            options().heartbeat_time_to_live(Duration::from_millis(6_553_501)),
        ),
        (
            "overflow",
            options().conflate(true).overflow(Overflow::DropOldest),
        ),
    ]);
    let (_, text) = out_of_range(&options().send_high_water_mark(0)).expect("0 is no mark");
    assert!(text.contains("usize::MAX is no limit"), "{text}");
}

/// BI-112.
#[test]
fn what_the_system_cannot_be_told_is_told_with_the_option_and_the_range() {
    assert_told([
        ("backlog", options().backlog(0)),
        ("max_half_open", options().max_half_open(0)),
        ("max_connections", options().max_connections(0)),
        ("send_buffer", options().send_buffer(0)),
        ("receive_buffer", options().receive_buffer(usize::MAX)),
        ("tcp_user_timeout", options().tcp_user_timeout(ZERO)),
        (
            "tcp_user_timeout",
            options().tcp_user_timeout(Duration::MAX),
        ),
        ("tcp_keepalive", options().tcp_keepalive(ZERO, SECOND, 1)),
        ("tcp_keepalive", options().tcp_keepalive(SECOND, ZERO, 1)),
        ("tcp_keepalive", options().tcp_keepalive(SECOND, SECOND, 0)),
        (
            "tcp_keepalive",
            options().tcp_keepalive(SECOND, SECOND, 128),
        ),
        ("bind_to_device", options().bind_to_device("")),
        (
            "bind_to_device",
            options().bind_to_device("sixteen-letters-"),
        ),
        ("bind_to_device", options().bind_to_device("eth 0")),
        ("bind_to_device", options().bind_to_device("eth\0")),
    ]);
}

/// BI-112.
#[test]
fn the_ends_of_the_ranges_are_heeded() {
    let options = options()
        .send_high_water_mark(usize::MAX)
        .send_high_water_mark_bytes(usize::MAX)
        .receive_high_water_mark(1)
        .receive_high_water_mark_bytes(1)
        .max_frames(1)
        .max_message_size(0)
        .max_topic(0)
        .linger(Duration::MAX)
        .reconnect(Duration::from_millis(1), Duration::from_millis(1))
        .heartbeat_timeout(Duration::from_millis(1))
        .heartbeat_time_to_live(Duration::from_millis(6_553_500))
        .tcp_keepalive(SECOND, SECOND * 32_767, 127)
        .bind_to_device("fifteen-letters");
    assert_eq!(options.check(Pub), Ok(()));
}

/// BI-112: the value that counts is the last one.
#[test]
fn a_value_that_was_corrected_is_no_error() {
    let options = options().backlog(0).backlog(1);
    assert_eq!(options.check(Pub), Ok(()));
}

/// Each is heeded by these types, and told by all others.
fn assert_for<const N: usize>(cases: [(&'static str, Options, Vec<SocketType>); N]) {
    for (option, options, types) in cases {
        for socket_type in SocketType::ALL {
            let expected = if types.contains(&socket_type) {
                Ok(())
            } else {
                Err(OptionsError::NotForType {
                    option,
                    socket_type,
                })
            };
            assert_eq!(options.check(socket_type), expected);
        }
    }
}

/// BI-112.
#[test]
fn a_policy_for_full_pipes_is_for_the_types_that_have_the_choice() {
    let newest_of_all = Overflow::ConflateBy(|message| message.first().clone());
    assert_for([
        (
            "conflate",
            options().conflate(true),
            vec![Pair, Pub, Sub, Push, Pull, Dealer],
        ),
        (
            "overflow(Overflow::Block)",
            options().overflow(Overflow::Block),
            vec![Pub, XPub],
        ),
        (
            "overflow",
            options().overflow(Overflow::DropNewest),
            vec![Pub, XPub, XSub, Rep, Router],
        ),
        (
            "overflow",
            options().overflow(Overflow::Disconnect),
            vec![Pub, XPub, XSub, Rep, Router],
        ),
        (
            "overflow(Overflow::ConflateBy)",
            options().overflow(newest_of_all),
            vec![Pub, XPub, XSub, Router],
        ),
    ]);
}

/// BI-112.
#[test]
fn an_option_of_a_pattern_is_for_the_types_that_can_heed_it() {
    assert_for([
        ("handover", options().handover(true), vec![Router]),
        ("mandatory", options().mandatory(true), vec![Rep, Router]),
        ("correlate", options().correlate(true), vec![Req]),
        (
            "probe_router",
            options().probe_router(true),
            vec![Req, Dealer, Router],
        ),
        ("shown", options().shown(Shown::Everything), vec![XPub]),
        (
            "invert_matching",
            options().invert_matching(true),
            vec![Pub, Sub, XPub],
        ),
        ("welcome", options().welcome("welcome"), vec![Pub, XPub]),
        ("hello", options().hello("hello"), vec![Dealer, Router]),
        (
            "disconnect_message",
            options().disconnect_message("gone"),
            vec![Router],
        ),
        (
            "hiccup_message",
            options().hiccup_message("again"),
            vec![Dealer],
        ),
        (
            "max_subscriptions",
            options().max_subscriptions(1),
            vec![Pub, XPub],
        ),
        (
            "max_subscription_octets",
            options().max_subscription_octets(1),
            vec![Pub, XPub],
        ),
        ("max_topic", options().max_topic(1), vec![Pub, XPub]),
    ]);
}

/// BI-112: an option at its default asks for nothing.
#[test]
fn an_option_that_is_set_to_its_default_is_for_every_type() {
    let options = options()
        .conflate(false)
        .mandatory(false)
        .correlate(false)
        .shown(Shown::Changes)
        .max_subscriptions(100_000);
    for socket_type in SocketType::ALL {
        assert_eq!(options.check(socket_type), Ok(()));
    }
}
