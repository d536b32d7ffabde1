//! Frames: lengths that lie, flags that do not exist, messages without end, octets in any pieces.

use pushsub::{Message, SocketType};
use tokio::io::AsyncWriteExt;

use crate::support::octets::{COMMAND, LONG, MORE, frame, greeting, header, ping, session};
use crate::support::stage::{Delivery, Fate, Side, Stage, deliver, options};
use crate::support::tally::Row;
use crate::support::victim::{partner, soon};
use crate::support::wage::{Aim, Attack, War};
use crate::support::{Result, in_virtual_time};

const KINDS: &[SocketType] = &[SocketType::Pull, SocketType::Dealer, SocketType::XPub];

/// Those that give the application what any peer sends.
const RECEIVERS: &[SocketType] = &[
    SocketType::Pull,
    SocketType::Dealer,
    SocketType::Router,
    SocketType::XSub,
    SocketType::Pair,
];

/// The largest message of these tests.
const MAX: usize = 4_096;

/// The most frames of a message.
const FRAMES: usize = 32;

fn war(row: &'static str, kinds: &[SocketType], attacks: impl Fn(Aim) -> Vec<Attack>) -> Result {
    let options = options().max_message_size(MAX).max_frames(FRAMES);
    War {
        row,
        kinds,
        options,
    }
    .wage(attacks)
}

/// The same offence where the READY belongs and behind it.
fn before_and_after(aim: Aim, name: &str, offence: &[u8]) -> [Attack; 2] {
    let early = [greeting(), offence.to_vec()].concat();
    let late = [session(aim.partner()), offence.to_vec()].concat();
    [
        Attack::new(format!("early {name}"), early, Fate::Refused),
        Attack::new(format!("late {name}"), late, Fate::Cut),
    ]
}

/// BI-30: the octet above the largest message costs the link, before a body is there.
#[test]
fn a_message_above_the_limit_ends_the_link_at_its_header() -> Result {
    war("BI-30", KINDS, |aim| {
        let session = session(aim.partner());
        let attack = |name: &str, octets: Vec<u8>, fate| {
            Attack::new(name, [session.clone(), octets].concat(), fate)
        };
        let parts = |last: usize| {
            let first = frame(MORE, &vec![b'a'; MAX - 1_000]);
            [first, frame(MORE, &[b'b'; 500]), header(0, last as u64)].concat()
        };
        vec![
            attack("exactly", frame(0, &vec![2; MAX]), Fate::Stays),
            attack("one more", header(0, MAX as u64 + 1), Fate::Cut),
            attack("one more in parts", parts(501), Fate::Cut),
            attack(
                "exactly in parts",
                [parts(500), vec![b'c'; 500]].concat(),
                Fate::Stays,
            ),
        ]
    })
}

/// BI-31, C15, J6: lengths up to 2^64 - 1, where CVE-2019-6250 added one to a pointer.
#[test]
fn a_length_that_no_memory_has_ends_the_link_at_its_header() -> Result {
    war("BI-31", KINDS, |aim| {
        let lengths = [
            1 << 31,
            1 << 32,
            (1 << 33) - 1,
            1 << 46,
            1 << 62,
            i64::MAX as u64,
            1 << 63,
            u64::MAX - 8,
            u64::MAX,
        ];
        let mut attacks = Vec::new();
        for length in lengths {
            for flags in [0, MORE, COMMAND] {
                let name = format!("{flags} {length}");
                attacks.extend(before_and_after(aim, &name, &header(flags, length)));
            }
        }
        attacks
    })
}

/// BI-33: a command has 64 KiB at most, and 8 KiB before the handshake ends.
#[test]
fn a_command_above_its_limit_ends_the_link_at_its_header() -> Result {
    war("BI-33", KINDS, |aim| {
        let mut attacks = Vec::new();
        for length in [(64 << 10) + 1, 1 << 20, 1 << 40] {
            attacks.extend(before_and_after(
                aim,
                &length.to_string(),
                &header(COMMAND, length),
            ));
        }
        let early = [greeting(), header(COMMAND, (8 << 10) + 1)].concat();
        attacks.push(Attack::new("early 8 KiB + 1", early, Fate::Refused));
        attacks
    })
}

