//! What is asked: pairs of reader and article to judge. One question becomes one body per attempt.
//!
//! Owns the step from nouns to requests: prompt, cache key, body, custom id. Which questions are planned is `plan`'s.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::ladder::Next;
use super::ladder::Rung;
use crate::domain::{
    Article, ArticleId, Digest, Digester, Form, PairKey, Prism, Profile, ProfileId, Recipe, Renderer, TeacherPrompt,
    estimate_tokens,
};
use crate::teacher::{Ask, Outgoing, Schema, Teacher};
use crate::workspace::NewRequest;

/// What kind of thing a plan buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A few judgements first, to measure what the rest will cost.
    Pilot,
    /// Judgements of pairs.
    Traces,
    /// New articles.
    Articles,
}

impl Kind {
    pub fn id(self) -> &'static str {
        match self {
            Self::Pilot => "pilot",
            Self::Traces => "traces",
            Self::Articles => "articles",
        }
    }

    pub fn from_id(id: &str) -> Self {
        match id {
            "pilot" => Self::Pilot,
            "articles" => Self::Articles,
            _ => Self::Traces,
        }
    }
}

/// One question, before it takes a provider's form.
#[derive(Debug, Clone)]
pub struct Question {
    pub pair: PairKey,
    pub prompt: TeacherPrompt,
    pub material: Value,
    /// Set where the question is asked once more although it was answered: its answer has a key of its own.
    pub again: Option<Digest>,
}

/// A pair whose answers a reviewer sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Names the answers that were sent back; each time gives another name.
    pub again: Digest,
    /// What was wrong with the newest one, for the teacher to read.
    pub why: String,
}

/// A set of questions to one teacher.
pub trait Asking {
    fn kind(&self) -> Kind;
    fn teacher(&self) -> &dyn Teacher;
    fn form(&self) -> Form;
    fn schema(&self) -> Option<&Schema>;
    /// First attempt's token limit.
    fn max_output_tokens(&self) -> u64;
    fn max_attempts(&self) -> u32;
    /// Tokens of an answer where nobody measured any; `None`: as many as a judgement has.
    fn assumed_output(&self) -> Option<f64> {
        None
    }
    /// All questions, in a stable order.
    fn pairs(&self) -> Vec<PairKey>;
    fn question(&self, pair: &PairKey) -> Option<Question>;
    /// Pairs that are asked about once more because a reviewer sent their trace back.
    fn sent_back(&self) -> HashSet<PairKey> {
        HashSet::new()
    }
    /// What is added to a question that is asked once more, in the recipe's words.
    fn restated(&self, why: &str) -> String;
    /// Digest of what all questions share; answers to one family measure each other's tokens.
    fn family(&self) -> Digest;

    /// The key of a question's answer: the same question is never bought twice. Token limits and cache hints are not part
    /// of it: turning such a knob does not void what was bought.
    fn key(&self, question: &Question) -> Digest {
        let (teacher, prompt) = (self.teacher(), &question.prompt);
        let key = Digester::new()
            .field(teacher.provider())
            .field(teacher.model())
            .field(teacher.options())
            .field(self.form().id())
            .field(&prompt.rubric)
            .field(&prompt.reader)
            .field(&prompt.user);
        match &question.again {
            Some(again) => key.field("sent back").field(again.as_str()).finish(),
            None => key.finish(),
        }
    }

    /// The request of one attempt, as it goes out.
    fn outgoing(&self, question: &Question, key: &Digest, next: &Next) -> Outgoing {
        let restated = match &next.rung {
            Rung::Restated { why } => Some(why.as_str()),
            _ => None,
        };
        self.encode(question, key, next.attempt, restated, next.max_output)
    }

    /// The same from a recorded row, for a request planned earlier.
    fn replay(&self, question: &Question, row: &NewRequest) -> Outgoing {
        let restated = (!row.why.is_empty()).then_some(row.why.as_str());
        self.encode(question, &row.cache_key, row.attempt, restated, row.max_output)
    }

    fn encode(&self, question: &Question, key: &Digest, attempt: u32, restated: Option<&str>, max_output: u64) -> Outgoing {
        let mut prompt = question.prompt.clone();
        if let Some(sentence) = restated.map(|why| self.restated(why)).filter(|s| !s.is_empty()) {
            prompt.user.push_str("\n\n");
            prompt.user.push_str(&sentence);
        }
        let ask = Ask { prompt: &prompt, schema: self.schema(), max_output_tokens: max_output, material: &question.material };
        Outgoing { custom_id: custom_id(key, attempt), body: self.teacher().encode(&ask) }
    }

    /// The row of one attempt, and the bytes of its body. `most` bounds prompt tokens by estimate and bytes.
    fn row(&self, question: &Question, key: Digest, next: &Next, most: &PromptBound) -> (NewRequest, usize) {
        let out = self.outgoing(question, &key, next);
        let estimate = prompt_estimate(&question.prompt);
        let body = out.body.to_string();
        let row = NewRequest {
            custom_id: out.custom_id,
            pair: question.pair.clone(),
            attempt: next.attempt,
            rung: next.rung.id().into(),
            why: if let Rung::Restated { why } = &next.rung { why.clone() } else { String::new() },
            max_output: next.max_output,
            body: Digest::of(&body),
            prompt_estimate: estimate,
            prompt_most: most.of(&question.prompt, estimate, self.schema()),
            cache_key: key,
        };
        (row, body.len())
    }
}

