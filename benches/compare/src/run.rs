//! One run of one rival: a process that receives, a process that sends, and what both report.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cpu;
use crate::rivals::Rival;
use crate::row::{Row, Tally};

/// What came of a run.
pub(crate) struct Run {
    pub(crate) rival: Rival,
    sender: u32,
    receiver: u32,
    sent: u64,
    received: u64,
    reordered: u64,
    /// From the first message received to the last.
    seconds: f64,
    sender_cpu: f64,
    receiver_cpu: f64,
}

impl Run {
    /// Starts both processes and waits for them.
    pub(crate) fn measure(rival: Rival, row: Row, messages: u64) -> Result<Self> {
        let mut receiver = Process::start("receive", rival, row, messages, "")?;
        let address = receiver.line()?;
        let mut sender = Process::start("send", rival, row, messages, address.trim())?;
        let [sent, sender_cpu] = sender.report()?;
        let [received, reordered, seconds, receiver_cpu] = receiver.report()?;
        Ok(Self {
            rival,
            sender: sender.child.id(),
            receiver: receiver.child.id(),
            sent: sent as u64,
            received: received as u64,
            reordered: reordered as u64,
            seconds,
            sender_cpu,
            receiver_cpu,
        })
    }

    /// Messages a second at the receiver.
    pub(crate) fn rate(&self) -> f64 {
        self.received.saturating_sub(1) as f64 / self.seconds
    }

    /// Processor seconds of both ends for a million messages.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        (self.sender_cpu + self.receiver_cpu) / self.received as f64 * 1e6
    }

    /// Everything arrived, in order.
    pub(crate) fn is_faultless(&self) -> bool {
        self.sent == self.received && self.reordered == 0
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:<16} sender {} receiver {}: sent {} received {} lost {} reordered {} \
             in {:.2} s, {:.2} M msg/s, CPU {:.2} + {:.2} s",
            self.rival.name(),
            self.sender,
            self.receiver,
            self.sent,
            self.received,
            self.sent.saturating_sub(self.received),
            self.reordered,
            self.seconds,
            self.rate() / 1e6,
            self.sender_cpu,
            self.receiver_cpu,
        )
    }
}

/// The receiving process: says where it listens, then what it has seen.
pub(crate) fn receive(rival: Rival, row: Row, messages: u64) -> Result<()> {
    let before = cpu::seconds()?;
    let mut tally = Tally::new();
    let seconds = rival.receive(row, messages, &mut tally)?.as_secs_f64();
    let cpu = cpu::seconds()? - before;
    println!("{} {} {seconds} {cpu}", tally.received, tally.reordered);
    Ok(())
}

/// The sending process: says what it has sent.
pub(crate) fn send(rival: Rival, row: Row, messages: u64, address: &str) -> Result<()> {
    let before = cpu::seconds()?;
    let sent = rival.send(row, messages, address)?;
    println!("{sent} {}", cpu::seconds()? - before);
    Ok(())
}

/// A child, killed when dropped.
struct Process {
    child: Child,
    output: BufReader<Box<dyn Read>>,
}

impl Process {
    fn start(end: &str, rival: Rival, row: Row, messages: u64, address: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([end, "--rival", rival.name(), "--row", row.name()])
            .args(["--messages", &messages.to_string(), "--address", address])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("its output is a pipe")?;
        Ok(Self {
            child,
            output: BufReader::new(Box::new(output)),
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("process {} ended before it said anything", self.child.id());
        }
        Ok(line)
    }

    /// The numbers of its last line, once it has ended.
    fn report<const COUNT: usize>(&mut self) -> Result<[f64; COUNT]> {
        let line = self.line()?;
        let numbers: Vec<f64> = line.split_whitespace().flat_map(str::parse).collect();
        let status = self.child.wait()?;
        match numbers.try_into() {
            Ok(numbers) if status.success() => Ok(numbers),
            _ => bail!("process {} failed: {status}, `{line}`", self.child.id()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has usually ended, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
