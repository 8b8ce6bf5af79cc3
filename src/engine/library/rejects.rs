//! Answers that could not be used, for a front end: counted by reason, listed, and one of them as it came.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Library, Read};
use crate::domain::{Digest, PairKey};
use crate::engine::job::Failure;
use crate::workspace::StoredReject;

/// One answer that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RejectRow {
    /// The plan it was bought under.
    pub plan: Digest,
    pub pair: PairKey,
    pub attempt: u32,
    /// What rejects are counted by.
    pub kind: &'static str,
    pub reason: String,
}

/// All of a distillation: counts over all of them, and those that a filter leaves.
#[derive(Debug, Clone, Default)]
pub struct RejectsView {
    pub total: usize,
    /// (kind, how many), most first.
    pub kinds: Vec<(&'static str, usize)>,
    /// Newest plan first, newest answer first.
    pub rows: Vec<RejectRow>,
}

impl Library {
    /// Rejects of every plan that was made for the same input as this one.
    pub(super) fn rejects(&self, plan: &Digest, filter: &str) -> Read<RejectsView> {
        let plans = self.ledger.plans()?;
        let input = plans.iter().find(|row| row.digest == *plan).map(|row| row.input.clone());
        let words: Vec<String> = filter.to_lowercase().split_whitespace().map(str::to_owned).collect();
        let (mut counts, mut view): (BTreeMap<&'static str, usize>, _) = (BTreeMap::new(), RejectsView::default());
        for plan in plans.iter().rev().filter(|row| Some(&row.input) == input.as_ref()) {
            for StoredReject { pair, attempt, reject, .. } in self.ledger.rejects(&plan.digest)? {
                *counts.entry(reject.kind()).or_default() += 1;
                view.total += 1;
                let row = RejectRow { plan: plan.digest.clone(), pair, attempt, kind: reject.kind(), reason: reject.to_string() };
                let text = format!("{} {} {}", row.pair, row.kind, row.reason).to_lowercase();
                if words.iter().all(|word| text.contains(word)) {
                    view.rows.push(row);
                }
            }
        }
        view.kinds = counts.into_iter().collect();
        view.kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        Ok(view)
    }

    /// The answer as the teacher gave it.
    pub(super) fn reject(&self, row: &RejectRow) -> Read<String> {
        let gone = || Failure::new("this answer is not stored any more", "Look at the list again.");
        self.ledger.reject_text(&row.plan, &row.pair, row.attempt)?.ok_or_else(gone)
    }
}
