//! The learning rate at each step. Pure arithmetic.

use crate::domain::recipe::{RunRules, Schedule};

/// Rate of optimizer step `step` (counted from 0) of `total`.
pub fn learning_rate(rules: &RunRules, step: u64, total: u64) -> f64 {
    let warmup = (rules.warmup_share * total as f64).round().max(0.0);
    let at = step as f64;
    if at < warmup {
        return rules.learning_rate * (at + 1.0) / warmup;
    }
    let progress = ((at - warmup) / (total as f64 - warmup).max(1.0)).clamp(0.0, 1.0);
    rules.learning_rate
        * match rules.schedule {
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Schedule::Linear => 1.0 - progress,
            Schedule::Constant => 1.0,
        }
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    #[test]
    fn it_climbs_to_the_peak_and_falls_as_the_schedule_says() {
        let mut run = rules().run;
        (run.learning_rate, run.warmup_share) = (1.0, 0.1);
        for (schedule, half) in [(Schedule::Cosine, 0.5), (Schedule::Linear, 0.5), (Schedule::Constant, 1.0)] {
            run.schedule = schedule;
            let rate = |step| learning_rate(&run, step, 100);
            assert!((rate(0) - 0.1).abs() < 1e-12 && (rate(9) - 1.0).abs() < 1e-12 && (rate(10) - 1.0).abs() < 1e-12);
            assert!((rate(55) - half).abs() < 1e-12, "{schedule:?}");
        }
    }

    #[test]
    fn a_run_of_one_step_has_a_rate() {
        assert!(learning_rate(&rules().run, 0, 1) > 0.0);
    }
}
