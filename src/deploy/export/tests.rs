//! Exports of small models of every family, read back by our own readers: the same student in another form.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use serde_json::{Value, json};

use super::draft::{Source, drafts};
use super::*;
use crate::deploy::Quant;
use crate::student::adapter::{AdapterRules, fresh};
use crate::student::base::{Base, Projection};
use crate::student::config::Family;
use crate::student::effective::Part;
use crate::student::files_tests::fixture;
use crate::student::gguf::Gguf;
use crate::student::matrix::Keep;
use crate::student::peft::{Adapter, BaseRecord};
use crate::student::{Student, StudentConfig};

const SENTENCE: &str = "the news of the day: 95 <think>ünï</think><|im_end|>";

fn go(_: &Told) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A base on disk, its vectors wide enough for the blocks of a test.
fn base(family: Family, wide: bool) -> tempfile::TempDir {
    let (mut config, _, folder) = fixture::whole(family);
    if !wide {
        return folder;
    }
    config["hidden_size"] = json!(256);
    config["intermediate_size"] = json!(512);
    config["head_dim"] = json!(64);
    config["num_hidden_layers"] = json!(4);
    let tensors = fixture::tensors(&StudentConfig::from_value(config.clone()).expect("sound"));
    fixture::folder(&config, &tensors)
}

/// An adapter that changes something, of a base on disk.
fn adapter(base: &Path, dora: bool, rslora: bool, thinking: Option<bool>) -> tempfile::TempDir {
    let loaded = Base::load(base, Keep::AsStored).expect("base");
    let targets = Projection::ALL.into_iter().filter(|p| dora || *p != Projection::Gate).map(|p| p.name().to_owned()).collect();
    let rules = AdapterRules { dora, rank: 4, alpha: 8.0, rslora, dropout: 0.0, targets };
    let mut numbers = fresh(&rules, &loaded.weights, 7);
    for (i, n) in numbers.numbers_mut().iter_mut().enumerate() {
        *n += ((i * 31 % 97) as f32 - 48.0) / 900.0;
    }
    let record = BaseRecord { path: base.to_owned(), digest: loaded.digest, precision: "stored".into(), thinking };
    let folder = tempfile::tempdir().expect("folder");
    for (name, bytes) in (Adapter { rules, numbers, base: Some(record) }).files().expect("files") {
        fs::write(folder.path().join(name), bytes).expect("written");
    }
    folder
}

fn exported(from: &Path, forms: &[Form]) -> (tempfile::TempDir, Vec<Piece>) {
    let to = tempfile::tempdir().expect("folder");
    let pieces = export(from, forms, &Provenance::default(), to.path(), &mut go).expect("exported").expect("not stopped");
    (to, pieces)
}

fn logits(student: &Path) -> Vec<f32> {
    Student::load(student).expect("loads").logits(&[5, 9, 40, 7, 200, 41])
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("lists");
    let mut names: Vec<String> = entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_merged_student_of_every_family_answers_as_its_adapter() {
    for family in Family::ALL {
        let base = base(family, false);
        for (dora, rslora) in [(false, false), (true, false), (false, true)] {
            let adapter = adapter(base.path(), dora, rslora, None);
            let (to, _) = exported(adapter.path(), &[Form::Merged]);
            let (own, merged) = (logits(adapter.path()), logits(&to.path().join("merged")));
            assert!(distance(&own, &merged) < 1e-5, "{family:?} dora {dora}: {}", distance(&own, &merged));
            assert!(distance(&own, &logits(base.path())) > 1e-3, "{family:?}: the adapter does something");
        }
    }
}

#[test]
fn an_exported_adapter_is_the_same_adapter_with_its_text_side() {
    let base = base(Family::Qwen3, false);
    let adapter = adapter(base.path(), true, false, None);
    let (to, _) = exported(adapter.path(), &[Form::Adapter]);
    let folder = to.path().join("adapter");
    assert_eq!(logits(adapter.path()), logits(&folder));
    assert!(names(&folder).contains(&"tokenizer.json".to_owned()));
    let config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).expect("reads")).expect("JSON");
    assert_eq!((&config["use_dora"], &config["task_type"]), (&json!(true), &json!("CAUSAL_LM")));
}

/// Name, kind, numbers of a row, numbers as they are and as they were read.
type Both = (String, GgmlDType, usize, Vec<f32>, Vec<f32>);

