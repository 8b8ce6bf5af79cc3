//! Models on disk, good and bad: the four families as a folder and as a GGUF must be one, and whatever is wrong with a file
//! is an error that says what and what to do.

pub(crate) mod fixture;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::fixture::{Tensors, Writer, config, gguf, metadata, safetensors, text, whole};
use super::base::{Base, BaseWeights};
use super::codec::tests::toy as toy_codec;
use super::config::Family;
use super::gguf::Gguf;
use super::matrix::{Keep, Matrix};
use super::{StudentConfig, StudentError};

fn saved(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

fn wide(matrix: &Matrix) -> Vec<f32> {
    let mut all = vec![0.0; matrix.out() * matrix.inner()];
    matrix.widen(0..matrix.out(), &mut all);
    all
}

/// Every number, in one order.
fn numbers(weights: &BaseWeights) -> Vec<f32> {
    let mut all = [wide(&weights.embed), weights.norm.clone(), weights.head.as_ref().map(wide).unwrap_or_default()].concat();
    for layer in &weights.layers {
        all.extend([&layer.vectors.attention_norm, &layer.vectors.mlp_norm].into_iter().flatten());
        let v = &layer.vectors;
        let optional = [&v.attention_out_norm, &v.mlp_out_norm, &v.q_norm, &v.k_norm];
        all.extend(optional.into_iter().flatten().flatten());
        all.extend(layer.vectors.biases.iter().flatten().flatten());
        layer.projections.iter().for_each(|p| all.extend(wide(p)));
    }
    all
}

fn error_of(path: &Path) -> String {
    match Base::load(path, Keep::AsStored) {
        Ok(_) => panic!("{} was taken", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_folder_and_a_gguf_of_the_same_model_are_one_base() {
    for family in Family::ALL {
        let (config, tensors, folder) = whole(family);
        let from_folder = Base::load(folder.path(), Keep::AsStored).expect("folder");
        let shape = StudentConfig::from_value(config).expect("sound");
        let (_kept, path) = saved(&gguf(&shape, &tensors).bytes());
        let from_gguf = Base::load(&path, Keep::AsStored).expect("GGUF");
        assert_eq!(numbers(&from_folder.weights), numbers(&from_gguf.weights), "{family:?}");
        let (a, b) = (&from_folder.config, &from_gguf.config);
        assert_eq!((a.family, a.rope, &a.windowed, a.attention_scale), (b.family, b.rope, &b.windowed, b.attention_scale));
        assert_eq!((&a.eos_token_ids, a.rms_norm_eps, a.head_dim), (&b.eos_token_ids, b.rms_norm_eps, b.head_dim));
        let sentence = "the news of the day: 95 <think>ünï</think><|im_end|>";
        let ids = from_folder.codec.tokenizer.encode(sentence).unwrap();
        assert_eq!(ids, from_gguf.codec.tokenizer.encode(sentence).unwrap());
        assert_eq!(from_gguf.codec.tokenizer.decode(&ids).unwrap(), "the news of the day: 95 <think>ünï</think>");
        assert_ne!(from_folder.digest, from_gguf.digest);
        assert_eq!(from_folder.digest, Base::load(folder.path(), Keep::Bf16).expect("again").digest);
    }
}

#[test]
fn shards_and_the_names_of_models_that_see_are_read_too() {
    let (config, tensors, folder) = whole(Family::Gemma3);
    let expected = numbers(&Base::load(folder.path(), Keep::AsStored).expect("folder").weights);
    for prefix in ["language_model.model.", "model.language_model."] {
        let renamed: Tensors = tensors.iter().map(|(n, t)| (n.replacen("model.", prefix, 1), t.clone())).collect();
        let (mut one, mut two) = (renamed.clone(), renamed);
        one.retain(|name, _| name.contains("layers.0"));
        two.retain(|name, _| !name.contains("layers.0"));
        let folder = fixture::folder(&config, &tensors);
        std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        let mut map = serde_json::Map::new();
        for (file, tensors) in [("a.safetensors", &one), ("b.safetensors", &two)] {
            map.extend(tensors.keys().map(|name| (name.clone(), json!(file))));
            std::fs::write(folder.path().join(file), safetensors(tensors)).unwrap();
        }
        let index = folder.path().join("model.safetensors.index.json");
        std::fs::write(&index, json!({"weight_map": map}).to_string()).unwrap();
        assert_eq!(numbers(&Base::load(folder.path(), Keep::AsStored).expect("shards").weights), expected);
        std::fs::write(&index, json!({"weight_map": {"x": "../a.safetensors"}}).to_string()).unwrap();
        assert!(error_of(folder.path()).contains("must lie beside the index"));
    }
}

#[test]
fn matrices_are_kept_as_asked() {
    let (_, _, folder) = whole(Family::Qwen3);
    let base = |keep| Base::load(folder.path(), keep).expect("folder").weights;
    assert_eq!(base(Keep::AsStored).embed.precision(), "f32");
    let narrow = base(Keep::Bf16);
    assert_eq!(narrow.layers[1].projections[3].precision(), "bf16");
    let (a, b) = (numbers(&base(Keep::F32)), numbers(&narrow));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= a.abs() / 256.0));
}

#[test]
fn a_bad_folder_says_what_is_wrong_and_what_to_do() {
    type Spoil = fn(&Path, &Value, &Tensors);
    let put = |folder: &Path, name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("written");
    let cases: [(Spoil, &[&str]); 11] = [
        (|f, _, _| std::fs::remove_file(f.join("config.json")).unwrap(), &["config.json", ".gguf"]),
        (|f, _, _| std::fs::remove_file(f.join("tokenizer.json")).unwrap(), &["no tokenizer.json", "put it there"]),
        (|f, _, _| std::fs::remove_file(f.join("tokenizer_config.json")).unwrap(), &["no chat template", "chat_template.jinja"]),
        (|f, _, _| std::fs::remove_file(f.join("model.safetensors")).unwrap(), &["neither model.safetensors"]),
        (
            |f, _, t| std::fs::write(f.join("model.safetensors"), &safetensors(t)[..9000]).unwrap(),
            &["model.safetensors", "cut off", "fetch it again"],
        ),
        (
            |f, _, t| {
                let mut t = t.clone();
                t.get_mut("model.layers.1.mlp.up_proj.weight").unwrap().1[77] = f32::NAN;
                std::fs::write(f.join("model.safetensors"), safetensors(&t)).unwrap();
            },
            &["model.safetensors", "model.layers.1.mlp.up_proj.weight", "NaN"],
        ),
        (
            |f, _, t| {
                let mut t = t.clone();
                t.get_mut("model.norm.weight").unwrap().1[0] = f32::INFINITY;
                std::fs::write(f.join("model.safetensors"), safetensors(&t)).unwrap();
            },
            &["model.norm.weight", "infinite"],
        ),
        (
            |f, _, t| {
                let mut t = t.clone();
                t.remove("model.layers.0.self_attn.k_norm.weight");
                std::fs::write(f.join("model.safetensors"), safetensors(&t)).unwrap();
            },
            &["model.layers.0.self_attn.k_norm.weight", "is missing", "do not belong together"],
        ),
        (
            |f, c, _| {
                let mut c = c.clone();
                c["intermediate_size"] = json!(96);
                std::fs::write(f.join("config.json"), c.to_string()).unwrap();
            },
            &["mlp.gate_proj.weight", "[64, 32]", "[96, 32]", "config.json and weights do not belong together"],
        ),
        (
            |f, c, _| {
                let mut c = c.clone();
                c["vocab_size"] = json!(100);
                std::fs::write(f.join("config.json"), c.to_string()).unwrap();
            },
            &["tokenizer", "the model 100", "do not belong together"],
        ),
        (
            |f, c, _| {
                let mut c = c.clone();
                c["model_type"] = json!("mamba\u{1b}[2J");
                std::fs::write(f.join("config.json"), c.to_string()).unwrap();
            },
            &["config.json", "'mamba", "not supported", "qwen3"],
        ),
    ];
    for (spoil, words) in cases {
        let (config, tensors, folder) = whole(Family::Qwen3);
        spoil(folder.path(), &config, &tensors);
        let error = error_of(folder.path());
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
    let (_, _, folder) = whole(Family::Qwen3);
    put(folder.path(), "tokenizer.json", b"{}");
    assert!(error_of(folder.path()).contains("not a readable tokenizer"));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    put(folder.path(), "pytorch_model.bin", b"x");
    std::fs::write(folder.path().join("tokenizer.json"), toy_codec().tokenizer.to_json().unwrap()).unwrap();
    assert!(error_of(folder.path()).contains("convert it"));
}

#[test]
fn numbers_of_unknown_kinds_and_lying_headers_are_refused_by_name() {
    let cases = [
        (json!({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]}}), "[4]"),
        (json!({"a": {"dtype": "F32", "shape": [1_u64 << 62, 1_u64 << 62], "data_offsets": [0, 16]}}), "numbers of F32"),
        (json!({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1_u64 << 60]}}), "lies at bytes"),
        (json!({"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}), "lies at bytes"),
        (
            json!({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [2],
            "data_offsets": [8, 16]}}),
            "overlaps",
        ),
        (json!({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}), "its header"),
        (json!([1, 2]), "its header"),
        (json!({"model.embed_tokens.weight": {"dtype": "F8_E4M3", "shape": [265, 32], "data_offsets": [0, 16]}}), "F8_E4M3"),
    ];
    let (config, tensors, _) = whole(Family::Qwen3);
    let mut config = config;
    config["vocab_size"] = json!(265.max(config["vocab_size"].as_u64().unwrap()));
    for (header, word) in cases {
        let folder = fixture::folder(&config, &tensors);
        let header = header.to_string().replace("[265,", &format!("[{},", config["vocab_size"]));
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 16]].concat();
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let error = error_of(folder.path());
        assert!(error.contains(word) && error.contains("model.safetensors"), "{word}: {error}");
    }
    let twice = br#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    let folder = fixture::folder(&config, &tensors);
    let bytes = [&(twice.len() as u64).to_le_bytes()[..], twice].concat();
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    assert!(error_of(folder.path()).contains("comes twice"));
}

