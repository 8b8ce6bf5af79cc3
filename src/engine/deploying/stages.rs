//! One runtime in the gate: opening it, and asking it what the parity table compares.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::super::job::JobContext;
use super::rows::{GateRow, Reference, ReferenceRow};
use crate::deploy::parity::{CONFIDENT, Forced, Outcome, RowAnswer, Stage, StageRun};
use crate::deploy::{Form, digest_of};
use crate::domain::recipe::Sampling;
use crate::domain::{ChatMessage, Conduct, Digest, Digester, Gate, Role, one_line, read_tolerant};
use crate::scorer::{self, Embedded, Scorer, ScorerError, TextSide};
use crate::student::gguf::Gguf;
use crate::student::{Codec, Generated, Prompt, Student};
use crate::workspace::ScoringChoice;

/// Confident places of one row that a server is asked about: each is a request.
const PLACES: usize = 4;
/// Tokens that are enough for a score after the thoughts.
const SCORE_TOKENS: usize = 12;

/// Why a stage came to no answers: the guard that says so, and why.
pub(super) struct Refusal {
    pub guard: &'static str,
    pub why: String,
}

impl From<crate::student::StudentError> for Refusal {
    fn from(error: crate::student::StudentError) -> Self {
        let why = error.to_string();
        Self { guard: if why.contains("guard T17") { "T17" } else { "S7" }, why }
    }
}

impl From<ScorerError> for Refusal {
    fn from(error: ScorerError) -> Self {
        let guard = match &error {
            ScorerError::Tokens { .. } => "T11",
            ScorerError::Room { .. } | ScorerError::Cut { .. } => "S8",
            ScorerError::OtherModel { .. } => "S6",
            _ => "S7",
        };
        Self { guard, why: error.to_string() }
    }
}

/// A runtime that is open.
pub(super) struct Candidate {
    pub stage: Stage,
    pub scorer: Box<dyn Scorer>,
    /// Where this engine computes, what it computes with.
    pub student: Option<Student>,
    /// How other programs read text by the same file, where that is not how this engine does.
    inner: Option<Codec>,
}

impl Candidate {
    pub fn embedded(stage: Stage, path: &Path) -> Result<Self, Refusal> {
        let student = Student::load(path)?;
        let inner = match stage {
            Stage::Form(Form::Gguf(_)) => Some(Gguf::open(path)?.inner_codec()?),
            _ => None,
        };
        Ok(Self { stage, scorer: Box::new(Embedded::new(student.clone())), student: Some(student), inner })
    }

    /// An exported form, if it is the file that was exported.
    pub fn form(form: Form, release: &Path, digest: Option<&Digest>) -> Result<Self, Refusal> {
        let path = release.join(form.place());
        if let Some(wanted) = digest {
            let (_, found) = digest_of(&path).map_err(|e| Refusal { guard: "S6", why: e.to_string() })?;
            if found != *wanted {
                let why = format!(
                    "{} has the digest {}, but {} was exported; export it again",
                    form.place(),
                    found.short(),
                    wanted.short()
                );
                return Err(Refusal { guard: "S6", why });
            }
        }
        Self::embedded(Stage::Form(form), &path)
    }

    pub fn server(stage: Stage, choice: &ScoringChoice, trained: &Path, model: &Digest) -> Result<Self, Refusal> {
        let server = choice.server.as_deref().unwrap_or_default();
        let text = TextSide::load(trained, model.clone())?;
        Ok(Self { stage, scorer: scorer::connect(choice, server, text)?, student: None, inner: None })
    }
}

/// What all stages are asked with.
pub(super) struct Asking<'a> {
    pub context: &'a mut JobContext,
    pub rows: &'a [GateRow],
    pub sampling: &'a Sampling,
    pub scale: (f64, f64),
    pub seed: u64,
    /// Stages before this one, and all of them.
    pub at: (usize, usize),
}

