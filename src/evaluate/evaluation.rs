//! An evaluation: one model's answers on one set of rows in one runtime, with everything its numbers depend on.
//!
//! Owns the record and how it is made from answers. Runs no model; `engine` hands over outputs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    BASELINES, Baselines, CotItem, CotReport, Examinee, Intervals, Level, Metrics, Row, SanityReport, Verdict, intervals, judge,
    measure_cot, sanity,
};
use crate::domain::{Article, Digest, Finding, PairKey, Profile, Recipe, read_tolerant};

/// Fewer rows than this are shown, but not leaned on (guard E4).
pub const FEW_ROWS: usize = 30;

/// What computed the answers: numbers of different runtimes are not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// "stratos"
    pub engine: String,
    /// "f32"
    pub precision: String,
    /// "cpu"
    pub device: String,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.engine, self.precision, self.device)
    }
}

/// What an evaluation is of. There is none without its runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    pub model: Digest,
    pub runtime: Runtime,
    pub dataset: Digest,
    pub recipe: Digest,
    /// Sampling parameters, as text.
    pub sampling: String,
    pub seed: u64,
}

impl Subject {
    /// Names the answers that belong together.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// One answered row.
pub struct Answered<'a> {
    pub pair: &'a PairKey,
    pub profile: &'a Profile,
    pub article: &'a Article,
    /// System prompt and user message, for the echo check.
    pub prompt: &'a str,
    pub truth: f64,
    pub output: &'a str,
}

/// A baseline on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineMetrics {
    pub name: String,
    pub metrics: Metrics,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub subject: Subject,
    pub metrics: Metrics,
    pub intervals: Intervals,
    pub baselines: Vec<BaselineMetrics>,
    pub cot: CotReport,
    pub sanity: SanityReport,
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
}

impl Evaluation {
    /// Computes everything from answers. `train` is what the baselines are fitted on; `sanity_score` gives the model's
    /// score of a sanity cell by title and reader.
    pub fn new(
        subject: Subject,
        recipe: &Recipe,
        train: &[(&Profile, &Article, f64)],
        answered: &[Answered<'_>],
        sanity_score: &dyn Fn(&str, &str) -> Option<f64>,
    ) -> Self {
        let fitted = Baselines::fit(train);
        let constant = (!train.is_empty()).then(|| fitted.constant());
        let scale = recipe.scale.range();
        let row = |a: &Answered<'_>, predicted| Row {
            article: a.pair.article.to_string(),
            profile: a.pair.profile.to_string(),
            truth: a.truth,
            predicted,
        };
        let rows: Vec<Row> = answered.iter().map(|a| row(a, read_tolerant(a.output, scale).ok().map(|(s, _)| s))).collect();
        let metrics = Metrics::compute(&rows, &recipe.bands, &recipe.scale, constant);
        let baselines = BASELINES.iter().map(|name| {
            let rows: Vec<Row> = answered.iter().map(|a| row(a, Some(fitted.predict(name, a.profile, a.article)))).collect();
            BaselineMetrics { name: (*name).into(), metrics: Metrics::compute(&rows, &recipe.bands, &recipe.scale, constant) }
        });
        let baselines: Vec<BaselineMetrics> = baselines.collect();
        let texts: Vec<String> = answered.iter().map(|a| format!("{}\n{}", a.article.title, a.article.summary)).collect();
        let items: Vec<CotItem<'_>> = answered
            .iter()
            .zip(&texts)
            .map(|(a, article)| CotItem { output: a.output, article, prompt: a.prompt, truth: a.truth })
            .collect();
        let cot = measure_cot(&items, recipe);
        let sanity = sanity(&recipe.sanity, Examinee::Student, sanity_score);
        let value = |key: &str| if key == "format_compliance" { cot.format_compliance } else { metrics.value(key) };
        let verdict = fold(judge(&recipe.criteria, &value, metrics.psr_spread_truth), &cot, &sanity);
        let findings = vec![e1(&metrics, &baselines), e4(&metrics), e5(&metrics, &cot)];
        Self {
            intervals: intervals(&rows, &recipe.bands, &recipe.scale, constant, subject.seed),
            subject,
            metrics,
            baselines,
            cot,
            sanity,
            verdict,
            findings,
        }
    }

    pub fn runtime(&self) -> &Runtime {
        &self.subject.runtime
    }

    /// The verdict in one line.
    pub fn verdict_words(&self) -> String {
        let (passed, all) = self.sanity.tally();
        let metric = |value: Option<f64>| super::figure(value);
        format!(
            "{}: MAE {} on {} rows, skill {}, contrast ordered {}, {passed} of {all} sanity cells",
            self.verdict.level,
            metric(self.metrics.mae),
            self.metrics.n,
            metric(self.metrics.skill),
            metric(self.metrics.contrast_ordered)
        )
    }
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

/// Guard E1: the model against those who did not read.
fn e1(metrics: &Metrics, baselines: &[BaselineMetrics]) -> Finding {
    let beaten_by: Vec<String> = baselines
        .iter()
        .filter(|b| matches!((metrics.mae, b.metrics.mae), (Some(model), Some(base)) if base <= model))
        .map(|b| format!("{} ({})", b.name, super::figure(b.metrics.mae)))
        .collect();
    let mae = super::figure(metrics.mae);
    if beaten_by.is_empty() {
        return Finding::pass("E1", format!("MAE {mae} is better than every baseline's"));
    }
    let saw = format!("MAE {mae} is no better than: {}", beaten_by.join(", "));
    Finding::fail("E1", saw, "Do not deploy it for its averages; look at contrast ordering and at more data.")
}

/// Guard E4: enough rows to speak of.
fn e4(metrics: &Metrics) -> Finding {
    if metrics.n >= FEW_ROWS {
        return Finding::pass("E4", format!("{} rows, each number with its interval", metrics.n));
    }
    Finding::fail("E4", format!("only {} rows", metrics.n), "Hold out more articles before comparing anything.")
}

/// Guard E5: parse failures are in the numbers.
fn e5(metrics: &Metrics, cot: &CotReport) -> Finding {
    if metrics.parse_failures == 0 {
        return Finding::pass("E5", format!("all {} answers could be read", metrics.n));
    }
    let causes: Vec<String> = cot.unreadable.iter().map(|(defect, n)| format!("{n} × {defect}")).collect();
    let saw = format!(
        "{} of {} answers could not be read ({}); each is charged its worst error",
        metrics.parse_failures,
        metrics.n,
        causes.join(", ")
    );
    Finding::fail("E5", saw, "Read them in the Validate tab; more training or another sampling may mend them.")
}
