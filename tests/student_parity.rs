//! The student engine against torch, transformers and PEFT: reference values that `.ci/peers/student_reference.py` wrote for
//! tiny random models of every family.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use stratos::student::StudentConfig;
use stratos::student::adapter::{Adapted, AdapterGradients};
use stratos::student::base::{Base, BaseWeights};
use stratos::student::matrix::Keep;
use stratos::student::ops::{Dropout, LossRows};
use stratos::student::parameters::Parameters;
use stratos::student::pass::{Drops, Lesson, PackedTexts, Pass};
use stratos::student::peft::Adapter;
use stratos::student::portable::{self, Portable};
use stratos::train::optimizer::{AdamW, clip_scale, global_norm};

const FAMILIES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];
const KINDS: [&str; 3] = ["lora", "dora", "rslora"];

#[derive(Deserialize)]
struct Reference {
    ids: Vec<Vec<u32>>,
    loss_from: Vec<usize>,
    weights: Vec<f32>,
    loss: f64,
    logits: Vec<Vec<Vec<f32>>>,
    adapters: std::collections::BTreeMap<String, AdapterReference>,
}

#[derive(Deserialize)]
struct AdapterReference {
    loss: f64,
    logits: Vec<Vec<Vec<f32>>>,
    steps: Steps,
}

#[derive(Deserialize)]
struct Steps {
    learning_rate: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    losses: Vec<f64>,
}

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/student").join(family)
}

fn reference(family: &str) -> Reference {
    let text = std::fs::read_to_string(folder(family).join("reference.json")).expect("reference.json");
    serde_json::from_str(&text).expect("reference")
}

struct Bare {
    config: StudentConfig,
    weights: BaseWeights,
}

fn base(family: &str) -> Bare {
    let (config, weights) = Base::bare(&folder(family).join("base"), Keep::AsStored).expect("base");
    Bare { config, weights }
}

/// Both texts, the second one going on from the tokens it may share with nobody: two packed texts.
fn batch(r: &Reference) -> (PackedTexts, LossRows) {
    let (mut batch, mut at) = (PackedTexts::default(), LossRows::default());
    let sum: f32 = r.ids.iter().zip(&r.loss_from).zip(&r.weights).map(|((ids, from), w)| w * (ids.len() - from) as f32).sum();
    for ((ids, from), weight) in r.ids.iter().zip(&r.loss_from).zip(&r.weights) {
        let own = batch.add(ids);
        for (predicted, target) in ids.iter().enumerate().skip(*from) {
            at.rows.push((own.start + predicted - 1) as u32);
            at.targets.push(*target);
            at.weights.push(weight / sum);
        }
    }
    (batch, at)
}

