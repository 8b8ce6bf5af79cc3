//! A stage for tests of tabs: a snapshot, what the library answered and what a tab remembers, drawn without a terminal.

#![expect(clippy::missing_panics_doc, reason = "a test that panics has failed")]

use std::fmt::Write as _;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;
use unicode_width::UnicodeWidthStr as _;

use super::shelf::Shelf;
use super::tabs::{Look, Own, TABS, TabState};
use super::theme::Theme;
use crate::domain::{Phase, ProfileId, SourceType, UnixMillis};
use crate::engine::{Answer, ArticleIndex, Brief, Query, Snapshot};

/// The time on every stage.
pub const NOW: UnixMillis = UnixMillis(10_000_000);

/// The sizes a tab must be good at.
pub const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

#[derive(Debug)]
pub struct Stage {
    pub snapshot: Snapshot,
    pub tab: TabState,
    pub own: Own,
    pub shelf: Shelf,
    pub theme: Theme,
    pub now: UnixMillis,
}

impl Default for Stage {
    fn default() -> Self {
        let (snapshot, tab, own) = Default::default();
        Self { snapshot, tab, own, shelf: Shelf::default(), theme: Theme::default(), now: NOW }
    }
}

impl Stage {
    /// With a copy of this snapshot, on this page.
    pub fn of(snapshot: &Snapshot, tab: &TabState) -> Self {
        Self { snapshot: snapshot.clone(), tab: tab.clone(), ..Self::default() }
    }

    /// The library has answered this.
    #[must_use]
    pub fn answered(mut self, query: &Query, answer: Answer) -> Self {
        self.shelf.missing(vec![query.clone()], &self.snapshot.revisions);
        self.shelf.put(query, Some(Ok(answer)));
        self
    }

    pub fn look(&self) -> Look<'_> {
        Look { snapshot: &self.snapshot, tab: &self.tab, own: &self.own, shelf: &self.shelf, theme: &self.theme, now: self.now }
    }

    pub fn rows(&self, phase: Phase) -> usize {
        (TABS[phase.index()].rows)(&self.look())
    }

    pub fn buffer(&self, phase: Phase, size: (u16, u16)) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("terminal");
        terminal.draw(|frame| (TABS[phase.index()].draw)(frame, frame.area(), &self.look())).expect("draws");
        terminal.backend().buffer().clone()
    }

    pub fn text(&self, phase: Phase, size: (u16, u16)) -> String {
        let buffer = self.buffer(phase, size);
        (0..buffer.area.height).map(|y| line(&buffer, y)).collect::<Vec<_>>().join("\n")
    }

    /// The screen, then where it is bold (b), dim (d), underlined (u) or reversed (R).
    pub fn styled(&self, phase: Phase, size: (u16, u16)) -> String {
        styled(&self.buffer(phase, size))
    }
}

/// One line as a terminal would show it: a wide glyph takes the cell after its own.
fn line(buffer: &Buffer, y: u16) -> String {
    let (mut text, mut x) = (String::new(), 0);
    while x < buffer.area.width {
        let symbol = buffer[(x, y)].symbol();
        text.push_str(symbol);
        x += u16::try_from(symbol.width()).unwrap_or(1).max(1);
    }
    text
}

/// A screen as text, then its styles line by line.
pub fn styled(buffer: &Buffer) -> String {
    let (mut text, mut styles) = (String::new(), String::new());
    for y in 0..buffer.area.height {
        let mut marks = String::new();
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            marks.push(match cell.modifier {
                m if m.contains(Modifier::REVERSED) => 'R',
                m if m.contains(Modifier::UNDERLINED) => 'u',
                m if m.contains(Modifier::BOLD) => 'b',
                m if m.contains(Modifier::DIM) => 'd',
                _ => '.',
            });
        }
        let _ = writeln!(text, "{}", line(buffer, y).trim_end());
        let _ = writeln!(styles, "{}", format!("{y:>2} {}", marks.trim_end_matches('.')).trim_end());
    }
    format!("{text}--- styles\n{styles}")
}

/// An index of articles: (id, title, type, takes part, scores by reader).
pub fn article_index(readers: &[&str], rows: &[(&str, &str, SourceType, bool, &[f64])]) -> Answer {
    let ids = readers.iter().map(|id| ProfileId::new(*id).expect("id")).collect();
    let mut index = ArticleIndex::for_readers(ids);
    let mut interned = std::collections::HashMap::new();
    for (row, (id, title, kind, takes_part, scores)) in rows.iter().enumerate() {
        let brief =
            Brief { id, title, source: "Gazette", kind: *kind, language: Some("en"), published: None, takes_part: *takes_part };
        index.push(&brief, &mut interned);
        for (reader, score) in scores.iter().enumerate() {
            index.set_score(row, reader, *score);
        }
    }
    Answer::ArticleIndex(Arc::new(index))
}
