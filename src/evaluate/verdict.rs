//! The verdict on a student, from the recipe's criteria. Owns the levels and the words; the figures judged are handed
//! in, so that any metric a recipe names can be a criterion.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::report::figure;
use crate::domain::recipe::{Criterion, Direction};

/// How well a criterion is met, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Failure,
    Partial,
    Success,
    Stretch,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failure => "failure",
            Self::Partial => "partial",
            Self::Success => "success",
            Self::Stretch => "stretch",
        })
    }
}

/// The worst level met, and one line per criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub level: Level,
    pub lines: Vec<String>,
}

/// One criterion read as "higher is better": values and bounds of a `lower` criterion are negated.
struct Bounds {
    failure: Option<f64>,
    success: Option<f64>,
    stretch: Option<f64>,
    /// Whether a value on the success or stretch bound meets it: `from` is included, `to` is not.
    included: bool,
}

impl Bounds {
    fn of(criterion: &Criterion) -> Self {
        match criterion.direction {
            Direction::Higher => Self {
                failure: criterion.failure_below,
                success: criterion.success_from,
                stretch: criterion.stretch_from,
                included: true,
            },
            Direction::Lower => Self {
                failure: criterion.failure_above.map(|b| -b),
                success: criterion.success_to.map(|b| -b),
                stretch: criterion.stretch_to.map(|b| -b),
                included: false,
            },
        }
    }

    /// Whether it can only raise hopes: no failure and no success bound.
    fn only_stretch(&self) -> bool {
        self.failure.is_none() && self.success.is_none()
    }

    /// Total: failure below the failure bound, then stretch, success, and the rest partial. `None` for a criterion
    /// with only a stretch bound that is not met.
    fn level(&self, value: f64) -> Option<Level> {
        let meets = |bound: Option<f64>| bound.is_some_and(|b| value > b || (self.included && value >= b));
        if self.failure.is_some_and(|b| value < b) {
            return Some(Level::Failure);
        }
        if meets(self.stretch) {
            return Some(Level::Stretch);
        }
        if self.only_stretch() {
            return None;
        }
        // Without a success bound, not failing is all that is asked.
        Some(if self.success.is_none() || meets(self.success) { Level::Success } else { Level::Partial })
    }
}

/// Judges a student: per criterion the level its value meets, overall the worst of them. A value that was not measured
/// fails its criterion. A criterion with nothing but a stretch bound never lowers the verdict; where no
/// criterion decides, the verdict is partial and says so. `psr_truth` is the teacher's own PSR-spread, always named beside the student's.
pub fn judge(criteria: &[Criterion], value_of: &dyn Fn(&str) -> Option<f64>, psr_truth: Option<f64>) -> Verdict {
    let mut worst: Option<Level> = None;
    let mut lines = Vec::with_capacity(criteria.len());
    for criterion in criteria {
        let bounds = Bounds::of(criterion);
        let value = value_of(&criterion.metric).filter(|v| v.is_finite());
        let negate = |v: f64| if criterion.direction == Direction::Lower { -v } else { v };
        let level = match value {
            Some(value) => bounds.level(negate(value)),
            None => (!bounds.only_stretch()).then_some(Level::Failure),
        };
        if let Some(level) = level.filter(|_| !bounds.only_stretch()) {
            worst = Some(worst.map_or(level, |w| w.min(level)));
        }
        let said = match (value, level) {
            (None, Some(level)) => format!("not measured: {level}"),
            (None, None) => "not measured".to_owned(),
            (Some(value), Some(level)) => format!("{}: {level}", figure(Some(value))),
            (Some(value), None) => format!("{}: below stretch", figure(Some(value))),
        };
        let teacher = match (criterion.metric.as_str(), psr_truth) {
            ("psr_spread", Some(truth)) => format!("; the teacher's own {}", figure(Some(truth))),
            ("psr_spread", None) => "; the teacher's own not measured".to_owned(),
            _ => String::new(),
        };
        lines.push(format!("{} {said} ({}){teacher}", criterion.metric, bounds_in_words(criterion)));
    }
    if worst.is_none() {
        lines.push("no criterion decides; give the recipe one with a success or failure bound".to_owned());
    }
    Verdict { level: worst.unwrap_or(Level::Partial), lines }
}

