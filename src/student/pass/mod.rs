//! The decoder on the CPU: one pass forward, in training and in generation, and the backward pass written by hand. By hand
//! because autograd spends most of its time on fresh memory, on gradients of frozen matrices and on adding to zeros;
//! candle's autograd over `reference` is the oracle that the tests hold it against.
//!
//! Owns the order of operations and the buffers. Where weights come from ([`Weights`]: kept whole, or widened and merged
//! with an adapter matrix by matrix) and where gradients go ([`Gradients`]) is its callers'.

mod backward;
mod dropped;
mod forward;
mod rows;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::StudentConfig;
use super::base::Projection;
use super::cache::RowCache;
use super::ops::attention::{Rules, Text};
use super::ops::clock::{Part, timed};
use super::ops::loss::{self, Head, Learn};
use super::ops::{Dropout, LossRows, Packed, RopeTable, rms_norm};

/// The vectors of one layer.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<'a> {
    pub attention_norm: &'a [f32],
    pub mlp_norm: &'a [f32],
    pub attention_out_norm: Option<&'a [f32]>,
    pub mlp_out_norm: Option<&'a [f32]>,
    pub qk_norms: Option<[&'a [f32]; 2]>,
    /// Of queries, keys and values.
    pub biases: Option<[&'a [f32]; 3]>,
}

/// Where a pass reads weights.
pub trait Weights: Sync {
    /// A token's row of the embedding, unscaled.
    fn embed(&self, id: u32, row: &mut [f32]);
    fn vectors(&self, layer: usize) -> Vectors<'_>;
    /// The last norm.
    fn norm(&self) -> &[f32];
    /// A matrix for `x · wᵀ`, in `scratch` unless it is kept ready.
    fn forward<'a>(&'a self, layer: usize, projection: Projection, scratch: &'a mut Packed) -> &'a Packed;
    /// The same without its adapter; `None` where it has none.
    fn frozen<'a>(&'a self, _: usize, _: Projection, _: &'a mut Packed) -> Option<&'a Packed> {
        None
    }
    /// Logits (rows × vocabulary) of normalised hidden states (rows × width).
    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32>;
}

/// Weights that a loss can go back through.
pub trait Trainable: Weights {
    /// A matrix for `dy · w`, in `scratch` unless it is kept ready.
    fn backward<'a>(&'a self, layer: usize, projection: Projection, scratch: &'a mut Packed) -> &'a Packed;
    /// The same without its adapter; `None` where it has none.
    fn frozen_backward<'a>(&'a self, _: usize, _: Projection, _: &'a mut Packed) -> Option<&'a Packed> {
        None
    }
    /// Rows of the output layer from `from` on.
    fn head(&self, from: usize, rows: &mut [f32]);
}

/// A vector that may learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    Attention(usize),
    Mlp(usize),
    Query(usize),
    Key(usize),
    Last,
}

/// Where a pass adds gradients. Whatever does not learn is passed over.
pub trait Gradients {
    fn learns(&self, projection: Projection) -> bool;
    /// Whether [`Gradients::projection`] needs `y`.
    fn needs_output(&self, projection: Projection) -> bool;
    /// Of one matrix: `x` (rows × in), `dy` (rows × out), and where needed `y`, its product with `x` without a bias.
    fn projection(&mut self, layer: usize, projection: Projection, rows: usize, x: &[f32], dy: &[f32], y: Option<&[f32]>);
    fn norm(&mut self, norm: Norm) -> Option<&mut [f32]>;
    /// Of the output layer.
    fn head(&mut self) -> Option<&mut [f32]>;
    /// Of the embedding, for all tokens of a batch (`dx`: tokens × width).
    fn embed(&mut self, ids: &[u32], dx: &[f32]);
    fn embed_learns(&self) -> bool;
}

/// A pass that learns.
pub struct Lesson<'a> {
    pub gradients: &'a mut dyn Gradients,
    pub drops: Drops,
    /// Keeps only the layers' inputs and computes each layer again on the way back: less memory, a third more work.
    pub recompute: bool,
}

