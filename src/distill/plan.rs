//! The plan: exactly which requests would be bought, and for how much. Its digest binds every body, the model and the
//! price, so that an approval of one plan cannot pay for another.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::DistillError;
use super::asking::{Asking, Kind, PromptBound, Question, prompt_estimate};
use super::estimate::{ENOUGH_MEASURED, Forecast, Habits};
use super::ladder;
use super::scope::{Scope, stratified};
use crate::domain::{Digest, Digester, PairKey, UnixMillis, Usd};
use crate::teacher::Price;
use crate::workspace::{Ledger, NewRequest, PlanRow, RequestState};

/// A request to be read before it is paid for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub pair: String,
    pub text: String,
}

/// What a plan would cost, and how that was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Pairs in scope, whatever is known of them.
    pub pairs: usize,
    pub requests: usize,
    /// Pairs in scope whose question has its answer: not bought again.
    pub answered: usize,
    /// Pairs under way at the provider.
    pub under_way: usize,
    /// Pairs out of rungs: refused, or unusable as often as the recipe allows.
    pub given_up: usize,
    /// Requests that are a retry of an earlier plan's.
    pub retries: usize,
    pub forecast: Forecast,
    /// The forecast without what was measured, to see what measuring changed.
    pub before: Option<Forecast>,
    /// For a pilot: what all pairs would cost.
    pub whole: Option<Forecast>,
    /// Every request at its token limit, every prompt at its bound, every rung of the ladder taken.
    pub worst: Usd,
    /// Every first attempt at its bound: with a ceiling of this much all of them go out at once, with less in turns.
    pub at_once: Usd,
    /// How many batches, or handfuls, it takes.
    pub chunks: usize,
    pub price: Price,
    /// What to know before approving: a price that is old, a counter that failed.
    pub remarks: Vec<String>,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub digest: Digest,
    pub input: Digest,
    pub kind: Kind,
    pub scope: Scope,
    pub estimate: Estimate,
}

/// Whether a pilot is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PilotRule {
    /// Where it costs, and nothing was measured yet.
    Auto,
    Always,
    Never,
}

/// What a plan is made from, besides the questions.
pub struct Wanted<'a> {
    /// The distill phase's input.
    pub input: &'a Digest,
    pub scope: &'a Scope,
    pub seed: u64,
    pub pilot: PilotRule,
    pub pilot_requests: usize,
}

/// How many whole requests a plan shows.
const SAMPLES: usize = 3;

/// How many requests the provider's free counter is asked about.
const COUNTED: usize = 16;

/// A pilot is worth its wait only where the rest is larger than this many pilots.
const PILOTS_IN_REST: usize = 2;

/// A question that may be sent, with its next attempt.
struct Open {
    question: Question,
    key: Digest,
    next: ladder::Next,
}

/// What a look at the ledger found in scope.
#[derive(Default)]
struct Found {
    open: Vec<Open>,
    answered: usize,
    under_way: usize,
    given_up: usize,
}

