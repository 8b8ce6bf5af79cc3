//! GGML's quantised blocks: how many bytes and numbers each kind has, and widening them to f32. The layouts are llama.cpp's;
//! candle's reading of them is the oracle in the tests. Knows no matrices and no files.

use candle_core::quantized::GgmlDType;
use half::f16;

/// Numbers in a block of the large kinds.
const LARGE: usize = 256;
/// Numbers in a block of the small kinds.
const SMALL: usize = 32;

/// One kind of block.
#[derive(Debug, Clone, Copy)]
pub struct Blocks {
    /// As reports spell it.
    pub name: &'static str,
    /// Numbers in a block.
    pub numbers: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Where a block's half-precision scales lie: its numbers are finite where these are.
    scales: &'static [usize],
    widen: fn(&[u8], &mut [f32]),
}

impl Blocks {
    /// `None` for kinds that are not quantised, or that are not known here.
    pub fn of(kind: GgmlDType) -> Option<Self> {
        let small = |name, bytes, scales, widen| Self { name, numbers: SMALL, bytes, scales, widen };
        let large = |name, bytes, scales, widen| Self { name, numbers: LARGE, bytes, scales, widen };
        Some(match kind {
            GgmlDType::Q4_0 => small("q4_0", 18, &[0], q4_0),
            GgmlDType::Q4_1 => small("q4_1", 20, &[0, 2], q4_1),
            GgmlDType::Q5_0 => small("q5_0", 22, &[0], q5_0),
            GgmlDType::Q5_1 => small("q5_1", 24, &[0, 2], q5_1),
            GgmlDType::Q8_0 => small("q8_0", 34, &[0], q8_0),
            GgmlDType::Q2K => large("q2_k", 84, &[80, 82], q2_k),
            GgmlDType::Q3K => large("q3_k", 110, &[108], q3_k),
            GgmlDType::Q4K => large("q4_k", 144, &[0, 2], q4_k),
            GgmlDType::Q5K => large("q5_k", 176, &[0, 2], q5_k),
            GgmlDType::Q6K => large("q6_k", 210, &[208], q6_k),
            _ => return None,
        })
    }

    /// Whole blocks as f32; `out` has [`Self::numbers`] for each block.
    pub fn widen(&self, blocks: &[u8], out: &mut [f32]) {
        for (block, out) in blocks.chunks_exact(self.bytes).zip(out.chunks_exact_mut(self.numbers)) {
            (self.widen)(block, out);
        }
    }

    pub fn finite(&self, blocks: &[u8]) -> bool {
        blocks.chunks_exact(self.bytes).all(|block| self.scales.iter().all(|at| half(block, *at).is_finite()))
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = half(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((q, l), h) in block[2..18].iter().zip(low).zip(high) {
        *l = f32::from((q & 15) as i8 - 8) * d;
        *h = f32::from((q >> 4) as i8 - 8) * d;
    }
}

fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((q, l), h) in block[4..20].iter().zip(low).zip(high) {
        *l = f32::from(q & 15) * d + m;
        *h = f32::from(q >> 4) * d + m;
    }
}

/// The fifth bits of a small block's numbers, 16 or 0.
fn fifth(bits: &[u8], at: usize) -> u8 {
    ((bits[at / 8] >> (at % 8)) & 1) << 4
}

fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = half(block, 0);
    let (low, high) = out.split_at_mut(16);
    for (i, ((q, l), h)) in block[6..22].iter().zip(low).zip(high).enumerate() {
        *l = f32::from(((q & 15) | fifth(&block[2..6], i)) as i8 - 16) * d;
        *h = f32::from(((q >> 4) | fifth(&block[2..6], i + 16)) as i8 - 16) * d;
    }
}

fn q5_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    let (low, high) = out.split_at_mut(16);
    for (i, ((q, l), h)) in block[8..24].iter().zip(low).zip(high).enumerate() {
        *l = f32::from((q & 15) | fifth(&block[4..8], i)) * d + m;
        *h = f32::from((q >> 4) | fifth(&block[4..8], i + 16)) * d + m;
    }
}

fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = half(block, 0);
    for (q, o) in block[2..34].iter().zip(out) {
        *o = f32::from(*q as i8) * d;
    }
}

fn q2_k(block: &[u8], out: &mut [f32]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, min) = (half(block, 80), half(block, 82));
    for (n, out) in out.chunks_exact_mut(16).enumerate() {
        // Two halves of 128 numbers; in each, four pairs of 16, two bits apart.
        let (q, shift) = (&quants[n / 8 * 32 + n % 2 * 16..], n % 8 / 2 * 2);
        let (scale, least) = (d * f32::from(scales[n] & 15), min * f32::from(scales[n] >> 4));
        for (o, q) in out.iter_mut().zip(q) {
            *o = scale * f32::from((q >> shift) & 3) - least;
        }
    }
}

