//! The worker processes: started, registered, watched, killed on request, and never left behind.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use pushsub::{Broker, Client, Instance, Registration, Registry};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::arguments::{Role, Run};
use crate::books::Killed;
use crate::station::SERVICE;

/// How long a worker may take until it says that it is ready.
const READY: Duration = Duration::from_secs(10);
/// How long a worker may take to end by itself, before it is killed.
const END: Duration = Duration::from_secs(2);

/// Child processes of one program, numbered from 1.
///
/// One that says where it can be reached is registered there while it lives.
///
/// A worker ends when its standard input does, so none outlives this process,
/// however that ends. One that cannot notice, because it is stopped, is killed
/// when the fleet is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    program: PathBuf,
    arguments: Vec<String>,
    registry: Registry,
    /// The broker's.
    front: Option<Registration>,
    /// Tells a person which process is which worker.
    tells: bool,
    workers: Vec<Worker>,
    /// The numbers of those whose standard output has ended.
    ends: mpsc::UnboundedReceiver<usize>,
    end: mpsc::UnboundedSender<usize>,
}

#[derive(Debug)]
struct Worker {
    pid: u32,
    /// What it said when it was ready: its [`place`], or behind a broker its name.
    place: String,
    /// `None` behind a broker, and once it has been replaced.
    registration: Option<Registration>,
    /// `None` once it has ended.
    process: Option<Child>,
}

impl Fleet {
    /// Starts the workers of a run, and waits until they are known to the broker, if there is one.
    ///
    /// # Errors
    ///
    /// A worker could not be started; none is left.
    pub(crate) async fn start(
        run: &Run,
        broker: Option<&Broker>,
        registry: &Registry,
    ) -> io::Result<Self> {
        let mut fleet = Self::new(env::current_exe()?, Role::worker(broker), registry);
        fleet.tells = !run.json;
        // To a client a broker is one big instance.
        fleet.front = broker.map(|broker| registry.register(SERVICE, broker.front()));
        for _ in 0..run.workers {
            fleet.start_one().await?;
        }
        if let Some(broker) = broker {
            let known = broker.wait_for_workers(SERVICE, fleet.alive());
            // One that died meanwhile is not waited for any longer than that.
            timeout(READY, known).await.ok();
        }
        Ok(fleet)
    }

    /// No worker yet. Each is given the arguments, and its number after them.
    fn new(program: PathBuf, arguments: Vec<String>, registry: &Registry) -> Self {
        let (end, ends) = mpsc::unbounded_channel();
        Self {
            program,
            arguments,
            registry: registry.clone(),
            front: None,
            tells: false,
            workers: Vec::new(),
            ends,
            end,
        }
    }

