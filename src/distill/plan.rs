//! The plan: exactly which requests would be bought, and for how much. Its digest binds every body, the model and the
//! prices, so that an approval of one plan cannot pay for another.

use serde::{Deserialize, Serialize};

use super::DistillError;
use crate::domain::{Article, Digest, Digester, Form, PairKey, Profile, Recipe, Renderer, Tokens, UnixMillis, Usd, estimate_tokens};
use crate::teacher::{Ask, Outgoing, Price, Teacher};
use crate::workspace::{Ledger, NewRequest, PlanRow};

/// The pairs that take part, with what is needed to ask about each.
pub struct PairSet<'a> {
    pub recipe: &'a Recipe,
    pub renderer: &'a Renderer,
    pub teacher: &'a dyn Teacher,
    pub profiles: &'a [Profile],
    pub articles: &'a [Article],
}

/// One pair, its body, and the key of its answer.
pub(super) struct Question {
    pub pair: PairKey,
    pub key: Digest,
    pub body: serde_json::Value,
}

/// A request to be read before it is paid for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub pair: String,
    pub text: String,
}

/// What a plan would cost, and how that was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub requests: usize,
    pub answered: usize,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub counted_by: String,
    pub expected: Usd,
    /// Every request at the token limit, and every retry used.
    pub worst: Usd,
    pub price: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub digest: Digest,
    pub input: Digest,
    pub estimate: Estimate,
}

/// Words in an answer that nobody has measured yet: the middle of the standard tier, with the score line.
const ASSUMED_OUTPUT_TOKENS: u64 = 220;

/// How many whole requests a plan shows.
const SAMPLES: usize = 3;

impl PairSet<'_> {
    /// Every pair's question, in article order, then profile order.
    pub(super) fn questions(&self) -> impl Iterator<Item = Question> + '_ {
        self.articles.iter().flat_map(move |article| self.profiles.iter().map(move |profile| self.question(profile, article)))
    }

    pub(super) fn question(&self, profile: &Profile, article: &Article) -> Question {
        let prompt = self.renderer.teacher(profile, article, Form::Text);
        let material = serde_json::json!({"profile": profile, "article": article});
        let max_output_tokens = self.recipe.teacher.max_output_tokens;
        let body = self.teacher.encode(&Ask { prompt: &prompt, schema: None, max_output_tokens, material: &material });
        let key = Digester::new().field(self.teacher.provider()).field(self.teacher.model()).field(body.to_string()).finish();
        Question { pair: PairKey { article: article.id.clone(), profile: profile.id.clone() }, key, body }
    }

    /// Keys of all answers that this set asks for.
    pub fn keys(&self) -> Vec<Digest> {
        self.questions().map(|q| q.key).collect()
    }
}

/// The id an answer is joined by: unique for each attempt of each question, and inside every provider's 64 characters.
pub(super) fn custom_id(key: &Digest, attempt: u32) -> String {
    format!("{}-{attempt}", &key.as_str()[..40])
}

impl Plan {
    /// Plans what has no answer yet and records the plan. `None`: everything is answered, or is beyond its attempts.
    pub fn make(
        set: &PairSet<'_>,
        ledger: &mut Ledger,
        price: &Price,
        input: &Digest,
        at: UnixMillis,
    ) -> Result<Option<Self>, DistillError> {
        let keys = set.keys();
        let known: std::collections::HashSet<Digest> = ledger.traces(&keys)?.into_iter().map(|t| t.cache_key).collect();
        let mut requests = Vec::new();
        let mut estimate = Estimate {
            requests: 0,
            answered: known.len(),
            input_tokens: 0,
            output_tokens: 0,
            counted_by: "estimate: one token for four bytes in, 220 tokens out".into(),
            expected: Usd::ZERO,
            worst: Usd::ZERO,
            price: price.line(),
            samples: Vec::new(),
        };
        let mut binding = Digester::new().field(set.teacher.provider()).field(set.teacher.model()).field(price.line());
        for question in set.questions().filter(|q| !known.contains(&q.key)) {
            let (attempts, refused) = ledger.attempts(&question.key)?;
            if refused || attempts >= set.recipe.teacher.max_attempts {
                continue;
            }
            binding = binding.field(question.key.as_str());
            estimate.input_tokens += input_tokens(&question.body);
            if estimate.samples.len() < SAMPLES {
                let text = serde_json::to_string_pretty(&question.body).unwrap_or_default();
                estimate.samples.push(Sample { pair: question.pair.to_string(), text });
            }
            let attempt = attempts + 1;
            requests.push(NewRequest {
                custom_id: custom_id(&question.key, attempt),
                cache_key: question.key,
                pair: question.pair,
                attempt,
            });
        }
        if requests.is_empty() {
            return Ok(None);
        }
        let count = requests.len() as u64;
        estimate.requests = requests.len();
        estimate.output_tokens = count * ASSUMED_OUTPUT_TOKENS;
        estimate.expected = price.cost(&Tokens::plain(estimate.input_tokens, estimate.output_tokens));
        let attempts = u64::from(set.recipe.teacher.max_attempts);
        estimate.worst = price.cost(&Tokens::plain(estimate.input_tokens, count * set.recipe.teacher.max_output_tokens)).times(attempts);
        let digest = binding.field(input.as_str()).finish();
        let row = PlanRow {
            digest: digest.clone(),
            input: input.clone(),
            provider: set.teacher.provider().to_owned(),
            model: set.teacher.model().to_owned(),
            created: at,
            estimate: serde_json::to_string(&estimate).unwrap_or_default(),
        };
        ledger.put_plan(&row, &requests)?;
        Ok(Some(Self { digest, input: input.clone(), estimate }))
    }

    /// The plan made earlier for the same input, if there is one.
    pub fn recorded(ledger: &Ledger, input: &Digest) -> Result<Option<Self>, DistillError> {
        let row = ledger.plan_for(input)?;
        Ok(row.and_then(|row| {
            serde_json::from_str(&row.estimate).ok().map(|estimate| Self { digest: row.digest, input: row.input, estimate })
        }))
    }
}

/// Tokens of a body's prompt: its texts, whatever the provider calls them.
pub(super) fn input_tokens(body: &serde_json::Value) -> u64 {
    let text = |key: &str| body[key].as_str().map_or(0, estimate_tokens);
    text("system") + text("user")
}

/// A question in the form that goes out.
pub(super) fn outgoing(question: &Question, attempt: u32) -> Outgoing {
    Outgoing { custom_id: custom_id(&question.key, attempt), body: question.body.clone() }
}
