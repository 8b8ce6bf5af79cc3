//! A GGUF file's metadata as the `config.json` of the same model.

use serde_json::{Map, Value, json};

use super::super::StudentError;
use super::super::config::{Family, Rope, RopeScaling, StudentConfig};
use super::{Gguf, Meta};
use crate::domain::one_line;

/// Positions that Llama 3 was first trained on, where a file does not say.
const LLAMA_3_POSITIONS: f64 = 8192.0;
/// The one Gemma 3 whose scores are scaled by its width, not by a head's.
const GEMMA_27B_LAYERS: i64 = 62;

impl Gguf {
    /// The decoder's shape, with a `config.json` that can be written beside weights.
    pub fn config(&self) -> Result<StudentConfig, StudentError> {
        let wrong = |why: String| StudentError::file(self.path(), why);
        StudentConfig::from_value(self.source()?).map_err(|e| wrong(e.to_string()))
    }

    fn source(&self) -> Result<Value, StudentError> {
        let refuse = |why: String| StudentError::file(self.path(), why);
        let name = self.text("general.architecture").unwrap_or_default();
        let Some(family) = Family::ALL.into_iter().find(|f| f.name() == name) else {
            let known = Family::ALL.map(Family::name).join(", ");
            let name = one_line(name, 40);
            return Err(refuse(format!("architecture '{name}' is not supported; {known} are: take a model of one of them")));
        };
        let key = |part: &str| format!("{name}.{part}");
        let need = |part: &str| {
            let key = key(part);
            self.int(&key).ok_or_else(|| refuse(format!("its metadata lack {key}, or it is not one number for all layers")))
        };
        if self.int(&key("expert_count")).unwrap_or(0) > 0 || self.tensors.contains_key("blk.0.ffn_gate_inp.weight") {
            return Err(refuse("mixtures of experts are not supported; take a dense model".into()));
        }
        if family != Family::Qwen2 && self.tensors.contains_key("blk.0.attn_q.bias") {
            return Err(refuse(format!("biases of attention are not supported for {name}")));
        }
        let rows = self.tensors.get("token_embd.weight").and_then(|t| t.shape.first());
        let rows = rows.ok_or_else(|| refuse("it has no token_embd.weight; this is not a whole language model".into()))?;
        let (hidden, heads) = (need("embedding_length")?, need("attention.head_count")?);
        let head_dim = self.int(&key("attention.key_length")).unwrap_or(hidden / heads.max(1));
        if self.int(&key("rope.dimension_count")).is_some_and(|n| n != head_dim)
            || self.int(&key("attention.value_length")).is_some_and(|n| n != head_dim)
        {
            return Err(refuse("heads whose keys, values and rotary part differ in width are not supported".into()));
        }
        let mut source = json!({
            "architectures": [match family {
                Family::Llama => "LlamaForCausalLM",
                Family::Qwen2 => "Qwen2ForCausalLM",
                Family::Qwen3 => "Qwen3ForCausalLM",
                Family::Gemma3 => "Gemma3ForCausalLM",
            }],
            "model_type": if family == Family::Gemma3 { "gemma3_text" } else { name },
            "vocab_size": rows,
            "hidden_size": hidden,
            "intermediate_size": need("feed_forward_length")?,
            "num_hidden_layers": need("block_count")?,
            "num_attention_heads": heads,
            "num_key_value_heads": match self.metadata.get(&key("attention.head_count_kv")) {
                None => heads,
                Some(_) => need("attention.head_count_kv")?,
            },
            "head_dim": head_dim,
            "max_position_embeddings": need("context_length")?,
            "rms_norm_eps": self.float(&key("attention.layer_norm_rms_epsilon")).unwrap_or(1e-6),
            "rope_theta": self.float(&key("rope.freq_base")).unwrap_or(if family == Family::Gemma3 { 1e6 } else { 1e4 }),
            "tie_word_embeddings": !self.tensors.contains_key("output.weight"),
            "bos_token_id": self.int("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self.ends(),
            "pad_token_id": self.int("tokenizer.ggml.padding_token_id"),
        });
        if let Value::Object(source) = &mut source {
            source.insert("rope_scaling".into(), self.rope_scaling(family, head_dim)?);
            self.family_part(family, source, &key);
        }
        Ok(source)
    }

    /// Every token that ends a text or a turn.
    fn ends(&self) -> Vec<i64> {
        let ids = ["eos", "eot", "eom"].map(|n| self.int(&format!("tokenizer.ggml.{n}_token_id")));
        let mut ends: Vec<i64> = ids.into_iter().flatten().filter(|id| u32::try_from(*id).is_ok()).collect();
        ends.dedup();
        ends
    }

    fn family_part(&self, family: Family, source: &mut Map<String, Value>, key: &impl Fn(&str) -> String) {
        let mut set = |name: &str, value: Value| drop(source.insert(name.into(), value));
        if family != Family::Gemma3 {
            set("hidden_act", json!("silu"));
            return;
        }
        let size = |part: &str| self.int(&key(part)).unwrap_or(0);
        let width = size("embedding_length") / size("attention.head_count").max(1);
        set("hidden_activation", json!("gelu_pytorch_tanh"));
        set("sliding_window", json!(self.int(&key("attention.sliding_window"))));
        set("rope_local_base_freq", json!(self.float(&key("rope.freq_base_swa")).unwrap_or(1e4)));
        set("final_logit_softcapping", json!(self.float(&key("final_logit_softcapping"))));
        if size("block_count") == GEMMA_27B_LAYERS {
            set("query_pre_attn_scalar", json!(width));
        }
        match self.metadata.get(&key("attention.sliding_window_pattern")) {
            Some(Meta::Int(pattern)) => set("sliding_window_pattern", json!(pattern)),
            Some(Meta::Ints(windowed)) => {
                let kind = |w: &i64| if *w == 0 { "full_attention" } else { "sliding_attention" };
                set("layer_types", windowed.iter().map(kind).collect());
            }
            _ => {}
        }
    }

    fn rope_scaling(&self, family: Family, head_dim: i64) -> Result<Value, StudentError> {
        let name = family.name();
        if self.tensors.contains_key("rope_freqs.weight") {
            return self.llama_3_scaling(family, head_dim);
        }
        let factor = self.float(&format!("{name}.rope.scaling.factor")).or(self.float(&format!("{name}.rope.scale_linear")));
        match (self.text(&format!("{name}.rope.scaling.type")), factor) {
            (Some("none"), _) | (None, None | Some(1.0)) => Ok(Value::Null),
            (kind, factor) => Ok(json!({"rope_type": one_line(kind.unwrap_or("linear"), 40), "factor": factor})),
        }
    }

    /// Llama 3's scaling from the factors that a converter made of it; they must be exactly those.
    fn llama_3_scaling(&self, family: Family, head_dim: i64) -> Result<Value, StudentError> {
        let refuse = |why: &str| {
            let why = format!("its rope_freqs.weight {why}; take the same model as safetensors with its config.json");
            StudentError::file(self.path(), why)
        };
        let stored = self.tensors.get("rope_freqs.weight").ok_or_else(|| refuse("is missing"))?;
        let half = usize::try_from(head_dim / 2).unwrap_or(0);
        let mut file = super::WeightFile::open(self.path())?;
        let factors = file.vector("rope_freqs.weight", stored, half)?;
        let largest = factors.iter().copied().fold(0.0, f32::max);
        let theta = self.float(&format!("{}.rope.freq_base", family.name())).unwrap_or(1e4);
        let original = self.float("llama.rope.scaling.original_context_length").unwrap_or(LLAMA_3_POSITIONS);
        let factor = super::shortest(largest);
        let scaling = RopeScaling::Llama3 { factor, low: 1.0, high: 4.0, original };
        let (plain, scaled) = (Rope { theta, scaling: RopeScaling::None }, Rope { theta, scaling });
        let expected = plain.frequencies(2 * half).into_iter().zip(scaled.frequencies(2 * half)).map(|(p, s)| p / s);
        let same = family == Family::Llama
            && factors.len() == half
            && factors.iter().zip(expected).all(|(have, want)| (have - want).abs() <= 1e-3 * want.abs());
        if !same {
            return Err(refuse("holds factors that are not Llama 3's"));
        }
        Ok(json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": original,
        }))
    }
}
