//! The audit's desk: the think blocks of today's teacher and student, with the verdicts on them, laid out for reading.
//!
//! Owns reading them from the ledger and reading again only what moved on; a look at 20,000 blocks costs a sort, not a
//! load. Writes nothing: verdicts are taken by the supervisor. The queue's rules are `audit`'s.

mod answers;
mod judging;
mod load;
mod write;

pub use answers::{
    AuditBlock, AuditHead, AuditIndex, AuditQueue, AuditReading, AuditResults, AuditRow, AuditStanding, AuditText,
};
pub use judging::{JudgeError, Judgement};
pub(super) use judging::{judge, remedy, undo};
pub(super) use load::{dataset_effects, effects, returned};
pub use write::AuditExportError;
pub(super) use write::write_verdicts;

pub use crate::audit::{
    Anatomy, AuthorResults, Basis, Consistency, ENOUGH_REPEATS, FEW_READ, Part, PartKind, QueueOrder, REPEAT_EVERY, ResultRow,
    Results, Share, TARGET as AUDIT_TARGET,
};

use std::collections::HashMap;
use std::sync::Arc;

use super::snapshot::AuditView;
use crate::audit::{Book, Read, consistency, due, results};
use crate::domain::{Author, Digest, PairKey, Profile, ProfileId, ReviewSubject};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// A student's answer to one pair.
#[derive(Debug, Clone)]
struct Answer {
    /// Digest of model and text: another model's same words are another block.
    trace: Digest,
    output: String,
    score: Option<f64>,
}

/// One pair that the teacher has a trace of.
#[derive(Debug, Clone)]
struct Item {
    head: Arc<AuditHead>,
    /// Digest of the teacher's trace.
    trace: Digest,
    /// Key of the teacher's answer in the ledger.
    key: Digest,
    source: Arc<str>,
    expected: Option<f64>,
    answer: Option<Answer>,
}

/// What was last read, so that only what moved on is read again.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    traces: Option<Digest>,
    evaluation: Option<Digest>,
    book: i64,
}

/// Everything there is to read.
#[derive(Default)]
pub struct AuditDesk {
    seen: Seen,
    items: Vec<Item>,
    by_pair: HashMap<PairKey, usize>,
    profiles: HashMap<ProfileId, Profile>,
    /// Which student the answers are of.
    student: String,
    book: Book,
}

impl AuditDesk {
    /// The text that would be judged now.
    fn subject(&self, pair: &PairKey, author: Author) -> Option<ReviewSubject> {
        let item = self.items.get(*self.by_pair.get(pair)?)?;
        Self::subject_of(item, author)
    }

    fn subject_of(item: &Item, author: Author) -> Option<ReviewSubject> {
        let trace = match author {
            Author::Teacher => item.trace.clone(),
            Author::Student => item.answer.as_ref()?.trace.clone(),
        };
        Some(ReviewSubject { pair: item.head.pair.clone(), author, trace })
    }

    /// The text is today's teacher's or student's.
    fn is_current(&self, subject: &ReviewSubject) -> bool {
        self.subject(&subject.pair, subject.author).as_ref() == Some(subject)
    }

    /// The block that comes back blind now.
    fn repeat(&self, author: Author, seed: u64) -> Option<ReviewSubject> {
        due(&self.book, author, seed, |s| self.is_current(s))
    }

    /// The figures: of the teacher's traces that a later one took the place of, too, as long as the same teacher wrote them.
    pub fn results(&self, workspace: &Workspace) -> AuditResults {
        let seed = workspace.config.seed;
        let teacher = self.items.first().map(|item| item.source.clone());
        let is_todays = |author: Author, source: &str| match author {
            _ if source.is_empty() => true,
            Author::Teacher => teacher.as_deref().is_none_or(|t| t == source),
            Author::Student => self.student == source,
        };
        let reads: Vec<Read<'_>> = self
            .book
            .standings()
            .into_iter()
            .map(|(subject, standing)| Read { subject, standing, current: is_todays(subject.author, &standing.reading.source) })
            .collect();
        let of = |author: Author| {
            let own: Vec<_> = self.book.repeats().iter().filter(|r| r.subject.author == author).cloned().collect();
            consistency(&own, seed)
        };
        AuditResults {
            results: results(reads, &workspace.recipe.bands),
            reviewer: consistency(self.book.repeats(), seed),
            reviewer_of: Author::ALL.map(of),
        }
    }

    /// Counts and progress, for the snapshot.
    pub fn view(&self, workspace: &Workspace) -> AuditView {
        let mut view = AuditView {
            traces: self.items.len(),
            answers: self.items.iter().filter(|i| i.answer.is_some()).count(),
            target: AUDIT_TARGET,
            ..AuditView::default()
        };
        for item in &self.items {
            for author in Author::ALL {
                let subject = Self::subject_of(item, author);
                let Some(standing) = subject.and_then(|s| self.book.standing(&s)) else { continue };
                view.read[author as usize] += 1;
                view.rejected[author as usize] += usize::from(standing.reading.verdict.rejects());
            }
        }
        let effects = crate::audit::Effects::of(&self.book);
        view.fixed = effects.fixed.len();
        view.sent_back = effects.sent_back.values().map(Vec::len).sum();
        view.repeats = self.book.repeats().len();
        let found = consistency(self.book.repeats(), workspace.config.seed);
        view.kappa = found.kappa;
        view.kappa_interval = found.kappa_interval;
        view
    }
}

/// Loads the desk for one look; a front end that looks again and again keeps one and refreshes it.
pub fn audit_desk(workspace: &Workspace, ledger: &Ledger) -> Result<AuditDesk, WorkspaceError> {
    let mut desk = AuditDesk::default();
    desk.refresh(workspace, ledger)?;
    Ok(desk)
}
