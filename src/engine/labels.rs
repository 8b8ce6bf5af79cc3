//! Labels in a workspace: where each one stands now, which take part in a dataset, and what there is to be told of them.
//!
//! Owns bringing states up to date with what else was imported, and collecting every judgement that a dataset or a seal
//! is made from. The rules are `dataset::labels`'; reading files is `label_import`'s.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::job::{Failure, JobContext};
use super::phases::read_traces;
use crate::audit::Fixed;
use crate::dataset::labels::{Rules, trace_of};
use crate::dataset::{Provenance, Quarantined, Selection, SourcedTrace};
use crate::domain::{
    Article, Digest, FileLine, Finding, Label, LabelBody, LabelKind, LabelState, OPERATOR, PairKey, Profile, ProfileId, Trust,
};
use crate::workspace::{LabelSource, Ledger, StoredLabel, StoredTrace, Workspace, WorkspaceError};

/// Every label with its file, as it stands now.
pub(super) struct Classified {
    pub sources: Vec<LabelSource>,
    pub labels: Vec<StoredLabel>,
    pub profiles: Vec<Profile>,
    pub articles: Vec<Article>,
}

impl Classified {
    pub fn source(&self, id: i64) -> Option<&LabelSource> {
        self.sources.iter().find(|source| source.id == id)
    }
}

/// Judges every label anew, by the recipe and by what is known now, and records what changed.
pub(super) fn classify(workspace: &Workspace, ledger: &mut Ledger) -> Result<Classified, WorkspaceError> {
    let profiles: Vec<Profile> = ledger.profiles()?.into_iter().map(|(p, _)| p).collect();
    let articles: Vec<Article> = ledger.articles()?.into_iter().map(|(a, _)| a).collect();
    let sources = ledger.label_sources()?;
    let mut labels = ledger.labels()?;
    let kinds: HashMap<i64, LabelKind> = sources.iter().map(|s| (s.id, s.kind)).collect();
    let states: Vec<(LabelState, String)> = {
        let ids = profiles.iter().map(|p| &p.id);
        let rules = Rules::new(&workspace.recipe, &articles, ids, labels.iter().map(|l| &l.label));
        let kind = |source: i64| kinds.get(&source).copied().unwrap_or(LabelKind::Scores);
        labels.iter().map(|l| rules.judge(&l.label, kind(l.source))).collect()
    };
    let mut changes = Vec::new();
    for (stored, (state, reason)) in labels.iter_mut().zip(states) {
        if stored.label.state != state || stored.label.reason != reason {
            changes.push((stored.source, stored.label.line, state, reason.clone()));
            (stored.label.state, stored.label.reason) = (state, reason);
        }
    }
    ledger.set_label_states(&changes)?;
    Ok(Classified { sources, labels, profiles, articles })
}

/// Every judgement that takes part, and those that do not, with why.
pub(super) struct Gathered {
    pub traces: Vec<SourcedTrace>,
    pub left_out: Vec<Quarantined>,
    /// Everything that is known.
    pub profiles: Vec<Profile>,
    pub articles: Vec<Article>,
}

/// Collects the judgements of teachers and files, as `[labels]` and `[select]` choose them.
pub(super) fn gather(context: &mut JobContext) -> Result<Gathered, Failure> {
    let workspace = context.workspace.clone();
    let choice = &workspace.config.labels;
    let mut traces = Vec::new();
    let effects = super::audit::effects(&context.ledger)?;
    let mut operators = Vec::new();
    if choice.takes_teacher() {
        let rejected: HashMap<&Digest, &PairKey> = effects.rejected.iter().map(|(pair, trace)| (trace, pair)).collect();
        let (out, kept): (Vec<_>, Vec<_>) = read_traces(context)?.into_iter().partition(|t| rejected.contains_key(&t.digest));
        operators = operators_labels(&effects.fixed, &out);
        let bought = kept.into_iter().map(|stored| SourcedTrace {
            provenance: Provenance {
                annotator: format!("{}/{}", stored.provider, stored.model),
                teacher: stored.provider,
                model: stored.model,
                prompt_digest: Some(stored.cache_key),
                trace_digest: Some(stored.digest),
                selection: Selection::All,
                ..Provenance::default()
            },
            trace: stored.trace,
        });
        traces.extend(bought.filter(|s| !choice.excludes(&s.provenance.annotator)));
    }
    let classified = classify(&workspace, &mut context.ledger)?;
    let mut left_out = Vec::new();
    if choice.takes_imported() {
        for stored in &classified.labels {
            let Some(source) = classified.source(stored.source) else { continue };
            match taking_part(&workspace, stored, source) {
                Ok(trace) => traces.push(trace),
                Err(quarantined) => left_out.push(*quarantined),
            }
        }
        traces = with_enough(traces, choice.min_rows_per_reader, &mut left_out);
    }
    let (own, aside) = operators_rows(&workspace, &classified, &operators);
    traces.extend(own);
    left_out.extend(aside);
    Ok(Gathered { traces, left_out, profiles: classified.profiles, articles: classified.articles })
}

