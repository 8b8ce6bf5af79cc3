//! Heat strips: scores from 0 to 10 as a glyph and a number.
//!
//! Owns the glyph of a score; the number beside it is what counts, the glyph and the style only help the eye.

use ratatui::text::{Line, Span};

use super::text::{pad, width};
use crate::tui::theme::{Role, Theme};

const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];

/// The glyph of a score; scores outside 0-10 count as the nearest end.
pub fn glyph(score: f64) -> char {
    let step = (score.clamp(0.0, 10.0) / 10.0 * SHADES.len() as f64) as usize;
    SHADES[step.min(SHADES.len() - 1)]
}

fn role(score: f64) -> Role {
    match score {
        s if s >= 7.0 => Role::Strong,
        s if s >= 4.0 => Role::Accent,
        _ => Role::Dim,
    }
}

/// "▓ 7.1"
pub fn score(theme: &Theme, score: f64) -> Span<'static> {
    Span::styled(format!("{} {score:>4.1}", glyph(score)), theme.style(role(score)))
}

/// Named scores, as many on a line as fit: "▓  7.1 texas_nurse   · 0.5 kuwait_cpeg". A reader without a score has "—".
pub fn strip(theme: &Theme, scores: &[(&str, Option<f64>)], columns: usize) -> Vec<Line<'static>> {
    let name = scores.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(columns.saturating_sub(7)).max(1);
    let cell = 6 + 1 + name + 2;
    let per_line = (columns / cell).max(1);
    scores
        .chunks(per_line)
        .map(|chunk| {
            let mut spans = Vec::new();
            for (reader, value) in chunk {
                spans.push(match value {
                    Some(value) => score(theme, *value),
                    None => Span::styled("     —", theme.style(Role::Dim)),
                });
                spans.push(Span::styled(format!(" {}  ", pad(reader, name)), theme.style(Role::Text)));
            }
            Line::from(spans)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_score_never_has_a_lighter_glyph() {
        let shades: Vec<usize> =
            (0..=100).map(|s| SHADES.iter().position(|g| *g == glyph(f64::from(s) / 10.0)).expect("known")).collect();
        assert!(shades.is_sorted());
        assert_eq!((glyph(-3.0), glyph(99.0), glyph(f64::NAN)), ('·', '█', '·'));
    }

    #[test]
    fn a_strip_wraps_and_says_who_has_no_score() {
        let theme = Theme::default();
        let lines = strip(&theme, &[("ann", Some(7.1)), ("bob", None)], 14);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].to_string().trim_end(), "▓  7.1 ann");
        assert_eq!(lines[1].to_string().trim_end(), "     — bob");
    }
}
