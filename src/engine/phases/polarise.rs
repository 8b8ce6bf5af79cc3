//! Article generation: a teacher writes new polarising articles, under a plan and an approval like any other purchase.

use super::super::job::{Failure, JobContext, PhaseEnd};
use crate::domain::ProfileId;

pub fn run(_context: &mut JobContext, _profiles: &[ProfileId], _count: usize, _send: bool) -> Result<PhaseEnd, Failure> {
    Err(Failure::new("not built yet", ""))
}
