//! One run of one rival: its processes, from one to three, and what they report together.

use std::fmt;
use std::net::TcpListener;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ends::Outcome;
use crate::process::{Part, Process};
use crate::rivals::Rival;
use crate::row::{Row, Transport, Work};

/// What came of a run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Run {
    #[serde(serialize_with = "write_name", deserialize_with = "read_name")]
    pub(crate) rival: Rival,
    /// The end that binds, the one that connects, and the devices between them.
    pids: Vec<u32>,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

fn write_name<S: Serializer>(rival: &Rival, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(rival.name())
}

fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rival, D::Error> {
    let name = String::deserialize(deserializer)?;
    Rival::find(&name).map_err(serde::de::Error::custom)
}

impl Run {
    /// Starts the processes and waits for them.
    pub(crate) fn measure(rival: Rival, row: &'static Row, messages: u64) -> Result<Self> {
        let place = Place::new(row)?;
        let cast = Cast {
            rival,
            row,
            messages,
            endpoints: &place.endpoints,
        };
        let run = match row.work {
            _ if row.transport == Transport::Inproc => cast.in_one(),
            Work::Ask(_) => cast.asking(),
            Work::Device(_) | Work::Chain(_) => cast.through_devices(),
            Work::Idle(_) => cast.idle(),
            _ => cast.flowing(),
        };
        run.with_context(|| format!("{} in {}", rival.name(), row.name))
    }

    /// Messages a second at the receivers that are in time.
    pub(crate) fn rate(&self) -> f64 {
        let Outcome { received, late, .. } = self.outcome;
        received.saturating_sub(late + 1) as f64 / self.outcome.seconds
    }

    /// Processor seconds of all processes for a million messages.
    pub(crate) fn cpu_per_million(&self) -> f64 {
        self.outcome.cpu.unwrap_or(0.0) / self.outcome.received as f64 * 1e6
    }

    /// What was sent and did not arrive.
    pub(crate) fn lost(&self) -> u64 {
        self.outcome.sent.saturating_sub(self.outcome.received)
    }

    /// Everything arrived, whole, and in order where there is one.
    pub(crate) fn is_faultless(&self, row: &Row) -> bool {
        let Outcome {
            sent,
            received,
            reordered,
            sound,
            ..
        } = self.outcome;
        sent == received && sound && (reordered == 0 || row.has_several_links())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome {
            sent,
            received,
            reordered,
            sound,
            seconds,
            median,
            p99,
            per_peer,
            at_rest,
            ..
        } = self.outcome;
        write!(
            formatter,
            "{:<16} processes {:?}: sent {sent} received {received} lost {} reordered {reordered} \
             checksum {} in {seconds:.2} s, CPU {cpu:.2} s, ",
            self.rival.name(),
            self.pids,
            self.lost(),
            if sound { "ok" } else { "wrong" },
            cpu = self.outcome.cpu.unwrap_or(0.0),
        )?;
        if median > 0.0 {
            write!(formatter, "median {median:.1} µs, p99 {p99:.1} µs")
        } else if seconds > 0.0 {
            write!(formatter, "{:.3} M msg/s", self.rate() / 1e6)
        } else {
            write!(
                formatter,
                "{per_peer:.1} KiB a peer, {at_rest:.2} % at rest"
            )
        }
    }
}

/// Who meets where, to do what.
struct Cast<'a> {
    rival: Rival,
    row: &'static Row,
    messages: u64,
    endpoints: &'a [String],
}

impl Cast<'_> {
    fn start(&self, part: Part) -> Result<Process> {
        let cores = self.row.cores.map(|[first, second]| match part {
            Part::First | Part::Device | Part::Behind => first,
            Part::Second | Part::Both => second,
        });
        let (rival, row, messages) = (self.rival, self.row, self.messages);
        let mut process = Process::start(part, rival, row, messages, self.endpoints, cores)?;
        if matches!(part, Part::First | Part::Device | Part::Behind) {
            process.line("ready")?;
        }
        Ok(process)
    }

    fn run(&self, processes: &[&Process], outcome: Outcome) -> Run {
        Run {
            rival: self.rival,
            pids: processes.iter().map(|process| process.id()).collect(),
            outcome,
        }
    }

    fn in_one(&self) -> Result<Run> {
        let mut both = self.start(Part::Both)?;
        let outcome = both.outcome()?;
        Ok(self.run(&[&both], outcome))
    }

    /// The sender stays until all has arrived: how a socket closes is no part of the row.
    fn flowing(&self) -> Result<Run> {
        let mut first = self.start(Part::First)?;
        let mut second = self.start(Part::Second)?;
        if self.row.probes() > 0 {
            first.line("linked")?;
            second.tell("go")?;
        }
        let outcome = first.outcome()?.with(second.stop()?);
        Ok(self.run(&[&first, &second], outcome))
    }

    fn asking(&self) -> Result<Run> {
        let mut first = self.start(Part::First)?;
        let mut second = self.start(Part::Second)?;
        let asked = second.outcome()?;
        let outcome = first.stop()?.with(asked);
        Ok(self.run(&[&first, &second], outcome))
    }

    fn through_devices(&self) -> Result<Run> {
        let mut device = self.start(Part::Device)?;
        let mut behind = match self.row.work {
            Work::Chain(_) => Some(self.start(Part::Behind)?),
            _ => None,
        };
        let mut workers = self.start(Part::First)?;
        let mut client = self.start(Part::Second)?;
        let asked = client.outcome()?;
        let mut outcome = workers.stop()?.with(device.stop()?);
        if let Some(behind) = &mut behind {
            outcome = outcome.with(behind.stop()?);
        }
        let mut processes = vec![&workers, &client, &device];
        processes.extend(&behind);
        Ok(self.run(&processes, outcome.with(asked)))
    }

    fn idle(&self) -> Result<Run> {
        let mut router = self.start(Part::First)?;
        let mut peers = self.start(Part::Second)?;
        peers.line("connected")?;
        router.tell("weigh")?;
        router.line("weighed")?;
        let counted = peers.stop()?;
        let outcome = router.stop()?.with(counted);
        Ok(self.run(&[&router, &peers], outcome))
    }
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
            Work::Publish(receivers) | Work::Scatter(receivers) | Work::ScatterSlow(receivers) => {
                receivers
            }
            // A service has one for each direction, a device one more for its workers.
            Work::Ask(_) | Work::Device(_) => 3,
            Work::Chain(_) => 4,
            _ => 1,
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
