//! A ROUTER with many peers that say nothing, and those peers: as little of ZMTP as keeps a link alive.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Outcome;
use super::orders::Orders;
use crate::resources;
use crate::rivals::{Kind, Socket};

/// For how long nothing happens: each peer gets one heartbeat or two.
const REST: Duration = Duration::from_secs(12);

/// For a peer to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Frames with this flag are commands.
const COMMAND: u8 = 0x04;

/// Frames with this flag have a length of eight octets.
const LONG: u8 = 0x02;

/// Holds the peers and weighs them when it is told that all are there.
pub(super) async fn hold<S: Socket>(
    endpoints: &[String],
    peers: usize,
    mut orders: Orders,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    let router = S::bind(Kind::Router, endpoints).await?;
    let before = resources::resident()?;
    ready();
    let mut work = JoinSet::new();
    work.spawn(router.hold());
    let weighed = async {
        orders.wait_for("weigh").await?;
        let cpu = resources::cpu_seconds()?;
        if timeout(REST, orders.wait_for("stop")).await.is_ok() {
            bail!("it was not left at rest");
        }
        let outcome = Outcome {
            sent: peers as u64,
            at_rest: (resources::cpu_seconds()? - cpu) / REST.as_secs_f64() * 100.0,
            per_peer: (resources::resident()? - before) / peers as f64,
            ..Outcome::done()
        };
        println!("weighed");
        orders.wait_for("stop").await?;
        anyhow::Ok(outcome)
    };
    tokio::select! {
        ended = work.join_next() => {
            if let Some(ended) = ended {
                ended??;
            }
            bail!("it no longer holds its peers")
        }
        outcome = weighed => outcome,
    }
}

/// Connects them all at once, says when they are there, and counts on the order to stop who is left.
pub(super) async fn peers(
    endpoint: &str,
    count: usize,
    speak: bool,
    mut orders: Orders,
) -> Result<Outcome> {
    let address = endpoint.strip_prefix("tcp://").context("peers need tcp")?;
    let mut arriving = JoinSet::new();
    for _ in 0..count {
        arriving.spawn(timeout(PATIENCE, arrive(address.to_owned(), speak)));
    }
    let mut staying = JoinSet::new();
    while let Some(arrived) = arriving.join_next().await {
        if let Ok(Ok(stream)) = arrived? {
            staying.spawn(stay(stream));
        }
    }
    println!("connected");
    orders.wait_for("stop").await?;
    while staying.try_join_next().is_some() {}
    Ok(Outcome {
        sent: count as u64,
        received: staying.len() as u64,
        ..Outcome::done()
    })
}

/// The greeting and the handshake of a DEALER without security.
async fn arrive(address: String, speak: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    if !speak {
        return Ok(stream);
    }
    let mut octets = vec![0; 64];
    (octets[0], octets[9], octets[10], octets[11]) = (0xff, 0x7f, 3, 1);
    octets[12..16].copy_from_slice(b"NULL");
    let ready = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";
    octets.extend([COMMAND, ready.len() as u8]);
    octets.extend(ready);
    stream.write_all(&octets).await?;
    stream.read_exact(&mut octets[..64]).await?;
    let (flags, body) = frame(&mut stream).await?;
    if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
        bail!("it is not ready");
    }
    Ok(stream)
}

/// Answers heartbeats until the connection ends.
async fn stay(mut stream: TcpStream) -> Result<()> {
    loop {
        let (flags, body) = frame(&mut stream).await?;
        // Its time to live, of two octets, is followed by the context, which the answer returns.
        if let Some([_, _, context @ ..]) = body.strip_prefix(b"\x04PING")
            && flags & COMMAND != 0
        {
            let mut pong = vec![COMMAND, 5 + context.len() as u8];
            pong.extend(b"\x04PONG");
            pong.extend(context);
            stream.write_all(&pong).await?;
        }
    }
}

/// The flags of the next frame, and what is in it.
async fn frame(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let flags = stream.read_u8().await?;
    let length = if flags & LONG == 0 {
        usize::from(stream.read_u8().await?)
    } else {
        usize::try_from(stream.read_u64().await?)?
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((flags, body))
}
