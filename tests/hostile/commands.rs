//! Commands after the handshake: nameless, unknown, malformed, unasked, and without end.

use std::time::Duration;

use pushsub::{Event, LinkError, Message, SocketType};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::support::octets::{COMMAND, command, frame, ping, ready, session};
use crate::support::stage::{Fate, Side, Stage, options, read_frame};
use crate::support::tally::Row;
use crate::support::victim::{partner, soon};
use crate::support::wage::{Aim, Attack, war};
use crate::support::{Result, in_virtual_time, settle};

const KINDS: &[SocketType] = &[
    SocketType::Router,
    SocketType::Pull,
    SocketType::Pub,
    SocketType::Push,
];

/// A session, and these octets behind it.
fn attack(aim: Aim, name: impl Into<String>, octets: &[u8], fate: Fate) -> Attack {
    let session = session(aim.partner());
    Attack::new(name, [session, octets.to_vec()].concat(), fate)
}

/// BI-43: after the handshake a command without a name is passed over, for its frame is sound.
#[test]
fn a_command_without_a_name_is_passed_over() -> Result {
    war("BI-43", KINDS, |aim| {
        let bodies: [&[u8]; 6] = [b"", b"\0", b"\0PING", b"\x05PING", b"\xff", b"\x04P NG"];
        let attack = |body: &&[u8]| {
            attack(
                aim,
                format!("{body:?}"),
                &frame(COMMAND, body),
                Fate::Ignored,
            )
        };
        bodies.iter().map(attack).collect()
    })
}

/// BI-48: names of every length, commands of other patterns, a second READY; ERROR alone is the end.
#[test]
fn an_unknown_command_is_passed_over() -> Result {
    war("BI-48", KINDS, |aim| {
        let mut attacks: Vec<_> = (1..=255_usize)
            .step_by(3)
            .map(|length| {
                let octets = command(&"x".repeat(length), b"data");
                attack(aim, format!("{length} letters"), &octets, Fate::Ignored)
            })
            .collect();
        for name in [
            "JOIN", "LEAVE", "HELLO", "WELCOME", "INITIATE", "MESSAGE", "ping",
        ] {
            attacks.push(attack(aim, name, &command(name, b"group"), Fate::Ignored));
        }
        attacks.push(attack(aim, "READY", &ready(aim.partner()), Fate::Ignored));
        attacks.push(attack(
            aim,
            "ERROR",
            &command("ERROR", b"\x02no"),
            Fate::Cut,
        ));
        attacks.push(attack(
            aim,
            "ERROR cut",
            &command("ERROR", b"\xffno"),
            Fate::Cut,
        ));
        attacks
    })
}

/// BI-49, BI-50, BI-51: each time to live is sound; a PING without one, or with a long context, is not.
#[test]
fn a_ping_has_its_form() -> Result {
    war("BI-49 BI-50 BI-51", KINDS, |aim| {
        let mut attacks = Vec::new();
        for ttl in [0, 1_000, 6_553, 65_535] {
            for context in [0, 1, 15, 16] {
                let octets = ping(ttl, &vec![7; context]);
                attacks.push(attack(
                    aim,
                    format!("{ttl} {context}"),
                    &octets,
                    Fate::Stays,
                ));
            }
        }
        for context in [17, 18, 255, 256, 65_000] {
            let octets = ping(0, &vec![7; context]);
            attacks.push(attack(
                aim,
                format!("context {context}"),
                &octets,
                Fate::Cut,
            ));
        }
        attacks.push(attack(aim, "no ttl", &command("PING", b""), Fate::Cut));
        attacks.push(attack(
            aim,
            "half a ttl",
            &command("PING", b"\0"),
            Fate::Cut,
        ));
        attacks.push(attack(
            aim,
            "64 KiB",
            &ping(0, &vec![7; 64 << 10]),
            Fate::Cut,
        ));
        attacks
    })
}

/// BI-53: PONGs that nobody asked for, of any size that a command may have.
#[test]
fn an_unasked_pong_is_passed_over() -> Result {
    war("BI-53", KINDS, |aim| {
        let pong = |length: usize| command("PONG", &vec![9; length]);
        let mut attacks: Vec<_> = [0, 1, 16, 17, 255, 60_000]
            .into_iter()
            .map(|length| attack(aim, format!("{length}"), &pong(length), Fate::Ignored))
            .collect();
        attacks.push(attack(aim, "2,000", &pong(16).repeat(2_000), Fate::Ignored));
        attacks
    })
}

