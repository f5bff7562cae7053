//! The figures of a replay for people.

use super::outcome::Outcome;
use comfy_table::{Cell, CellAlignment, Table, presets};
use phoenix_engine::report::MetricFigures;
use std::fmt::Write;

/// The whole page.
pub fn render(outcome: &Outcome, top: usize) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut page, outcome);
    let _ = write!(page, "\n{}", volume(outcome));
    if !outcome.prices.is_empty() {
        let prices = crate::prices::page(&outcome.prices);
        let _ = write!(page, "\nWhat it is worth\n{prices}");
    }
    let _ = write!(page, "\nLedger\n{}", ledger(outcome));
    if !outcome.figures.stages.is_empty() {
        let _ = write!(page, "\nStages\n{}", stages(outcome));
    }
    let changed = changed(&outcome.figures.metrics);
    if changed.is_empty() {
        let _ = writeln!(page, "\nNo metric changed.");
    } else {
        let shown = changed.len().min(top);
        let _ = writeln!(
            page,
            "\nMetrics that changed most ({shown} of {}; {} unchanged)\n{}",
            changed.len(),
            outcome.figures.metrics.len() - changed.len(),
            metrics(&changed[..shown])
        );
    }
    page
}

fn head(page: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let pipeline = &outcome.pipeline;
    let hash = pipeline.hash.get(..12).unwrap_or_default();
    writeln!(page, "Pipeline  {} ({hash})", pipeline.name)?;
    for path in &outcome.captures {
        writeln!(page, "Capture   {}", path.display())?;
    }
    let seconds = outcome.ended.saturating_sub(outcome.began) / 1_000_000_000;
    let took = outcome.took.as_secs_f64();
    writeln!(
        page,
        "Replayed  {} messages, {seconds} s of event time, in {took:.2} s",
        grouped(outcome.messages)
    )?;
    if let Some(reason) = &outcome.rejected.first {
        writeln!(
            page,
            "Rejected  {} points; the first: {reason}",
            grouped(outcome.ledger().rejected)
        )?;
    }
    if outcome.figures.identity_conflicts > 0 {
        writeln!(
            page,
            "Conflicts {} outputs met a passing series of the same identity: rename the output, or match those series, too",
            grouped(outcome.figures.identity_conflicts)
        )?;
    }
    Ok(())
}

fn volume(outcome: &Outcome) -> String {
    let mut table = new(&["", "received", "exported", "cut"], 1);
    let ledger = outcome.ledger();
    let figures = &outcome.figures;
    for (name, before, after) in [
        ("points", Some(ledger.received), Some(ledger.exported)),
        (
            "series",
            Outcome::series(&figures.series_in),
            Outcome::series(&figures.series_out),
        ),
        ("bytes", Some(outcome.bytes_in), Some(outcome.bytes_out)),
        (
            "samples",
            outcome.samples.map(|(came, _)| came),
            outcome.samples.map(|(_, left)| left),
        ),
    ] {
        if name == "samples" && before.is_none() {
            continue;
        }
        row(
            &mut table,
            1,
            vec![name.into(), known(before), known(after), cut(before, after)],
        );
    }
    let protected = figures.protected;
    if protected.points_in > 0 {
        row(
            &mut table,
            1,
            vec![
                "protected points".into(),
                grouped(protected.points_in),
                grouped(protected.points_out),
                cut(Some(protected.points_in), Some(protected.points_out)),
            ],
        );
    }
    draw(table)
}

fn ledger(outcome: &Outcome) -> String {
    let ledger = outcome.ledger();
    let mut table = new(&["", "points", "of received"], 1);
    let mut line = |name: String, points: i64| {
        let share = if ledger.received == 0 {
            "-".into()
        } else {
            format!("{:.1} %", 100.0 * points as f64 / ledger.received as f64)
        };
        row(&mut table, 1, vec![name, signed(points), share]);
    };
    let signed = |points: u64| i64::try_from(points).unwrap_or(i64::MAX);
    line("received".into(), signed(ledger.received));
    line("= exported".into(), signed(ledger.exported));
    for (name, points) in [
        ("+ filtered", signed(ledger.filtered)),
        ("+ merged", ledger.merged),
        ("+ sampled out", signed(ledger.sampled_out)),
        ("+ suppressed", signed(ledger.suppressed)),
        ("+ rejected", signed(ledger.rejected)),
        ("+ held", ledger.held),
    ] {
        if points != 0 {
            line(name.into(), points);
        }
    }
    for (reason, points) in &ledger.dropped {
        line(format!("+ dropped: {reason}"), signed(*points));
    }
    if ledger.imbalance() != 0 {
        line(
            "! unexplained".into(),
            i64::try_from(ledger.imbalance()).unwrap_or(i64::MAX),
        );
    }
    draw(table)
}

