//! `[train]` in `stratos.toml`: which trainer runs, and where. What is trained, and how, stands in the recipe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::one_line;

/// Settings that are known to destroy a run, and how (guard T5).
pub const RUINOUS_SETTINGS: [(&str, &str); 1] =
    [("TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL", "it makes gradients NaN without a word; a run of 7 hours was lost to it")];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainChoice {
    pub backend: Backend,
    /// Where the native backend computes.
    pub device: Device,
    /// Steps between two rounds of live answers; 0: none; absent: at evaluations, as far as a twentieth of the time allows.
    /// Changes no number of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_every: Option<usize>,
    pub external: ExternalChoice,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The trainer in this binary.
    #[default]
    Native,
    /// A trainer of the operator's own stack, started by a command.
    External,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    #[default]
    Cpu,
    Cuda,
    Metal,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalChoice {
    /// Program and arguments. `{job}` is the job file, `{script}` the trainer that comes with the binary.
    pub command: Vec<String>,
    /// Environment of the trainer, besides what it inherits.
    pub environment: BTreeMap<String, String>,
}

impl Default for ExternalChoice {
    fn default() -> Self {
        Self { command: ["python3", "{script}", "{job}"].map(str::to_owned).to_vec(), environment: BTreeMap::new() }
    }
}

impl TrainChoice {
    /// What decides which student comes out: all but what only watches.
    #[must_use]
    pub fn deciding(&self) -> Self {
        Self { samples_every: None, ..self.clone() }
    }

    pub fn check(&self) -> Result<(), String> {
        let command = &self.external.command;
        if command.first().is_none_or(|program| program.trim().is_empty()) {
            return Err("train.external.command is empty; use [\"python3\", \"{script}\", \"{job}\"]".into());
        }
        if command.iter().any(|word| word.contains('\0')) {
            return Err("train.external.command holds a null character; write it again".into());
        }
        if !command.iter().any(|word| word.contains("{job}")) {
            return Err("train.external.command names no {job}: the trainer would not know what to train; add \"{job}\"".into());
        }
        self.external.environment.iter().try_for_each(|(name, value)| check_setting(name, value))
    }
}

fn check_setting(name: &str, value: &str) -> Result<(), String> {
    let place = "train.external.environment";
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let shown = one_line(name, 40);
        return Err(format!("{place}: '{shown}' is no name of a variable; use letters, digits and _"));
    }
    if value.contains('\0') {
        return Err(format!("{place}.{name} holds a null character; write it again"));
    }
    match RUINOUS_SETTINGS.iter().find(|(ruinous, _)| name.eq_ignore_ascii_case(ruinous)) {
        Some((_, why)) => Err(format!("{place}.{name} is refused (guard T5): {why}; take it out")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TrainChoice, String> {
        let choice: TrainChoice = toml::from_str(text).map_err(|e| e.to_string())?;
        choice.check().map(|()| choice)
    }

    #[test]
    fn an_empty_table_trains_here_on_the_cpu() {
        let choice = read("").expect("sound");
        assert_eq!((choice.backend, choice.device), (Backend::Native, Device::Cpu));
        assert_eq!(choice.external.command, ["python3", "{script}", "{job}"]);
        assert_eq!(read(&toml::to_string_pretty(&choice).expect("writes")), Ok(choice));
    }

    #[test]
    fn how_often_a_student_is_asked_decides_nothing_about_it() {
        let choice = read("samples_every = 50").expect("sound");
        assert_eq!(choice.samples_every, Some(50));
        assert_eq!(choice.deciding(), TrainChoice::default());
        assert_eq!(read(&toml::to_string_pretty(&choice).expect("writes")), Ok(choice));
    }

    #[test]
    fn an_amd_card_is_configured_and_written_back() {
        let text = "backend='external'\n[external]\ncommand=['accelerate','launch','{script}','{job}']\n\
                    [external.environment]\nHSA_OVERRIDE_GFX_VERSION='11.0.0'\nPYTORCH_HIP_ALLOC_CONF='expandable_segments:True'";
        let choice = read(text).expect("sound");
        assert_eq!((choice.backend, choice.external.environment.len()), (Backend::External, 2));
        assert_eq!(read(&toml::to_string_pretty(&choice).expect("writes")), Ok(choice));
    }

    #[test]
    fn what_cannot_run_or_would_ruin_a_run_is_refused_by_name() {
        let table = [
            ("backend='cloud'", "native"),
            ("device='tpu'", "cuda"),
            ("[external]\ncommand=[]", "train.external.command is empty"),
            ("[external]\ncommand=['python3','x.py']", "{job}"),
            ("[external.environment]\n'A B'='1'", "'A B'"),
            ("[external.environment]\nTORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL='1'", "guard T5"),
            ("[external.environment]\nTORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL='0'", "take it out"),
            ("devise='cpu'", "devise"),
        ];
        for (text, wanted) in table {
            let error = read(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
