//! Articles for a front end: an index of all of them in a few bytes each, search over it, and one article whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use super::{Library, Read};
use crate::dataset::Likeness;
use crate::distill::quality::languages_of;
use crate::domain::{Article, ArticleId, Bands, ProfileId, SourceType};
use crate::engine::job::Failure;
use crate::engine::phases::{Drawing, selected_profiles};
use crate::workspace::BriefScore;

/// From this score on an article counts as relevant to a reader: just above the middle of the scale.
pub const RELEVANT: f64 = 5.5;

/// No score, where a score is kept as tenths.
const NO_SCORE: u8 = u8::MAX;

/// Every article of the workspace in the order it was stored. Text stands in
/// one string, sources and categories once each, scores as tenths: about 130 bytes an article.
#[derive(Debug, Clone, Default)]
pub struct ArticleIndex {
    /// Id, then title, of row after row.
    text: String,
    /// Where a row's id begins and where its title does.
    starts: Vec<(u32, u32)>,
    names: Vec<String>,
    sources: Vec<u32>,
    kinds: Vec<SourceType>,
    /// Places in [`Self::codes`]; 0 is unknown.
    languages: Vec<u8>,
    codes: Vec<&'static str>,
    /// Days since 0000-03-01 of the day it was published; `i32::MIN`: unknown.
    published: Vec<i32>,
    readers: Vec<ProfileId>,
    /// Row-major, one cell for each reader: tenths of a score, [`NO_SCORE`] where there is none.
    scores: Vec<u8>,
    taking_part: Vec<bool>,
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ArticleSort {
    /// As stored.
    #[default]
    Order,
    Title,
    Source,
    Newest,
    /// Highest score of any reader first.
    Highest,
    /// Articles on which readers differ most first.
    Spread,
}

impl ArticleSort {
    pub const ALL: [Self; 6] = [Self::Order, Self::Title, Self::Source, Self::Newest, Self::Highest, Self::Spread];

    pub fn label(self) -> &'static str {
        match self {
            Self::Order => "as stored",
            Self::Title => "title",
            Self::Source => "source",
            Self::Newest => "newest",
            Self::Highest => "highest score",
            Self::Spread => "readers differ most",
        }
    }
}

/// Rows that a filter leaves.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Rows of the index, in order.
    pub rows: Vec<u32>,
    /// A word of the filter that means nothing, e.g. an unknown band.
    pub remark: Option<String>,
}

/// One article and what is known of it.
#[derive(Debug, Clone)]
pub struct ArticleView {
    pub article: Article,
    pub scores: Vec<ReaderScore>,
}

/// A score an article has for a reader, and who gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderScore {
    pub reader: ProfileId,
    pub score: f64,
    pub by: String,
    pub reason: String,
}

/// Another article that says the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    pub id: ArticleId,
    pub title: String,
    /// "same url", "same title", "near text (84 %)"
    pub why: String,
}

impl ArticleIndex {
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// How many take part in this workspace's runs.
    pub fn selected(&self) -> usize {
        self.taking_part.iter().filter(|part| **part).count()
    }

    pub fn takes_part(&self, row: usize) -> bool {
        self.taking_part[row]
    }

    pub fn readers(&self) -> &[ProfileId] {
        &self.readers
    }

    pub fn id(&self, row: usize) -> &str {
        let (id, title) = self.starts[row];
        &self.text[id as usize..title as usize]
    }

    pub fn title(&self, row: usize) -> &str {
        let end = self.starts.get(row + 1).map_or(self.text.len(), |(id, _)| *id as usize);
        &self.text[self.starts[row].1 as usize..end]
    }

    pub fn source(&self, row: usize) -> &str {
        &self.names[self.sources[row] as usize]
    }

    pub fn kind(&self, row: usize) -> SourceType {
        self.kinds[row]
    }

