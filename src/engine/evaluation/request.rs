//! What can be asked of an evaluation: who predicts, on which rows, how. Owns the names that operators type; finding what
//! they name is its neighbours'.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::one_line;
use crate::domain::recipe::Sampling;
use crate::evaluate::BASELINES;

/// A name that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    #[error(
        "'{0}' is no predictor; use student, base, server, gguf:PATH, folder:PATH, teacher:NAME, file:PATH, constant, profile-median or lexical"
    )]
    Predictor(String),
    #[error("'{0}' is no row set; use held-out, train, sealed or file:PATH")]
    Rows(String),
    #[error("'{0}' is no sampling; use served or low")]
    Sampling(String),
}

/// Who predicts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PredictorChoice {
    /// The workspace's trained student, by the scorer of `[scoring]`.
    #[default]
    Student,
    /// The untuned base of the student.
    Base,
    /// What the server of `[scoring]` serves.
    Server,
    /// A GGUF file or a model's folder, in the embedded engine.
    Model(PathBuf),
    /// Kept judgements of a teacher or annotator.
    Teacher(String),
    /// A JSONL of predictions.
    File(PathBuf),
    /// One of [`BASELINES`].
    Baseline(String),
}

/// Which rows are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RowsChoice {
    /// The dataset's evaluation side.
    #[default]
    HeldOut,
    /// The dataset's training side.
    Train,
    /// What was sealed before any training.
    Sealed,
    /// A JSONL of scores.
    File(PathBuf),
}

/// How answers are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplingChoice {
    /// As the recipe serves.
    #[default]
    Served,
    /// At the recipe's temperature floor.
    Low,
}

/// One evaluation, as it is asked for. The default is the validation phase's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluationRequest {
    pub predictor: PredictorChoice,
    pub rows: RowsChoice,
    pub sampling: SamplingChoice,
    /// At most so many rows, drawn by band.
    pub limit: Option<usize>,
    /// Of the draw; absent: the workspace's.
    pub seed: Option<u64>,
    /// A stored run whose calibrator the scores go through, by the first digits of its id.
    pub calibrator: Option<String>,
    /// A teacher or a file of scores beside the truth, for the noise floor.
    pub second: Option<String>,
    /// A file of scores that baselines are fitted on, in place of the dataset's training side.
    pub fit: Option<PathBuf>,
    /// Why the seal is opened, where the rows are sealed; kept with the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl EvaluationRequest {
    /// Files that the operator named.
    pub(in crate::engine) fn files(&mut self) -> Vec<&mut PathBuf> {
        let predictor = match &mut self.predictor {
            PredictorChoice::Model(path) | PredictorChoice::File(path) => Some(path),
            _ => None,
        };
        let rows = match &mut self.rows {
            RowsChoice::File(path) => Some(path),
            _ => None,
        };
        predictor.into_iter().chain(rows).chain(&mut self.fit).collect()
    }
}

impl FromStr for PredictorChoice {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let unknown = || RequestError::Predictor(one_line(text, 80));
        let named = |rest: &str| if rest.trim().is_empty() { Err(unknown()) } else { Ok(rest.trim().to_owned()) };
        match text.split_once(':') {
            Some(("gguf" | "folder", path)) => return named(path).map(|p| Self::Model(p.into())),
            Some(("teacher", name)) => return named(name).map(Self::Teacher),
            Some(("file", path)) => return named(path).map(|p| Self::File(p.into())),
            _ => {}
        }
        match text {
            "student" => Ok(Self::Student),
            "base" => Ok(Self::Base),
            "server" => Ok(Self::Server),
            other => {
                let name = other.replace('-', " ");
                if BASELINES.contains(&name.as_str()) { Ok(Self::Baseline(name)) } else { Err(unknown()) }
            }
        }
    }
}

impl fmt::Display for PredictorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Student => f.write_str("student"),
            Self::Base => f.write_str("base"),
            Self::Server => f.write_str("server"),
            Self::Model(path) => {
                let kind = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) { "gguf" } else { "folder" };
                write!(f, "{kind}:{}", path.display())
            }
            Self::Teacher(name) => write!(f, "teacher:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Baseline(name) => f.write_str(&name.replace(' ', "-")),
        }
    }
}

impl FromStr for RowsChoice {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        match (text, text.split_once(':')) {
            ("held-out", _) => Ok(Self::HeldOut),
            ("train", _) => Ok(Self::Train),
            ("sealed", _) => Ok(Self::Sealed),
            (_, Some(("file", path))) if !path.trim().is_empty() => Ok(Self::File(path.trim().into())),
            _ => Err(RequestError::Rows(one_line(text, 80))),
        }
    }
}

impl fmt::Display for RowsChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldOut => f.write_str("held-out"),
            Self::Train => f.write_str("train"),
            Self::Sealed => f.write_str("sealed"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl FromStr for SamplingChoice {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        match text {
            "served" => Ok(Self::Served),
            "low" => Ok(Self::Low),
            _ => Err(RequestError::Sampling(one_line(text, 40))),
        }
    }
}

impl SamplingChoice {
    /// The recipe's rules, at this temperature.
    pub fn rules(self, recipe: &Sampling) -> Sampling {
        match self {
            Self::Served => recipe.clone(),
            Self::Low => Sampling { temperature: recipe.temperature_floor.min(recipe.temperature), ..recipe.clone() },
        }
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = RequestError;
            fn try_from(text: String) -> Result<Self, RequestError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(choice: $name) -> String {
                choice.to_string()
            }
        }
    )*};
}

as_text!(PredictorChoice, RowsChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_what_it_names() {
        let predictors =
            "student base server gguf:a/b.gguf folder:a/b teacher:second file:p.jsonl constant profile-median lexical";
        for name in predictors.split(' ') {
            let choice: PredictorChoice = name.parse().expect(name);
            assert_eq!(choice.to_string(), name);
        }
        for name in ["held-out", "train", "sealed", "file:rows.jsonl"] {
            let choice: RowsChoice = name.parse().expect(name);
            assert_eq!(choice.to_string(), name);
        }
        let request = EvaluationRequest { predictor: "lexical".parse().expect("known"), limit: Some(3), ..Default::default() };
        let text = serde_json::to_string(&request).expect("plain");
        assert_eq!(serde_json::from_str::<EvaluationRequest>(&text).expect("reads"), request);
    }

    #[test]
    fn a_name_that_names_nothing_is_refused_with_the_names_there_are() {
        for name in ["", "teacher:", "gguf: ", "oracle", "Student"] {
            let error = name.parse::<PredictorChoice>().expect_err(name).to_string();
            assert!(error.contains("profile-median"), "{name}: {error}");
        }
        assert!("eval".parse::<RowsChoice>().expect_err("unknown").to_string().contains("held-out"));
        assert!("hot".parse::<SamplingChoice>().expect_err("unknown").to_string().contains("served or low"));
    }
}
