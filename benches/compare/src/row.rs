//! What is measured: the rows of the comparison, and the groups that share a plot.

use anyhow::{Context as _, Result};

/// One line of the comparison.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// For people to read.
    pub(crate) about: &'static str,
    pub(crate) group: Group,
    pub(crate) work: Work,
    pub(crate) transport: Transport,
    pub(crate) content: Content,
    /// The processors that the first processes and the last are bound to, where the row is about wake-ups.
    pub(crate) cores: Option<[&'static str; 2]>,
    /// The row that does the same on a smaller scale.
    pub(crate) smaller: Option<&'static str>,
}

/// Rows that are drawn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    OneWay,
    Publish,
    RoundTrip,
    InFlight,
    Device,
    Rest,
    Scale,
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// One frame of so many octets, at least eight.
    Octets(usize),
    /// One frame of 16 octets to 16 KiB, by its number; of each doubling there are as many.
    Mixed,
    /// Two frames of 16 octets before one of 64.
    Parts,
}

/// What the ends do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// PUSH to PULL, as fast as it goes.
    Flow,
    /// One PUSH to so many PULL.
    Scatter(usize),
    /// The same, where one of them takes a millisecond for each message: what counts is what the others get.
    ScatterSlow(usize),
    /// Of so many PUSH to one PULL, each in its turn a burst.
    Gather(usize),
    /// PUB to so many SUB, nothing dropped.
    Publish(usize),
    /// PUB to one SUB of so many topics, nothing dropped; each message matches one.
    Topics(usize),
    /// DEALER to ROUTER and back, with so many requests in flight.
    Ask(usize),
    /// The same through a device of ROUTER and DEALER, to two workers.
    Device(usize),
    /// The same through two devices in a row.
    Chain(usize),
    /// A ROUTER with so many peers that say nothing.
    Idle(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ipc,
    /// Both ends in one process.
    Inproc,
}

const fn row(
    group: Group,
    name: &'static str,
    about: &'static str,
    work: Work,
    transport: Transport,
    size: usize,
) -> Row {
    Row {
        name,
        about,
        group,
        work,
        transport,
        content: Content::Octets(size),
        cores: None,
        smaller: None,
    }
}

