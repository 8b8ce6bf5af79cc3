//! The approval: an explicit act for one plan and one ceiling. Money cannot be spent without one, because the only
//! function that submits asks for it, and only the confirm path and the ledger that recorded it can make it.

use super::DistillError;
use crate::domain::{Digest, UnixMillis, Usd};
use crate::workspace::Ledger;

/// Proof that the operator approved one plan up to one ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    plan: Digest,
    ceiling: Usd,
}

impl Approval {
    /// The confirm path: records the operator's act and returns its proof.
    pub fn confirm(ledger: &mut Ledger, plan: &Digest, ceiling: Usd, at: UnixMillis) -> Result<Self, DistillError> {
        ledger.put_approval(plan, ceiling, at)?;
        Ok(Self { plan: plan.clone(), ceiling })
    }

    /// An approval recorded earlier, by this process or another.
    pub fn recorded(ledger: &Ledger, plan: &Digest) -> Result<Option<Self>, DistillError> {
        Ok(ledger.approved_ceiling(plan)?.map(|ceiling| Self { plan: plan.clone(), ceiling }))
    }

    pub fn plan(&self) -> &Digest {
        &self.plan
    }

    pub fn ceiling(&self) -> Usd {
        self.ceiling
    }
}
