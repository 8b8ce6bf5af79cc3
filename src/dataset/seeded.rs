//! Seeded chance: the same seed gives the same bytes on every platform.
//!
//! Owns the generator, the shuffle and the tie-breaking hash of this module. Does not know what is shuffled.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator of its own for every purpose, so that drawing more for one never changes another.
pub fn generator(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ hash(purpose.as_bytes()));
    rng.set_stream(index);
    rng
}

/// A number below `n`, without bias; 0 where `n` is 0 or 1.
pub fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    let n = n as u64;
    if n <= 1 {
        return 0;
    }
    let usable = u64::MAX - u64::MAX % n;
    loop {
        let draw = rng.next_u64();
        if draw < usable {
            return (draw % n) as usize;
        }
    }
}

/// A number in [0, 1) with 53 random bits.
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Fisher-Yates.
pub fn shuffle<T>(items: &mut [T], rng: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}

/// FNV-1a: stable, and quick on short texts.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// `SplitMix64`: spreads a number over all 64 bits.
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shuffle_of_a_seed_is_known_for_ever() {
        let mut items: Vec<u32> = (0..10).collect();
        shuffle(&mut items, &mut generator(19, "test", 0));
        let mut again: Vec<u32> = (0..10).collect();
        shuffle(&mut again, &mut generator(19, "test", 0));
        assert_eq!(items, again);
        let mut other: Vec<u32> = (0..10).collect();
        shuffle(&mut other, &mut generator(19, "test", 1));
        assert_ne!(items, other);
        items.sort_unstable();
        assert_eq!(items, (0..10).collect::<Vec<u32>>());
    }

    #[test]
    fn every_number_below_n_is_drawn() {
        let mut rng = generator(1, "below", 0);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[below(&mut rng, 7)] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1150).contains(&n)), "{seen:?}");
        assert_eq!(below(&mut rng, 0), 0);
    }
}
