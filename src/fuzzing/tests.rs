//! Every target over its seeds, and over mutants of them.

use std::fs;
use std::path::Path;

use fastrand::Rng;

use super::mutate::mutant;

/// The mutants of each target.
const MUTANTS: u64 = 4_000;

/// The octets of all its seeds together, for all targets.
const MOST: u64 = 200 << 10;

/// The committed seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("a target has seeds");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

/// Runs a target over its seeds and their mutants; one that fails says which.
fn run(target: &str, check: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(seeds.len() >= 5, "{target} has few seeds");
    for seed in &seeds {
        check(seed);
    }
    for number in 0..MUTANTS {
        let mut random = Rng::with_seed(number);
        let seed = &seeds[random.usize(..seeds.len())];
        let octets = mutant(seed, &mut random);
        let failed = std::panic::catch_unwind(|| check(&octets)).is_err();
        assert!(
            !failed,
            "{target}, mutant {number}: {}",
            octets.escape_ascii()
        );
    }
}

macro_rules! targets {
    ($($(#[$documentation:meta])* $name:ident;)*) => {
        $(
            $(#[$documentation])*
            #[test]
            fn $name() {
                run(stringify!($name), super::$name);
            }
        )*

        /// The targets of these tests.
        const TARGETS: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    /// J6, BI-42.
    frames;
    /// J6.
    greeting;
    /// J6, BI-42.
    handshake;
    /// J6.
    metadata;
    /// J6.
    commands;
    /// BI-56.
    subscriptions;
    envelopes;
    /// BI-111.
    endpoints;
    control;
}

/// The fuzzer runs what these tests run.
#[test]
fn every_target_is_one_of_the_fuzzer_and_has_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("its manifest");
    let mut octets = 0;
    for target in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target}"
        );
        let text = fs::read_to_string(folder.join(format!("targets/{target}.rs"))).expect(target);
        assert!(
            text.contains(&format!("pushsub::fuzzing::{target}(octets)")),
            "{target}"
        );
        octets += seeds(target)
            .iter()
            .map(|seed| seed.len() as u64)
            .sum::<u64>();
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    assert!(octets <= MOST, "{octets} octets of seeds");
}