/// The operator's scores in the place of rejected traces, as labels. A think block stays with a score that it argues for.
fn operators_labels(fixed: &[Fixed], out: &[StoredTrace]) -> Vec<(Label, Digest)> {
    let label = |(i, f): (usize, &Fixed)| {
        let think = out.iter().find(|t| t.digest == f.trace && f.keeps_think).map(|t| t.trace.answer.think.clone());
        let body = LabelBody {
            score: Some(f.score),
            reason: f.reason.clone(),
            think: think.unwrap_or_default(),
            ..LabelBody::default()
        };
        let (article, profile) = (f.pair.article.to_string(), f.pair.profile.to_string());
        let (state, reason) = (LabelState::Kept, String::new());
        (Label { line: i + 1, annotator: OPERATOR.into(), article, profile, body, state, reason }, f.trace.clone())
    };
    fixed.iter().enumerate().map(label).collect()
}

/// Those of the operator's labels that can be taught from, by the rules of every label, and those that cannot, with why.
fn operators_rows(
    workspace: &Workspace,
    known: &Classified,
    labels: &[(Label, Digest)],
) -> (Vec<SourcedTrace>, Vec<Quarantined>) {
    let (mut rows, mut aside) = (Vec::new(), Vec::new());
    let (profiles, articles) = (known.profiles.iter().map(|p| &p.id), &known.articles);
    let rules = Rules::new(&workspace.recipe, articles, profiles, labels.iter().map(|(l, _)| l));
    for (label, trace) in labels {
        let file = FileLine { file: "the audit".into(), sha256: trace.clone(), line: label.line };
        let (state, why) = rules.judge(label, LabelKind::Scores);
        let why = if workspace.config.labels.excludes(OPERATOR) { "annotator excluded by [labels]".into() } else { why };
        let usable = state == LabelState::Kept && why.is_empty();
        let made = usable.then(|| trace_of(&workspace.recipe, label, file.clone(), Trust::High)).flatten();
        match made {
            Some(row) => rows.push(row),
            None => aside.push(Quarantined {
                article: label.article.clone(),
                profile: label.profile.clone(),
                score: label.body.score,
                reason: why,
                annotator: OPERATOR.into(),
                file: Some(file),
            }),
        }
    }
    (rows, aside)
}

/// Takes the imported labels of readers with fewer judgements than `least` out.
fn with_enough(traces: Vec<SourcedTrace>, least: usize, left_out: &mut Vec<Quarantined>) -> Vec<SourcedTrace> {
    let mut rows: HashMap<ProfileId, usize> = HashMap::new();
    for sourced in &traces {
        *rows.entry(sourced.trace.pair.profile.clone()).or_default() += 1;
    }
    let few = |s: &SourcedTrace| s.provenance.file.is_some() && rows.get(&s.trace.pair.profile).is_none_or(|n| *n < least);
    let (small, kept): (Vec<SourcedTrace>, Vec<SourcedTrace>) = traces.into_iter().partition(few);
    left_out.extend(small.into_iter().map(|SourcedTrace { trace, provenance }| Quarantined {
        article: trace.pair.article.to_string(),
        profile: trace.pair.profile.to_string(),
        score: Some(trace.answer.score),
        reason: "reader with few labels".into(),
        annotator: provenance.annotator,
        file: provenance.file,
    }));
    kept
}

fn taking_part(workspace: &Workspace, stored: &StoredLabel, source: &LabelSource) -> Result<SourcedTrace, Box<Quarantined>> {
    let (label, config) = (&stored.label, &workspace.config);
    let file = FileLine { file: source.name.clone(), sha256: source.sha256.clone(), line: label.line };
    let chosen = &config.select.profiles;
    let why = if label.state != LabelState::Kept {
        label.reason.as_str()
    } else if config.labels.excludes(&label.annotator) {
        "annotator excluded by [labels]"
    } else if source.trust < config.labels.min_trust {
        "less trust than [labels] wants"
    } else if !chosen.is_empty() && !chosen.contains(&label.profile) {
        "reader not in [select]"
    } else if let Some(trace) = trace_of(&workspace.recipe, label, file.clone(), source.trust) {
        return Ok(trace);
    } else {
        "not usable as a pair"
    };
    Err(Box::new(Quarantined {
        article: label.article.clone(),
        profile: label.profile.clone(),
        score: label.body.score,
        reason: why.to_owned(),
        annotator: label.annotator.clone(),
        file: Some(file),
    }))
}

