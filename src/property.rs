//! How the properties that the layers hold are drawn.

use proptest::test_runner::Config;

/// So many cases of each, and no files of those that failed.
pub(crate) fn cases(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}
