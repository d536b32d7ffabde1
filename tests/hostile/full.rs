//! The rows that name a size, at that size: minutes in a debug build, so only a release build is asked for them.

use pushsub::{Message, SocketType};
use tokio::io::AsyncWriteExt;

use crate::support::octets::{MORE, command, frame, greeting, ping, session, session_as};
use crate::support::stage::{Fate, Side, Stage, options};
use crate::support::tally::Row;
use crate::support::victim::soon;
use crate::support::wage::{Attack, war};
use crate::support::{Result, in_virtual_time, settle};

const MILLION: usize = 1_000_000;

/// Says this a million times as a peer of this type, in lots of a thousand, and gives back the stage.
async fn a_million(kind: SocketType, peer: SocketType, octets: &[u8]) -> Result<Stage> {
    let mut stage = Stage::new(kind, Side::Bound, options()).await?;
    let mut wire = stage.peer(&session(peer)).await?;
    let lot = octets.repeat(1_000);
    for _ in 0..MILLION / 1_000 {
        wire.write_all(&lot).await?;
    }
    stage.victim_has_read(&mut wire).await?;
    for _ in 0..100 {
        stage.round_trip().await?;
    }
    drop(wire);
    settle().await;
    Ok(stage)
}

/// Plays one case of a row of a million.
fn millions(row: &'static str, case: impl Future<Output = Result>) -> Result {
    let mut row = Row::new(row);
    row.note("a million", in_virtual_time(case));
    row.finish()
}

fn counted(what: &str, count: u64) -> Result {
    if count == MILLION as u64 {
        return Ok(());
    }
    Err(format!("{count} {what}").into())
}

/// BI-05: a thousand seeds of 64 KiB.
#[test]
#[ignore = "at full size, in a release build"]
fn a_thousand_seeds_of_noise() -> Result {
    war("BI-05 full", &[SocketType::Router], |_| {
        let attack = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut octets = greeting()[..(seed as usize % 4) * 21].to_vec();
            octets.extend(std::iter::repeat_with(|| random.u8(..)).take(64 << 10));
            Attack::new(format!("seed {seed}"), octets, Fate::RefusedOrExpired)
        };
        (0..1_000).map(attack).collect()
    })
}

/// BI-19c: a hundred thousand fresh identities, of which none is left.
#[test]
#[ignore = "at full size, in a release build"]
fn a_hundred_thousand_identities_come_and_go() -> Result {
    millions("BI-19c full", async {
        let mut stage = Stage::new(SocketType::Router, Side::Bound, options()).await?;
        for number in 0..100_000_u32 {
            let octets = session_as(SocketType::Dealer, format!("peer {number}").as_bytes());
            drop(stage.peer(&octets).await?);
            if number % 1_000 == 0 {
                stage.drain();
                let peers = stage.victim.stats().peers.len();
                if peers > 64 {
                    return Err(format!("{peers} peers at {number}").into());
                }
            }
        }
        settle().await;
        let peers = stage.victim.stats().peers.len();
        if peers != 1 {
            return Err(format!("{peers} peers are left").into());
        }
        stage.finish().await
    })
}

/// BI-19: a million messages to nobody are counted.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_messages_to_nobody() -> Result {
    millions("BI-19 full", async {
        let stage = Stage::new(SocketType::Router, Side::Bound, options()).await?;
        let before = stage.victim.stats().sent.dropped.unroutable;
        for _ in 0..MILLION {
            stage.victim.try_send(Message::from(["nobody", "body"]));
        }
        let unroutable = stage.victim.stats().sent.dropped.unroutable;
        counted("unroutable", unroutable - before)?;
        stage.finish().await
    })
}

/// BI-38, BI-39: a million frames of no message; the link ends at the frame that is one too many.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_frames_without_a_last_one() -> Result {
    war("BI-38 full", &[SocketType::Pull], |aim| {
        let endless = |body: &[u8]| {
            let frames = frame(MORE, body).repeat(MILLION);
            [session(aim.partner()), frames].concat()
        };
        vec![
            Attack::new("of one octet", endless(b"x"), Fate::Cut),
            Attack::new("of none", endless(b""), Fate::Cut),
        ]
    })
}

/// BI-52: a million PINGs, answered as fast as they are asked or not at all.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_pings() -> Result {
    millions("BI-52 full", async {
        let mut stage = Stage::new(SocketType::Pull, Side::Bound, options()).await?;
        let mut wire = stage.peer(&session(SocketType::Push)).await?;
        let lot = ping(0, b"sixteen octets..").repeat(1_000);
        for _ in 0..MILLION / 1_000 {
            wire.write_all(&lot).await?;
        }
        stage.victim_has_read(&mut wire).await?;
        drop(wire);
        settle().await;
        stage.finish().await
    })
}