const fn bound(row: Row, cores: [&'static str; 2]) -> Row {
    Row {
        cores: Some(cores),
        ..row
    }
}

const fn of(row: Row, content: Content) -> Row {
    Row { content, ..row }
}

const fn larger(row: Row, smaller: &'static str) -> Row {
    Row {
        smaller: Some(smaller),
        ..row
    }
}

/// The rows that run where none are named, in their order.
#[rustfmt::skip]
pub(crate) static ROWS: [Row; 22] = {
    use Group as G;
    use Transport::{Inproc, Ipc, Tcp};
    use Work::{Ask, Device, Flow, Gather, Idle, Publish, Scatter, Topics};
    const ONE: [&str; 2] = ["0", "0"];
    const TWO: [&str; 2] = ["0", "1"];
    [
        row(G::OneWay, "push-pull-64", "one way, tcp, 64 B", Flow, Tcp, 64),
        row(G::OneWay, "push-pull-1k", "one way, tcp, 1 KiB", Flow, Tcp, 1 << 10),
        row(G::OneWay, "push-pull-32k", "one way, tcp, 32 KiB", Flow, Tcp, 32 << 10),
        row(G::OneWay, "push-pull-64-ipc", "one way, ipc, 64 B", Flow, Ipc, 64),
        row(G::OneWay, "push-pull-64-inproc", "one way, inproc, 64 B", Flow, Inproc, 64),
        row(G::Publish, "publish-1", "to 1 subscriber, tcp, 64 B", Publish(1), Tcp, 64),
        row(G::Publish, "publish-8", "to 8 subscribers, tcp, 64 B", Publish(8), Tcp, 64),
        bound(row(G::RoundTrip, "round-trip", "round trip, tcp, 64 B, one core", Ask(1), Tcp, 64), ONE),
        bound(row(G::RoundTrip, "round-trip-2", "round trip, tcp, 64 B, two cores", Ask(1), Tcp, 64), TWO),
        bound(row(G::RoundTrip, "round-trip-ipc", "round trip, ipc, 64 B, one core", Ask(1), Ipc, 64), ONE),
        row(G::RoundTrip, "round-trip-inproc", "round trip, inproc, 64 B", Ask(1), Inproc, 64),
        row(G::InFlight, "ask-64", "64 requests in flight, tcp, 64 B", Ask(64), Tcp, 64),
        row(G::InFlight, "ask-64-1k", "64 requests in flight, tcp, 1 KiB", Ask(64), Tcp, 1 << 10),
        row(G::Device, "device-64", "through a device, 64 in flight, two workers, tcp, 64 B", Device(64), Tcp, 64),
        bound(row(G::Device, "device-1", "through a device, round trip, tcp, 64 B, one core", Device(1), Tcp, 64), ONE),
        row(G::Rest, "idle-1000", "1,000 idle peers of a ROUTER, heartbeats on", Idle(1_000), Tcp, 8),
        row(G::Scale, "gather-1", "from 1 peer, bursts of 64, tcp, 64 B", Gather(1), Tcp, 64),
        larger(row(G::Scale, "gather-1000", "from 1,000 peers, bursts of 64, tcp, 64 B", Gather(1_000), Tcp, 64), "gather-1"),
        row(G::Scale, "scatter-1", "to 1 receiver, tcp, 64 B", Scatter(1), Tcp, 64),
        larger(row(G::Scale, "scatter-1000", "to 1,000 receivers in turns, tcp, 64 B", Scatter(1_000), Tcp, 64), "scatter-1"),
        row(G::Scale, "topics-1", "1 subscription, tcp, 64 B", Topics(1), Tcp, 64),
        larger(row(G::Scale, "topics-100000", "100,000 subscriptions, tcp, 64 B", Topics(100_000), Tcp, 64), "topics-1"),
    ]
};

/// The rows that run where they are named: other sizes, other numbers of peers.
#[rustfmt::skip]
static MORE: [Row; 21] = {
    use Group as G;
    use Transport::{Inproc, Tcp};
    use Work::{Ask, Chain, Device, Flow, Gather, Publish, Scatter, ScatterSlow};
    const ONE: [&str; 2] = ["0", "0"];
    [
        row(G::OneWay, "push-pull-16", "one way, tcp, 16 B", Flow, Tcp, 16),
        row(G::OneWay, "push-pull-256", "one way, tcp, 256 B", Flow, Tcp, 256),
        row(G::OneWay, "push-pull-4k", "one way, tcp, 4 KiB", Flow, Tcp, 4 << 10),
        row(G::OneWay, "push-pull-8k", "one way, tcp, 8 KiB", Flow, Tcp, 8 << 10),
        row(G::OneWay, "push-pull-256k", "one way, tcp, 256 KiB", Flow, Tcp, 256 << 10),
        row(G::OneWay, "push-pull-1m", "one way, tcp, 1 MiB", Flow, Tcp, 1 << 20),
        row(G::OneWay, "push-pull-1k-inproc", "one way, inproc, 1 KiB", Flow, Inproc, 1 << 10),
        of(row(G::OneWay, "push-pull-mixed", "one way, tcp, 16 B to 16 KiB", Flow, Tcp, 0), Content::Mixed),
        of(row(G::OneWay, "push-pull-parts", "one way, tcp, 3 frames", Flow, Tcp, 0), Content::Parts),
        row(G::OneWay, "scatter-3", "to 3 receivers in turns, tcp, 64 B", Scatter(3), Tcp, 64),
        row(G::OneWay, "scatter-20", "to 20 receivers in turns, tcp, 64 B", Scatter(20), Tcp, 64),
        row(G::OneWay, "scatter-slow", "to 3 receivers beside a slow one, tcp, 64 B", ScatterSlow(4), Tcp, 64),
        row(G::Publish, "publish-3", "to 3 subscribers, tcp, 64 B", Publish(3), Tcp, 64),
        row(G::Publish, "publish-20", "to 20 subscribers, tcp, 64 B", Publish(20), Tcp, 64),
        row(G::InFlight, "ask-8", "8 requests in flight, tcp, 64 B", Ask(8), Tcp, 64),
        row(G::InFlight, "ask-1000", "1,000 requests in flight, tcp, 64 B", Ask(1_000), Tcp, 64),
        row(G::Device, "device-1000", "through a device, 1,000 in flight, two workers, tcp, 64 B", Device(1_000), Tcp, 64),
        row(G::Device, "chain-64", "through two devices in a row, 64 in flight, two workers, tcp, 64 B", Chain(64), Tcp, 64),
        bound(row(G::Device, "chain-1", "through two devices in a row, round trip, tcp, 64 B, one core", Chain(1), Tcp, 64), ONE),
        row(G::Scale, "gather-3", "from 3 peers, bursts of 64, tcp, 64 B", Gather(3), Tcp, 64),
        row(G::Scale, "gather-20", "from 20 peers, bursts of 64, tcp, 64 B", Gather(20), Tcp, 64),
    ]
};

impl Row {
    /// All rows, in the order of a report.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        ROWS.iter().chain(&MORE)
    }

    /// The row of this name.
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        let names = || Self::all().map(|row| row.name).collect::<Vec<_>>();
        let found = Self::all().find(|row| row.name == name);
        found.with_context(|| format!("there is no row `{name}`, but {}", names().join(", ")))
    }

    /// Whether what counts is the time of one message, not how many there are in a second.
    pub(crate) fn is_round_trip(&self) -> bool {
        matches!(self.work, Work::Ask(1) | Work::Device(1) | Work::Chain(1))
    }

    /// Whether nothing moves, and what counts is what that costs.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle(_))
    }

    /// Whether something is published, to subscribers that must all get it.
    pub(crate) fn is_publication(&self) -> bool {
        matches!(self.work, Work::Publish(_) | Work::Topics(_))
    }

    /// Whether each message goes to one of several receivers.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.work, Work::Scatter(_) | Work::ScatterSlow(_))
    }

    /// How many probes each receiver gets before the messages: all links are there then.
    pub(crate) fn probes(&self) -> u64 {
        match self.work {
            Work::Publish(_) | Work::Topics(_) | Work::Scatter(_) | Work::ScatterSlow(_) => 1,
            Work::Gather(peers) => peers as u64,
            _ => 0,
        }
    }

    /// How many copies of each message arrive.
    pub(crate) fn copies(&self) -> u64 {
        match self.work {
            Work::Publish(subscribers) => subscribers as u64,
            _ => 1,
        }
    }

    /// Whether messages take more than one link, between which there is no order.
    pub(crate) fn has_several_links(&self) -> bool {
        match self.work {
            Work::Device(in_flight) | Work::Chain(in_flight) => in_flight > 1,
            Work::Gather(peers) => peers > 1,
            _ => false,
        }
    }

    /// A payload to be numbered with [`number`](crate::tally::number) before each send.
    pub(crate) fn payload(&self) -> Vec<u8> {
        vec![0x5a; self.content.largest()]
    }
}

