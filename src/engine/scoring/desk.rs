//! The desk: opened once, it scores many. It keeps the model loaded, and takes another as soon as another is live.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::super::job::Failure;
use super::super::phases::{Drawing, selected_profiles};
use super::asking;
use super::questions::Question;
use super::voice::{Meant, Voice};
use crate::deploy::Pass;
use crate::domain::{AnswerDefect, Article, PairKey, Profile, ProfileId, read_tolerant, split_think};
use crate::student::{Generated, Stop};
use crate::workspace::{Ledger, Workspace};

/// How a desk works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeskOptions {
    /// Answers by the untuned base of `student.base`, whatever is released.
    pub base: bool,
    /// Nothing is taken from the cache.
    pub fresh: bool,
    /// Every answer by the think pass, whatever `[scoring.cascade]` says.
    pub single_pass: bool,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Its place in what was asked.
    pub at: usize,
    pub pair: PairKey,
    pub title: String,
    /// As it was drawn; `None`: it could not be read.
    pub score: Option<f64>,
    /// Weighted by the probabilities of the digits, where the scorer knows them.
    pub expected: Option<f64>,
    pub reason: Option<String>,
    pub think: String,
    /// The whole text.
    pub raw: String,
    /// Why no score could be read.
    pub defect: Option<AnswerDefect>,
    pub stop: Stop,
    pub prompt_tokens: usize,
    pub tokens: usize,
    /// Since the answer before, so that they add up to what all took; of both passes where two were asked.
    pub seconds: f64,
    /// Which pass decided.
    pub pass: Pass,
    pub cached: bool,
    /// What computed it.
    pub runtime: Arc<str>,
    /// Whose weights they are: a release, "trained student …", "untuned base …".
    pub model: Arc<str>,
}

/// What one call of [`Desk::score`] did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub answers: usize,
    /// Answers without a readable score.
    pub unread: usize,
    /// Answers of the cache.
    pub cached: usize,
    /// Answers that the fast pass alone decided.
    pub fast: usize,
    pub seconds: f64,
    /// Of what was asked now.
    pub prompt_tokens: usize,
    pub tokens: usize,
}

/// Scores live. Blocks; it is to be used from a plain thread, never from async code.
pub struct Desk {
    workspace: Arc<Workspace>,
    ledger: Ledger,
    options: DeskOptions,
    meant: Meant,
    voice: Voice,
}

/// A pair that was asked for.
struct Row<'a> {
    at: usize,
    profile: &'a Profile,
    article: &'a Article,
}

impl Desk {
    /// Finds who answers and loads it: the live release, else the trained student, else the untuned base.
    pub fn open(workspace: Arc<Workspace>, ledger: Ledger, options: DeskOptions) -> Result<Self, Failure> {
        let meant = Meant::find(&workspace, &ledger, options.base)?;
        let voice = Voice::open(&workspace, &meant)?;
        Ok(Self { workspace, ledger, options, meant, voice })
    }

    /// Whose weights answer, for people.
    pub fn model(&self) -> &str {
        &self.voice.model
    }

    /// What computes the answers.
    pub fn runtime(&self) -> &str {
        &self.voice.runtime
    }

    /// Whether the model was never trained on this recipe.
    pub fn untuned(&self) -> bool {
        matches!(self.meant, Meant::Base(_))
    }

    /// Scores pairs; `on` hears of each as it is answered, in any order, and may end the whole by `Break`. Pairs that ask the
    /// same are asked once.
    pub fn score(
        &mut self,
        asked: &[(ProfileId, Article)],
        on: &mut dyn FnMut(Scored) -> ControlFlow<()>,
    ) -> Result<Summary, Failure> {
        let began = Instant::now();
        self.refresh()?;
        let stored: HashMap<ProfileId, Profile> = self.ledger.profiles()?.into_iter().map(|(p, _)| (p.id.clone(), p)).collect();
        let rows = rows(asked, &stored)?;
        let mut summary = Summary::default();
        let scale = self.workspace.recipe.scale.range();
        let (voice, workspace) = (&self.voice, &self.workspace);
        ask(workspace, voice, &rows, &mut |row, written, seconds| {
            let scored = read(voice, row, written, seconds, scale);
            summary.count(&scored);
            on(scored)
        })?;
        summary.seconds = began.elapsed().as_secs_f64();
        Ok(summary)
    }

    /// The readers that are meant, in stored order; none named: all that take part.
    pub(super) fn readers(&self, named: &[ProfileId]) -> Result<Vec<ProfileId>, Failure> {
        let stored = self.ledger.profiles()?;
        if named.is_empty() {
            let taking_part = selected_profiles(stored, &self.workspace.config.select);
            return Ok(taking_part.into_iter().map(|p| p.id).collect());
        }
        if let Some(unknown) = named.iter().find(|id| stored.iter().all(|(p, _)| p.id != **id)) {
            return Err(no_reader(unknown));
        }
        Ok(stored.into_iter().map(|(p, _)| p.id).filter(|id| named.contains(id)).collect())
    }

