//! Every pair of socket types that may talk, ours at one end and another implementation at the other.
//!
//! Each pair is a test. It goes through its cells, one for each way to join the
//! two, and in a cell all messages pass twice, with a reconnect between. It never
//! looks into one pattern more deeply than that: the files beside it do.
#![allow(clippy::panic, reason = "a test fails by panicking")]

mod libzmq;
pub(crate) mod ours;
mod talk;
#[cfg(feature = "zeromq")]
mod zeromq;

use pushsub::SocketType;

/// How many cells each pair has, as `docs/interop.md` shows it.
fn table(pairs: &[(SocketType, SocketType)], cells: usize) -> String {
    let names: Vec<_> = SocketType::ALL.iter().map(|kind| kind.name()).collect();
    let mut lines = vec![
        format!("| ours, theirs | {} |", names.join(" | ")),
        format!("|---{}|", "|--:".repeat(names.len())),
    ];
    for ours in SocketType::ALL {
        let shown = SocketType::ALL.map(|theirs| match pairs.contains(&(ours, theirs)) {
            true => cells.to_string(),
            false => "-".to_owned(),
        });
        lines.push(format!("| {ours} | {} |", shown.join(" | ")));
    }
    let all = pairs.len() * cells;
    lines.push(format!("\n{} pairs, {all} cells.", pairs.len()));
    lines.join("\n")
}

fn assert_page_shows(table: &str) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/interop.md");
    let page = std::fs::read_to_string(page).expect("the page is in the project");
    assert!(
        page.contains(table),
        "docs/interop.md does not show:\n\n{table}\n"
    );
}
