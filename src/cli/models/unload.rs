//! `stratos models unload`: what Ollama holds of the GPU's memory, and letting go of it once the operator has said so. What was
//! shown is what is consented to: if anything else is loaded by then, nothing happens.

use std::process::ExitCode;

use color_eyre::eyre::{Result, bail};

use super::super::phases::names;
use crate::domain::one_line;
use crate::headless::say;
use crate::train::neighbours::{find, unload};

pub fn run(url: &str, consent: Option<&str>) -> Result<ExitCode> {
    let found = find(url)?;
    if found.models.is_empty() {
        say(&format!("Ollama at {url} holds no model, or is not there"));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(digits) = consent else {
        for model in &found.models {
            say(&format!("{:<40} {:>8} MiB of the GPU's memory", one_line(&model.name, 40), model.size_vram.div_ceil(1 << 20)));
        }
        say(&format!("unload them with: stratos models unload --consent {}", found.digest().short()));
        return Ok(ExitCode::SUCCESS);
    };
    let digest = found.digest();
    let Some(given) = names(digits, &digest).then(|| found.consent(&digest)).flatten() else {
        bail!("'{}' is not what is loaded now; look again with 'stratos models unload'", one_line(digits, 64))
    };
    for model in unload(given)? {
        say(&format!("unloaded {}; it comes back when it is asked", one_line(&model, 40)));
    }
    Ok(ExitCode::SUCCESS)
}
