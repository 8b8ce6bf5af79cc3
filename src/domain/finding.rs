//! What a guard saw. The guards themselves are registered in `guards` and stand beside what they check.

use serde::{Deserialize, Serialize};

/// What a guard said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pass,
    Fail,
}

/// What one guard saw at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub guard: String,
    pub outcome: Outcome,
    /// What it looked at and found, in one sentence.
    pub saw: String,
    /// What to do about it; empty for a pass.
    pub remedy: String,
}

impl Finding {
    pub fn pass(guard: &str, saw: impl Into<String>) -> Self {
        Self { guard: guard.into(), outcome: Outcome::Pass, saw: saw.into(), remedy: String::new() }
    }

    pub fn fail(guard: &str, saw: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { guard: guard.into(), outcome: Outcome::Fail, saw: saw.into(), remedy: remedy.into() }
    }

    pub fn failed(&self) -> bool {
        self.outcome == Outcome::Fail
    }
}