/// The sixteen 6-bit scales of a `q3_k` block, less 32.
fn q3_scales(packed: &[u8]) -> [i8; 16] {
    std::array::from_fn(|n| {
        let low = if n < 8 { packed[n] & 15 } else { packed[n - 8] >> 4 };
        let high = (packed[8 + n % 4] >> (n / 4 * 2)) & 3;
        (low | (high << 4)) as i8 - 32
    })
}

fn q3_k(block: &[u8], out: &mut [f32]) {
    let (high, quants, d) = (&block[..32], &block[32..96], half(block, 108));
    let scales = q3_scales(&block[96..108]);
    for (n, out) in out.chunks_exact_mut(16).enumerate() {
        let (q, shift) = (&quants[n / 8 * 32 + n % 2 * 16..], n % 8 / 2 * 2);
        let (bits, bit) = (&high[n % 2 * 16..], n / 2);
        let scale = d * f32::from(scales[n]);
        for ((o, q), b) in out.iter_mut().zip(q).zip(bits) {
            let third = ((b >> bit) & 1) << 2;
            *o = scale * f32::from((((q >> shift) & 3) | third) as i8 - 4);
        }
    }
}

/// Scale and minimum, 6 bits each, of one of the eight parts of a `q4_k` or `q5_k` block.
fn scale_and_min(packed: &[u8], part: usize) -> (f32, f32) {
    let (scale, min) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        let both = packed[part + 4];
        ((both & 15) | (packed[part - 4] >> 6 << 4), (both >> 4) | (packed[part] >> 6 << 4))
    };
    (f32::from(scale), f32::from(min))
}

fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, min, packed, quants) = (half(block, 0), half(block, 2), &block[4..16], &block[16..144]);
    for (part, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, least) = scale_and_min(packed, part);
        let (scale, least, shift) = (d * scale, min * least, part % 2 * 4);
        for (o, q) in out.iter_mut().zip(&quants[part / 2 * 32..]) {
            *o = scale * f32::from((q >> shift) & 15) - least;
        }
    }
}

fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, min, packed) = (half(block, 0), half(block, 2), &block[4..16]);
    let (high, quants) = (&block[16..48], &block[48..176]);
    for (part, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, least) = scale_and_min(packed, part);
        let (scale, least, shift) = (d * scale, min * least, part % 2 * 4);
        for ((o, q), h) in out.iter_mut().zip(&quants[part / 2 * 32..]).zip(high) {
            *o = scale * f32::from(((q >> shift) & 15) | (((h >> part) & 1) << 4)) - least;
        }
    }
}

fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(block, 208));
    for (n, out) in out.chunks_exact_mut(16).enumerate() {
        // Two halves of 128 numbers; in each, four quarters of 32, each of two parts of 16.
        let (half_of, quarter, part) = (n / 8, n % 8 / 2, n % 2 * 16);
        let low = &low[half_of * 64 + quarter % 2 * 32 + part..];
        let high = &high[half_of * 32 + part..];
        let (shift, bits) = (quarter / 2 * 4, quarter * 2);
        let scale = d * f32::from(scales[n] as i8);
        for ((o, l), h) in out.iter_mut().zip(low).zip(high) {
            *o = scale * f32::from((((l >> shift) & 15) | (((h >> bits) & 3) << 4)) as i8 - 32);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    pub const KINDS: [GgmlDType; 10] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];

    /// Bytes of a quantised `out × inner` matrix, and what candle reads in them.
    pub fn quantised(kind: GgmlDType, out: usize, inner: usize) -> (Vec<u8>, Vec<f32>) {
        let numbers: Vec<f32> =
            (0..out * inner).map(|i| ((i * 37 % 101) as f32 - 50.0) / 23.0 * (1.0 + (i % 7) as f32)).collect();
        let tensor = Tensor::from_vec(numbers, (out, inner), &Device::Cpu).expect("tensor");
        let quantised = QTensor::quantize(&tensor, kind).expect("quantised");
        let widened = quantised.dequantize(&Device::Cpu).and_then(|t| t.flatten_all()?.to_vec1()).expect("widened");
        (quantised.data().expect("bytes").into_owned(), widened)
    }

    #[test]
    fn every_kind_of_block_is_read_as_candle_reads_it() {
        for kind in KINDS {
            let blocks = Blocks::of(kind).expect("known");
            let (bytes, expected) = quantised(kind, 3, 512);
            let mut out = vec![0.0; expected.len()];
            blocks.widen(&bytes, &mut out);
            let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{kind:?}: {worst}");
            assert!(blocks.finite(&bytes), "{kind:?}");
            let mut broken = bytes;
            broken[blocks.bytes + blocks.scales[0] + 1] = 0x7c;
            broken[blocks.bytes + blocks.scales[0]] = 1;
            assert!(!blocks.finite(&broken), "{kind:?}");
        }
    }
}
