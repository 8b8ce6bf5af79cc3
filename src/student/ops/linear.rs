//! The linear layer `y = x · wᵀ`, weights as checkpoints store them (`out × in`).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::matmul::{Left, Packed, Product, multiply};
use super::{numbers, with_numbers};

const NAME: &str = "linear";

/// `x (… × in) · wᵀ` with `w (out × in)`. `packed` is `w` prepared once, where `w` stands still (generation).
pub fn linear(x: &Tensor, w: &Tensor, packed: Option<&Arc<Packed>>) -> Result<Tensor> {
    x.apply_op2(w, Linear { packed: packed.cloned() })
}

struct Linear {
    packed: Option<Arc<Packed>>,
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (out, inner) = wl.shape().dims2()?;
        let mut dims = xl.dims().to_vec();
        let last = dims.last_mut().filter(|d| **d == inner);
        let Some(last) = last else { candle_core::bail!("{NAME}: {:?} times a weight of {out} × {inner}", xl.dims()) };
        *last = out;
        let rows = xl.shape().elem_count() / inner.max(1);
        let x = numbers(x, xl, NAME)?;
        let y = if let Some(packed) = &self.packed {
            multiply(x, rows, packed)
        } else {
            multiply(x, rows, &Packed::transposed(numbers(w, wl, NAME)?, out, inner, inner))
        };
        Ok((CpuStorage::F32(y), dims.into()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (out, inner) = w.dims2()?;
        let rows = x.elem_count() / inner.max(1);
        let dy = dy.contiguous()?;
        let (dx, dw) = with_numbers([x, w, &dy], NAME, |[x, w, dy]| {
            let mut dw = vec![0.0; out * inner];
            add_weight_gradient(&mut dw, dy, x, rows, out, inner);
            (multiply(dy, rows, &Packed::rows(w, out, inner, inner)), dw)
        })?;
        Ok((Some(Tensor::from_vec(dx, x.dims(), x.device())?), Some(Tensor::from_vec(dw, (out, inner), w.device())?)))
    }
}

/// `dw += dyᵀ · x`
pub(in crate::student) fn add_weight_gradient(dw: &mut [f32], dy: &[f32], x: &[f32], rows: usize, out: usize, inner: usize) {
    let right = Packed::rows(x, rows, inner, inner);
    let left = Left { data: dy, row: 1, col: out };
    Product { left, right: &right, rows: out, inner: rows, cols: inner, out: dw, stride: inner, add: true }.run();
}

#[cfg(test)]
mod tests {
    use super::super::check::{assert_close, gradients, noise_tensor};
    use super::*;

    #[test]
    fn a_linear_layer_is_candles_product_and_so_are_its_gradients() {
        let (x, w) = (noise_tensor(&[5, 7], 1), noise_tensor(&[19, 7], 2));
        let plain = x.matmul(&w.t().unwrap()).unwrap();
        assert_close(&linear(&x, &w, None).unwrap(), &plain, 1e-5);
        gradients(&[x, w], 2e-3, |t| linear(&t[0], &t[1], None));
    }

    #[test]
    fn a_weight_of_the_wrong_width_is_refused() {
        assert!(linear(&noise_tensor(&[5, 7], 1), &noise_tensor(&[3, 8], 2), None).is_err());
    }
}
