//! What an attack costs in memory, counted by the allocator, in a process of its own.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use futures::StreamExt;
use pushsub::{Event, Message, Options, Pull, Push, SocketType};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::ALLOCATOR;
use crate::support::alone::{FIGURE, alone};
use crate::support::octets::{COMMAND, MORE, command, frame, greeting, header, ping, session};
use crate::support::stage::{Side, Stage, options, read_frame};
use crate::support::tally::Row;
use crate::support::victim::{partner, soon};
use crate::support::{Result, in_real_time, in_virtual_time, settle};

/// What the wires themselves take: their buffers grow to 64 KiB in each direction, and keep it.
const WIRE: usize = 2 * (64 << 10) + (16 << 10);

/// How much more is allocated than before `attack`, at the end of it.
async fn cost(attack: impl Future<Output = Result>) -> Result<usize> {
    let before = ALLOCATOR.allocated();
    attack.await?;
    Ok(ALLOCATOR.allocated().saturating_sub(before))
}

fn at_most(what: &str, cost: usize, limit: usize) -> Result {
    if cost <= limit {
        return Ok(());
    }
    Err(format!("{what} costs {cost} octets, {limit} are the most").into())
}

/// BI-31, J6: an announced length allocates nothing, before and after the handshake.
#[test]
fn an_announced_length_allocates_nothing() -> Result {
    let path = "memory::an_announced_length_allocates_nothing";
    alone("BI-31 memory", path, "", |row| {
        let mut most = 0;
        for kind in [SocketType::Pull, SocketType::Dealer, SocketType::Pub] {
            for length in [
                1 << 20,
                15 << 20,
                1 << 31,
                1 << 46,
                i64::MAX as u64,
                u64::MAX,
            ] {
                for flags in [0, MORE, COMMAND] {
                    for early in [true, false] {
                        let told = in_virtual_time(announce(kind, flags, length, early));
                        if length == i64::MAX as u64 {
                            most = most.max(*told.as_ref().unwrap_or(&0));
                        }
                        row.note(
                            format_args!("{kind} {flags} {length} {early}"),
                            told.map(drop),
                        );
                    }
                }
            }
        }
        println!("{FIGURE}a header that announces 2^63 - 1 costs {most} octets at most");
        Ok(())
    })
}

/// What the header of a frame costs that never comes, in octets.
async fn announce(kind: SocketType, flags: u8, length: u64, early: bool) -> Result<usize> {
    let mut stage = Stage::new(kind, Side::Bound, options()).await?;
    let mut wire = match early {
        true => stage.wire().await?,
        false => stage.peer(&session(partner(kind))).await?,
    };
    let octets = match early {
        true => [greeting(), header(flags, length)].concat(),
        false => header(flags, length),
    };
    let cost = cost(async {
        wire.write_all(&octets).await?;
        settle().await;
        Ok(())
    });
    let cost = cost.await?;
    at_most("a header", cost, 64 << 10)?;
    stage.round_trip().await?;
    Ok(cost)
}

/// BI-32: a hundred links that announce the largest message and send a little of it.
#[test]
fn a_message_costs_what_has_come_of_it() -> Result {
    let path = "memory::a_message_costs_what_has_come_of_it";
    alone("BI-32", path, "", |row| {
        row.held(99);
        in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Pull, Side::Bound, options()).await?;
            let mut wires = Vec::new();
            for _ in 0..100 {
                wires.push(stage.peer(&session(SocketType::Push)).await?);
            }
            let sent = 10 << 10;
            let cost = cost(async {
                for wire in &mut wires {
                    wire.write_all(&header(0, 16 << 20)).await?;
                    wire.write_all(&vec![0; sent]).await?;
                    settle().await;
                }
                Ok(())
            });
            // What has come, doubled as buffers grow, and the wires' own buffers.
            at_most("a hundred", cost.await?, 100 * (4 * sent + (32 << 10)))?;
            stage.round_trip().await
        })
    })
}