    /// Starts a worker, and waits for the line that says it is ready, and where.
    ///
    /// Returns its number.
    ///
    /// # Errors
    ///
    /// It could not be started, ended, or was not ready in time; it is gone.
    async fn start_one(&mut self) -> io::Result<usize> {
        let id = self.workers.len() + 1;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(id.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().unwrap_or_default();
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let ready = timeout(READY, stdout.read_line(&mut line)).await;
        let unready = |how| io::Error::other(format!("worker {id} {how}"));
        if ready.map_err(|_| unready("was not ready in time"))?? == 0 {
            return Err(unready("ended before it was ready"));
        }
        tokio::spawn(read_out(stdout, id, self.end.clone()));
        let place = line.trim_end().to_owned();
        let instance = place
            .split_once(' ')
            .and_then(|(requests, responses)| Instance::new(requests, responses).ok());
        self.workers.push(Worker {
            pid,
            place,
            registration: instance.map(|instance| self.registry.register(SERVICE, instance)),
            process: Some(child),
        });
        if self.tells {
            eprintln!("worker {id} has pid {pid}");
        }
        Ok(id)
    }

    /// The number of a worker that has ended, whoever ended it; each is told once.
    ///
    /// # Cancel safety
    ///
    /// A dropped wait has told nothing.
    pub(crate) async fn ended(&mut self) -> usize {
        let id = self.ends.recv().await.expect("the fleet keeps a sender");
        self.workers[id - 1].process = None;
        id
    }

    /// Starts another worker if the one that ended was the last: somebody has to serve.
    ///
    /// The one that ended leaves the registry after that, because nothing
    /// waits for a service that nobody serves.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), of that one.
    pub(crate) async fn replace(&mut self, ended: usize) -> io::Result<()> {
        if self.alive() == 0 {
            self.start_one().await?;
        }
        self.workers[ended - 1].registration = None;
        Ok(())
    }

    /// Kills the worker with the most in flight with SIGKILL, as a crash would;
    /// [`ended`](Self::ended) tells when it is gone.
    ///
    /// The loads are told by the places that the workers named. A worker that
    /// is in none of them has nothing in flight.
    ///
    /// # Errors
    ///
    /// None is alive, or the system refuses.
    pub(crate) fn kill_busiest(
        &mut self,
        loads: impl IntoIterator<Item = (String, usize)>,
    ) -> io::Result<Killed> {
        let loads: Vec<_> = loads.into_iter().collect();
        let load = |worker: &Worker| {
            let told = loads.iter().find(|(place, _)| *place == worker.place);
            told.map_or(0, |(_, in_flight)| *in_flight)
        };
        let alive = (1..).zip(&mut self.workers);
        let busiest = alive
            .filter(|(_, worker)| worker.process.is_some())
            .map(|(id, worker)| (load(worker), id, worker))
            .max_by_key(|(in_flight, ..)| *in_flight);
        let Some((in_flight, id, worker)) = busiest else {
            return Err(io::Error::other("no worker is left to be killed"));
        };
        if let Some(process) = &mut worker.process {
            process.start_kill()?;
        }
        Ok(Killed {
            id,
            pid: worker.pid,
            in_flight,
            restored: 0,
        })
    }

    /// How many have not ended.
    pub(crate) fn alive(&self) -> usize {
        let alive = |worker: &&Worker| worker.process.is_some();
        self.workers.iter().filter(alive).count()
    }

    /// The process ids of all that ever were started, in the order of their numbers.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().map(|worker| worker.pid)
    }

    /// Lets every worker end by itself, and kills what does not.
    pub(crate) async fn stop(mut self) {
        let mut processes: Vec<_> = self
            .workers
            .iter_mut()
            .filter_map(|w| w.process.as_mut())
            .collect();
        for process in &mut processes {
            process.stdin = None;
        }
        let all_ended = async {
            for process in processes {
                // An error means that there is nothing to wait for any more.
                process.wait().await.ok();
            }
        };
        // Where the time is up, the drop of the fleet kills the rest.
        timeout(END, all_ended).await.ok();
    }
}

/// A worker says where it is, and waits until nobody keeps its standard input open.
pub(crate) async fn until_orphaned(place: String) -> io::Result<()> {
    writeln!(io::stdout(), "{place}")?;
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    Ok(())
}

/// How a worker that can be reached directly says where.
pub(crate) fn place(instance: &Instance) -> String {
    format!("{} {}", instance.requests, instance.responses)
}

/// What each worker has in flight, by its place: who hands out the requests knows.
pub(crate) fn loads(broker: Option<&Broker>, client: &Client) -> Vec<(String, usize)> {
    match broker {
        Some(broker) => {
            let workers = broker.stats().workers.into_iter();
            workers.map(|w| (w.name, w.in_flight)).collect()
        }
        None => {
            let instances = client.stats().instances.into_iter();
            instances
                .map(|i| (place(&i.instance), i.in_flight))
                .collect()
        }
    }
}

/// Reads what a worker still prints, so that it does not die of it, until it has ended.
async fn read_out(
    mut stdout: BufReader<ChildStdout>,
    id: usize,
    end: mpsc::UnboundedSender<usize>,
) {
    let mut waste = [0; 1024];
    // An error means that there is nothing to wait for any more.
    while stdout.read(&mut waste).await.is_ok_and(|octets| octets > 0) {}
    // A fleet that is gone needs no telling.
    end.send(id).ok();
}

#[cfg(all(test, unix))]
mod tests {
    use pushsub::Discovery;

    use super::*;

    /// Says its number, and ends when its input does.
    const WORKER: &str = "echo ready $0; while read -r line; do :; done";

    fn fleet(script: &str) -> Fleet {
        Fleet::new(
            "sh".into(),
            vec!["-c".to_owned(), script.to_owned()],
            &Registry::new(),
        )
    }

