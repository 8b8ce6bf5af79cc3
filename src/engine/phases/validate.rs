//! Phase 6: the student answers the held-out rows and the sanity articles; the answers become an evaluation.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::super::scoring::{self, Question, Reply};
use super::deploy::trained_dir;
use super::{load_dataset, upstream_output};
use crate::dataset::{Example, Side};
use crate::domain::{Article, ArticleId, Conduct, Digest, Gate, PairKey, Phase, Profile, ProfileId, read_tolerant};
use crate::evaluate::{self, Answered, Baselines, Evaluation, Given, Material, RowSet, Subject};
use crate::scorer::Scorer;
use crate::workspace::{Ledger, StoredPrediction, Workspace, WorkspaceError};

pub fn run(context: &mut JobContext, input: &Digest) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let recipe = &workspace.recipe;
    let dataset = upstream_output(context, Phase::Dataset)?;
    let stored = load_dataset(&workspace, &dataset)?;
    let trained = upstream_output(context, Phase::Train)?;
    let scorer = scoring::scorer(&workspace, &trained_dir(&context.ledger, &workspace)?, &trained)?;
    let subject = Subject {
        model: scorer.digest(),
        runtime: scorer.runtime(),
        dataset,
        recipe: recipe.digest(),
        sampling: serde_json::to_string(&recipe.sampling)?,
        seed: workspace.config.seed,
        rows: None,
        calibrator: None,
    };
    let people = People::load(&context.ledger)?;
    let held_out: Vec<&Example> = stored.side(Side::Eval).collect();
    let mut questions = Vec::with_capacity(held_out.len());
    for example in &held_out {
        let (profile, article) = people.of(&example.pair)?;
        questions.push(scoring::question(&workspace, profile, article)?);
    }
    let sanity = scoring::sanity_questions(&workspace, &context.ledger, false)?;
    questions.extend(sanity.iter().cloned());
    let Some(outputs) = ask(context, scorer.as_ref(), &subject.digest(), &questions)? else { return Ok(PhaseEnd::Stopped) };

    let prompts: HashMap<&PairKey, String> = questions.iter().map(|q| (&q.pair, prompt_text(q))).collect();
    let mut answered = Vec::with_capacity(held_out.len());
    for example in &held_out {
        let (profile, article) = people.of(&example.pair)?;
        let output = outputs.get(&example.pair).map_or("", String::as_str);
        let prompt = prompts.get(&example.pair).map_or("", String::as_str);
        let given = Given::Text { output, expected: None, stop: None };
        let (cluster, source) = (example.pair.article.as_str(), example.provenance.model.as_str());
        answered.push(Answered {
            pair: &example.pair,
            profile,
            article,
            cluster,
            prompt,
            truth: example.score,
            source,
            given,
            seen_profile: None,
        });
    }
    let mut train = Vec::new();
    for example in stored.side(Side::Train) {
        let (profile, article) = people.of(&example.pair)?;
        train.push((profile, article, example.score));
    }
    let cells = sanity_scores(&workspace, &outputs)?;
    let sanity_score = |title: &str, reader: &str| cells.get(&(title.to_owned(), reader.to_owned())).copied();
    let baselines = Baselines::fit(&train, recipe.scale.range());
    let pairs = answered.iter().map(|a| (a.pair.article.as_str(), a.pair.profile.as_str(), a.truth));
    let rows = Digest::of_json(&pairs.collect::<Vec<_>>());
    let n = answered.len();
    let evaluation = Evaluation::new(Material {
        row_set: RowSet { name: "held-out".into(), digest: rows, n, of: n, chose_model: true, ..RowSet::default() },
        subject: subject.clone(),
        predictor: "student",
        recipe,
        baselines: Some(&baselines),
        fitted_here: 0,
        answered: &answered,
        sanity_score: Some(&sanity_score),
        calibrator: None,
        floor: None,
        findings: vec![evaluate::e7(recipe)],
        settings: std::collections::BTreeMap::new(),
    });
    context.hold(input, &evaluation.findings)?;
    context.ledger.put_evaluation(&subject.digest(), &serde_json::to_string(&evaluation)?, "", context.clock.now())?;
    Ok(PhaseEnd::Done { output: subject.digest(), headline: evaluation.verdict_words() })
}

