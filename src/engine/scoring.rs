//! Scoring: prompts for pairs, answers of a student by the scorer that `stratos.toml` chooses. Validation, the release's
//! smoke test and `stratos score` all ask through here, so they ask the same way.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::event::{Event, Level};
use super::job::{Failure, JobMessage};
use super::phases::{selected_profiles, served};
use crate::domain::recipe::Sampling;
use crate::domain::{Article, Conduct, Digest, Gate, PairKey, Profile, ProfileId, SourceType, read_tolerant, split_think};
use crate::scorer::{self, Embedded, Scorer};
use crate::student::{Generated, Prompt, Student};
use crate::workspace::{Ledger, Workspace};

/// A pair to ask about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub pair: PairKey,
    pub prompt: Prompt,
}

/// What a student wrote. `seconds`: since the answer before, so that they sum up to what all took.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub pair: PairKey,
    pub written: Generated,
    pub seconds: f64,
}

impl Reply {
    /// The score, however it is spelt.
    pub fn score(&self, workspace: &Workspace) -> Option<f64> {
        read_tolerant(&self.written.text, workspace.recipe.scale.range()).ok().map(|(score, _)| score)
    }
}

/// The question about one pair, rendered as in training.
pub(super) fn question(workspace: &Workspace, profile: &Profile, article: &Article) -> Result<Question, Failure> {
    let pair = PairKey { article: article.id.clone(), profile: profile.id.clone() };
    let messages = workspace.renderer.student(profile, article)?.messages();
    Ok(Question { prompt: Prompt { id: format!("{}|{}", pair.article, pair.profile), messages }, pair })
}

/// The recipe's sanity articles for the readers that are here. `table_only`: without the single cells.
pub(super) fn sanity_questions(workspace: &Workspace, ledger: &Ledger, table_only: bool) -> Result<Vec<Question>, Failure> {
    let profiles: Vec<Profile> = ledger.profiles()?.into_iter().map(|(p, _)| p).collect();
    let mut questions = Vec::new();
    for (article, reader) in sanity_cells(workspace, table_only)? {
        if let Some(profile) = profiles.iter().find(|p| p.id.as_str() == reader) {
            questions.push(question(workspace, profile, &article)?);
        }
    }
    Ok(questions)
}

/// (article, reader) of each sanity cell. An article's id is the digest of its text.
pub(super) fn sanity_cells(workspace: &Workspace, table_only: bool) -> Result<Vec<(Article, String)>, Failure> {
    let sanity = &workspace.recipe.sanity;
    let mut cells = Vec::new();
    for row in &sanity.articles {
        let article = adhoc_article(&row.title, &row.summary, &row.source, row.source_type)?;
        cells.extend(row.expect.iter().map(|e| (article.clone(), e.profile.clone())));
    }
    for cell in sanity.cells.iter().filter(|_| !table_only) {
        let article = adhoc_article(&cell.title, &cell.summary, &cell.source, cell.source_type)?;
        cells.push((article, cell.expect.profile.clone()));
    }
    Ok(cells)
}

/// An article that is in no file.
pub(super) fn adhoc_article(title: &str, summary: &str, source: &str, source_type: SourceType) -> Result<Article, Failure> {
    let row = serde_json::json!({"title": title, "summary": summary, "source": source, "source_type": source_type});
    serde_json::from_value(row).map_err(Failure::from)
}

/// The scorer of `[scoring]` for the student in a folder, whose digest this is.
pub(super) fn scorer(workspace: &Workspace, folder: &Path, student: &Digest) -> Result<Box<dyn Scorer>, Failure> {
    Ok(scorer::open(&workspace.config.scoring, folder, student)?)
}

