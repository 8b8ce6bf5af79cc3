//! Numbers that may not be finite: a loss that went wrong is NaN, JSON writes it as `null`, and the reader takes it back as NaN.
//!
//! Owns only the reading; without it the news that training has diverged would be the one message that a console cannot read.

use serde::{Deserialize, Deserializer};

/// A number; `null` is NaN.
pub(super) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}
