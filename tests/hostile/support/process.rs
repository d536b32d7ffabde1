//! A victim in a process of its own, looked at from outside: its memory, its descriptors, its end.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Result;

const VICTIM: &str = "PUSHSUB_HOSTILE_VICTIM";

/// What the parent has its victim do.
const DRAIN: u8 = b'd';

/// A running victim; dropped it ends.
pub(crate) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    told: BufReader<std::process::ChildStdout>,
    /// Where it listens, in its order.
    pub(crate) ports: Vec<u16>,
}

/// What this process is to be, if it is a victim.
pub(crate) fn role() -> Option<String> {
    std::env::var(VICTIM).ok()
}

impl Process {
    /// Starts a victim of this role: the test of this path, which finds it by [`role`].
    pub(crate) fn start(path: &str, role: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([path, "--exact", "--nocapture", "--include-ignored"])
            .env(VICTIM, role)
            // glibc gives back at once what is free: what stays is what the library holds.
            .env("MALLOC_TRIM_THRESHOLD_", "65536")
            .env("MALLOC_MMAP_THRESHOLD_", "65536")
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let told = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut process = Self {
            child,
            orders,
            told,
            ports: Vec::new(),
        };
        let ports = process.hears("ports ")?;
        let ports = ports.split_whitespace().map(str::parse);
        process.ports = ports.collect::<std::result::Result<_, _>>()?;
        Ok(process)
    }

    /// What the victim says behind this word.
    fn hears(&mut self, word: &str) -> Result<String> {
        let mut line = String::new();
        while self.told.read_line(&mut line)? > 0 {
            // The harness has begun a line of its own.
            if let Some((_, rest)) = line.split_once(word) {
                return Ok(rest.trim().to_owned());
            }
            line.clear();
        }
        Err(format!("the victim has not said {word}").into())
    }

    /// Octets of it that are in memory.
    pub(crate) fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kibibytes.ok_or("no VmRSS")?.parse::<usize>()? << 10)
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Has it receive all that waits, and waits until it has. Returns how many messages that
    /// were, and the octets that it has allocated then.
    pub(crate) fn drain(&mut self) -> Result<(u64, usize)> {
        let orders = self.orders.as_mut().ok_or("it has ended")?;
        orders.write_all(&[DRAIN])?;
        orders.flush()?;
        let told = self.hears("drained ")?;
        let (messages, allocated) = told.split_once(' ').ok_or("half of an answer")?;
        Ok((messages.parse()?, allocated.parse()?))
    }

    /// Ends it, and says whether it had held until then: no panic, no error.
    pub(crate) fn finish(mut self) -> Result {
        drop(self.orders.take());
        let mut rest = String::new();
        self.told.read_to_string(&mut rest)?;
        let status = self.child.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the victim ended with {status}:\n{rest}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.orders.take().is_some() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The victim's side: what it is told to do, until it is to end.
pub(crate) struct Orders(UnboundedReceiver<()>);

impl Orders {
    /// Says where the victim listens, and listens to its parent.
    pub(crate) fn begin(ports: &[u16]) -> Self {
        let (sender, receiver) = unbounded_channel();
        std::thread::spawn(move || {
            let mut octet = [0];
            while let Ok(1) = std::io::stdin().read(&mut octet) {
                if octet[0] == DRAIN && sender.send(()).is_err() {
                    return;
                }
            }
        });
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        println!("ports {}", ports.join(" "));
        Self(receiver)
    }

    /// The next order to drain; `None` is the end.
    pub(crate) async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }

    /// Tells that the order is done.
    pub(crate) fn drained(&self, messages: u64, allocated: usize) {
        println!("drained {messages} {allocated}");
    }
}
