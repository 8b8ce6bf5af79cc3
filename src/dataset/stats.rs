//! Statistics: the figures an operator acknowledges before training starts.
//!
//! Owns the numbers; `report` words them. Every number is of a built dataset, none is an estimate.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::{Recipe, one_line};

use super::balance::{Balance, TargetOutcome};
use super::cluster::Clusters;
use super::contrastive::{self, ContrastivePair, ScoredRow};
use super::example::{Example, Selection, Side};
use super::report;
use super::tokens::TokenStats;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    pub rows: usize,
    pub articles: usize,
    pub clusters: usize,
    pub profiles: usize,
    pub train: usize,
    pub eval: usize,
    pub train_clusters: usize,
    pub eval_clusters: usize,
    /// Training rows read in an epoch, repeats included.
    pub epoch: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileStats {
    pub profile: String,
    pub train: usize,
    /// Training rows with their repeats.
    pub epoch: usize,
    pub eval: usize,
    pub mean_score: f64,
    /// Rows of both sides in each band, lowest band first.
    pub bands: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BandStats {
    pub band: String,
    pub train: usize,
    pub epoch: usize,
    pub eval: usize,
}

/// Words of the think blocks of one tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierStats {
    pub tier: String,
    /// What the recipe asks for.
    pub range: (usize, usize),
    pub n: usize,
    pub min: usize,
    pub median: f64,
    pub mean: f64,
    pub max: usize,
    pub outside: usize,
}

impl TierStats {
    pub fn outside_share(&self) -> f64 {
        self.outside as f64 / self.n.max(1) as f64
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetStats {
    pub recipe: String,
    pub seed: u64,
    pub totals: Totals,
    pub by_profile: Vec<ProfileStats>,
    pub by_band: Vec<BandStats>,
    pub mix: Vec<TargetOutcome>,
    pub max_repeat: usize,
    /// Largest distance, in rows, of a (reader, band) from its held-out quota.
    pub worst_stratum_gap: f64,
    pub think: Vec<TierStats>,
    pub flagged: usize,
    /// Rejected before they became traces, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// Left out when the dataset was built, by reason.
    pub quarantined: BTreeMap<String, usize>,
    /// Held out by the seal, by what of the pair is sealed.
    #[serde(default)]
    pub set_aside: BTreeMap<String, usize>,
    /// Articles joined to another, by reason.
    pub joins: BTreeMap<String, usize>,
    pub contrastive_delta: f64,
    pub contrastive_pairs: usize,
    pub contrastive_examples: Vec<ContrastivePair>,
    /// Share of rows whose pair was not screened first.
    pub unscreened_share: f64,
    pub by_teacher: BTreeMap<String, usize>,
    /// The most frequent score and its rows.
    pub modal_score: Option<(f64, usize)>,
    pub tokens: Option<TokenStats>,
}

/// What the statistics are of.
pub(super) struct Subject<'a> {
    pub recipe: &'a Recipe,
    pub seed: u64,
    pub examples: &'a [Example],
    pub clusters: &'a Clusters,
    pub balance: &'a Balance,
    pub worst_stratum_gap: f64,
    pub rejected: BTreeMap<String, usize>,
    pub quarantined: BTreeMap<String, usize>,
    pub set_aside: BTreeMap<String, usize>,
}

const SHOWN_PAIRS: usize = 5;

impl DatasetStats {
    pub(super) fn of(subject: Subject<'_>) -> Self {
        let Subject { recipe, seed, examples, clusters, balance, worst_stratum_gap, rejected, quarantined, set_aside } = subject;
        let scored: Vec<ScoredRow> = examples
            .iter()
            .map(|e| ScoredRow { article: e.pair.article.clone(), profile: e.pair.profile.clone(), score: e.score })
            .collect();
        let delta = recipe.data.contrastive_delta;
        let (contrastive_examples, contrastive_pairs) = contrastive::top(&scored, delta, SHOWN_PAIRS);
        let unscreened = examples.iter().filter(|e| e.provenance.selection != Selection::Screened).count();
        let mut by_teacher: BTreeMap<String, usize> = BTreeMap::new();
        for e in examples {
            *by_teacher.entry(one_line(&format!("{} {}", e.provenance.teacher, e.provenance.model), 60)).or_default() += 1;
        }
        Self {
            recipe: recipe.name.clone(),
            seed,
            totals: totals(examples, clusters),
            by_profile: by_profile(recipe, examples),
            by_band: by_band(recipe, examples),
            mix: balance.achieved.clone(),
            max_repeat: recipe.data.max_repeat,
            worst_stratum_gap,
            think: think(recipe, examples),
            flagged: examples.iter().filter(|e| e.flagged).count(),
            rejected,
            quarantined,
            set_aside,
            joins: clusters.joins_by_reason().into_iter().map(|(k, n)| (k.to_owned(), n)).collect(),
            contrastive_delta: delta,
            contrastive_pairs,
            contrastive_examples,
            unscreened_share: unscreened as f64 / examples.len().max(1) as f64,
            by_teacher,
            modal_score: modal_score(examples),
            tokens: None,
        }
    }

