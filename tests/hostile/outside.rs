//! Real floods over tcp against a victim in a process of its own, measured from outside.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pushsub::{Options, Pull, SocketType};

use crate::support::octets::{MORE, frame, session};
use crate::support::process::{Orders, Process, role};
use crate::support::tally::Row;
use crate::support::{Result, in_real_time};

/// Links of a flood.
const LINKS: usize = 4;

/// The kernel's buffers of each.
const BUFFER: usize = 64 << 10;

/// What one link writes at most.
const MOST: usize = 12 << 20;

/// What a kernel that takes nothing for so long has no more room for.
const FULL: Duration = Duration::from_millis(150);

/// After so long without one no message is on its way.
const QUIET: Duration = Duration::from_secs(2);

/// What a flood has on the wire at least before nobody takes more.
const LEAST: usize = 256 << 10;

/// The port of an endpoint.
pub(crate) fn port(endpoint: &pushsub::Endpoint) -> Result<u16> {
    let text = endpoint.to_string();
    let (_, port) = text.rsplit_once(':').ok_or("no port")?;
    Ok(port.parse()?)
}

/// A victim that receives so many messages, and then none until it is told to take all.
fn reluctant(role: &str) -> Result {
    let (greed, messages) = role.split_once(' ').ok_or("no such role")?;
    let (greed, messages): (u64, usize) = (greed.parse()?, messages.parse()?);
    in_real_time(async {
        // The kernel keeps little, so that what is measured is what the library keeps.
        let options = Options::default()
            .receive_buffer(BUFFER)
            .receive_high_water_mark(messages);
        let pull = Pull::with_options(options)?;
        let bound = port(&pull.bind("tcp://127.0.0.1:*").await?)?;
        let mut orders = Orders::begin(&[bound]);
        for _ in 0..greed {
            pull.recv().await?;
        }
        while orders.next().await.is_some() {
            // All that is there comes at once; nothing for a while is the end of it.
            let mut drained = 0;
            while let Ok(received) = tokio::time::timeout(QUIET, pull.recv()).await {
                received?;
                drained += 1;
            }
            orders.drained(drained, crate::ALLOCATOR.allocated());
        }
        Ok(())
    })
}

/// Shakes hands as a peer of this type; what the victim says is left unread.
fn peer(port: u16, kind: SocketType) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    socket2::SockRef::from(&stream).set_send_buffer_size(BUFFER)?;
    stream.write_all(&session(kind))?;
    stream.read_exact(&mut [0; 64])?;
    stream.set_write_timeout(Some(FULL))?;
    Ok(stream)
}

/// Writes these octets again and again until nobody takes them. Returns how many were taken.
fn flood(stream: &mut TcpStream, octets: &[u8]) -> std::io::Result<usize> {
    let mut taken = 0;
    let mut at = 0;
    while taken < MOST {
        match stream.write(&octets[at..]) {
            Ok(count) => {
                taken += count;
                at = (at + count) % octets.len();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Floods all of these at once. Returns how many octets were taken together.
fn flood_all(streams: &mut [TcpStream], octets: &[u8]) -> Result<usize> {
    std::thread::scope(|scope| {
        let start = |stream| scope.spawn(move || flood(stream, octets));
        let floods: Vec<_> = streams.iter_mut().map(start).collect();
        let mut wire = 0;
        for flood in floods {
            wire += flood.join().map_err(|_| "an attacker panicked")??;
        }
        Ok(wire)
    })
}

/// C15, BI-39, O3: what nobody receives costs four times its octets on the wire at most, and
/// no more than the marks say; when it is received the memory comes back.
#[test]
fn what_nobody_receives_costs_little_more_than_its_octets() -> Result {
    if let Some(role) = role() {
        return reluctant(&role);
    }
    let path = "outside::what_nobody_receives_costs_little_more_than_its_octets";
    let mut row = Row::new("C15 resident");
    let empty = [frame(MORE, b"").repeat(999), frame(0, b"")].concat();
    let floods = [
        ("1 octet", frame(0, b"x").repeat(20_000)),
        ("64 octets", frame(0, &[7; 64]).repeat(2_000)),
        ("empty frames", empty.repeat(20)),
        ("1 MiB", frame(0, &vec![7; 1 << 20])),
    ];
    for (name, octets) in &floods {
        // Where the marks hold.
        let by_wire = |wire: usize| 4 * wire;
        // Where only the octets have a mark.
        let by_mark = |_: usize| LINKS * (8 << 20);
        let role = "20 1000";
        let told = resident(path, role, octets, by_wire);
        row.note(format_args!("{name} {role}"), told);
        let role = "0 1000000000";
        let told = resident(path, role, octets, by_mark);
        row.note(format_args!("{name} {role}"), told);
    }
    row.finish()
}

/// Octets that a victim may keep of what it did not have before, such as its threads.
const SLACK: usize = 2 << 20;

fn resident(path: &str, role: &str, octets: &[u8], most: impl Fn(usize) -> usize) -> Result {
    let mut victim = Process::start(path, role)?;
    let descriptors = victim.descriptors()?;
    let mut streams = Vec::new();
    for _ in 0..LINKS {
        streams.push(peer(victim.ports[0], SocketType::Push)?);
    }
    let before = victim.resident()?;
    let wire = flood_all(&mut streams, octets)?;
    let grown = victim.resident()?.saturating_sub(before);
    drop(streams);
    let (messages, allocated) = victim.drain()?;
    let left = victim.resident()?.saturating_sub(before);
    let open = victim.descriptors()?;
    println!("{role}: {wire} on the wire, {grown} in memory, {messages} messages, {left} left");
    victim.finish()?;
    if wire < LEAST || messages == 0 {
        return Err(format!("{wire} octets and {messages} messages are no flood").into());
    }
    if grown > most(wire) + SLACK {
        return Err(format!("{grown} octets for {wire} on the wire").into());
    }
    if open != descriptors {
        return Err(format!("{open} descriptors in place of {descriptors}").into());
    }
    // A heap of very many small pieces has holes, which are the allocator's and not ours.
    let holes = if octets[0] == MORE { grown } else { 0 };
    if allocated <= SLACK / 4 && left <= before / 10 + SLACK + holes {
        return Ok(());
    }
    Err(format!("{left} of {grown} octets are left, {allocated} allocated").into())
}
