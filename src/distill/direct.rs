//! Requests asked one by one, for providers without a batch API: bounded concurrency, each request written down before
//! it is sent, each reply on the disk before the next one is asked for.
//!
//! What was under way when the process died has no batch to fetch it from: it counts as lost, perhaps billed, and is
//! asked again under another attempt.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::DistillError;
use super::import::Absent;
use super::run::{Distiller, PROVIDER, SLICE};
use crate::domain::{ErrorKind, Gate, Reject, one_line};
use crate::teacher::{Outgoing, Refusal, SubmitError, Teacher};
use crate::workspace::{Billed, PlanRow, RequestRow, SubmissionRow, SubmissionState};

/// What is known of requests without an answer, by custom id.
type Known = HashMap<String, (Reject, Billed)>;

/// A handful on its way.
struct Round<'a> {
    queue: VecDeque<(&'a RequestRow, Outgoing)>,
    known: Known,
    done: usize,
    total: usize,
    /// The server takes nothing for a while.
    busy: Option<(String, Option<Duration>)>,
    /// Nothing more is sent.
    ended: Option<DistillError>,
}

impl Round<'_> {
    fn goes_on(&self) -> bool {
        self.busy.is_none() && self.ended.is_none()
    }
}

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
        let mut known: Known = open
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
    /// known of requests without an answer. Whatever ends it, replies under way are waited for and stored first.
    async fn ask_all(
        &mut self,
        submission: &SubmissionRow,
        teacher: &dyn Teacher,
        queue: VecDeque<(&RequestRow, Outgoing)>,
        done: usize,
        total: usize,
    ) -> Result<Option<Known>, DistillError> {
        let most = teacher.limits().concurrency.max(1);
        let mut round = Round { queue, known: Known::new(), done, total, busy: None, ended: None };
        let mut under_way = FuturesUnordered::new();
        let mut stopping = false;
        loop {
            while !stopping && round.goes_on() && under_way.len() < most && !round.queue.is_empty() {
                stopping = self.tools.conduct.gate() == Gate::Stop || self.is_cancelled(submission)?;
                if stopping {
                    break;
                }
                let Some((row, out)) = round.queue.pop_front() else { break };
                self.tools.ledger.mark_sent(&out.custom_id, self.tools.clock.now())?;
                under_way.push(async move {
                    let reply = teacher.ask(&out).await;
                    (row, out, reply)
                });
            }
            if let Some((row, out, reply)) = under_way.next().await {
                self.hear(submission, teacher, &mut round, row, out, reply)?;
                continue;
            }
            if let Some(error) = round.ended {
                return Err(error);
            }
            let Some((why, after)) = round.busy.take().filter(|_| !stopping) else { break };
            self.hold_off(PROVIDER, &why, after)?;
            stopping = self.hold().await == Gate::Stop;
        }
        let whole = round.queue.is_empty() || self.is_cancelled(submission)?;
        for (_, out) in round.queue.iter().filter(|_| whole) {
            round.known.insert(out.custom_id.clone(), (Reject::Canceled, Billed::No));
        }
        Ok(whole.then_some(round.known))
    }

    /// Takes one reply in.
    fn hear<'r>(
        &mut self,
        submission: &SubmissionRow,
        teacher: &dyn Teacher,
        round: &mut Round<'r>,
        row: &'r RequestRow,
        out: Outgoing,
        reply: Result<Vec<u8>, SubmitError>,
    ) -> Result<(), DistillError> {
        match reply {
            Ok(line) => {
                self.tools.raw.append_line(&submission.label, &line)?;
                round.done += 1;
                self.looks.remove(&PROVIDER);
                self.tools.ledger.set_watched(submission.id, Some(round.done), None, self.tools.clock.now())?;
                let message = format!("{} one by one", teacher.provider());
                self.tools.conduct.progress(round.done as u64, round.total as u64, "requests", &message);
            }
            Err(SubmitError::Refused { why, kind: Refusal::Busy { after } }) => {
                // Nothing was taken: the same request may go out again.
                self.tools.ledger.unmark_sent(&out.custom_id)?;
                round.queue.push_back((row, out));
                round.busy = Some((why, after));
            }
            Err(SubmitError::Refused { why, kind: Refusal::Final }) => {
                self.tools.ledger.unmark_sent(&out.custom_id)?;
                round.queue.push_back((row, out));
                round.ended = Some(DistillError::Refused { why });
            }
            Err(SubmitError::Refused { why, kind: Refusal::TooLarge | Refusal::Request }) => {
                let reject = Reject::Failed { why: one_line(&why, 300), kind: ErrorKind::Request };
                round.known.insert(out.custom_id, (reject, Billed::No));
            }
            Err(SubmitError::Unclear(why)) => {
                let told = format!("an answer was lost on the way ({why}); it may be billed, and is asked again");
                self.tools.conduct.warn(told);
                round.known.insert(out.custom_id, (Reject::Lost, Billed::Perhaps));
            }
        }
        Ok(())
    }

    /// Waits, in slices, until the server may be asked again.
    async fn hold(&mut self) -> Gate {
        let until = self.looks.get(&PROVIDER).map_or_else(|| self.tools.clock.now(), |look| look.not_before);
        while self.tools.clock.now() < until {
            self.tools.pace.sleep(SLICE).await;
            if self.tools.conduct.gate() == Gate::Stop {
                return Gate::Stop;
            }
        }
        Gate::Continue
    }

    fn is_cancelled(&self, submission: &SubmissionRow) -> Result<bool, DistillError> {
        Ok(self.tools.ledger.submission(submission.id)?.is_some_and(|s| s.cancel != crate::workspace::Cancel::No))
    }

    fn import_handful(
        &mut self,
        submission: &SubmissionRow,
        plan: &PlanRow,
        teacher: &dyn Teacher,
        known: Known,
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
        let now = self.tools.clock.now();
        self.tools.ledger.put_raw(submission.id, &raw, now)?;
        self.tools.ledger.set_submission(submission.id, SubmissionState::Downloaded, None, None, now)?;
        self.import(submission, plan, teacher, &Absent::Known(known))
    }
}

fn lost(rows: &[RequestRow]) -> Known {
    let sent = rows.iter().filter(|r| r.sent.is_some());
    sent.map(|r| (r.request.custom_id.clone(), (Reject::Lost, Billed::Perhaps))).collect()
}
