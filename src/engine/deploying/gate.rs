//! The gate: every runtime of a release answers the same held-out rows, and the table says whether they answer as the
//! trained student does. A release that does not pass is kept and shown, and never served.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::job::{Failure, JobContext};
use super::rows::{GateRow, Reference, gate_rows};
use super::stages::{Asking, Candidate, Refusal, run_of};
use crate::deploy::parity::{Outcome, Stage, StageRun};
use crate::deploy::{Form, Manifest, Parity, trained_in};
use crate::domain::{Conduct, Digest, Finding};
use crate::workspace::{GateRow as GateRecord, ScoringChoice, ServerKind};

/// A release on disk, as its gate sees it.
pub(in super::super) struct Gated {
    pub name: String,
    pub folder: PathBuf,
    pub model: Digest,
    pub manifest: Manifest,
}

impl Gated {
    /// The student as it was trained.
    pub fn trained(&self) -> PathBuf {
        trained_in(&self.folder)
    }
}

/// What guards of a release speak of, and what an override is bound to: its model, as its Modelfile serves it.
pub(in super::super) fn subject(root: &Path, row: &crate::workspace::ReleaseRow) -> Digest {
    of_files(&root.join(&row.path), &row.model)
}

fn of_files(folder: &Path, model: &Digest) -> Digest {
    let modelfile = std::fs::read(folder.join(crate::deploy::MODELFILE)).unwrap_or_default();
    Digest::of_json(&("release", model, Digest::of(modelfile)))
}

/// Asks every runtime; `None`: the operator stopped it.
pub(in super::super) fn run(context: &mut JobContext, release: &Gated) -> Result<Option<Parity>, Failure> {
    let workspace = context.workspace.clone();
    let recipe = &workspace.recipe;
    let rules = &recipe.deploy.gate;
    let rows = gate_rows(context, rules.rows)?;
    let stages = stages(context, release);
    let mut gate = Asked { release, rows: &rows, context, runs: Vec::new(), reference: None, merged: None };
    for at in 0..stages.len() {
        if !gate.stage(&stages[at], (at, stages.len())) {
            return Ok(None);
        }
    }
    let (runs, merged) = (gate.runs, gate.merged);
    let parity = Parity::of(&runs, rules, &recipe.bands, &recipe.scale, workspace.config.seed, context.clock.now());
    let parity = Parity { merged, ..parity };
    pin(context, release, &parity)?;
    Ok(Some(parity))
}

/// What is to be asked, or why it is not.
enum Planned {
    Ask(Stage, Option<ScoringChoice>),
    Absent(Stage, &'static str),
}

/// The trained student first, then every exported form, then the servers that are named.
fn stages(context: &JobContext, release: &Gated) -> Vec<Planned> {
    let choice = &context.workspace.config.deploy;
    let mut stages = vec![Planned::Ask(Stage::Trained, None)];
    stages.extend(release.manifest.pieces.iter().map(|piece| Planned::Ask(Stage::Form(piece.form), None)));
    let server = |address: &Option<String>, kind, model: Option<String>| {
        address.clone().map(|address| ScoringChoice {
            server: Some(address),
            kind: Some(kind),
            model,
            parallel: None,
            timeout_seconds: context.workspace.config.scoring.timeout_seconds,
            ..ScoringChoice::default()
        })
    };
    let gguf = release.manifest.pieces.iter().any(|piece| matches!(piece.form, Form::Gguf(_)));
    stages.push(match server(&choice.llama_server, ServerKind::LlamaCpp, None) {
        Some(choice) => Planned::Ask(Stage::LlamaCpp, Some(choice)),
        None => Planned::Absent(Stage::LlamaCpp, "deploy.llama_server names none"),
    });
    let model = format!("{}:{}", super::ollama::name(&context.workspace), release.name);
    stages.push(match server(&choice.ollama, ServerKind::Ollama, Some(model)).filter(|_| gguf) {
        Some(choice) => Planned::Ask(Stage::Ollama, Some(choice)),
        None => Planned::Absent(Stage::Ollama, "deploy.ollama names none, or the release has no GGUF"),
    });
    stages
}

struct Asked<'a> {
    context: &'a mut JobContext,
    release: &'a Gated,
    rows: &'a [GateRow],
    runs: Vec<StageRun>,
    reference: Option<Reference>,
    /// Whether the trained student is read through merged weights.
    merged: Option<bool>,
}

