//! Numbers that may not be finite: a loss that went wrong is NaN, JSON writes it as `null`, and the reader takes it back as NaN.
//!
//! Owns only the reading; without it the news that training has diverged would be the one message that a console cannot read.

use serde::{Deserialize, Deserializer};

/// A number; `null` is NaN.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

/// (step, number) pairs; `null` is NaN.
pub(super) fn points<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(u64, f64)>, D::Error> {
    let read = Vec::<(u64, Option<f64>)>::deserialize(from)?;
    Ok(read.into_iter().map(|(step, value)| (step, value.unwrap_or(f64::NAN))).collect())
}

/// One such pair, or none.
pub(super) fn point<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(u64, f64)>, D::Error> {
    Ok(Option::<(u64, Option<f64>)>::deserialize(from)?.map(|(step, value)| (step, value.unwrap_or(f64::NAN))))
}
