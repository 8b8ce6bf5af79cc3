//! Evaluation runs: any predictor on any rows. Owns the way from a request to a stored record; the figures are `evaluate`'s,
//! the answers a scorer's.
//!
//! A run is resumed by asking for it again: answers are stored one by one under what decided them (model, runtime, sampling,
//! seed, prompt), so that only the rest is asked.

mod annotators;
mod asking;
mod people;
mod predictor;
mod request;
mod rows;
mod settings;
mod stored;

pub(super) use asking::{Written, ask};
pub(super) use people::People;
pub use request::{EvaluationRequest, PredictorChoice, RequestError, RowsChoice, SamplingChoice};
pub(super) use rows::{Chosen, Item};
pub use stored::{RunError, RunSummary, StoredRun, stored_run, stored_runs};
pub(super) use stored::{find, outputs, runs_in, store};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::event::Event;
use super::job::{Failure, JobContext};
use super::phases::{StoredDataset, load_dataset};
use super::scoring::{self, Question};
use crate::dataset::Side;
use crate::domain::{Article, ArticleId, Conduct, Digest, Finding, PairKey, Phase, Profile, ProfileId, read_tolerant};
use crate::evaluate::{self, Answered, Baselines, Calibration, Evaluation, Given, Material, Subject};
use crate::workspace::Workspace;
use predictor::Predictor;

/// A finished run.
pub(super) struct Finished {
    pub id: Digest,
    pub evaluation: Evaluation,
}

/// What baselines are fitted on.
struct Fit {
    rows: Vec<Item>,
    digest: Digest,
}

/// Runs a request to its end and stores the record. `input`: what findings are recorded under; `None`: they are in the
/// record alone, and only what stops is recorded beside it. `None` comes back where the operator stopped it.
pub(super) fn conduct(
    context: &mut JobContext,
    request: &EvaluationRequest,
    input: Option<&Digest>,
) -> Result<Option<Finished>, Failure> {
    let workspace = context.workspace.clone();
    let recipe = &workspace.recipe;
    // Nothing is asked with a scorer that fails its own test.
    let mut findings = vec![evaluate::e7(recipe)];
    context.hold(input.unwrap_or(&recipe.digest()), &findings)?;

    let people = People::load(&context.ledger)?;
    let dataset = current_dataset(context)?;
    let Chosen { mut items, mut set } = rows::choose(context, &people, dataset.as_ref(), request)?;
    let fit = fit(context, request, &people, dataset.as_ref(), &items)?;
    let train = resolved(&people, &fit.rows);
    let baselines = (!train.is_empty()).then(|| Baselines::fit(&train, recipe.scale.range()));
    let predictor = predictor::open(context, request, baselines.as_ref())?;
    if let Predictor::Gave { scores, answers_for_all: false, .. } = &predictor {
        let before = items.len();
        items.retain(|i| scores.contains_key(&i.pair));
        narrowed(&mut set, &items, before)?;
    }
    let mut subject = Subject {
        model: predictor.model(),
        runtime: predictor.runtime(),
        dataset: fit.digest.clone(),
        recipe: recipe.digest(),
        sampling: predictor.sampling()?,
        seed: workspace.config.seed,
        rows: Some(set.digest.clone()),
        calibrator: None,
    };
    let calibrator = calibrator(context, request, &subject.model, &people, &items)?;
    subject.calibrator = calibrator.as_ref().map(Calibration::digest);
    findings.extend(calibrator.as_ref().map(|c| c.d9(&subject.model)));

    let known = Training::of(dataset.as_ref(), &people);
    let student = matches!(request.predictor, PredictorChoice::Student);
    set.chose_model = student && request.rows == RowsChoice::HeldOut;
    let learnt = student || matches!(predictor, Predictor::Baseline { .. });
    if learnt {
        findings.extend(known.d3(&items, &people));
    }
    let Some(given) = given(context, &predictor, &subject, &people, &items, baselines.as_ref())? else { return Ok(None) };
    let clusters: HashMap<&PairKey, String> = items.iter().map(|i| (&i.pair, people.cluster(&i.pair.article))).collect();
    let mut answered = Vec::with_capacity(items.len());
    for item in &items {
        let (profile, article) = people.of(&item.pair)?;
        answered.push(Answered {
            pair: &item.pair,
            profile,
            article,
            cluster: clusters.get(&item.pair).map_or("", String::as_str),
            prompt: given.prompts.get(&item.pair).map_or("", String::as_str),
            truth: item.truth,
            source: &item.source,
            given: given.of(&item.pair),
            seen_profile: known.has_reader(&item.pair.profile).filter(|_| learnt),
            seen_article: known.has_article(&item.pair.article, &people).filter(|_| learnt),
        });
    }
    let floor = annotators::floor(&workspace, &context.ledger, &items, request.second.as_deref())?;
    let trained: BTreeSet<&PairKey> = fit.rows.iter().map(|i| &i.pair).collect();
    let sanity_score = |title: &str, reader: &str| given.sanity.get(&(title.to_owned(), reader.to_owned())).copied();
    let examined = !given.sanity_asked.is_empty();
    let evaluation = Evaluation::new(Material {
        settings: settings::settings(context, request, &subject, &set),
        predictor: &request.predictor.to_string(),
        recipe,
        baselines: baselines.as_ref(),
        fitted_here: items.iter().filter(|i| trained.contains(&i.pair)).count(),
        answered: &answered,
        sanity_score: if examined { Some(&sanity_score) } else { None },
        calibrator: calibrator.as_ref(),
        floor,
        findings,
        row_set: set,
        subject,
    });
    // Off the phase's path they are in the record, and do not take the place of what the guards saw of the student.
    if let Some(input) = input {
        context.hold(input, &evaluation.findings)?;
    }
    let id = store(&mut context.ledger, &evaluation, context.clock.now())?;
    context.event(Event::Evaluated { id: id.clone(), headline: evaluation.verdict_words() });
    Ok(Some(Finished { id, evaluation }))
}