/// What a lesson drops.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Drops {
    /// Of what attention and the gate write.
    pub hidden: Dropout,
    /// Of what adapters read.
    pub adapter: Dropout,
}

/// Texts of any lengths, one after another, without padding. A text may go on from another one, its prefix.
#[derive(Debug, Clone, Default)]
pub struct PackedTexts {
    ids: Vec<u32>,
    positions: Vec<u32>,
    texts: Vec<Text>,
}

impl PackedTexts {
    /// Texts that begin at the given positions (0 for whole texts; later for the tail of a cached one).
    pub fn new<'a>(texts: impl IntoIterator<Item = (&'a [u32], usize)>) -> Self {
        let mut packed = Self::default();
        for (text, first) in texts {
            packed.push(text, first, 0..0);
        }
        packed
    }

    fn push(&mut self, text: &[u32], first: usize, prefix: Range<usize>) -> Range<usize> {
        let own = self.ids.len()..self.ids.len() + text.len();
        self.ids.extend_from_slice(text);
        self.positions.extend((first..first + text.len()).map(|p| p as u32));
        self.texts.push(Text { own: own.clone(), prefix });
        own
    }

    /// Adds a text; returns the rows of its tokens.
    pub fn add(&mut self, text: &[u32]) -> Range<usize> {
        self.push(text, 0, 0..0)
    }

    /// Adds a text that goes on from an earlier one, whose rows are given; returns the rows of its own tokens.
    pub fn add_after(&mut self, prefix: Range<usize>, text: &[u32]) -> Range<usize> {
        self.push(text, prefix.len(), prefix)
    }

    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    pub fn texts(&self) -> &[Text] {
        &self.texts
    }
}

/// What one layer keeps for its backward pass.
#[derive(Debug, Default)]
struct Kept {
    /// What came in.
    x: Vec<f32>,
    /// Queries and keys before their norm, where they have one.
    q_raw: Vec<f32>,
    k_raw: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    mixed: Vec<f32>,
    /// What attention's output matrix wrote.
    attention: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// What the gate's output matrix wrote.
    mlp: Vec<f32>,
}

/// Buffers of one pass, reused from pass to pass.
#[derive(Debug, Default)]
struct Space {
    layers: Vec<Kept>,
    x: Vec<f32>,
    hidden: Vec<f32>,
    dx: Vec<f32>,
    h: Vec<f32>,
    dh: Vec<f32>,
    middle: Vec<f32>,
    wide: [Vec<f32>; 3],
    d_mixed: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    dq_raw: Vec<f32>,
    dk_raw: Vec<f32>,
    y: Vec<f32>,
    /// Of products whose adapters read less than the base does.
    spare: [Vec<f32>; 2],
    packed: Packed,
}

/// A buffer of this length whose content will be replaced.
fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

fn copy<'a>(buffer: &'a mut Vec<f32>, from: &[f32]) -> &'a mut [f32] {
    let buffer = room(buffer, from.len());
    buffer.copy_from_slice(from);
    buffer
}

/// How queries of a batch meet keys and values.
enum Attend<'a> {
    /// Texts as a whole.
    Whole,
    /// Each text goes on from its cache, which it extends.
    Cached(&'a mut [RowCache]),
}

/// Where in a pass a layer stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    layer: usize,
    batch: &'a PackedTexts,
    drops: Drops,
    /// In the last layer: the rows that anybody reads, ascending. Past attention only these are computed.
    read: Option<&'a [u32]>,
}

impl Place<'_> {
    /// Rows past attention.
    fn rows(&self) -> usize {
        self.read.map_or(self.batch.tokens(), <[u32]>::len)
    }
}

/// The decoder's arithmetic for one shape; keeps buffers between passes.
#[derive(Debug)]
pub struct Pass {
    config: StudentConfig,
    rope: RopeTable,
    local_rope: RopeTable,
    spare: Mutex<Vec<Space>>,
}

impl Pass {
    pub fn new(config: &StudentConfig) -> Self {
        Self {
            rope: RopeTable::new(config.rope, config.head_dim),
            local_rope: RopeTable::new(config.local_rope, config.head_dim),
            spare: Mutex::default(),
            config: config.clone(),
        }
    }

