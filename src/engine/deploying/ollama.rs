//! A release in Ollama: made a model there before its gate, and switched to when it goes live.

use std::ops::ControlFlow;
use std::time::Duration;

use super::super::job::{Failure, JobContext};
use super::gate::Gated;
use super::modelfile::served_gguf;
use crate::deploy::MODELFILE;
use crate::deploy::modelfile::Modelfile;
use crate::deploy::ollama::{Ollama, OllamaError, Told};
use crate::domain::{Conduct, Digest, Gate, one_line};
use crate::workspace::Workspace;

/// Names Ollama's own digest of a release's model among the pins.
const TARGET: &str = "ollama model";

/// What releases are tags of.
pub(super) fn name(workspace: &Workspace) -> String {
    workspace.config.deploy.name.clone().unwrap_or_else(|| workspace.recipe.name.clone())
}

/// The server that `stratos.toml` names; `None`: it names none.
fn connect(workspace: &Workspace) -> Result<Option<Ollama>, Failure> {
    let Some(server) = &workspace.config.deploy.ollama else { return Ok(None) };
    let patience = Duration::try_from_secs_f64(workspace.config.scoring.timeout_seconds).unwrap_or(Duration::from_secs(600));
    Ok(Some(Ollama::connect(server, patience)?))
}

/// Makes the release a model, unless it is one already; `false`: the operator stopped it.
pub(in super::super) fn create(context: &mut JobContext, release: &Gated) -> Result<bool, Failure> {
    let workspace = context.workspace.clone();
    let Some(gguf) = served_gguf(&workspace, &release.manifest.pieces) else { return Ok(true) };
    let Some(ollama) = connect(&workspace)? else { return Ok(true) };
    let model = format!("{}:{}", name(&workspace), release.name);
    if let Some(pinned) = context.ledger.pinned(&release.name, TARGET)?
        && ollama.check_pinned(&model, pinned.as_str()).is_ok()
    {
        return Ok(true);
    }
    let path = release.folder.join(MODELFILE);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        Failure::new(format!("cannot read {}: {e}", path.display()), "Make the release again with 'stratos deploy --again'.")
    })?;
    let modelfile = Modelfile::read(&text)?;
    let mut told = |told: Told| {
        match told {
            Told::Known { bytes } => {
                context.progress(bytes / 1_000_000, bytes / 1_000_000, "MB", "Ollama has the weights already");
            }
            Told::Uploading { done, total } => context.progress(done / 1_000_000, total / 1_000_000, "MB", "uploading to Ollama"),
            Told::Status(said) => context.progress(0, 0, "", &format!("Ollama: {}", one_line(&said, 100))),
        }
        if context.gate() == Gate::Stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let made = match ollama.release(&name(&workspace), &release.name, &release.folder.join(&gguf.path), &modelfile, &mut told) {
        Ok(made) => made,
        Err(OllamaError::Stopped) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    context.ledger.pin(&release.name, TARGET, &Digest::from_hex(made.digest), context.clock.now())?;
    Ok(true)
}

/// Serves a release there, where it is a model of Ollama's; comes back with what is served.
pub(super) fn switch(context: &JobContext, release: &str) -> Result<Option<String>, Failure> {
    if context.ledger.pinned(release, TARGET)?.is_none() {
        return Ok(None);
    }
    let Some(ollama) = connect(&context.workspace)? else { return Ok(None) };
    match ollama.switch(&name(&context.workspace), release) {
        Ok(switched) => Ok(Some(switched.model)),
        Err(OllamaError::Refused { server, status: 404, .. }) => {
            let reason = format!("{server} has no model of release {release} any more: somebody deleted it there");
            Err(Failure::new(
                reason,
                format!("'stratos deploy gate {release}' makes it there again, and holds it against the student."),
            ))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes the model of a release that is cleared away; one that is gone already is no fault.
pub(super) fn delete(context: &JobContext, release: &str) -> Result<(), Failure> {
    if context.ledger.pinned(release, TARGET)?.is_none() {
        return Ok(());
    }
    let Some(ollama) = connect(&context.workspace)? else { return Ok(()) };
    let model = format!("{}:{release}", name(&context.workspace));
    if ollama.digest(&model)?.is_some() {
        ollama.delete(&model)?;
    }
    Ok(())
}
