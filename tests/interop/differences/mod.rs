//! The same octets to a socket of libzmq and to one of ours: where they differ, a page says why.
//!
//! `docs/differences.md` names each class of differences and the cases of the table that fall into
//! it. A difference in no class fails, and so does a case of the page that does not differ. It never judges
//! who is right: the page does.

#![allow(clippy::panic, reason = "a test fails by panicking")]

mod cases;
mod classes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use pushsub::{Endpoint, Host, Message, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::matrix::ours::Ours;
use crate::octets::{LONG, ping};
use crate::peer::options;
use crate::support::{Script, guarded, python};
use cases::Case;
use classes::{CLASSES, class_of};

/// The mutants beside the table.
const MUTANTS: u64 = 400;

/// Cases that are played at once, by each implementation.
const AT_ONCE: usize = 140;

/// After this time a link that is neither closed nor answers a PING is taken to wait for octets.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It answers a PING.
    Peer,
    /// It waits for more.
    Waits,
    /// It was closed.
    Closed,
}

/// What an implementation did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deed {
    end: End,
    heard: Vec<Vec<Vec<u8>>>,
}

/// The PING behind the octets of each case.
fn sentinel() -> Vec<u8> {
    ping(0, b"still there?")
}

/// Says the octets and a PING, and reads until it is closed or answered.
async fn say(address: SocketAddr, octets: &[u8], patience: Duration) -> (End, TcpStream) {
    let mut wire = TcpStream::connect(address).await.expect("it listens");
    let mut told = Vec::new();
    let (handshake, rest) = octets.split_at(handshake(octets));
    // Who closes early need not hear the rest.
    let _ = wire.write_all(handshake).await;
    // libzmq takes no message before it has said READY itself.
    if handshake.len() > 64
        && read_until(&mut wire, &mut told, b"\x05READY", patience).await == End::Closed
    {
        return (End::Closed, wire);
    }
    let _ = wire.write_all(rest).await;
    let _ = wire.write_all(&sentinel()).await;
    let end = read_until(&mut wire, &mut told, b"PONGstill there?", patience).await;
    (end, wire)
}

/// Reads until the peer says this word, or closes.
async fn read_until(
    wire: &mut TcpStream,
    told: &mut Vec<u8>,
    word: &[u8],
    patience: Duration,
) -> End {
    let reading = async {
        let mut piece = [0; 4_096];
        while !told.windows(word.len()).any(|octets| octets == word) {
            match wire.read(&mut piece).await {
                Ok(0) | Err(_) => return End::Closed,
                Ok(read) => told.extend_from_slice(&piece[..read]),
            }
        }
        End::Peer
    };
    timeout(patience, reading).await.unwrap_or(End::Waits)
}

/// Where the handshake ends in what a peer says: behind its greeting and the frame that follows.
fn handshake(octets: &[u8]) -> usize {
    let size = match octets.get(64..) {
        Some([flags, length, ..]) if flags & LONG == 0 => 2 + usize::from(*length),
        Some([_, length @ ..]) => match length.first_chunk() {
            Some(length) => usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX),
            None => 0,
        },
        _ => 0,
    };
    size.saturating_add(64).min(octets.len())
}

async fn all(
    addresses: Vec<SocketAddr>,
    cases: &[Case],
    patience: Duration,
) -> Vec<(End, TcpStream)> {
    let saying = addresses.into_iter().zip(cases);
    join_all(saying.map(|(address, case)| say(address, &case.octets, patience))).await
}

/// What ours do.
async fn ours(cases: &[Case], patience: Duration) -> Vec<Deed> {
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for case in cases {
        let socket = Ours::new(case.kind, options());
        if case.kind == SocketType::Sub {
            socket.subscribe();
        }
        let Endpoint::Tcp {
            host: Host::Address(address),
            port,
        } = socket.bind("tcp://127.0.0.1:*").await
        else {
            unreachable!("it was bound to an address");
        };
        addresses.push(SocketAddr::new(address, port));
        sockets.push(socket);
    }
    let ends = all(addresses, cases, patience).await;
    let deeds = sockets.iter().zip(cases).zip(&ends);
    deeds
        .map(|((socket, case), (end, _))| {
            let messages = std::iter::from_fn(|| socket.try_recv());
            let heard = messages.map(Message::into_frames).map(|frames| {
                let frames = frames.iter().map(|frame| frame.to_vec());
                nameless(case.kind, frames.collect())
            });
            Deed {
                end: *end,
                heard: heard.collect(),
            }
        })
        .collect()
}

/// What those of libzmq do.
async fn theirs(script: &mut Script, cases: &[Case], patience: Duration) -> Vec<Deed> {
    let kinds: Vec<_> = cases.iter().map(|case| case.kind.name()).collect();
    script.tell(&format!("open {}", kinds.join(" "))).await;
    let endpoints = script.expect("endpoints").await;
    let addresses = endpoints
        .split(' ')
        .map(|endpoint| {
            endpoint
                .trim_start_matches("tcp://")
                .parse()
                .expect("an address")
        })
        .collect();
    let ends = all(addresses, cases, patience).await;
    script.tell("heard").await;
    let mut deeds = Vec::new();
    for (case, (end, _)) in cases.iter().zip(&ends) {
        let heard = script.expect("heard").await;
        let messages = heard.split(' ').filter(|message| !message.is_empty());
        deeds.push(Deed {
            end: *end,
            heard: messages
                .map(|message| nameless(case.kind, message.split(',').map(octets).collect()))
                .collect(),
        });
    }
    deeds
}

