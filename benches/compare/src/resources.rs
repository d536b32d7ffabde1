//! What this process has used, as Linux counts it: processor time and memory.

use std::fs;

use anyhow::{Context, Result};

/// `USER_HZ`: 100 on every Linux that shows times to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds in user and in kernel mode, of all threads that live or have lived.
pub(crate) fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("processor time needs Linux")?;
    // The program's name, in parentheses, may hold spaces: fields are counted after it.
    let fields = stat.rsplit(')').next().unwrap_or("");
    let ticks = |field: usize| -> Result<f64> {
        let text = fields
            .split_whitespace()
            .nth(field)
            .context("a field of /proc/self/stat")?;
        Ok(text.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// KiB that are in memory, but for files: the program's code comes in as it first runs, which is no
/// peer's doing.
pub(crate) fn resident() -> Result<f64> {
    kibibytes("RssAnon:")
}

/// The most KiB that ever were in memory.
pub(crate) fn peak() -> Result<f64> {
    kibibytes("VmHWM:")
}

fn kibibytes(name: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("memory needs Linux")?;
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("a line of /proc/self/status")?.parse()?)
}
