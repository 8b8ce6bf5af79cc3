//! A tiny base in the Hugging Face layout, with random weights and a tokenizer of its own.

use std::fs;
use std::path::Path;

use stratos::student::{self, ChatTemplate, Codec, StudentConfig, StudentTokenizer, template, weights};

/// Writes the base's folder: two layers, ids learnt from `texts`.
pub fn write<'a>(folder: &Path, texts: impl IntoIterator<Item = &'a str>) {
    let tokenizer = StudentTokenizer::train(texts, 500).expect("tokenizer");
    let config = serde_json::json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": tokenizer.vocab_size(), "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true,
        "hidden_act": "silu", "eos_token_id": tokenizer.end(), "pad_token_id": tokenizer.pad(), "torch_dtype": "float32"
    });
    let config = StudentConfig::from_value(config).expect("config");
    let codec = Codec { tokenizer, template: ChatTemplate::new(template::CHATML).expect("template") };
    fs::create_dir_all(folder).expect("creates");
    for (name, bytes) in student::files(&config, &codec, &weights::fresh(&config, 5)).expect("files") {
        fs::write(folder.join(name), bytes).expect("writes");
    }
}
