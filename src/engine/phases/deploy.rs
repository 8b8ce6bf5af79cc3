//! Phase 8: the trained student becomes a release, checked against what was trained, and is served.

use std::path::{Path, PathBuf};

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::super::scoring;
use super::{last_evaluation, train::run_dir, upstream_output};
use crate::deploy::{self, Manifest};
use crate::domain::{Conduct, Digest, Phase};
use crate::student::Student;
use crate::workspace::{Ledger, ReleaseRow, Workspace, WorkspaceError};

pub fn run(context: &mut JobContext) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let model = upstream_output(context, Phase::Train)?;
    let trained = trained_dir(&context.ledger, &workspace)?;
    let (evaluation, subject) = last_evaluation(&context.ledger)?
        .ok_or_else(|| Failure::new("there is no evaluation", "Run 'stratos validate' first."))?;
    let name = format!("{}-{}", workspace.recipe.name, model.short());
    let path = format!(".stratos/releases/{name}");
    let target = workspace.state_dir("releases")?.join(&name);
    context.progress(0, 2, "steps", "copying the student");
    let manifest = Manifest {
        recipe: workspace.recipe.name.clone(),
        recipe_digest: workspace.recipe.digest(),
        prompt_digest: workspace.renderer.digest().clone(),
        model: model.clone(),
        dataset: upstream_output(context, Phase::Dataset)?,
        evaluation: subject.clone(),
        runtime: evaluation.runtime().to_string(),
        verdict: evaluation.verdict_words(),
    };
    deploy::copy_release(&trained, &target, &manifest)?;
    context.progress(1, 2, "steps", "asking it the sanity articles");
    let smoke = smoke(context, &target, &model)?;
    let release = ReleaseRow {
        name: name.clone(),
        path,
        model,
        evaluation: subject,
        runtime: manifest.runtime.clone(),
        verdict: manifest.verdict.clone(),
        live: true,
        at: context.clock.now(),
    };
    context.ledger.put_release(&release)?;
    context.ledger.go_live(&name, context.clock.now())?;
    let output = Digest::of_json(&manifest);
    Ok(PhaseEnd::Done { output, headline: format!("{name} is served; {smoke}") })
}

/// The release is what was trained, and answers in the format: loaded from its own files, asked the sanity articles.
fn smoke(context: &mut JobContext, target: &Path, model: &Digest) -> Result<String, Failure> {
    let workspace = context.workspace.clone();
    let student = Student::load(target)?;
    let found = student.digest();
    if found != model {
        let reason = format!("the release's digest is {}, the trained student's {}", found.short(), model.short());
        return Err(Failure::new(reason, "Run 'stratos deploy --again'; the release before stays live."));
    }
    let questions = scoring::sanity_questions(&workspace, &context.ledger, true)?;
    let answers = scoring::generate(&workspace, &student, &questions, context)?;
    let readable = answers.iter().filter(|a| a.score(&workspace).is_some()).count();
    if !answers.is_empty() && readable * 2 < answers.len() {
        let reason = format!("only {readable} of {} smoke answers could be read", answers.len());
        return Err(Failure::new(reason, "Look at the Validate tab; the release before stays live."));
    }
    Ok(format!("{readable} of {} smoke answers read", answers.len()))
}

/// Where the last training run left its best student.
pub fn trained_dir(ledger: &Ledger, workspace: &Workspace) -> Result<PathBuf, Failure> {
    let record = ledger.last_record(Phase::Train)?;
    let record = record.ok_or_else(|| Failure::new("no student was trained yet", "Run 'stratos run' first."))?;
    Ok(run_dir(workspace, &record.input)?.join("best"))
}

/// The folder that `score` loads and the digest of the student in it: the live release, else the trained student.
pub fn served(ledger: &Ledger, workspace: &Workspace) -> Result<(PathBuf, Digest), Failure> {
    let live = ledger.releases().map(|all| all.into_iter().find(|r| r.live)).map_err(|e: WorkspaceError| Failure::from(e))?;
    if let Some(release) = live {
        return Ok((workspace.root().join(release.path), release.model));
    }
    let folder = trained_dir(ledger, workspace).map_err(|failure| missing(workspace, failure))?;
    let trained = ledger.last_record(Phase::Train)?.map(|r| r.output);
    let student = trained.ok_or_else(|| Failure::new("no student was trained yet", "Run 'stratos run' first."))?;
    Ok((folder, student))
}

/// A server alone is not enough.
fn missing(workspace: &Workspace, failure: Failure) -> Failure {
    let Some(server) = &workspace.config.scoring.server else { return failure };
    let reason = format!(
        "{}: {server} writes answers, but prompts are made with the student's own tokenizer and chat template",
        failure.reason
    );
    Failure::new(reason, failure.next)
}
