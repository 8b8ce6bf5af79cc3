//! Evaluation runs side by side: the first against each of the others, on the rows that both judged.
//!
//! Owns which rows are common, the refusal to compare across runtimes (guard E6), what changed between two runs and which
//! rows differ most; the differences of figures are `paired`'s, the words `runs_words`'.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::paired::{Outcome, Paired, PairedRow, charged, decide, paired};
use super::{Evaluation, FEW_ROWS, Runtime};
use crate::domain::{Bands, Digest, Finding, one_line, recipe::Scale, safe_text};

/// Rows that are shown of those on which two runs differ most.
const DISAGREEMENTS: usize = 10;
/// Characters of an output that are shown.
const SHOWN_OUTPUT: usize = 2_000;
/// More changes at once than this cannot be told apart by their result (guard T4).
const FEW_CHANGES: usize = 1;

#[derive(Debug, Error)]
pub enum RunsError {
    #[error("one run compares nothing; give two or more")]
    TooFew,
    #[error("{0} is named twice; give each run once")]
    Twice(String),
    #[error(
        "guard E6: {first} was answered by {first_runtime}, {other} by {other_runtime}; their difference would be the runtimes' as \
         much as the models'. Evaluate both in one runtime, or ask for it with --across-runtimes"
    )]
    Runtimes { first: String, first_runtime: String, other: String, other_runtime: String },
    #[error("{0} keeps no rows: it was made by an older version. Run 'stratos validate --again'")]
    NoRows(String),
    #[error(
        "{first} and {other} have no row in common: {first} judged {first_rows}, {other} {other_rows}. Evaluate both on the same rows"
    )]
    NothingCommon { first: String, first_rows: String, other: String, other_rows: String },
}

/// One run, as far as comparing needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub digest: Digest,
    /// "student", "constant" …
    pub predictor: String,
    pub runtime: Runtime,
    /// Name of its rows.
    pub row_set: String,
    pub rows: Vec<RunRow>,
    /// Everything that decided it, by name.
    pub settings: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub article: String,
    pub profile: String,
    pub cluster: String,
    pub truth: f64,
    pub predicted: Option<f64>,
    pub output: String,
    pub defect: Option<String>,
}

impl From<&Evaluation> for Run {
    fn from(evaluation: &Evaluation) -> Self {
        let subject = &evaluation.subject;
        let mut settings = evaluation.settings.clone();
        if settings.is_empty() {
            // A record of before settings were kept.
            let of_subject = [
                ("predictor", evaluation.predictor_name().to_owned()),
                ("model", subject.model.to_string()),
                ("dataset", subject.dataset.to_string()),
                ("recipe.digest", subject.recipe.to_string()),
                ("sampling", subject.sampling.clone()),
                ("seed", subject.seed.to_string()),
                ("runtime", subject.runtime.to_string()),
            ];
            settings = of_subject.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        }
        let row = |r: &super::JudgedRow| RunRow {
            article: r.article.clone(),
            profile: r.profile.clone(),
            cluster: r.cluster.clone(),
            truth: r.truth,
            predicted: r.predicted,
            output: r.output.clone(),
            defect: r.defect.clone(),
        };
        Self {
            digest: subject.digest(),
            predictor: evaluation.predictor_name().to_owned(),
            runtime: subject.runtime.clone(),
            row_set: evaluation.rows_name().to_owned(),
            rows: evaluation.rows.iter().map(row).collect(),
            settings,
        }
    }
}

/// A run for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunLabel {
    pub digest: Digest,
    pub predictor: String,
    pub runtime: String,
    pub row_set: String,
    pub n: usize,
}

/// A setting that differs; `None`: the run does not have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub name: String,
    pub first: Option<String>,
    pub other: Option<String>,
}

/// A row on which two runs differ much; texts are free of control characters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDisagreement {
    pub article: String,
    pub title: String,
    pub profile: String,
    pub truth: f64,
    pub first: Option<f64>,
    pub other: Option<f64>,
    pub first_output: String,
    pub other_output: String,
}

/// The first run against one other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgainstFirst {
    pub run: RunLabel,
    pub common: usize,
    /// Rows that only one of the two judged.
    pub only_first: usize,
    pub only_other: usize,
    /// Rows with another truth in each; compared by none.
    pub other_truth: usize,
    pub across_runtimes: bool,
    pub paired: Paired,
    /// Over all figures: better or worse where at least one is and none speaks against it.
    pub outcome: Outcome,
    /// Figures speak for both.
    pub mixed: bool,
    pub changed: Vec<Change>,
    pub disagreements: Vec<RunDisagreement>,
    pub findings: Vec<Finding>,
}

