//! Phase 8: the trained student becomes a release, checked against what was trained, and is served.

use std::path::PathBuf;

use super::super::deploying::{self, gate};
use super::super::errand::Errand;
use super::super::job::{Failure, JobContext, PhaseEnd};
use super::super::scoring;
use super::train::run_dir;
use crate::deploy::trained_in;
use crate::domain::{Digest, Finding, Phase};
use crate::student::Student;
use crate::workspace::{Ledger, Workspace, WorkspaceError};

pub fn run(context: &mut JobContext) -> Result<PhaseEnd, Failure> {
    let Some(release) = deploying::make(context)? else { return Ok(PhaseEnd::Stopped) };
    let Some(headline) = gated(context, &release)? else { return Ok(PhaseEnd::Stopped) };
    let name = deploying::go_live(context, Some(&release.name))?;
    let output = Digest::of_json(&release.manifest);
    Ok(PhaseEnd::Done { output, headline: format!("{name} is served; {headline}") })
}

/// Through the gate, with everything that guards say of a release; what stops it can be overridden for just this release.
/// `None`: the operator stopped it.
fn gated(context: &mut JobContext, release: &gate::Gated) -> Result<Option<String>, Failure> {
    if !deploying::create_in_ollama(context, release)? {
        return Ok(None);
    }
    let Some(parity) = gate::run(context, release)? else { return Ok(None) };
    let mut findings = gate::findings(context, release, &parity);
    let smoke = smoke(context, release)?;
    let saw = smoke.saw.clone();
    if smoke.failed() || !findings.iter().any(|f| f.guard == "S1" && f.failed()) {
        findings.retain(|f| f.guard != "S1");
        findings.push(smoke);
    }
    let parity = gate::hold(context, release, parity, &findings)?;
    Ok(Some(format!("{}; {saw}", parity.headline())))
}

/// What is done with releases beside making one.
pub fn run_errand(context: &mut JobContext, errand: &Errand) -> Result<PhaseEnd, Failure> {
    let headline = match errand {
        Errand::GateRelease { release } => {
            let row = deploying::find_release(&context.ledger, release)?;
            let release = gate::open(context.workspace.root(), &row)?;
            let Some(headline) = gated(context, &release)? else { return Ok(PhaseEnd::Stopped) };
            format!("{}: {headline}", release.name)
        }
        Errand::GoLive { release } => format!("{} is served", deploying::go_live(context, release.as_deref())?),
        Errand::ClearReleases { releases } => {
            let freed = deploying::clear(context, releases)?;
            format!("{} releases are gone, {:.1} MiB are free again", releases.len(), freed as f64 / f64::from(1 << 20))
        }
        other => return Err(Failure::new(format!("{other:?} is nothing of this phase"), "This is a fault of StratOS.")),
    };
    Ok(PhaseEnd::Aside { headline })
}

/// The release answers in the format: loaded from its own files, asked the sanity articles (S1).
fn smoke(context: &mut JobContext, release: &gate::Gated) -> Result<Finding, Failure> {
    let workspace = context.workspace.clone();
    let again = "Make the release again with 'stratos deploy --again'; the release before stays live.";
    let student = match Student::load(&release.trained()) {
        Ok(student) => student,
        Err(error) => return Ok(Finding::fail("S1", format!("the release cannot be opened: {error}"), again)),
    };
    let found = student.digest();
    if *found != release.model {
        let saw = format!("the release's digest is {}, the trained student's {}", found.short(), release.model.short());
        return Ok(Finding::fail("S1", saw, again));
    }
    let questions = scoring::sanity_questions(&workspace, &context.ledger, true)?;
    let answers = scoring::generate(&workspace, &student, &questions, context)?;
    let readable = answers.iter().filter(|a| a.score(&workspace).is_some()).count();
    let saw = format!("{readable} of {} smoke answers read", answers.len());
    if answers.is_empty() || readable * 2 >= answers.len() {
        return Ok(Finding::pass("S1", saw));
    }
    Ok(Finding::fail(
        "S1",
        format!("only {saw}"),
        "Look at the Validate tab: train longer, or mend the format; the release before stays live.",
    ))
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
        return Ok((trained_in(&workspace.root().join(release.path)), release.model));
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