impl Content {
    /// Octets of the last frame of the message with this number.
    pub(crate) fn octets(self, number: u64) -> usize {
        match self {
            Self::Octets(octets) => octets,
            Self::Mixed => {
                // From 2^4 to 2^14, by bits that look drawn.
                let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let least = 16_usize << ((drawn >> 32) % 10);
                least + (drawn >> 48) as usize % least
            }
            Self::Parts => 64,
        }
    }

    /// The most that it has.
    pub(crate) fn largest(self) -> usize {
        match self {
            Self::Octets(octets) => octets,
            Self::Mixed => 16 << 10,
            Self::Parts => 64,
        }
    }
}

impl Group {
    /// In the order of a report.
    pub(crate) const ALL: [Self; 7] = [
        Self::OneWay,
        Self::Publish,
        Self::RoundTrip,
        Self::InFlight,
        Self::Device,
        Self::Rest,
        Self::Scale,
    ];

    /// The name of its plot, without the ending.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneWay => "one-way",
            Self::Publish => "publish",
            Self::RoundTrip => "round-trip",
            Self::InFlight => "in-flight",
            Self::Device => "device",
            Self::Rest => "rest",
            Self::Scale => "scale",
        }
    }

    /// For people to read.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::OneWay => "One way, PUSH to PULL",
            Self::Publish => "PUB to SUB, nothing dropped",
            Self::RoundTrip => "Round trip, DEALER to ROUTER and back, one in flight",
            Self::InFlight => "64 requests in flight, DEALER to ROUTER and back",
            Self::Device => "Through a device of ROUTER and DEALER",
            Self::Rest => "At rest",
            Self::Scale => "The same work for more peers and more topics",
        }
    }
}