/// The id an answer is joined by: unique for each attempt of each question, and inside every provider's 64 characters.
pub fn custom_id(key: &Digest, attempt: u32) -> String {
    format!("{}-{attempt}", &key.as_str()[..40])
}

/// Prompt tokens where nobody counted.
pub fn prompt_estimate(prompt: &TeacherPrompt) -> u64 {
    estimate_tokens(&prompt.rubric) + estimate_tokens(&prompt.reader) + estimate_tokens(&prompt.user)
}

/// The most tokens a prompt can have. No tokenizer makes more tokens than bytes; where answers were measured, twice the
/// worst ratio that was seen is a bound too, and a closer one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PromptBound {
    pub worst_ratio: Option<f64>,
}

/// Role markers, tool preambles and the sentence of a restated request.
const OVERHEAD_TOKENS: u64 = 300;

impl PromptBound {
    fn of(&self, prompt: &TeacherPrompt, estimate: u64, schema: Option<&Schema>) -> u64 {
        let schema = schema.map_or(0, |s| s.schema.to_string().len());
        let bytes = (prompt.rubric.len() + prompt.reader.len() + prompt.user.len() + schema) as u64;
        let measured = self.worst_ratio.map(|ratio| (estimate as f64 * ratio * 2.0).ceil() as u64);
        measured.map_or(bytes, |m| m.min(bytes)) + OVERHEAD_TOKENS
    }
}

/// Every pair of some readers and articles.
pub struct PairSet<'a> {
    pub recipe: &'a Recipe,
    pub renderer: &'a Renderer,
    pub teacher: &'a dyn Teacher,
    pub profiles: &'a [Profile],
    pub articles: &'a [Article],
    by_profile: HashMap<&'a ProfileId, &'a Profile>,
    by_article: HashMap<&'a ArticleId, &'a Article>,
    form: Form,
    schema: Option<Schema>,
    returned: BTreeMap<PairKey, Returned>,
}

impl<'a> PairSet<'a> {
    /// `fields`: ask for the PRISM fields by JSON schema, where the teacher can.
    pub fn new(
        recipe: &'a Recipe,
        renderer: &'a Renderer,
        teacher: &'a dyn Teacher,
        profiles: &'a [Profile],
        articles: &'a [Article],
    ) -> Self {
        let form = if teacher.answers_by_schema() && recipe.student.think { Form::Fields } else { Form::Text };
        Self {
            recipe,
            renderer,
            teacher,
            profiles,
            articles,
            by_profile: profiles.iter().map(|p| (&p.id, p)).collect(),
            by_article: articles.iter().map(|a| (&a.id, a)).collect(),
            form,
            schema: (form == Form::Fields).then(|| Schema { name: "prism", schema: Prism::schema() }),
            returned: BTreeMap::new(),
        }
    }

    /// The same set, with the pairs that a reviewer sent back asked about once more.
    #[must_use]
    pub fn returning(mut self, returned: BTreeMap<PairKey, Returned>) -> Self {
        self.returned = returned;
        self
    }

    /// The reader and the article of one of its pairs.
    pub fn about(&self, pair: &PairKey) -> Option<(&'a Profile, &'a Article)> {
        Some((*self.by_profile.get(&pair.profile)?, *self.by_article.get(&pair.article)?))
    }

    fn ask(&self, profile: &Profile, article: &Article) -> Question {
        let pair = PairKey { article: article.id.clone(), profile: profile.id.clone() };
        let mut prompt = self.renderer.teacher(profile, article, self.form);
        let mut again = None;
        if let Some(returned) = self.returned.get(&pair) {
            prompt.user.push_str("\n\n");
            prompt.user.push_str(&self.renderer.restated(&returned.why));
            again = Some(returned.again.clone());
        }
        Question { pair, prompt, material: json!({"profile": profile, "article": article}), again }
    }

    /// Keys of all answers that this set asks for, in article order, then profile order.
    pub fn keys(&self) -> Vec<Digest> {
        self.articles.iter().flat_map(|a| self.profiles.iter().map(|p| self.key(&self.ask(p, a)))).collect()
    }
}

impl Asking for PairSet<'_> {
    fn kind(&self) -> Kind {
        Kind::Traces
    }

    fn teacher(&self) -> &dyn Teacher {
        self.teacher
    }

    fn form(&self) -> Form {
        self.form
    }

    fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    fn max_output_tokens(&self) -> u64 {
        self.recipe.teacher.max_output_tokens
    }

    fn max_attempts(&self) -> u32 {
        self.recipe.teacher.max_attempts
    }

    fn pairs(&self) -> Vec<PairKey> {
        let pair = |a: &Article, p: &Profile| PairKey { article: a.id.clone(), profile: p.id.clone() };
        self.articles.iter().flat_map(|a| self.profiles.iter().map(move |p| pair(a, p))).collect()
    }

    fn question(&self, pair: &PairKey) -> Option<Question> {
        Some(self.ask(self.by_profile.get(&pair.profile)?, self.by_article.get(&pair.article)?))
    }

    fn sent_back(&self) -> HashSet<PairKey> {
        self.returned.keys().cloned().collect()
    }

    fn restated(&self, why: &str) -> String {
        self.renderer.restated(why)
    }

    fn family(&self) -> Digest {
        let t = &self.recipe.teacher;
        let rubric = if self.form == Form::Fields { &t.structured_rubric } else { &t.rubric };
        Digester::new().field(self.form.id()).field(rubric).field(self.teacher.options()).finish()
    }
}
