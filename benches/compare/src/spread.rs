//! A median, and how far from it the values lie.

use std::fmt;

pub(crate) struct Spread {
    pub(crate) lowest: f64,
    pub(crate) median: f64,
    pub(crate) highest: f64,
}

impl Spread {
    /// Of these values; of none it is 0.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
        let last = values.len().saturating_sub(1);
        Self {
            lowest: at(0),
            median: f64::midpoint(at(last / 2), at(values.len() / 2)),
            highest: at(last),
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