/// A frame as the script tells it.
fn octets(frame: &str) -> Vec<u8> {
    let digits = frame.as_bytes()[1..].chunks(2);
    let octet = |pair| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16);
    digits.map(|pair| octet(pair).expect("digits")).collect()
}

/// The name that a ROUTER draws is another for each.
fn nameless(kind: SocketType, mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if kind == SocketType::Router && frames[0].first() == Some(&0) {
        frames[0].clear();
    }
    frames
}

/// A case on which the two did not do the same, and why.
struct Difference<'a> {
    case: &'a Case,
    class: Option<&'static str>,
    ours: Deed,
    theirs: Deed,
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { name, kind, octets } = self.case;
        let show = |deed: &Deed| {
            let heard = deed.heard.iter().flatten();
            let heard: Vec<_> = heard
                .map(|frame| frame.escape_ascii().to_string())
                .collect();
            format!("{:?} {heard:.80?}", deed.end)
        };
        let (ours, theirs) = (show(&self.ours), show(&self.theirs));
        let start = octets[..octets.len().min(300)].escape_ascii();
        write!(
            formatter,
            "{name} to a {kind}: ours {ours}, theirs {theirs}: {start}"
        )
    }
}

/// Plays the cases with both, and tells those on which they differ.
async fn differences<'a>(
    script: &mut Script,
    cases: &'a [Case],
    patience: Duration,
) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    for some in cases.chunks(AT_ONCE) {
        let (ours, theirs) = tokio::join!(ours(some, patience), theirs(script, some, patience));
        for ((case, ours), theirs) in some.iter().zip(ours).zip(theirs) {
            if ours != theirs {
                let said = [&case.octets[..], &sentinel()].concat();
                let class = class_of(case, &said);
                found.push(Difference {
                    case,
                    class,
                    ours,
                    theirs,
                });
            }
        }
    }
    found
}

fn page() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/differences.md");
    std::fs::read_to_string(page).expect("the page is in the project")
}

/// The page says so, wherever its lines break.
#[track_caller]
fn assert_page_says(words: &str) {
    let page = page().split_whitespace().collect::<Vec<_>>().join(" ");
    // A number is not the end of another.
    assert!(page.contains(&format!(" {words}")), "not there: {words}");
}

/// The differences of the table by class, as the page shows them: names between backticks.
fn on_the_page() -> BTreeMap<String, BTreeSet<String>> {
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| **"));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let [class, _, _, cases] = &cells[..] else {
            panic!("not four cells in {row}");
        };
        let class = class.trim_start_matches("| **").trim_end_matches("**");
        // Every other piece stands between two backticks.
        let names = cases.split('`').skip(1).step_by(2);
        (class.to_owned(), names.map(str::to_owned).collect())
    })
    .collect()
}

impl Difference<'_> {
    /// Whether it is in no class, or a peer of ours is none to libzmq for another reason than that a
    /// REQ passes over what is no reply.
    fn is_wrong(&self) -> bool {
        let laxer = self.theirs.end == End::Closed && self.ours.end != End::Closed;
        match self.class {
            None => true,
            Some(class) => laxer && class != "what is no reply",
        }
    }
}

fn by_class(differences: &[Difference<'_>]) -> BTreeMap<String, BTreeSet<String>> {
    let mut classes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for Difference { case, class, .. } in differences {
        let class = class.unwrap_or("none").to_owned();
        classes.entry(class).or_default().insert(case.name.clone());
    }
    classes
}

/// The page has each difference of the table in its class, and none that is not there.
#[test]
fn the_differences_of_the_table_are_those_of_the_page() {
    let Some(python) = python() else { return };
    guarded(async {
        let mut script = Script::start(python, "differences.py", &[]);
        let cases = cases::table();
        let mut found = differences(&mut script, &cases, PATIENCE).await;
        if by_class(&found) != on_the_page() {
            // A machine that has much else to do may need longer.
            found = differences(&mut script, &cases, 4 * PATIENCE).await;
        }
        println!("cases {}, differences {}", cases.len(), found.len());
        found.iter().for_each(|one| println!("{one}"));
        assert_eq!(by_class(&found), on_the_page());
        assert_page_says(&format!("{} sequences with names", cases.len()));
        assert!(!found.iter().any(Difference::is_wrong));
        assert_eq!(on_the_page().len(), CLASSES.len());
        assert!(
            CLASSES
                .iter()
                .all(|class| on_the_page().contains_key(*class))
        );
    });
}

/// What mutants bring to light is in one of the classes.
#[test]
fn mutants_differ_by_nothing_else() {
    let Some(python) = python() else { return };
    guarded(async {
        let mut script = Script::start(python, "differences.py", &[]);
        assert_page_says(&format!("{MUTANTS} mutants"));
        let cases = cases::mutants(MUTANTS);
        let found = differences(&mut script, &cases, PATIENCE).await;
        println!("mutants {}, differences {}", cases.len(), found.len());
        let mut wrong = Vec::new();
        for one in found.iter().filter(|one| one.is_wrong()) {
            let again = std::slice::from_ref(one.case);
            let again = differences(&mut script, again, 4 * PATIENCE).await;
            let again = again.iter().filter(|one| one.is_wrong());
            wrong.extend(again.map(ToString::to_string));
        }
        assert!(wrong.is_empty(), "in no class:\n{}", wrong.join("\n"));
        assert!(found.len() > 40, "mutants that bring nothing to light");
    });
}
