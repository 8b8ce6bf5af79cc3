//! The receipt: estimate against bill, by plan. Every figure is recomputed from stored usage and the price that was
//! approved; nothing is typed.

use serde::{Deserialize, Serialize};

use super::asking::Kind;
use super::{DistillError, Plan};
use crate::domain::{Digest, Tokens, Usd};
use crate::teacher::Price;
use crate::workspace::{Ledger, PlanRow};

/// What one plan was estimated at, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptLine {
    pub plan: Digest,
    pub kind: Kind,
    pub provider: String,
    pub model: String,
    pub estimated: Usd,
    pub billed: Usd,
    /// The most that answers lost on the way may add.
    pub perhaps: Usd,
    pub tokens: Tokens,
    /// Billed answers, retries included.
    pub answers: u64,
    pub kept: u64,
    pub rejected: u64,
    pub lost: u64,
    pub ceiling: Option<Usd>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub lines: Vec<ReceiptLine>,
    pub estimated: Usd,
    pub billed: Usd,
    pub perhaps: Usd,
    pub kept: u64,
    /// `None`: nothing was kept.
    pub per_kept: Option<Usd>,
}

impl ReceiptLine {
    /// Share of prompt tokens that came from the provider's cache.
    pub fn cache_share(&self) -> f64 {
        let prompt = self.tokens.prompt();
        if prompt == 0 { 0.0 } else { self.tokens.cache_read as f64 / prompt as f64 }
    }
}

/// What a plan has cost so far; lost answers count with the most they can have cost.
pub fn spent(ledger: &Ledger, plan: &Digest, price: &Price) -> Result<Usd, DistillError> {
    let usage = ledger.usage(plan)?;
    Ok(price.cost(&usage.tokens) + price.most(usage.lost_tokens.prompt(), usage.lost_tokens.output, true))
}

/// The receipt over some plans, those that used nothing left out.
pub fn receipt(ledger: &Ledger, plans: &[PlanRow]) -> Result<Receipt, DistillError> {
    let mut receipt = Receipt::default();
    for row in plans {
        let usage = ledger.usage(&row.digest)?;
        let (Some(plan), true) = (Plan::of_row(row), usage.requests + usage.lost > 0) else { continue };
        let price = &plan.estimate.price;
        let lost = usage.lost_tokens;
        let line = ReceiptLine {
            plan: row.digest.clone(),
            kind: plan.kind,
            provider: row.provider.clone(),
            model: row.model.clone(),
            estimated: plan.estimate.forecast.expected,
            billed: price.cost(&usage.tokens),
            perhaps: price.most(lost.prompt(), lost.output, true),
            tokens: usage.tokens,
            answers: usage.requests,
            kept: usage.kept,
            rejected: usage.rejected,
            lost: usage.lost,
            ceiling: ledger.approved_ceiling(&row.digest)?,
        };
        receipt.estimated += line.estimated;
        receipt.billed += line.billed;
        receipt.perhaps += line.perhaps;
        receipt.kept += line.kept;
        receipt.lines.push(line);
    }
    let share = |kept| Usd::new(receipt.billed.amount() / rust_decimal::Decimal::from(kept));
    receipt.per_kept = (receipt.kept > 0).then(|| share(receipt.kept));
    Ok(receipt)
}
