//! The guard: at the end of every test, the counters of all its sockets add up, and those of both
//! ends of each link agree (C5).

use std::time::{Duration, Instant};

use pushsub::testing::{Ledger, Passage};
use pushsub::{SocketType, Stats};

/// Until when messages on their way must have arrived, on a real clock: a
/// virtual one stands still while somebody looks.
const LIMIT: Duration = Duration::from_secs(10);

/// Watches the sockets of one test.
pub(crate) struct Guard(Ledger);

impl Guard {
    /// Watches all sockets that this thread makes from here on.
    pub(crate) fn begin() -> Self {
        Self(Ledger::open())
    }

    /// Watches those of another thread as well, from there.
    pub(crate) fn on_thread_start(&self) -> impl Fn() + Send + Sync + 'static {
        self.0.opener()
    }

    /// The counters of all its sockets, where a message that never came may be found.
    pub(crate) fn account(&self) -> String {
        let line = |(kind, stats): &(SocketType, Stats)| {
            format!("\n{kind:?}: {:?}, {:?}", stats.sent, stats.received)
        };
        self.0.sockets().iter().map(line).collect()
    }

    /// Waits until what is on its way has arrived, and says which law is broken.
    pub(crate) async fn end(self) -> Result<(), String> {
        self.finish().await.map(drop)
    }

    /// As [`end`](Self::end), and gives away the ledger.
    pub(crate) async fn finish(self) -> Result<Ledger, String> {
        let begun = Instant::now();
        loop {
            let broken = broken_laws(&self.0.sockets(), &self.0.passages());
            if broken.is_empty() {
                return Ok(self.0);
            }
            if begun.elapsed() > LIMIT {
                let (broken, account) = (broken.join("; "), self.account());
                return Err(format!("the counters do not add up: {broken}{account}"));
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The laws of accounting that do not hold, in words.
pub(crate) fn broken_laws(sockets: &[(SocketType, Stats)], passages: &[Passage]) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, (kind, stats)) in sockets.iter().enumerate() {
        let of_socket = broken_sums(stats).into_iter();
        broken.extend(of_socket.map(|sum| format!("{kind:?} {number}: {sum}")));
    }
    let of_links = passages.iter().filter_map(broken_passage);
    broken.extend(of_links);
    broken
}

/// The sums of one socket that do not come out: of each of its peers, and of all together.
pub(crate) fn broken_sums(stats: &Stats) -> Vec<String> {
    let mut broken = Vec::new();
    let sides = stats.peers.iter().map(|peer| (peer.sent, peer.received));
    for (sent, received) in sides.chain([(stats.sent, stats.received)]) {
        let gone = sent.written + sent.dropped.total() + sent.expired;
        if sent.accepted != gone + sent.queued {
            broken.push(format!("{sent:?}"));
        }
        let gone = received.delivered + received.dropped + received.expired;
        if received.received != gone + received.queued {
            broken.push(format!("{received:?}"));
        }
    }
    broken
}

/// What was written has been received where the link stands; of one that was
/// cut some may be lost, but nothing comes twice.
fn broken_passage(passage: &Passage) -> Option<String> {
    let Passage {
        endpoint,
        from,
        to,
        written,
        received,
        flows,
        ..
    } = passage;
    let way = format!("{from:?} to {to:?} on {endpoint}");
    if received > written {
        return Some(format!("{way}: {written} written and {received} received"));
    }
    let lost_on_link = written - received;
    (*flows && lost_on_link > 0).then(|| format!("{way}: {lost_on_link} never arrived"))
}