/// Largest difference, relative to the largest number.
fn apart(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    ours.iter().zip(theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / scale.max(1e-12)
}

fn assert_logits(ours: &[f32], theirs: &[Vec<Vec<f32>>], what: &str) {
    let theirs: Vec<f32> = theirs.iter().flatten().flatten().copied().collect();
    assert_eq!(ours.len(), theirs.len());
    let most = ours.iter().zip(&theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(most < 1e-4, "{what}: logits are {most} apart");
}

#[test]
fn logits_are_those_of_transformers() {
    for family in FAMILIES {
        let (r, base) = (reference(family), base(family));
        let (batch, at) = batch(&r);
        let pass = Pass::new(&base.config);
        let weights = Adapted::new(&base.weights, None);
        let rows: Vec<u32> = (0..batch.tokens() as u32).collect();
        assert_logits(&pass.logits(&weights, &batch, &rows), &r.logits, family);
        let loss = pass.loss(&weights, &batch, &at, None);
        assert!((loss - r.loss).abs() < 1e-4, "{family}: loss {loss} against {}", r.loss);
    }
}

#[test]
fn old_and_new_spellings_of_a_configuration_are_one_model() {
    for family in FAMILIES {
        let old = StudentConfig::load(&folder(family).join("config-old-style.json")).expect("old style");
        let new = StudentConfig::load(&folder(family).join("base/config.json")).expect("new style");
        assert!(old.same_shape(&new), "{family}");
    }
}

#[test]
fn adapters_of_peft_give_pefts_logits_losses_and_gradients() {
    for (family, kind) in FAMILIES.into_iter().flat_map(|f| KINDS.map(|k| (f, k))) {
        let (r, base) = (reference(family), base(family));
        let adapter = Adapter::load(&folder(family).join(format!("adapter-{kind}")), &base.weights).expect("adapter");
        let theirs = &r.adapters[kind];
        let (batch, at) = batch(&r);
        let pass = Pass::new(&base.config);
        let merged = Adapted::new(&base.weights, Some((&adapter.rules, &adapter.numbers)));
        let rows: Vec<u32> = (0..batch.tokens() as u32).collect();
        let what = format!("{family} {kind}");
        assert_logits(&pass.logits(&merged, &batch, &rows), &theirs.logits, &what);
        let bytes = std::fs::read(folder(family).join(format!("gradients-{kind}.safetensors"))).expect("gradients");
        let expected = Parameters::from_safetensors(adapter.rules.shapes(&base.weights), &bytes).expect("gradients");
        for recompute in [false, true, true] {
            let mut gradients = adapter.numbers.like();
            let mut sink = AdapterGradients { adapted: &merged, into: &mut gradients };
            let lesson = Lesson { gradients: &mut sink, drops: Drops::default(), recompute };
            let loss = pass.loss(&merged, &batch, &at, Some(lesson));
            assert!((loss - theirs.loss).abs() < 1e-4, "{what}: loss {loss} against {}", theirs.loss);
            for (name, _, numbers) in expected.iter() {
                let apart = apart(gradients.get(name), numbers);
                assert!(apart < 1e-4, "{what}, {name}: {apart} apart (recompute {recompute})");
            }
        }
    }
}

#[test]
fn candles_autograd_agrees_on_the_portable_decoder() {
    for (family, kind) in FAMILIES.into_iter().flat_map(|f| KINDS.map(|k| (f, k))) {
        let (r, base) = (reference(family), base(family));
        let adapter = Adapter::load(&folder(family).join(format!("adapter-{kind}")), &base.weights).expect("adapter");
        let portable = Portable::new(&base.config, &base.weights, &candle_core::Device::Cpu).expect("portable");
        let sum: f32 = (0..r.ids.len()).map(|i| r.weights[i] * (r.ids[i].len() - r.loss_from[i]) as f32).sum();
        let lesson = |i: usize| portable::Lesson { ids: &r.ids[i], loss_from: r.loss_from[i], weight: r.weights[i] / sum };
        let lessons: Vec<portable::Lesson> = (0..r.ids.len()).map(lesson).collect();
        let (loss, gradients) =
            portable.learn(&adapter.rules, &adapter.numbers, &lessons, Dropout::default()).expect("gradients");
        assert!((loss - r.adapters[kind].loss).abs() < 1e-4, "{family} {kind}: {loss}");
        let bytes = std::fs::read(folder(family).join(format!("gradients-{kind}.safetensors"))).expect("gradients");
        let expected = Parameters::from_safetensors(adapter.rules.shapes(&base.weights), &bytes).expect("gradients");
        for (name, _, numbers) in expected.iter() {
            let apart = apart(gradients.get(name), numbers);
            assert!(apart < 1e-4, "{family} {kind}, {name}: {apart} apart");
        }
    }
}

/// PEFT's dropout, y = W·x + (W′ − W)·x̃, on one text, where both lay their masks over the same rows.
#[test]
fn an_adapters_dropout_is_candles_on_the_same_mask() {
    for (family, kind) in FAMILIES.into_iter().flat_map(|f| KINDS.map(|k| (f, k))) {
        let (r, base) = (reference(family), base(family));
        let adapter = Adapter::load(&folder(family).join(format!("adapter-{kind}")), &base.weights).expect("adapter");
        let ids = &r.ids[0];
        let batch = PackedTexts::new([(&ids[..], 0)]);
        let count = ids.len() - 1;
        let at = LossRows { rows: (0..count as u32).collect(), targets: ids[1..].to_vec(), weights: vec![0.1; count] };
        let merged = Adapted::new(&base.weights, Some((&adapter.rules, &adapter.numbers)));
        let (pass, drop) = (Pass::new(&base.config), Dropout { share: 0.3, key: 77 });
        let learn = |drops: Drops, recompute: bool| {
            let mut gradients = adapter.numbers.like();
            let mut sink = AdapterGradients { adapted: &merged, into: &mut gradients };
            let loss = pass.loss(&merged, &batch, &at, Some(Lesson { gradients: &mut sink, drops, recompute }));
            (loss, gradients)
        };
        let portable = Portable::new(&base.config, &base.weights, &candle_core::Device::Cpu).expect("portable");
        let lesson = portable::Lesson { ids, loss_from: 1, weight: 0.1 };
        let (loss, expected) = portable.learn(&adapter.rules, &adapter.numbers, &[lesson], drop).expect("gradients");
        for recompute in [false, true] {
            let (ours, gradients) = learn(Drops { adapter: drop, ..Drops::default() }, recompute);
            assert!((ours - loss).abs() < 1e-4, "{family} {kind}: loss {ours} against {loss}");
            for (name, _, numbers) in expected.iter() {
                let apart = apart(gradients.get(name), numbers);
                assert!(apart < 1e-4, "{family} {kind}, {name}: {apart} apart");
            }
        }
        assert!((learn(Drops::default(), false).0 - loss).abs() > 1e-4, "{family} {kind}: nothing was dropped");
    }
}

#[test]
fn twenty_optimizer_steps_lose_what_torch_loses() {
    for (family, kind) in FAMILIES.into_iter().flat_map(|f| KINDS.map(|k| (f, k))) {
        let (r, base) = (reference(family), base(family));
        let Adapter { rules, mut numbers, .. } =
            Adapter::load(&folder(family).join(format!("adapter-{kind}")), &base.weights).expect("adapter");
        let steps = &r.adapters[kind].steps;
        let (batch, at) = batch(&r);
        let (pass, mut optimizer) = (Pass::new(&base.config), AdamW::new(&numbers));
        for (step, theirs) in steps.losses.iter().enumerate() {
            let adapted = Adapted::new(&base.weights, Some((&rules, &numbers)));
            let mut gradients = numbers.like();
            let mut sink = AdapterGradients { adapted: &adapted, into: &mut gradients };
            let lesson = Lesson { gradients: &mut sink, drops: Drops::default(), recompute: false };
            let ours = pass.loss(&adapted, &batch, &at, Some(lesson));
            assert!((ours - theirs).abs() < 1e-4, "{family} {kind}, step {step}: {ours} against {theirs}");
            let scale = clip_scale(global_norm(&gradients), steps.max_grad_norm);
            optimizer.step(&mut numbers, &gradients, scale, steps.learning_rate, steps.weight_decay);
        }
    }
}

#[test]
fn our_adapter_folder_is_the_one_we_read() {
    let base = base("qwen3");
    let adapter = Adapter::load(&folder("qwen3").join("adapter-dora"), &base.weights).expect("adapter");
    let copy = tempfile::tempdir().expect("folder");
    for (name, bytes) in adapter.files().expect("files") {
        std::fs::write(copy.path().join(name), bytes).expect("written");
    }
    let again = Adapter::load(copy.path(), &base.weights).expect("again");
    assert_eq!((again.rules, again.numbers), (adapter.rules, adapter.numbers));
}
