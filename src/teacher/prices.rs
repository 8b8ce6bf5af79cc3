//! Prices: rows of `data/prices.toml`. The price of a request comes from the model id that is sent; no row, no plan
//! (guard M2).

use serde::Deserialize;
use thiserror::Error;

use crate::domain::Usd;

/// USD per million tokens for one provider, model and mode.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub provider: String,
    pub model: String,
    pub mode: String,
    #[serde(deserialize_with = "dollars")]
    pub input: Usd,
    #[serde(deserialize_with = "dollars")]
    pub output: Usd,
    /// ISO date on which somebody looked.
    pub verified: String,
    pub source: String,
}

fn dollars<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Usd, D::Error> {
    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}

#[derive(Debug, Error, PartialEq)]
pub enum PriceError {
    #[error("data/prices.toml: {0}")]
    Toml(String),
    #[error(
        "there is no price for model '{model}' of '{provider}' in {mode} mode, so nothing can be planned; add a [[price]] row with \
         provider = \"{provider}\", model = \"{model}\", mode = \"{mode}\" to data/prices.toml"
    )]
    Unknown { provider: String, model: String, mode: String },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    #[serde(default)]
    price: Vec<Price>,
}

impl PriceTable {
    pub fn from_toml(text: &str) -> Result<Self, PriceError> {
        toml::from_str(text).map_err(|e| PriceError::Toml(e.to_string()))
    }

    pub fn find(&self, provider: &str, model: &str, mode: &str) -> Result<&Price, PriceError> {
        let found = self.price.iter().find(|p| p.provider == provider && p.model == model && p.mode == mode);
        found.ok_or_else(|| PriceError::Unknown { provider: provider.into(), model: model.into(), mode: mode.into() })
    }
}

impl Price {
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Usd {
        self.input.per_million(input_tokens) + self.output.per_million(output_tokens)
    }

    /// The row as a person reads it.
    pub fn line(&self) -> String {
        let (input, output) = (self.input.amount(), self.output.amount());
        format!(
            "{} {} ({}): {input} $ in, {output} $ out per million tokens, verified {}",
            self.provider, self.model, self.mode, self.verified
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_model_blocks_with_the_row_to_add() {
        let table = PriceTable::from_toml(include_str!("../../data/prices.toml")).expect("reads");
        assert!(table.find("rehearsal", "rehearsal-prism-1", "batch").is_ok());
        let error = table.find("anthropic", "claude-x", "batch").expect_err("no row").to_string();
        assert!(error.contains("add a [[price]] row") && error.contains("claude-x"), "{error}");
    }
}