/// Two or more runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunComparison {
    pub first: RunLabel,
    pub others: Vec<AgainstFirst>,
    /// Tests that Holm's correction was over.
    pub tests: usize,
}

/// What a comparison needs besides the runs.
pub struct Ground<'a> {
    pub bands: &'a Bands,
    pub scale: &'a Scale,
    pub seed: u64,
    pub across_runtimes: bool,
    /// Title of an article by its id.
    pub title: &'a dyn Fn(&str) -> Option<String>,
}

impl Run {
    fn label(&self) -> RunLabel {
        RunLabel {
            digest: self.digest.clone(),
            predictor: one_line(&self.predictor, 60),
            runtime: one_line(&self.runtime.to_string(), 80),
            row_set: one_line(&self.row_set, 60),
            n: self.rows.len(),
        }
    }

    fn name(&self) -> String {
        self.digest.short().to_owned()
    }
}

/// Compares the first run with each of the others.
pub fn compare_runs(runs: &[Run], ground: &Ground<'_>) -> Result<RunComparison, RunsError> {
    let Some((first, others)) = runs.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err(RunsError::TooFew);
    };
    for (place, run) in runs.iter().enumerate() {
        if runs[..place].iter().any(|earlier| earlier.digest == run.digest) {
            return Err(RunsError::Twice(run.name()));
        }
        if run.rows.is_empty() {
            return Err(RunsError::NoRows(run.name()));
        }
    }
    let mut compared = others.iter().map(|other| against(first, other, ground)).collect::<Result<Vec<_>, _>>()?;
    let mut all: Vec<&mut Paired> = compared.iter_mut().map(|c| &mut c.paired).collect();
    decide(&mut all, FEW_ROWS);
    let tests = compared.iter().flat_map(|c| &c.paired.differences).filter(|d| d.p.is_some()).count();
    for comparison in &mut compared {
        (comparison.outcome, comparison.mixed) = overall(&comparison.paired);
    }
    Ok(RunComparison { first: first.label(), others: compared, tests })
}

fn overall(paired: &Paired) -> (Outcome, bool) {
    let any = |outcome| paired.differences.iter().any(|d| d.outcome == outcome);
    match (any(Outcome::Better), any(Outcome::Worse)) {
        (true, false) => (Outcome::Better, false),
        (false, true) => (Outcome::Worse, false),
        (better, _) => (Outcome::CannotTell, better),
    }
}

fn against(first: &Run, other: &Run, ground: &Ground<'_>) -> Result<AgainstFirst, RunsError> {
    let across = first.runtime != other.runtime;
    if across && !ground.across_runtimes {
        return Err(RunsError::Runtimes {
            first: first.name(),
            first_runtime: one_line(&first.runtime.to_string(), 80),
            other: other.name(),
            other_runtime: one_line(&other.runtime.to_string(), 80),
        });
    }
    let theirs: HashMap<(&str, &str), &RunRow> =
        other.rows.iter().map(|r| ((r.article.as_str(), r.profile.as_str()), r)).collect();
    let both: Vec<(&RunRow, &RunRow)> = first
        .rows
        .iter()
        .filter_map(|row| theirs.get(&(row.article.as_str(), row.profile.as_str())).map(|other| (row, *other)))
        .collect();
    let (common, moved): (Vec<_>, Vec<_>) = both.iter().copied().partition(|(a, b)| (a.truth - b.truth).abs() < 1e-9);
    if common.is_empty() {
        return Err(RunsError::NothingCommon {
            first: first.name(),
            first_rows: one_line(&first.row_set, 60),
            other: other.name(),
            other_rows: one_line(&other.row_set, 60),
        });
    }
    let rows: Vec<PairedRow> = common.iter().map(|(a, b)| paired_row(a, b)).collect();
    let compared = paired(&rows, ground.bands, ground.scale, ground.seed);
    let changed = changes(&first.settings, &other.settings);
    let mut comparison = AgainstFirst {
        run: other.label(),
        common: common.len(),
        only_first: first.rows.len() - both.len(),
        only_other: other.rows.len() - both.len(),
        other_truth: moved.len(),
        across_runtimes: across,
        paired: compared,
        outcome: Outcome::CannotTell,
        mixed: false,
        changed,
        disagreements: disagreements(common, ground),
        findings: Vec::new(),
    };
    comparison.findings = findings(&comparison);
    Ok(comparison)
}

