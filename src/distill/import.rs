//! Import: stored result bytes become answers. Lines are joined to requests by id, never by position; all of a
//! submission is recorded in one step, or nothing.
//!
//! A file is read in blocks, so that memory stays flat whatever its size; each block is examined on all cores.

use std::collections::HashMap;
use std::path::Path;

use super::DistillError;
use super::results::{Line, Lines, Reading};
use crate::domain::{ErrorKind, Recipe, Reject, UnixMillis};
use crate::teacher::Teacher;
use crate::workspace::{
    Answered, Billed, Importer, Kept, Ledger, PlanRow, RawStore, RequestRow, Sql, SubmissionRow, SubmissionState, WorkspaceError,
};

/// Remarks kept of one import; the counts are over all.
const REMARKS: usize = 20;

/// What to make of requests that have no line.
#[derive(Debug, Clone)]
pub(super) enum Absent {
    /// The file was cut: record nothing.
    Incomplete,
    /// The provider leaves them out: it gave the batch up, or was told to. Fewer lines than it says it answered is still
    /// a file that was cut.
    LeftOut { canceled: bool, answered: usize },
    /// What is known of each, by custom id; the others are missing.
    Known(HashMap<String, (Reject, Billed)>),
    /// The operator says that this is all there is.
    Missing,
}

/// How an import ended.
#[derive(Debug)]
pub(super) enum Verdict {
    Imported(Summary),
    /// Fewer answers than requests; nothing was recorded.
    Incomplete {
        got: usize,
        wanted: usize,
        /// Lines that could not be read.
        unreadable: usize,
    },
    /// Most ids were never asked: it is somebody else's batch.
    NotOurs {
        unknown: usize,
    },
}

/// What an import brought.
#[derive(Debug, Default)]
pub struct Summary {
    pub kept: usize,
    pub rejected: usize,
    pub remarks: Vec<String>,
    /// Answers that failed at the provider, the first reason, and its kind.
    failed: usize,
    failure: Option<(String, ErrorKind)>,
}

impl Summary {
    /// Nothing but failures: sending more would fail too.
    pub(super) fn trouble(&self) -> Result<(), DistillError> {
        let whole = self.kept == 0 && self.failed == self.rejected && self.failed > 0;
        match &self.failure {
            Some((why, kind)) if whole && (*kind != ErrorKind::Server || self.failed >= 5) => {
                Err(DistillError::AllFailed { failed: self.failed, why: why.clone() })
            }
            _ => Ok(()),
        }
    }

    fn remark(&mut self, text: String) {
        if self.remarks.len() < REMARKS {
            self.remarks.push(text);
        }
    }

    fn count(&mut self, result: &Result<Kept, Reject>) {
        match result {
            Ok(_) => self.kept += 1,
            Err(reject) => {
                self.rejected += 1;
                if let Reject::Failed { why, kind } = reject {
                    self.failed += 1;
                    self.failure.get_or_insert((why.clone(), *kind));
                }
            }
        }
    }
}

/// What an import has taken so far.
struct Tally<'a> {
    rows: &'a [RequestRow],
    seen: Vec<bool>,
    unknown: usize,
    unreadable: usize,
    summary: Summary,
}

impl Tally<'_> {
    fn take(&mut self, importer: &mut Importer<'_>, number: usize, line: Line) -> Sql<()> {
        match line {
            Line::Answer(i, _) if self.seen[i] => {
                let id = &self.rows[i].request.custom_id;
                self.summary.remark(format!("result line {number}: a second answer to {id}; the first one counts"));
                Ok(())
            }
            Line::Answer(i, answer) => {
                self.seen[i] = true;
                if importer.put(&answer)? {
                    self.summary.count(&answer.result);
                }
                Ok(())
            }
            Line::Unknown(id) => {
                self.unknown += 1;
                self.summary.remark(format!("result line {number}: id {id} was never asked in this batch; its bytes are kept"));
                Ok(())
            }
            Line::Unreadable(why) => {
                self.unreadable += 1;
                self.summary.remark(format!("result line {number}: {why}; its bytes are kept"));
                Ok(())
            }
        }
    }

    /// Ends what has no line. False: the file is incomplete, or most of it is not ours; nothing is to be recorded.
    fn end(&mut self, importer: &mut Importer<'_>, absent: &Absent) -> Sql<bool> {
        let got = self.seen.iter().filter(|s| **s).count();
        if matches!(absent, Absent::LeftOut { answered, .. } if got < *answered) {
            return Ok(false);
        }
        for i in (0..self.rows.len()).filter(|i| !self.seen[*i]) {
            let row = &self.rows[i];
            let (reject, billed) = match absent {
                Absent::Incomplete => return Ok(false),
                Absent::LeftOut { canceled: true, .. } => (Reject::Canceled, Billed::No),
                Absent::LeftOut { canceled: false, .. } => (Reject::Expired, Billed::No),
                Absent::Missing => (Reject::Missing, Billed::Perhaps),
                Absent::Known(known) => known.get(&row.request.custom_id).cloned().unwrap_or((Reject::Missing, Billed::No)),
            };
            let answer = Answered::without(row, reject, billed);
            if importer.put(&answer)? {
                self.summary.count(&answer.result);
            }
        }
        Ok(!self.is_foreign())
    }

    fn is_foreign(&self) -> bool {
        self.unknown > self.rows.len() / 2
    }
}

