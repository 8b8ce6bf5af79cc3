//! Messages ↔ ids: template and tokenizer together. One path for training and for generation, so what is served is
//! encoded as what was trained; owns the loss mask.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ChatTemplate, StudentError, StudentTokenizer, tokenizer};
use crate::domain::{ChatMessage, Role};

#[derive(Debug, Clone)]
pub struct Codec {
    pub tokenizer: StudentTokenizer,
    pub template: ChatTemplate,
}

/// A training text as ids. Tokens from `loss_from` on are predicted and carry loss, the last of them the end of turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    pub ids: Vec<u32>,
    pub loss_from: usize,
}

impl Encoded {
    pub fn loss_tokens(&self) -> usize {
        self.ids.len() - self.loss_from
    }
}

/// One token of a training text for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedPiece {
    pub text: String,
    pub loss: bool,
}

impl Codec {
    /// The text side of a model's folder: `tokenizer.json` and the template, wherever it lies.
    pub fn load(folder: &Path) -> Result<Self, StudentError> {
        let inner = tokenizer::of_folder(folder)?;
        let template = ChatTemplate::of_folder(folder)?;
        let tokenizer = StudentTokenizer::of_model(inner, &template);
        Ok(Self { tokenizer: tokenizer.map_err(|e| StudentError::file(folder, e.to_string()))?, template })
    }

    /// Ids of a conversation up to where the assistant writes. Where the last message is the assistant's, it has written
    /// that already and goes on from there; encoded apart, as drawn tokens meet a prompt.
    pub fn prompt(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, StudentError> {
        let (asked, begun) = self.asked(messages)?;
        let mut ids = self.tokenizer.encode(&asked)?;
        if !begun.is_empty() {
            ids.extend(self.tokenizer.encode(begun)?);
        }
        Ok(ids)
    }

    /// The text of a conversation up to where the assistant begins, and what it has written already.
    pub fn asked<'a>(&self, messages: &'a [ChatMessage]) -> Result<(String, &'a str), StudentError> {
        match messages.split_last() {
            Some((last, before)) if last.role == Role::Assistant => Ok((self.template.render(before, true)?, &last.content)),
            _ => Ok((self.template.render(messages, true)?, "")),
        }
    }

    /// Ids of a conversation whose last message is the assistant's, and where the loss begins. Prompt and answer are
    /// encoded apart, exactly as they meet when the student writes.
    pub fn example(&self, messages: &[ChatMessage]) -> Result<Encoded, StudentError> {
        let Some((_, before)) = messages.split_last() else {
            return Err(StudentError::Template("an example without messages".into()));
        };
        let prompt = self.template.render(before, true)?;
        let whole = self.template.render(messages, false)?;
        let answer = whole.strip_prefix(&prompt).ok_or_else(|| {
            StudentError::Template(
                "its generation prompt is not how this assistant's turn begins; training and serving would differ (a template \
                 with thinking switched off has already written an empty think block: answers must come without thoughts then)"
                    .into(),
            )
        })?;
        let (answer, end) = (answer.trim_end(), self.tokenizer.end_name());
        if !answer.ends_with(&end) {
            return Err(StudentError::Template(format!(
                "an assistant's turn does not end with {end}; nothing would end an answer"
            )));
        }
        let mut ids = self.tokenizer.encode(&prompt)?;
        let loss_from = ids.len();
        ids.extend(self.tokenizer.encode(answer)?);
        Ok(Encoded { ids, loss_from })
    }

