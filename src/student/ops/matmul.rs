//! Matrix products in safe, vectorised Rust. Independent rows (or columns) run side by side on all cores.
//!
//! Every element of the result is one chain of fused multiply-adds over the inner dimension in ascending order,
//! whatever the other dimensions are. That is what makes a row's logits the same alone and in a batch, and it is why this
//! is not left to a library whose kernels change with the shape.

// Inlining is what compiles these bodies for the chosen instruction set.
#![allow(clippy::inline_always)]

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows of one register tile.
const TILE_ROWS: usize = 6;
/// Inner length of one pass: a tile of both operands stays in the first-level cache.
const INNER: usize = 192;
/// A right operand of so many panels, at most, meets its left one in place.
const NARROW_PANELS: usize = 2;
/// Rows of the left operand kept in the second-level cache while the right one streams past.
const BLOCK_ROWS: usize = 192;
/// Lines of one slab where rows come in blocks: several tasks' worth even of a small weight.
const SLAB: usize = INNER;
/// Most columns that one task of a transposed product packs.
const COLUMNS: usize = 256;

/// A right operand (`inner × cols`) cut into column panels of one or two vector registers, and along the inner dimension
/// into slabs: slab after slab, in each panel after panel, in each line after line.
#[derive(Debug, Clone, Default)]
pub struct Packed {
    panels: Vec<f32>,
    inner: usize,
    cols: usize,
    /// Columns of a panel.
    width: usize,
    /// Lines of a slab, the last one may have fewer.
    slab: usize,
}

/// Numbers of one vector register on this machine.
fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Writes the rows from `first` on (`inner` numbers each) into `into`.
pub type RowSource<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

impl Packed {
    /// Takes a shape; the content is undefined until it is filled. Keeps its memory.
    fn shape(&mut self, inner: usize, cols: usize, slab: usize) {
        let lanes = lanes();
        self.width = if cols <= lanes { lanes } else { 2 * lanes };
        (self.inner, self.cols, self.slab) = (inner, cols, slab.clamp(1, inner.max(1)));
        self.panels.resize(cols.div_ceil(self.width) * self.width * inner, 0.0);
    }

    /// From `inner` rows of `cols` numbers, `stride` apart: computes `x · b`.
    pub fn rows(b: &[f32], inner: usize, cols: usize, stride: usize) -> Self {
        let mut packed = Self::default();
        packed.shape(inner, cols, inner);
        let width = packed.width;
        for (panel, out) in packed.panels.chunks_exact_mut((width * inner).max(1)).enumerate() {
            let from = panel * width;
            let count = width.min(cols - from);
            for (k, line) in out.chunks_exact_mut(width).enumerate() {
                copy_line(&mut line[..count], &b[k * stride + from..][..count]);
            }
        }
        packed
    }

    /// From `cols` rows of `inner` numbers, `stride` apart: computes `x · wᵀ`, the layout of a linear layer's weight.
    pub fn transposed(w: &[f32], cols: usize, inner: usize, stride: usize) -> Self {
        let mut packed = Self::default();
        packed.shape(inner, cols, inner);
        let width = packed.width;
        for (panel, out) in packed.panels.chunks_exact_mut((width * inner).max(1)).enumerate() {
            let from = panel * width;
            turn(&w[from * stride..], width.min(cols - from), inner, stride, width, out);
        }
        packed
    }

    /// Fills it with a linear layer's weight (`out × inner`) for `x · wᵀ`; `source` is asked for rows from many threads.
    pub fn fill_forward(&mut self, out: usize, inner: usize, source: &RowSource) {
        self.shape(inner, out, inner);
        let width = self.width;
        let fill = |rows: &mut Vec<f32>, (panel, lines): (usize, &mut [f32])| {
            let from = panel * width;
            let count = width.min(out - from);
            rows.resize(count * inner, 0.0);
            source(from, rows);
            turn(rows, count, inner, inner, width, lines);
        };
        self.panels.par_chunks_mut((width * inner).max(1)).enumerate().for_each_init(Vec::new, fill);
    }

