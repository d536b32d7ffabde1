//! The faults that patterns and services are put through, and messages that show what they did.

use std::time::Duration;

use pushsub::{Message, Options};
use tokio::task::JoinHandle;

use crate::support::Result;
use crate::support::chaos::{Chaos, Faults, Strike, Way, When};

/// What a wire does, both ways.
pub(super) struct Fault {
    pub(super) name: &'static str,
    faults: Faults,
    /// It cuts connections, and what is on its way is lost.
    pub(super) cuts: bool,
    black_holes: bool,
}

/// All that a wire may do and turn no bit.
pub(super) fn faults() -> Vec<Fault> {
    let milliseconds = Duration::from_millis;
    let late = Faults {
        latency: milliseconds(100),
        ..Faults::default()
    };
    let mut all = vec![
        steady("latency", late.clone()),
        steady(
            "jitter",
            Faults {
                jitter: milliseconds(200),
                ..late
            },
        ),
        steady(
            "bandwidth",
            Faults {
                bandwidth: Some(20_000),
                ..Faults::default()
            },
        ),
        steady(
            "slices",
            Faults {
                slice: Some(20),
                ..Faults::default()
            },
        ),
    ];
    all.push(Fault {
        black_holes: true,
        ..steady("black holes", Faults::default())
    });
    for (name, strike) in [
        ("resets", Strike::Reset),
        ("half-closes", Strike::HalfClose),
    ] {
        let faults = Faults {
            strike: Some((When::About(20_000), strike)),
            ..Faults::default()
        };
        all.push(Fault {
            cuts: true,
            ..steady(name, faults)
        });
    }
    all.push(Fault {
        cuts: true,
        black_holes: true,
        ..steady(
            "all at once",
            Faults {
                latency: milliseconds(5),
                jitter: milliseconds(10),
                bandwidth: Some(200_000),
                slice: Some(100),
                flip_every: None,
                strike: Some((When::About(50_000), Strike::Reset)),
            },
        )
    });
    all
}

fn steady(name: &'static str, faults: Faults) -> Fault {
    Fault {
        name,
        faults,
        cuts: false,
        black_holes: false,
    }
}

impl Fault {
    /// Puts a proxy through it, until what is returned is dropped.
    pub(super) fn begin(&self, chaos: &Chaos) -> Nemesis {
        chaos.set_both(&self.faults);
        let striker = chaos.striker();
        let task = self.black_holes.then(|| {
            tokio::spawn(async move {
                let mut tick = tokio::time::interval(Duration::from_millis(150));
                loop {
                    for strike in [Strike::Heal, Strike::Blackhole] {
                        tick.tick().await;
                        striker(Way::Forth, strike);
                        striker(Way::Back, strike);
                    }
                }
            })
        });
        Nemesis(task)
    }

    /// Who is struck in the course of a test has connected again.
    pub(super) fn check(&self, chaos: &Chaos) -> Result {
        let connections = chaos.connections();
        if (connections > 1) == self.cuts {
            return Ok(());
        }
        Err(format!("{connections} connections").into())
    }
}

/// Strikes by hand while it lives.
pub(super) struct Nemesis(Option<JoinHandle<()>>);

impl Drop for Nemesis {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Who is cut off is back at once.
pub(super) fn options() -> Options {
    Options::default().reconnect(Duration::from_millis(1), Duration::from_millis(20))
}

/// A message that can be told from all others, and from a part of itself.
pub(super) fn numbered(number: u32) -> Message {
    let mut octets = number.to_be_bytes().to_vec();
    octets.resize(4 + number as usize * 37 % 1_000, number.to_le_bytes()[0]);
    Message::from(octets)
}

/// The number of a message, which must be to the octet what was sent.
pub(super) fn number(message: &Message) -> Result<u32> {
    let head = message.first().first_chunk().ok_or("a part of a message")?;
    let number = u32::from_be_bytes(*head);
    if *message == numbered(number) {
        return Ok(number);
    }
    Err(format!("{number} is not what was sent").into())
}

/// The numbers of what came: each once, in order, and all where nothing was cut.
#[derive(Default)]
pub(super) struct Came {
    numbers: Vec<u32>,
}

impl Came {
    pub(super) fn take(&mut self, message: &Message) -> Result {
        let number = number(message)?;
        match self.numbers.last() {
            Some(last) if *last >= number => Err(format!("{number} behind {last}").into()),
            _ => {
                self.numbers.push(number);
                Ok(())
            }
        }
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.numbers.len()).expect("few messages")
    }

    /// From the first that came none is missing, up to the last.
    pub(super) fn has_gaps(&self) -> bool {
        let ends = self.numbers.first().zip(self.numbers.last());
        ends.is_some_and(|(first, last)| last - first + 1 != self.count())
    }
}
