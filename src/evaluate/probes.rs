//! What the probes of one model found, together. Owns the record and its words; each probe owns its own figures.

use serde::{Deserialize, Serialize};

use super::Runtime;
use super::agreement::Agreement;
use super::faithfulness::Faithfulness;
use super::profile_swap::{Awareness, ProfileSwap};
use super::swap::Memorisation;
use crate::domain::Digest;

/// Probes of one model in one runtime. A part is `None` where `notes` says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// The model that was asked, and what computed its answers.
    pub model: Digest,
    pub runtime: Runtime,
    /// How it was asked, in words.
    pub sampling: String,
    pub seed: u64,
    /// Rows drawn: stratified by band, seeded.
    pub rows: usize,
    /// Whether they are of sealed articles.
    pub sealed: bool,
    pub faithfulness: Option<Faithfulness>,
    pub agreement: Option<Agreement>,
    pub memorisation: Option<Memorisation>,
    pub profile_swap: Option<ProfileSwap>,
    pub awareness: Option<Awareness>,
    /// What was not measured, and why.
    pub notes: Vec<String>,
}

impl Probes {
    pub fn lines(&self) -> Vec<String> {
        let sealed = if self.sealed { "sealed" } else { "held-out" };
        let mut lines =
            vec![format!("probes of {} by {}, {} {sealed} rows, {}", self.model.short(), self.runtime, self.rows, self.sampling)];
        lines.extend(self.faithfulness.iter().flat_map(Faithfulness::lines));
        lines.extend(self.agreement.iter().flat_map(Agreement::lines));
        lines.extend(self.memorisation.iter().flat_map(Memorisation::lines));
        lines.extend(self.profile_swap.iter().flat_map(ProfileSwap::lines));
        lines.extend(self.awareness.iter().flat_map(Awareness::lines));
        lines.extend(self.notes.iter().map(|note| format!("not measured: {note}")));
        lines
    }

    /// What failed, in words; empty: nothing did.
    pub fn failures(&self) -> Vec<String> {
        let mut failed = Vec::new();
        if self.faithfulness.as_ref().is_some_and(|f| f.cosmetic == Some(true)) {
            failed.push("its think block is cosmetic".to_owned());
        }
        if self.memorisation.as_ref().is_some_and(|m| m.passed == Some(false)) {
            failed.push("its scores follow names".to_owned());
        }
        if self.profile_swap.as_ref().is_some_and(|p| p.blind == Some(true)) {
            failed.push("it does not read the profile".to_owned());
        }
        if self.awareness.as_ref().is_some_and(|a| a.aware == Some(false)) {
            failed.push("it does not tell readers apart".to_owned());
        }
        failed
    }
}
