//! Sessions that were good, with one to three mutations, in pieces as chance has them.
//!
//! Each mutant is played whole and then in pieces: both must come to the same. A case is known by
//! its seed, which a failure tells; `PUSHSUB_HOSTILE_MUTANTS` asks for more of them, and
//! `PUSHSUB_HOSTILE_SEED` for those from another seed on.

use fastrand::Rng;
use pushsub::{Event, Message, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::mutate::mutant;
use crate::support::octets::{
    COMMAND, MORE, command, frame, greeting, greeting_of, ping, property, ready, ready_with,
};
use crate::support::stage::{Side, Stage, is_end, options};
use crate::support::tally::Row;
use crate::support::victim::{partner, soon};
use crate::support::{Result, in_virtual_time, settle};

/// The mutants of each type and side.
const MUTANTS: u64 = 120;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A session of a good peer of this type, whole: greeting, READY, and what it would say.
fn session(kind: SocketType, random: &mut Rng) -> Vec<u8> {
    let peer = partner(kind);
    let properties = [property(b"Identity", b"mutant"), property(b"X-Zone", b"eu")].concat();
    let named = ready_with(peer.name().as_bytes(), &properties);
    let mut octets = match random.u8(0..4) {
        0 => [greeting_of(3, 0), ready(peer)].concat(),
        1 => [greeting(), named].concat(),
        _ => [greeting(), ready(peer)].concat(),
    };
    for _ in 0..random.usize(1..5) {
        octets.extend(word(kind, random));
    }
    octets
}

/// Something that a peer of a socket of this type may say after its handshake.
fn word(kind: SocketType, random: &mut Rng) -> Vec<u8> {
    let parts = [
        frame(MORE, b"canary and"),
        frame(MORE, b""),
        frame(0, b"end"),
    ];
    match random.u8(0..8) {
        0 => ping(random.u16(..), &[b'c'; 16][..random.usize(..=16)]),
        1 => command("PONG", b""),
        2 => command("SUBSCRIBE", b"news."),
        3 => command("CANCEL", b"news."),
        4 => frame(0, b"\x01news."),
        5 => [frame(MORE, b""), frame(0, &[b'b'; 300])].concat(),
        6 if kind == SocketType::Rep => {
            let hops = [frame(MORE, b"hop"), frame(MORE, b"\0hop")].concat();
            [hops, frame(MORE, b""), frame(0, b"question")].concat()
        }
        6 => [parts[0].clone(), command("NONE", b""), parts[2].clone()].concat(),
        _ => parts.concat(),
    }
}

/// What became of a session.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Whether it ever was a peer.
    connected: bool,
    /// What came to the application.
    heard: Vec<Message>,
    /// Messages that were counted.
    received: u64,
}

/// Says these pieces, ends its own half, and reads until the victim ends the other.
async fn play(stage: &mut Stage, pieces: &[&[u8]]) -> Result<Outcome> {
    stage.drain();
    let before = stage.victim.stats().received.received;
    let mut wire = stage.wire().await?;
    say(&mut wire, pieces).await;
    soon("the end", wire.read_to_end(&mut Vec::new())).await??;
    drop(wire);
    let events = stage.events().await?;
    let mut heard = Vec::new();
    while let Some(message) = stage.victim.try_recv() {
        heard.push(told_apart(stage.kind, message));
    }
    let connected = events
        .iter()
        .any(|event| matches!(event, Event::Connected { .. }));
    let received = stage.victim.stats().received.received - before;
    if !connected && (received > 0 || !heard.is_empty()) {
        return Err("something came through before the handshake ended".into());
    }
    let ends = events.iter().filter(|event| is_end(event, stage.side));
    if ends.count() != 1 {
        return Err(format!("not one end in {events:?}").into());
    }
    Ok(Outcome {
        connected,
        heard,
        received,
    })
}

/// A victim that has heard enough closes, and hears no more.
async fn say(wire: &mut DuplexStream, pieces: &[&[u8]]) {
    for piece in pieces {
        if wire.write_all(piece).await.is_err() {
            return;
        }
        settle().await;
    }
    let _ = wire.shutdown().await;
}

