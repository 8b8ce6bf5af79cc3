//! The run: settle what is open, submit what is approved, bring it home, retry what was rejected. It can be killed
//! anywhere; run again, it goes on from what the ledger holds.

use std::collections::HashMap;

use super::plan::{Question, input_tokens, outgoing};
use super::{Approval, DistillError, PairSet, Plan, collect};
use crate::domain::{Clock, Conduct, Digest, Digester, Gate, Tokens, UnixMillis, Usd};
use crate::teacher::{Batches, NewBatch, Price, SubmitError};
use crate::workspace::{Ledger, NewRequest, RequestState, StoredTrace, SubmissionRow, SubmissionState};

/// Fetching costs nothing: a stream that was cut is fetched again this often.
const FETCHES: usize = 3;

/// Everything a distillation needs.
pub struct Distiller<'a> {
    pub set: PairSet<'a>,
    pub ledger: &'a mut Ledger,
    pub price: &'a Price,
    pub clock: &'a dyn Clock,
    pub conduct: &'a mut dyn Conduct,
}

/// Where a distillation came to.
#[derive(Debug)]
pub enum Step {
    /// Nothing is sent before this plan is approved.
    NeedsApproval(Plan),
    Done(Distilled),
    Stopped,
}

/// All kept traces of the pairs asked about.
#[derive(Debug)]
pub struct Distilled {
    pub traces: Vec<StoredTrace>,
    pub pairs: usize,
    /// Digest over pairs and traces.
    pub digest: Digest,
}

