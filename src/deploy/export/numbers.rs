//! Numbers as a file stores them: plain, or in GGML's blocks. Owns one stretch of whole rows; knows no tensors.

mod blocks4;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::{bf16, f16};

const NOT_FINITE: &str =
    "comes out with numbers that are infinite or none (NaN): its training went wrong; export an earlier checkpoint";
const TOO_LARGE: &str = "has numbers that are too large for f16; take bf16, q8_0 or q4_k_m";

/// Bytes that so many rows take; `None` where a row is no whole number of blocks.
pub(super) fn bytes_of(kind: GgmlDType, shape: &[usize]) -> Option<u64> {
    let inner = *shape.last()?;
    let count = shape.iter().try_fold(1_u64, |all, n| all.checked_mul(*n as u64))?;
    let block = kind.block_size();
    inner.is_multiple_of(block).then(|| (count / block as u64).checked_mul(kind.type_size() as u64))?
}

/// Whole rows in the kind of a file; `Err` says what is wrong with them.
pub(super) fn encode(kind: GgmlDType, rows: &[f32]) -> Result<Vec<u8>, &'static str> {
    if rows.iter().any(|v| !v.is_finite()) {
        return Err(NOT_FINITE);
    }
    match kind {
        GgmlDType::F32 => Ok(rows.iter().flat_map(|v| v.to_le_bytes()).collect()),
        GgmlDType::BF16 => Ok(rows.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect()),
        GgmlDType::F16 => {
            let narrow: Vec<f16> = rows.iter().map(|v| f16::from_f32(*v)).collect();
            if narrow.iter().any(|v| v.is_infinite()) {
                return Err(TOO_LARGE);
            }
            Ok(narrow.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        GgmlDType::Q4K => Ok(blocks4::q4_k(rows)),
        blocks => quantised(blocks, rows).map_err(|_| "cannot be cut into blocks"),
    }
}

fn quantised(kind: GgmlDType, rows: &[f32]) -> candle_core::Result<Vec<u8>> {
    let tensor = Tensor::from_slice(rows, rows.len(), &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, kind)?.data()?.into_owned())
}
