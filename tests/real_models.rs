//! Real models, where `.ci/fetch-peers` has put them: the same model as GGUF and as a folder, and tokenizers of GGUFs against
//! the `tokenizer.json` of the same models. Skipped, with a word, where a model is not there.

use std::path::{Path, PathBuf};

use stratos::domain::{ChatMessage, Role};
use stratos::student::Codec;
use stratos::student::adapter::{self, Adapted, AdapterGradients, AdapterRules};
use stratos::student::base::Base;
use stratos::student::gguf::Gguf;
use stratos::student::load::Keep;
use stratos::student::matrix::Matrix;
use stratos::student::ops::LossRows;
use stratos::student::outline::Words;
use stratos::student::parameters::Parameters;
use stratos::student::pass::{Drops, Lesson, PackedTexts, Pass};

fn peers() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    std::env::var_os("STRATOS_PEERS_DIR").map_or_else(|| home.join(".cache/stratos-peers"), PathBuf::from)
}

fn there(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there; .ci/fetch-peers fetches it", path.display());
    None
}

/// A file by its ending in a peer's folder.
fn peer(name: &str, ending: &str) -> Option<PathBuf> {
    let folder = there(peers().join(name))?;
    let mut files = std::fs::read_dir(&folder).ok()?.flatten().map(|e| e.path());
    files.find(|f| f.to_string_lossy().ends_with(ending)).or_else(|| there(folder.join(format!("*{ending}"))))
}

/// SmolLM2 as an ordinary folder, dequantised from the GGUF (`STRATOS_SMOLLM2` names it).
fn smollm2_folder() -> Option<PathBuf> {
    there(std::env::var_os("STRATOS_SMOLLM2").map_or_else(|| PathBuf::from("/work/smollm2"), PathBuf::from))
}

/// Ordinary and awkward texts: the project's own files line by line, and what breaks tokenizers.
fn texts() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<String> = [
        "",
        " ",
        "  two  spaces",
        "\n\n\n",
        "a\r\nb\tc",
        "don't I'LL we've",
        "12345 3.14 9,999 ٣٤",
        "naïve café e\u{301} Å Å",
        "日本語のテキスト 中文",
        "🚀👩‍👩‍👧 emoji",
        "العربية עברית",
        "<think>\nx\n</think>\n\n",
        "<|im_start|>user\nhi<|im_end|>\n",
        "\u{0}\u{1}\u{7f}",
        "x\u{a0}y\u{2003}z",
        "…—“quotes”",
        "fn main() { println!(\"{}\", 1 + 1); }",
        "trailing   ",
        "ﬁ ligature Ⅻ",
        "▁under ▁▁ spaces",
        "<unused1> <start_of_turn>user\n",
        "\u{feff}bom",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\t\t\tindent\n\t\tback",
        "     five",
    ]
    .map(str::to_owned)
    .into();
    for file in ["README.md", "src/student/config.rs", "src/student/generate.rs", "docs/metrics.md", "tests/pty.rs"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        all.extend(text.split("\n\n").map(str::to_owned));
    }
    all
}

fn wide(matrix: &Matrix) -> Vec<f32> {
    let mut all = vec![0.0; matrix.out() * matrix.inner()];
    matrix.widen(0..matrix.out(), &mut all);
    all
}

#[test]
fn smollm2_is_one_model_as_gguf_and_as_a_folder() {
    let (Some(gguf), Some(folder)) = (peer("smollm2", ".gguf"), smollm2_folder()) else { return };
    let (a, b) = (Base::load(&gguf, Keep::AsStored).expect("GGUF"), Base::load(&folder, Keep::AsStored).expect("folder"));
    assert_eq!((a.config.num_hidden_layers, a.config.rope, a.config.rms_norm_eps), (30, b.config.rope, b.config.rms_norm_eps));
    assert_eq!(a.config.max_position_embeddings, b.config.max_position_embeddings);
    assert_eq!(a.weights.layers[0].projections[0].precision(), "q4_1");
    let close =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()));
    assert!(close(&wide(&a.weights.embed), &wide(&b.weights.embed)) && close(&a.weights.norm, &b.weights.norm));
    for (n, (a, b)) in a.weights.layers.iter().zip(&b.weights.layers).enumerate() {
        let (v, w) = (&a.vectors, &b.vectors);
        assert!(close(&v.attention_norm, &w.attention_norm) && close(&v.mlp_norm, &w.mlp_norm), "layer {n}");
        for (p, (a, b)) in a.projections.iter().zip(&b.projections).enumerate() {
            assert!(close(&wide(a), &wide(b)), "layer {n}, projection {p}");
        }
    }
    for base in [&a, &b] {
        let tokenizer = &base.codec.tokenizer;
        assert_eq!(tokenizer.encode("The capital of France is").unwrap(), [504, 3575, 282, 4649, 314]);
        assert_eq!(tokenizer.end_name(), "<|im_end|>");
    }
    assert_eq!(a.codec.template.source(), b.codec.template.source());
    for text in texts() {
        let (a, b) = (&a.codec.tokenizer, &b.codec.tokenizer);
        assert_eq!(a.encode(&text).unwrap(), b.encode(&text).unwrap(), "{text:?}");
    }
}