/// Every number of the effective weights by name, and of what the GGUF's reader makes of the file.
fn both(from: &Path, gguf: &Path) -> Vec<Both> {
    let (mut a, mut b) = (Effective::open(from).expect("student"), Effective::open(gguf).expect("GGUF"));
    let quant = gguf.file_stem().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix("model-")).expect("named");
    let drafts = drafts(&a, &[quant.parse().expect("form")], &Provenance::default()).expect("drafts");
    let kinds: Vec<(String, GgmlDType)> =
        drafts[0].weights[0].tensors.iter().map(|t| (t.source.name().to_owned(), t.kind)).collect();
    a.places()
        .into_iter()
        .map(|place| {
            let kind = kinds.iter().find(|(name, _)| *name == place.name).expect("drafted").1;
            let read = |student: &mut Effective| match place.part {
                Part::Norm | Part::Bias => student.vector(&place, 0.0).expect("vector"),
                _ => {
                    let matrix = student.matrix(&place).expect("matrix");
                    let mut all = vec![0.0; matrix.out() * matrix.inner()];
                    matrix.rows(0, &mut all);
                    all
                }
            };
            (place.name.clone(), kind, place.shape.last().copied().unwrap_or(1), read(&mut a), read(&mut b))
        })
        .collect()
}

/// How far a number of a row whose largest is `largest` may be from its stored self.
fn allowed(kind: GgmlDType, number: f32, largest: f32) -> f32 {
    match kind {
        GgmlDType::F32 => 0.0,
        GgmlDType::F16 => number.abs() / 2048.0 + 6e-8,
        GgmlDType::BF16 => number.abs() / 256.0,
        GgmlDType::Q8_0 => largest / 127.0 * 0.51 + largest / 1024.0,
        GgmlDType::Q6K => largest / 32.0 + largest / 512.0,
        GgmlDType::Q5_0 | GgmlDType::Q5_1 => largest / 16.0 + largest / 512.0,
        GgmlDType::Q4K => largest / 8.0 + largest / 128.0,
        other => panic!("{other:?} is in no recipe"),
    }
}

