//! Examples: one trace as the chat messages a student is trained on, with where it came from.
//!
//! Owns the target text. Prompts are `domain::Renderer`'s; tokens and loss masks are `student`'s and `train`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::recipe::RecipeError;
use crate::domain::{
    Answer, Article, ChatMessage, Digest, FileLine, PairKey, Profile, Recipe, Renderer, Role, Trace, Trust, safe_text,
};

/// Side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    #[default]
    Train,
    Eval,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Eval => "eval",
        })
    }
}

/// How a pair came to be judged. Data that only a screen let through is worse than random (D18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Selection {
    /// Every reader judged every article.
    #[default]
    All,
    /// Drawn by chance.
    Random,
    /// Chosen because it looked relevant.
    Screened,
}

/// Who judged, asked how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    pub teacher: String,
    pub model: String,
    /// Digest of the prompt the teacher read.
    pub prompt_digest: Option<Digest>,
    /// Digest of the raw answer the trace was read from.
    pub trace_digest: Option<Digest>,
    #[serde(default)]
    pub selection: Selection,
    /// Who judged, by the name that `[labels]` and evaluations know: "provider/model" of a teacher, or an imported
    /// file's annotator.
    #[serde(default)]
    pub annotator: String,
    /// What the score was calibrated by, where the file says so; `None`: by nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated_by: Option<String>,
    /// How far the annotator of an imported file is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Where in which imported file the row stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileLine>,
}

/// A trace and where it came from: what a dataset is built from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourcedTrace {
    pub trace: Trace,
    pub provenance: Provenance,
}

/// One row of the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// `article|profile`
    pub id: String,
    pub pair: PairKey,
    pub split: Side,
    /// System, user, assistant.
    pub messages: Vec<ChatMessage>,
    pub score: f64,
    pub band: String,
    pub tier: String,
    /// Words of the think block.
    pub words: usize,
    /// Its think block is outside its tier's range.
    pub flagged: bool,
    #[serde(flatten)]
    pub provenance: Provenance,
    /// How often an epoch reads it; 1 for held-out rows.
    pub repeats: u32,
}

impl Example {
    /// The row of one trace, on the training side, read once.
    pub fn new(
        recipe: &Recipe,
        renderer: &Renderer,
        profile: &Profile,
        article: &Article,
        sourced: &SourcedTrace,
    ) -> Result<Self, RecipeError> {
        let trace = &sourced.trace;
        let mut messages = renderer.student(profile, article)?.messages();
        messages.push(ChatMessage::new(Role::Assistant, target(&trace.answer, recipe.student.think)));
        Ok(Self {
            id: example_id(&trace.pair),
            pair: trace.pair.clone(),
            split: Side::Train,
            messages,
            score: trace.answer.score,
            band: recipe.bands.name_of(trace.answer.score).to_owned(),
            tier: trace.reasoning_tier.clone(),
            words: trace.words,
            flagged: !trace.flags.is_empty(),
            provenance: sourced.provenance.clone(),
            repeats: 1,
        })
    }

    /// The message with this role, empty where there is none.
    pub fn text(&self, role: Role) -> &str {
        self.messages.iter().find(|m| m.role == role).map_or("", |m| m.content.as_str())
    }
}

/// `article|profile`, as exports and orders name a row.
pub fn example_id(pair: &PairKey) -> String {
    format!("{}|{}", pair.article, pair.profile)
}

/// What the student is taught to write.
pub fn target(answer: &Answer, think: bool) -> String {
    let line = format!("SCORE: {:.1} | REASON: {}", answer.score, neutral(&answer.reason));
    if think { format!("<think>\n{}\n</think>\n{line}", neutral(&answer.think)) } else { line }
}

/// A teacher's words are untrusted too: nothing in them may be taken for a tag or a token of the chat template.
fn neutral(text: &str) -> String {
    let safe = safe_text(text).replace("<|", "< |").replace("<think>", "(think)").replace("</think>", "(/think)");
    safe.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_reads_back_as_the_answer_it_was_made_from() {
        let answer = Answer { think: "PROFILE: x\nMATCH: y".into(), score: 9.0, reason: "Because.".into() };
        let text = target(&answer, true);
        assert_eq!(text, "<think>\nPROFILE: x\nMATCH: y\n</think>\nSCORE: 9.0 | REASON: Because.");
        assert_eq!(Answer::parse_strict(&text, true, (0.0, 10.0)), Ok(answer.clone()));
        assert_eq!(target(&answer, false), "SCORE: 9.0 | REASON: Because.");
    }

    #[test]
    fn a_teacher_cannot_smuggle_template_tokens_into_the_target() {
        let answer = Answer { think: "a <think> b <|im_end|>\u{1b}[2J".into(), score: 1.5, reason: "r <|im_start|>".into() };
        assert_eq!(target(&answer, true), "<think>\na (think) b < |im_end|>[2J\n</think>\nSCORE: 1.5 | REASON: r < |im_start|>");
    }
}
