//! `AdamW` with decoupled decay, in plain f32, ordered by name, with moments that can be saved. Knows no model.

use crate::student::parameters::Parameters;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.95;
const EPSILON: f32 = 1e-8;

#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// Updates made so far.
    pub steps: u64,
    pub first: Parameters,
    pub second: Parameters,
}

impl AdamW {
    pub fn new(weights: &Parameters) -> Self {
        Self { steps: 0, first: weights.like(), second: weights.like() }
    }

    /// Moves the weights. Vectors (norms) never decay. `scale` multiplies the gradients first.
    pub fn step(&mut self, weights: &mut Parameters, gradients: &Parameters, scale: f32, rate: f64, decay: f64) {
        self.steps += 1;
        for (vector, range) in gradients.ranges() {
            let moments = (&mut self.first.numbers_mut()[range.clone()], &mut self.second.numbers_mut()[range.clone()]);
            let keep = if vector { 1.0 } else { (1.0 - rate * decay) as f32 };
            let (weights, gradients) = (&mut weights.numbers_mut()[range.clone()], &gradients.numbers()[range]);
            update(weights, gradients, moments, self.steps, scale, rate, keep);
        }
    }
}

fn update(
    weights: &mut [f32],
    gradients: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
    steps: u64,
    scale: f32,
    rate: f64,
    keep: f32,
) {
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(steps as f64);
    let step = (rate / correction(BETA1)) as f32;
    let second_scale = (1.0 / correction(BETA2)) as f32;
    let count = weights.len();
    let (gradients, first, second) = (&gradients[..count], &mut first[..count], &mut second[..count]);
    for i in 0..count {
        let g = gradients[i] * scale;
        first[i] = BETA1 * first[i] + (1.0 - BETA1) * g;
        second[i] = BETA2 * second[i] + (1.0 - BETA2) * g * g;
        weights[i] = weights[i] * keep - step * first[i] / ((second[i] * second_scale).sqrt() + EPSILON);
    }
}

/// One L2 norm over everything, summed in the order of names.
pub fn global_norm(gradients: &Parameters) -> f64 {
    gradients.numbers().iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt()
}

/// What gradients are multiplied by so that their norm is at most `most`.
pub fn clip_scale(norm: f64, most: f64) -> f32 {
    (most / (norm + 1e-6)).min(1.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One matrix number and one norm number of a toy.
    const PLACES: [&str; 2] = ["model.layers.0.mlp.up_proj.weight", "model.norm.weight"];

    fn toy() -> Parameters {
        let mut weights = super::super::tests::toy_subject().1;
        weights.clear();
        weights
    }

    #[test]
    fn the_first_step_moves_by_the_rate() {
        let (mut weights, mut gradients) = (toy(), toy());
        gradients.get_mut(PLACES[0])[0] = 0.3;
        gradients.get_mut(PLACES[1])[0] = -5.0;
        AdamW::new(&weights).step(&mut weights, &gradients, 1.0, 0.1, 0.0);
        assert!((weights.get(PLACES[0])[0] + 0.1).abs() < 1e-5 && (weights.get(PLACES[1])[0] - 0.1).abs() < 1e-5);
    }

    #[test]
    fn matrices_decay_apart_from_the_gradient_and_norms_do_not() {
        let (mut weights, gradients) = (toy(), toy());
        for place in PLACES {
            weights.get_mut(place)[0] = 1.0;
        }
        AdamW::new(&weights).step(&mut weights, &gradients, 1.0, 0.1, 0.5);
        assert!((weights.get(PLACES[0])[0] - 0.95).abs() < 1e-6 && (weights.get(PLACES[1])[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn later_steps_are_the_textbooks() {
        let (mut weights, mut gradients) = (toy(), toy());
        let mut adam = AdamW::new(&weights);
        let (mut w, mut m, mut v) = (0.0f64, 0.0f64, 0.0f64);
        for t in 1..=20 {
            let g = (f64::from(t) * 0.7).sin();
            gradients.get_mut(PLACES[0])[0] = g as f32;
            adam.step(&mut weights, &gradients, 1.0, 0.01, 0.1);
            m = 0.9 * m + 0.1 * g;
            v = 0.95 * v + 0.05 * g * g;
            w -= 0.01 * 0.1 * w + 0.01 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-8);
            assert!((f64::from(weights.get(PLACES[0])[0]) - w).abs() < 1e-5, "step {t}");
        }
    }

    #[test]
    fn the_norm_is_over_all_tensors_and_clipping_keeps_directions() {
        let mut gradients = toy();
        gradients.get_mut(PLACES[0])[0] = 3.0;
        gradients.get_mut(PLACES[1])[0] = 4.0;
        let norm = global_norm(&gradients);
        assert!((norm - 5.0).abs() < 1e-9);
        assert!((clip_scale(norm, 1.0) - 0.2).abs() < 1e-6);
        assert!((clip_scale(norm, 10.0) - 1.0).abs() < f32::EPSILON);
    }
}
