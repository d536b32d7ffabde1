//! The broker's decisions as scripts: send this envelope, expect those.

mod back;
mod front;
mod model;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Core, Limits, Output};
use crate::device::broker::stats::WorkerStats;
use crate::service::envelope::Envelope;
use crate::service::window::Memory;
use crate::service::wire::{Control, Flags, Key, Kind, Name, RequestId, Status};

const SECOND: Duration = Duration::from_secs(1);
const BROKER: u64 = 77;

/// A broker, its clock, and what it said.
struct Bench {
    core: Core,
    now: Instant,
}

/// What the broker sent, as far as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// To the client: what, about which request, how it ended, under which number.
    Client(&'static str, Kind, u64, Status, u64),
    /// To the link: what, about which request, in which attempt, under which epoch.
    Worker(&'static str, Kind, u64, u16, u64),
}

use Said::{Client, Worker};

fn limits() -> Limits {
    Limits {
        heartbeat: SECOND,
        liveness: 4,
        client_silence: 30 * SECOND,
        queue_messages: 3,
        queue_bytes: 1 << 20,
        credit: 100,
        clients: 3,
        workers: 4,
        services: 2,
        memory: Memory {
            octets: 1_000,
            time: 30 * SECOND,
        },
        memory_total: 1_500,
    }
}

fn name(text: &'static str) -> Name {
    Name::new(text).expect("a name")
}

fn hello(epoch: u64, credit: u32) -> Envelope {
    let id = RequestId {
        nonce: 0,
        counter: 0,
    };
    let control = Control {
        epoch,
        window: credit,
        ..Control::new(Kind::Hello, id, name("geo"))
    };
    Envelope::bare(Bytes::new(), control)
}

fn from_client(kind: Kind, counter: u64) -> Envelope {
    let control = Control {
        method: name("locate"),
        ..Control::new(kind, RequestId { nonce: 9, counter }, name("geo"))
    };
    Envelope {
        payload: Bytes::from_static(b"where?"),
        ..Envelope::bare(Bytes::from_static(b"web\0"), control)
    }
}

fn request(counter: u64) -> Envelope {
    from_client(Kind::Request, counter)
}

fn idempotent(counter: u64, key: &'static str) -> Envelope {
    let mut request = request(counter);
    request.control.flags = Flags { idempotent: true };
    request.control.key = Key::new(key).expect("a key");
    request
}

fn answer(kind: Kind, counter: u64, epoch: u64) -> Envelope {
    let mut answer = from_client(kind, counter);
    answer.control.epoch = epoch;
    answer.payload = Bytes::from_static(b"here");
    answer
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            core: Core::new(limits(), BROKER, now),
            now,
        }
    }

    /// A broker with one worker on the link "a", and nothing left to say.
    fn with_worker(epoch: u64, credit: u32) -> Self {
        let mut bench = Self::new();
        bench.back("a", hello(epoch, credit));
        bench.said();
        bench
    }

    fn front(&mut self, envelope: Envelope) {
        self.core.front(envelope.encode(), self.now);
    }

    fn back(&mut self, link: &'static str, envelope: Envelope) {
        let mut message = envelope.encode();
        message.push_front(link);
        self.core.back(message, self.now);
    }

    /// Lets the time pass in the steps that a driver makes.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.core.next_timeout().clamp(self.now, end);
            self.core.tick(self.now);
            if self.now < end && self.core.next_timeout() <= self.now {
                panic!("a timeout that passed is still to come");
            }
        }
    }

    fn envelopes(&mut self) -> Vec<(Option<&'static str>, Envelope)> {
        let mut envelopes = Vec::new();
        while let Some(output) = self.core.poll() {
            envelopes.push(match output {
                Output::Publish(message) => (None, Envelope::decode(message).expect("sound")),
                Output::Hand(message) => {
                    let (link, rest) = message.split_first();
                    let link = ["a", "b", "c", "d", "e"]
                        .into_iter()
                        .find(|name| link == *name);
                    let rest = rest.expect("more than the identity");
                    (link, Envelope::decode(rest).expect("sound"))
                }
            });
        }
        envelopes
    }

    fn said(&mut self) -> Vec<Said> {
        let said = |(link, envelope): (Option<&'static str>, Envelope)| {
            let control = envelope.control;
            let counter = control.id.counter;
            match link {
                Some(link) => Worker(link, control.kind, counter, control.attempt, control.epoch),
                None => {
                    assert_eq!(control.epoch, BROKER);
                    let topic = ["web", "app"].into_iter();
                    let mut topic = topic.filter(|id| envelope.topic.starts_with(id.as_bytes()));
                    let topic = topic.next().expect("a topic of the tests");
                    Client(
                        topic,
                        control.kind,
                        counter,
                        control.status,
                        control.sequence,
                    )
                }
            }
        };
        self.envelopes().into_iter().map(said).collect()
    }

    fn worker(&self, index: usize) -> WorkerStats {
        self.core.stats().workers[index].clone()
    }
}
