//! One way: a sender or many, a receiver or several, as fast as it goes.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::orders::Orders;
use super::{LONGEST, Outcome, send};
use crate::resources;
use crate::rivals::{Kind, Socket};
use crate::row::{Row, Work};
use crate::tally::{PROBE, Tally, sum_of};

/// Between two probes.
const PROBING: Duration = Duration::from_millis(5);

/// What a slow receiver takes for each message.
const SLOWNESS: Duration = Duration::from_millis(1);

/// For how long it does while the others get nothing.
const PATIENCE: Duration = Duration::from_millis(20);

/// Messages that each of many senders sends in its turn.
const BURST: u64 = 64;

/// One receiver for each endpoint. Of several the sum counts, and the slowest's time.
pub(super) async fn receive<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    ready: impl FnOnce() + Send,
) -> Result<Outcome> {
    let kind = if row.is_publication() {
        Kind::Sub
    } else {
        Kind::Pull
    };
    let mut receivers = Vec::new();
    for endpoint in endpoints.chunks(1) {
        let mut receiver = S::bind(kind, endpoint).await?;
        if kind == Kind::Sub {
            for topic in topics(row.work) {
                receiver.subscribe(&topic).await?;
            }
        }
        receivers.push(receiver);
    }
    ready();
    for receiver in &mut receivers {
        let mut tally = Tally::default();
        while tally.probes < row.probes() {
            super::receive(receiver, row, &mut |payload| tally.note(payload)).await?;
        }
    }
    println!("linked");
    let cpu_before = resources::cpu_seconds()?;
    let shared = row.is_shared().then(Arc::<Shared>::default);
    let mut slow = matches!(row.work, Work::ScatterSlow(_)).then(Slow::new);
    let mut tasks = JoinSet::new();
    for receiver in receivers {
        let share = shared.clone().map(|all| Share {
            all,
            slow: slow.take(),
        });
        tasks.spawn(count(receiver, row, messages, share));
    }
    let expected = sum_of(messages, row.content);
    let mut outcome = Outcome::done();
    let mut together = 0_u64;
    while let Some(received) = tasks.join_next().await {
        let Counted {
            tally,
            elapsed,
            late,
        } = received??;
        outcome.received += tally.received;
        outcome.late += late;
        outcome.reordered += tally.reordered;
        together = together.wrapping_add(tally.checksum);
        outcome.sound &= shared.is_some() || tally.checksum == expected;
        outcome.seconds = outcome.seconds.max(elapsed.as_secs_f64());
    }
    outcome.sound &= shared.is_none() || together == expected;
    outcome.cpu = Some(resources::cpu_seconds()? - cpu_before);
    Ok(outcome)
}

/// What several receivers, each of which gets a share, know of all.
#[derive(Default)]
struct Shared {
    received: AtomicU64,
    /// All is received.
    done: Notify,
    /// When the others had the last of theirs, where a slow one has the last of all.
    over: OnceLock<Instant>,
}

/// What a receiver that gets a share knows.
struct Share {
    all: Arc<Shared>,
    /// Of the one that is.
    slow: Option<Slow>,
}

/// What the slow one sees of the others.
struct Slow {
    /// Messages that they have, and since when no more.
    others: u64,
    since: Instant,
}

impl Slow {
    fn new() -> Self {
        Self {
            others: 0,
            since: Instant::now(),
        }
    }

    /// Takes its time for so many messages, of `own` that it has by now, but hurries while the others
    /// get nothing: they have all of theirs, or the sender waits for this one and would for minutes.
    async fn take_time(&mut self, messages: u64, own: u64, all: &Shared) {
        for _ in 0..messages {
            if !self.look(own, all) && self.since.elapsed() > PATIENCE {
                return;
            }
            sleep(SLOWNESS).await;
        }
    }

    /// Looks what the others have by now. Returns whether it is more.
    fn look(&mut self, own: u64, all: &Shared) -> bool {
        let others = all.received.load(Ordering::Relaxed) - own;
        let more = others != self.others;
        if more {
            self.others = others;
            self.since = Instant::now();
        }
        more
    }
}

/// What a receiver has counted.
struct Counted {
    tally: Tally,
    elapsed: Duration,
    late: u64,
}

