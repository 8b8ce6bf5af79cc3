//! How much memory a run will need, from shapes alone, before anything big is loaded (guard T15). Owns the sums and the ways
//! to make a run fit; what is allocated where is `student`'s and `learner`'s, and a test holds the sums against the measured
//! peak of three shapes.

use serde::Serialize;

use super::learner::Load;
use crate::domain::Finding;
use crate::student::StudentConfig;
use crate::student::adapter::AdapterRules;
use crate::student::base::Projection;
use crate::student::matrix::Keep;
use crate::student::ops::{Packed, loss};
use crate::student::outline::Outline;

const F32: u64 = 4;
/// Of a process that has loaded nothing: code, threads, tables, tokenizer.
const PROCESS: u64 = 26 << 20;
/// Rows of the output layer that a thread packs at a time.
const HEAD_BLOCK: u64 = 1024;
/// Rows that generation writes side by side, and prompt tokens it reads in one pass.
const SEATS: u64 = 48;
const READ_AT_ONCE: u64 = 2048;

/// Bytes by what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub parts: Vec<(&'static str, u64)>,
}

impl Forecast {
    pub fn total(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The largest parts in words.
    pub fn words(&self) -> String {
        let mut parts: Vec<_> = self.parts.iter().filter(|(_, bytes)| *bytes >= 1 << 20).collect();
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        parts.iter().take(4).map(|(name, bytes)| format!("{name} {}", mib(*bytes))).collect::<Vec<_>>().join(", ")
    }
}

pub fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// How big a base is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseSize {
    pub parameters: u64,
    pub stored: u64,
}

impl From<&Outline> for BaseSize {
    fn from(outline: &Outline) -> Self {
        Self { parameters: outline.parameters, stored: outline.bytes }
    }
}

impl BaseSize {
    /// Of random weights of this shape, kept as f32.
    pub fn of_shape(config: &StudentConfig) -> Self {
        let s = Shape::of(config);
        let matrices: u64 = Projection::ALL.into_iter().map(|p| s.numbers(p)).sum();
        let tables = if config.tie_word_embeddings { 1 } else { 2 };
        let parameters = s.layers * (matrices + 2 * s.width) + tables * s.vocab * s.width + s.width;
        Self { parameters, stored: parameters * F32 }
    }

    fn kept(self, keep: Keep) -> u64 {
        match keep {
            Keep::AsStored => self.stored,
            Keep::F32 => self.parameters * F32,
            Keep::Bf16 => self.parameters * 2,
        }
    }
}

/// A decoder's sizes.
#[derive(Debug, Clone, Copy)]
struct Shape {
    width: u64,
    wide: u64,
    q: u64,
    kv: u64,
    layers: u64,
    vocab: u64,
    key_heads: u64,
    /// Raw queries and keys are kept beside the normed ones.
    raw: bool,
}

impl Shape {
    fn of(c: &StudentConfig) -> Self {
        Self {
            width: c.hidden_size as u64,
            wide: c.intermediate_size as u64,
            q: (c.num_attention_heads * c.head_dim) as u64,
            kv: (c.num_key_value_heads * c.head_dim) as u64,
            layers: c.num_hidden_layers as u64,
            vocab: c.vocab_size as u64,
            key_heads: c.num_key_value_heads as u64,
            raw: c.qk_norm(),
        }
    }

    /// Outputs and inputs of a matrix.
    fn matrix(&self, p: Projection) -> (u64, u64) {
        match p {
            Projection::Query => (self.q, self.width),
            Projection::Key | Projection::Value => (self.kv, self.width),
            Projection::Output => (self.width, self.q),
            Projection::Gate | Projection::Up => (self.wide, self.width),
            Projection::Down => (self.width, self.wide),
        }
    }

    fn numbers(&self, p: Projection) -> u64 {
        let (out, inner) = self.matrix(p);
        out * inner
    }

    fn packed(out: u64, inner: u64) -> u64 {
        Packed::bytes(out as usize, inner as usize) as u64
    }

    fn largest_packed(&self) -> u64 {
        Projection::ALL.into_iter().map(|p| self.matrix(p)).map(|(out, inner)| Self::packed(out, inner)).max().unwrap_or(0)
    }

    /// Numbers of one token that a layer keeps, its input aside.
    fn kept(&self) -> u64 {
        let raw = if self.raw { self.q + self.kv } else { 0 };
        2 * self.width + 2 * self.q + 2 * self.kv + 2 * self.wide + raw
    }