#[test]
fn a_bad_gguf_says_what_is_wrong_and_what_to_do() {
    type Spoil = fn(&mut Writer, &StudentConfig);
    let cases: [(Spoil, &[&str]); 7] = [
        (
            |w, _| w.entries[0] = [text("general.architecture"), vec![8, 0, 0, 0], text("mamba\u{7}")].concat(),
            &["'mamba'", "qwen3"],
        ),
        (|w, _| w.entries.retain(|e| !e.starts_with(&text("qwen3.block_count"))), &["qwen3.block_count"]),
        (|w, _| w.entries.retain(|e| !e.starts_with(&text("tokenizer.ggml.merges"))), &["merges", "tokenizer.json beside"]),
        (|w, _| w.entries.retain(|e| !e.starts_with(&text("tokenizer.ggml.pre"))), &["cuts words", "tokenizer.json beside"]),
        (
            |w, _| w.entries.retain(|e| !e.starts_with(&text("tokenizer.chat_template"))),
            &["no chat template", "chat_template.jinja"],
        ),
        (|w, _| w.places.retain(|p| !p.starts_with(&text("blk.1.attn_q.weight"))), &["blk.1.attn_q.weight", "is missing"]),
        (
            |w, _| {
                let name = text("output_norm.weight");
                let place = w.places.iter_mut().find(|p| p.starts_with(&name)).unwrap();
                let at = name.len() + 12;
                place[at] = 23;
            },
            &["output_norm.weight", "GGML type 23", "convert"],
        ),
    ];
    let (config, tensors, _) = whole(Family::Qwen3);
    let config = StudentConfig::from_value(config).expect("sound");
    for (spoil, words) in cases {
        let mut writer = gguf(&config, &tensors);
        spoil(&mut writer, &config);
        let (_kept, path) = saved(&writer.bytes());
        let error = error_of(&path);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    }
    let (_kept, path) = saved(b"not a model at all");
    assert!(error_of(&path).contains("neither a model's folder nor a GGUF"));
}

