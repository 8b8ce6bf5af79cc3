//! The Audit tab: is the reasoning right?
//!
//! Owns how a think block is laid out for reading: article, teacher, student, in that order. Verdicts are given in the
//! shell and kept by the engine.

mod actions;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::{Look, Tab, TabState, wants_nothing};
use crate::domain::{Phase, one_line, safe_text};
use crate::engine::{AuditItem, Snapshot, Verdict};
use crate::tui::charts::parts::{empty, fit, height, line, list, matches, notices, number, pane, prose, row_width, span, split};
use crate::tui::theme::Role;

/// The steps of a think block, in their order.
const LABELS: [&str; 5] = ["PROFILE:", "RECOGNISE:", "SIGNALS:", "STRONGEST:", "MATCH:"];

/// Width from which teacher and student are read side by side.
const SIDE_BY_SIDE: u16 = 64;

/// Rows from which the article has a pane of its own above them.
const SMALLEST_STACK: u16 = 14;

pub const TAB: Tab = Tab { phase: Phase::Audit, pages: &["think blocks"], actions: actions::ACTIONS, rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State;

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    shown(snapshot, tab).count()
}

fn shown<'a>(snapshot: &'a Snapshot, tab: &'a TabState) -> impl Iterator<Item = &'a AuditItem> {
    snapshot.audit.items.iter().filter(|i| matches(&tab.filter, &[&i.title, &i.role, i.pair.profile.as_str()]))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = notices(frame, area, look, Phase::Audit);
    let audit = &look.snapshot.audit;
    if audit.items.is_empty() {
        let next = "There is no think block to read yet: run Distill, and the teacher's traces queue up here.";
        empty(frame, area, look, Phase::Audit, next);
        return;
    }
    let items: Vec<&AuditItem> = shown(look.snapshot, look.tab).collect();
    let (left, right) = split(area, look);
    if let Some(area) = left {
        let width = row_width(area);
        let title = format!("{} kept · {} rejected · of {}", audit.kept, audit.rejected, audit.items.len());
        let header = format!("  {} {} teacher student", fit("article", title_width(width)), fit("role", ROLE));
        list(frame, area, look, &title, Some(header), items.iter().map(|item| row(item, look, width)).collect());
    }
    if let Some(area) = right
        && let Some(item) = items.get(look.tab.selected)
    {
        detail(frame, area, look, item);
    }
}

const ROLE: usize = 14;

/// What glyph, role and the two scores leave for the title.
fn title_width(width: usize) -> usize {
    width.saturating_sub(2 + 1 + ROLE + 1 + 15)
}

fn row(item: &AuditItem, look: &Look<'_>, width: usize) -> Line<'static> {
    let (glyph, role) = mark(item.verdict);
    Line::from(vec![
        span(format!("{glyph} "), look, role),
        span(fit(&item.title, title_width(width)), look, Role::Text),
        span(format!(" {} ", fit(&item.role, ROLE)), look, Role::Dim),
        span(format!("{:>7} {:>7}", number(Some(item.teacher_score), 1), number(item.student_score, 1)), look, Role::Text),
    ])
}

fn mark(verdict: Option<Verdict>) -> (&'static str, Role) {
    match verdict {
        None => ("·", Role::Dim),
        Some(Verdict::Keep) => ("✓", Role::Good),
        Some(Verdict::Reject) => ("✗", Role::Bad),
    }
}

fn word(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        None => "unread",
        Some(Verdict::Keep) => "kept",
        Some(Verdict::Reject) => "rejected",
    }
}

fn detail(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, item: &AuditItem) {
    let (glyph, _) = mark(item.verdict);
    let title = format!("{glyph} {} · {}", word(item.verdict), item.pair);
    let teacher_title = format!("teacher {}", number(Some(item.teacher_score), 1));
    let student_title = format!("student {}", number(item.student_score, 1));
    let (article, teacher, student) = (article(item, look), teacher(item, look), student(item, look));
    // The panes scroll together, each to its end, so that the steps stay abreast and nothing is out of reach.
    if area.width >= SIDE_BY_SIDE && area.height >= SMALLEST_STACK {
        let inner = area.width.saturating_sub(2);
        let wanted = article.iter().map(|l| height(l, inner)).sum::<usize>() + 2;
        let rows = u16::try_from(wanted).unwrap_or(u16::MAX).min(area.height * 2 / 5);
        let [top, rest] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
        let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Min(0)]).areas(rest);
        pane(frame, top, look, &title, article, look.tab.detail);
        pane(frame, left, look, &teacher_title, teacher, look.tab.detail);
        pane(frame, right, look, &student_title, student, look.tab.detail);
        return;
    }
    let mut lines = article;
    for (heading, block) in [(teacher_title, teacher), (student_title, student)] {
        lines.push(line("", look, Role::Text));
        lines.push(line(format!("── {heading} ──"), look, Role::Strong));
        lines.extend(block);
    }
    pane(frame, area, look, &title, lines, look.tab.detail);
}