/// A GGUF without its own template or words, made whole by files beside it.
fn beside(gguf: &Path, files: &[PathBuf]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::hard_link(gguf, folder.path().join("model.gguf"))
        .or_else(|_| std::fs::copy(gguf, folder.path().join("model.gguf")).map(drop))
        .expect("GGUF");
    for file in files {
        std::fs::copy(file, folder.path().join(file.file_name().expect("name"))).expect("copied");
    }
    folder
}

#[test]
fn a_base_without_a_template_says_so_and_takes_one_from_beside_it() {
    let (Some(gguf), Some(words), Some(config)) =
        (peer("gemma3-270m", ".gguf"), peer("gemma3", "tokenizer.json"), peer("gemma3", "tokenizer_config.json"))
    else {
        return;
    };
    let error = Gguf::open(&gguf).and_then(|g| g.codec()).expect_err("no template").to_string();
    assert!(error.contains("no chat template"), "{error}");
    let (own, given) = (Words::load(&gguf).expect("words"), Words::load(words.parent().expect("folder")).expect("words"));
    for text in texts() {
        assert_eq!(own.encode(&text).unwrap(), given.encode(&text).unwrap(), "{text:?}");
    }
    let folder = beside(&gguf, &[words, config]);
    let base = Base::load(&folder.path().join("model.gguf"), Keep::AsStored).expect("whole");
    assert_eq!(base.codec.tokenizer.end_name(), "<end_of_turn>");
    assert!(base.config.eos_token_ids.contains(&1) && base.config.tie_word_embeddings);
    assert_eq!((base.config.vocab_size, base.config.num_hidden_layers), (262_144, 18));
    assert!(base.weights.layers.iter().all(|l| l.projections.iter().all(Matrix::finite)));
    let error = base.codec.tokenizer.encode("<image_soft_token>").expect_err("no row").to_string();
    assert!(error.contains("<image_soft_token>") && error.contains("262144"), "{error}");
}

#[test]
fn turns_of_every_family_end_with_their_own_token_and_training_begins_with_what_is_served() {
    for (name, end, bos, thinks) in [
        ("qwen3", "<|im_end|>", None, true),
        ("qwen2_5", "<|im_end|>", None, false),
        ("gemma3", "<end_of_turn>", Some("<bos>"), false),
        ("llama3_2", "<|eot_id|>", Some("<|begin_of_text|>"), false),
    ] {
        let Some(file) = peer(name, "tokenizer.json") else { continue };
        let codec = Codec::load(file.parent().expect("folder")).expect(name);
        assert_eq!(codec.tokenizer.end_name(), end);
        let special = codec.tokenizer.special_tokens();
        let id = |name: &str| special.iter().find(|(n, _)| n == name).map(|(_, id)| *id);
        assert_eq!(codec.tokenizer.bos(), bos.and_then(id), "{name}");
        assert_eq!(id("<think>").is_some(), thinks, "{name}");
        for thinking in [None, Some(true), Some(false)] {
            let codec = Codec { template: codec.template.clone().with_thinking(thinking), ..codec.clone() };
            let turn = |role, text: &str| ChatMessage::new(role, text);
            let messages = [
                turn(Role::System, "Score 0 to 10."),
                turn(Role::User, "Title: “Rain” in 2024\n\nIt rains."),
                turn(Role::Assistant, "SCORE: 7.5 | REASON: naïve."),
            ];
            let encoded = codec.example(&messages).expect(name);
            assert_eq!(encoded.ids[..encoded.loss_from], codec.prompt(&messages[..2]).unwrap());
            assert_eq!(encoded.ids.last(), Some(&codec.tokenizer.end()));
            let answer = codec.tokenizer.decode(&encoded.ids[encoded.loss_from..]).unwrap();
            let empty = if thinks && thinking != Some(false) { "<think>\n\n</think>\n\n" } else { "" };
            assert_eq!(answer, format!("{empty}SCORE: 7.5 | REASON: naïve."), "{name}");
            // The template brings the only one.
            let first = bos.map(|_| codec.tokenizer.bos().unwrap());
            assert_eq!(encoded.ids.iter().filter(|id| Some(**id) == first).count(), usize::from(bos.is_some()));
        }
        for text in texts().iter().filter(|t| !t.contains("<|im") && !t.contains("<start") && !t.contains("e\u{301}")) {
            let back = codec.tokenizer.decode(&codec.tokenizer.encode(text).unwrap()).unwrap();
            assert!(back == *text || text.contains('Å') || text.contains('▁'), "{name}: {text:?} {back:?}");
        }
    }
}

