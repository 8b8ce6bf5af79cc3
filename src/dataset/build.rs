//! The build: traces in, a dataset out, with everything that was left out and why.
//!
//! Owns the order of the steps (quarantine, cluster, split, balance, statistics) and the digest that an operator's
//! acknowledgement is bound to. The rules of each step are its own module's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::recipe::{OrderStrategy, RecipeError, RunRules};
use crate::domain::{Answer, Article, ArticleId, Digest, Digester, FileLine, Profile, ProfileId, Recipe, Renderer, Role};
use crate::guards::Finding;

use super::balance::{Balance, balance};
use super::checks::{d1, d8, d10, d13, d16};
use super::cluster::{Clusters, cluster};
use super::contrastive::ScoredRow;
use super::example::{Example, Provenance, Side, SourcedTrace};
use super::figures;
use super::labels::why;
use super::order::{OrderRow, order};
use super::seal::{Held, Seal, Sealed, d3_sealed};
use super::split::{RowKey, Split, d3, split};
use super::stats::{DatasetStats, Subject};
use super::tokens::{TokenLengths, TokenStats};

#[derive(Debug, Clone, PartialEq, Error)]
pub enum DatasetError {
    #[error(
        "no judgement can be taught from ({given} given, {quarantined} quarantined); distill some pairs first, or import labels"
    )]
    Empty { given: usize, quarantined: usize },
    #[error("{rows} rows are more than a dataset can index")]
    TooLarge { rows: usize },
    #[error("token lengths of {lengths} rows for a dataset of {rows}; count them again for this dataset")]
    Lengths { lengths: usize, rows: usize },
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}

/// What a dataset is built from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub profiles: &'a [Profile],
    /// Everything that is known, also what has no trace: a chain of copies may lead through it.
    pub articles: &'a [Article],
    pub traces: &'a [SourcedTrace],
    /// Answers that never became traces, by reason; only reported.
    pub rejected: &'a BTreeMap<String, usize>,
    /// Imported labels that never became traces.
    pub left_out: &'a [Quarantined],
    /// Whose judgement of a pair counts.
    pub preference: &'a [String],
    /// What no row may touch.
    pub seal: Option<&'a Seal>,
}

impl<'a> Sources<'a> {
    /// Without imported labels, preferences or a seal.
    pub fn new(
        profiles: &'a [Profile],
        articles: &'a [Article],
        traces: &'a [SourcedTrace],
        rejected: &'a BTreeMap<String, usize>,
    ) -> Self {
        Self { profiles, articles, traces, rejected, left_out: &[], preference: &[], seal: None }
    }
}

/// Why a trace is not in the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineReason {
    ForbiddenScore,
    OutOfScale,
    UnknownArticle,
    UnknownProfile,
    /// The pair was judged by an annotator who is preferred, or twice by the same; the first stays.
    SecondOpinion,
    /// The target would not parse as the recipe's format.
    Unreadable,
}

impl QuarantineReason {
    pub fn label(self) -> &'static str {
        match self {
            Self::ForbiddenScore => why::FORBIDDEN,
            Self::OutOfScale => why::OUTSIDE,
            Self::UnknownArticle => why::UNKNOWN_ARTICLE,
            Self::UnknownProfile => why::UNKNOWN_READER,
            Self::SecondOpinion => why::TWICE,
            Self::Unreadable => why::UNREADABLE,
        }
    }
}

/// A judgement that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// As the source spells the ids.
    pub article: String,
    pub profile: String,
    /// `None`: there is no number.
    pub score: Option<f64>,
    /// A short wording that they are counted by.
    pub reason: String,
    pub annotator: String,
    /// Where it stood, if it was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileLine>,
}

impl Quarantined {
    fn of(sourced: &SourcedTrace, reason: QuarantineReason) -> Self {
        let SourcedTrace { trace, provenance } = sourced;
        Self {
            article: trace.pair.article.to_string(),
            profile: trace.pair.profile.to_string(),
            score: Some(trace.answer.score).filter(|score| score.is_finite()),
            reason: reason.label().into(),
            annotator: provenance.annotator.clone(),
            file: provenance.file.clone(),
        }
    }
}