    #[tokio::test]
    async fn workers_are_numbered_and_ready_when_they_say_so() {
        let mut fleet = fleet(WORKER);
        assert_eq!(fleet.start_one().await.unwrap(), 1);
        assert_eq!(fleet.start_one().await.unwrap(), 2);
        assert_eq!((fleet.alive(), fleet.pids().count()), (2, 2));
        fleet.stop().await;
    }

    /// Kills this one: it has the most in flight.
    fn kill(fleet: &mut Fleet, id: usize) -> io::Result<Killed> {
        fleet.kill_busiest([(format!("ready {id}"), 7)])
    }

    #[tokio::test]
    async fn a_killed_worker_is_told_once_and_its_pid_is_kept() {
        let mut fleet = fleet(WORKER);
        fleet.start_one().await.unwrap();
        fleet.start_one().await.unwrap();
        let killed = kill(&mut fleet, 1).unwrap();
        let pid = fleet.pids().next().unwrap();
        assert_eq!((killed.id, killed.pid, killed.in_flight), (1, pid, 7));
        assert_eq!(fleet.ended().await, 1);
        assert_eq!((fleet.alive(), fleet.pids().count()), (1, 2));
        let killed = kill(&mut fleet, 1).unwrap();
        assert_eq!((killed.id, killed.in_flight), (2, 0));
        assert_eq!(fleet.ended().await, 2);
        assert!(kill(&mut fleet, 2).is_err());
        assert_eq!(fleet.start_one().await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_dropped_wait_ends_no_worker() {
        let mut fleet = fleet(WORKER);
        fleet.start_one().await.unwrap();
        assert!(timeout(Duration::ZERO, fleet.ended()).await.is_err());
        assert_eq!(fleet.alive(), 1);
        kill(&mut fleet, 1).unwrap();
        assert_eq!(fleet.ended().await, 1);
    }

    #[tokio::test]
    async fn a_worker_that_ends_before_it_is_ready_is_an_error() {
        let error = fleet("exit 3").start_one().await.unwrap_err();
        assert!(error.to_string().contains("worker 1 ended"), "{error}");
        let missing = Fleet::new("no/such/program".into(), Vec::new(), &Registry::new())
            .start_one()
            .await;
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn workers_end_when_nobody_holds_their_input() {
        let mut fleet = fleet(WORKER);
        fleet.start_one().await.unwrap();
        fleet.workers[0].process.as_mut().unwrap().stdin = None;
        assert_eq!(fleet.ended().await, 1);
    }

    #[tokio::test]
    async fn only_the_last_worker_is_replaced() {
        let mut fleet = fleet(WORKER);
        fleet.start_one().await.unwrap();
        fleet.start_one().await.unwrap();
        kill(&mut fleet, 1).unwrap();
        let ended = fleet.ended().await;
        fleet.replace(ended).await.unwrap();
        assert_eq!((fleet.alive(), fleet.pids().count()), (1, 2));
        kill(&mut fleet, 2).unwrap();
        let ended = fleet.ended().await;
        fleet.replace(ended).await.unwrap();
        assert_eq!((fleet.alive(), fleet.pids().count()), (1, 3));
    }

    #[tokio::test]
    async fn a_worker_that_says_where_it_is_is_registered_until_it_is_replaced() {
        let registry = Registry::new();
        let script = "echo tcp://127.0.0.1:$0 tcp://127.0.0.1:1000$0; read -r line";
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let mut fleet = Fleet::new("sh".into(), arguments, &registry);
        fleet.start_one().await.unwrap();
        let instance = |id| {
            let requests = format!("tcp://127.0.0.1:{id}");
            Instance::new(requests, format!("tcp://127.0.0.1:1000{id}")).unwrap()
        };
        let watch = registry.watch(SERVICE);
        assert_eq!(watch.latest().instances, [instance(1)]);
        fleet.kill_busiest([(place(&instance(1)), 3)]).unwrap();
        let ended = fleet.ended().await;
        assert_eq!(watch.latest().instances, [instance(1)]);
        fleet.replace(ended).await.unwrap();
        assert_eq!(watch.latest().instances, [instance(2)]);
    }
}