fn bounds_in_words(c: &Criterion) -> String {
    let bounds = [
        ("failure <", c.failure_below),
        ("success ≥", c.success_from),
        ("stretch ≥", c.stretch_from),
        ("failure >", c.failure_above),
        ("success <", c.success_to),
        ("stretch <", c.stretch_to),
    ];
    let words: Vec<String> = bounds.iter().filter_map(|(sign, bound)| bound.map(|b| format!("{sign} {b}"))).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Recipe;
    use proptest::prelude::*;

    fn criteria() -> Vec<Criterion> {
        Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound").criteria
    }

    fn verdict(psr: Option<f64>, mae: f64, rho: Option<f64>, format: f64) -> Verdict {
        let value_of = |metric: &str| match metric {
            "psr_spread" => psr,
            "mae" => Some(mae),
            "spearman" => rho,
            "format_compliance" => Some(format),
            _ => None,
        };
        judge(&criteria(), &value_of, Some(0.9))
    }

    #[test]
    fn the_verdict_is_the_worst_criterion_met() {
        let cases = [
            (0.85, 1.0, 0.9, 1.0, Level::Success), // format knows no stretch
            (0.60, 2.4, 0.1, 0.95, Level::Success),
            (0.59, 2.4, 0.9, 0.95, Level::Partial),
            (0.60, 2.5, 0.9, 0.95, Level::Partial),
            (0.60, 4.0, 0.9, 0.95, Level::Partial),
            (0.40, 4.01, 0.9, 0.95, Level::Failure),
            (0.39, 1.0, 0.9, 0.95, Level::Failure),
            (0.85, 1.0, 0.9, 0.94, Level::Failure),
        ];
        for (psr, mae, rho, format, level) in cases {
            assert_eq!(verdict(Some(psr), mae, Some(rho), format).level, level, "{psr} {mae} {rho} {format}");
        }
    }

    #[test]
    fn what_was_not_measured_fails_unless_it_is_only_a_hope() {
        let hope = verdict(Some(0.7), 2.0, None, 1.0);
        assert_eq!(hope.level, Level::Success);
        assert!(hope.lines.iter().any(|l| l.starts_with("spearman not measured (")), "{hope:?}");
        let gap = verdict(None, 2.0, None, 1.0);
        assert_eq!(gap.level, Level::Failure);
        assert!(
            gap.lines[0].starts_with("psr_spread not measured: failure") && gap.lines[0].ends_with("the teacher's own 0.900")
        );
        assert_eq!(verdict(Some(f64::NAN), 2.0, None, 1.0).level, Level::Failure);
    }

    #[test]
    fn a_line_says_value_level_and_bounds() {
        let lines = verdict(Some(0.7), 1.2, Some(0.5), 1.0).lines;
        assert_eq!(lines[1], "mae 1.200: stretch (failure > 4, success < 2.5, stretch < 1.5)");
        assert_eq!(lines[2], "spearman 0.500: below stretch (stretch ≥ 0.8)");
        assert_eq!(judge(&[], &|_| None, None).level, Level::Partial);
    }

    proptest! {
        #[test]
        fn a_better_value_never_gets_a_worse_verdict(psr in 0.0..1.0f64, more in 0.0..1.0f64, mae in 0.0..6.0f64, less in 0.0..6.0f64) {
            let worse = verdict(Some(psr), mae, Some(0.5), 1.0).level;
            let better = verdict(Some(psr + more), mae - less, Some(0.5), 1.0).level;
            prop_assert!(better >= worse);
        }
    }
}
