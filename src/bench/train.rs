//! Training steps on random weights of a known shape, or of a real base on real rows: seconds, memory, and where the time
//! goes.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use super::{median, peak_mb};
use crate::student::adapter::{self, Adapted, AdapterGradients, AdapterRules};
use crate::student::base::{Base, BaseLayer, BaseVectors, BaseWeights, Projection};
use crate::student::matrix::{Keep, Matrix};
use crate::student::ops::matmul::{Packed, times};
use crate::student::ops::{LossRows, clock};
use crate::student::pass::{Drops, Lesson, PackedTexts, Pass};
use crate::student::random::Stream;
use crate::student::{StudentConfig, StudentError};
use crate::train::forecast::{AdapterPlan, BaseSize};
use crate::train::learner::Load;
use crate::train::optimizer::{AdamW, clip_scale, global_norm};

/// What is measured.
#[derive(Debug, Clone)]
pub struct TrainBench {
    pub rows: usize,
    pub length: usize,
    /// Share of each row that carries no loss.
    pub masked: f64,
    pub steps: usize,
    pub rules: AdapterRules,
    pub recompute: bool,
    pub keep: Keep,
}

#[derive(Debug, Serialize)]
pub struct TrainFigures {
    pub seconds_per_step: f64,
    pub tokens_per_second: f64,
    pub peak_mb: Option<f64>,
    /// What the shape alone foretells (guard T15).
    pub forecast_mb: f64,
    pub loss_first: f64,
    pub loss_last: f64,
    /// Seconds of a step by part.
    pub parts: Vec<(String, f64)>,
    /// Billions of operations a second in products with weights, and what a product in cache reaches here.
    pub products_gflops: f64,
    pub limit_gflops: f64,
    pub threads: usize,
}

/// SmolLM2-135M's shape.
pub fn smollm2() -> Result<StudentConfig, StudentError> {
    StudentConfig::from_value(json!({
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        "rope_theta": 100_000.0, "tie_word_embeddings": true, "hidden_act": "silu"
    }))
}

/// Random weights, as transformers initialises them (normal, σ 0.02; norms 1).
pub fn random(config: &StudentConfig, keep: Keep) -> Result<BaseWeights, StudentError> {
    let (width, wide) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let matrix = |name: &str, out: usize, inner: usize| {
        let mut stream = Stream::new(1, &["bench", name]);
        let numbers = stream.normal(out * inner).into_iter().map(|v| v * 0.02).collect();
        Matrix::f32(out, inner, numbers)?.to_precision(keep)
    };
    let layer = |n: usize| {
        let shape = |p: Projection| match p {
            Projection::Query => (q, width),
            Projection::Key | Projection::Value => (kv, width),
            Projection::Output => (width, q),
            Projection::Gate | Projection::Up => (wide, width),
            Projection::Down => (width, wide),
        };
        let all = Projection::ALL.map(|p| matrix(&format!("{n} {}", p.name()), shape(p).0, shape(p).1));
        let [a, b, c, d, e, f, g] = all;
        let vectors = BaseVectors {
            attention_norm: vec![1.0; width],
            mlp_norm: vec![1.0; width],
            attention_out_norm: None,
            mlp_out_norm: None,
            q_norm: config.qk_norm().then(|| vec![1.0; config.head_dim]),
            k_norm: config.qk_norm().then(|| vec![1.0; config.head_dim]),
            biases: None,
        };
        Ok::<_, StudentError>(BaseLayer { vectors, projections: [a?, b?, c?, d?, e?, f?, g?] })
    };
    Ok(BaseWeights {
        embed: matrix("embed", config.vocab_size, width)?,
        layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
        norm: vec![1.0; width],
        head: None,
    })
}

