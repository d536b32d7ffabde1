//! Medians with their spread, and ratios taken pair by pair within a repetition.

use std::fmt;

use crate::rivals::Rival;
use crate::row::Row;
use crate::run::Run;

/// All runs of one row.
pub(crate) struct Report {
    row: Row,
    runs: Vec<Run>,
}

impl Report {
    pub(crate) fn new(row: Row) -> Self {
        Self {
            row,
            runs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    fn of(&self, rival: Rival, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.runs
            .iter()
            .filter(|run| run.rival == rival)
            .map(value)
            .collect()
    }

    /// The rates of one over those of the other, repetition by repetition.
    fn ratios(&self, one: Rival, other: Rival) -> Vec<f64> {
        let (ones, others) = (self.of(one, Run::rate), self.of(other, Run::rate));
        ones.iter()
            .zip(others)
            .map(|(one, other)| one / other)
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: median (lowest to highest)", self.row.name())?;
        let rivals: Vec<_> = Rival::all()
            .into_iter()
            .filter(|rival| !self.of(*rival, Run::rate).is_empty())
            .collect();
        for &rival in &rivals {
            let rate = Spread::of(self.of(rival, |run| run.rate() / 1e6));
            let cpu = Spread::of(self.of(rival, Run::cpu_per_million));
            writeln!(
                formatter,
                "  {:<32} {rate} M msg/s, CPU {cpu} s per 1 M, both ends",
                rival.name()
            )?;
        }
        for (place, &one) in rivals.iter().enumerate() {
            for &other in &rivals[place + 1..] {
                let name = format!("{} / {}", one.name(), other.name());
                writeln!(
                    formatter,
                    "  {name:<32} {} ×",
                    Spread::of(self.ratios(one, other))
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

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.3} ({:.3} to {:.3})",
            self.median, self.lowest, self.highest
        )
    }
}