    /// The report as lines of at most 80 columns.
    pub fn lines(&self) -> Vec<String> {
        report::lines(self)
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        report::markdown(self)
    }
}

fn on(examples: &[Example], side: Side) -> impl Iterator<Item = &Example> {
    examples.iter().filter(move |e| e.split == side)
}

fn totals(examples: &[Example], clusters: &Clusters) -> Totals {
    let clusters_on = |side| on(examples, side).map(|e| clusters.cluster_of(&e.pair.article)).collect::<BTreeSet<_>>().len();
    let (train_clusters, eval_clusters) = (clusters_on(Side::Train), clusters_on(Side::Eval));
    Totals {
        rows: examples.len(),
        articles: examples.iter().map(|e| &e.pair.article).collect::<BTreeSet<_>>().len(),
        clusters: train_clusters + eval_clusters,
        profiles: examples.iter().map(|e| &e.pair.profile).collect::<BTreeSet<_>>().len(),
        train: on(examples, Side::Train).count(),
        eval: on(examples, Side::Eval).count(),
        train_clusters,
        eval_clusters,
        epoch: on(examples, Side::Train).map(|e| e.repeats as usize).sum(),
    }
}

fn by_profile(recipe: &Recipe, examples: &[Example]) -> Vec<ProfileStats> {
    let mut rows: BTreeMap<&str, Vec<&Example>> = BTreeMap::new();
    for e in examples {
        rows.entry(e.pair.profile.as_str()).or_default().push(e);
    }
    let one = |(profile, rows): (&str, Vec<&Example>)| {
        let train = || rows.iter().filter(|e| e.split == Side::Train);
        ProfileStats {
            profile: profile.to_owned(),
            train: train().count(),
            epoch: train().map(|e| e.repeats as usize).sum(),
            eval: rows.iter().filter(|e| e.split == Side::Eval).count(),
            mean_score: rows.iter().map(|e| e.score).sum::<f64>() / rows.len().max(1) as f64,
            bands: recipe.bands.names().map(|band| rows.iter().filter(|e| e.band == band).count()).collect(),
        }
    };
    rows.into_iter().map(one).collect()
}

fn by_band(recipe: &Recipe, examples: &[Example]) -> Vec<BandStats> {
    let one = |band: &str| {
        let train = || on(examples, Side::Train).filter(move |e| e.band == band);
        BandStats {
            band: band.to_owned(),
            train: train().count(),
            epoch: train().map(|e| e.repeats as usize).sum(),
            eval: on(examples, Side::Eval).filter(|e| e.band == band).count(),
        }
    };
    recipe.bands.names().map(one).collect()
}

fn think(recipe: &Recipe, examples: &[Example]) -> Vec<TierStats> {
    if !recipe.student.think {
        return Vec::new();
    }
    let one = |tier: &crate::domain::Tier| {
        let mut words: Vec<usize> = examples.iter().filter(|e| e.tier == tier.name).map(|e| e.words).collect();
        words.sort_unstable();
        let n = words.len();
        let at = |i: usize| words.get(i).copied().unwrap_or(0);
        TierStats {
            tier: tier.name.clone(),
            range: (tier.min_words, tier.max_words),
            n,
            min: at(0),
            median: (at(n.saturating_sub(1) / 2) + at(n / 2)) as f64 / 2.0,
            mean: words.iter().sum::<usize>() as f64 / n.max(1) as f64,
            max: at(n.saturating_sub(1)),
            outside: words.iter().filter(|w| !(tier.min_words..=tier.max_words).contains(w)).count(),
        }
    };
    recipe.depth.tiers.iter().map(one).collect()
}

fn modal_score(examples: &[Example]) -> Option<(f64, usize)> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for e in examples {
        *counts.entry((e.score * 10.0).round() as i64).or_default() += 1;
    }
    // The lower score where two are as frequent.
    let (tenths, n) = counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))?;
    Some((tenths as f64 / 10.0, n))
}
