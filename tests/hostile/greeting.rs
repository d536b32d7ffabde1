//! Before the handshake: silence, other protocols, old versions, other mechanisms.

use pushsub::SocketType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::octets::{COMMAND, frame, greeting, greeting_of, ready, ready_with, session};
use crate::support::stage::{Fate, Side, Stage, options};
use crate::support::tally::Row;
use crate::support::victim::{partner, soon};
use crate::support::wage::{Attack, war};
use crate::support::{Result, in_virtual_time};

/// All types but PAIR, whose one place a canary would take.
const EVERY: &[SocketType] = &[
    SocketType::Pull,
    SocketType::Push,
    SocketType::Dealer,
    SocketType::Router,
    SocketType::Req,
    SocketType::Rep,
    SocketType::Pub,
    SocketType::XPub,
    SocketType::Sub,
    SocketType::XSub,
    SocketType::Pair,
];

const SOME: &[SocketType] = &[
    SocketType::Pull,
    SocketType::Router,
    SocketType::XPub,
    SocketType::Push,
];

/// BI-01: who says nothing is no peer, gets no message, and is gone when its time is over.
#[test]
fn silence_ends_with_the_time_for_the_handshake() -> Result {
    war("BI-01", EVERY, |_| {
        vec![Attack::new("silence", Vec::new(), Fate::Expired)]
    })
}

/// BI-02: a greeting that stops anywhere.
#[test]
fn a_greeting_that_stops_ends_with_the_time_for_the_handshake() -> Result {
    war("BI-02", SOME, |_| {
        let attack = |length: usize| {
            let octets = greeting()[..length].to_vec();
            Attack::new(format!("{length} octets"), octets, Fate::Expired)
        };
        let step = 4;
        (1..64)
            .step_by(step)
            .chain([10, 11, 12, 63])
            .map(attack)
            .collect()
    })
}

/// BI-03, BI-04: HTTP and TLS.
#[test]
fn another_protocol_is_never_a_peer() -> Result {
    war("BI-03 BI-04", SOME, |_| {
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20);
        let http = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
        vec![
            Attack::new("HTTP", http.to_vec(), Fate::Refused),
            Attack::new("POST", b"POST /x HTTP/1.0\r\n\r\n".to_vec(), Fate::Refused),
            Attack::new("TLS", hello, Fate::Refused),
            Attack::new("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Fate::Refused),
        ]
    })
}

/// BI-05: a thousand seeds of noise, half of them behind a sound beginning.
#[test]
fn noise_is_never_a_peer() -> Result {
    war(
        "BI-05",
        &[SocketType::Pull, SocketType::Rep, SocketType::XPub],
        |aim| {
            let attack = |seed: u64| {
                let mut random = fastrand::Rng::with_seed(seed * 31 + aim.kind as u64);
                let mut octets: Vec<u8> = match seed % 6 {
                    0 => greeting()[..10].to_vec(),
                    1 => greeting()[..12].to_vec(),
                    2 => greeting(),
                    _ => Vec::new(),
                };
                octets.extend(std::iter::repeat_with(|| random.u8(..)).take(64 << 10));
                Attack::new(format!("seed {seed}"), octets, Fate::RefusedOrExpired)
            };
            (0..170).map(attack).collect()
        },
    )
}

/// BI-06, BI-07, BI-08, BI-11: ZMTP before 3.0, in each of its greetings.
#[test]
fn an_old_version_is_refused_with_what_it_brings() -> Result {
    war("BI-06 BI-07 BI-08 BI-11", SOME, |aim| {
        let sneaky = b"\x08\x00sneaky\0".as_slice();
        let mut large = vec![0xFF];
        large.extend(9_000_u64.to_be_bytes());
        large.extend(vec![0; 9_000]);
        let second = [&b"\xff\0\0\0\0\0\0\0\x01\x7f\x01"[..], &[3], b"\0\x03one"].concat();
        let mut attacks = vec![
            Attack::new(
                "1.0 anonymous",
                [b"\x01\x00", sneaky].concat(),
                Fate::Refused,
            ),
            Attack::new(
                "1.0 named",
                [b"\x05\x00name", sneaky].concat(),
                Fate::Refused,
            ),
            // A long length of ZMTP 1.0 has an even last octet where a signature has an odd one.
            Attack::new("1.0 large", large, Fate::Refused),
            Attack::new("2.0", second, Fate::Refused),
        ];
        for (major, minor) in [(0, 0), (0, 9), (1, 0), (1, 9), (2, 0), (2, 1), (2, 255)] {
            let octets = [greeting_of(major, minor), ready(aim.partner())].concat();
            attacks.push(Attack::new(
                format!("{major}.{minor}"),
                octets,
                Fate::Refused,
            ));
        }
        for last in (0..=0xFE).step_by(32) {
            let mut octets = session(aim.partner());
            octets[9] = last;
            attacks.push(Attack::new(
                format!("tenth octet {last}"),
                octets,
                Fate::Refused,
            ));
        }
        attacks
    })
}