/// Examples, split and balanced, with the figures and findings about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// In order of (article, profile); splits and orders are indices into it.
    pub examples: Vec<Example>,
    pub split: Split,
    pub clusters: Clusters,
    /// Of the training rows, in the order of `split.train`.
    pub balance: Balance,
    pub quarantined: Vec<Quarantined>,
    /// Judgements that the seal holds out, by what of them is sealed.
    pub set_aside: BTreeMap<Held, usize>,
    /// D1, D3, D8, D10, D13, D16, and those of `figures`.
    pub findings: Vec<Finding>,
    pub stats: DatasetStats,
    pub seed: u64,
    /// Over the content: ids, messages, scores, sides, repeats, seed.
    pub digest: Digest,
    middle: f64,
}

/// Builds the dataset. Guards that fail are findings, not errors: whether to stop is the registry's and the operator's.
pub fn build(recipe: &Recipe, sources: Sources<'_>, seed: u64) -> Result<Dataset, DatasetError> {
    let renderer = Renderer::new(recipe)?;
    let profiles: BTreeMap<&ProfileId, &Profile> = sources.profiles.iter().rev().map(|p| (&p.id, p)).collect();
    let articles: BTreeMap<&ArticleId, &Article> = sources.articles.iter().rev().map(|a| (&a.id, a)).collect();
    let sealed = sources.seal.map(Sealed::new);
    let mut set_aside: BTreeMap<Held, usize> = BTreeMap::new();
    let mut open: Vec<&SourcedTrace> = Vec::with_capacity(sources.traces.len());
    for sourced in sources.traces {
        match sealed.as_ref().and_then(|s| s.holds(&sourced.trace.pair)) {
            Some(held) => *set_aside.entry(held).or_default() += 1,
            None => open.push(sourced),
        }
    }
    let (mut examples, mut quarantined) = examples(recipe, &renderer, &profiles, &articles, &open, sources.preference)?;
    quarantined.extend_from_slice(sources.left_out);
    if examples.is_empty() {
        return Err(DatasetError::Empty { given: sources.traces.len() + sources.left_out.len(), quarantined: quarantined.len() });
    }
    if u32::try_from(examples.len()).is_err() {
        return Err(DatasetError::TooLarge { rows: examples.len() });
    }

    let clusters = cluster(sources.articles);
    let keys: Vec<RowKey> = examples
        .iter()
        .map(|e| RowKey { article: e.pair.article.clone(), profile: e.pair.profile.clone(), band: recipe.bands.index(e.score) })
        .collect();
    let split = split(&keys, &clusters, recipe.data.eval_share, seed);
    for &i in &split.eval {
        examples[i].split = Side::Eval;
    }
    let train_bands: Vec<usize> = split.train.iter().map(|&i| keys[i].band).collect();
    let balance = balance(&train_bands, &recipe.data.targets, recipe.data.max_repeat, &recipe.bands, seed);
    for (&i, &repeats) in split.train.iter().zip(&balance.repeats) {
        examples[i].repeats = repeats;
    }

    let judged = Judged { recipe, renderer: &renderer, profiles: &profiles, articles: &articles, traces: &open };
    let mut findings = judged.findings(&examples, &quarantined, sources)?;
    let mut by_reason: BTreeMap<String, usize> = BTreeMap::new();
    for q in &quarantined {
        *by_reason.entry(q.reason.clone()).or_default() += 1;
    }
    let gap = |s: &super::split::StratumShare| (s.eval as f64 - s.rows as f64 * recipe.data.eval_share).abs();
    let stats = DatasetStats::of(Subject {
        recipe,
        seed,
        examples: &examples,
        clusters: &clusters,
        balance: &balance,
        worst_stratum_gap: split.strata.iter().map(gap).fold(0.0, f64::max),
        rejected: sources.rejected.clone(),
        quarantined: by_reason,
        set_aside: set_aside.iter().map(|(held, n)| (held.label().to_owned(), *n)).collect(),
    });
    let again = super::split::split(&keys, &clusters, recipe.data.eval_share, seed);
    findings.push(figures::d5_again(seed, again == split));
    let given = sources.traces.len() + sources.left_out.len();
    let aside = quarantined.len() + set_aside.values().sum::<usize>();
    findings.extend(figures::findings(recipe, &examples, &stats, given, aside));
    let digest = digest(&examples, seed);
    let middle = recipe.scale.middle();
    Ok(Dataset { examples, split, clusters, balance, quarantined, set_aside, findings, stats, seed, digest, middle })
}

