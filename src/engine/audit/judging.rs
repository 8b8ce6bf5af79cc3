//! Taking a verdict, choosing what becomes of a rejected trace, taking either back.
//!
//! Owns what makes each of them acceptable. Every acceptance is one row more in the audit's book; nothing is changed.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::AuditDesk;
use crate::audit::argues_for;
use crate::domain::{
    Author, Digest, MarkedSpan, PairKey, Reading, Remedy, ReviewAct, ReviewSubject, Round, SpanError, UnixMillis, Verdict,
    checked_spans, one_line, safe_text,
};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// A verdict as it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub pair: PairKey,
    pub author: Author,
    /// Digest of the text that was read; `None`: whatever it is now.
    #[serde(default)]
    pub trace: Option<Digest>,
    pub round: Round,
    pub verdict: Verdict,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub spans: Vec<MarkedSpan>,
    /// From the block on the screen to the verdict, where it was measured.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// The order of the queue it was drawn by.
    #[serde(default)]
    pub drawn: String,
}

impl Judgement {
    /// A first reading without note or marks.
    pub fn new(pair: PairKey, author: Author, verdict: Verdict) -> Self {
        Self {
            pair,
            author,
            trace: None,
            round: Round::First,
            verdict,
            note: String::new(),
            spans: Vec::new(),
            seconds: None,
            drawn: String::new(),
        }
    }
}

