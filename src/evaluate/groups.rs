//! The same figures for parts of the rows: where is the model good, and where not? Owns which parts there are; the figures
//! are `metrics`'.
//!
//! A group's intervals are by article like those of the whole; with fewer than [`FEW_ROWS`](super::FEW_ROWS) rows it is shown
//! as weak (guard E4).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluation::FEW_ROWS;
use super::{Intervals, JudgedRow, Metrics, Row, intervals};
use crate::domain::Recipe;

/// What rows are grouped by, in the order in which they are shown.
pub const GROUPED_BY: [&str; 6] = ["band", "kind", "reader", "article", "source", "profile"];

/// Some of the rows, and every figure of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// One of [`GROUPED_BY`].
    pub by: String,
    /// The band of the truth; "career" or "interest"; a reader, an article that training had ("seen") or had not ("unseen");
    /// who gave the truth; which reader.
    pub name: String,
    pub metrics: Metrics,
    pub intervals: Intervals,
}

impl Group {
    /// Too few rows to lean on.
    pub fn weak(&self) -> bool {
        self.metrics.n < FEW_ROWS
    }
}

/// All groups of the rows. A property that all rows share (one source, nothing known of training) makes no groups, bands
/// and readers always do. Skill is against the constant of the whole, or against the best constant of the whole's rows.
pub fn groups(rows: &[JudgedRow], recipe: &Recipe, constant: Option<f64>, seed: u64) -> Vec<Group> {
    let whole: Vec<Row> = rows.iter().map(JudgedRow::row).collect();
    let constant = constant.or_else(|| Metrics::compute(&whole, &recipe.bands, &recipe.scale, None).skill_constant);
    let mut groups = Vec::new();
    for by in GROUPED_BY {
        let mut parts: BTreeMap<(usize, String), Vec<Row>> = BTreeMap::new();
        for row in rows {
            if let Some(key) = key(by, row, recipe) {
                parts.entry(key).or_default().push(row.row());
            }
        }
        if parts.len() < 2 && !["band", "profile"].contains(&by) {
            continue;
        }
        groups.extend(parts.into_iter().map(|((_, name), rows)| Group {
            by: by.to_owned(),
            name,
            metrics: Metrics::compute(&rows, &recipe.bands, &recipe.scale, constant),
            intervals: intervals(&rows, &recipe.bands, &recipe.scale, constant, seed),
        }));
    }
    groups
}

/// Where a row belongs: its place among the groups, and their name.
fn key(by: &str, row: &JudgedRow, recipe: &Recipe) -> Option<(usize, String)> {
    match by {
        "band" => {
            let band = recipe.bands.index(row.truth);
            Some((band, recipe.bands.name(band).to_owned()))
        }
        "kind" => row.kind.clone().map(|kind| (0, kind)),
        "reader" => row.seen_profile.map(seen),
        "article" => row.seen_article.map(seen),
        "source" => (!row.source.is_empty()).then(|| (0, row.source.clone())),
        _ => Some((0, row.profile.clone())),
    }
}

fn seen(seen: bool) -> (usize, String) {
    if seen { (0, "seen".to_owned()) } else { (1, "unseen".to_owned()) }
}