impl Asking<'_> {
    /// Answers of the recipe's own sampling; `None`: the operator stopped it.
    pub fn free(&mut self, candidate: &Candidate) -> Result<Option<Vec<Generated>>, Refusal> {
        let prompts: Vec<Prompt> = self.rows.iter().map(|row| row.prompt.clone()).collect();
        self.answered(candidate, &prompts, &self.sampling.clone(), "answers")
    }

    /// Everything the table compares; `None`: the operator stopped it.
    pub fn all(
        &mut self,
        candidate: &Candidate,
        free: &[Generated],
        reference: &Reference,
    ) -> Result<Option<Vec<RowAnswer>>, Refusal> {
        let prompts: Vec<Prompt> = self.rows.iter().map(|row| row.prompt.clone()).collect();
        let ids = match &candidate.inner {
            Some(codec) => {
                let ids = |p: &Prompt| codec.tokenizer.encode(&codec.asked(&p.messages)?.0);
                Some(prompts.iter().map(ids).collect::<Result<Vec<_>, _>>()?)
            }
            None => candidate.scorer.prompt_ids(&prompts)?,
        };
        let Some(forced) = self.forced(candidate, reference)? else { return Ok(None) };
        let Some(next) = self.next(candidate, reference)? else { return Ok(None) };
        let range = self.scale;
        let row = |(n, row): (usize, &GateRow)| RowAnswer {
            row: row.prompt.id.clone(),
            article: row.article.clone(),
            profile: row.profile.clone(),
            truth: row.truth,
            prompt: ids.as_ref().and_then(|all| all.get(n)).map(|ids| ids_digest(ids)),
            drawn: free.get(n).and_then(|answer| read_tolerant(&answer.text, range).ok()).map(|(score, _)| score),
            forced: forced.get(n).copied().unwrap_or_default(),
            next: next.get(n).copied().unwrap_or_default(),
        };
        Ok(Some(self.rows.iter().enumerate().map(row).collect()))
    }

    /// Scores after the trained student's own thoughts, for the rows that have some.
    fn forced(&mut self, candidate: &Candidate, reference: &Reference) -> Result<Option<Vec<Forced>>, Refusal> {
        let begun = |(n, (row, of)): (usize, (&GateRow, &ReferenceRow))| {
            of.thoughts.as_ref().map(|thoughts| (n, going_on(&row.prompt, thoughts.clone(), "score")))
        };
        let (places, prompts): (Vec<usize>, Vec<Prompt>) =
            self.rows.iter().zip(&reference.rows).enumerate().filter_map(begun).unzip();
        let rules = greedy(self.sampling, SCORE_TOKENS);
        let Some(answers) = self.answered(candidate, &prompts, &rules, "scores")? else { return Ok(None) };
        let mut scores = vec![Forced::default(); self.rows.len()];
        for (answer, place) in answers.into_iter().zip(places) {
            let drawn = read_tolerant(&answer.text, self.scale).ok().map(|(score, _)| score);
            scores[place] = Forced { drawn, expected: answer.expected_score };
        }
        Ok(Some(scores))
    }

    /// Of each row's confident places, how many go on alike, and how many there are.
    fn next(&mut self, candidate: &Candidate, reference: &Reference) -> Result<Option<Vec<(usize, usize)>>, Refusal> {
        let Some(student) = &candidate.student else { return self.next_of_server(candidate, reference) };
        let mut all = Vec::with_capacity(reference.rows.len());
        for (n, row) in reference.rows.iter().enumerate() {
            if self.stopped(candidate, n, "next tokens") {
                return Ok(None);
            }
            let ids: Vec<u32> = row.prompt.iter().chain(&row.answer).copied().collect();
            let theirs = student.next_tokens(&ids, row.prompt.len());
            let sure = row.next.iter().zip(theirs).filter(|((_, p), _)| *p > CONFIDENT);
            all.push(sure.fold((0, 0), |(same, of), ((ours, _), (theirs, _))| (same + usize::from(*ours == theirs), of + 1)));
        }
        Ok(Some(all))
    }

    /// A server is asked for one token after the beginning of an answer, at some of the places.
    fn next_of_server(&mut self, candidate: &Candidate, reference: &Reference) -> Result<Option<Vec<(usize, usize)>>, Refusal> {
        let (mut owners, mut wanted, mut prompts) = (Vec::new(), Vec::new(), Vec::new());
        for (n, (row, of)) in self.rows.iter().zip(&reference.rows).enumerate() {
            for (text, token) in places(reference, of)? {
                let name = format!("next-{}", prompts.len());
                prompts.push(going_on(&row.prompt, text, &name));
                owners.push(n);
                wanted.push(token);
            }
        }
        let Some(answers) = self.answered(candidate, &prompts, &greedy(self.sampling, 1), "next tokens")? else {
            return Ok(None);
        };
        let mut all = vec![(0, 0); self.rows.len()];
        for ((answer, owner), wanted) in answers.into_iter().zip(owners).zip(wanted) {
            all[owner].0 += usize::from(answer.text == wanted);
            all[owner].1 += 1;
        }
        Ok(Some(all))
    }

    /// `None`: the operator stopped it.
    fn answered(
        &mut self,
        candidate: &Candidate,
        prompts: &[Prompt],
        rules: &Sampling,
        what: &str,
    ) -> Result<Option<Vec<Generated>>, Refusal> {
        if prompts.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (mut done, mut stopped) = (0, self.stopped(candidate, 0, what));
        if stopped {
            return Ok(None);
        }
        let seed = self.seed;
        let mut on_row = |_: &Generated| {
            done += 1;
            stopped = self.stopped(candidate, done, what);
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let answers = candidate.scorer.answer(prompts, rules, seed, &mut on_row)?;
        Ok((!stopped).then_some(answers))
    }

    /// Tells how far it is, and hears whether it may go on.
    fn stopped(&mut self, candidate: &Candidate, done: usize, what: &str) -> bool {
        let (before, all) = self.at;
        let message = format!("{}: {done} {what}", candidate.stage);
        self.context.progress(before as u64, all as u64, "runtimes", &message);
        self.context.gate() == Gate::Stop
    }
}

