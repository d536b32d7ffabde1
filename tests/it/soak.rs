//! Messages by the million, under chaos and through a device. Ignored, as they take half a minute:
//! `cargo test --release --test it -- --ignored --nocapture soak`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pushsub::testing::Passage;
use pushsub::{Endpoint, Options, Pull, Push, Stats, Streamer};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::guard::Guard;
use crate::support::{Result, memory_name, on_two_workers};

/// Which numbers have come; a second time is a failure.
struct Seen {
    words: Vec<AtomicU64>,
    count: AtomicU64,
    progress: Notify,
}

impl Seen {
    fn new(numbers: u32) -> Arc<Self> {
        let words = (0..=numbers / 64).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            words,
            count: AtomicU64::new(0),
            progress: Notify::new(),
        })
    }

    fn mark(&self, number: u32) {
        let bit = 1 << (number % 64);
        let before = self.words[number as usize / 64].fetch_or(bit, Ordering::Relaxed);
        assert_eq!(before & bit, 0, "{number} has come twice");
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_multiple_of(1_000) {
            self.progress.notify_one();
        }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Receives until the socket is closed. A slow one lets others run after each message.
    async fn receive(self: Arc<Self>, pull: Pull, slow: bool) {
        while let Ok(message) = pull.recv().await {
            let octets = message.first()[..4]
                .try_into()
                .expect("a number of 32 bits");
            self.mark(u32::from_be_bytes(octets));
            if slow {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// What a process holds, in octets; nothing where the system does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

async fn send_all(push: Push, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let mut message = vec![0; 16];
        message[..4].copy_from_slice(&number.to_be_bytes());
        push.send(message).await.expect("it is open");
    }
}

/// A place where somebody receives: it may die and come back under the same name.
struct Place {
    pull: Pull,
    endpoint: Endpoint,
    slow: bool,
}

impl Place {
    async fn open(endpoint: &str, slow: bool) -> Result<Self> {
        let mark = if slow { 10 } else { 1_000 };
        let pull = Pull::with_options(Options::default().receive_high_water_mark(mark))?;
        let endpoint = pull.bind(endpoint).await?;
        Ok(Self {
            pull,
            endpoint,
            slow,
        })
    }
}

struct Chaos {
    random: fastrand::Rng,
    seen: Arc<Seen>,
    places: Vec<Place>,
    senders: Vec<Push>,
    receiving: JoinSet<()>,
    events: u32,
}

impl Chaos {
    async fn begin(numbers: u32) -> Result<Self> {
        let mut chaos = Self {
            random: fastrand::Rng::with_seed(5),
            seen: Seen::new(numbers),
            places: Vec::new(),
            senders: Vec::new(),
            receiving: JoinSet::new(),
            events: 0,
        };
        let memory = format!("memory://{}", memory_name());
        let inproc = format!("inproc://{}", memory_name());
        let tcp = "tcp://127.0.0.1:*";
        for (wanted, slow) in [
            (tcp, false),
            (tcp, true),
            (&memory, false),
            (&inproc, false),
        ] {
            let place = Place::open(wanted, slow).await?;
            chaos.receive(&place);
            chaos.places.push(place);
        }
        Ok(chaos)
    }

    fn receive(&mut self, place: &Place) {
        let receiving = self.seen.clone().receive(place.pull.clone(), place.slow);
        self.receiving.spawn(receiving);
    }

    fn sender(&mut self) -> Result<Push> {
        let quick = Duration::from_millis(1);
        let push = Push::with_options(Options::default().reconnect(quick, quick * 8))?;
        for place in &self.places {
            push.connect(&place.endpoint)?;
        }
        self.senders.push(push.clone());
        Ok(push)
    }

    /// A receiver is restarted, or a sender leaves it and comes back.
    async fn strike(&mut self) -> Result {
        self.events += 1;
        let at = self.random.usize(..self.places.len());
        if self.random.bool() {
            let place = &self.places[at];
            let linger = Duration::from_millis(self.random.u64(..3));
            place.pull.clone().close(linger).await;
            let next = Place::open(&place.endpoint.to_string(), place.slow).await?;
            self.receive(&next);
            self.places[at] = next;
        } else {
            let endpoint = &self.places[at].endpoint;
            let push = &self.senders[self.random.usize(..self.senders.len())];
            push.disconnect(endpoint);
            push.connect(endpoint)?;
        }
        Ok(())
    }

    /// Everything that is on its way arrives, and everybody ends.
    async fn end(mut self) -> Result<u64> {
        for push in self.senders {
            push.close(Duration::from_secs(10)).await;
        }
        for Place { pull, .. } in self.places {
            while pull.stats().received.queued > 0 {
                tokio::task::yield_now().await;
            }
            pull.close(Duration::from_secs(1)).await;
        }
        while let Some(received) = self.receiving.join_next().await {
            received?;
        }
        Ok(self.seen.count())
    }
}

/// C5: ten million messages while receivers are cut off, restarted and slow,
/// and senders disconnect and connect. Nothing comes twice, and every message
/// is delivered, dropped with a reason, or lost with a link that was cut.
#[test]
#[ignore = "soak"]
fn ten_million_messages_are_accounted_for_under_chaos() -> Result {
    const MESSAGES: u32 = 10_000_000;
    const EACH: u32 = MESSAGES / 4;
    on_two_workers(async {
        // All sockets are made by this task, so that this guard sees them.
        let guard = Guard::begin();
        let since = Instant::now();
        let mut chaos = Chaos::begin(MESSAGES).await?;
        let mut sending = JoinSet::new();
        for sender in 0..4 {
            let numbers = sender * EACH..(sender + 1) * EACH;
            sending.spawn(send_all(chaos.sender()?, numbers));
        }
        let seen = chaos.seen.clone();
        while !sending.is_empty() {
            tokio::select! {
                Some(sent) = sending.join_next() => sent?,
                () = seen.progress.notified() => {}
            }
            if chaos.random.u8(..) < 40 {
                chaos.strike().await?;
            }
        }
        let events = chaos.events;
        let came = chaos.end().await?;
        let ledger = guard.finish().await?;
        let sockets = ledger.sockets();
        let sum = |of: fn(&Stats) -> u64| sockets.iter().map(|(_, stats)| of(stats)).sum::<u64>();
        let delivered = sum(|stats| stats.received.delivered);
        let given_up = sum(|stats| stats.sent.dropped.total());
        let undelivered = sum(|stats| stats.received.dropped + stats.received.queued);
        let written = sum(|stats| stats.sent.written);
        let lost = written - sum(|stats| stats.received.received);
        // Of a link that one end alone has finished the ledger shows no passage.
        let between = |passage: &Passage| passage.written - passage.received;
        let between: u64 = ledger.passages().iter().map(between).sum();
        assert!(between <= lost, "{between} lost on links of {lost}");
        println!(
            "{events} events in {:?}: {delivered} delivered, {given_up} given up by senders, \
             {undelivered} by receivers, {lost} lost on links",
            since.elapsed()
        );
        assert_eq!(delivered, came);
        assert_eq!(sum(|stats| stats.sent.accepted), u64::from(MESSAGES));
        let accounted = delivered + given_up + undelivered + lost;
        assert_eq!(accounted, u64::from(MESSAGES));
        assert!(events > 100, "{events} events are no chaos");
        Ok(())
    })
}

/// A6: eight tasks, a million sends each on one handle, in order for each task.
#[test]
#[ignore = "soak"]
fn eight_tasks_send_a_million_messages_each_on_one_handle() -> Result {
    const EACH: u32 = 1_000_000;
    on_two_workers(async {
        let pull = Pull::new();
        let push = Push::new();
        push.connect(pull.bind("tcp://127.0.0.1:*").await?)?;
        let since = Instant::now();
        let mut sending = JoinSet::new();
        for task in 0..8 {
            sending.spawn(send_all(push.clone(), task * EACH..(task + 1) * EACH));
        }
        let mut next: Vec<_> = (0..8).map(|task| task * EACH).collect();
        for _ in 0..8 * EACH {
            let message = pull.recv().await?;
            let number = u32::from_be_bytes(message.first()[..4].try_into()?);
            let wanted = &mut next[(number / EACH) as usize];
            assert_eq!(number, *wanted);
            *wanted += 1;
        }
        println!("8 times {EACH} in {:?}", since.elapsed());
        Ok(())
    })
}

/// D3: ten million messages through a streamer: none is lost, and memory is bounded.
#[test]
#[ignore = "soak"]
fn ten_million_messages_pass_through_a_streamer() -> Result {
    const MESSAGES: u32 = 10_000_000;
    on_two_workers(async {
        let device = Streamer::builder()
            .front("tcp://127.0.0.1:*")
            .back("tcp://127.0.0.1:*")
            .spawn()
            .await?;
        let (push, pull) = (Push::new(), Pull::new());
        push.connect(device.front())?;
        pull.connect(device.back())?;
        let since = Instant::now();
        // This handle stays: behind the last one nothing is waited for longer than the linger.
        let sending = tokio::spawn(send_all(push.clone(), 0..MESSAGES));
        let mut early = None;
        for wanted in 0..MESSAGES {
            let message = pull.recv().await?;
            let number = u32::from_be_bytes(message.first()[..4].try_into()?);
            assert_eq!(number, wanted);
            if number == MESSAGES / 10 {
                early = resident();
            }
        }
        sending.await?;
        println!("{MESSAGES} in {:?}", since.elapsed());
        if let (Some(early), Some(late)) = (early, resident()) {
            println!(
                "{} MiB after a tenth, {} MiB at the end",
                early >> 20,
                late >> 20
            );
            assert!(late < early + (32 << 20), "memory grows with the messages");
        }
        assert_eq!(device.stats().forth.sent, u64::from(MESSAGES));
        Ok(())
    })
}

/// A5: `connect` returns before anything is there, below a millisecond.
#[test]
#[ignore = "soak"]
fn the_time_of_a_connect() -> Result {
    const CONNECTS: u32 = 1_000;
    on_two_workers(async {
        let sockets: Vec<_> = (0..CONNECTS).map(|_| Push::new()).collect();
        let (mut longest, since) = (Duration::ZERO, Instant::now());
        for push in &sockets {
            let begun = Instant::now();
            push.connect("tcp://127.0.0.1:9")?;
            longest = longest.max(begun.elapsed());
        }
        println!(
            "connect: {:?} each, {longest:?} at most",
            since.elapsed() / CONNECTS
        );
        Ok(())
    })
}
