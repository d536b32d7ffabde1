//! Half-open links, drips, PINGs without end, servers that are none: time and room have limits.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use pushsub::testing::Listening;
use pushsub::{Event, LinkError, Message, Options, Pull, Push, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::support::log::Log;
use crate::support::octets::{COMMAND, command, greeting, ping, session};
use crate::support::stage::{HANDSHAKE, Side, Stage, options, read_frame};
use crate::support::tally::Row;
use crate::support::victim::{partner, soon};
use crate::support::{Result, in_virtual_time, memory_name, settle};

const KINDS: &[SocketType] = &[
    SocketType::Pull,
    SocketType::Router,
    SocketType::Pub,
    SocketType::Push,
    SocketType::Rep,
];
const SIDES: [Side; 2] = [Side::Bound, Side::Dials];

/// BI-20: at the limit of half-open links accepting pauses, and goes on as soon as there is room.
#[test]
fn half_open_links_have_a_limit() -> Result {
    let mut row = Row::new("BI-20");
    for (limit, flood) in [(10, 50), (100, 500), (1_000, 1_500)] {
        let told = in_virtual_time(async {
            let options = options().max_half_open(limit);
            let mut stage = Stage::new(SocketType::Pull, Side::Bound, options).await?;
            let mut wires = Vec::new();
            for number in 0..flood {
                let mut wire = stage.wire().await?;
                let _ = wire.write_all(&[0xFF]).await;
                wires.push(wire);
                if number % 64 == 63 {
                    settle().await;
                }
                if wires.len() >= 1_000 + limit {
                    break;
                }
            }
            settle().await;
            stage.round_trip().await?;
            // Half of those that hold a place leave: a new peer is let in within a second.
            let since = Instant::now();
            wires.clear();
            let mut good = stage.wire().await?;
            good.write_all(&session(SocketType::Push)).await?;
            soon("a greeting", good.read_exact(&mut [0; 64])).await??;
            if since.elapsed() > Duration::from_secs(1) {
                return Err(format!("it took {:?}", since.elapsed()).into());
            }
            drop(good);
            settle().await;
            stage.finish().await
        });
        row.note(format_args!("{flood} over {limit}"), told);
        row.held(flood - 1);
    }
    row.finish()
}

/// BI-20: who waits behind half-open links that never end gets in when their time is over.
#[test]
fn half_open_links_end_with_their_time_and_make_room() -> Result {
    let mut row = Row::new("BI-20 time");
    let told = in_virtual_time(async {
        let options = options().max_half_open(20);
        let mut stage = Stage::new(SocketType::Pull, Side::Bound, options).await?;
        let mut wires = Vec::new();
        for _ in 0..60 {
            wires.push(stage.wire().await?);
        }
        let since = Instant::now();
        let mut good = stage.wire().await?;
        good.write_all(&session(SocketType::Push)).await?;
        let limit = HANDSHAKE * 3 + Duration::from_secs(1);
        timeout(limit, good.read_exact(&mut [0; 64])).await??;
        if since.elapsed() < HANDSHAKE * 3 - Duration::from_millis(20) {
            return Err("the limit let more in".into());
        }
        stage.round_trip().await
    });
    row.note("three lots of 20", told);
    row.finish()
}

/// BI-21: octets that come one by one, whatever they say, do not lengthen the handshake.
#[test]
fn a_drip_does_not_lengthen_the_handshake() -> Result {
    let mut row = Row::new("BI-21");
    for kind in KINDS.iter().copied() {
        for side in SIDES {
            for pause in [7, 20, 100] {
                let told = in_virtual_time(drip(kind, side, Duration::from_millis(pause)));
                row.note(format_args!("{kind} {side:?} {pause} ms"), told);
            }
        }
    }
    row.finish()
}

/// An octet each pause, of a session that would take longer than there is time.
async fn drip(kind: SocketType, side: Side, pause: Duration) -> Result {
    let mut stage = Stage::new(kind, side, options()).await?;
    stage.drain();
    let mut wire = stage.wire().await?;
    let since = Instant::now();
    let mut told = Vec::new();
    for octet in session(partner(kind)).chunks(1) {
        if wire.write_all(octet).await.is_err() {
            break;
        }
        if timeout(pause, wire.read_to_end(&mut told)).await.is_ok() {
            break;
        }
    }
    let lasted = since.elapsed();
    let on_time = lasted >= HANDSHAKE - Duration::from_millis(100)
        && lasted <= HANDSHAKE + Duration::from_millis(100);
    if !on_time {
        return Err(format!("it lasted {lasted:?}").into());
    }
    stage.round_trip().await
}

/// BI-26: a peer that leaves behind each octet of a good session leaves nothing behind.
#[test]
fn a_session_that_ends_anywhere_leaves_nothing() -> Result {
    let mut row = Row::new("BI-26");
    for kind in KINDS.iter().copied() {
        for side in SIDES {
            let octets = [session(partner(kind)), ping(0, b"x"), command("NONE", b"")].concat();
            let told = in_virtual_time(async {
                let mut stage = Stage::new(kind, side, options()).await?;
                for length in 0..=octets.len() {
                    let mut wire = stage.wire().await?;
                    wire.write_all(&octets[..length]).await?;
                    if length % 2 == 0 {
                        settle().await;
                    }
                    drop(wire);
                }
                stage.finish().await
            });
            row.note(format_args!("{kind} {side:?}"), told);
            row.held(octets.len());
        }
    }
    row.finish()
}

/// BI-27: what came before a half-close is heard, then the link ends.
#[test]
fn what_came_before_a_half_close_is_heard() -> Result {
    let mut row = Row::new("BI-27");
    for kind in [SocketType::Pull, SocketType::Dealer, SocketType::Pair] {
        for side in SIDES {
            let told = in_virtual_time(async {
                let mut stage = Stage::lone(kind, side, options()).await?;
                let mut wire = stage.peer(&session(partner(kind))).await?;
                for number in 0..100_u8 {
                    wire.write_all(&[0, 1, number]).await?;
                }
                wire.shutdown().await?;
                for number in 0..100_u8 {
                    let message = soon("a message", stage.victim.recv()).await??;
                    if message.first() != &[number][..] {
                        return Err(format!("{message:?} in place of {number}").into());
                    }
                }
                let mut rest = Vec::new();
                soon("the end", wire.read_to_end(&mut rest)).await??;
                Ok(())
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

/// What a server that is none does to whoever dials it.
#[derive(Clone, Copy, Debug)]
enum Server {
    Silent,
    Garbage,
    Closes,
    ClosesAfterHandshake,
}

/// BI-28: a server that is none is dialled ever less often, for an hour, and `close` ends it.
#[test]
fn a_server_that_is_none_is_dialled_ever_less_often() -> Result {
    let mut row = Row::new("BI-28");
    for server in [
        Server::Silent,
        Server::Garbage,
        Server::Closes,
        Server::ClosesAfterHandshake,
    ] {
        let told = in_virtual_time(an_hour_with(server));
        row.note(format_args!("{server:?}"), told);
    }
    row.finish()
}

async fn an_hour_with(server: Server) -> Result {
    let name = memory_name();
    let mut listening = Listening::bind(&name)?;
    let push = Push::new();
    push.connect(format!("memory://{name}"))?;
    let mut dialled = 0_u32;
    let serving = async {
        let mut silent = Vec::new();
        loop {
            let mut wire = listening.accept().await?;
            dialled += 1;
            match server {
                Server::Silent => silent.push(wire),
                Server::Garbage => wire.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?,
                Server::Closes => drop(wire),
                Server::ClosesAfterHandshake => {
                    wire.write_all(&session(SocketType::Pull)).await?;
                    let _ = wire.read_exact(&mut [0; 64]).await;
                    let _ = read_frame(&mut wire).await;
                }
            }
        }
    };
    let hour = Duration::from_secs(3_600);
    let ended: std::result::Result<Result, _> = timeout(hour, serving).await;
    if let Ok(result) = ended {
        return result;
    }
    // With full jitter the mean wait is 15 s at the end: some 240 in an hour, and never a loop.
    if !(60..1_200).contains(&dialled) {
        return Err(format!("dialled {dialled} times").into());
    }
    soon("the end of the socket", push.close(Duration::ZERO)).await?;
    Ok(())
}

/// BI-29: an endpoint where nobody is, for an hour: tried at the longest interval, found when it comes.
#[test]
fn an_endpoint_where_nobody_is_is_tried_for_ever() -> Result {
    let mut row = Row::new("BI-29");
    let told = in_virtual_time(async {
        let name = memory_name();
        let push = Push::new();
        let mut monitor = push.monitor();
        push.connect(format!("memory://{name}"))?;
        let mut waits = Vec::new();
        let counting = async {
            while let Some(event) = monitor.next().await {
                if let Event::Retrying { wait, .. } = event {
                    waits.push(wait);
                }
            }
        };
        let _ = timeout(Duration::from_secs(3_600), counting).await;
        let most = waits.iter().max().copied().unwrap_or_default();
        if !(100..1_000).contains(&waits.len()) || most > Duration::from_secs(30) {
            return Err(format!("{} attempts, {most:?} at most", waits.len()).into());
        }
        let pull = Pull::new();
        pull.bind(format!("memory://{name}")).await?;
        push.send("at last").await?;
        let came = timeout(Duration::from_secs(31), pull.recv()).await??;
        (came.first() == "at last")
            .then_some(())
            .ok_or_else(|| "another message".into())
    });
    row.note("an hour", told);
    row.finish()
}

/// BI-52: a peer that asks and asks and never reads has one answer waiting, and is cut in the end.
#[test]
fn a_flood_of_pings_has_one_answer_waiting() -> Result {
    let mut row = Row::new("BI-52");
    for kind in KINDS.iter().copied() {
        for side in SIDES {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(kind, side, options()).await?;
                let mut wire = stage.peer(&session(partner(kind))).await?;
                stage.drain();
                let octets = ping(0, b"sixteen octets..").repeat(1_000);
                let since = Instant::now();
                let flooding = async {
                    // One by one, until the answers fill the wire.
                    for ping in octets.chunks(octets.len() / 1_000).cycle().take(4_000) {
                        let _ = wire.write_all(ping).await;
                        tokio::task::yield_now().await;
                    }
                    while wire.write_all(&octets).await.is_ok() {
                        let pause = Duration::from_millis(100);
                        let _ = timeout(pause, std::future::pending::<()>()).await;
                    }
                };
                let flooded = timeout(Duration::from_secs(60), flooding).await;
                flooded.map_err(|_| "it is never cut")?;
                let lasted = since.elapsed();
                if lasted < Duration::from_secs(9) || lasted > Duration::from_secs(31) {
                    return Err(format!("cut after {lasted:?}").into());
                }
                stage.cut_for(&LinkError::Stalled).await?;
                stage.round_trip().await
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

impl Stage {
    /// The events say that the link ended for this reason.
    async fn cut_for(&mut self, wanted: &LinkError) -> Result {
        loop {
            match soon("an event", self.monitor.next()).await? {
                Some(Event::Disconnected { reason, .. }) if reason == *wanted => return Ok(()),
                Some(_) => {}
                None => return Err("the monitor has ended".into()),
            }
        }
    }
}

/// BI-52: a peer that reads late finds one answer in place of ten thousand, to the last question.
#[test]
fn the_newest_ping_is_the_one_that_is_answered() -> Result {
    let mut row = Row::new("BI-52 newest");
    for kind in KINDS.iter().copied() {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(kind, Side::Bound, options()).await?;
            let mut wire = stage.peer(&session(partner(kind))).await?;
            // All in one read, so that only the newest is there when a writer comes.
            let mut octets = Vec::new();
            for number in 0..200_u32 {
                octets.extend(ping(0, &number.to_be_bytes()));
            }
            wire.write_all(&octets).await?;
            let mut answers = 0;
            loop {
                let (_, body) = soon("a PONG", read_frame(&mut wire)).await??;
                answers += u32::from(body.starts_with(b"\x04PONG"));
                if body == [&b"\x04PONG"[..], &199_u32.to_be_bytes()].concat() {
                    break;
                }
            }
            (answers < 20)
                .then_some(())
                .ok_or_else(|| format!("{answers} answers").into())
        });
        row.note(kind, told);
    }
    row.finish()
}

/// BI-55, H03: an answer to a PING waits for the message that is being written and for no other.
#[test]
fn an_answer_waits_for_no_queue() -> Result {
    let mut row = Row::new("BI-55 answer");
    for kind in [SocketType::Push, SocketType::Dealer, SocketType::Pair] {
        for side in SIDES {
            for size in [500, 8_000, 100_000] {
                let told = in_virtual_time(answer_before_queue(kind, side, size));
                row.note(format_args!("{kind} {side:?} {size} octets"), told);
            }
        }
    }
    row.finish()
}

/// Lets a queue of messages of this size grow, asks, and reads up to the answer.
async fn answer_before_queue(kind: SocketType, side: Side, size: usize) -> Result {
    let options = options().send_high_water_mark(100_000);
    let mut stage = Stage::lone(kind, side, options).await?;
    let mut wire = stage.peer(&session(partner(kind))).await?;
    settle().await;
    while stage.victim.try_send(Message::from(vec![0; size])) {}
    // When so much is read, the writer has taken all the rest of the queue.
    let mut octets = 0;
    while octets < 512 << 10 {
        octets += soon("a frame", read_frame(&mut wire)).await??.1.len();
    }
    settle().await;
    wire.write_all(&ping(0, b"before the queue")).await?;
    settle().await;
    let mut octets = 0;
    loop {
        let (flags, body) = soon("a frame", read_frame(&mut wire)).await??;
        octets += body.len();
        if flags & COMMAND != 0 && body.starts_with(b"\x04PONG") {
            break;
        }
    }
    // The wire held 64 KiB, and one write more may have been on its way.
    let most = 3 * (64 << 10) + 2 * size;
    (octets <= most)
        .then_some(())
        .ok_or_else(|| format!("{octets} octets came first").into())
}

/// O6: of thousands that are turned away or cut each has its event, and the log ten lines a second.
#[test]
fn thousands_that_are_turned_away_are_ten_lines_a_second() -> Result {
    let mut row = Row::new("O6");
    for (name, octets, connected) in [
        ("noise", b"GET / HTTP/1.1\r\n\r\n".to_vec(), false),
        ("another type", session(SocketType::Sub), false),
        (
            "a bad frame",
            [session(SocketType::Push), vec![0xFF]].concat(),
            true,
        ),
    ] {
        let log = Log::listen();
        let told = in_virtual_time(async {
            let mut stage = Stage::lone(SocketType::Pull, Side::Bound, options()).await?;
            let mut events = 0;
            for _ in 0..2_000 {
                let mut wire = stage.wire().await?;
                let _ = wire.write_all(&octets).await;
                let ended = soon("the end", wire.read_to_end(&mut Vec::new())).await?;
                ended?;
                settle().await;
                while let Some(Some(event)) = stage.monitor.next().now_or_never() {
                    events += usize::from(match event {
                        Event::Refused { .. } => !connected,
                        Event::Disconnected { .. } => connected,
                        _ => false,
                    });
                }
            }
            (events == 2_000)
                .then_some(())
                .ok_or_else(|| format!("{events} events").into())
        });
        row.note(name, told);
        row.note(format_args!("{name}: log"), log.check(1));
        row.held(1_998);
        let silent = (log.lines() == 0).then_some("not a line in the log".into());
        row.note(name, silent.map_or(Ok(()), Err));
    }
    row.finish()
}

/// Three hundred attackers at a time, between each two of which the canary makes its trip.
#[test]
fn many_attackers_at_once_leave_the_canary_alone() -> Result {
    let mut row = Row::new("O2");
    for kind in KINDS.iter().copied() {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(kind, Side::Bound, Options::default()).await?;
            let mut wires = Vec::new();
            for number in 0..300_usize {
                let mut wire = stage.wire().await?;
                let octets = match number % 4 {
                    0 => greeting()[..number % 64].to_vec(),
                    1 => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                    2 => greeting(),
                    _ => vec![0xFF; number],
                };
                wire.write_all(&octets).await?;
                wires.push(wire);
                stage.round_trip().await?;
            }
            Ok(())
        });
        row.note(kind, told);
        row.held(299);
    }
    row.finish()
}
