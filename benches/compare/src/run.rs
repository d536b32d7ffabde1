//! One run of one rival: two processes, or one for inproc, and what they report.

use std::fmt;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cpu;
use crate::ends::Outcome;
use crate::rivals::{Rival, Task};
use crate::row::{Row, Transport, Work};

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    #[serde(serialize_with = "name")]
    pub(crate) rival: Rival,
    /// The processes of the end that binds and of the one that connects.
    pids: [u32; 2],
    sent: u64,
    received: u64,
    reordered: u64,
    /// Whether the numbers and sizes that came are those that were sent.
    sound: bool,
    seconds: f64,
    /// Of both ends.
    cpu_seconds: f64,
    /// Of round trips, in µs; 0 in other rows.
    pub(crate) median: f64,
    pub(crate) p99: f64,
}

fn name<S: serde::Serializer>(rival: &Rival, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rival.name())
}

/// Which end a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum End {
    First,
    Second,
    Both,
}

impl Run {
    /// Starts the processes and waits for them.
    pub(crate) fn measure(rival: Rival, row: &'static Row, messages: u64) -> Result<Self> {
        let place = Place::new(row)?;
        let start = |end, core| Process::start(end, rival, row, messages, &place, core);
        let failed = || format!("{} in {}", rival.name(), row.name);
        if row.transport == Transport::Inproc {
            let mut both = start(End::Both, None)?;
            let (outcome, cpu) = both.report().with_context(failed)?;
            return Ok(Self::of(rival, [both.child.id(); 2], outcome, cpu));
        }
        let mut first = start(End::First, row.cores.map(|cores| cores[0]))?;
        first.line("ready").with_context(failed)?;
        let mut second = start(End::Second, row.cores.map(|cores| cores[1]))?;
        if matches!(row.work, Work::Publish(_)) {
            first.line("subscribed").with_context(failed)?;
            writeln!(second.input, "go")?;
        }
        let (sent, sender_cpu) = second.report().with_context(failed)?;
        let (received, receiver_cpu) = first.report().with_context(failed)?;
        let pids = [first.child.id(), second.child.id()];
        let outcome = received.with(sent);
        Ok(Self::of(rival, pids, outcome, sender_cpu + receiver_cpu))
    }

    fn of(rival: Rival, pids: [u32; 2], outcome: Outcome, cpu_seconds: f64) -> Self {
        Self {
            rival,
            pids,
            sent: outcome.sent,
            received: outcome.received,
            reordered: outcome.reordered,
            sound: outcome.sound,
            seconds: outcome.seconds,
            cpu_seconds,
            median: outcome.median,
            p99: outcome.p99,
        }
    }

    /// Messages a second at the receivers.
    pub(crate) fn rate(&self) -> f64 {
        self.received.saturating_sub(1) as f64 / self.seconds
    }

    /// Processor seconds of both ends for a million messages.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds / self.received as f64 * 1e6
    }

    /// Everything arrived, in order and whole.
    pub(crate) fn is_faultless(&self) -> bool {
        self.sent == self.received && self.reordered == 0 && self.sound
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.pids;
        write!(
            formatter,
            "{:<16} processes {first} {second}: sent {} received {} lost {} reordered {} checksum {} \
             in {:.2} s, CPU {:.2} s, ",
            self.rival.name(),
            self.sent,
            self.received,
            self.sent.saturating_sub(self.received),
            self.reordered,
            if self.sound { "ok" } else { "wrong" },
            self.seconds,
            self.cpu_seconds,
        )?;
        if self.median > 0.0 {
            write!(
                formatter,
                "median {:.1} µs, p99 {:.1} µs",
                self.median, self.p99
            )
        } else {
            write!(formatter, "{:.3} M msg/s", self.rate() / 1e6)
        }
    }
}

/// Does the work of one process, and says what came of it.
pub(crate) fn work(end: End, rival: Rival, task: Task) -> Result<()> {
    let before = cpu::seconds()?;
    let outcome = match end {
        End::First => rival.first(task, || println!("ready")),
        End::Second => rival.second(task),
        End::Both => rival.both(task),
    }?;
    let cpu = cpu::seconds()? - before;
    let Outcome {
        sent,
        received,
        reordered,
        seconds,
        median,
        p99,
        sound,
    } = outcome;
    let sound = u8::from(sound);
    println!("outcome {sent} {received} {reordered} {seconds} {median} {p99} {sound} {cpu}");
    Ok(())
}

/// Where the ends meet.
struct Place {
    endpoints: Vec<String>,
    /// Holds the files of ipc until the run is over.
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    fn new(row: &Row) -> Result<Self> {
        let count = match row.work {
            Work::Publish(subscribers) => subscribers,
            Work::Flow | Work::Ask(_) => 1,
        };
        let folder = match row.transport {
            Transport::Ipc => Some(tempfile::tempdir()?),
            Transport::Tcp | Transport::Inproc => None,
        };
        // Free at present; somebody else may be faster only on a busy machine.
        let listeners: Vec<_> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let endpoints = listeners.iter().enumerate().map(|(number, listener)| {
            Ok(match (&folder, row.transport) {
                (Some(folder), _) => format!("ipc://{}/{number}", folder.path().display()),
                (None, Transport::Inproc) => format!("inproc://{number}"),
                (None, _) => format!("tcp://{}", listener.local_addr()?),
            })
        });
        Ok(Self {
            endpoints: endpoints.collect::<Result<_>>()?,
            _folder: folder,
        })
    }
}

/// A child, killed when dropped.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(
        end: End,
        rival: Rival,
        row: &Row,
        messages: u64,
        place: &Place,
        core: Option<&str>,
    ) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match core {
            Some(core) => {
                let mut bound = Command::new("taskset");
                bound.args(["-c", core]).arg(program);
                bound
            }
            None => Command::new(program),
        };
        let end = match end {
            End::First => "first",
            End::Second => "second",
            End::Both => "both",
        };
        let mut child = command
            .args(["end", end, "--rival", rival.name(), "--row", row.name])
            .args(["--messages", &messages.to_string()])
            .args(["--endpoints", &place.endpoints.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().context("its input is a pipe")?,
            output: BufReader::new(child.stdout.take().context("its output is a pipe")?),
            child,
        })
    }

    /// Reads on to the line that begins with this word.
    fn line(&mut self, word: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("process {} ended before it said `{word}`", self.child.id());
            }
            if line.split_whitespace().next() == Some(word) {
                return Ok(line);
            }
        }
    }

    /// What it has done, and its processor seconds, once it has ended.
    fn report(&mut self) -> Result<(Outcome, f64)> {
        let line = self.line("outcome")?;
        let numbers = line.split_whitespace().skip(1);
        let numbers: Vec<f64> = numbers.flat_map(str::parse).collect();
        let status = self.child.wait()?;
        match numbers[..] {
            [sent, received, reordered, seconds, median, p99, sound, cpu] if status.success() => {
                let outcome = Outcome {
                    sent: sent as u64,
                    received: received as u64,
                    reordered: reordered as u64,
                    seconds,
                    median,
                    p99,
                    sound: sound == 1.0,
                };
                Ok((outcome, cpu))
            }
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
