//! Page balance: how often each band is judged, read and held out, what the recipe wants, and each reader's share.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::scrolled;
use crate::domain::one_line;
use crate::domain::recipe::OrderStrategy;
use crate::engine::DatasetIndex;
use crate::tui::tabs::Look;
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::{bar, pane, text};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, index: &DatasetIndex) {
    if area.width < pane::WIDE {
        return scrolled(frame, area, look, "Balance", |columns| {
            let mut lines = bands(look.theme, index, columns);
            lines.extend(targets(look.theme, index, columns));
            lines.push(Line::default());
            lines.extend(readers(look.theme, index, columns));
            lines
        });
    }
    let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area);
    // Both move together, as far as the longer one goes.
    let [of_bands, of_readers] = [look.tab.scroll.clone(), look.tab.scroll.clone()];
    let inner = pane::pane(frame, left, look.theme, "Bands", true);
    let mut lines = bands(look.theme, index, inner.width.into());
    lines.extend(targets(look.theme, index, inner.width.into()));
    text::page(frame, inner, look.theme, lines, &of_bands);
    let inner = pane::pane(frame, right, look.theme, "Readers", false);
    text::page(frame, inner, look.theme, readers(look.theme, index, inner.width.into()), &of_readers);
    look.tab.scroll.within(of_bands.lines().max(of_readers.lines()).into());
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A band and its three sides: name, rows, share, role of the bar.
type Row<'a> = (&'a str, [(&'a str, usize, f64, Role); 3]);

/// Three bars a band, all on one scale of shares: where they differ in length, the mix was changed.
fn bands(theme: &Theme, index: &DatasetIndex, columns: usize) -> Vec<Line<'static>> {
    let totals = &index.stats.totals;
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let length = columns.saturating_sub(12 + 2 + 9 + 2 + 7 + 2 + 7 + 2).min(60);
    let reads = if index.strategy == OrderStrategy::Weighted { "by weight" } else { "an epoch" };
    let head = text::columns(&[("band", 12), ("side", 9), ("rows", -7), ("share", -7)]);
    let mut lines = vec![Line::styled(text::cut(&head, columns), theme.style(Role::Dim))];
    let rows: Vec<Row<'_>> = index
        .stats
        .by_band
        .iter()
        .zip(index.read.iter().copied().chain(std::iter::repeat(0.0)))
        .map(|(band, read)| {
            let expected = (read * index.epoch as f64).round() as usize;
            let sides = [
                ("train", band.train, share(band.train, totals.train), Role::CurveA),
                (reads, expected, read, Role::Gauge),
                ("held out", band.eval, share(band.eval, totals.eval), Role::CurveB),
            ];
            (band.band.as_str(), sides)
        })
        .collect();
    let most = rows.iter().flat_map(|(_, sides)| sides).map(|side| side.2).fold(0.0, f64::max);
    for (band, sides) in rows {
        let mut name = one_line(band, 60);
        for (side, count, share, role) in sides {
            let cells = [(&*std::mem::take(&mut name), 12), (side, 9), (&count.to_string(), -7), (&percent(share), -7)];
            lines.push(Line::from(vec![
                Span::styled(format!("{}  ", text::columns(&cells)), theme.style(Role::Text)),
                Span::styled(bar::bar(share, most, length), theme.style(role)),
            ]));
        }
    }
    lines
}

/// What the recipe wants of the mix beside what came of it.
fn targets(theme: &Theme, index: &DatasetIndex, columns: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    if index.stats.mix.is_empty() {
        lines.extend(text::wrapped(theme, Role::Dim, "The recipe sets no targets: bands are read as they come.", columns));
        return lines;
    }
    let head = text::columns(&[("targets", 24), ("wanted", -7), ("raw", -7), ("now", -7)]);
    lines.push(Line::styled(text::cut(&head, columns), theme.style(Role::Strong)));
    for target in &index.stats.mix {
        let (sign, role) = if target.unmet_reason.is_some() { ("!", Role::Warn) } else { ("✓", Role::Good) };
        let name = format!("{sign} {}", one_line(&target.bands.join(" + "), 80));
        let figures = [percent(target.wanted), percent(target.raw), percent(target.achieved)];
        let line = text::columns(&[(&name, 24), (&figures[0], -7), (&figures[1], -7), (&figures[2], -7)]);
        lines.push(Line::styled(text::cut(&line, columns), theme.style(role)));
        if let Some(why) = &target.unmet_reason {
            lines.extend(text::wrapped(theme, Role::Warn, &format!("  {}", one_line(why, 300)), columns));
        }
    }
    lines
}

fn readers(theme: &Theme, index: &DatasetIndex, columns: usize) -> Vec<Line<'static>> {
    let bands = index.stats.by_band.len();
    let strip = if columns >= 54 { i16::try_from(bands.max(5)).unwrap_or(5) } else { 0 };
    let name = i16::try_from(columns.saturating_sub(35 + strip.unsigned_abs() as usize).clamp(10, 30)).unwrap_or(10);
    let cells = |cells: [&str; 6]| {
        let widths = [name, -6, -6, -8, -5, strip];
        let shown = if strip == 0 { 5 } else { 6 };
        text::columns(&cells.into_iter().zip(widths).take(shown).collect::<Vec<_>>())
    };
    let head = cells(["reader", "train", "epoch", "held out", "mean", "bands"]);
    let mut lines = vec![Line::styled(text::cut(&head, columns), theme.style(Role::Strong))];
    for reader in &index.stats.by_profile {
        let figures = [reader.train, reader.epoch, reader.eval].map(|n| n.to_string());
        let mean = format!("{:.1}", reader.mean_score);
        let glyphs = bar::spark(&reader.bands);
        let line = cells([&one_line(&reader.profile, 60), &figures[0], &figures[1], &figures[2], &mean, &glyphs]);
        lines.push(Line::styled(text::cut(&line, columns), theme.style(Role::Text)));
    }
    lines.push(Line::styled(text::cut("bands: rows in each, lowest band first", columns), theme.style(Role::Dim)));
    lines
}
