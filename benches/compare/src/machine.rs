//! The machine that the figures are of, and the versions of who takes part.

use std::process::Command;
use std::{fmt, fs, thread};

use serde::{Deserialize, Serialize};

/// Figures of one machine are not to be set beside those of another.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    /// Of tcp, unless a socket asks for another.
    congestion_control: String,
    rustc: String,
    build: String,
    versions: Vec<String>,
}

impl Machine {
    /// This one.
    pub(crate) fn look() -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| {
            let (name, model) = line.split_once(':')?;
            (name.trim() == "model name").then(|| model.trim().to_owned())
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let congestion_control =
            fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
        let rustc = Command::new("rustc").arg("--version").output();
        let rustc = rustc.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        });
        Self {
            processor: model.unwrap_or_else(|| "unknown processor".into()),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: format!("Linux {}", kernel.trim()),
            congestion_control: congestion_control.trim().to_owned(),
            rustc: if rustc.is_empty() {
                "rustc".into()
            } else {
                rustc
            },
            build: if cfg!(debug_assertions) {
                "a build for debugging, whose figures say nothing".into()
            } else {
                "release with thin LTO".into()
            },
            versions: versions(),
        }
    }
}

/// In one sentence of Markdown.
impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}, {} cores, {}, tcp by default with {}, {}, {}; {}",
            self.processor,
            self.cores,
            self.kernel,
            self.congestion_control,
            self.rustc,
            self.build,
            self.versions.join(", ")
        )
    }
}

/// Of libzmq as it says itself, of crates from the lock file that this program is built by.
fn versions() -> Vec<String> {
    let (major, minor, patch) = zmq::version();
    let mut versions = vec![format!("libzmq {major}.{minor}.{patch}")];
    let mut lines = include_str!("../Cargo.lock").lines();
    while let Some(line) = lines.next() {
        let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let name = quoted(line);
        let is_named = ["omq-tokio", "rzmq", "tarpc", "tokio", "tonic", "zeromq"];
        if line.starts_with("name = ") && is_named.contains(&name.as_str()) {
            versions.push(format!(
                "{name} {}",
                quoted(lines.next().unwrap_or_default())
            ));
        }
    }
    versions
}
