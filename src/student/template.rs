//! The chat template: how messages become one text, as a model's files say. Owns where templates come from and their jinja
//! dialect, which is transformers'; knows no ids.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use serde::Serialize as _;
use serde_json::json;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::StudentError;
use super::tokenizer::{PAD, TURN_END, role_name};
use crate::domain::{ChatMessage, Role, one_line};

/// ChatML, as Qwen writes it for a conversation without tools. The think block is part of the assistant's content.
pub const CHATML: &str = "{%- for message in messages %}\
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}\
{{- '<|im_start|>assistant\\n' }}\
{%- endif %}";

const NAME: &str = "chat";
const CONFIG_FILE: &str = "tokenizer_config.json";
const JINJA_FILE: &str = "chat_template.jinja";
const JSON_FILE: &str = "chat_template.json";
const MAP_FILE: &str = "special_tokens_map.json";

#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    env: Environment<'static>,
    /// `tokenizer_config.json` as the model came with it; `None` for our own students.
    config: Option<serde_json::Value>,
    /// Names of tokens by their purpose: `bos_token`, `eos_token` ….
    names: BTreeMap<String, String>,
    thinking: Option<bool>,
}

fn failed(error: impl std::fmt::Display) -> StudentError {
    // Templates come from outside, and so do the words of their errors.
    StudentError::Template(one_line(&error.to_string(), 400))
}

