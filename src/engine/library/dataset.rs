//! The dataset for a front end: an index of every example, one of them whole, the loss mask, what was left out.
//!
//! Owns the index and the filter over it; how a dataset is built and what its figures mean is `dataset`'s own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Found, Library, Read};
use crate::dataset::contrastive::{self, ContrastivePair, ScoredRow};
use crate::dataset::{DatasetStats, Example, OrderRow, Quarantined, SamplerReport, Side, order};
use crate::domain::recipe::{OrderStrategy, RunRules};
use crate::domain::{Bands, Digest, Phase};
use crate::engine::job::Failure;
use crate::engine::phases::{StoredDataset, load_dataset, load_quarantine, sampler};
use crate::engine::subject::codec;
use crate::student::Codec;

/// Rows of the first epoch's order that are shown.
const ORDER_SHOWN: usize = 400;
/// Contrastive pairs that are shown, each of another article; the count is of all.
const PAIRS_SHOWN: usize = 200;

/// One example in a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExampleRow {
    pub id: String,
    pub held_out: bool,
    pub score: f64,
    pub band: String,
    pub reader: String,
    pub tokens: usize,
    pub repeats: u32,
}

/// Every example in a line each, and the figures over them.
#[derive(Debug, Clone)]
pub struct DatasetIndex {
    pub digest: Digest,
    pub stats: DatasetStats,
    pub rows: Vec<ExampleRow>,
    /// Shares of what training reads, band by band: repeats and the sampler's weights count.
    pub read: Vec<f64>,
    /// Drawn by weight, or read as often as they repeat, in which order.
    pub strategy: OrderStrategy,
    /// The first rows of the first epoch, as rows of this index.
    pub order: Vec<u32>,
    /// Rows read in the first epoch.
    pub epoch: usize,
    /// The pairs furthest apart.
    pub pairs: Vec<ContrastivePair>,
}

/// One example whole.
#[derive(Debug, Clone)]
pub struct ExampleView {
    pub example: Example,
    pub tokens: usize,
    /// Why the article's judgement counts, in words: teacher, file and line.
    pub origin: String,
}

/// What the loss sees of one example.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskView {
    pub example: String,
    /// (text of the token, trained on)
    pub tokens: Vec<(String, bool)>,
}

/// What was left out of the dataset: counts over all, and the rows that a filter leaves.
#[derive(Debug, Clone, Default)]
pub struct QuarantineView {
    pub total: usize,
    /// (reason, rows), most rows first.
    pub reasons: Vec<(String, usize)>,
    pub rows: Vec<Quarantined>,
}

/// A dataset as it was read last, so that a filter or an example does not read it again.
pub(super) struct Loaded {
    stored: StoredDataset,
    index: Arc<DatasetIndex>,
    codec: Option<Codec>,
}

impl Library {
    /// The current dataset, read again only where it is another one.
    fn dataset(&mut self) -> Read<&mut Loaded> {
        let record = self.ledger.last_record(Phase::Dataset)?;
        let none = || Failure::new("there is no dataset yet", "Build it with 'stratos dataset build'.");
        let digest = record.ok_or_else(none)?.output;
        if self.dataset.as_ref().is_some_and(|loaded| loaded.stored.digest != digest) {
            self.dataset = None;
        }
        if self.dataset.is_none() {
            let stored = load_dataset(&self.workspace, &digest)?;
            let recipe = &self.workspace.recipe;
            let seedling = self.workspace.config.student.base == "seedling";
            let run = if seedling { &recipe.seedling.run } else { &recipe.train.run };
            let terms = Terms { run, bands: &recipe.bands, middle: recipe.scale.middle(), seed: self.workspace.config.seed };
            let index = Arc::new(index(&stored, &terms, recipe.data.contrastive_delta));
            self.dataset = Some(Loaded { stored, index, codec: None });
        }
        self.dataset.as_mut().ok_or_else(none)
    }

    pub(super) fn dataset_index(&mut self) -> Read<Arc<DatasetIndex>> {
        Ok(self.dataset()?.index.clone())
    }

