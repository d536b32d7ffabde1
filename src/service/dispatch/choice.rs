//! How a target is chosen for a request that has no key.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::TargetId;

/// Which of the targets with credit takes a request without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one with the least in flight, among equals the one unused for longest.
    LeastOutstanding,
    /// The one of two drawn at random that has less in flight. Many choosers that
    /// know nothing of each other do not all run to the same target. Holds the seed.
    TwoRandomChoices(u64),
    /// The one unused for longest.
    RoundRobin,
}

/// What the targets with credit are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    pub(super) in_flight: usize,
    pub(super) last_hand_out: u64,
}

/// The targets with credit, as the choice needs them.
#[derive(Debug)]
pub(super) enum Open {
    Ordered {
        by_load: bool,
        /// In flight (0 where load does not count), last hand-out, target.
        targets: BTreeSet<(usize, u64, TargetId)>,
    },
    Random {
        targets: Vec<TargetId>,
        positions: FxHashMap<TargetId, usize>,
        state: u64,
    },
}

impl Open {
    pub(super) fn new(choice: Choice) -> Self {
        match choice {
            Choice::LeastOutstanding | Choice::RoundRobin => Self::Ordered {
                by_load: choice == Choice::LeastOutstanding,
                targets: BTreeSet::new(),
            },
            Choice::TwoRandomChoices(seed) => Self::Random {
                targets: Vec::new(),
                positions: FxHashMap::default(),
                // Zero is the one state that xorshift never leaves.
                state: seed | 1,
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Ordered { targets, .. } => targets.is_empty(),
            Self::Random { targets, .. } => targets.is_empty(),
        }
    }

    /// Replaces a target's rank; `None` stands for no credit.
    pub(super) fn replace(&mut self, id: TargetId, before: Option<Rank>, after: Option<Rank>) {
        match self {
            Self::Ordered { by_load, targets } => {
                let weight = |rank: Rank| if *by_load { rank.in_flight } else { 0 };
                if let Some(rank) = before {
                    targets.remove(&(weight(rank), rank.last_hand_out, id));
                }
                targets.extend(after.map(|rank| (weight(rank), rank.last_hand_out, id)));
            }
            Self::Random {
                targets, positions, ..
            } => match (before, after) {
                (None, Some(_)) => {
                    positions.insert(id, targets.len());
                    targets.push(id);
                }
                (Some(_), None) => {
                    let Some(position) = positions.remove(&id) else {
                        return;
                    };
                    targets.swap_remove(position);
                    if let Some(moved) = targets.get(position) {
                        positions.insert(*moved, position);
                    }
                }
                _ => {}
            },
        }
    }

    /// The target of the next request, if any has credit.
    pub(super) fn pick(&mut self, in_flight: impl Fn(TargetId) -> usize) -> Option<TargetId> {
        match self {
            Self::Ordered { targets, .. } => targets.first().map(|(_, _, id)| *id),
            Self::Random { targets, state, .. } => match targets.len() {
                0 => None,
                1 => Some(targets[0]),
                count => {
                    let first = draw(state, count);
                    // One of the others, each as likely.
                    let second = (first + 1 + draw(state, count - 1)) % count;
                    let (first, second) = (targets[first], targets[second]);
                    Some(std::cmp::min_by_key(first, second, |id| in_flight(*id)))
                }
            },
        }
    }
}

/// A number below `count` by xorshift64*, which is random enough to spread load.
fn draw(state: &mut u64, count: usize) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let random = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
    ((random * count as u64) >> 32) as usize
}
