//! A process of a run: this program, started by itself, with what it says and what it is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::ends::Outcome;
use crate::resources;
use crate::rivals::{Rival, Task};
use crate::row::Row;

/// A process that has not ended by then does, whatever holds it up.
const LIFE: Duration = Duration::from_secs(90);

/// What a process does in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// The end that binds, or the workers behind a device.
    First,
    /// The end that connects.
    Second,
    Both,
    Device,
    /// A device behind that one.
    Behind,
}

/// Does the work of one process, and says what came of it.
pub(crate) fn work(part: Part, rival: Rival, task: Task) -> Result<()> {
    thread::spawn(|| {
        thread::park_timeout(LIFE);
        eprintln!("it hangs");
        exit(1);
    });
    let mut outcome = match part {
        Part::First => rival.first(task, || println!("ready")),
        Part::Second => rival.second(task),
        Part::Both => rival.both(task),
        Part::Device => rival.device(task, false, || println!("ready")),
        Part::Behind => rival.device(task, true, || println!("ready")),
    }?;
    if outcome.cpu.is_none() {
        outcome.cpu = Some(resources::cpu_seconds()?);
    }
    outcome.peak = resources::peak()?;
    println!("outcome {}", serde_json::to_string(&outcome)?);
    // What a rival has left running is not waited for.
    exit(0);
}

/// A child, killed when dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one, bound to these processors if any are named.
    pub(crate) fn start(
        part: Part,
        rival: Rival,
        row: &Row,
        messages: u64,
        endpoints: &[String],
        cores: Option<&str>,
    ) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match cores {
            Some(cores) => {
                let mut bound = Command::new("taskset");
                bound.args(["-c", cores]).arg(program);
                bound
            }
            None => Command::new(program),
        };
        let part = match part {
            Part::First => "first",
            Part::Second => "second",
            Part::Both => "both",
            Part::Device => "device",
            Part::Behind => "behind",
        };
        let mut child = command
            .args(["part", part, "--rival", rival.name(), "--row", row.name])
            .args(["--messages", &messages.to_string()])
            .args(["--endpoints", &endpoints.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().context("its input is a pipe")?,
            output: BufReader::new(child.stdout.take().context("its output is a pipe")?),
            child,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, order: &str) -> Result<()> {
        Ok(writeln!(self.input, "{order}")?)
    }

    /// Reads on to the line that begins with this word.
    pub(crate) fn line(&mut self, word: &str) -> Result<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("process {} ended before it said `{word}`", self.child.id());
            }
            match line.split_whitespace().next() {
                Some(said) if said == word => return Ok(line),
                Some("ended") if word == "ready" => bail!("it {}", line.trim_end()),
                _ => {}
            }
        }
    }

    /// What it has done, once it has ended.
    pub(crate) fn outcome(&mut self) -> Result<Outcome> {
        let line = self.line("outcome")?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("process {} failed: {status}", self.child.id());
        }
        let (_, outcome) = line.split_once(' ').context("its line has two parts")?;
        Ok(serde_json::from_str(outcome)?)
    }

    /// Has it stop. Returns what it has done.
    pub(crate) fn stop(&mut self) -> Result<Outcome> {
        self.tell("stop")?;
        self.outcome()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has usually ended, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
