//! The job that probes the trained student: rows of its newest evaluation, every answer kept as it comes, so that a stopped
//! run goes on where it was.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::super::job::{Failure, JobContext, PhaseEnd};
use super::super::phases::{trained_dir, upstream_output};
use super::super::scoring;
use super::super::subject::Choice;
use super::{Judged, ProbeMaterial, draw, probe};
use crate::domain::recipe::Sampling;
use crate::domain::{Article, Conduct, Digest, Gate, Phase, Profile};
use crate::evaluate::{Evaluation, JudgedRow, Runtime};
use crate::scorer::{Embedded, OnRow, Scorer, ScorerError};
use crate::student::base::Base;
use crate::student::matrix::Keep;
use crate::student::{Generated, Prompt, Stop, Student};
use crate::workspace::{Ledger, ProbeAnswer, Workspace};

pub fn run(context: &mut JobContext, n: usize) -> Result<PhaseEnd, Failure> {
    let workspace = context.workspace.clone();
    let trained = upstream_output(context, Phase::Train)?;
    let scorer = scoring::scorer(&workspace, &trained_dir(&context.ledger, &workspace)?, &trained)?;
    let (evaluation, digest) = evaluated(&context.ledger, &scorer.digest())?;
    let articles: Vec<Article> = context.ledger.articles()?.into_iter().map(|(article, _)| article).collect();
    let profiles: Vec<Profile> = context.ledger.profiles()?.into_iter().map(|(profile, _)| profile).collect();
    let judged = judged(&evaluation, &articles, &profiles);
    let recipe = &workspace.recipe;
    let drawn = draw(&judged, &profiles, recipe, n, workspace.config.seed);
    if drawn.rows.is_empty() {
        let next = "Run 'stratos validate --again', then probe.";
        return Err(Failure::new("the evaluation of this student keeps no written answers", next));
    }
    let (corpus, plain) = words(&articles, &profiles);
    let material = ProbeMaterial {
        recipe,
        renderer: &workspace.renderer,
        drawn,
        known: profiles.iter().flat_map(|p| p.tracked.iter().map(String::as_str)).collect(),
        seen: &|word| corpus.contains(&word.to_lowercase()),
        is_word: &|word| plain.contains(word),
        seed: workspace.config.seed,
        sealed: evaluation.row_set.sealed,
    };
    let base = untuned(&workspace);
    let keeper = RefCell::new(workspace.ledger()?);
    let scorer = Keeping::new(scorer.as_ref(), &keeper)?;
    let base = match &base {
        Ok(base) => Ok(Keeping::new(base, &keeper)?),
        Err(why) => Err(why.clone()),
    };
    let asked = base.as_ref().map(|base| base as &dyn Scorer).map_err(String::as_str);
    let runtime = scorer.runtime().to_string();
    let found = probe(&material, &scorer, asked, &mut |done, total| {
        context.progress(done as u64, total as u64, "answers", &runtime);
        if context.gate() == Gate::Stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let Some(found) = found else { return Ok(PhaseEnd::Stopped) };
    context.ledger.put_probes(&digest, &serde_json::to_string(&found)?, context.clock.now())?;
    let failed = found.failures();
    let verdict = if failed.is_empty() { "nothing speaks against it".to_owned() } else { failed.join("; ") };
    Ok(PhaseEnd::Aside { headline: format!("probes of {}: {verdict}", found.model.short()) })
}

/// The newest evaluation of this model.
fn evaluated(ledger: &Ledger, model: &Digest) -> Result<(Evaluation, Digest), Failure> {
    for row in ledger.evaluations()? {
        let Some(body) = ledger.evaluation(&row.subject)? else { continue };
        // A record that no longer reads is of an older version, and not the one that is looked for.
        let read: Option<Evaluation> = serde_json::from_str(&body).ok();
        if let Some(evaluation) = read.filter(|e| e.subject.model == *model && e.rows.iter().any(|r| !r.output.is_empty())) {
            return Ok((evaluation, row.subject));
        }
    }
    Err(Failure::new(
        format!("no evaluation of this student ({}) keeps its answers", model.short()),
        "Run 'stratos validate', then probe.",
    ))
}

/// The rows that were answered in words and whose article and reader are still stored.
fn judged<'a>(evaluation: &'a Evaluation, articles: &'a [Article], profiles: &'a [Profile]) -> Vec<Judged<'a>> {
    let articles: HashMap<&str, &Article> = articles.iter().map(|a| (a.id.as_str(), a)).collect();
    let profiles: HashMap<&str, &Profile> = profiles.iter().map(|p| (p.id.as_str(), p)).collect();
    let written = evaluation.rows.iter().filter(|r| !r.output.is_empty());
    let row = |r: &'a JudgedRow| {
        let (article, profile) = (*articles.get(r.article.as_str())?, *profiles.get(r.profile.as_str())?);
        Some(Judged { article, profile, other: profile, truth: r.truth, output: &r.output })
    };
    written.filter_map(row).collect()
}

