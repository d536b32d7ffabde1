//! What the library allocates while peers stall, by an allocator that counts: a binary of its own.

use std::alloc::System;
use std::future::Future;
use std::time::Duration;

use cap::Cap;
use pushsub::{Context, Endpoint, Options, Pub, Pull, Push, Router};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const BUDGET: usize = 64 << 20;
const MOST: usize = BUDGET + BUDGET / 20;
const PEERS: usize = 100;
const LARGE: usize = 1 << 20;

fn within(context: &Context) -> Options {
    Options::default()
        .context(context)
        .heartbeat_interval(None)
        .send_high_water_mark_bytes(64 << 20)
        .receive_high_water_mark_bytes(64 << 20)
}

/// A peer that has said what it is and never reads.
async fn stalled(
    endpoint: &Endpoint,
    socket_type: &str,
    name: &str,
    more: &[u8],
) -> Result<TcpStream> {
    let address = endpoint.to_string().replace("tcp://", "");
    let mut stream = TcpStream::connect(address).await?;
    let mut octets = vec![0; 64];
    (octets[0], octets[9], octets[10]) = (0xFF, 0x7F, 3);
    octets[12..16].copy_from_slice(b"NULL");
    let mut ready = b"\x05READY".to_vec();
    for (key, value) in [("Socket-Type", socket_type), ("Identity", name)] {
        ready.push(u8::try_from(key.len())?);
        ready.extend(key.as_bytes());
        ready.extend(u32::try_from(value.len())?.to_be_bytes());
        ready.extend(value.as_bytes());
    }
    octets.extend([4, u8::try_from(ready.len())?]);
    octets.extend(ready);
    octets.extend(more);
    stream.write_all(&octets).await?;
    Ok(stream)
}

/// Lets the sessions do what they can.
async fn settled() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

/// A pair of sockets of the context that exchanges small messages.
async fn healthy(context: &Context) -> Result {
    let pull = Pull::with_options(within(context))?;
    let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
    let push = Push::with_options(within(context))?;
    push.connect(&endpoint)?;
    for number in 0..1_000_u32 {
        push.send(number.to_be_bytes().to_vec()).await?;
        assert_eq!(pull.recv().await?.first()[..], number.to_be_bytes());
    }
    Ok(())
}

/// Runs one case: returns when its sockets and peers are gone.
async fn measured<F: Future<Output = Result>>(
    name: &str,
    stall: impl FnOnce(Context) -> F,
) -> Result {
    let context = Context::builder().budget(BUDGET).build();
    let before = ALLOCATOR.allocated();
    let peak = ALLOCATOR.max_allocated();
    stall(context.clone()).await?;
    settled().await;
    let most = ALLOCATOR.max_allocated();
    println!("{name}: before {before}, peak until then {peak}, peak {most}");
    assert!(
        most - before <= MOST,
        "{name}: {} above {MOST}",
        most - before
    );
    assert_eq!(context.used(), 0, "{name}");
    let left = ALLOCATOR.allocated().saturating_sub(before);
    assert!(left < 1 << 20, "{name}: {left} octets stay");
    Ok(())
}

async fn peers(endpoint: &Endpoint, socket_type: &str, more: &[u8]) -> Result<Vec<TcpStream>> {
    let mut peers = Vec::new();
    for number in 0..PEERS {
        peers.push(stalled(endpoint, socket_type, &format!("peer-{number}"), more).await?);
    }
    settled().await;
    Ok(peers)
}

async fn push_to_stalled_peers(context: Context) -> Result {
    let push = Push::with_options(within(&context))?;
    let endpoint = push.bind("tcp://127.0.0.1:*").await?;
    let peers = peers(&endpoint, "PULL", &[]).await?;
    let mut full = 0;
    while full < 10 {
        if push.try_send(vec![7; LARGE]).is_err() {
            full += 1;
            settled().await;
        }
    }
    assert!(context.used() > BUDGET - 2 * LARGE, "{context:?}");
    healthy(&context).await?;
    drop(peers);
    push.close(Duration::ZERO).await;
    Ok(())
}

async fn route_to_stalled_peers(context: Context) -> Result {
    let router = Router::with_options(within(&context))?;
    let endpoint = router.bind("tcp://127.0.0.1:*").await?;
    let peers = peers(&endpoint, "DEALER", &[]).await?;
    for number in 0..12 * PEERS {
        let name = format!("peer-{}", number % PEERS);
        router.try_send([name.into_bytes(), vec![7; LARGE]])?;
        tokio::task::yield_now().await;
    }
    assert!(router.stats().sent.dropped.full > 0);
    assert!(context.used() > BUDGET / 2, "{context:?}");
    healthy(&context).await?;
    drop(peers);
    router.close(Duration::ZERO).await;
    Ok(())
}

async fn publish_to_stalled_peers(context: Context) -> Result {
    let publisher = Pub::with_options(within(&context))?;
    let endpoint = publisher.bind("tcp://127.0.0.1:*").await?;
    let peers = peers(&endpoint, "SUB", &[0, 1, 1]).await?;
    for _ in 0..40 {
        publisher.try_send(vec![7; LARGE])?;
        settled().await;
    }
    assert!(publisher.stats().sent.dropped.full > 0);
    healthy(&context).await?;
    drop(peers);
    publisher.close(Duration::ZERO).await;
    Ok(())
}

async fn pull_that_never_receives(context: Context) -> Result {
    let pull = Pull::with_options(within(&context))?;
    let endpoint = pull.bind("tcp://127.0.0.1:*").await?;
    let mut writing = JoinSet::new();
    let mut header = vec![2];
    header.extend((LARGE as u64).to_be_bytes());
    for mut peer in peers(&endpoint, "PUSH", &[]).await? {
        let header = header.clone();
        writing.spawn(async move {
            static PAYLOAD: [u8; LARGE] = [7; LARGE];
            while peer.write_all(&header).await.is_ok() && peer.write_all(&PAYLOAD).await.is_ok() {}
        });
    }
    for _ in 0..20 {
        settled().await;
    }
    assert!(context.used() > BUDGET / 2, "{context:?}");
    healthy(&context).await?;
    writing.shutdown().await;
    pull.close(Duration::ZERO).await;
    Ok(())
}

/// C2, BI-63, BI-67: 100 peers that stall, and messages of 1 MiB.
///
/// One after the other, as all share the allocator.
#[test]
fn stalled_peers_never_hold_more_than_the_budget() -> Result {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        measured("push", push_to_stalled_peers).await?;
        measured("router", route_to_stalled_peers).await?;
        measured("pub", publish_to_stalled_peers).await?;
        measured("pull", pull_that_never_receives).await
    })
}
