//! The readings of a day: a CSV file checked whole before anything is pushed, or a sample made here.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use csv::ByteRecord;

/// What a station's name may be long, in octets: it is a key on the wire.
const LONGEST_NAME: usize = 1_000;
/// Beyond this the difference of two readings would not fit.
const LARGEST_VALUE: i64 = i64::MAX / 2;

/// The values of all stations, row after row as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readings {
    stations: Vec<String>,
    /// As many as there are stations, for each row.
    values: Vec<i64>,
}

/// Why a file is not pushed. Nothing was.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub(crate) struct ReadingsError {
    path: PathBuf,
    fault: Fault,
}

/// What is wrong with a file, where, and what to do. Rows count from 1, as an editor counts them.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("there is no such file: check the path")]
    Missing,
    #[error("the file cannot be read ({0}): check what it is and who may read it")]
    Unreadable(io::Error),
    #[error(
        "row 1, column `time`: the file is empty: the first row must be `time` and the names of \
         the stations"
    )]
    Empty,
    #[error(
        "row 1, column 1: the first column is {found}, not `time`: put the column of times first \
         and name it `time`"
    )]
    NotTime { found: String },
    #[error("row 1, column 2: no station follows `time`: add one column a station")]
    NoStation,
    #[error(
        "row 1, column {column}: {found} is no name for a station: a name has 1 to {LONGEST_NAME} \
         octets and no control characters (is a quote left open?)"
    )]
    Name { column: usize, found: String },
    #[error(
        "row 1, column {column}: `{name}` is the name of column {before} too: rename or remove \
         one of them"
    )]
    Duplicate {
        name: String,
        before: usize,
        column: usize,
    },
    #[error("row 2, column `time`: the file has no readings: add at least one row of them")]
    NoReadings,
    #[error("row {row}, column `time`: the row is blank: remove it")]
    BlankRow { row: u64 },
    #[error(
        "row {row}, column `{column}`: the row ends before it, with {found} cells where the header \
         has {expected}: complete the row or remove it"
    )]
    Short {
        row: u64,
        column: String,
        found: usize,
        expected: usize,
    },
    #[error(
        "row {row}, column {}: the header ends with column {expected}, `{last}`, and the row has \
         {found} cells: remove what is too many, or name it in the header", expected + 1
    )]
    Long {
        row: u64,
        last: String,
        found: usize,
        expected: usize,
    },
    #[error("row {row}, column `{column}`: the cell is blank: fill it in or remove the row")]
    Blank { row: u64, column: String },
    #[error("row {row}, column `{column}`: the text is not UTF-8: save the file as UTF-8")]
    NotUtf8 { row: u64, column: String },
    #[error(
        "row {row}, column `{column}`: {found} is not a whole number within ±{LARGEST_VALUE}: \
         correct the cell or remove the row"
    )]
    NotWhole {
        row: u64,
        column: String,
        found: String,
    },
}

impl Readings {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ReadingsError> {
        let octets = fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::Missing,
            _ => Fault::Unreadable(error),
        });
        octets
            .and_then(|octets| Self::parse(&octets))
            .map_err(|fault| ReadingsError {
                path: path.to_owned(),
                fault,
            })
    }

    /// A made-up day, the same each time.
    pub(crate) fn sample() -> Self {
        const ROWS: usize = 720;
        let mut random = Random(0x0dd_b1ce5);
        let mut bikes: Vec<(i64, i64)> = Vec::new();
        for _ in SAMPLE_STATIONS {
            let docks = 12 + random.below(24);
            bikes.push((random.below(docks), docks));
        }
        let mut values = Vec::with_capacity(ROWS * SAMPLE_STATIONS.len());
        for _ in 0..ROWS {
            for (available, docks) in &mut bikes {
                if random.below(3) == 0 {
                    *available = (*available + random.below(7) - 3).clamp(0, *docks);
                }
                values.push(*available);
            }
        }
        Self {
            stations: SAMPLE_STATIONS.map(str::to_owned).to_vec(),
            values,
        }
    }

    /// Made by hand; `values` row after row.
    #[cfg(test)]
    pub(crate) fn of(stations: &[&str], values: &[i64]) -> Self {
        Self {
            stations: stations.iter().map(|&name| name.to_owned()).collect(),
            values: values.to_vec(),
        }
    }

    fn parse(octets: &[u8]) -> Result<Self, Fault> {
        let octets = without_margins(octets)?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(octets);
        let mut record = ByteRecord::new();
        read_record(&mut reader, &mut record)?;
        let columns = header(&record)?;
        let mut values = Vec::new();
        let mut editor = Editor {
            octets,
            at: 0,
            row: 1,
        };
        while read_record(&mut reader, &mut record)? {
            append(&columns, &record, editor.row_of(&record), &mut values)?;
        }
        if values.is_empty() {
            return Err(Fault::NoReadings);
        }
        let stations = columns.into_iter().skip(1).collect();
        Ok(Self { stations, values })
    }

    /// How many there are, of all stations.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many each station has.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.stations.len()
    }

    /// The names of the stations, in the order of the file.
    pub(crate) fn stations(&self) -> &[String] {
        &self.stations
    }

    /// The value of a station's reading.
    ///
    /// # Panics
    ///
    /// Where there is no such station or reading.
    pub(crate) fn value(&self, station: usize, sequence: usize) -> i64 {
        self.values[sequence * self.stations.len() + station]
    }

    /// The station and sequence of a reading, counted in file order.
    pub(crate) fn place(&self, index: usize) -> (usize, usize) {
        (index % self.stations.len(), index / self.stations.len())
    }
}

