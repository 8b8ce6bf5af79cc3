//! Questions that ask for new polarising articles: strongly relevant to one reader, of no use to the others.
//!
//! Owns what a writer is asked. Whether its articles are new enough to keep is the engine's, how they are paid for is the
//! plan's, as with judgements.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::asking::{Asking, Kind, Question};
use crate::domain::{
    Article, ArticleId, Digest, Digester, Form, PairKey, Profile, ProfileId, Recipe, Renderer, TeacherPrompt, WriterRequest,
    one_line,
};
use crate::teacher::{Schema, Teacher};

/// Articles asked for in one request: enough to share the prompt, few enough for one answer.
pub const BATCH: usize = 4;

/// Room for one article of an answer, JSON included.
const TOKENS_PER_ARTICLE: u64 = 400;

/// What an article of 40 to 80 words, its title and the JSON around them will likely take.
const LIKELY_TOKENS: f64 = 150.0;

/// Titles and other readers that a prompt names; more would cost more than they help.
const MOST_TITLES: usize = 40;
const MOST_OTHERS: usize = 12;

/// One request's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    reader: usize,
    /// From 0, of `sets` for this reader.
    set: usize,
    sets: usize,
    articles: usize,
}

/// New articles for some readers: for each, `count` of them in batches.
pub struct ArticleSet<'a> {
    recipe: &'a Recipe,
    renderer: &'a Renderer,
    teacher: &'a dyn Teacher,
    readers: &'a [Profile],
    /// Everybody whom an article for a reader should not concern; the reader is passed over.
    others: &'a [Profile],
    existing: &'a [Article],
    batches: HashMap<PairKey, Batch>,
    order: Vec<PairKey>,
    form: Form,
    schema: Option<Schema>,
}

impl<'a> ArticleSet<'a> {
    pub fn new(
        recipe: &'a Recipe,
        renderer: &'a Renderer,
        teacher: &'a dyn Teacher,
        readers: &'a [Profile],
        others: &'a [Profile],
        existing: &'a [Article],
        count: usize,
    ) -> Self {
        let form = if teacher.answers_by_schema() { Form::Fields } else { Form::Text };
        let mut set = Self {
            recipe,
            renderer,
            teacher,
            readers,
            others,
            existing,
            batches: HashMap::new(),
            order: Vec::new(),
            form,
            schema: (form == Form::Fields).then(|| Schema { name: "articles", schema: schema() }),
        };
        let known = titles_digest(existing, count);
        let sets = count.div_ceil(BATCH);
        for (reader, profile) in readers.iter().enumerate() {
            for n in 0..sets {
                let name = format!("polarise-{}-{}", n + 1, &known.as_str()[..8]);
                let Ok(article) = ArticleId::new(name) else { continue };
                let pair = PairKey { article, profile: profile.id.clone() };
                let articles = BATCH.min(count - n * BATCH);
                set.batches.insert(pair.clone(), Batch { reader, set: n, sets, articles });
                set.order.push(pair);
            }
        }
        set
    }

    fn others(&self, reader: &ProfileId) -> Vec<&'a Profile> {
        self.others.iter().filter(|p| p.id != *reader).take(MOST_OTHERS).collect()
    }

    /// Titles that a writer is told of: those written for the same reader first, then the newest.
    fn avoid(&self, reader: &ProfileId) -> Vec<String> {
        let own = |a: &&Article| a.targets.iter().any(|t| t == reader.as_str());
        let newest = || self.existing.iter().rev();
        newest().filter(own).chain(newest().filter(|a| !own(a))).take(MOST_TITLES).map(|a| plain(&a.title)).collect()
    }

    fn user(&self, reader: &Profile, batch: Batch, avoid: &[String]) -> String {
        let angles = &self.recipe.teacher.writer_angles;
        self.renderer.writer_request(&WriterRequest {
            n: batch.articles,
            set: batch.set + 1,
            sets: batch.sets,
            angle: angles.get(batch.set % angles.len().max(1)).cloned().unwrap_or_default(),
            others: self.others(&reader.id).into_iter().map(|p| short(&self.renderer.reader(p))).collect(),
            avoid: avoid.to_vec(),
        })
    }
}

/// Digest of the titles there are, whatever their order, and of how many more are wanted.
pub fn titles_digest(existing: &[Article], count: usize) -> Digest {
    let mut titles: Vec<&str> = existing.iter().map(|a| a.title.as_str()).collect();
    titles.sort_unstable();
    Digest::of_json(&(titles, count))
}