/// BI-35: each set of the reserved bits, with each of the others.
#[test]
fn a_reserved_flag_ends_the_link() -> Result {
    war("BI-35", KINDS, |aim| {
        let sets = 1..32_u8;
        let attacks = sets.flat_map(|set| {
            let flags = (set << 3) | (set % 8);
            before_and_after(aim, &format!("{flags:#04x}"), &[flags, 0])
        });
        attacks.collect()
    })
}

/// BI-36: a command is one frame.
#[test]
fn a_command_with_more_ends_the_link() -> Result {
    war("BI-36", KINDS, |aim| {
        let short = frame(COMMAND | MORE, b"\x04PING\0\0");
        let long = [header(COMMAND | MORE, 7), b"\x04PING\0\0".to_vec()].concat();
        let mut attacks: Vec<_> = before_and_after(aim, "short", &short).into();
        attacks.extend(before_and_after(aim, "long", &long));
        attacks
    })
}

/// BI-38, BI-39: frames without end, of one octet and of none.
#[test]
fn a_message_of_too_many_frames_ends_the_link() -> Result {
    war("BI-38 BI-39", KINDS, |aim| {
        let endless = |body: &[u8], count: usize| {
            [session(aim.partner()), frame(MORE, body).repeat(count)].concat()
        };
        let whole = [endless(b"", FRAMES - 1), frame(0, b"")].concat();
        vec![
            Attack::new("one octet each", endless(b"x", FRAMES), Fate::Cut),
            Attack::new("none each", endless(b"", FRAMES), Fate::Cut),
            Attack::new("none each, 10,000", endless(b"", 10_000), Fate::Cut),
            Attack::new("by size", endless(&[0; 200], MAX / 200 + 1), Fate::Cut),
            Attack::new("as many as may be", whole, Fate::Stays),
        ]
    })
}

/// Plays a session to each of the receivers, and checks what the application gets.
fn heard(row: &mut Row, name: &str, octets: &[u8], deliveries: &[Delivery], wanted: &[Message]) {
    for kind in RECEIVERS.iter().copied() {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(kind, side, options()).await?;
                for delivery in deliveries {
                    listen(&mut stage, octets, *delivery, wanted).await?;
                }
                stage.round_trip().await
            });
            row.note(format_args!("{kind} {side:?} {name}"), told);
            row.held(deliveries.len().saturating_sub(1));
        }
    }
}

async fn listen(
    stage: &mut Stage,
    octets: &[u8],
    delivery: Delivery,
    wanted: &[Message],
) -> Result {
    let mut wire = stage.peer(&session(partner(stage.kind))).await?;
    let victim = stage.victim.clone();
    let receiving = async {
        for wanted in wanted {
            let message = soon("a message", victim.recv()).await??;
            // What a ROUTER hands out begins with the name of the peer.
            let named = usize::from(stage.kind == SocketType::Router);
            if message.frames()[named..] != *wanted.frames() {
                let (got, size) = (message.frames().len(), message.size());
                return Err(format!("{delivery:?}: {got} frames, {size} octets").into());
            }
        }
        Ok(())
    };
    let ((), heard) = tokio::join!(deliver(&mut wire, octets, delivery), receiving);
    drop(wire);
    heard
}

fn message(frames: &[&[u8]]) -> Message {
    let mut message = Message::from(frames[0].to_vec());
    for frame in &frames[1..] {
        message.push_back(frame.to_vec());
    }
    message
}

