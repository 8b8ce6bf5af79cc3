//! The decoder's shape, as `config.json` of Hugging Face's Qwen3 spells it. Owns the file's names and the proofs that
//! a shape makes sense; knows no weights.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StudentError;
use super::ops::attention::Heads;
use super::tokenizer::StudentTokenizer;
use crate::domain::recipe::SeedlingRules;

/// Largest sizes a file may ask for, so that a broken one is refused instead of exhausting memory.
const MOST: usize = 1 << 22;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudentConfig {
    pub architectures: Vec<String>,
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub tie_word_embeddings: bool,
    #[serde(default)]
    pub attention_bias: bool,
    #[serde(default)]
    pub attention_dropout: f64,
    pub hidden_act: String,
    #[serde(default)]
    pub initializer_range: f64,
    #[serde(default)]
    pub use_sliding_window: bool,
    #[serde(default)]
    pub sliding_window: Option<usize>,
    #[serde(default)]
    pub max_window_layers: usize,
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
    pub pad_token_id: Option<u32>,
    #[serde(default, alias = "torch_dtype")]
    pub dtype: String,
}

impl StudentConfig {
    /// The seedling's shape for a tokenizer; the vocabulary is what the tokenizer really has.
    pub fn seedling(rules: &SeedlingRules, tokenizer: &StudentTokenizer) -> Result<Self, StudentError> {
        let config = Self {
            architectures: vec!["Qwen3ForCausalLM".into()],
            model_type: "qwen3".into(),
            vocab_size: tokenizer.vocab_size(),
            hidden_size: rules.hidden_size,
            intermediate_size: rules.intermediate_size,
            num_hidden_layers: rules.layers,
            num_attention_heads: rules.heads,
            num_key_value_heads: rules.kv_heads,
            head_dim: rules.head_dim,
            max_position_embeddings: rules.max_positions,
            rms_norm_eps: 1e-6,
            rope_theta: rules.rope_theta,
            tie_word_embeddings: true,
            attention_bias: false,
            attention_dropout: 0.0,
            hidden_act: "silu".into(),
            initializer_range: 0.02,
            use_sliding_window: false,
            sliding_window: None,
            max_window_layers: rules.layers,
            bos_token_id: None,
            eos_token_id: Some(tokenizer.end()),
            pad_token_id: Some(tokenizer.pad()),
            dtype: "float32".into(),
        };
        config.check()?;
        Ok(config)
    }

    pub fn from_json(text: &str) -> Result<Self, StudentError> {
        let config: Self = serde_json::from_str(text).map_err(|e| StudentError::Config(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    pub fn load(path: &Path) -> Result<Self, StudentError> {
        let text = std::fs::read_to_string(path).map_err(StudentError::io(path))?;
        Self::from_json(&text).map_err(|e| StudentError::file(path, e.to_string()))
    }

    pub fn to_json(&self) -> String {
        // Plain numbers and strings: cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub fn heads(&self) -> Heads {
        Heads { query: self.num_attention_heads, key: self.num_key_value_heads, width: self.head_dim }
    }

    fn check(&self) -> Result<(), StudentError> {
        let refuse = |why: String| Err(StudentError::Config(why));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        if let Some((name, size)) = sizes.iter().find(|(_, size)| *size == 0 || *size > MOST) {
            return refuse(format!("{name} is {size}; it must lie between 1 and {MOST}"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return refuse(format!("head_dim {} is odd; rotary positions need pairs", self.head_dim));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (q, kv) = (self.num_attention_heads, self.num_key_value_heads);
            return refuse(format!("{q} heads cannot share {kv} key heads evenly"));
        }
        if self.rope_theta <= 1.0 || !self.rope_theta.is_finite() || self.rms_norm_eps <= 0.0 {
            return refuse(format!("rope_theta {} and rms_norm_eps {} must be sensible", self.rope_theta, self.rms_norm_eps));
        }
        let unsupported = [
            (self.model_type != "qwen3", format!("model_type '{}'", self.model_type)),
            (self.hidden_act != "silu", format!("hidden_act '{}'", self.hidden_act)),
            (self.attention_bias, "attention_bias".into()),
            (self.use_sliding_window, "use_sliding_window".into()),
        ];
        if let Some((_, what)) = unsupported.into_iter().find(|(yes, _)| *yes) {
            return refuse(format!("{what} is not supported; this decoder is Qwen3's"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A toy shape.
    pub fn toy(vocab: usize) -> StudentConfig {
        let json = format!(
            r#"{{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": {vocab}, "hidden_size": 24,
            "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
            "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
            "hidden_act": "silu", "bos_token_id": null, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "float32"}}"#
        );
        StudentConfig::from_json(&json).expect("sound")
    }

    #[test]
    fn a_configuration_survives_its_file() {
        let config = toy(100);
        assert_eq!(StudentConfig::from_json(&config.to_json()).expect("sound"), config);
    }

    #[test]
    fn a_senseless_shape_is_refused_by_name() {
        for (good, bad, named) in [
            ("\"head_dim\": 8", "\"head_dim\": 7", "head_dim"),
            ("\"vocab_size\": 100", "\"vocab_size\": 0", "vocab_size"),
            ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "key heads"),
            ("\"qwen3\"", "\"mamba\"", "mamba"),
        ] {
            let error = StudentConfig::from_json(&toy(100).to_json().replace(good, bad)).expect_err(named);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