/// A small sound file: one text, two arrays, two tensors.
fn small() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.entry("general.architecture", 8, &text("llama"));
    writer.texts("tokenizer.ggml.tokens", &["a".into(), "bc".into()]);
    writer.entry("some.ints", 9, &[&5_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &[1, 0, 0, 0, 2, 0, 0, 0]].concat());
    writer.tensor("token_embd.weight", 0, &[2, 4], &[0; 32]);
    writer.tensor("output_norm.weight", 8, &[32], &[0; 34]);
    writer.data.truncate(32 + 34);
    writer.bytes()
}

fn try_everything(path: &Path) -> Result<(), StudentError> {
    let gguf = Gguf::open(path)?;
    gguf.config()?;
    gguf.codec()?;
    Base::load(path, Keep::AsStored).map(drop)
}

#[test]
fn a_gguf_cut_off_anywhere_is_refused() {
    let bytes = small();
    let (_kept, path) = saved(&bytes);
    Gguf::open(&path).expect("sound");
    for end in 0..bytes.len() {
        std::fs::write(&path, &bytes[..end]).unwrap();
        assert!(Gguf::open(&path).is_err(), "{end} of {}", bytes.len());
    }
}

#[test]
fn safetensors_cut_off_anywhere_are_refused() {
    let (_, tensors, folder) = whole(Family::Llama);
    let two: Tensors = tensors.into_iter().filter(|(name, _)| name.contains("norm") && name.contains("layers")).collect();
    let bytes = safetensors(&two);
    for end in 0..bytes.len() {
        std::fs::write(folder.path().join("model.safetensors"), &bytes[..end]).unwrap();
        assert!(super::folder::Shards::open(folder.path()).is_err(), "{end} of {}", bytes.len());
    }
}

