//! Medians with their spread, and ratios taken pair by pair within a repetition.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rivals::Rival;
use crate::row::{Row, Work};
use crate::run::Run;
use crate::spread::Spread;

/// All runs of one row.
#[derive(Deserialize, Serialize)]
pub(crate) struct Report {
    #[serde(serialize_with = "write_name", deserialize_with = "read_name")]
    pub(crate) row: &'static Row,
    runs: Vec<Run>,
    /// Who did not take part to the end, and why.
    absent: Vec<String>,
}

fn write_name<S: Serializer>(row: &&'static Row, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(row.name)
}

fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Row, D::Error> {
    let name = String::deserialize(deserializer)?;
    Row::find(&name).map_err(D::Error::custom)
}

/// Something that a table shows of each run.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    digits: usize,
    value: fn(&Run) -> f64,
}

const fn column(title: &'static str, digits: usize, value: fn(&Run) -> f64) -> Column {
    Column {
        title,
        digits,
        value,
    }
}

static RATE: [Column; 2] = [
    column("M msg/s", 3, |run| run.rate() / 1e6),
    column("CPU s per 1 M, all ends", 3, Run::cpu_per_million),
];

/// Where messages are so large that it shows.
static RATE_AND_MEMORY: [Column; 3] = [
    column("M msg/s", 4, |run| run.rate() / 1e6),
    column("CPU s per 1 M, all ends", 3, Run::cpu_per_million),
    column("peak memory of the sender, MiB", 1, |run| {
        run.outcome.peak / 1024.0
    }),
];

static ROUND_TRIP: [Column; 3] = [
    column("median, µs", 1, |run| run.outcome.median),
    column("p99, µs", 1, |run| run.outcome.p99),
    column("CPU s per 1 M, all ends", 3, Run::cpu_per_million),
];

static IDLE: [Column; 3] = [
    column("KiB for each peer", 1, |run| run.outcome.per_peer),
    column("CPU at rest, %", 2, |run| run.outcome.at_rest),
    column("peers that stayed", 0, |run| run.outcome.received as f64),
];

static SCALE: [Column; 2] = [
    column("CPU s per 1 M, all ends", 3, Run::cpu_per_million),
    column("M msg/s", 3, |run| run.rate() / 1e6),
];

impl Report {
    pub(crate) fn new(row: &'static Row) -> Self {
        Self {
            row,
            runs: Vec::new(),
            absent: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Notes who does not take part, or no longer.
    pub(crate) fn note(&mut self, remark: String) {
        self.absent.push(remark);
    }

    /// What is shown of this row; what counts comes first.
    pub(crate) fn columns(&self) -> &'static [Column] {
        match self.row.work {
            Work::Gather(_) | Work::Topics(_) => &SCALE,
            Work::Idle(_) => &IDLE,
            _ if self.row.is_round_trip() => &ROUND_TRIP,
            _ if self.row.content.largest() >= 1 << 15 => &RATE_AND_MEMORY,
            _ => &RATE,
        }
    }

    /// Whether the less is the better of what counts.
    pub(crate) fn counts_down(&self) -> bool {
        let scales = matches!(self.row.work, Work::Gather(_) | Work::Topics(_));
        self.row.is_round_trip() || self.row.is_idle() || scales
    }

    /// The spread of what a column shows of this rival.
    pub(crate) fn spread(&self, rival: Rival, column: &Column) -> Spread {
        Spread::of(self.of(rival, column.value))
    }

    fn of(&self, rival: Rival, value: impl Fn(&Run) -> f64) -> Vec<f64> {
        let runs = self.runs.iter().filter(|run| run.rival == rival);
        runs.map(value).collect()
    }

    /// What counts in this row: more is better, of what counts down the inverse.
    fn merit(&self, run: &Run) -> f64 {
        let value = (self.columns()[0].value)(run);
        if self.counts_down() {
            1.0 / value
        } else {
            value
        }
    }

    /// Who took part, in the order of all.
    pub(crate) fn rivals(&self, wanted: impl Fn(Rival) -> bool) -> Vec<Rival> {
        let took_part = |rival: &Rival| self.runs.iter().any(|run| run.rival == *rival);
        let all = Rival::ALL.iter().copied();
        all.filter(|rival| wanted(*rival))
            .filter(took_part)
            .collect()
    }

    /// The one with the best median.
    pub(crate) fn best(&self, wanted: impl Fn(Rival) -> bool) -> Option<Rival> {
        let median = |rival: &Rival| Spread::of(self.of(*rival, |run| self.merit(run))).median;
        let rivals = self.rivals(wanted).into_iter();
        rivals.max_by(|one, other| median(one).total_cmp(&median(other)))
    }

    /// The best of those that are neither ours nor a ceiling.
    pub(crate) fn best_rival(&self) -> Option<Rival> {
        self.best(|rival| !rival.is_ours() && !rival.is_ceiling())
    }

    /// The merits of one over those of the other, repetition by repetition.
    pub(crate) fn ratio(&self, one: Rival, other: Rival) -> Spread {
        let merits = |rival| self.of(rival, |run| self.merit(run));
        let pairs = merits(one).into_iter().zip(merits(other));
        Spread::of(pairs.map(|(one, other)| one / other).collect())
    }

    /// Runs of ours in which a message was lost, changed or overtaken.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faulty = |run: &&Run| run.rival.is_ours() && !run.is_faultless(self.row);
        let faulty = self.runs.iter().filter(faulty);
        faulty
            .map(|run| format!("{}: {run}", self.row.name))
            .collect()
    }

