//! `q4_k` blocks as llama.cpp quantises them: for each 32 numbers the scale and minimum of least weighted error, found by
//! trying, and these in six bits each. (candle's are of an older search, with a larger error.)

use half::f16;

/// Numbers of a block, and of a part with a scale of its own.
const BLOCK: usize = 256;
const PART: usize = 32;
const PARTS: usize = BLOCK / PART;
/// Largest number of four bits, and of six.
const MOST: f32 = 15.0;
const MOST_SCALE: f32 = 63.0;
/// Scales that are tried beside the plain one.
const TRIES: u8 = 20;

/// Whole blocks.
pub(super) fn q4_k(numbers: &[f32]) -> Vec<u8> {
    numbers.as_chunks::<BLOCK>().0.iter().flat_map(block).collect()
}

fn block(x: &[f32; BLOCK]) -> [u8; 144] {
    let parts = x.as_chunks::<PART>().0;
    let found: Vec<(f32, f32)> = parts.iter().map(fit).collect();
    let largest = |of: fn(&(f32, f32)) -> f32| found.iter().map(of).fold(0.0_f32, f32::max);
    let (scale, least) = (largest(|(scale, _)| *scale), largest(|(_, min)| *min));
    let six = |value: f32, largest: f32| {
        let inverse = if largest > 0.0 { MOST_SCALE / largest } else { 0.0 };
        (inverse * value).round_ties_even().clamp(0.0, MOST_SCALE) as u8
    };
    let mut bytes = [0; 144];
    let (d, min) = (f16::from_f32(scale / MOST_SCALE), f16::from_f32(least / MOST_SCALE));
    bytes[..2].copy_from_slice(&d.to_le_bytes());
    bytes[2..4].copy_from_slice(&min.to_le_bytes());
    let mut quants = [0_u8; BLOCK];
    for (n, ((part, (own, low)), quants)) in parts.iter().zip(&found).zip(quants.as_chunks_mut::<PART>().0).enumerate() {
        let (s, m) = (six(*own, scale), six(*low, least));
        pack(&mut bytes[4..16], n, s, m);
        let (step, offset) = (d.to_f32() * f32::from(s), min.to_f32() * f32::from(m));
        if step != 0.0 {
            for (q, v) in quants.iter_mut().zip(part) {
                *q = ((v + offset) / step).round_ties_even().clamp(0.0, MOST) as u8;
            }
        }
    }
    // Two parts share 32 bytes.
    for (pair, bytes) in quants.chunks_exact(2 * PART).zip(bytes[16..].chunks_exact_mut(PART)) {
        let (low, high) = pair.split_at(PART);
        bytes.iter_mut().zip(low).zip(high).for_each(|((b, l), h)| *b = l | (h << 4));
    }
    bytes
}

/// Scale and minimum of a part in the twelve bytes that eight parts share.
fn pack(bytes: &mut [u8], part: usize, scale: u8, min: u8) {
    if part < PARTS / 2 {
        bytes[part] |= scale;
        bytes[part + 4] |= min;
    } else {
        bytes[part + 4] |= (scale & 15) | ((min & 15) << 4);
        bytes[part - 4] |= (scale >> 4) << 6;
        bytes[part] |= (min >> 4) << 6;
    }
}

/// Scale and (negated) minimum with which four bits come closest to 32 numbers; larger ones count more.
fn fit(x: &[f32; PART]) -> (f32, f32) {
    let size = (x.iter().map(|v| v * v).sum::<f32>() / PART as f32).sqrt();
    let weights = x.map(|v| size + v.abs());
    let (low, high) = x.iter().fold((0.0_f32, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)));
    if high <= low {
        return (0.0, -low);
    }
    let quants = |inverse: f32| x.map(|v| (inverse * (v - low)).round_ties_even().clamp(0.0, MOST));
    let error = |quants: &[f32; PART], scale: f32, min: f32| -> f32 {
        quants.iter().zip(x).zip(&weights).map(|((q, v), w)| w * (scale * q + min - v).powi(2)).sum()
    };
    let plain = (high - low) / MOST;
    let (mut scale, mut min, mut best) = (plain, low, error(&quants(1.0 / plain), plain, low));
    for try_ in 0..=TRIES {
        let quants = quants((MOST - 1.0 + 0.1 * f32::from(try_)) / (high - low));
        if let Some((own, least)) = regress(x, &weights, &quants) {
            let error = error(&quants, own, least);
            if error < best {
                (scale, min, best) = (own, least, error);
            }
        }
    }
    (scale, -min)
}

/// The line through quants and numbers of least weighted squares, its minimum not above nought.
fn regress(x: &[f32; PART], weights: &[f32; PART], quants: &[f32; PART]) -> Option<(f32, f32)> {
    let (mut w, mut wx, mut l, mut l2, mut xl) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for ((v, weight), q) in x.iter().zip(weights).zip(quants) {
        w += weight;
        wx += weight * v;
        l += weight * q;
        l2 += weight * q * q;
        xl += weight * q * v;
    }
    let determinant = w * l2 - l * l;
    if determinant <= 0.0 {
        return None;
    }
    let min = (l2 * wx - l * xl) / determinant;
    Some(if min > 0.0 { (xl / l2, 0.0) } else { ((w * xl - wx * l) / determinant, min) })
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::student::random::Stream;

    fn error(bytes: Vec<u8>, numbers: &[f32]) -> f64 {
        let matrix = crate::student::matrix::Matrix::quantised(GgmlDType::Q4K, 1, numbers.len(), bytes).expect("blocks");
        let mut back = vec![0.0; numbers.len()];
        matrix.widen(0..1, &mut back);
        back.iter().zip(numbers).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn what_is_read_back_is_nearer_than_by_candles_search() {
        let numbers: Vec<f32> = Stream::new(5, &["blocks"]).normal(64 * BLOCK).iter().map(|v| v * 0.02).collect();
        let tensor = Tensor::from_slice(&numbers, numbers.len(), &Device::Cpu).expect("tensor");
        let theirs = QTensor::quantize(&tensor, GgmlDType::Q4K).and_then(|q| Ok(q.data()?.into_owned())).expect("quantised");
        let norm = numbers.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
        let (own, candles) = (error(q4_k(&numbers), &numbers) / norm, error(theirs, &numbers) / norm);
        assert!(own < candles && own < 0.08, "{own} against {candles}");
    }

    #[test]
    fn what_four_bits_hold_exactly_comes_back_exactly() {
        // Steps of 63/64 are exact in every scale on the way.
        let numbers: Vec<f32> = (0..BLOCK).map(|i| ((i * 7 % 16) as f32 - 5.0) * 63.0 / 64.0).collect();
        assert!(error(q4_k(&numbers), &numbers) < 1e-2);
        for constant in [0.0, -1.5, 3.0] {
            let all = vec![constant; BLOCK];
            assert!(error(q4_k(&all), &all) <= 0.02 * 16.0 * f64::from(constant.abs()), "{constant}");
            assert!(q4_k(&all).len() == 144);
        }
    }
}
