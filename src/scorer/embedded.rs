//! The engine in this process.

use super::{OnRow, Scorer, ScorerError};
use crate::domain::Digest;
use crate::domain::recipe::Sampling;
use crate::evaluate::Runtime;
use crate::student::{Generated, Prompt, Student, generate};

#[derive(Debug)]
pub struct Embedded(Student);

impl Embedded {
    pub fn new(student: Student) -> Self {
        Self(student)
    }
}

impl Scorer for Embedded {
    fn runtime(&self) -> Runtime {
        Runtime { engine: "stratos".into(), precision: "f32".into(), device: "cpu".into() }
    }

    fn digest(&self) -> Digest {
        self.0.digest().clone()
    }

    fn prompt_ids(&self, prompts: &[Prompt]) -> Result<Option<Vec<Vec<u32>>>, ScorerError> {
        let codec = &self.0.codec;
        let ids = |prompt: &Prompt| codec.tokenizer.encode(&codec.asked(&prompt.messages)?.0);
        Ok(Some(prompts.iter().map(ids).collect::<Result<_, _>>()?))
    }

    fn answer(&self, prompts: &[Prompt], rules: &Sampling, seed: u64, on_row: OnRow<'_>) -> Result<Vec<Generated>, ScorerError> {
        Ok(generate(&self.0, prompts, rules, seed, on_row)?)
    }
}