/// The name that a ROUTER draws is another for each connection.
fn told_apart(kind: SocketType, message: Message) -> Message {
    if kind != SocketType::Router || message.first().first() != Some(&0) {
        return message;
    }
    let (_, rest) = message.split_first();
    rest.unwrap_or_else(|| Message::from("nothing"))
}

/// Up to four pieces, of which some may be single octets.
fn pieces<'a>(octets: &'a [u8], random: &mut Rng) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = (0..random.usize(1..4))
        .map(|_| random.usize(..=octets.len()))
        .collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in cuts.into_iter().chain([octets.len()]) {
        pieces.push(&octets[from..to]);
        from = to;
    }
    pieces
}

/// Returns whether the mutant was a peer.
async fn case(stage: &mut Stage, seed: u64) -> Result<bool> {
    let mut random = Rng::with_seed(seed);
    let octets = mutant(&session(stage.kind, &mut random), &mut random);
    let outcome = async {
        let whole = play(stage, &[&octets]).await?;
        stage.round_trip().await?;
        let split = play(stage, &pieces(&octets, &mut random)).await?;
        stage.round_trip().await?;
        if whole != split {
            return Err(format!("{whole:?} whole, {split:?} in pieces").into());
        }
        stage.check_tasks().await?;
        Ok(whole.connected)
    };
    let told: Result<bool> = outcome.await;
    told.map_err(|error| format!("{error}: {}", octets.escape_ascii()).into())
}

/// Plays the mutants of one type and side.
async fn onslaught(row: &mut Row, kind: SocketType, side: Side) -> Result {
    let first = asked("PUSHSUB_HOSTILE_SEED").unwrap_or(0);
    let count = asked("PUSHSUB_HOSTILE_MUTANTS").unwrap_or(MUTANTS);
    let mut stage = Stage::new(kind, side, options()).await?;
    let mut peers = 0;
    for seed in first..first + count {
        let told = case(&mut stage, seed).await;
        let failed = told.is_err();
        peers += u64::from(told.as_ref().is_ok_and(|peer| *peer));
        row.note(format_args!("{kind} {side:?} seed {seed}"), told.map(drop));
        if failed {
            stage = Stage::new(kind, side, options()).await?;
        }
    }
    if count >= MUTANTS && !(count / 4..count * 3 / 4).contains(&peers) {
        return Err(format!("{peers} of {count} mutants were peers").into());
    }
    stage.finish().await
}

fn mutants(name: &'static str, kinds: &[SocketType]) -> Result {
    let mut row = Row::new(name);
    for kind in kinds.iter().copied() {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(onslaught(&mut row, kind, side));
            row.note(format_args!("{kind} {side:?} in the end"), told);
        }
    }
    row.finish()
}

/// J6: nothing panics, nobody else notices, and the pieces do not matter.
#[test]
fn mutants_of_sessions_do_no_harm_to_who_receives() -> Result {
    use SocketType::{Dealer, Pair, Pull, Rep, Req, Router};
    mutants("mutants", &[Pull, Router, Dealer, Rep, Req, Pair])
}

/// J6: the same of who publishes and who only sends.
#[test]
fn mutants_of_sessions_do_no_harm_to_who_publishes() -> Result {
    use SocketType::{Pub, Push, Sub, XPub, XSub};
    mutants("mutants of subscribers", &[Pub, XPub, Sub, XSub, Push])
}

/// J6: commands where messages belong and messages where commands do, over and over on one link.
#[test]
fn a_mutant_may_come_again_and_again() -> Result {
    let mut row = Row::new("mutants again");
    for kind in [SocketType::Pull, SocketType::Router] {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(kind, Side::Bound, options()).await?;
            for seed in 0..40 {
                let mut random = Rng::with_seed(seed);
                let start = [greeting(), ready(partner(kind))].concat();
                let mut octets = start;
                let said = [frame(COMMAND, b"\x01X"), frame(0, b"said")].concat();
                for _ in 0..8 {
                    octets.extend(mutant(&said, &mut random));
                }
                let outcome = play(&mut stage, &[&octets]).await?;
                if !outcome.connected {
                    return Err(format!("seed {seed}: it was no peer").into());
                }
                stage.round_trip().await?;
            }
            stage.finish().await
        });
        row.note(kind, told);
        row.held(39);
    }
    row.finish()
}
