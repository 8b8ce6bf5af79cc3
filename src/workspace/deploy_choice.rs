//! `[deploy]` of `stratos.toml`: which forms a release holds, how many are kept, and where it is served. Owns the keys and
//! their checks.

use serde::{Deserialize, Serialize};

use super::scoring_choice::check_address;
use crate::domain::one_line;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeployChoice {
    /// Beside the student as it was trained, by their names on the command line: `adapter`, `merged`, `q8_0` and so on.
    pub forms: Vec<String>,
    /// Releases that a clean-up leaves, the live one not counted.
    pub keep: usize,
    /// Ollama's address; a release is made a model there, and switched to when its gate is passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ollama: Option<String>,
    /// What the served model is called there; absent: the recipe's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A llama.cpp server that serves the release's GGUF, for the gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llama_server: Option<String>,
}

impl Default for DeployChoice {
    fn default() -> Self {
        Self { forms: vec!["q8_0".into()], keep: 3, ollama: None, name: None, llama_server: None }
    }
}

impl DeployChoice {
    pub(super) fn check(&self) -> Result<(), String> {
        let addresses = [("deploy.ollama", &self.ollama), ("deploy.llama_server", &self.llama_server)];
        for (key, address) in addresses {
            address.as_ref().map_or(Ok(()), |address| check_address(key, address))?;
        }
        let is_name = |name: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !name.is_empty()
                && name.len() <= 80
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(plain)
        };
        match self.name.as_ref().filter(|name| !is_name(name)) {
            Some(name) => Err(format!("deploy.name '{}' is no name; use letters, digits, - _ and .", one_line(name, 40))),
            None => Ok(()),
        }
    }
}