    /// Fills it with a linear layer's weight (`out × inner`) for `dy · w`; `source` is asked for rows from many threads.
    pub fn fill_backward(&mut self, out: usize, inner: usize, source: &RowSource) {
        self.shape(out, inner, SLAB);
        let (width, slab) = (self.width, self.slab);
        let padded = inner.div_ceil(width) * width;
        let fill = |rows: &mut Vec<f32>, (n, lines): (usize, &mut [f32])| {
            let (from, depth) = (n * slab, lines.len() / padded);
            rows.resize(depth * inner, 0.0);
            source(from, rows);
            for (panel, lines) in lines.chunks_exact_mut(depth * width).enumerate() {
                let at = panel * width;
                let count = width.min(inner - at);
                for (line, row) in lines.chunks_exact_mut(width).zip(rows.chunks_exact(inner)) {
                    copy_line(&mut line[..count], &row[at..][..count]);
                }
            }
        };
        self.panels.par_chunks_mut((padded * slab).max(1)).enumerate().for_each_init(Vec::new, fill);
    }

    pub fn inner(&self) -> usize {
        self.inner
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes that a filled one takes for a matrix of this shape.
    pub fn bytes(out: usize, inner: usize) -> usize {
        let width = 2 * lanes();
        4 * (out.div_ceil(width) * width * inner).max(inner.div_ceil(width) * width * out)
    }

    /// Lines `from..from + depth` of a panel; they lie in one slab.
    #[inline(always)]
    fn lines(&self, panel: usize, from: usize, depth: usize) -> &[f32] {
        let (slab, padded) = (from / self.slab, self.cols.div_ceil(self.width) * self.width);
        let first = slab * self.slab;
        let length = self.slab.min(self.inner - first);
        let at = first * padded + (panel * length + from - first) * self.width;
        &self.panels[at..][..depth * self.width]
    }
}

/// Rows of `inner` numbers, `stride` apart, become the columns of a panel.
fn turn(rows: &[f32], count: usize, inner: usize, stride: usize, width: usize, panel: &mut [f32]) {
    // So many lines of a panel stay in the first-level cache while every row adds its column.
    const LINES: usize = 64;
    for k0 in (0..inner).step_by(LINES) {
        let depth = LINES.min(inner - k0);
        let lines = &mut panel[k0 * width..][..depth * width];
        for c in 0..count {
            let row = &rows[c * stride + k0..][..depth];
            for (line, value) in lines.chunks_exact_mut(width).zip(row) {
                line[c] = *value;
            }
        }
    }
}

/// Copies a short line. The usual widths are spelt out: a call to copy each would cost more than the copy.
#[inline]
fn copy_line(to: &mut [f32], from: &[f32]) {
    if let (Ok(to), Some(from)) = (<&mut [f32; 32]>::try_from(&mut *to), from.first_chunk::<32>()) {
        *to = *from;
    } else if let (Ok(to), Some(from)) = (<&mut [f32; 16]>::try_from(&mut *to), from.first_chunk::<16>()) {
        *to = *from;
    } else {
        to.copy_from_slice(from);
    }
}

/// A left operand read in place: element (r, k) is `data[r · row + k · col]`.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

/// `out[r, c] (+)= Σₖ left[r, k] · right[k, c]` for `rows` rows, the first `inner` of the inner dimension and the first
/// `cols` columns; `out` has `stride` numbers a row.
#[derive(Debug)]
pub struct Product<'a> {
    pub left: Left<'a>,
    pub right: &'a Packed,
    pub rows: usize,
    pub inner: usize,
    pub cols: usize,
    pub out: &'a mut [f32],
    pub stride: usize,
    /// Adds to what `out` holds instead of replacing it.
    pub add: bool,
}

impl Product<'_> {
    /// On this thread.
    pub fn run(self) {
        TILES.with_borrow_mut(|tiles| {
            tiles.resize(BLOCK_ROWS * INNER, 0.0);
            Arch::new().dispatch(Work { product: self, tiles });
        });
    }
}

