//! Those who connect and leave at once, thousands in a second.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::Result;
use crate::crowd::{Base, alone, endpoint};
use crate::other::{Other, answer};

/// Connections in a second.
const RATE: u32 = 2_000;

/// A greeting and the READY of a DEALER, of which each connection says a part.
fn session() -> Vec<u8> {
    let mut octets = vec![0; 64];
    octets[0] = 0xFF;
    octets[9] = 0x7F;
    octets[10] = 3;
    octets[12..16].copy_from_slice(b"NULL");
    octets.extend(b"\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06DEALER");
    octets
}

/// Plays one who connects and leaves, for so many milliseconds. Every other one leaves with a RST.
pub(crate) fn play(endpoint: &str, milliseconds: u64) -> Result {
    let address: SocketAddr = endpoint.trim_start_matches("tcp://").parse()?;
    let session = session();
    let (since, limit) = (Instant::now(), Duration::from_millis(milliseconds));
    let mut count: u32 = 0;
    while since.elapsed() < limit {
        let due = Duration::from_secs(1) * count / RATE;
        let early = due.saturating_sub(since.elapsed());
        if !early.is_zero() {
            std::thread::park_timeout(early);
            continue;
        }
        come_and_go(address, count, &session)?;
        count += 1;
    }
    answer(count);
    Ok(())
}

fn come_and_go(address: SocketAddr, count: u32, session: &[u8]) -> Result {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Several sources, for the ports of one that closed are not free again for a minute.
    let last = u8::try_from(2 + count / 2 % 16)?;
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&source.into())?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    if count.is_multiple_of(2) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    let said = count as usize * 7 % (session.len() + 1);
    // Whoever has been closed already has left, too.
    let _ = stream.write_all(&session[..said]);
    Ok(())
}

/// Churns for so long, with so many connections at least.
fn churn(time: Duration, least: u32) -> Result {
    let _alone = alone();
    let endpoint = endpoint()?;
    let mut bound = Other::start(format!("bound router {endpoint}"))?;
    bound.answer()?;
    let mut canary = Other::start(format!("dialling dealer {endpoint} 1"))?;
    canary.answer()?;
    canary.ask("trips 100")?;
    let before = Base::of(&mut bound)?;
    let mut churning = Other::start(format!("churning {endpoint} {}", time.as_millis()))?;
    let mut slowest = 0;
    let since = Instant::now();
    while since.elapsed() < time.mul_f64(0.9) {
        slowest = slowest.max(canary.ask("trips 100")?.parse::<u64>()?);
    }
    let count: u32 = churning.answer()?.parse()?;
    bound.ask("peers 1")?;
    let mut after = Base::of(&mut bound)?;
    for _ in 0..50 {
        if after.descriptors <= before.descriptors && after.tasks <= before.tasks {
            break;
        }
        bound.rest(Duration::from_millis(100))?;
        after = Base::of(&mut bound)?;
    }
    canary.ask("trips 100")?;
    println!(
        "churn: {count} connections in {time:?}, 99 of 100 round trips in {slowest} us at most; \
         before {before:?}, after {after:?}"
    );
    assert!(count >= least, "{count} connections are no churn");
    assert!(slowest <= 2_000_000, "{slowest} us");
    assert_eq!(after.descriptors, before.descriptors);
    assert_eq!(after.tasks, before.tasks);
    let kept = after.allocated.saturating_sub(before.allocated);
    assert!(kept < 1 << 20, "{kept} octets stay allocated");
    Ok(())
}

/// BI-25: those who connect and leave leave nothing behind, and hold nobody up.
#[test]
fn those_who_come_and_go_leave_nothing() -> Result {
    churn(Duration::from_secs(2), 100)
}

/// BI-25.
#[test]
#[ignore = "half a minute of churn"]
fn those_who_come_and_go_for_half_a_minute_leave_nothing() -> Result {
    const SECONDS: u32 = 30;
    churn(Duration::from_secs(SECONDS.into()), RATE * SECONDS / 2)
}