/// In order of pair, and within a pair by whose judgement counts: annotators as `preference` names them, then teachers, then
/// imported labels by trust. The order of the input does not matter.
pub fn by_preference<'a>(traces: impl IntoIterator<Item = &'a SourcedTrace>, preference: &[String]) -> Vec<&'a SourcedTrace> {
    let rank = |s: &SourcedTrace| {
        let provenance = &s.provenance;
        let named = preference.iter().position(|name| *name == provenance.annotator).unwrap_or(preference.len());
        (named, provenance.trust.map(Reverse).map_or((0, None), |trust| (1, Some(trust))))
    };
    let name = |s: &SourcedTrace| {
        let Provenance { trace_digest, teacher, model, .. } = s.provenance.clone();
        (trace_digest, teacher, model)
    };
    let mut sorted: Vec<&SourcedTrace> = traces.into_iter().collect();
    sorted.sort_by(|a, b| {
        let by_pair = a.trace.pair.cmp(&b.trace.pair).then_with(|| rank(a).cmp(&rank(b)));
        by_pair.then_with(|| name(a).cmp(&name(b))).then(a.trace.answer.score.total_cmp(&b.trace.answer.score))
    });
    sorted
}

/// Examples in order of their pair, and what was left out. The order of the traces does not matter.
fn examples(
    recipe: &Recipe,
    renderer: &Renderer,
    profiles: &BTreeMap<&ProfileId, &Profile>,
    articles: &BTreeMap<&ArticleId, &Article>,
    traces: &[&SourcedTrace],
    preference: &[String],
) -> Result<(Vec<Example>, Vec<Quarantined>), DatasetError> {
    let (min, max) = recipe.scale.range();
    let mut kept: Vec<Example> = Vec::new();
    let mut quarantined = Vec::new();
    for sourced in by_preference(traces.iter().copied(), preference) {
        let (pair, score) = (&sourced.trace.pair, sourced.trace.answer.score);
        let article = articles.get(&pair.article);
        let profile = profiles.get(&pair.profile);
        let made = match (article, profile) {
            // NaN is in no range.
            _ if !(min..=max).contains(&score) => Err(QuarantineReason::OutOfScale),
            _ if recipe.scale.forbids(score) => Err(QuarantineReason::ForbiddenScore),
            (None, _) => Err(QuarantineReason::UnknownArticle),
            (_, None) => Err(QuarantineReason::UnknownProfile),
            _ if kept.last().is_some_and(|last| last.pair == *pair) => Err(QuarantineReason::SecondOpinion),
            (Some(article), Some(profile)) => {
                let example = Example::new(recipe, renderer, profile, article, sourced)?;
                let read = Answer::parse_strict(example.text(Role::Assistant), recipe.student.think, (min, max));
                if read.is_ok() { Ok(example) } else { Err(QuarantineReason::Unreadable) }
            }
        };
        match made {
            Ok(example) => kept.push(example),
            Err(reason) => quarantined.push(Quarantined::of(sourced, reason)),
        }
    }
    Ok((kept, quarantined))
}

/// What the guards of a dataset look at besides its rows.
struct Judged<'a> {
    recipe: &'a Recipe,
    renderer: &'a Renderer,
    profiles: &'a BTreeMap<&'a ProfileId, &'a Profile>,
    articles: &'a BTreeMap<&'a ArticleId, &'a Article>,
    /// Outside the seal.
    traces: &'a [&'a SourcedTrace],
}

