//! Two annotators side by side: teachers by their kept traces, others by a file of scores.
//!
//! Owns where the rows come from and the figures over their common pairs. Which pairs are drawn and what the guards of
//! the import say is `distill::quality`'s; the words for people are `report`'s.

mod report;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::phases::scored;
use crate::distill::quality::{Common, Histogram, Premises, Scored, common, copies, examine_rows, sample_by_band};
use crate::distill::{DistillError, receipt};
use crate::domain::recipe::Scale;
use crate::domain::{Article, ArticleId, Finding, PairKey, ProfileId, Usd, one_line};
use crate::evaluate::{Metrics, Row, intervals};
use crate::workspace::{JsonRecords, Ledger, TeacherChoice, Workspace, WorkspaceError};

/// Fewer common pairs than this compare nothing.
pub const ENOUGH_PAIRS: usize = 30;

/// How many pairs are compared where nothing else is asked for, and at most.
pub const MOST_PAIRS: usize = 300;

/// How many of the widest disagreements are shown.
const WIDEST: usize = 10;

/// The middle that teachers avoid or flee to, as parts of the scale: 4.5 to 6.0 of 0 to 10.
const MIDDLE: (f64, f64) = (0.45, 0.60);

#[derive(Debug, Error)]
pub enum CompareError {
    #[error("'{name}' is neither a teacher of stratos.toml ({known}) nor a file; give one of these or a path")]
    Unknown { name: String, known: String },
    #[error("{side} has no judgements; {next}")]
    Empty { side: String, next: String },
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Distill(#[from] DistillError),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// As it was asked for.
    pub name: String,
    /// The model, or who the file says judged.
    pub annotator: String,
    pub rows: usize,
    /// Rows with no number for a score, or one outside the scale; in no figure.
    pub unusable: usize,
    pub distinct_scores: usize,
    /// Share of all its rows strictly inside the middle; see `Comparison::middle`.
    pub middle_share: Option<f64>,
    pub forbidden_share: Option<f64>,
    /// From the receipt of its plans; `None`: not known.
    pub cost_per_kept: Option<Usd>,
    pub findings: Vec<Finding>,
}

/// Bias in one band of A's scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BandBias {
    pub band: String,
    pub n: usize,
    /// Mean of B − A
    pub bias: Option<f64>,
}

/// A pair on which the two differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    pub pair: PairKey,
    pub a: f64,
    pub b: f64,
    pub reason_a: String,
    pub reason_b: String,
}

/// What two annotators make of the same pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub a: Side,
    pub b: Side,
    /// Pairs that both judged with a usable score.
    pub common: usize,
    /// Pairs the figures below are over: drawn by the seed, the bands of A taking turns.
    pub n: usize,
    /// Pairs of `common` with the same score and the same words.
    pub copies: usize,
    pub mae: Option<f64>,
    /// 95 %, by bootstrap over articles.
    pub mae_interval: Option<(f64, f64)>,
    /// Mean of B − A
    pub bias: Option<f64>,
    pub bias_interval: Option<(f64, f64)>,
    pub bands: Vec<BandBias>,
    pub spearman: Option<f64>,
    pub spearman_interval: Option<(f64, f64)>,
    /// The open interval that `Side::middle_share` counts.
    pub middle: (f64, f64),
    /// B's share of middle scores as a multiple of A's, over all their rows.
    pub middle_ratio: Option<f64>,
    pub widest: Vec<Disagreement>,
    /// How to get more common pairs, where there are too few.
    pub advice: Option<String>,
}

/// Compares two annotators, each a teacher's name ("main" is `[teacher]`) or a path to a JSONL file of scores.
pub fn compare(workspace: &Workspace, a: &str, b: &str, sample: usize) -> Result<Comparison, CompareError> {
    let ledger = workspace.ledger()?;
    let (a, b) = (Source::read(workspace, &ledger, a)?, Source::read(workspace, &ledger, b)?);
    let articles: Vec<Article> = ledger.articles()?.into_iter().map(|(article, _)| article).collect();
    Ok(of_sources(workspace, &a, &b, &articles, sample.min(MOST_PAIRS)))
}

