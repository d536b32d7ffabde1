//! The kernel's own faults: packets lost, connections reset, a narrow path, in a network of their own.
//!
//! Needs root, `unshare`, `ip`, `tc` and `nft`.

use std::collections::{HashMap, HashSet};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use pushsub::{
    Dealer, Event, LinkError, Message, Monitor, Options, Pair, PeerInfo, Pub, Pull, Push,
    RecvError, Rep, Req, Router, Sub,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::Result;
use crate::crowd::alone;
use crate::other::{Orders, Other, answer};

/// Between two heartbeats: more than five round trips, also where a packet comes on its second retransmission.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// For how long everybody talks.
const TALK: Duration = Duration::from_secs(5);

/// What one kind of sockets has seen.
#[derive(Default)]
struct Seen {
    messages: u32,
    /// Connections that ended, and those among them that ended for want of a sign of life.
    cut: usize,
    silent: usize,
}

fn options() -> Options {
    Options::default()
        .heartbeat_interval(Some(HEARTBEAT))
        .reconnect(Duration::from_millis(1), Duration::from_millis(100))
}

fn numbered(number: u32) -> Message {
    let mut octets = number.to_be_bytes().to_vec();
    octets.resize(4 + number as usize * 37 % 1_000, number.to_le_bytes()[0]);
    Message::from(octets)
}

/// The number of a message, which must be to the octet what was sent.
fn number(message: &Message) -> Result<u32> {
    let payload = message.frames().last().ok_or("no frame")?;
    let number = u32::from_be_bytes(*payload.first_chunk().ok_or("a part of a message")?);
    if *payload == numbered(number).frames()[0] {
        return Ok(number);
    }
    Err(format!("corrupt: {number}").into())
}

/// Sends a thousand in a second, as far as the socket lets it, until the time is over.
async fn say(end: Instant, send: impl AsyncFn(Message) -> Result) -> Result {
    let mut tick = interval(Duration::from_millis(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for message in 0.. {
        tick.tick().await;
        // What is ready at once is given no look at the time.
        match timeout_at(end, send(numbered(message))).await {
            Ok(sent) if Instant::now() < end => sent?,
            _ => break,
        }
    }
    Ok(())
}

/// Counts what comes until the time is over: on each link in order, and nothing twice. What a reset link
/// has left may come while the next link is read.
async fn hear(
    end: Instant,
    receive: impl AsyncFn() -> std::result::Result<(Message, Arc<PeerInfo>), RecvError>,
) -> Result<u32> {
    let (mut all, mut last) = (HashSet::new(), HashMap::new());
    while let Ok(received) = timeout_at(end, receive()).await {
        let (message, peer) = received?;
        let number = number(&message)?;
        let last = last.insert(peer.connection, number);
        if !all.insert(number) || last.is_some_and(|last| last > number) {
            return Err(format!("mis-ordered: {number} behind {last:?}").into());
        }
        if Instant::now() >= end {
            break;
        }
    }
    Ok(all.len() as u32)
}

/// Counts the connections that end, until the time is over.
async fn watch(end: Instant, mut monitor: Monitor) -> (usize, usize) {
    let (mut cut, mut silent) = (0, 0);
    while let Ok(Some(event)) = timeout_at(end, monitor.next()).await {
        if let Event::Disconnected { reason, .. } = event {
            // A REQ whose request was given up ends its connection itself.
            cut += usize::from(reason != LinkError::GivenUp);
            silent += usize::from(reason == LinkError::Silent);
        }
    }
    (cut, silent)
}

/// Joins two sockets, and lets one say what the other hears.
macro_rules! talk {
    ($end:ident, $from:expr => $to:expr) => {{
        let (from, to) = ($from, $to);
        from.connect(to.bind("tcp://127.0.0.1:*").await?)?;
        let (said, heard, ours, theirs) = tokio::join!(
            say($end, async |message| Ok(from.send(message).await?)),
            hear($end, async || to.recv_from().await),
            watch($end, from.monitor()),
            watch($end, to.monitor()),
        );
        said?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Seen {
            messages: heard?,
            cut: ours.0.max(theirs.0),
            silent: ours.1 + theirs.1,
        })
    }};
}

/// A request after the other, each with its reply.
async fn ask(end: Instant) -> Result<Seen> {
    let (req, rep) = (Req::with_options(options())?, Rep::with_options(options())?);
    req.connect(rep.bind("tcp://127.0.0.1:*").await?)?;
    let asking = async {
        let mut messages = 0;
        for asked in 0.. {
            // A request that was lost has no end but this.
            let soon = end.min(Instant::now() + HEARTBEAT);
            match timeout_at(soon, req.request(numbered(asked))).await {
                Ok(Ok(reply)) if number(&reply)? == asked => messages += 1,
                Ok(Ok(reply)) => return Err(format!("{reply:?} for {asked}").into()),
                _ => {}
            }
            if Instant::now() >= end {
                break;
            }
        }
        Ok::<u32, Box<dyn std::error::Error + Send + Sync>>(messages)
    };
    let answering = async {
        while let Ok(Ok((request, responder))) = timeout_at(end, rep.recv()).await {
            // Whoever asked may be gone.
            let _ = responder.send(request);
        }
    };
    let watching = watch(end, req.monitor());
    let (messages, (), (cut, silent)) = tokio::join!(asking, answering, watching);
    Ok(Seen {
        messages: messages?,
        cut,
        silent,
    })
}

/// Plays both ends of each pattern for some milliseconds.
pub(crate) async fn play(mut orders: Orders) -> Result {
    answer("ready");
    while let Some(order) = orders.recv().await {
        let end = Instant::now() + Duration::from_millis(order.parse()?);
        let seen = tokio::join!(
            async { talk!(end, Push::with_options(options())? => Pull::with_options(options())?) },
            async { talk!(end, Pair::with_options(options())? => Pair::with_options(options())?) },
            async {
                talk!(end, Dealer::with_options(options())? => Router::with_options(options())?)
            },
            async { talk!(end, Pub::with_options(options())? => subscriber()?) },
            ask(end),
        );
        let all = [seen.0?, seen.1?, seen.2?, seen.3?, seen.4?];
        let messages: Vec<_> = all.iter().map(|seen| seen.messages.to_string()).collect();
        let sum = |of: fn(&Seen) -> usize| all.iter().map(of).sum::<usize>();
        let (cut, silent) = (sum(|seen| seen.cut), sum(|seen| seen.silent));
        answer(format_args!("{} {cut} {silent}", messages.join("/")));
    }
    Ok(())
}

fn subscriber() -> Result<Sub> {
    let subscriber = Sub::with_options(options())?;
    subscriber.subscribe("");
    Ok(subscriber)
}

/// Whether this machine lets us make weather; says what is missing where it may be missing.
fn can() -> bool {
    let tried = Command::new("unshare")
        .args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && tc qdisc && nft list ruleset",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var_os("PUSHSUB_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(
        !required,
        "PUSHSUB_REQUIRE_ALL is set: no root, unshare, ip, tc or nft"
    );
    println!(
        "SKIPPED: needs root; install unshare, ip, tc and nft with apt-get install iproute2 nftables"
    );
    false
}

/// Talks for so long in a network of its own, which `rules` make. Returns connections cut and those found silent.
fn talk_in(name: &str, rules: &str, time: Duration) -> Result<(usize, usize)> {
    let network = format!(
        "exec unshare --net sh -c 'ip link set lo up && {rules} && exec \"$0\" \"$@\"' \"$0\" \"$@\""
    );
    let mut process = Other::start_with(&network, "weather")?;
    process.answer()?;
    let told = process.ask(time.as_millis())?;
    let [messages, cut, silent] = told.split(' ').collect::<Vec<_>>()[..] else {
        return Err(told.into());
    };
    println!(
        "{name}: {messages} messages of PUSH, PAIR, DEALER, PUB and REQ, corrupt 0, mis-ordered 0; \
         {cut} connections cut, {silent} of them silent"
    );
    let counts = messages.split('/').map(str::parse::<u32>);
    let counts: Vec<_> = counts.collect::<std::result::Result<_, _>>()?;
    assert!(
        counts.iter().all(|count| *count > 0),
        "{name}: nothing came through: {messages}"
    );
    assert!(
        counts.iter().sum::<u32>() > 100,
        "{name}: hardly anything came through"
    );
    Ok((cut.parse()?, silent.parse()?))
}

const TABLE: &str =
    "nft add table inet t && nft \"add chain inet t i { type filter hook input priority 0; }\"";

fn hit(share: u32, what: &str) -> String {
    format!(
        "{TABLE} && nft \"add rule inet t i meta l4proto tcp numgen random mod 100 < {share} {what}\""
    )
}

/// FT-20: with the kernel's own faults nothing is corrupt, twice or out of the order of its link, and at a loss of 5 % nobody is
/// taken for dead.
#[test]
#[ignore = "three quarters of a minute, and needs root"]
fn sockets_outlive_bad_weather() -> Result {
    if !can() {
        return Ok(());
    }
    let _alone = alone();
    for share in [1, 5] {
        let seen = talk_in(&format!("loss of {share} %"), &hit(share, "drop"), TALK)?;
        assert_eq!(seen, (0, 0), "a loss of {share} %");
    }
    // Each packet of a handshake that is lost is sent again ever later.
    talk_in("loss of 20 %", &hit(20, "drop"), 4 * TALK)?;
    let (cut, silent) = talk_in("resets of 1 %", &hit(1, "reject with tcp reset"), TALK)?;
    assert!(cut > 0 && silent == 0, "{cut} cut, {silent} silent");
    let small = "ip link set lo mtu 500";
    assert_eq!(talk_in("packets of 500 octets", small, TALK)?, (0, 0));
    let narrow = "ip link set lo mtu 1500 && tc qdisc add dev lo root tbf rate 1mbit burst 32kbit latency 400ms";
    assert_eq!(talk_in("1 Mbit/s", narrow, TALK)?, (0, 0));
    Ok(())
}