/// Blocks examined ahead of the one that is being stored.
const AHEAD: usize = 2;

/// Imports a result file of one submission.
#[expect(clippy::too_many_arguments, reason = "one call from settle, one from the command line; each part is its own noun")]
pub(super) fn import_results(
    ledger: &mut Ledger,
    recipe: &Recipe,
    teacher: &dyn Teacher,
    submission: &SubmissionRow,
    plan: &PlanRow,
    path: &Path,
    absent: &Absent,
    at: UnixMillis,
) -> Result<Verdict, DistillError> {
    let rows = ledger.requests_of(submission.id)?;
    let reading = Reading::new(&rows, teacher, recipe, plan);
    let mut lines = Lines::open(path)?;
    let mut tally = Tally { rows: &rows, seen: vec![false; rows.len()], unknown: 0, unreadable: 0, summary: Summary::default() };
    let mut failed = None;
    let complete = std::thread::scope(|scope| {
        let (send, blocks) = std::sync::mpsc::sync_channel(AHEAD);
        // Examined on another thread; a storer that gave up hangs up, and this one ends with it.
        scope.spawn(move || {
            loop {
                let block = reading.block(&mut lines);
                let last = block.as_ref().map_or(true, Vec::is_empty);
                if send.send(block).is_err() || last {
                    break;
                }
            }
        });
        ledger.import(submission.id, at, |importer| {
            for block in blocks {
                match block {
                    Ok(block) => block.into_iter().try_for_each(|(number, line)| tally.take(importer, number, line))?,
                    Err(e) => {
                        failed = Some(e);
                        return Ok(false);
                    }
                }
            }
            tally.end(importer, absent)
        })
    })?;
    if let Some(e) = failed {
        return Err(WorkspaceError::io("read", path, e).into());
    }
    let got = tally.seen.iter().filter(|s| **s).count();
    Ok(match complete {
        true => Verdict::Imported(tally.summary),
        false if tally.is_foreign() => Verdict::NotOurs { unknown: tally.unknown },
        false => Verdict::Incomplete { got, wanted: rows.len(), unreadable: tally.unreadable },
    })
}

/// Finds the submission that a file of results belongs to: the one that asked its first known id.
pub fn scan(ledger: &Ledger, teacher: &dyn Teacher, path: &Path) -> Result<Option<i64>, DistillError> {
    let mut lines = Lines::open(path)?;
    let block = lines.block().map_err(|e| WorkspaceError::io("read", path, e))?;
    for (_, line) in block {
        if let Ok(read) = teacher.read_line(&line)
            && let Some(id) = ledger.submission_of_request(&read.custom_id)?
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Imports results that were fetched by hand: the bytes are copied into the workspace first. With `partial`, requests
/// without a line count as missing; without it, a file that lacks some is refused and nothing is recorded.
pub fn import_file(
    ledger: &mut Ledger,
    raw: &RawStore,
    recipe: &Recipe,
    teacher: &dyn Teacher,
    path: &Path,
    partial: bool,
    at: UnixMillis,
) -> Result<Summary, DistillError> {
    let refused = |why: String| DistillError::File { file: path.display().to_string(), why };
    let id = scan(ledger, teacher, path)?;
    let submission = match id {
        Some(id) => ledger.submission(id)?,
        None => None,
    };
    let Some(submission) = submission else {
        let provider = teacher.provider();
        return Err(refused(format!(
            "none of its first lines is an answer of {provider} to a request of this workspace; nothing was stored"
        )));
    };
    let plan = ledger.plan(&submission.plan)?.ok_or_else(|| refused("its plan is gone from the ledger".into()))?;
    let stored = raw.copy(&submission.label, path)?;
    let done = submission.state == SubmissionState::Imported;
    ledger.put_raw(submission.id, &stored, at)?;
    let absent = if partial || done { Absent::Missing } else { Absent::Incomplete };
    match import_results(ledger, recipe, teacher, &submission, &plan, &raw.path(&stored.name), &absent, at)? {
        Verdict::Imported(summary) => Ok(summary),
        Verdict::Incomplete { got, wanted, .. } => Err(refused(format!(
            "it answers {got} of the {wanted} requests of submission {}; its bytes are kept and nothing was imported. If this is all there \
             is: stratos distill import FILE --partial",
            submission.id
        ))),
        Verdict::NotOurs { unknown } => Err(refused(format!("{unknown} of its ids were never asked; nothing was imported"))),
    }
}