/// The rows of one side and what is known of it.
struct Source {
    name: String,
    teacher: bool,
    rows: Vec<Scored>,
    cost_per_kept: Option<Usd>,
}

/// A line of a score file. The score may be anything a number can be; guards look at it.
#[derive(Deserialize)]
struct ScoreLine {
    article_id: ArticleId,
    profile_id: ProfileId,
    score: f64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    annotator: String,
}

impl Source {
    fn read(workspace: &Workspace, ledger: &Ledger, name: &str) -> Result<Self, CompareError> {
        let config = &workspace.config;
        let choice = if name == "main" { Some(&config.teacher) } else { config.teachers.get(name) };
        let path = Path::new(name);
        let source = match choice {
            Some(choice) => Self::of_teacher(ledger, name, choice)?,
            None if path.is_file() => Self::of_file(name, path)?,
            None => {
                let known: Vec<&str> = std::iter::once("main").chain(config.teachers.keys().map(String::as_str)).collect();
                return Err(CompareError::Unknown { name: one_line(name, 80), known: known.join(", ") });
            }
        };
        if !source.rows.is_empty() {
            return Ok(source);
        }
        let next = if source.teacher { source.how_to_ask(MOST_PAIRS) } else { "give a file with rows".into() };
        Err(CompareError::Empty { side: one_line(name, 80), next })
    }

    fn of_teacher(ledger: &Ledger, name: &str, choice: &TeacherChoice) -> Result<Self, CompareError> {
        let (provider, model) = (choice.provider.as_str(), choice.model.as_str());
        let mut plans = ledger.plans()?;
        plans.retain(|p| p.provider == provider && p.model == model);
        let cost_per_kept = receipt(ledger, &plans)?.per_kept;
        // Newest first: of a pair that was asked again, the newest question counts.
        let mut seen = HashSet::new();
        let mut traces = ledger.traces_by(provider, model)?;
        traces.retain(|t| seen.insert(t.trace.pair.clone()));
        let rows = traces.iter().map(|t| scored(t, 0)).collect();
        Ok(Self { name: name.into(), teacher: true, rows, cost_per_kept })
    }

    fn of_file(name: &str, path: &Path) -> Result<Self, CompareError> {
        let mut rows = Vec::new();
        for record in JsonRecords::<ScoreLine>::open(path)? {
            let (_, line) = record?;
            let pair = PairKey { article: line.article_id, profile: line.profile_id };
            rows.push(Scored { pair, score: line.score, reason: line.reason, annotator: line.annotator, batch: 0 });
        }
        Ok(Self { name: name.into(), teacher: false, rows, cost_per_kept: None })
    }

    fn how_to_ask(&self, sample: usize) -> String {
        match self.name.as_str() {
            "main" => "ask the main teacher: stratos distill plan".into(),
            name => format!("ask for a second opinion: stratos distill plan --teacher {name} --sample {sample}"),
        }
    }

    fn side(&self, scale: &Scale, findings: Vec<Finding>) -> Side {
        let usable: Vec<f64> = self.rows.iter().map(|r| r.score).filter(|s| on(scale, *s)).collect();
        let share = |is: &dyn Fn(f64) -> bool| {
            (!usable.is_empty()).then(|| usable.iter().filter(|s| is(**s)).count() as f64 / usable.len() as f64)
        };
        let (low, high) = middle(scale);
        let annotators: HashSet<&str> = self.rows.iter().map(|r| r.annotator.as_str()).collect();
        let annotator = match annotators.iter().next() {
            Some(one) if annotators.len() == 1 => one_line(one, 60),
            _ => format!("{} annotators", annotators.len()),
        };
        Side {
            name: self.name.clone(),
            annotator,
            rows: self.rows.len(),
            unusable: self.rows.len() - usable.len(),
            distinct_scores: Histogram::of(usable.iter().copied()).distinct(),
            middle_share: share(&|s| s > low && s < high),
            forbidden_share: share(&|s| scale.forbids(s)),
            cost_per_kept: self.cost_per_kept,
            findings,
        }
    }
}

fn on(scale: &Scale, score: f64) -> bool {
    (scale.min..=scale.max).contains(&score)
}

fn middle(scale: &Scale) -> (f64, f64) {
    let at = |part: f64| scale.min + part * (scale.max - scale.min);
    (at(MIDDLE.0), at(MIDDLE.1))
}

