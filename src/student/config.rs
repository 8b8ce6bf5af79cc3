//! The decoder's shape. Owns `config.json` of the families this decoder is built for, in their old and new spellings, and
//! the proofs that a shape makes sense; knows no weights.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::StudentError;
use super::ops::attention::Heads;
use super::tokenizer::StudentTokenizer;
use crate::domain::one_line;
use crate::domain::recipe::SeedlingRules;

/// Largest sizes a file may ask for, so that a broken one is refused instead of exhausting memory.
const MOST: usize = 1 << 22;
/// Gemma 3: one layer in so many sees the whole text, where the file does not list them.
const GEMMA_PATTERN: usize = 6;

/// The architectures that are one decoder with different switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Family {
    pub const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3];

    /// As `model_type` and llama.cpp's `general.architecture` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }

    fn of(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| model_type == f.name()).or((model_type == "gemma3_text").then_some(Self::Gemma3))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Silu,
    /// The tanh form of GELU.
    Gelu,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    None,
    /// All frequencies divided by a factor.
    Linear(f64),
    /// Llama 3.1's: low frequencies divided, high ones kept, those between blended.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
}

/// Rotary positions of one kind of layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    pub theta: f64,
    pub scaling: RopeScaling,
}

impl Rope {
    /// Angle per position of each pair of a head.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        let plain = |i: usize| 1.0 / self.theta.powf((2 * i) as f64 / head_dim as f64);
        let scaled = |f: f64| match self.scaling {
            RopeScaling::None => f,
            RopeScaling::Linear(factor) => f / factor,
            RopeScaling::Llama3 { factor, low, high, original } => {
                let wavelength = std::f64::consts::TAU / f;
                if wavelength < original / high {
                    f
                } else if wavelength > original / low {
                    f / factor
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            }
        };
        (0..head_dim / 2).map(|i| scaled(plain(i)) as f32).collect()
    }
}

/// A decoder's shape, whatever file it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct StudentConfig {
    pub family: Family,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub activation: Activation,
    /// Of layers that see the whole text.
    pub rope: Rope,
    /// Of layers that see a window.
    pub local_rope: Rope,
    /// How many tokens back, the own one included, a layer with a window sees.
    pub sliding_window: usize,
    /// Which layers have the window.
    pub windowed: Vec<bool>,
    /// What scores of queries and keys are multiplied by.
    pub attention_scale: f32,
    pub tie_word_embeddings: bool,
    pub bos_token_id: Option<u32>,
    /// Any of these ends a text.
    pub eos_token_ids: Vec<u32>,
    pub pad_token_id: Option<u32>,
    /// The file as it was, to be written beside trained weights.
    source: Value,
}

/// `config.json` as the families spell it; what a family lacks is absent.
#[derive(Debug, Deserialize)]
struct File {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    /// Gemma's name for it, which counts where both stand.
    hidden_activation: Option<String>,
    rope_theta: Option<f64>,
    rope_local_base_freq: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    sliding_window: Option<usize>,
    sliding_window_pattern: Option<usize>,
    layer_types: Option<Vec<String>>,
    query_pre_attn_scalar: Option<f64>,
    attn_logit_softcapping: Option<f64>,
    final_logit_softcapping: Option<f64>,
    quantization_config: Option<Value>,
    bos_token_id: Option<Ids>,
    eos_token_id: Option<Ids>,
    pad_token_id: Option<Ids>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

impl Ids {
    fn list(ids: Option<&Self>) -> Vec<u32> {
        match ids {
            None => Vec::new(),
            Some(Self::One(id)) => vec![*id],
            Some(Self::Many(ids)) => ids.clone(),
        }
    }
}

fn refuse<T>(why: String) -> Result<T, StudentError> {
    Err(StudentError::Config(why))
}

/// One `rope_scaling` or `rope_parameters` object: (theta where it names one, scaling).
fn rope_of(value: &Value) -> Result<(Option<f64>, RopeScaling), StudentError> {
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    let need = |key: &str| number(key).ok_or_else(|| StudentError::Config(format!("its rope scaling lacks {key}")));
    let kind = value.get("rope_type").or(value.get("type")).and_then(Value::as_str).unwrap_or("default");
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear(need("factor")?),
        "llama3" => RopeScaling::Llama3 {
            factor: need("factor")?,
            low: need("low_freq_factor")?,
            high: need("high_freq_factor")?,
            original: need("original_max_position_embeddings")?,
        },
        other => {
            let other = one_line(other, 40);
            return refuse(format!("rope scaling '{other}' is not supported; 'default', 'linear' and 'llama3' are"));
        }
    };
    Ok((number("rope_theta"), scaling))
}

