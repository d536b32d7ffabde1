//! READY: cut anywhere, with lengths that lie, names that are none, and more than is kept.

use pushsub::SocketType;

use crate::support::Result;
use crate::support::octets::{
    COMMAND, command, frame, greeting, property, property_claiming, ready, ready_with,
};
use crate::support::stage::Fate;
use crate::support::wage::{Aim, Attack, war};

const KINDS: &[SocketType] = &[SocketType::Rep, SocketType::Router, SocketType::Push];

/// A greeting, and a READY that says this behind its socket type.
fn attack(aim: Aim, name: impl Into<String>, rest: &[u8], fate: Fate) -> Attack {
    let ready = ready_with(aim.partner().name().as_bytes(), rest);
    Attack::new(name, [greeting(), ready].concat(), fate)
}

/// BI-43: what has no name is no command, and before the handshake ends the link.
#[test]
fn a_command_without_a_name_is_no_ready() -> Result {
    war("BI-43 early", KINDS, |_| {
        let bodies: [&[u8]; 7] = [
            b"",
            b"\0",
            b"\0READY",
            b"\x06READY",
            b"\xffREADY",
            b"\x05REA",
            b"\x05R-ADY",
        ];
        let attack = |body: &&[u8]| {
            let octets = [greeting(), frame(COMMAND, body)].concat();
            Attack::new(format!("{body:?}"), octets, Fate::Refused)
        };
        let mut attacks: Vec<_> = bodies.iter().map(attack).collect();
        for name in [
            "PING",
            "PONG",
            "SUBSCRIBE",
            "HELLO",
            "INITIATE",
            "ready",
            "XYZ",
        ] {
            let octets = [greeting(), command(name, b"\0\0\0\0")].concat();
            attacks.push(Attack::new(name, octets, Fate::Refused));
        }
        attacks
    })
}

/// J6: commands of another mechanism, of the lengths and with the metadata that broke the stack of
/// libzmq in CVE-2019-13132, end a link of ours unread.
#[test]
fn the_metadata_of_another_mechanism_is_never_read() -> Result {
    war("J6 CVE-2019-13132", KINDS, |_| {
        let mut attacks = Vec::new();
        for name in ["HELLO", "INITIATE"] {
            for length in [0, 1, 127, 128, 255, 256, 257, 512, 4_096, 8_100] {
                let metadata = property_claiming(b"X-Long", u32::MAX, &vec![b'x'; length]);
                let octets = [greeting(), command(name, &metadata)].concat();
                let name = format!("{name} of {length}");
                attacks.push(Attack::new(name, octets, Fate::Refused));
            }
        }
        attacks
    })
}

/// BI-44: a READY that ends at each octet, its frame saying so.
#[test]
fn a_ready_that_is_cut_is_refused() -> Result {
    war("BI-44", KINDS, |aim| {
        let body = ready_with(
            aim.partner().name().as_bytes(),
            &property(b"X-Color", b"red"),
        );
        let body = &body[2..];
        let first = ready(aim.partner()).len() - 2;
        let attack = |length: usize| {
            let fate = if length == first {
                Fate::Stays
            } else {
                Fate::Refused
            };
            let octets = [greeting(), frame(COMMAND, &body[..length])].concat();
            Attack::new(format!("{length} octets"), octets, fate)
        };
        (0..body.len()).map(attack).collect()
    })
}

/// BI-45: values that claim more than is there.
#[test]
fn a_value_that_claims_too_much_is_refused() -> Result {
    war("BI-45", KINDS, |aim| {
        let mut attacks = Vec::new();
        for length in [
            1,
            4,
            0xFF,
            1 << 16,
            i32::MAX as u32,
            1 << 31,
            u32::MAX - 1,
            u32::MAX,
        ] {
            for value in [&b""[..], b"abc"] {
                let claim = property_claiming(b"X-Long", length, value);
                let name = format!("{length} over {}", value.len());
                attacks.push(attack(aim, name, &claim, Fate::Refused));
            }
        }
        attacks
    })
}

/// BI-46: names that are none.
#[test]
fn a_name_that_is_none_is_refused() -> Result {
    war("BI-46", KINDS, |aim| {
        let names: [&[u8]; 8] = [
            b"",
            b"X Color",
            b"X\0",
            b"\xff\xfe",
            b"\xce\xbb",
            b"X=1",
            b"X/Y",
            b"\r\nX",
        ];
        let mut attacks: Vec<_> = names
            .iter()
            .map(|name| {
                attack(
                    aim,
                    format!("{name:?}"),
                    &property(name, b"v"),
                    Fate::Refused,
                )
            })
            .collect();
        attacks.push(attack(
            aim,
            "name over the rest",
            b"\xffX-Color",
            Fate::Refused,
        ));
        attacks.push(attack(
            aim,
            "sound",
            &property(b"X-a.b+c_9", b""),
            Fate::Stays,
        ));
        attacks
    })
}

/// BI-47: 64 properties and 8 KiB are kept; a name that comes twice is refused.
#[test]
fn more_properties_than_are_kept_are_refused() -> Result {
    war("BI-47", KINDS, |aim| {
        let many = |count: usize| -> Vec<u8> {
            let names = (0..count).map(|number| format!("X-{number}"));
            names
                .flat_map(|name| property(name.as_bytes(), b""))
                .collect()
        };
        let twice =
            |one: &[u8], other: &[u8]| [property(one, b"1"), property(other, b"2")].concat();
        vec![
            attack(aim, "64", &many(63), Fate::Stays),
            attack(aim, "65", &many(64), Fate::Refused),
            attack(aim, "10,000", &many(10_000), Fate::Refused),
            attack(
                aim,
                "60 KiB",
                &property(b"X-Large", &vec![0; 60 << 10]),
                Fate::Refused,
            ),
            attack(
                aim,
                "8 KiB",
                &property(b"X-Large", &vec![0; 8 << 10]),
                Fate::Refused,
            ),
            attack(aim, "twice", &twice(b"X-Color", b"X-Color"), Fate::Refused),
            attack(
                aim,
                "twice in case",
                &twice(b"X-Color", b"x-cOLOR"),
                Fate::Refused,
            ),
            attack(
                aim,
                "two types",
                &property(b"socket-type", b"REQ"),
                Fate::Refused,
            ),
        ]
    })
}
