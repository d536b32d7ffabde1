//! What a run prints while it goes on: a line for each change, and a bar where a person looks on.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::books::ledger::Accepted;

/// Lines are written when there are this many octets of them …
const PAGE: usize = 8 * 1024;
/// … or when so much time passed since the last were, so that a terminal is
/// not redrawn for each.
const GLANCE: Duration = Duration::from_millis(50);

/// Prints the answers, and remembers which it saw: that is how a duplicate is noticed
/// by another than the ledger, which is to prevent it.
pub(crate) struct Printer<W> {
    output: W,
    city: String,
    stations: Vec<String>,
    /// Prints no lines; they are noted all the same.
    quiet: bool,
    bar: ProgressBar,
    lines: Vec<u8>,
    written: Instant,
    seen: HashSet<(usize, usize)>,
    duplicates: usize,
}

/// A bar over so many readings, on stderr; hidden unless a person sees both it and the lines.
pub(crate) fn bar(readings: usize) -> ProgressBar {
    if !(io::stdout().is_terminal() && io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {human_pos}/{human_len} readings";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(
        u64::try_from(readings).ok(),
        ProgressDrawTarget::stderr_with_hz(10),
    );
    bar.with_style(style)
}

impl<W: Write> Printer<W> {
    pub(crate) fn new(output: W, city: String, stations: Vec<String>, bar: ProgressBar) -> Self {
        Self {
            output,
            city,
            stations,
            quiet: false,
            bar,
            lines: Vec::with_capacity(PAGE),
            written: Instant::now(),
            seen: HashSet::new(),
            duplicates: 0,
        }
    }

    /// Prints no line for a change, as for `--json`.
    pub(crate) fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// Prints an answer where it is a change.
    ///
    /// # Errors
    ///
    /// The output is closed; what is to be printed later will fail too.
    pub(crate) fn answer(&mut self, accepted: &Accepted) -> io::Result<()> {
        let place = (accepted.station, accepted.reading.sequence);
        if !self.seen.insert(place) {
            self.duplicates += 1;
        }
        self.bar.inc(1);
        if self.quiet || accepted.change == 0 {
            return Ok(());
        }
        let (station, city) = (&self.stations[accepted.station], &self.city);
        writeln!(self.lines, "{:+} {station} ({city})", accepted.change)?;
        if self.lines.len() >= PAGE || self.written.elapsed() >= GLANCE {
            self.write()?;
        }
        Ok(())
    }

    /// Prints what is left, takes the bar away, and says how many answers were printed twice.
    pub(crate) fn finish(mut self) -> io::Result<usize> {
        self.write()?;
        self.bar.finish_and_clear();
        Ok(self.duplicates)
    }

    fn write(&mut self) -> io::Result<()> {
        let (output, lines) = (&mut self.output, &mut self.lines);
        let done = self
            .bar
            .suspend(|| output.write_all(lines).and_then(|()| output.flush()));
        lines.clear();
        self.written = Instant::now();
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::station::Reading;

    fn accepted(station: usize, sequence: usize, change: i64) -> Accepted {
        let reading = Reading { sequence, value: 0 };
        Accepted {
            station,
            reading,
            change,
        }
    }

    /// The lines and duplicates of these answers.
    fn printed(answers: &[Accepted], quiet: bool) -> (String, usize) {
        let stations = vec!["Fenian_Street".to_owned(), "St._Stephen'S".to_owned()];
        let mut output = Vec::new();
        let bar = ProgressBar::hidden();
        let city = "dublin".to_owned();
        let mut printer = Printer::new(&mut output, city, stations, bar).quiet(quiet);
        for answer in answers {
            printer.answer(answer).unwrap();
        }
        let duplicates = printer.finish().unwrap();
        (String::from_utf8(output).unwrap(), duplicates)
    }

    #[test]
    fn a_change_is_printed_with_its_sign_station_and_city() {
        let answers = [accepted(0, 1, 3), accepted(1, 1, 0), accepted(1, 2, -2)];
        let lines = "+3 Fenian_Street (dublin)\n-2 St._Stephen'S (dublin)\n";
        assert_eq!(printed(&answers, false), (lines.to_owned(), 0));
    }

    #[test]
    fn a_quiet_printer_prints_nothing_and_notices_duplicates() {
        let answers = [accepted(0, 1, 3), accepted(1, 1, 3), accepted(0, 1, 3)];
        assert_eq!(printed(&answers, true), (String::new(), 1));
    }

    #[test]
    fn no_line_is_lost_between_pages() {
        let answers: Vec<_> = (0..2_000)
            .map(|sequence| accepted(0, sequence, 1))
            .collect();
        let (lines, duplicates) = printed(&answers, false);
        assert_eq!((lines.lines().count(), duplicates), (2_000, 0));
    }
}
