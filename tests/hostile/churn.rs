//! Real connections: made and cut by thousands, reset, and more of them than there are descriptors.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use futures::StreamExt;
use pushsub::{Endpoint, Event, Options, Pull, Push};
use tokio::time::timeout;

use crate::support::alone::alone;
use crate::support::log::Log;
use crate::support::octets::session;
use crate::support::tally::Row;
use crate::support::{Result, in_real_time};

/// Open descriptors of this process.
fn descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

async fn bound(options: Options) -> Result<(Pull, SocketAddr)> {
    let pull = Pull::with_options(options)?;
    let endpoint: Endpoint = pull.bind("tcp://127.0.0.1:*").await?;
    let text = endpoint.to_string();
    Ok((pull, text.trim_start_matches("tcp://").parse()?))
}

async fn canary(pull: &Pull, address: SocketAddr) -> Result {
    let push = Push::new();
    push.connect(format!("tcp://{address}"))?;
    for number in 0..100 {
        push.send(format!("canary {number}")).await?;
        let limit = Duration::from_secs(5);
        let message = timeout(limit, pull.recv()).await??;
        if message.first() != format!("canary {number}").as_bytes() {
            return Err(format!("{message:?}").into());
        }
    }
    Ok(())
}

/// How a connection is left.
#[derive(Clone, Copy)]
enum Leave {
    /// With a FIN.
    Close,
    /// With a RST.
    Reset,
}

/// Connects, says a part of a session, and leaves.
fn come_and_go(address: SocketAddr, octets: &[u8], leave: Leave) -> Result {
    use std::io::Write;
    let mut stream = TcpStream::connect(address)?;
    if let Leave::Reset = leave {
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO))?;
    }
    // A victim that has closed already is none of our concern.
    let _ = stream.write_all(octets);
    Ok(())
}

/// BI-25: connections made and cut as fast as they can be, with FIN and RST, leave nothing.
#[test]
fn connections_that_come_and_go_leave_nothing() -> Result {
    let body = |row: &mut Row| churn(row, Duration::from_secs(2), 3_000);
    alone(
        "BI-25",
        "churn::connections_that_come_and_go_leave_nothing",
        "",
        body,
    )
}

/// BI-25: the same for half a minute.
#[test]
#[ignore = "half a minute of a soak"]
fn connections_come_and_go_for_half_a_minute() -> Result {
    let body = |row: &mut Row| churn(row, Duration::from_secs(30), 60_000);
    alone(
        "BI-25 soak",
        "churn::connections_come_and_go_for_half_a_minute",
        "",
        body,
    )
}

fn churn(row: &mut Row, limit: Duration, most: usize) -> Result {
    in_real_time(async {
        let (pull, address) = bound(Options::default()).await?;
        canary(&pull, address).await?;
        let before = descriptors()?;
        let octets = session(pushsub::SocketType::Push);
        let churning = tokio::task::spawn_blocking(move || {
            let since = Instant::now();
            let mut count = 0;
            while since.elapsed() < limit && count < most {
                let length = count * 7 % (octets.len() + 1);
                let leave = if count % 2 == 0 {
                    Leave::Reset
                } else {
                    Leave::Close
                };
                if come_and_go(address, &octets[..length], leave).is_err() {
                    break;
                }
                count += 1;
            }
            count
        });
        row.held(churning.await?);
        canary(&pull, address).await?;
        for _ in 0..10_000 {
            if descriptors()? <= before && pull.stats().peers.is_empty() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(format!("{} descriptors in place of {before}", descriptors()?).into())
    })
}

/// C15, BI-20, FT-24: descriptors run out, accepting waits for them, and goes on when they are there again.
#[test]
fn accepting_goes_on_when_descriptors_are_there_again() -> Result {
    let path = "churn::accepting_goes_on_when_descriptors_are_there_again";
    alone("BI-25 descriptors", path, "ulimit -n 64", |row| {
        in_real_time(async {
            let log = Log::listen();
            let (pull, address) = bound(Options::default()).await?;
            let mut monitor = pull.monitor();
            let mut streams = Vec::new();
            // Both ends are ours, so that half of the descriptors are the victim's.
            while let Ok(stream) = TcpStream::connect(address) {
                streams.push(stream);
                tokio::task::yield_now().await;
            }
            row.held(streams.len());
            let mut waits = Vec::new();
            while waits.len() < 3 {
                let event = timeout(Duration::from_secs(5), monitor.next()).await?;
                if let Some(Event::AcceptFailed { wait, .. }) = event {
                    waits.push(wait);
                }
            }
            if log.lines() < waits.len() as u64 {
                return Err("the log does not tell".into());
            }
            log.check(1)?;
            // Three are below the longest wait, where they would cease to grow.
            let longer = waits.is_sorted_by(|one, next| one < next);
            if !longer || waits[0] < Duration::from_millis(10) {
                return Err(format!("{waits:?}").into());
            }
            drop(streams);
            canary(&pull, address).await
        })
    })
}

/// BI-115: what a socket opens is closed in a child process.
#[cfg(target_os = "linux")]
#[test]
fn descriptors_are_closed_on_exec() -> Result {
    let path = "churn::descriptors_are_closed_on_exec";
    alone("BI-115", path, "", |row| {
        let inherited: Vec<_> = flags()?.into_iter().map(|(number, _)| number).collect();
        in_real_time(async {
            let (pull, address) = bound(Options::default()).await?;
            let push = Push::new();
            push.connect(format!("tcp://{address}"))?;
            let folder = std::env::temp_dir().join(format!("hostile-{}", std::process::id()));
            std::fs::create_dir(&folder)?;
            pull.bind(format!("ipc://{}", folder.join("socket").display()))
                .await?;
            push.connect(format!("ipc://{}", folder.join("socket").display()))?;
            for _ in 0..4 {
                push.send("open").await?;
                pull.recv().await?;
            }
            let told = flags()?;
            std::fs::remove_dir_all(&folder)?;
            let ours = told
                .iter()
                .filter(|(number, _)| !inherited.contains(number));
            let mut count = 0;
            for (number, flags) in ours {
                count += 1;
                // O_CLOEXEC, in the octal of the file.
                if flags & 0o2_000_000 == 0 {
                    return Err(format!("descriptor {number} has flags {flags:o}").into());
                }
            }
            row.held(count);
            (count >= 4)
                .then_some(())
                .ok_or_else(|| "there are hardly any".into())
        })
    })
}

/// The open descriptors and their flags.
#[cfg(target_os = "linux")]
fn flags() -> Result<Vec<(u32, u32)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo")? {
        let entry = entry?;
        // The one of this folder itself is gone when it is looked at.
        let Ok(text) = std::fs::read_to_string(entry.path()) else {
            continue;
        };
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let number = entry.file_name().to_string_lossy().parse()?;
        all.push((number, u32::from_str_radix(flags.unwrap_or("0").trim(), 8)?));
    }
    Ok(all)
}
