//! What a front end asks of the desk, and what it is given: rows of ids and figures, one block whole, the table.

use std::sync::Arc;

use serde::Serialize;

use super::{AuditDesk, Item};
use crate::audit::{
    Anatomy, Candidate, Consistency, Facts, Filter, Part, QueueOrder, Results, TARGET, anatomy, e3, names, queue,
};
use crate::domain::{
    Author, Digest, Finding, MarkedSpan, PairKey, Profile, Remedy, ReviewSubject, SourceType, UnixMillis, Verdict, read_tolerant,
    split_think,
};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// Which queue is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AuditQueue {
    /// Whose blocks are read.
    pub author: Author,
    pub order: QueueOrder,
    /// `band:critical verdict:none words`; empty: all.
    pub filter: String,
}

/// One pair as a row shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditHead {
    #[serde(flatten)]
    pub pair: PairKey,
    pub title: String,
    pub role: String,
    /// Of the teacher's score.
    pub band: String,
    pub teacher: f64,
    pub student: Option<f64>,
    /// The student was asked, and no score can be read.
    pub student_failed: bool,
}

/// A row of the queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditRow {
    #[serde(flatten)]
    pub head: Arc<AuditHead>,
    /// Of the teacher's block. `None`: unread, or hidden for a blind repeat.
    pub teacher_verdict: Option<Verdict>,
    pub student_verdict: Option<Verdict>,
    /// What becomes of a rejected trace of the teacher's.
    pub remedy: Option<&'static str>,
    /// The block of the queue's author comes back blind: its verdict is hidden.
    pub repeat: bool,
}

impl AuditRow {
    /// The verdict on one author's block, as far as the reviewer may see it.
    pub fn verdict(&self, author: Author) -> Option<Verdict> {
        match author {
            Author::Teacher => self.teacher_verdict,
            Author::Student => self.student_verdict,
        }
    }
}

/// The queue, filtered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AuditIndex {
    pub rows: Vec<AuditRow>,
    /// What the order was told by, in words.
    pub basis: String,
    /// Blocks of this author before filtering, and how many of them have a verdict.
    pub total: usize,
    pub read: usize,
    /// The pair that comes back blind now, whether the filter takes it or not.
    pub repeat: Option<PairKey>,
    /// Why the filter takes everything: it cannot be read.
    pub filter_error: Option<String>,
    /// What undoing would take back: whose verdict on which pair.
    pub undo: Option<(PairKey, Author)>,
}

/// A text with its marked parts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AuditText {
    pub text: String,
    pub parts: Vec<Part>,
}

/// The verdict on a block as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditStanding {
    pub verdict: Verdict,
    pub note: String,
    pub spans: Vec<MarkedSpan>,
    pub remedy: Option<Remedy>,
    pub seconds: Option<f64>,
    pub at: UnixMillis,
}

/// One think block and what it ends in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditBlock {
    pub author: Author,
    /// Which teacher, which student.
    pub source: String,
    /// What a verdict is bound to.
    pub trace: Digest,
    pub think: String,
    pub anatomy: Anatomy,
    pub score: Option<f64>,
    pub band: String,
    pub reason: String,
    /// Why no score can be read.
    pub defect: Option<String>,
    pub standing: Option<AuditStanding>,
    /// It comes back blind: there is a verdict, and it is not shown.
    pub repeat: bool,
}

/// Everything there is to read about one pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReading {
    pub pair: PairKey,
    pub title: AuditText,
    pub summary: AuditText,
    pub source: String,
    pub source_type: SourceType,
    pub published: Option<String>,
    pub profile: Profile,
    pub teacher: Option<AuditBlock>,
    pub student: Option<AuditBlock>,
}

impl AuditReading {
    pub fn block(&self, author: Author) -> Option<&AuditBlock> {
        match author {
            Author::Teacher => self.teacher.as_ref(),
            Author::Student => self.student.as_ref(),
        }
    }
}

