//! From a predictor's name to somebody who predicts: a scorer that writes answers, scores that exist already, or a fitted
//! baseline. Owns finding and opening them; asking is `asking`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::job::{Failure, JobContext};
use super::super::phases::{served, trained_dir, upstream_output};
use super::super::scoring;
use super::super::subject::{Choice, untuned};
use super::annotators;
use super::request::{EvaluationRequest, PredictorChoice};
use crate::domain::recipe::Sampling;
use crate::domain::{ArticleId, Digest, PairKey, Phase, ProfileId, one_line};
use crate::evaluate::{Baselines, Runtime};
use crate::scorer::{self, Embedded, Scorer};
use crate::student::{Student, peft};
use crate::workspace::{JsonRecords, Workspace};

/// Somebody who predicts.
pub(super) enum Predictor {
    /// Writes an answer to each prompt.
    Writes { scorer: Box<dyn Scorer>, rules: Sampling },
    /// Gave its scores before.
    Gave {
        model: Digest,
        runtime: Runtime,
        scores: BTreeMap<PairKey, Option<f64>>,
        /// Whether a row without a score is one it failed on; else one it was never asked about.
        answers_for_all: bool,
    },
    /// Fitted on the training side.
    Baseline { name: String, model: Digest },
}

impl Predictor {
    pub fn model(&self) -> Digest {
        match self {
            Self::Writes { scorer, .. } => scorer.digest(),
            Self::Gave { model, .. } | Self::Baseline { model, .. } => model.clone(),
        }
    }

    pub fn runtime(&self) -> Runtime {
        match self {
            Self::Writes { scorer, .. } => scorer.runtime(),
            Self::Gave { runtime, .. } => runtime.clone(),
            Self::Baseline { .. } => Runtime { engine: Runtime::BASELINE.into(), precision: "f64".into(), device: "cpu".into() },
        }
    }

    /// As a subject's text.
    pub fn sampling(&self) -> Result<String, Failure> {
        Ok(match self {
            Self::Writes { rules, .. } => serde_json::to_string(rules)?,
            _ => "none".to_owned(),
        })
    }
}

/// Opens what a request names.
pub(super) fn open(
    context: &JobContext,
    request: &EvaluationRequest,
    baselines: Option<&Baselines>,
) -> Result<Predictor, Failure> {
    let workspace = &context.workspace;
    let rules = workspace.recipe.floored(&request.sampling.rules(&workspace.recipe.sampling));
    let writes = |scorer: Box<dyn Scorer>| Ok(Predictor::Writes { scorer, rules: rules.clone() });
    match &request.predictor {
        PredictorChoice::Student => {
            let trained = upstream_output(context, Phase::Train)?;
            writes(scoring::scorer(workspace, &trained_dir(&context.ledger, workspace)?, &trained)?)
        }
        PredictorChoice::Server => writes(server(context)?),
        PredictorChoice::Base => writes(Box::new(Embedded::new(untuned(&base_path(workspace)?, &workspace.recipe)?))),
        PredictorChoice::Model(path) => {
            let path = workspace.root().join(path);
            if !path.exists() {
                let next = "Give a .gguf file or a model's folder; see 'stratos models list'.";
                return Err(Failure::new(format!("there is no {}", path.display()), next));
            }
            let student =
                if path.join(peft::CONFIG_FILE).exists() { Student::load(&path)? } else { untuned(&path, &workspace.recipe)? };
            writes(Box::new(Embedded::new(student)))
        }
        PredictorChoice::Teacher(name) => {
            let annotator = annotators::named(workspace, &context.ledger, name)?;
            Ok(Predictor::Gave {
                model: Digest::of_json(&("annotator", &annotator.name)),
                runtime: annotator.runtime,
                scores: annotator.scores.into_iter().map(|(pair, score)| (pair, Some(score))).collect(),
                answers_for_all: false,
            })
        }
        PredictorChoice::File(path) => of_file(&workspace.root().join(path)),
        PredictorChoice::Baseline(name) => {
            let fitted = baselines.filter(|b| b.fitted()).ok_or_else(|| {
                let next = "Run 'stratos dataset build', or give scores to fit on with --fit FILE.";
                Failure::new(format!("'{name}' has nothing to be fitted on: there is no training side"), next)
            })?;
            Ok(Predictor::Baseline { name: name.clone(), model: Digest::of_json(&("baseline", name, fitted.digest())) })
        }
    }
}

fn base_path(workspace: &Workspace) -> Result<PathBuf, Failure> {
    match Choice::of(workspace)? {
        Choice::Base(path) => Ok(path),
        Choice::Seedling => Err(Failure::new(
            "the seedling has no base: it is trained from nothing",
            "Compare it with --predictor constant, or set student.base to a model.",
        )),
    }
}

/// The server of `[scoring]`; prompts are made with the served student's text side, or the base's before there is one.
fn server(context: &JobContext) -> Result<Box<dyn Scorer>, Failure> {
    let workspace = &context.workspace;
    if workspace.config.scoring.server.is_none() {
        let next = "Add to stratos.toml: [scoring] server = \"http://127.0.0.1:8080\"";
        return Err(Failure::new("[scoring] names no server", next));
    }
    let (folder, student) = match served(&context.ledger, workspace) {
        Ok(found) => found,
        Err(failure) => match Choice::of(workspace)? {
            Choice::Base(path) => {
                let name = Digest::of(path.to_string_lossy().as_bytes());
                (path, name)
            }
            Choice::Seedling => return Err(failure),
        },
    };
    Ok(scorer::open(&workspace.config.scoring, &folder, &student)?)
}

/// A line of a file of predictions. `predicted` null or missing: the model failed on the row.
#[derive(Deserialize)]
struct PredictionLine {
    article_id: ArticleId,
    profile_id: ProfileId,
    #[serde(alias = "prediction", alias = "score")]
    predicted: Option<f64>,
    /// What computed it, e.g. "vllm bf16 cuda".
    #[serde(default)]
    runtime: String,
}

fn of_file(path: &Path) -> Result<Predictor, Failure> {
    let mut scores = BTreeMap::new();
    let mut runtimes: Vec<String> = Vec::new();
    for record in JsonRecords::<PredictionLine>::open(path)? {
        let (number, line) = record?;
        let pair = PairKey { article: line.article_id, profile: line.profile_id };
        if scores.insert(pair.clone(), line.predicted.filter(|p| p.is_finite())).is_some() {
            let reason = format!("{}:{number}: {pair} was predicted on an earlier line", path.display());
            return Err(Failure::new(reason, "Keep one of the two lines."));
        }
        if !runtimes.contains(&line.runtime) {
            runtimes.push(line.runtime);
        }
    }
    if scores.is_empty() {
        return Err(Failure::new(
            format!("{} holds no predictions", path.display()),
            "Write one JSON object per line: article_id, profile_id, predicted.",
        ));
    }
    let runtime = match runtimes.as_slice() {
        [one] if !one.trim().is_empty() => {
            let told = one_line(one, 80);
            let mut parts = told.splitn(3, ' ').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            Runtime { engine: next(), precision: next(), device: next() }
        }
        _ => Runtime { engine: "file".into(), precision: String::new(), device: String::new() },
    };
    let content: Vec<(&str, &str, &Option<f64>)> =
        scores.iter().map(|(pair, p)| (pair.article.as_str(), pair.profile.as_str(), p)).collect();
    let model = Digest::of_json(&("predictions", content));
    Ok(Predictor::Gave { model, runtime, scores, answers_for_all: true })
}
