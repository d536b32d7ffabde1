//! Random lives of sockets of all types, by fixed seeds: the counters add up at every step, and nothing hangs.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::poll;
use pushsub::{
    Closed, Dealer, Endpoint, Message, Options, Pub, Pull, Push, Router, SocketType, Stats, Sub,
    XPub,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::{
    Result, assert_accounted, in_real_time, in_virtual_time, memory_name, on_every_transport,
    on_two_workers,
};

on_every_transport! {
    what_is_written_is_received;
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A generator of 64 bits of state, the same on every machine (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).expect("below a usize")
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }

    /// From nothing to more than a pipe or a wire holds, mostly small.
    fn message(&mut self) -> Message {
        let size = [0, 1, 10, 100, 300, 5_000, 70_000][self.below(7)];
        let mut message = Message::from(vec![b'a'; self.below(size + 1)]);
        for _ in 0..self.below(3) {
            message.push_back(vec![b'b'; self.below(10)]);
        }
        message
    }
}

/// A socket of any type.
#[derive(Clone)]
enum Any {
    Push(Push),
    Pull(Pull),
    Pub(Pub),
    Sub(Sub),
    XPub(XPub),
    Dealer(Dealer),
    Router(Router),
}

/// The same for each type.
macro_rules! each {
    ($any:expr, $socket:ident => $does:expr) => {
        match $any {
            Any::Push($socket) => $does,
            Any::Pull($socket) => $does,
            Any::Pub($socket) => $does,
            Any::Sub($socket) => $does,
            Any::XPub($socket) => $does,
            Any::Dealer($socket) => $does,
            Any::Router($socket) => $does,
        }
    };
}

/// Whatever a message is sent with, as work.
macro_rules! send {
    ($socket:ident, $message:ident) => {
        Box::pin(async move {
            let _ = $socket.send($message).await;
        })
    };
}

/// Whatever receives, as work: one message, or up to three.
macro_rules! receive {
    ($socket:ident, $many:ident) => {
        Box::pin(async move {
            if $many {
                let _ = $socket.recv_many(&mut Vec::new(), 3).await;
            } else {
                let _ = $socket.recv().await;
            }
        })
    };
}

impl Any {
    fn random(random: &mut Random) -> Self {
        let options = Options::default()
            .send_high_water_mark(1 + random.below(20))
            .receive_high_water_mark(1 + random.below(20))
            .send_high_water_mark_bytes(1 + random.below(100_000))
            .reconnect(Duration::from_millis(1), Duration::from_millis(4))
            .linger(Duration::from_millis(random.below(50) as u64));
        match random.below(7) {
            0 => Self::Push(Push::with_options(options).expect("options that it heeds")),
            1 => Self::Pull(Pull::with_options(options).expect("options that it heeds")),
            2 => Self::Pub(Pub::with_options(options).expect("options that it heeds")),
            3 => Self::Sub(Sub::with_options(options).expect("options that it heeds")),
            4 => Self::XPub(XPub::with_options(options).expect("options that it heeds")),
            5 => Self::Dealer(Dealer::with_options(options).expect("options that it heeds")),
            _ => Self::Router(Router::with_options(options).expect("options that it heeds")),
        }
    }

    fn socket_type(&self) -> SocketType {
        match self {
            Self::Push(_) => SocketType::Push,
            Self::Pull(_) => SocketType::Pull,
            Self::Pub(_) => SocketType::Pub,
            Self::Sub(_) => SocketType::Sub,
            Self::XPub(_) => SocketType::XPub,
            Self::Dealer(_) => SocketType::Dealer,
            Self::Router(_) => SocketType::Router,
        }
    }

    fn stats(&self) -> Stats {
        each!(self, socket => socket.stats())
    }

    fn close(self, linger: Duration) -> Pin<Box<dyn Future<Output = Closed> + Send>> {
        each!(self, socket => Box::pin(socket.close(linger)))
    }

    /// Sends or receives once.
    fn work(self, random: &mut Random) -> Work {
        let (message, many, sends) = (random.message(), random.below(2) == 0, random.below(2));
        match self {
            Self::Push(socket) => send!(socket, message),
            Self::Pub(socket) => send!(socket, message),
            Self::XPub(socket) if sends == 0 => send!(socket, message),
            Self::Dealer(socket) if sends == 0 => send!(socket, message),
            Self::Router(socket) if sends == 0 => Box::pin(async move {
                if let Ok(received) = socket.recv().await {
                    let _ = socket.send(received).await;
                }
            }),
            Self::Pull(socket) => receive!(socket, many),
            Self::Sub(socket) => receive!(socket, many),
            Self::XPub(socket) => receive!(socket, many),
            Self::Dealer(socket) => receive!(socket, many),
            Self::Router(socket) => receive!(socket, many),
        }
    }

