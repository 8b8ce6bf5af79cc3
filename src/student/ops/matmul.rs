//! Matrix products in safe, vectorised Rust, one thread each (callers run independent rows side by side).
//!
//! Every element of the result is one chain of fused multiply-adds over the inner dimension in ascending order,
//! whatever the other dimensions are. That is what makes a row's logits the same alone and in a batch, and it is why this
//! is not left to a library whose kernels change with the shape.

// Inlining is what compiles these bodies for the chosen instruction set; the tiles belong on the stack.
#![allow(clippy::inline_always, clippy::large_stack_arrays)]

use pulp::{Arch, Simd, WithSimd};

/// Rows of one register tile.
const TILE_ROWS: usize = 6;
/// Inner length of one pass: a tile of both operands stays in the first-level cache.
const INNER: usize = 256;
/// Rows of the left operand kept in the second-level cache while the right one streams past.
const BLOCK_ROWS: usize = 48;

/// A right operand (`inner × cols`) cut into column panels as wide as two vector registers.
#[derive(Debug, Clone)]
pub struct Packed {
    panels: Vec<f32>,
    inner: usize,
    cols: usize,
}

/// Columns of one panel on this machine.
fn panel_width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            2 * S::F32_LANES
        }
    }
    Arch::new().dispatch(Width)
}

impl Packed {
    /// From `inner` rows of `cols` numbers, `stride` apart: computes `x · b`.
    pub fn rows(b: &[f32], inner: usize, cols: usize, stride: usize) -> Self {
        let width = panel_width();
        let mut panels = vec![0.0; cols.div_ceil(width) * width * inner];
        for (panel, out) in panels.chunks_exact_mut((width * inner).max(1)).enumerate() {
            let from = panel * width;
            let count = width.min(cols - from);
            for (k, line) in out.chunks_exact_mut(width).enumerate() {
                let source = &b[k * stride + from..][..count];
                copy_line(&mut line[..count], source);
            }
        }
        Self { panels, inner, cols }
    }

    /// From `cols` rows of `inner` numbers, `stride` apart: computes `x · wᵀ`, the layout of a linear layer's weight.
    pub fn transposed(w: &[f32], cols: usize, inner: usize, stride: usize) -> Self {
        let width = panel_width();
        let mut panels = vec![0.0; cols.div_ceil(width) * width * inner];
        for (panel, out) in panels.chunks_exact_mut((width * inner).max(1)).enumerate() {
            let from = panel * width;
            for c in 0..width.min(cols - from) {
                let row = &w[(from + c) * stride..][..inner];
                for (k, value) in row.iter().enumerate() {
                    out[k * width + c] = *value;
                }
            }
        }
        Self { panels, inner, cols }
    }

    pub fn inner(&self) -> usize {
        self.inner
    }

    pub fn cols(&self) -> usize {
        self.cols
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
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

/// `x (rows × inner) · right`, as a new matrix.
pub fn multiply(x: &[f32], rows: usize, right: &Packed) -> Vec<f32> {
    let mut out = vec![0.0; rows * right.cols];
    let left = Left { data: x, row: right.inner, col: 1 };
    let (inner, cols) = (right.inner, right.cols);
    Product { left, right, rows, inner, cols, out: &mut out, stride: cols, add: false }.run();
    out
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { left, right, rows, inner, cols, out, stride, add } = self;
        let width = 2 * S::F32_LANES;
        if inner == 0 {
            if !add {
                (0..rows).for_each(|r| out[r * stride..][..cols].fill(0.0));
            }
            return;
        }
        let mut tiles = [0.0f32; BLOCK_ROWS * INNER];
        for k0 in (0..inner).step_by(INNER) {
            let depth = INNER.min(inner - k0);
            let keep = add || k0 > 0;
            for r0 in (0..rows).step_by(BLOCK_ROWS) {
                let block = BLOCK_ROWS.min(rows - r0);
                pack_left(&left, r0, block, k0, depth, &mut tiles);
                for (panel, c0) in (0..cols).step_by(width).enumerate() {
                    let count = width.min(cols - c0);
                    let b = &right.panels[panel * width * right.inner + k0 * width..][..depth * width];
                    for (t, t0) in (0..block).step_by(TILE_ROWS).enumerate() {
                        let a = &tiles[t * TILE_ROWS * depth..][..TILE_ROWS * depth];
                        let here = (r0 + t0) * stride + c0;
                        let size = (TILE_ROWS.min(block - t0), count);
                        tile(simd, a, b, &mut out[here..], stride, size, keep);
                    }
                }
            }
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

/// One register tile: `TILE_ROWS` × two vectors, the whole `depth` in registers.
#[inline(always)]
fn tile<S: Simd>(simd: S, a: &[f32], b: &[f32], out: &mut [f32], stride: usize, (rows, cols): (usize, usize), keep: bool) {
    let lanes = S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; 2]; TILE_ROWS];
    let full = cols == 2 * lanes;
    let mut edge = [0.0f32; 2 * 16];
    if keep {
        for (r, sum) in sums.iter_mut().enumerate().take(rows) {
            if full {
                let line = S::as_simd_f32s(&out[r * stride..][..2 * lanes]).0;
                *sum = [line[0], line[1]];
            } else {
                edge[..cols].copy_from_slice(&out[r * stride..][..cols]);
                let line = S::as_simd_f32s(&edge[..2 * lanes]).0;
                *sum = [line[0], line[1]];
            }
        }
    }
    for (scalars, vectors) in a.as_chunks::<TILE_ROWS>().0.iter().zip(b.chunks_exact(2 * lanes)) {
        let vectors = S::as_simd_f32s(vectors).0;
        let (low, high) = (vectors[0], vectors[1]);
        for r in 0..TILE_ROWS {
            let scalar = simd.splat_f32s(scalars[r]);
            sums[r][0] = simd.mul_add_e_f32s(scalar, low, sums[r][0]);
            sums[r][1] = simd.mul_add_e_f32s(scalar, high, sums[r][1]);
        }
    }
    for (r, sum) in sums.iter().enumerate().take(rows) {
        if full {
            let line = S::as_mut_simd_f32s(&mut out[r * stride..][..2 * lanes]).0;
            line[0] = sum[0];
            line[1] = sum[1];
        } else {
            let line = S::as_mut_simd_f32s(&mut edge[..2 * lanes]).0;
            line[0] = sum[0];
            line[1] = sum[1];
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
