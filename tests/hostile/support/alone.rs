//! Runs a test in a process of its own, where memory and descriptors are its alone.

use std::process::Command;

use super::Result;
use super::tally::Row;

const ALONE: &str = "PUSHSUB_HOSTILE_ALONE";

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
    let cases = told.lines().find_map(|line| line.strip_prefix("alone "));
    let result = if output.status.success() {
        Ok(())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}\n{told}\n{errors}", output.status).into())
    };
    for _ in 1..cases.map_or(1, |cases| cases.parse().unwrap_or(1)) {
        counted.held(1);
    }
    counted.note(path, result);
    counted.finish()
}