/// How a stage ended, as the table takes it.
pub(super) fn run_of(stage: Stage, candidate: Option<&Candidate>, since: Instant, outcome: Outcome) -> StageRun {
    let why = |why: String| one_line(&why, 400);
    let outcome = match outcome {
        Outcome::Refused { guard, why: text } => Outcome::Refused { guard, why: why(text) },
        other => other,
    };
    StageRun {
        stage,
        runtime: candidate.map(|c| c.scorer.runtime()),
        digest: candidate.map(|c| c.scorer.digest()),
        seconds: since.elapsed().as_secs_f64(),
        outcome,
    }
}

/// A prompt whose answer has begun.
fn going_on(prompt: &Prompt, begun: String, name: &str) -> Prompt {
    let mut messages = prompt.messages.clone();
    if !begun.is_empty() {
        messages.push(ChatMessage::new(Role::Assistant, begun));
    }
    Prompt { id: format!("{}|{name}", prompt.id), messages }
}

/// The likeliest token each time, and nothing that changes which one that is.
fn greedy(sampling: &Sampling, tokens: usize) -> Sampling {
    Sampling { temperature: 0.0, repeat_penalty: 1.0, max_new_tokens: tokens, stop: Vec::new(), ..sampling.clone() }
}

fn ids_digest(ids: &[u32]) -> Digest {
    ids.iter().fold(Digester::new(), |d, id| d.field(id.to_le_bytes())).finish()
}

/// Some confident places of a row as texts, each with the token that follows as text: only such whose text is read as the
/// same tokens, since servers are asked in text.
fn places(reference: &Reference, row: &ReferenceRow) -> Result<Vec<(String, String)>, Refusal> {
    let tokenizer = &reference.codec.tokenizer;
    let mut all = Vec::new();
    for (at, (id, _)) in row.next.iter().enumerate().filter(|(_, (_, p))| *p > CONFIDENT) {
        let text = tokenizer.decode(&row.answer[..at])?;
        let next = if reference.ends.contains(id) { String::new() } else { tokenizer.decode(&[*id])? };
        let whole = !next.contains('\u{FFFD}') && tokenizer.encode(&text)? == row.answer[..at];
        if whole && !text.is_empty() && (!next.is_empty() || reference.ends.contains(id)) {
            all.push((text, next));
        }
    }
    let step = all.len().div_ceil(PLACES).max(1);
    Ok(all.into_iter().step_by(step).collect())
}
