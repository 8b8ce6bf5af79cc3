//! Reading the desk: traces, the newest evaluation's answers, the book.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::evaluation::outputs;
use super::super::phases::{each_trace, last_evaluation};
use super::super::sealing;
use super::{Answer, AuditDesk, AuditHead, Item};
use crate::audit::{Book, Effects, SentBack};
use crate::dataset::Sealed;
use crate::distill::Returned;
use crate::domain::{Digest, Digester, OPERATOR, PairKey, Phase, read_tolerant};
use crate::workspace::{Ledger, Workspace, WorkspaceError};

/// What the verdicts in the ledger do to other phases.
pub(in super::super) fn effects(ledger: &Ledger) -> Result<Effects, WorkspaceError> {
    Ok(Effects::of(&Book::of(ledger.review_entries()?)))
}

/// What they do to the rows of a dataset, and nothing else: a verdict that changes no row makes no dataset stale.
pub(in super::super) fn dataset_effects(workspace: &Workspace, ledger: &Ledger) -> Result<Effects, WorkspaceError> {
    let mut found = effects(ledger)?;
    if found.rejected.is_empty() {
        return Ok(found);
    }
    let thinks = workspace.recipe.student.think;
    let excluded = workspace.config.labels.excludes(OPERATOR);
    // A student that learns to think is taught no score without a block.
    found.fixed.retain(|f| !excluded && (f.keeps_think || !thinks));
    // What is sealed is in no dataset, whatever is said of it.
    if let Some(current) = sealing::current(workspace, ledger)? {
        let sealed = Sealed::new(&current.seal);
        found.rejected.retain(|(pair, _)| sealed.holds(pair).is_none());
        found.fixed.retain(|f| sealed.holds(&f.pair).is_none());
    }
    Ok(found)
}

/// The pairs that the teacher is asked about once more.
pub(in super::super) fn returned(effects: &Effects) -> BTreeMap<PairKey, Returned> {
    let name = |back: &[SentBack]| {
        let named = back.iter().fold(Digester::new(), |d, b| d.field(b.trace.as_str()).field(b.times.to_le_bytes()));
        let why = back.last().map(|b| b.why.clone()).unwrap_or_default();
        Returned { again: named.finish(), why }
    };
    effects.sent_back.iter().map(|(pair, back)| (pair.clone(), name(back))).collect()
}

impl AuditDesk {
    /// Reads what moved on since the last look.
    pub fn refresh(&mut self, workspace: &Workspace, ledger: &Ledger) -> Result<(), WorkspaceError> {
        let book = ledger.last_review()?;
        if self.seen.book != book {
            self.book = Book::of(ledger.review_entries()?);
            self.seen.book = book;
        }
        let effects = Effects::of(&self.book);
        let record = |phase| Ok::<_, WorkspaceError>(ledger.last_record(phase)?.map(|r| r.output));
        let traces = Digest::of_json(&(
            record(Phase::Profiles)?,
            record(Phase::Articles)?,
            record(Phase::Distill)?,
            ledger.trace_mark()?,
            returned(&effects).into_iter().map(|(pair, r)| (pair, r.again)).collect::<Vec<_>>(),
        ));
        let evaluation = record(Phase::Validate)?;
        let moved = self.seen.traces.as_ref() != Some(&traces);
        if moved {
            self.read_traces(workspace, ledger)?;
            self.seen.traces = Some(traces);
        }
        if moved || self.seen.evaluation != evaluation {
            self.read_answers(workspace, ledger)?;
            self.seen.evaluation = evaluation;
        }
        Ok(())
    }

    fn read_traces(&mut self, workspace: &Workspace, ledger: &Ledger) -> Result<(), WorkspaceError> {
        let mut sources: HashMap<String, Arc<str>> = HashMap::new();
        let (mut items, mut profiles) = (Vec::new(), HashMap::new());
        each_trace(workspace, ledger, |stored, about| {
            let Some((profile, article)) = about else { return };
            profiles.entry(profile.id.clone()).or_insert_with(|| profile.clone());
            let pair = stored.trace.pair;
            let name = format!("{}/{}", stored.provider, stored.model);
            let source = sources.entry(name).or_insert_with_key(|name| Arc::from(name.as_str())).clone();
            let score = stored.trace.answer.score;
            let head = AuditHead {
                title: crate::domain::one_line(&article.title, 200),
                role: crate::domain::one_line(&profile.role, 80),
                band: workspace.recipe.bands.name_of(score).to_owned(),
                teacher: score,
                student: None,
                student_failed: false,
                pair,
            };
            let (trace, key) = (stored.digest, stored.cache_key);
            items.push(Item { head: Arc::new(head), trace, key, source, expected: None, answer: None });
        })?;
        items.sort_by(|a, b| a.head.pair.cmp(&b.head.pair));
        (self.items, self.profiles) = (items, profiles);
        self.by_pair = self.items.iter().enumerate().map(|(i, item)| (item.head.pair.clone(), i)).collect();
        Ok(())
    }

    fn read_answers(&mut self, workspace: &Workspace, ledger: &Ledger) -> Result<(), WorkspaceError> {
        let range = workspace.recipe.scale.range();
        let mut outputs_of = HashMap::new();
        let mut expected: HashMap<PairKey, f64> = HashMap::new();
        let mut model = String::new();
        self.student.clear();
        if let Some((evaluation, id)) = last_evaluation(ledger)? {
            outputs_of = outputs(ledger, &evaluation, &id)?;
            evaluation.subject.model.as_str().clone_into(&mut model);
            self.student = format!("{} {}", evaluation.predictor_name(), evaluation.subject.model.short());
            let rows = evaluation.rows.iter().filter_map(|r| {
                let pair = PairKey { article: r.article.parse().ok()?, profile: r.profile.parse().ok()? };
                Some((pair, r.expected?))
            });
            expected = rows.collect();
        }
        for item in &mut self.items {
            let pair = item.head.pair.clone();
            let answer = outputs_of.remove(&pair).map(|output| Answer {
                trace: Digester::new().field("answer").field(&model).field(&output).finish(),
                score: read_tolerant(&output, range).ok().map(|(score, _)| score),
                output,
            });
            let student = answer.as_ref().and_then(|a| a.score);
            let student_failed = answer.is_some() && student.is_none();
            if (item.head.student, item.head.student_failed) != (student, student_failed) {
                item.head = Arc::new(AuditHead { student, student_failed, ..(*item.head).clone() });
            }
            item.expected = expected.get(&pair).copied();
            item.answer = answer;
        }
        Ok(())
    }
}
