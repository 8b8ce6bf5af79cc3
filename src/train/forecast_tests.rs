use std::process::Command;

use super::*;
use crate::bench;
use crate::student::adapter::{self, Adapted, AdapterGradients};
use crate::student::ops::LossRows;
use crate::student::pass::{Drops, Lesson, PackedTexts, Pass};
use crate::train::optimizer::AdamW;

fn rules(rank: usize) -> AdapterRules {
    let targets = Projection::ALL.map(|p| p.name().to_owned()).to_vec();
    AdapterRules { dora: true, rank, alpha: 32.0, rslora: false, dropout: 0.0, targets }
}

fn plan<'a>(config: &'a StudentConfig, rules: &'a AdapterRules) -> AdapterPlan<'a> {
    AdapterPlan { config, base: BaseSize::of_shape(config), precision: Keep::F32, rules, recompute: false, threads: 2 }
}

const LOAD: Load = Load { tokens: 1024, loss_rows: 412, seen: 1024, longest: 256 };

#[test]
fn the_shape_alone_counts_parameters_and_adapters() {
    let (config, rules) = (bench::train::smollm2().unwrap(), rules(16));
    assert_eq!(BaseSize::of_shape(&config).parameters, 134_515_008);
    let toy = crate::student::config::tests::toy(60);
    let base = bench::train::random(&toy, Keep::F32).unwrap();
    assert_eq!(adapter_numbers(&toy, &rules), rules.count(&base) as u64);
    assert_eq!(plan(&config, &rules).learnt(), 5_040_000);
}

#[test]
fn the_forecast_is_what_was_measured_on_this_shape() {
    // `stratos bench train --precision f32` and `--precision bf16 --recompute`: 1474 and 572 MiB (2 threads).
    let (config, rules) = (bench::train::smollm2().unwrap(), rules(16));
    let whole = plan(&config, &rules);
    let lean = AdapterPlan { recompute: true, precision: Keep::Bf16, ..whole.clone() };
    for (plan, measured) in [(whole, 1474.0), (lean, 572.0)] {
        let forecast = plan.training(LOAD).total() as f64 / f64::from(1 << 20);
        assert!((forecast / measured - 1.0).abs() < 0.15, "{forecast} against {measured}");
    }
}

#[test]
fn each_saving_saves_and_more_work_costs_more() {
    let (config, rules) = (bench::train::smollm2().unwrap(), rules(16));
    let whole = plan(&config, &rules);
    let total = |plan: &AdapterPlan, load: Load| plan.training(load).total();
    let now = total(&whole, LOAD);
    let heavier = Load { tokens: 2048, loss_rows: 824, seen: 2048, longest: 512 };
    assert!(total(&whole, heavier) > now);
    assert!(total(&AdapterPlan { recompute: true, ..whole.clone() }, LOAD) < now);
    assert!(total(&AdapterPlan { precision: Keep::Bf16, ..whole.clone() }, LOAD) < now);
    assert!(scoring(&config, whole.base, Keep::F32, 512).total() > scoring(&config, whole.base, Keep::F32, 256).total());
    assert!(everything(&config, LOAD, 4, 2).total() > everything(&config, LOAD, 2, 2).total());
}

#[test]
fn a_run_that_cannot_fit_is_refused_with_what_would_fit() {
    let (config, rules) = (bench::train::smollm2().unwrap(), rules(16));
    let plan = plan(&config, &rules);
    let load = |rows: usize, longest: usize| Load {
        tokens: rows * longest,
        loss_rows: rows * longest * 4 / 10,
        seen: rows * longest,
        longest,
    };
    let now = plan.training(load(4, 256));
    let finding = |free: u64| t15(&now, Some(free << 20), |most| ways(&plan, 4, 256, most, &load));
    assert!(!finding(4000).failed());
    let tight = finding(1320);
    assert!(tight.failed() && tight.saw.contains("1320 MiB are free"), "{tight:?}");
    for change in ["recompute = true (", "micro_batch = 2 (", "micro_batch = 1 (", "precision = \"bf16\" (", "192 tokens"] {
        assert!(tight.remedy.contains(change), "{change}: {tight:?}");
    }
    let tighter = finding(540);
    assert!(tighter.remedy.contains("together") && !tighter.remedy.contains("192"), "{tighter:?}");
    assert!(finding(100).remedy.contains("smaller base"));
    assert!(!t15(&now, None, |_| Vec::new()).failed());
}

