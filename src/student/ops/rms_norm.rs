//! Root-mean-square normalisation over the last dimension, `y = x · w / √(mean(x²) + ε)`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{dot, numbers, with_numbers};

const NAME: &str = "rms_norm";

/// Normalises groups of `w.len()` neighbouring numbers of `x`: whole rows, or heads (the norm of queries and keys).
pub fn rms_norm(x: &Tensor, w: &Tensor, eps: f64) -> Result<Tensor> {
    x.apply_op2(w, RmsNorm { eps: eps as f32 })
}

struct RmsNorm {
    eps: f32,
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn scale_of(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

/// `y = norm(x)` on plain slices.
pub(in crate::student) fn forward(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
    forward_rows(x, w, eps, y);
}

vectorised! {
fn forward_rows<'a>(x: &'a [f32], w: &'a [f32], eps: f32, y: &'a mut [f32]) -> () {
    for (x, y) in x.chunks_exact(w.len()).zip(y.chunks_exact_mut(w.len())) {
        let scale = scale_of(x, eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * scale * w;
        }
    }
}
}

/// `dx (+)= …`, `dw += …` on plain slices.
pub(in crate::student) fn backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: &mut [f32], add: bool) {
    backward_rows(x, w, eps, dy, dx, dw, add);
}

vectorised! {
fn backward_rows<'a>(x: &'a [f32], w: &'a [f32], eps: f32, dy: &'a [f32], dx: &'a mut [f32], dw: &'a mut [f32], add: bool) -> () {
    let width = w.len();
    let (mut wdy, dw) = (vec![0.0f32; width], &mut dw[..width]);
    for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
        let scale = scale_of(x, eps);
        for i in 0..width {
            wdy[i] = w[i] * dy[i];
            dw[i] += dy[i] * x[i] * scale;
        }
        let pull = dot(&wdy, x) * scale * scale / width as f32;
        if add {
            for i in 0..width {
                dx[i] += scale * (wdy[i] - x[i] * pull);
            }
        } else {
            for i in 0..width {
                dx[i] = scale * (wdy[i] - x[i] * pull);
            }
        }
    }
}
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (numbers(x, xl, NAME)?, numbers(w, wl, NAME)?);
        if w.is_empty() || !x.len().is_multiple_of(w.len()) {
            candle_core::bail!("{NAME}: {:?} is not made of groups of {}", xl.dims(), w.len());
        }
        let mut y = vec![0.0; x.len()];
        forward(x, w, self.eps, &mut y);
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut dw) = (vec![0.0f32; x.elem_count()], vec![0.0f32; w.elem_count()]);
        let dy = dy.contiguous()?;
        with_numbers([x, w, &dy], NAME, |[x, w, dy]| backward(x, w, self.eps, dy, &mut dx, &mut dw, false))?;
        Ok((Some(Tensor::from_vec(dx, x.dims(), x.device())?), Some(Tensor::from_vec(dw, w.dims(), w.device())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{assert_close, gradients, noise_tensor};
    use super::*;

    fn plain(x: &Tensor, w: &Tensor, eps: f64) -> Result<Tensor> {
        let grouped = x.reshape(((), w.elem_count()))?;
        let mean = grouped.sqr()?.mean_keepdim(1)?;
        grouped.broadcast_div(&(mean + eps)?.sqrt()?)?.broadcast_mul(w)?.reshape(x.shape())
    }

    #[test]
    fn rows_and_heads_are_normalised_as_the_definition_says() {
        for (shape, width) in [([3, 20], 20), ([3, 20], 5)] {
            let (x, w) = (noise_tensor(&shape, 1), noise_tensor(&[width], 2));
            assert_close(&rms_norm(&x, &w, 1e-6).unwrap(), &plain(&x, &w, 1e-6).unwrap(), 1e-5);
            gradients(&[x, w], 5e-3, |t| rms_norm(&t[0], &t[1], 1e-6));
        }
    }
}
