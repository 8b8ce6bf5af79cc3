//! The decoder's own differentiable operations on packed rows (`tokens × width`, no padding).
//!
//! Owns arithmetic and gradients, nothing else: no weights, no tokens, no files. Each operation is a candle
//! `CustomOp` with a backward pass, so a gradient cannot vanish silently, and stands beside a slow plain reference
//! and a finite-difference check. All sums run in one fixed order that depends neither on the number of threads nor on
//! how many rows are computed together: the same row gives the same bits alone and in a batch.

/// Defines a function on plain slices whose body is compiled for the best instruction set of this machine, chosen at
/// run time. (A closure or a function handed to a dispatcher would be compiled apart, for the least machine there is.)
macro_rules! vectorised {
    ($(#[$meta:meta])* fn $name:ident<$life:lifetime>($($arg:ident: $type:ty),* $(,)?) -> $out:ty $body:block) => {
        $(#[$meta])*
        fn $name<$life>($($arg: $type),*) -> $out {
            struct Kernel<$life>($($type,)* std::marker::PhantomData<&$life ()>);
            impl<$life> pulp::WithSimd for Kernel<$life> {
                type Output = $out;
                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) -> $out {
                    let Self($($arg,)* _) = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Kernel($($arg,)* std::marker::PhantomData))
        }
    };
}

pub mod attention;
pub mod dropout;
pub mod linear;
pub mod loss;
pub mod matmul;
pub mod rms_norm;
pub mod rope;
pub mod silu_gate;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

pub use attention::{Heads, Span, attend_cached, causal_attention};
pub use dropout::Dropout;
pub use linear::linear;
pub use loss::{LossRows, linear_cross_entropy};
pub use matmul::Packed;
pub use rms_norm::rms_norm;
pub use rope::{RopeTable, rope};
pub use silu_gate::silu_gate;

/// The contiguous `f32` numbers behind an operand.
fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => candle_core::bail!("{op} needs contiguous operands; call contiguous() first"),
    }
}

/// Lends the numbers of contiguous CPU tensors to `read`.
pub fn with_numbers<const N: usize, R>(
    tensors: [&Tensor; N],
    op: &'static str,
    read: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        *slice = match &**storage {
            Storage::Cpu(cpu) => numbers(cpu, layout, op)?,
            _ => candle_core::bail!("{op} runs on the CPU only"),
        };
    }
    Ok(read(slices))
}

/// e^x to about one unit in the last place, in a form that compilers turn into vector code (the library's is a call
/// per number). Inputs are clamped to where the result is a normal number.
#[inline(always)]
fn exp(value: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer, kept in the low mantissa bits
    const TERMS: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
    let value = value.clamp(-87.0, 88.0);
    let shifted = value * std::f32::consts::LOG2_E + MAGIC;
    let twos = shifted - MAGIC;
    // ln 2 in two parts, the first exact in few bits.
    let rest = value - twos * 0.693_359_4 + twos * 2.121_944_4e-4;
    let mut series = TERMS[0];
    for term in &TERMS[1..] {
        series = series * rest + term;
    }
    let power = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    (series * rest * rest + rest + 1.0) * f32::from_bits(power)
}

/// Σ a·b in 16 independent lanes, summed in a fixed order.
#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a_body, a_tail) = a.as_chunks::<16>();
    let (b_body, b_tail) = b.as_chunks::<16>();
    for (x, y) in a_body.iter().zip(b_body) {
        for i in 0..16 {
            lanes[i] += x[i] * y[i];
        }
    }
    let tail: f32 = a_tail.iter().zip(b_tail).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + tail
}

#[cfg(test)]
pub(crate) mod check {
    //! Finite differences: the judge of every backward pass.

    use candle_core::{Device, Result, Tensor, Var};

    /// Numbers in [-1, 1) that look random and never change.
    pub fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    pub fn noise_tensor(shape: &[usize], seed: u32) -> Tensor {
        Tensor::from_vec(noise(shape.iter().product(), seed), shape, &Device::Cpu).expect("tensor")
    }

    /// Compares `backward` with central differences of Σ out·noise, for every number of every input.
    pub fn gradients(inputs: &[Tensor], tolerance: f32, f: impl Fn(&[Tensor]) -> Result<Tensor>) {
        let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).expect("var")).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let out = f(&tensors).expect("forward");
        let mix = noise_tensor(out.dims(), 99);
        let total = |t: &Tensor| (t * &mix).and_then(|m| m.sum_all());
        let grads = total(&out).expect("sum").backward().expect("backward");
        for (which, input) in inputs.iter().enumerate() {
            let grad = grads.get(&tensors[which]).unwrap_or_else(|| panic!("input {which} gets no gradient"));
            let grad: Vec<f32> = grad.flatten_all().and_then(|g| g.to_vec1()).expect("gradient");
            let base: Vec<f32> = input.flatten_all().and_then(|g| g.to_vec1()).expect("input");
            for at in 0..base.len() {
                let step = 1e-2f32;
                let value = |delta: f32| {
                    let mut moved = base.clone();
                    moved[at] += delta;
                    let mut args: Vec<Tensor> = inputs.to_vec();
                    args[which] = Tensor::from_vec(moved, input.dims(), &Device::Cpu).expect("tensor");
                    let sum = total(&f(&args).expect("forward")).expect("sum");
                    f64::from(sum.to_scalar::<f32>().expect("scalar"))
                };
                let numeric = ((value(step) - value(-step)) / f64::from(2.0 * step)) as f32;
                let (ours, scale) = (grad[at], 1.0 + numeric.abs());
                assert!((ours - numeric).abs() <= tolerance * scale, "input {which}[{at}]: backward {ours}, numeric {numeric}");
            }
        }
    }

    pub fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
        assert_eq!(a.dims(), b.dims());
        let (a, b): (Vec<f32>, Vec<f32>) =
            (a.flatten_all().unwrap().to_vec1().unwrap(), b.flatten_all().unwrap().to_vec1().unwrap());
        for (i, (x, y)) in a.iter().zip(&b).enumerate() {
            assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "at {i}: {x} against {y}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_exponential_is_the_librarys() {
        for i in -8_600..8_700 {
            let x = i as f32 / 100.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours - theirs).abs() <= 3e-7 * theirs, "exp({x}): {ours} against {theirs}");
        }
        assert!(exp(-1e30) < 1e-37 && exp(f32::MAX).is_finite());
    }
}
