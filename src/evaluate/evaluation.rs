//! An evaluation: one predictor's answers on one set of rows in one runtime, with everything its numbers depend on.
//!
//! Owns the record and how it is made from answers. Runs no predictor; `engine` hands over what they gave. The record holds
//! all that tables, reports and comparisons show, so that none of them reads anything else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::calibration::{Calibration, Readout};
use super::causes::causes;
use super::groups::{Group, groups};
use super::{
    BASELINES, Baselines, CotItem, CotReport, Examinee, Intervals, Level, Metrics, NoiseFloor, Row, SanityReport, Verdict,
    checks, intervals, judge, measure_cot, sanity,
};
use crate::domain::{Article, Digest, Finding, PairKey, Profile, Recipe, read_tolerant};
use crate::student::Stop;

/// Fewer rows than this are shown, but not leaned on (guard E4).
pub const FEW_ROWS: usize = 30;

/// What computed the answers: numbers of different runtimes are not compared (guard E6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// "stratos"
    pub engine: String,
    /// "f32"
    pub precision: String,
    /// "cpu"
    pub device: String,
}

impl Runtime {
    /// The engine of what computes no model; it can stand beside any.
    pub const BASELINE: &'static str = "baseline";

    /// Whether numbers of the two may be compared without a word (guard E6).
    pub fn comparable(&self, other: &Self) -> bool {
        self == other || self.engine == Self::BASELINE || other.engine == Self::BASELINE
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.engine, &self.precision, &self.device];
        let words: Vec<&str> = parts.into_iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
        f.write_str(&words.join(" "))
    }
}

/// What an evaluation is of. There is none without its runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    pub model: Digest,
    pub runtime: Runtime,
    /// What the model was trained on, or what baselines were fitted on.
    pub dataset: Digest,
    pub recipe: Digest,
    /// Sampling parameters, as text; "none" for predictors that draw nothing.
    pub sampling: String,
    pub seed: u64,
    /// Digest of the rows; absent in records of before there were row sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Digest>,
    /// Digest of the calibrator that the scores went through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrator: Option<Digest>,
}

impl Subject {
    /// Names the evaluation.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// Names the answers that are its: those of other rows of the same model, asked the same way, are not asked for again.
    pub fn answers(&self) -> Digest {
        Digest::of_json(&("answers", &self.model, &self.runtime, &self.sampling, self.seed))
    }
}

/// Which rows were judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowSet {
    /// "held-out", "train", "sealed" or `file:NAME`
    pub name: String,
    /// Of pairs and truths, in pair order.
    pub digest: Digest,
    pub n: usize,
    /// Rows of the set before a sample was drawn; `n` where none was.
    pub of: usize,
    /// How a sample was drawn, in words; empty: all rows.
    #[serde(default)]
    pub sample: String,
    /// Rows that could not be judged, by cause: no article, no reader, no truth.
    #[serde(default)]
    pub left_out: BTreeMap<String, usize>,
    /// Whether the rows were sealed before any training.
    pub sealed: bool,
    /// The how manyth opening of the seal this was.
    #[serde(default)]
    pub opening: Option<u32>,
    /// Whether these rows also chose the checkpoint that answered.
    #[serde(default)]
    pub chose_model: bool,
}

/// One judged row, with everything that groups and readers of it need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedRow {
    pub article: String,
    pub profile: String,
    /// The article's cluster of near-duplicates; its own id where it has none.
    pub cluster: String,
    pub truth: f64,
    /// Who gave the truth: annotator or teacher's model.
    pub source: String,
    /// The drawn score; `None`: unreadable.
    pub predicted: Option<f64>,
    /// The probability-weighted score, where the predictor has one.
    pub expected: Option<f64>,
    /// As written; empty for predictors that write no text.
    pub output: String,
    /// Why no score could be read.
    pub defect: Option<String>,
    /// Whether the training data had this reader; `None`: unknown.
    pub seen_profile: Option<bool>,
    /// Whether it had this article, or a copy of it; `None`: unknown.
    #[serde(default)]
    pub seen_article: Option<bool>,
    /// "career" or "interest", of the reader.
    pub kind: Option<String>,
}

impl JudgedRow {
    /// The row as metrics read it.
    pub fn row(&self) -> Row {
        self.with(self.predicted)
    }

    /// The same with another prediction.
    pub fn with(&self, predicted: Option<f64>) -> Row {
        Row { article: self.article.clone(), profile: self.profile.clone(), truth: self.truth, predicted }
    }
}

/// What a predictor gave for a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Given<'a> {
    /// It wrote a text; the score is read from it.
    Text { output: &'a str, expected: Option<f64>, stop: Option<Stop> },
    /// It gave a number, or none.
    Score(Option<f64>),
}

/// One answered row.
pub struct Answered<'a> {
    pub pair: &'a PairKey,
    pub profile: &'a Profile,
    pub article: &'a Article,
    pub cluster: &'a str,
    /// System prompt and user message, for the echo check; empty for predictors that read none.
    pub prompt: &'a str,
    pub truth: f64,
    pub source: &'a str,
    pub given: Given<'a>,
    pub seen_profile: Option<bool>,
    pub seen_article: Option<bool>,
}

