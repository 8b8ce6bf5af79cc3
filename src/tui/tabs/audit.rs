//! The Audit tab: is the reasoning right?
//!
//! Owns which block is read and what was noted of it so far. The queue and the blocks are the library's, so that it is as
//! fluid at 20,000 traces as at ten; verdicts are the engine's. A verdict is always about the block on the screen: both ask
//! [`current`].
//!
//! ```text
//! ┌ Queue 3/118 ────┐┌ ▶ teacher 9.1 ─┐┌ student 6.0 ──┐
//! │› ✓ Title  9.1 6 ││ PROFILE: …     ││ PROFILE: …    │
//! │                 │├ article ───────┤├ reader ───────┤
//! ```

mod actions;
mod list;
mod reading;
mod results;

pub use actions::{focus, scroll, take_marks, take_note};

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::common::{findings, next_step, sentence};
use super::{Look, Tab};
use crate::domain::{Author, Digest, MarkedSpan, PairKey, Phase, UnixMillis, one_line, safe_text};
use crate::engine::{Answer, AuditBlock, AuditIndex, AuditQueue, AuditReading, Query, QueueOrder};
use crate::tui::charts::parts::{line, span};
use crate::tui::theme::Role;
use crate::tui::widgets::pane;
use crate::tui::widgets::scroll::Scroll;

/// The steps of a think block, in their order.
const LABELS: [&str; 5] = ["PROFILE:", "RECOGNISE:", "SIGNALS:", "STRONGEST:", "MATCH:"];

pub const TAB: Tab = Tab { phase: Phase::Audit, pages: &["queue", "results"], actions: actions::ACTIONS, rows, draw, wants };

/// The page of results.
pub const RESULTS: usize = 1;

/// From this width on, the queue stays beside what is read.
const QUEUE_BESIDE: u16 = 150;

/// A part of the screen that is read, and scrolls on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pane {
    #[default]
    Block,
    /// The other author's block.
    Other,
    Article,
    Reader,
}

impl Pane {
    const ALL: [Self; 4] = [Self::Block, Self::Other, Self::Article, Self::Reader];

    fn turned(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

/// What is noted of a block before its verdict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    /// Digest of the text that it is about.
    pub trace: Option<Digest>,
    pub note: String,
    pub marks: Vec<MarkedSpan>,
}

/// A block that was come to by a key, so that it is known since when it is on the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub pair: PairKey,
    pub author: Author,
    pub since: UnixMillis,
    /// The place of the list at that moment: once the selection moves on, this is no longer what is read.
    pub at: usize,
}

/// What this tab remembers for itself.
#[derive(Debug, Default)]
pub struct State {
    pub author: Author,
    pub order: QueueOrder,
    pub pane: Pane,
    /// Lines scrolled in the panes that do not have the focus.
    pub scrolls: [Scroll; 4],
    pub draft: Draft,
    pub opened: Option<Opened>,
    /// What was noted with the newest verdict: undoing brings it back.
    pub last: Option<Draft>,
    /// Blocks judged since the console was opened, newest last: where undoing goes back to.
    pub given: Vec<(PairKey, Author)>,
}

/// The queue as it is asked for now.
fn asked(look: &Look<'_>) -> Query {
    let own = &look.own.audit;
    Query::AuditQueue(AuditQueue { author: own.author, order: own.order, filter: look.tab.filter.trim().to_owned() })
}

/// The queue, perhaps an old one while the new one is on its way; and whether it is.
pub fn index<'a>(look: &Look<'a>) -> Option<(&'a Arc<AuditIndex>, bool)> {
    let query = asked(look);
    match look.shelf.newest_like(&query) {
        Some(Answer::AuditQueue(index)) => Some((index, look.shelf.waits(&query) || look.shelf.get(&query).is_none())),
        _ => None,
    }
}

/// The pair that is read: the one that was come to by a key, else the selected one.
pub fn current(look: &Look<'_>) -> Option<PairKey> {
    let own = &look.own.audit;
    if let Some(opened) = own.opened.as_ref().filter(|o| o.at == look.tab.selected && o.author == own.author) {
        return Some(opened.pair.clone());
    }
    let (index, _) = index(look)?;
    index.rows.get(look.tab.selected).map(|row| row.head.pair.clone())
}

/// Where the pair that is read stands in the queue.
pub fn place(look: &Look<'_>) -> Option<usize> {
    let (index, _) = index(look)?;
    let pair = current(look)?;
    // Most often it is where the selection is.
    if index.rows.get(look.tab.selected).is_some_and(|row| row.head.pair == pair) {
        return Some(look.tab.selected);
    }
    index.rows.iter().position(|row| row.head.pair == pair)
}