fn of_sources(workspace: &Workspace, a: &Source, b: &Source, articles: &[Article], sample: usize) -> Comparison {
    let recipe = &workspace.recipe;
    let scale = &recipe.scale;
    let texts: HashMap<&ArticleId, &Article> = articles.iter().map(|article| (&article.id, article)).collect();
    let article = |id: &ArticleId| texts.get(id).map(|a| format!("{} {}", a.title, a.summary));
    let premises = Premises { scale, languages: &recipe.data.languages, article: &article };
    let examined = |own: &Source, other: &Source| own.side(scale, examine_rows(&own.rows, &[&other.rows], &premises));
    let (side_a, side_b) = (examined(a, b), examined(b, a));

    let mut pairs = common(&a.rows, &b.rows);
    pairs.retain(|p| on(scale, p.a.score) && on(scale, p.b.score));
    let copied = copies(&pairs);
    let drawn = sample_by_band(&pairs, &recipe.bands, sample, workspace.config.seed);
    let rows: Vec<Row> = drawn.iter().map(row).collect();
    let metrics = Metrics::compute(&rows, &recipe.bands, scale, None);
    let within = intervals(&rows, &recipe.bands, scale, None, workspace.config.seed);
    let interval = |key: &str| within.get(key).copied();
    let bands = (0..recipe.bands.len()).map(|band| {
        let gaps: Vec<f64> =
            drawn.iter().filter(|p| recipe.bands.index(p.a.score) == band).map(|p| p.b.score - p.a.score).collect();
        let bias = (!gaps.is_empty()).then(|| gaps.iter().sum::<f64>() / gaps.len() as f64);
        BandBias { band: recipe.bands.name(band).to_owned(), n: gaps.len(), bias }
    });
    let ratio = |a: Option<f64>, b: Option<f64>| Some(b? / a.filter(|share| *share > 0.0)?);
    Comparison {
        common: pairs.len(),
        n: drawn.len(),
        copies: copied,
        mae: metrics.mae,
        mae_interval: interval("mae"),
        bias: metrics.bias,
        bias_interval: interval("bias"),
        bands: bands.collect(),
        spearman: metrics.spearman,
        spearman_interval: interval("spearman"),
        middle: middle(scale),
        middle_ratio: ratio(side_a.middle_share, side_b.middle_share),
        widest: widest(&drawn),
        advice: (pairs.len() < ENOUGH_PAIRS).then(|| advice(pairs.len(), a, b)),
        a: side_a,
        b: side_b,
    }
}

fn row(pair: &Common<'_>) -> Row {
    let key = &pair.a.pair;
    Row {
        article: key.article.as_str().to_owned(),
        profile: key.profile.as_str().to_owned(),
        truth: pair.a.score,
        predicted: Some(pair.b.score),
    }
}

fn widest(pairs: &[Common<'_>]) -> Vec<Disagreement> {
    let mut apart: Vec<&Common<'_>> = pairs.iter().filter(|p| p.gap() > 0.0).collect();
    apart.sort_by(|x, y| y.gap().total_cmp(&x.gap()).then_with(|| x.a.pair.cmp(&y.a.pair)));
    let shown = |p: &&Common<'_>| Disagreement {
        pair: p.a.pair.clone(),
        a: p.a.score,
        b: p.b.score,
        reason_a: p.a.reason.clone(),
        reason_b: p.b.reason.clone(),
    };
    apart.iter().take(WIDEST).map(shown).collect()
}

fn advice(common: usize, a: &Source, b: &Source) -> String {
    let short = format!("only {common} common pairs, {ENOUGH_PAIRS} are needed to say anything");
    let teachers: Vec<&Source> = [b, a].into_iter().filter(|side| side.teacher).collect();
    let asked = teachers.iter().find(|side| side.name != "main").or(teachers.first());
    match asked.map(|side| side.how_to_ask(MOST_PAIRS)) {
        Some(how) if teachers.len() == 2 => format!("{short}; {how}"),
        Some(how) => format!("{short}; import the articles and profiles that the file was written for, then {how}"),
        None => format!("{short}; two files share only the pairs that both were written for"),
    }
}
