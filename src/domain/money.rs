//! Money in decimals, never in floats.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An amount in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usd(#[serde(with = "rust_decimal::serde::str")] Decimal);

impl Usd {
    pub const ZERO: Self = Self(Decimal::ZERO);

    pub fn new(amount: Decimal) -> Self {
        Self(amount)
    }

    pub fn amount(self) -> Decimal {
        self.0
    }

    /// Price of `tokens` at `self` per million.
    #[must_use]
    pub fn per_million(self, tokens: u64) -> Self {
        Self(self.0 * Decimal::from(tokens) / Decimal::from(1_000_000))
    }

    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0 * Decimal::from(count))
    }
}

impl Add for Usd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Usd {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A decimal's own formatting cuts; an amount is rounded.
        let cents = self.0.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        f.pad(&format!("{cents:.2} $"))
    }
}

impl FromStr for Usd {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let cleaned = text.trim().trim_matches('$').trim();
        let amount = Decimal::from_str(cleaned).map_err(|_| format!("'{text}' is not an amount of dollars, e.g. 12.50"))?;
        if amount.is_sign_negative() {
            return Err(format!("'{text}' is negative; a ceiling is zero or more"));
        }
        Ok(Self(amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_that_surprised_its_payer_is_reproduced_to_the_cent() {
        let input = Usd::from_str("1.5").expect("amount").per_million(9_276_075);
        let output = Usd::from_str("7.5").expect("amount").per_million(5_127_574);
        assert_eq!((input + output).to_string(), "52.37 $");
    }

    #[test]
    fn an_amount_is_shown_rounded_not_cut() {
        assert_eq!(Usd::from_str("21.81525").map(|u| u.to_string()), Ok("21.82 $".into()));
        assert_eq!(Usd::from_str("0.004").map(|u| u.to_string()), Ok("0.00 $".into()));
    }

    #[test]
    fn a_negative_ceiling_is_refused() {
        assert!(Usd::from_str("-1").is_err());
        assert_eq!(Usd::from_str(" $12.50 ").map(|u| u.to_string()), Ok("12.50 $".into()));
    }
}
