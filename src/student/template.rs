//! The chat template: how messages become one text, as `tokenizer_config.json` says. Owns that file's template and its
//! jinja dialect; knows no ids.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value, context};
use serde_json::json;

use super::StudentError;
use super::tokenizer::{PAD, TURN_END, role_name};
use crate::domain::ChatMessage;

/// ChatML, as Qwen writes it for a conversation without tools. The think block is part of the assistant's content.
pub const CHATML: &str = "{%- for message in messages %}\
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}\
{{- '<|im_start|>assistant\\n' }}\
{%- endif %}";

const NAME: &str = "chat";

#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    env: Environment<'static>,
}

impl ChatTemplate {
    pub fn new(source: impl Into<String>) -> Result<Self, StudentError> {
        let source = source.into();
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.map_err(|e| StudentError::Template(e.to_string()))?);
        env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        env.add_template_owned(NAME, source.clone()).map_err(|e| StudentError::Template(e.to_string()))?;
        Ok(Self { source, env })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Messages as the model reads them; with `add_generation_prompt` they end where the assistant begins.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, StudentError> {
        let messages: Vec<Value> =
            messages.iter().map(|m| context! { role => role_name(m.role), content => m.content.as_str() }).collect();
        let template = self.env.get_template(NAME);
        template
            .and_then(|t| t.render(context! { messages, add_generation_prompt }))
            .map_err(|e| StudentError::Template(e.to_string()))
    }

    /// The text of `tokenizer_config.json`.
    pub fn to_json(&self) -> String {
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": self.source,
            "eos_token": TURN_END,
            "pad_token": PAD,
            "clean_up_tokenization_spaces": false,
            "add_bos_token": false,
        });
        format!("{config:#}")
    }

    pub fn load(path: &Path) -> Result<Self, StudentError> {
        let text = std::fs::read_to_string(path).map_err(StudentError::io(path))?;
        let config: serde_json::Value = serde_json::from_str(&text).map_err(|e| StudentError::file(path, e.to_string()))?;
        let source = config.get("chat_template").and_then(serde_json::Value::as_str);
        let source = source.ok_or_else(|| StudentError::file(path, "it has no chat_template"))?;
        Self::new(source).map_err(|e| StudentError::file(path, e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Role;

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
}
