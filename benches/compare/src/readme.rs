//! The block of the README that shows a run: written between two markers, never by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::machine::Machine;
use crate::plot::{of_group, shortened};
use crate::report::{Report, scaling};
use crate::rivals::Rival;
use crate::row::Group;

const BEGIN: &str = "<!-- speed: begin -->\n";
const END: &str = "<!-- speed: end -->\n";

/// Replaces what is between the markers.
pub(crate) fn rewrite(path: &Path, machine: &Machine, reports: &[Report]) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let (before, rest) = text.split_once(BEGIN).context("it has no first marker")?;
    let (_, after) = rest.split_once(END).context("it has no last marker")?;
    let block = block(machine, reports)?;
    Ok(fs::write(
        path,
        format!("{before}{BEGIN}{block}{END}{after}"),
    )?)
}

fn block(machine: &Machine, reports: &[Report]) -> Result<String> {
    let mut block = format!("Medians, on {machine}.\n\n");
    writeln!(
        block,
        "| | unit | pushsub | best rival | ceiling | over the rival | over the ceiling |"
    )?;
    writeln!(block, "|---|---|---|---|---|---|---|")?;
    for report in reports {
        line(&mut block, report)?;
    }
    writeln!(block)?;
    for report in reports {
        services(&mut block, report)?;
    }
    for cost in scaling(reports) {
        if cost.starts_with("pushsub") {
            writeln!(block, "- {cost}")?;
        }
    }
    writeln!(block)?;
    for group in Group::ALL {
        if of_group(reports, group).next().is_some() {
            let (title, name) = (group.title(), group.name());
            writeln!(block, "![{title}](benches/plots/{name}.svg)")?;
        }
    }
    writeln!(block)?;
    Ok(block)
}

/// What calls of services come to in a row where others are called too.
fn services(block: &mut String, report: &Report) -> Result<()> {
    let others = report.rivals(Rival::is_rpc);
    if others.is_empty() || report.rivals(|rival| rival == Rival::Service).is_empty() {
        return Ok(());
    }
    let column = &report.columns()[0];
    let show = |rival| {
        let median = shortened(report.spread(rival, column).median);
        format!("{median} ({})", rival.name())
    };
    let all = std::iter::once(Rival::Service).chain(others).map(show);
    let all = all.collect::<Vec<_>>().join(", ");
    let row = report.row.about;
    writeln!(
        block,
        "- calls of a service, {row}, {}: {all}",
        column.title
    )?;
    Ok(())
}

/// One row: our best flavour beside theirs. Ratios are merits: above 1 is better, whatever the unit.
fn line(block: &mut String, report: &Report) -> Result<()> {
    let is_socket = |rival: Rival| rival.is_ours() && rival != Rival::Service;
    let Some(ours) = report.best(is_socket) else {
        return Ok(());
    };
    let column = &report.columns()[0];
    let show = |rival: Option<Rival>| match rival {
        Some(rival) => {
            let median = shortened(report.spread(rival, column).median);
            format!("{median} ({})", rival.name())
        }
        None => "–".into(),
    };
    let over = |other: Option<Rival>| match other {
        Some(other) => format!("{:.2} ×", report.ratio(ours, other).median),
        None => "–".into(),
    };
    let (rival, ceiling) = (report.best_rival(), report.best(Rival::is_ceiling));
    writeln!(
        block,
        "| {} | {} | {} | {} | {} | {} | {} |",
        report.row.about,
        column.title,
        show(Some(ours)),
        show(rival),
        show(ceiling),
        over(rival),
        over(ceiling),
    )?;
    Ok(())
}