/// One imported file, as it is told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSourceView {
    pub name: String,
    pub sha256: Digest,
    pub kind: LabelKind,
    /// Who judged its rows, by name.
    pub annotators: Vec<String>,
    pub trust: Trust,
    pub rows: usize,
    pub kept: usize,
    pub orphans: usize,
    pub quarantined: usize,
    /// (state, reason, rows), most rows first.
    pub reasons: Vec<(LabelState, String, usize)>,
    /// What the import guards saw of its rows.
    pub findings: Vec<Finding>,
    /// Guard D6 says that a script filled its labels in.
    pub suspicious: bool,
}

impl LabelSourceView {
    /// One line, and one for each guard that failed.
    pub fn lines(&self) -> Vec<String> {
        let mut head = format!(
            "{} ({}, {}, trust {}): {} rows, {} kept",
            self.name,
            self.kind.id(),
            self.annotators.join(", "),
            self.trust,
            self.rows,
            self.kept
        );
        let reasons: Vec<String> = self
            .reasons
            .iter()
            .filter(|(state, ..)| *state != LabelState::Kept)
            .map(|(_, why, n)| format!("{n} {why}"))
            .collect();
        if !reasons.is_empty() {
            head += "; left out: ";
            head += &reasons.join(", ");
        }
        let mut lines = vec![head];
        if self.suspicious {
            lines.push("  SUSPICIOUS: look before you trust it".into());
        }
        lines.extend(self.findings.iter().filter(|f| f.failed()).map(|f| format!("  {}: {}", f.guard, f.saw)));
        lines
    }
}

/// Every imported file with its counts, oldest first.
pub fn label_sources(workspace: &Workspace) -> Result<Vec<LabelSourceView>, WorkspaceError> {
    views_of(&workspace.ledger()?)
}

pub(super) fn views_of(ledger: &Ledger) -> Result<Vec<LabelSourceView>, WorkspaceError> {
    let mut counts: BTreeMap<i64, Vec<(LabelState, String, usize)>> = BTreeMap::new();
    for ((source, state, reason), n) in ledger.label_counts()? {
        let state = LabelState::from_id(&state).unwrap_or(LabelState::Quarantined);
        counts.entry(source).or_default().push((state, reason, n));
    }
    let mut annotators = ledger.label_annotators()?;
    let view = |source: LabelSource| {
        let mut reasons = counts.remove(&source.id).unwrap_or_default();
        reasons.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.1.cmp(&b.1)));
        let of = |state| reasons.iter().filter(|r| r.0 == state).map(|r| r.2).sum();
        LabelSourceView {
            kept: of(LabelState::Kept),
            orphans: of(LabelState::Orphan),
            quarantined: of(LabelState::Quarantined),
            suspicious: source.findings.iter().any(|f| f.guard == "D6" && f.failed()),
            name: source.name,
            sha256: source.sha256,
            kind: source.kind,
            annotators: annotators.remove(&source.id).unwrap_or_default(),
            trust: source.trust,
            rows: source.rows,
            reasons,
            findings: source.findings,
        }
    };
    Ok(ledger.label_sources()?.into_iter().map(view).collect())
}

/// What is left out: of the last build where there is one, else of what was imported. Second opinions are known once a
/// dataset was built.
pub fn quarantined(workspace: &Workspace) -> Result<Vec<Quarantined>, WorkspaceError> {
    let ledger = workspace.ledger()?;
    if let Some(record) = ledger.last_record(crate::domain::Phase::Dataset)?
        && let Ok(rows) = super::phases::load_quarantine(workspace, &record.output)
    {
        return Ok(rows);
    }
    let sources: HashMap<i64, LabelSource> = ledger.label_sources()?.into_iter().map(|s| (s.id, s)).collect();
    let rows = ledger.labels()?.into_iter().filter(|l| l.label.state != LabelState::Kept);
    let view = |stored: StoredLabel| {
        let source = sources.get(&stored.source)?;
        let label = stored.label;
        Some(Quarantined {
            file: Some(FileLine { file: source.name.clone(), sha256: source.sha256.clone(), line: label.line }),
            article: label.article,
            profile: label.profile,
            score: label.body.score,
            reason: label.reason,
            annotator: label.annotator,
        })
    };
    Ok(rows.filter_map(view).collect())
}