impl Plan {
    /// Plans what has no answer yet and records the plan. `None`: everything in scope is answered, under way, or beyond
    /// its attempts.
    pub async fn make(
        asking: &dyn Asking,
        ledger: &mut Ledger,
        price: &Price,
        wanted: &Wanted<'_>,
        at: UnixMillis,
    ) -> Result<Option<Self>, DistillError> {
        let mut found = look(asking, ledger, wanted)?;
        if found.open.is_empty() {
            return Ok(None);
        }
        let (provider, model) = (asking.teacher().provider().to_owned(), asking.teacher().model().to_owned());
        let (answers, rejects) = ledger.measured(&provider, &model, &asking.family(), 5_000)?;
        let measured = Habits::measured(&answers, &rejects, price);
        let (assumed, remark) = match &measured {
            Some(_) => (Habits::assumed(), None),
            None => count(asking, &found.open, wanted.seed).await,
        };
        let mut remarks = price.remarks(at);
        remarks.extend(remark);
        let assumed = match asking.assumed_output() {
            None => assumed,
            Some(output) => {
                if measured.is_none() {
                    remarks.push(format!("answers of this plan are longer than judgements: {output:.0} tokens each are assumed"));
                }
                Habits { output, ..assumed }
            }
        };
        let habits = measured.clone().unwrap_or_else(|| assumed.clone());
        let size = wanted.pilot_requests.clamp(ENOUGH_MEASURED, 50);
        let pilot = asking.kind() == Kind::Traces && wants_pilot(wanted.pilot, price, measured.is_some(), found.open.len(), size);
        let all: u64 = found.open.iter().map(|o| prompt_estimate(&o.question.prompt)).sum();
        let pairs = found.open.len() + found.answered + found.under_way + found.given_up;
        let whole = pilot.then(|| habits.forecast(found.open.len(), all, price));
        if pilot {
            found.open = few(found.open, size, wanted.seed);
        }
        let kind = if pilot { Kind::Pilot } else { asking.kind() };
        let drafts = draft(asking, &found.open, &PromptBound { worst_ratio: habits.worst_ratio });
        let before = measured.is_some().then_some(&assumed);
        let estimate = Estimate { pairs, ..estimate(asking, &found, &drafts, &habits, before, whole, price, remarks) };
        let requests: Vec<NewRequest> = drafts.into_iter().map(|d| d.row).collect();
        let digest = bind(asking, &requests, kind, wanted, price, ledger.void_plans()?);
        let row = PlanRow {
            digest: digest.clone(),
            input: wanted.input.clone(),
            kind: kind.id().into(),
            provider,
            model,
            family: asking.family(),
            form: asking.form(),
            scope: serde_json::to_string(wanted.scope).unwrap_or_default(),
            price: serde_json::to_string(price).unwrap_or_default(),
            created: at,
            estimate: serde_json::to_string(&estimate).unwrap_or_default(),
            void: None,
        };
        ledger.put_plan(&row, &requests)?;
        Ok(Some(Self { digest, input: wanted.input.clone(), kind, scope: wanted.scope.clone(), estimate }))
    }

    /// The plan of a recorded row; `None` where an older version wrote it in another form.
    pub fn of_row(row: &PlanRow) -> Option<Self> {
        Some(Self {
            digest: row.digest.clone(),
            input: row.input.clone(),
            kind: Kind::from_id(&row.kind),
            scope: serde_json::from_str(&row.scope).unwrap_or_default(),
            estimate: serde_json::from_str(&row.estimate).ok()?,
        })
    }

    /// The newest plan made for an input that is not void.
    pub fn recorded(ledger: &Ledger, input: &Digest) -> Result<Option<Self>, DistillError> {
        Ok(ledger.plan_for(input)?.as_ref().and_then(Self::of_row))
    }
}

fn wants_pilot(rule: PilotRule, price: &Price, measured: bool, open: usize, size: usize) -> bool {
    open > size * PILOTS_IN_REST
        && !measured
        && match rule {
            PilotRule::Auto => !price.is_free(),
            PilotRule::Always => true,
            PilotRule::Never => false,
        }
}

/// Sorts the questions in scope by what the ledger knows of them.
fn look(asking: &dyn Asking, ledger: &Ledger, wanted: &Wanted<'_>) -> Result<Found, DistillError> {
    let traced = ledger.pairs_traced_by(asking.teacher().provider(), asking.teacher().model())?;
    let asked = ledger.asked_keys()?;
    let mut found = Found::default();
    for pair in wanted.scope.select(asking.pairs(), &traced, &asking.sent_back(), wanted.seed) {
        let Some(question) = asking.question(&pair) else { continue };
        let key = asking.key(&question);
        let history = if asked.contains(&key) { ledger.history(&key)? } else { Vec::new() };
        if history.iter().any(|p| p.state == RequestState::Kept) {
            found.answered += 1;
        } else if history.iter().any(|p| p.state == RequestState::Submitted) {
            found.under_way += 1;
        } else if let Some(next) = ladder::next(&history, asking.max_output_tokens(), asking.max_attempts(), true) {
            found.open.push(Open { question, key, next });
        } else {
            found.given_up += 1;
        }
    }
    Ok(found)
}

/// A few open questions, every reader among them.
fn few(open: Vec<Open>, n: usize, seed: u64) -> Vec<Open> {
    let pairs: Vec<PairKey> = open.iter().map(|o| o.question.pair.clone()).collect();
    let chosen: HashSet<PairKey> = stratified(&pairs, n, seed).into_iter().collect();
    open.into_iter().filter(|o| chosen.contains(&o.question.pair)).collect()
}

