//! What is read, and what is refused with which words.

use super::*;

/// The readings, changes and changes to 0, counted with nothing but a loop.
pub(crate) fn naive_counts(readings: &Readings) -> (usize, usize, usize) {
    let (mut changes, mut empty) = (0, 0);
    for station in 0..readings.stations().len() {
        for sequence in 1..readings.rows() {
            let value = readings.value(station, sequence);
            if value != readings.value(station, sequence - 1) {
                changes += 1;
                empty += usize::from(value == 0);
            }
        }
    }
    (readings.len(), changes, empty)
}

/// The real day, where the environment says it is.
pub(crate) fn real_day() -> Option<Readings> {
    let file = "dublin-bikes-2015-10-08.csv";
    let path =
        std::env::var_os("PUSHSUB_DATA").map(|directory| PathBuf::from(directory).join(file));
    match path.filter(|path| path.exists()) {
        Some(path) => Some(Readings::read(&path).unwrap()),
        None if std::env::var_os("PUSHSUB_REQUIRE_ALL").is_some_and(|value| value == "1") => {
            panic!("{file} is not there: set PUSHSUB_DATA to its directory")
        }
        None => {
            println!("SKIPPED: {file} is not there: set PUSHSUB_DATA to its directory");
            None
        }
    }
}

fn fault(octets: impl AsRef<[u8]>) -> String {
    Readings::parse(octets.as_ref()).unwrap_err().to_string()
}

#[track_caller]
fn assert_fault(octets: impl AsRef<[u8]>, place: &str, what: &str) {
    let fault = fault(octets);
    assert!(fault.starts_with(place), "{fault}");
    assert!(fault.contains(what), "{fault}");
}

#[test]
fn values_are_read_row_after_row() {
    let readings = Readings::parse(b"time,a,b\n1,5,0\n2,6,-1\n").unwrap();
    assert_eq!(readings.stations(), ["a", "b"]);
    assert_eq!((readings.len(), readings.rows()), (4, 2));
    assert_eq!((readings.value(0, 1), readings.value(1, 1)), (6, -1));
    assert_eq!(readings.place(3), (1, 1));
}

#[test]
fn line_ends_spaces_quotes_blank_last_rows_and_a_byte_order_mark_change_nothing() {
    let plain = Readings::parse(b"time,a,b/'x'\n1,5,0\n2,6,1").unwrap();
    for text in [
        "time,a,b/'x'\r\n1,5,0\r\n2,6,1\r\n",
        "\u{feff}time,a,b/'x'\n1,5,0\n2,6,1\n",
        "time, a ,b/'x'\n1, 5,0\n2,6,+1\n\n  \n\r\n",
        "\"time\",\"a\",\"b/'x'\"\n\"1\",\"5\",0\n2,6,1\n",
    ] {
        assert_eq!(Readings::parse(text.as_bytes()).unwrap(), plain, "{text:?}");
    }
    let comma = Readings::parse(b"time,\"a, north\"\n1,5\n").unwrap();
    assert_eq!(comma.stations(), ["a, north"]);
}

#[test]
fn a_missing_file_and_a_directory_are_named() {
    let missing = Readings::read(Path::new("no/such/day.csv")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "no/such/day.csv: there is no such file: check the path"
    );
    let directory = Readings::read(Path::new("src")).unwrap_err();
    assert!(
        directory
            .to_string()
            .starts_with("src: the file cannot be read")
    );
}

#[test]
fn a_file_of_nothing_is_empty() {
    for text in ["", "\n", "\r\n \n", "\u{feff}"] {
        assert_fault(text, "row 1, column `time`", "the file is empty");
    }
}

#[test]
fn the_first_column_is_time() {
    assert_fault("Time,a\n1,2\n", "row 1, column 1", "`Time`, not `time`");
    assert_fault("a,time\n1,2\n", "row 1, column 1", "`a`");
    assert_fault("\n\ntime,a\n1,2\n", "row 1", "blank");
    assert_fault(b"\xff\xfet\0i\0m\0e\0", "row 1, column 1", "not `time`");
}

