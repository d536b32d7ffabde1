//! A bound process and those that dial it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::Result;
use crate::other::Other;

/// A bound process and two that dial it, with half of the links each.
pub(crate) struct Crowd {
    pub(crate) bound: Other,
    pub(crate) dialling: [Other; 2],
    pub(crate) endpoint: String,
    kind: String,
    pub(crate) links: usize,
    /// How long it took all of them to come.
    pub(crate) gathered: Duration,
    /// Of the bound process, before anybody came.
    base: Base,
    /// One crowd at a time: their times are measured.
    _alone: MutexGuard<'static, ()>,
}

/// What a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) resident: usize,
    pub(crate) allocated: usize,
    pub(crate) descriptors: usize,
    pub(crate) tasks: usize,
}

impl Base {
    pub(crate) fn of(process: &mut Other) -> Result<Self> {
        Ok(Self {
            allocated: process.ask("allocated")?.parse()?,
            tasks: process.ask("tasks")?.parse()?,
            resident: process.resident()?,
            descriptors: process.descriptors()?,
        })
    }
}

/// Holds back other tests that measure.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// An endpoint that can be bound again: below the ports that the system gives to those who dial,
/// one of whom might otherwise have it meanwhile.
pub(crate) fn endpoint() -> Result<String> {
    let first = 20_000 + u16::try_from(std::process::id() % 8_000)?;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (first..first + 2_000).find(free).ok_or("no port is free")?;
    Ok(format!("tcp://127.0.0.1:{port}"))
}

impl Crowd {
    /// All of them connected. For the kinds see [`bound`](crate::bound).
    pub(crate) fn gather(kind: &str, partner: &str, links: usize) -> Result<Self> {
        let alone = alone();
        let endpoint = endpoint()?;
        let mut bound = Other::start(format!("bound {kind} {endpoint}"))?;
        bound.answer()?;
        let base = Base::of(&mut bound)?;
        let since = Instant::now();
        let part = format!("dialling {partner} {endpoint} {}", links / 2);
        let mut dialling = [Other::start(&part)?, Other::start(&part)?];
        for process in &mut dialling {
            process.answer()?;
        }
        bound.ask(format!("peers {links}"))?;
        Ok(Self {
            bound,
            dialling,
            endpoint,
            kind: kind.to_owned(),
            links,
            gathered: since.elapsed(),
            base,
            _alone: alone,
        })
    }

    /// The bound process crashes, and is started again `after` that.
    pub(crate) fn restart(&mut self, after: Duration) -> Result {
        let part = format!("bound {} {}", self.kind, self.endpoint);
        self.bound.kill()?;
        self.dialling[0].rest(after)?;
        self.bound = Other::start(part)?;
        self.bound.answer()?;
        Ok(())
    }

    /// What a link costs the bound process, in octets: allocated, and resident.
    pub(crate) fn cost(&mut self) -> Result<(usize, usize)> {
        let now = Base::of(&mut self.bound)?;
        let each = |now: usize, before| now.saturating_sub(before) / self.links;
        let Base {
            allocated,
            resident,
            ..
        } = self.base;
        Ok((each(now.allocated, allocated), each(now.resident, resident)))
    }

    /// Orders every socket to send, or to wait for what is published.
    pub(crate) fn order_all(&mut self) -> Result {
        let mut processes = self.dialling.iter_mut();
        processes.try_for_each(|process| process.order("all"))
    }

    /// How many messages have come of what was ordered.
    pub(crate) fn came(&mut self) -> Result<usize> {
        let mut came = 0;
        for process in &mut self.dialling {
            came += process.answer()?.parse::<usize>()?;
        }
        Ok(came)
    }
}