    pub fn config(&self) -> &StudentConfig {
        &self.config
    }

    fn with_space<R>(&self, work: impl FnOnce(&mut Space) -> R) -> R {
        let kept = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut space = kept().pop().unwrap_or_default();
        let result = work(&mut space);
        kept().push(space);
        result
    }

    /// The weighted loss of one packed micro-batch, and its gradients where it is a lesson. Ids must lie inside the
    /// vocabulary.
    pub fn loss(&self, weights: &dyn Trainable, batch: &PackedTexts, at: &LossRows, learn: Option<Lesson>) -> f64 {
        self.with_space(|space| {
            let drops = learn.as_ref().map_or_else(Drops::default, |l| l.drops);
            let keep = match &learn {
                Some(lesson) if lesson.recompute => forward::Keep::Inputs,
                Some(_) => forward::Keep::All,
                None => forward::Keep::Nothing,
            };
            self.forward(weights, (batch, &at.rows), drops, keep, &mut Attend::Whole, space);
            let (vocab, width) = (self.config.vocab_size, self.config.hidden_size);
            let source = |from: usize, rows: &mut [f32]| weights.head(from, rows);
            let head = Head { vocab, width, source: &source };
            let size = at.rows.len() * width;
            let Some(Lesson { gradients, recompute, .. }) = learn else {
                return timed(Part::Loss, || loss::forward_backward(&space.hidden[..size], head, at, None));
            };
            let learn = Learn { hidden: room(&mut space.dh, size), head: gradients.head() };
            let loss = timed(Part::Loss, || loss::forward_backward(&space.hidden[..size], head, at, Some(learn)));
            self.backward(weights, (batch, &at.rows), drops, recompute, space, gradients);
            loss
        })
    }

    /// Logits (rows × vocabulary) of some tokens of whole texts, given in ascending order.
    pub fn logits(&self, weights: &dyn Weights, batch: &PackedTexts, rows: &[u32]) -> Vec<f32> {
        self.read(weights, batch, rows, &mut Attend::Whole)
    }

    /// Logits (texts × vocabulary) after each text's last token, where every text goes on from its cache and extends it.
    pub fn next(&self, weights: &dyn Weights, batch: &PackedTexts, caches: &mut [RowCache]) -> Vec<f32> {
        let last: Vec<u32> = batch.texts.iter().map(|t| t.own.end as u32 - 1).collect();
        self.read(weights, batch, &last, &mut Attend::Cached(caches))
    }

    /// Only fills the caches.
    pub fn fill(&self, weights: &dyn Weights, batch: &PackedTexts, caches: &mut [RowCache]) {
        self.read(weights, batch, &[], &mut Attend::Cached(caches));
    }

    fn read(&self, weights: &dyn Weights, batch: &PackedTexts, rows: &[u32], attend: &mut Attend) -> Vec<f32> {
        self.with_space(|space| {
            self.forward(weights, (batch, rows), Drops::default(), forward::Keep::Nothing, attend, space);
            let hidden = &space.hidden[..rows.len() * self.config.hidden_size];
            timed(Part::Loss, || weights.logits(hidden, rows.len()))
        })
    }

    fn rope(&self, layer: usize) -> &RopeTable {
        if self.config.windowed.get(layer) == Some(&true) { &self.local_rope } else { &self.rope }
    }

    fn rules(&self, layer: usize) -> Rules {
        Rules { heads: self.config.heads(), window: self.config.window_of(layer) }
    }

    fn eps(&self) -> f32 {
        self.config.rms_norm_eps as f32
    }
}

/// `x` after an optional norm, in `into` only where there is one.
fn normed<'a>(x: &'a [f32], norm: Option<&[f32]>, eps: f32, into: &'a mut Vec<f32>) -> &'a [f32] {
    let Some(norm) = norm else { return x };
    let into = room(into, x.len());
    rms_norm::forward(x, norm, eps, into);
    into
}
