//! Signals, thousands in a second, while messages are on their way.

use std::process::{Command, Stdio};

use tokio::signal::unix::{SignalKind, signal};

use crate::Result;
use crate::crowd::{alone, endpoint};
use crate::other::Other;

/// Has the signals of this test interrupt whatever is under way, as those do that have a handler.
pub(crate) fn catch() -> Result {
    for kind in [
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::alarm(),
        SignalKind::window_change(),
    ] {
        let mut stream = signal(kind)?;
        tokio::spawn(async move { while stream.recv().await.is_some() {} });
    }
    Ok(())
}

/// FT-47: signals by thousands, also those for a broken pipe, change nothing.
#[test]
fn a_storm_of_signals_has_no_effect() -> Result {
    const STORM: &str = "i=0; while [ $i -lt 5000 ]; do for pid; do \
        kill -USR1 $pid; kill -WINCH $pid; kill -ALRM $pid; kill -USR2 $pid; kill -PIPE $pid; \
        done; i=$((i+1)); done";
    let _alone = alone();
    let endpoint = endpoint()?;
    let mut bound = Other::start(format!("bound router {endpoint}"))?;
    bound.answer()?;
    let mut canary = Other::start(format!("dialling dealer {endpoint} 1"))?;
    canary.answer()?;
    let mut crowd = Other::start(format!("dialling dealer {endpoint} 100"))?;
    crowd.answer()?;
    canary.ask("trips 10")?;
    let mut storm = Command::new("sh")
        .args(["-c", STORM, "sh"])
        .args([bound.id(), canary.id(), crowd.id()].map(|id| id.to_string()))
        .stderr(Stdio::inherit())
        .spawn()?;
    let (mut rounds, mut slowest) = (0, 0);
    while storm.try_wait()?.is_none() {
        slowest = slowest.max(canary.ask("trips 100")?.parse::<u64>()?);
        assert_eq!(crowd.ask("all")?, "100");
        rounds += 1;
    }
    assert!(storm.wait()?.success(), "somebody was gone");
    bound.ask("peers 101")?;
    bound.ask(format!("heard {}", 10 + rounds * 200))?;
    println!(
        "75000 signals: {} round trips, 99 of 100 in {slowest} us at most, and nobody left",
        rounds * 200
    );
    assert!(rounds > 0);
    Ok(())
}
