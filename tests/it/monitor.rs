//! The events of a socket: their order over random lives, and what a reader can rely on.

use std::time::Duration;

use fastrand::Rng;
use futures::StreamExt;
use pushsub::{Dealer, Endpoint, Event, Monitor, Options, Pair, Pull, Push, Rep, Req};
use tokio::task::yield_now;

use crate::support::order::Order;
use crate::support::{Result, connected, in_virtual_time, memory_name, on_every_transport};

on_every_transport! {
    a_life_is_told_from_its_beginning_to_its_end;
    a_late_monitor_begins_with_the_peers_that_are_there;
    a_request_that_is_given_up_connects_anew_without_a_wait;
}

async fn a_life_is_told_from_its_beginning_to_its_end(endpoint: String) -> Result {
    let (pull, push) = (Pull::new(), Push::new());
    let (mut there, mut here) = (pull.monitor(), push.monitor());
    let endpoint = pull.bind(&endpoint).await?;
    push.connect(&endpoint)?;
    connected_to(&mut here, &endpoint).await;
    let listening = Event::Listening {
        endpoint: endpoint.clone(),
    };
    assert_eq!(there.next().await, Some(listening));
    connected(&mut there).await;
    assert!(push.disconnect(&endpoint));
    let Some(Event::Disconnected { peer, .. }) = here.next().await else {
        return Err("not disconnected".into());
    };
    assert!(!peer.accepted);
    let released = Event::Released {
        endpoint: endpoint.clone(),
    };
    assert_eq!(here.next().await, Some(released));
    assert!(pull.unbind(&endpoint));
    let unbound = crate::support::event(&mut there, |event| matches!(event, Event::Unbound { .. }));
    unbound.await;
    // The endpoint is free again when that is told.
    Pull::new().bind(&endpoint).await?;
    push.close(Duration::ZERO).await;
    assert_eq!(here.next().await, None);
    Ok(())
}

/// The first two events of a socket that connects.
async fn connected_to(monitor: &mut Monitor, endpoint: &Endpoint) {
    let dialling = Event::Dialling {
        endpoint: endpoint.clone(),
    };
    assert_eq!(monitor.next().await, Some(dialling));
    let next = monitor.next().await;
    assert!(matches!(next, Some(Event::Connected { .. })), "{next:?}");
}

async fn a_late_monitor_begins_with_the_peers_that_are_there(endpoint: String) -> Result {
    let pull = Pull::new();
    let mut early = pull.monitor();
    assert!(early.peers().is_empty());
    let endpoint = pull.bind(&endpoint).await?;
    let push = Push::new();
    push.connect(&endpoint)?;
    connected(&mut early).await;
    let mut late = pull.monitor();
    assert_eq!(late.peers(), pull.peers());
    assert_eq!(late.peers().len(), 1);
    push.close(Duration::ZERO).await;
    let Some(Event::Disconnected { peer, .. }) = late.next().await else {
        return Err("something else came first".into());
    };
    assert_eq!(peer, late.peers()[0]);
    assert!(pull.peers().is_empty());
    Ok(())
}

async fn a_request_that_is_given_up_connects_anew_without_a_wait(endpoint: String) -> Result {
    let (rep, req) = (Rep::new(), Req::new());
    let mut monitor = req.monitor();
    let endpoint = rep.bind(&endpoint).await?;
    req.connect(&endpoint)?;
    {
        let given_up = req.request("never answered");
        tokio::pin!(given_up);
        tokio::select! {
            _ = &mut given_up => return Err("nobody answers".into()),
            received = rep.recv() => drop(received?),
        }
    }
    let (reply, ()) = tokio::join!(req.request("answered"), async {
        let (_, responder) = rep.recv().await.expect("open");
        responder.send("answer").expect("there");
    });
    assert_eq!(reply?.first(), "answer");
    let mut order = Order::default();
    order.drain(&mut monitor);
    assert_eq!((order.connected, order.retried), (2, 0));
    Ok(())
}

/// Sockets that may do anything.
enum Any {
    Dealer(Dealer),
    Pair(Pair),
}

macro_rules! each {
    ($any:expr, $socket:ident => $do:expr) => {
        match $any {
            Any::Dealer($socket) => $do,
            Any::Pair($socket) => $do,
        }
    };
}

/// A socket, what its monitor told, and what it has connected.
struct Life {
    socket: Any,
    monitor: Monitor,
    order: Order,
    dialled: Vec<Endpoint>,
}

impl Life {
    fn new(random: &mut Rng) -> Self {
        let options = Options::default();
        let socket = match random.u8(..3) {
            0 => Any::Pair(Pair::with_options(options).expect("defaults")),
            _ => Any::Dealer(Dealer::with_options(options).expect("defaults")),
        };
        Self {
            monitor: each!(&socket, socket => socket.monitor()),
            socket,
            order: Order::default(),
            dialled: Vec::new(),
        }
    }

    fn check(&mut self) {
        assert!(!self.order.drain(&mut self.monitor), "it ended by itself");
        let peers = each!(&self.socket, socket => socket.peers());
        self.order.assert_peers(&peers);
    }

    /// Closes or drops the socket, and reads to the end of its events.
    async fn end(mut self, random: &mut Rng) -> Order {
        if random.bool() {
            each!(self.socket, socket => socket.close(Duration::from_millis(10)).await);
        } else {
            drop(self.socket);
        }
        while let Some(event) = self.monitor.next().await {
            self.order.see(&event);
        }
        self.order.assert_over();
        self.order
    }
}