    /// Numbers of one token in the buffers that all layers share.
    fn shared(&self, learns: bool) -> u64 {
        let forward = 4 * self.width + self.wide;
        let raw = if self.raw { self.q + self.kv } else { self.q };
        if learns { forward + 2 * self.width + 2 * self.wide + 2 * self.q + 2 * self.kv + raw } else { forward }
    }
}

/// Adapters on a base, before it is loaded.
#[derive(Debug, Clone)]
pub struct AdapterPlan<'a> {
    pub config: &'a StudentConfig,
    pub base: BaseSize,
    pub precision: Keep,
    pub rules: &'a AdapterRules,
    pub recompute: bool,
    pub threads: usize,
}

impl AdapterPlan<'_> {
    /// Numbers that learn.
    pub fn learnt(&self) -> u64 {
        adapter_numbers(self.config, self.rules)
    }

    pub fn training(&self, load: Load) -> Forecast {
        let s = Shape::of(self.config);
        let (tokens, threads, learnt) = (load.tokens as u64, self.threads.max(1) as u64, self.learnt());
        let layers_whole = if self.recompute { 1 } else { s.layers };
        let activations = tokens * (s.layers * s.width + layers_whole * s.kept()) * F32;
        let stretches = tokens.div_ceil(128);
        let rank = self.rules.rank as u64;
        let widest = Projection::ALL.into_iter().map(|p| s.matrix(p)).map(|(o, i)| o + i).max().unwrap_or(0);
        let sums = stretches * widest * (rank + 1) * F32;
        let computing = loss_bytes(&s, load, threads).max(attention_bytes(&s, load, threads)).max(sums);
        let temporary = computing.max(saving_bytes(learnt));
        let rows = threads * 128 * s.wide.max(s.width) * F32;
        // What the base reads and what its adapter reads are two.
        let dropped = if self.rules.dropout > 0.0 { 2 * s.wide.max(s.width).max(s.q) } else { 0 };
        Forecast {
            parts: vec![
                ("base", self.base.kept(self.precision)),
                ("adapter, gradients and moments", 4 * learnt * F32),
                ("activations", activations),
                ("shared buffers", tokens * (s.shared(true) + dropped) * F32 + s.largest_packed() + rows),
                ("loss, attention or saving", temporary),
                ("process", PROCESS),
            ],
        }
    }
}

/// Numbers of an adapter: two low-rank factors, and with `DoRA` a magnitude for each output, of every target in every layer.
pub fn adapter_numbers(config: &StudentConfig, rules: &AdapterRules) -> u64 {
    let s = Shape::of(config);
    let one = |p: Projection| {
        let (out, inner) = s.matrix(p);
        rules.rank as u64 * (out + inner) + if rules.dora { out } else { 0 }
    };
    s.layers * Projection::ALL.into_iter().filter(|p| rules.adapts(*p)).map(one).sum::<u64>()
}

/// Logits of a chunk, its rows of hidden states and their gradient, and a packed block of the output layer for each thread.
fn loss_bytes(s: &Shape, load: Load, threads: u64) -> u64 {
    let rows = load.loss_rows.min(loss::chunk(s.vocab as usize)) as u64;
    let block = HEAD_BLOCK.min(s.vocab) * s.width;
    (rows * s.vocab + 2 * rows * s.width + threads * (block + 32 * s.width) + block) * F32
}

/// Bytes of a checkpoint's three files, and one of them once more while it is made.
fn saving_bytes(learnt: u64) -> u64 {
    4 * learnt * F32
}

/// Gradients of queries, keys and values of every text and key head, collected before they are summed.
fn attention_bytes(s: &Shape, load: Load, threads: u64) -> u64 {
    const BLOCK: u64 = 48;
    let width = s.kv / s.key_heads.max(1);
    let seen = load.seen as u64;
    let unit = load.longest as u64 * (5 * width + 2 * BLOCK);
    (load.tokens as u64 * s.q + 2 * seen * s.kv + threads * unit) * F32
}

/// A student of which everything learns: packed twice, gradients of every micro-batch of a step, one set of buffers for each
/// thread.
pub fn everything(config: &StudentConfig, load: Load, micro_batches: usize, threads: usize) -> Forecast {
    let s = Shape::of(config);
    let numbers = BaseSize::of_shape(config).parameters;
    let packed: u64 = Projection::ALL.into_iter().map(|p| s.matrix(p)).map(|(o, i)| Shape::packed(o, i)).sum();
    let (tokens, abreast) = (load.tokens as u64, threads.clamp(1, micro_batches.max(1)) as u64);
    let each = tokens * (s.layers * (s.width + s.kept()) + s.shared(true)) * F32;
    let temporary = loss_bytes(&s, load, 1).max(attention_bytes(&s, load, 1));
    Forecast {
        parts: vec![
            ("numbers, gradients and moments", (4 + micro_batches as u64) * numbers * F32),
            ("packed copies", 2 * s.layers * packed),
            ("activations", abreast * each),
            ("loss, attention or saving", (abreast * temporary).max(saving_bytes(numbers))),
            ("process", PROCESS),
        ],
    }
}