    /// The loss mask of an example, token by token.
    pub fn mask(&self, messages: &[ChatMessage]) -> Result<Vec<MaskedPiece>, StudentError> {
        let encoded = self.example(messages)?;
        let piece = |(i, id): (usize, &u32)| MaskedPiece { text: self.tokenizer.piece(*id), loss: i >= encoded.loss_from };
        Ok(encoded.ids.iter().enumerate().map(piece).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::template::CHATML;
    use super::super::tokenizer::tests::toy as toy_tokenizer;
    use super::*;

    pub fn toy() -> Codec {
        Codec { tokenizer: toy_tokenizer(), template: ChatTemplate::new(CHATML).unwrap() }
    }

    pub fn conversation(answer: &str) -> Vec<ChatMessage> {
        let turn = ChatMessage::new;
        vec![turn(Role::System, "reader"), turn(Role::User, "the news"), turn(Role::Assistant, answer)]
    }

    #[test]
    fn the_answer_and_its_end_carry_loss_and_nothing_else_does() {
        let codec = toy();
        let messages = conversation("<think>\nweak\n</think>\nSCORE: 1.5 | REASON: no.");
        let pieces = codec.mask(&messages).unwrap();
        let text = |loss: bool| pieces.iter().filter(|p| p.loss == loss).map(|p| p.text.as_str()).collect::<String>();
        assert_eq!(text(true), "<think>\nweak\n</think>\nSCORE: 1.5 | REASON: no.<|im_end|>");
        assert_eq!(text(false), codec.template.render(&messages[..2], true).unwrap());
    }

    #[test]
    fn what_is_trained_begins_with_what_is_served() {
        let codec = toy();
        let messages = conversation("<think>\nweak\n</think>\nSCORE: 1.5 | REASON: no.");
        let encoded = codec.example(&messages).unwrap();
        assert_eq!(encoded.ids[..encoded.loss_from], codec.prompt(&messages[..2]).unwrap());
        assert_eq!(encoded.ids.last(), Some(&codec.tokenizer.end()));
    }

    #[test]
    fn an_answer_that_was_begun_is_gone_on_from_where_it_stands() {
        let codec = toy();
        let whole = "<think>\nweak\n</think>\nSCORE: 1.5 | REASON: no.";
        let encoded = codec.example(&conversation(whole)).unwrap();
        for begun in ["<think>\nweak\n</think>\n", "<think>\n", ""] {
            let ids = codec.prompt(&conversation(begun)).unwrap();
            assert_eq!(encoded.ids[..ids.len()], ids, "{begun:?}");
        }
        let messages = conversation("<think>");
        let (asked, begun) = codec.asked(&messages).unwrap();
        assert!(asked.ends_with("assistant\n") && begun == "<think>");
    }

    #[test]
    fn a_template_that_ends_no_turn_is_refused() {
        let mut codec = toy();
        codec.template = ChatTemplate::new("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}").unwrap();
        assert!(codec.example(&conversation("x")).unwrap_err().to_string().contains("<|im_end|>"));
    }

    /// As Qwen3's template has it: the last answer always gets a think block, the prompt an empty one where thinking is off.
    const THINKING: &str = "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}\
{%- if m.role == 'assistant' %}{%- set parts = m.content.split('</think>') %}\
{%- set thought = parts[0].split('<think>')[-1].strip('\\n') if parts|length > 1 else '' %}\
{{- '<think>\\n' + thought + '\\n</think>\\n\\n' + parts[-1].lstrip('\\n') }}\
{%- else %}{{- m.content }}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}\
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}";

    fn answer(thinking: Option<bool>, content: &str) -> Result<String, StudentError> {
        let template = ChatTemplate::new(THINKING).unwrap().with_thinking(thinking);
        let codec = Codec { tokenizer: toy_tokenizer(), template };
        let messages = conversation(content);
        let encoded = codec.example(&messages)?;
        assert_eq!(encoded.ids[..encoded.loss_from], codec.prompt(&messages[..2])?);
        assert_eq!(encoded.ids.last(), Some(&codec.tokenizer.end()));
        Ok(encoded.ids[encoded.loss_from..].iter().map(|id| codec.tokenizer.piece(*id)).collect())
    }

    #[test]
    fn a_template_that_always_thinks_is_followed_on_both_sides() {
        let thought = "<think>\nweak\n</think>\n\nSCORE: 1";
        let end = |text: &str| format!("{text}<|im_end|>");
        for thinking in [None, Some(true)] {
            assert_eq!(answer(thinking, thought).unwrap(), end(thought));
            assert_eq!(answer(thinking, "SCORE: 1").unwrap(), end("<think>\n\n</think>\n\nSCORE: 1"));
        }
        assert_eq!(answer(Some(false), "SCORE: 1").unwrap(), end("SCORE: 1"));
        let error = answer(Some(false), thought).unwrap_err().to_string();
        assert!(error.contains("thinking switched off"), "{error}");
    }
}
