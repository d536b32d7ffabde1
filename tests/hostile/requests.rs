//! Envelopes that are none, replies that nobody asked for, and peers that a PAIR has no place for.

use pushsub::{Message, SocketType};
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::support::octets::{COMMAND, MORE, frame, session};
use crate::support::stage::{Delivery, Fate, Side, Stage, options, read_frame};
use crate::support::tally::Row;
use crate::support::victim::{Victim, partner, soon};
use crate::support::{Result, in_virtual_time, settle};

const SIDES: [Side; 2] = [Side::Bound, Side::Dials];

/// A message of these frames.
fn frames(frames: &[&[u8]]) -> Vec<u8> {
    let last = frames.len() - 1;
    let frames = frames.iter().enumerate();
    frames
        .flat_map(|(number, body)| frame(if number < last { MORE } else { 0 }, body))
        .collect()
}

/// BI-68: an envelope without a delimiter, with too many hops or octets is no request.
#[test]
fn what_is_no_request_never_reaches_the_application() -> Result {
    let mut row = Row::new("BI-68");
    let hop: &[u8] = b"hop";
    let large = vec![1; 65 << 10];
    let (thousand, seventeen, sixteen) = (vec![hop; 1_000], vec![hop; 17], vec![hop; 16]);
    let end: &[&[u8]] = &[b"", b"body"];
    let cases = [
        ("no delimiter", frames(&[b"body"]), None),
        ("no delimiter in two", frames(&[b"hop", b"body"]), None),
        ("only a delimiter", frames(&[b""]), Some("")),
        ("delimiter and nothing", frames(&[b"", b""]), Some("")),
        ("1,000 hops", frames(&[&thousand[..], end].concat()), None),
        ("17 hops", frames(&[&seventeen[..], end].concat()), None),
        (
            "16 hops",
            frames(&[&sixteen[..], end].concat()),
            Some("body"),
        ),
        ("65 KiB of a hop", frames(&[&large, b"", b"body"]), None),
        ("a sound one", frames(end), Some("body")),
    ];
    for side in SIDES {
        for (name, octets, request) in &cases {
            for delivery in [
                Delivery::Whole,
                Delivery::Split(1),
                Delivery::Split(octets.len() / 2),
            ] {
                let told = in_virtual_time(asks(side, octets, delivery, *request));
                row.note(format_args!("{side:?} {name} {delivery:?}"), told);
            }
        }
    }
    row.finish()
}

/// Sends this to a REP, then a sound request: the REP gets both, or only the second.
async fn asks(side: Side, octets: &[u8], delivery: Delivery, request: Option<&str>) -> Result {
    let mut stage = Stage::new(SocketType::Rep, side, options()).await?;
    let mut wire = stage.peer(&session(SocketType::Dealer)).await?;
    crate::support::stage::deliver(&mut wire, octets, delivery).await;
    wire.write_all(&frames(&[b"", b"sound"])).await?;
    let Victim::Rep(rep) = stage.victim.clone() else {
        return Err("no REP".into());
    };
    for wanted in request.into_iter().chain(["sound"]) {
        let (request, responder) = soon("a request", rep.recv()).await??;
        if request.first() != wanted.as_bytes() {
            return Err(format!("{request:?} in place of {wanted}").into());
        }
        responder.send("reply")?;
    }
    // Each gets its reply, in the order of the requests, and nothing else is said.
    for _ in request.into_iter().chain(["sound"]) {
        while soon("a frame", read_frame(&mut wire)).await??.0 & MORE != 0 {}
    }
    stage.round_trip().await
}

/// BI-68: a second request before the first has its reply waits its turn.
#[test]
fn requests_without_waiting_are_answered_in_order() -> Result {
    let mut row = Row::new("BI-68 order");
    for side in SIDES {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Rep, side, options()).await?;
            let mut wire = stage.peer(&session(SocketType::Req)).await?;
            for number in 0..100_u8 {
                wire.write_all(&frames(&[b"", &[number]])).await?;
            }
            let Victim::Rep(rep) = stage.victim.clone() else {
                return Err("no REP".into());
            };
            for number in 0..100_u8 {
                let (request, responder) = soon("a request", rep.recv()).await??;
                responder.send(request)?;
                soon("a delimiter", read_frame(&mut wire)).await??;
                let (_, body) = soon("a reply", read_frame(&mut wire)).await??;
                if body != [number] {
                    return Err(format!("{body:?} in place of {number}").into());
                }
            }
            stage.round_trip().await
        });
        row.note(format_args!("{side:?}"), told);
    }
    row.finish()
}