impl File {
    /// Rotary positions of layers that see everything, and of those with a window.
    fn ropes(&self, family: Family) -> Result<(Rope, Rope), StudentError> {
        let fallback = if family == Family::Gemma3 { 1e6 } else { 1e4 };
        let mut all = Rope { theta: self.rope_theta.unwrap_or(fallback), scaling: RopeScaling::None };
        let mut local = Rope { theta: self.rope_local_base_freq.unwrap_or(1e4), scaling: RopeScaling::None };
        let set = |rope: &mut Rope, value: Option<&Value>| -> Result<(), StudentError> {
            let Some(value) = value.filter(|v| v.is_object()) else { return Ok(()) };
            let (theta, scaling) = rope_of(value)?;
            *rope = Rope { theta: theta.unwrap_or(rope.theta), scaling };
            Ok(())
        };
        set(&mut all, self.rope_scaling.as_ref())?;
        match &self.rope_parameters {
            Some(by_kind) if by_kind.get("full_attention").is_some() => {
                set(&mut all, by_kind.get("full_attention"))?;
                set(&mut local, by_kind.get("sliding_attention"))?;
            }
            other => set(&mut all, other.as_ref())?,
        }
        Ok((all, if family == Family::Gemma3 { local } else { all }))
    }

    fn windowed(&self, family: Family) -> Result<Vec<bool>, StudentError> {
        let layers = self.num_hidden_layers.min(MOST);
        let windows = match &self.layer_types {
            Some(types) if types.len() == layers => types.iter().map(|t| t == "sliding_attention").collect(),
            Some(types) => return refuse(format!("layer_types names {} layers of {layers}", types.len())),
            None if family == Family::Gemma3 => {
                let pattern = self.sliding_window_pattern.unwrap_or(GEMMA_PATTERN).max(1);
                (0..layers).map(|n| (n + 1) % pattern != 0).collect()
            }
            None => vec![false; layers],
        };
        Ok(windows)
    }

    /// What the file asks for and this decoder does not do.
    fn unsupported(&self, family: Family) -> Option<String> {
        let act = self.hidden_activation.as_deref().or(self.hidden_act.as_deref());
        let known_act = match family {
            Family::Gemma3 => matches!(act, None | Some("gelu_pytorch_tanh")),
            _ => matches!(act, None | Some("silu")),
        };
        let cases = [
            (!known_act, format!("hidden_act '{}'", one_line(act.unwrap_or_default(), 40))),
            (family != Family::Qwen2 && self.attention_bias == Some(true), "attention_bias".into()),
            (self.mlp_bias == Some(true), "mlp_bias".into()),
            (family != Family::Gemma3 && self.use_sliding_window == Some(true), "use_sliding_window".into()),
            (self.attn_logit_softcapping.is_some(), "attn_logit_softcapping".into()),
            (self.final_logit_softcapping.is_some(), "final_logit_softcapping".into()),
            (
                self.quantization_config.as_ref().is_some_and(|q| !q.is_null()),
                "quantization_config (weights quantised by another program; use the GGUF or the full weights)".into(),
            ),
        ];
        cases.into_iter().find(|(yes, _)| *yes).map(|(_, what)| what)
    }
}

impl StudentConfig {
    /// The seedling's shape for a tokenizer; the vocabulary is what the tokenizer really has.
    pub fn seedling(rules: &SeedlingRules, tokenizer: &StudentTokenizer) -> Result<Self, StudentError> {
        Self::from_value(json!({
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": tokenizer.vocab_size(),
            "hidden_size": rules.hidden_size,
            "intermediate_size": rules.intermediate_size,
            "num_hidden_layers": rules.layers,
            "num_attention_heads": rules.heads,
            "num_key_value_heads": rules.kv_heads,
            "head_dim": rules.head_dim,
            "max_position_embeddings": rules.max_positions,
            "rms_norm_eps": 1e-6,
            "rope_theta": rules.rope_theta,
            "tie_word_embeddings": true,
            "attention_bias": false,
            "attention_dropout": 0.0,
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "use_sliding_window": false,
            "sliding_window": null,
            "max_window_layers": rules.layers,
            "bos_token_id": null,
            "eos_token_id": tokenizer.end(),
            "pad_token_id": tokenizer.pad(),
            "torch_dtype": "float32",
        }))
    }

    pub fn from_json(text: &str) -> Result<Self, StudentError> {
        Self::from_value(serde_json::from_str(text).map_err(|e| StudentError::Config(e.to_string()))?)
    }

    pub fn load(path: &Path) -> Result<Self, StudentError> {
        let text = std::fs::read_to_string(path).map_err(StudentError::io(path))?;
        Self::from_json(&text).map_err(|e| StudentError::file(path, e.to_string()))
    }