    /// How many articles and readers take part in this workspace.
    pub(super) fn taking_part(&self) -> Result<(usize, usize), Failure> {
        let select = &self.workspace.config.select;
        let mut drawing = Drawing::new(select, self.workspace.config.seed);
        for (article, origin) in self.ledger.articles()? {
            drawing.see(article.id.as_str(), &origin);
        }
        Ok((drawing.count(), selected_profiles(self.ledger.profiles()?, select).len()))
    }

    /// Takes what is live now.
    fn refresh(&mut self) -> Result<(), Failure> {
        let meant = Meant::find(&self.workspace, &self.ledger, self.options.base)?;
        if meant != self.meant {
            self.voice = Voice::open(&self.workspace, &meant)?;
            self.meant = meant;
        }
        Ok(())
    }
}

impl Summary {
    pub(super) fn count(&mut self, scored: &Scored) {
        self.answers += 1;
        self.unread += usize::from(scored.score.is_none());
        self.cached += usize::from(scored.cached);
        self.fast += usize::from(scored.pass == Pass::Fast);
        if !scored.cached {
            self.prompt_tokens += scored.prompt_tokens;
            self.tokens += scored.tokens;
        }
    }
}

fn no_reader(id: &ProfileId) -> Failure {
    Failure::new(format!("there is no profile '{id}'"), "See 'stratos profiles list'.")
}

/// Each pair with its reader.
fn rows<'a>(asked: &'a [(ProfileId, Article)], stored: &'a HashMap<ProfileId, Profile>) -> Result<Vec<Row<'a>>, Failure> {
    let row = |(at, (id, article)): (usize, &'a (ProfileId, Article))| {
        Ok(Row { at, profile: stored.get(id).ok_or_else(|| no_reader(id))?, article })
    };
    asked.iter().enumerate().map(row).collect()
}

/// Asks one voice about rows. Rows that ask the same are asked once; two that only share their name, one after the other.
fn ask(
    workspace: &Workspace,
    voice: &Voice,
    rows: &[Row<'_>],
    on: &mut dyn FnMut(&Row<'_>, &Generated, f64) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let mut rounds: Vec<BTreeMap<String, (Question, Vec<usize>)>> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let question = voice.question(workspace, row.profile, row.article)?;
        let mut waiting = Some(question);
        for round in &mut rounds {
            let Some(question) = waiting.take() else { break };
            match round.get_mut(&question.prompt.id) {
                Some((known, same)) if known.prompt == question.prompt => same.push(i),
                Some(_) => waiting = Some(question),
                None => {
                    round.insert(question.prompt.id.clone(), (question, vec![i]));
                }
            }
        }
        if let Some(question) = waiting {
            rounds.push(BTreeMap::from([(question.prompt.id.clone(), (question, vec![i]))]));
        }
    }
    let mut ended = false;
    for round in &rounds {
        let questions: Vec<Question> = round.values().map(|(question, _)| question.clone()).collect();
        asking::answer(workspace, voice.scorer.as_ref(), &voice.rules, &questions, &mut |reply| {
            let same = round.get(&reply.written.id).map(|(_, same)| same.as_slice()).unwrap_or_default();
            let mut flow = ControlFlow::Continue(());
            for (nth, i) in same.iter().enumerate() {
                flow = on(&rows[*i], &reply.written, if nth == 0 { reply.seconds } else { 0.0 });
                if flow.is_break() {
                    break;
                }
            }
            ended = flow.is_break();
            flow
        })?;
        if ended {
            break;
        }
    }
    Ok(())
}

fn read(voice: &Voice, row: &Row<'_>, written: &Generated, seconds: f64, scale: (f64, f64)) -> Scored {
    let found = read_tolerant(&written.text, scale);
    let defect = found.as_ref().err().copied();
    let (score, reason) = found.map_or((None, None), |(score, reason)| (Some(score), reason));
    Scored {
        at: row.at,
        pair: PairKey { article: row.article.id.clone(), profile: row.profile.id.clone() },
        title: row.article.title.clone(),
        score,
        expected: written.expected_score,
        reason,
        think: split_think(&written.text).0.unwrap_or_default().trim().to_owned(),
        raw: written.text.clone(),
        defect,
        stop: written.stop,
        prompt_tokens: written.prompt_tokens,
        tokens: written.tokens,
        seconds,
        pass: voice.pass,
        cached: false,
        runtime: Arc::clone(&voice.runtime),
        model: Arc::clone(&voice.model),
    }
}
