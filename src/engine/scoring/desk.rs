//! The desk: opened once, it scores many. It keeps the model loaded, and takes another as soon as another is live.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::super::job::Failure;
use super::super::phases::{Drawing, selected_profiles};
use super::round::{Answer, Manner, ask};
use super::voice::{Meant, Voice};
use crate::deploy::{Doubt, Pass};
use crate::domain::{Article, Clock as _, Digest, PairKey, Profile, ProfileId, SystemClock, read_tolerant, split_think};
use crate::student::Stop;
use crate::workspace::{Ledger, LiveScore, Workspace};

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
    /// Why there is no score.
    pub defect: Option<String>,
    pub stop: Stop,
    pub prompt_tokens: usize,
    pub tokens: usize,
    /// Since the answer before, so that they add up to what all took; of both passes where two were asked.
    pub seconds: f64,
    /// Which pass decided.
    pub pass: Pass,
    /// What the fast pass gave, where the think pass decided.
    pub fast: Option<f64>,
    /// Nothing was asked for it.
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
    voices: Voices,
    /// The last call failed: who answers is looked for anew.
    stale: bool,
}

/// Who answers: the fast pass where there is a cascade, and the pass that thinks.
struct Voices {
    fast: Option<(Voice, Doubt)>,
    think: Voice,
}

/// A pair that was asked for.
pub(super) struct Row<'a> {
    pub at: usize,
    pub profile: &'a Profile,
    pub article: &'a Article,
}

/// What the fast pass gave for a row that it did not decide.
#[derive(Debug, Clone, Copy)]
struct Undecided {
    score: Option<f64>,
    seconds: f64,
    cached: bool,
}

impl Desk {
    /// Finds who answers and loads it: the live release, else the trained student, else the untuned base.
    pub fn open(workspace: Arc<Workspace>, ledger: Ledger, options: DeskOptions) -> Result<Self, Failure> {
        ledger.relax()?;
        let meant = Meant::find(&workspace, &ledger, options.base)?;
        let voices = Voices::open(&workspace, &ledger, &meant, options)?;
        Ok(Self { workspace, ledger, options, meant, voices, stale: false })
    }

    /// Whether these readers are known, before anything is loaded for them.
    pub fn expects(ledger: &Ledger, readers: &[ProfileId]) -> Result<(), Failure> {
        let stored = ledger.profiles()?;
        let unknown = readers.iter().find(|id| stored.iter().all(|(profile, _)| profile.id != **id));
        unknown.map_or(Ok(()), |id| Err(no_reader(id)))
    }

    /// Whose weights answer, for people.
    pub fn model(&self) -> &str {
        &self.voices.think.model
    }

    /// What computes the answers.
    pub fn runtime(&self) -> &str {
        &self.voices.think.runtime
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
        self.stale = true;
        self.passes(&rows, &mut |scored| {
            summary.count(&scored);
            on(scored)
        })?;
        self.stale = false;
        self.ledger.trim_cache(self.workspace.config.scoring.cache)?;
        summary.seconds = began.elapsed().as_secs_f64();
        Ok(summary)
    }

    fn passes(&mut self, rows: &[Row<'_>], on: &mut dyn FnMut(Scored) -> ControlFlow<()>) -> Result<(), Failure> {
        let (workspace, ledger, voices) = (&*self.workspace, &mut self.ledger, &self.voices);
        let manner = Manner { fresh: self.options.fresh, keeps: workspace.config.scoring.cache > 0 };
        let model = self.meant.name();
        let mut left: Vec<(&Row<'_>, Option<Undecided>)> = rows.iter().map(|row| (row, None)).collect();
        if let Some((fast, doubt)) = &voices.fast {
            let mut undecided = vec![None; rows.len()];
            let all: Vec<&Row<'_>> = rows.iter().collect();
            let ended = ask(workspace, ledger, fast, &all, manner, &mut |ledger, i, answer| {
                let scored = read(workspace, fast, &rows[i], &answer, None);
                if doubt.sends_on(scored.score, scored.expected) {
                    undecided[i] = Some(Undecided { score: scored.score, seconds: answer.seconds, cached: answer.cached });
                    return Ok(ControlFlow::Continue(()));
                }
                note(ledger, &model, &scored)?;
                Ok(on(scored))
            })?;
            if ended {
                return Ok(());
            }
            left = rows.iter().zip(undecided).filter_map(|(row, fast)| fast.map(|fast| (row, Some(fast)))).collect();
        }
        let asked: Vec<&Row<'_>> = left.iter().map(|(row, _)| *row).collect();
        ask(workspace, ledger, &voices.think, &asked, manner, &mut |ledger, i, answer| {
            let (row, fast) = left[i];
            let scored = read(workspace, &voices.think, row, &answer, fast);
            note(ledger, &model, &scored)?;
            Ok(on(scored))
        })?;
        Ok(())
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
        self.ledger.each_article_origin(|id, origin| drawing.see(id, origin))?;
        Ok((drawing.count(), selected_profiles(self.ledger.profiles()?, select).len()))
    }

    /// Takes what is live now.
    fn refresh(&mut self) -> Result<(), Failure> {
        let meant = Meant::find(&self.workspace, &self.ledger, self.options.base)?;
        if self.stale || meant != self.meant {
            self.voices = Voices::open(&self.workspace, &self.ledger, &meant, self.options)?;
            self.meant = meant;
            self.stale = false;
        }
        Ok(())
    }
}

impl Voices {
    fn open(workspace: &Workspace, ledger: &Ledger, meant: &Meant, options: DeskOptions) -> Result<Self, Failure> {
        let mut think = Voice::open(workspace, ledger, meant)?;
        let cascade = workspace.config.scoring.cascade.as_ref().filter(|_| !options.single_pass && !options.base);
        let fast = cascade.map(|choice| Voice::fast(workspace, choice)).transpose()?;
        if fast.is_some() {
            think.pass = Pass::Think;
        }
        Ok(Self { fast, think })
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

/// What an answer says, on the voice's own scale.
fn read(workspace: &Workspace, voice: &Voice, row: &Row<'_>, answer: &Answer<'_>, fast: Option<Undecided>) -> Scored {
    let written = answer.written;
    let found = read_tolerant(&written.text, voice.recipe(workspace).scale.range());
    let defect = answer.refused.map(str::to_owned).or_else(|| found.as_ref().err().map(ToString::to_string));
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
        seconds: answer.seconds + fast.map_or(0.0, |f| f.seconds),
        pass: voice.pass,
        fast: fast.and_then(|f| f.score),
        cached: answer.cached && fast.is_none_or(|f| f.cached),
        runtime: Arc::clone(&voice.runtime),
        model: Arc::clone(&voice.model),
    }
}

/// What the drift watch looks at. An answer of the cache says nothing new.
fn note(ledger: &mut Ledger, model: &Digest, scored: &Scored) -> Result<(), Failure> {
    if scored.cached {
        return Ok(());
    }
    let refused = scored.tokens == 0 && scored.stop == Stop::Length;
    let cause = match (&scored.defect, scored.stop) {
        (_, Stop::Loop) => "runs in circles".into(),
        (_, Stop::Length) if !refused => "cut by the token limit".into(),
        (Some(defect), _) => defect.clone(),
        (None, _) => String::new(),
    };
    let row = LiveScore {
        at: SystemClock.now(),
        pass: scored.pass.name().into(),
        score: scored.score,
        cause,
        prompt_tokens: scored.prompt_tokens,
        truncated: refused,
        seconds: scored.seconds,
        output: Some(scored.raw.clone()),
    };
    Ok(ledger.put_live_score(model, &row)?)
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
