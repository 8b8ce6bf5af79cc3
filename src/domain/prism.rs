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

    /// The fields as a JSON schema, in the strict form that every provider takes: all fields required, no others.
    pub fn schema() -> serde_json::Value {
        let text = serde_json::json!({"type": "string"});
        let kinds: Vec<String> = SignalKind::ALL.iter().map(ToString::to_string).collect();
        let signal = serde_json::json!({
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": kinds},
                "evidence": text,
                "weight": {"type": "string", "enum": ["STRONG", "WEAK", "NONE"]},
            },
            "required": ["kind", "evidence", "weight"],
            "additionalProperties": false,
        });
        serde_json::json!({
            "type": "object",
            "properties": {
                "profile": text,
                "recognise": text,
                "signals": {"type": "array", "items": signal},
                "strongest": text,
                "match": text,
                "score": {"type": "number"},
                "reason": text,
            },
            "required": ["profile", "recognise", "signals", "strongest", "match", "score", "reason"],
            "additionalProperties": false,
        })
    }

    /// Reads the fields as a model wrote them; each is put on one line, so that it stays one field of the think block.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let mut prism: Self = serde_json::from_str(text.trim()).map_err(|e| e.to_string())?;
        let one = |field: &mut String| *field = field.split_whitespace().collect::<Vec<_>>().join(" ");
        for field in [&mut prism.profile, &mut prism.recognise, &mut prism.strongest, &mut prism.verdict, &mut prism.reason] {
            one(field);
        }
        prism.signals.iter_mut().for_each(|s| one(&mut s.evidence));
        Ok(prism)
    }

    /// The answer of a recipe without a think block.
    pub fn score_line(&self) -> String {
        format!("SCORE: {:.1} | REASON: {}", self.score, self.reason)
    }

    /// The whole answer: think block, score line.
    pub fn answer(&self) -> String {
        format!("<think>\n{}\n</think>\n{}", self.think(), self.score_line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_a_think_block_and_the_schema_names_exactly_them() {
        let text = r#"{"profile":"a\nnurse","recognise":"r","signals":[{"kind":"PLACE","evidence":"e","weight":"WEAK"}],
            "strongest":"s","match":"m","score":7.25,"reason":"Because."}"#;
        let prism = Prism::from_json(text).expect("reads");
        let think = "<think>\nPROFILE: a nurse\nRECOGNISE: r\nSIGNALS: PLACE WEAK (e)\nSTRONGEST: s\nMATCH: m\n</think>";
        assert_eq!(prism.answer(), format!("{think}\nSCORE: 7.2 | REASON: Because."));
        let fields = serde_json::to_value(&prism).expect("serialises");
        let schema = Prism::schema();
        let named: Vec<&String> = schema["properties"].as_object().expect("object").keys().collect();
        assert_eq!(named, fields.as_object().expect("object").keys().collect::<Vec<_>>());
        assert!(Prism::from_json("SCORE: 7.0").is_err());
    }
}
