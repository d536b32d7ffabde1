//! Medians with their spread, and ratios taken pair by pair within a repetition.

use std::fmt;

use serde::Serialize;

use crate::rivals::Rival;
use crate::row::Row;
use crate::run::Run;

/// All runs of one row.
#[derive(Serialize)]
pub(crate) struct Report {
    #[serde(serialize_with = "name")]
    row: &'static Row,
    runs: Vec<Run>,
}

fn name<S: serde::Serializer>(row: &&'static Row, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(row.name)
}

impl Report {
    pub(crate) fn new(row: &'static Row) -> Self {
        Self {
            row,
            runs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    fn of(&self, rival: Rival, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        let runs = self.runs.iter().filter(|run| run.rival == rival);
        runs.map(value).collect()
    }

    /// What counts in this row: more is better, of a time its inverse.
    fn merit(&self, run: &Run) -> f64 {
        if self.row.is_round_trip() {
            1.0 / run.median
        } else {
            run.rate()
        }
    }

    fn rivals(&self, wanted: impl Fn(Rival) -> bool) -> Vec<Rival> {
        let took_part = |rival: &Rival| self.runs.iter().any(|run| run.rival == *rival);
        let all = Rival::ALL.into_iter();
        all.filter(|rival| wanted(*rival))
            .filter(took_part)
            .collect()
    }

    /// The one with the best median.
    fn best(&self, wanted: impl Fn(Rival) -> bool) -> Option<Rival> {
        let median = |rival: &Rival| Spread::of(self.of(*rival, |run| self.merit(run))).median;
        let rivals = self.rivals(wanted).into_iter();
        rivals.max_by(|one, other| median(one).total_cmp(&median(other)))
    }

    /// The merits of one over those of the other, repetition by repetition.
    fn ratio(&self, one: Rival, other: Rival) -> Spread {
        let merits = |rival| self.of(rival, |run| self.merit(run));
        let pairs = merits(one).into_iter().zip(merits(other));
        Spread::of(pairs.map(|(one, other)| one / other).collect())
    }
}

/// As a table in Markdown.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.row.is_round_trip() {
            "median, µs | p99, µs"
        } else {
            "M msg/s"
        };
        let columns = 3 + unit.matches('|').count();
        writeln!(formatter, "### {}: {}\n", self.row.name, self.row.about)?;
        writeln!(formatter, "| | {unit} | CPU s per 1 M, both ends |")?;
        writeln!(formatter, "{}|", "|---".repeat(columns))?;
        for rival in self.rivals(|_| true) {
            write!(formatter, "| {} | ", rival.name())?;
            if self.row.is_round_trip() {
                let p99 = Spread::of(self.of(rival, |run| run.p99));
                let median = Spread::of(self.of(rival, |run| run.median));
                write!(formatter, "{median:.1} | {p99:.1}")?;
            } else {
                let rate = Spread::of(self.of(rival, |run| run.rate() / 1e6));
                write!(formatter, "{rate:.3}")?;
            }
            let cpu = Spread::of(self.of(rival, Run::cpu_per_million));
            writeln!(formatter, " | {cpu:.3} |")?;
        }
        let compared = |rival: Rival| !rival.is_ours() && !rival.is_ceiling();
        let others = [
            ("the best rival", self.best(compared)),
            ("the ceiling", self.best(Rival::is_ceiling)),
        ];
        writeln!(formatter)?;
        for ours in self.rivals(Rival::is_ours) {
            for (what, other) in others {
                let Some(other) = other else { continue };
                writeln!(
                    formatter,
                    "- {}: {:.2} × {what}, {}",
                    ours.name(),
                    self.ratio(ours, other),
                    other.name()
                )?;
            }
        }
        Ok(())
    }
}

struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

impl Spread {
    /// Of at least one value.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self {
            lowest: values[0],
            median: f64::midpoint(low, high),
            highest: values[values.len() - 1],
        }
    }
}

/// With as many digits as are asked for.
impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = formatter.precision().unwrap_or(3);
        let Self {
            lowest,
            median,
            highest,
        } = self;
        write!(
            formatter,
            "{median:.digits$} ({lowest:.digits$} to {highest:.digits$})"
        )
    }
}
