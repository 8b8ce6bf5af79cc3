//! What the verdicts add up to: a table for each author, and the reviewer's agreement with herself.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::domain::one_line;
use crate::engine::{Answer, AuditResults, AuthorResults, Consistency, FEW_READ, Query, ResultRow, Share};
use crate::tui::tabs::Look;
use crate::tui::tabs::common::sentence;
use crate::tui::theme::Role;
use crate::tui::widgets::pane::pane;
use crate::tui::widgets::text::{pad, pad_left, page, wrapped};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let Some(Answer::AuditResults(found)) = look.shelf.get(&Query::AuditResults) else {
        let words = look.shelf.failed(&Query::AuditResults).unwrap_or("Counting the verdicts…");
        return sentence(frame, area, look, "Results", &one_line(words, 300));
    };
    let inner = pane(frame, area, look.theme, "Results", true);
    page(frame, inner, look.theme, lines(look, found, inner.width.into()), &look.tab.scroll);
}

fn lines(look: &Look<'_>, found: &AuditResults, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for author in &found.results.authors {
        lines.extend(author_lines(look, author, columns));
        lines.push(Line::default());
    }
    lines.extend(wrapped(look.theme, Role::Text, &consistency_words(&found.reviewer), columns));
    lines
}

const COUNT: usize = 4;
const KIND: usize = 5;

/// Columns of a band's or a reader's name: as many as the rest of the table leaves, up to the longest ids.
fn name_width(columns: usize) -> usize {
    columns.saturating_sub(64).clamp(14, 28)
}

/// Heads of the columns, in the order of `Verdict::ALL`.
const HEADS: [&str; 6] = ["✓ok", "Prof", "Art", "Over", "Cal", "✗unf"];

fn author_lines(look: &Look<'_>, found: &AuthorResults, columns: usize) -> Vec<Line<'static>> {
    let style = |role| look.theme.style(role);
    let mut lines = vec![Line::styled(format!("{}'s blocks: {} read", found.author, found.all.n()), style(Role::Strong))];
    if found.all.n() == 0 {
        return lines;
    }
    let heads = HEADS.map(|h| pad_left(h, KIND + 1)).concat();
    lines.push(Line::styled(
        format!("{}{}{heads}  faithful (95 %)", pad("", name_width(columns)), pad_left("n", COUNT)),
        style(Role::Dim),
    ));
    lines.extend(found.bands.iter().map(|r| row(look, r, columns)));
    lines.push(row(look, &found.all, columns));
    lines.push(Line::styled("by reader", style(Role::Dim)));
    lines.extend(found.readers.iter().map(|r| row(look, r, columns)));
    if let Some((median, n)) = found.seconds {
        lines.push(Line::styled(format!("a reading took {median:.0} s in the middle (n = {n})"), style(Role::Dim)));
    }
    lines.extend(found.remarks.iter().flat_map(|r| wrapped(look.theme, Role::Warn, &format!("! {r}"), columns)));
    lines
}

fn row(look: &Look<'_>, found: &ResultRow, columns: usize) -> Line<'static> {
    let weak = found.faithful().is_none_or(|s| s.weak());
    let role = if weak { Role::Dim } else { Role::Text };
    let kinds: String = found.kinds.iter().map(|share| pad_left(&count(share), KIND + 1)).collect();
    let n = pad_left(&found.n().to_string(), COUNT);
    Line::from(vec![
        Span::styled(format!("{}{n}{kinds}", pad(&one_line(&found.name, 40), name_width(columns))), look.theme.style(role)),
        Span::styled(format!("  {}", share_words(found.faithful())), look.theme.style(role)),
    ])
}

fn count(share: &Share) -> String {
    if share.hits == 0 { "·".into() } else { share.hits.to_string() }
}

/// "83 % 61–94", marked where there are too few to lean on.
fn share_words(share: Option<Share>) -> String {
    let Some((share, value)) = share.and_then(|s| Some((s, s.value()?))) else { return "—".into() };
    let few = if share.weak() { " few" } else { "" };
    format!("{:>3.0} % {:.0}–{:.0}{few}", value * 100.0, share.low * 100.0, share.high * 100.0)
}

fn consistency_words(own: &Consistency) -> String {
    let (low, high) = own.equal_interval;
    let equal = format!("{} of {} equal ({:.0}–{:.0} %)", own.equal, own.repeats, low * 100.0, high * 100.0);
    match own.kappa {
        _ if own.repeats == 0 => "blind repeats: none yet; one of ten read blocks comes back with its verdict hidden".into(),
        Some(kappa) => {
            let interval = own.kappa_interval.map_or_else(|| "no interval".to_owned(), |(a, b)| format!("{a:.2} to {b:.2}"));
            let few = if own.repeats < FEW_READ { ", few" } else { "" };
            let faithful = own.kappa_faithful.map(|k| format!("; faithful or not: κ {k:.2}")).unwrap_or_default();
            format!("your own agreement: κ {kappa:.2} ({interval}), n = {}{few}; {equal}{faithful}", own.repeats)
        }
        None => format!("blind repeats: {equal}; κ is shown from more of them, with more than one kind of verdict"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_a_dash_and_one_of_few_says_so() {
        assert_eq!(share_words(Some(Share::of(0, 0))), "—");
        assert_eq!(share_words(Some(Share::of(5, 6))), " 83 % 44–97 few");
        assert_eq!(share_words(Some(Share::of(30, 60))), " 50 % 38–62");
    }

    #[test]
    fn an_agreement_is_shown_with_its_interval_and_its_number() {
        let own =
            Consistency { repeats: 6, equal: 5, kappa: Some(0.75), kappa_interval: Some((0.3, 1.0)), ..Consistency::default() };
        let words = consistency_words(&own);
        assert!(words.contains("κ 0.75 (0.30 to 1.00), n = 6, few") && words.contains("5 of 6 equal"), "{words}");
        let none = Consistency { repeats: 2, equal: 2, ..Consistency::default() };
        assert!(consistency_words(&none).contains("κ is shown from more"));
    }
}
