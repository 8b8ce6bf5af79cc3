//! Adapters on a frozen base, `LoRA` and `DoRA`: which numbers they have, how they start, the effective weight
//! W' = (m/n)⊙(W + s·BA) with n = ‖W + s·BA‖ by rows, and their gradients. With n held fixed (as its authors and PEFT do),
//! one product each way carries the whole layer: dX = dY·W', dm = Σ(dY⊙Y)/m, dB = s·(m/n)⊙dYᵀ(XAᵀ), dA = s·((m/n⊙dY)B)ᵀX.
//! Owns no files (`peft`) and no loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::base::{BaseWeights, Projection};
use super::matrix::Matrix;
use super::ops::loss::{self, Head};
use super::ops::matmul::{Left, Product};
use super::ops::{Packed, add_scaled, column_products, dot_rows};
use super::parameters::Parameters;
use super::pass::{Gradients, Norm, Trainable, Vectors, Weights};
use super::random::Stream;

/// What an adapter is, beside its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterRules {
    /// With a magnitude for each row of the weight.
    pub dora: bool,
    pub rank: usize,
    pub alpha: f64,
    /// Scales by α/√r instead of α/r.
    #[serde(default)]
    pub rslora: bool,
    /// Share of what adapters read that is dropped in training.
    #[serde(default)]
    pub dropout: f64,
    /// By [`Projection::name`].
    pub targets: Vec<String>,
}

impl AdapterRules {
    /// s
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f64;
        (self.alpha / if self.rslora { rank.sqrt() } else { rank }) as f32
    }

    pub fn adapts(&self, projection: Projection) -> bool {
        self.targets.iter().any(|t| t == projection.name())
    }

    /// Every tensor by its name in PEFT's file.
    pub fn shapes(&self, base: &BaseWeights) -> BTreeMap<String, Vec<usize>> {
        let sizes = base.layers.iter().map(|layer| layer.projections.each_ref().map(|m| [m.out(), m.inner()]));
        self.shapes_for(sizes)
    }

    /// Of layers whose matrices have these sizes, by [`Projection::index`].
    pub(super) fn shapes_for(&self, sizes: impl Iterator<Item = [[usize; 2]; 7]>) -> BTreeMap<String, Vec<usize>> {
        let mut shapes = BTreeMap::new();
        for (n, sizes) in sizes.enumerate() {
            for p in Projection::ALL.into_iter().filter(|p| self.adapts(*p)) {
                let [out, inner] = sizes[p.index()];
                shapes.insert(name(n, p, "lora_A.weight"), vec![self.rank, inner]);
                shapes.insert(name(n, p, "lora_B.weight"), vec![out, self.rank]);
                if self.dora {
                    shapes.insert(name(n, p, "lora_magnitude_vector"), vec![out]);
                }
            }
        }
        shapes
    }

    /// Numbers of an adapter for this base.
    pub fn count(&self, base: &BaseWeights) -> usize {
        self.shapes(base).values().map(|s| s.iter().product::<usize>()).sum()
    }
}

pub(super) fn name(layer: usize, p: Projection, part: &str) -> String {
    format!("base_model.model.model.layers.{layer}.{}.{part}", p.module())
}

/// An adapter that changes nothing yet: A uniform in ±1/√inputs, B nought, magnitudes the row norms of W.
pub fn fresh(rules: &AdapterRules, base: &BaseWeights, seed: u64) -> Parameters {
    let mut numbers = Parameters::zeros(rules.shapes(base));
    for (n, layer) in base.layers.iter().enumerate() {
        for p in Projection::ALL.into_iter().filter(|p| rules.adapts(*p)) {
            let matrix = &layer.projections[p.index()];
            let name_a = name(n, p, "lora_A.weight");
            let (bound, mut stream) = (1.0 / (matrix.inner() as f64).sqrt(), Stream::new(seed, &["adapter", &name_a]));
            numbers.get_mut(&name_a).iter_mut().for_each(|v| *v = ((2.0 * stream.unit() - 1.0) * bound) as f32);
            if rules.dora {
                let norms = row_norms(matrix, &[], &[], 0.0);
                numbers.get_mut(&name(n, p, "lora_magnitude_vector")).copy_from_slice(&norms);
            }
        }
    }
    numbers
}

