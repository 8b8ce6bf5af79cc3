//! Rotary positions in the half-split form of Llama, Qwen and Gemma: pairs are (i, i + half a head).

use std::sync::{Arc, PoisonError, RwLock};

use rayon::prelude::*;

use super::share;
use crate::student::config::Rope;

/// Cosines and sines for every position seen so far; grows with the longest text.
#[derive(Debug)]
pub struct RopeTable {
    frequencies: Vec<f32>,
    turns: RwLock<Arc<Turns>>,
}

#[derive(Debug, Default)]
struct Turns {
    cos: Vec<f32>,
    sin: Vec<f32>,
    positions: usize,
}

impl RopeTable {
    pub fn new(rope: Rope, head_dim: usize) -> Self {
        Self { frequencies: rope.frequencies(head_dim), turns: RwLock::default() }
    }

    fn upto(&self, positions: usize) -> Arc<Turns> {
        let known = Arc::clone(&self.turns.read().unwrap_or_else(PoisonError::into_inner));
        if known.positions >= positions {
            return known;
        }
        let positions = positions.next_power_of_two().max(256);
        // The order of roundings is that of the reference implementations: an f32 frequency, an f32 angle.
        let angles = || (0..positions).flat_map(|p| self.frequencies.iter().map(move |f| p as f32 * f));
        let turns = Turns { cos: angles().map(f32::cos).collect(), sin: angles().map(f32::sin).collect(), positions };
        let turns = Arc::new(turns);
        *self.turns.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&turns);
        turns
    }

    /// Turns every head of every row in place by the row's position; `direction` −1 turns back.
    pub fn rotate(&self, x: &mut [f32], positions: &[u32], direction: f32) {
        if x.is_empty() || self.frequencies.is_empty() {
            return;
        }
        let turns = self.upto(positions.iter().max().map_or(0, |p| *p as usize + 1));
        let width = x.len() / positions.len();
        let rows = share(width) / width;
        let turn = |(x, positions): (&mut [f32], &[u32])| turn(&turns, self.frequencies.len(), x, positions, direction);
        x.par_chunks_mut(rows * width).zip(positions.par_chunks(rows)).for_each(turn);
    }
}

vectorised! {
fn turn<'a>(turns: &'a Turns, half: usize, x: &'a mut [f32], positions: &'a [u32], direction: f32) -> () {
    let width = x.len() / positions.len().max(1);
    for (row, position) in x.chunks_exact_mut(width.max(1)).zip(positions) {
        let at = *position as usize * half;
        let (cos, sin) = (&turns.cos[at..at + half], &turns.sin[at..at + half]);
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

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, noise};
    use super::*;
    use crate::student::config::RopeScaling;

    fn table() -> RopeTable {
        RopeTable::new(Rope { theta: 100.0, scaling: RopeScaling::None }, 4)
    }

    #[test]
    fn pairs_turn_by_their_position_times_their_frequency() {
        let x = noise(16, 1);
        let mut y = x.clone();
        table().rotate(&mut y, &[0, 700], 1.0);
        assert_eq!(y[..8], x[..8], "position 0 turns nothing");
        for (head, i) in [(8, 0), (8, 1), (12, 0), (12, 1)] {
            let angle = 700.0 * 100f32.powf(-(i as f32) / 2.0);
            let (a, b) = (x[head + i], x[head + i + 2]);
            assert!((y[head + i] - (a * angle.cos() - b * angle.sin())).abs() < 1e-4);
            assert!((y[head + i + 2] - (b * angle.cos() + a * angle.sin())).abs() < 1e-4);
        }
    }

    #[test]
    fn its_gradient_turns_back() {
        let turned = |x: &[f32], direction| {
            let mut y = x.to_vec();
            table().rotate(&mut y, &[0, 3, 9], direction);
            y
        };
        gradients(&[noise(24, 2)], 1e-3, |x| turned(&x[0], 1.0), |_, dy| vec![turned(dy, -1.0)]);
    }
}
