//! llama.cpp's recipe: which tensor of a file is stored how. What `llama-quantize` does, checked against it on real models
//! (`.ci/peers/release_check.py`).

use candle_core::quantized::GgmlDType;

use crate::deploy::Quant;
use crate::student::StudentConfig;
use crate::student::base::Projection;
use crate::student::config::Family;
use crate::student::effective::{Part, Place};

/// Layers of the models whose values many heads share: one step more for them.
const SEVENTY_B_LAYERS: usize = 80;

pub(super) fn kind(quant: Quant, place: &Place, config: &StudentConfig) -> GgmlDType {
    if matches!(place.part, Part::Norm | Part::Bias) {
        return GgmlDType::F32;
    }
    let inner = place.shape.last().copied().unwrap_or(0);
    let wanted = match quant {
        Quant::F16 => GgmlDType::F16,
        Quant::Bf16 => GgmlDType::BF16,
        Quant::Q8 => GgmlDType::Q8_0,
        Quant::Q4KM => medium(place.part, inner, config),
    };
    fallback(wanted, inner)
}

/// The medium mix of 4-bit blocks.
fn medium(part: Part, inner: usize, config: &StudentConfig) -> GgmlDType {
    let large = GgmlDType::Q4K.block_size();
    match part {
        // What writes tokens, whether it also reads them or not.
        Part::Embed if !config.tie_word_embeddings => GgmlDType::Q4K,
        Part::Embed | Part::Head if !inner.is_multiple_of(large) => GgmlDType::Q8_0,
        Part::Embed | Part::Head => GgmlDType::Q6K,
        Part::Projection(n, Projection::Value | Projection::Down) if more_bits(n, config.num_hidden_layers) => GgmlDType::Q6K,
        Part::Projection(_, Projection::Value) if seventy_b(config) => GgmlDType::Q5K,
        _ => GgmlDType::Q4K,
    }
}

/// The first and the last eighth of the layers, and every third between.
fn more_bits(layer: usize, layers: usize) -> bool {
    layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
}

fn seventy_b(config: &StudentConfig) -> bool {
    config.num_hidden_layers == SEVENTY_B_LAYERS && matches!(config.family, Family::Llama | Family::Qwen2)
}

/// For rows that are no whole number of blocks: the next kind with smaller ones.
fn fallback(wanted: GgmlDType, inner: usize) -> GgmlDType {
    if inner.is_multiple_of(wanted.block_size()) {
        return wanted;
    }
    let smaller = match wanted {
        GgmlDType::Q4K => GgmlDType::Q5_0,
        GgmlDType::Q5K => GgmlDType::Q5_1,
        GgmlDType::Q6K => GgmlDType::Q8_0,
        _ => GgmlDType::F16,
    };
    if inner.is_multiple_of(smaller.block_size()) { smaller } else { GgmlDType::F16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::student::effective::places;

    fn config(json: serde_json::Value) -> StudentConfig {
        StudentConfig::from_value(json).expect("sound")
    }

    fn model(model_type: &str, hidden: usize, inner: usize, layers: usize, tied: bool) -> StudentConfig {
        config(serde_json::json!({
            "model_type": model_type, "vocab_size": 512, "hidden_size": hidden, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
            "max_position_embeddings": 128, "tie_word_embeddings": tied,
        }))
    }

    /// Kinds of one layer's matrices in the order of [`Projection::ALL`].
    fn layer(config: &StudentConfig, layer: usize) -> Vec<GgmlDType> {
        let of = |p: &Place| matches!(p.part, Part::Projection(n, _) if n == layer);
        places(config).iter().filter(|p| of(p)).map(|p| kind(Quant::Q4KM, p, config)).collect()
    }

    fn ends(config: &StudentConfig, quant: Quant) -> Vec<GgmlDType> {
        let all = places(config);
        let ends = all.iter().filter(|p| matches!(p.part, Part::Embed | Part::Head));
        ends.map(|p| kind(quant, p, config)).collect()
    }

    #[test]
    fn rows_of_whole_large_blocks_follow_llama_cpp_s_medium_mix() {
        use GgmlDType::{Q4K, Q6K};
        let model = model("llama", 1024, 2048, 32, true);
        // 32 layers: 0 to 3 and 28 to 31, and every third from 6 on.
        let rich: Vec<usize> = (0..32).filter(|n| layer(&model, *n)[2] == Q6K).collect();
        assert_eq!(rich, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
        assert_eq!(layer(&model, 0), [Q4K, Q4K, Q6K, Q4K, Q4K, Q4K, Q6K]);
        assert_eq!(layer(&model, 4), [Q4K; 7]);
        assert_eq!(ends(&model, Quant::Q4KM), [Q6K]);
    }

    #[test]
    fn rows_that_are_no_large_blocks_fall_back_as_in_a_real_gemma_270m() {
        use GgmlDType::{Q4K, Q5_0, Q6K, Q8_0};
        // gemma-3-270m-q4_k_m.gguf: rows of 640 and 2048, heads of 1024.
        let model = model("gemma3_text", 640, 2048, 18, true);
        assert_eq!(layer(&model, 0), [Q5_0, Q5_0, Q8_0, Q4K, Q5_0, Q5_0, Q6K]);
        assert_eq!(layer(&model, 2), [Q5_0, Q5_0, Q5_0, Q4K, Q5_0, Q5_0, Q4K]);
        assert_eq!(ends(&model, Quant::Q4KM), [Q8_0]);
        let all = places(&model);
        let count = |wanted| all.iter().filter(|p| kind(Quant::Q4KM, p, &model) == wanted).count();
        // As gguf-dump counts them in that file.
        assert_eq!([Q5_0, Q4K, Q8_0, Q6K].map(count), [81, 27, 10, 9]);
        assert_eq!(count(GgmlDType::F32), 109);
    }

    #[test]
    fn an_output_of_its_own_takes_more_bits_and_the_table_of_tokens_fewer() {
        let model = model("qwen2", 1024, 2048, 80, false);
        assert_eq!(ends(&model, Quant::Q4KM), [GgmlDType::Q4K, GgmlDType::Q6K]);
        assert_eq!(layer(&model, 10)[2], GgmlDType::Q5K, "values shared by many heads");
        assert_eq!(ends(&model, Quant::Q8), [GgmlDType::Q8_0; 2]);
        let bias = places(&model).into_iter().find(|p| p.part == Part::Bias).expect("biases");
        assert_eq!(kind(Quant::F16, &bias, &model), GgmlDType::F32);
    }

    #[test]
    fn rows_of_no_blocks_at_all_stay_halves() {
        let model = model("llama", 40, 80, 2, true);
        for quant in [Quant::Q8, Quant::Q4KM] {
            assert_eq!(ends(&model, quant), [GgmlDType::F16]);
        }
        assert_eq!(layer(&model, 0)[6], GgmlDType::F16);
    }
}
