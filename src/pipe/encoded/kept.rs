//! Memory of emptied arenas that is kept for the next burst, of all pipes of a process together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets that all large arenas keep together. With none the system has pages back behind each burst that
/// it is asked for again in the next: of messages of 4 KiB two workers send 0.9 M a second so, and 1.6 M
/// with these (`benches/compare --rows push-pull-4k --rivals pushsub-mt`).
const MOST: usize = 16 << 20;

static OF_THE_PROCESS: AtomicUsize = AtomicUsize::new(0);

/// Bursts in a row that left most of it empty, behind which it is given back.
const SMALL: u8 = 100;

/// What one arena keeps, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Kept {
    octets: usize,
    /// Bursts since one that needed it.
    small: u8,
}

impl Kept {
    /// Behind a burst that `needed` the arena of so many octets, or less: returns whether all of it is
    /// kept for the next.
    pub(super) fn keeps(&mut self, octets: usize, needed: bool) -> bool {
        self.small = if needed { 0 } else { self.small + 1 };
        let more = octets.saturating_sub(self.octets);
        let order = Ordering::Relaxed;
        let admitted = |held: usize| (held + more <= MOST).then_some(held + more);
        let admitted = more == 0 || OF_THE_PROCESS.fetch_update(order, order, admitted).is_ok();
        if admitted {
            self.octets += more;
        }
        let kept = admitted && self.small < SMALL;
        if !kept {
            self.give_back();
        }
        kept
    }

    fn give_back(&mut self) {
        self.small = 0;
        let octets = std::mem::take(&mut self.octets);
        OF_THE_PROCESS.fetch_sub(octets, Ordering::Relaxed);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_limit_of_all_is_given_back_at_once() {
        let mut kept = Kept::default();
        assert!(!kept.keeps(MOST + 1, true));
        assert_eq!(kept.octets, 0);
    }

    #[test]
    fn what_is_dropped_makes_room_for_others() {
        for _ in 0..3 {
            assert!(Kept::default().keeps(MOST * 2 / 3, true));
        }
    }
}
