//! The Modelfile of a release: written from what was measured, and held against the release again at its gate.

use std::path::Path;

use super::super::job::{Failure, JobContext};
use super::super::phases::load_dataset;
use super::gate::{self, Gated};
use crate::deploy::modelfile::{Expected, Lengths, ModelfileError, Remark, Spec, Weights, lint_file};
use crate::deploy::{Form, MODELFILE, Manifest, Piece};
use crate::domain::{Digest, Finding, Role};
use crate::evaluate::Evaluation;
use crate::scorer::{ScorerError, TextSide};
use crate::student::Codec;
use crate::workspace::{Ledger, ReleaseRow, Workspace, atomic_write};

/// The GGUF that is served where it is served by another program: the first that `stratos.toml` asks for.
pub(super) fn served_gguf<'a>(workspace: &Workspace, pieces: &'a [Piece]) -> Option<&'a Piece> {
    let asked = workspace.config.deploy.forms.iter().filter_map(|name| name.parse::<Form>().ok());
    let mut ggufs = asked.filter(|form| matches!(form, Form::Gguf(_)));
    let first = ggufs.next();
    pieces.iter().find(|piece| first == Some(piece.form)).or_else(|| pieces.iter().find(|p| matches!(p.form, Form::Gguf(_))))
}

/// Writes it into a release that is being built. Without a GGUF there is nothing that it could describe; a chat template that
/// Ollama cannot say is told, and the release goes without.
pub(super) fn write(context: &JobContext, name: &str, trained: &Path, manifest: &Manifest, to: &Path) -> Result<(), Failure> {
    let workspace = &context.workspace;
    let Some(gguf) = served_gguf(workspace, &manifest.pieces) else { return Ok(()) };
    let codec = codec(trained, &manifest.model)?;
    match text(workspace, name, manifest, gguf, &codec, lengths(workspace, &context.ledger, manifest, &codec)?) {
        Ok(text) => Ok(atomic_write(&to.join(MODELFILE), text.as_bytes())?),
        Err(error @ ModelfileError::Template { .. }) if workspace.config.deploy.ollama.is_none() => {
            context.log(super::super::event::Level::Warn, format!("{name} has no Modelfile: {error}"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn text(
    workspace: &Workspace,
    name: &str,
    manifest: &Manifest,
    gguf: &Piece,
    codec: &Codec,
    lengths: Lengths,
) -> Result<String, ModelfileError> {
    let terminator = codec.tokenizer.end_name();
    let spec = Spec {
        about: vec![
            format!("{name}: {} ({})", manifest.recipe, manifest.verdict),
            format!(
                "model {}, prompts {}; written by 'stratos deploy', held against the student by its gate",
                manifest.model.short(),
                manifest.prompt_digest.short()
            ),
            "The scorer sends rendered prompts; the template is for /api/chat.".into(),
        ],
        from: format!("./{}", gguf.path),
        template: &codec.template,
        // Exported GGUFs say that the template writes whatever begins a text.
        bos: None,
        terminator: &terminator,
        sampling: &workspace.recipe.sampling,
        lengths,
    };
    spec.write()
}

/// The Modelfile of a release, written anew from what was measured.
pub fn modelfile_of(workspace: &Workspace, row: &ReleaseRow) -> Result<String, Failure> {
    let release = gate::open(workspace.root(), row)?;
    let gguf = served_gguf(workspace, &release.manifest.pieces).ok_or_else(|| {
        let next = "Name one in [deploy] forms of stratos.toml, such as \"q8_0\", and run 'stratos deploy --again'.";
        Failure::new(format!("{} holds no GGUF that a Modelfile could name", row.name), next)
    })?;
    let codec = codec(&release.trained(), &release.model)?;
    let lengths = lengths(workspace, &workspace.ledger()?, &release.manifest, &codec)?;
    Ok(text(workspace, &row.name, &release.manifest, gguf, &codec, lengths)?)
}

/// What is wrong with any Modelfile: held against a release where there is one, else against the recipe alone.
pub fn lint_modelfile(workspace: &Workspace, row: Option<&ReleaseRow>, file: &Path) -> Result<Vec<Remark>, Failure> {
    match row {
        Some(row) => held(workspace, &workspace.ledger()?, &gate::open(workspace.root(), row)?, file),
        None => Ok(lint_file(file, &of_recipe(workspace))?),
    }
}

fn of_recipe(workspace: &Workspace) -> Expected<'_> {
    let recipe = &workspace.recipe;
    Expected { sampling: Some(&recipe.sampling), think: recipe.student.think, ..Expected::default() }
}

fn held(workspace: &Workspace, ledger: &Ledger, release: &Gated, file: &Path) -> Result<Vec<Remark>, Failure> {
    let codec = codec(&release.trained(), &release.model)?;
    let terminator = codec.tokenizer.end_name();
    let gguf = served_gguf(workspace, &release.manifest.pieces);
    let weights = gguf.map(|gguf| Weights { path: release.folder.join(&gguf.path), digest: gguf.digest.clone() });
    let expected = Expected {
        template: Some(&codec.template),
        terminator: Some(&terminator),
        lengths: Some(lengths(workspace, ledger, &release.manifest, &codec)?),
        weights: weights.as_ref(),
        ..of_recipe(workspace)
    };
    Ok(lint_file(file, &expected)?)
}

/// What the lint says of a release's Modelfile; nothing where it has none.
pub(super) fn findings(context: &JobContext, release: &Gated) -> Result<Vec<Finding>, Failure> {
    let path = release.folder.join(MODELFILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let remarks = held(&context.workspace, &context.ledger, release, &path)?;
    // What is no Modelfile at all says the wrong thing.
    let guard = |remark: &Remark| if remark.guard.is_empty() { "S2" } else { remark.guard };
    let mut findings: Vec<Finding> = Vec::new();
    for remark in &remarks {
        match findings.iter_mut().find(|finding| finding.guard == guard(remark)) {
            Some(finding) => finding.saw = format!("{}; {}", finding.saw, remark.finding().saw),
            None => findings.push(Finding { guard: guard(remark).into(), ..remark.finding() }),
        }
    }
    for guard in ["S1", "S2", "S3", "S4"] {
        if !findings.iter().any(|finding| finding.guard == guard) {
            findings.push(Finding::pass(guard, "the Modelfile says what training and evaluation did"));
        }
    }
    Ok(findings)
}

/// How the trained student reads and writes text.
fn codec(trained: &Path, model: &Digest) -> Result<Codec, Failure> {
    let again = |why: String| Failure::new(why, "Make the release again with 'stratos deploy --again'.");
    match TextSide::load(trained, model.clone()) {
        Ok(text) => Ok(text.codec),
        Err(ScorerError::TextSide { source, .. }) => Err(again(source.to_string())),
        Err(error) => Err(again(error.to_string())),
    }
}

/// Of the answers that were evaluated, and of every prompt of the dataset.
fn lengths(workspace: &Workspace, ledger: &Ledger, manifest: &Manifest, codec: &Codec) -> Result<Lengths, Failure> {
    let body = ledger.evaluation(&manifest.evaluation)?;
    let evaluation: Option<Evaluation> = body.and_then(|text| serde_json::from_str(&text).ok());
    let evaluation = evaluation.ok_or_else(|| Failure::new("there is no evaluation", "Run 'stratos validate' first."))?;
    let mut answers = Vec::new();
    for row in evaluation.rows.iter().filter(|row| !row.output.is_empty()) {
        // The end of the turn is a token of its own.
        answers.push(codec.tokenizer.encode(&row.output)?.len() + 1);
    }
    let mut longest = 0;
    for example in &load_dataset(workspace, &manifest.dataset)?.examples {
        let asked: Vec<_> = example.messages.iter().filter(|m| m.role != Role::Assistant).cloned().collect();
        longest = longest.max(codec.prompt(&asked)?.len());
    }
    Ok(Lengths::measured(&answers, longest)?)
}
