//! Peers that read nothing and go on sending PINGs: cut where they would miss messages, waited for elsewhere.

use std::time::Duration;

use futures::StreamExt;
use pushsub::{Event, LinkError, Message, Options, Overflow, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

use crate::support::octets::{MORE, command, frame, ping, session, session_as};
use crate::support::stage::{Side, Stage, options};
use crate::support::tally::Row;
use crate::support::victim::{Victim, partner, soon};
use crate::support::{Result, in_virtual_time, settle};

const SIDES: [Side; 2] = [Side::Bound, Side::Dials];

/// What the peer reads nothing of.
const LARGE: usize = 100_000;

/// A sign of life so often.
const BREATH: Duration = Duration::from_secs(5);

/// Brings the victim to write to this peer for ever: a stage at whose wire nobody reads.
async fn stuck(
    kind: SocketType,
    side: Side,
    options: Options,
) -> Result<(Stage, DuplexStream, Instant)> {
    let mut stage = Stage::lone(kind, side, options).await?;
    let octets = match kind {
        SocketType::Router => session_as(SocketType::Dealer, b"stuck"),
        kind => session(partner(kind)),
    };
    let mut wire = stage.peer(&octets).await?;
    settle().await;
    stage.drain();
    match (kind, stage.victim.clone()) {
        (SocketType::Rep, Victim::Rep(rep)) => {
            for _ in 0..8 {
                wire.write_all(&[frame(MORE, b""), frame(0, b"ask")].concat())
                    .await?;
                let (_, responder) = soon("a request", rep.recv()).await??;
                responder.send(vec![0; LARGE])?;
            }
        }
        (SocketType::Req, Victim::Req(req)) => {
            tokio::spawn(async move { req.request(vec![0; 10 * LARGE]).await.is_ok() });
            settle().await;
        }
        (SocketType::Router, victim) => {
            for _ in 0..8 {
                victim.try_send(Message::from([b"stuck".to_vec(), vec![0; LARGE]]));
            }
        }
        (_, victim) => {
            wire.write_all(&command("SUBSCRIBE", b"")).await?;
            settle().await;
            for _ in 0..8 {
                victim.try_send(Message::from(vec![0; LARGE]));
            }
        }
    }
    settle().await;
    Ok((stage, wire, Instant::now()))
}

/// Writes a PING every few seconds, reads nothing, and says why and when the link ended.
async fn breathe(
    stage: &mut Stage,
    wire: &mut DuplexStream,
    since: Instant,
    limit: Duration,
) -> Option<(LinkError, Duration)> {
    let monitor = &mut stage.monitor;
    let ending = async {
        loop {
            match monitor.next().await {
                Some(Event::Disconnected { reason, .. }) => return reason,
                Some(_) => {}
                None => return LinkError::ClosedHere,
            }
        }
    };
    let breathing = async {
        loop {
            let _ = wire.write_all(&ping(0, b"still here")).await;
            let _ = timeout(BREATH, std::future::pending::<()>()).await;
        }
    };
    tokio::select! {
        reason = ending => Some((reason, since.elapsed())),
        () = breathing => None,
        _ = timeout(limit, std::future::pending::<()>()) => None,
    }
}

/// BI-63, C15: where a slow peer misses messages, one that takes nothing for 30 s is cut, alive or not.
#[test]
fn where_messages_are_missed_a_peer_that_takes_nothing_is_cut() -> Result {
    let mut row = Row::new("BI-63 stall");
    let (least, most) = (Duration::from_secs(30), Duration::from_millis(40_100));
    for kind in [
        SocketType::Pub,
        SocketType::XPub,
        SocketType::Router,
        SocketType::Rep,
    ] {
        for side in SIDES {
            let told = in_virtual_time(async {
                let (mut stage, mut wire, since) = stuck(kind, side, options()).await?;
                let limit = Duration::from_secs(100);
                match breathe(&mut stage, &mut wire, since, limit).await {
                    Some((LinkError::Stalled, took)) if took >= least && took <= most => Ok(()),
                    other => Err(format!("{other:?}").into()),
                }
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

/// BI-52: a PULL writes nothing but answers, and ends the link of who asks slowly and never reads them.
#[test]
fn answers_that_nobody_reads_end_the_link_of_a_pull() -> Result {
    let mut row = Row::new("BI-52 stall");
    for side in SIDES {
        let told = in_virtual_time(async {
            let mut stage = Stage::lone(SocketType::Pull, side, options()).await?;
            let mut wire = stage.peer(&session(SocketType::Push)).await?;
            // The answers to these fill the wire; they come too slowly for a flood.
            for _ in 0..3_000 {
                wire.write_all(&ping(0, b"sixteen octets..")).await?;
                let _ = timeout(BREATH / 250, std::future::pending::<()>()).await;
            }
            stage.drain();
            let (since, limit) = (Instant::now(), Duration::from_secs(60));
            match breathe(&mut stage, &mut wire, since, limit).await {
                Some((LinkError::Stalled, _)) => Ok(()),
                other => Err(format!("{other:?}").into()),
            }
        });
        row.note(format_args!("{side:?}"), told);
    }
    row.finish()
}

/// BI-63: a peer that takes a little now and then is slow and not stuck, however much waits for it.
#[test]
fn a_peer_that_takes_a_little_is_not_cut() -> Result {
    let mut row = Row::new("BI-63 slow");
    for kind in [SocketType::Pub, SocketType::Router] {
        for side in SIDES {
            let told = in_virtual_time(async {
                let (mut stage, mut wire, since) = stuck(kind, side, options()).await?;
                for _ in 0..20 {
                    let limit = Duration::from_secs(25);
                    let end = breathe(&mut stage, &mut wire, since, limit).await;
                    if end.is_some() {
                        return Err(format!("{end:?}").into());
                    }
                    soon("a little", wire.read_exact(&mut [0; 20_000])).await??;
                }
                Ok(())
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

/// BI-55, BI-63: where a slow peer makes the sender wait, and where an option says so, one that is
/// heard of may pause for an hour, and gets what waited for it.
#[test]
fn where_the_sender_waits_a_peer_may_pause_for_an_hour() -> Result {
    let mut row = Row::new("BI-55 pause");
    let told = [
        (SocketType::Push, options()),
        (SocketType::Dealer, options()),
        (SocketType::Pair, options()),
        (SocketType::Req, options()),
        (SocketType::Pub, options().overflow(Overflow::Block)),
        (SocketType::Router, options().mandatory(true)),
        (SocketType::XPub, options().stall_timeout(None)),
    ];
    for (kind, options) in told {
        for side in SIDES {
            let told = in_virtual_time(async {
                let (mut stage, mut wire, since) = stuck(kind, side, options.clone()).await?;
                let hour = Duration::from_secs(3_600);
                if let Some(end) = breathe(&mut stage, &mut wire, since, hour).await {
                    return Err(format!("{end:?}").into());
                }
                let mut all = vec![0; 8 * LARGE];
                soon("what waited", wire.read_exact(&mut all)).await??;
                Ok(())
            });
            row.note(format_args!("{kind} {side:?}"), told);
        }
    }
    row.finish()
}

/// BI-55: two sockets of this library, of which the one receives nothing for an hour, stay together.
#[test]
fn an_application_may_receive_nothing_for_an_hour() -> Result {
    let mut row = Row::new("BI-55 application");
    for (from, to) in [
        (SocketType::Push, SocketType::Pull),
        (SocketType::Dealer, SocketType::Dealer),
        (SocketType::Pair, SocketType::Pair),
    ] {
        row.note(from, in_virtual_time(pause(from, to)));
    }
    row.finish()
}

async fn pause(from: SocketType, to: SocketType) -> Result {
    let endpoint = format!("memory://{}", crate::support::memory_name());
    let (sender, receiver) = (
        Victim::new(from, Options::default())?,
        Victim::new(to, Options::default())?,
    );
    receiver.bind(&endpoint).await?;
    let mut monitors = [sender.monitor(), receiver.monitor()];
    sender.connect(&endpoint)?;
    let mut sent = 0_usize;
    // Until the queues of both and the wire between them are full.
    for _ in 0..100 {
        while sender.try_send(Message::from(vec![0; 10_000])) {
            sent += 1;
        }
        settle().await;
    }
    let hour = Duration::from_secs(3_600);
    let _ = timeout(hour, std::future::pending::<()>()).await;
    for _ in 0..sent {
        soon("what waited", receiver.recv()).await??;
    }
    for monitor in &mut monitors {
        while let Some(Some(event)) = futures::FutureExt::now_or_never(monitor.next()) {
            if matches!(event, Event::Disconnected { .. }) {
                return Err(format!("{event:?}").into());
            }
        }
    }
    Ok(())
}
