//! The guards of the import: what the kept judgements look like, and whether the books are in order. The checks are
//! `distill`'s; here they get their rows and their findings are recorded.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::job::{Failure, JobContext};
use crate::distill::quality::{Premises, Scored, examine_rows};
use crate::distill::{Distilled, examine_books};
use crate::domain::{Article, ArticleId, Digest, PairKey};
use crate::workspace::{PlanRow, RequestState, StoredTrace};

/// The import guards over the kept traces; other teachers' traces count where they judged the same pairs.
pub fn hold_quality(context: &mut JobContext, done: &Distilled, articles: &[Article]) -> Result<(), Failure> {
    let Some((provider, model)) = done.traces.first().map(|t| (t.provider.clone(), t.model.clone())) else { return Ok(()) };
    let workspace = context.workspace.clone();
    let plans = context.ledger.plans()?;
    let mut batch_of: HashMap<Digest, usize> = HashMap::new();
    let own = plans.iter().filter(|p| p.provider == provider && p.model == model);
    for (batch, plan) in own.enumerate() {
        let kept = context.ledger.requests_in(&plan.digest, RequestState::Kept)?;
        batch_of.extend(kept.into_iter().map(|row| (row.request.cache_key, batch)));
    }
    let rows: Vec<Scored> =
        done.traces.iter().map(|t| scored(t, batch_of.get(&t.cache_key).copied().unwrap_or_default())).collect();
    let pairs: HashSet<&PairKey> = rows.iter().map(|r| &r.pair).collect();
    let models: BTreeSet<(&str, &str)> = plans.iter().map(|p| (p.provider.as_str(), p.model.as_str())).collect();
    let mut others: Vec<Vec<Scored>> = Vec::new();
    for (other, its) in models.into_iter().filter(|m| *m != (provider.as_str(), model.as_str())) {
        let traces = context.ledger.traces_by(other, its)?;
        others.push(traces.iter().filter(|t| pairs.contains(&t.trace.pair)).map(|t| scored(t, 0)).collect());
    }
    let others: Vec<&[Scored]> = others.iter().map(Vec::as_slice).collect();
    let texts: HashMap<&ArticleId, &Article> = articles.iter().map(|a| (&a.id, a)).collect();
    let recipe = &workspace.recipe;
    let article = |id: &ArticleId| texts.get(id).map(|a| format!("{} {}", a.title, a.summary));
    let premises = Premises { scale: &recipe.scale, languages: &recipe.data.languages, article: &article };
    let findings = examine_rows(&rows, &others, &premises);
    context.hold(&done.digest, &findings)
}

/// The money guards over what was bought for this phase.
pub fn hold_books(context: &mut JobContext, input: &Digest) -> Result<(), Failure> {
    let plans: Vec<PlanRow> = context.ledger.plans()?.into_iter().filter(|p| p.input == *input).collect();
    let raw = context.workspace.raw_store()?;
    let findings = examine_books(&context.ledger, &raw, &plans, context.clock.now())?;
    context.hold(input, &findings)
}

/// A kept trace as a judgement; its annotator is the model.
pub fn scored(stored: &StoredTrace, batch: usize) -> Scored {
    let answer = &stored.trace.answer;
    let annotator = format!("{}/{}", stored.provider, stored.model);
    Scored { pair: stored.trace.pair.clone(), score: answer.score, reason: answer.reason.clone(), annotator, batch }
}
