//! Asking a scorer: its answers with their pairs, and the time that each took.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use super::super::job::Failure;
use super::questions::Question;
use crate::domain::recipe::Sampling;
use crate::domain::{Conduct, Digest, Gate, PairKey, read_tolerant};
use crate::scorer::{self, Embedded, Scorer, ScorerError};
use crate::student::{Generated, Prompt, Student};
use crate::workspace::Workspace;

/// What a student wrote. `seconds`: since the answer before, so that they sum up to what all took.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Reply {
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

/// The scorer of `[scoring]` for the student in a folder, whose digest this is.
pub(in crate::engine) fn scorer(
    workspace: &Workspace,
    folder: &Path,
    student: &Digest,
) -> Result<Box<dyn Scorer + Send>, Failure> {
    let scorer = scorer::open(&workspace.config.scoring, folder, student)?;
    let found = scorer.digest();
    if workspace.config.scoring.server.is_none() && found != *student {
        let reason = format!(
            "guard S6: {} holds the model {}, but {} is the one that was trained and judged",
            folder.display(),
            found.short(),
            student.short()
        );
        return Err(Failure::new(reason, "Somebody changed its files: run 'stratos deploy --again', or train again."));
    }
    Ok(scorer)
}

/// Asks the embedded student, with the recipe's sampling. Each answer depends on its own row and the seed alone. Stops early
/// if the conductor says so; then fewer answers come back.
pub(in crate::engine) fn generate(
    workspace: &Workspace,
    student: &Student,
    questions: &[Question],
    conduct: &mut dyn Conduct,
) -> Result<Vec<Reply>, Failure> {
    let mut replies = Vec::with_capacity(questions.len());
    answer(workspace, &Embedded::new(student.clone()), &workspace.recipe.served_sampling(), questions, &mut |reply| {
        replies.push(reply);
        if conduct.gate() == Gate::Stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(replies)
}

/// Asks everything at once, so that the scorer can batch and share beginnings; answers come in any order.
pub(in crate::engine) fn answer(
    workspace: &Workspace,
    scorer: &dyn Scorer,
    rules: &Sampling,
    questions: &[Question],
    on_reply: &mut dyn FnMut(Reply) -> ControlFlow<()>,
) -> Result<(), Failure> {
    Ok(hear(scorer, rules, workspace.config.seed, questions, on_reply)?)
}

/// The same for whoever wants to know what went wrong.
pub(super) fn hear(
    scorer: &dyn Scorer,
    rules: &Sampling,
    seed: u64,
    questions: &[Question],
    on_reply: &mut dyn FnMut(Reply) -> ControlFlow<()>,
) -> Result<(), ScorerError> {
    let prompts: Vec<Prompt> = questions.iter().map(|q| q.prompt.clone()).collect();
    let pairs: HashMap<&str, &PairKey> = questions.iter().map(|q| (q.prompt.id.as_str(), &q.pair)).collect();
    let mut since = Instant::now();
    let mut on_row = |written: &Generated| {
        let Some(pair) = pairs.get(written.id.as_str()) else { return ControlFlow::Continue(()) };
        let seconds = since.elapsed().as_secs_f64();
        since = Instant::now();
        on_reply(Reply { pair: (*pair).clone(), written: written.clone(), seconds })
    };
    scorer.answer(&prompts, rules, seed, &mut on_row).map(drop)
}