    pub(super) fn find_examples(&mut self, filter: &str) -> Read<Found> {
        let index = self.dataset_index()?;
        let names: Vec<&str> = self.workspace.recipe.bands.names().collect();
        let wanted = Filter::read(filter, &names);
        let rows = (0u32..).zip(&index.rows).filter(|(_, row)| wanted.takes(row)).map(|(at, _)| at).collect();
        Ok(Found { rows, remark: wanted.remark })
    }

    pub(super) fn example(&mut self, id: &str) -> Read<ExampleView> {
        let (at, example) = self.dataset()?.find(id)?;
        let loaded = self.dataset()?;
        let p = &example.provenance;
        let mut origin = format!("{} {} ({})", p.teacher, p.model, if p.annotator.is_empty() { "teacher" } else { &p.annotator });
        if let Some(file) = &p.file {
            origin = format!("{origin}, {} line {}", file.file, file.line);
        }
        Ok(ExampleView { tokens: loaded.stored.tokens.get(at).copied().unwrap_or(0), origin, example })
    }

    pub(super) fn mask(&mut self, id: &str) -> Read<MaskView> {
        let workspace = self.workspace.clone();
        let loaded = self.dataset()?;
        let (_, example) = loaded.find(id)?;
        let read = match loaded.codec.take() {
            Some(read) => read,
            None => codec(&workspace, &loaded.stored.digest)?,
        };
        let pieces = read.mask(&example.messages);
        loaded.codec = Some(read);
        let tokens = pieces?.into_iter().map(|piece| (piece.text, piece.loss)).collect();
        Ok(MaskView { example: id.to_owned(), tokens })
    }

    pub(super) fn quarantine(&mut self, filter: &str) -> Read<QuarantineView> {
        let digest = self.dataset()?.stored.digest.clone();
        let rows = load_quarantine(&self.workspace, &digest)?;
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in &rows {
            *counts.entry(row.reason.clone()).or_default() += 1;
        }
        let mut reasons: Vec<(String, usize)> = counts.into_iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let words: Vec<String> = filter.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let total = rows.len();
        let says = |row: &Quarantined| {
            let file = row.file.as_ref().map_or("", |f| f.file.as_str());
            let text = format!("{} {} {} {} {file}", row.reason, row.article, row.profile, row.annotator).to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        Ok(QuarantineView { total, reasons, rows: rows.into_iter().filter(says).collect() })
    }

    pub(super) fn sampler(&self) -> Read<SamplerReport> {
        sampler(&self.workspace)
    }
}

impl Loaded {
    fn find(&self, id: &str) -> Read<(usize, Example)> {
        let found = self.stored.examples.iter().enumerate().find(|(_, e)| e.id == id);
        let none = || Failure::new(format!("there is no example '{id}' in the dataset"), "Pick one from the list.");
        found.map(|(at, example)| (at, example.clone())).ok_or_else(none)
    }
}

/// What the order of reading depends on.
struct Terms<'a> {
    run: &'a RunRules,
    bands: &'a Bands,
    middle: f64,
    seed: u64,
}

fn index(stored: &StoredDataset, terms: &Terms<'_>, delta: f64) -> DatasetIndex {
    let row = |(e, tokens): (&Example, &usize)| ExampleRow {
        id: e.id.clone(),
        held_out: e.split == Side::Eval,
        score: e.score,
        band: e.band.clone(),
        reader: e.pair.profile.to_string(),
        tokens: *tokens,
        repeats: e.repeats,
    };
    let train: Vec<(u32, &Example)> = (0..).zip(&stored.examples).filter(|(_, e)| e.split == Side::Train).collect();
    let cells: Vec<OrderRow> = train.iter().map(|(_, e)| OrderRow::new(e.score, e.repeats, terms.run, terms.bands)).collect();
    let first = order(&cells, terms.run.order, terms.middle, terms.seed, 0);
    let weighted = terms.run.order == OrderStrategy::Weighted;
    let judged = stored.examples.iter().map(|e| ScoredRow {
        article: e.pair.article.clone(),
        profile: e.pair.profile.clone(),
        score: e.score,
    });
    let (pairs, _) = contrastive::top(&judged.collect::<Vec<_>>(), delta, PAIRS_SHOWN);
    DatasetIndex {
        digest: stored.digest.clone(),
        stats: stored.stats.clone(),
        rows: stored.examples.iter().zip(&stored.tokens).map(row).collect(),
        read: read(&cells, &train, weighted, terms.bands),
        strategy: terms.run.order,
        epoch: first.len(),
        order: first.into_iter().take(ORDER_SHOWN).filter_map(|at| train.get(at as usize)).map(|(row, _)| *row).collect(),
        pairs,
    }
}