/// s·BA of one matrix; the default changes nothing.
#[derive(Default)]
struct Change<'a> {
    a: Packed,
    b: &'a [f32],
    rank: usize,
    scale: f32,
}

impl Change<'_> {
    /// Its rows from `from` on.
    fn rows(&self, from: usize, inner: usize, rows: &mut [f32]) {
        let count = rows.len() / inner;
        let b: Vec<f32> = self.b[from * self.rank..][..count * self.rank].iter().map(|v| v * self.scale).collect();
        let left = Left { data: &b, row: self.rank, col: 1 };
        Product { left, right: &self.a, rows: count, inner: self.rank, cols: inner, out: rows, stride: inner, add: false }.run();
    }
}

/// ‖W + s·BA‖ by rows, without building the sum: ‖Wᵢ‖² + 2s·(WAᵀ)ᵢ·Bᵢ + s²·Bᵢ(AAᵀ)Bᵢᵀ.
fn row_norms(matrix: &Matrix, a: &[f32], b: &[f32], scale: f32) -> Vec<f32> {
    const ROWS: usize = 64;
    let (out, inner) = (matrix.out(), matrix.inner());
    let rank = a.len() / inner;
    let turned = Packed::transposed(a, rank, inner, inner);
    let mut products = vec![0.0; rank * rank];
    let left = Left { data: a, row: inner, col: 1 };
    Product { left, right: &turned, rows: rank, inner, cols: rank, out: &mut products, stride: rank, add: false }.run();
    let mut norms = vec![0.0f32; out];
    norms.par_chunks_mut(ROWS).enumerate().for_each_init(Vec::new, |rows, (n, norms)| {
        let (from, count) = (n * ROWS, norms.len());
        let rows: &[f32] = if let Some(all) = matrix.as_f32() {
            &all[from * inner..][..count * inner]
        } else {
            rows.resize(count * inner, 0.0);
            matrix.widen(from..from + count, rows);
            rows
        };
        dot_rows(rows, inner, norms);
        let mut low = vec![0.0; count * rank];
        let left = Left { data: rows, row: inner, col: 1 };
        Product { left, right: &turned, rows: count, inner, cols: rank, out: &mut low, stride: rank, add: false }.run();
        for (i, norm) in norms.iter_mut().enumerate() {
            let (low, b) = (&low[i * rank..][..rank], if b.is_empty() { b } else { &b[(from + i) * rank..][..rank] });
            *norm = (f64::from(*norm) + added(low, b, &products, f64::from(scale))).max(0.0).sqrt() as f32;
        }
    });
    norms
}

/// 2s·low·b + s²·b·products·bᵀ of one row.
fn added(low: &[f32], b: &[f32], products: &[f32], scale: f64) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let square: f64 = b.iter().zip(products.chunks_exact(b.len().max(1))).map(|(v, row)| f64::from(*v) * dot(row, b)).sum();
    2.0 * scale * dot(low, b) + scale * scale * square
}

/// Rows of the effective weight from `from` on.
fn effective(matrix: &Matrix, change: &Change, gains: &[f32], from: usize, rows: &mut [f32]) {
    let inner = matrix.inner();
    let range = from..from + rows.len() / inner;
    if change.rank == 0 {
        return matrix.widen(range, rows);
    }
    change.rows(from, inner, rows);
    let gains = if gains.is_empty() { &[] } else { &gains[range.clone()] };
    if let Some(all) = matrix.as_f32() {
        return add_scaled(rows, &all[range.start * inner..range.end * inner], inner, gains);
    }
    let mut widened = vec![0.0; rows.len()];
    matrix.widen(range, &mut widened);
    add_scaled(rows, &widened, inner, gains);
}

/// m/n of one matrix.
fn gains_of(matrix: &Matrix, (rules, numbers): (&AdapterRules, &Parameters), n: usize, p: Projection) -> Vec<f32> {
    let (a, b) = (numbers.get(&name(n, p, "lora_A.weight")), numbers.get(&name(n, p, "lora_B.weight")));
    let norms = row_norms(matrix, a, b, rules.scale());
    let magnitudes = numbers.get(&name(n, p, "lora_magnitude_vector"));
    magnitudes.iter().zip(norms).map(|(m, n)| m / n.max(f32::MIN_POSITIVE)).collect()
}

