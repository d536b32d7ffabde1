//! One way of one connection through the chaos proxy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use super::{Faults, Shared, Strike, Way, When};

/// Octets that are under way at most: who sends more has to wait.
const UNDER_WAY: usize = 256 << 10;

/// How a way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By its sender, in order.
    Closed,
    /// Somebody left the connection as a whole.
    Gone,
    Reset,
}

/// What is under way.
enum Freight {
    Octets(Vec<u8>),
    Strike(Strike),
    /// Its sender has nothing more to say.
    End,
}

pub(super) struct Lane {
    shared: Arc<Shared>,
    way: Way,
    strikes: broadcast::Receiver<(Way, Strike)>,
    random: fastrand::Rng,
    begun: Instant,
    /// What strikes by itself, until it has.
    strike: Option<(When, Strike)>,
    /// In order, each with the time at which it arrives.
    under_way: VecDeque<(Instant, Freight)>,
    waiting: usize,
    /// Octets that came in.
    passed: u64,
    /// The number of the octet that is turned next.
    flip_at: Option<u64>,
    /// Nothing gets through.
    held: bool,
    /// Its far end is shut: what comes is gone.
    shut: bool,
}

/// Waits until a time, or for ever.
async fn until(time: Option<Instant>) {
    let never = std::future::pending::<()>();
    match time {
        Some(time) => drop(timeout_at(time, never).await),
        None => never.await,
    }
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, way: Way, connection: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(shared.seed);
        let own = random.u64(..) ^ (connection * 2 + way as u64);
        let mut random = fastrand::Rng::with_seed(own);
        let strike = shared.faults.lock()[way as usize].strike;
        let strike = strike.map(|(when, strike)| match when {
            When::About(octets) => (When::Octets(random.u64(1..=octets * 2)), strike),
            when => (when, strike),
        });
        Self {
            strikes: shared.strikes.subscribe(),
            shared,
            way,
            random,
            begun: Instant::now(),
            strike,
            under_way: VecDeque::new(),
            waiting: 0,
            passed: 0,
            flip_at: None,
            held: false,
            shut: false,
        }
    }

    fn faults(&self) -> Faults {
        self.shared.faults.lock()[self.way as usize].clone()
    }

    /// Carries until the way ends.
    pub(super) async fn run(
        mut self,
        mut read: Box<dyn AsyncRead + Send + Unpin>,
        mut write: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Ended {
        let mut buffer = vec![0; 4 << 10];
        let mut open = true;
        loop {
            let timed = match self.strike {
                Some((When::Time(after), strike)) => Some((self.begun + after, strike)),
                _ => None,
            };
            let due = self.under_way.front().map(|(due, _)| *due);
            let struck = tokio::select! {
                biased;
                struck = self.strikes.recv() => match struck {
                    Ok((way, strike)) => (way == self.way || strike == Strike::Reset).then_some(strike),
                    Err(_) => None,
                },
                () = until(timed.map(|timed| timed.0)) => {
                    self.strike = None;
                    timed.map(|timed| timed.1)
                }
                () = until(due), if !self.held && due.is_some() => {
                    match self.arrive(&mut write).await {
                        Ok(struck) => struck,
                        Err(ended) => return ended,
                    }
                }
                count = read.read(&mut buffer), if open && self.waiting < UNDER_WAY => match count {
                    Ok(0) => {
                        open = false;
                        self.depart(Freight::End);
                        None
                    }
                    Ok(count) => {
                        self.take(&buffer[..count]);
                        None
                    }
                    Err(_) => return Ended::Gone,
                },
            };
            match struck {
                Some(Strike::Reset) => return Ended::Reset,
                Some(Strike::Blackhole) => self.held = true,
                Some(Strike::Heal) => self.held = false,
                Some(Strike::HalfClose) => {
                    self.shut = true;
                    let _ = write.shutdown().await;
                }
                None => {}
            }
        }
    }

    /// Takes what came in, and what strikes in the midst of it.
    fn take(&mut self, octets: &[u8]) {
        let mut octets = octets;
        if let Some((When::Octets(at), strike)) = self.strike {
            let before = usize::try_from(at - self.passed).unwrap_or(usize::MAX);
            if before <= octets.len() {
                self.pass(&octets[..before]);
                self.depart(Freight::Strike(strike));
                self.strike = None;
                octets = &octets[before..];
            }
        }
        self.pass(octets);
    }

    /// Cuts octets into slices and turns bits of them.
    fn pass(&mut self, mut octets: &[u8]) {
        let faults = self.faults();
        while !octets.is_empty() {
            let most = faults.slice.unwrap_or(usize::MAX).min(octets.len());
            let length = match faults.slice {
                Some(_) => self.random.usize(1..=most),
                None => most,
            };
            let (slice, rest) = octets.split_at(length);
            octets = rest;
            let mut slice = slice.to_vec();
            match faults.flip_every {
                Some(every) => self.flip(&mut slice, every),
                None => self.flip_at = None,
            }
            self.passed += length as u64;
            self.depart(Freight::Octets(slice));
        }
    }

    fn flip(&mut self, octets: &mut [u8], every: u64) {
        let end = self.passed + octets.len() as u64;
        let mut at = match self.flip_at {
            Some(at) => at,
            None => self.passed + self.random.u64(0..every * 2),
        };
        while at < end {
            let place = usize::try_from(at - self.passed).expect("it is within the slice");
            octets[place] ^= 1 << self.random.u8(..8);
            self.shared.flips.fetch_add(1, Ordering::Relaxed);
            at += self.random.u64(1..=every * 2);
        }
        self.flip_at = Some(at);
    }

    /// Sends something on its way, behind all that is.
    fn depart(&mut self, freight: Freight) {
        let faults = self.faults();
        let late = faults.latency + faults.jitter.mul_f64(self.random.f64());
        let mut due = Instant::now() + late;
        if let Some((last, _)) = self.under_way.back() {
            due = due.max(*last);
        }
        if let Freight::Octets(octets) = &freight {
            self.waiting += octets.len();
            if let Some(bandwidth) = faults.bandwidth {
                let seconds = octets.len() as f64 / f64::from(bandwidth);
                due += Duration::from_secs_f64(seconds);
            }
        }
        self.under_way.push_back((due, freight));
    }

    /// Hands over what is due.
    async fn arrive(
        &mut self,
        write: &mut Box<dyn AsyncWrite + Send + Unpin>,
    ) -> Result<Option<Strike>, Ended> {
        match self.under_way.pop_front() {
            Some((_, Freight::Octets(octets))) => {
                self.waiting -= octets.len();
                if !self.shut {
                    write.write_all(&octets).await.map_err(|_| Ended::Gone)?;
                }
                if self.faults().slice.is_some() {
                    // Who reads is to find this slice alone.
                    tokio::task::yield_now().await;
                }
                Ok(None)
            }
            Some((_, Freight::Strike(strike))) => Ok(Some(strike)),
            Some((_, Freight::End)) => {
                let _ = write.shutdown().await;
                Err(Ended::Closed)
            }
            None => Ok(None),
        }
    }
}