impl Distiller<'_> {
    /// Goes as far as it can: to the end, to a plan that wants approval, or to the operator's stop.
    pub async fn run(&mut self, input: &Digest) -> Result<Step, DistillError> {
        if self.settle().await? == Gate::Stop {
            return Ok(Step::Stopped);
        }
        let plan = match Plan::recorded(self.ledger, input)? {
            Some(plan) => Some(plan),
            None => Plan::make(&self.set, self.ledger, self.price, input, self.clock.now())?,
        };
        if let Some(plan) = plan {
            loop {
                let open = self.ledger.requests_in(&plan.digest, RequestState::Planned)?;
                if open.is_empty() {
                    if self.plan_retries(&plan.digest)? == 0 {
                        break;
                    }
                    continue;
                }
                let Some(approval) = Approval::recorded(self.ledger, &plan.digest)? else { return Ok(Step::NeedsApproval(plan)) };
                if self.submit_chunk(&approval).await? == Gate::Stop || self.settle().await? == Gate::Stop {
                    return Ok(Step::Stopped);
                }
            }
        }
        self.finish().map(Step::Done)
    }

    fn batches(&self) -> &dyn Batches {
        self.set.teacher.batches().expect("batch")
    }

    fn finish(&self) -> Result<Distilled, DistillError> {
        let keys = self.set.keys();
        let mut traces = self.ledger.traces(&keys)?;
        traces.sort_by(|a, b| a.trace.pair.cmp(&b.trace.pair));
        let bind = |d: Digester, t: &StoredTrace| d.field(t.cache_key.as_str()).field(t.digest.as_str());
        let digest = traces.iter().fold(Digester::new(), bind).finish();
        Ok(Distilled { traces, pairs: keys.len(), digest })
    }

    /// Sends the next chunk of an approved plan, once.
    async fn submit_chunk(&mut self, approval: &Approval) -> Result<Gate, DistillError> {
        if self.conduct.gate() == Gate::Stop {
            return Ok(Gate::Stop);
        }
        let planned = self.ledger.requests_in(approval.plan(), RequestState::Planned)?;
        let attempt = planned.iter().map(|q| q.attempt).min().unwrap_or(1);
        let chunk: Vec<_> = planned.into_iter().filter(|q| q.attempt == attempt).take(self.set.teacher.limits().requests).collect();
        let questions: HashMap<Digest, Question> = self.set.questions().map(|q| (q.key.clone(), q)).collect();
        let mut requests = Vec::new();
        let mut worst_input = 0;
        for row in &chunk {
            // A body that changed since the approval has another key: it is not what was approved.
            let question = questions.get(&row.cache_key).ok_or_else(|| DistillError::Changed(row.pair.to_string()))?;
            worst_input += input_tokens(&question.body);
            requests.push(outgoing(question, row.attempt));
        }
        self.hold_ceiling(approval, worst_input, requests.len())?;
        let ids: Vec<String> = chunk.iter().map(|q| q.custom_id.clone()).collect();
        let bodies = Digest::of_json(&requests);
        let id = self.ledger.begin_submission(approval.plan(), attempt, &ids, &bodies, self.clock.now())?;
        let answer = self.batches().submit(&NewBatch { label: &id.to_string(), requests: &requests }).await;
        let now = self.clock.now();
        match answer {
            Ok(batch) => self.ledger.set_submission(id, SubmissionState::Submitted, Some(&batch.id), now)?,
            Err(SubmitError::Refused { why, .. }) => {
                self.ledger.set_submission(id, SubmissionState::NotSubmitted, None, now)?;
                return Err(DistillError::Refused(why));
            }
            Err(SubmitError::Unclear(why)) => {
                self.ledger.set_submission(id, SubmissionState::Unknown, None, now)?;
                return Err(DistillError::Unclear { submission: id, why });
            }
        }
        Ok(Gate::Continue)
    }

    /// Stops before the request that could break the ceiling: spent so far, plus this chunk at its token limit.
    fn hold_ceiling(&self, approval: &Approval, input_tokens: u64, requests: usize) -> Result<(), DistillError> {
        let used = self.ledger.usage(Some(approval.plan()))?;
        let spent = self.price.cost(&Tokens::plain(used.input_tokens, used.output_tokens));
        let output = requests as u64 * self.set.recipe.teacher.max_output_tokens;
        let reached: Usd = spent + self.price.cost(&Tokens::plain(input_tokens, output));
        if reached > approval.ceiling() {
            return Err(DistillError::Ceiling { requests, reached, ceiling: approval.ceiling() });
        }
        Ok(())
    }

    /// Brings every open submission home, of whatever plan: what was paid for is never left behind.
    async fn settle(&mut self) -> Result<Gate, DistillError> {
        for submission in self.ledger.open_submissions()? {
            let submission = match submission.state {
                SubmissionState::Submitting | SubmissionState::Unknown => match self.reconcile(submission).await? {
                    Some(found) => found,
                    None => continue,
                },
                _ => submission,
            };
            if submission.state == SubmissionState::Submitted && self.watch(&submission).await? == Gate::Stop {
                return Ok(Gate::Stop);
            }
            self.import(&submission).await?;
        }
        Ok(Gate::Continue)
    }

    /// A submission that nobody knows about: looked for in the provider's list, among batches that are not ours yet.
    async fn reconcile(&mut self, submission: SubmissionRow) -> Result<Option<SubmissionRow>, DistillError> {
        let ours: Vec<String> = self.ledger.submissions()?.into_iter().filter_map(|s| s.remote).collect();
        let listed = self.batches().list(UnixMillis(0)).await?;
        let mut found: Vec<_> = listed.into_iter().filter(|b| b.total == Some(submission.requests) && !ours.contains(&b.id)).collect();
        let now = self.clock.now();
        match (found.pop(), found.len()) {
            (None, _) => {
                self.ledger.set_submission(submission.id, SubmissionState::NotSubmitted, None, now)?;
                self.conduct
                    .warn(format!("submission {} never reached the provider; its requests are asked again", submission.id));
                Ok(None)
            }
            (Some(batch), 0) => {
                self.ledger.set_submission(submission.id, SubmissionState::Submitted, Some(&batch.id), now)?;
                self.conduct.warn(format!("submission {} was found at the provider as {} and adopted", submission.id, batch.id));
                Ok(Some(SubmissionRow { state: SubmissionState::Submitted, remote: Some(batch.id), ..submission }))
            }
            (Some(_), more) => {
                Err(DistillError::Ambiguous { submission: submission.id, requests: submission.requests, found: more + 1 })
            }
        }
    }

    /// Waits until the provider is done with a batch.
    async fn watch(&mut self, submission: &SubmissionRow) -> Result<Gate, DistillError> {
        let remote = submission.remote.clone().unwrap_or_default();
        loop {
            if self.conduct.gate() == Gate::Stop {
                return Ok(Gate::Stop);
            }
            let batch = self.batches().watch(&remote).await?;
            let answered = batch.answered.unwrap_or(0);
            self.ledger.set_answered(submission.id, answered)?;
            let message = format!("batch {remote}, attempt {}", submission.attempt);
            self.conduct.progress(answered as u64, batch.total.unwrap_or(0) as u64, "requests", &message);
            if batch.state.is_over() {
                return Ok(Gate::Continue);
            }
            tokio::time::sleep(self.set.teacher.limits().poll).await;
        }
    }

    /// Stores the bytes, then reads them.
    async fn import(&mut self, submission: &SubmissionRow) -> Result<(), DistillError> {
        let remote = submission.remote.clone().unwrap_or_default();
        let requests = self.ledger.requests_of(submission.id)?;
        let mut verdict = Ok(());
        for fetch in 0..FETCHES {
            let stored = if fetch == 0 { self.ledger.raw_of(submission.id)? } else { None };
            let bytes = if let Some(bytes) = stored {
                bytes
            } else {
                let batch = self.batches().watch(&remote).await?;
                let mut bytes = Vec::new();
                self.batches().fetch(&batch, &mut bytes).await?;
                self.ledger.put_raw(submission.id, &bytes, self.clock.now())?;
                bytes
            };
            let (answers, remarks) = collect::join(self.set.recipe, self.set.teacher, &requests, &bytes);
            verdict = collect::complete(&answers, &requests, &remote);
            if verdict.is_ok() {
                for remark in remarks {
                    self.conduct.warn(format!("batch {remote}: {remark}"));
                }
                self.ledger.import_answers(submission.id, &answers, self.clock.now())?;
                return Ok(());
            }
        }
        verdict
    }

    /// Plans the next attempt of everything that was rejected, may be retried and has not used up its attempts.
    fn plan_retries(&mut self, plan: &Digest) -> Result<usize, DistillError> {
        let rejected = self.ledger.requests_in(plan, RequestState::Rejected)?;
        let mut retries = Vec::new();
        for row in rejected {
            let (attempts, refused) = self.ledger.attempts(&row.cache_key)?;
            let latest = attempts == row.attempt;
            if !latest
                || refused
                || attempts >= self.set.recipe.teacher.max_attempts
                || !self.ledger.traces(std::slice::from_ref(&row.cache_key))?.is_empty()
            {
                continue;
            }
            let attempt = attempts + 1;
            let custom_id = super::plan::custom_id(&row.cache_key, attempt);
            retries.push(NewRequest { custom_id, cache_key: row.cache_key, pair: row.pair, attempt });
        }
        self.ledger.add_requests(plan, &retries)?;
        Ok(retries.len())
    }
}
