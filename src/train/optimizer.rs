//! AdamW with decoupled decay, in plain f32, ordered by name, with moments that can be saved. Knows no model.

use std::collections::BTreeMap;

/// Gradients by name.
pub type Gradients = BTreeMap<String, Vec<f32>>;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.95;
const EPSILON: f32 = 1e-8;

/// First and second moments of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdamW {
    /// Updates made so far.
    pub steps: u64,
    pub moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// Moves one tensor. `decay` is 0 for vectors (norms), the recipe's for matrices. Call [`Self::begin`] once per step first.
    pub fn update(&mut self, name: &str, weights: &mut [f32], gradient: &[f32], scale: f32, rate: f64, decay: f64) {
        let count = weights.len();
        let fresh = || Moments { first: vec![0.0; count], second: vec![0.0; count] };
        let Moments { first, second } = self.moments.entry(name.to_owned()).or_insert_with(fresh);
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        let step = (rate / correction(BETA1)) as f32;
        let second_scale = (1.0 / correction(BETA2)) as f32;
        let keep = (1.0 - rate * decay) as f32;
        let (gradient, first, second) = (&gradient[..count], &mut first[..count], &mut second[..count]);
        for i in 0..count {
            let g = gradient[i] * scale;
            first[i] = BETA1 * first[i] + (1.0 - BETA1) * g;
            second[i] = BETA2 * second[i] + (1.0 - BETA2) * g * g;
            weights[i] = weights[i] * keep - step * first[i] / ((second[i] * second_scale).sqrt() + EPSILON);
        }
    }

    pub fn begin(&mut self) {
        self.steps += 1;
    }
}

/// One L2 norm over everything, summed in the order of names.
pub fn global_norm(gradients: &Gradients) -> f64 {
    let squares = |g: &Vec<f32>| g.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
    gradients.values().map(squares).sum::<f64>().sqrt()
}

/// What gradients are multiplied by so that their norm is at most `most`.
pub fn clip_scale(norm: f64, most: f64) -> f32 {
    (most / (norm + 1e-6)).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_moves_by_the_rate_and_decays_apart() {
        let mut adam = AdamW::default();
        let mut weights = [1.0f32, -2.0];
        adam.begin();
        adam.update("w", &mut weights, &[0.3, -5.0], 1.0, 0.1, 0.0);
        assert!((weights[0] - 0.9).abs() < 1e-5 && (weights[1] + 1.9).abs() < 1e-5);
        let mut still = [1.0f32];
        let mut adam = AdamW::default();
        adam.begin();
        adam.update("w", &mut still, &[0.0], 1.0, 0.1, 0.5);
        assert!((still[0] - 0.95).abs() < 1e-6);
    }

    #[test]
    fn later_steps_are_the_textbooks() {
        let mut adam = AdamW::default();
        let (mut ours, mut w, mut m, mut v) = ([0.5f32], 0.5f64, 0.0f64, 0.0f64);
        for t in 1..=20 {
            let g = (f64::from(t) * 0.7).sin();
            adam.begin();
            adam.update("w", &mut ours, &[g as f32], 1.0, 0.01, 0.1);
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            w -= 0.01 * 0.1 * w + 0.01 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-8);
            assert!((f64::from(ours[0]) - w).abs() < 1e-5, "step {t}");
        }
    }

    #[test]
    fn the_norm_is_over_all_tensors_and_clipping_keeps_directions() {
        let gradients = Gradients::from([("a".into(), vec![3.0]), ("b".into(), vec![0.0, 4.0])]);
        let norm = global_norm(&gradients);
        assert!((norm - 5.0).abs() < 1e-9);
        assert!((clip_scale(norm, 1.0) - 0.2).abs() < 1e-6);
        assert!((clip_scale(norm, 10.0) - 1.0).abs() < f32::EPSILON);
    }
}
