//! The parity table: does every runtime of a release answer as the trained student does?
//!
//! Owns what is compared, the limits and the verdict of each stage. Asks nobody; `engine` brings the answers. Compared are,
//! against the trained student, row by row: the ids that a prompt is read as (any difference stops, T11); the likeliest next
//! token at places of its answers where the trained student is confident (p > 0.6); the score after its own thoughts, so
//! that a delta is the numbers' and not the draw's (S7); and, of answers drawn freely, MAE and Spearman's ρ against the
//! labels with bootstrap intervals over articles.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Form;
use crate::domain::recipe::{GateRules, Scale};
use crate::domain::{Bands, Digest, Finding, UnixMillis};
use crate::evaluate::{Metrics, Row, Runtime, charged, intervals, mean_interval};
use crate::guards::{Severity, guard};

/// Where the trained student counts as sure of its next token.
pub const CONFIDENT: f32 = 0.6;

/// A runtime that answers in the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The student as training left it, in this engine: what all others are held to.
    Trained,
    /// An exported form in this engine.
    Form(Form),
    /// The release's GGUF in a llama.cpp server.
    LlamaCpp,
    /// The release's model in Ollama.
    Ollama,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Trained => "trained",
            Self::Form(form) => form.name(),
            Self::LlamaCpp => "llama.cpp",
            Self::Ollama => "ollama",
        })
    }
}

/// What one runtime gave for one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowAnswer {
    pub row: String,
    pub article: String,
    pub profile: String,
    pub truth: f64,
    /// Names the ids that the prompt was read as; `None`: the runtime shows only how many, and those agree.
    pub prompt: Option<Digest>,
    /// Of the freely drawn answer.
    pub drawn: Option<f64>,
    /// After the trained student's own thoughts, decoded greedily.
    pub forced: Forced,
    /// Of places where the trained student is confident, how many have the same likeliest next token, and how many there are.
    pub next: (usize, usize),
}

/// A score after given thoughts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Forced {
    pub drawn: Option<f64>,
    /// Weighted by the probabilities of the digits, where the runtime says them.
    pub expected: Option<f64>,
}

impl Forced {
    /// |Δ| of the finer of the two that both have.
    fn delta(self, other: Self) -> Option<f64> {
        let pair = self.expected.zip(other.expected).or(self.drawn.zip(other.drawn));
        pair.map(|(a, b)| (a - b).abs())
    }
}

/// How a stage went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Answered(Vec<RowAnswer>),
    /// It came to no answers; the guard that says so, and why.
    Refused {
        guard: String,
        why: String,
    },
    /// It is not here, and nothing is served by it.
    Absent {
        why: String,
    },
}

/// One stage and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRun {
    pub stage: Stage,
    pub runtime: Option<Runtime>,
    /// Of what answered.
    pub digest: Option<Digest>,
    pub seconds: f64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Reference,
    Passed,
    Failed,
    NotAsked,
}

impl Standing {
    pub fn label(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotAsked => "not asked",
        }
    }
}

/// One line of the table. Figures are `None` where nothing gives them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageLine {
    pub stage: Stage,
    pub standing: Standing,
    pub runtime: Option<Runtime>,
    pub digest: Option<Digest>,
    pub n: usize,
    /// Rows whose prompt was read as other ids.
    pub other_prompts: usize,
    /// Same likeliest next tokens, and confident places.
    pub next: (usize, usize),
    /// Mean and largest |Δ score| after the same thoughts, and rows that both have one of.
    pub delta: Option<(f64, f64, usize)>,
    pub unread: usize,
    pub mae: Option<f64>,
    pub mae_interval: Option<(f64, f64)>,
    pub rho: Option<f64>,
    pub rho_interval: Option<(f64, f64)>,
    /// MAE above the trained student's on the same rows, with its interval.
    pub rise: Option<f64>,
    pub rise_interval: Option<(f64, f64)>,
    pub seconds: f64,
    /// Why it failed or was not asked: (guard, words).
    pub reasons: Vec<(String, String)>,
}

/// The gate's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    pub at: UnixMillis,
    pub rows: usize,
    pub limits: GateRules,
    pub lines: Vec<StageLine>,
    /// Whether the trained student was read through merged weights (S11).
    #[serde(default)]
    pub merged: Option<bool>,
    /// Guards that stop the release, of the table and beside it: (guard, what it saw).
    #[serde(default)]
    pub stops: Vec<(String, String)>,
    /// The operator overrode them with a written reason.
    #[serde(default)]
    pub overridden: bool,
}