thread_local! {
    /// Where a thread packs its left operands; fresh memory for every product would cost more than small products do.
    static TILES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A product and the memory it packs into.
struct Work<'a, 't> {
    product: Product<'a>,
    tiles: &'t mut [f32],
}

/// `out (rows × cols) (+)= x (rows × inner) · right`, rows side by side on all cores.
pub fn times(x: &[f32], rows: usize, right: &Packed, out: &mut [f32], add: bool) {
    let (inner, cols) = (right.inner, right.cols);
    let share = rows.div_ceil(2 * rayon::current_num_threads()).clamp(TILE_ROWS, 2 * BLOCK_ROWS).next_multiple_of(TILE_ROWS);
    let product = |(x, out): (&[f32], &mut [f32])| {
        let left = Left { data: x, row: inner, col: 1 };
        Product { left, right, rows: out.len() / cols.max(1), inner, cols, out, stride: cols, add }.run();
    };
    let (x, out) = (&x[..rows * inner], &mut out[..rows * cols]);
    x.par_chunks((share * inner).max(1)).zip(out.par_chunks_mut((share * cols).max(1))).for_each(product);
}

/// `x (rows × inner) · right`, as a new matrix.
pub fn multiply(x: &[f32], rows: usize, right: &Packed) -> Vec<f32> {
    let mut out = vec![0.0; rows * right.cols];
    times(x, rows, right, &mut out, false);
    out
}

/// `out (a's width × b's width) += aᵀ · b` over `rows` common rows, columns of `b` side by side on all cores.
pub fn add_transposed(a: &[f32], b: &[f32], rows: usize, out: &mut [f32]) {
    if rows == 0 {
        return;
    }
    let (height, width) = (a.len() / rows, b.len() / rows);
    let share = (width.div_ceil(2 * rayon::current_num_threads())).clamp(1, COLUMNS).next_multiple_of(2 * lanes());
    let part = |from: usize| {
        let cols = share.min(width - from);
        let right = Packed::rows(&b[from..], rows, cols, width);
        let mut part = vec![0.0; height * cols];
        let left = Left { data: a, row: 1, col: height };
        Product { left, right: &right, rows: height, inner: rows, cols, out: &mut part, stride: cols, add: false }.run();
        part
    };
    let starts: Vec<usize> = (0..width).step_by(share).collect();
    let parts: Vec<Vec<f32>> = starts.par_iter().map(|from| part(*from)).collect();
    for (from, part) in starts.into_iter().zip(parts) {
        let cols = part.len() / height;
        for (row, part) in out.chunks_exact_mut(width).zip(part.chunks_exact(cols)) {
            row[from..from + cols].iter_mut().zip(part).for_each(|(o, p)| *o += p);
        }
    }
}

impl WithSimd for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // A right operand of few panels is passed over so seldom that packing the left one would cost as much as the product.
        let Self { product, tiles } = self;
        let (left, right) = (product.left, product.right);
        let in_place = product.cols <= NARROW_PANELS * right.width && (left.row == 1 || left.col == 1);
        match (right.width == S::F32_LANES, in_place) {
            (true, true) => product.narrow::<S, 1>(simd, tiles),
            (true, false) => product.go::<S, 1>(simd, tiles),
            (false, true) => product.narrow::<S, 2>(simd, tiles),
            (false, false) => product.go::<S, 2>(simd, tiles),
        }
    }
}

