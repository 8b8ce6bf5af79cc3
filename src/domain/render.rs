//! THE renderer: the only place that turns a recipe, a profile and an article into prompts.
//! Training, evaluation and serving call it, so their prompts cannot drift apart (guard S5).

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};

use super::recipe::RecipeError;
use super::{Article, Digest, Digester, Profile, Recipe, safe_text};

/// Who speaks in a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    pub role: Role,
    pub content: String,
}

impl ChatMessage {
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// What the student reads. The system part is the same for all articles of one reader, so its
/// keys and values are computed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudentPrompt {
    pub system: String,
    pub user: String,
}

impl StudentPrompt {
    pub fn messages(&self) -> Vec<ChatMessage> {
        vec![ChatMessage::new(Role::System, &self.system), ChatMessage::new(Role::User, &self.user)]
    }
}

/// How a teacher is asked to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The recipe's text format: think block, score line.
    Text,
    /// The same judgement as the fields of a JSON schema; the think block is rendered from them.
    Fields,
}

impl Form {
    pub fn id(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Fields => "fields",
        }
    }
}

/// What a teacher reads, from what all requests share to what is this one's own, so that providers can cache the front:
/// the rubric is the same for all readers, the reader for all of their articles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherPrompt {
    pub rubric: String,
    pub reader: String,
    pub user: String,
}

impl TeacherPrompt {
    /// Rubric and reader as one system text.
    pub fn system(&self) -> String {
        format!("{}\n\n{}", self.rubric, self.reader)
    }
}

/// Renders a recipe's templates.
pub struct Renderer {
    env: Environment<'static>,
    rubric: String,
    structured_rubric: String,
    /// Whether a reader's own system prompt stands in the template's place.
    own_prompts: bool,
    digest: Digest,
}

/// An article as the student's template knows it. Labels for tests and browsing are not among its variables.
#[derive(Serialize)]
struct ArticleVariables {
    id: String,
    title: String,
    summary: String,
    source: String,
    source_type: String,
    url: String,
    published: String,
    category: String,
    keywords: Vec<String>,
}

/// One request for new articles, as the recipe's template knows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WriterRequest {
    /// How many articles.
    pub n: usize,
    /// From 1, of `sets` for this reader.
    pub set: usize,
    pub sets: usize,
    pub angle: String,
    /// Readers whom the articles should not concern, as text.
    pub others: Vec<String>,
    /// Titles that exist already.
    pub avoid: Vec<String>,
}

const RESTATE: &str = "teacher.restate";
const WRITER_REQUEST: &str = "teacher.writer_request";
const SYSTEM: &str = "student.system";
const USER: &str = "student.user";

impl Renderer {
    /// Compiles the recipe's templates; a template that does not compile or names an unknown variable is an error here,
    /// not at the thousandth row.
    pub fn new(recipe: &Recipe) -> Result<Self, RecipeError> {
        let mut env = Environment::new();
        env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        env.add_function("article_for", |noun: &str| with_article(noun));
        let teacher = &recipe.teacher;
        let sources = [
            (SYSTEM, &recipe.student.system),
            (USER, &recipe.student.user),
            (RESTATE, &teacher.restate),
            (WRITER_REQUEST, &teacher.writer_request),
        ];
        for (name, source) in sources {
            let source = source.trim_start_matches('\n').to_owned();
            env.add_template_owned(name, source).map_err(|e| RecipeError::Template { name: name.into(), why: e.to_string() })?;
        }
        let digest = Digester::new().field(&recipe.student.system).field(&recipe.student.user).finish();
        let rubric = recipe.teacher.rubric.trim().to_owned();
        let structured_rubric = recipe.teacher.structured_rubric.trim().to_owned();
        let own_prompts = recipe.student.own_prompts;
        let renderer = Self { env, rubric, structured_rubric, own_prompts, digest };
        // Rendered once, so that an unknown variable shows now and the two below cannot fail later.
        let trial = WriterRequest { n: 1, set: 1, sets: 1, angle: "a".into(), others: vec!["o".into()], avoid: vec!["t".into()] };
        renderer.render(RESTATE, context! { why => "w" })?;
        renderer.render(WRITER_REQUEST, Value::from(Serde(trial)))?;
        Ok(renderer)
    }

    /// What a request that is asked once more adds, in the recipe's words; empty where the recipe has none.
    pub fn restated(&self, why: &str) -> String {
        self.render(RESTATE, context! { why }).unwrap_or_default().trim().to_owned()
    }