    /// What is done with a socket at once.
    fn poke(&self, random: &mut Random) {
        match self {
            Self::Push(socket) => drop(socket.try_send(random.message())),
            Self::Pull(socket) => drop(socket.try_recv()),
            Self::XPub(socket) => drop(socket.try_recv()),
            Self::Dealer(socket) => drop(socket.try_recv()),
            Self::Router(socket) => drop(socket.try_recv()),
            Self::Sub(socket) if random.below(2) == 0 => {
                socket.subscribe(vec![b'a'; random.below(3)]);
            }
            Self::Sub(socket) => socket.unsubscribe(vec![b'a'; random.below(3)]),
            Self::Pub(_) => {}
        }
    }
}

/// Where a world is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    /// In memory, in virtual time, its work polled by the test.
    Memory,
    /// On tcp, as before.
    Tcp,
    /// In memory, its work spread over workers.
    MemoryOfWorkers,
    /// On tcp, as before.
    TcpOfWorkers,
}

/// Sockets, the endpoints that were bound, and what is under way.
struct World {
    random: Random,
    on: On,
    sockets: Vec<Any>,
    /// By the type of the socket that bound them.
    endpoints: Vec<(SocketType, Endpoint)>,
    working: Vec<Work>,
    /// Work that other workers do.
    tasks: JoinSet<()>,
    /// Handles of sockets that were closed.
    closed: Vec<Any>,
}

impl World {
    fn new(seed: u64, on: On) -> Self {
        let mut random = Random(seed);
        let sockets = (0..8).map(|_| Any::random(&mut random)).collect();
        Self {
            random,
            on,
            tasks: JoinSet::new(),
            sockets,
            endpoints: Vec::new(),
            working: Vec::new(),
            closed: Vec::new(),
        }
    }

    async fn step(&mut self) -> Result {
        let place = self.random.below(self.sockets.len());
        let socket = self.sockets[place].clone();
        match self.random.below(40) {
            0 | 1 => {
                let wanted = match self.on {
                    On::Tcp | On::TcpOfWorkers => "tcp://127.0.0.1:*".to_owned(),
                    _ => format!("memory://{}", memory_name()),
                };
                let bound = each!(&socket, socket => socket.bind(wanted).await)?;
                self.endpoints.push((socket.socket_type(), bound));
            }
            2..=6 => {
                let own = socket.socket_type();
                let fits = self.endpoints.iter().filter(|(kind, _)| kind.accepts(own));
                let fits: Vec<_> = fits.cloned().collect();
                // Now and then one that will be turned away.
                let from = if self.random.below(8) == 0 {
                    &self.endpoints
                } else {
                    &fits
                };
                if let Some((_, endpoint)) = self.random.pick(from) {
                    each!(&socket, socket => socket.connect(endpoint))?;
                }
            }
            7 => {
                if let Some((_, endpoint)) = self.random.pick(&self.endpoints) {
                    each!(&socket, socket => socket.disconnect(&endpoint));
                }
            }
            8 => {
                if let Some((_, endpoint)) = self.random.pick(&self.endpoints) {
                    each!(&socket, socket => socket.unbind(&endpoint));
                }
            }
            9 if self.random.below(4) == 0 => self.end(place),
            10..=24 => self.working.push(socket.work(&mut self.random)),
            25..=30 => socket.poke(&mut self.random),
            31 if self.random.below(4) == 0 => {
                self.working.clear();
                self.tasks.abort_all();
            }
            _ => self.turn().await,
        }
        Ok(())
    }

    /// Closes or drops one socket, and begins another in its place.
    fn end(&mut self, place: usize) {
        let next = Any::random(&mut self.random);
        let socket = std::mem::replace(&mut self.sockets[place], next);
        if self.random.below(3) == 0 {
            return;
        }
        self.closed.push(socket.clone());
        let linger = Duration::from_millis(self.random.below(40) as u64);
        let closing = socket.close(linger);
        self.working.push(Box::pin(async move {
            closing.await;
        }));
    }

