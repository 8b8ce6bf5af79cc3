//! Random numbers named by what they are for: the stream of (seed, row) or (seed, weight) is the same whatever else was
//! drawn before, beside or in another order.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of its own for `parts`.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    pub fn new(seed: u64, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal numbers.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(count + 1);
        while out.len() < count {
            let (radius, angle) = ((-2.0 * (1.0 - self.unit()).ln()).sqrt(), std::f64::consts::TAU * self.unit());
            out.push((radius * angle.cos()) as f32);
            out.push((radius * angle.sin()) as f32);
        }
        out.truncate(count);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_its_name_only() {
        let draw = |seed, name| Stream::new(seed, &[name]).unit();
        assert_eq!(draw(1, "a").to_bits(), draw(1, "a").to_bits());
        assert!((draw(1, "a") - draw(1, "b")).abs() > 1e-12 && (draw(1, "a") - draw(2, "a")).abs() > 1e-12);
    }

    #[test]
    fn normal_numbers_have_mean_nought_and_variance_one() {
        let x = Stream::new(7, &["n"]).normal(20_000);
        let mean = x.iter().sum::<f32>() / 20_000.0;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05);
    }
}
