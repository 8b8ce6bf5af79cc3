//! The gate of `SwiGLU`: `silu(gate) · up`.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{exp, numbers, with_numbers};

const NAME: &str = "silu_gate";

/// `gate / (1 + e^−gate) · up`, element by element.
pub fn silu_gate(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, SiluGate)
}

struct SiluGate;

/// `y = silu(gate) · up` on plain slices.
pub(in crate::student) fn forward(gate: &[f32], up: &[f32], y: &mut [f32]) {
    forward_all(gate, up, y);
}

vectorised! {
fn forward_all<'a>(gate: &'a [f32], up: &'a [f32], y: &'a mut [f32]) -> () {
    for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
        *y = g / (1.0 + exp(-g)) * u;
    }
}
}

/// Gradients of gate and up, replacing what `dg` and `du` held.
pub(in crate::student) fn backward(gate: &[f32], up: &[f32], dy: &[f32], dg: &mut [f32], du: &mut [f32]) {
    backward_all(gate, up, dy, dg, du);
}

vectorised! {
fn backward_all<'a>(gate: &'a [f32], up: &'a [f32], dy: &'a [f32], dg: &'a mut [f32], du: &'a mut [f32]) -> () {
    let count = gate.len();
    let (up, dy, dg, du) = (&up[..count], &dy[..count], &mut dg[..count], &mut du[..count]);
    for i in 0..count {
        let g = gate[i];
        let sigmoid = 1.0 / (1.0 + exp(-g));
        dg[i] = dy[i] * up[i] * sigmoid * (1.0 + g * (1.0 - sigmoid));
        du[i] = dy[i] * g * sigmoid;
    }
}
}

impl CustomOp2 for SiluGate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, gate: &CpuStorage, gl: &Layout, up: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (numbers(gate, gl, NAME)?, numbers(up, ul, NAME)?);
        if gate.len() != up.len() {
            candle_core::bail!("{NAME}: {:?} against {:?}", gl.dims(), ul.dims());
        }
        let mut y = vec![0.0; gate.len()];
        forward(gate, up, &mut y);
        Ok((CpuStorage::F32(y), gl.shape().clone()))
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dg, mut du) = (vec![0.0f32; gate.elem_count()], vec![0.0f32; gate.elem_count()]);
        let dy = dy.contiguous()?;
        with_numbers([gate, up, &dy], NAME, |[gate, up, dy]| backward(gate, up, dy, &mut dg, &mut du))?;
        let tensor = |numbers| Tensor::from_vec(numbers, gate.dims(), gate.device());
        Ok((Some(tensor(dg)?), Some(tensor(du)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{assert_close, gradients, noise_tensor};
    use super::*;

    #[test]
    fn the_gate_is_silu_times_up_and_so_are_its_gradients() {
        let (gate, up) = ((noise_tensor(&[3, 21], 1) * 4.0).unwrap(), noise_tensor(&[3, 21], 2));
        assert_close(&silu_gate(&gate, &up).unwrap(), &(gate.silu().unwrap() * &up).unwrap(), 1e-5);
        gradients(&[gate, up], 2e-3, |t| silu_gate(&t[0], &t[1]));
    }
}