impl Judged<'_> {
    fn findings(
        &self,
        examples: &[Example],
        quarantined: &[Quarantined],
        sources: Sources<'_>,
    ) -> Result<Vec<Finding>, DatasetError> {
        let recipe = self.recipe;
        // Readers of this dataset: those that anything was judged for. A workspace may know more.
        let judged: BTreeSet<&ProfileId> = self.traces.iter().map(|s| &s.trace.pair.profile).collect();
        let readers: Vec<Profile> = judged.iter().filter_map(|id| self.profiles.get(*id).map(|p| (*p).clone())).collect();
        let mut rows: BTreeMap<ProfileId, usize> = readers.iter().map(|p| (p.id.clone(), 0)).collect();
        for e in examples.iter().filter(|e| e.split == Side::Train) {
            *rows.entry(e.pair.profile.clone()).or_default() += 1;
        }
        let count = |reason: QuarantineReason| quarantined.iter().filter(|q| q.reason == reason.label()).count();
        let prompts: Vec<String> = readers.iter().map(|p| self.renderer.system(p)).collect::<Result<_, _>>()?;
        let given = sources.traces.len() + sources.left_out.len();
        Ok(vec![
            d1(&rows, recipe.data.min_profiles, recipe.data.min_rows_per_profile),
            self.disjoint(examples, sources),
            d8(examples.iter().map(|e| &e.provenance)),
            d10(count(QuarantineReason::ForbiddenScore), count(QuarantineReason::OutOfScale), given),
            d13(readers.iter().zip(&prompts).map(|(p, text)| (p.id.as_str(), text.as_str()))),
            d16(&readers, &prompts),
        ])
    }

    /// D3: no article on both sides of the split, none that is a copy of a sealed one.
    fn disjoint(&self, examples: &[Example], sources: Sources<'_>) -> Finding {
        let mut beside = String::new();
        if let Some(seal) = sources.seal {
            let copies = seal.copies(sources.articles);
            let twins = seal.twins(sources.profiles);
            if let Some(finding) = d3_sealed(&copies, &twins, self.traces.iter().map(|s| &s.trace.pair)) {
                return finding;
            }
            beside = format!("; none is a copy of the {} sealed clusters", seal.clusters.len());
        }
        let side = |side: Side| {
            let ids: BTreeSet<&ArticleId> = examples.iter().filter(|e| e.split == side).map(|e| &e.pair.article).collect();
            ids.into_iter().filter_map(|id| self.articles.get(id).copied()).collect::<Vec<&Article>>()
        };
        let mut finding = d3(side(Side::Train), side(Side::Eval));
        finding.saw.push_str(&beside);
        finding
    }
}

fn digest(examples: &[Example], seed: u64) -> Digest {
    let mut digester = Digester::new().field(seed.to_le_bytes());
    for e in examples {
        digester = digester.field(Digest::of_json(&(&e.id, &e.messages, e.score, e.split, e.repeats)).as_str());
    }
    digester.finish()
}

impl Dataset {
    pub fn train(&self) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(|e| e.split == Side::Train)
    }

    pub fn eval(&self) -> impl Iterator<Item = &Example> {
        self.examples.iter().filter(|e| e.split == Side::Eval)
    }

    pub fn example(&self, id: &str) -> Option<&Example> {
        self.examples.iter().find(|e| e.id == id)
    }

    /// The reading order of one epoch, as indices into `examples`.
    pub fn order(&self, strategy: OrderStrategy, epoch: usize) -> Vec<u32> {
        let row = |e: &Example| OrderRow { score: e.score, repeats: e.repeats, weight: 1.0 };
        let rows: Vec<OrderRow> = self.train().map(row).collect();
        let indices = order(&rows, strategy, self.middle, self.seed, epoch);
        indices.into_iter().filter_map(|i| self.split.train.get(i as usize).map(|&at| at as u32)).collect()
    }

    /// The reading orders of all epochs of a run.
    pub fn orders(&self, run: &RunRules) -> Vec<Vec<u32>> {
        (0..run.epochs).map(|epoch| self.order(run.order, epoch)).collect()
    }

    /// Every row's score, for [`contrastive::pairs`](super::contrastive::pairs).
    pub fn scored(&self) -> Vec<ScoredRow> {
        let row = |e: &Example| ScoredRow { article: e.pair.article.clone(), profile: e.pair.profile.clone(), score: e.score };
        self.examples.iter().map(row).collect()
    }

    /// Fills in the token part of the statistics. `lengths` belong to `examples` one by one; `limit` is what the
    /// student can read at most. The digest stays: tokens are another artefact's.
    pub fn with_tokens(mut self, lengths: &[TokenLengths], limit: Option<usize>) -> Result<Self, DatasetError> {
        if lengths.len() != self.examples.len() {
            return Err(DatasetError::Lengths { lengths: lengths.len(), rows: self.examples.len() });
        }
        let rows = self.examples.iter().map(|e| e.id.as_str()).zip(lengths.iter().copied());
        self.stats.tokens = Some(TokenStats::new(rows, limit));
        Ok(self)
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