/// transformers' logits of the same weights (`tests/fixtures/student/smollm2.json`).
#[test]
fn smollm2_gives_the_logits_of_transformers() {
    let Some(gguf) = peer("smollm2", ".gguf") else { return };
    let (config, weights) = Base::bare(&gguf, Keep::F32).expect("base");
    let words = Words::load(&gguf).expect("tokenizer");
    let fixture: serde_json::Value = serde_json::from_str(include_str!("fixtures/student/smollm2.json")).expect("fixture");
    let (pass, adapted) = (Pass::new(&config), Adapted::new(&weights, None));
    for text in fixture["texts"].as_array().expect("texts") {
        let ids: Vec<u32> = serde_json::from_value(text["ids"].clone()).expect("ids");
        assert_eq!(words.encode(text["text"].as_str().expect("text")).expect("encodes"), ids);
        let batch = PackedTexts::new([(ids.as_slice(), 0)]);
        let logits = pass.logits(&adapted, &batch, &[ids.len() as u32 / 2, ids.len() as u32 - 1]);
        let (middle, last) = logits.split_at(config.vocab_size);
        for (ours, theirs) in [(middle, &text["middle"]), (last, &text["last"])] {
            let theirs: Vec<(usize, f32)> = serde_json::from_value(theirs.clone()).expect("pairs");
            for (id, value) in &theirs {
                assert!((ours[*id] - value).abs() < 2e-4, "token {id}: {} against {value}", ours[*id]);
            }
            let most = (0..ours.len()).max_by(|a, b| ours[*a].total_cmp(&ours[*b]));
            assert_eq!(most, Some(theirs[0].0));
        }
    }
}

/// A quantised base is trained as it is kept: its gradients are those of the same numbers widened to f32.
#[test]
fn a_quantised_base_gives_the_gradients_of_its_widened_numbers() {
    let Some(gguf) = peer("smollm2", ".gguf") else { return };
    let rules = AdapterRules {
        dora: true,
        rank: 2,
        alpha: 4.0,
        rslora: false,
        dropout: 0.0,
        targets: vec!["q_proj".into(), "down_proj".into()],
    };
    let mut seen: Vec<Parameters> = Vec::new();
    for keep in [Keep::AsStored, Keep::F32] {
        let (config, weights) = Base::bare(&gguf, keep).expect("base");
        let kept: usize = weights.layers.iter().flat_map(|l| &l.projections).map(Matrix::bytes).sum();
        assert_eq!(kept < 80 << 20, keep == Keep::AsStored, "{kept} bytes");
        let numbers = adapter::fresh(&rules, &weights, 7);
        let adapted = Adapted::new(&weights, Some((&rules, &numbers)));
        let ids: Vec<u32> = (0..24).map(|i| (i * 977 + 5) % 49_152).collect();
        let at = LossRows { rows: vec![20, 21, 22], targets: vec![5, 6, 7], weights: vec![0.3; 3] };
        let mut gradients = numbers.like();
        let mut sink = AdapterGradients { adapted: &adapted, into: &mut gradients };
        let lesson = Lesson { gradients: &mut sink, drops: Drops::default(), recompute: keep == Keep::F32 };
        Pass::new(&config).loss(&adapted, &PackedTexts::new([(ids.as_slice(), 0)]), &at, Some(lesson));
        seen.push(gradients);
    }
    let most = seen[1].numbers().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let apart = seen[0].numbers().iter().zip(seen[1].numbers()).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(most > 0.0 && apart <= 1e-6 * most, "{apart} of {most}");
}
