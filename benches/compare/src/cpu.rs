//! The processor time that this process has used, as Linux counts it.

use std::fs;

use anyhow::{Context, Result};

/// `USER_HZ`: 100 on every Linux that shows times to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds in user and in kernel mode, of all threads that live or have lived.
pub(crate) fn seconds() -> Result<f64> {
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
