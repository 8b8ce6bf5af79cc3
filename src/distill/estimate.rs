//! What a plan would cost: from measured answers where there are some, from a count or an assumption where there are
//! none, and always which of the three.
//!
//! Pure arithmetic over tokens; money stays decimal. Prices are applied without any cache hit: a hit is a gift.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::{ErrorKind, Reject, Tokens, Usd};
use crate::teacher::Price;
use crate::workspace::Measured;

/// Tokens of an answer that nobody has measured yet: the middle of the standard tier, with the score line.
const ASSUMED_OUTPUT_TOKENS: f64 = 220.0;

/// Unmeasured, a bill may be this many times the estimate: the worst of the estimates that were too low by hand (7-10 $
/// became 17 $; guard M1).
const UNMEASURED_SPREAD: f64 = 1.7;

/// Fewer answers than this measure nothing.
pub const ENOUGH_MEASURED: usize = 20;

/// 95 % of a normal distribution lie below this many deviations.
const Z95: f64 = 1.645;

/// Where the token counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "basis")]
pub enum Basis {
    /// Nothing was counted: a token for four bytes, and an assumed answer.
    Assumed,
    /// The provider's free counter, on a few of the requests; an assumed answer.
    Counted { requests: usize },
    /// Billed answers to the same kind of request.
    Measured { answers: usize },
}

impl Basis {
    pub fn words(self) -> String {
        match self {
            Self::Assumed => "estimate: one token for four bytes in, answers of an assumed length".into(),
            Self::Counted { requests } => {
                format!("prompts by the provider's counter on {requests} requests, answers of an assumed length")
            }
            Self::Measured { answers } => format!("measured on {answers} billed answers"),
        }
    }
}

/// Expected use and cost of some requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    #[serde(flatten)]
    pub basis: Basis,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    /// Share of first attempts that will have to be asked again.
    pub retry_share: f64,
    /// The middle of what it may cost, retries included.
    pub expected: Usd,
    /// The bill stays below this in 95 of 100 cases, if the rest is like what was measured.
    pub p95: Usd,
}

/// What is known of a family's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Habits {
    pub basis: Basis,
    /// True prompt tokens over the estimate: mean and worst.
    pub ratio: f64,
    pub worst_ratio: Option<f64>,
    pub output: f64,
    /// Standard deviation of one answer's cost over its mean.
    pub spread: f64,
    pub retry_share: f64,
    pub answers: usize,
}

impl Habits {
    pub fn assumed() -> Self {
        Self {
            basis: Basis::Assumed,
            ratio: 1.0,
            worst_ratio: None,
            output: ASSUMED_OUTPUT_TOKENS,
            spread: 0.0,
            retry_share: 0.0,
            answers: 0,
        }
    }

    /// From the provider's counter: (estimate, counted) of some requests.
    pub fn counted(counts: &[(u64, u64)]) -> Self {
        let Some((mean, worst)) = ratios(counts.iter().copied()) else { return Self::assumed() };
        let basis = Basis::Counted { requests: counts.len() };
        Self { basis, ratio: mean, worst_ratio: Some(worst), ..Self::assumed() }
    }

    /// From billed answers; `None` while they are too few.
    pub fn measured(answers: &[Measured], rejects: &[Reject], price: &Price) -> Option<Self> {
        let n = answers.len();
        if n < ENOUGH_MEASURED {
            return None;
        }
        let (ratio, worst) = ratios(answers.iter().map(|a| (a.prompt_estimate, a.tokens.prompt())))?;
        let output = answers.iter().map(|a| a.tokens.output as f64).sum::<f64>() / n as f64;
        let rate = |usd: Usd| usd.amount().to_string().parse::<f64>().unwrap_or(0.0);
        let costs: Vec<f64> = answers
            .iter()
            .map(|a| rate(price.input) * a.tokens.prompt() as f64 + rate(price.output) * a.tokens.output as f64)
            .collect();
        let mean = costs.iter().sum::<f64>() / n as f64;
        let variance = costs.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let retried = rejects.iter().filter(|r| is_asked_again(r)).count();
        Some(Self {
            basis: Basis::Measured { answers: n },
            ratio,
            worst_ratio: Some(worst),
            output,
            spread: if mean > 0.0 { variance.sqrt() / mean } else { 0.0 },
            retry_share: retried.min(n) as f64 / n as f64,
            answers: n,
        })
    }