/// Asks the provider's free counter about some of the requests.
async fn count(asking: &dyn Asking, open: &[Open], seed: u64) -> (Habits, Option<String>) {
    let pairs: Vec<PairKey> = open.iter().map(|o| o.question.pair.clone()).collect();
    let chosen: HashSet<PairKey> = stratified(&pairs, COUNTED, seed).into_iter().collect();
    let mut counts = Vec::new();
    for o in open.iter().filter(|o| chosen.contains(&o.question.pair)) {
        let body = asking.outgoing(&o.question, &o.key, &o.next).body;
        let Some(answer) = asking.teacher().count(&body) else { return (Habits::assumed(), None) };
        match answer.await {
            Ok(tokens) => counts.push((prompt_estimate(&o.question.prompt), tokens)),
            Err(error) => {
                return (Habits::assumed(), Some(format!("the provider's token counter could not be used: {error}")));
            }
        }
    }
    (Habits::counted(&counts), None)
}

/// A request's row, and how many bytes its body has.
struct Draft {
    row: NewRequest,
    bytes: usize,
}

fn draft(asking: &dyn Asking, open: &[Open], bound: &PromptBound) -> Vec<Draft> {
    let draft = |o: &Open| {
        let (row, bytes) = asking.row(&o.question, o.key.clone(), &o.next, bound);
        Draft { row, bytes }
    };
    open.iter().map(draft).collect()
}

#[expect(clippy::too_many_arguments, reason = "the parts of one report, each computed once by its caller")]
fn estimate(
    asking: &dyn Asking,
    found: &Found,
    drafts: &[Draft],
    habits: &Habits,
    before: Option<&Habits>,
    whole: Option<Forecast>,
    price: &Price,
    remarks: Vec<String>,
) -> Estimate {
    let open = &found.open;
    let prompts: u64 = drafts.iter().map(|d| d.row.prompt_estimate).sum();
    let sample = |o: &Open| {
        let text = serde_json::to_string_pretty(&asking.outgoing(&o.question, &o.key, &o.next).body).unwrap_or_default();
        Sample { pair: o.question.pair.to_string(), text }
    };
    // The first, one in the middle, and the last: not three of one article.
    let mut shown: Vec<usize> = vec![0, open.len() / 2, open.len() - 1];
    shown.dedup();
    Estimate {
        pairs: open.len(),
        requests: open.len(),
        answered: found.answered,
        under_way: found.under_way,
        given_up: found.given_up,
        retries: open.iter().filter(|o| o.next.attempt > 1).count(),
        forecast: habits.forecast(open.len(), prompts, price),
        before: before.map(|h| h.forecast(open.len(), prompts, price)),
        whole,
        worst: drafts.iter().map(|d| worst_of(asking, &d.row, price)).fold(Usd::ZERO, std::ops::Add::add),
        at_once: drafts
            .iter()
            .map(|d| price.most(d.row.prompt_most, d.row.max_output, asking.teacher().writes_cache()))
            .fold(Usd::ZERO, std::ops::Add::add),
        chunks: chunks(asking, drafts),
        price: price.clone(),
        remarks,
        samples: shown.into_iter().take(SAMPLES).map(|i| sample(&open[i])).collect(),
    }
}

/// The first attempt at its bound, and every further one with twice the room.
fn worst_of(asking: &dyn Asking, row: &NewRequest, price: &Price) -> Usd {
    let writes = asking.teacher().writes_cache();
    let again = asking.max_attempts().saturating_sub(row.attempt);
    price.most(row.prompt_most, row.max_output, writes)
        + price.most(row.prompt_most, row.max_output * 2, writes).times(u64::from(again))
}

fn chunks(asking: &dyn Asking, drafts: &[Draft]) -> usize {
    let limits = asking.teacher().limits();
    let bytes: usize = drafts.iter().map(|d| d.bytes).sum();
    drafts.len().div_ceil(limits.requests.max(1)).max(bytes.div_ceil(limits.bytes.max(1)))
}

/// The plan's digest: provider, model, price, scope, input, and every id with its body. `voids`, the number of plans that
/// were voided so far, keeps an old approval from meaning a new plan of the same requests.
fn bind(asking: &dyn Asking, rows: &[NewRequest], kind: Kind, wanted: &Wanted<'_>, price: &Price, voids: u64) -> Digest {
    let head = Digester::new()
        .field(kind.id())
        .field(asking.teacher().provider())
        .field(asking.teacher().model())
        .field(serde_json::to_string(price).unwrap_or_default())
        .field(serde_json::to_string(wanted.scope).unwrap_or_default())
        .field(wanted.input.as_str())
        .field(voids.to_le_bytes());
    rows.iter().fold(head, |d, row| d.field(&row.custom_id).field(row.body.as_str())).finish()
}