/// Asks what has no stored answer yet, storing each as it comes. `None`: stopped by the operator.
fn ask(
    context: &mut JobContext,
    scorer: &dyn Scorer,
    subject: &Digest,
    questions: &[Question],
) -> Result<Option<HashMap<PairKey, String>>, Failure> {
    let workspace = context.workspace.clone();
    let mut outputs: HashMap<PairKey, String> =
        context.ledger.predictions(subject)?.into_iter().map(|p| (p.pair, p.output)).collect();
    let open: Vec<Question> = questions.iter().filter(|q| !outputs.contains_key(&q.pair)).cloned().collect();
    let total = questions.len() as u64;
    let runtime = scorer.runtime().to_string();
    context.progress(outputs.len() as u64, total, "answers", &runtime);
    if context.gate() == Gate::Stop {
        return Ok(None);
    }
    let mut broken = None;
    let asked = scoring::answer(&workspace, scorer, &open, &mut |reply| {
        if let Err(error) = context.ledger.put_predictions(subject, &[stored_prediction(&reply)]) {
            broken = Some(Err(Failure::from(error)));
            return ControlFlow::Break(());
        }
        outputs.insert(reply.pair, reply.written.text);
        context.progress(outputs.len() as u64, total, "answers", &runtime);
        if context.gate() == Gate::Stop && (outputs.len() as u64) < total {
            broken = Some(Ok(None));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    match broken {
        Some(end) => end,
        None => asked.map(|()| Some(outputs)),
    }
}

fn stored_prediction(reply: &Reply) -> StoredPrediction {
    let written = &reply.written;
    StoredPrediction {
        pair: reply.pair.clone(),
        output: written.text.clone(),
        tokens: written.tokens,
        seconds: reply.seconds,
        expected: written.expected_score,
        stop: serde_json::to_string(&written.stop).unwrap_or_default(),
        prompt: String::new(),
    }
}

fn prompt_text(question: &Question) -> String {
    let parts: Vec<&str> = question.prompt.messages.iter().map(|m| m.content.as_str()).collect();
    parts.join("\n")
}

/// The student's score of each sanity cell, by title and reader.
fn sanity_scores(workspace: &Workspace, outputs: &HashMap<PairKey, String>) -> Result<HashMap<(String, String), f64>, Failure> {
    let mut scores = HashMap::new();
    for (article, reader) in scoring::sanity_cells(workspace, false)? {
        let Ok(profile) = ProfileId::new(reader.clone()) else { continue };
        let pair = PairKey { article: article.id.clone(), profile };
        let read = outputs.get(&pair).and_then(|text| read_tolerant(text, workspace.recipe.scale.range()).ok());
        if let Some((score, _)) = read {
            scores.insert((article.title.clone(), reader), score);
        }
    }
    Ok(scores)
}

/// Stored profiles and articles by id.
struct People {
    profiles: HashMap<ProfileId, Profile>,
    articles: HashMap<ArticleId, Article>,
}

impl People {
    fn load(ledger: &Ledger) -> Result<Self, WorkspaceError> {
        Ok(Self {
            profiles: ledger.profiles()?.into_iter().map(|(p, _)| (p.id.clone(), p)).collect(),
            articles: ledger.articles()?.into_iter().map(|(a, _)| (a.id.clone(), a)).collect(),
        })
    }

    fn of(&self, pair: &PairKey) -> Result<(&Profile, &Article), Failure> {
        match (self.profiles.get(&pair.profile), self.articles.get(&pair.article)) {
            (Some(profile), Some(article)) => Ok((profile, article)),
            _ => Err(Failure::new(
                format!("{pair} is in the dataset but no longer stored"),
                "Run 'stratos dataset build --again'.",
            )),
        }
    }
}

/// The newest evaluation and the digest of its subject.
pub fn last_evaluation(ledger: &Ledger) -> Result<Option<(Evaluation, Digest)>, WorkspaceError> {
    let Some(record) = ledger.last_record(Phase::Validate)? else { return Ok(None) };
    let body = ledger.evaluation(&record.output)?;
    Ok(body.and_then(|text| serde_json::from_str(&text).ok()).map(|evaluation| (evaluation, record.output)))
}