    pub fn language(&self, row: usize) -> Option<&'static str> {
        self.codes.get(usize::from(self.languages[row]).wrapping_sub(1)).copied()
    }

    /// Scores by reader, in the order of [`Self::readers`].
    pub fn scores(&self, row: usize) -> impl Iterator<Item = Option<f64>> + '_ {
        let cells = &self.scores[row * self.readers.len()..(row + 1) * self.readers.len()];
        cells.iter().map(|tenths| (*tenths != NO_SCORE).then(|| f64::from(*tenths) / 10.0))
    }

    /// The row of an id; looks at every one.
    pub fn row_of(&self, id: &str) -> Option<usize> {
        (0..self.len()).find(|row| self.id(*row) == id)
    }

    /// Puts an article behind the others.
    pub fn push(&mut self, brief: &Brief<'_>, interned: &mut HashMap<String, u32>) {
        let id = self.text.len();
        self.text.push_str(brief.id);
        let title = self.text.len();
        self.text.push_str(brief.title);
        self.starts.push((id as u32, title as u32));
        let source = *interned.entry(brief.source.to_owned()).or_insert_with(|| {
            self.names.push(brief.source.to_owned());
            (self.names.len() - 1) as u32
        });
        self.sources.push(source);
        self.kinds.push(brief.kind);
        self.taking_part.push(brief.takes_part);
        let language = self.code(brief.language);
        self.languages.push(language);
        self.published.push(day(brief.published));
        self.scores.extend(std::iter::repeat_n(NO_SCORE, self.readers.len()));
    }

    fn code(&mut self, language: Option<&'static str>) -> u8 {
        let Some(language) = language else { return 0 };
        let at = self.codes.iter().position(|code| *code == language).unwrap_or_else(|| {
            self.codes.push(language);
            self.codes.len() - 1
        });
        u8::try_from(at + 1).unwrap_or(0)
    }

    /// An empty index for these readers.
    pub fn for_readers(readers: Vec<ProfileId>) -> Self {
        Self { readers, ..Self::default() }
    }

    pub fn set_score(&mut self, row: usize, reader: usize, score: f64) {
        if let Some(cell) = self.scores.get_mut(row * self.readers.len() + reader) {
            *cell = (score.clamp(0.0, 25.0) * 10.0).round() as u8;
        }
    }

    fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.scores.shrink_to_fit();
    }

    fn highest(&self, row: usize) -> u8 {
        let cells = &self.scores[row * self.readers.len()..(row + 1) * self.readers.len()];
        cells.iter().copied().filter(|c| *c != NO_SCORE).max().map_or(0, |c| c + 1)
    }

    fn spread(&self, row: usize) -> u8 {
        let cells = &self.scores[row * self.readers.len()..(row + 1) * self.readers.len()];
        let known = || cells.iter().copied().filter(|c| *c != NO_SCORE);
        known().max().unwrap_or(0) - known().min().unwrap_or(0)
    }

    /// Puts rows in an order; equal ones stay as they were.
    pub fn sort(&self, rows: &mut [u32], sort: ArticleSort) {
        use std::cmp::Reverse;
        match sort {
            ArticleSort::Order => {}
            ArticleSort::Title => rows.sort_by_cached_key(|r| self.title(*r as usize).to_lowercase()),
            ArticleSort::Source => rows.sort_by_key(|r| self.source(*r as usize)),
            ArticleSort::Newest => rows.sort_by_key(|r| Reverse(self.published[*r as usize])),
            ArticleSort::Highest => rows.sort_by_key(|r| Reverse(self.highest(*r as usize))),
            ArticleSort::Spread => rows.sort_by_key(|r| Reverse(self.spread(*r as usize))),
        }
    }

    /// Whether a row has what a filter asks for, apart from its plain words.
    fn passes(&self, row: usize, terms: &Terms) -> bool {
        terms.kinds.iter().all(|kind| self.kinds[row].to_string().starts_with(kind.as_str()))
            && terms.languages.iter().all(|code| self.language(row).is_some_and(|l| l.starts_with(code.as_str())))
            && terms.selected.is_none_or(|wanted| self.taking_part[row] == wanted)
            && terms.scored.is_none_or(|wanted| self.scores(row).any(|s| s.is_some()) == wanted)
            && self.passes_scores(row, terms)
    }

    /// With a reader and a band, that reader's score lies in the band; with a reader alone it is relevant; with a band alone
    /// any reader's score lies in it.
    fn passes_scores(&self, row: usize, terms: &Terms) -> bool {
        if terms.readers.is_empty() && terms.bands.is_empty() {
            return true;
        }
        let wanted = |score: f64| match terms.bands.as_slice() {
            [] => score >= RELEVANT,
            bands => bands.iter().any(|(low, high)| score >= *low && score < *high),
        };
        let named = |reader: &ProfileId| {
            terms.readers.is_empty() || terms.readers.iter().any(|r| reader.as_str().to_lowercase().starts_with(r.as_str()))
        };
        self.scores(row).zip(&self.readers).any(|(score, reader)| named(reader) && score.is_some_and(wanted))
    }

    fn says(&self, row: usize, word: &str) -> bool {
        contains(self.title(row), word) || contains(self.source(row), word) || contains(self.id(row), word)
    }
}