    /// Polls one piece of work, drops another, lets the sessions run.
    async fn turn(&mut self) {
        for _ in 0..self.random.below(6) {
            if self.working.is_empty() {
                break;
            }
            let place = self.random.below(self.working.len());
            let done = poll!(&mut self.working[place]).is_ready();
            if done || self.random.below(8) == 0 {
                drop(self.working.swap_remove(place));
            }
        }
        for _ in 0..self.random.below(30) {
            tokio::task::yield_now().await;
        }
        if matches!(self.on, On::MemoryOfWorkers | On::TcpOfWorkers) {
            for work in self.working.drain(..) {
                self.tasks.spawn(work);
            }
            while self.tasks.try_join_next().is_some() {}
        }
        if self.on == On::Memory && self.random.below(4) == 0 {
            let step = Duration::from_millis(self.random.below(20) as u64);
            tokio::time::advance(step).await;
        }
    }

    fn assert_accounted(&self) {
        let sockets = self.sockets.iter().chain(&self.closed);
        sockets.for_each(|socket| assert_accounted(&socket.stats()));
    }

    /// Closes what is left; every close ends.
    async fn finish(mut self) -> Result {
        self.working.clear();
        self.tasks.shutdown().await;
        self.closed.append(&mut self.sockets);
        // A close that was dropped before it was polled has not begun.
        for socket in self.closed.clone() {
            let closing = socket.close(Duration::ZERO);
            timeout(Duration::from_secs(30), closing).await?;
        }
        self.assert_accounted();
        let queued = |socket: &Any| socket.stats().sent.queued;
        assert_eq!(self.closed.iter().map(queued).sum::<u64>(), 0);
        Ok(())
    }
}

async fn random_lives(seeds: std::ops::Range<u64>, steps: usize, on: On) -> Result {
    for seed in seeds {
        let mut world = World::new(seed, on);
        for step in 0..steps {
            world.step().await?;
            if step % 16 == 0 {
                world.assert_accounted();
            }
        }
        let finished = world.finish().await;
        finished.map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}

#[test]
fn random_lives_in_memory_add_up_and_end() -> Result {
    in_virtual_time(random_lives(0..16, 1_500, On::Memory))
}

#[test]
fn random_lives_on_tcp_add_up_and_end() -> Result {
    in_real_time(random_lives(100..104, 1_500, On::Tcp))
}

/// Two worlds at once on two workers, and a time by which they must have ended.
#[test]
fn random_lives_on_two_workers_do_not_lock_each_other_out() -> Result {
    on_two_workers(async {
        let lives = (0..4_u64).map(|life| {
            let (seeds, on) = match life % 2 {
                0 => (200 + life * 10..203 + life * 10, On::MemoryOfWorkers),
                _ => (200 + life * 10..202 + life * 10, On::TcpOfWorkers),
            };
            tokio::spawn(async move {
                let lived = random_lives(seeds, 1_500, on).await;
                lived.map_err(|error| error.to_string())
            })
        });
        for life in lives.collect::<Vec<_>>() {
            timeout(Duration::from_secs(90), life).await???;
        }
        Ok(())
    })
}

/// C5: sends and receives are given up at random, the link never ends, and so
/// what one end wrote the other received.
async fn what_is_written_is_received(endpoint: String) -> Result {
    for seed in 300..310 {
        let mut random = Random(seed);
        let limits = Options::default()
            .send_high_water_mark(1 + random.below(9))
            .receive_high_water_mark(1 + random.below(9));
        let pull = Pull::with_options(limits.clone())?;
        let bound = pull.bind(&endpoint).await?;
        let push = Push::with_options(limits)?;
        push.connect(&bound)?;
        let (left, right) = (Any::Push(push), Any::Pull(pull));
        let mut working: Vec<Work> = Vec::new();
        for _ in 0..2_000 {
            let end = random.pick(&[&left, &right]).expect("two ends").clone();
            match random.below(3) {
                0 => working.push(end.work(&mut random)),
                1 => end.poke(&mut random),
                _ => tokio::task::yield_now().await,
            }
            if !working.is_empty() {
                let place = random.below(working.len());
                if poll!(&mut working[place]).is_ready() || random.below(3) == 0 {
                    drop(working.swap_remove(place));
                }
            }
        }
        working.clear();
        while left.stats().sent.queued > 0
            || right.stats().received.received < left.stats().sent.written
        {
            right.poke(&mut random);
            tokio::task::yield_now().await;
        }
        assert_accounted(&left.stats());
        assert_accounted(&right.stats());
        let (sent, received) = (left.stats().sent, right.stats().received);
        assert_eq!((sent.written, sent.dropped.total()), (received.received, 0));
        left.close(Duration::ZERO).await;
        right.close(Duration::ZERO).await;
    }
    Ok(())
}
