//! The pairs with libzmq, in both roles, over tcp and ipc, with heartbeats and without.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use pushsub::{Endpoint, Event, Identity, Monitor, Options, SocketType};

use super::ours::Ours;
use super::talk::{OURS, Theirs, talk};
use super::{assert_page_shows, table};
use crate::peer::{Folder, options, soon};
use crate::support::{Script, guarded, python};

/// A test for each pair, and the list of them.
macro_rules! pairs {
    ($($name:ident: $ours:ident, $theirs:ident;)*) => {
        const PAIRS: &[(SocketType, SocketType)] =
            &[$((SocketType::$ours, SocketType::$theirs)),*];

        $(
            /// A3.
            #[test]
            fn $name() {
                guarded(run(SocketType::$ours, SocketType::$theirs));
            }
        )*
    };
}

pairs! {
    pair_and_their_pair: Pair, Pair;
    pub_and_their_sub: Pub, Sub;
    pub_and_their_xsub: Pub, XSub;
    sub_and_their_pub: Sub, Pub;
    sub_and_their_xpub: Sub, XPub;
    xpub_and_their_sub: XPub, Sub;
    xpub_and_their_xsub: XPub, XSub;
    xsub_and_their_pub: XSub, Pub;
    xsub_and_their_xpub: XSub, XPub;
    push_and_their_pull: Push, Pull;
    pull_and_their_push: Pull, Push;
    req_and_their_rep: Req, Rep;
    req_and_their_router: Req, Router;
    rep_and_their_req: Rep, Req;
    rep_and_their_dealer: Rep, Dealer;
    dealer_and_their_rep: Dealer, Rep;
    dealer_and_their_dealer: Dealer, Dealer;
    dealer_and_their_router: Dealer, Router;
    router_and_their_req: Router, Req;
    router_and_their_dealer: Router, Dealer;
    router_and_their_router: Router, Router;
}

/// How the two are joined.
#[derive(Clone, Copy)]
struct Cell {
    we_bind: bool,
    ipc: bool,
    heartbeats: bool,
}

impl Cell {
    fn all() -> impl Iterator<Item = Self> {
        (0..8)
            .map(|bits| Self {
                we_bind: bits & 1 == 0,
                ipc: bits & 2 != 0,
                heartbeats: bits & 4 != 0,
            })
            .filter(|cell| cfg!(unix) || !cell.ipc)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.we_bind { "we" } else { "they" };
        let transport = if self.ipc { "ipc" } else { "tcp" };
        let heartbeats = if self.heartbeats { "with" } else { "without" };
        write!(formatter, "{who} bind {transport} {heartbeats} heartbeats")
    }
}

/// All cells of a pair; those that fail are named, and do not stop the others.
async fn run(ours: SocketType, theirs: SocketType) {
    let Some(python) = python() else { return };
    let mut failed = Vec::new();
    let mut process = Process::start(python);
    for cell in Cell::all() {
        match tokio::spawn(join(process, ours, theirs, cell)).await {
            Ok(same) => process = same,
            Err(_) => {
                failed.push(cell.to_string());
                process = Process::start(python);
            }
        }
    }
    let cells = Cell::all().count();
    println!(
        "{ours} and their {theirs}: cells {cells}, failed {}",
        failed.len()
    );
    assert!(failed.is_empty(), "{ours} and their {theirs}: {failed:?}");
}

