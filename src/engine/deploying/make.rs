//! Making a release: the trained student, its exported forms and where they came from, in one folder that appears whole.

use std::ops::ControlFlow;
use std::path::Path;

use super::super::job::{Failure, JobContext};
use super::super::phases::{last_evaluation, trained_dir, upstream_output};
use super::gate::Gated;
use crate::deploy::{self, Building, Form, Manifest, Piece, Provenance, TRAINED, Told};
use crate::domain::{Conduct, Digest, Gate, Phase, one_line};
use crate::student::peft::{self, Adapter};
use crate::workspace::{ReleaseRow, WorkspaceError};

/// The release of the trained student: the newest one that is just this, or a new one. `None`: the operator stopped it.
pub(in super::super) fn make(context: &mut JobContext) -> Result<Option<Gated>, Failure> {
    let workspace = context.workspace.clone();
    let trained = trained_dir(&context.ledger, &workspace)?;
    let manifest = manifest(context, &trained)?;
    let forms = forms(context, &trained)?;
    let releases = context.ledger.releases()?;
    let same = releases.iter().find(|row| {
        let kept = Manifest::read(&workspace.root().join(&row.path));
        kept.is_ok_and(|kept| is_release_of(&kept, &manifest, &forms))
    });
    let failed = |row: &ReleaseRow| Ok::<_, WorkspaceError>(context.ledger.gate(&row.name)?.is_some_and(|gate| !gate.passed));
    let name = match same {
        Some(row) if !failed(row)? => return Ok(Some(super::gate::open(workspace.root(), row)?)),
        // What did not pass is made anew in its place.
        Some(row) => row.name.clone(),
        None => next_name(&workspace.recipe.name, &manifest.model, releases.iter().map(|row| row.name.as_str())),
    };
    let folder = workspace.state_dir("releases")?.join(&name);
    // Gone again where it is stopped or fails.
    let building = Building::folder(&folder)?;
    context.progress(0, forms.len() as u64 + 1, "forms", "copying the trained student");
    deploy::copy_student(&trained, &building.path().join(TRAINED))?;
    let Some(pieces) = export(context, &trained, &forms, &provenance(&name, &manifest), building.path())? else {
        return Ok(None);
    };
    let manifest = Manifest { pieces, ..manifest };
    super::modelfile::write(context, &name, &trained, &manifest, building.path())?;
    manifest.write(building.path())?;
    building.commit()?;
    let row = ReleaseRow {
        path: format!(".stratos/releases/{name}"),
        model: manifest.model.clone(),
        evaluation: manifest.evaluation.clone(),
        runtime: manifest.runtime.clone(),
        verdict: manifest.verdict.clone(),
        live: false,
        at: context.clock.now(),
        name: name.clone(),
    };
    context.ledger.put_release(&row)?;
    Ok(Some(Gated { name, model: row.model, folder, manifest }))
}

/// Where a release of the trained student comes from, before anything is exported.
fn manifest(context: &JobContext, trained: &Path) -> Result<Manifest, Failure> {
    let workspace = &context.workspace;
    let evaluated = last_evaluation(&context.ledger)?;
    let (evaluation, subject) =
        evaluated.ok_or_else(|| Failure::new("there is no evaluation", "Run 'stratos validate' first."))?;
    Ok(Manifest {
        recipe: workspace.recipe.name.clone(),
        recipe_digest: workspace.recipe.digest(),
        prompt_digest: workspace.renderer.digest().clone(),
        model: upstream_output(context, Phase::Train)?,
        base: Adapter::base_of(trained)?.map(|base| base.digest),
        dataset: upstream_output(context, Phase::Dataset)?,
        evaluation: subject,
        runtime: evaluation.runtime().to_string(),
        verdict: evaluation.verdict_words(),
        pieces: Vec::new(),
    })
}

fn provenance(name: &str, manifest: &Manifest) -> Provenance {
    Provenance {
        name: name.to_owned(),
        recipe: manifest.recipe.clone(),
        recipe_digest: manifest.recipe_digest.clone(),
        prompt_digest: manifest.prompt_digest.clone(),
        model: manifest.model.clone(),
        base: manifest.base.clone(),
        dataset: manifest.dataset.clone(),
        evaluation: manifest.verdict.clone(),
    }
}

/// The forms that `stratos.toml` asks for; a student that was trained as a whole has no adapter.
fn forms(context: &JobContext, trained: &Path) -> Result<Vec<Form>, Failure> {
    let wrong = |why| Failure::new(format!("deploy.forms: {why}"), "Mend the list in stratos.toml.");
    let mut forms = Vec::new();
    for name in &context.workspace.config.deploy.forms {
        forms.push(name.parse::<Form>().map_err(wrong)?);
    }
    let whole = !trained.join(peft::CONFIG_FILE).exists();
    forms.retain(|form| !(whole && *form == Form::Adapter));
    forms.sort_unstable();
    forms.dedup();
    Ok(forms)
}

/// Exports into a folder that is not a release yet; `None`: the operator stopped it.
fn export(
    context: &mut JobContext,
    trained: &Path,
    forms: &[Form],
    about: &Provenance,
    to: &Path,
) -> Result<Option<Vec<Piece>>, Failure> {
    let mut told = |told: &Told| {
        let mega = |bytes: u64| bytes / 1_000_000;
        context.progress(mega(told.done), mega(told.of), "MB", &format!("{} · {}", told.form, one_line(&told.tensor, 60)));
        if context.gate() == Gate::Stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    Ok(deploy::export(trained, forms, about, to, &mut told)?)
}

/// Whether a kept release is what would be made now.
fn is_release_of(kept: &Manifest, wanted: &Manifest, forms: &[Form]) -> bool {
    let exported: Vec<Form> = kept.pieces.iter().map(|piece| piece.form).collect();
    Manifest { pieces: Vec::new(), ..kept.clone() } == *wanted && exported == forms
}

/// `recipe-NNN-digest`, one above the highest number so far.
fn next_name<'a>(recipe: &str, model: &Digest, names: impl Iterator<Item = &'a str>) -> String {
    let number = |name: &str| name.strip_prefix(recipe)?.strip_prefix('-')?.split_once('-')?.0.parse::<u32>().ok();
    let last = names.filter_map(number).max().unwrap_or(0);
    format!("{recipe}-{:03}-{}", last + 1, model.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_numbered_by_recipe_and_a_number_never_comes_twice() {
        let model = Digest::of("m");
        let name = |names: &[&str]| next_name("stratos-v19", &model, names.iter().copied());
        assert_eq!(name(&[]), format!("stratos-v19-001-{}", model.short()));
        let known = ["stratos-v19-007-aaaa", "stratos-v2-011-bbbb", "stratos-v19-9f8e7d6c5b4a"];
        assert_eq!(name(&known), format!("stratos-v19-008-{}", model.short()));
    }
}
