//! Small models written by hand: the families as a folder and, as llama.cpp's converter would, as a GGUF.

use std::collections::BTreeMap;

use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use crate::student::StudentConfig;
use crate::student::codec::tests::toy as toy_codec;
use crate::student::config::Family;
use crate::student::load::{gguf_name, projection_shapes};

pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub fn config(family: Family, vocab: usize) -> Value {
    json!({
        "model_type": if family == Family::Gemma3 { "gemma3_text" } else { family.name() }, "vocab_size": vocab,
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "rope_scaling": null, "tie_word_embeddings": family != Family::Qwen2, "sliding_window": 16,
        "bos_token_id": null, "eos_token_id": [2], "pad_token_id": 0,
    })
}

/// What a decoder of a shape has, with numbers that tell every place.
pub fn tensors(config: &StudentConfig) -> Tensors {
    let (hidden, mut all) = (config.hidden_size, Tensors::new());
    let mut add = |name: String, shape: Vec<usize>| {
        let seed = name.bytes().fold(7_u32, |n, b| n.wrapping_mul(31).wrapping_add(b.into()));
        let number =
            |i: usize| ((seed.wrapping_add((i as u32).wrapping_mul(2_654_435_761)) >> 8) as f32 / 16_777_216.0 - 0.5) / 4.0;
        all.insert(name, (shape.clone(), (0..shape.iter().product()).map(number).collect()));
    };
    add("model.embed_tokens.weight".into(), vec![config.vocab_size, hidden]);
    add("model.norm.weight".into(), vec![hidden]);
    if !config.tie_word_embeddings {
        add("lm_head.weight".into(), vec![config.vocab_size, hidden]);
    }
    for layer in 0..config.num_hidden_layers {
        let mut part = |name: &str, shape: Vec<usize>| add(format!("model.layers.{layer}.{name}"), shape);
        let modules = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
        let modules = modules.into_iter().chain(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]);
        for (module, [out, inner]) in modules.zip(projection_shapes(config)) {
            part(&format!("{module}.weight"), vec![out, inner]);
            if config.qkv_bias() && ["q_proj", "k_proj", "v_proj"].iter().any(|p| module.ends_with(p)) {
                part(&format!("{module}.bias"), vec![out]);
            }
        }
        part("input_layernorm.weight", vec![hidden]);
        part("post_attention_layernorm.weight", vec![hidden]);
        if config.sandwich_norms() {
            part("pre_feedforward_layernorm.weight", vec![hidden]);
            part("post_feedforward_layernorm.weight", vec![hidden]);
        }
        if config.qk_norm() {
            part("self_attn.q_norm.weight", vec![config.head_dim]);
            part("self_attn.k_norm.weight", vec![config.head_dim]);
        }
    }
    all
}

pub fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let raw: Vec<_> =
        tensors.iter().map(|(n, (s, v))| (n, s, v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())).collect();
    let views = raw.iter().map(|(n, s, b)| (*n, TensorView::new(safetensors::Dtype::F32, (*s).clone(), b).expect("view")));
    safetensors::serialize(views, None).expect("serialised")
}

/// A model's folder.
pub fn folder(config: &Value, tensors: &Tensors) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
    let codec = toy_codec();
    write("config.json", config.to_string().as_bytes());
    write("tokenizer.json", codec.tokenizer.to_json().expect("tokenizer").as_bytes());
    write("tokenizer_config.json", codec.template.to_json().as_bytes());
    write("model.safetensors", &safetensors(tensors));
    folder
}

pub fn whole(family: Family) -> (Value, Tensors, tempfile::TempDir) {
    let config = config(family, toy_codec().tokenizer.vocab_size());
    let tensors = tensors(&StudentConfig::from_value(config.clone()).expect("sound"));
    let folder = folder(&config, &tensors);
    (config, tensors, folder)
}