impl ChatTemplate {
    pub fn new(source: impl Into<String>) -> Result<Self, StudentError> {
        let source = source.into();
        let names = [("eos_token", TURN_END), ("pad_token", PAD)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Ok(Self { env: environment(&source)?, source, config: None, names, thinking: None })
    }

    /// With the rest of a model's `tokenizer_config.json`.
    pub fn with_config(source: impl Into<String>, config: serde_json::Value) -> Result<Self, StudentError> {
        let names = token_names(&config);
        Ok(Self { config: Some(config), names, ..Self::new(source)? })
    }

    /// What [`ChatTemplate::with_thinking`] set.
    pub fn thinking(&self) -> Option<bool> {
        self.thinking
    }

    /// The same template with thinking on or off, where it asks for it; `None` leaves it to the template. It holds for
    /// training and for serving.
    #[must_use]
    pub fn with_thinking(mut self, thinking: Option<bool>) -> Self {
        self.thinking = thinking;
        self
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The name of the token with a purpose, such as `pad_token`.
    pub fn token(&self, purpose: &str) -> Option<&str> {
        self.names.get(purpose).map(String::as_str)
    }

    /// Messages as the model reads them; with `add_generation_prompt` they end where the assistant begins.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, StudentError> {
        let messages: Vec<Value> =
            messages.iter().map(|m| context! { role => role_name(m.role), content => m.content.as_str() }).collect();
        self.render_values(context! { messages, add_generation_prompt })
    }

    /// With any variables, which go before those a model brings itself.
    pub fn render_values(&self, variables: Value) -> Result<String, StudentError> {
        let thinking = self.thinking.map_or_else(|| context! {}, |enable_thinking| context! { enable_thinking });
        let names = Value::from_pairs(self.names.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let own = context! { tools => (), documents => () };
        let template = self.env.get_template(NAME);
        template.and_then(|t| t.render(context! { ..variables, ..thinking, ..names, ..own })).map_err(failed)
    }

    /// What it writes after an assistant's words.
    pub(super) fn after_answer(&self) -> Result<String, StudentError> {
        let words = "the-words-of-an-answer";
        let messages = [ChatMessage::new(Role::User, "question"), ChatMessage::new(Role::Assistant, words)];
        let text = self.render(&messages, false)?;
        let after = text.rsplit_once(words).map(|(_, after)| after.to_owned());
        after.ok_or_else(|| StudentError::Template("it leaves out what an assistant says".into()))
    }

    /// The text of `tokenizer_config.json`.
    pub fn to_json(&self) -> String {
        let own = || {
            json!({
                "tokenizer_class": "PreTrainedTokenizerFast",
                "chat_template": self.source,
                "eos_token": TURN_END,
                "pad_token": PAD,
                "clean_up_tokenization_spaces": false,
                "add_bos_token": false,
            })
        };
        let mut config = self.config.clone().unwrap_or_else(own);
        if let serde_json::Value::Object(config) = &mut config {
            config.insert("chat_template".into(), json!(self.settled()));
        }
        format!("{config:#}")
    }

    /// From `tokenizer_config.json` alone.
    pub fn load(path: &Path) -> Result<Self, StudentError> {
        let config = json_of(path)?;
        let source = named_source(&config).ok_or_else(|| StudentError::file(path, "it has no chat_template"))?;
        Self::with_config(source, config).map_err(|e| StudentError::file(path, e.to_string()))
    }

    /// From what `tokenizer_config.json` would say.
    pub(super) fn of_config(config: serde_json::Value) -> Result<Self, StudentError> {
        let source = named_source(&config).ok_or_else(|| StudentError::Template("there is no chat template".into()))?;
        Self::with_config(source, config)
    }

    /// From a model's folder: `chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`, in this order, as
    /// transformers looks.
    pub fn of_folder(folder: &Path) -> Result<Self, StudentError> {
        Self::beside(folder, json!({}))
    }

    /// Whether there is one at all: in a folder, or in a configuration for what its files do not say.
    pub(super) fn given(folder: &Path, fallback: &serde_json::Value) -> bool {
        let named = json_of(&folder.join(CONFIG_FILE)).is_ok_and(|config| named_source(&config).is_some());
        named || [JINJA_FILE, JSON_FILE].iter().any(|n| folder.join(n).is_file()) || named_source(fallback).is_some()
    }

    /// The same for readers that cannot be told whether to think: it says so itself.
    pub fn settled(&self) -> String {
        match self.thinking {
            // The first line break after a tag is taken for the tag's own.
            Some(thinking) => {
                let own = if self.source.starts_with('\n') { "\n" } else { "" };
                format!("{{% set enable_thinking = {thinking} %}}{own}{}", self.source)
            }
            None => self.source.clone(),
        }
    }

    /// As [`Self::of_folder`] with a configuration for what no file says.
    pub(super) fn beside(folder: &Path, fallback: serde_json::Value) -> Result<Self, StudentError> {
        let (file, config) = (folder.join(CONFIG_FILE), config_beside(folder, fallback)?);
        let (jinja, json) = (folder.join(JINJA_FILE), folder.join(JSON_FILE));
        let (source, from) = if jinja.is_file() {
            (Some(std::fs::read_to_string(&jinja).map_err(StudentError::io(&jinja))?), jinja)
        } else if json.is_file() {
            (named_source(&json_of(&json)?), json)
        } else {
            (named_source(&config), file)
        };
        let missing = || {
            let why = format!(
                "there is no chat template (neither {JINJA_FILE} nor one in {CONFIG_FILE} or in the GGUF): this may be a base \
                 model that was not taught to answer; take its instruct version, or put a template beside it as {JINJA_FILE}"
            );
            StudentError::file(folder, why)
        };
        Self::with_config(source.ok_or_else(missing)?, config).map_err(|e| StudentError::file(&from, e.to_string()))
    }
}

/// `tokenizer_config.json` of a folder, with the names of special tokens, and a fallback for what neither says.
pub(super) fn config_beside(folder: &Path, fallback: serde_json::Value) -> Result<serde_json::Value, StudentError> {
    let file = folder.join(CONFIG_FILE);
    let mut config = if file.is_file() { json_of(&file)? } else { json!({}) };
    let map = folder.join(MAP_FILE);
    let more = if map.is_file() { vec![json_of(&map)?, fallback] } else { vec![fallback] };
    for (key, value) in more.iter().filter_map(serde_json::Value::as_object).flatten() {
        if let Some(config) = config.as_object_mut().filter(|c| c.get(key).is_none_or(serde_json::Value::is_null)) {
            config.insert(key.clone(), value.clone());
        }
    }
    Ok(config)
}

fn json_of(path: &Path) -> Result<serde_json::Value, StudentError> {
    let text = std::fs::read_to_string(path).map_err(StudentError::io(path))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| StudentError::file(path, e.to_string()))?;
    if value.is_object() { Ok(value) } else { Err(StudentError::file(path, "it is not an object; fetch it again")) }
}

/// `chat_template` as one text, or the one named default of several.
fn named_source(config: &serde_json::Value) -> Option<String> {
    let text = |v: &serde_json::Value| v.as_str().map(str::to_owned);
    match config.get("chat_template")? {
        serde_json::Value::Array(named) => {
            let default = named.iter().find(|t| t.get("name").and_then(|n| n.as_str()) == Some("default"));
            text(default?.get("template")?)
        }
        one => text(one),
    }
}

/// Every `…_token` that has a name, as transformers gives them to templates.
fn token_names(config: &serde_json::Value) -> BTreeMap<String, String> {
    let name = |v: &serde_json::Value| v.as_str().or(v.get("content").and_then(|c| c.as_str())).map(str::to_owned);
    let all = config.as_object().into_iter().flatten().filter(|(key, _)| key.ends_with("_token") && !key.starts_with("add_"));
    all.filter_map(|(key, value)| Some((key.clone(), name(value)?))).collect()
}

/// jinja2 as transformers sets it up.
fn environment(source: &str) -> Result<Environment<'static>, StudentError> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.add_filter("tojson", tojson);
    env.add_function("raise_exception", |why: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, why))
    });
    env.add_function("strftime_now", strftime);
    env.add_template_owned(NAME, without_generation(source)).map_err(failed)?;
    Ok(env)
}

