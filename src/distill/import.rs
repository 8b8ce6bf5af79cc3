//! Import: stored result bytes become answers. Lines are joined to requests by id, never by position; all of a
//! submission is recorded in one step, or nothing.
//!
//! A file is read in blocks, so that memory stays flat whatever its size; each block is examined on all cores.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rayon::prelude::*;

use super::DistillError;
use super::asking::Kind;
use crate::domain::{Article, ErrorKind, Form, PairKey, Prism, Recipe, Reject, SourceType, UnixMillis, examine, one_line};
use crate::teacher::{Outcome, ResultLine, Stop, Teacher};
use crate::workspace::{
    Answered, Billed, Kept, Ledger, MAX_LINE_BYTES, PlanRow, RawStore, RequestRow, SubmissionRow, WorkspaceError,
};

/// Lines examined together; large enough to keep the cores busy, small enough to be nothing in memory.
const BLOCK: usize = 1024;

/// Remarks kept of one import; the counts are over all.
const REMARKS: usize = 20;

/// What to make of requests that have no line.
#[derive(Debug, Clone)]
pub(super) enum Absent {
    /// The file was cut: record nothing.
    Incomplete,
    Canceled,
    Expired,
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

/// One line, read and examined.
enum Read1 {
    Answer(usize, Box<Answered>),
    Unknown(String),
    Unreadable(String),
}

/// Imports a result file of one submission.
#[allow(clippy::too_many_arguments, reason = "one call from settle, one from the command line; each part is its own noun")]
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
    let index: HashMap<&str, usize> = rows.iter().enumerate().map(|(i, r)| (r.request.custom_id.as_str(), i)).collect();
    let file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
    let mut lines = Lines { reader: BufReader::with_capacity(1 << 18, file), number: 0 };
    let (kind, form) = (Kind::from_id(&plan.kind), plan.form);
    let (mut seen, mut summary) = (vec![false; rows.len()], Summary::default());
    let (mut unknown, mut failed) = (0, None);
    let complete = ledger.import(submission.id, at, |importer| {
        loop {
            let block = match lines.block() {
                Ok(block) if block.is_empty() => break,
                Ok(block) => block,
                Err(e) => {
                    failed = Some(e);
                    return Ok(false);
                }
            };
            let read: Vec<(usize, Read1)> = block
                .into_par_iter()
                .map(|(number, line)| (number, read_one(&line, &index, &rows, teacher, recipe, kind, form)))
                .collect();
            for (number, one) in read {
                match one {
                    Read1::Answer(i, _) if seen[i] => {
                        summary.remark(format!(
                            "result line {number}: a second answer to {}; the first one counts",
                            rows[i].request.custom_id
                        ));
                    }
                    Read1::Answer(i, answer) => {
                        seen[i] = true;
                        summary.count(&answer.result);
                        importer.put(&answer)?;
                    }
                    Read1::Unknown(id) => {
                        unknown += 1;
                        summary
                            .remark(format!("result line {number}: id {id} was never asked in this batch; its bytes are kept"));
                    }
                    Read1::Unreadable(why) => summary.remark(format!("result line {number}: {why}; its bytes are kept")),
                }
            }
        }
        for (i, row) in rows.iter().enumerate().filter(|(i, _)| !seen[*i]) {
            let (reject, billed) = match absent {
                Absent::Incomplete => return Ok(false),
                Absent::Canceled => (Reject::Canceled, Billed::No),
                Absent::Expired => (Reject::Expired, Billed::No),
                Absent::Missing => (Reject::Missing, Billed::Perhaps),
                Absent::Known(known) => known.get(&rows[i].request.custom_id).cloned().unwrap_or((Reject::Missing, Billed::No)),
            };
            let answer = Answered::without(row, reject, billed);
            summary.count(&answer.result);
            importer.put(&answer)?;
        }
        Ok(unknown <= rows.len() / 2)
    })?;
    if let Some(e) = failed {
        return Err(WorkspaceError::io("read", path, e).into());
    }
    let got = seen.iter().filter(|s| **s).count();
    Ok(match complete {
        true => Verdict::Imported(summary),
        false if unknown > rows.len() / 2 => Verdict::NotOurs { unknown },
        false => Verdict::Incomplete { got, wanted: rows.len() },
    })
}

fn read_one(
    line: &[u8],
    index: &HashMap<&str, usize>,
    rows: &[RequestRow],
    teacher: &dyn Teacher,
    recipe: &Recipe,
    kind: Kind,
    form: Form,
) -> Read1 {
    if line.len() > MAX_LINE_BYTES {
        return Read1::Unreadable(format!("it is longer than {} MiB", MAX_LINE_BYTES >> 20));
    }
    match teacher.read_line(line) {
        Err(why) => Read1::Unreadable(one_line(&why, 200)),
        Ok(ResultLine { custom_id, outcome }) => match index.get(custom_id.as_str()) {
            None => Read1::Unknown(one_line(&custom_id, 80)),
            Some(i) => Read1::Answer(*i, Box::new(answered(&rows[*i], outcome, recipe, kind, form))),
        },
    }
}