impl Parity {
    /// Holds every stage against the trained student, which comes first.
    pub fn of(runs: &[StageRun], limits: &GateRules, bands: &Bands, scale: &Scale, seed: u64, at: UnixMillis) -> Self {
        let reference: BTreeMap<&str, &RowAnswer> = runs
            .iter()
            .filter(|run| run.stage == Stage::Trained)
            .flat_map(|run| if let Outcome::Answered(rows) = &run.outcome { rows.as_slice() } else { &[] })
            .map(|row| (row.row.as_str(), row))
            .collect();
        let judge = Judge { reference: &reference, limits, bands, scale, seed };
        Self {
            at,
            rows: reference.len(),
            limits: limits.clone(),
            lines: runs.iter().map(|run| judge.line(run)).collect(),
            merged: None,
            stops: Vec::new(),
            overridden: false,
        }
    }

    /// With what the guards saw of the release.
    #[must_use]
    pub fn judged(mut self, findings: &[Finding]) -> Self {
        let stops = |f: &&Finding| f.failed() && guard(&f.guard).is_none_or(|g| g.severity == Severity::Stop);
        self.stops = findings.iter().filter(stops).map(|f| (f.guard.clone(), f.saw.clone())).collect();
        self
    }

    /// The release may be served: nothing stops it, or what does was overridden.
    pub fn passed(&self) -> bool {
        self.overridden || (self.stops.is_empty() && self.agrees())
    }

    /// Every stage that was asked passed, one at least beside the reference.
    fn agrees(&self) -> bool {
        let standing = |wanted| self.lines.iter().filter(move |line| line.standing == wanted);
        standing(Standing::Failed).next().is_none()
            && standing(Standing::Reference).next().is_some()
            && standing(Standing::Passed).next().is_some()
    }

    pub fn line(&self, stage: Stage) -> Option<&StageLine> {
        self.lines.iter().find(|line| line.stage == stage)
    }

    /// Every reason against it, with its stage.
    pub fn reasons(&self) -> impl Iterator<Item = (Stage, &str, &str)> {
        let failed = self.lines.iter().filter(|line| line.standing == Standing::Failed);
        failed.flat_map(|line| line.reasons.iter().map(move |(guard, why)| (line.stage, guard.as_str(), why.as_str())))
    }

    pub fn headline(&self) -> String {
        let asked = self.lines.iter().filter(|line| matches!(line.standing, Standing::Passed | Standing::Failed)).count();
        let table = match self.lines.iter().filter(|line| line.standing == Standing::Failed).count() {
            0 if self.agrees() => format!("{asked} runtimes answer as trained on {} rows", self.rows),
            0 => "the gate compared nothing".into(),
            failed => format!("{failed} of {asked} runtimes do not answer as trained"),
        };
        let guards: Vec<&str> = self.stops.iter().map(|(guard, _)| guard.as_str()).collect();
        match (guards.is_empty(), self.overridden) {
            (true, _) => table,
            (false, false) => format!("{table}; stopped by {}", guards.join(", ")),
            (false, true) => format!("{table}; {} overridden", guards.join(", ")),
        }
    }
}

struct Judge<'a> {
    reference: &'a BTreeMap<&'a str, &'a RowAnswer>,
    limits: &'a GateRules,
    bands: &'a Bands,
    scale: &'a Scale,
    seed: u64,
}

