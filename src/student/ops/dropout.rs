//! Dropout whose mask is a function of a key and a place, so that backward draws the same one and a resumed run goes on
//! as the uninterrupted one would.

/// Which numbers are set to nought, and how many. Nothing is dropped by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Dropout {
    pub share: f32,
    pub key: u32,
}

impl Dropout {
    /// The mask of another place in the model.
    #[must_use]
    pub fn at(self, place: usize) -> Self {
        Self { key: mix(self.key ^ (place as u32).wrapping_mul(0x85EB_CA6B)), ..self }
    }

    /// Sets a share of `x` to nought and scales the rest up, so that the mean stays. Its own gradient.
    pub fn apply(self, x: &mut [f32]) {
        if self.share > 0.0 {
            let below = (f64::from(self.share) * f64::from(u32::MAX)) as u32;
            mask(x, self.key, below, 1.0 / (1.0 - self.share));
        }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "becomes part of the loop that is compiled once for each instruction set")]
fn mix(value: u32) -> u32 {
    let value = (value ^ (value >> 16)).wrapping_mul(0x7FEB_352D);
    let value = (value ^ (value >> 15)).wrapping_mul(0x846C_A68B);
    value ^ (value >> 16)
}

vectorised! {
    fn mask<'a>(x: &'a mut [f32], key: u32, below: u32, scale: f32) -> () {
        for (i, v) in x.iter_mut().enumerate() {
            let factor = if mix(i as u32 ^ key) < below { 0.0 } else { scale };
            *v *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_dropped_the_mean_stays_and_the_mask_repeats() {
        let dropped = |key| {
            let mut x = vec![1.0f32; 100_000];
            Dropout { share: 0.2, key }.apply(&mut x);
            x
        };
        let x = dropped(5);
        let gone = x.iter().filter(|v| **v == 0.0).count() as f64 / 100_000.0;
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / 100_000.0;
        assert!((gone - 0.2).abs() < 0.01 && (mean - 1.0).abs() < 0.01, "{gone} {mean}");
        assert!(x == dropped(5) && x != dropped(6));
    }

    #[test]
    fn other_places_have_other_masks() {
        let base = Dropout { share: 0.5, key: 1 };
        assert_ne!(base.at(0), base.at(1));
    }
}
