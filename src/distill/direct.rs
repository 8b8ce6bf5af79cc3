//! Requests asked one by one, for providers without a batch API: bounded concurrency, each request written down before
//! it is sent, each reply on the disk before the next one is asked for.
//!
//! What was under way when the process died has no batch to fetch it from: it counts as lost, perhaps billed, and is
//! asked again under another attempt.

use std::collections::{HashMap, VecDeque};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::DistillError;
use super::import::Absent;
use super::run::Distiller;
use crate::domain::{ErrorKind, Gate, Reject, one_line};
use crate::teacher::{Outgoing, Refusal, SubmitError, Teacher};
use crate::workspace::{Billed, PlanRow, RequestRow, SubmissionRow, SubmissionState};

impl Distiller<'_> {
    /// Asks what is left of a handful, then imports it.
    pub(super) async fn go_on_asking(
        &mut self,
        submission: &SubmissionRow,
        plan: &PlanRow,
        teacher: &dyn Teacher,
    ) -> Result<(), DistillError> {
        let rows = self.tools.ledger.requests_of(submission.id)?;
        if submission.state == SubmissionState::Downloaded {
            let known = lost(&rows);
            return self.import_handful(submission, plan, teacher, known);
        }
        let mut answered = std::collections::HashSet::new();
        for line in self.tools.raw.lines(&submission.label)? {
            if let Ok(read) = teacher.read_line(&line) {
                answered.insert(read.custom_id);
            }
        }
        let open: Vec<&RequestRow> = rows.iter().filter(|r| !answered.contains(&r.request.custom_id)).collect();
        // Sent by a process that died before the reply came.
        let mut known: HashMap<String, (Reject, Billed)> = open
            .iter()
            .filter(|r| r.sent.is_some())
            .map(|r| (r.request.custom_id.clone(), (Reject::Lost, Billed::Perhaps)))
            .collect();
        let mut queue: VecDeque<(&RequestRow, Outgoing)> = VecDeque::new();
        for row in open.iter().filter(|r| r.sent.is_none()) {
            let id = &row.request.custom_id;
            let canceled = submission.cancel != crate::workspace::Cancel::No || plan.void.is_some();
            match self.body(row, plan).filter(|_| !canceled) {
                Some(out) => queue.push_back((*row, out)),
                None => {
                    known.insert(id.clone(), (Reject::Canceled, Billed::No));
                }
            }
        }
        let total = rows.len();
        let Some(failed) = self.ask_all(submission, teacher, queue, answered.len(), total).await? else { return Ok(()) };
        known.extend(failed);
        self.import_handful(submission, plan, teacher, known)
    }

    /// The approved body of a request; `None` if the question is no longer the one that was approved.
    fn body(&self, row: &RequestRow, plan: &PlanRow) -> Option<Outgoing> {
        let asking = self.tools.asking;
        let mine = asking.teacher().provider() == plan.provider && asking.teacher().model() == plan.model;
        let question = asking.question(&row.request.pair).filter(|q| mine && asking.key(q) == row.request.cache_key)?;
        let out = asking.replay(&question, &row.request);
        (crate::domain::Digest::of(out.body.to_string()) == row.request.body).then_some(out)
    }

    /// Asks a queue with bounded concurrency. `None`: stopped; the rest is asked when the run goes on. Otherwise what is
    /// known of requests without an answer.
    async fn ask_all(
        &mut self,
        submission: &SubmissionRow,
        teacher: &dyn Teacher,
        mut queue: VecDeque<(&RequestRow, Outgoing)>,
        mut done: usize,
        total: usize,
    ) -> Result<Option<HashMap<String, (Reject, Billed)>>, DistillError> {
        let most = teacher.limits().concurrency.max(1);
        let mut failed = HashMap::new();
        let mut under_way = FuturesUnordered::new();
        let mut stopping = false;
        loop {
            while !stopping && under_way.len() < most {
                stopping = self.tools.conduct.gate() == Gate::Stop || self.is_cancelled(submission)?;
                let Some((row, out)) = queue.pop_front().filter(|_| !stopping) else { break };
                self.tools.ledger.mark_sent(&out.custom_id, self.tools.clock.now())?;
                under_way.push(async move {
                    let reply = teacher.ask(&out).await;
                    (row, out, reply)
                });
            }
            let Some((row, out, reply)) = under_way.next().await else { break };
            match reply {
                Ok(line) => {
                    self.tools.raw.append_line(&submission.label, &line)?;
                    done += 1;
                    self.looks.remove(&0);
                    self.tools.ledger.set_watched(submission.id, Some(done), None, self.tools.clock.now())?;
                    self.tools.conduct.progress(
                        done as u64,
                        total as u64,
                        "requests",
                        &format!("{} one by one", teacher.provider()),
                    );
                }
                Err(SubmitError::Refused { why, kind: Refusal::Busy { after } }) => {
                    // Nothing was taken: the same request may go out again.
                    self.tools.ledger.unmark_sent(&out.custom_id)?;
                    let wait = self.hold_off(0, &why, after);
                    queue.push_back((row, out));
                    if let Err(error) = wait {
                        drop(under_way);
                        return Err(error);
                    }
                    self.tools.pace.sleep(after.unwrap_or(teacher.limits().poll)).await;
                }
                Err(SubmitError::Refused { why, kind: Refusal::Final }) => {
                    self.tools.ledger.unmark_sent(&out.custom_id)?;
                    return Err(DistillError::Refused { why });
                }
                Err(SubmitError::Refused { why, kind: Refusal::TooLarge }) => {
                    let reject = Reject::Failed { why: one_line(&why, 300), kind: ErrorKind::Request };
                    failed.insert(out.custom_id, (reject, Billed::No));
                }
                Err(SubmitError::Unclear(why)) => {
                    self.tools
                        .conduct
                        .warn(format!("an answer was lost on the way ({why}); it may be billed, and is asked again"));
                    failed.insert(out.custom_id, (Reject::Lost, Billed::Perhaps));
                }
            }
        }
        let whole = queue.is_empty() || self.is_cancelled(submission)?;
        for (_, out) in queue.iter().filter(|_| whole) {
            failed.insert(out.custom_id.clone(), (Reject::Canceled, Billed::No));
        }
        Ok(whole.then_some(failed))
    }

    fn is_cancelled(&self, submission: &SubmissionRow) -> Result<bool, DistillError> {
        Ok(self.tools.ledger.submission(submission.id)?.is_some_and(|s| s.cancel != crate::workspace::Cancel::No))
    }

    fn import_handful(
        &mut self,
        submission: &SubmissionRow,
        plan: &PlanRow,
        teacher: &dyn Teacher,
        known: HashMap<String, (Reject, Billed)>,
    ) -> Result<(), DistillError> {
        let mut writer = self.tools.raw.begin(&submission.label)?;
        for line in self.tools.raw.lines(&submission.label)? {
            use std::io::Write as _;
            let dir = std::path::Path::new(".stratos/raw");
            let failed = |e| crate::workspace::WorkspaceError::io("write", dir, e);
            writer.write_all(&line).map_err(failed)?;
            writer.write_all(b"\n").map_err(failed)?;
        }
        let raw = writer.finish()?;
        self.tools.ledger.put_raw(submission.id, &raw, self.tools.clock.now())?;
        self.import(submission, plan, teacher, &Absent::Known(known))
    }
}

fn lost(rows: &[RequestRow]) -> HashMap<String, (Reject, Billed)> {
    let sent = rows.iter().filter(|r| r.sent.is_some());
    sent.map(|r| (r.request.custom_id.clone(), (Reject::Lost, Billed::Perhaps))).collect()
}