fn paired_row(a: &RunRow, b: &RunRow) -> PairedRow {
    PairedRow {
        article: a.article.clone(),
        profile: a.profile.clone(),
        cluster: a.cluster.clone(),
        truth: a.truth,
        a: a.predicted,
        b: b.predicted,
    }
}

/// Every setting that differs, by name.
pub fn changes(first: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<Change> {
    let mut names: Vec<&String> = first.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let differs = names.into_iter().filter(|name| first.get(*name) != other.get(*name));
    let value = |settings: &BTreeMap<String, String>, name: &str| settings.get(name).map(|v| one_line(v, 200));
    differs.map(|name| Change { name: one_line(name, 60), first: value(first, name), other: value(other, name) }).collect()
}

/// Whether a setting changes only because another did, which is in the list too.
fn follows(name: &str) -> bool {
    const FOLLOW: [&str; 7] =
        ["model", "rows.digest", "recipe.digest", "train.data", "train.rows", "train.threads", "train.tokenizer"];
    FOLLOW.iter().any(|of| name.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The rows whose scores are farthest apart; where one could not be read, by how much worse it was charged.
fn disagreements(mut common: Vec<(&RunRow, &RunRow)>, ground: &Ground<'_>) -> Vec<RunDisagreement> {
    let gap = |(a, b): &(&RunRow, &RunRow)| match (a.predicted, b.predicted) {
        (Some(p), Some(q)) => (p - q).abs(),
        (p, q) => (charged(a.truth, p, ground.scale) - charged(a.truth, q, ground.scale)).abs(),
    };
    common.retain(|pair| gap(pair) > 1e-9);
    common
        .sort_by(|x, y| gap(y).total_cmp(&gap(x)).then_with(|| (&x.0.article, &x.0.profile).cmp(&(&y.0.article, &y.0.profile))));
    let shown = |row: &RunRow| match &row.defect {
        Some(why) if row.output.is_empty() => one_line(why, 200),
        _ => cut(&row.output),
    };
    let disagreement = |(a, b): &(&RunRow, &RunRow)| RunDisagreement {
        article: one_line(&a.article, 80),
        title: (ground.title)(&a.article).map_or_else(|| one_line(&a.article, 80), |title| one_line(&title, 200)),
        profile: one_line(&a.profile, 80),
        truth: a.truth,
        first: a.predicted,
        other: b.predicted,
        first_output: shown(a),
        other_output: shown(b),
    };
    common.iter().take(DISAGREEMENTS).map(disagreement).collect()
}

fn cut(output: &str) -> String {
    let safe = safe_text(output);
    match safe.char_indices().nth(SHOWN_OUTPUT) {
        Some((at, _)) => format!("{}…", &safe[..at]),
        None => safe,
    }
}

fn findings(c: &AgainstFirst) -> Vec<Finding> {
    let left_out = c.only_first + c.only_other + c.other_truth;
    let failures = format!(
        "compared on {} common rows; {left_out} left out; unreadable answers ({} and {}) are charged their worst error",
        c.common, c.paired.failures_a, c.paired.failures_b
    );
    let e6 = if c.across_runtimes {
        let saw = format!("compared across runtimes, as was asked for: the other run is {}", c.run.runtime);
        Finding::fail("E6", saw, "Evaluate both in one runtime before believing a difference.")
    } else {
        Finding::pass("E6", format!("both runs are {}", c.run.runtime))
    };
    let e4 = if c.common < FEW_ROWS {
        Finding::fail("E4", format!("only {} common rows", c.common), "Evaluate both on more rows before comparing them.")
    } else {
        Finding::pass("E4", format!("{} common rows, each difference with its interval", c.common))
    };
    let own = c.changed.iter().map(|change| change.name.as_str()).filter(|name| !follows(name));
    let names: Vec<&str> = own.collect();
    let t4 = match names.len() {
        0 => Finding::pass("T4", "no setting differs"),
        n if n <= FEW_CHANGES => Finding::pass("T4", format!("one setting differs: {}", names.join(", "))),
        n => Finding::fail(
            "T4",
            format!("{n} settings differ at once: {}", one_line(&names.join(", "), 300)),
            "The difference belongs to all of them together; change one at a time to know which.",
        ),
    };
    vec![Finding::pass("E5", failures), e6, e4, t4]
}