/// At most `limit` held-out pairs with their labels, drawn by band, in pair order: what a release's gate asks.
pub(super) fn gate_items(context: &mut JobContext, people: &People, limit: usize) -> Result<Vec<(PairKey, f64)>, Failure> {
    let dataset = current_dataset(context)?;
    let request = EvaluationRequest { limit: Some(limit), ..EvaluationRequest::default() };
    let chosen = rows::choose(context, people, dataset.as_ref(), &request)?;
    Ok(chosen.items.into_iter().map(|item| (item.pair, item.truth)).collect())
}

/// The rows of a request, and whom and what they are about.
pub(super) fn rows_of(context: &mut JobContext, request: &EvaluationRequest) -> Result<(People, Chosen), Failure> {
    let people = People::load(&context.ledger)?;
    let dataset = current_dataset(context)?;
    let chosen = rows::choose(context, &people, dataset.as_ref(), request)?;
    Ok((people, chosen))
}

/// The newest dataset; `None`: there is none, which only some requests mind.
fn current_dataset(context: &JobContext) -> Result<Option<StoredDataset>, Failure> {
    let record = context.ledger.last_record(Phase::Dataset)?;
    record.map(|r| load_dataset(&context.workspace, &r.output)).transpose()
}

/// The rows that baselines are fitted on. Of a file, those of judged articles are taken out, near-duplicates included.
fn fit(
    context: &mut JobContext,
    request: &EvaluationRequest,
    people: &People,
    dataset: Option<&StoredDataset>,
    items: &[Item],
) -> Result<Fit, Failure> {
    let workspace = context.workspace.clone();
    let Some(path) = &request.fit else {
        let Some(stored) = dataset else { return Ok(Fit { rows: Vec::new(), digest: Digest::default() }) };
        let row =
            |e: &crate::dataset::Example| Item { pair: e.pair.clone(), truth: e.score, source: e.provenance.annotator.clone() };
        let rows = stored.side(Side::Train).map(row).collect();
        return Ok(Fit { rows, digest: stored.digest.clone() });
    };
    let mut left_out = BTreeMap::new();
    let mut rows = rows::from_file(&workspace, &workspace.root().join(path), &mut left_out)?;
    rows::leave_out(&workspace, people, &mut rows, &mut left_out);
    let judged: BTreeSet<String> = items.iter().map(|i| people.cluster(&i.pair.article)).collect();
    let before = rows.len();
    rows.retain(|i| !judged.contains(&people.cluster(&i.pair.article)));
    if rows.len() < before {
        let text = format!("{} rows of --fit are of judged articles and were taken out of it", before - rows.len());
        context.warn(text);
    }
    rows.sort_by(|a, b| a.pair.cmp(&b.pair));
    let pairs: Vec<(&str, &str, f64)> =
        rows.iter().map(|i| (i.pair.article.as_str(), i.pair.profile.as_str(), i.truth)).collect();
    Ok(Fit { digest: Digest::of_json(&("fit", pairs)), rows })
}

