//! The errand that measures the cascade: both passes answer the same judged rows once, and the grid is computed from that.
//! Answers are kept as evaluations keep theirs, so that a stopped errand goes on where it was, and the think pass's answers of
//! a validation are not asked again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::evaluation::{Chosen, EvaluationRequest, Item, People, RowsChoice, Written, ask, rows_of};
use super::super::job::{Failure, JobContext, PhaseEnd};
use super::questions::Question;
use super::voice::{Meant, Voice};
use crate::deploy::Pass;
use crate::deploy::frontier::{Frontier, Setting, TwiceAnswered, points};
use crate::domain::{Conduct as _, Digest, PairKey, UnixMillis, read_tolerant};
use crate::evaluate::Subject;
use crate::workspace::{Workspace, WorkspaceError};

/// A frontier and when it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredFrontier {
    pub at: UnixMillis,
    #[serde(flatten)]
    pub frontier: Frontier,
}

/// The newest measured frontier; `None`: there is none, or an older version wrote it.
pub fn last_frontier(workspace: &Workspace) -> Result<Option<StoredFrontier>, WorkspaceError> {
    let newest = workspace.ledger()?.last_frontier()?;
    Ok(newest.and_then(|(at, body)| Some(StoredFrontier { at, frontier: serde_json::from_str(&body).ok()? })))
}

pub fn run(context: &mut JobContext, rows: &RowsChoice, limit: Option<usize>) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let choice = workspace.config.scoring.cascade.clone().unwrap_or_default();
    let request = EvaluationRequest { rows: rows.clone(), limit, ..EvaluationRequest::default() };
    let (people, Chosen { items, set }) = rows_of(context, &request)?;
    let (fast, configured) = Voice::fast(&workspace, &choice)?;
    let meant = Meant::find(&workspace, &context.ledger, false)?;
    let think = Voice::open(&workspace, &context.ledger, &meant)?;
    let Some(quick) = answers(context, &fast, &people, &items)? else { return Ok(PhaseEnd::Stopped) };
    let Some(slow) = answers(context, &think, &people, &items)? else { return Ok(PhaseEnd::Stopped) };
    let twice = joined(&workspace, &people, &items, (&fast, &quick), (&think, &slow));
    let recipe = &workspace.recipe;
    context.progress(0, 0, "settings", "the grid of thresholds");
    let frontier = Frontier {
        rows: items.len(),
        articles: items.iter().map(|i| &i.pair.article).collect::<std::collections::BTreeSet<_>>().len(),
        fast: described(&fast),
        think: described(&think),
        row_set: set.name,
        row_digest: set.digest,
        points: points(&twice, configured, &recipe.bands, &recipe.scale, workspace.config.seed),
    };
    context.ledger.put_frontier(&serde_json::to_string(&frontier)?, context.clock.now())?;
    Ok(PhaseEnd::Aside { headline: headline(&frontier) })
}

/// Of one pass, on every row; `None`: the operator stopped it.
fn answers(
    context: &mut JobContext,
    voice: &Voice,
    people: &People,
    items: &[Item],
) -> Result<Option<BTreeMap<PairKey, Written>>, Failure> {
    let workspace = context.workspace.clone();
    let mut questions: Vec<Question> = Vec::with_capacity(items.len());
    for item in items {
        let (profile, article) = people.of(&item.pair)?;
        questions.push(voice.question(&workspace, profile, article)?);
    }
    let subject = subject(&workspace, voice)?;
    ask(context, voice.scorer.as_ref(), &voice.rules, &subject, &questions)
}

/// Names a pass's answers; the think pass's are those of an evaluation of the same model.
fn subject(workspace: &Workspace, voice: &Voice) -> Result<Digest, Failure> {
    let of = Subject {
        model: voice.scorer.digest(),
        runtime: voice.scorer.runtime(),
        dataset: Digest::default(),
        recipe: workspace.recipe.digest(),
        sampling: serde_json::to_string(&voice.rules)?,
        seed: workspace.config.seed,
        rows: None,
        calibrator: None,
    };
    let answers = of.answers();
    Ok(if voice.pass == Pass::Fast { Digest::of_json(&("fast pass", answers)) } else { answers })
}

fn joined(
    workspace: &Workspace,
    people: &People,
    items: &[Item],
    (fast, quick): (&Voice, &BTreeMap<PairKey, Written>),
    (think, slow): (&Voice, &BTreeMap<PairKey, Written>),
) -> Vec<TwiceAnswered> {
    let score = |voice: &Voice, written: &Written| {
        read_tolerant(&written.text, voice.recipe(workspace).scale.range()).ok().map(|(score, _)| score)
    };
    let row = |item: &Item| {
        let (first, second) = (quick.get(&item.pair)?, slow.get(&item.pair)?);
        Some(TwiceAnswered {
            article: item.pair.article.to_string(),
            profile: item.pair.profile.to_string(),
            cluster: people.cluster(&item.pair.article),
            truth: item.truth,
            fast: score(fast, first),
            fast_expected: first.expected,
            fast_seconds: first.seconds,
            think: score(think, second),
            think_seconds: second.seconds,
        })
    };
    items.iter().filter_map(row).collect()
}

fn described(voice: &Voice) -> String {
    format!("{} · {} · {}", voice.model, voice.runtime, voice.scorer.digest().short())
}

/// What the configured thresholds save and cost, against thinking about everything.
fn headline(frontier: &Frontier) -> String {
    let all = frontier.points.iter().find(|p| p.setting == Setting::ThinkOnly);
    let own = frontier.points.iter().find(|p| p.configured);
    match (own, all) {
        (Some(own), Some(all)) => format!(
            "the cascade asks the think pass for {:.0} % of {} rows: {:.2} s per article against {:.2} s, MAE {} against {}",
            100.0 * own.sent_on,
            frontier.rows,
            own.seconds_per_article,
            all.seconds_per_article,
            crate::evaluate::figure(own.mae),
            crate::evaluate::figure(all.mae)
        ),
        _ => format!("{} settings measured on {} rows", frontier.points.len(), frontier.rows),
    }
}