/// A baseline on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineMetrics {
    pub name: String,
    pub metrics: Metrics,
    #[serde(default)]
    pub intervals: Intervals,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub subject: Subject,
    /// "student", "base", "server", "gguf:…", "teacher:…", "constant"; empty in old records, which are of the student.
    #[serde(default)]
    pub predictor: String,
    #[serde(default)]
    pub row_set: RowSet,
    /// In pair order. Empty in old records.
    #[serde(default)]
    pub rows: Vec<JudgedRow>,
    pub metrics: Metrics,
    pub intervals: Intervals,
    pub baselines: Vec<BaselineMetrics>,
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Of the drawn scores, judged out of sample.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// The probability-weighted scores as a second reading of the same answers.
    #[serde(default)]
    pub expected: Option<Readout>,
    /// How far two annotators are apart on such rows.
    #[serde(default)]
    pub floor: Option<NoiseFloor>,
    pub cot: CotReport,
    /// What went wrong in written answers, by cause (guard S12).
    #[serde(default)]
    pub causes: BTreeMap<String, usize>,
    pub sanity: SanityReport,
    /// What probes of the think block measured, by their own type; absent: not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Value>,
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    /// Everything that decided the run: recipe, data, base, training settings, sampling.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// The score of a sanity cell by title and reader.
pub type SanityScore<'a> = dyn Fn(&str, &str) -> Option<f64> + 'a;

/// What an evaluation is made from.
pub struct Material<'a> {
    pub subject: Subject,
    pub predictor: &'a str,
    pub row_set: RowSet,
    pub recipe: &'a Recipe,
    /// Fitted on training data; `None`: there is none, and skill is against the best constant of these rows.
    pub baselines: Option<&'a Baselines>,
    /// Rows of `answered` that the baselines were fitted on.
    pub fitted_here: usize,
    pub answered: &'a [Answered<'a>],
    /// The predictor's score of a sanity cell by title and reader; `None`: it was not asked.
    pub sanity_score: Option<&'a SanityScore<'a>>,
    /// A calibrator that scores go through before they are judged; it has been proved to belong to this model.
    pub calibrator: Option<&'a Calibration>,
    pub floor: Option<NoiseFloor>,
    /// Of guards that ran before the predictor was asked.
    pub findings: Vec<Finding>,
    pub settings: BTreeMap<String, String>,
}

impl Evaluation {
    /// Computes everything from what a predictor gave.
    pub fn new(material: Material<'_>) -> Self {
        let Material { recipe, answered, subject, .. } = &material;
        let writes = answered.iter().any(|a| matches!(a.given, Given::Text { .. }));
        let mut rows: Vec<JudgedRow> = answered.iter().map(|a| judged(a, recipe, material.calibrator)).collect();
        rows.sort_by(|a, b| (&a.article, &a.profile).cmp(&(&b.article, &b.profile)));
        let constant = material.baselines.filter(|b| b.fitted()).map(Baselines::constant);
        let plain: Vec<Row> = rows.iter().map(JudgedRow::row).collect();
        let metrics = Metrics::compute(&plain, &recipe.bands, &recipe.scale, constant);
        let within = intervals(&plain, &recipe.bands, &recipe.scale, constant, subject.seed);
        let baselines = material.baselines.map_or_else(Vec::new, |fitted| beside(fitted, &material, constant));
        let cot = if writes { measure_cot(&items(answered, &texts(answered)), recipe) } else { measure_cot(&[], recipe) };
        let examined =
            material.sanity_score.map_or_else(SanityReport::default, |score| sanity(&recipe.sanity, Examinee::Student, score));
        let value = |key: &str| if key == "format_compliance" { cot.format_compliance } else { metrics.value(key) };
        let asked: Vec<_> = recipe.criteria.iter().filter(|c| writes || c.metric != "format_compliance").cloned().collect();
        let verdict = fold(judge(&asked, &value, metrics.psr_spread_truth), &cot, &examined);
        let calibration = Calibration::judge(&rows, |r| r.predicted, &subject.model, recipe, subject.seed);
        let expected = Readout::of(&rows, constant, &subject.model, recipe, subject.seed);
        let mut findings = material.findings.clone();
        let written = answered.iter().filter_map(|a| match a.given {
            Given::Text { output, stop, .. } => Some((output, stop)),
            Given::Score(_) => None,
        });
        let causes = causes(written, recipe.scale.range());
        findings.extend(checks::findings(&checks::Seen {
            predictor: material.predictor,
            metrics: &metrics,
            contrast: within.get("contrast_ordered").copied(),
            baselines: &baselines,
            rows: &rows,
            row_set: &material.row_set,
            calibrations: &[calibration.as_ref(), expected.as_ref().and_then(|e| e.calibration.as_ref())],
            floor: material.floor.as_ref(),
            runtime: &subject.runtime,
            causes: writes.then_some(&causes),
            fitted_here: material.fitted_here,
        }));
        Self {
            groups: groups(&rows, recipe, constant, subject.seed),
            predictor: material.predictor.to_owned(),
            intervals: within,
            calibration,
            expected,
            floor: material.floor,
            row_set: material.row_set,
            rows,
            metrics,
            baselines,
            cot,
            causes,
            sanity: examined,
            probes: None,
            verdict,
            findings,
            settings: material.settings,
            subject: material.subject,
        }
    }

