//! The rows of a gate: held-out pairs with their labels, and what the trained student wrote about them, which every other
//! runtime is held to.

use super::super::evaluation::{People, gate_items};
use super::super::job::{Failure, JobContext};
use super::super::scoring::question;
use crate::domain::split_think;
use crate::student::{Codec, Generated, Prompt, Student, StudentError};

/// Tokens of an answer whose successors are compared.
const COMPARED: usize = 64;

/// A held-out pair as it is asked.
pub(super) struct GateRow {
    pub prompt: Prompt,
    pub article: String,
    pub profile: String,
    pub truth: f64,
}

/// At most `limit` held-out rows, drawn by band.
pub(super) fn gate_rows(context: &mut JobContext, limit: usize) -> Result<Vec<GateRow>, Failure> {
    let people = People::load(&context.ledger)?;
    let workspace = context.workspace.clone();
    let mut rows = Vec::new();
    for (pair, truth) in gate_items(context, &people, limit)? {
        let (profile, article) = people.of(&pair)?;
        rows.push(GateRow {
            prompt: question(&workspace, profile, article)?.prompt,
            // Near-duplicates are drawn together by the bootstrap.
            article: people.cluster(&pair.article),
            profile: pair.profile.to_string(),
            truth,
        });
    }
    Ok(rows)
}

/// The trained student's side of the comparison.
pub(super) struct Reference {
    pub codec: Codec,
    pub ends: Vec<u32>,
    pub rows: Vec<ReferenceRow>,
}

pub(super) struct ReferenceRow {
    /// The conversation as ids.
    pub prompt: Vec<u32>,
    /// The first tokens of its own answer.
    pub answer: Vec<u32>,
    /// Before each of them: the likeliest token and its probability.
    pub next: Vec<(u32, f32)>,
    /// Its thoughts, as far as the score; `None`: it gave no score.
    pub thoughts: Option<String>,
}

impl Reference {
    pub fn of(student: &Student, rows: &[GateRow], answers: &[Generated]) -> Result<Self, StudentError> {
        let codec = student.codec.clone();
        let one = |(row, answer): (&GateRow, &Generated)| {
            let prompt = codec.prompt(&row.prompt.messages)?;
            let mut answered = codec.tokenizer.encode(&answer.text)?;
            answered.truncate(COMPARED);
            let ids: Vec<u32> = prompt.iter().chain(&answered).copied().collect();
            let next = student.next_tokens(&ids, prompt.len());
            Ok(ReferenceRow { next, answer: answered, thoughts: thoughts(&answer.text).map(str::to_owned), prompt })
        };
        let rows = rows.iter().zip(answers).map(one).collect::<Result<_, StudentError>>()?;
        Ok(Self { codec, ends: student.ends(), rows })
    }
}

/// An answer up to where its score begins.
pub(super) fn thoughts(answer: &str) -> Option<&str> {
    let (_, verdict) = split_think(answer);
    let from = answer.len() - verdict.len();
    let at = answer.get(from..)?.to_ascii_uppercase().find("SCORE")?;
    answer.get(..from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_end_where_the_verdict_begins_and_not_at_a_score_inside_them() {
        let table = [
            ("<think>\nscore: 3\n</think>\nSCORE: 8.5 | REASON: x", Some("<think>\nscore: 3\n</think>\n")),
            ("SCORE: 8.5 | REASON: x", Some("")),
            ("score: 2", Some("")),
            ("<think>\nno end, SCORE: 3", None),
            ("nothing", None),
        ];
        for (answer, wanted) in table {
            assert_eq!(thoughts(answer), wanted, "{answer}");
        }
    }
}
