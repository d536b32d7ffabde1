//! What a run came to, for people and as one line of JSON.

use std::fmt::{self, Display, Formatter};
use std::hash::Hash;
use std::io::{self, Write};

use pushsub::Stats;
use serde::Serialize;

use crate::arguments::Failure;
use crate::books::ledger::Ledger;

/// The counts at the end. The names and order of the fields are those of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) readings: usize,
    pub(crate) changes: usize,
    /// Changes to 0.
    pub(crate) empty: usize,
    /// Readings never answered.
    pub(crate) lost: usize,
    /// Station and sequence printed twice.
    pub(crate) duplicates: usize,
    /// Answers discarded as already seen.
    pub(crate) repeats: usize,
    /// A station's answers accepted in another order than pushed.
    pub(crate) out_of_order: usize,
    /// All that ever served, also the killed one and who replaced it.
    pub(crate) workers: Vec<Worker>,
    pub(crate) killed: Option<Killed>,
    pub(crate) alerts: Alerts,
    pub(crate) seconds: f64,
}

/// A worker process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) pid: u32,
    /// Answers accepted from it.
    pub(crate) handled: usize,
}

/// The worker that was killed on request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Killed {
    pub(crate) id: usize,
    pub(crate) pid: u32,
    /// What it had in flight when it was killed.
    pub(crate) in_flight: usize,
    /// Stations restored elsewhere since.
    pub(crate) restored: usize,
}

/// What became of the publications on `empty`: the first is the sum of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Alerts {
    pub(crate) published: u64,
    pub(crate) received: u64,
    pub(crate) dropped: u64,
    pub(crate) queued: u64,
}

impl Summary {
    /// What the books of the collector say, of workers with these process ids.
    ///
    /// Who was killed comes with the count of restored stations as it was then.
    pub(crate) fn new<Id: Eq + Hash>(
        ledger: &Ledger<'_, Id>,
        pids: impl Iterator<Item = u32>,
        killed: Option<Killed>,
    ) -> Self {
        let tally = ledger.tally();
        let worker = |(id, pid)| Worker {
            id,
            pid,
            handled: tally.handled.get(&id).copied().unwrap_or_default(),
        };
        Self {
            readings: tally.handled.values().sum::<usize>() + ledger.lost(),
            changes: tally.changes,
            empty: tally.empty,
            lost: ledger.lost(),
            duplicates: 0,
            repeats: tally.repeats,
            out_of_order: tally.out_of_order,
            workers: (1..).zip(pids).map(worker).collect(),
            killed: killed.map(|killed| Killed {
                restored: tally.restored - killed.restored,
                ..killed
            }),
            alerts: Alerts::default(),
            seconds: 0.0,
        }
    }

    /// Prints it.
    ///
    /// # Errors
    ///
    /// The output is closed, or readings were lost.
    pub(crate) fn print(&self, json: bool) -> Result<(), Failure> {
        let text = if json { self.json()? } else { self.to_string() };
        writeln!(io::stdout(), "{text}")?;
        match self.lost {
            0 => Ok(()),
            lost => Err(format!("{lost} readings were never answered").into()),
        }
    }