impl Asked<'_> {
    /// Asks one stage; `false`: the operator stopped it.
    fn stage(&mut self, planned: &Planned, at: (usize, usize)) -> bool {
        let since = Instant::now();
        let (stage, server) = match planned {
            Planned::Ask(stage, server) => (*stage, server.as_ref()),
            Planned::Absent(stage, why) => {
                self.runs.push(run_of(*stage, None, since, Outcome::Absent { why: (*why).to_owned() }));
                return true;
            }
        };
        self.context.progress(at.0 as u64, at.1 as u64, "runtimes", &format!("opening {stage}"));
        let refused = |refusal: Refusal| Outcome::Refused { guard: refusal.guard.to_owned(), why: refusal.why };
        let candidate = match self.open(stage, server) {
            Ok(candidate) => candidate,
            Err(refusal) => {
                self.runs.push(run_of(stage, None, since, refused(refusal)));
                return true;
            }
        };
        let outcome = match self.ask(&candidate, at) {
            Ok(Some(rows)) => Outcome::Answered(rows),
            Ok(None) => return false,
            Err(refusal) => refused(refusal),
        };
        self.runs.push(run_of(stage, Some(&candidate), since, outcome));
        true
    }

    fn open(&self, stage: Stage, server: Option<&ScoringChoice>) -> Result<Candidate, Refusal> {
        let (release, trained) = (self.release, self.release.trained());
        match (stage, server) {
            (Stage::Trained, _) => Candidate::embedded(stage, &trained),
            (Stage::Form(form), _) => {
                let piece = release.manifest.pieces.iter().find(|piece| piece.form == form);
                Candidate::form(form, &release.folder, piece.map(|piece| &piece.digest))
            }
            (_, Some(choice)) => Candidate::server(stage, choice, &trained, &release.model),
            (_, None) => Err(Refusal { guard: "S7", why: "no server is named".into() }),
        }
    }

    fn ask(
        &mut self,
        candidate: &Candidate,
        at: (usize, usize),
    ) -> Result<Option<Vec<crate::deploy::parity::RowAnswer>>, Refusal> {
        let workspace = self.context.workspace.clone();
        let recipe = &workspace.recipe;
        let mut asking = Asking {
            context: self.context,
            rows: self.rows,
            sampling: &recipe.served_sampling(),
            scale: recipe.scale.range(),
            seed: workspace.config.seed,
            at,
        };
        let Some(free) = asking.free(candidate)? else { return Ok(None) };
        // No other takes its place where it cannot answer.
        if candidate.stage == Stage::Trained
            && let Some(student) = &candidate.student
        {
            self.reference = Some(Reference::of(student, self.rows, &free)?);
            self.merged = Some(student.is_merged());
        }
        let Some(reference) = &self.reference else {
            return Err(Refusal { guard: "S7", why: "the trained student gave nothing to compare with".into() });
        };
        asking.all(candidate, &free, reference)
    }
}

/// Keeps what the guards saw, holds the release to it, and keeps that too: only what passed, or was overridden with a written
/// reason, is ever served.
pub(in super::super) fn hold(
    context: &mut JobContext,
    release: &Gated,
    parity: Parity,
    findings: &[Finding],
) -> Result<Parity, Failure> {
    let mut parity = parity.judged(findings);
    keep(context, release, &parity)?;
    context.hold(&of_files(&release.folder, &release.model), findings)?;
    if !parity.stops.is_empty() {
        parity.overridden = true;
        keep(context, release, &parity)?;
    }
    Ok(parity)
}

fn keep(context: &mut JobContext, release: &Gated, parity: &Parity) -> Result<(), Failure> {
    let (body, at) = (serde_json::to_string(parity)?, context.clock.now());
    Ok(context.ledger.put_gate(&release.name, &GateRecord { passed: parity.passed(), body, at })?)
}

