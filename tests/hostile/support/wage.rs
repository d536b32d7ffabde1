//! Generates the cases of a row: attacks, over kinds of sockets, sides and pieces.

use pushsub::{Options, SocketType};

use super::log::Log;
use super::stage::{Delivery, Fate, Side, Stage, options};
use super::tally::Row;
use super::victim::partner;
use super::{Result, in_virtual_time};

/// Whom an attack is aimed at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) kind: SocketType,
}

impl Aim {
    /// The type of a peer that the victim would talk to.
    pub(crate) fn partner(&self) -> SocketType {
        partner(self.kind)
    }
}

/// One attack: the octets, and what must become of the link.
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) octets: Vec<u8>,
    pub(crate) fate: Fate,
}

impl Attack {
    pub(crate) fn new(name: impl Into<String>, octets: Vec<u8>, fate: Fate) -> Self {
        let name = name.into();
        Self { name, octets, fate }
    }
}

/// A row of attacks.
pub(crate) struct War<'a> {
    pub(crate) row: &'static str,
    pub(crate) kinds: &'a [SocketType],
    pub(crate) options: Options,
}

/// Plays every attack of a row on each of these kinds of sockets, with the options of the stage.
pub(crate) fn war(
    row: &'static str,
    kinds: &[SocketType],
    attacks: impl Fn(Aim) -> Vec<Attack>,
) -> Result {
    let options = options();
    War {
        row,
        kinds,
        options,
    }
    .wage(attacks)
}

/// Octet by octet and split, only what is not longer than this.
const PIECES: usize = 2_048;

impl War<'_> {
    /// Plays every attack on every kind of socket, from both sides, whole and in pieces.
    pub(crate) fn wage(&self, attacks: impl Fn(Aim) -> Vec<Attack>) -> Result {
        let mut row = Row::new(self.row);
        for (number, kind) in self.kinds.iter().copied().enumerate() {
            for side in [Side::Bound, Side::Dials] {
                let attacks = attacks(Aim { kind });
                // Every split once; elsewhere a few, which differ from attack to attack.
                let every_split = number == 0 && side == Side::Bound;
                let log = Log::listen();
                let victims = row.failed();
                let told =
                    in_virtual_time(self.battle(&mut row, kind, side, &attacks, every_split));
                row.note(format_args!("{kind} {side:?} in the end"), told);
                // O6. Behind each attack that failed a fresh victim took the stage.
                let victims = 1 + row.failed() - victims;
                row.note(format_args!("{kind} {side:?} log"), log.check(victims));
            }
        }
        row.finish()
    }

    async fn battle(
        &self,
        row: &mut Row,
        kind: SocketType,
        side: Side,
        attacks: &[Attack],
        every_split: bool,
    ) -> Result {
        let mut stage = Stage::new(kind, side, self.options.clone()).await?;
        for (number, attack) in attacks.iter().enumerate() {
            for delivery in deliveries(attack.octets.len(), number, every_split) {
                let result = stage.attack(&attack.octets, delivery, attack.fate).await;
                let failed = result.is_err();
                let name = &attack.name;
                row.note(format_args!("{kind} {side:?} {delivery:?} {name}"), result);
                if failed {
                    stage = Stage::new(kind, side, self.options.clone()).await?;
                }
            }
        }
        stage.finish().await
    }
}

fn deliveries(length: usize, number: usize, every_split: bool) -> Vec<Delivery> {
    let mut deliveries = vec![Delivery::Whole];
    if !(2..=PIECES).contains(&length) {
        return deliveries;
    }
    deliveries.push(Delivery::Octets);
    if every_split && length <= 256 {
        // The first few attacks of a row at every octet, the others at some, which vary.
        let step = if number < 4 { 1 } else { 9 };
        let first = 1 + number % step;
        deliveries.extend((first..length).step_by(step).map(Delivery::Split));
    } else {
        let somewhere = 1 + (number * 37 + length * 11) % (length - 1);
        deliveries.push(Delivery::Split(somewhere));
        deliveries.push(Delivery::Split(length - 1));
    }
    deliveries
}