    /// One line, without its end.
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl Alerts {
    /// What the publisher and its one subscriber have counted, while both still live.
    ///
    /// The subscriber's counters are to be the older ones. What it has received may count as
    /// queued with the publisher even so, which has written it and not yet said so.
    pub(crate) fn of(publisher: &Stats, alerter: &Stats) -> Self {
        let (sent, received) = (publisher.sent, alerter.received);
        let on_the_way = (sent.queued + sent.written).saturating_sub(received.received);
        Self {
            published: sent.accepted,
            received: received.delivered,
            dropped: sent.dropped.total() + received.dropped,
            queued: on_the_way + received.queued,
        }
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let per_second = self.readings as f64 / self.seconds.max(0.001);
        writeln!(
            f,
            "{} readings in {:.2} s ({} a second): {} changes, {} of them to empty",
            grouped(self.readings),
            self.seconds,
            grouped(per_second as usize),
            grouped(self.changes),
            grouped(self.empty),
        )?;
        writeln!(
            f,
            "{} lost, {} duplicates, {} repeats, {} out of order",
            grouped(self.lost),
            grouped(self.duplicates),
            grouped(self.repeats),
            grouped(self.out_of_order),
        )?;
        for worker in &self.workers {
            let handled = grouped(worker.handled);
            writeln!(
                f,
                "worker {} (pid {}) handled {handled}",
                worker.id, worker.pid
            )?;
        }
        if let Some(killed) = &self.killed {
            writeln!(
                f,
                "killed worker {} (pid {}) with {} in flight; {} stations restored elsewhere",
                killed.id, killed.pid, killed.in_flight, killed.restored,
            )?;
        }
        let Alerts {
            published,
            received,
            dropped,
            queued,
        } = &self.alerts;
        write!(
            f,
            "{published} alerts published: {received} received by the slow alerter, \
             {dropped} dropped, {queued} still queued"
        )
    }
}

/// The number with a comma every three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            readings: 72_417,
            changes: 22_514,
            empty: 3_229,
            lost: 0,
            duplicates: 0,
            repeats: 4,
            out_of_order: 0,
            workers: vec![
                Worker {
                    id: 1,
                    pid: 4_001,
                    handled: 40_000,
                },
                Worker {
                    id: 2,
                    pid: 4_002,
                    handled: 32_417,
                },
            ],
            killed: Some(Killed {
                id: 1,
                pid: 4_001,
                in_flight: 170,
                restored: 34,
            }),
            alerts: Alerts {
                published: 3_229,
                received: 29,
                dropped: 1_200,
                queued: 2_000,
            },
            seconds: 1.25,
        }
    }

    #[test]
    fn the_json_is_one_line_with_the_fields_as_promised() {
        assert_eq!(
            summary().json().unwrap(),
            concat!(
                r#"{"readings":72417,"changes":22514,"empty":3229,"lost":0,"duplicates":0,"#,
                r#""repeats":4,"out_of_order":0,"workers":[{"id":1,"pid":4001,"handled":40000},"#,
                r#"{"id":2,"pid":4002,"handled":32417}],"killed":{"id":1,"pid":4001,"#,
                r#""in_flight":170,"restored":34},"alerts":{"published":3229,"received":29,"#,
                r#""dropped":1200,"queued":2000},"seconds":1.25}"#,
            )
        );
    }

    #[test]
    fn nobody_killed_is_null() {
        let json = Summary {
            killed: None,
            ..summary()
        }
        .json()
        .unwrap();
        assert!(json.contains(r#""killed":null"#), "{json}");
    }

    #[test]
    fn people_read_the_same_counts() {
        assert_eq!(
            summary().to_string(),
            "72,417 readings in 1.25 s (57,933 a second): 22,514 changes, 3,229 of them to empty\n\
             0 lost, 0 duplicates, 4 repeats, 0 out of order\n\
             worker 1 (pid 4001) handled 40,000\n\
             worker 2 (pid 4002) handled 32,417\n\
             killed worker 1 (pid 4001) with 170 in flight; 34 stations restored elsewhere\n\
             3229 alerts published: 29 received by the slow alerter, 1200 dropped, 2000 still queued"
        );
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let texts = [0, 999, 1_000, 72_417, 1_000_000].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "72,417", "1,000,000"]);
    }

    #[test]
    fn every_alert_is_received_dropped_or_still_queued_somewhere() {
        let (mut publisher, mut alerter) = (Stats::default(), Stats::default());
        (publisher.sent.accepted, publisher.sent.queued) = (100, 5);
        (publisher.sent.written, publisher.sent.dropped.full) = (88, 7);
        (alerter.received.received, alerter.received.queued) = (50, 40);
        alerter.received.delivered = 10;
        let alerts = Alerts {
            published: 100,
            received: 10,
            dropped: 7,
            queued: 83,
        };
        assert_eq!(Alerts::of(&publisher, &alerter), alerts);
    }

    #[test]
    fn an_alert_that_came_before_it_counts_as_written_is_counted_once() {
        let (mut publisher, mut alerter) = (Stats::default(), Stats::default());
        (publisher.sent.accepted, publisher.sent.queued) = (2, 1);
        publisher.sent.written = 1;
        (alerter.received.received, alerter.received.delivered) = (2, 2);
        let alerts = Alerts {
            published: 2,
            received: 2,
            dropped: 0,
            queued: 0,
        };
        assert_eq!(Alerts::of(&publisher, &alerter), alerts);
    }
}
