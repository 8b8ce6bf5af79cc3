//! Everything that decided an evaluation, variable by variable, so that two of them can be laid side by side.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::job::JobContext;
use super::super::phases::run_dir;
use super::request::{EvaluationRequest, PredictorChoice};
use crate::domain::{Phase, one_line};
use crate::evaluate::{RowSet, Subject};
use crate::train::proofs::parent_settings;

/// The settings by name; nested ones as `train.run.learning_rate`.
pub(super) fn settings(
    context: &JobContext,
    request: &EvaluationRequest,
    subject: &Subject,
    set: &RowSet,
) -> BTreeMap<String, String> {
    let workspace = &context.workspace;
    let mut all = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        if !value.is_empty() {
            all.insert(name.to_owned(), one_line(&value, 400));
        }
    };
    put("predictor", request.predictor.to_string());
    put("rows", set.name.clone());
    put("rows.digest", set.digest.to_string());
    put("rows.sample", set.sample.clone());
    put("recipe", format!("{} {}", workspace.recipe.name, workspace.recipe.version));
    put("recipe.digest", subject.recipe.to_string());
    put("prompt", workspace.renderer.digest().to_string());
    put("dataset", subject.dataset.to_string());
    put("model", subject.model.to_string());
    put("runtime", subject.runtime.to_string());
    put("seed", subject.seed.to_string());
    put("calibrator", subject.calibrator.as_ref().map(ToString::to_string).unwrap_or_default());
    put("fit", request.fit.as_ref().map(|p| p.display().to_string()).unwrap_or_default());
    if matches!(request.predictor, PredictorChoice::Student | PredictorChoice::Base) {
        put("base", workspace.config.student.base.clone());
    }
    if let Ok(sampling) = serde_json::from_str::<Value>(&subject.sampling) {
        flatten("sampling", &sampling, &mut put);
    }
    if request.predictor == PredictorChoice::Student
        && let Some(trained) = training(context)
    {
        flatten("train", &trained, &mut put);
    }
    all
}

/// The effective settings of the run that made the student.
fn training(context: &JobContext) -> Option<Value> {
    let record = context.ledger.last_record(Phase::Train).ok()??;
    parent_settings(&run_dir(&context.workspace, &record.input).ok()?)
}

fn flatten(name: &str, value: &Value, put: &mut impl FnMut(&str, String)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&format!("{name}.{key}"), value, put)),
        Value::String(text) => put(name, text.clone()),
        Value::Null => {}
        other => put(name, other.to_string()),
    }
}