#[test]
fn every_number_of_a_gguf_is_the_trained_one_within_its_format() {
    for family in Family::ALL {
        for wide in [false, true] {
            let base = base(family, wide);
            let adapter = adapter(base.path(), true, false, None);
            // Only 4-bit blocks differ where rows are wide.
            let quants = if wide { &Quant::ALL[3..] } else { &Quant::ALL[..] };
            let forms: Vec<Form> = quants.iter().copied().map(Form::Gguf).collect();
            let (to, _) = exported(adapter.path(), &forms);
            for quant in quants.iter().copied() {
                for (name, kind, inner, own, read) in both(adapter.path(), &to.path().join(Form::Gguf(quant).place())) {
                    for (own, read) in own.chunks(inner).zip(read.chunks(inner)) {
                        let largest = own.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                        for (a, b) in own.iter().zip(read) {
                            let fine = (a - b).abs() <= allowed(kind, *a, largest);
                            assert!(fine, "{family:?} {quant} {name} {kind:?}: {a} became {b}, largest {largest}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_gguf_answers_as_what_was_trained_and_gives_the_same_ids_without_any_file_beside_it() {
    for family in Family::ALL {
        let base = base(family, false);
        let adapter = adapter(base.path(), false, false, None);
        let (to, pieces) = exported(adapter.path(), &Quant::ALL.map(Form::Gguf));
        for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
            fs::remove_file(to.path().join("gguf").join(name)).expect("was beside it");
        }
        let own = Student::load(adapter.path()).expect("adapter");
        for (piece, bound) in pieces.iter().zip([2e-3, 3e-2, 5e-2, 3e-1]) {
            let read = Student::load(&to.path().join(&piece.path)).expect("GGUF");
            let ids = own.codec.tokenizer.encode(SENTENCE).expect("ids");
            assert_eq!(ids, read.codec.tokenizer.encode(SENTENCE).expect("ids"), "{family:?}");
            assert_eq!(own.codec.template.source(), read.codec.template.source());
            assert_eq!(own.config.eos_token_ids[0], read.config.eos_token_ids[0]);
            assert_eq!((own.config.rope, &own.config.windowed), (read.config.rope, &read.config.windowed), "{family:?}");
            let delta = distance(&own.logits(&[5, 9, 40, 7]), &read.logits(&[5, 9, 40, 7]));
            assert!(delta < bound, "{family:?} {}: {delta}", piece.form);
        }
    }
}

#[test]
fn bytes_are_forecast_exactly_and_digests_are_those_of_the_files() {
    let base = base(Family::Gemma3, true);
    let adapter = adapter(base.path(), true, false, None);
    let forms: Vec<Form> = Form::all().collect();
    let (to, pieces) = exported(adapter.path(), &forms);
    let forecast = forecast(adapter.path(), &forms, to.path()).expect("forecast");
    let beside: u64 = names(&to.path().join("gguf"))
        .iter()
        .filter(|name| !name.starts_with("model-"))
        .map(|name| fs::metadata(to.path().join("gguf").join(name)).expect("file").len())
        .sum();
    assert_eq!(forecast.bytes, pieces.iter().map(|p| p.bytes).sum::<u64>() + beside);
    for (need, piece) in forecast.forms.iter().zip(&pieces) {
        let beside = if need.form == Form::Gguf(Quant::F16) { beside } else { 0 };
        assert_eq!((need.form, need.bytes), (piece.form, piece.bytes + beside));
        assert_eq!(digest_of(&to.path().join(&piece.path)).expect("digest"), (piece.bytes, piece.digest.clone()));
    }
    let q8 = fs::read(to.path().join("gguf/model-q8_0.gguf")).expect("file");
    assert_eq!(pieces[4].digest, Digest::of(q8));
    let (again, pieces_again) = exported(adapter.path(), &forms);
    assert_eq!(pieces, pieces_again, "the same student gives the same bytes");
    drop(again);
}

#[test]
fn a_full_disk_or_too_little_memory_is_refused_before_anything_is_written() {
    let base = base(Family::Llama, false);
    let to = base.path().join("not/there/yet");
    let mut forecast = forecast(base.path(), &[Form::Merged], &to).expect("forecast");
    assert!(forecast.free.is_some_and(|free| free > 0), "of the first folder above that is there");
    forecast.check().expect("fits");
    forecast.free = Some(forecast.bytes);
    let error = forecast.check().expect_err("is full").to_string();
    assert!(error.contains("free 6") && error.contains("fewer forms"), "{error}");
    forecast.free = None;
    forecast.memory = u64::MAX;
    assert!(forecast.check().expect_err("does not fit").to_string().contains("memory"));
    assert!(!to.exists());
}

#[test]
fn a_stop_at_any_moment_leaves_whole_forms_or_nothing() {
    let base = base(Family::Qwen2, false);
    let forms = [Form::Merged, Form::Gguf(Quant::Q8)];
    let mut told = 0;
    exported_until(base.path(), &forms, &mut || {
        told += 1;
        false
    });
    for stop in (1..=told).step_by(7) {
        let mut left = stop;
        let to = exported_until(base.path(), &forms, &mut || {
            left -= 1;
            left == 0
        });
        let all: Vec<String> = names(to.path());
        assert!(!all.iter().any(|name| name.contains("building")), "{all:?}");
        if all.contains(&"merged".to_owned()) {
            Student::load(&to.path().join("merged")).expect("whole");
        }
        if to.path().join("gguf").is_dir() {
            let files = names(&to.path().join("gguf"));
            assert!(!files.iter().any(|name| name.contains("gguf")), "stopped while it was written: {files:?}");
        }
    }
}

fn exported_until(from: &Path, forms: &[Form], stop: &mut dyn FnMut() -> bool) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("folder");
    let mut told = |_: &Told| if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    export(from, forms, &Provenance::default(), to.path(), &mut told).expect("no error");
    to
}

#[test]
fn what_a_killed_export_left_goes_and_an_older_export_is_replaced_whole() {
    let base = base(Family::Qwen3, false);
    let to = tempfile::tempdir().expect("folder");
    fs::create_dir_all(to.path().join("merged.building")).expect("made");
    fs::write(to.path().join("merged.building/model.safetensors"), "half").expect("written");
    fs::create_dir_all(to.path().join("merged")).expect("made");
    fs::write(to.path().join("merged/of-an-older-one"), "x").expect("written");
    fs::create_dir_all(to.path().join("gguf")).expect("made");
    fs::write(to.path().join("gguf/model-f16.gguf.building"), "half").expect("written");
    let forms = [Form::Merged, Form::Gguf(Quant::F16)];
    export(base.path(), &forms, &Provenance::default(), to.path(), &mut go).expect("exported").expect("whole");
    assert_eq!(names(to.path()), ["gguf", "merged"]);
    assert!(!to.path().join("merged/of-an-older-one").exists());
    assert!(!names(&to.path().join("gguf")).iter().any(|name| name.ends_with("building")));
    assert_eq!(logits(base.path()), logits(&to.path().join("merged")));
}

#[test]
fn another_base_than_the_adapters_is_refused_by_guard_t17() {
    let base = base(Family::Llama, false);
    let adapter = adapter(base.path(), false, false, None);
    let path = base.path().join("model.safetensors");
    let mut bytes = fs::read(&path).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("written");
    let to = tempfile::tempdir().expect("folder");
    let error = export(adapter.path(), &[Form::Merged], &Provenance::default(), to.path(), &mut go).expect_err("another base");
    assert!(error.to_string().contains("T17"), "{error}");
    assert!(names(to.path()).is_empty());
}

#[test]
fn a_base_in_halves_is_merged_in_halves_and_a_quantised_one_in_full() {
    let base = base(Family::Qwen3, false);
    let (_, tensors, _) = fixture::whole(Family::Qwen3);
    let raw: Vec<_> = tensors
        .iter()
        .map(|(name, (shape, all))| {
            (name.clone(), shape.clone(), all.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>())
        })
        .collect();
    let views = raw.iter().map(|(name, shape, bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape.clone(), bytes).expect("view"))
    });
    fs::write(base.path().join("model.safetensors"), safetensors::serialize(views, None).expect("bytes")).expect("written");
    let (to, _) = exported(base.path(), &[Form::Merged, Form::Gguf(Quant::Q8)]);
    let merged = to.path().join("merged");
    assert_eq!(Effective::open(&merged).expect("opens").kind(), GgmlDType::BF16);
    assert_eq!(logits(base.path()), logits(&merged), "bf16 goes through unchanged");
    let config: Value = serde_json::from_slice(&fs::read(merged.join("config.json")).expect("reads")).expect("JSON");
    assert_eq!((&config["torch_dtype"], &config["architectures"]), (&json!("bfloat16"), &json!(["Qwen3ForCausalLM"])));
    let gguf = to.path().join("gguf/model-q8_0.gguf");
    let (again, _) = exported(&gguf, &[Form::Merged]);
    assert_eq!(Effective::open(&again.path().join("merged")).expect("opens").kind(), GgmlDType::F32);
    assert!(distance(&logits(&gguf), &logits(&again.path().join("merged"))) < 1e-5);
}

#[test]
fn large_models_are_cut_into_shards_that_are_read_as_one() {
    let base = base(Family::Gemma3, false);
    let mut student = Effective::open(base.path()).expect("opens");
    let draft = merged::sharded(&student, &Provenance::default(), 30_000).expect("draft");
    assert!(draft.weights.len() > 3 && draft.weights.iter().skip(1).all(|w| w.bytes() < 32_000));
    let to = tempfile::tempdir().expect("folder");
    let mut all = go;
    folder(&draft, &mut student, &to.path().join("merged"), &mut Progress::new(1, &mut all)).expect("written");
    assert_eq!(logits(base.path()), logits(&to.path().join("merged")));
}

#[test]
fn numbers_too_large_for_a_form_name_tensor_and_remedy() {
    let (config, mut tensors, _) = fixture::whole(Family::Qwen3);
    tensors.get_mut("model.layers.1.mlp.up_proj.weight").expect("there").1[3] = 70_000.0;
    let base = fixture::folder(&config, &tensors);
    let to = tempfile::tempdir().expect("folder");
    let run = |form| export(base.path(), &[form], &Provenance::default(), to.path(), &mut go);
    let error = run(Form::Gguf(Quant::F16)).expect_err("too large").to_string();
    assert!(error.contains("layers.1.mlp.up_proj") && error.contains("bf16"), "{error}");
    assert!(!names(&to.path().join("gguf")).iter().any(|name| name.contains(".gguf")));
    run(Form::Gguf(Quant::Bf16)).expect("fits");
}

#[test]
fn what_a_gguf_cannot_say_is_refused_and_merged_can() {
    let (mut config, tensors, _) = fixture::whole(Family::Gemma3);
    config["query_pre_attn_scalar"] = json!(20);
    let base = fixture::folder(&config, &tensors);
    let to = tempfile::tempdir().expect("folder");
    let error = export(base.path(), &[Form::Gguf(Quant::Q8)], &Provenance::default(), to.path(), &mut go).expect_err("scale");
    assert!(error.to_string().contains("query_pre_attn_scalar") && error.to_string().contains("merged"), "{error}");
    assert_eq!(logits(base.path()), logits(&exported(base.path(), &[Form::Merged]).0.path().join("merged")));
    let error = export(base.path(), &[Form::Adapter], &Provenance::default(), to.path(), &mut go).expect_err("no adapter");
    assert!(error.to_string().contains("no adapter"), "{error}");
}

#[test]
fn llama_3_s_rope_goes_into_a_gguf_and_comes_back() {
    let (mut config, tensors, _) = fixture::whole(Family::Llama);
    config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64});
    let base = fixture::folder(&config, &tensors);
    let (to, _) = exported(base.path(), &[Form::Gguf(Quant::F16)]);
    let gguf = Gguf::open(&to.path().join("gguf/model-f16.gguf")).expect("opens");
    let own = StudentConfig::from_value(config).expect("sound").rope;
    assert_eq!(gguf.config().expect("read").rope.frequencies(8), own.frequencies(8));
}

#[test]
fn whether_it_thinks_travels_with_what_cannot_be_asked() {
    let base = base(Family::Qwen3, false);
    let template = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}\
        {%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}\
        {%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}";
    fs::write(base.path().join("chat_template.jinja"), template).expect("written");
    for thinking in [None, Some(true), Some(false)] {
        let adapter = adapter(base.path(), false, false, thinking);
        let (to, _) = exported(adapter.path(), &[Form::Merged, Form::Gguf(Quant::Q8)]);
        let ask = |path: PathBuf| {
            let messages = [crate::domain::ChatMessage::new(crate::domain::Role::User, "the news")];
            Student::load(&path).expect("loads").codec.prompt(&messages).expect("prompt")
        };
        let own = ask(adapter.path().to_owned());
        assert_eq!(own, ask(to.path().join("merged")), "{thinking:?}");
        fs::remove_file(to.path().join("gguf/chat_template.jinja")).expect("was there");
        fs::remove_file(to.path().join("gguf/tokenizer_config.json")).expect("was there");
        assert_eq!(own, ask(to.path().join("gguf/model-q8_0.gguf")), "{thinking:?}");
    }
}

