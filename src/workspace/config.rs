//! `stratos.toml`: what one workspace chooses. Everything that a system *is* stands in the recipe instead.

use serde::{Deserialize, Serialize};

/// The configuration of a workspace. Every key has a default, so an empty file is the embedded default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name of a file in `data/recipes/`, or of a shipped recipe.
    pub recipe: String,
    /// Seeds the split, the order, the initial weights and the sampling.
    pub seed: u64,
    /// Name of a file in `themes/`, or of a shipped theme.
    pub theme: String,
    pub teacher: TeacherChoice,
    pub student: StudentChoice,
    pub select: Select,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeacherChoice {
    pub provider: String,
    pub model: String,
    /// The rehearsal teacher spoils this share of first answers, so that rejects and retries are rehearsed too.
    pub rehearsal_faults: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudentChoice {
    /// "seedling": the practice student of the recipe.
    pub base: String,
}

/// Which of the stored profiles and articles take part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Select {
    /// Ids; empty = all.
    pub profiles: Vec<String>,
    /// "shipped", "imported"; empty = both. For profiles and articles alike.
    pub origins: Vec<String>,
    /// At most so many articles, a seeded sample; 0 = all.
    pub max_articles: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            recipe: "stratos-v19".into(),
            seed: 19,
            theme: "dark".into(),
            teacher: TeacherChoice::default(),
            student: StudentChoice::default(),
            select: Select::default(),
        }
    }
}

impl Default for TeacherChoice {
    fn default() -> Self {
        Self { provider: "rehearsal".into(), model: "rehearsal-prism-1".into(), rehearsal_faults: 0.01 }
    }
}

impl Default for StudentChoice {
    fn default() -> Self {
        Self { base: "seedling".into() }
    }
}

impl Config {
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if let Some(odd) = config.select.origins.iter().find(|o| !["shipped", "imported"].contains(&o.as_str())) {
            return Err(format!("select.origins: '{odd}' is not an origin; use \"shipped\" or \"imported\""));
        }
        if config.student.base != "seedling" {
            return Err(format!("student.base '{}': only \"seedling\" is built in so far", config.student.base));
        }
        if !(0.0..=0.5).contains(&config.teacher.rehearsal_faults) {
            return Err("teacher.rehearsal_faults must lie between 0 and 0.5".into());
        }
        Ok(config)
    }

    pub fn to_toml(&self) -> String {
        // Plain scalars and lists always serialise.
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_embedded_default() {
        assert_eq!(Config::from_toml(""), Ok(Config::default()));
        assert_eq!(Config::from_toml(&Config::default().to_toml()), Ok(Config::default()));
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(Config::from_toml("recipee = 'x'").expect_err("unknown key").contains("recipee"));
        assert!(Config::from_toml("[select]\norigins = ['web']").expect_err("unknown origin").contains("web"));
    }
}