    /// What the writer of new articles is asked.
    pub fn writer_request(&self, request: &WriterRequest) -> String {
        self.render(WRITER_REQUEST, Value::from(Serde(request))).unwrap_or_default().trim().to_owned()
    }

    /// Digest of the student templates; it travels with every model trained on them.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    fn render(&self, name: &str, values: Value) -> Result<String, RecipeError> {
        let template = self.env.get_template(name);
        let text = template.and_then(|t| t.render(values));
        text.map_err(|e| RecipeError::Template { name: name.into(), why: e.to_string() })
    }

    /// The student's system prompt for a reader.
    pub fn system(&self, profile: &Profile) -> Result<String, RecipeError> {
        match profile.system_prompt.as_ref().filter(|_| self.own_prompts) {
            // The operator's own words, `<think>` included; only what a chat template would obey is taken out.
            Some(text) => Ok(safe_text(text).replace("<|", "< |")),
            None => self.render(SYSTEM, context! { profile => Serde(neutral_profile(profile)) }),
        }
    }

    /// What the student reads for one pair.
    pub fn student(&self, profile: &Profile, article: &Article) -> Result<StudentPrompt, RecipeError> {
        let system = self.system(profile)?;
        let user = self.render(USER, context! { article => Serde(variables(article)) })?;
        Ok(StudentPrompt { system, user })
    }

    /// The reader, as the teacher is told about it.
    pub fn reader(&self, profile: &Profile) -> String {
        let tracked = if profile.tracked.is_empty() { "none specific".to_owned() } else { profile.tracked.join(", ") };
        format!(
            "<profile>\nRole: {}\nLevel: {}\nLocation: {}\nSituation: {}\nReads for: {}\nTracks: {}\nInterests: {}\n</profile>",
            neutral(&profile.role),
            profile.seniority,
            neutral(&profile.location),
            neutral(&profile.context),
            profile.motivation,
            neutral(&tracked),
            neutral(&profile.interests.join(", ")),
        )
    }

    /// What the teacher reads for one pair. Reader and article are delimited and say nothing the rubric does not frame.
    pub fn teacher(&self, profile: &Profile, article: &Article, form: Form) -> TeacherPrompt {
        let dated = article.published.as_deref().map(|d| format!("Published: {}\n", neutral(d))).unwrap_or_default();
        let keywords = neutral(&article.keywords.join(", "));
        let filed = [("Category", neutral(&article.category)), ("Keywords", keywords)]
            .map(|(name, text)| if text.is_empty() { String::new() } else { format!("{name}: {text}\n") })
            .concat();
        let user = format!(
            "<article>\nSource: {} ({})\n{dated}{filed}Title: {}\n{}\n</article>",
            neutral(&article.source),
            article.source_type,
            neutral(&article.title),
            neutral(&article.summary),
        );
        let rubric = if form == Form::Text { &self.rubric } else { &self.structured_rubric };
        TeacherPrompt { rubric: rubric.clone(), reader: self.reader(profile), user }
    }
}

/// "a nurse", "an analyst".
fn with_article(noun: &str) -> String {
    let vowel = noun.trim_start().chars().next().is_some_and(|c| "aeiouAEIOU".contains(c));
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// Untrusted text as it may stand in a prompt: no control characters, and nothing that a chat template, a delimiter
/// or an answer parser would take for its own.
fn neutral(text: &str) -> String {
    let mut out = safe_text(text).replace("<|", "< |");
    for tag in ["think", "/think", "article", "/article", "profile", "/profile"] {
        out = out.replace(&format!("<{tag}>"), &format!("({tag})"));
    }
    out
}

fn neutral_profile(profile: &Profile) -> Profile {
    let mut p = profile.clone();
    for text in [&mut p.role, &mut p.location, &mut p.context, &mut p.description] {
        *text = neutral(text);
    }
    for list in [&mut p.tracked, &mut p.interests] {
        for item in list {
            *item = neutral(item);
        }
    }
    p
}

fn variables(article: &Article) -> ArticleVariables {
    ArticleVariables {
        id: article.id.to_string(),
        title: neutral(&article.title),
        summary: neutral(&article.summary),
        source: neutral(&article.source),
        source_type: article.source_type.to_string(),
        url: neutral(&article.url),
        published: article.published.as_deref().map(neutral).unwrap_or_default(),
        category: neutral(&article.category),
        keywords: article.keywords.iter().map(|word| neutral(word)).collect(),
    }
}
