//! Horizontal bars as SVG: one file for each group of rows, a median with its spread for each rival.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::report::Report;
use crate::rivals::Rival;
use crate::row::Group;

/// All lengths are in pixels.
const WIDTH: f64 = 820.0;
const LEFT: f64 = 140.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 13.0;
const STEP: f64 = 18.0;
const HEAD: f64 = 44.0;
const TITLE: f64 = 34.0;

const OURS: &str = "#1f6feb";
const THEIRS: &str = "#9a6700";
const CEILING: &str = "#8c959f";

/// Writes a file for each group that has a row among these.
pub(crate) fn draw_all(reports: &[Report], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for group in Group::ALL {
        let rows: Vec<_> = of_group(reports, group).collect();
        if !rows.is_empty() {
            let path = folder.join(format!("{}.svg", group.name()));
            fs::write(path, draw(group, &rows)?)?;
        }
    }
    Ok(())
}

/// The rows of this group.
pub(crate) fn of_group(reports: &[Report], group: Group) -> impl Iterator<Item = &Report> {
    let is_in = move |report: &&Report| report.row.group == group;
    reports.iter().filter(is_in)
}

fn draw(group: Group, rows: &[&Report]) -> Result<String> {
    let mut body = String::new();
    let mut top = TITLE;
    for row in rows {
        top = draw_row(&mut body, row, top)?;
    }
    let height = top + 30.0;
    let mut image = String::new();
    writeln!(
        image,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#1f2328">"##
    )?;
    writeln!(image, "<title>{}</title>", group.title())?;
    writeln!(
        image,
        r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##
    )?;
    let title = group.title();
    writeln!(
        image,
        r#"<text x="12" y="24" font-size="16" font-weight="bold">{title}</text>"#
    )?;
    image.push_str(&body);
    let legend = [(OURS, "pushsub"), (THEIRS, "rivals"), (CEILING, "ceilings")];
    for (place, (colour, who)) in legend.into_iter().enumerate() {
        let (x, y) = (LEFT + 110.0 * place as f64, top + 8.0);
        let (beside, below) = (x + 18.0, y + 11.0);
        writeln!(
            image,
            r#"<rect x="{x}" y="{y}" width="13" height="13" fill="{colour}"/><text x="{beside}" y="{below}">{who}</text>"#
        )?;
    }
    image.push_str("</svg>\n");
    Ok(image)
}

/// Draws below `top`. Returns where the next row may begin.
fn draw_row(body: &mut String, report: &Report, top: f64) -> Result<f64> {
    let column = &report.columns()[0];
    let rivals = report.rivals(|_| true);
    let spread = |rival: &Rival| report.spread(*rival, column);
    let most = rivals.iter().map(|rival| spread(rival).highest);
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let better = if report.counts_down() {
        "less is better"
    } else {
        "more is better"
    };
    let (about, unit, baseline) = (report.row.about, column.title, top + 26.0);
    writeln!(
        body,
        r##"<text x="12" y="{baseline}" font-weight="bold">{about}</text><text x="{}" y="{baseline}" text-anchor="end" fill="#59636e">{unit}, {better}</text>"##,
        WIDTH - 12.0
    )?;
    let mut y = top + HEAD - 10.0;
    for rival in &rivals {
        let values = spread(rival);
        let x = |value: f64| LEFT + value / most * (WIDTH - LEFT - RIGHT);
        let (length, end) = (x(values.median) - LEFT, x(values.highest));
        let (low, middle, text) = (x(values.lowest), y + BAR / 2.0, y + BAR - 2.0);
        let (name, colour) = (rival.name(), colour(*rival));
        writeln!(
            body,
            r#"<text x="{}" y="{text}" text-anchor="end">{name}</text><rect x="{LEFT}" y="{y}" width="{length:.1}" height="{BAR}" fill="{colour}"/>"#,
            LEFT - 8.0
        )?;
        writeln!(
            body,
            r##"<path d="M{low:.1} {middle}H{end:.1}" stroke="#1f2328" stroke-width="1.5"/><text x="{:.1}" y="{text}">{}</text>"##,
            end + 6.0,
            shortened(values.median)
        )?;
        y += STEP;
    }
    Ok(y)
}

fn colour(rival: Rival) -> &'static str {
    if rival.is_ours() {
        OURS
    } else if rival.is_ceiling() {
        CEILING
    } else {
        THEIRS
    }
}

/// With three digits that count.
pub(crate) fn shortened(value: f64) -> String {
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}