fn change_of<'a>((rules, numbers): (&'a AdapterRules, &'a Parameters), inner: usize, n: usize, p: Projection) -> Change<'a> {
    let (a, b) = (numbers.get(&name(n, p, "lora_A.weight")), numbers.get(&name(n, p, "lora_B.weight")));
    Change { a: Packed::rows(a, rules.rank, inner, inner), b, rank: rules.rank, scale: rules.scale() }
}

/// One matrix of a base with what an adapter makes of it, by rows.
pub struct Merged<'a> {
    matrix: Matrix,
    change: Change<'a>,
    gains: Vec<f32>,
}

impl<'a> Merged<'a> {
    /// A matrix that no adapter changes.
    pub fn plain(matrix: Matrix) -> Self {
        Self { matrix, change: Change::default(), gains: Vec::new() }
    }

    /// Projection `p` of layer `n`, with an adapter that may leave it alone.
    pub fn new(matrix: Matrix, (rules, numbers): (&'a AdapterRules, &'a Parameters), n: usize, p: Projection) -> Self {
        if !rules.adapts(p) {
            return Self::plain(matrix);
        }
        let gains = if rules.dora { gains_of(&matrix, (rules, numbers), n, p) } else { Vec::new() };
        Self { change: change_of((rules, numbers), matrix.inner(), n, p), gains, matrix }
    }

    pub fn out(&self) -> usize {
        self.matrix.out()
    }

    pub fn inner(&self) -> usize {
        self.matrix.inner()
    }

    /// Rows from `from` on, as training and scoring see them.
    pub fn rows(&self, from: usize, rows: &mut [f32]) {
        effective(&self.matrix, &self.change, &self.gains, from, rows);
    }
}

/// A base as one optimizer step sees it: with its adapter, or alone. Matrices are widened and merged one at a time.
pub struct Adapted<'a> {
    base: &'a BaseWeights,
    adapter: Option<(&'a AdapterRules, &'a Parameters)>,
    gains: Arc<Gains>,
}

/// m/n of every adapted matrix, by layer and projection; empty where there is no magnitude.
pub type Gains = Vec<[Vec<f32>; 7]>;

impl<'a> Adapted<'a> {
    pub fn new(base: &'a BaseWeights, adapter: Option<(&'a AdapterRules, &'a Parameters)>) -> Self {
        let mut gains = vec![<[Vec<f32>; 7]>::default(); base.layers.len()];
        let plain = Self::with_gains(base, adapter, Arc::default());
        if let Some((rules, numbers)) = adapter.filter(|(rules, _)| rules.dora) {
            for (n, gains) in gains.iter_mut().enumerate() {
                for p in Projection::ALL.into_iter().filter(|p| rules.adapts(*p)) {
                    gains[p.index()] = gains_of(plain.matrix(n, p), (rules, numbers), n, p);
                }
            }
        }
        Self { gains: Arc::new(gains), ..plain }
    }

    /// With gains that were computed before for the same base and adapter.
    pub fn with_gains(base: &'a BaseWeights, adapter: Option<(&'a AdapterRules, &'a Parameters)>, gains: Arc<Gains>) -> Self {
        Self { base, adapter, gains }
    }

    pub fn gains(&self) -> Arc<Gains> {
        Arc::clone(&self.gains)
    }

    fn matrix(&self, n: usize, p: Projection) -> &'a Matrix {
        &self.base.layers[n].projections[p.index()]
    }

    fn change(&self, n: usize, p: Projection) -> Change<'a> {
        let adapter = self.adapter.filter(|(rules, _)| rules.adapts(p));
        adapter.map_or_else(Change::default, |adapter| change_of(adapter, self.matrix(n, p).inner(), n, p))
    }

    fn effective(&self, n: usize, p: Projection, change: &Change, from: usize, rows: &mut [f32]) {
        effective(self.matrix(n, p), change, &self.gains[n][p.index()], from, rows);
    }

    /// Whether a matrix has an adapter of its own.
    fn adapts(&self, p: Projection) -> bool {
        self.adapter.is_some_and(|(rules, _)| rules.adapts(p))
    }

    pub fn fill_forward(&self, layer: usize, p: Projection, scratch: &mut Packed) {
        let (matrix, change) = (self.matrix(layer, p), self.change(layer, p));
        scratch.fill_forward(matrix.out(), matrix.inner(), &|from, rows| self.effective(layer, p, &change, from, rows));
    }
}

