//! Depth tiers: how many words of reasoning a score deserves.

use serde::{Deserialize, Serialize};

use super::Bands;

/// One tier and the words its think blocks should have, both ends included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub name: String,
    /// Names of the bands whose scores belong to this tier.
    pub bands: Vec<String>,
    pub min_words: usize,
    pub max_words: usize,
}

/// The recipe's depth rules; `recipe::check` proves that every band has exactly one tier. A recipe without a think block has
/// none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthRules {
    /// A think block with fewer words is rejected.
    pub reject_below: usize,
    /// A think block with more words is rejected.
    pub reject_above: usize,
    pub tiers: Vec<Tier>,
}

/// What the rules say of one think block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DepthVerdict {
    Fits,
    /// Usable, but outside its tier's range: flagged and counted.
    OutsideTier,
    TooShort,
    TooLong,
}

impl DepthRules {
    pub fn tier_of(&self, bands: &Bands, score: f64) -> Option<&Tier> {
        let name = bands.name_of(score);
        self.tiers.iter().find(|tier| tier.bands.iter().any(|b| b == name))
    }

    pub fn judge(&self, bands: &Bands, score: f64, words: usize) -> DepthVerdict {
        if words < self.reject_below {
            return DepthVerdict::TooShort;
        }
        if words > self.reject_above {
            return DepthVerdict::TooLong;
        }
        match self.tier_of(bands, score) {
            Some(tier) if (tier.min_words..=tier.max_words).contains(&words) => DepthVerdict::Fits,
            _ => DepthVerdict::OutsideTier,
        }
    }
}