#[test]
fn a_base_without_a_chat_template_leaves_with_what_it_has() {
    let base = base(Family::Llama, false);
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"});
    fs::write(base.path().join("tokenizer_config.json"), config.to_string()).expect("written");
    let (to, _) = exported(base.path(), &[Form::Merged, Form::Gguf(Quant::F16)]);
    let back = Effective::open(&to.path().join("gguf/model-f16.gguf")).expect("opens");
    assert!(back.text.template().is_none());
    let own = Effective::open(base.path()).expect("opens");
    let ids = |student: &Effective| student.text.tokenizer().encode(SENTENCE, false).expect("ids").get_ids().to_vec();
    assert_eq!(ids(&own), ids(&back));
    assert_eq!(own.text.token("eos_token"), back.text.token("eos_token"));
}

/// Gemma's kind of tokenizer in small: spaces as a sign of their own, bytes, runs that are found before words are cut.
fn pieces() -> Value {
    let mut tokens: Vec<String> =
        ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "\n", "\n\n", "▁▁"].map(str::to_owned).into();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let merges =
        [["\t", "\t"], ["t", "h"], ["th", "e"], ["▁", "the"], ["n", "e"], ["ne", "w"], ["▁", "new"], ["▁new", "s"], ["▁", "▁"]];
    tokens.extend(merges.iter().map(|m| m.concat()).filter(|token| token != "▁▁"));
    tokens.extend("▁abcdefghijklmnopqrstuvwxyz.:\t".chars().map(String::from));
    let added = [(0, true), (1, true), (2, true), (3, true), (4, true), (5, true), (6, false), (7, false), (8, false)];
    let added = added.map(|(id, special)| {
        json!({"id": id, "content": tokens[id], "special": special, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false})
    });
    let vocab: Value =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect::<serde_json::Map<_, _>>().into();
    // What is found before words are cut comes first, then what scores say.
    let merges: Vec<[&str; 2]> = [merges[8], ["\n", "\n"]].into_iter().chain(merges[..8].iter().copied()).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": vocab,
            "merges": merges},
    })
}

