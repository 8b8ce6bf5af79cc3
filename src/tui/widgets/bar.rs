//! Horizontal bars in eighths of a cell, counts with their bars, and small upright histograms.
//!
//! Owns the glyphs. The scale is the caller's: bars that are compared share one `most`.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{pane, text};
use crate::domain::one_line;
use crate::tui::theme::{Role, Theme};

const UPRIGHT: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// `value` of `most` as a bar of at most `columns` cells. Something is never drawn as nothing: a positive value has at
/// least the thinnest glyph.
pub fn bar(value: f64, most: f64, columns: usize) -> String {
    if columns == 0 || !value.is_finite() || !most.is_finite() || value <= 0.0 || most <= 0.0 {
        return String::new();
    }
    let share = (value / most).min(1.0);
    let eighths = ((share * columns as f64 * 8.0).round() as usize).max(1);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// One glyph for each count, by the largest; nothing is a dot.
pub fn spark(counts: &[usize]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let glyph = |n: &usize| if *n == 0 { '·' } else { UPRIGHT[(n * UPRIGHT.len()).div_ceil(most).clamp(1, UPRIGHT.len()) - 1] };
    counts.iter().map(glyph).collect()
}

/// Draws counts by name above a list, in at most a quarter of the area, and gives the area below; nothing while the
/// details have the focus. The last row says how many names did not fit.
pub fn counted(frame: &mut Frame<'_>, area: Rect, theme: &Theme, counts: &[(&str, usize)], detail: bool) -> Rect {
    let rows = if detail { 0 } else { counts.len().min(usize::from(area.height / 4)) };
    let (top, rest) = pane::take_top(area, rows);
    let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let lines: Vec<Line<'static>> = counts
        .iter()
        .map(|(name, n)| {
            let head = text::columns(&[(&one_line(name, 60), 34), (&n.to_string(), -6)]);
            let line = format!(" {head}  {}", bar(*n as f64, most as f64, 30));
            Line::styled(text::cut(&line, area.width.into()), theme.style(Role::Warn))
        })
        .collect();
    text::from_top(frame, top, theme, lines);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upright_histogram_tells_nothing_from_little() {
        assert_eq!(spark(&[0, 1, 50, 100]), "·▁▄▇");
        assert_eq!((spark(&[]), spark(&[0])), (String::new(), "·".into()));
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(1.0, 2.0, 4), "██");
        assert_eq!(bar(9.0, 2.0, 4), "████");
        assert_eq!(bar(1.0, 16.0, 2), "▏");
        assert_eq!(bar(0.0, 2.0, 4), "");
    }

    #[test]
    fn something_is_never_drawn_as_nothing_and_nonsense_is() {
        assert_eq!(bar(0.001, 1000.0, 4), "▏");
        assert_eq!(bar(f64::NAN, 1.0, 4), "");
        assert_eq!(bar(1.0, 0.0, 4), "");
    }
}
