//! The guard registry: named checks that make the documented failures of distillation impossible.
//!
//! Owns the list of guards (id, moment, severity, what each prevents, the documented failure, the general remedy). Does not own the
//! checks themselves: each stands beside what it checks and returns a [`Finding`].

mod data;
mod evaluation;
mod money;
mod serving;
mod training;

pub use crate::domain::{Finding, Outcome};

use serde::{Deserialize, Serialize};

/// When a guard runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    Load,
    Plan,
    Submit,
    Import,
    Dataset,
    Start,
    Step,
    Eval,
    Deploy,
    Serve,
}

impl Moment {
    /// When that is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Load => "when recipe and data are read",
            Self::Plan => "before money is spent",
            Self::Submit => "when requests are sent",
            Self::Import => "when answers or labels arrive",
            Self::Dataset => "when the dataset is built",
            Self::Start => "between \"Train\" and the first step",
            Self::Step => "at training steps",
            Self::Eval => "when an evaluation is made",
            Self::Deploy => "before a release goes live",
            Self::Serve => "while scores are served",
        }
    }
}

/// What a failed guard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Says what it saw.
    Warn,
    /// Refuses to go on until it is fixed or overridden with a written reason.
    Stop,
}

/// How a guard keeps its failure away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "standing", content = "how")]
pub enum Standing {
    /// A check looks and says what it saw.
    Checked,
    /// Nothing can go wrong any more; the words say where that is made so.
    Built(&'static str),
}

/// One row of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// The row of `docs/guards.md`, e.g. "D3".
    pub id: &'static str,
    pub moment: Moment,
    pub severity: Severity,
    #[serde(flatten)]
    pub standing: Standing,
    /// The failure it makes impossible, in a few words.
    pub prevents: &'static str,
    /// What happened to somebody.
    pub happened: &'static str,
    /// What to do when it fails, in general; a finding knows better.
    pub remedy: &'static str,
}

/// Every guard there is, by letter. A check whose id is not here cannot report.
const TABLES: [&[Guard]; 5] = [data::ROWS, money::ROWS, training::ROWS, serving::ROWS, evaluation::ROWS];

/// Every guard there is.
pub fn registry() -> impl Iterator<Item = &'static Guard> {
    TABLES.into_iter().flatten()
}

/// The registry's row for an id.
pub fn guard(id: &str) -> Option<&'static Guard> {
    registry().find(|g| g.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_has_its_own_id() {
        let mut ids = std::collections::BTreeSet::new();
        for g in registry() {
            assert!(ids.insert(g.id), "{} is registered twice", g.id);
        }
    }
}
