//! The cache of answers: what names one, and how it is stored. A prompt, a model, a quantisation, a sampling or a seed that
//! changed names another (guard S9).

use super::super::job::Failure;
use crate::deploy::Pass;
use crate::domain::recipe::Sampling;
use crate::domain::{Digest, Digester};
use crate::student::{Generated, Prompt};
use crate::workspace::{CachedAnswer, Ledger};

/// Everything that decides an answer beside its prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    /// Of the model and who serves it.
    pub model: Digest,
    pub runtime: String,
    pub rules: Sampling,
    pub seed: u64,
    pub pass: Pass,
}

impl Terms {
    /// Names the answer to a prompt. The think pass of a cascade answers as the only pass does.
    pub fn key(&self, prompt: &Prompt) -> Digest {
        let role = if self.pass == Pass::Fast { "fast" } else { "think" };
        Digester::new()
            .field(self.model.as_str())
            .field(&self.runtime)
            .field(Digest::of_json(&prompt.messages).as_str())
            .field(Digest::of_json(&self.rules).as_str())
            .field(self.seed.to_le_bytes())
            .field(role)
            .finish()
    }
}

/// The answer that is kept under a key, as the row `id`'s.
pub(super) fn find(ledger: &Ledger, key: &Digest, id: &str) -> Result<Option<Generated>, Failure> {
    let Some(kept) = ledger.cached_answer(key)? else { return Ok(None) };
    // An older version's word for an end is asked anew.
    let Ok(stop) = serde_json::from_str(&kept.stop) else { return Ok(None) };
    Ok(Some(Generated {
        id: id.to_owned(),
        text: kept.output,
        tokens: kept.tokens,
        prompt_tokens: kept.prompt_tokens,
        stop,
        expected_score: kept.expected,
    }))
}

pub(super) fn keep(ledger: &mut Ledger, key: &Digest, release: &str, written: &Generated) -> Result<(), Failure> {
    let answer = CachedAnswer {
        output: written.text.clone(),
        stop: serde_json::to_string(&written.stop).unwrap_or_default(),
        tokens: written.tokens,
        prompt_tokens: written.prompt_tokens,
        expected: written.expected_score,
    };
    Ok(ledger.put_cached_answer(key, release, &answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatMessage, Role};

    fn terms() -> Terms {
        let rules = Sampling {
            temperature: 0.6,
            top_p: 0.95,
            top_k: 20,
            max_new_tokens: 64,
            repeat_penalty: 1.1,
            temperature_floor: 0.5,
            stop: Vec::new(),
        };
        Terms { model: Digest::of("model"), runtime: "stratos f32 cpu".into(), rules, seed: 19, pass: Pass::Only }
    }

    fn prompt(system: &str, user: &str) -> Prompt {
        Prompt { id: "a|p".into(), messages: vec![ChatMessage::new(Role::System, system), ChatMessage::new(Role::User, user)] }
    }

    #[test]
    fn whatever_decides_an_answer_names_another() {
        let (terms, asked) = (terms(), prompt("s", "u"));
        let key = terms.key(&asked);
        let rules = |change: fn(&mut Sampling)| {
            let mut other = terms.clone();
            change(&mut other.rules);
            other
        };
        let others = [
            ("the model", Terms { model: Digest::of("other"), ..terms.clone() }),
            ("the quantisation", Terms { runtime: "llama.cpp b1 Q8_0 server x".into(), ..terms.clone() }),
            ("the seed", Terms { seed: 20, ..terms.clone() }),
            ("the pass", Terms { pass: Pass::Fast, ..terms.clone() }),
            ("the temperature", rules(|r| r.temperature = 0.7)),
            ("the length", rules(|r| r.max_new_tokens = 65)),
            ("the stops", rules(|r| r.stop = vec!["|".into()])),
        ];
        for (what, other) in others {
            assert_ne!(other.key(&asked), key, "{what}");
        }
        for (system, user) in [("s!", "u"), ("s", "u!"), ("su", ""), ("", "su")] {
            assert_ne!(terms.key(&prompt(system, user)), key, "{system}|{user}");
        }
    }

    #[test]
    fn the_think_pass_of_a_cascade_takes_what_the_only_pass_was_told() {
        let think = Terms { pass: Pass::Think, ..terms() };
        assert_eq!(think.key(&prompt("s", "u")), terms().key(&prompt("s", "u")));
    }
}