impl Weights for Adapted<'_> {
    fn embed(&self, id: u32, row: &mut [f32]) {
        self.base.embed.widen(id as usize..id as usize + 1, row);
    }

    fn vectors(&self, layer: usize) -> Vectors<'_> {
        self.base.layers[layer].vectors.lent()
    }

    fn norm(&self) -> &[f32] {
        &self.base.norm
    }

    fn forward<'b>(&'b self, layer: usize, p: Projection, scratch: &'b mut Packed) -> &'b Packed {
        self.fill_forward(layer, p, scratch);
        scratch
    }

    fn frozen<'b>(&'b self, layer: usize, p: Projection, scratch: &'b mut Packed) -> Option<&'b Packed> {
        let matrix = self.adapts(p).then(|| self.matrix(layer, p))?;
        let widen = |from: usize, rows: &mut [f32]| matrix.widen(from..from + rows.len() / matrix.inner(), rows);
        scratch.fill_forward(matrix.out(), matrix.inner(), &widen);
        Some(scratch)
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        let head = self.base.head();
        let (vocab, width) = (head.out(), head.inner());
        loss::all_logits(hidden, rows, Head { vocab, width, source: &|from, rows| self.head(from, rows) })
    }
}

impl Trainable for Adapted<'_> {
    fn backward<'b>(&'b self, layer: usize, p: Projection, scratch: &'b mut Packed) -> &'b Packed {
        let (matrix, change) = (self.matrix(layer, p), self.change(layer, p));
        scratch.fill_backward(matrix.out(), matrix.inner(), &|from, rows| self.effective(layer, p, &change, from, rows));
        scratch
    }

    fn frozen_backward<'b>(&'b self, layer: usize, p: Projection, scratch: &'b mut Packed) -> Option<&'b Packed> {
        let matrix = self.adapts(p).then(|| self.matrix(layer, p))?;
        let widen = |from: usize, rows: &mut [f32]| matrix.widen(from..from + rows.len() / matrix.inner(), rows);
        scratch.fill_backward(matrix.out(), matrix.inner(), &widen);
        Some(scratch)
    }

    fn head(&self, from: usize, rows: &mut [f32]) {
        let head = self.base.head();
        head.widen(from..from + rows.len() / head.inner(), rows);
    }
}

/// Gradients of an adapter.
pub struct AdapterGradients<'a> {
    pub adapted: &'a Adapted<'a>,
    /// Added to.
    pub into: &'a mut Parameters,
}

impl Gradients for AdapterGradients<'_> {
    fn learns(&self, p: Projection) -> bool {
        self.adapted.adapts(p)
    }

    fn needs_output(&self, p: Projection) -> bool {
        self.adapted.adapter.is_some_and(|(rules, _)| rules.dora && rules.adapts(p))
    }

    fn projection(&mut self, n: usize, p: Projection, rows: usize, x: &[f32], dy: &[f32], y: Option<&[f32]>) {
        let Some((rules, numbers)) = self.adapted.adapter else { return };
        let (rank, out, inner) = (rules.rank, dy.len() / rows.max(1), x.len() / rows.max(1));
        let (a, b) = (numbers.get(&name(n, p, "lora_A.weight")), numbers.get(&name(n, p, "lora_B.weight")));
        let gains = &self.adapted.gains[n][p.index()];
        let gain = |o: usize| rules.scale() * gains.get(o).copied().unwrap_or(1.0);
        let scaled: Vec<f32> =
            b.chunks_exact(rank).enumerate().flat_map(|(o, row)| row.iter().map(move |v| v * gain(o))).collect();
        let low = LowRank {
            a: Packed::transposed(a, rank, inner, inner),
            b: Packed::rows(&scaled, out, rank, rank),
            outputs: y.filter(|_| rules.dora),
        };
        let sums = low.sums(x, dy, rows);
        let d_a = self.into.get_mut(&name(n, p, "lora_A.weight"));
        for (i, row) in sums.a.chunks_exact(rank).enumerate() {
            row.iter().enumerate().for_each(|(r, v)| d_a[r * inner + i] += v);
        }
        let d_b = self.into.get_mut(&name(n, p, "lora_B.weight"));
        for (o, (row, sums)) in d_b.chunks_exact_mut(rank).zip(sums.b.chunks_exact(rank)).enumerate() {
            row.iter_mut().zip(sums).for_each(|(d, v)| *d += gain(o) * v);
        }
        if rules.dora {
            let m = numbers.get(&name(n, p, "lora_magnitude_vector"));
            let d_m = self.into.get_mut(&name(n, p, "lora_magnitude_vector"));
            d_m.iter_mut().zip(sums.m).zip(m).for_each(|((d, sum), m)| *d += sum / m);
        }
    }

    fn norm(&mut self, _: Norm) -> Option<&mut [f32]> {
        None
    }

    fn head(&mut self) -> Option<&mut [f32]> {
        None
    }

    fn embed(&mut self, _: &[u32], _: &[f32]) {}

    fn embed_learns(&self) -> bool {
        false
    }
}