/// BI-38, BI-39: frames without end cost no more than the limits let them.
#[test]
fn frames_without_end_cost_what_the_limits_say() -> Result {
    let path = "memory::frames_without_end_cost_what_the_limits_say";
    alone("BI-38 BI-39 memory", path, "", |row| {
        for body in [&b""[..], b"x", &[0; 1_000]] {
            let told = in_virtual_time(async {
                let mut stage = Stage::new(SocketType::Pull, Side::Bound, options()).await?;
                let mut wire = stage.peer(&session(SocketType::Push)).await?;
                let octets = frame(MORE, body).repeat(1_000);
                let cost = cost(async {
                    wire.write_all(&octets).await?;
                    settle().await;
                    Ok(())
                });
                let limit = 3 * octets.len() + 1_000 * 128 + WIRE + (256 << 10);
                at_most("a thousand frames", cost.await?, limit)?;
                stage.round_trip().await
            });
            row.note(format_args!("{} octets each", body.len()), told);
        }
        Ok(())
    })
}

/// BI-52, BI-53, BI-56, BI-57, BI-66: what may be said for ever costs nothing.
#[test]
fn what_may_be_said_for_ever_costs_nothing() -> Result {
    let path = "memory::what_may_be_said_for_ever_costs_nothing";
    alone("BI-53 BI-66 memory", path, "", |row| {
        let said: [(&str, SocketType, Vec<u8>); 7] = [
            ("PONGs", SocketType::Pull, command("PONG", &[7; 16])),
            ("long PONGs", SocketType::Router, command("PONG", &[7; 250])),
            (
                "unknown commands",
                SocketType::Push,
                command("NONE", &[7; 100]),
            ),
            (
                "cancels",
                SocketType::Pub,
                command("CANCEL", b"never wanted"),
            ),
            (
                "the same topic",
                SocketType::Pub,
                command("SUBSCRIBE", b"wanted"),
            ),
            ("messages to a PUB", SocketType::Pub, frame(0, &[7; 100])),
            ("messages to a PUSH", SocketType::Push, frame(0, &[7; 100])),
        ];
        for (name, kind, octets) in said {
            let told = in_virtual_time(say_for_ever(kind, &octets.repeat(500)));
            row.note(name, told);
        }
        row.note("PINGs", in_virtual_time(ping_for_ever()));
        Ok(())
    })
}

async fn say_for_ever(kind: SocketType, octets: &[u8]) -> Result {
    let mut stage = Stage::new(kind, Side::Bound, options()).await?;
    let mut wire = stage.peer(&session(partner(kind))).await?;
    wire.write_all(octets).await?;
    settle().await;
    let cost = cost(async {
        for _ in 0..200 {
            wire.write_all(octets).await?;
        }
        settle().await;
        Ok(())
    });
    at_most("100,000", cost.await?, 256 << 10)?;
    stage.round_trip().await
}

/// The answers are read only at the end.
async fn ping_for_ever() -> Result {
    let mut stage = Stage::new(SocketType::Pull, Side::Bound, options()).await?;
    let mut wire = stage.peer(&session(SocketType::Push)).await?;
    let octets = ping(0, &[7; 16]).repeat(500);
    let cost = cost(async {
        for _ in 0..200 {
            wire.write_all(&octets).await?;
            settle().await;
        }
        Ok(())
    });
    at_most("100,000 PINGs", cost.await?, 256 << 10)?;
    soon("an answer", read_frame(&mut wire)).await??;
    stage.round_trip().await
}

