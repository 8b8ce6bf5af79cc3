//! Phase 1: the recipe's profile file and the imported profiles become the readers of this workspace.

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::selected_profiles;
use crate::domain::{Digest, Finding, Profile, ProfileRow};
use crate::workspace::{Workspace, WorkspaceError};

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    sync(context)?;
    let profiles = selected_profiles(context.ledger.profiles()?, &context.workspace.config.select);
    if profiles.is_empty() {
        return Err(Failure::new(
            "no profile is selected",
            "Import some with 'stratos profiles import FILE', or widen [select] in stratos.toml.",
        ));
    }
    let mut prompts = Vec::with_capacity(profiles.len());
    for profile in &profiles {
        prompts.push((profile.id.clone(), context.workspace.renderer.system(profile)?));
    }
    let bands = &context.workspace.recipe.bands;
    let edges: Vec<String> = bands.edges().map(|e| e.to_string()).collect();
    let d14 = Finding::pass("D14", format!("{} bands from edges {} cover every score once", bands.len(), edges.join(", ")));
    context.hold(input, &[d14])?;
    let output = Digest::of_json(&(&profiles, &prompts));
    Ok(PhaseEnd::Done { output, headline: format!("{} readers", profiles.len()) })
}

/// Makes the stored shipped readers equal to the recipe's file.
pub fn sync(context: &mut JobContext) -> Result<(), Failure> {
    let shipped = shipped_profiles(&context.workspace)?;
    context.ledger.sync_profiles(&shipped)?;
    Ok(())
}

/// The recipe's profiles: the workspace's file, else the one in the binary.
pub fn shipped_profiles(workspace: &Workspace) -> Result<Vec<Profile>, WorkspaceError> {
    let name = &workspace.recipe.data.profiles;
    let Some((text, origin)) = workspace.data_text(name)? else { return Ok(Vec::new()) };
    let wrong =
        |why: String| WorkspaceError::File { file: origin.clone().into(), why: format!("{why}. Mend the file and run again") };
    let rows: Vec<ProfileRow> = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let typed = |(index, row): (usize, ProfileRow)| row.into_profile().map_err(|e| wrong(format!("profile {}: {e}", index + 1)));
    rows.into_iter().enumerate().map(typed).collect()
}
