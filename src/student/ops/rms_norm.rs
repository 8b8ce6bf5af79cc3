//! Root-mean-square normalisation over the last dimension, `y = x · w / √(mean(x²) + ε)`, of groups of `w.len()`
//! neighbouring numbers: whole rows, or heads (the norm of queries and keys).

use rayon::prelude::*;

use super::{dot, share};

#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn scale_of(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

/// `y = norm(x)`
pub fn forward(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
    let share = share(w.len());
    x.par_chunks(share).zip(y.par_chunks_mut(share)).for_each(|(x, y)| forward_rows(x, w, eps, y));
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

/// `dx (+)= …`, and `dw += …` where the norm itself learns.
pub fn backward(x: &[f32], w: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], dw: Option<&mut [f32]>, add: bool) {
    if let Some(dw) = dw {
        weight_gradient(x, eps, dy, dw);
    }
    let share = share(w.len());
    let rows = x.par_chunks(share).zip(dy.par_chunks(share)).zip(dx.par_chunks_mut(share));
    rows.for_each(|((x, dy), dx)| backward_rows(x, w, eps, dy, dx, add));
}

vectorised! {
fn weight_gradient<'a>(x: &'a [f32], eps: f32, dy: &'a [f32], dw: &'a mut [f32]) -> () {
    let width = dw.len();
    for (x, dy) in x.chunks_exact(width).zip(dy.chunks_exact(width)) {
        let scale = scale_of(x, eps);
        for i in 0..width {
            dw[i] += dy[i] * x[i] * scale;
        }
    }
}
}

vectorised! {
fn backward_rows<'a>(x: &'a [f32], w: &'a [f32], eps: f32, dy: &'a [f32], dx: &'a mut [f32], add: bool) -> () {
    let width = w.len();
    let mut wdy = vec![0.0f32; width];
    for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
        let scale = scale_of(x, eps);
        for i in 0..width {
            wdy[i] = w[i] * dy[i];
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

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, noise};
    use super::*;

    fn plain(x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
        let group = |x: &[f32]| {
            let mean = x.iter().map(|v| v * v).sum::<f32>() / w.len() as f32;
            x.iter().zip(w).map(|(x, w)| x * w / (mean + eps).sqrt()).collect::<Vec<_>>()
        };
        x.chunks(w.len()).flat_map(group).collect()
    }

    #[test]
    fn rows_and_heads_are_normalised_as_the_definition_says() {
        for (count, width) in [(60, 20), (60, 5)] {
            let value = |x: &[Vec<f32>]| {
                let mut y = vec![0.0; count];
                forward(&x[0], &x[1], 1e-6, &mut y);
                y
            };
            let pull = |x: &[Vec<f32>], dy: &[f32]| {
                let (mut dx, mut dw) = (vec![1.0; count], vec![0.0; width]);
                backward(&x[0], &x[1], 1e-6, dy, &mut dx, Some(&mut dw), true);
                let mut again = vec![7.0; count];
                backward(&x[0], &x[1], 1e-6, dy, &mut again, None, false);
                assert!(dx.iter().zip(&again).all(|(a, b)| (a - 1.0 - b).abs() < 1e-5));
                vec![again, dw]
            };
            let inputs = [noise(count, 1), noise(width, 2)];
            let expected = plain(&inputs[0], &inputs[1], 1e-6);
            assert!(value(&inputs).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
            gradients(&inputs, 5e-3, value, pull);
        }
    }
}