fn resolved<'a>(people: &'a People, rows: &[Item]) -> Vec<(&'a Profile, &'a Article, f64)> {
    let known = rows.iter().filter_map(|i| Some((people.profile(&i.pair.profile)?, people.article(&i.pair.article)?, i.truth)));
    known.collect()
}

/// The set without the rows that a teacher never judged.
fn narrowed(set: &mut evaluate::RowSet, items: &[Item], before: usize) -> Result<(), Failure> {
    if items.is_empty() {
        let next = "Evaluate it on rows that it judged, or ask it: stratos distill run --teacher NAME.";
        return Err(Failure::new(format!("it judged none of these {before} rows"), next));
    }
    if items.len() < before {
        set.left_out.insert("never judged by this predictor".into(), before - items.len());
        set.n = items.len();
        let content: Vec<(&str, &str, f64)> =
            items.iter().map(|i| (i.pair.article.as_str(), i.pair.profile.as_str(), i.truth)).collect();
        set.digest = Digest::of_json(&content);
    }
    Ok(())
}

/// The calibrator of an earlier run, proved to belong to this model (guard D9) and not to be judged on what it was fitted on
/// (guard E8).
fn calibrator(
    context: &mut JobContext,
    request: &EvaluationRequest,
    model: &Digest,
    people: &People,
    items: &[Item],
) -> Result<Option<Calibration>, Failure> {
    let Some(name) = &request.calibrator else { return Ok(None) };
    let (id, run) = find(&context.ledger, name)?;
    let found = run.calibration.filter(|c| c.kept).ok_or_else(|| {
        let next = "Evaluate without --calibrator; calibration is judged and said there.";
        Failure::new(format!("run {} has no calibrator that was better out of sample (guard E8)", id.short()), next)
    })?;
    context.hold(model, &[found.d9(model)])?;
    let clusters: Vec<String> = items.iter().map(|i| people.cluster(&i.pair.article)).collect();
    let e8 = found.e8_at_use(clusters.iter().map(String::as_str));
    if e8.failed() {
        return Err(Failure::new(format!("guard E8: {}", e8.saw), e8.remedy));
    }
    Ok(Some(found))
}

/// What training had.
struct Training {
    readers: BTreeSet<ProfileId>,
    clusters: BTreeSet<String>,
}

impl Training {
    fn of(dataset: Option<&StoredDataset>, people: &People) -> Self {
        let rows = || dataset.into_iter().flat_map(|d| d.side(Side::Train));
        Self {
            readers: rows().map(|e| e.pair.profile.clone()).collect(),
            clusters: rows().map(|e| people.cluster(&e.pair.article)).collect(),
        }
    }

    /// `None`: there was no training side.
    fn has_reader(&self, reader: &ProfileId) -> Option<bool> {
        (!self.readers.is_empty()).then(|| self.readers.contains(reader))
    }

    fn has_article(&self, article: &ArticleId, people: &People) -> Option<bool> {
        (!self.clusters.is_empty()).then(|| self.clusters.contains(&people.cluster(article)))
    }

    /// Guard D3 at evaluation: rows of articles that training had measure memory. For a reader whom training never saw they
    /// still measure something: whether it tells readers apart.
    fn d3(&self, items: &[Item], people: &People) -> Option<Finding> {
        if self.clusters.is_empty() {
            return None;
        }
        let known: Vec<&Item> = items.iter().filter(|i| self.has_article(&i.pair.article, people) == Some(true)).collect();
        let (all, n) = (items.len(), known.len());
        let old_readers = known.iter().filter(|i| self.readers.contains(&i.pair.profile)).count();
        if old_readers == 0 {
            let also = match n {
                0 => String::new(),
                n => format!("; {n} are of such an article for a reader that training never saw: look at the groups by article"),
            };
            return Some(Finding::pass("D3", format!("none of {all} rows is a reader and an article that training had{also}")));
        }
        let saw = format!("{n} of {all} rows are of articles that training had: their figures measure memory");
        Some(Finding::fail("D3", saw, "Evaluate on --rows held-out or sealed before you believe a figure."))
    }
}