/// The next pair without a verdict after the one that is read, from the top again at the end. One that comes back blind goes
/// first. `beside`: not this one, whatever the queue says.
pub fn next_unread(look: &Look<'_>, beside: Option<&PairKey>) -> Option<(PairKey, usize)> {
    let (index, _) = index(look)?;
    let author = look.own.audit.author;
    let others = |pair: &PairKey| beside != Some(pair);
    if let Some(pair) = index.repeat.as_ref().filter(|pair| others(pair)) {
        let at = index.rows.iter().position(|row| row.head.pair == *pair).unwrap_or(look.tab.selected);
        return Some((pair.clone(), at));
    }
    let here = place(look).map_or(0, |at| at + 1);
    let count = index.rows.len();
    // Verdicts on their way: the queue that is on the screen does not know of them yet.
    let judged_here = |pair: &PairKey| look.own.audit.given.iter().rev().take(3).any(|(p, a)| p == pair && *a == author);
    (0..count).map(|i| (here + i) % count.max(1)).find_map(|at| {
        let row = index.rows.get(at)?;
        let unread = row.verdict(author).is_none() && !judged_here(&row.head.pair);
        (unread && others(&row.head.pair)).then(|| (row.head.pair.clone(), at))
    })
}

/// The pair that is read, whole, once the library has answered.
pub fn reading<'a>(look: &Look<'a>) -> Option<&'a Arc<AuditReading>> {
    match look.shelf.get(&Query::AuditReading(current(look)?)) {
        Some(Answer::AuditReading(reading)) => Some(reading),
        _ => None,
    }
}

/// The block that a verdict would be about.
pub fn block<'a>(look: &Look<'a>) -> Option<&'a AuditBlock> {
    reading(look)?.block(look.own.audit.author)
}

/// What is noted of the block: the draft where there is one of this very text, else what was said before.
pub fn noted(look: &Look<'_>) -> Option<Draft> {
    let block = block(look)?;
    let draft = &look.own.audit.draft;
    if draft.trace.as_ref() == Some(&block.trace) {
        return Some(draft.clone());
    }
    let (note, marks) = block.standing.as_ref().map(|s| (s.note.clone(), s.spans.clone())).unwrap_or_default();
    Some(Draft { trace: Some(block.trace.clone()), note, marks })
}

fn wants(look: &Look<'_>) -> Vec<Query> {
    if look.tab.page == RESULTS {
        return vec![Query::AuditResults];
    }
    let mut wants = vec![asked(look)];
    wants.extend(current(look).map(Query::AuditReading));
    // The one after it is there when the verdict is given.
    wants.extend(next_unread(look, current(look).as_ref()).map(|(pair, _)| Query::AuditReading(pair)));
    wants
}

pub fn rows(look: &Look<'_>) -> usize {
    if look.tab.page == RESULTS { 0 } else { index(look).map_or(0, |(index, _)| index.rows.len()) }
}

/// The block that is read, as text for the clipboard.
pub fn selected_text(look: &Look<'_>) -> Option<String> {
    let (reading, block) = (reading(look)?, block(look)?);
    let score = block.score.map_or_else(|| "no score".to_owned(), |s| format!("{s:.1}"));
    Some(format!("{}\n{}\n\n{}\n{} {score}: {}", reading.pair, reading.title.text, block.think, block.author, block.reason))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Audit);
    if look.tab.page == RESULTS {
        return results::draw(frame, area, look);
    }
    let Some((index, waits)) = index(look) else {
        let words = look.shelf.failed(&asked(look)).unwrap_or("Laying the think blocks out…");
        return sentence(frame, area, look, "Audit", &one_line(words, 400));
    };
    if index.total == 0 && index.repeat.is_none() {
        let none = match look.own.audit.author {
            Author::Teacher => "There is no think block to read yet: distil some pairs, and the teacher's traces queue up here.",
            Author::Student => "The student has answered nothing yet: train and validate, or go back to the teacher's blocks.",
        };
        return sentence(frame, area, look, "Audit", &next_step(look.snapshot, Phase::Audit, none, none));
    }
    if area.width >= QUEUE_BESIDE {
        let [left, right] = ratatui::layout::Layout::horizontal([
            ratatui::layout::Constraint::Length(area.width / 4),
            ratatui::layout::Constraint::Min(0),
        ])
        .areas(area);
        list::draw(frame, left, look, index, waits);
        return reading::draw(frame, right, look);
    }
    if look.tab.detail {
        return reading::draw(frame, area, look);
    }
    let (left, right) = pane::list_and_detail(area, false, look.tab.share);
    if let Some(left) = left {
        list::draw(frame, left, look, index, waits);
    }
    if let Some(right) = right {
        reading::preview(frame, right, look);
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
mod tests;
