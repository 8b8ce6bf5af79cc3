//! The words of `POST /v1/score`: what may be asked, and how answers are told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::Refusal;
use super::scores::{About, Answer};
use crate::domain::{Article, ProfileId, one_line};

/// A text of an article is never longer, in bytes.
const LONGEST_TEXT: usize = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    profile: Option<String>,
    #[serde(default)]
    profiles: Vec<String>,
    articles: Vec<Value>,
    /// Whether the think blocks are wanted.
    #[serde(default)]
    think: bool,
}

/// What is asked: every article for every reader, reader by reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub pairs: Vec<(ProfileId, Article)>,
    pub readers: Vec<ProfileId>,
    pub think: bool,
}

#[derive(Debug, Serialize)]
pub struct Reply {
    pub scores: Vec<Score>,
    pub model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    pub runtime: String,
}

#[derive(Debug, Serialize)]
pub struct Score {
    profile: ProfileId,
    article: String,
    /// `null`: the answer could not be read; `defect` says why.
    score: Option<f64>,
    expected: Option<f64>,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defect: Option<String>,
    seconds: f64,
    cached: bool,
    pass: &'static str,
    /// Where it is another than the reply's.
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<String>,
}

impl Asked {
    /// At most `limit` pairs.
    pub fn read(bytes: &[u8], limit: usize) -> Result<Self, Refusal> {
        let body: Body = serde_json::from_slice(bytes)
            .map_err(|e| Refusal::malformed(format!("the body cannot be read: {}", one_line(&e.to_string(), 200))))?;
        let readers = readers(&body)?;
        if body.articles.is_empty() {
            return Err(Refusal::malformed("articles is empty"));
        }
        let count = readers.len().saturating_mul(body.articles.len());
        if count > limit {
            return Err(Refusal::TooLarge { what: format!("{count} scores are asked at once; at most {limit} are given") });
        }
        let articles = body.articles.into_iter().enumerate().map(|(at, row)| article(at, row)).collect::<Result<Vec<_>, _>>()?;
        let pairs = readers.iter().flat_map(|reader| articles.iter().map(|article| (reader.clone(), article.clone())));
        Ok(Self { pairs: pairs.collect(), think: body.think, readers })
    }

    /// The reply: answers by their places, all of which there are.
    pub fn reply(&self, answers: Vec<Answer>, about: About) -> Reply {
        let scores = self.pairs.iter().zip(answers).map(|((reader, article), answer)| Score {
            profile: reader.clone(),
            article: article.id.to_string(),
            score: answer.score,
            expected: answer.expected,
            reason: answer.reason,
            think: self.think.then_some(answer.think),
            defect: answer.defect,
            seconds: answer.seconds,
            cached: answer.cached,
            pass: answer.pass,
            runtime: Some(answer.runtime.to_string()).filter(|r| *r != about.runtime && !r.is_empty()),
        });
        Reply { scores: scores.collect(), model: about.model, release: about.release, runtime: about.runtime }
    }
}

fn readers(body: &Body) -> Result<Vec<ProfileId>, Refusal> {
    let mut readers = Vec::new();
    for name in body.profile.iter().chain(&body.profiles) {
        let id = ProfileId::new(name.as_str()).map_err(|e| Refusal::malformed(one_line(&e.to_string(), 200)))?;
        if !readers.contains(&id) {
            readers.push(id);
        }
    }
    if readers.is_empty() { Err(Refusal::malformed("neither profile nor profiles names a reader")) } else { Ok(readers) }
}

fn article(at: usize, row: Value) -> Result<Article, Refusal> {
    let wrong = |why: String| Refusal::malformed(format!("articles[{at}]: {why}"));
    if let Some(fields) = row.as_object() {
        let long = fields.iter().find(|(_, value)| value.as_str().is_some_and(|text| text.len() > LONGEST_TEXT));
        if let Some((name, _)) = long {
            let what = format!("articles[{at}].{} is longer than {} KiB", one_line(name, 40), LONGEST_TEXT >> 10);
            return Err(Refusal::TooLarge { what });
        }
    }
    serde_json::from_value(row).map_err(|e| wrong(one_line(&e.to_string(), 200)))
}