impl Product<'_> {
    /// The same sums, term by term, with the left operand read where it is.
    #[inline(always)]
    fn narrow<S: Simd, const V: usize>(self, simd: S, tiles: &mut [f32]) {
        let Self { left, right, rows, inner, cols, out, stride, add } = self;
        let width = V * S::F32_LANES;
        if inner == 0 && !add {
            (0..rows).for_each(|r| out[r * stride..][..cols].fill(0.0));
        }
        let mut k0 = 0;
        while k0 < inner {
            let depth = INNER.min(inner - k0).min(right.slab - k0 % right.slab);
            let keep = add || k0 > 0;
            for r0 in (0..rows).step_by(TILE_ROWS) {
                for (panel, c0) in (0..cols).step_by(width).enumerate() {
                    let b = right.lines(panel, k0, depth);
                    let size = (TILE_ROWS.min(rows - r0), width.min(cols - c0));
                    let out = &mut out[r0 * stride + c0..];
                    if size.0 == TILE_ROWS && left.row == 1 {
                        let line = |k: usize| left.data[(k0 + k) * left.col + r0..].first_chunk::<TILE_ROWS>();
                        tile::<S, V>(simd, (0..depth).filter_map(line).copied(), b, out, stride, size, keep);
                    } else if size.0 == TILE_ROWS {
                        let lines: [&[f32]; TILE_ROWS] = std::array::from_fn(|r| &left.data[(r0 + r) * left.row + k0..][..depth]);
                        let scalars = (0..depth).map(|k| std::array::from_fn(|r| lines[r][k]));
                        tile::<S, V>(simd, scalars, b, out, stride, size, keep);
                    } else {
                        pack_left(&left, r0, size.0, k0, depth, tiles);
                        let scalars = tiles.as_chunks::<TILE_ROWS>().0.iter().copied();
                        tile::<S, V>(simd, scalars, b, out, stride, size, keep);
                    }
                }
            }
            k0 += depth;
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn go<S: Simd, const V: usize>(self, simd: S, tiles: &mut [f32]) {
        let Self { left, right, rows, inner, cols, out, stride, add } = self;
        let width = V * S::F32_LANES;
        if inner == 0 {
            if !add {
                (0..rows).for_each(|r| out[r * stride..][..cols].fill(0.0));
            }
            return;
        }
        let mut k0 = 0;
        while k0 < inner {
            // A pass ends with its slab.
            let depth = INNER.min(inner - k0).min(right.slab - k0 % right.slab);
            let keep = add || k0 > 0;
            for r0 in (0..rows).step_by(BLOCK_ROWS) {
                let block = BLOCK_ROWS.min(rows - r0);
                pack_left(&left, r0, block, k0, depth, tiles);
                for (panel, c0) in (0..cols).step_by(width).enumerate() {
                    let count = width.min(cols - c0);
                    let b = right.lines(panel, k0, depth);
                    for (t, t0) in (0..block).step_by(TILE_ROWS).enumerate() {
                        let a = &tiles[t * TILE_ROWS * depth..][..TILE_ROWS * depth];
                        let here = (r0 + t0) * stride + c0;
                        let size = (TILE_ROWS.min(block - t0), count);
                        let scalars = a.as_chunks::<TILE_ROWS>().0.iter().copied();
                        tile::<S, V>(simd, scalars, b, &mut out[here..], stride, size, keep);
                    }
                }
            }
            k0 += depth;
        }
    }
}

/// Copies a block of the left operand into tiles of `TILE_ROWS` rows, inner index outermost, missing rows as zeros.
#[inline(always)]
fn pack_left(left: &Left, r0: usize, block: usize, k0: usize, depth: usize, tiles: &mut [f32]) {
    for (t, out) in tiles.chunks_exact_mut(TILE_ROWS * depth).take(block.div_ceil(TILE_ROWS)).enumerate() {
        let from = r0 + t * TILE_ROWS;
        let rows = TILE_ROWS.min(r0 + block - from);
        if rows < TILE_ROWS {
            out.fill(0.0);
        }
        if left.col == 1 {
            for r in 0..rows {
                let row = &left.data[(from + r) * left.row + k0..][..depth];
                for (k, value) in row.iter().enumerate() {
                    out[k * TILE_ROWS + r] = *value;
                }
            }
        } else if left.row == 1 {
            for (k, line) in out.as_chunks_mut::<TILE_ROWS>().0.iter_mut().enumerate() {
                let source = &left.data[(k0 + k) * left.col + from..];
                match source.first_chunk::<TILE_ROWS>() {
                    Some(whole) if rows == TILE_ROWS => *line = *whole,
                    _ => line[..rows].copy_from_slice(&source[..rows]),
                }
            }
        } else {
            for (k, line) in out.chunks_exact_mut(TILE_ROWS).enumerate() {
                for (r, slot) in line[..rows].iter_mut().enumerate() {
                    *slot = left.data[(from + r) * left.row + (k0 + k) * left.col];
                }
            }
        }
    }
}

/// One register tile: `TILE_ROWS` × `V` vectors, the whole depth in registers; `a` gives a column of the left operand at a time.
#[inline(always)]
fn tile<S: Simd, const V: usize>(
    simd: S,
    a: impl Iterator<Item = [f32; TILE_ROWS]>,
    b: &[f32],
    out: &mut [f32],
    stride: usize,
    (rows, cols): (usize, usize),
    keep: bool,
) {
    let width = V * S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); V]; TILE_ROWS];
    let full = cols == width;
    let mut edge = [0.0f32; 2 * 16];
    if keep {
        for (r, sum) in sums.iter_mut().enumerate().take(rows) {
            if full {
                sum.copy_from_slice(S::as_simd_f32s(&out[r * stride..][..width]).0);
            } else {
                edge[..cols].copy_from_slice(&out[r * stride..][..cols]);
                sum.copy_from_slice(S::as_simd_f32s(&edge[..width]).0);
            }
        }
    }
    for (scalars, vectors) in a.zip(b.chunks_exact(width)) {
        let vectors = S::as_simd_f32s(vectors).0;
        for r in 0..TILE_ROWS {
            let scalar = simd.splat_f32s(scalars[r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(scalar, vectors[v], sums[r][v]);
            }
        }
    }
    for (r, sum) in sums.iter().enumerate().take(rows) {
        if full {
            S::as_mut_simd_f32s(&mut out[r * stride..][..width]).0.copy_from_slice(sum);
        } else {
            S::as_mut_simd_f32s(&mut edge[..width]).0.copy_from_slice(sum);
            out[r * stride..][..cols].copy_from_slice(&edge[..cols]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::noise;
    use super::*;

    fn plain(a: &[f32], b: &[f32], (m, k, n): (usize, usize, usize)) -> Vec<f32> {
        let at = |r: usize, c: usize| (0..k).map(|i| a[r * k + i] * b[i * n + c]).sum();
        (0..m * n).map(|i| at(i / n, i % n)).collect()
    }

    #[test]
    fn products_of_any_shape_and_layout_are_the_plain_ones() {
        for (m, k, n) in [(1, 1, 1), (1, 128, 64), (6, 32, 32), (7, 5, 33), (100, 300, 17), (13, 600, 70)] {
            let (a, b) = (noise(m * k, 1), noise(k * n, 2));
            let expected = plain(&a, &b, (m, k, n));
            let straight = multiply(&a, m, &Packed::rows(&b, k, n, n));
            let turned: Vec<f32> = (0..k * n).map(|i| b[(i % k) * n + i / k]).collect();
            let through_weight = multiply(&a, m, &Packed::transposed(&turned, n, k, k));
            let columns: Vec<f32> = (0..m * k).map(|i| a[(i % m) * k + i / m]).collect();
            let mut added = vec![1.0; m * n];
            let right = Packed::rows(&b, k, n, n);
            let left = Left { data: &columns, row: 1, col: m };
            Product { left, right: &right, rows: m, inner: k, cols: n, out: &mut added, stride: n, add: true }.run();
            for i in 0..m * n {
                let tolerance = 1e-4 * (1.0 + expected[i].abs());
                assert!((straight[i] - expected[i]).abs() < tolerance, "{m} {k} {n}");
                assert_eq!(straight[i].to_bits(), through_weight[i].to_bits(), "{m} {k} {n}");
                assert!((added[i] - 1.0 - expected[i]).abs() < tolerance, "{m} {k} {n}");
            }
        }
    }

    #[test]
    fn weights_filled_in_by_rows_give_both_products() {
        for (m, out, inner) in [(1, 1, 1), (50, 300, 17), (13, 70, 600), (200, 129, 64)] {
            let (x, dy, w) = (noise(m * inner, 1), noise(m * out, 2), noise(out * inner, 3));
            let source = |from: usize, into: &mut [f32]| into.copy_from_slice(&w[from * inner..][..into.len()]);
            let (mut forward, mut backward) = (Packed::default(), Packed::default());
            forward.fill_forward(out, inner, &source);
            backward.fill_backward(out, inner, &source);
            let turned = Packed::transposed(&w, out, inner, inner);
            assert_eq!(multiply(&x, m, &forward), multiply(&x, m, &turned));
            let expected = plain(&dy, &w, (m, out, inner));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4 * (1.0 + b.abs());
            assert!(multiply(&dy, m, &backward).iter().zip(&expected).all(close), "{m} {out} {inner}");
            let mut gradient = vec![1.0; out * inner];
            add_transposed(&dy, &x, m, &mut gradient);
            let dyt: Vec<f32> = (0..out * m).map(|i| dy[(i % m) * out + i / m]).collect();
            let expected: Vec<f32> = plain(&dyt, &x, (out, m, inner)).iter().map(|v| v + 1.0).collect();
            assert!(gradient.iter().zip(&expected).all(close), "{m} {out} {inner}");
        }
    }

    #[test]
    fn a_row_alone_has_the_bits_it_has_in_a_batch() {
        let (m, k, n) = (29, 300, 50);
        let (a, right) = (noise(m * k, 3), Packed::rows(&noise(k * n, 4), k, n, n));
        let together = multiply(&a, m, &right);
        for r in 0..m {
            let alone = multiply(&a[r * k..][..k], 1, &right);
            assert!(alone.iter().zip(&together[r * n..][..n]).all(|(x, y)| x.to_bits() == y.to_bits()));
        }
    }
}
