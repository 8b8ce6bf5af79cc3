//! Whether a teacher's judgements look like judgements. Owns the checks of annotators, reasons and languages at import
//! (guards D6, D7, D8, D11, D12) and the drawing of pairs that two annotators are compared on.
//!
//! Every check is a pure function of rows: where they came from, the ledger or somebody's file, is the caller's affair.
//! None of them stops anything; each says what it saw, with the figures to disagree with it.

mod annotator;
mod compare;
mod lint;

pub use annotator::{Histogram, d6, d7, d8};
pub use compare::{Common, common, copies, sample_by_band};
pub use lint::{d11, d12, is_cut, languages_of, tells_of_change};

use crate::domain::recipe::Scale;
use crate::domain::{ArticleId, Finding, PairKey};

/// One judgement of one annotator.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    pub pair: PairKey,
    pub score: f64,
    pub reason: String,
    /// Who judged; empty where nobody says.
    pub annotator: String,
    /// Counts up with time within an annotator.
    pub batch: usize,
}

/// What the import guards need besides the rows.
pub struct Premises<'a> {
    pub scale: &'a Scale,
    /// Languages that the recipe wants; empty: it does not say.
    pub languages: &'a [String],
    /// An article's text, where it is known.
    pub article: &'a dyn Fn(&ArticleId) -> Option<String>,
}

/// Every import guard over the rows of one annotator, against those of the others.
pub fn examine_rows(rows: &[Scored], others: &[&[Scored]], premises: &Premises<'_>) -> Vec<Finding> {
    let mut findings = vec![d6(rows), d7(rows, others), d8(rows, others, premises.scale), d11(rows)];
    findings.extend(d12(rows, premises.languages, premises.scale.relevant_from, premises.article));
    findings
}

/// A share in words: "12.3 %"; a dash of nothing.
fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "—".into() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}