/// BI-48, BI-53, BI-65: each command that is passed over is counted, once, and stays so when the peer is gone.
#[test]
fn what_is_passed_over_is_counted() -> Result {
    let mut row = Row::new("BI-48 count");
    let passed_over = [
        command("NONE", b"data"),
        command("READY", b""),
        command("PONG", b"unasked"),
        command("PONG", &[9; 255]),
        command("JOIN", b"group"),
        frame(COMMAND, b""),
        command("SUBSCRIBE", b"topic"),
        command("CANCEL", b"topic"),
    ];
    for kind in [SocketType::Router, SocketType::Pull, SocketType::Push] {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(kind, side, options()).await?;
                let mut wire = stage.peer(&session(partner(kind))).await?;
                let mut counted = 0;
                for (number, octets) in passed_over.iter().enumerate() {
                    wire.write_all(&octets.repeat(number + 1)).await?;
                    wire.write_all(&ping(0, b"read?")).await?;
                    next_pong(&mut wire, b"\x04PONGread?").await?;
                    counted += number as u64 + 1;
                    let stats = stage.victim.stats();
                    let of_peer = stats.peers.iter().map(|peer| peer.ignored_commands);
                    if (stats.ignored_commands, of_peer.sum()) != (counted, counted) {
                        return Err(format!("{octets:?}: {stats:?}, {counted} wanted").into());
                    }
                }
                drop(wire);
                settle().await;
                let left = stage.victim.stats().ignored_commands;
                let same = left == counted;
                same.then_some(()).ok_or_else(|| format!("{left}").into())
            });
            row.note(format_args!("{kind} {side:?}"), told);
            row.held(passed_over.len() - 1);
        }
    }
    row.finish()
}

/// H07, BI-53: the answer to a PING of ours is not counted among the unasked.
#[test]
fn an_answer_is_not_passed_over() -> Result {
    let mut row = Row::new("BI-53 asked");
    let told = in_virtual_time(async {
        let mut stage = Stage::new(SocketType::Pull, Side::Bound, options()).await?;
        let mut wire = stage.peer(&session(SocketType::Push)).await?;
        for asked in 0..3 {
            let limit = Duration::from_secs(11);
            timeout(limit, read_frame(&mut wire)).await??;
            wire.write_all(&command("PONG", b"").repeat(2)).await?;
            settle().await;
            let ignored = stage.victim.stats().ignored_commands;
            if ignored != asked + 1 {
                return Err(format!("{ignored} passed over after {asked}").into());
            }
        }
        Ok(())
    });
    row.note("one of two", told);
    row.finish()
}

/// BI-51: the answer brings back the context, to the octet.
#[test]
fn a_context_comes_back_as_it_was() -> Result {
    let mut row = Row::new("BI-51 echo");
    for kind in KINDS {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(*kind, side, options()).await?;
                let mut wire = stage.peer(&session(partner(*kind))).await?;
                for length in 0..=16 {
                    let context: Vec<u8> = (0..length).map(|octet| octet * 17).collect();
                    wire.write_all(&ping(6_553, &context)).await?;
                    let wanted = [&b"\x04PONG"[..], &context].concat();
                    next_pong(&mut wire, &wanted).await?;
                }
                Ok(())
            });
            row.note(format_args!("{kind} {side:?}"), told);
            row.held(16);
        }
    }
    row.finish()
}

/// Reads up to a PONG, which must be this one.
async fn next_pong(wire: &mut tokio::io::DuplexStream, wanted: &[u8]) -> Result {
    loop {
        let (flags, body) = soon("a PONG", read_frame(wire)).await??;
        if flags & COMMAND != 0 && body.starts_with(b"\x04PONG") {
            let same = body == wanted;
            return same.then_some(()).ok_or_else(|| format!("{body:?}").into());
        }
    }
}

/// BI-54: a peer that answers no PING and goes on sending is no dead one.
#[test]
fn a_peer_that_sends_need_not_answer() -> Result {
    let mut row = Row::new("BI-54");
    for kind in [SocketType::Pull, SocketType::Router, SocketType::Dealer] {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let interval = Duration::from_secs(1);
                let options = options().heartbeat_interval(Some(interval));
                let mut stage = Stage::new(kind, side, options).await?;
                let mut wire = stage.peer(&session(partner(kind))).await?;
                stage.drain();
                for _ in 0..40 {
                    wire.write_all(&frame(0, b"alive")).await?;
                    let _ = timeout(interval / 2, stage.monitor_end()).await.is_err();
                    while stage.victim.try_recv().is_some() {}
                }
                stage.quiet().await
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

/// BI-55: a peer that neither reads nor speaks is dead within three intervals, however much waits for it.
#[test]
fn a_peer_that_does_not_read_is_found_dead() -> Result {
    let mut row = Row::new("BI-55");
    for kind in [SocketType::Push, SocketType::Dealer, SocketType::Pair] {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let interval = Duration::from_secs(1);
                let options = options().heartbeat_interval(Some(interval));
                let mut stage = Stage::new(kind, side, options).await?;
                let _wire = stage.peer(&session(partner(kind))).await?;
                settle().await;
                stage.drain();
                while stage.victim.try_send(Message::from(vec![0; 10_000])) {}
                let since = Instant::now();
                let end = timeout(interval * 4, stage.monitor_end()).await;
                let reason = end.map_err(|_| "it is not found")?;
                if reason != LinkError::Silent || since.elapsed() > interval * 3 {
                    return Err(format!("{reason} after {:?}", since.elapsed()).into());
                }
                Ok(())
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

impl Stage {
    /// Waits for the end of the attacker's link, and says why it ended.
    async fn monitor_end(&mut self) -> LinkError {
        use futures::StreamExt;
        loop {
            match self.monitor.next().await {
                Some(Event::Disconnected { reason, .. }) => return reason,
                Some(_) => {}
                None => return LinkError::ClosedHere,
            }
        }
    }

    /// No link has ended.
    async fn quiet(&mut self) -> Result {
        let none = timeout(Duration::from_millis(1), self.monitor_end()).await;
        none.err()
            .map(drop)
            .ok_or_else(|| "a link has ended".into())
    }
}
