//! A server that thousands are connected to ends and comes back: so do they, and their subscriptions.

use std::time::{Duration, Instant};

use crate::Result;
use crate::crowd::Crowd;
use crate::other::Other;

/// Clients of the tests that run with all others, and of those that are asked for.
const SOME: usize = 1_000;
const MANY: usize = 10_000;

/// For how long the server is away.
const OUTAGE: Duration = Duration::from_secs(1);

fn storm(links: usize) -> Result {
    let mut crowd = Crowd::gather("router", "dealer", links)?;
    crowd.restart(OUTAGE)?;
    let since = Instant::now();
    crowd.bound.ask(format!("peers {links}"))?;
    let back = since.elapsed();
    let resident = crowd.bound.resident()?;
    let mut canary = Other::start(format!("dialling dealer {} 1", crowd.endpoint))?;
    canary.answer()?;
    let slowest: u64 = canary.ask("trips 500")?.parse()?;
    crowd.order_all()?;
    assert_eq!(crowd.came()?, links);
    println!(
        "storm: {links} of {links} back in {back:?}, the server has {} KiB a link, \
         99 of 100 round trips take {slowest} us at most",
        (resident / links) >> 10
    );
    assert!(back <= Duration::from_secs(10), "{back:?}");
    assert!(resident <= links * (64 << 10), "{resident} octets");
    assert!(slowest <= 2_000_000, "{slowest} us");
    Ok(())
}

/// FT-27: the clients of a server that restarts are all back within ten seconds, and are answered.
#[test]
fn a_thousand_clients_come_back_to_a_server() -> Result {
    storm(SOME)
}

/// FT-27.
#[test]
#[ignore = "ten thousand connections"]
fn ten_thousand_clients_come_back_to_a_server() -> Result {
    storm(MANY)
}

fn resubscribe(subscribers: usize) -> Result {
    let topics = subscribers * 10;
    let mut crowd = Crowd::gather("xpub", "sub", subscribers)?;
    crowd.bound.ask(format!("heard {topics}"))?;
    let (first, (allocated, resident)) = (crowd.gathered, crowd.cost()?);
    crowd.restart(OUTAGE)?;
    let since = Instant::now();
    crowd.bound.ask(format!("heard {topics}"))?;
    let again = since.elapsed();
    // Each topic is wanted by one: whatever is published comes to it, and to nobody else.
    crowd.order_all()?;
    crowd.bound.ask("publish")?;
    assert_eq!(crowd.came()?, topics);
    println!(
        "XPUB: {topics} topics of {subscribers} subscribers in {first:?}, again in {again:?} after a \
         restart, all published to; a link costs {allocated} octets allocated, {resident} resident"
    );
    assert!(again <= Duration::from_secs(15), "{again:?}");
    Ok(())
}

/// FT-28: all topics of all subscribers are told again to a publisher that restarts, within 15 s.
#[test]
fn a_thousand_subscribers_subscribe_again() -> Result {
    resubscribe(SOME)
}

/// FT-28.
#[test]
#[ignore = "ten thousand connections"]
fn ten_thousand_subscribers_subscribe_again() -> Result {
    resubscribe(MANY)
}
