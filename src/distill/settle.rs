//! Settling: every submission that is not finished is brought on by a step. What nobody knows is looked for in the
//! provider's list; what is over is downloaded, stored and imported; what was asked to be cancelled is.

use std::time::Duration;

use super::DistillError;
use super::import::{Absent, Verdict, import_results};
use super::run::{Distiller, Look};
use crate::domain::{Reject, UnixMillis};
use crate::teacher::{BatchState, Batches, RemoteBatch, Teacher, TeacherError, Trouble};
use crate::workspace::{Answered, Billed, Cancel, Ledger, PlanRow, SubmissionRow, SubmissionState};

/// Clocks of two machines differ by less than this.
const SKEW_MS: i64 = 10 * 60 * 1000;

/// Reads that fail this often in a row, at growing distances (five minutes and more in all), stop the run.
const MOST_FAILURES: u32 = 9;

/// A batch is not yet known everywhere right after it was made; after this many looks it is gone.
const MOST_MISSING: u32 = 12;

/// Fetching costs nothing: a download that was cut is fetched again this often.
const MOST_CUTS: usize = 3;

/// Longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);

impl Distiller<'_> {
    /// Brings every open submission on by a step, of whatever plan: what was paid for is never left behind.
    pub(super) async fn tend(&mut self) -> Result<(), DistillError> {
        for submission in self.tools.ledger.open_submissions()? {
            let Some(plan) = self.tools.ledger.plan(&submission.plan)? else { continue };
            let teacher = match self.teacher_of(&plan) {
                Ok(teacher) => teacher,
                Err(error) => {
                    if self.stuck.insert(submission.id) {
                        let (id, provider) = (submission.id, &plan.provider);
                        self.tools.conduct.warn(format!("submission {id} at {provider} cannot be brought home now: {error}"));
                    }
                    continue;
                }
            };
            if self.looks.get(&submission.id).is_some_and(|l| self.tools.clock.now() < l.not_before) {
                continue;
            }
            if teacher.batches().is_none() {
                self.go_on_asking(&submission, &plan, teacher.as_ref()).await?;
                continue;
            }
            match submission.state {
                SubmissionState::Submitting | SubmissionState::Unknown => {
                    self.reconcile(&submission, &plan, teacher.as_ref()).await?;
                }
                SubmissionState::Submitted if submission.remote.is_none() => {
                    self.reconcile(&submission, &plan, teacher.as_ref()).await?;
                }
                SubmissionState::Submitted => self.look(&submission, &plan, teacher.as_ref()).await?,
                SubmissionState::Downloaded => self.import(&submission, &plan, teacher.as_ref(), &Absent::Incomplete)?,
                SubmissionState::NotSubmitted | SubmissionState::Imported => {}
            }
        }
        Ok(())
    }

    /// A read failed and may be tried again: says so once, waits longer each time, gives up after many.
    pub(super) fn hold_off(&mut self, submission: i64, why: &str, after: Option<Duration>) -> Result<(), DistillError> {
        let look = self.looks.entry(submission).or_default();
        look.failures += 1;
        if look.failures >= MOST_FAILURES {
            return Err(DistillError::Unreachable { tries: look.failures as usize, why: why.to_owned() });
        }
        let poll = self.tools.asking.teacher().limits().poll;
        let doubled = poll.min(Duration::from_secs(1)) * 2u32.pow(look.failures);
        let wait = after.unwrap_or(doubled.min(LONGEST));
        look.not_before = UnixMillis(self.tools.clock.now().0 + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        if look.failures == 1 {
            self.tools.conduct.warn(format!("{why}. Trying again; what is at the provider goes on there"));
        }
        Ok(())
    }

    fn read_failed(&mut self, submission: &SubmissionRow, error: TeacherError) -> Result<(), DistillError> {
        match error.trouble {
            Trouble::Passing { after } => self.hold_off(submission.id, &error.why, after),
            Trouble::Missing => {
                let look = self.looks.entry(submission.id).or_default();
                look.missing += 1;
                if look.missing < MOST_MISSING {
                    let wait = self.tools.asking.teacher().limits().poll.min(LONGEST);
                    look.not_before = UnixMillis(self.tools.clock.now().0 + i64::try_from(wait.as_millis()).unwrap_or(0));
                    return Ok(());
                }
                let remote = submission.remote.clone().unwrap_or_default();
                Err(DistillError::Gone { submission: submission.id, remote, why: error.why })
            }
            Trouble::Final => Err(error.into()),
        }
    }

    /// A submission that nobody knows about: looked for in the provider's list, among batches that are not ours yet.
    async fn reconcile(&mut self, submission: &SubmissionRow, plan: &PlanRow, teacher: &dyn Teacher) -> Result<(), DistillError> {
        let Some(batches) = teacher.batches() else { return Ok(()) };
        let since = UnixMillis(submission.created.0 - SKEW_MS);
        let listed = match batches.list(since).await {
            Ok(listed) => listed,
            Err(error) => return self.read_failed(submission, error),
        };
        self.looks.remove(&submission.id);
        let known: Vec<String> = self.tools.ledger.submissions()?.into_iter().filter_map(|s| s.remote).collect();
        let candidates: Vec<RemoteBatch> =
            listed.into_iter().filter(|b| !known.contains(&b.id) && could_be(b, submission)).collect();
        let now = self.tools.clock.now();
        match candidates.as_slice() {
            [batch] => {
                let id = submission.id;
                self.tools.ledger.set_submission(id, SubmissionState::Submitted, Some(&batch.id), None, now)?;
                self.tools.conduct.warn(format!("submission {id} was found at the provider as {} and adopted", batch.id));
                Ok(())
            }
            [] if teacher.limits().settle.is_zero() => {
                let why = Some("it never reached the provider");
                self.tools.ledger.set_submission(submission.id, SubmissionState::NotSubmitted, None, why, now)?;
                Ok(())
            }
            [] if submission.state == SubmissionState::Submitting => {
                let why = "the program ended before the provider answered";
                self.tools.ledger.set_submission(submission.id, SubmissionState::Unknown, None, Some(why), now)?;
                Ok(self.tools.ledger.set_watched(submission.id, None, None, now)?)
            }
            // Counted from when the call ended without a clear answer: an upload may have taken long.
            [] if now.seconds_since(unclear_since(submission)) < teacher.limits().settle.as_secs_f64() => Ok(()),
            [] => {
                give_up(self.tools.ledger, submission, now)?;
                self.tools.conduct.warn(format!(
                    "submission {} never appeared at the provider; its requests are planned anew and want a new approval (plan {} is void)",
                    submission.id,
                    plan.digest.short()
                ));
                Ok(())
            }
            several => Err(DistillError::Ambiguous {
                submission: submission.id,
                requests: submission.requests,
                candidates: several.len(),
                ids: several.iter().map(|b| b.id.as_str()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// One look at a batch; downloads and imports it when it is over.
    async fn look(&mut self, submission: &SubmissionRow, plan: &PlanRow, teacher: &dyn Teacher) -> Result<(), DistillError> {
        let (Some(batches), Some(remote)) = (teacher.batches(), submission.remote.as_deref()) else { return Ok(()) };
        let mut batch = match batches.watch(remote).await {
            Ok(batch) => batch,
            Err(error) => return self.read_failed(submission, error),
        };
        if batch.state == BatchState::InProgress && submission.cancel == Cancel::Asked {
            self.cancel(submission, batches, remote).await?;
            batch = match batches.watch(remote).await {
                Ok(batch) => batch,
                Err(error) => return self.read_failed(submission, error),
            };
        }
        let now = self.tools.clock.now();
        let look = self.looks.entry(submission.id).or_default();
        *look = Look { cuts: look.cuts, fetches: look.fetches, ..Look::default() };
        self.tools.ledger.set_watched(submission.id, batch.answered, batch.expires, now)?;
        self.tell_progress(submission, &batch)?;
        match batch.state {
            BatchState::InProgress | BatchState::Canceling => Ok(()),
            BatchState::Failed => self.failed(submission, &batch),
            BatchState::Archived => {
                let why = batch.why.unwrap_or_else(|| "its results are archived".into());
                Err(DistillError::Gone { submission: submission.id, remote: batch.id, why })
            }
            BatchState::Ended => self.bring_home(submission, plan, teacher, &batch).await,
        }
    }

    /// Passes a cancellation on. A provider that will not cancel any more is about to have the results.
    async fn cancel(&mut self, submission: &SubmissionRow, batches: &dyn Batches, remote: &str) -> Result<(), DistillError> {
        let told = match batches.cancel(remote).await {
            Ok(()) => "the provider was told to cancel; what it answered is kept".to_owned(),
            Err(error) if error.trouble == Trouble::Final => {
                format!("it could not be cancelled ({error}); its results are brought home")
            }
            Err(error) => return self.read_failed(submission, error),
        };
        self.tools.ledger.set_cancel(submission.id, Cancel::Told)?;
        self.tools.conduct.warn(format!("batch {remote}: {told}"));
        Ok(())
    }

    /// Progress over all open batches, and honest words where a provider gives none.
    fn tell_progress(&mut self, submission: &SubmissionRow, batch: &RemoteBatch) -> Result<(), DistillError> {
        let open = self.tools.ledger.open_submissions()?;
        let total: usize = open.iter().map(|s| s.requests).sum();
        let answered: usize = open.iter().map(|s| s.answered).sum();
        let age = self.tools.clock.now().seconds_since(submission.created);
        let told = if batch.answered.is_none() { ", no progress is told before the end" } else { "" };
        let message = format!("{} batches open; {} for {}{told}", open.len(), batch.id, words_of(age));
        self.tools.conduct.progress(answered as u64, total as u64, "requests", &message);
        Ok(())
    }

    /// The provider gave up the batch as a whole: nothing was answered or billed.
    fn failed(&mut self, submission: &SubmissionRow, batch: &RemoteBatch) -> Result<(), DistillError> {
        let why = batch.why.clone().unwrap_or_else(|| "no reason given".into());
        let now = self.tools.clock.now();
        self.tools.ledger.set_submission(submission.id, SubmissionState::NotSubmitted, None, Some(&why), now)?;
        if why.contains("token_limit_exceeded") && submission.requests > 1 {
            self.chunk_cap = submission.requests.div_ceil(2);
            let cap = self.chunk_cap;
            self.tools.conduct.warn(format!("the provider's queue is full ({why}); sending {cap} requests at a time"));
            return Ok(());
        }
        Err(DistillError::Refused { why })
    }

    async fn bring_home(
        &mut self,
        submission: &SubmissionRow,
        plan: &PlanRow,
        teacher: &dyn Teacher,
        batch: &RemoteBatch,
    ) -> Result<(), DistillError> {
        let Some(batches) = teacher.batches() else { return Ok(()) };
        let mut writer = self.tools.raw.begin(&submission.label)?;
        if let Err(error) = batches.fetch(batch, &mut writer).await {
            // Looks go well meanwhile, so downloads that fail are counted on their own.
            let look = self.looks.entry(submission.id).or_default();
            look.fetches += 1;
            let (tries, why) = (look.fetches as usize, error.why.clone());
            if look.fetches < MOST_FAILURES {
                return self.read_failed(submission, error);
            }
            return Err(match error.trouble {
                Trouble::Missing => DistillError::Gone { submission: submission.id, remote: batch.id.clone(), why },
                _ => DistillError::Unreachable { tries, why },
            });
        }
        let (raw, now) = (writer.finish()?, self.tools.clock.now());
        self.tools.ledger.put_raw(submission.id, &raw, now)?;
        self.tools.ledger.set_submission(submission.id, SubmissionState::Downloaded, None, None, now)?;
        let absent = if batch.short {
            let answered = if batch.results.is_empty() { 0 } else { batch.answered.unwrap_or(0) };
            Absent::LeftOut { canceled: submission.cancel != Cancel::No, answered }
        } else {
            Absent::Incomplete
        };
        self.import(submission, plan, teacher, &absent)
    }

    pub(super) fn import(
        &mut self,
        submission: &SubmissionRow,
        plan: &PlanRow,
        teacher: &dyn Teacher,
        absent: &Absent,
    ) -> Result<(), DistillError> {
        let now = self.tools.clock.now();
        let Some(raw) = self.tools.ledger.raw_of(submission.id)? else {
            return Ok(self.tools.ledger.set_submission(submission.id, SubmissionState::Submitted, None, None, now)?);
        };
        let remote = submission.remote.clone().unwrap_or_else(|| submission.label.clone());
        let path = self.tools.raw.path(&raw.name);
        let verdict = import_results(self.tools.ledger, self.tools.recipe, teacher, submission, plan, &path, absent, now)?;
        match verdict {
            Verdict::Imported(summary) => {
                for remark in &summary.remarks {
                    self.tools.conduct.warn(format!("batch {remote}: {remark}"));
                }
                self.looks.remove(&submission.id);
                summary.trouble()
            }
            Verdict::NotOurs { unknown } => {
                let why = format!("not ours: {remote}, {unknown} of its ids were never asked");
                self.tools.ledger.disown(submission.id, &why)?;
                self.tools.conduct.warn(format!("submission {}: {why}", submission.id));
                Ok(())
            }
            Verdict::Incomplete { got, wanted, unreadable } => {
                let look = self.looks.entry(submission.id).or_default();
                look.cuts += 1;
                let times = look.cuts;
                self.tools.ledger.set_submission(submission.id, SubmissionState::Submitted, None, None, now)?;
                if times >= MOST_CUTS && wanted - got <= unreadable {
                    // Not cut, but spoilt: what cannot be read stays unread however often it is fetched.
                    self.tools.ledger.set_submission(submission.id, SubmissionState::Downloaded, None, None, now)?;
                    return self.import(submission, plan, teacher, &Absent::Missing);
                }
                if times >= MOST_CUTS {
                    return Err(DistillError::Incomplete { remote, got, wanted, times });
                }
                self.tools.conduct.warn(format!("batch {remote} brought {got} of {wanted} answers; fetching it again"));
                Ok(())
            }
        }
    }
}

/// Whether a listed batch could be a submission: by label where the provider keeps one, else by count and time.
fn could_be(batch: &RemoteBatch, submission: &SubmissionRow) -> bool {
    if submission.why.as_deref().is_some_and(|why| why.contains(&batch.id)) {
        return false;
    }
    if let Some(label) = batch.label.as_deref().filter(|l| !l.is_empty()) {
        return label == submission.label;
    }
    let at = batch.created.unwrap_or(submission.created).0;
    let in_window = at >= submission.created.0 - SKEW_MS && at <= unclear_since(submission).0 + SKEW_MS;
    batch.total == Some(submission.requests) && in_window
}

/// When the call for a submission ended without a clear answer.
fn unclear_since(submission: &SubmissionRow) -> UnixMillis {
    submission.watched.map_or(submission.created, |at| at.max(submission.created))
}

fn words_of(seconds: f64) -> String {
    let minutes = (seconds / 60.0) as u64;
    match minutes {
        0 => format!("{seconds:.0} s"),
        1..=119 => format!("{minutes} min"),
        _ => format!("{} h", minutes / 60),
    }
}

/// Gives a submission up: nothing of it will ever be brought home. Its requests count as lost (a later attempt has
/// another id, should the batch appear after all), and the plan wants a new approval. A batch that the provider once
/// named may be on the bill; one that was never found there is not.
pub fn give_up(ledger: &mut Ledger, submission: &SubmissionRow, at: UnixMillis) -> Result<(), DistillError> {
    let requests = ledger.requests_of(submission.id)?;
    let billed = if submission.remote.is_some() { Billed::Perhaps } else { Billed::No };
    ledger.import(submission.id, at, |importer| {
        requests.iter().try_for_each(|row| importer.put(&Answered::without(row, Reject::Lost, billed)).map(|_| ())).map(|()| true)
    })?;
    let why = format!("submission {} was given up", submission.id);
    if submission.remote.is_none() {
        ledger.set_submission(submission.id, SubmissionState::NotSubmitted, None, Some(&why), at)?;
    }
    Ok(ledger.void_plan(&submission.plan, &why)?)
}
