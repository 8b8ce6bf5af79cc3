//! Bringing answers home: watch a batch, store its bytes, check that they are complete, examine each answer.

use std::collections::BTreeMap;

use super::DistillError;
use crate::domain::{Recipe, Reject, examine};
use crate::teacher::{Outcome, ResultLine, Stop, Teacher};
use crate::workspace::{Answered, RequestRow};

/// Joins result lines to their requests by id and examines each answer. Every line counts: unknown ids and bad lines
/// are returned as remarks, missing ids as a number below the request count.
pub(super) fn join(
    recipe: &Recipe,
    teacher: &dyn Teacher,
    requests: &[RequestRow],
    bytes: &[u8],
) -> (Vec<Answered>, Vec<String>) {
    let mut open: BTreeMap<&str, &RequestRow> = requests.iter().map(|q| (q.custom_id.as_str(), q)).collect();
    let (mut answers, mut remarks) = (Vec::new(), Vec::new());
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let read = teacher.read_line(line);
        let line = match read {
            Ok(line) => line,
            Err(why) => {
                remarks.push(format!("result line {}: {why}", index + 1));
                continue;
            }
        };
        match open.remove(line.custom_id.as_str()) {
            Some(request) => answers.push(answered(recipe, request, line)),
            None => remarks.push(format!("result line {}: id {} was not asked for, or came twice", index + 1, line.custom_id)),
        }
    }
    (answers, remarks)
}

fn answered(recipe: &Recipe, request: &RequestRow, line: ResultLine) -> Answered {
    let unbilled = |reject: Reject| Answered {
        request: request.clone(),
        text: String::new(),
        stop: "none".into(),
        input_tokens: 0,
        output_tokens: 0,
        billed: false,
        result: Err(reject),
    };
    match line.outcome {
        Outcome::Answered { text, stop, tokens } => {
            let (input_tokens, output_tokens) = (tokens.prompt(), tokens.output);
            let result = match stop {
                Stop::End => examine(recipe, request.pair.clone(), &text),
                Stop::TokenLimit => Err(Reject::Truncated { tokens: output_tokens }),
                Stop::Refusal => Err(Reject::Refused { why: crate::domain::one_line(&text, 200) }),
            };
            Answered { request: request.clone(), text, stop: stop.id().into(), input_tokens, output_tokens, billed: true, result }
        }
        Outcome::Errored { why, .. } => unbilled(Reject::Failed { why }),
        Outcome::Expired => unbilled(Reject::Expired),
        Outcome::Canceled => unbilled(Reject::Failed { why: "cancelled".into() }),
    }
}

/// Complete means: one answer for each request.
pub(super) fn complete(answers: &[Answered], requests: &[RequestRow], remote: &str) -> Result<(), DistillError> {
    if answers.len() == requests.len() {
        return Ok(());
    }
    Err(DistillError::Incomplete { remote: remote.to_owned(), got: answers.len(), wanted: requests.len() })
}
