//! View of tab 7: think blocks to read, teacher's beside student's.

use std::collections::HashMap;

use super::super::command::Verdict;
use super::super::evaluation::outputs;
use super::super::phases::{current_traces, last_evaluation};
use super::super::snapshot::{AuditItem, AuditView};
use super::super::state::Standing;
use super::super::wiring;
use crate::audit::{Candidate, queue};
use crate::distill::PairSet;
use crate::domain::{Article, ArticleId, Digest, PairKey, Profile, ProfileId, read_tolerant};
use crate::workspace::{Ledger, StoredTrace, Workspace, WorkspaceError};

pub(super) fn view(workspace: &Workspace, ledger: &Ledger, standings: &[Standing]) -> Result<AuditView, WorkspaceError> {
    let traces = current_traces(workspace, ledger, standings)?;
    if traces.is_empty() {
        return Ok(AuditView::default());
    }
    let recipe = &workspace.recipe;
    let outputs: HashMap<PairKey, String> = match last_evaluation(ledger)? {
        Some((evaluation, subject)) => outputs(ledger, &evaluation, &subject)?,
        None => HashMap::new(),
    };
    let verdicts: HashMap<Digest, Verdict> = ledger.reviews()?.into_iter().map(|r| (r.trace, verdict_of(&r.verdict))).collect();
    let score = |pair: &PairKey| outputs.get(pair).map(|text| read_tolerant(text, recipe.scale.range()).ok().map(|(s, _)| s));
    let candidates = traces.iter().map(|t| Candidate {
        pair: t.trace.pair.clone(),
        band: recipe.bands.name_of(t.trace.answer.score).to_owned(),
        teacher: t.trace.answer.score,
        student: score(&t.trace.pair).flatten(),
        student_failed: score(&t.trace.pair) == Some(None),
    });
    let order = queue(candidates.collect(), workspace.config.seed);
    let by_pair: HashMap<&PairKey, &StoredTrace> = traces.iter().map(|t| (&t.trace.pair, t)).collect();
    let articles: HashMap<ArticleId, Article> = ledger.articles()?.into_iter().map(|(a, _)| (a.id.clone(), a)).collect();
    let profiles: HashMap<ProfileId, Profile> = ledger.profiles()?.into_iter().map(|(p, _)| (p.id.clone(), p)).collect();
    let item = |c: Candidate| {
        let stored = by_pair.get(&c.pair)?;
        let (article, profile) = (articles.get(&c.pair.article)?, profiles.get(&c.pair.profile)?);
        Some(AuditItem {
            title: article.title.clone(),
            summary: article.summary.clone(),
            role: profile.role.clone(),
            teacher_score: c.teacher,
            teacher_think: stored.trace.answer.think.clone(),
            teacher_reason: stored.trace.answer.reason.clone(),
            student_score: c.student,
            student_output: outputs.get(&c.pair).cloned(),
            verdict: verdicts.get(&stored.digest).copied(),
            pair: c.pair,
        })
    };
    let items: Vec<AuditItem> = order.into_iter().filter_map(item).collect();
    let count = |verdict| items.iter().filter(|i| i.verdict == Some(verdict)).count();
    Ok(AuditView { kept: count(Verdict::Keep), rejected: count(Verdict::Reject), items })
}

fn verdict_of(text: &str) -> Verdict {
    if text == "reject" { Verdict::Reject } else { Verdict::Keep }
}

/// Digest of the trace of one pair, which a verdict is bound to.
pub(in super::super) fn trace_digest(
    workspace: &Workspace,
    ledger: &Ledger,
    pair: &PairKey,
) -> Result<Option<Digest>, WorkspaceError> {
    let profiles: Vec<Profile> = ledger.profiles()?.into_iter().map(|(p, _)| p).filter(|p| p.id == pair.profile).collect();
    let articles: Vec<Article> = ledger.article(&pair.article)?.into_iter().collect();
    let Ok(teacher) = wiring::teacher(workspace) else { return Ok(None) };
    let (recipe, renderer) = (&workspace.recipe, &workspace.renderer);
    let set = PairSet::new(recipe, renderer, teacher.as_ref(), &profiles, &articles);
    Ok(ledger.traces(&set.keys())?.into_iter().next().map(|t| t.digest))
}