/// What the measured child is told to run: shape, recompute, precision, rows, length.
const SHAPE: &str = "STRATOS_FORECAST_SHAPE";
const SHAPES: [&str; 3] = ["smollm2 whole f32 4 256", "smollm2 again bf16 4 256", "wide whole f32 4 192"];

fn wide() -> StudentConfig {
    StudentConfig::from_value(serde_json::json!({
        "model_type": "qwen3", "vocab_size": 120_000, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu"
    }))
    .expect("sound")
}

/// Three steps; prints forecast and peak in MiB.
fn measure(shape: &str) {
    let words: Vec<&str> = shape.split(' ').collect();
    let [name, recompute, precision, rows, length] = words[..] else { panic!("{shape}") };
    let config = if name == "wide" { wide() } else { bench::train::smollm2().unwrap() };
    let (rows, length): (usize, usize) = (rows.parse().unwrap(), length.parse().unwrap());
    let (rules, keep, recompute) = (rules(16), Keep::of_name(precision), recompute == "again");
    let base = bench::train::random(&config, keep).unwrap();
    let (mut batch, mut at) = (PackedTexts::default(), LossRows::default());
    let from = length * 6 / 10;
    for row in 0..rows {
        let ids: Vec<u32> = (0..length).map(|i| ((i * 7919 + row * 104_729) % config.vocab_size) as u32).collect();
        let own = batch.add(&ids);
        for (n, id) in ids.iter().enumerate().skip(from) {
            at.rows.push((own.start + n - 1) as u32);
            at.targets.push(*id);
            at.weights.push(1.0 / (rows * (length - from)) as f32);
        }
    }
    let load = Load { tokens: batch.tokens(), loss_rows: at.rows.len(), seen: batch.tokens(), longest: length };
    let (pass, mut numbers) = (Pass::new(&config), adapter::fresh(&rules, &base, 1));
    let (mut optimizer, mut gradients) = (AdamW::new(&numbers), numbers.like());
    for _ in 0..3 {
        gradients.clear();
        let adapted = Adapted::new(&base, Some((&rules, &numbers)));
        let mut sink = AdapterGradients { adapted: &adapted, into: &mut gradients };
        let lesson = Lesson { gradients: &mut sink, drops: Drops::default(), recompute };
        pass.loss(&adapted, &batch, &at, Some(lesson));
        optimizer.step(&mut numbers, &gradients, 1.0, 1e-4, 0.0);
    }
    let threads = rayon::current_num_threads();
    let plan = AdapterPlan { precision: keep, recompute, threads, ..plan(&config, &rules) };
    let forecast = plan.training(load).total() as f64 / f64::from(1 << 20);
    println!("MEASURED {forecast} {}", bench::peak_mb().expect("the system says"));
}

#[test]
#[ignore = "a minute; cargo test --lib forecast -- --ignored"]
fn the_forecast_is_within_15_percent_of_the_measured_peak_on_three_shapes() {
    if let Ok(shape) = std::env::var(SHAPE) {
        return measure(&shape);
    }
    for shape in SHAPES {
        let name = "train::forecast::tests::the_forecast_is_within_15_percent_of_the_measured_peak_on_three_shapes";
        let program = std::env::current_exe().expect("this program");
        let child = Command::new(program).args([name, "--exact", "--ignored", "--nocapture"]).env(SHAPE, shape).output();
        let text = String::from_utf8(child.expect("runs").stdout).expect("text");
        let line = text.split("MEASURED ").nth(1).and_then(|t| t.lines().next()).expect("figures");
        let figures: Vec<f64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
        println!("{shape}: forecast {:.0} MiB, measured {:.0} MiB", figures[0], figures[1]);
        assert!((figures[0] / figures[1] - 1.0).abs() < 0.15, "{shape}: {figures:?}");
    }
}