#[test]
fn counts_and_lengths_beyond_the_file_are_refused_wherever_they_stand() {
    let bytes = small();
    let (_kept, path) = saved(&bytes);
    for at in 4..bytes.len() - 8 {
        for huge in [u64::MAX, 1 << 63, 1 << 40, 1 << 31] {
            let mut bytes = bytes.clone();
            bytes[at..at + 8].copy_from_slice(&huge.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
            drop(try_everything(&path));
        }
    }
}

#[test]
fn llama_3_s_rope_factors_in_a_gguf_become_its_scaling_and_others_are_refused() {
    let (mut config, _, _) = whole(Family::Llama);
    config["rope_theta"] = json!(1e6);
    config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let config = StudentConfig::from_value(config).expect("sound");
    // As llama.cpp's converter computes them.
    let factor = |i: i32| {
        let wavelength = std::f64::consts::TAU * 1e6_f64.powf(f64::from(2 * i) / 8.0);
        let smooth = (8192.0 / wavelength - 1.0) / 3.0;
        let blended = 1.0 / ((1.0 - smooth) / 32.0 + smooth);
        (if wavelength < 2048.0 {
            1.0
        } else if wavelength > 8192.0 {
            32.0
        } else {
            blended
        }) as f32
    };
    let factors = (0..4).map(factor).collect::<Vec<f32>>();
    for (spoilt, sound) in [(1.0, true), (1.1, false)] {
        let mut writer = Writer::default();
        metadata(&mut writer, &config);
        let theta = text("llama.rope.freq_base");
        let entry = writer.entries.iter_mut().find(|e| e.starts_with(&theta)).expect("theta");
        entry[theta.len() + 4..].copy_from_slice(&1e6_f32.to_le_bytes());
        writer.tensor("token_embd.weight", 0, &[2, 32], &[0; 256]);
        let bytes: Vec<u8> =
            factors.iter().enumerate().flat_map(|(i, f)| (if i == 2 { f * spoilt } else { *f }).to_le_bytes()).collect();
        writer.tensor("rope_freqs.weight", 0, &[4], &bytes);
        let (_kept, path) = saved(&writer.bytes());
        match Gguf::open(&path).expect("sound").config() {
            Ok(read) => assert!(sound && read.rope == config.rope, "{:?}", read.rope),
            Err(error) => assert!(!sound && error.to_string().contains("rope_freqs.weight"), "{error}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_at_all_make_the_gguf_reader_panic(
        changes in proptest::collection::vec((0_usize..1_000_000, proptest::num::u8::ANY), 1..6),
        count in proptest::option::of((0_usize..1_000_000, proptest::num::u64::ANY)),
        whole in proptest::bool::ANY,
    ) {
        let mut bytes = if whole {
            let config = config(Family::Llama, 300);
            let config = StudentConfig::from_value(config).expect("sound");
            let mut writer = Writer::default();
            metadata(&mut writer, &config);
            writer.bytes()
        } else {
            small()
        };
        let len = bytes.len();
        for (at, byte) in changes {
            bytes[at % len] = byte;
        }
        if let Some((at, count)) = count {
            bytes[at % (len - 8)..][..8].copy_from_slice(&count.to_le_bytes());
        }
        bytes[..4].copy_from_slice(b"GGUF");
        let (_kept, path) = saved(&bytes);
        drop(try_everything(&path));
    }

    #[test]
    fn no_bytes_at_all_make_the_safetensors_reader_panic(
        changes in proptest::collection::vec((0_usize..700, proptest::num::u8::ANY), 1..6),
        noise in proptest::option::of(proptest::collection::vec(proptest::num::u8::ANY, 0..64)),
    ) {
        let tensors: Tensors = [("a".to_owned(), (vec![2, 3], vec![1.0; 6])), ("b".to_owned(), (vec![4], vec![2.0; 4]))].into();
        let mut bytes = noise.unwrap_or_else(|| safetensors(&tensors));
        let len = bytes.len().max(1);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at % len) {
                *place = byte;
            }
        }
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("model.safetensors"), bytes).expect("written");
        drop(super::folder::Shards::open(folder.path()));
    }
}