/// BI-34: the long form of a frame that the short one would have done for.
#[test]
fn the_long_form_is_understood_at_every_length() -> Result {
    let mut row = Row::new("BI-34");
    let bodies: Vec<Vec<u8>> = (0..=255).map(|length| vec![2; length]).collect();
    let octets: Vec<u8> = bodies
        .iter()
        .flat_map(|body| [header(0, body.len() as u64), body.clone()].concat())
        .collect();
    let wanted: Vec<_> = bodies.iter().map(|body| message(&[body])).collect();
    heard(&mut row, "0 to 255", &octets, &[Delivery::Whole], &wanted);
    row.finish()
}

/// BI-40: what is begun and not finished is never heard, nor joined with what comes later.
#[test]
fn a_message_cut_between_its_frames_is_never_heard() -> Result {
    let mut row = Row::new("BI-40");
    for kind in RECEIVERS.iter().copied() {
        for side in [Side::Bound, Side::Dials] {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(kind, side, options()).await?;
                let begun = [b"one", b"two", b"six"]
                    .map(|body| frame(MORE, body))
                    .concat();
                for length in 1..=begun.len() {
                    let mut wire = stage.peer(&session(partner(kind))).await?;
                    wire.write_all(&begun[..length]).await?;
                    drop(wire);
                    let whole = [frame(MORE, b"whole"), frame(0, b"one")].concat();
                    let wanted = message(&[b"whole", b"one"]);
                    if kind == SocketType::Pair {
                        // Its place is free again when the end has been read.
                        crate::support::settle().await;
                    }
                    listen(&mut stage, &whole, Delivery::Whole, &[wanted]).await?;
                }
                stage.round_trip().await
            });
            row.note(format_args!("{kind} {side:?}"), told);
            row.held(14);
        }
    }
    row.finish()
}

/// BI-41: a PING between the frames of a message.
#[test]
fn a_ping_within_a_message_leaves_it_whole() -> Result {
    let mut row = Row::new("BI-41");
    let parts = [frame(MORE, b"one"), frame(MORE, b""), frame(0, b"three")];
    let octets = parts.join(&ping(0, b"between")[..]);
    let splits: Vec<_> = (1..octets.len()).map(Delivery::Split).collect();
    let wanted = [message(&[b"one", b"", b"three"])];
    heard(&mut row, "every split", &octets, &splits, &wanted);
    row.finish()
}

/// BI-42: every split, single octets, and very many messages at once come to the same.
#[test]
fn the_pieces_in_which_octets_come_do_not_matter() -> Result {
    let mut row = Row::new("BI-42");
    let large = vec![b'l'; 300];
    let parts: [&[u8]; 3] = [b"first", &large, b""];
    let octets = [
        frame(MORE, parts[0]),
        frame(MORE, parts[1]),
        frame(0, parts[2]),
    ]
    .concat();
    let mut pieces: Vec<_> = (1..octets.len()).step_by(3).map(Delivery::Split).collect();
    pieces.extend([Delivery::Whole, Delivery::Octets]);
    heard(
        &mut row,
        "three parts",
        &octets,
        &pieces,
        &[message(&parts)],
    );
    let tiny: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| frame(0, &number.to_be_bytes()))
        .collect();
    let wanted: Vec<_> = (0..20_000_u32)
        .map(|number| message(&[&number.to_be_bytes()]))
        .collect();
    heard(
        &mut row,
        "20,000 at once",
        &tiny,
        &[Delivery::Whole],
        &wanted,
    );
    row.finish()
}

/// Z18, BI-35: the flags that exist are taken as they are meant.
#[test]
fn the_three_flags_that_exist_are_no_offence() -> Result {
    let mut row = Row::new("BI-35 known");
    let octets = [
        vec![MORE | LONG],
        3_u64.to_be_bytes().to_vec(),
        b"one".to_vec(),
        frame(COMMAND, b"\x04NONE"),
        frame(0, b"two"),
    ];
    let wanted = [message(&[b"one", b"two"])];
    heard(
        &mut row,
        "flags",
        &octets.concat(),
        &[Delivery::Whole],
        &wanted,
    );
    row.finish()
}