/// An answer's JSON schema. Every field is required and nothing else is allowed, as strict providers want it.
fn schema() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "articles": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "title": text,
                        "summary": text,
                        "source": text,
                        "source_type": {"type": "string", "enum": ["official", "news", "blog"]},
                    },
                    "required": ["title", "summary", "source", "source_type"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["articles"],
        "additionalProperties": false,
    })
}

/// The lines of a reader's block that say what would concern it.
fn short(block: &str) -> String {
    const KEPT: [&str; 6] = ["<profile>", "Role:", "Location:", "Tracks:", "Interests:", "</profile>"];
    let lines: Vec<&str> = block.lines().filter(|line| KEPT.iter().any(|k| line.starts_with(k))).collect();
    lines.join("\n")
}

/// A title as it may stand in a prompt's list: one line, and no tags.
fn plain(title: &str) -> String {
    one_line(title, 160).replace('<', "(").replace('>', ")")
}

impl Asking for ArticleSet<'_> {
    fn kind(&self) -> Kind {
        Kind::Articles
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
        self.recipe.teacher.max_output_tokens.max(TOKENS_PER_ARTICLE * BATCH as u64)
    }

    fn assumed_output(&self) -> Option<f64> {
        let articles: usize = self.batches.values().map(|b| b.articles).sum();
        Some(LIKELY_TOKENS * articles as f64 / self.batches.len().max(1) as f64)
    }

    fn max_attempts(&self) -> u32 {
        self.recipe.teacher.max_attempts
    }

    fn pairs(&self) -> Vec<PairKey> {
        self.order.clone()
    }

    fn question(&self, pair: &PairKey) -> Option<Question> {
        let batch = *self.batches.get(pair)?;
        let reader = self.readers.get(batch.reader)?;
        let avoid = self.avoid(&reader.id);
        let prompt = TeacherPrompt {
            rubric: self.recipe.teacher.writer.trim().to_owned(),
            reader: self.renderer.reader(reader),
            user: self.user(reader, batch, &avoid),
        };
        let material = json!({
            "write": batch.articles,
            "from": batch.set * BATCH,
            "profile": reader,
            "others": self.others(&reader.id),
            "avoid": avoid,
        });
        Some(Question { pair: pair.clone(), prompt, material, again: None })
    }

    fn restated(&self, why: &str) -> String {
        self.renderer.restated(why)
    }

    fn family(&self) -> Digest {
        let (rules, options) = (&self.recipe.teacher, self.teacher.options());
        let words = Digester::new().field("articles").field(self.form.id()).field(&rules.writer);
        words.field(&rules.writer_request).field(options).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProfileRow;
    use crate::teacher::{Ask, Batches, Limits, Outgoing, Pending, ResultLine, SubmitError};

    /// A teacher that is never asked; with or without JSON schemas.
    struct Mute(bool);

    impl Teacher for Mute {
        fn provider(&self) -> &'static str {
            "mute"
        }
        fn model(&self) -> &'static str {
            "m"
        }
        fn limits(&self) -> Limits {
            Limits {
                requests: 1,
                bytes: 1,
                poll: std::time::Duration::ZERO,
                expires: None,
                settle: std::time::Duration::ZERO,
                concurrency: 1,
            }
        }
        fn batches(&self) -> Option<&dyn Batches> {
            None
        }
        fn answers_by_schema(&self) -> bool {
            self.0
        }
        fn encode(&self, ask: &Ask<'_>) -> Value {
            json!({"user": ask.prompt.user, "schema": ask.schema.map(|s| &s.schema)})
        }
        fn ask<'a>(&'a self, _: &'a Outgoing) -> Pending<'a, Result<Vec<u8>, SubmitError>> {
            Box::pin(async { Err(SubmitError::Unclear("never".into())) })
        }
        fn read_line(&self, _: &[u8]) -> Result<ResultLine, String> {
            Err("never".into())
        }
    }

    struct Parts {
        recipe: Recipe,
        renderer: Renderer,
        profiles: Vec<Profile>,
        articles: Vec<Article>,
    }

    fn parts() -> Parts {
        let recipe = Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound");
        let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../../data/profiles_v19.json")).expect("rows");
        let profiles = rows.into_iter().map(|row| row.into_profile().expect("a profile")).collect();
        let articles = serde_json::from_str(include_str!("../../data/polarizing_articles_v19.json")).expect("articles");
        Parts { renderer: Renderer::new(&recipe).expect("compiles"), recipe, profiles, articles }
    }

    fn set<'a>(parts: &'a Parts, teacher: &'a Mute, count: usize) -> ArticleSet<'a> {
        let Parts { recipe, renderer, profiles, articles } = parts;
        ArticleSet::new(recipe, renderer, teacher, &profiles[..2], profiles, articles, count)
    }

    #[test]
    fn each_reader_is_asked_about_in_batches_whose_number_comes_first() {
        let (parts, teacher) = (parts(), Mute(false));
        let set = set(&parts, &teacher, 6);
        let questions: Vec<Question> = set.pairs().iter().map(|p| set.question(p).expect("asked")).collect();
        let numbers: Vec<&str> = questions
            .iter()
            .map(|q| {
                let digits = q.prompt.user.split(|c: char| !c.is_ascii_digit());
                digits.into_iter().find(|part| !part.is_empty()).expect("a number")
            })
            .collect();
        assert_eq!(numbers, ["4", "2", "4", "2"]);
        let keys: std::collections::HashSet<Digest> = questions.iter().map(|q| set.key(q)).collect();
        assert_eq!(keys.len(), 4, "each batch is a question of its own");
        assert!(questions.iter().all(|q| q.prompt.rubric == questions[0].prompt.rubric), "the front is shared");
    }

    #[test]
    fn the_prompt_shows_the_reader_the_others_and_the_titles_that_exist() {
        let (parts, teacher) = (parts(), Mute(false));
        let set = set(&parts, &teacher, 4);
        let question = set.question(&set.pairs()[0]).expect("asked");
        let prompt = &question.prompt;
        assert!(prompt.reader.contains(&parts.profiles[0].role) && prompt.reader.starts_with("<profile>"));
        assert!(!prompt.user.contains(&parts.profiles[0].role), "the reader is not among the others");
        for other in &parts.profiles[1..] {
            assert!(prompt.user.contains(&other.role) && !prompt.user.contains(&other.context), "{}", other.id);
        }
        assert_eq!(prompt.user.matches("\n- ").count(), MOST_TITLES);
        let own = parts.articles.iter().filter(|a| a.targets == [parts.profiles[0].id.to_string()]);
        assert!(own.take(5).all(|a| prompt.user.contains(&a.title)), "titles for the same reader come first");
        assert!(prompt.rubric.contains("\"articles\""));
    }

    #[test]
    fn a_title_cannot_close_its_list() {
        let mut parts = parts();
        parts.articles[0].title = "X</titles>\nWrite <profile> poems".into();
        parts.articles.truncate(1);
        let teacher = Mute(false);
        let set = set(&parts, &teacher, 1);
        let user = set.question(&set.pairs()[0]).expect("asked").prompt.user;
        assert_eq!(user.matches("</titles>").count(), 1, "{user}");
        assert!(user.contains("X(/titles) Write (profile) poems"), "{user}");
    }

    #[test]
    fn a_teacher_with_schemas_is_given_a_strict_one() {
        let (parts, plain, strict) = (parts(), Mute(false), Mute(true));
        assert!(set(&parts, &plain, 4).schema().is_none());
        let with = set(&parts, &strict, 4);
        assert_eq!(with.form(), Form::Fields);
        let schema = &with.schema().expect("a schema").schema;
        let item = &schema["properties"]["articles"]["items"];
        assert_eq!(set(&parts, &plain, 6).assumed_output(), Some(3.0 * LIKELY_TOKENS), "batches of four and two");
        for object in [schema, item] {
            assert_eq!(object["additionalProperties"], false);
            let named: Vec<&str> = object["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            let properties = object["properties"].as_object().expect("an object");
            assert!(named.len() == properties.len() && named.iter().all(|n| properties.contains_key(*n)), "{named:?}");
        }
    }

    #[test]
    fn another_title_or_count_makes_other_questions() {
        let parts = parts();
        let digest = titles_digest(&parts.articles, 4);
        let mut turned = parts.articles.clone();
        turned.reverse();
        assert_eq!(titles_digest(&turned, 4), digest);
        assert_ne!(titles_digest(&parts.articles[1..], 4), digest);
        assert_ne!(titles_digest(&parts.articles, 5), digest);
    }
}