fn stages(outcome: &Outcome) -> String {
    let mut table = new(
        &[
            "id",
            "kind",
            "points in",
            "out",
            "series in",
            "out",
            "absorbed",
            "emitted",
            "rules and notes",
        ],
        2,
    );
    for stage in &outcome.figures.stages {
        let notes: Vec<String> = stage
            .counts
            .iter()
            .map(|(name, count)| format!("{name} {}", grouped(*count)))
            .collect();
        let mut cells = vec![
            stage.id.clone(),
            stage.kind.clone(),
            grouped(stage.points_in),
            grouped(stage.points_out),
            grouped(stage.series_in),
            grouped(stage.series_out),
            grouped(stage.absorbed),
            grouped(stage.emitted),
        ];
        cells.push(notes.join("\n"));
        let mut cells = aligned(2, cells);
        if let Some(last) = cells.pop() {
            cells.push(last.set_alignment(CellAlignment::Left));
        }
        table.add_row(cells);
    }
    draw(table)
}

/// Metrics whose points or series are not as they were, most points changed first.
fn changed(metrics: &[MetricFigures]) -> Vec<&MetricFigures> {
    let points = |m: &MetricFigures| m.points_in.abs_diff(m.points_out);
    let series = |m: &MetricFigures| m.series_in.abs_diff(m.series_out);
    let mut changed: Vec<&MetricFigures> = metrics
        .iter()
        .filter(|m| points(m) + series(m) > 0)
        .collect();
    changed.sort_by(|a, b| (points(b), series(b), &a.name).cmp(&(points(a), series(a), &b.name)));
    changed
}

fn metrics(metrics: &[&MetricFigures]) -> String {
    let mut table = new(
        &[
            "metric",
            "points in",
            "out",
            "cut",
            "series in",
            "out",
            "cut",
        ],
        1,
    );
    for m in metrics {
        let cells = vec![
            m.name.clone(),
            grouped(m.points_in),
            grouped(m.points_out),
            cut(Some(m.points_in), Some(m.points_out)),
            grouped(m.series_in),
            grouped(m.series_out),
            cut(Some(m.series_in), Some(m.series_out)),
        ];
        row(&mut table, 1, cells);
    }
    draw(table)
}

/// The table without the blanks at the ends of its lines.
fn draw(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// A table whose columns from `texts` on are numbers.
fn new(header: &[&str], texts: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(aligned(
        texts,
        header.iter().map(ToString::to_string).collect(),
    ));
    table
}

fn row(table: &mut Table, texts: usize, cells: Vec<String>) {
    table.add_row(aligned(texts, cells));
}

fn aligned(texts: usize, cells: Vec<String>) -> Vec<Cell> {
    let align = |(index, text): (usize, String)| {
        let cell = Cell::new(text);
        if index < texts {
            cell
        } else {
            cell.set_alignment(CellAlignment::Right)
        }
    };
    cells.into_iter().enumerate().map(align).collect()
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| "-".into(), grouped)
}

/// Share that is gone; negative where there is more than before.
fn cut(before: Option<u64>, after: Option<u64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before > 0 => {
            let cut = 100.0 * (1.0 - after as f64 / before as f64);
            // No minus before a zero.
            format!("{:.1} %", if cut.abs() < 0.05 { 0.0 } else { cut })
        }
        _ => "-".into(),
    }
}

fn signed(number: i64) -> String {
    let digits = grouped(number.unsigned_abs());
    if number < 0 {
        format!("-{digits}")
    } else {
        digits
    }
}

/// `1234567` as `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_cuts_are_shares() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(signed(-1_000), "-1 000");
        assert_eq!(cut(Some(200), Some(50)), "75.0 %");
        assert_eq!(cut(Some(100), Some(110)), "-10.0 %");
        assert_eq!(cut(Some(1_000_000), Some(1_000_001)), "0.0 %");
        assert_eq!(cut(Some(0), Some(1)), "-");
        assert_eq!(cut(None, Some(1)), "-");
    }
}
