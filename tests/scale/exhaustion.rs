//! More connections than may be under way, and more than there are descriptors for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;
use crate::crowd::{Base, alone, endpoint};
use crate::other::{Orders, Other, answer};

/// Connections before the end of their handshake that a listener has under way, by default.
const HALF_OPEN: usize = 1_000;

/// Octets that one of them may cost.
const PENDING: usize = 4 << 10;

/// Plays those who connect, say one octet and nothing more, until they are told to leave.
pub(crate) async fn play(endpoint: &str, count: usize, mut orders: Orders) -> Result {
    let address = Arc::new(endpoint.trim_start_matches("tcp://").to_owned());
    let there = Arc::new(AtomicUsize::new(0));
    let mut hoard = JoinSet::new();
    for _ in 0..count {
        let (address, there) = (address.clone(), there.clone());
        hoard.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(address.as_str()).await else {
                return;
            };
            if stream.write_all(&[0xFF]).await.is_ok() {
                there.fetch_add(1, Ordering::Relaxed);
            }
            // The kernel says no word of a peer that has closed to who neither reads nor writes.
            std::future::pending::<()>().await;
            drop(stream);
        });
    }
    answer(count);
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            "there" => {}
            "leave" => hoard.shutdown().await,
            _ => return Err("no such order".into()),
        }
        answer(there.load(Ordering::Relaxed));
    }
    Ok(())
}

/// Waits until a process has so many descriptors, for ten seconds at most. Returns the most it had.
fn watch_descriptors(process: &mut Other, enough: impl Fn(usize) -> bool) -> Result<usize> {
    let (since, mut most) = (Instant::now(), 0);
    loop {
        let now = process.descriptors()?;
        most = most.max(now);
        if enough(now) {
            return Ok(most);
        }
        if since.elapsed() > Duration::from_secs(10) {
            return Err(format!("{now} descriptors").into());
        }
        process.rest(Duration::from_millis(10))?;
    }
}

/// How long a new peer takes to be served.
fn first_trip(endpoint: &str) -> Result<Duration> {
    let mut canary = Other::start(format!("dialling dealer {endpoint} 1"))?;
    // How long its process takes to start is not what is asked; it has only begun to dial.
    canary.answer()?;
    let since = Instant::now();
    canary.ask("trips 1")?;
    Ok(since.elapsed())
}

fn half_open(count: usize, handshake: u32) -> Result {
    let _alone = alone();
    let endpoint = endpoint()?;
    let mut bound = Other::start(format!("bound router,handshake={handshake} {endpoint}"))?;
    bound.answer()?;
    let before = Base::of(&mut bound)?;
    let mut hoard = Other::start(format!("hoarding {endpoint} {count}"))?;
    hoard.answer()?;
    let full = before.descriptors + HALF_OPEN;
    watch_descriptors(&mut bound, |now| now >= full)?;
    let after = Base::of(&mut bound)?;
    let each = after.allocated.saturating_sub(before.allocated) / HALF_OPEN;
    let resident = after.resident.saturating_sub(before.resident) / HALF_OPEN;
    // As they time out, others take their places, and never more.
    bound.ask(format!("refused {}", HALF_OPEN + 500))?;
    assert!(bound.descriptors()? <= full, "accepting does not pause");
    hoard.ask("leave")?;
    let most = watch_descriptors(&mut bound, |now| now <= before.descriptors + HALF_OPEN / 2)?;
    assert!(most <= full, "{most} descriptors");
    let served = first_trip(&endpoint)?;
    println!(
        "{count} half-open: {HALF_OPEN} under way at most, {each} octets each allocated, {resident} \
         resident; a good peer is served {served:?} after there is room"
    );
    assert!(each <= PENDING, "{each} octets for a half-open link");
    assert!(served <= Duration::from_secs(1), "{served:?}");
    Ok(())
}

/// BI-20, C15: of those who say one octet and nothing more a thousand are under way at most; others
/// follow as they time out, and who is good is served once there is room.
#[test]
fn two_thousand_half_open_links_wait_for_their_turn() -> Result {
    half_open(2_000, 2_000)
}

/// BI-20, C15.
#[test]
#[ignore = "fifteen thousand connections"]
fn fifteen_thousand_half_open_links_wait_for_their_turn() -> Result {
    half_open(15_000, 2_000)
}

/// FT-24: without descriptors accepting waits and costs no processor, those who are there are served,
/// and within two seconds of descriptors being there others are.
#[test]
fn a_socket_outlives_a_want_of_descriptors() -> Result {
    const WANT: Duration = Duration::from_secs(2);
    let _alone = alone();
    let endpoint = endpoint()?;
    let mut bound = Other::start_with("ulimit -n 100", format!("bound router {endpoint}"))?;
    bound.answer()?;
    let mut canary = Other::start(format!("dialling dealer {endpoint} 1"))?;
    canary.answer()?;
    canary.ask("trips 100")?;
    let mut hoard = Other::start(format!("hoarding {endpoint} 1000"))?;
    hoard.answer()?;
    bound.ask("starved 1")?;
    let (used, since) = (bound.processor()?, Instant::now());
    bound.rest(WANT)?;
    let share = (bound.processor()? - used).as_secs_f64() / since.elapsed().as_secs_f64();
    let slowest: u64 = canary.ask("trips 100")?.parse()?;
    hoard.ask("leave")?;
    let served = first_trip(&endpoint)?;
    println!(
        "no descriptors: {:.2} % of a core, 99 of 100 round trips of one who is there in {slowest} us, \
         a new one is served after {served:?}",
        share * 100.0
    );
    assert!(share < 0.1, "{share} of a core");
    assert!(slowest <= 2_000_000, "{slowest} us");
    assert!(served <= Duration::from_secs(2), "{served:?}");
    Ok(())
}