/// What the index takes of an article.
pub struct Brief<'a> {
    pub id: &'a str,
    pub title: &'a str,
    pub source: &'a str,
    pub kind: SourceType,
    pub language: Option<&'static str>,
    pub published: Option<&'a str>,
    pub takes_part: bool,
}

/// Days on a calendar without gaps, for ordering alone.
fn day(published: Option<&str>) -> i32 {
    let date = published.and_then(|text| text.get(..10)).and_then(|text| text.parse::<jiff::civil::Date>().ok());
    date.map_or(i32::MIN, |d| i32::from(d.year()) * 372 + i32::from(d.month()) * 31 + i32::from(d.day()))
}

/// A filter, read: `source:official band:critical profile:texas_nurse lang:en is:selected is:scored words`.
#[derive(Debug, Clone, Default, PartialEq)]
struct Terms {
    kinds: Vec<String>,
    bands: Vec<(f64, f64)>,
    readers: Vec<String>,
    languages: Vec<String>,
    selected: Option<bool>,
    scored: Option<bool>,
    words: Vec<String>,
    remark: Option<String>,
}

impl Terms {
    /// A field without a value is still being typed and asks for nothing.
    fn read(filter: &str, bands: &Bands) -> Self {
        let mut terms = Self::default();
        for term in filter.to_lowercase().split_whitespace() {
            match term.split_once(':') {
                Some(("source" | "band" | "profile" | "lang" | "is" | "not", "")) => {}
                Some(("source", kind)) => terms.kinds.push(kind.to_owned()),
                Some(("lang", code)) => terms.languages.push(code.to_owned()),
                Some(("profile", reader)) => terms.readers.push(reader.to_owned()),
                Some(("band", name)) => terms.band(name, bands),
                Some((sign @ ("is" | "not"), "selected")) => terms.selected = Some(sign == "is"),
                Some((sign @ ("is" | "not"), "scored")) => terms.scored = Some(sign == "is"),
                Some((sign @ ("is" | "not"), what)) if !["selected", "scored"].iter().any(|w| w.starts_with(what)) => {
                    terms.remark = Some(format!("{sign}:{what} is unknown; there are selected and scored"));
                }
                Some(("is" | "not", _)) => {}
                _ => terms.words.push(term.to_owned()),
            }
        }
        terms
    }

    fn band(&mut self, name: &str, bands: &Bands) {
        let edges: Vec<f64> = bands.edges().chain([f64::INFINITY]).collect();
        let before = self.bands.len();
        for (index, _) in bands.names().enumerate().filter(|(_, known)| known.to_lowercase().starts_with(name)) {
            self.bands.push((edges[index], edges[index + 1]));
        }
        if self.bands.len() == before {
            let names: Vec<&str> = bands.names().collect();
            self.remark = Some(format!("there is no band '{name}'; there are {}", names.join(", ")));
            self.bands.push((f64::INFINITY, f64::INFINITY));
        }
    }
}

/// Whether `text` has `word`, which is lower case, in any case. Allocates only where the text is not plain ASCII.
fn contains(text: &str, word: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(word);
    }
    let (text, word) = (text.as_bytes(), word.as_bytes());
    match word.first() {
        None => true,
        Some(_) if word.len() > text.len() => false,
        Some(first) => (0..=text.len() - word.len())
            .any(|at| text[at].eq_ignore_ascii_case(first) && text[at..at + word.len()].eq_ignore_ascii_case(word)),
    }
}

