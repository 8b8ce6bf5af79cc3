//! Prices: rows of `data/prices.toml`. The price of a request comes from the model id that is sent; no row, no plan
//! (guard M2).

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{Tokens, UnixMillis, Usd};

/// How a request is sent, which is how it is priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Batch,
    /// One request, one reply.
    Standard,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Batch { "batch" } else { "standard" })
    }
}

/// USD per million tokens for one provider, model and mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub provider: String,
    pub model: String,
    pub mode: Mode,
    pub input: Usd,
    pub output: Usd,
    /// Absent where nobody looked it up: a write is then charged at 1.25 times the input, one for an hour at twice, as
    /// Anthropic's multipliers are; a read as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<Usd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<Usd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Usd>,
    /// First and last day, ISO dates, on which the row holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// ISO date on which somebody looked.
    pub verified: String,
    pub source: String,
}

#[derive(Debug, Error, PartialEq)]
pub enum PriceError {
    #[error("data/prices.toml: {0}")]
    Toml(String),
    #[error(
        "there is no price for model '{model}' of '{provider}' in {mode} mode, so nothing can be planned; add a [[price]] row with \
         provider = \"{provider}\", model = \"{model}\", mode = \"{mode}\" to data/prices.toml"
    )]
    Unknown { provider: String, model: String, mode: Mode },
    #[error(
        "data/prices.toml: two rows for model '{model}' of '{provider}' in {mode} mode hold on {day}; give each its valid_from and valid_until"
    )]
    Twice { provider: String, model: String, mode: Mode, day: String },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    #[serde(default)]
    price: Vec<Price>,
}

/// A price older than this wants another look at the provider's page.
const STALE_DAYS: i32 = 60;

impl PriceTable {
    pub fn from_toml(text: &str) -> Result<Self, PriceError> {
        let table: Self = toml::from_str(text).map_err(|e| PriceError::Toml(e.to_string()))?;
        for row in &table.price {
            for date in [Some(&row.verified), row.valid_from.as_ref(), row.valid_until.as_ref()].into_iter().flatten() {
                let read: Result<jiff::civil::Date, _> = date.parse();
                read.map_err(|_| {
                    PriceError::Toml(format!("'{date}' in the row of {} is not a date like 2026-11-21", row.model))
                })?;
            }
        }
        Ok(table)
    }

    pub fn rows(&self) -> &[Price] {
        &self.price
    }

    /// The row for a model that holds on a day; where none does, the row that held last (and [`Price::remarks`] says so).
    pub fn find(&self, provider: &str, model: &str, mode: Mode, at: UnixMillis) -> Result<&Price, PriceError> {
        let today = day(at);
        let rows: Vec<&Price> =
            self.price.iter().filter(|p| p.provider == provider && p.model == model && p.mode == mode).collect();
        let valid: Vec<&Price> = rows.iter().copied().filter(|p| p.holds_on(&today)).collect();
        let owned = || (provider.to_owned(), model.to_owned());
        match (valid.as_slice(), rows.as_slice()) {
            ([one], _) => Ok(one),
            ([_, _, ..], _) => {
                let (provider, model) = owned();
                Err(PriceError::Twice { provider, model, mode, day: today })
            }
            ([], []) => {
                let (provider, model) = owned();
                Err(PriceError::Unknown { provider, model, mode })
            }
            ([], [first, rest @ ..]) => Ok(rest.iter().fold(first, |a, b| if b.valid_until > a.valid_until { b } else { a })),
        }
    }
}