/// Answering: f32 copies packed from the base, and what 48 rows of so many tokens remember.
pub fn scoring(config: &StudentConfig, base: BaseSize, keep: Keep, tokens: usize) -> Forecast {
    let s = Shape::of(config);
    let packed: u64 = Projection::ALL.into_iter().map(|p| s.matrix(p)).map(|(o, i)| Shape::packed(o, i)).sum();
    let memory = SEATS * tokens as u64 * s.layers * 2 * s.kv * F32;
    let reading = READ_AT_ONCE * (s.shared(false) + s.kept() + s.q) * F32;
    Forecast {
        parts: vec![
            ("base", base.kept(keep)),
            ("packed copies", s.layers * packed + Shape::packed(s.vocab, s.width)),
            ("keys and values", memory),
            ("reading", reading + SEATS * s.vocab * F32 * 2),
            ("process", PROCESS),
        ],
    }
}

/// Memory that a new process could have, where the system says so.
pub fn available() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = system.available_memory();
    let fence = system.cgroup_limits().map(|c| c.total_memory).filter(|bytes| *bytes > 0);
    (free > 0).then(|| fence.map_or(free, |most| free.min(most)))
}

/// What was said of a run that may be changed to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// As the recipe spells it.
    pub change: String,
    pub bytes: u64,
}

/// Changes that each need less than `most`, the gentlest first; all together where none alone does. `load` tells the
/// heaviest micro-batch of so many rows, none longer than so many tokens.
pub fn ways(plan: &AdapterPlan, micro_batch: usize, longest: usize, most: u64, load: &dyn Fn(usize, usize) -> Load) -> Vec<Way> {
    let now = load(micro_batch, longest);
    let narrow = if plan.base.kept(Keep::AsStored) < plan.base.kept(Keep::Bf16) { Keep::AsStored } else { Keep::Bf16 };
    let name = if narrow == Keep::Bf16 { "bf16" } else { "stored" };
    let narrower = AdapterPlan { precision: narrow, ..plan.clone() };
    let again = AdapterPlan { recompute: true, ..plan.clone() };
    let smallest = AdapterPlan { recompute: true, precision: narrow, ..plan.clone() };
    let mut all = Vec::new();
    if !plan.recompute {
        all.push(Way { change: "recompute = true".into(), bytes: again.training(now).total() });
    }
    let mut rows = micro_batch / 2;
    while rows > 0 {
        all.push(Way { change: format!("micro_batch = {rows}"), bytes: plan.training(load(rows, longest)).total() });
        rows /= 2;
    }
    if plan.base.kept(narrow) < plan.base.kept(plan.precision) {
        all.push(Way { change: format!("precision = \"{name}\""), bytes: narrower.training(now).total() });
    }
    for tokens in [longest * 3 / 4, longest / 2] {
        let change = format!("rows of at most {tokens} tokens (max_tokens = {tokens})");
        all.push(Way { change, bytes: plan.training(load(micro_batch, tokens)).total() });
    }
    let together = format!("recompute = true, micro_batch = 1 and precision = \"{name}\" together");
    let bytes = smallest.training(load(1, longest)).total();
    let mut fit: Vec<Way> = all.into_iter().filter(|w| w.bytes <= most).collect();
    if fit.is_empty() && bytes <= most {
        fit.push(Way { change: together, bytes });
    }
    fit
}

/// Guard T15: the run fits into what is free.
pub fn t15(forecast: &Forecast, free: Option<u64>, ways: impl FnOnce(u64) -> Vec<Way>) -> Finding {
    let (need, words) = (forecast.total(), forecast.words());
    let Some(free) = free else {
        return Finding::pass("T15", format!("{} are forecast ({words}); the system does not say what is free", mib(need)));
    };
    if need <= free {
        return Finding::pass("T15", format!("{} are forecast ({words}), {} are free", mib(need), mib(free)));
    }
    let ways: Vec<String> = ways(free).iter().map(|w| format!("{} ({})", w.change, mib(w.bytes))).collect();
    let remedy = if ways.is_empty() {
        "No setting of the recipe makes it fit: train a smaller base, or on a machine with more memory.".to_owned()
    } else {
        format!("In the recipe's [train] each of these fits: {}.", ways.join("; "))
    };
    Finding::fail("T15", format!("{} are forecast ({words}), only {} are free", mib(need), mib(free)), remedy)
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