/// One random step of one of the sockets.
async fn step(random: &mut Rng, lives: &mut [Life], bound: &mut Vec<Endpoint>) -> Result {
    let place = random.usize(..lives.len());
    let life = &mut lives[place];
    match random.u8(..12) {
        0 => {
            let transport = random.choice(["memory", "inproc"]).expect("two");
            let wanted = format!("{transport}://{}", memory_name());
            bound.push(each!(&life.socket, socket => socket.bind(wanted).await)?);
        }
        1..=3 => {
            let known = random.choice(&*bound).cloned();
            // An endpoint that nobody has bound is dialled in vain.
            let endpoint = match known.filter(|_| random.u8(..8) > 0) {
                Some(endpoint) => endpoint,
                None => format!("memory://{}", memory_name()).parse()?,
            };
            if !life.dialled.contains(&endpoint) {
                each!(&life.socket, socket => socket.connect(&endpoint))?;
                life.dialled.push(endpoint);
            }
        }
        4 if !life.dialled.is_empty() => {
            let endpoint = life.dialled.swap_remove(random.usize(..life.dialled.len()));
            assert!(each!(&life.socket, socket => socket.disconnect(&endpoint)));
            // The same endpoint may be connected again when this life of it is over.
            let released = Event::Released { endpoint };
            while let Some(event) = life.monitor.next().await {
                life.order.see(&event);
                if event == released {
                    break;
                }
            }
        }
        5 => {
            if let Some(endpoint) = random.choice(&*bound).cloned() {
                each!(&life.socket, socket => socket.unbind(&endpoint));
            }
        }
        6 | 7 => drop(each!(&life.socket, socket => socket.try_send("message"))),
        8 => tokio::time::advance(Duration::from_millis(random.u64(..300))).await,
        _ => {
            for _ in 0..random.u8(..40) {
                yield_now().await;
            }
        }
    }
    Ok(())
}

/// A fold over all events of 200 random lives; each life has its own order, whatever others do.
#[test]
fn the_events_of_random_lives_come_in_the_order_that_is_promised() -> Result {
    let (mut connected, mut retried, mut refused) = (0, 0, 0);
    for seed in 0..200 {
        in_virtual_time(async {
            let mut random = Rng::with_seed(seed);
            let mut lives: Vec<Life> = (0..5).map(|_| Life::new(&mut random)).collect();
            let mut bound = Vec::new();
            for _ in 0..100 {
                step(&mut random, &mut lives, &mut bound).await?;
                lives.iter_mut().for_each(Life::check);
                if random.u8(..40) == 0 {
                    let next = Life::new(&mut random);
                    let place = random.usize(..lives.len());
                    std::mem::replace(&mut lives[place], next)
                        .end(&mut random)
                        .await;
                }
            }
            for life in lives {
                let order = life.end(&mut random).await;
                connected += order.connected;
                retried += order.retried;
                refused += order.refused;
            }
            Ok(())
        })
        .map_err(|error| format!("seed {seed}: {error}"))?;
    }
    assert!(connected > 500, "{connected} connections tell little");
    assert!(retried > 100, "{retried} times retried tells little");
    assert!(refused > 10, "{refused} refused tells little");
    Ok(())
}

/// Emitting wakes a reader only when the socket's lock is free: one that looks
/// at the socket as soon as it is woken does not stand in its own way.
#[test]
fn a_reader_that_is_woken_may_ask_the_socket_at_once() -> Result {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    struct Asks(Pull, AtomicUsize);
    impl Wake for Asks {
        fn wake(self: std::sync::Arc<Self>) {
            drop(self.0.stats());
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    in_virtual_time(async {
        let pull = Pull::new();
        let asks = std::sync::Arc::new(Asks(pull.clone(), AtomicUsize::new(0)));
        let waker = Waker::from(asks.clone());
        let mut monitor = pull.monitor();
        let mut arm = || {
            let mut context = Context::from_waker(&waker);
            while monitor.poll_next_unpin(&mut context).is_ready() {}
        };
        arm();
        let endpoint = pull.bind(format!("memory://{}", memory_name())).await?;
        arm();
        let push = Push::new();
        push.connect(&endpoint)?;
        push.send("message").await?;
        pull.recv().await?;
        arm();
        push.close(Duration::ZERO).await;
        while !pull.peers().is_empty() {
            yield_now().await;
        }
        assert_eq!(asks.1.load(Ordering::Relaxed), 3);
        Ok(())
    })
}

/// On a socket that is closing, and on one that is closed, it ends and waits for nothing.
#[test]
fn a_monitor_of_a_socket_that_is_closing_ends() -> Result {
    in_virtual_time(async {
        let push = Push::new();
        push.connect(format!("memory://{}", memory_name()).as_str())?;
        push.send("for nobody").await?;
        let closing = tokio::spawn(push.clone().close(Duration::from_secs(30)));
        yield_now().await;
        assert_eq!(push.monitor().next().await, None);
        assert!(!closing.is_finished(), "it lingers");
        closing.await?;
        let mut monitor = push.monitor();
        let late = tokio::time::timeout(Duration::from_secs(1), monitor.next());
        assert_eq!(late.await?, None);
        Ok(())
    })
}