    pub fn runtime(&self) -> &Runtime {
        &self.subject.runtime
    }

    /// The verdict in one line.
    pub fn verdict_words(&self) -> String {
        let (passed, all) = self.sanity.tally();
        let metric = |value: Option<f64>| super::figure(value);
        let cells = if all > 0 { format!(", {passed} of {all} sanity cells") } else { String::new() };
        format!(
            "{}: MAE {} on {} rows, skill {}, contrast ordered {}{cells}",
            self.verdict.level,
            metric(self.metrics.mae),
            self.metrics.n,
            metric(self.metrics.skill),
            metric(self.metrics.contrast_ordered)
        )
    }

    /// Who predicted; records of before there was a choice are of the student.
    pub fn predictor_name(&self) -> &str {
        if self.predictor.is_empty() { "student" } else { &self.predictor }
    }

    /// The rows' name; records of before there was a choice are of the held-out side.
    pub fn rows_name(&self) -> &str {
        if self.row_set.name.is_empty() { "held-out" } else { &self.row_set.name }
    }
}

fn judged(a: &Answered<'_>, recipe: &Recipe, calibrator: Option<&Calibration>) -> JudgedRow {
    let (read, expected, output) = match a.given {
        Given::Text { output, expected, .. } => {
            (read_tolerant(output, recipe.scale.range()).map(|(s, _)| s).map_err(|d| d.to_string()), expected, output)
        }
        Given::Score(score) => (score.ok_or_else(|| "no prediction".to_owned()), None, ""),
    };
    let shaped = |score: f64| calibrator.map_or(score, |c| c.apply(score));
    let (predicted, defect) = match read {
        Ok(score) => (Some(shaped(score)), None),
        Err(why) => (None, Some(why)),
    };
    JudgedRow {
        article: a.pair.article.to_string(),
        profile: a.pair.profile.to_string(),
        cluster: a.cluster.to_owned(),
        truth: a.truth,
        source: a.source.to_owned(),
        predicted,
        expected: expected.filter(|e| e.is_finite()),
        output: output.to_owned(),
        defect,
        seen_profile: a.seen_profile,
        seen_article: a.seen_article,
        kind: Some(a.profile.motivation.to_string()),
    }
}

/// The baselines on the same rows.
fn beside(fitted: &Baselines, material: &Material<'_>, constant: Option<f64>) -> Vec<BaselineMetrics> {
    let (recipe, seed) = (material.recipe, material.subject.seed);
    let of = |name: &&str| {
        let predictions = fitted.predict_all(name, material.answered.iter().map(|a| (a.profile, a.article)));
        let rows: Vec<Row> = material
            .answered
            .iter()
            .zip(predictions)
            .map(|(a, p)| Row {
                article: a.pair.article.to_string(),
                profile: a.pair.profile.to_string(),
                truth: a.truth,
                predicted: Some(p),
            })
            .collect();
        BaselineMetrics {
            name: (*name).into(),
            metrics: Metrics::compute(&rows, &recipe.bands, &recipe.scale, constant),
            intervals: intervals(&rows, &recipe.bands, &recipe.scale, constant, seed),
        }
    };
    BASELINES.iter().map(of).collect()
}

fn texts(answered: &[Answered<'_>]) -> Vec<String> {
    answered.iter().map(|a| format!("{}\n{}", a.article.title, a.article.summary)).collect()
}

fn items<'a>(answered: &'a [Answered<'a>], texts: &'a [String]) -> Vec<CotItem<'a>> {
    let written = answered.iter().zip(texts).filter_map(|(a, article)| match a.given {
        Given::Text { output, .. } => Some(CotItem { output, article, prompt: a.prompt, truth: a.truth }),
        Given::Score(_) => None,
    });
    written.collect()
}

/// The recipe's other criteria: a sanity table that does not hold, or repetition and echo, fail a student whatever its averages.
fn fold(mut verdict: Verdict, cot: &CotReport, sanity: &SanityReport) -> Verdict {
    let (passed, all) = sanity.tally();
    if !sanity.passed() {
        verdict.level = Level::Failure;
        verdict.lines.push(format!(
            "Failure: {passed} of {all} sanity cells hold; all have to, with the readers of an article far enough apart"
        ));
    }
    if cot.repetition + cot.echo > 0 {
        verdict.level = Level::Failure;
        verdict
            .lines
            .push(format!("Failure: {} answers repeat themselves and {} copy their input; none may", cot.repetition, cot.echo));
    }
    verdict
}