    /// From `config.json` as a value; of a model that also sees pictures, its text half.
    pub fn from_value(source: Value) -> Result<Self, StudentError> {
        let text = source.get("text_config").filter(|t| t.is_object()).cloned().map(|mut text| {
            if let (Value::Object(text), Some(kind)) = (&mut text, source.get("model_type")) {
                text.entry("model_type").or_insert(kind.clone());
            }
            text
        });
        let source = text.unwrap_or(source);
        let file: File = serde_json::from_value(source.clone()).map_err(|e| StudentError::Config(e.to_string()))?;
        let Some(family) = Family::of(&file.model_type) else {
            let known = Family::ALL.map(Family::name).join(", ");
            return refuse(format!("model_type '{}' is not supported; {known} are", one_line(&file.model_type, 40)));
        };
        if let Some(what) = file.unsupported(family) {
            return refuse(format!("{what} is not supported for {}", family.name()));
        }
        file.check()?;
        let head_dim = file.head_dim.unwrap_or(file.hidden_size / file.num_attention_heads);
        let (rope, local_rope) = file.ropes(family)?;
        let windowed = file.windowed(family)?;
        let gemma = family == Family::Gemma3;
        let config = Self {
            family,
            vocab_size: file.vocab_size,
            hidden_size: file.hidden_size,
            intermediate_size: file.intermediate_size,
            num_hidden_layers: file.num_hidden_layers,
            num_attention_heads: file.num_attention_heads,
            num_key_value_heads: file.num_key_value_heads.unwrap_or(file.num_attention_heads),
            head_dim,
            max_position_embeddings: file.max_position_embeddings.unwrap_or(if gemma { 131_072 } else { 2048 }),
            rms_norm_eps: file.rms_norm_eps.unwrap_or(1e-6),
            activation: if gemma { Activation::Gelu } else { Activation::Silu },
            rope,
            local_rope,
            sliding_window: file.sliding_window.unwrap_or(MOST).max(1),
            windowed,
            attention_scale: file.query_pre_attn_scalar.unwrap_or(head_dim as f64).powf(-0.5) as f32,
            tie_word_embeddings: file.tie_word_embeddings.unwrap_or(gemma),
            bos_token_id: Ids::list(file.bos_token_id.as_ref()).first().copied(),
            eos_token_ids: Ids::list(file.eos_token_id.as_ref()),
            pad_token_id: Ids::list(file.pad_token_id.as_ref()).first().copied(),
            source,
        };
        config.check()?;
        Ok(config)
    }

    /// `config.json`.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", self.source)
    }

    /// The same shape saying what ends a text and what pads it.
    #[must_use]
    pub fn with_ends(mut self, eos: &[u32], pad: Option<u32>) -> Self {
        self.eos_token_ids = eos.to_vec();
        self.pad_token_id = pad.or(self.pad_token_id);
        if let Value::Object(source) = &mut self.source {
            let set = |source: &mut Map<String, Value>, key: &str, value: Value| drop(source.insert(key.into(), value));
            set(source, "eos_token_id", if let [one] = eos { json!(one) } else { json!(eos) });
            set(source, "pad_token_id", json!(self.pad_token_id));
        }
        self
    }

    /// Whether another file means the same decoder, however it spells it.
    pub fn same_shape(&self, other: &Self) -> bool {
        *self == Self { source: self.source.clone(), ..other.clone() }
    }

    pub fn heads(&self) -> Heads {
        Heads {
            query: self.num_attention_heads,
            key: self.num_key_value_heads,
            width: self.head_dim,
            scale: self.attention_scale,
        }
    }

    /// Queries and keys are normalised head by head.
    pub fn qk_norm(&self) -> bool {
        matches!(self.family, Family::Qwen3 | Family::Gemma3)
    }

    /// Queries, keys and values have a bias.
    pub fn qkv_bias(&self) -> bool {
        self.family == Family::Qwen2
    }

    /// What attention and the gate write is normalised before it joins the residual stream.
    pub fn sandwich_norms(&self) -> bool {
        self.family == Family::Gemma3
    }

    /// Norm weights are stored less this number.
    pub fn norm_offset(&self) -> f32 {
        if self.family == Family::Gemma3 { 1.0 } else { 0.0 }
    }

    /// What embedded tokens are multiplied by.
    pub fn embed_scale(&self) -> f32 {
        if self.family == Family::Gemma3 { (self.hidden_size as f32).sqrt() } else { 1.0 }
    }

    /// Rotary positions of a layer.
    pub fn rope_of(&self, layer: usize) -> Rope {
        if self.windowed.get(layer) == Some(&true) { self.local_rope } else { self.rope }
    }

    /// How many tokens back, the own one included, a layer sees; `None`: all.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        (self.windowed.get(layer) == Some(&true)).then_some(self.sliding_window)
    }

    fn check(&self) -> Result<(), StudentError> {
        if self.max_position_embeddings == 0 || self.max_position_embeddings > MOST {
            return refuse(format!(
                "max_position_embeddings is {}; it must lie between 1 and {MOST}",
                self.max_position_embeddings
            ));
        }
        if self.head_dim == 0 || self.head_dim > MOST || !self.head_dim.is_multiple_of(2) {
            return refuse(format!("head_dim is {}; rotary positions need pairs", self.head_dim));
        }
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads.max(1)) || self.num_key_value_heads == 0 {
            let (q, kv) = (self.num_attention_heads, self.num_key_value_heads);
            return refuse(format!("{q} heads cannot share {kv} key heads evenly"));
        }
        let sensible = |rope: Rope| rope.theta > 1.0 && rope.theta.is_finite();
        if !sensible(self.rope)
            || !sensible(self.local_rope)
            || self.rms_norm_eps.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater)
        {
            return refuse(format!("rope_theta {} and rms_norm_eps {} must be sensible", self.rope.theta, self.rms_norm_eps));
        }
        if !self.attention_scale.is_finite() || self.attention_scale <= 0.0 {
            return refuse("query_pre_attn_scalar must be positive".into());
        }
        Ok(())
    }
}