/// Receives so many messages, or what comes within the time; a receiver that has a share, until all
/// have that many together.
async fn count<S: Socket>(
    mut receiver: S,
    row: &'static Row,
    messages: u64,
    mut share: Option<Share>,
) -> Result<Counted> {
    let mut tally = Tally::default();
    // One clock for the whole of it: one for each batch would be part of what is measured.
    let all = timeout(LONGEST, async {
        match &mut share {
            None => {
                while tally.received < messages {
                    super::receive(&mut receiver, row, &mut |payload| tally.note(payload)).await?;
                }
            }
            Some(Share { all, slow }) => {
                let done = pin!(all.done.notified());
                let share = async {
                    loop {
                        let before = tally.received;
                        super::receive(&mut receiver, row, &mut |payload| tally.note(payload))
                            .await?;
                        let more = tally.received - before;
                        let others = all.received.fetch_add(more, Ordering::Relaxed);
                        if others + more == messages {
                            if let Some(slow) = slow {
                                slow.look(tally.received, all);
                                all.over.get_or_init(|| slow.since);
                            }
                            all.done.notify_waiters();
                            return anyhow::Ok(());
                        }
                        if let Some(slow) = slow {
                            slow.take_time(more, tally.received, all).await;
                        }
                    }
                };
                tokio::select! {
                    // Whoever waits first hears of the end, whenever it comes.
                    biased;
                    () = done => {}
                    ended = share => ended?,
                }
            }
        }
        anyhow::Ok(())
    });
    if let Ok(ended) = all.await {
        ended?;
    }
    let is_slow = share.as_ref().is_some_and(|share| share.slow.is_some());
    let over = share.as_ref().and_then(|share| share.all.over.get());
    Ok(Counted {
        elapsed: if is_slow {
            Duration::ZERO
        } else {
            tally.elapsed(over.copied())
        },
        late: if is_slow { tally.received } else { 0 },
        tally,
    })
}

/// What a subscriber asks for. Messages begin with their number, least octet first, so that its first
/// two octets tell 65,536 topics apart; what there is beyond those is further topics below the last ones.
fn topics(work: Work) -> Vec<Vec<u8>> {
    let Work::Topics(count @ 2..) = work else {
        return vec![Vec::new()];
    };
    let short = (0..=u16::MAX).map(|number| number.to_le_bytes().to_vec());
    let long = (0..=u32::MAX).map(|number| {
        let [low, middle, high, _] = number.to_le_bytes();
        vec![low, middle, high, 0xff]
    });
    short.chain(long).take(count).collect()
}

/// Sends all from one socket.
pub(super) async fn push<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    orders: Orders,
) -> Result<Outcome> {
    let push = S::connect(Kind::Push, &endpoints).await?;
    send_all(push, row, messages, orders).await
}

/// Sends all from one socket to many, once each of them is there and has had a probe.
pub(super) async fn scatter<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    mut orders: Orders,
) -> Result<Outcome> {
    let mut push = S::connect(Kind::Push, &endpoints).await?;
    let mut probe = row.payload();
    let mut ticks = interval(PROBING);
    while !orders.have_come()? {
        send(&mut push, row, &mut probe, PROBE).await?;
        push.flush().await?;
        ticks.tick().await;
    }
    send_all(push, row, messages, orders).await
}

/// Sends from many sockets, each a burst in its turn.
pub(super) async fn push_in_turns<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    peers: usize,
    mut orders: Orders,
) -> Result<Outcome> {
    let mut sockets = Vec::new();
    for _ in 0..peers {
        sockets.push(S::connect(Kind::Push, &endpoints).await?);
    }
    let mut payload = row.payload();
    for socket in &mut sockets {
        send(socket, row, &mut payload, PROBE).await?;
        socket.flush().await?;
    }
    orders.wait_for("go").await?;
    let cpu_before = resources::cpu_seconds()?;
    let mut sequence = 0;
    while sequence < messages {
        for socket in &mut sockets {
            let end = messages.min(sequence + BURST);
            while sequence < end {
                send(socket, row, &mut payload, sequence).await?;
                sequence += 1;
            }
            socket.flush().await?;
        }
    }
    orders.wait_for("stop").await?;
    let outcome = sent(messages, cpu_before)?;
    for socket in sockets {
        socket.close().await?;
    }
    Ok(outcome)
}

/// Sends all, and stays until the other end has them: how a socket closes is no part of this.
async fn send_all<S: Socket>(
    mut socket: S,
    row: &Row,
    messages: u64,
    mut orders: Orders,
) -> Result<Outcome> {
    let mut payload = row.payload();
    let cpu_before = resources::cpu_seconds()?;
    for sequence in 0..messages {
        send(&mut socket, row, &mut payload, sequence).await?;
    }
    socket.flush().await?;
    orders.wait_for("stop").await?;
    let outcome = sent(messages, cpu_before)?;
    socket.close().await?;
    Ok(outcome)
}

/// What a sender has to say before it closes, whose cost is not that of the messages.
fn sent(messages: u64, cpu_before: f64) -> Result<Outcome> {
    Ok(Outcome {
        sent: messages,
        cpu: Some(resources::cpu_seconds()? - cpu_before),
        ..Outcome::done()
    })
}

/// Publishes probes until it is told that they arrive, and then the messages.
pub(super) async fn publish<S: Socket>(
    row: &'static Row,
    endpoints: Vec<String>,
    messages: u64,
    mut orders: Orders,
) -> Result<Outcome> {
    let mut publisher = S::connect(Kind::Pub, &endpoints).await?;
    let mut probe = row.payload();
    let mut ticks = interval(PROBING);
    while !orders.have_come()? {
        send(&mut publisher, row, &mut probe, PROBE).await?;
        publisher.flush().await?;
        ticks.tick().await;
    }
    let mut outcome = send_all(publisher, row, messages, orders).await?;
    outcome.sent *= row.copies();
    Ok(outcome)
}