    fn table(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns();
        write!(formatter, "| |")?;
        for column in columns {
            write!(formatter, " {} |", column.title)?;
        }
        writeln!(formatter, "\n|{}", "---|".repeat(columns.len() + 1))?;
        for rival in self.rivals(|_| true) {
            write!(formatter, "| {} |", rival.name())?;
            for column in columns {
                let digits = column.digits;
                write!(formatter, " {:.digits$} |", self.spread(rival, column))?;
            }
            writeln!(formatter)?;
        }
        writeln!(formatter)
    }

    /// Ours beside the best of the others, and beside each that does all that ours does.
    fn ratios(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut others = vec![
            ("the best rival", self.best_rival()),
            ("the ceiling", self.best(Rival::is_ceiling)),
        ];
        let services = self.rivals(Rival::is_rpc).into_iter();
        others.extend(services.map(|rival| ("another service", Some(rival))));
        for ours in self.rivals(Rival::is_ours) {
            for (what, other) in &others {
                let Some(other) = *other else { continue };
                let (name, than) = (ours.name(), other.name());
                let ratio = self.ratio(ours, other);
                writeln!(formatter, "- {name}: {ratio:.2} × {what}, {than}")?;
            }
        }
        Ok(())
    }

    /// Who lost something, and who is missing.
    fn remarks(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rival in self.rivals(|_| true) {
            let faulty = |run: &&Run| run.rival == rival && !run.is_faultless(self.row);
            for run in self.runs.iter().filter(faulty) {
                writeln!(formatter, "- not all arrived as it was sent: {run}")?;
            }
        }
        for remark in &self.absent {
            writeln!(formatter, "- {remark}")?;
        }
        Ok(())
    }
}

/// As a table in Markdown.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "### {}: {}\n", self.row.name, self.row.about)?;
        self.table(formatter)?;
        self.ratios(formatter)?;
        self.remarks(formatter)
    }
}

/// What a message costs on the larger scale, over what it costs on the smaller.
pub(crate) fn scaling(reports: &[Report]) -> Vec<String> {
    let mut lines = Vec::new();
    for large in reports {
        let is_smaller = |small: &&Report| Some(small.row.name) == large.row.smaller;
        let Some(small) = reports.iter().find(is_smaller) else {
            continue;
        };
        for rival in large.rivals(|rival| small.rivals(|_| true).contains(&rival)) {
            let costs = |report: &Report| report.of(rival, Run::cpu_per_million);
            let pairs = costs(large).into_iter().zip(costs(small));
            let factor = Spread::of(pairs.map(|(large, small)| large / small).collect());
            let (name, large, small) = (rival.name(), large.row.about, small.row.about);
            lines.push(format!("{name}: {large}, costs {factor:.2} × {small}"));
        }
    }
    lines
}
