//! Every stored run, and beside the list what the selected one says or what two of them say of each other.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{all_runs, compare, compared, interval, number, shown, stored};
use crate::domain::one_line;
use crate::engine::StoredRun;
use crate::tui::tabs::common::{age, empty_list, list_title};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::{list_and_detail, pane};
use crate::tui::widgets::text::{field_wrapped, pad, pad_left, page};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let rows = stored(look);
    let title = list_title("runs", look, rows.len(), all_runs(look).len());
    let (left, right) = list_and_detail(area, look.tab.detail, look.tab.share);
    if rows.is_empty() {
        return empty_list(frame, area, look, &title, "There is no run.");
    }
    if let Some(area) = left {
        let inner = pane(frame, area, look.theme, &title, !look.tab.detail);
        let columns = usize::from(inner.width).saturating_sub(2);
        let header = cells(columns, ["", "predictor", "rows", "n", "MAE", "95 % interval", "age"]);
        let here = shown(look);
        let list = List { header: &header, total: rows.len(), selected: look.tab.selected };
        list.draw(frame, inner, look.theme, |at, _| {
            let run = rows[at];
            let mark = look.own.validate.marks.iter().position(|id| *id == run.id);
            let sign = match (mark, here.as_ref() == Some(&run.id)) {
                (Some(0), _) => "A",
                (Some(_), _) => "B",
                (None, true) => "•",
                _ => "",
            };
            let role = if sign.is_empty() { Role::Text } else { Role::Strong };
            Line::styled(line(look, run, sign, columns), look.theme.style(role))
        });
    }
    let Some(area) = right else { return };
    match compared(look) {
        Some(query) => compare::draw(frame, area, look, &query),
        None => rows.get(look.tab.selected).into_iter().for_each(|run| summary(frame, area, look, run)),
    }
}

fn line(look: &Look<'_>, run: &StoredRun, sign: &str, columns: usize) -> String {
    let s = &run.summary;
    let n = s.n.to_string();
    let texts = [
        sign.to_owned(),
        one_line(&s.predictor, 60),
        one_line(&s.rows, 60),
        n,
        number(s.mae, 3),
        interval(s.mae_interval),
        age(look.now, run.at),
    ];
    cells(columns, texts.each_ref().map(String::as_str))
}

/// Mark, predictor, rows, count, error, interval, age.
fn cells(columns: usize, [mark, predictor, rows, n, mae, within, age]: [&str; 7]) -> String {
    const FIXED: usize = 1 + 5 + 6 + 15 + 7 + 6;
    let rest = columns.saturating_sub(FIXED);
    let name = (rest * 6 / 10).max(6);
    let set = rest.saturating_sub(name).min(24);
    let name = if set == 24 { rest - set } else { name };
    let texts = [pad(mark, 1), pad(predictor, name), pad(rows, set), pad_left(n, 5), pad_left(mae, 6), pad_left(within, 15)];
    format!("{} {}", texts.join(" "), pad_left(age, 7))
}

fn summary(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, run: &StoredRun) {
    let inner = pane(frame, area, look.theme, &format!("run {}", run.id.short()), look.tab.detail);
    let s = &run.summary;
    let mae = match interval(s.mae_interval) {
        within if within.is_empty() => number(s.mae, 3),
        within => format!("{} ({within}, n {})", number(s.mae, 3), s.n),
    };
    let mut facts = vec![
        ("predictor", one_line(&s.predictor, 200)),
        ("rows", format!("{}, {} judged, {} unreadable", one_line(&s.rows, 200), s.n, s.parse_failures)),
        ("runtime", one_line(&s.runtime, 100)),
        ("MAE", mae),
        ("Spearman ρ", format!("{} (n {})", number(s.spearman, 3), s.n)),
        ("skill", format!("{} (n {})", number(s.skill, 3), s.n)),
    ];
    facts.extend(s.opening.map(|nth| ("seal", format!("opening {nth}"))));
    let columns = usize::from(inner.width);
    let lines = facts.iter().flat_map(|(name, value)| field_wrapped(look.theme, name, value, columns)).collect();
    page(frame, inner, look.theme, lines, &look.tab.scroll);
}