/// Rows of one task: its `x` and `dy` stay in the second-level cache while all sums pass over them.
const ROWS: usize = 128;

/// One adapted matrix, ready for its gradients.
struct LowRank<'a> {
    /// x → what it gives through A.
    a: Packed,
    /// dy → what it gives through the scaled B.
    b: Packed,
    /// What the matrix wrote, where magnitudes learn.
    outputs: Option<&'a [f32]>,
}

/// Sums over rows.
struct Sums {
    /// Xᵀ·(dY·B'): in × rank.
    a: Vec<f32>,
    /// dYᵀ·(X·Aᵀ): out × rank.
    b: Vec<f32>,
    /// Σ dY⊙Y by column; empty without outputs.
    m: Vec<f32>,
}

impl LowRank<'_> {
    /// Rows are summed in stretches of fixed length, in their order, so the cores change nothing.
    fn sums(&self, x: &[f32], dy: &[f32], rows: usize) -> Sums {
        let (inner, out) = (self.a.inner(), self.b.inner());
        let parts: Vec<Sums> = x[..rows * inner]
            .par_chunks(ROWS * inner)
            .zip(dy[..rows * out].par_chunks(ROWS * out))
            .enumerate()
            .map(|(i, (x, dy))| self.part(x, dy, self.outputs.map(|y| &y[i * ROWS * out..][..dy.len()])))
            .collect();
        let add = |into: &mut [f32], part: &[f32]| into.iter_mut().zip(part).for_each(|(a, b)| *a += b);
        let mut parts = parts.into_iter();
        let empty = || Sums { a: vec![0.0; inner * self.a.cols()], b: vec![0.0; out * self.b.cols()], m: vec![0.0; out] };
        let mut all = parts.next().unwrap_or_else(empty);
        for part in parts {
            add(&mut all.a, &part.a);
            add(&mut all.b, &part.b);
            add(&mut all.m, &part.m);
        }
        all
    }

    fn part(&self, x: &[f32], dy: &[f32], y: Option<&[f32]>) -> Sums {
        let (inner, out, rank) = (self.a.inner(), self.b.inner(), self.a.cols());
        let rows = x.len() / inner;
        let through = |x: &[f32], right: &Packed| {
            let mut low = vec![0.0; rows * rank];
            let left = Left { data: x, row: right.inner(), col: 1 };
            Product { left, right, rows, inner: right.inner(), cols: rank, out: &mut low, stride: rank, add: false }.run();
            Packed::rows(&low, rows, rank, rank)
        };
        let against = |x: &[f32], width: usize, low: &Packed| {
            let mut sums = vec![0.0; width * rank];
            let left = Left { data: x, row: 1, col: width };
            Product { left, right: low, rows: width, inner: rows, cols: rank, out: &mut sums, stride: rank, add: false }.run();
            sums
        };
        let b = against(dy, out, &through(x, &self.a));
        let a = against(x, inner, &through(dy, &self.b));
        let mut m = vec![0.0; if y.is_some() { out } else { 0 }];
        if let Some(y) = y {
            column_products(dy, y, &mut m);
        }
        Sums { a, b, m }
    }
}
