//! The noise floor: how far two annotators are apart on the same rows. A model that is judged by one of them cannot be told
//! from the truth once its error is as small. Owns the figure and guard D19; who the annotators are is the caller's.

use serde::{Deserialize, Serialize};

use super::report::figure;
use super::{Metrics, Row, intervals};
use crate::domain::{Finding, Recipe};

/// Fewer common rows than this give no floor.
pub const FLOOR_FROM: usize = 50;

/// Two who judge for themselves do not agree to the digit on more than this share of rows.
const COPIED_ABOVE: f64 = 0.95;

/// Two annotators on the rows that both judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseFloor {
    /// The one that gives the truth here.
    pub a: String,
    pub b: String,
    /// Rows that both judged.
    pub n: usize,
    /// Whether these are rows of the evaluation; else of everything both judged.
    pub same_rows: bool,
    /// Mean of |b − a|
    pub mae: Option<f64>,
    /// 95 %, by bootstrap over articles.
    pub interval: Option<(f64, f64)>,
    /// Mean of b − a
    pub bias: Option<f64>,
    pub spearman: Option<f64>,
    /// Share of rows with the very same score.
    #[serde(default)]
    pub identical: Option<f64>,
}

impl NoiseFloor {
    /// Of rows whose `truth` is A's score and whose `predicted` is B's.
    pub fn between(a: &str, b: &str, rows: &[Row], same_rows: bool, recipe: &Recipe, seed: u64) -> Self {
        let metrics = Metrics::compute(rows, &recipe.bands, &recipe.scale, None);
        let within = intervals(rows, &recipe.bands, &recipe.scale, None, seed);
        Self {
            a: a.to_owned(),
            b: b.to_owned(),
            n: metrics.n,
            same_rows,
            mae: metrics.mae,
            interval: within.get("mae").copied(),
            bias: metrics.bias,
            spearman: metrics.spearman,
            identical: (!rows.is_empty()).then(|| {
                let same = |r: &&Row| r.predicted.is_some_and(|p| (p - r.truth).abs() < 1e-9);
                rows.iter().filter(same).count() as f64 / rows.len() as f64
            }),
        }
    }

    /// Whether there are enough common rows to speak of a floor.
    pub fn enough(&self) -> bool {
        self.n >= FLOOR_FROM
    }

    /// Whether one of the two seems to have copied the other: then they are one opinion.
    pub fn copied(&self) -> bool {
        self.identical.is_some_and(|share| share > COPIED_ABOVE)
    }

    pub fn words(&self) -> String {
        let within = self.interval.map_or_else(String::new, |(low, high)| format!(" [{low:.3}, {high:.3}]"));
        let rows = if self.same_rows { "of these rows" } else { "common rows" };
        let mut few = if self.enough() { String::new() } else { format!("; {FLOOR_FROM} are needed") };
        if self.copied() {
            few.push_str("; they give the same score on nearly every row, so one is a copy of the other and no second opinion");
        }
        format!(
            "{} and {} differ by MAE {}{within} on {} {rows} (bias {}, ρ {}){few}",
            self.a,
            self.b,
            figure(self.mae),
            self.n,
            figure(self.bias),
            figure(self.spearman)
        )
    }
}

/// Guard D19: the floor stands beside the MAE.
pub fn d19(floor: Option<&NoiseFloor>, mae: Option<f64>) -> Finding {
    let ask = "Ask for a second opinion: stratos distill plan --teacher NAME --sample 50; or give one with --second.";
    match floor {
        Some(floor) if floor.enough() && !floor.copied() => {
            let at = mae.zip(floor.mae).is_some_and(|(mae, floor)| mae <= floor);
            let end = if at { "; the model is within it: this truth cannot tell it from a better one" } else { "" };
            Finding::pass("D19", format!("noise floor: {}; MAE here {}{end}", floor.words(), figure(mae)))
        }
        Some(floor) => Finding::fail("D19", format!("no noise floor yet: {}", floor.words()), ask),
        None => Finding::fail("D19", "nobody else judged these rows, so what MAE means is unknown", ask),
    }
}
