//! PRISM: profile, recognise, identify weighted signals, score by the strongest, match verdict.
//! Owns the structured think block and its two renderings (text and fields); which signals an article holds is a teacher's matter.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a piece of evidence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignalKind {
    /// A tracked name occurs.
    Entity,
    /// The reader's trade and level.
    Role,
    /// The reader's city, country or region.
    Place,
    /// A followed topic.
    Interest,
    /// Something to do: apply, register, buy, watch.
    Action,
    /// Fresh, dated or expired.
    Timing,
    /// Official, press, blog.
    Source,
}

impl SignalKind {
    pub const ALL: [Self; 7] = [Self::Entity, Self::Role, Self::Place, Self::Interest, Self::Action, Self::Timing, Self::Source];
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Entity => "ENTITY",
            Self::Role => "ROLE",
            Self::Place => "PLACE",
            Self::Interest => "INTEREST",
            Self::Action => "ACTION",
            Self::Timing => "TIMING",
            Self::Source => "SOURCE",
        })
    }
}

/// How much a signal weighs. The strongest decides; weak ones do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Weight {
    None,
    Weak,
    Strong,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "NONE",
            Self::Weak => "WEAK",
            Self::Strong => "STRONG",
        })
    }
}

/// One weighted piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    pub kind: SignalKind,
    pub evidence: String,
    pub weight: Weight,
}

/// A think block in fields, with the score and reason that follow it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prism {
    pub profile: String,
    pub recognise: String,
    pub signals: Vec<Signal>,
    pub strongest: String,
    #[serde(rename = "match")]
    pub verdict: String,
    pub score: f64,
    pub reason: String,
}

impl Prism {
    /// The text between the think tags.
    pub fn think(&self) -> String {
        let signals: Vec<String> = self.signals.iter().map(|s| format!("{} {} ({})", s.kind, s.weight, s.evidence)).collect();
        let mut lines = vec![format!("PROFILE: {}", self.profile), format!("RECOGNISE: {}", self.recognise)];
        if !signals.is_empty() {
            lines.push(format!("SIGNALS: {}", signals.join("; ")));
        }
        lines.push(format!("STRONGEST: {}", self.strongest));
        lines.push(format!("MATCH: {}", self.verdict));
        lines.join("\n")
    }

    /// The whole answer: think block, score line.
    pub fn answer(&self) -> String {
        format!("<think>\n{}\n</think>\nSCORE: {:.1} | REASON: {}", self.think(), self.score, self.reason)
    }
}
