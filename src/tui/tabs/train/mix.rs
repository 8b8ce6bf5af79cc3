//! The mix of bands that a run has read, beside what its weights promise and its order reads in all.

use ratatui::text::{Line, Span};

use super::scene::Scene;
use crate::domain::one_line;
use crate::tui::charts::signs::{ascii, bar};
use crate::tui::theme::Role;
use crate::tui::widgets::text::{columns as cells, pad, width, wrapped};

/// Percent points by which a finished order may miss its promise before it is worth a look.
const OFF: f64 = 5.0;

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let mix = &scene.train.mix;
    if mix.is_empty() {
        let words = "How far the order was read, by band, is counted while a run goes on and kept when it is through.";
        return wrapped(scene.theme, Role::Dim, words, columns);
    }
    let (drawn, ordered) = mix.iter().fold((0, 0), |(d, o), b| (d + b.drawn, o + b.ordered));
    let name = mix.iter().map(|b| width(&b.band)).max().unwrap_or(0).clamp(4, 18);
    let widths = [name as i16, -7, -7, -8];
    let row = |texts: [&str; 4]| cells(&texts.iter().copied().zip(widths).collect::<Vec<_>>());
    let mut lines = vec![Line::styled(row(["band", "so far", "order", "promised"]), scene.theme.style(Role::Dim))];
    for band in mix {
        let (now, all) = (percent(band.drawn, drawn), percent(band.ordered, ordered));
        let off = (all - band.promised * 100.0).abs() > OFF;
        let shown = |v: f64| format!("{v:.1} %");
        let now_text = if drawn == 0 { "—".into() } else { shown(now) };
        let text = row([&one_line(&band.band, name), &now_text, &shown(all), &shown(band.promised * 100.0)]);
        let role = if off { Role::Warn } else { Role::Text };
        let room = columns.saturating_sub(width(&text) + 2);
        let mut spans = vec![Span::styled(text, scene.theme.style(role))];
        if off {
            spans.push(Span::styled(" !", scene.theme.style(Role::Warn)));
        } else if room >= 6 {
            spans.push(Span::raw(pad("", 2)));
            spans.push(Span::styled(bar(now / 100.0, room.min(24), ascii(scene.theme)), scene.theme.style(Role::Gauge)));
        }
        lines.push(Line::from(spans));
    }
    let read = if scene.train.elsewhere { "rows, if the trainer elsewhere keeps to the order" } else { "rows read" };
    lines.extend(wrapped(scene.theme, Role::Dim, &format!("{drawn} of {ordered} {read}"), columns));
    lines
}
