//! Bars of the error by band, reader and kind, each with its interval and its rows.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{interval, name_of, number, parts};
use crate::domain::one_line;
use crate::engine::{EvaluationView, PartLine};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::empty_list;
use crate::tui::theme::Role;
use crate::tui::widgets::bar::bar;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::text::{pad, pad_left, width};

/// Columns of what a part is by, of its error, its interval and its rows.
const BY: usize = 8;
const MAE: usize = 6;
const INTERVAL: usize = 15;
const COUNT: usize = 6;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let rows = parts(view, look);
    let title = format!("error by part, readers worst first · {}", name_of(view));
    if rows.is_empty() {
        return empty_list(frame, area, look, &title, "There are no parts to tell apart.");
    }
    let inner = pane(frame, area, look.theme, &title, true);
    let columns = usize::from(inner.width).saturating_sub(2);
    let rest = columns.saturating_sub(BY + MAE + INTERVAL + COUNT + 5);
    let name = (rest * 6 / 10).clamp(8, 44);
    let bars = rest.saturating_sub(name).min(60);
    let most = rows.iter().filter_map(|p| p.mae).filter(|m| m.is_finite()).fold(0.0, f64::max);
    let text = |by: &str, title: &str, mae: &str, within: &str, n: &str| {
        let (by, title) = (pad(by, BY), pad(title, name));
        format!("{by} {title} {} {} {} ", pad_left(mae, MAE), pad_left(within, INTERVAL), pad_left(n, COUNT))
    };
    let header = text("by", "part", "MAE", "95 % interval", "n");
    let list = List { header: &header, total: rows.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |at, _| {
        let part = rows[at];
        let n = if part.weak { format!("!{}", part.n) } else { part.n.to_string() };
        let by = if part.by == "profile" { "reader" } else { part.by.as_str() };
        let by = if part.by == "reader" { "training" } else { by };
        let row = text(by, &called(part, name), &number(part.mae, 2), &interval(part.interval), &n);
        let role = if part.weak { Role::Dim } else { Role::Text };
        Line::from(vec![
            Span::styled(row, look.theme.style(role)),
            Span::styled(bar(part.mae.unwrap_or(0.0), most, bars), look.theme.style(Role::Gauge)),
        ])
    });
}

/// "`texas_nurse` (unseen) ×2": what training had, and unreadable answers.
fn called(part: &PartLine, columns: usize) -> String {
    let seen = match (part.by.as_str(), part.seen) {
        (_, Some(true)) => " (seen)",
        (_, Some(false)) => " (unseen)",
        ("reader", None) => " readers",
        ("article", None) => " articles",
        _ => "",
    };
    let failures = if part.failures > 0 { format!(" ×{}", part.failures) } else { String::new() };
    let room = columns.saturating_sub(width(seen) + width(&failures));
    format!("{}{seen}{failures}", crate::tui::widgets::text::cut(&one_line(&part.name, 80), room))
}
