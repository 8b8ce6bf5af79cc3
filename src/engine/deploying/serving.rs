//! Which release is served: switching to one that passed its gate, going back, and clearing old ones away.

use std::fs;

use super::super::job::{Failure, JobContext};
use crate::deploy::{folder_bytes, to_clear};
use crate::workspace::{Ledger, ReleaseRow, WorkspaceError};

/// Makes a release the live one: the named one, or the one served before. It must have passed its gate. Comes back with what is
/// live now.
pub(in super::super) fn go_live(context: &mut JobContext, name: Option<&str>) -> Result<String, Failure> {
    let wanted = match name {
        Some(name) => name.to_owned(),
        None => context.ledger.roll_back_to()?.ok_or_else(|| {
            Failure::new(
                "no other release was served before this one",
                "See 'stratos deploy list'; 'stratos deploy switch NAME' serves any that passed its gate.",
            )
        })?,
    };
    let row = find_release(&context.ledger, &wanted)?;
    if context.ledger.gate(&row.name)?.is_some_and(|gate| !gate.passed) {
        let next = format!("See 'stratos deploy list {}'; mend what its gate names, then 'stratos deploy gate {0}'.", row.name);
        return Err(Failure::new(format!("{} did not pass its gate", row.name), next));
    }
    let folder = context.workspace.root().join(&row.path);
    if !folder.is_dir() {
        let next = "Choose another one: 'stratos deploy list'.";
        return Err(Failure::new(format!("the folder of {} is gone ({})", row.name, folder.display()), next));
    }
    // The server first: if it refuses, what was served stays so in both places.
    let there = super::ollama::switch(context, &row.name)?;
    context.ledger.go_live(&row.name, context.clock.now())?;
    Ok(there.map_or_else(|| row.name.clone(), |model| format!("{} ({model} in Ollama)", row.name)))
}

/// Deletes releases and forgets them; the live one stays whatever is asked. Comes back with how many bytes are free again.
pub(in super::super) fn clear(context: &mut JobContext, names: &[String]) -> Result<u64, Failure> {
    let mut freed = 0;
    for name in names {
        let row = find_release(&context.ledger, name)?;
        if row.live {
            return Err(Failure::new(format!("{} is live and stays", row.name), "Switch to another release first."));
        }
        super::ollama::delete(context, &row.name)?;
        context.ledger.remove_release(&row.name)?;
        let folder = context.workspace.root().join(&row.path);
        freed += folder_bytes(&folder);
        match fs::remove_dir_all(&folder) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(Failure::new(
                    format!("cannot delete {}: {e}", folder.display()),
                    "Delete the folder by hand; it is forgotten already.",
                ));
            }
        }
    }
    Ok(freed)
}

/// Releases that a clean-up would take: `keep` newest stay, and always the live one and the one that a roll-back goes to.
pub fn clearable(ledger: &Ledger, keep: usize) -> Result<Vec<String>, WorkspaceError> {
    let (all, back) = (ledger.releases()?, ledger.roll_back_to()?);
    let needed = |row: &ReleaseRow| row.live || back.as_ref() == Some(&row.name);
    let marked: Vec<(&str, bool)> = all.iter().map(|row| (row.name.as_str(), needed(row))).collect();
    Ok(to_clear(&marked, keep).into_iter().map(str::to_owned).collect())
}

/// A release by its name, or by a part of it that only it has.
pub fn find_release(ledger: &Ledger, name: &str) -> Result<ReleaseRow, Failure> {
    let releases = ledger.releases()?;
    if let Some(row) = releases.iter().find(|row| row.name == name) {
        return Ok(row.clone());
    }
    let shown = crate::domain::one_line(name, 80);
    let matching: Vec<&ReleaseRow> = releases.iter().filter(|row| !name.is_empty() && row.name.contains(name)).collect();
    match matching[..] {
        [row] => Ok(row.clone()),
        [] => Err(Failure::new(format!("there is no release '{shown}'"), "See 'stratos deploy list'.")),
        _ => Err(Failure::new(
            format!("'{shown}' is part of {} releases' names", matching.len()),
            "Give more of the name; see 'stratos deploy list'.",
        )),
    }
}
