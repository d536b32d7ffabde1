//! The tests of pyzmq with our devices in the middle: what passes through libzmq's proxy passes here.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::env;
use std::future::pending;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use pushsub::{Endpoint, Forwarder, Pair, Proxy, Queue, Streamer};
use tokio::task::JoinSet;

use crate::support::{Script, python};

/// The sources of pyzmq, whose tests its wheel leaves out.
const SOURCES: &str = "src/pyzmq-27.3.0";

/// The results by name of the test.
type Results = BTreeMap<String, String>;

#[tokio::test]
async fn what_passes_through_their_proxy_passes_through_our_devices() {
    let Some(python) = python() else { return };
    let Some(sources) = sources(python) else {
        return;
    };
    let (theirs, mut ours) = tokio::join!(
        run(python, &sources, "libzmq", &[]),
        run(python, &sources, "asked", &[])
    );
    let worse = |ours: &Results| -> Vec<String> {
        let passed = theirs.iter().filter(|(_, result)| *result == "passed");
        passed
            .map(|(name, _)| name.clone())
            .filter(|name| ours.get(name).is_none_or(|result| result != "passed"))
            .collect()
    };
    // Some of these tests allow a message five milliseconds, which a busy machine may take.
    for _ in 0..5 {
        let again = worse(&ours);
        if again.is_empty() {
            break;
        }
        ours.extend(run(python, &sources, "asked", &again).await);
    }
    println!("through zmq.proxy: {}", counted(&theirs));
    println!("through our devices: {}", counted(&ours));
    let of_them = theirs.values().filter(|result| *result == "passed");
    assert!(of_them.count() >= 60, "most fail without us: {theirs:?}");
    assert_eq!(worse(&ours), Vec::<String>::new());
}

/// Where the sources are, beside the packages of this interpreter.
fn sources(python: &Path) -> Option<PathBuf> {
    let sources = python.parent()?.parent()?.join(SOURCES);
    let modules = "import pytest, pytest_asyncio, tornado";
    let mut command = std::process::Command::new(python);
    let imported = command.args(["-c", modules]).status();
    if sources.join("tests").is_dir() && imported.is_ok_and(|status| status.success()) {
        return Some(sources);
    }
    let message = "no sources of pyzmq, or no pytest, pytest-asyncio and tornado; `.ci/run` \
                   shows how to get them";
    let required = env::var("PUSHSUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "PUSHSUB_REQUIRE_ALL is set: {message}");
    println!("SKIPPED: {message}");
    None
}

/// Runs the tests, or those of these names, and makes the devices that they ask for.
async fn run(python: &Path, sources: &Path, middle: &str, names: &[String]) -> Results {
    let sources = sources.to_string_lossy();
    let mut arguments = vec![&*sources, middle];
    arguments.extend(names.iter().map(String::as_str));
    let mut script = Script::start(python, "pyzmq_suite.py", &arguments);
    let (mut results, mut devices) = (Results::new(), JoinSet::new());
    loop {
        let line = script.line().await;
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["route", front, back] => {
                let (fronts, backs, device) = device(front, back).await;
                devices.spawn(device);
                script.tell(&format!("{fronts} {backs}")).await;
            }
            ["end"] => devices.abort_all(),
            ["done"] => return results,
            [result, name] => {
                results.insert(name.to_owned(), result.to_owned());
            }
            _ => panic!("pyzmq_suite.py says `{line}`"),
        }
    }
}

/// What stands between sockets of these types, where each of them connects,
/// and what keeps it there.
async fn device(front: &str, back: &str) -> (Endpoint, Endpoint, BoxFuture<'static, ()>) {
    macro_rules! classic {
        ($device:ident) => {{
            let device = $device::builder().spawn().await.expect("free ports");
            let (fronts, backs) = (device.front(), device.back());
            let kept = async move {
                pending::<()>().await;
                drop(device);
            };
            (fronts, backs, kept.boxed())
        }};
    }
    match (front, back) {
        ("PUSH", "PULL") => classic!(Streamer),
        ("PUB", "SUB") => classic!(Forwarder),
        ("REQ", "REP") | ("DEALER", "ROUTER") => classic!(Queue),
        ("PAIR", "PAIR") => {
            let (front, back) = (Pair::new(), Pair::new());
            let fronts = front.bind("tcp://127.0.0.1:*").await.expect("a free port");
            let backs = back.bind("tcp://127.0.0.1:*").await.expect("a free port");
            let proxy = Proxy::new(front, back);
            (fronts, backs, proxy.run().map(drop).boxed())
        }
        _ => panic!("no device stands between {front} and {back}"),
    }
}

fn counted(results: &Results) -> String {
    let of = |wanted: &str| results.values().filter(|result| *result == wanted).count();
    format!(
        "tests {}, passed {}, failed {}, skipped {}",
        results.len(),
        of("passed"),
        of("failed"),
        of("skipped")
    )
}
