//! Submission: an approved plan goes out in chunks, each written down before it is sent, each inside the ceiling.

use std::collections::HashSet;

use super::receipt::spent;
use super::run::{Distiller, PROVIDER};
use super::{Approval, DistillError, Plan};
use crate::domain::{Digest, Usd};
use crate::teacher::{NewBatch, Outgoing, Refusal, SubmitError, TeacherError, Trouble};
use crate::workspace::{RequestRow, RequestState, SubmissionRow, SubmissionState};

/// Batches at the provider at once; more would not end sooner, and each holds a part of the ceiling.
const MOST_OPEN: usize = 8;

/// Plans above this size send a few requests first and wait for them.
const CANARY_FROM: usize = 50;

/// Requests of a canary: one for each shared prompt front, so that they also warm the provider's cache.
const CANARY_MOST: usize = 50;

/// One chunk on its way.
struct Chunk {
    rows: Vec<RequestRow>,
    requests: Vec<Outgoing>,
}

impl Distiller<'_> {
    /// Sends the next chunk of an approved plan, once. False: nothing can be sent now; look at what is under way.
    pub(super) async fn submit_some(&mut self, plan: &Plan, approval: &Approval) -> Result<bool, DistillError> {
        let planned = self.tools.ledger.requests_in(&plan.digest, RequestState::Planned)?;
        let open = self.open()?;
        let unsettled = |s: &SubmissionRow| matches!(s.state, SubmissionState::Unknown | SubmissionState::Submitting);
        let held_off = self.looks.get(&PROVIDER).is_some_and(|l| self.tools.clock.now() < l.not_before);
        if held_off || planned.is_empty() || open.len() >= MOST_OPEN || open.iter().any(unsettled) {
            return Ok(false);
        }
        if let Some(why) = self.price_changed(plan)? {
            return self.void(plan, &why);
        }
        if !self.check().await? {
            return Ok(false);
        }
        let Some(candidates) = self.candidates(plan, planned)? else { return Ok(false) };
        let left = candidates.len();
        let chunk = match self.chunk(plan, approval, candidates, &open)? {
            Ok(chunk) => chunk,
            Err(changed) => return self.void(plan, &changed),
        };
        if chunk.rows.is_empty() {
            return if open.is_empty() { Err(self.ceiling(plan, approval, left)?) } else { Ok(false) };
        }
        if self.tools.asking.teacher().batches().is_some() {
            self.send(plan, &chunk).await
        } else {
            let submission = self.write_ahead(plan, &chunk)?;
            self.tools.ledger.set_submission(
                submission.id,
                SubmissionState::Submitted,
                Some(super::ONE_BY_ONE),
                None,
                self.tools.clock.now(),
            )?;
            Ok(true)
        }
    }

    /// A free look whether key and model are accepted, once a process.
    async fn check(&mut self) -> Result<bool, DistillError> {
        if self.checked {
            return Ok(true);
        }
        match self.tools.asking.teacher().check().await {
            Ok(()) => {
                self.checked = true;
                Ok(true)
            }
            Err(TeacherError { why, trouble: Trouble::Passing { after } }) => {
                self.hold_off(PROVIDER, &why, after)?;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn price_changed(&self, plan: &Plan) -> Result<Option<String>, DistillError> {
        let teacher = self.tools.asking.teacher();
        let now = self.tools.prices.find(teacher.provider(), teacher.model(), teacher.mode(), self.tools.clock.now())?;
        Ok((*now != plan.estimate.price).then(|| format!("the price of {} is no longer the one that was approved", now.model)))
    }

    fn void(&mut self, plan: &Plan, why: &str) -> Result<bool, DistillError> {
        self.tools.ledger.void_plan(&plan.digest, why)?;
        self.tools.conduct.warn(format!("the approval of plan {} is void: {why}. A new plan is made", plan.digest.short()));
        Ok(true)
    }

    /// What may go out now: everything, or the canary first. `None`: the canary is still out.
    fn candidates(&self, plan: &Plan, planned: Vec<RequestRow>) -> Result<Option<Vec<RequestRow>>, DistillError> {
        let teacher = self.tools.asking.teacher();
        let unmeasured = !matches!(plan.estimate.forecast.basis, super::Basis::Measured { .. });
        let wants = teacher.batches().is_some()
            && plan.estimate.requests > CANARY_FROM
            && (unmeasured || teacher.writes_cache() || plan.estimate.chunks > 1);
        if !wants {
            return Ok(Some(planned));
        }
        let mine: Vec<SubmissionRow> = self.tools.ledger.submissions()?.into_iter().filter(|s| s.plan == plan.digest).collect();
        let made = |s: &&SubmissionRow| s.state != SubmissionState::NotSubmitted;
        let kept = self.tools.ledger.usage(&plan.digest)?.kept;
        match mine.iter().filter(made).count() {
            // Also after a canary of which nothing could be kept: the cause may not be mended yet.
            _ if kept == 0 && !mine.iter().any(|s| s.state.is_open()) => {
                let mut seen = HashSet::new();
                let first = planned.into_iter().filter(|r| seen.insert(r.request.pair.profile.clone()));
                Ok(Some(first.take(CANARY_MOST).collect()))
            }
            0 | 1 if mine.iter().any(|s| s.state.is_open()) => Ok(None),
            _ => Ok(Some(planned)),
        }
    }

    /// As many of the rows as one call may carry and the ceiling holds. `Err`: a body is not the approved one.
    fn chunk(
        &self,
        plan: &Plan,
        approval: &Approval,
        rows: Vec<RequestRow>,
        open: &[SubmissionRow],
    ) -> Result<Result<Chunk, String>, DistillError> {
        let asking = self.tools.asking;
        let (limits, writes) = (asking.teacher().limits(), asking.teacher().writes_cache());
        let price = &plan.estimate.price;
        let mut reached = self.committed(plan)?;
        let (mut chunk, mut bytes) = (Chunk { rows: Vec::new(), requests: Vec::new() }, 0);
        for row in rows {
            let q = &row.request;
            let question = asking.question(&q.pair).filter(|question| asking.key(question) == q.cache_key);
            let Some(out) = question.map(|question| asking.replay(&question, q)) else {
                return Ok(Err(format!("the question about {} changed", q.pair)));
            };
            let text = out.body.to_string();
            if Digest::of(&text) != q.body {
                return Ok(Err(format!("the request about {} is no longer the one that was approved", q.pair)));
            }
            bytes += text.len() + 128;
            reached += price.most(q.prompt_most, q.max_output, writes);
            let full = chunk.rows.len() >= self.chunk_cap || (bytes > limits.bytes && !chunk.rows.is_empty());
            if full || reached > approval.ceiling() {
                break;
            }
            chunk.rows.push(row);
            chunk.requests.push(out);
        }
        // Where a provider keeps no label, an unclear submission is recognised by its count: no two open ones share it.
        while open.iter().any(|s| s.requests == chunk.rows.len()) && !chunk.rows.is_empty() {
            chunk.rows.pop();
            chunk.requests.pop();
        }
        Ok(Ok(chunk))
    }

    /// What the plan has cost, and the most that is under way.
    fn committed(&self, plan: &Plan) -> Result<Usd, DistillError> {
        let (prompt, output) = self.tools.ledger.under_way(&plan.digest)?;
        let writes = self.tools.asking.teacher().writes_cache();
        Ok(spent(self.tools.ledger, &plan.digest, &plan.estimate.price)? + plan.estimate.price.most(prompt, output, writes))
    }

    fn ceiling(&self, plan: &Plan, approval: &Approval, left: usize) -> Result<DistillError, DistillError> {
        let next = self.tools.ledger.requests_in(&plan.digest, RequestState::Planned)?.into_iter().next();
        let writes = self.tools.asking.teacher().writes_cache();
        let next = next.map_or(Usd::ZERO, |r| plan.estimate.price.most(r.request.prompt_most, r.request.max_output, writes));
        let (ceiling, plan, spent) = (approval.ceiling(), plan.digest.short().to_owned(), self.committed(plan)?);
        Ok(DistillError::Ceiling { ceiling, spent, next, left, plan })
    }

    fn write_ahead(&mut self, plan: &Plan, chunk: &Chunk) -> Result<SubmissionRow, DistillError> {
        let ids: Vec<String> = chunk.rows.iter().map(|r| r.request.custom_id.clone()).collect();
        let attempt = chunk.rows.iter().map(|r| r.request.attempt).max().unwrap_or(1);
        let bodies = Digest::of_json(&chunk.requests);
        Ok(self.tools.ledger.begin_submission(&plan.digest, attempt, &ids, &bodies, self.tools.clock.now())?)
    }

    async fn send(&mut self, plan: &Plan, chunk: &Chunk) -> Result<bool, DistillError> {
        let submission = self.write_ahead(plan, chunk)?;
        let Some(batches) = self.tools.asking.teacher().batches() else { return Ok(false) };
        let answer = batches.submit(&NewBatch { label: &submission.label, requests: &chunk.requests }).await;
        let now = self.tools.clock.now();
        let ledger = &mut *self.tools.ledger;
        match answer {
            Ok(batch) => {
                ledger.set_submission(submission.id, SubmissionState::Submitted, Some(&batch.id), None, now)?;
                self.looks.remove(&PROVIDER);
                Ok(true)
            }
            Err(SubmitError::Unclear(why)) => {
                ledger.set_submission(submission.id, SubmissionState::Unknown, None, Some(&why), now)?;
                ledger.set_watched(submission.id, None, None, now)?;
                self.tools.conduct.warn(format!(
                    "no clear answer to submission {} ({why}); it may have been made. It is looked for at the provider before anything \
                     else is sent",
                    submission.id
                ));
                Ok(false)
            }
            Err(SubmitError::Refused { why, kind }) => {
                ledger.set_submission(submission.id, SubmissionState::NotSubmitted, None, Some(&why), now)?;
                match kind {
                    Refusal::TooLarge if chunk.rows.len() > 1 => {
                        self.chunk_cap = chunk.rows.len().div_ceil(2);
                        self.tools.conduct.warn(format!("{why}; sending {} requests at a time", self.chunk_cap));
                        Ok(true)
                    }
                    Refusal::Busy { after } => {
                        self.hold_off(PROVIDER, &why, after)?;
                        Ok(false)
                    }
                    Refusal::TooLarge | Refusal::Request | Refusal::Final => Err(DistillError::Refused { why }),
                }
            }
        }
    }
}