/// Remembers which digests answered: later answers of others are not this release's (S6).
fn pin(context: &mut JobContext, release: &Gated, parity: &Parity) -> Result<(), Failure> {
    let at = context.clock.now();
    // Of those who may serve it, by the names of their engines.
    for line in parity.lines.iter().filter(|line| !matches!(line.stage, Stage::Form(_))) {
        if let (Some(digest), Some(runtime)) = (&line.digest, &line.runtime) {
            let engine = runtime.engine.split(' ').next().unwrap_or_default();
            context.ledger.pin(&release.name, engine, digest, at)?;
        }
    }
    Ok(())
}

/// What guards say of a release: of its files, of its Modelfile, and of the table.
pub(in super::super) fn findings(context: &JobContext, release: &Gated, parity: &Parity) -> Vec<Finding> {
    let mut findings = vec![s5(&release.manifest, context.workspace.renderer.digest()), s10(release)];
    findings.extend(parity.merged.map(s11));
    // What cannot be read is found wanting, and kept with the rest.
    let unread = |failure: Failure| vec![Finding::fail("S2", failure.reason, failure.next)];
    findings.extend(super::modelfile::findings(context, release).unwrap_or_else(unread));
    for guard in ["T11", "T17", "S6", "S7", "S8"] {
        // What only warns while scores are served stops a release: S7 speaks for the whole table.
        let mine = |g: &str| g == guard || (guard == "S7" && ["S6", "S8"].contains(&g));
        let reasons: Vec<String> =
            parity.reasons().filter(|(_, g, _)| mine(g)).map(|(stage, _, why)| format!("{stage}: {why}")).collect();
        let remedy = "Mend what the table names and run 'stratos deploy --again'; the release before stays live.";
        match (findings.iter_mut().find(|finding| finding.guard == guard), reasons.is_empty()) {
            (Some(finding), false) => finding.saw = format!("{}; {}", finding.saw, reasons.join("; ")),
            (None, false) => findings.push(Finding::fail(guard, reasons.join("; "), remedy)),
            (None, true) => findings.push(Finding::pass(guard, parity.headline())),
            (Some(_), true) => {}
        }
    }
    findings
}

/// The prompt that is served is the prompt that was trained.
fn s5(manifest: &Manifest, prompt: &Digest) -> Finding {
    if manifest.prompt_digest == *prompt {
        return Finding::pass("S5", format!("prompts are rendered as in training ({})", prompt.short()));
    }
    let saw = format!(
        "the student was trained on prompts {}, the recipe now renders {}",
        manifest.prompt_digest.short(),
        prompt.short()
    );
    Finding::fail("S5", saw, "Give the recipe its prompt back, or train again.")
}

/// What is released is not the base.
fn s10(release: &Gated) -> Finding {
    let base = release.manifest.base.as_ref();
    let same = |digest: &Digest| base.is_some_and(|base| base == digest);
    if same(&release.model) || release.manifest.pieces.iter().any(|piece| same(&piece.digest)) {
        let saw = "the release has the digest of the base: nothing that was learnt is in it";
        return Finding::fail("S10", saw, "Export the trained student again with 'stratos deploy --again'.");
    }
    Finding::pass(
        "S10",
        base.map_or_else(|| "it was trained from nothing".into(), |base| format!("it is not the base ({})", base.short())),
    )
}

/// Answers come through merged weights.
fn s11(merged: bool) -> Finding {
    if merged {
        return Finding::pass("S11", "adapters are merged when they are loaded");
    }
    let saw =
        "there is too little memory for merged weights: the adapter is merged anew for every pass, which is many times slower";
    Finding::fail("S11", saw, "Free memory, or score with the release's GGUF by a llama.cpp server.")
}

/// A release of the ledger with its manifest.
pub(in super::super) fn open(root: &Path, row: &crate::workspace::ReleaseRow) -> Result<Gated, Failure> {
    let folder = root.join(&row.path);
    let manifest = Manifest::read(&folder)?;
    Ok(Gated { name: row.name.clone(), model: row.model.clone(), folder, manifest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_is_merged_anew_for_every_pass_is_said() {
        assert!(!s11(true).failed() && s11(false).failed() && s11(false).remedy.contains("GGUF"));
    }
}