/// BI-69: what is no reply, or nobody's, is dropped, and the reply that is one still comes.
#[test]
fn only_the_reply_ends_a_request() -> Result {
    let mut row = Row::new("BI-69");
    let cases = [
        ("no delimiter", frames(&[b"bad"])),
        ("no delimiter in two", frames(&[b"bad", b"bad"])),
        ("only a delimiter", frames(&[b""])),
        ("id in front", frames(&[b"\0\0\0\x01", b"", b"bad"])),
        ("1,000 frames", frames(&vec![&b"x"[..]; 1_000])),
        ("a thousand of them", frames(&[b"bad"]).repeat(1_000)),
    ];
    for side in SIDES {
        for (name, octets) in &cases {
            for early in [false, true] {
                let told = in_virtual_time(replies(side, octets, early));
                row.note(format_args!("{side:?} {name} early {early}"), told);
            }
        }
        let reply = frames(&[b"", b"unasked"]);
        let told = in_virtual_time(replies(side, &reply, true));
        row.note(format_args!("{side:?} a reply before the request"), told);
        let told = in_virtual_time(two_replies(side));
        row.note(format_args!("{side:?} two replies"), told);
    }
    row.finish()
}

/// Says this before or after the request has come, then the reply.
async fn replies(side: Side, octets: &[u8], early: bool) -> Result {
    let mut stage = Stage::lone(SocketType::Req, side, options()).await?;
    let mut wire = stage.peer(&session(SocketType::Rep)).await?;
    if early {
        wire.write_all(octets).await?;
        settle().await;
    }
    let Victim::Req(req) = stage.victim.clone() else {
        return Err("no REQ".into());
    };
    let answering = async {
        request_of(&mut wire).await?;
        if !early {
            wire.write_all(octets).await?;
        }
        wire.write_all(&frames(&[b"", b"good"])).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let (reply, answered) = tokio::join!(soon("a reply", req.request("ask")), answering);
    answered?;
    same(&reply??, "good")
}

fn same(reply: &Message, wanted: &str) -> Result {
    if reply.frames() == [wanted] {
        return Ok(());
    }
    Err(format!("{reply:?} in place of {wanted}").into())
}

/// Reads a request to its last frame, whatever commands come before it.
async fn request_of(wire: &mut DuplexStream) -> Result {
    loop {
        let (flags, _) = soon("a request", read_frame(wire)).await??;
        if flags & (COMMAND | MORE) == 0 {
            return Ok(());
        }
    }
}

/// The second reply answers nothing, least of all the next request.
async fn two_replies(side: Side) -> Result {
    let mut stage = Stage::lone(SocketType::Req, side, options()).await?;
    let mut wire = stage.peer(&session(SocketType::Rep)).await?;
    let Victim::Req(req) = stage.victim.clone() else {
        return Err("no REQ".into());
    };
    for number in 0..20 {
        let reply = format!("reply {number}");
        let answering = async {
            request_of(&mut wire).await?;
            wire.write_all(&frames(&[b"", reply.as_bytes()])).await?;
            wire.write_all(&frames(&[b"", b"once more"])).await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let (got, answered) = tokio::join!(soon("a reply", req.request("ask")), answering);
        answered?;
        same(&got??, &reply)?;
        settle().await;
    }
    Ok(())
}

/// BI-70: a PAIR that has its peer turns every other away, and has a place again when that one goes.
#[test]
fn a_pair_has_one_peer() -> Result {
    let mut row = Row::new("BI-70");
    for rounds in 0..4 {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Pair, Side::Bound, options()).await?;
            let octets = session(SocketType::Pair);
            let mut first = stage.peer(&octets).await?;
            settle().await;
            stage.accept_tasks();
            for delivery in [
                Delivery::Whole,
                Delivery::Octets,
                Delivery::Split(64 + rounds),
            ] {
                stage.attack(&octets, delivery, Fate::Refused).await?;
            }
            first.write_all(&frame(0, b"still here")).await?;
            let heard = soon("the first", stage.victim.recv()).await??;
            if heard.first() != "still here" {
                return Err(format!("{heard:?}").into());
            }
            drop(first);
            settle().await;
            stage.attack(&octets, Delivery::Whole, Fate::Stays).await
        });
        row.note(rounds, told);
        row.held(3);
    }
    row.finish()
}

/// BI-70: what goes against the direction of a pattern is dropped and counted, and costs no memory.
#[test]
fn what_goes_against_the_direction_is_dropped() -> Result {
    let mut row = Row::new("BI-70 direction");
    for kind in [SocketType::Push, SocketType::Pub] {
        for side in SIDES {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(kind, side, options()).await?;
                let mut wire = stage.peer(&session(partner(kind))).await?;
                let octets = frames(&[b"against", b"the direction"]).repeat(20_000);
                wire.write_all(&octets).await?;
                settle().await;
                let ping = crate::support::octets::ping(0, b"done");
                wire.write_all(&ping).await?;
                while soon("a PONG", read_frame(&mut wire)).await??.1 != b"\x04PONGdone" {}
                let received = stage.victim.stats().received;
                if received.dropped != 20_000 || received.queued != 0 {
                    return Err(format!("{received:?}").into());
                }
                stage.round_trip().await
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}
