//! The example `bikes` as a person starts it: real processes and sockets, counts taken elsewhere.
//!
//! A test target is not given the path of an example, and `cargo test` builds one that has unit
//! tests only as those. So it is asked for here; mostly there is nothing left to build.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use serde_json::Value;
use tokio::time::timeout;

/// A run takes a second or two.
const LIMIT: Duration = Duration::from_secs(60);

/// Ways to spread the readings, each with and without deaths.
const MODES: [&[&str]; 6] = [
    &[],
    &["--direct"],
    &["--kill-one"],
    &["--direct", "--kill-one"],
    &["--workers", "1", "--kill-one"],
    &["--direct", "--workers", "1", "--kill-one"],
];

/// Two stations, and all that can happen to one: more, fewer, empty, empty at first, no change.
const DAY: &str = "time,Fenian_Street,City_Quay\n\
    08:00,5,0\n08:01,8,0\n08:02,8,4\n08:03,6,4\n08:04,0,0\n08:05,0,1\n";

#[tokio::test]
async fn the_sample_is_counted_the_same_in_every_mode() {
    // 720 rows of 24 stations; the changes are those that a run for people prints, line by line.
    let printed = bikes(&[], None).await;
    let lines = text(&printed.stdout);
    let changes = lines.lines().filter(|line| line.starts_with(['+', '-']));
    let changes = changes.count() as u64;
    assert!(printed.status.success() && changes > 1_000, "{lines}");
    let empty = counts(&[], None).await["empty"].clone();
    for mode in MODES {
        let run = counts(mode, None).await;
        assert_run(&run, 17_280, changes, empty.as_u64().expect("a count"));
        assert_eq!(
            run["killed"].is_null(),
            !mode.contains(&"--kill-one"),
            "{run}"
        );
    }
}

#[tokio::test]
async fn every_change_is_printed_with_its_sign_station_and_city() {
    let day = file("galway-day.csv", DAY);
    for mode in [&[][..], &["--direct"]] {
        let run = bikes(mode, Some(&day)).await;
        let lines = text(&run.stdout);
        let of = |station| {
            let lines = lines.lines().filter(|line| line.contains(station));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            of("Fenian_Street"),
            [
                "+3 Fenian_Street (galway)",
                "-2 Fenian_Street (galway)",
                "-6 Fenian_Street (galway)"
            ]
        );
        assert_eq!(
            of("City_Quay"),
            [
                "+4 City_Quay (galway)",
                "-4 City_Quay (galway)",
                "+1 City_Quay (galway)"
            ]
        );
    }
}

#[tokio::test]
async fn a_kill_before_the_first_push_or_after_the_last_changes_no_count() {
    let day = file("cork-day.csv", DAY);
    for kill_at in ["0", "1", "12"] {
        for mode in [&[][..], &["--direct"]] {
            let arguments = [mode, &["--workers", "1", "--kill-at", kill_at]].concat();
            let run = counts(&arguments, Some(&day)).await;
            assert_run(&run, 12, 6, 2);
            assert_eq!(run["killed"]["id"], 1, "{run}");
        }
    }
}

#[tokio::test]
async fn a_wrong_file_is_an_error_with_code_2_and_nothing_is_printed() {
    let ragged = file("ragged.csv", "time,a,b\n08:00,1,2\n08:01,3\n");
    let run = bikes(&["--json"], Some(&ragged)).await;
    assert_eq!((run.status.code(), run.stdout.len()), (Some(2), 0));
    let error = text(&run.stderr);
    assert!(error.contains("row 3, column `b`"), "{error}");
}

#[tokio::test]
async fn the_real_day_survives_a_kill_behind_a_broker_and_without() {
    const FILE: &str = "dublin-bikes-2015-10-08.csv";
    let data = env::var_os("PUSHSUB_DATA").map(|folder| Path::new(&folder).join(FILE));
    let Some(day) = data.filter(|day| day.exists()) else {
        let required = env::var("PUSHSUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "{FILE} is not there: set PUSHSUB_DATA to its folder"
        );
        println!("SKIPPED: {FILE} is not there: set PUSHSUB_DATA to its folder");
        return;
    };
    for mode in &MODES[2..4] {
        assert_run(&counts(mode, Some(&day)).await, 72_417, 22_514, 3_229);
    }
}

/// What must hold of every run, whoever died.
fn assert_run(run: &Value, readings: u64, changes: u64, empty: u64) {
    let number = |name: &str| run[name].as_u64();
    let all = [number("readings"), number("changes"), number("empty")];
    assert_eq!(all, [readings, changes, empty].map(Some), "{run}");
    let faults = ["lost", "duplicates", "out_of_order"].map(number);
    assert_eq!(faults, [Some(0); 3], "{run}");
    let workers = run["workers"].as_array().into_iter().flatten();
    let handled = workers.filter_map(|worker| worker["handled"].as_u64());
    assert_eq!(handled.sum::<u64>(), readings, "{run}");
    let alerts = ["received", "dropped", "queued"];
    let alerts = alerts
        .iter()
        .filter_map(|name| run["alerts"][name].as_u64());
    assert_eq!(run["alerts"]["published"], empty, "{run}");
    assert_eq!(alerts.sum::<u64>(), empty, "{run}");
}

/// The one line of JSON.
async fn counts(arguments: &[&str], csv: Option<&Path>) -> Value {
    let run = bikes(&[arguments, &["--json"]].concat(), csv).await;
    let (line, error) = (text(&run.stdout), text(&run.stderr));
    assert!(
        run.status.success() && error.is_empty(),
        "{arguments:?}: {error}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
    serde_json::from_str(&line).expect("a line of JSON")
}

async fn bikes(arguments: &[&str], csv: Option<&Path>) -> Output {
    let mut command = tokio::process::Command::new(program());
    let run = command
        .args(arguments)
        .args(csv)
        .kill_on_drop(true)
        .output();
    let run = timeout(LIMIT, run).await.expect("the run must end in time");
    run.expect("the example starts")
}

/// The example, built as this test is.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("a folder below it");
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "--example", "bikes", "--target-dir"])
            .arg(target);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            build.arg("--release");
            "release"
        };
        let built = build.status().expect("cargo starts");
        assert!(built.success(), "the example must build");
        let name = format!("bikes{}", env::consts::EXE_SUFFIX);
        [target, profile.as_ref(), "examples".as_ref(), name.as_ref()]
            .iter()
            .collect()
    })
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).expect("the folder can be written to");
    path
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