/// The table and the reviewer's agreement with herself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditResults {
    #[serde(flatten)]
    pub results: Results,
    pub reviewer: Consistency,
    /// The same for teacher's and student's blocks apart.
    pub reviewer_of: [Consistency; 2],
}

impl AuditDesk {
    /// The queue as it is asked for.
    pub fn queue(&self, workspace: &Workspace, ask: &AuditQueue) -> AuditIndex {
        let seed = workspace.config.seed;
        let (items, candidates) = self.candidates(ask.author);
        let queued = queue(&candidates, ask.order, &workspace.recipe.bands, seed);
        let repeat = self.repeat(ask.author, seed);
        let (filter, filter_error) = match Filter::read(&ask.filter) {
            Ok(filter) => (filter, None),
            Err(error) => (Filter::default(), Some(error.to_string())),
        };
        let mut index = AuditIndex {
            basis: queued.basis.words(),
            total: items.len(),
            repeat: repeat.as_ref().map(|s| s.pair.clone()),
            filter_error,
            undo: self.book.undoable(None, None).map(|e| (e.subject.pair.clone(), e.subject.author)),
            ..AuditIndex::default()
        };
        for place in queued.order {
            let row = self.row(items[place], ask.author, repeat.as_ref());
            index.read += usize::from(row.repeat || row.verdict(ask.author).is_some());
            if self.takes(&filter, &row, ask.author) {
                index.rows.push(row);
            }
        }
        index
    }

    /// The blocks of one author, and what they are ordered by.
    fn candidates(&self, author: Author) -> (Vec<&Item>, Vec<Candidate>) {
        let of_author = |item: &&Item| author == Author::Teacher || item.answer.is_some();
        let items: Vec<&Item> = self.items.iter().filter(of_author).collect();
        let candidate = |item: &&Item| Candidate {
            pair: item.head.pair.clone(),
            teacher: item.head.teacher,
            student: item.head.student,
            student_failed: item.head.student_failed,
            expected: item.expected,
        };
        let candidates = items.iter().map(candidate).collect();
        (items, candidates)
    }

    /// What guard E3 sees of the queue that the console opens with.
    pub(in super::super) fn e3(&self, workspace: &Workspace) -> Finding {
        let (seed, bands) = (workspace.config.seed, &workspace.recipe.bands);
        let (_, candidates) = self.candidates(Author::Teacher);
        let queued = queue(&candidates, QueueOrder::default(), bands, seed);
        e3(&candidates, &queued, bands, seed, TARGET)
    }

    fn row(&self, item: &Item, author: Author, repeat: Option<&ReviewSubject>) -> AuditRow {
        let standing = |author| Self::subject_of(item, author).and_then(|s| self.book.standing(&s));
        let verdict = |author| standing(author).map(|s| s.reading.verdict);
        let mut row = AuditRow {
            head: item.head.clone(),
            teacher_verdict: verdict(Author::Teacher),
            student_verdict: verdict(Author::Student),
            remedy: standing(Author::Teacher).and_then(|s| s.remedy()).map(Remedy::id),
            repeat: repeat.is_some_and(|s| s.pair == item.head.pair),
        };
        if row.repeat {
            match author {
                Author::Teacher => (row.teacher_verdict, row.remedy) = (None, None),
                Author::Student => row.student_verdict = None,
            }
        }
        row
    }

    fn takes(&self, filter: &Filter, row: &AuditRow, author: Author) -> bool {
        let head = &row.head;
        let noted = || {
            let subject = self.subject(&head.pair, author);
            subject.and_then(|s| self.book.standing(&s)).is_some_and(|s| !s.reading.note.is_empty())
        };
        let facts = Facts {
            band: &head.band,
            profile: head.pair.profile.as_str(),
            article: head.pair.article.as_str(),
            title: &head.title,
            role: &head.role,
            teacher: head.teacher,
            student: head.student,
            teacher_verdict: row.teacher_verdict,
            student_verdict: row.student_verdict,
            remedy: row.remedy.unwrap_or_default(),
            has_note: !row.repeat && noted(),
        };
        filter.is_empty() || filter.takes(&facts, author)
    }

