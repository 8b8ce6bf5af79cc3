//! The decoder's shape in GGUF's words, and what cannot be said in them.

use super::{Entry, Value};
use crate::deploy::Quant;
use crate::student::StudentConfig;
use crate::student::config::{Family, Rope, RopeScaling};

/// llama.cpp's numbers of whole files.
const F16: u32 = 1;
const Q8_0: u32 = 7;
const Q4_K_M: u32 = 15;
const BF16: u32 = 32;
/// The one Gemma 3 whose scores llama.cpp scales by its width instead of by a head's.
const GEMMA_27B_LAYERS: usize = 62;

/// `Err`: what of this decoder llama.cpp would not do as it was trained.
pub(super) fn expressible(config: &StudentConfig) -> Result<(), String> {
    let natural = if config.family == Family::Gemma3 && config.num_hidden_layers == GEMMA_27B_LAYERS {
        config.hidden_size / config.num_attention_heads
    } else {
        config.head_dim
    };
    let expected = (natural as f64).powf(-0.5) as f32;
    if (config.attention_scale - expected).abs() > 1e-6 * expected {
        return Err(format!(
            "its attention is scaled by {} where llama.cpp scales by {expected} (query_pre_attn_scalar); use merged",
            config.attention_scale
        ));
    }
    if config.family == Family::Gemma3 {
        window_period(config).ok_or("its layers with a window follow no period, which llama.cpp asks for; use merged")?;
    } else if config.windowed.contains(&true) {
        return Err("layers with a window are not read in a GGUF of its family; use merged".into());
    }
    match (config.family, config.rope.scaling) {
        (family, RopeScaling::Llama3 { .. }) if family != Family::Llama => {
            Err("Llama 3's rope scaling is not read in a GGUF of another family; use merged".into())
        }
        // The factors carry them, but readers take the usual ones for granted.
        (_, RopeScaling::Llama3 { low, high, .. }) if (low, high) != (1.0, 4.0) => {
            Err(format!("its rope scaling blends from {low} to {high} where 1 to 4 is usual; use merged"))
        }
        _ => Ok(()),
    }
}

/// One layer in so many sees the whole text.
fn window_period(config: &StudentConfig) -> Option<usize> {
    let layers = config.windowed.len();
    // A period longer than the model says that every layer has a window.
    (1..=layers + 1).find(|period| config.windowed.iter().enumerate().all(|(n, window)| *window == ((n + 1) % period != 0)))
}

/// What rotary frequencies are divided by, as a tensor beside the weights.
pub(super) fn rope_factors(config: &StudentConfig) -> Vec<f32> {
    let plain = Rope { theta: config.rope.theta, scaling: RopeScaling::None }.frequencies(config.head_dim);
    plain.into_iter().zip(config.rope.frequencies(config.head_dim)).map(|(plain, scaled)| plain / scaled).collect()
}

pub(super) fn shape(config: &StudentConfig, quant: Quant, name: &str) -> Vec<Entry> {
    let arch = config.family.name();
    let file_type = match quant {
        Quant::F16 => F16,
        Quant::Bf16 => BF16,
        Quant::Q8 => Q8_0,
        Quant::Q4KM => Q4_K_M,
    };
    let text = |value: &str| Value::Text(value.to_owned());
    let mut entries: Vec<Entry> = vec![
        ("general.architecture".into(), text(arch)),
        ("general.type".into(), text("model")),
        ("general.name".into(), text(if name.is_empty() { "stratos" } else { name })),
        ("general.file_type".into(), Value::U32(file_type)),
        ("general.quantization_version".into(), Value::U32(2)),
    ];
    let mut of = |key: &str, value: Value| entries.push((format!("{arch}.{key}"), value));
    let mut size = |key: &str, value: usize| of(key, Value::U32(u32::try_from(value).unwrap_or(u32::MAX)));
    size("context_length", config.max_position_embeddings);
    size("embedding_length", config.hidden_size);
    size("block_count", config.num_hidden_layers);
    size("feed_forward_length", config.intermediate_size);
    size("attention.head_count", config.num_attention_heads);
    size("attention.head_count_kv", config.num_key_value_heads);
    size("attention.key_length", config.head_dim);
    size("attention.value_length", config.head_dim);
    if config.family == Family::Llama {
        size("rope.dimension_count", config.head_dim);
        size("vocab_size", config.vocab_size);
    }
    if config.family == Family::Gemma3 {
        size("attention.sliding_window", config.sliding_window);
        size("attention.sliding_window_pattern", window_period(config).unwrap_or(1));
        of("rope.freq_base_swa", Value::F32(config.local_rope.theta as f32));
    }
    of("attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps as f32));
    of("rope.freq_base", Value::F32(config.rope.theta as f32));
    match config.rope.scaling {
        RopeScaling::Linear(factor) => {
            of("rope.scaling.type", text("linear"));
            of("rope.scaling.factor", Value::F32(factor as f32));
        }
        RopeScaling::Llama3 { original, .. } => of("rope.scaling.original_context_length", Value::U32(original as u32)),
        RopeScaling::None => {}
    }
    entries
}
