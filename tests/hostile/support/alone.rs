//! Runs a test in a process of its own, where memory and descriptors are its alone.

use std::process::Command;

use super::Result;
use super::tally::Row;

const ALONE: &str = "PUSHSUB_HOSTILE_ALONE";

/// How a line begins that the child prints and the parent is to repeat.
pub(crate) const FIGURE: &str = "figure: ";

/// Whether this process is the one of the test.
pub(crate) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs `body` in a child process, in which the test of this path is the only one. `limits` are
/// commands of a shell that come before it, such as `ulimit -n 64`.
pub(crate) fn alone(
    row: &'static str,
    path: &str,
    limits: &str,
    body: impl FnOnce(&mut Row) -> Result,
) -> Result {
    let mut counted = Row::new(row);
    if is_alone() {
        let result = body(&mut counted);
        println!("alone {}", counted.cases());
        if let Err(error) = result {
            counted.note(path, Err(error));
        }
        return counted.finish();
    }
    let program = std::env::current_exe()?;
    let script = format!("{limits}\nexec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .args([path, "--exact", "--nocapture", "--include-ignored"])
        .env(ALONE, "1")
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let figures = told.lines().filter(|line| line.starts_with(FIGURE));
    figures.for_each(|line| println!("{line}"));
    // The harness may have begun a line of its own.
    let cases = told.lines().find_map(|line| line.rsplit_once("alone "));
    let cases = cases.and_then(|(_, cases)| cases.parse::<usize>().ok());
    let result = match cases {
        Some(_) if output.status.success() => Ok(()),
        // The harness is content with no test at all.
        None if output.status.success() => Err(format!("{path} was not run:\n{told}").into()),
        _ => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}\n{told}\n{errors}", output.status).into())
        }
    };
    counted.held(cases.unwrap_or(1).saturating_sub(1));
    counted.note(path, result);
    counted.finish()
}