/// BI-53: a million PONGs that nobody asked for.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_pongs() -> Result {
    millions("BI-53 full", async {
        let pong = command("PONG", &[7; 16]);
        let stage = a_million(SocketType::Pull, SocketType::Push, &pong).await?;
        counted("passed over", stage.victim.stats().ignored_commands)?;
        stage.finish().await
    })
}

/// BI-56: a million cancels of what others want.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_cancels() -> Result {
    millions("BI-56 full", async {
        let cancel = command("CANCEL", b"canary");
        let stage = a_million(SocketType::Pub, SocketType::Sub, &cancel).await?;
        stage.finish().await
    })
}

/// BI-57: a topic that one peer wants a million times is wanted until the last cancel.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_times_the_same_topic() -> Result {
    millions("BI-57 full", async {
        let mut stage = Stage::new(SocketType::Pub, Side::Bound, options()).await?;
        let mut wire = stage.peer(&session(SocketType::Sub)).await?;
        for (name, times) in [("SUBSCRIBE", MILLION), ("CANCEL", MILLION - 1_000)] {
            let lot = command(name, b"news").repeat(1_000);
            for _ in 0..times / 1_000 {
                wire.write_all(&lot).await?;
            }
        }
        stage.victim_has_read(&mut wire).await?;
        let unmatched = stage.victim.stats().unmatched;
        stage.victim.try_send(Message::from("news"));
        wire.write_all(&command("CANCEL", b"news").repeat(1_000))
            .await?;
        stage.victim_has_read(&mut wire).await?;
        stage.victim.try_send(Message::from("news"));
        if stage.victim.stats().unmatched != unmatched + 1 {
            return Err("it is wanted too long, or not long enough".into());
        }
        drop(wire);
        stage.finish().await
    })
}

/// BI-61: a million changes of mind leave an XPUB the first word and the last.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_changes_of_mind() -> Result {
    millions("BI-61 full", async {
        let both = [command("SUBSCRIBE", b"a"), command("CANCEL", b"a")].concat();
        let stage = a_million(SocketType::XPub, SocketType::Sub, &both).await?;
        // The canary's trips have received the two that were left.
        let received = stage.victim.stats().received;
        if received.dropped < 2 * MILLION as u64 - 100 || received.queued > 2 {
            return Err(format!("{received:?}").into());
        }
        stage.finish().await
    })
}

/// BI-62: each of a hundred thousand subscribers that vanish is told of twice.
#[test]
#[ignore = "at full size, in a release build"]
fn a_hundred_thousand_subscribers_vanish() -> Result {
    millions("BI-62 full", async {
        let mut stage = Stage::lone(SocketType::XPub, Side::Bound, options()).await?;
        for number in 0..100_000_u32 {
            let mut wire = stage.peer(&session(SocketType::Sub)).await?;
            let topic = number.to_be_bytes();
            wire.write_all(&command("SUBSCRIBE", &topic)).await?;
            if number % 2 == 0 {
                settle().await;
            }
            drop(wire);
            for word in [1, 0] {
                let told = soon("a word of it", stage.victim.recv()).await??;
                if told.first() != &[&[word][..], &topic].concat()[..] {
                    return Err(format!("{told:?} of {number}").into());
                }
            }
            stage.drain();
        }
        stage.finish().await
    })
}

/// BI-66, BI-70: a million messages to who receives none.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_messages_to_who_receives_none() -> Result {
    for (kind, peer) in [
        (SocketType::Pub, SocketType::XSub),
        (SocketType::Push, SocketType::Pull),
    ] {
        millions("BI-66 BI-70 full", async {
            let message = [frame(MORE, b"upstream"), frame(0, &[7; 50])].concat();
            let stage = a_million(kind, peer, &message).await?;
            counted("dropped", stage.victim.stats().received.dropped)?;
            stage.finish().await
        })?;
    }
    Ok(())
}

/// BI-69: a million replies that nobody waits for, and then the one that is.
#[test]
#[ignore = "at full size, in a release build"]
fn a_million_replies_to_nothing() -> Result {
    millions("BI-69 full", async {
        let reply = [frame(MORE, b""), frame(0, b"unasked")].concat();
        let stage = a_million(SocketType::Req, SocketType::Rep, &reply).await?;
        let dropped = stage.victim.stats().received.dropped;
        if dropped < MILLION as u64 {
            return Err(format!("{dropped} dropped").into());
        }
        stage.finish().await
    })
}