/// The day on which Llama's own template falls back. Not today: a prompt must not change between training and serving.
fn strftime(format: &str) -> Result<String, Error> {
    let day = jiff::civil::date(2024, 7, 26).at(0, 0, 0, 0);
    jiff::fmt::strtime::format(format, day).map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
}

/// `{% generation %}` marks where the assistant's words are; it writes nothing. White space around it is kept as it would be.
fn without_generation(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        plain.push_str(before);
        let inner = tag.trim_matches(['-', '+']);
        let (left, right) = tag.split_once(inner).unwrap_or_default();
        match inner.trim() {
            "generation" => plain.extend(["{%", left, " if true ", right, "%}"]),
            "endgeneration" => plain.extend(["{%", left, " endif ", right, "%}"]),
            _ => plain.extend(["{%", tag, "%}"]),
        }
        rest = after;
    }
    plain + rest
}

/// What is before, in and after the next block tag.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{%")?;
    let (tag, after) = rest.split_once("%}")?;
    Some((before, tag, after))
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`.
#[expect(clippy::needless_pass_by_value, reason = "minijinja gives filters their options by value")]
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?.map(|n| vec![b' '; n.min(16)]);
    let mut text = Vec::new();
    let written = match &indent {
        Some(indent) => value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(indent))),
        None => value.serialize(&mut Serializer::with_formatter(&mut text, Spaced)),
    };
    written.map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    String::from_utf8(text).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
}

/// Python's separators: a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, StudentError> {
        let messages = [ChatMessage::new(Role::User, "hi"), ChatMessage::new(Role::Assistant, "<b> & 'ü'")];
        ChatTemplate::new(source)?.render(&messages, true)
    }

    #[test]
    fn messages_become_chatml() {
        let messages = [ChatMessage::new(Role::System, "s {{ x }}"), ChatMessage::new(Role::User, "u\n<b>")];
        let template = ChatTemplate::new(CHATML).unwrap();
        let text = template.render(&messages, true).unwrap();
        assert_eq!(text, "<|im_start|>system\ns {{ x }}<|im_end|>\n<|im_start|>user\nu\n<b><|im_end|>\n<|im_start|>assistant\n");
        assert!(text.starts_with(&template.render(&messages[..1], false).unwrap()));
    }

    #[test]
    fn a_broken_template_is_an_error_at_once() {
        assert!(ChatTemplate::new("{% for x in %}").is_err());
    }

    #[test]
    fn templates_speak_the_dialect_of_transformers() {
        for (source, expected) in [
            ("{{ messages[1] | tojson }}", r#"{"role": "assistant", "content": "<b> & 'ü'"}"#),
            ("{{ [1, true, none, []] | tojson(indent=2) }}", "[\n  1,\n  true,\n  null,\n  []\n]"),
            (
                "{% for m in messages %}\n  {% if loop.last %}\n{{ m.content.strip('>').split(' ')[-1] }}\n  {% endif %}\n{% endfor %}",
                "'ü'\n",
            ),
            ("a {%- generation %} b {% endgeneration -%} c", "a b c"),
            ("{% generation %}\nx\n{% endgeneration %}\ny", "x\ny"),
            (
                "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% break %}{% endfor %}",
                "assistant",
            ),
            ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
            ("{{ bos_token }}|{{ eos_token }}|{{ messages[0].tool_calls }}", "|<|im_end|>|"),
            ("{% if tools is not none or documents %}x{% endif %}{{ enable_thinking is defined }}", "False"),
            ("{{ messages[0].get('name', 'none') }} {{ messages[::-1][0].role.upper() }}", "none ASSISTANT"),
        ] {
            assert_eq!(render(source).unwrap(), expected, "{source}");
        }
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err().to_string();
        assert!(error.contains("roles must alternate"), "{error}");
    }

    #[test]
    fn a_template_is_found_where_models_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let missing = ChatTemplate::of_folder(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("chat_template.jinja"), "{missing}");
        write(
            "tokenizer_config.json",
            r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default",
            "template": "{{ bos_token }}{{ eos_token }}"}], "bos_token": null, "eos_token": {"content": "</s>"}}"#,
        );
        write("special_tokens_map.json", r#"{"bos_token": "<s>", "eos_token": "other"}"#);
        let render = || ChatTemplate::of_folder(folder.path()).unwrap().render(&[], false).unwrap();
        assert_eq!(render(), "<s></s>");
        write("chat_template.json", r#"{"chat_template": "json {{ eos_token }}"}"#);
        assert_eq!(render(), "json </s>");
        write("chat_template.jinja", "jinja");
        assert_eq!(render(), "jinja");
        let again = ChatTemplate::of_folder(folder.path()).unwrap().to_json();
        assert!(again.contains("\"chat_template\": \"jinja\"") && again.contains("</s>"), "{again}");
    }
}