    /// One pair whole. `None`: there is no such trace now.
    pub fn reading(
        &self,
        workspace: &Workspace,
        ledger: &Ledger,
        pair: &PairKey,
    ) -> Result<Option<AuditReading>, WorkspaceError> {
        let Some(item) = self.by_pair.get(pair).and_then(|i| self.items.get(*i)) else { return Ok(None) };
        let (Some(article), Some(profile)) = (ledger.article(&pair.article)?, self.profiles.get(&pair.profile)) else {
            return Ok(None);
        };
        let text = |text: &str| AuditText { text: text.to_owned(), parts: names(text, profile) };
        Ok(Some(AuditReading {
            pair: pair.clone(),
            title: text(&article.title),
            summary: text(&article.summary),
            source: article.source,
            source_type: article.source_type,
            published: article.published,
            profile: profile.clone(),
            teacher: self.teachers_block(workspace, ledger, item, profile)?,
            student: self.students_block(workspace, item, profile),
        }))
    }

    fn teachers_block(
        &self,
        workspace: &Workspace,
        ledger: &Ledger,
        item: &Item,
        profile: &Profile,
    ) -> Result<Option<AuditBlock>, WorkspaceError> {
        let stored = ledger.traces(std::slice::from_ref(&item.key))?.into_iter().next();
        // It moved on since the desk was laid: the next look shows the new one.
        let Some(stored) = stored.filter(|s| s.digest == item.trace) else { return Ok(None) };
        let answer = stored.trace.answer;
        let block = AuditBlock {
            author: Author::Teacher,
            source: item.source.to_string(),
            trace: item.trace.clone(),
            anatomy: anatomy(&answer.think, Some(answer.score), Some(profile), &workspace.recipe.bands),
            think: answer.think,
            score: Some(answer.score),
            band: item.head.band.clone(),
            reason: answer.reason,
            defect: None,
            standing: None,
            repeat: false,
        };
        Ok(Some(self.with_standing(block, workspace, item)))
    }

    fn students_block(&self, workspace: &Workspace, item: &Item, profile: &Profile) -> Option<AuditBlock> {
        let answer = item.answer.as_ref()?;
        let (think, rest) = split_think(&answer.output);
        let read = read_tolerant(&answer.output, workspace.recipe.scale.range());
        let (score, reason, defect) = match read {
            Ok((score, reason)) => (Some(score), reason.unwrap_or_default(), None),
            Err(defect) => (None, rest.trim().to_owned(), Some(defect.to_string())),
        };
        let think = think.unwrap_or_default().trim().to_owned();
        let bands = &workspace.recipe.bands;
        let block = AuditBlock {
            author: Author::Student,
            source: self.student.clone(),
            trace: answer.trace.clone(),
            anatomy: anatomy(&think, score, Some(profile), bands),
            think,
            score,
            band: score.map(|s| bands.name_of(s).to_owned()).unwrap_or_default(),
            reason,
            defect,
            standing: None,
            repeat: false,
        };
        Some(self.with_standing(block, workspace, item))
    }

    fn with_standing(&self, block: AuditBlock, workspace: &Workspace, item: &Item) -> AuditBlock {
        let Some(subject) = Self::subject_of(item, block.author) else { return block };
        if self.repeat(block.author, workspace.config.seed).as_ref() == Some(&subject) {
            return AuditBlock { repeat: true, ..block };
        }
        let standing = self.book.standing(&subject).map(|s| AuditStanding {
            verdict: s.reading.verdict,
            note: s.reading.note.clone(),
            spans: s.reading.spans.clone(),
            remedy: s.remedy().cloned(),
            seconds: s.reading.seconds,
            at: s.at,
        });
        AuditBlock { standing, ..block }
    }
}
