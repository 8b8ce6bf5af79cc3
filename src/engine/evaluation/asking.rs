//! Asking a scorer about rows, each answer stored as it comes: what was answered before is not asked again.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::super::job::{Failure, JobContext};
use super::super::scoring::{self, Question, Reply};
use crate::domain::recipe::Sampling;
use crate::domain::{Conduct, Digest, Gate, PairKey};
use crate::scorer::Scorer;
use crate::student::Stop;
use crate::workspace::StoredPrediction;

/// One answer, as it is judged.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Written {
    pub text: String,
    pub expected: Option<f64>,
    pub stop: Option<Stop>,
    /// Since the answer before it.
    pub seconds: f64,
}

/// Answers every question; those stored under `subject` for the same prompt are taken as they are. `None`: stopped by the
/// operator.
pub(in super::super) fn ask(
    context: &mut JobContext,
    scorer: &dyn Scorer,
    rules: &Sampling,
    subject: &Digest,
    questions: &[Question],
) -> Result<Option<BTreeMap<PairKey, Written>>, Failure> {
    let workspace = context.workspace.clone();
    let prompts: HashMap<&PairKey, String> = questions.iter().map(|q| (&q.pair, prompt_digest(q))).collect();
    let mut written: BTreeMap<PairKey, Written> = BTreeMap::new();
    for stored in context.ledger.predictions(subject)? {
        if prompts.get(&stored.pair).is_some_and(|prompt| *prompt == stored.prompt) {
            let stop = serde_json::from_str(&stored.stop).ok();
            written
                .insert(stored.pair, Written { text: stored.output, expected: stored.expected, stop, seconds: stored.seconds });
        }
    }
    let open: Vec<Question> = questions.iter().filter(|q| !written.contains_key(&q.pair)).cloned().collect();
    let total = prompts.len() as u64;
    let runtime = scorer.runtime().to_string();
    context.progress(written.len() as u64, total, "answers", &runtime);
    if context.gate() == Gate::Stop {
        return Ok(None);
    }
    let mut broken = None;
    let asked = scoring::answer(&workspace, scorer, rules, &open, &mut |reply| {
        let row = stored_prediction(&reply, prompts.get(&reply.pair).cloned().unwrap_or_default());
        if let Err(error) = context.ledger.put_predictions(subject, &[row]) {
            broken = Some(Err(Failure::from(error)));
            return ControlFlow::Break(());
        }
        let (answer, seconds) = (reply.written, reply.seconds);
        let stop = Some(answer.stop);
        written.insert(reply.pair, Written { text: answer.text, expected: answer.expected_score, stop, seconds });
        context.progress(written.len() as u64, total, "answers", &runtime);
        if context.gate() == Gate::Stop && (written.len() as u64) < total {
            broken = Some(Ok(None));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    match broken {
        Some(end) => end,
        None => asked.map(|()| Some(written)),
    }
}

fn stored_prediction(reply: &Reply, prompt: String) -> StoredPrediction {
    let written = &reply.written;
    StoredPrediction {
        pair: reply.pair.clone(),
        output: written.text.clone(),
        tokens: written.tokens,
        seconds: reply.seconds,
        expected: written.expected_score,
        stop: serde_json::to_string(&written.stop).unwrap_or_default(),
        prompt,
    }
}

fn prompt_digest(question: &Question) -> String {
    Digest::of_json(&question.prompt.messages).as_str().to_owned()
}