/// Everything a predictor gave.
struct Gifts {
    written: Option<BTreeMap<PairKey, Written>>,
    scores: BTreeMap<PairKey, Option<f64>>,
    prompts: BTreeMap<PairKey, String>,
    /// Scores of sanity cells by title and reader, and the cells that were asked.
    sanity: HashMap<(String, String), f64>,
    sanity_asked: Vec<PairKey>,
}

impl Gifts {
    fn of(&self, pair: &PairKey) -> Given<'_> {
        match &self.written {
            Some(written) => match written.get(pair) {
                Some(w) => Given::Text { output: &w.text, expected: w.expected, stop: w.stop },
                None => Given::Text { output: "", expected: None, stop: None },
            },
            None => Given::Score(self.scores.get(pair).copied().flatten()),
        }
    }
}

/// Asks the predictor. `None`: stopped by the operator.
fn given(
    context: &mut JobContext,
    predictor: &Predictor,
    subject: &Subject,
    people: &People,
    items: &[Item],
    baselines: Option<&Baselines>,
) -> Result<Option<Gifts>, Failure> {
    let workspace = context.workspace.clone();
    let mut gifts = Gifts {
        written: None,
        scores: BTreeMap::new(),
        prompts: BTreeMap::new(),
        sanity: HashMap::new(),
        sanity_asked: Vec::new(),
    };
    match predictor {
        Predictor::Writes { scorer, rules } => {
            let mut questions = Vec::with_capacity(items.len());
            for item in items {
                let (profile, article) = people.of(&item.pair)?;
                questions.push(scoring::question(&workspace, profile, article)?);
            }
            let sanity = scoring::sanity_questions(&workspace, &context.ledger, false)?;
            gifts.sanity_asked = sanity.iter().map(|q| q.pair.clone()).collect();
            questions.extend(sanity);
            let asked = ask(context, scorer.as_ref(), rules, &subject.answers(), &questions)?;
            let Some(written) = asked else { return Ok(None) };
            gifts.sanity = sanity_scores(&workspace, &written)?;
            gifts.prompts = questions.iter().map(|q| (q.pair.clone(), prompt_text(q))).collect();
            gifts.written = Some(written);
        }
        Predictor::Gave { scores, .. } => {
            let missing = items.iter().filter(|i| !scores.contains_key(&i.pair)).count();
            if missing > 0 {
                context.warn(format!("{missing} of {} rows have no prediction; each is charged as a failure", items.len()));
            }
            gifts.scores.clone_from(scores);
        }
        Predictor::Baseline { name, .. } => {
            let Some(fitted) = baselines else { return Ok(Some(gifts)) };
            let mut pairs = Vec::with_capacity(items.len());
            for item in items {
                pairs.push(people.of(&item.pair)?);
            }
            let predictions = fitted.predict_all(name, pairs.into_iter());
            gifts.scores = items.iter().zip(predictions).map(|(i, p)| (i.pair.clone(), Some(p))).collect();
        }
    }
    Ok(Some(gifts))
}

fn prompt_text(question: &Question) -> String {
    let parts: Vec<&str> = question.prompt.messages.iter().map(|m| m.content.as_str()).collect();
    parts.join("\n")
}

/// The predictor's score of each sanity cell, by title and reader.
fn sanity_scores(workspace: &Workspace, written: &BTreeMap<PairKey, Written>) -> Result<HashMap<(String, String), f64>, Failure> {
    let mut scores = HashMap::new();
    for (article, reader) in scoring::sanity_cells(workspace, false)? {
        let Ok(profile) = ProfileId::new(reader.clone()) else { continue };
        let pair = PairKey { article: article.id.clone(), profile };
        let read = written.get(&pair).and_then(|w| read_tolerant(&w.text, workspace.recipe.scale.range()).ok());
        if let Some((score, _)) = read {
            scores.insert((article.title.clone(), reader), score);
        }
    }
    Ok(scores)
}