#[test]
fn gemma_s_pieces_become_scores_and_come_back_as_the_same_ids() {
    let base = base(Family::Gemma3, false);
    let mut tokenizer = pieces();
    // As the reader lists them: by score, then length, then id.
    let merges = tokenizer["model"]["merges"].as_array_mut().expect("merges");
    merges.swap(0, 1);
    fs::write(base.path().join("tokenizer.json"), tokenizer.to_string()).expect("written");
    let template = "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + m.role + '\n' + m.content + '<end_of_turn>\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";
    let config = json!({"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "chat_template": template});
    fs::write(base.path().join("tokenizer_config.json"), config.to_string()).expect("written");
    let rows = tokenizer["model"]["vocab"].as_object().expect("vocabulary").len();
    let (mut shape, _, _) = fixture::whole(Family::Gemma3);
    shape["vocab_size"] = json!(rows + 3);
    let tensors = fixture::tensors(&StudentConfig::from_value(shape.clone()).expect("sound"));
    fs::write(base.path().join("config.json"), shape.to_string()).expect("written");
    fs::write(base.path().join("model.safetensors"), fixture::safetensors(&tensors)).expect("written");
    let (to, _) = exported(base.path(), &[Form::Gguf(Quant::F16)]);
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        fs::remove_file(to.path().join("gguf").join(name)).expect("was beside it");
    }
    let own = Student::load(base.path()).expect("folder").codec;
    let read = Student::load(&to.path().join("gguf/model-f16.gguf")).expect("GGUF").codec;
    let messages = [crate::domain::ChatMessage::new(crate::domain::Role::User, "the news  of\n\nthe\t\tday: é <eos>")];
    assert_eq!(own.prompt(&messages).expect("prompt"), read.prompt(&messages).expect("prompt"));
    assert_eq!((own.tokenizer.end(), own.tokenizer.bos()), (read.tokenizer.end(), read.tokenizer.bos()));
    assert_eq!(own.tokenizer.end_name(), "<end_of_turn>");
}

#[test]
fn a_file_says_where_it_came_from() {
    let base = base(Family::Qwen2, false);
    let about = Provenance { name: "r-1".into(), recipe: "stratos-v19".into(), model: Digest::of("m"), ..Provenance::default() };
    let to = tempfile::tempdir().expect("folder");
    export(base.path(), &[Form::Merged, Form::Gguf(Quant::Q8)], &about, to.path(), &mut go).expect("exported");
    let found = |path: &str, text: &str| {
        let bytes = fs::read(to.path().join(path)).expect("reads");
        bytes.windows(text.len()).any(|w| w == text.as_bytes())
    };
    for path in ["merged/model.safetensors", "gguf/model-q8_0.gguf"] {
        for text in ["stratos.recipe", "stratos-v19", "stratos.release", Digest::of("m").as_str()] {
            assert!(found(path, text), "{path}: {text}");
        }
        assert!(!found(path, "stratos.evaluation"), "what is empty is left out");
    }
    let stated: Provenance =
        serde_json::from_slice(&fs::read(to.path().join("merged/provenance.json")).expect("reads")).expect("JSON");
    assert_eq!(stated, about);
}

#[test]
fn rotary_pairs_are_where_llama_cpp_looks_for_them_and_nowhere_else() {
    for family in Family::ALL {
        let base = base(family, false);
        let student = Effective::open(base.path()).expect("opens");
        let drafts = drafts(&student, &[Form::Gguf(Quant::F16)], &Provenance::default()).expect("drafts");
        let paired = drafts[0].weights[0].tensors.iter().filter(|t| matches!(t.source, Source::Paired(..))).count();
        assert_eq!(paired, if family == Family::Llama { 4 } else { 0 }, "queries and keys of both layers");
    }
}