/// Every word of the stored articles and profiles in lower case, and those that are written so somewhere.
fn words(articles: &[Article], profiles: &[Profile]) -> (HashSet<String>, HashSet<String>) {
    let articles = articles.iter().flat_map(|a| [a.title.as_str(), a.summary.as_str(), a.source.as_str()]);
    let profiles = profiles.iter().flat_map(|p| [p.role.as_str(), p.context.as_str(), p.location.as_str()]);
    let mut found = (HashSet::new(), HashSet::new());
    for word in articles.chain(profiles).flat_map(|text| text.split(|c: char| !c.is_alphanumeric())) {
        if word.chars().next().is_some_and(char::is_lowercase) {
            found.1.insert(word.to_owned());
        }
        found.0.insert(word.to_lowercase());
    }
    found
}

/// The base without its adapter, or why there is none to ask.
fn untuned(workspace: &Workspace) -> Result<Embedded, String> {
    if workspace.config.scoring.server.is_some() {
        return Err("a server writes the answers, and it has the tuned model alone".into());
    }
    let path = match Choice::of(workspace) {
        Ok(Choice::Base(path)) => path,
        Ok(Choice::Seedling) => return Err("the seedling is trained whole; there is no base under it".into()),
        Err(failure) => return Err(failure.reason),
    };
    let base = Base::load(&path, Keep::AsStored).and_then(|mut base| {
        base.codec.template = base.codec.template.with_thinking(workspace.recipe.student.think.then_some(true));
        Student::adapted(&base, None)
    });
    base.map(Embedded::new).map_err(|error| error.to_string())
}

/// A scorer whose answers are kept in the ledger and not asked for twice.
struct Keeping<'a> {
    inner: &'a dyn Scorer,
    ledger: &'a RefCell<Ledger>,
    known: HashMap<String, ProbeAnswer>,
}

impl<'a> Keeping<'a> {
    fn new(inner: &'a dyn Scorer, ledger: &'a RefCell<Ledger>) -> Result<Self, Failure> {
        let known = ledger.borrow().probe_answers(&inner.digest())?;
        Ok(Self { inner, ledger, known })
    }
}

/// What was asked, and how.
fn item(prompt: &Prompt, rules: &Sampling, seed: u64) -> String {
    Digest::of_json(&(&prompt.id, &prompt.messages, rules, seed)).as_str().to_owned()
}

impl Scorer for Keeping<'_> {
    fn runtime(&self) -> Runtime {
        self.inner.runtime()
    }

    fn digest(&self) -> Digest {
        self.inner.digest()
    }

    fn answer(&self, prompts: &[Prompt], rules: &Sampling, seed: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError> {
        let mut done: HashMap<String, Generated> = HashMap::new();
        let mut open = Vec::new();
        for prompt in prompts {
            match self.known.get(&item(prompt, rules, seed)) {
                Some(kept) => {
                    let row = generated(prompt, kept);
                    if on_row(&row).is_break() {
                        return Ok(Vec::new());
                    }
                    done.insert(prompt.id.clone(), row);
                }
                None => open.push(prompt.clone()),
            }
        }
        let items: HashMap<&str, String> = open.iter().map(|p| (p.id.as_str(), item(p, rules, seed))).collect();
        let written = self.inner.answer(&open, rules, seed, &mut |row| {
            if let Some(item) = items.get(row.id.as_str()) {
                let answer = ProbeAnswer { item: item.clone(), output: row.text.clone(), expected: row.expected_score };
                // An answer that could not be kept is asked for again by the next run.
                let kept = self.ledger.borrow_mut().put_probe_answer(&self.inner.digest(), &answer);
                if let Err(error) = kept {
                    tracing::warn!("a probe's answer was not kept: {error}");
                }
            }
            on_row(row)
        })?;
        done.extend(written.into_iter().map(|row| (row.id.clone(), row)));
        Ok(prompts.iter().filter_map(|p| done.remove(&p.id)).collect())
    }
}

fn generated(prompt: &Prompt, kept: &ProbeAnswer) -> Generated {
    Generated {
        id: prompt.id.clone(),
        text: kept.output.clone(),
        tokens: 0,
        prompt_tokens: 0,
        stop: Stop::End,
        expected_score: kept.expected,
    }
}
