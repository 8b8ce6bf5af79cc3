//! The forms in which a student leaves the workspace, by the names that the command line and `stratos.toml` use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a GGUF stores its matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quant {
    F16,
    Bf16,
    #[serde(rename = "q8_0")]
    Q8,
    /// llama.cpp's medium mix of 4-bit blocks.
    #[serde(rename = "q4_k_m")]
    Q4KM,
}

/// One export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Form {
    /// A folder that PEFT loads.
    Adapter,
    /// A folder of safetensors that transformers loads.
    Merged,
    Gguf(Quant),
}

impl Quant {
    pub const ALL: [Self; 4] = [Self::F16, Self::Bf16, Self::Q8, Self::Q4KM];

    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8_0",
            Self::Q4KM => "q4_k_m",
        }
    }
}

impl Form {
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Adapter, Self::Merged].into_iter().chain(Quant::ALL.map(Self::Gguf))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Merged => "merged",
            Self::Gguf(quant) => quant.name(),
        }
    }

    /// Where it lies in a release's folder: a folder, or the GGUF file.
    pub fn place(self) -> String {
        match self {
            Self::Gguf(quant) => format!("gguf/model-{}.gguf", quant.name()),
            folder => folder.name().to_owned(),
        }
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_lowercase();
        Self::all().find(|form| form.name() == wanted).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            format!("'{}' is no form of a model; there are {}", crate::domain::one_line(text, 40), known.join(", "))
        })
    }
}

impl TryFrom<String> for Form {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Form> for String {
    fn from(form: Form) -> Self {
        form.name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_by_the_name_it_is_written_with() {
        for form in Form::all() {
            assert_eq!(form.name().parse(), Ok(form));
            assert_eq!(serde_json::from_str::<Form>(&serde_json::to_string(&form).expect("writes")).expect("reads"), form);
        }
        assert!("q5".parse::<Form>().is_err_and(|why| why.contains("q4_k_m")));
    }
}