impl Library {
    /// The index; `fresh`: read again, else as it was read last.
    pub(super) fn article_index(&mut self, fresh: bool) -> Read<Arc<ArticleIndex>> {
        let known = self.index.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(index), false) = (known, fresh) {
            return Ok(index);
        }
        let index = Arc::new(self.read_index()?);
        // Both of the library's threads hold the same one: it is the largest thing in a console.
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.clone());
        Ok(index)
    }

    fn read_index(&self) -> Read<ArticleIndex> {
        let config = &self.workspace.config;
        let readers = selected_profiles(self.ledger.profiles()?, &config.select).into_iter().map(|p| p.id).collect();
        let mut drawing = Drawing::new(&config.select, config.seed);
        self.ledger.each_article_origin(|id, origin| drawing.see(id, origin))?;
        let drawn = drawing.drawn();
        let mut index = ArticleIndex::for_readers(readers);
        let mut interned = HashMap::new();
        self.ledger.each_article(|article, origin| {
            index.push(&brief(&article, drawn.takes(article.id.as_str(), origin)), &mut interned);
        })?;
        self.score_index(&mut index)?;
        index.shrink();
        Ok(index)
    }

    /// Imported labels first, so that the teacher's own newest answer stands where there are both.
    fn score_index(&self, index: &mut ArticleIndex) -> Read<()> {
        let rows: HashMap<&str, usize> = (0..index.len()).map(|row| (index.id(row), row)).collect();
        let readers: HashMap<&str, usize> = index.readers.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        let mut cells: Vec<(usize, usize, f64)> = Vec::new();
        let mut take = |score: &BriefScore| {
            if let (Some(row), Some(reader)) = (rows.get(score.article.as_str()), readers.get(score.profile.as_str())) {
                cells.push((*row, *reader, score.score));
            }
        };
        self.ledger.each_label_score(&mut take)?;
        let teacher = &self.workspace.config.teacher;
        self.ledger.each_trace_score(&teacher.provider, &teacher.model, &mut take)?;
        drop((rows, readers));
        for (row, reader, score) in cells {
            index.set_score(row, reader, score);
        }
        Ok(())
    }

    pub(super) fn find_articles(&mut self, filter: &str, sort: ArticleSort, deep: bool) -> Read<Found> {
        let index = self.article_index(false)?;
        let terms = Terms::read(filter, &self.workspace.recipe.bands);
        let mut rows: Vec<u32> = Vec::new();
        let told: Option<Vec<HashSet<String>>> = if deep { Some(self.summaries_with(&terms.words)?) } else { None };
        for row in 0..index.len() {
            let says = |(nth, word): (usize, &String)| {
                index.says(row, word) || told.as_ref().is_some_and(|told| told[nth].contains(index.id(row)))
            };
            if index.passes(row, &terms) && terms.words.iter().enumerate().all(says) {
                rows.push(row as u32);
            }
        }
        index.sort(&mut rows, sort);
        Ok(Found { rows, remark: terms.remark })
    }

    /// For each word, the articles whose summary or keywords have it.
    fn summaries_with(&self, words: &[String]) -> Read<Vec<HashSet<String>>> {
        let mut found = vec![HashSet::new(); words.len()];
        if words.is_empty() {
            return Ok(found);
        }
        self.ledger.each_article(|article, _| {
            for (word, hits) in words.iter().zip(&mut found) {
                if contains(&article.summary, word) || article.keywords.iter().any(|k| contains(k, word)) {
                    hits.insert(article.id.as_str().to_owned());
                }
            }
        })?;
        Ok(found)
    }

    pub(super) fn article(&mut self, id: &ArticleId) -> Read<ArticleView> {
        let gone = || Failure::new(format!("article {id} is not stored any more"), "Look at the list again.");
        let article = self.ledger.article(id)?.ok_or_else(gone)?;
        let mut scores: BTreeMap<ProfileId, ReaderScore> = BTreeMap::new();
        for score in self.ledger.scores_of(id)? {
            let Ok(reader) = ProfileId::new(score.profile) else { continue };
            // Labels come first, the teachers' traces after them, the newest last.
            scores.insert(reader.clone(), ReaderScore { reader, score: score.score, by: score.by, reason: score.reason });
        }
        Ok(ArticleView { article, scores: scores.into_values().collect() })
    }

    pub(super) fn neighbours(&mut self, id: &ArticleId) -> Read<Vec<Neighbour>> {
        let Some(article) = self.ledger.article(id)? else { return Ok(Vec::new()) };
        let likeness = Likeness::to(&article);
        let mut found = Vec::new();
        self.ledger.each_article(|other, _| {
            if other.id != *id
                && let Some(reason) = likeness.of(&other)
            {
                found.push(Neighbour { id: other.id, title: other.title, why: reason.to_string() });
            }
        })?;
        Ok(found)
    }
}

/// Characters of a summary that its language is told by: enough words to know, few enough for every article.
const LANGUAGE_CHARS: usize = 160;

fn brief(article: &Article, takes_part: bool) -> Brief<'_> {
    let end = article.summary.char_indices().nth(LANGUAGE_CHARS).map_or(article.summary.len(), |(at, _)| at);
    Brief {
        id: article.id.as_str(),
        title: &article.title,
        source: &article.source,
        kind: article.source_type,
        language: languages_of(&article.summary[..end]).first().copied(),
        published: article.published.as_deref(),
        takes_part,
    }
}

#[cfg(test)]
mod tests;
