//! The other end: this program, started once more, which does as it is told line by line.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::{Result, bound, churn, dialling, exhaustion, signals, weather};

/// Says which part a process plays.
const PART: &str = "PUSHSUB_SCALE_PART";

/// What a process answers begins with this; the test harness prints lines of its own.
const ANSWER: &str = "> ";

/// For one answer, also on a machine that does other things as well.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that plays a part. It is killed when it is dropped.
pub(crate) struct Other {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
    part: String,
}

impl Other {
    /// Starts a process with as many descriptors as the system lets it have.
    pub(crate) fn start(part: impl Display) -> Result<Self> {
        Self::start_with("ulimit -n $(ulimit -H -n)", part)
    }

    /// The same behind other commands of a shell, such as `ulimit -n 64`.
    pub(crate) fn start_with(limits: &str, part: impl Display) -> Result<Self> {
        let script = format!("{limits}\nexec \"$0\" \"$@\"");
        let part = part.to_string();
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe()?)
            .args(["other::the_other_end", "--exact", "--nocapture"])
            .env(PART, &part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no way in")?;
        let told = child.stdout.take().ok_or("no way out")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(|line| line.ok()) {
                let answer = line.strip_prefix(ANSWER).map(str::to_owned);
                // Whoever has dropped the process does not want to know.
                let _ = answer.map(|answer| sender.send(answer));
            }
        });
        Ok(Self {
            child,
            orders,
            answers,
            part,
        })
    }

    /// Orders something and waits until it is done.
    pub(crate) fn ask(&mut self, order: impl Display) -> Result<String> {
        self.order(&order)?;
        self.answer()
            .map_err(|error| format!("{order}: {error}").into())
    }

    /// Orders something that goes on while others are asked.
    pub(crate) fn order(&mut self, order: impl Display) -> Result {
        writeln!(self.orders, "{order}")?;
        Ok(())
    }

    /// The answer to the oldest order that has none.
    pub(crate) fn answer(&mut self) -> Result<String> {
        let answer = self.answers.recv_timeout(LIMIT);
        let answer = answer.map_err(|error| format!("{}: {error}", self.part))?;
        match answer.strip_prefix("failed: ") {
            Some(reason) => Err(format!("{}: {reason}", self.part).into()),
            None => Ok(answer),
        }
    }

    /// Lets it be for so long.
    pub(crate) fn rest(&mut self, time: Duration) -> Result {
        match self.answers.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(answer) => Err(format!("{} said {answer}", self.part).into()),
            Err(RecvTimeoutError::Disconnected) => Err(format!("{} ended", self.part).into()),
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        Ok(std::fs::read_to_string(path)?)
    }

    /// Octets of memory that it has at present.
    pub(crate) fn resident(&self) -> Result<usize> {
        let status = self.file("status")?;
        let mut lines = status.lines();
        let size = lines.find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kibibytes: usize = size.ok_or("no VmRSS")?.trim().parse()?;
        Ok(kibibytes << 10)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.child.id());
        Ok(std::fs::read_dir(path)?.count())
    }

    /// Time on a processor, of all its threads that live.
    pub(crate) fn processor(&self) -> Result<Duration> {
        let mut sum = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let told = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            sum += told.split(' ').next().unwrap_or("0").parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The orders that a process gets.
pub(crate) type Orders = mpsc::UnboundedReceiver<String>;

/// Answers an order.
pub(crate) fn answer(text: impl Display) {
    println!("\n{ANSWER}{text}");
}

/// No test of its own: the process that another test has started runs in it.
#[test]
fn the_other_end() -> Result {
    let Ok(part) = std::env::var(PART) else {
        return Ok(());
    };
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(|line| line.ok()) {
            let _ = sender.send(order);
        }
        // Whoever gave the orders is gone.
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(play(&part, orders));
    if let Err(error) = &ended {
        answer(format_args!("failed: {error}"));
    }
    ended
}

async fn play(part: &str, orders: Orders) -> Result {
    signals::catch()?;
    let words: Vec<_> = part.split(' ').collect();
    match words[..] {
        ["bound", kind, endpoint] => bound::play(kind, endpoint, orders).await,
        ["weather"] => weather::play(orders).await,
        ["hoarding", endpoint, count] => exhaustion::play(endpoint, count.parse()?, orders).await,
        ["churning", endpoint, milliseconds] => churn::play(endpoint, milliseconds.parse()?),
        ["dialling", kind, endpoint, count] => {
            dialling::play(kind, endpoint, count.parse()?, orders).await
        }
        _ => Err("there is no such part".into()),
    }
}
