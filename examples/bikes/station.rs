//! What a worker knows of its stations: the last reading of each, and nothing that it guessed.

use std::collections::HashMap;

use pushsub::{HandlerError, Reply, Request};
use serde::{Deserialize, Serialize};

/// What the workers serve, and the collector asks for.
pub(crate) const SERVICE: &str = "stations";
/// The method that answers the change of a reading.
pub(crate) const READ: &str = "read";
/// The method that tells a worker which reading was last answered elsewhere.
pub(crate) const RESTORE: &str = "restore";

/// One reading of a station, as it travels: the value of a request whose key is the station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// Which of the station's readings it is, from 0.
    pub(crate) sequence: usize,
    pub(crate) value: i64,
}

/// What a worker answers: who it is, and the change against the reading before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) worker: usize,
    /// 0 where nothing changed, and for a station's first reading.
    pub(crate) change: i64,
}

/// The worker does not have the reading before this one; what it has is as before.
///
/// Its text is the code of the error that the collector is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown_state")]
pub(crate) struct UnknownState;

/// The last reading of each station that this worker has seen.
///
/// ```text
///              sequence 0, or restore                 the next, or the same again
///   unknown ──────────────────────────▶ known(n, value) ──────────────────────▶ known
///      │                                      │
///      └── any other reading: UnknownState    └── any other reading: UnknownState, still known(n)
/// ```
#[derive(Debug, Default)]
pub(crate) struct Stations {
    last: HashMap<String, Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    reading: Reading,
    /// What was answered to it; `None` where it was restored, not answered here.
    change: Option<i64>,
}

impl Stations {
    /// What worker `id` answers to a request.
    pub(crate) fn answer(&mut self, id: usize, request: &Request) -> Result<Reply, HandlerError> {
        let (station, reading) = (String::from_utf8_lossy(request.key()), request.decode()?);
        let change = match request.method() {
            READ => self
                .read(&station, reading)
                .map_err(|unknown| HandlerError::new(unknown.to_string(), station))?,
            RESTORE => {
                self.restore(&station, reading);
                0
            }
            other => return Err(HandlerError::no_such_method(other)),
        };
        Reply::body(&Answer { worker: id, change })
    }

    /// The change of this reading against the one before it.
    ///
    /// A station's first reading is no change. A repeat of the last reading is
    /// answered as it was the first time, because a request that is sent again
    /// must not count twice.
    pub(crate) fn read(&mut self, station: &str, reading: Reading) -> Result<i64, UnknownState> {
        let change = if reading.sequence == 0 {
            0
        } else {
            let last = self.last.get(station).ok_or(UnknownState)?;
            last.change_to(reading).ok_or(UnknownState)?
        };
        self.know(station, reading, Some(change));
        Ok(change)
    }

    /// Takes over a reading that was answered elsewhere.
    pub(crate) fn restore(&mut self, station: &str, reading: Reading) {
        self.know(station, reading, None);
    }

    fn know(&mut self, station: &str, reading: Reading, change: Option<i64>) {
        let last = Last { reading, change };
        match self.last.get_mut(station) {
            Some(known) => *known = last,
            None => {
                self.last.insert(station.to_owned(), last);
            }
        }
    }
}

impl Last {
    fn change_to(self, next: Reading) -> Option<i64> {
        if next == self.reading {
            self.change
        } else if Some(next.sequence) == self.reading.sequence.checked_add(1) {
            next.value.checked_sub(self.reading.value)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUAY: &str = "City_Quay";

    fn reading(sequence: usize, value: i64) -> Reading {
        Reading { sequence, value }
    }

    #[test]
    fn the_first_reading_is_no_change_whatever_it_is() {
        let mut stations = Stations::default();
        assert_eq!(stations.read(QUAY, reading(0, 0)), Ok(0));
        assert_eq!(stations.read("Emmet_Road", reading(0, 17)), Ok(0));
    }

    #[test]
    fn a_change_is_against_the_same_stations_reading_before() {
        let mut stations = Stations::default();
        assert_eq!(stations.read(QUAY, reading(0, 5)), Ok(0));
        assert_eq!(stations.read("Emmet_Road", reading(0, 50)), Ok(0));
        assert_eq!(stations.read(QUAY, reading(1, 8)), Ok(3));
        assert_eq!(stations.read(QUAY, reading(2, 8)), Ok(0));
        assert_eq!(stations.read(QUAY, reading(3, 0)), Ok(-8));
    }

    #[test]
    fn a_station_that_was_never_read_is_unknown_above_sequence_0() {
        let mut stations = Stations::default();
        assert_eq!(stations.read(QUAY, reading(1, 5)), Err(UnknownState));
        assert_eq!(stations.read(QUAY, reading(2, 6)), Err(UnknownState));
    }

    #[test]
    fn a_gap_is_unknown_and_leaves_what_was_known() {
        let mut stations = Stations::default();
        assert_eq!(stations.read(QUAY, reading(0, 5)), Ok(0));
        assert_eq!(stations.read(QUAY, reading(2, 9)), Err(UnknownState));
        assert_eq!(stations.read(QUAY, reading(1, 6)), Ok(1));
        assert_eq!(stations.read(QUAY, reading(2, 9)), Ok(3));
        assert_eq!(stations.read(QUAY, reading(1, 6)), Err(UnknownState));
    }

    #[test]
    fn a_repeat_of_the_last_reading_is_answered_as_before() {
        let mut stations = Stations::default();
        assert_eq!(stations.read(QUAY, reading(0, 5)), Ok(0));
        assert_eq!(stations.read(QUAY, reading(1, 9)), Ok(4));
        assert_eq!(stations.read(QUAY, reading(1, 9)), Ok(4));
        assert_eq!(stations.read(QUAY, reading(2, 9)), Ok(0));
    }

    #[test]
    fn a_restored_station_goes_on_with_the_next_reading() {
        let mut stations = Stations::default();
        stations.restore(QUAY, reading(41, 7));
        assert_eq!(stations.read(QUAY, reading(43, 0)), Err(UnknownState));
        assert_eq!(stations.read(QUAY, reading(42, 4)), Ok(-3));
    }

    #[test]
    fn the_change_of_a_restored_reading_itself_is_not_guessed() {
        let mut stations = Stations::default();
        stations.restore(QUAY, reading(41, 7));
        assert_eq!(stations.read(QUAY, reading(41, 7)), Err(UnknownState));
    }

    #[test]
    fn sequence_0_begins_again() {
        let mut stations = Stations::default();
        assert_eq!(stations.read(QUAY, reading(0, 5)), Ok(0));
        assert_eq!(stations.read(QUAY, reading(1, 6)), Ok(1));
        assert_eq!(stations.read(QUAY, reading(0, 5)), Ok(0));
        assert_eq!(stations.read(QUAY, reading(1, 6)), Ok(1));
    }

    #[test]
    fn the_error_is_named_as_the_collector_expects_it() {
        assert_eq!(UnknownState.to_string(), "unknown_state");
    }
}
