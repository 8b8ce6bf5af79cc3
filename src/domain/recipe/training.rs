//! How a recipe trains: adapters on a base, the practice student, and what any run needs to know. Owns the schema of `[train]`
//! and `[seedling]` and what can be wrong with it by itself.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Dora,
    Lora,
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Cosine,
    Linear,
    Constant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStrategy {
    /// |score − middle| descending in the first epoch, seeded shuffle after.
    Curriculum,
    Shuffle,
    /// Drawn with replacement by `sampler_weights`.
    Weighted,
}

/// Training of adapters on a real base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a file that people write")]
pub struct TrainRules {
    pub method: Method,
    pub rank: usize,
    pub alpha: f64,
    pub targets: Vec<String>,
    /// How the base's matrices are kept: "stored", "f32" or "bf16".
    pub precision: String,
    /// Scales by α/√r instead of α/r.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rslora: bool,
    /// Computes each layer again on the way back, in less memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// Tokens of the longest example that is trained; absent: what the base can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<TokenLimit>,
    /// Share of an adapter's inputs dropped in training.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// The base this recipe starts from, by at least twelve digits of its digest; absent: any base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_digest: Option<String>,
    /// Whether the base may be an earlier fine-tune.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
    /// A run on new material begins with a dry run (guard T2).
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub dry_run: bool,
    #[serde(flatten)]
    pub run: RunRules,
}

/// How long an example may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number of tokens, or \"histogram\"")]
pub enum TokenLimit {
    /// Longer examples are refused by name.
    Tokens(usize),
    Named(NamedLimit),
}

/// A limit that the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedLimit {
    /// p99 of the dataset's lengths and a tenth; what is longer is left out by name.
    Histogram,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

pub(super) fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(super) fn is_yes(value: &bool) -> bool {
    *value
}

/// The practice student: its shape, and its own training parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedlingRules {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub rope_theta: f64,
    pub max_positions: usize,
    /// Mean share of prompt tokens that are blanked out in training, so that words of the few articles there are cannot
    /// be learnt by heart.
    #[serde(default)]
    pub prompt_dropout: f64,
    /// Share of activations dropped in training, to the same end.
    #[serde(default)]
    pub hidden_dropout: f64,
    /// A run on new material begins with a dry run (guard T2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    #[serde(flatten)]
    pub run: RunRules,
}

/// What any training run needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRules {
    pub learning_rate: f64,
    pub schedule: Schedule,
    pub warmup_share: f64,
    /// Rows in one forward pass.
    pub micro_batch: usize,
    /// Rows in one optimizer step; a multiple of `micro_batch`.
    pub effective_batch: usize,
    pub epochs: usize,
    pub weight_decay: f64,
    pub clip_norm: f64,
    pub order: OrderStrategy,
    /// Optimizer steps between evaluations.
    pub eval_every: usize,
    /// Optimizer steps between checkpoints.
    pub checkpoint_every: usize,
    /// Evaluations without improvement before the run stops; 0: never.
    pub patience: usize,
    /// How much a row counts in the loss, by its band; empty: all alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss_weights: Vec<f64>,
    /// How often the weighted order draws a row, by its band; empty: all alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampler_weights: Vec<f64>,
}

impl TrainRules {
    pub(super) fn defect(&self) -> Option<String> {
        if !(0.0..=0.5).contains(&self.dropout) {
            return Some(format!("dropout {} is not in [0, 0.5]", self.dropout));
        }
        if self.max_tokens == Some(TokenLimit::Tokens(0)) {
            return Some("max_tokens is 0; leave it out for what the base can read".into());
        }
        let digest = self.base_digest.as_deref()?;
        let sound = (12..=64).contains(&digest.len()) && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (!sound).then(|| "base_digest must be 12 to 64 hexadecimal digits in lower case; guard T17 shows the base's".into())
    }
}

impl RunRules {
    pub(super) fn defect(&self, bands: usize) -> Option<String> {
        if self.micro_batch == 0 || self.effective_batch == 0 || !self.effective_batch.is_multiple_of(self.micro_batch) {
            return Some(format!(
                "effective_batch {} is not a multiple of micro_batch {}",
                self.effective_batch, self.micro_batch
            ));
        }
        if self.epochs == 0 || self.eval_every == 0 || self.checkpoint_every == 0 {
            return Some("epochs, eval_every and checkpoint_every must be at least 1".into());
        }
        for (name, weights) in [("loss_weights", &self.loss_weights), ("sampler_weights", &self.sampler_weights)] {
            let sound = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0);
            if !weights.is_empty() && (weights.len() != bands || !sound) {
                return Some(format!("{name} must be {bands} numbers from 0 on, one for each band, not all 0"));
            }
        }
        let positive = self.learning_rate > 0.0 && self.clip_norm > 0.0;
        if !positive || !self.learning_rate.is_finite() || !(0.0..=1.0).contains(&self.warmup_share) {
            return Some("learning_rate and clip_norm must be positive, warmup_share between 0 and 1".into());
        }
        None
    }
}
