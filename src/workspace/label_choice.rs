//! `[labels]` of `stratos.toml`: which judgements a dataset is built from, and whose counts where several judged a pair.

use serde::{Deserialize, Serialize};

use crate::domain::{Trust, one_line};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelChoice {
    /// "teacher": what distillation bought; "imported": files of labels.
    pub sources: Vec<String>,
    /// Annotators in order of preference: of a pair that several judged, the first one's judgement is taught and the others'
    /// are second opinions. Who is not named comes after: teachers, then imported files by trust.
    pub annotators: Vec<String>,
    /// Annotators whose labels do not take part.
    pub exclude: Vec<String>,
    /// Imported labels of less trust do not take part.
    pub min_trust: Trust,
    /// Imported labels of readers with fewer of them do not take part: a reader of a few rows stops a build (guard D1) and
    /// teaches little. 0: all take part.
    pub min_rows_per_reader: usize,
}

impl Default for LabelChoice {
    fn default() -> Self {
        let sources = SOURCES.map(str::to_owned).to_vec();
        Self { sources, annotators: Vec::new(), exclude: Vec::new(), min_trust: Trust::Low, min_rows_per_reader: 0 }
    }
}

const SOURCES: [&str; 2] = ["teacher", "imported"];

impl LabelChoice {
    pub fn takes_teacher(&self) -> bool {
        self.sources.iter().any(|source| source == "teacher")
    }

    pub fn takes_imported(&self) -> bool {
        self.sources.iter().any(|source| source == "imported")
    }

    pub fn excludes(&self, annotator: &str) -> bool {
        self.exclude.iter().any(|name| name == annotator)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(odd) = self.sources.iter().find(|s| !SOURCES.contains(&s.as_str())) {
            return Err(format!("labels.sources: '{}' is no source; use \"teacher\" and \"imported\"", one_line(odd, 40)));
        }
        if self.sources.is_empty() {
            return Err("labels.sources is empty; name \"teacher\", \"imported\" or both".into());
        }
        if let Some(both) = self.annotators.iter().find(|name| self.excludes(name)) {
            return Err(format!("labels: '{}' is both preferred and excluded", one_line(both, 40)));
        }
        Ok(())
    }
}
