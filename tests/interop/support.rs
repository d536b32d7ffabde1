//! Peers in Python: finding an interpreter that has pyzmq, starting a script, reading what it says.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::env;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::guard::Guard;

/// How to get what is missing, as the README says it too.
const INSTALL: &str = "python3 -m venv target/venv && \
     target/venv/bin/pip install pyzmq==27.3.0 msgpack==1.2.4";

/// How long anything here may take: far longer than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A Python with pyzmq and msgpack: `PUSHSUB_PYTHON`, `target/venv`, or the system's.
///
/// Where there is none, says `SKIPPED` and how to install it, and returns
/// nothing: the test then returns. With `PUSHSUB_REQUIRE_ALL=1` it fails instead.
pub(crate) fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| candidates().into_iter().find(|python| has_packages(python)));
    if found.is_none() {
        let message = format!("no Python with pyzmq and msgpack; install it with {INSTALL}");
        let required = env::var("PUSHSUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(!required, "PUSHSUB_REQUIRE_ALL is set: {message}");
        println!("SKIPPED: {message}");
    }
    found.as_deref()
}

/// Runs a test, and holds its sockets to account at its end.
pub(crate) fn guarded(test: impl Future<Output = ()>) {
    let guard = Guard::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_start(guard.on_thread_start())
        .enable_all()
        .build()
        .expect("the system has what a runtime needs");
    runtime.block_on(async {
        test.await;
        guard
            .end()
            .await
            .unwrap_or_else(|broken| panic!("{broken}"));
    });
}

/// A running script of `tests/interop/`; killed when dropped.
pub(crate) struct Script {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Script {
    /// Starts `tests/interop/{name}` with these arguments. What it writes to
    /// its error output appears in that of the test.
    pub(crate) fn start(python: &Path, name: &str, arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        let mut child = Command::new(python)
            .arg("-u")
            .arg(folder.join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter that was found starts");
        let input = child.stdin.take().expect("its input is a pipe");
        let output = child.stdout.take().expect("its output is a pipe");
        let lines = BufReader::new(output).lines();
        Self {
            child,
            input,
            lines,
            name: name.into(),
        }
    }

    /// The next line that the script prints, without the word that it must begin with.
    ///
    /// # Panics
    ///
    /// Where none comes in time, the script has ended, or the line begins otherwise.
    pub(crate) async fn expect(&mut self, word: &str) -> String {
        let line = self.next(word, PATIENCE).await;
        let name = &self.name;
        let Some(rest) = line.strip_prefix(word) else {
            panic!("{name}: `{word}` expected, it says `{line}`");
        };
        rest.trim().to_owned()
    }

    /// The next line, whatever it is, from a script that has much to do before it.
    ///
    /// # Panics
    ///
    /// Where none comes in twice the usual time, or the script has ended.
    pub(crate) async fn line(&mut self) -> String {
        self.next("a line", 2 * PATIENCE).await
    }

    async fn next(&mut self, wanted: &str, patience: Duration) -> String {
        let name = &self.name;
        let Ok(line) = timeout(patience, self.lines.next_line()).await else {
            panic!("{name}: `{wanted}` expected, silent for {patience:?}");
        };
        let Some(line) = line.expect("its output is text") else {
            panic!("{name}: `{wanted}` expected, the script has ended");
        };
        line
    }

    /// Tells the script something: a line on its input.
    pub(crate) async fn tell(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.input
            .write_all(line.as_bytes())
            .await
            .expect("the script reads its input");
    }

    /// Kills the script at once, as a crash would, and returns when it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("it is our child");
    }
}

fn candidates() -> Vec<PathBuf> {
    let environment = env::var_os("PUSHSUB_PYTHON").map(PathBuf::from);
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    environment
        .into_iter()
        .chain([venv, PathBuf::from("python3")])
        .collect()
}

fn has_packages(python: &Path) -> bool {
    let mut command = std::process::Command::new(python);
    command
        .args(["-c", "import zmq, msgpack"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
