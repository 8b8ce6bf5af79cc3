//! Rotary positions in the half-split form of Llama and Qwen: pairs are (i, i + half a head).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{numbers, with_numbers};

const NAME: &str = "rope";

/// Cosines and sines for every position a model may use.
#[derive(Debug)]
pub struct RopeTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
    positions: usize,
}

impl RopeTable {
    pub fn new(head_dim: usize, positions: usize, theta: f64) -> Self {
        let half = head_dim / 2;
        let (mut cos, mut sin) = (Vec::with_capacity(positions * half), Vec::with_capacity(positions * half));
        for position in 0..positions {
            for i in 0..half {
                // The order of roundings is that of the reference implementations: an f32 frequency, an f32 angle.
                let frequency = 1.0 / theta.powf((2 * i) as f64 / head_dim as f64) as f32;
                let angle = position as f32 * frequency;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        Self { cos, sin, half, positions }
    }

    /// Turns every head of every row in place; `direction` −1 turns back.
    pub(in crate::student) fn rotate(&self, x: &mut [f32], positions: &[u32], direction: f32) {
        turn(self, x, positions, direction);
    }
}

vectorised! {
fn turn<'a>(table: &'a RopeTable, x: &'a mut [f32], positions: &'a [u32], direction: f32) -> () {
    let (half, width) = (table.half, x.len() / positions.len().max(1));
    for (row, position) in x.chunks_exact_mut(width.max(1)).zip(positions) {
        let at = *position as usize * half;
        let (cos, sin) = (&table.cos[at..at + half], &table.sin[at..at + half]);
        for head in row.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for i in 0..half {
                let (a, b, s) = (first[i], second[i], sin[i] * direction);
                first[i] = a * cos[i] - b * s;
                second[i] = b * cos[i] + a * s;
            }
        }
    }
}
}

/// Rotates each head of row r of `x (rows × heads·head_dim)` by position `positions[r]`.
pub fn rope(x: &Tensor, table: &Arc<RopeTable>, positions: &Arc<[u32]>) -> Result<Tensor> {
    x.apply_op1(Rope { table: Arc::clone(table), positions: Arc::clone(positions) })
}

struct Rope {
    table: Arc<RopeTable>,
    positions: Arc<[u32]>,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if rows != self.positions.len() || self.table.half == 0 || !width.is_multiple_of(2 * self.table.half) {
            candle_core::bail!("{NAME}: {rows} rows of {width} for {} positions", self.positions.len());
        }
        if let Some(p) = self.positions.iter().find(|p| **p as usize >= self.table.positions) {
            candle_core::bail!("{NAME}: position {p} is past the model's last, {}", self.table.positions);
        }
        let mut y = numbers(x, layout, NAME)?.to_vec();
        self.table.rotate(&mut y, &self.positions, 1.0);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = with_numbers([&dy.contiguous()?], NAME, |[dy]| dy.to_vec())?;
        self.table.rotate(&mut dx, &self.positions, -1.0);
        Tensor::from_vec(dx, x.dims(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, noise_tensor};
    use super::*;

    fn table() -> Arc<RopeTable> {
        Arc::new(RopeTable::new(4, 10, 100.0))
    }

    #[test]
    fn pairs_turn_by_their_position_times_their_frequency() {
        let x = noise_tensor(&[2, 8], 1);
        let y: Vec<Vec<f32>> = rope(&x, &table(), &[0, 7].into()).unwrap().to_vec2().unwrap();
        let x: Vec<Vec<f32>> = x.to_vec2().unwrap();
        assert_eq!(y[0], x[0], "position 0 turns nothing");
        for (head, i) in [(0, 0), (0, 1), (4, 0), (4, 1)] {
            let angle = 7.0 * 100f32.powf(-(i as f32) / 2.0);
            let (a, b) = (x[1][head + i], x[1][head + i + 2]);
            assert!((y[1][head + i] - (a * angle.cos() - b * angle.sin())).abs() < 1e-5);
            assert!((y[1][head + i + 2] - (b * angle.cos() + a * angle.sin())).abs() < 1e-5);
        }
    }

    #[test]
    fn its_gradient_turns_back() {
        gradients(&[noise_tensor(&[3, 8], 2)], 1e-3, |t| rope(&t[0], &table(), &[0, 3, 9].into()));
    }

    #[test]
    fn a_position_past_the_table_is_an_error_not_a_panic() {
        assert!(rope(&noise_tensor(&[1, 4], 1), &table(), &[10].into()).is_err());
    }
}
