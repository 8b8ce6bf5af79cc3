//! The two-pass cascade: a fast pass scores everything, and the think pass is asked where the fast score does not decide.
//! Owns the rule; who the two passes are is the engine's.

use serde::{Deserialize, Serialize};

/// Which pass gave an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// There is no cascade.
    #[default]
    Only,
    Fast,
    Think,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Fast => "fast",
            Self::Think => "think",
        }
    }
}

/// The fast scores that do not decide.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    pub low: f64,
    pub high: f64,
}

impl Doubt {
    /// Whether the think pass is asked. `expected`: the probability-weighted score, which is finer than the drawn one and
    /// goes before it. A score that could not be read decides nothing.
    pub fn sends_on(self, drawn: Option<f64>, expected: Option<f64>) -> bool {
        let seen = drawn.and(expected.filter(|e| e.is_finite()).or(drawn));
        seen.is_none_or(|score| (self.low..=self.high).contains(&score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_think_pass_is_asked_between_the_limits_and_where_nothing_was_read() {
        let doubt = Doubt { low: 4.0, high: 8.0 };
        let table = [
            (Some(3.9), None, false),
            (Some(4.0), None, true),
            (Some(8.0), None, true),
            (Some(8.1), None, false),
            (None, None, true),
            // Digits whose chances were seen, of an answer that cannot be read.
            (None, Some(1.0), true),
            (Some(3.0), Some(4.2), true),
            (Some(5.0), Some(3.9), false),
            (Some(9.0), Some(f64::NAN), false),
        ];
        for (drawn, expected, sent) in table {
            assert_eq!(doubt.sends_on(drawn, expected), sent, "{drawn:?} {expected:?}");
        }
    }

    #[test]
    fn limits_that_leave_nothing_between_send_only_what_cannot_be_read() {
        let none = Doubt { low: 5.0, high: 4.0 };
        assert!(!none.sends_on(Some(4.5), None) && none.sends_on(None, None));
    }
}
