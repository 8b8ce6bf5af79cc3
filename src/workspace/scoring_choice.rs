//! `[scoring]` of `stratos.toml`: who writes the student's answers, the embedded engine or a server. Owns the keys and their
//! checks; asking is `scorer`'s.

use serde::{Deserialize, Serialize};

use super::config::SHORT_RECIPE;
use crate::domain::one_line;

/// Where answers come from. Without a server: the embedded engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoringChoice {
    /// Address of a llama.cpp server or of Ollama.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Which of the two it is; absent: it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServerKind>,
    /// Ollama needs its name; a llama.cpp server must serve a model of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Requests under way at once; absent: the slots that the server has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel: Option<usize>,
    /// An answer that takes longer is given up.
    pub timeout_seconds: f64,
    /// Answers that are kept, so that the same is not asked twice; 0: none.
    pub cache: usize,
    /// Two passes: a fast one for everything, and the think pass where the fast score does not decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade: Option<CascadeChoice>,
}

/// The fast pass, and where it does not decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CascadeChoice {
    /// "base": the untuned base of `student.base`; else a model's folder, a GGUF file, or the name of an imported model.
    pub fast: String,
    /// Whose prompts the fast pass reads: a recipe without think blocks.
    pub recipe: String,
    /// Fast scores from `low` to `high` do not decide.
    pub low: f64,
    pub high: f64,
}

impl Default for CascadeChoice {
    fn default() -> Self {
        Self { fast: "base".into(), recipe: SHORT_RECIPE.into(), low: 4.0, high: 8.0 }
    }
}

impl CascadeChoice {
    fn check(&self) -> Result<(), String> {
        if self.fast.trim().is_empty() {
            return Err("scoring.cascade.fast is empty; use \"base\", a model's folder, a .gguf file or an imported model".into());
        }
        if self.recipe.trim().is_empty() {
            return Err(format!("scoring.cascade.recipe is empty; use the name of a recipe, such as \"{SHORT_RECIPE}\""));
        }
        if !(self.low.is_finite() && self.high.is_finite() && self.low <= self.high) {
            return Err(format!("scoring.cascade: low {} must not lie above high {}", self.low, self.high));
        }
        Ok(())
    }
}

/// Some two kilobytes each.
const MOST_CACHED: usize = 10_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerKind {
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    #[serde(rename = "ollama")]
    Ollama,
}

impl Default for ScoringChoice {
    fn default() -> Self {
        Self { server: None, kind: None, model: None, parallel: None, timeout_seconds: 600.0, cache: 50_000, cascade: None }
    }
}

impl ScoringChoice {
    pub(super) fn check(&self) -> Result<(), String> {
        self.cascade.as_ref().map_or(Ok(()), CascadeChoice::check)?;
        if self.cache > MOST_CACHED {
            return Err(format!("scoring.cache must not be above {MOST_CACHED}"));
        }
        if self.parallel.is_some_and(|n| !(1..=256).contains(&n)) {
            return Err("scoring.parallel must lie between 1 and 256".into());
        }
        if !(0.001..=86_400.0).contains(&self.timeout_seconds) {
            return Err("scoring.timeout_seconds must lie between 0.001 and 86400".into());
        }
        if self.model.as_ref().is_some_and(|m| m.trim().is_empty() || one_line(m, 200) != *m) {
            return Err("scoring.model is no name of a model; see 'ollama list'".into());
        }
        let Some(server) = &self.server else {
            let key = [("kind", self.kind.is_some()), ("model", self.model.is_some()), ("parallel", self.parallel.is_some())];
            return match key.iter().find(|(_, set)| *set) {
                Some((key, _)) => Err(format!(
                    "scoring.{key} says how a server is asked, but scoring.server is missing, such as \"http://127.0.0.1:8080\""
                )),
                None => Ok(()),
            };
        };
        check_address("scoring.server", server)?;
        if self.kind == Some(ServerKind::Ollama) && self.model.is_none() {
            return Err("scoring.model is missing: Ollama serves many; see 'ollama list'".into());
        }
        Ok(())
    }
}

/// An address without secrets; `key`: where it stands.
pub(super) fn check_address(key: &str, text: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(text).map_err(|e| format!("{key} is not a url: {e}"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{key} may hold no user, password, query or fragment"));
    }
    if url.host_str().is_none() || !["http", "https"].contains(&url.scheme()) {
        return Err(format!("{key} must begin with http:// or https:// and a host"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn scoring(keys: &str) -> Result<ScoringChoice, String> {
        Config::from_toml(&format!("[scoring]\n{keys}")).map(|config| config.scoring)
    }

    #[test]
    fn one_line_names_a_server() {
        let choice = scoring("server = 'http://127.0.0.1:8080'").expect("valid");
        assert_eq!(choice, ScoringChoice { server: Some("http://127.0.0.1:8080".into()), ..ScoringChoice::default() });
    }

    #[test]
    fn a_cascade_needs_no_server_and_has_its_limits_by_default() {
        let config = Config::from_toml("[scoring.cascade]\nfast = 'models/short'").expect("valid");
        let cascade = config.scoring.cascade.clone().expect("a cascade");
        assert_eq!((cascade.fast.as_str(), cascade.low, cascade.high), ("models/short", 4.0, 8.0));
        assert_eq!(Config::from_toml(&config.to_toml()), Ok(config));
    }

    #[test]
    fn every_key_is_read_and_written_back() {
        let text =
            "[scoring]\nserver='http://[::1]:11434'\nkind='ollama'\nmodel='stratos:latest'\nparallel=8\ntimeout_seconds=9.5";
        let config = Config::from_toml(text).expect("valid");
        assert_eq!((config.scoring.kind, config.scoring.parallel), (Some(ServerKind::Ollama), Some(8)));
        assert_eq!(Config::from_toml(&config.to_toml()), Ok(config));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key_to_mend() {
        let table = [
            ("server='127.0.0.1'", "scoring.server"),
            ("server='ftp://x'", "http://"),
            ("server='http://me:secret@x'", "no user"),
            ("server='http://x'\nkind='vllm'", "kind"),
            ("server='http://x'\nkind='ollama'", "scoring.model"),
            ("server='http://x'\nmodel=' '", "scoring.model"),
            ("server='http://x'\nmodel=\"a\\u001b[2J\"", "scoring.model"),
            ("server='http://x'\nparallel=0", "scoring.parallel"),
            ("server='http://x'\ntimeout_seconds=0", "scoring.timeout_seconds"),
            ("server='http://x'\ntimeout_seconds=nan", "scoring.timeout_seconds"),
            ("parallel=4", "scoring.server is missing"),
            ("cache=10000001", "scoring.cache"),
            ("[scoring.cascade]\nfast=''", "scoring.cascade.fast"),
            ("[scoring.cascade]\nrecipe=''", "scoring.cascade.recipe"),
            ("[scoring.cascade]\nlow=9", "low 9"),
            ("[scoring.cascade]\nhigh=nan", "scoring.cascade"),
            ("sever='x'", "sever"),
        ];
        for (keys, wanted) in table {
            let error = scoring(keys).expect_err(keys);
            assert!(error.contains(wanted) && !error.contains("secret"), "{keys}: {error}");
        }
    }
}