/// The text without a byte order mark and without blank rows at its end.
///
/// A blank row before the end is an error here, because the CSV reader skips
/// it and would then count its rows differently from an editor.
fn without_margins(octets: &[u8]) -> Result<&[u8], Fault> {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let octets = octets.trim_ascii_end();
    if octets.is_empty() {
        return Err(Fault::Empty);
    }
    let blank = |line: &[u8]| line.trim_ascii().is_empty();
    match (1..)
        .zip(octets.split(|&o| o == b'\n'))
        .find(|(_, line)| blank(line))
    {
        Some((row, _)) => Err(Fault::BlankRow { row }),
        None => Ok(octets),
    }
}

fn read_record(reader: &mut csv::Reader<&[u8]>, record: &mut ByteRecord) -> Result<bool, Fault> {
    reader
        .read_byte_record(record)
        .map_err(|error| Fault::Unreadable(error.into()))
}

/// The names of all columns, `time` first.
fn header(record: &ByteRecord) -> Result<Vec<String>, Fault> {
    let first = record.get(0).unwrap_or_default();
    if first != b"time" {
        let found = quoted(first);
        return Err(Fault::NotTime { found });
    }
    if record.len() == 1 {
        return Err(Fault::NoStation);
    }
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(record.len());
    for (column, cell) in (1..).zip(record) {
        let name = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8 {
            row: 1,
            column: column.to_string(),
        })?;
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
            let found = quoted(cell);
            return Err(Fault::Name { column, found });
        }
        if let Some(before) = seen.insert(name.to_owned(), column) {
            return Err(Fault::Duplicate {
                name: name.to_owned(),
                before,
                column,
            });
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Counts rows as an editor does.
///
/// The CSV reader's own count is one behind after `\r\n`, of which it has read
/// only the first half when a record ends.
struct Editor<'a> {
    octets: &'a [u8],
    /// The octet up to which rows were counted.
    at: usize,
    row: u64,
}

impl Editor<'_> {
    /// The row in which a record starts; records are asked for in order.
    fn row_of(&mut self, record: &ByteRecord) -> u64 {
        let start = record.position().map_or(0, csv::Position::byte);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        while let Some(octet) = self.octets.get(self.at)
            && (self.at < start || octet.is_ascii_whitespace())
        {
            let next = self.octets.get(self.at + 1);
            self.row += u64::from(*octet == b'\n' || *octet == b'\r' && next != Some(&b'\n'));
            self.at += 1;
        }
        self.row
    }
}

/// Appends the values of one row.
fn append(
    columns: &[String],
    record: &ByteRecord,
    row: u64,
    values: &mut Vec<i64>,
) -> Result<(), Fault> {
    let (found, expected) = (record.len(), columns.len());
    if found < expected {
        return Err(Fault::Short {
            row,
            column: columns[found].clone(),
            found,
            expected,
        });
    }
    if found > expected {
        return Err(Fault::Long {
            row,
            last: columns[expected - 1].clone(),
            found,
            expected,
        });
    }
    for (index, (column, cell)) in columns.iter().zip(record).enumerate() {
        let column = || column.clone();
        let Ok(text) = std::str::from_utf8(cell) else {
            return Err(Fault::NotUtf8 {
                row,
                column: column(),
            });
        };
        if text.is_empty() {
            return Err(Fault::Blank {
                row,
                column: column(),
            });
        }
        // What a time looks like is nobody's business here: it is never pushed.
        if index == 0 {
            continue;
        }
        match text.parse::<i64>() {
            Ok(value) if (-LARGEST_VALUE..=LARGEST_VALUE).contains(&value) => values.push(value),
            _ => {
                return Err(Fault::NotWhole {
                    row,
                    column: column(),
                    found: quoted(cell),
                });
            }
        }
    }
    Ok(())
}

/// The beginning of a cell, fit for a terminal.
fn quoted(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    let start: String = text.chars().take(30).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", start.escape_debug())
}

const SAMPLE_STATIONS: [&str; 24] = [
    "Abbey_Gate",
    "Botanic_Lane",
    "Castle_Yard",
    "Docklands",
    "East_Pier",
    "Ferry_Steps",
    "Granary_Row",
    "Harbour_Light",
    "Iron_Bridge",
    "Jubilee_Park",
    "King's_Well",
    "Library_Square",
    "Market_Cross",
    "North_Wall",
    "Old_Brewery",
    "Poplar_Walk",
    "Quarry_Hill",
    "Ropewalk",
    "St._Anne's",
    "Tramway_End",
    "University",
    "Victoria_Baths",
    "Weir_View",
    "Yew_Tree_Corner",
];

/// SplitMix64: enough for a sample, and the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 to less than the limit.
    pub(crate) fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 1) as i64) % limit
    }
}

#[cfg(test)]
#[path = "readings_tests.rs"]
pub(crate) mod tests;
