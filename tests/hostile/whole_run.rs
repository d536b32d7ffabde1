//! The count of the whole run: every row has ended, there were cases enough, and none failed.

use crate::support::alone::is_alone;
use crate::support::tally;

/// The sources of the rows: each of their tests tells its count once.
const SOURCES: &[&str] = &[
    include_str!("churn.rs"),
    include_str!("commands.rs"),
    include_str!("flood.rs"),
    include_str!("framing.rs"),
    include_str!("full.rs"),
    include_str!("greeting.rs"),
    include_str!("identity.rs"),
    include_str!("latency.rs"),
    include_str!("memory.rs"),
    include_str!("metadata.rs"),
    include_str!("misuse.rs"),
    include_str!("outside.rs"),
    include_str!("mutants.rs"),
    include_str!("publish.rs"),
    include_str!("requests.rs"),
    include_str!("stall.rs"),
];

/// Cases that a run of all rows has at least.
const LEAST: usize = 2_000;

fn rows() -> usize {
    let tests = |source: &&str| {
        let ignored = source.matches("#[ignore").count();
        source.matches("#[test]").count() - ignored
    };
    SOURCES.iter().map(tests).sum()
}

/// Only a run without a filter has every row.
fn is_whole() -> bool {
    !is_alone()
        && std::env::args()
            .skip(1)
            .all(|argument| argument.starts_with('-') && !argument.starts_with("--skip"))
}

/// The test harness starts tests by their names, so this one, the last, finds all others begun.
#[test]
fn every_row_has_told_its_count() {
    if !is_whole() {
        return;
    }
    let (ended, cases, failed) = tally::whole_run(rows());
    println!("hostile cases {cases} failed {failed}");
    assert!(
        ended >= rows(),
        "only {ended} of {} rows have ended",
        rows()
    );
    assert_eq!(failed, 0, "cases failed");
    assert!(cases >= LEAST, "only {cases} cases");
}
