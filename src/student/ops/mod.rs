//! The decoder's own differentiable operations on packed rows (`tokens × width`, no padding).
//!
//! Owns arithmetic and gradients on plain slices, nothing else: no weights, no tokens, no files. Each operation stands beside
//! a slow plain reference and a finite-difference check; the whole of them beside candle's autograd (`reference`). All sums run in one fixed order that depends neither on the number of threads nor on
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
pub mod cached;
pub mod clock;
pub mod dropout;
pub mod gate;
pub mod loss;
pub mod matmul;
pub mod rms_norm;
pub mod rope;

pub use attention::{Heads, Text};
pub use cached::Span;
pub use dropout::Dropout;
pub use loss::LossRows;
pub use matmul::Packed;
pub use rope::RopeTable;

/// Numbers that one task of an element-wise operation takes, whole rows of `width`.
fn share(width: usize) -> usize {
    const NUMBERS: usize = 1 << 15;
    NUMBERS.div_ceil(width.max(1)) * width.max(1)
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

vectorised! {
    fn squares<'a>(rows: &'a [f32], width: usize, sums: &'a mut [f32]) -> () {
        for (row, sum) in rows.chunks_exact(width).zip(sums) {
            *sum = dot(row, row);
        }
    }
}

vectorised! {
    fn add_products<'a>(a: &'a [f32], b: &'a [f32], sums: &'a mut [f32]) -> () {
        let width = sums.len();
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
                *s += a * b;
            }
        }
    }
}

vectorised! {
    fn add_and_scale<'a>(rows: &'a mut [f32], more: &'a [f32], width: usize, gains: &'a [f32]) -> () {
        for (i, (row, more)) in rows.chunks_exact_mut(width).zip(more.chunks_exact(width)).enumerate() {
            let gain = gains.get(i).copied().unwrap_or(1.0);
            for (v, m) in row.iter_mut().zip(more) {
                *v = (*v + m) * gain;
            }
        }
    }
}

/// `row = (row + more) · gain` by rows; without gains they are 1.
pub fn add_scaled(rows: &mut [f32], more: &[f32], width: usize, gains: &[f32]) {
    add_and_scale(rows, more, width, gains);
}

/// Σ over rows of a⊙b, added to `sums` by columns.
pub fn column_products(a: &[f32], b: &[f32], sums: &mut [f32]) {
    add_products(a, b, sums);
}

/// Σ row² of each row.
pub fn dot_rows(rows: &[f32], width: usize, sums: &mut [f32]) {
    squares(rows, width, sums);
}

#[cfg(test)]
pub(crate) mod check {
    //! Finite differences: the judge of every backward pass.

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

    /// Compares `pull` (inputs and the gradient of the output → gradients of the inputs) with central differences of
    /// Σ value·noise, for every number of every input.
    pub fn gradients(
        inputs: &[Vec<f32>],
        tolerance: f32,
        value: impl Fn(&[Vec<f32>]) -> Vec<f32>,
        pull: impl Fn(&[Vec<f32>], &[f32]) -> Vec<Vec<f32>>,
    ) {
        let mix = noise(value(inputs).len(), 99);
        let total = |x: &[Vec<f32>]| value(x).iter().zip(&mix).map(|(y, m)| f64::from(*y) * f64::from(*m)).sum::<f64>();
        let ours = pull(inputs, &mix);
        assert_eq!(ours.len(), inputs.len());
        for (which, gradient) in ours.iter().enumerate() {
            assert_eq!(gradient.len(), inputs[which].len());
            for at in 0..gradient.len() {
                let moved = |delta: f32| {
                    let mut inputs = inputs.to_vec();
                    inputs[which][at] += delta;
                    total(&inputs)
                };
                let numeric = ((moved(1e-2) - moved(-1e-2)) / 2e-2) as f32;
                let (ours, scale) = (gradient[at], 1.0 + numeric.abs());
                assert!((ours - numeric).abs() <= tolerance * scale, "input {which}[{at}]: backward {ours}, numeric {numeric}");
            }
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