/// Why a verdict or a remedy is not taken.
#[derive(Debug, Error)]
pub enum JudgeError {
    #[error("{pair} has no think block of the {author} to judge; see 'stratos audit list'")]
    NoBlock { pair: PairKey, author: Author },
    #[error("the {author}'s block of {pair} is not the one that was read; read the new one first")]
    Moved { pair: PairKey, author: Author },
    #[error("{pair} was never judged, so there is nothing to repeat blind")]
    NothingToRepeat { pair: PairKey },
    #[error("the marks are not kept: {0}")]
    Spans(#[from] SpanError),
    #[error("{pair} has no rejected trace of the teacher's; judge it first")]
    NotRejected { pair: PairKey },
    #[error("{score} is no score of this recipe: it goes from {low} to {high}{except}")]
    Score { score: f64, low: f64, high: f64, except: String },
    #[error("a fixed score needs a reason, one sentence that the student can be taught")]
    NoReason,
    #[error("there is no verdict to take back")]
    NothingToUndo,
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
}

/// Longest note and reason.
const NOTE_CHARS: usize = 4_000;
const REASON_CHARS: usize = 400;

/// Longer than this nobody reads one block: the reviewer was away.
const LONGEST_READING: f64 = 900.0;

/// Takes a verdict; gives what to say of it.
pub(in super::super) fn judge(
    desk: &AuditDesk,
    workspace: &Workspace,
    ledger: &mut Ledger,
    given: Judgement,
    at: UnixMillis,
) -> Result<String, JudgeError> {
    let Judgement { pair, author, trace, round, verdict, note, spans, seconds, drawn } = given;
    let subject = desk.subject(&pair, author).ok_or_else(|| JudgeError::NoBlock { pair: pair.clone(), author })?;
    if trace.is_some_and(|read| read != subject.trace) {
        return Err(JudgeError::Moved { pair, author });
    }
    let held = desk.book.standing(&subject);
    if round == Round::Blind && held.is_none() {
        return Err(JudgeError::NothingToRepeat { pair });
    }
    let block = desk.reading(workspace, ledger, &pair)?.and_then(|r| r.block(author).cloned());
    let block = block.ok_or_else(|| JudgeError::Moved { pair: pair.clone(), author })?;
    let note: String = safe_text(note.trim()).chars().take(NOTE_CHARS).collect();
    let reading = Reading {
        round,
        verdict,
        note,
        spans: checked_spans(&block.think, spans)?,
        seconds: seconds.filter(|s| (0.0..=LONGEST_READING).contains(s)),
        score: block.score,
        source: block.source,
        drawn: one_line(&drawn, 40),
        carried: false,
    };
    ledger.add_review(&subject, &ReviewAct::Judged(reading), at)?;
    Ok(match (round, author) {
        (Round::Blind, _) => format!("{pair}: second reading {verdict}; it is compared with the first and changes nothing"),
        (Round::First, Author::Teacher) if verdict.rejects() => {
            let words = held.and_then(|h| h.remedy()).map_or_else(|| Remedy::Drop.words(), Remedy::words);
            format!("{pair}: {verdict}; the trace {words}")
        }
        (Round::First, _) => format!("{pair}: the {author}'s block is judged {verdict}"),
    })
}

/// Takes a choice of what becomes of a rejected trace of the teacher's.
pub(in super::super) fn remedy(
    desk: &AuditDesk,
    workspace: &Workspace,
    ledger: &mut Ledger,
    pair: &PairKey,
    choice: Remedy,
    at: UnixMillis,
) -> Result<String, JudgeError> {
    let subject = rejected(desk, pair).ok_or_else(|| JudgeError::NotRejected { pair: pair.clone() })?;
    let choice = match choice {
        Remedy::Drop => Remedy::Drop,
        Remedy::Fix { score, reason, .. } => fix(desk, workspace, ledger, &subject, score, &reason)?,
        Remedy::Retry { .. } => {
            let reading = desk.book.standing(&subject).map(|s| s.reading.clone());
            let (verdict, note) =
                reading.map_or((Verdict::Unfaithful, String::new()), |r| (r.verdict, one_line(&r.note, REASON_CHARS)));
            let colon = if note.is_empty() { "" } else { ": " };
            Remedy::Retry { why: format!("a reviewer found it {verdict}{colon}{note}") }
        }
    };
    ledger.add_review(&subject, &ReviewAct::Remedied { choice: choice.clone() }, at)?;
    let next = match &choice {
        Remedy::Drop => "; it is left out from the next build on".into(),
        Remedy::Fix { keeps_think: true, .. } => "; the think block argues for this score too and stays with it".into(),
        Remedy::Fix { .. } if workspace.recipe.student.think => {
            "; the think block argues for another score, so the label stands alone: a student that learns to think is not \
             taught this pair. Send it back to the teacher for a block that fits"
                .to_owned()
        }
        Remedy::Fix { .. } => "; it takes the trace's place at the next build".into(),
        Remedy::Retry { .. } => {
            "; plan it with 'stratos distill plan --only sent-back'. Nothing is bought before that plan is approved".into()
        }
    };
    Ok(format!("{pair}: the trace {}{next}", choice.words()))
}

/// The trace whose remedy is chosen: the one that stands now, or, where it is with the teacher again, the newest that was
/// rejected.
fn rejected(desk: &AuditDesk, pair: &PairKey) -> Option<ReviewSubject> {
    let current = desk.subject(pair, Author::Teacher);
    let rejects = |s: &ReviewSubject| desk.book.standing(s).is_some_and(|s| s.remedy().is_some());
    if let Some(subject) = current {
        return Some(subject).filter(rejects);
    }
    let of_pair = |s: &&ReviewSubject| s.pair == *pair && s.author == Author::Teacher && rejects(s);
    desk.book.standings().into_iter().rev().map(|(subject, _)| subject).find(of_pair).cloned()
}

fn fix(
    desk: &AuditDesk,
    workspace: &Workspace,
    ledger: &Ledger,
    subject: &ReviewSubject,
    score: f64,
    reason: &str,
) -> Result<Remedy, JudgeError> {
    let scale = &workspace.recipe.scale;
    let (low, high) = scale.range();
    // Answers are written with one decimal; what is kept is what is taught.
    let rounded = (score * 10.0).round() / 10.0;
    if !(low..=high).contains(&rounded) || scale.forbids(rounded) {
        let except = if scale.forbids(rounded) { format!(", and never {rounded:.1}") } else { String::new() };
        return Err(JudgeError::Score { score, low, high, except });
    }
    let reason = one_line(reason, REASON_CHARS);
    if reason.is_empty() {
        return Err(JudgeError::NoReason);
    }
    let reading = desk.reading(workspace, ledger, &subject.pair)?;
    let block = reading.as_ref().and_then(|r| r.block(Author::Teacher)).filter(|b| b.trace == subject.trace);
    let keeps = |b: &super::AuditBlock| b.score.is_some_and(|was| argues_for(&b.think, was, rounded, &workspace.recipe.bands));
    Ok(Remedy::Fix { score: rounded, reason, keeps_think: block.is_some_and(keeps) })
}

/// Takes the newest row back, of one pair or of all; gives what to say of it.
pub(in super::super) fn undo(
    desk: &AuditDesk,
    ledger: &mut Ledger,
    pair: Option<&PairKey>,
    author: Option<Author>,
    at: UnixMillis,
) -> Result<String, JudgeError> {
    let entry = desk.book.undoable(pair, author).ok_or(JudgeError::NothingToUndo)?;
    ledger.add_review(&entry.subject, &ReviewAct::Undone { entry: entry.id }, at)?;
    let what = match &entry.act {
        ReviewAct::Judged(r) if r.round == Round::Blind => format!("the second reading '{}'", r.verdict),
        ReviewAct::Judged(r) => format!("'{}'", r.verdict),
        ReviewAct::Remedied { choice } => format!("the choice '{}'", choice.id()),
        ReviewAct::Undone { .. } => "an undoing".into(),
    };
    let ReviewSubject { pair, author, .. } = &entry.subject;
    Ok(format!("{pair}: {what} on the {author}'s block is taken back"))
}
