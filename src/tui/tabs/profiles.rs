//! The Profiles tab: who reads.
//!
//! Owns the list of readers and the page of one reader. Which readers take part is changed by the shell's actions.
//!
//! ```text
//! ┌ Readers 1/5 ───────┐┌ texas_nurse ───────┐
//! │› ● texas_nurse  …  ││ role       …       │
//! ```

mod actions;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::common::{empty_list, findings, list_title, matches, next_step};
use super::{Look, Tab, TabState, wants_nothing};
use crate::domain::{Phase, Profile, one_line, safe_text};
use crate::engine::{ProfileView, Snapshot};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::list::List;
use crate::tui::widgets::{pane, text};

fn shown<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a ProfileView> {
    let hit = |p: &&ProfileView| matches(&tab.filter, &[p.profile.id.as_str(), &p.profile.role, &p.profile.location]);
    snapshot.profiles.iter().filter(hit).collect()
}

pub const TAB: Tab = Tab { phase: Phase::Profiles, pages: &["readers"], actions: actions::ACTIONS, rows, draw, wants: wants_nothing };

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State {
    /// Taken out in this session, the last one last.
    pub removed: Vec<Profile>,
}

/// The reader that is selected.
pub fn selected<'a>(look: &Look<'a>) -> Option<&'a ProfileView> {
    shown(look.snapshot, look.tab).get(look.tab.selected).copied()
}

pub fn rows(look: &Look<'_>) -> usize {
    let (snapshot, tab) = (look.snapshot, look.tab);
    shown(snapshot, tab).len()
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Profiles);
    let readers = shown(look.snapshot, look.tab);
    let total = look.snapshot.profiles.len();
    if readers.is_empty() {
        let run = "There are no readers yet: run this phase to read the recipe's own, or import some with 'stratos profiles import FILE'. Running everything goes through all eight tabs; the operator is asked before anything is bought and before training.";
        let words = next_step(look.snapshot, Phase::Profiles, run, run);
        return empty_list(frame, area, look, "Readers", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail, look.tab.share);
    let selected = look.tab.selected.min(readers.len() - 1);
    if let Some(left) = left {
        let inner = pane::pane(frame, left, look.theme, &list_title("Readers", look, readers.len(), total), !look.tab.detail);
        let list = List { header: "", total: readers.len(), selected };
        list.draw(frame, inner, look.theme, |index, columns| row(look.theme, readers[index], columns));
    }
    if let Some(right) = right {
        let reader = readers[selected];
        let inner = pane::pane(frame, right, look.theme, reader.profile.id.as_str(), look.tab.detail);
        let lines = detail(look.theme, reader, inner.width.into());
        text::page(frame, inner, look.theme, lines, &look.tab.scroll);
    }
}

fn row(theme: &Theme, reader: &ProfileView, columns: usize) -> Line<'static> {
    let mark = if reader.selected { "●" } else { "○" };
    let warn = if reader.remarks.is_empty() { " " } else { "!" };
    let rest = columns.saturating_sub(3 + 2 + 18 + 2 + 2);
    let (role, place) = (one_line(&reader.profile.role, 200), one_line(&reader.profile.location, 200));
    let half = i16::try_from(rest / 2).unwrap_or(i16::MAX);
    let cells = text::columns(&[(reader.profile.id.as_str(), 18), (&role, half), (&place, half)]);
    let style = if reader.selected { Role::Text } else { Role::Dim };
    Line::styled(text::cut(&format!("{mark}{warn} {cells}"), columns), theme.style(style))
}

fn detail(theme: &Theme, reader: &ProfileView, columns: usize) -> Vec<Line<'static>> {
    let p = &reader.profile;
    let list = |items: &[String]| if items.is_empty() { "—".to_owned() } else { one_line(&items.join(", "), 2000) };
    let takes_part = if reader.selected { "● takes part in this workspace's runs" } else { "○ does not take part" };
    let mut lines = vec![Line::styled(takes_part, theme.style(if reader.selected { Role::Good } else { Role::Dim }))];
    for (label, value) in [
        ("description", one_line(&p.description, 2000)),
        ("role", one_line(&p.role, 2000)),
        ("seniority", p.seniority.to_string()),
        ("location", one_line(&p.location, 2000)),
        ("motivation", p.motivation.to_string()),
        ("context", one_line(&p.context, 4000)),
        ("tracked", list(&p.tracked)),
        ("interests", list(&p.interests)),
    ] {
        lines.extend(text::field_wrapped(theme, label, if value.is_empty() { "—" } else { &value }, columns));
    }
    for remark in &reader.remarks {
        lines.extend(text::wrapped(theme, Role::Warn, &format!("! {}", one_line(remark, 400)), columns));
    }
    // A recipe may leave a reader's own prompt aside.
    let own = p.system_prompt.as_ref().is_some_and(|own| *own == reader.system_prompt);
    let given = if own { "given word for word" } else { "rendered from the recipe's template" };
    lines.push(Line::default());
    let heading = format!("System prompt, {} words, {given}", reader.prompt_words);
    lines.extend(text::wrapped(theme, Role::Strong, &heading, columns));
    lines.extend(text::wrapped(theme, Role::Text, &safe_text(&reader.system_prompt), columns));
    lines
}

#[cfg(test)]
mod tests;
