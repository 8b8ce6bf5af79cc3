//! Scoring: prompts for pairs, answers of a student. Validation, the release's smoke test and `stratos score` all ask
//! through here, so they ask the same way.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use super::event::{Event, Level};
use super::job::{Failure, JobMessage};
use super::phases::served_dir;
use crate::domain::{Article, Conduct, Gate, PairKey, Profile, ProfileId, SourceType, read_tolerant, split_think};
use crate::student::{Prompt, Student, generate as write_answers};
use crate::workspace::{Ledger, Workspace};

/// Answers written before the next look at the gate and the ledger: each is some seconds of work to lose.
pub(super) const CHUNK: usize = 32;

/// A pair to ask about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub pair: PairKey,
    pub prompt: Prompt,
}

/// What a student wrote.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub pair: PairKey,
    pub output: String,
    pub tokens: usize,
    pub seconds: f64,
}

impl Reply {
    /// The score, however it is spelt.
    pub fn score(&self, workspace: &Workspace) -> Option<f64> {
        read_tolerant(&self.output, workspace.recipe.scale.range()).ok().map(|(score, _)| score)
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

/// Asks the student, chunk by chunk, with the recipe's sampling. Each answer depends on its own row and the seed
/// alone. Stops early if the conductor says so; then fewer answers come back.
pub(super) fn generate(
    workspace: &Workspace,
    student: &Student,
    questions: &[Question],
    conduct: &mut dyn Conduct,
) -> Result<Vec<Reply>, Failure> {
    let mut replies = Vec::with_capacity(questions.len());
    for chunk in questions.chunks(CHUNK) {
        if conduct.gate() == Gate::Stop {
            break;
        }
        replies.extend(answer(workspace, student, chunk)?);
    }
    Ok(replies)
}

/// Answers of one chunk.
pub(super) fn answer(workspace: &Workspace, student: &Student, chunk: &[Question]) -> Result<Vec<Reply>, Failure> {
    let started = Instant::now();
    let prompts: Vec<Prompt> = chunk.iter().map(|q| q.prompt.clone()).collect();
    let rules = &workspace.recipe.sampling;
    let written = write_answers(student, &prompts, rules, workspace.config.seed, &mut |_| ControlFlow::Continue(()))?;
    let seconds = started.elapsed().as_secs_f64() / chunk.len().max(1) as f64;
    let reply = |(q, g): (&Question, crate::student::Generated)| Reply {
        pair: q.pair.clone(),
        output: g.text,
        tokens: g.tokens,
        seconds,
    };
    Ok(chunk.iter().zip(written).map(reply).collect())
}

/// What `score` asks.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub profile: ProfileId,
    pub title: String,
    pub summary: String,
    pub source: String,
    pub source_type: SourceType,
}

/// Scores one article on a thread of its own and tells the supervisor.
pub(super) fn spawn(workspace: Arc<Workspace>, asked: Asked, tell: UnboundedSender<JobMessage>) {
    let work = move || {
        let event = score(&workspace, &asked).unwrap_or_else(|failure| Event::Log {
            level: Level::Error,
            text: format!("score: {}. {}", failure.reason, failure.next),
        });
        // Gone only while the process ends.
        let _ = tell.send(JobMessage::Event(event));
    };
    // Without a thread there is no score; the caller hears nothing and its operator asks again.
    let _ = std::thread::Builder::new().name("score".into()).spawn(work);
}

fn score(workspace: &Workspace, asked: &Asked) -> Result<Event, Failure> {
    let ledger = workspace.ledger()?;
    let stored = ledger.profiles()?.into_iter().map(|(p, _)| p).find(|p| p.id == asked.profile);
    let unknown = || Failure::new(format!("there is no profile '{}'", asked.profile), "See 'stratos profiles list'.");
    let profile = stored.ok_or_else(unknown)?;
    let student = Student::load(&served_dir(&ledger, workspace)?)?;
    let article = adhoc_article(&asked.title, &asked.summary, &asked.source, asked.source_type)?;
    let started = Instant::now();
    let replies = answer(workspace, &student, &[question(workspace, &profile, &article)?])?;
    let raw = replies.into_iter().next().map(|r| r.output).unwrap_or_default();
    let think = split_think(&raw).0.unwrap_or_default().trim().to_owned();
    let read = read_tolerant(&raw, workspace.recipe.scale.range()).ok();
    let (score, reason) = read.map_or((None, None), |(s, r)| (Some(s), r));
    Ok(Event::Scored { think, score, reason, raw, seconds: started.elapsed().as_secs_f64() })
}