fn answered(row: &RequestRow, outcome: Outcome, recipe: &Recipe, kind: Kind, form: Form) -> Answered {
    match outcome {
        Outcome::Answered { text, stop, tokens } => {
            let result = match stop {
                Stop::End => judge(row, &text, recipe, kind, form),
                Stop::TokenLimit => Err(Reject::Truncated { tokens: tokens.output }),
                Stop::Refusal => Err(Reject::Refused { why: one_line(&text, 200) }),
            };
            let q = &row.request;
            Answered {
                row: row.row,
                custom_id: q.custom_id.clone(),
                cache_key: q.cache_key.clone(),
                text,
                stop: stop.id().into(),
                tokens,
                billed: Billed::Yes,
                result,
            }
        }
        Outcome::Errored { why, kind } => Answered::without(row, Reject::Failed { why: one_line(&why, 300), kind }, Billed::No),
        Outcome::Expired => Answered::without(row, Reject::Expired, Billed::No),
        Outcome::Canceled => Answered::without(row, Reject::Canceled, Billed::No),
    }
}

/// Whether an answer can be used, by the recipe's rules.
fn judge(row: &RequestRow, text: &str, recipe: &Recipe, kind: Kind, form: Form) -> Result<Kept, Reject> {
    let format = |defect| Reject::Format { defect };
    if kind == Kind::Articles {
        return articles(&row.request.pair, text).map(Kept::Articles).map_err(format);
    }
    let rendered = match form {
        Form::Text => None,
        Form::Fields => Some(Prism::from_json(text).map_err(|_| format(crate::domain::AnswerDefect::NotFields))?.answer()),
    };
    examine(recipe, row.request.pair.clone(), rendered.as_deref().unwrap_or(text)).map(Kept::Trace)
}

/// The articles of a written answer: those that are whole.
fn articles(pair: &PairKey, text: &str) -> Result<Vec<Article>, crate::domain::AnswerDefect> {
    #[derive(serde::Deserialize)]
    struct Written {
        articles: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        title: String,
        summary: String,
        source: String,
        source_type: SourceType,
    }
    let text = text.trim().trim_start_matches("```json").trim_start_matches("```").trim_end_matches("```");
    let written: Written = serde_json::from_str(text).map_err(|_| crate::domain::AnswerDefect::NotFields)?;
    let whole = written
        .articles
        .into_iter()
        .filter_map(|one| Article::written(&one.title, &one.summary, &one.source, one.source_type, &pair.profile).ok());
    let articles: Vec<Article> = whole.collect();
    if articles.is_empty() { Err(crate::domain::AnswerDefect::Empty) } else { Ok(articles) }
}

/// Blocks of lines of a file, numbered from 1; blank lines are passed over.
struct Lines {
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    fn block(&mut self) -> std::io::Result<Vec<(usize, Vec<u8>)>> {
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            let mut line = Vec::new();
            // One byte more than is accepted, so that a longer line shows; its rest is skipped.
            if self.reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.len() > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                self.skip_line()?;
            }
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                block.push((self.number, line));
            }
        }
        Ok(block)
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let (used, done) = match buffer.iter().position(|b| *b == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(used);
            if done {
                return Ok(());
            }
        }
    }
}

/// Finds the submission that a file of results belongs to: the one that asked its first known id.
pub fn scan(ledger: &Ledger, teacher: &dyn Teacher, path: &Path) -> Result<Option<i64>, DistillError> {
    let file = File::open(path).map_err(|e| WorkspaceError::io("open", path, e))?;
    let mut lines = Lines { reader: BufReader::new(file), number: 0 };
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
    let done = submission.state == crate::workspace::SubmissionState::Imported;
    ledger.put_raw(submission.id, &stored, at)?;
    let absent = if partial || done { Absent::Missing } else { Absent::Incomplete };
    match import_results(ledger, recipe, teacher, &submission, &plan, &raw.path(&stored.name), &absent, at)? {
        Verdict::Imported(summary) => Ok(summary),
        Verdict::Incomplete { got, wanted } => Err(refused(format!(
            "it answers {got} of the {wanted} requests of submission {}; its bytes are kept and nothing was imported. If this is all there \
             is: stratos distill import FILE --partial",
            submission.id
        ))),
        Verdict::NotOurs { unknown } => Err(refused(format!("{unknown} of its ids were never asked; nothing was imported"))),
    }
}
