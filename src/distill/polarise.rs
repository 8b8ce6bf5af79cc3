//! Questions that ask for new polarising articles: strongly relevant to one reader, of no use to the others.
//!
//! Owns what a writer is asked. Whether its articles are new enough to keep is the engine's, how they are paid for is the
//! plan's, as with judgements.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::asking::{Asking, Kind, Question};
use crate::domain::{
    Article, ArticleId, Digest, Digester, Form, PairKey, Profile, ProfileId, Recipe, Renderer, TeacherPrompt, one_line,
};
use crate::teacher::{Schema, Teacher};

/// Articles asked for in one request: enough to share the prompt, few enough for one answer.
pub const BATCH: usize = 4;

/// Room for one article of an answer, JSON included.
const TOKENS_PER_ARTICLE: u64 = 400;

/// Titles and other readers that a prompt names; more would cost more than they help.
const MOST_TITLES: usize = 40;
const MOST_OTHERS: usize = 12;

/// What several sets for one reader are told to be about, so that they differ.
const ANGLES: [&str; 4] = [
    "openings and deadlines the reader can use",
    "news of what the reader follows by name",
    "courses, events and meetings in the reader's field and place",
    "results, launches and decisions in the reader's interests",
];

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
        let n = batch.articles;
        let items = if n == 1 { "article" } else { "articles" };
        let mut text = format!(
            "Write {n} {items} for the reader above. Exactly {n}. This is set {} of {}: {}.",
            batch.set + 1,
            batch.sets,
            ANGLES[batch.set % ANGLES.len()],
        );
        let others = self.others(&reader.id);
        if !others.is_empty() {
            let blocks: Vec<String> = others.iter().map(|p| short(&self.renderer.reader(p))).collect();
            text += &format!("\n\nOf no use to these other readers:\n{}", blocks.join("\n"));
        }
        if !avoid.is_empty() {
            text += &format!("\n\nAvoid these titles:\n<titles>\n- {}\n</titles>", avoid.join("\n- "));
        }
        text
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
        Some(Question { pair: pair.clone(), prompt, material })
    }

    fn family(&self) -> Digest {
        let (writer, options) = (&self.recipe.teacher.writer, self.teacher.options());
        Digester::new().field("articles").field(self.form.id()).field(writer).field(options).finish()
    }
}