/// Shares of an epoch by band.
fn read(cells: &[OrderRow], train: &[(u32, &Example)], weighted: bool, bands: &Bands) -> Vec<f64> {
    let mut sums = vec![0.0; bands.len()];
    for (cell, (_, e)) in cells.iter().zip(train) {
        let weight = if weighted { cell.weight } else { 1.0 };
        sums[bands.index(e.score)] += weight * f64::from(cell.repeats);
    }
    let all = sums.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    sums.into_iter().map(|n| n / all).collect()
}

/// `band:critical profile:texas_nurse side:held words`
#[derive(Debug, Default)]
struct Filter {
    bands: Vec<String>,
    readers: Vec<String>,
    held_out: Option<bool>,
    words: Vec<String>,
    remark: Option<String>,
}

impl Filter {
    /// A field without a value is still being typed and asks for nothing.
    fn read(text: &str, bands: &[&str]) -> Self {
        let mut filter = Self::default();
        for term in text.to_lowercase().split_whitespace() {
            match term.split_once(':') {
                Some(("band" | "profile" | "side", "")) => {}
                Some(("band", name)) => {
                    if !bands.iter().any(|band| band.to_lowercase().starts_with(name)) {
                        filter.remark = Some(format!("there is no band '{name}'; there are {}", bands.join(", ")));
                    }
                    filter.bands.push(name.to_owned());
                }
                Some(("profile", reader)) => filter.readers.push(reader.to_owned()),
                Some(("side", side)) if "train".starts_with(side) => filter.held_out = Some(false),
                Some(("side", side)) if "held".starts_with(side) => filter.held_out = Some(true),
                Some(("side", side)) => filter.remark = Some(format!("side:{side} is unknown; there are train and held")),
                _ => filter.words.push(term.to_owned()),
            }
        }
        filter
    }

    /// Bands and readers by their beginning, one of those named; every word somewhere in the id.
    fn takes(&self, row: &ExampleRow) -> bool {
        let begins = |names: &[String], text: &str| {
            names.is_empty() || names.iter().any(|name| text.to_lowercase().starts_with(name.as_str()))
        };
        self.held_out.is_none_or(|side| side == row.held_out)
            && begins(&self.bands, &row.band)
            && begins(&self.readers, &row.reader)
            && self.words.iter().all(|word| row.id.to_lowercase().contains(word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, band: &str, reader: &str, held_out: bool) -> ExampleRow {
        let (band, reader) = (band.into(), reader.into());
        ExampleRow { id: id.into(), held_out, score: 1.0, band, reader, tokens: 9, repeats: 1 }
    }

    #[test]
    fn a_filter_takes_bands_readers_and_sides_by_their_beginning_and_words_anywhere() {
        let rows =
            [row("A1|nurse", "high", "nurse", false), row("a2|nurse", "low", "nurse", true), row("b1|cook", "low", "cook", true)];
        for (filter, wanted) in [
            ("", vec![0, 1, 2]),
            ("band:lo", vec![1, 2]),
            ("band:lo band:high profile:nur", vec![0, 1]),
            ("side:h b1", vec![2]),
            ("side:train a1", vec![0]),
            ("side: profile: band:", vec![0, 1, 2]),
            ("nurse a", vec![0, 1]),
        ] {
            let read = Filter::read(filter, &["low", "high"]);
            let found: Vec<usize> = (0..rows.len()).filter(|at| read.takes(&rows[*at])).collect();
            assert_eq!((found, read.remark), (wanted, None), "{filter}");
        }
    }

    #[test]
    fn a_field_value_that_means_nothing_is_named() {
        for (filter, remark) in
            [("band:x", "there is no band 'x'; there are low, high"), ("side:x", "side:x is unknown; there are train and held")]
        {
            assert_eq!(Filter::read(filter, &["low", "high"]).remark.as_deref(), Some(remark));
        }
    }
}