/// A GGUF file put together by hand.
#[derive(Default)]
pub struct Writer {
    pub entries: Vec<Vec<u8>>,
    pub places: Vec<Vec<u8>>,
    pub data: Vec<u8>,
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Writer {
    pub fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.entries.push([text(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat());
    }

    pub fn texts(&mut self, key: &str, all: &[String]) {
        let head = [&8_u32.to_le_bytes()[..], &(all.len() as u64).to_le_bytes()].concat();
        self.entry(key, 9, &[head, all.iter().flat_map(|t| text(t)).collect()].concat());
    }

    pub fn tensor(&mut self, name: &str, kind: u32, shape: &[usize], bytes: &[u8]) {
        let mut place = [text(name), (shape.len() as u32).to_le_bytes().to_vec()].concat();
        place.extend(shape.iter().rev().flat_map(|n| (*n as u64).to_le_bytes()));
        place.extend(kind.to_le_bytes());
        place.extend((self.data.len() as u64).to_le_bytes());
        self.places.push(place);
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
    }

    pub fn bytes(&self) -> Vec<u8> {
        let counts = [self.places.len() as u64, self.entries.len() as u64].map(u64::to_le_bytes).concat();
        let mut all =
            [b"GGUF".to_vec(), 3_u32.to_le_bytes().to_vec(), counts, self.entries.concat(), self.places.concat()].concat();
        all.resize(all.len().next_multiple_of(32), 0);
        all.extend(&self.data);
        all
    }
}

/// The metadata that a converter writes.
pub fn metadata(writer: &mut Writer, config: &StudentConfig) {
    let arch = config.family.name();
    writer.entry("general.architecture", 8, &text(arch));
    for (key, value) in [
        ("context_length", config.max_position_embeddings),
        ("embedding_length", config.hidden_size),
        ("block_count", config.num_hidden_layers),
        ("feed_forward_length", config.intermediate_size),
        ("attention.head_count", config.num_attention_heads),
        ("attention.head_count_kv", config.num_key_value_heads),
        ("attention.key_length", config.head_dim),
        ("attention.sliding_window", config.sliding_window),
    ] {
        writer.entry(&format!("{arch}.{key}"), 4, &(value as u32).to_le_bytes());
    }
    writer.entry(&format!("{arch}.attention.layer_norm_rms_epsilon"), 6, &1e-5_f32.to_le_bytes());
    writer.entry(&format!("{arch}.rope.freq_base"), 6, &10_000_f32.to_le_bytes());
    let codec = toy_codec();
    let tokenizer: Value = serde_json::from_str(&codec.tokenizer.to_json().expect("tokenizer")).expect("JSON");
    let vocab = tokenizer["model"]["vocab"].as_object().expect("vocabulary");
    let mut tokens: Vec<String> = vec![String::new(); vocab.len()];
    vocab.iter().for_each(|(token, id)| tokens[id.as_u64().expect("id") as usize].clone_from(token));
    let control = |t: &String| i32::from(t.starts_with("<|")) * 2 + i32::from(t.ends_with("think>")) * 3 + 1;
    let kinds: Vec<u8> = tokens.iter().flat_map(|t| control(t).to_le_bytes()).collect();
    writer.texts("tokenizer.ggml.tokens", &tokens);
    let merge = |m: &Value| match m {
        Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        one => one.as_str().expect("merge").to_owned(),
    };
    let merges: Vec<String> = tokenizer["model"]["merges"].as_array().expect("merges").iter().map(merge).collect();
    writer.texts("tokenizer.ggml.merges", &merges);
    let head = [&5_u32.to_le_bytes()[..], &(tokens.len() as u64).to_le_bytes()].concat();
    writer.entry("tokenizer.ggml.token_type", 9, &[head, kinds].concat());
    writer.entry("tokenizer.ggml.model", 8, &text("gpt2"));
    writer.entry("tokenizer.ggml.pre", 8, &text("qwen2"));
    writer.entry("tokenizer.ggml.eos_token_id", 4, &2_u32.to_le_bytes());
    writer.entry("tokenizer.ggml.padding_token_id", 4, &0_u32.to_le_bytes());
    writer.entry("tokenizer.chat_template", 8, &text(codec.template.source()));
}

/// As llama.cpp's converter: norms of Gemma + 1, rotary pairs of Llama side by side.
pub fn gguf(config: &StudentConfig, tensors: &Tensors) -> Writer {
    let mut writer = Writer::default();
    metadata(&mut writer, config);
    for (name, (shape, numbers)) in tensors {
        let mut numbers = numbers.clone();
        if config.family == Family::Gemma3 && name.ends_with("norm.weight") {
            for number in &mut numbers {
                *number += 1.0;
            }
        }
        if config.family == Family::Llama && (name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight")) {
            // reshape(heads, 2, half, width).swapaxes(1, 2)
            let (head, half, width) = (config.head_dim, config.head_dim / 2, shape[1]);
            let source = numbers.clone();
            for row in 0..shape[0] {
                let (h, i, part) = (row / head, row % head / 2, row % 2);
                let from = h * head + part * half + i;
                numbers[row * width..][..width].copy_from_slice(&source[from * width..][..width]);
            }
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.tensor(&gguf_name(config.family, name).expect("known"), 0, shape, &bytes);
    }
    writer
}