impl Judge<'_> {
    fn line(&self, run: &StageRun) -> StageLine {
        let mut line = StageLine {
            stage: run.stage,
            standing: Standing::NotAsked,
            runtime: run.runtime.clone(),
            digest: run.digest.clone(),
            n: 0,
            other_prompts: 0,
            next: (0, 0),
            delta: None,
            unread: 0,
            mae: None,
            mae_interval: None,
            rho: None,
            rho_interval: None,
            rise: None,
            rise_interval: None,
            seconds: run.seconds,
            reasons: Vec::new(),
        };
        match &run.outcome {
            Outcome::Absent { why } => line.reasons.push((String::new(), why.clone())),
            Outcome::Refused { guard, why } => {
                line.standing = Standing::Failed;
                line.reasons.push((guard.clone(), why.clone()));
            }
            Outcome::Answered(rows) => {
                self.figures(rows, &mut line);
                if run.stage == Stage::Trained {
                    line.standing = Standing::Reference;
                } else {
                    self.compare(rows, &mut line);
                    line.reasons = self.against(&line);
                    line.standing = if line.reasons.is_empty() { Standing::Passed } else { Standing::Failed };
                }
            }
        }
        line
    }

    /// What the answers are worth by themselves.
    fn figures(&self, rows: &[RowAnswer], line: &mut StageLine) {
        let row =
            |r: &RowAnswer| Row { article: r.article.clone(), profile: r.profile.clone(), truth: r.truth, predicted: r.drawn };
        let all: Vec<Row> = rows.iter().map(row).collect();
        let metrics = Metrics::compute(&all, self.bands, self.scale, None);
        let mut within = intervals(&all, self.bands, self.scale, None, self.seed);
        line.n = rows.len();
        line.unread = metrics.parse_failures;
        (line.mae, line.rho) = (metrics.mae, metrics.spearman);
        (line.mae_interval, line.rho_interval) = (within.remove("mae"), within.remove("spearman"));
    }

    /// What they are beside the trained student's.
    fn compare(&self, rows: &[RowAnswer], line: &mut StageLine) {
        let pairs: Vec<(&RowAnswer, &RowAnswer)> =
            rows.iter().filter_map(|row| Some((row, *self.reference.get(row.row.as_str())?))).collect();
        let differs = |(row, trained): &&(&RowAnswer, &RowAnswer)| row.prompt.is_some() && row.prompt != trained.prompt;
        line.other_prompts = pairs.iter().filter(differs).count();
        line.next = pairs.iter().fold((0, 0), |(same, of), (row, _)| (same + row.next.0, of + row.next.1));
        let deltas: Vec<f64> = pairs.iter().filter_map(|(row, trained)| row.forced.delta(trained.forced)).collect();
        let n = deltas.len();
        line.delta = (n > 0).then(|| (deltas.iter().sum::<f64>() / n as f64, deltas.iter().copied().fold(0.0, f64::max), n));
        let mut articles: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for (row, trained) in &pairs {
            let rise = charged(row.truth, row.drawn, self.scale) - charged(row.truth, trained.drawn, self.scale);
            let of = articles.entry(row.article.as_str()).or_default();
            *of = (of.0 + rise, of.1 + 1.0);
        }
        let articles: Vec<(f64, f64)> = articles.into_values().collect();
        line.rise = (!pairs.is_empty()).then(|| articles.iter().map(|(sum, _)| sum).sum::<f64>() / pairs.len() as f64);
        line.rise_interval = mean_interval(&articles, self.seed);
    }

    /// Which limits a stage breaks, and by which guard.
    fn against(&self, line: &StageLine) -> Vec<(String, String)> {
        let limits = self.limits;
        let mut reasons = Vec::new();
        let mut say = |guard: &str, why: String| reasons.push((guard.to_owned(), why));
        if line.n == 0 || line.n < self.reference.len() {
            say("S7", format!("it answered {} of {} rows", line.n, self.reference.len()));
        }
        if line.other_prompts > 0 {
            say("T11", format!("{} of {} prompts are read as other tokens than in training", line.other_prompts, line.n));
        }
        let (same, of) = line.next;
        if of > 0 && (same as f64) < limits.min_greedy * of as f64 {
            let share = same as f64 / of as f64;
            say(
                "S7",
                format!(
                    "{same} of {of} confident next tokens are the same ({share:.3}; at least {} is asked)",
                    limits.min_greedy
                ),
            );
        }
        if let Some((mean, most, n)) = line.delta
            && mean > limits.max_score_delta
        {
            let limit = limits.max_score_delta;
            say(
                "S7",
                format!(
                    "scores after the same thoughts lie {mean:.2} apart in the mean of {n} rows (at most {limit} is allowed; largest {most:.2})"
                ),
            );
        }
        // A rise within what chance does is no reason.
        if let Some(rise) = line.rise.filter(|rise| *rise > limits.max_mae_rise)
            && line.rise_interval.is_none_or(|(low, _)| low > 0.0)
        {
            say("S7", format!("its MAE is {rise:.2} above the trained student's (at most {} is allowed)", limits.max_mae_rise));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::Quant;
    use crate::domain::Recipe;

    fn recipe() -> Recipe {
        Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound")
    }

    fn rows(change: impl Fn(usize, &mut RowAnswer)) -> Vec<RowAnswer> {
        let row = |n: usize| {
            let truth = (n % 10) as f64;
            let mut row = RowAnswer {
                row: format!("a{n}|r"),
                article: format!("a{n}"),
                profile: "r".into(),
                truth,
                prompt: Some(Digest::of(format!("{n}"))),
                drawn: Some((truth + 0.3).min(10.0)),
                forced: Forced { drawn: Some(truth), expected: Some(truth) },
                next: (40, 40),
            };
            change(n, &mut row);
            row
        };
        (0..20).map(row).collect()
    }

    fn run(stage: Stage, outcome: Outcome) -> StageRun {
        let runtime = Runtime { engine: "stratos".into(), precision: "f32".into(), device: "cpu".into() };
        StageRun { stage, runtime: Some(runtime), digest: Some(Digest::of("d")), seconds: 1.0, outcome }
    }

    fn table(outcome: Outcome) -> Parity {
        let recipe = recipe();
        let runs = [run(Stage::Trained, Outcome::Answered(rows(|_, _| ()))), run(Stage::Form(Form::Gguf(Quant::Q8)), outcome)];
        Parity::of(&runs, &recipe.deploy.gate, &recipe.bands, &recipe.scale, 1, UnixMillis(0))
    }

    #[test]
    fn who_answers_as_trained_passes_with_every_figure_said() {
        let table = table(Outcome::Answered(rows(|_, _| ())));
        let line = &table.lines[1];
        assert!(table.passed() && line.standing == Standing::Passed, "{line:?}");
        assert_eq!((line.n, line.next, line.delta, line.rise), (20, (800, 800), Some((0.0, 0.0, 20)), Some(0.0)));
        assert!(line.mae.is_some_and(|mae| (mae - 0.3).abs() < 1e-9) && line.mae_interval.is_some() && line.rho.is_some());
        assert_eq!(table.headline(), "1 runtimes answer as trained on 20 rows");
    }

    #[test]
    fn each_way_of_answering_otherwise_is_named_by_its_guard() {
        type Change = fn(usize, &mut RowAnswer);
        let cases: [(&str, &str, Change); 5] = [
            ("T11", "1 of 20 prompts", |n, row| {
                if n == 3 {
                    row.prompt = Some(Digest::of("other"));
                }
            }),
            ("S7", "confident next tokens", |n, row| {
                if n % 4 == 0 {
                    row.next = (10, 40);
                }
            }),
            ("S7", "after the same thoughts", |_, row| row.forced.expected = row.forced.expected.map(|s| s + 0.8)),
            ("S7", "its MAE is", |n, row| row.drawn = Some(if n % 2 == 0 { 0.0 } else { 10.0 })),
            ("S7", "its MAE is", |_, row| row.drawn = None),
        ];
        for (guard, words, change) in cases {
            let table = table(Outcome::Answered(rows(change)));
            let reasons: Vec<_> = table.reasons().collect();
            assert!(
                !table.passed() && reasons.iter().any(|(_, g, why)| *g == guard && why.contains(words)),
                "{words}: {reasons:?}"
            );
        }
    }

    #[test]
    fn scores_are_compared_by_the_finest_that_both_have() {
        let table = table(Outcome::Answered(rows(|_, row| {
            row.forced = Forced { drawn: row.forced.drawn.map(|s| s + 0.1), expected: None };
        })));
        assert!(table.lines[1].delta.is_some_and(|(mean, _, n)| (mean - 0.1).abs() < 1e-9 && n == 20) && table.passed());
    }

    #[test]
    fn a_rise_that_chance_explains_is_no_reason() {
        let table = table(Outcome::Answered(rows(|n, row| {
            if n == 7 {
                row.drawn = Some(0.0);
            }
        })));
        assert!(table.lines[1].rise.is_some_and(|rise| rise > 0.25) && table.passed(), "{:?}", table.lines[1]);
    }

    #[test]
    fn a_stage_that_is_not_here_stops_nothing_and_one_that_refuses_does() {
        let absent = table(Outcome::Absent { why: "no server is named".into() });
        assert_eq!(absent.lines[1].standing, Standing::NotAsked);
        assert!(!absent.passed(), "nothing was compared");
        let refused = table(Outcome::Refused { guard: "S8".into(), why: "the context is too small".into() });
        assert!(refused.reasons().eq([(Stage::Form(Form::Gguf(Quant::Q8)), "S8", "the context is too small")]));
        let few = table(Outcome::Answered(rows(|_, _| ()).into_iter().take(3).collect()));
        assert!(few.reasons().any(|(_, _, why)| why == "it answered 3 of 20 rows"));
    }

    #[test]
    fn a_guard_that_stops_keeps_a_release_that_answers_as_trained_until_it_is_overridden() {
        let findings = [Finding::fail("S1", "only 0 of 8 smoke answers read", "Train."), Finding::fail("S4", "cold", "Warm.")];
        let stopped = table(Outcome::Answered(rows(|_, _| ()))).judged(&findings);
        assert!(!stopped.passed() && stopped.stops.len() == 1 && stopped.headline().ends_with("stopped by S1"));
        let overridden = Parity { overridden: true, ..stopped };
        assert!(overridden.passed() && overridden.headline().ends_with("S1 overridden"));
    }

    #[test]
    fn the_record_is_read_back_as_it_was_written() {
        let table = table(Outcome::Answered(rows(|_, _| ())));
        let text = serde_json::to_string(&table).expect("writes");
        assert_eq!(serde_json::from_str::<Parity>(&text).expect("reads"), table);
    }
}