fn article(item: &AuditItem, look: &Look<'_>) -> Vec<Line<'static>> {
    let mut lines = vec![
        line(one_line(&item.title, 300), look, Role::Strong),
        line(format!("for: {}", one_line(&item.role, 200)), look, Role::Accent),
    ];
    lines.extend(prose(&item.summary, look, Role::Text));
    lines
}

fn teacher(item: &AuditItem, look: &Look<'_>) -> Vec<Line<'static>> {
    let mut lines = labelled(&item.teacher_think, look);
    let end = format!("SCORE: {} | REASON: {}", number(Some(item.teacher_score), 1), one_line(&item.teacher_reason, 500));
    lines.push(line(end, look, Role::Strong));
    lines
}

fn student(item: &AuditItem, look: &Look<'_>) -> Vec<Line<'static>> {
    match &item.student_output {
        Some(output) => labelled(output, look),
        None => vec![line("the student was not asked about this pair", look, Role::Dim)],
    }
}

/// The lines of a think block with the names of its steps emphasised.
pub(super) fn labelled(text: &str, look: &Look<'_>) -> Vec<Line<'static>> {
    let emphasised = |text: &str| {
        let start = text.trim_start().trim_start_matches("<think>");
        let label = LABELS.into_iter().find(|label| start.starts_with(label));
        let Some((at, label)) = label.and_then(|label| Some((text.find(label)?, label))) else {
            return line(text.to_owned(), look, Role::Text);
        };
        let (before, rest) = text.split_at(at);
        Line::from(vec![
            span(before.to_owned(), look, Role::Dim),
            span(label, look, Role::Accent).style(look.theme.style(Role::Strong)),
            span(rest[label.len()..].to_owned(), look, Role::Text),
        ])
    };
    safe_text(text).lines().map(emphasised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tabs::TabState;
    use crate::tui::testing::Stage;
    use crate::tui::charts::fixture::{busy, expect, nothing, with_finding};
    use crate::tui::theme::Theme;

    #[test]
    fn every_item_carries_its_verdict_and_the_counts_stand_on_top() {
        let words = ["1 kept · 1 rejected · of 3", "· Tender", "✓ Football", "✗ Bank", "8.5", "Process engin"];
        expect(Phase::Audit, &busy(), &TabState::default(), &words);
    }

    #[test]
    fn the_teacher_stands_beside_the_student_and_escapes_are_harmless() {
        let tab = TabState { detail: true, ..TabState::default() };
        let words = ["The ministry asks", "PROFILE: engineer", "STRONGEST:", "teacher 8.5", "student 2.0", "[31mPROFILE: nobody"];
        expect(Phase::Audit, &busy(), &tab, &words);
        let unasked = TabState { selected: 1, ..tab };
        expect(Phase::Audit, &busy(), &unasked, &["was not asked", "kept · a-1 × kuwait_cpeg"]);
    }

    #[test]
    fn a_long_article_can_be_scrolled_to_its_end() {
        let mut snapshot = busy();
        let audit = std::sync::Arc::make_mut(&mut snapshot.audit);
        audit.items[0].summary = (0..60).map(|i| format!("line {i} of the summary")).collect::<Vec<_>>().join("\n");
        let tab = TabState { detail: true, scroll: 59, ..TabState::default() };
        expect(Phase::Audit, &snapshot, &tab, &["line 59 of the summary", "PROFILE: engineer"]);
    }

    #[test]
    fn the_names_of_the_steps_are_emphasised_also_right_after_the_think_mark() {
        let (snapshot, tab, theme) = (busy(), TabState::default(), Theme::default());
        let stage = Stage::of(&snapshot, &tab);
        let look = stage.look();
        let lines = labelled("<think>PROFILE: x\nnot a MATCH: here\nMATCH: y", &look);
        assert_eq!(lines.iter().map(|l| l.spans.len()).collect::<Vec<_>>(), [3, 1, 3]);
        assert_eq!(lines[0].spans[1].content, "PROFILE:");
        assert_eq!(lines[0].spans[1].style, theme.style(Role::Strong));
    }

    #[test]
    fn a_filter_or_a_selection_that_fits_nothing_draws_a_sentence() {
        let tab = TabState { filter: "zzz".into(), selected: 7, ..TabState::default() };
        assert_eq!(Stage::of(&busy(), &tab).rows(TAB.phase), 0);
        expect(Phase::Audit, &busy(), &tab, &["nothing matches the filter"]);
    }

    #[test]
    fn an_empty_tab_says_what_is_missing_under_the_failed_guards() {
        let mut snapshot = nothing();
        with_finding(&mut snapshot, Phase::Audit, None);
        expect(Phase::Audit, &snapshot, &TabState::default(), &["Audit is locked", "label more articles"]);
    }
}