/// Asks the embedded student, with the recipe's sampling. Each answer depends on its own row and the seed alone. Stops early
/// if the conductor says so; then fewer answers come back.
pub(super) fn generate(
    workspace: &Workspace,
    student: &Student,
    questions: &[Question],
    conduct: &mut dyn Conduct,
) -> Result<Vec<Reply>, Failure> {
    let mut replies = Vec::with_capacity(questions.len());
    answer(workspace, &Embedded::new(student.clone()), &workspace.recipe.sampling, questions, &mut |reply| {
        replies.push(reply);
        if conduct.gate() == Gate::Stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(replies)
}

/// Asks everything at once, so that the scorer can batch and share beginnings; answers come in any order.
pub(super) fn answer(
    workspace: &Workspace,
    scorer: &dyn Scorer,
    rules: &Sampling,
    questions: &[Question],
    on_reply: &mut dyn FnMut(Reply) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let prompts: Vec<Prompt> = questions.iter().map(|q| q.prompt.clone()).collect();
    let pairs: HashMap<&str, &PairKey> = questions.iter().map(|q| (q.prompt.id.as_str(), &q.pair)).collect();
    let mut since = Instant::now();
    let mut on_row = |written: &Generated| {
        let Some(pair) = pairs.get(written.id.as_str()) else { return ControlFlow::Continue(()) };
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        on_reply(Reply { pair: (*pair).clone(), written: written.clone(), seconds })
    };
    scorer.answer(&prompts, rules, workspace.config.seed, &mut on_row)?;
    Ok(())
}

/// What `score` asks: every article for every reader; no readers: all that take part.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub profiles: Vec<ProfileId>,
    pub articles: Vec<Article>,
}

/// Scores articles on a thread of its own and tells the supervisor.
pub(super) fn spawn(workspace: Arc<Workspace>, asked: Asked, tell: UnboundedSender<JobMessage>) {
    let work = move || {
        // The listener is gone only while the process ends.
        let say = |event: Event| drop(tell.send(JobMessage::Event(event)));
        if let Err(failure) = score(&workspace, &asked, &say) {
            say(Event::Log { level: Level::Error, text: format!("score: {}. {}", failure.reason, failure.next) });
        }
    };
    // Without a thread there is no score; the caller hears nothing and its operator asks again.
    let _ = std::thread::Builder::new().name("score".into()).spawn(work);
}

/// The readers that are meant, in stored order.
fn readers(workspace: &Workspace, ledger: &Ledger, asked: &Asked) -> Result<Vec<Profile>, Failure> {
    let stored = ledger.profiles()?;
    if asked.profiles.is_empty() {
        return Ok(selected_profiles(stored, &workspace.config.select));
    }
    let stored: Vec<Profile> = stored.into_iter().map(|(p, _)| p).collect();
    if let Some(unknown) = asked.profiles.iter().find(|id| stored.iter().all(|p| p.id != **id)) {
        return Err(Failure::new(format!("there is no profile '{unknown}'"), "See 'stratos profiles list'."));
    }
    Ok(stored.into_iter().filter(|p| asked.profiles.contains(&p.id)).collect())
}

fn score(workspace: &Workspace, asked: &Asked, say: &dyn Fn(Event)) -> Result<(), Failure> {
    let ledger = workspace.ledger()?;
    let profiles = readers(workspace, &ledger, asked)?;
    let (folder, model) = served(&ledger, workspace)?;
    let scorer = scorer(workspace, &folder, &model).map_err(|f| Failure::new(f.reason, "Then ask again."))?;
    let runtime: Arc<str> = scorer.runtime().to_string().into();
    let titles: HashMap<_, _> = asked.articles.iter().map(|a| (&a.id, a.title.as_str())).collect();
    let mut questions = Vec::with_capacity(profiles.len() * asked.articles.len());
    for profile in &profiles {
        for article in &asked.articles {
            questions.push(question(workspace, profile, article)?);
        }
    }
    let started = Instant::now();
    let (mut answers, mut unread, mut prompt_tokens, mut tokens) = (0, 0, 0, 0);
    answer(workspace, scorer.as_ref(), &workspace.recipe.sampling, &questions, &mut |reply| {
        let title = titles.get(&reply.pair.article).copied().unwrap_or_default();
        answers += 1;
        prompt_tokens += reply.written.prompt_tokens;
        tokens += reply.written.tokens;
        unread += usize::from(reply.score(workspace).is_none());
        say(scored(workspace, reply, title, &runtime));
        ControlFlow::Continue(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    say(Event::ScoringDone { answers, unread, seconds, prompt_tokens, tokens, runtime });
    Ok(())
}

fn scored(workspace: &Workspace, reply: Reply, title: &str, runtime: &Arc<str>) -> Event {
    let raw = reply.written.text;
    let read = read_tolerant(&raw, workspace.recipe.scale.range()).ok();
    let (score, reason) = read.map_or((None, None), |(s, r)| (Some(s), r));
    Event::Scored {
        pair: reply.pair,
        title: title.to_owned(),
        think: split_think(&raw).0.unwrap_or_default().trim().to_owned(),
        score,
        expected: reply.written.expected_score,
        reason,
        raw,
        stop: reply.written.stop,
        prompt_tokens: reply.written.prompt_tokens as u32,
        tokens: reply.written.tokens as u32,
        seconds: reply.seconds,
        runtime: Arc::clone(runtime),
    }
}
