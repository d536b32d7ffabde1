//! The table of the options in `docs/options.md` and the options themselves name the same methods.

use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../docs/options.md");

/// The sources with the methods of `Options`.
const SOURCES: &[&str] = &[
    include_str!("../../src/options.rs"),
    include_str!("../../src/options/connection.rs"),
    include_str!("../../src/options/metadata.rs"),
    include_str!("../../src/options/pattern.rs"),
    include_str!("../../src/options/transport.rs"),
];

/// The words between backticks in the column of the tables that has this place.
fn named(column: usize) -> BTreeSet<&'static str> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split(" | ").nth(column));
    // Every other piece stands between two backticks.
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

/// The methods that set an option.
fn methods() -> BTreeSet<&'static str> {
    let lines = SOURCES.iter().flat_map(|source| source.lines());
    let setters = lines.filter(|line| line.contains("(mut self"));
    setters
        .filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next())
        .collect()
}

#[test]
fn every_option_stands_in_the_table() {
    let methods = methods();
    assert!(methods.len() > 40, "{methods:?}");
    // A row without an option of libzmq begins with an empty cell.
    let listed = TABLE.lines().filter(|line| line.starts_with('|'));
    let listed: String = listed.collect();
    let missing: Vec<_> = methods
        .iter()
        .filter(|method| !listed.contains(&format!("`{method}`")))
        .collect();
    assert!(missing.is_empty(), "docs/options.md lacks {missing:?}");
}

#[test]
fn the_table_names_no_option_that_is_not_there() {
    // What is no option is named with its type, in capitals, or is a method of the sockets.
    let others = [
        "try_send",
        "try_recv",
        "bind_listener",
        "bind",
        "disconnect",
    ];
    let is_option = |name: &&str| {
        let plain = |octet: u8| octet.is_ascii_lowercase() || octet == b'_';
        name.bytes().all(plain) && !others.contains(name)
    };
    let methods = methods();
    let unknown: Vec<_> = named(1)
        .into_iter()
        .filter(is_option)
        .filter(|name| !methods.contains(name))
        .collect();
    assert!(unknown.is_empty(), "docs/options.md invents {unknown:?}");
}

/// Where the docs of a method name an option of libzmq, the table does so beside the method.
#[test]
fn the_docs_and_the_table_agree_on_the_names_of_libzmq() {
    let is_libzmq = |name: &&str| name.starts_with("ZMQ_") && !name.contains("_STOP_");
    let in_docs = SOURCES
        .iter()
        .flat_map(|source| source.lines())
        .filter(|line| line.trim().starts_with("///"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(is_libzmq);
    let listed = named(0);
    let listed: BTreeSet<_> = listed.iter().filter(|name| is_libzmq(name)).collect();
    assert!(listed.len() > 100, "{}", listed.len());
    let missing: BTreeSet<_> = in_docs.filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "docs/options.md lacks {missing:?}");
}