#[test]
fn a_header_without_stations_or_readings_is_refused() {
    assert_fault("time\n1\n", "row 1, column 2", "no station");
    assert_fault("time,a\n", "row 2, column `time`", "no readings");
    assert_fault("time,a", "row 2, column `time`", "no readings");
}

#[test]
fn columns_have_names_of_their_own() {
    assert_fault(
        "time,a,b,a\n1,2,3,4\n",
        "row 1, column 4",
        "`a` is the name of column 2",
    );
    assert_fault("time,a,time\n1,2,3\n", "row 1, column 3", "column 1");
    assert_fault("time,a,\n1,2,3\n", "row 1, column 3", "no name");
    assert_fault("time,\"a\n1,2\n", "row 1, column 2", "quote left open");
    assert_fault("time,a\u{1b}[2J\n1,2\n", "row 1, column 2", "\\u{1b}");
    let long = format!("time,{}\n1,2\n", "a".repeat(LONGEST_NAME + 1));
    assert_fault(long, "row 1, column 2", "aaa…`");
}

#[test]
fn a_ragged_row_is_refused() {
    assert_fault(
        "time,a,b\n1,2,3\n2,3\n",
        "row 3, column `b`",
        "2 cells where the header has 3",
    );
    assert_fault(
        "time,a,b\n1,2,3,4\n",
        "row 2, column 4",
        "`b`, and the row has 4 cells",
    );
    assert_fault("time,a,b\n1,2,3,\n", "row 2, column 4", "4 cells");
    assert_fault("time,a\r\n1,2\r\n\r\n3,4\r\n", "row 3", "blank: remove it");
}

#[test]
fn a_blank_cell_is_refused() {
    assert_fault("time,a,b\n1,2,3\n2,,3\n", "row 3, column `a`", "blank");
    assert_fault("time,a,b\n1,2, \n", "row 2, column `b`", "blank");
    assert_fault("time,a,b\n,2,3\n", "row 2, column `time`", "blank");
    assert_fault("time,a\n1,\"\"\n", "row 2, column `a`", "blank");
}

#[test]
fn a_cell_that_is_no_whole_number_is_refused() {
    for cell in [
        "x",
        "1.0",
        "1e3",
        "0x1",
        "1 2",
        "NaN",
        "9223372036854775808",
        "\"1,000\"",
    ] {
        assert_fault(
            format!("time,a\r\n1,2\r\n2,{cell}\r\n"),
            "row 3, column `a`",
            "not a whole number",
        );
    }
    let beyond = (LARGEST_VALUE + 1).to_string();
    assert_fault(format!("time,a\n1,{beyond}"), "row 2, column `a`", &beyond);
}

#[test]
fn rows_are_counted_as_an_editor_does() {
    assert_fault("time,a\n\"1\n1\",2\n2,x\n", "row 4, column `a`", "`x`");
    for end in ["\n", "\r\n", "\r"] {
        let text = ["\u{feff}time,a", "1,2", "\"2\",3", "3,x", "4,5"].join(end);
        assert_fault(text, "row 4, column `a`", "`x`");
    }
}

#[test]
fn what_is_not_utf_8_is_refused() {
    assert_fault(b"time,a\n1,\xff\n", "row 2, column `a`", "UTF-8");
    assert_fault(b"time,a\xff\n1,2\n", "row 1, column `2`", "UTF-8");
    assert_fault(b"time,a\n\xff,2\n", "row 2, column `time`", "UTF-8");
}

#[test]
fn the_extremes_have_a_difference() {
    let text = format!("time,a\n1,{LARGEST_VALUE}\n2,-{LARGEST_VALUE}\n");
    let readings = Readings::parse(text.as_bytes()).unwrap();
    let change = readings.value(0, 1).checked_sub(readings.value(0, 0));
    assert!(change.is_some());
}

#[test]
fn the_sample_is_always_the_same_and_has_all_there_is_to_see() {
    let sample = Readings::sample();
    assert_eq!(sample, Readings::sample());
    let (readings, changes, empty) = naive_counts(&sample);
    assert_eq!((readings, changes, empty), (17_280, 4_586, 228));
}

#[test]
fn the_real_day_has_the_counts_it_is_known_for() {
    if let Some(day) = real_day() {
        assert_eq!(naive_counts(&day), (72_417, 22_514, 3_229));
    }
}