/// One cell. Gives the process back for the next.
async fn join(
    mut process: Process,
    our_type: SocketType,
    their_type: SocketType,
    cell: Cell,
) -> Process {
    let ours = Ours::new(our_type, cell_options(cell));
    let mut monitor = ours.monitor();
    if matches!(our_type, SocketType::Sub | SocketType::XSub) {
        ours.subscribe();
    }
    let folder = cell.ipc.then(Folder::new);
    let place = folder
        .as_ref()
        .map_or_else(|| "tcp://127.0.0.1:*".to_owned(), Folder::endpoint);
    if cell.we_bind {
        let endpoint = ours.bind(&place).await.to_string();
        process.open(their_type, cell, &endpoint).await;
    } else {
        let endpoint = process.open(their_type, cell, &place).await;
        ours.connect(&endpoint);
    }
    connected(&mut monitor).await;
    talk((&ours, our_type), (&mut process, their_type)).await;
    process.tell("reopen", "endpoint").await;
    disconnected(&mut monitor).await;
    connected(&mut monitor).await;
    talk((&ours, our_type), (&mut process, their_type)).await;
    let stats = ours.stats();
    assert_eq!(stats.sent.dropped.total(), 0, "{stats:?}");
    let closed = soon(ours.close(Duration::from_secs(5))).await;
    assert_eq!((closed.unsent, closed.undelivered), (0, 0));
    process
}

/// The interval is short beside a cell, and the time of silence that ends a
/// link long beside a pause of a machine that has other work.
fn cell_options(cell: Cell) -> Options {
    let identity = Identity::new(OURS).expect("a sound identity");
    let interval = cell.heartbeats.then_some(Duration::from_millis(500));
    options().identity(identity).heartbeat_interval(interval)
}

async fn connected(monitor: &mut Monitor) {
    let wanted = async {
        loop {
            match monitor.next().await.expect("the socket is open") {
                Event::Connected { .. } => return,
                Event::Disconnected { reason, .. } => panic!("lost: {reason}"),
                _ => {}
            }
        }
    };
    soon(wanted).await;
}

/// The first that happens to the connection: it was not lost before.
async fn disconnected(monitor: &mut Monitor) {
    let event = soon(monitor.next()).await;
    assert!(
        matches!(event, Some(Event::Disconnected { .. })),
        "{event:?}"
    );
}

/// A process that plays one socket after the other: `pairs.py`.
struct Process(Script);

impl Process {
    fn start(python: &Path) -> Self {
        Self(Script::start(python, "pairs.py", &[]))
    }

    /// Opens a socket, and closes the one before. Returns where it is.
    async fn open(&mut self, kind: SocketType, cell: Cell, endpoint: &str) -> Endpoint {
        let role = if cell.we_bind { "connect" } else { "bind" };
        let heartbeat = if cell.heartbeats { 2 } else { 0 };
        let line = format!("open {kind} {role} {endpoint} {heartbeat}");
        let endpoint = self.tell(&line, "endpoint").await;
        endpoint.parse().expect("libzmq writes endpoints as we do")
    }

    async fn tell(&mut self, line: &str, answer: &str) -> String {
        self.0.tell(line).await;
        self.0.expect(answer).await
    }
}

impl Theirs for Process {
    async fn subscribe(&mut self) {
        self.tell("subscribe", "done").await;
    }

    async fn send(&mut self, frames: &str) {
        self.tell(&format!("send {frames}"), "sent").await;
    }

    async fn expect(&mut self, frames: &str) {
        self.tell(&format!("expect {frames}"), "good").await;
    }

    async fn answer(&mut self, frames: &str) {
        self.tell(&format!("answer {frames}"), "good").await;
    }

    async fn repeat_until(&mut self, frames: &str, heard: impl Future<Output = ()>) {
        self.0.tell(&format!("repeat {frames}")).await;
        heard.await;
        self.tell("stop", "stopped").await;
    }
}

#[test]
fn the_page_shows_the_pairs_that_are_run() {
    if cfg!(unix) {
        assert_page_shows(&table(PAIRS, Cell::all().count()));
    }
}

/// A3: the tests above are of all pairs, each in eight ways.
#[test]
fn every_pair_that_may_talk_has_a_test() {
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            let tested = PAIRS.contains(&(ours, theirs));
            assert_eq!(tested, ours.accepts(theirs), "{ours} and {theirs}");
        }
    }
}
