//! How a recipe's students are released: which form is served, and what the gate before that asks. Owns the schema of
//! `[deploy]`.

use serde::{Deserialize, Serialize};

/// Absent keys have these values, so that recipes of before stay what they were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeployRules {
    pub gate: GateRules,
}

/// A release is live only if every runtime answers as the trained student does, within these limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateRules {
    /// Held-out rows that every runtime answers.
    pub rows: usize,
    /// Least share of the trained student's confident next tokens that a runtime gives too.
    pub min_greedy: f64,
    /// Most that a score after the same thoughts may differ from the trained student's, in the mean over rows.
    pub max_score_delta: f64,
    /// Most that the mean absolute error may rise above the trained student's, beyond what chance does.
    pub max_mae_rise: f64,
}

impl Default for GateRules {
    fn default() -> Self {
        // 8-bit weights keep practically every confident token, 4-bit ones nearly all; half a point is a third of the
        // narrowest band of the shipped recipes.
        Self { rows: 24, min_greedy: 0.95, max_score_delta: 0.5, max_mae_rise: 0.25 }
    }
}

impl DeployRules {
    /// Whether it says nothing of its own.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What cannot be, in words.
    pub(super) fn defect(&self) -> Option<String> {
        let gate = &self.gate;
        if gate.rows == 0 {
            return Some("gate.rows is 0; a gate that asks nothing lets everything through".into());
        }
        if !(0.0..=1.0).contains(&gate.min_greedy) {
            return Some(format!("gate.min_greedy {} is not in [0, 1]", gate.min_greedy));
        }
        let limits = [("max_score_delta", gate.max_score_delta), ("max_mae_rise", gate.max_mae_rise)];
        let odd = limits.into_iter().find(|(_, limit)| !(*limit >= 0.0 && limit.is_finite()));
        odd.map(|(name, limit)| format!("gate.{name} {limit} is no limit"))
    }
}