    /// The forecast for `requests` requests whose prompts are estimated at `prompt_estimate` tokens together.
    ///
    /// Expected: every prompt at the mean ratio, every answer at the mean length, and the retry share once more. p95: the
    /// prediction interval of a sum, `z·σ·N·√(1/n + 1/N)`, with the retry share at its own upper bound.
    pub fn forecast(&self, requests: usize, prompt_estimate: u64, price: &Price) -> Forecast {
        let count = requests as f64;
        let prompt_tokens = (prompt_estimate as f64 * self.ratio).round() as u64;
        let output_tokens = (count * self.output).round() as u64;
        let once = price.cost(&Tokens::plain(prompt_tokens, output_tokens));
        let expected = scaled(once, 1.0 + self.retry_share);
        let p95 = if self.answers == 0 {
            scaled(once, UNMEASURED_SPREAD)
        } else {
            let n = self.answers as f64;
            // With no reject among n answers the share may still be 3/n (rule of three).
            let share_error = (self.retry_share * (1.0 - self.retry_share) / n).sqrt().max(1.0 / n) * Z95;
            let retries = (self.retry_share + share_error).min(1.0);
            let spread = Z95 * self.spread * (1.0 / n + 1.0 / count.max(1.0)).sqrt();
            scaled(once, 1.0 + retries + spread)
        };
        Forecast { basis: self.basis, prompt_tokens, output_tokens, retry_share: self.retry_share, expected, p95 }
    }
}

fn ratios(pairs: impl Iterator<Item = (u64, u64)>) -> Option<(f64, f64)> {
    let (mut estimated, mut counted, mut worst) = (0u64, 0u64, 0.0f64);
    for (estimate, count) in pairs.filter(|(estimate, _)| *estimate > 0) {
        estimated += estimate;
        counted += count;
        worst = worst.max(count as f64 / estimate as f64);
    }
    (estimated > 0 && counted > 0).then(|| (counted as f64 / estimated as f64, worst))
}

fn is_asked_again(reject: &Reject) -> bool {
    !matches!(reject, Reject::Refused { .. } | Reject::Canceled | Reject::Failed { kind: ErrorKind::Request, .. })
}

/// A factor on money, to the thousandth and upwards.
fn scaled(amount: Usd, factor: f64) -> Usd {
    let thousandths = (factor * 1000.0).ceil() as i64;
    Usd::new(amount.amount() * Decimal::new(thousandths, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AnswerDefect, UnixMillis};
    use crate::teacher::{Mode, PriceTable};

    fn sonnet() -> Price {
        let table = PriceTable::from_toml(include_str!("../../data/prices.toml")).expect("reads");
        table.find("anthropic", "claude-sonnet-4-6", Mode::Batch, UnixMillis(1_795_219_200_000)).expect("row").clone()
    }

    #[test]
    fn a_worked_preview_of_5900_pairs() {
        // 40 pilot answers: 451 tokens in where 350 were estimated, 250 out where 220 were assumed, one answer unusable.
        let answers: Vec<Measured> =
            (0..40u64).map(|i| Measured { prompt_estimate: 350, tokens: Tokens::plain(451, 230 + i) }).collect();
        let price = sonnet();
        let before = Habits::assumed().forecast(5_900, 5_900 * 350, &price);
        // 5,900 × (350 × 1.5 + 220 × 7.5) / 10⁶ = 12.8325
        assert_eq!(before.expected.amount().round_dp(4).to_string(), "12.8325");
        assert_eq!(before.p95.to_string(), "21.82 $");
        let habits = Habits::measured(&answers, &[Reject::Format { defect: AnswerDefect::NoScore }], &price).expect("enough");
        let after = habits.forecast(5_900, 5_900 * 350, &price);
        assert_eq!(after.prompt_tokens, 5_900 * 451);
        assert_eq!(after.output_tokens, (5_900.0 * 249.5) as u64);
        // 5,900 × (451 × 1.5 + 249.5 × 7.5) / 10⁶ = 15.0317 once, and one in forty again.
        assert_eq!(after.expected.to_string(), "15.41 $");
        assert!(after.p95 > after.expected && after.p95 < scaled(after.expected, 1.2), "{}", after.p95);
        assert_eq!(after.basis, Basis::Measured { answers: 40 });
    }

    #[test]
    fn fewer_than_twenty_answers_measure_nothing() {
        let one = Measured { prompt_estimate: 100, tokens: Tokens::plain(100, 100) };
        assert_eq!(Habits::measured(&[one; 19], &[], &sonnet()), None);
        assert!(Habits::measured(&[one; 20], &[], &sonnet()).is_some());
    }

    #[test]
    fn cached_prompt_tokens_count_as_prompt_tokens() {
        let tokens = Tokens { cache_read: 300, cache_write_1h: 100, ..Tokens::plain(51, 250) };
        let habits = Habits::measured(&[Measured { prompt_estimate: 451, tokens }; 30], &[], &sonnet()).expect("enough");
        assert!((habits.ratio - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_providers_counter_moves_the_prompts_and_not_the_answers() {
        let habits = Habits::counted(&[(100, 130), (200, 230)]);
        let forecast = habits.forecast(10, 1_000, &sonnet());
        assert_eq!((forecast.prompt_tokens, forecast.output_tokens), (1_200, 2_200));
        assert_eq!(forecast.basis, Basis::Counted { requests: 2 });
    }
}