/// Runs the steps on the base in `path`, or on random weights of `SmolLM2`'s shape.
pub fn run(bench: &TrainBench, path: Option<&Path>) -> Result<TrainFigures, StudentError> {
    let (config, weights) = if let Some(path) = path {
        Base::bare(path, bench.keep)?
    } else {
        let config = smollm2()?;
        let weights = random(&config, bench.keep)?;
        (config, weights)
    };
    let (batch, at) = batch(bench, config.vocab_size);
    let pass = Pass::new(&config);
    let mut numbers = adapter::fresh(&bench.rules, &weights, 1);
    let mut optimizer = AdamW::new(&numbers);
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    let mut gradients = numbers.like();
    for step in 0..=bench.steps {
        // The first step fills buffers; it is not counted.
        clock::listen(step > 0);
        let began = Instant::now();
        gradients.clear();
        let adapted = clock::timed(clock::Part::Merge, || Adapted::new(&weights, Some((&bench.rules, &numbers))));
        let mut sink = AdapterGradients { adapted: &adapted, into: &mut gradients };
        let lesson = Lesson { gradients: &mut sink, drops: Drops::default(), recompute: bench.recompute };
        losses.push(pass.loss(&adapted, &batch, &at, Some(lesson)));
        let scale = clip_scale(global_norm(&gradients), 1.0);
        optimizer.step(&mut numbers, &gradients, scale, 1e-4, 0.0);
        seconds.push(began.elapsed().as_secs_f64());
        if step == 0 {
            clock::take();
        }
    }
    clock::listen(false);
    let each = bench.steps.max(1) as f64;
    let parts: Vec<(String, f64)> = clock::take().into_iter().map(|(part, s)| (part.name().to_owned(), s / each)).collect();
    let products = parts.iter().find(|(name, _)| name == "products").map_or(f64::NAN, |(_, s)| *s);
    let seconds_per_step = median(seconds[1..].to_vec());
    Ok(TrainFigures {
        seconds_per_step,
        tokens_per_second: (bench.rows * bench.length) as f64 / seconds_per_step,
        peak_mb: peak_mb(),
        forecast_mb: foretold(bench, &config, &weights, &batch, &at),
        loss_first: losses[0],
        loss_last: losses.last().copied().unwrap_or(f64::NAN),
        products_gflops: products_only(&config, batch.tokens()) / products / 1e9,
        limit_gflops: limit(),
        parts,
        threads: rayon::current_num_threads(),
    })
}

/// Forecast of the most memory in MB, of a base kept as it is.
fn foretold(bench: &TrainBench, config: &StudentConfig, base: &BaseWeights, batch: &PackedTexts, at: &LossRows) -> f64 {
    let matrices = base.layers.iter().flat_map(|l| &l.projections).chain([&base.embed]).chain(&base.head);
    let bytes = matrices.map(Matrix::bytes).sum::<usize>() as u64;
    let plan = AdapterPlan {
        config,
        base: BaseSize { parameters: 0, stored: bytes },
        precision: Keep::AsStored,
        rules: &bench.rules,
        recompute: bench.recompute,
        threads: rayon::current_num_threads(),
    };
    let tokens = batch.tokens();
    let load = Load { tokens, loss_rows: at.rows.len(), seen: tokens, longest: bench.length };
    plan.training(load).total() as f64 / f64::from(1 << 20)
}

/// Operations of the weights' products of one step: forward, and back through all but the first layer's queries, keys and
/// values.
fn products_only(config: &StudentConfig, tokens: usize) -> f64 {
    let (width, wide) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let layer = width * (2 * q + 2 * kv + 3 * wide);
    let all = 2 * config.num_hidden_layers * layer - width * (q + 2 * kv);
    2.0 * (tokens * all) as f64
}

fn batch(bench: &TrainBench, vocab: usize) -> (PackedTexts, LossRows) {
    let (mut batch, mut at) = (PackedTexts::default(), LossRows::default());
    let mut stream = Stream::new(2, &["bench"]);
    let from = ((bench.length as f64 * bench.masked) as usize).max(1);
    let count = bench.rows * (bench.length - from);
    for _ in 0..bench.rows {
        let ids: Vec<u32> = (0..bench.length).map(|_| (stream.unit() * vocab as f64) as u32).collect();
        let own = batch.add(&ids);
        for (predicted, target) in ids.iter().enumerate().skip(from) {
            at.rows.push((own.start + predicted - 1) as u32);
            at.targets.push(*target);
            at.weights.push(1.0 / count as f32);
        }
    }
    (batch, at)
}

/// Billions of operations a second of a product that stays in the caches, on all cores.
fn limit() -> f64 {
    let (rows, inner, cols) = (960, 256, 256);
    let (x, w) = (vec![0.5f32; rows * inner], vec![0.25f32; inner * cols]);
    let (right, mut out) = (Packed::rows(&w, inner, cols, cols), vec![0.0; rows * cols]);
    let rounds = (0..9).map(|_| {
        let began = Instant::now();
        (0..50).for_each(|_| times(&x, rows, &right, &mut out, false));
        50.0 * 2.0 * (rows * inner * cols) as f64 / began.elapsed().as_secs_f64() / 1e9
    });
    rounds.fold(0.0, f64::max)
}