/// BI-09, BI-11, BI-14, BI-15: what a greeting may hold, and what in it means nothing.
#[test]
fn what_is_not_significant_is_let_be() -> Result {
    war("BI-09 BI-11 BI-14 BI-15", SOME, |aim| {
        let mut attacks = Vec::new();
        for (major, minor) in [(3, 0), (3, 1), (3, 2), (4, 0), (255, 255)] {
            let octets = [greeting_of(major, minor), ready(aim.partner())].concat();
            attacks.push(Attack::new(format!("{major}.{minor}"), octets, Fate::Stays));
        }
        let mut random = fastrand::Rng::with_seed(11);
        let mut altered = |name: &str, range: std::ops::Range<usize>| {
            let mut octets = session(aim.partner());
            octets[range].fill_with(|| random.u8(1..));
            attacks.push(Attack::new(name, octets, Fate::Stays));
        };
        altered("padding", 1..9);
        altered("as-server", 32..33);
        altered("filler", 33..64);
        altered("as-server and filler", 32..64);
        attacks
    })
}

/// BI-12: a greeting where a frame belongs.
#[test]
fn a_second_greeting_is_no_frame() -> Result {
    war("BI-12", SOME, |aim| {
        let twice = [greeting(), greeting()].concat();
        let late = [session(aim.partner()), greeting()].concat();
        vec![
            Attack::new("twice", twice, Fate::Refused),
            Attack::new("late", late, Fate::Cut),
        ]
    })
}

/// BI-13: any other mechanism, and NULL written wrongly.
#[test]
fn another_mechanism_is_refused() -> Result {
    war("BI-13", SOME, |aim| {
        let mechanisms: [&[u8]; 10] = [
            b"PLAIN",
            b"CURVE",
            b"GSSAPI",
            b"XYZZY",
            b"null",
            b"\xce\xbb",
            b"NULL\0junk",
            b"",
            b"NULL                ",
            b"NULLNULLNULLNULLNULL",
        ];
        let attack = |mechanism: &&[u8]| {
            let mut octets = session(aim.partner());
            octets[12..32].fill(0);
            octets[12..12 + mechanism.len()].copy_from_slice(mechanism);
            let name = String::from_utf8_lossy(mechanism).into_owned();
            Attack::new(name, octets, Fate::Refused)
        };
        mechanisms.iter().map(attack).collect()
    })
}

/// BI-13: whoever is refused for its mechanism has been sent our greeting whole, so that it can tell why.
#[test]
fn who_is_refused_has_our_greeting() -> Result {
    let mut row = Row::new("BI-13 greeting");
    for kind in SOME {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(*kind, side, options()).await?;
                let mut wire = stage.wire().await?;
                let mut octets = greeting();
                octets[12..17].copy_from_slice(b"PLAIN");
                wire.write_all(&octets).await?;
                let mut told = Vec::new();
                soon("the end", wire.read_to_end(&mut told)).await??;
                (told == greeting())
                    .then_some(())
                    .ok_or_else(|| format!("{told:?}").into())
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

/// BI-10: a peer that waits for our first octets before it goes on, as libzmq and NetMQ do.
#[test]
fn a_peer_that_waits_for_our_octets_gets_them() -> Result {
    let mut row = Row::new("BI-10");
    for kind in EVERY {
        for side in [Side::Bound, Side::Dials] {
            for steps in [[10, 11, 64], [1, 10, 64], [11, 12, 64], [10, 32, 64]] {
                let told = in_virtual_time(halting(*kind, side, steps));
                row.note(format_args!("{kind} {side:?} {steps:?}"), told);
            }
        }
    }
    row.finish()
}

/// Says so many octets of its greeting, reads as many of ours, and so on.
async fn halting(kind: SocketType, side: Side, steps: [usize; 3]) -> Result {
    let mut stage = Stage::new(kind, side, options()).await?;
    let mut wire = stage.wire().await?;
    let mut from = 0;
    for to in steps {
        wire.write_all(&greeting()[from..to]).await?;
        let mut theirs = vec![0; to - from];
        soon("our octets", wire.read_exact(&mut theirs)).await??;
        if theirs != greeting()[from..to] {
            return Err(format!("octets {from} to {to} are {theirs:?}").into());
        }
        from = to;
    }
    wire.write_all(&ready(partner(kind))).await?;
    let told = crate::support::stage::read_frame(&mut wire);
    let (flags, body) = soon("READY", told).await??;
    if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
        return Err("no READY came back".into());
    }
    stage.round_trip().await
}

/// BI-22: the greeting is sound, and no READY follows.
#[test]
fn a_handshake_without_ready_ends_with_its_time() -> Result {
    war("BI-22", EVERY, |aim| {
        let ready = ready(aim.partner());
        let cut = ready.len() - 1;
        vec![
            Attack::new("no READY", greeting(), Fate::Expired),
            Attack::new(
                "half",
                [greeting(), ready[..cut].to_vec()].concat(),
                Fate::Expired,
            ),
            Attack::new(
                "one octet",
                [greeting(), vec![COMMAND]].concat(),
                Fate::Expired,
            ),
        ]
    })
}

/// BI-37: a message where the READY belongs.
#[test]
fn a_message_before_ready_ends_the_link() -> Result {
    war("BI-37", EVERY, |aim| {
        let early = frame(0, b"sneaky");
        let parts = [frame(1, b"sneaky"), frame(0, b"parts")].concat();
        let empty = frame(0, b"");
        let behind = ready_with(aim.partner().name().as_bytes(), b"");
        vec![
            Attack::new("early", [greeting(), early, behind].concat(), Fate::Refused),
            Attack::new("parts", [greeting(), parts].concat(), Fate::Refused),
            Attack::new("empty", [greeting(), empty].concat(), Fate::Refused),
        ]
    })
}
