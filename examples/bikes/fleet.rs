//! The worker processes: started, watched, killed on request, and never left behind.

use std::future;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::future::select_all;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a worker may take until it says that it is ready.
const READY: Duration = Duration::from_secs(10);
/// How long a worker may take to end by itself, before it is killed.
const END: Duration = Duration::from_secs(2);

/// Child processes of one program, numbered from 1.
///
/// A worker ends when its standard input does, so none outlives this process,
/// however that ends. One that cannot notice, because it is stopped, is killed
/// when the fleet is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    program: PathBuf,
    arguments: Vec<String>,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    pid: u32,
    /// `None` once it has ended.
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Open for as long as the worker is to live.
    stdin: Option<ChildStdin>,
    /// Kept, so that a worker that prints more does not die of it.
    _stdout: BufReader<ChildStdout>,
}

impl Fleet {
    /// No worker yet. Each is given the arguments, and its number after them.
    pub(crate) fn new(program: PathBuf, arguments: &[&str]) -> Self {
        Self {
            program,
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            workers: Vec::new(),
        }
    }

    /// Starts a worker and waits for the line that says it is ready.
    ///
    /// Returns its number and the line.
    ///
    /// # Errors
    ///
    /// It could not be started, ended, or was not ready in time; it is gone.
    pub(crate) async fn start(&mut self) -> io::Result<(usize, String)> {
        let id = self.workers.len() + 1;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(id.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().unwrap_or_default();
        // Taken, because waiting for a child closes what it holds.
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let ready = timeout(READY, stdout.read_line(&mut line)).await;
        if ready.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
            return Err(io::Error::other(format!(
                "worker {id} ended before it was ready"
            )));
        }
        let process = Some(Process {
            child,
            stdin,
            _stdout: stdout,
        });
        self.workers.push(Worker { pid, process });
        Ok((id, line.trim_end().to_owned()))
    }

    /// The number of a worker that has ended, whoever ended it; each is told once.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has told nothing.
    pub(crate) async fn ended(&mut self) -> usize {
        let alive = (1..).zip(&mut self.workers);
        let ends: Vec<_> = alive
            .filter_map(|(id, worker)| Some((id, worker.process.as_mut()?)))
            .map(|(id, process)| {
                Box::pin(async move {
                    // An error means that there is nothing to wait for any more.
                    process.child.wait().await.ok();
                    id
                })
            })
            .collect();
        if ends.is_empty() {
            return future::pending().await;
        }
        let (id, ..) = select_all(ends).await;
        self.workers[id - 1].process = None;
        id
    }

    /// Kills a worker with SIGKILL, as a crash would; [`ended`](Self::ended) tells when it is gone.
    pub(crate) fn kill(&mut self, id: usize) -> io::Result<()> {
        let worker = id
            .checked_sub(1)
            .and_then(|index| self.workers.get_mut(index));
        match worker.and_then(|worker| worker.process.as_mut()) {
            Some(process) => process.child.start_kill(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// How many have not ended.
    pub(crate) fn alive(&self) -> usize {
        self.workers
            .iter()
            .filter(|worker| worker.process.is_some())
            .count()
    }

    /// The process ids of all that ever were started, in the order of their numbers.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().map(|worker| worker.pid)
    }

    /// Lets every worker end by itself, and kills what does not.
    pub(crate) async fn stop(mut self) {
        for process in self
            .workers
            .iter_mut()
            .filter_map(|worker| worker.process.as_mut())
        {
            process.stdin = None;
        }
        let all_ended = async {
            while self.alive() > 0 {
                self.ended().await;
            }
        };
        // Where the time is up, the drop of the fleet kills the rest.
        timeout(END, all_ended).await.ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Says its number, and ends when its input does.
    const WORKER: &str = "echo ready $0; while read -r line; do :; done";

    fn fleet(script: &str) -> Fleet {
        Fleet::new("sh".into(), &["-c", script])
    }

    #[tokio::test]
    async fn workers_are_numbered_and_ready_when_they_say_so() {
        let mut fleet = fleet(WORKER);
        assert_eq!(fleet.start().await.unwrap(), (1, "ready 1".to_owned()));
        assert_eq!(fleet.start().await.unwrap(), (2, "ready 2".to_owned()));
        assert_eq!((fleet.alive(), fleet.pids().count()), (2, 2));
        fleet.stop().await;
    }

    #[tokio::test]
    async fn a_killed_worker_is_told_once_and_its_pid_is_kept() {
        let mut fleet = fleet(WORKER);
        fleet.start().await.unwrap();
        fleet.start().await.unwrap();
        fleet.kill(1).unwrap();
        assert_eq!(fleet.ended().await, 1);
        assert_eq!((fleet.alive(), fleet.pids().count()), (1, 2));
        assert!(fleet.kill(1).is_err());
        fleet.kill(2).unwrap();
        assert_eq!(fleet.ended().await, 2);
        assert_eq!(fleet.start().await.unwrap().0, 3);
    }

    #[tokio::test]
    async fn a_dropped_wait_ends_no_worker() {
        let mut fleet = fleet(WORKER);
        fleet.start().await.unwrap();
        assert!(timeout(Duration::ZERO, fleet.ended()).await.is_err());
        assert_eq!(fleet.alive(), 1);
        fleet.kill(1).unwrap();
        assert_eq!(fleet.ended().await, 1);
    }

    #[tokio::test]
    async fn a_worker_that_ends_before_it_is_ready_is_an_error() {
        let error = fleet("exit 3").start().await.unwrap_err();
        assert!(error.to_string().contains("worker 1 ended"), "{error}");
        let missing = Fleet::new("no/such/program".into(), &[]).start().await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn workers_end_when_nobody_holds_their_input() {
        let mut fleet = fleet(WORKER);
        fleet.start().await.unwrap();
        fleet.workers[0].process.as_mut().unwrap().stdin = None;
        assert_eq!(fleet.ended().await, 1);
    }
}