impl File {
    fn check(&self) -> Result<(), StudentError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
        ];
        match sizes.iter().find(|(_, size)| *size == 0 || *size > MOST) {
            Some((name, size)) => refuse(format!("{name} is {size}; it must lie between 1 and {MOST}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A toy shape.
    pub fn toy(vocab: usize) -> StudentConfig {
        StudentConfig::from_value(json!({
            "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": vocab, "hidden_size": 24,
            "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
            "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
            "hidden_act": "silu", "bos_token_id": null, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "float32"
        }))
        .expect("sound")
    }

    #[test]
    fn a_configuration_survives_its_file() {
        let config = toy(100).with_ends(&[7, 9], Some(3));
        assert_eq!(StudentConfig::from_json(&config.to_json()).expect("sound"), config);
    }

    #[test]
    fn a_senseless_shape_is_refused_by_name() {
        for (good, bad, named) in [
            ("\"head_dim\": 8", "\"head_dim\": 7", "head_dim"),
            ("\"vocab_size\": 100", "\"vocab_size\": 0", "vocab_size"),
            ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "key heads"),
            ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 0", "key heads"),
            ("\"qwen3\"", "\"mamba\"", "mamba"),
            ("\"silu\"", "\"relu\"", "relu"),
            ("\"hidden_act\"", "\"hidden_activation\": \"gelu\", \"hidden_act\"", "gelu"),
            ("\"rope_theta\": 10000.0", "\"rope_scaling\": {\"rope_type\": \"yarn\"}", "yarn"),
        ] {
            let text = toy(100).to_json();
            assert!(text.contains(good), "{text}");
            let error = StudentConfig::from_json(&text.replace(good, bad)).expect_err(named);
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn old_and_new_spellings_of_rotary_positions_are_one() {
        let base = json!({"model_type": "gemma3_text", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8,
            "num_hidden_layers": 7, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "sliding_window": 4});
        let with = |key: &str, value: Value| {
            let mut file = base.clone();
            file[key] = value;
            StudentConfig::from_value(file).expect("sound")
        };
        let old = with("rope_theta", json!(5e5));
        let new = with(
            "rope_parameters",
            json!({"full_attention": {"rope_type": "default", "rope_theta": 5e5},
                   "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}),
        );
        assert_eq!((old.rope, old.local_rope, &old.windowed), (new.rope, new.local_rope, &new.windowed));
        assert_eq!(old.windowed, [true, true, true, true, true, false, true]);
        assert_eq!((old.window_of(0), old.window_of(5)), (Some(4), None));
    }

    #[test]
    fn llama_3_keeps_high_frequencies_and_slows_low_ones() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let (scaled, plain) = (Rope { theta: 5e5, scaling }, Rope { theta: 5e5, scaling: RopeScaling::None });
        let (scaled, plain) = (scaled.frequencies(128), plain.frequencies(128));
        assert!((scaled[0] - plain[0]).abs() < 1e-9 && (scaled[63] - plain[63] / 8.0).abs() < 1e-12);
        assert!(scaled.iter().zip(&plain).all(|(s, p)| *s <= *p && *s >= p / 8.01));
    }
}
