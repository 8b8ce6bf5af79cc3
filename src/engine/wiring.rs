//! Where a line of `stratos.toml` becomes a working part: the teacher by its provider's name, the prices by their file.

use super::job::Failure;
use crate::teacher::{PriceTable, RehearsalTeacher, Teacher};
use crate::workspace::Workspace;

/// The workspace's teacher.
pub(super) fn teacher(workspace: &Workspace) -> Result<Box<dyn Teacher>, Failure> {
    let choice = &workspace.config.teacher;
    let recipe = &workspace.recipe;
    match choice.provider.as_str() {
        "rehearsal" => {
            let dir = workspace.state_dir("rehearsal")?;
            let (depth, bands) = (recipe.depth.clone(), recipe.bands.clone());
            Ok(Box::new(RehearsalTeacher::new(&choice.model, depth, bands, dir, choice.rehearsal_faults)?))
        }
        other => Err(Failure::new(
            format!("there is no teacher provider '{other}'"),
            "Set provider = \"rehearsal\" under [teacher] in stratos.toml; it is the one built in so far.",
        )),
    }
}

pub(super) fn prices(workspace: &Workspace) -> Result<PriceTable, Failure> {
    let text = workspace.data_text("prices.toml")?.map(|(text, _)| text).unwrap_or_default();
    Ok(PriceTable::from_toml(&text)?)
}
