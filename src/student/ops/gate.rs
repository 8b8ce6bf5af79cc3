//! The gate of the feed-forward half: `act(gate) · up`, act being `SiLU` or the tanh form of GELU.

use rayon::prelude::*;

use super::{exp, share};
use crate::student::config::Activation;

/// √(2/π) and the cubic term of GELU's tanh form.
const ROOT: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// σ(x), the logistic function.
#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// act(g) and its derivative. GELU's ½(1 + tanh u) is σ(2u).
#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn act(kind: Activation, g: f32) -> (f32, f32) {
    match kind {
        Activation::Silu => {
            let s = sigmoid(g);
            (g * s, s * (1.0 + g * (1.0 - s)))
        }
        Activation::Gelu => {
            let s = sigmoid(2.0 * ROOT * (g + CUBIC * g * g * g));
            let slope = 2.0 * ROOT * (1.0 + 3.0 * CUBIC * g * g);
            (g * s, s + g * s * (1.0 - s) * slope)
        }
    }
}

/// `y = act(gate) · up`
pub fn forward(kind: Activation, gate: &[f32], up: &[f32], y: &mut [f32]) {
    let share = share(1);
    let parts = gate.par_chunks(share).zip(up.par_chunks(share)).zip(y.par_chunks_mut(share));
    match kind {
        Activation::Silu => parts.for_each(|((g, u), y)| forward_silu(g, u, y)),
        Activation::Gelu => parts.for_each(|((g, u), y)| forward_gelu(g, u, y)),
    }
}

vectorised! {
fn forward_silu<'a>(gate: &'a [f32], up: &'a [f32], y: &'a mut [f32]) -> () {
    for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
        *y = act(Activation::Silu, *g).0 * u;
    }
}
}

vectorised! {
fn forward_gelu<'a>(gate: &'a [f32], up: &'a [f32], y: &'a mut [f32]) -> () {
    for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
        *y = act(Activation::Gelu, *g).0 * u;
    }
}
}

/// The gradient of what came out becomes, in place, that of `gate`; that of `up` goes to `du`.
pub fn backward(kind: Activation, gate: &[f32], up: &[f32], dy: &mut [f32], du: &mut [f32]) {
    let share = share(1);
    let inputs = gate.par_chunks(share).zip(up.par_chunks(share));
    let parts = inputs.zip(dy.par_chunks_mut(share)).zip(du.par_chunks_mut(share));
    match kind {
        Activation::Silu => parts.for_each(|(((g, u), dy), du)| backward_silu(g, u, dy, du)),
        Activation::Gelu => parts.for_each(|(((g, u), dy), du)| backward_gelu(g, u, dy, du)),
    }
}

vectorised! {
fn backward_silu<'a>(gate: &'a [f32], up: &'a [f32], dy: &'a mut [f32], du: &'a mut [f32]) -> () {
    let count = gate.len();
    let (up, dy, du) = (&up[..count], &mut dy[..count], &mut du[..count]);
    for i in 0..count {
        let (value, slope) = act(Activation::Silu, gate[i]);
        du[i] = dy[i] * value;
        dy[i] *= up[i] * slope;
    }
}
}

vectorised! {
fn backward_gelu<'a>(gate: &'a [f32], up: &'a [f32], dy: &'a mut [f32], du: &'a mut [f32]) -> () {
    let count = gate.len();
    let (up, dy, du) = (&up[..count], &mut dy[..count], &mut du[..count]);
    for i in 0..count {
        let (value, slope) = act(Activation::Gelu, gate[i]);
        du[i] = dy[i] * value;
        dy[i] *= up[i] * slope;
    }
}
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::super::check::{gradients, noise};
    use super::*;

    #[test]
    fn the_gate_is_candles_activation_times_up_and_its_gradients_are_the_numeric_ones() {
        for kind in [Activation::Silu, Activation::Gelu] {
            let gate: Vec<f32> = noise(63, 1).iter().map(|v| v * 4.0).collect();
            let inputs = [gate, noise(63, 2)];
            let value = |x: &[Vec<f32>]| {
                let mut y = vec![0.0; 63];
                forward(kind, &x[0], &x[1], &mut y);
                y
            };
            let pull = |x: &[Vec<f32>], dy: &[f32]| {
                let (mut dg, mut du) = (dy.to_vec(), vec![3.0; 63]);
                backward(kind, &x[0], &x[1], &mut dg, &mut du);
                vec![dg, du]
            };
            let gate = Tensor::from_slice(&inputs[0], 63, &Device::Cpu).unwrap();
            let act = if kind == Activation::Silu { gate.silu() } else { gate.gelu() }.unwrap().to_vec1::<f32>().unwrap();
            let close = |((y, a), u): ((&f32, &f32), &f32)| (y - a * u).abs() < 1e-5;
            assert!(value(&inputs).iter().zip(&act).zip(&inputs[1]).all(close), "{kind:?}");
            gradients(&inputs, 2e-3, value, pull);
        }
    }
}