/// BI-29: an hour with a name that does not resolve costs what its first minutes did.
#[test]
fn a_name_that_does_not_resolve_costs_nothing_in_an_hour() -> Result {
    let path = "memory::a_name_that_does_not_resolve_costs_nothing_in_an_hour";
    alone("BI-29 memory", path, "", |_| {
        in_virtual_time(async {
            let push = Push::new();
            let mut monitor = push.monitor();
            // No name has a part of 64 letters, so no server is asked for it.
            push.connect(format!("tcp://{}.invalid:9", "x".repeat(64)))?;
            let since = Instant::now();
            let (mut attempts, mut settled) = (0_u32, 0);
            while since.elapsed() < Duration::from_secs(3_600) {
                let Some(Event::Retrying { wait, .. }) = monitor.next().await else {
                    continue;
                };
                attempts += 1;
                if wait > Duration::from_secs(30) {
                    return Err(format!("waits {wait:?}").into());
                }
                if attempts == 20 {
                    settled = ALLOCATOR.allocated();
                }
            }
            if !(100..1_000).contains(&attempts) {
                return Err(format!("{attempts} attempts").into());
            }
            let grown = ALLOCATOR.allocated().saturating_sub(settled);
            at_most("an hour", grown, 16 << 10)
        })
    })
}

/// C15: a link that was flooded with tiny messages, all of which were received, is a small one again.
#[test]
fn a_burst_of_tiny_messages_leaves_little() -> Result {
    let path = "memory::a_burst_of_tiny_messages_leaves_little";
    alone("C15 burst", path, "", |row| {
        row.held(7);
        in_virtual_time(async {
            let options = options().receive_high_water_mark(usize::MAX);
            let mut stage = Stage::new(SocketType::Pull, Side::Bound, options).await?;
            let mut wires = Vec::new();
            for _ in 0..8 {
                wires.push(stage.peer(&session(SocketType::Push)).await?);
            }
            let octets = frame(0, b"x").repeat(100_000);
            let cost = cost(async {
                for wire in &mut wires {
                    let victim = &stage.victim;
                    let receiving = async { while victim.recv().await.is_ok() {} };
                    tokio::select! {
                        biased;
                        written = wire.write_all(&octets) => written?,
                        () = receiving => return Err("the victim is closed".into()),
                    }
                    settle().await;
                    while stage.victim.try_recv().is_some() {}
                }
                Ok(())
            });
            let limit = WIRE + 2 * 4_096 * size_of::<Message>() + (16 << 10);
            at_most("eight links", cost.await?, 8 * limit)?;
            stage.round_trip().await
        })
    })
}

/// BI-20, C15: a link before the end of its handshake costs 4 KiB at most, and gives it back.
#[test]
fn a_half_open_link_costs_little() -> Result {
    let path = "memory::a_half_open_link_costs_little";
    let limits = "ulimit -n 4096 || ulimit -n $(ulimit -H -n)";
    alone("BI-20 memory", path, limits, |row| half_open(row, 900))
}

fn half_open(row: &mut Row, count: usize) -> Result {
    row.held(count - 1);
    in_real_time(async {
        let options = Options::default()
            .handshake_timeout(Duration::from_secs(30))
            .max_half_open(count + 10);
        let pull = Pull::with_options(options)?;
        let endpoint = pull.bind("tcp://127.0.0.1:*").await?.to_string();
        let address = endpoint.trim_start_matches("tcp://").to_owned();
        let before = ALLOCATOR.allocated();
        let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect(&address)?;
            stream.write_all(&[0xFF])?;
            streams.push(stream);
            settle().await;
        }
        // All have been greeted: each is in its handshake.
        for stream in &streams {
            stream.set_nonblocking(true)?;
            while stream.peek(&mut [0; 64]).is_err() {
                tokio::task::yield_now().await;
            }
        }
        let each = (ALLOCATOR.allocated() - before) / count;
        println!("a half-open link costs {each} octets");
        at_most("a half-open link", each, 4 << 10)?;
        drop(streams);
        let push = Push::new();
        push.connect(endpoint.as_str())?;
        push.send(Message::from("canary")).await?;
        soon("the canary", pull.recv()).await??;
        let left = ALLOCATOR.allocated().saturating_sub(before);
        at_most("what is left", left, count * 400 + (256 << 10))
    })
}