fn day(at: UnixMillis) -> String {
    let stamp = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    stamp.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

impl Price {
    pub fn cost(&self, tokens: &Tokens) -> Usd {
        self.input.per_million(tokens.input)
            + self.write_5m().per_million(tokens.cache_write_5m)
            + self.write_1h().per_million(tokens.cache_write_1h)
            + self.cache_read.unwrap_or(self.input).per_million(tokens.cache_read)
            + self.output.per_million(tokens.output)
    }

    /// The most that this many tokens can cost, whatever a cache does with the prompt.
    pub fn most(&self, prompt: u64, output: u64, writes_cache: bool) -> Usd {
        let dearest = if writes_cache { self.input.max(self.write_5m()).max(self.write_1h()) } else { self.input };
        dearest.per_million(prompt) + self.output.per_million(output)
    }

    fn write_5m(&self) -> Usd {
        self.cache_write_5m.unwrap_or_else(|| Usd::new(self.input.amount() * rust_decimal::Decimal::new(125, 2)))
    }

    fn write_1h(&self) -> Usd {
        self.cache_write_1h.unwrap_or_else(|| self.input.times(2))
    }

    pub fn is_free(&self) -> bool {
        [Some(self.input), Some(self.output), self.cache_write_5m, self.cache_write_1h, self.cache_read]
            .into_iter()
            .flatten()
            .all(|p| p == Usd::ZERO)
    }

    fn holds_on(&self, day: &str) -> bool {
        // ISO dates sort as text.
        self.valid_from.as_deref().is_none_or(|from| from <= day) && self.valid_until.as_deref().is_none_or(|until| day <= until)
    }

    /// What to know before trusting the row: it is no longer valid, or nobody looked for a long time.
    pub fn remarks(&self, at: UnixMillis) -> Vec<String> {
        let today = day(at);
        let mut remarks = Vec::new();
        if !self.holds_on(&today) {
            let until = self.valid_until.as_deref().unwrap_or("?");
            remarks.push(format!("the price of {} held until {until}; look it up and mend data/prices.toml", self.model));
        }
        let age = (self.verified.parse::<jiff::civil::Date>(), today.parse::<jiff::civil::Date>());
        if let (Ok(verified), Ok(today)) = age
            && let Ok(span) = verified.until(today)
            && span.get_days() > STALE_DAYS
        {
            let days = span.get_days();
            remarks.push(format!("the price of {} was last verified {days} days ago; look it up again", self.model));
        }
        remarks
    }

    /// The row as a person reads it.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{} {} ({}): {} $ in, {} $ out per million tokens",
            self.provider,
            self.model,
            self.mode,
            self.input.amount().normalize(),
            self.output.amount().normalize()
        );
        for (name, price) in
            [("cache write", self.cache_write_5m), ("cache write 1 h", self.cache_write_1h), ("cache read", self.cache_read)]
        {
            if let Some(price) = price {
                let _ = write!(line, ", {} $ {name}", price.amount().normalize());
            }
        }
        format!("{line}, verified {}", self.verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../data/prices.toml");
    /// 2026-11-21.
    const NOW: UnixMillis = UnixMillis(1_795_219_200_000);

    #[test]
    fn an_unknown_model_blocks_with_the_row_to_add() {
        let table = PriceTable::from_toml(SHIPPED).expect("reads");
        assert!(table.find("rehearsal", "rehearsal-prism-1", Mode::Batch, NOW).is_ok());
        let error = table.find("anthropic", "claude-x", Mode::Batch, NOW).expect_err("no row").to_string();
        assert!(error.contains("add a [[price]] row") && error.contains("claude-x") && error.contains("\"batch\""), "{error}");
    }

    #[test]
    fn the_bill_of_20550_requests_is_reproduced_to_the_cent() {
        let table = PriceTable::from_toml(SHIPPED).expect("reads");
        let row = table.find("anthropic", "claude-sonnet-4-6", Mode::Batch, NOW).expect("shipped");
        assert_eq!(row.cost(&Tokens::plain(9_276_075, 5_127_574)).to_string(), "52.37 $");
    }

    #[test]
    fn every_shipped_standard_price_is_twice_its_batch_price() {
        let table = PriceTable::from_toml(SHIPPED).expect("reads");
        for batch in table.rows().iter().filter(|p| p.mode == Mode::Batch && !p.is_free()) {
            let standard = table.find(&batch.provider, &batch.model, Mode::Standard, NOW).expect(&batch.model);
            assert_eq!((standard.input, standard.output), (batch.input.times(2), batch.output.times(2)), "{}", batch.model);
        }
    }

    #[test]
    fn cached_tokens_take_their_own_price_and_the_most_is_never_below_the_bill() {
        let table = PriceTable::from_toml(SHIPPED).expect("reads");
        let row = table.find("anthropic", "claude-opus-5-5", Mode::Batch, NOW).expect("shipped");
        let tokens = Tokens { cache_write_1h: 1_000_000, ..Tokens::plain(1_000_000, 1_000_000) };
        assert_eq!(row.cost(&tokens), "16".parse().expect("amount"));
        let read = Tokens { cache_read: 1_000_000, ..Tokens::default() };
        assert_eq!(row.cost(&read), "0.10".parse().expect("amount"));
        assert!(row.most(tokens.prompt(), tokens.output, true) >= row.cost(&tokens));
    }

    #[test]
    fn a_price_that_ended_or_that_nobody_looked_at_is_remarked_on() {
        let row = |more: &str| {
            let text = format!(
                "[[price]]\nprovider='p'\nmodel='m'\nmode='batch'\ninput='1'\noutput='2'\nverified='2026-11-01'\nsource='s'\n{more}"
            );
            PriceTable::from_toml(&text).expect("reads").find("p", "m", Mode::Batch, NOW).expect("one row").clone()
        };
        assert!(row("").remarks(NOW).is_empty());
        assert!(row("valid_until='2026-11-10'").remarks(NOW)[0].contains("2026-11-10"));
        let later = UnixMillis(NOW.0 + 90 * 86_400_000);
        assert!(row("").remarks(later)[0].contains("110 days ago"), "{:?}", row("").remarks(later));
    }

    #[test]
    fn two_rows_that_hold_on_one_day_are_refused_and_successive_ones_are_not() {
        let rows = |a: &str, b: &str| {
            let one = |more: &str| {
                format!(
                    "[[price]]\nprovider='p'\nmodel='m'\nmode='batch'\ninput='1'\noutput='2'\nverified='2026-11-01'\nsource='s'\n{more}\n"
                )
            };
            PriceTable::from_toml(&format!("{}{}", one(a), one(b))).expect("reads").find("p", "m", Mode::Batch, NOW).cloned()
        };
        assert!(matches!(rows("", ""), Err(PriceError::Twice { .. })));
        assert!(rows("valid_until='2026-11-20'", "valid_from='2026-11-21'").is_ok());
        assert!(
            PriceTable::from_toml(
                "[[price]]\nprovider='p'\nmodel='m'\nmode='batch'\ninput='1'\noutput='2'\nverified='soon'\nsource='s'"
            )
            .is_err()
        );
    }
}
