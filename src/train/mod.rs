//! Training: examples → the best student, resumable bit for bit on the CPU.
//!
//! Owns objective, optimizer, schedule, checkpoints and the loop. Does not own which examples there are or their order
//! (`dataset`), the model's arithmetic (`student`), or when to run (`engine`).

mod checkpoint;
pub mod dryrun;
mod error;
mod event;
pub mod external;
pub mod forecast;
pub mod learner;
pub mod neighbours;
pub mod objective;
pub mod optimizer;
pub mod proofs;
pub mod rows;
pub mod samples;
pub mod schedule;
pub mod steplog;
mod trainer;

use std::path::{Path, PathBuf};

pub use error::TrainError;
pub use event::{EvalRecord, Finish, Gate, StepRecord, TrainControl, TrainEvent, TrainOutcome};
pub use samples::{SampleRecord, SampleRow, SampleRules};
pub use trainer::{train, train_rows};

use crate::domain::recipe::RunRules;
use crate::domain::{ChatMessage, Digest};
use crate::student::{Codec, StudentError};
use learner::Subject;
use objective::Row;

/// One text to learn from; the last message is the assistant's.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainExample {
    pub id: String,
    pub messages: Vec<ChatMessage>,
    pub weight: f32,
}

/// A training run. The same job in the same folder goes on where it was.
#[derive(Debug, Clone)]
pub struct TrainJob {
    pub run_dir: PathBuf,
    pub run: RunRules,
    /// Mean share of prompt tokens blanked out, and share of activations dropped.
    pub prompt_dropout: f64,
    pub hidden_dropout: f64,
    pub seed: u64,
    pub subject: Subject,
    pub codec: Codec,
    /// Longer examples are refused by name.
    pub max_tokens: usize,
    pub train: Vec<TrainExample>,
    /// Decides which student is the best and when to stop.
    pub eval: Vec<TrainExample>,
    /// For each epoch the examples' indices, in order, repeats included.
    pub orders: Vec<Vec<u32>>,
    pub data_digest: Digest,
    /// Live answers; they are no part of what a checkpoint must agree with.
    pub samples: Option<SampleRules>,
}

impl TrainJob {
    /// Encodes examples; those that do not fit are refused by name, none is cut.
    pub fn encode(&self, examples: &[TrainExample]) -> Result<Vec<Row>, TrainError> {
        let rows = encode(&self.codec, self.subject.config().vocab_size, examples)?;
        self.refuse_long(&rows)?;
        Ok(rows)
    }

    fn refuse_long(&self, rows: &[Row]) -> Result<(), TrainError> {
        let long: Vec<String> = rows.iter().filter(|r| r.encoded.ids.len() > self.max_tokens).map(|r| r.id.clone()).collect();
        if long.is_empty() { Ok(()) } else { Err(StudentError::too_long(self.max_tokens, &long).into()) }
    }
}

/// Whether a run in this folder has a checkpoint to go on from.
pub fn has_begun(run_dir: &Path) -> bool {
    checkpoint::list(run_dir).is_ok_and(|all| !all.is_empty())
}

/// Steps of the checkpoints that a run's folder holds, oldest first.
pub fn checkpoint_steps(run_dir: &Path) -> Vec<u64> {
    let name = |path: PathBuf| path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok();
    checkpoint::list(run_dir).unwrap_or_default().into_iter().filter_map(name).collect()
}

/// Writes a student's folder so that it exists whole or not at all.
pub fn write_student(path: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), TrainError> {
    checkpoint::write_folder(path, files)
}

/// Examples of any length as ids of a vocabulary.
pub fn encode(codec: &Codec, vocab: usize, examples: &[TrainExample]) -> Result<Vec<Row>, TrainError> {
    let row = |example: &TrainExample| {
        let encoded = codec.example(&example.messages)?;
        if encoded.ids.iter().any(|id| *id as usize >= vocab) {
            return Err(StudentError::Config("the tokenizer has more tokens than the model".into()).into());
        }
        Ok(Row { id: example.id.clone(), encoded, weight: example.weight })
    };
    examples.iter().map(row).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::recipe::{OrderStrategy, RunRules, Schedule, SeedlingRules};
    use crate::domain::{Recipe, Role};
    use crate::student::parameters::Parameters;
    use crate::student::{ChatTemplate, StudentConfig, StudentTokenizer, template};

    pub fn rules() -> SeedlingRules {
        let recipe = Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound");
        let run = RunRules {
            learning_rate: 1e-2,
            schedule: Schedule::Cosine,
            warmup_share: 0.1,
            micro_batch: 2,
            effective_batch: 4,
            epochs: 2,
            weight_decay: 0.01,
            clip_norm: 1.0,
            order: OrderStrategy::Shuffle,
            eval_every: 3,
            checkpoint_every: 2,
            patience: 3,
            loss_weights: Vec::new(),
            sampler_weights: Vec::new(),
        };
        SeedlingRules {
            vocab_size: 300,
            hidden_size: 16,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_dim: 8,
            intermediate_size: 24,
            max_positions: 128,
            prompt_dropout: 0.1,
            hidden_dropout: 0.1,
            run,
            ..recipe.seedling
        }
    }

    fn examples(count: usize, name: &str) -> Vec<TrainExample> {
        let example = |i: usize| {
            let topic = ["nurse", "space", "chips"][i % 3];
            let score = ["9.5", "0.5", "2.0"][i % 3];
            let messages = vec![
                ChatMessage::new(Role::System, "reader of space"),
                ChatMessage::new(Role::User, format!("news {i} of {topic}")),
                ChatMessage::new(Role::Assistant, format!("<think>\n{topic}\n</think>\nSCORE: {score} | REASON: {topic}.")),
            ];
            TrainExample { id: format!("{name}-{i}"), messages, weight: 1.0 + i as f32 / 10.0 }
        };
        (0..count).map(example).collect()
    }

    pub fn job(run_dir: &Path) -> TrainJob {
        let (rules, train) = (rules(), examples(12, "train"));
        let texts = train.iter().flat_map(|e| e.messages.iter().map(|m| m.content.as_str()));
        let tokenizer = StudentTokenizer::train(texts, rules.vocab_size).expect("tokenizer");
        let config = StudentConfig::seedling(&rules, &tokenizer).expect("config");
        let codec = Codec { tokenizer, template: ChatTemplate::new(template::CHATML).expect("template") };
        let orders = vec![(0..12).collect(), (0..12).rev().chain([3, 3]).collect()];
        let data_digest = Digest::of("data");
        TrainJob {
            run_dir: run_dir.to_owned(),
            prompt_dropout: rules.prompt_dropout,
            hidden_dropout: rules.hidden_dropout,
            max_tokens: rules.max_positions,
            run: rules.run,
            seed: 7,
            subject: Subject::Full(Box::new(config)),
            codec,
            train,
            eval: examples(3, "eval"),
            orders,
            data_digest,
            samples: None,
        }
    }

    pub fn toy_rows() -> Vec<Row> {
        let job = job(Path::new("unused"));
        job.encode(&job.train[..5]).expect("rows")
    }

    pub fn toy_subject() -> (Subject, Parameters) {
        let subject = job(Path::new("unused")).subject;
        let numbers = subject.fresh(1);
        (subject, numbers)
    }
}
