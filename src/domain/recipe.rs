//! Recipes: everything a distillation system *is*, as data. Owns the schema of `data/recipes/*.toml` and the proofs
//! that a recipe makes sense; reading the file is `workspace`'s.

mod deploying;
mod training;

pub use deploying::{DeployRules, GateRules};
pub use training::{Method, NamedLimit, OrderStrategy, RunRules, Schedule, SeedlingRules, TokenLimit, TrainRules};
use training::{is_yes, yes};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Bands, DepthRules, Digest, Renderer, SourceType};

/// Why a recipe cannot be used. The loader adds the file's name.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RecipeError {
    #[error("{0}")]
    Toml(String),
    #[error("template {name}: {why}")]
    Template { name: String, why: String },
    #[error("{section}: {why}")]
    Invalid { section: &'static str, why: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub name: String,
    pub version: u32,
    pub summary: String,
    pub scale: Scale,
    pub bands: Bands,
    #[serde(default)]
    pub depth: DepthRules,
    pub teacher: TeacherRules,
    pub student: StudentRules,
    pub data: DataPolicy,
    pub train: TrainRules,
    pub seedling: SeedlingRules,
    pub sampling: Sampling,
    /// What a rank correlation within one reader is called, by lower edges from −1 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rho_tiers: Option<Bands>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awareness: Option<Awareness>,
    #[serde(default)]
    pub criteria: Vec<Criterion>,
    #[serde(default)]
    pub sanity: Sanity,
    #[serde(default, skip_serializing_if = "DeployRules::is_default")]
    pub deploy: DeployRules,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    pub min: f64,
    pub max: f64,
    /// Direction, precision and recall split here.
    pub relevant_from: f64,
    #[serde(default)]
    pub forbidden: Vec<f64>,
}

impl Scale {
    pub fn range(&self) -> (f64, f64) {
        (self.min, self.max)
    }

    /// Scores are written with one decimal, so 5.04 as text is 5.0.
    pub fn forbids(&self, score: f64) -> bool {
        self.forbidden.iter().any(|f| (f - score).abs() < 0.05)
    }

    pub fn middle(&self) -> f64 {
        f64::midpoint(self.min, self.max)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRules {
    pub max_output_tokens: u64,
    /// First answer and retries together.
    pub max_attempts: u32,
    pub pilot_requests: usize,
    pub rubric: String,
    /// The rubric for answers by JSON schema; a recipe without a think block is never asked that way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub structured_rubric: String,
    /// What a teacher is told who writes new articles. Empty: this recipe has no writer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub writer: String,
    /// Template of one request to the writer. Variables: n, set, sets, angle, others (readers as text), avoid (titles).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub writer_request: String,
    /// What several requests for one reader are told to be about in turn, so that they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writer_angles: Vec<String>,
    /// Template of what is added to a request that is asked once more. Variable: why. Empty: it is asked as it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub restate: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentRules {
    pub system: String,
    pub user: String,
    pub think: bool,
    /// Whether a system prompt that a reader's file gives word for word stands in the template's place. A recipe that asks
    /// for another answer than those prompts do says no.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub own_prompts: bool,
}

/// The check whether a student looks at the reader: articles × readers, with the adapter and without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Awareness {
    pub articles: usize,
    pub profiles: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataPolicy {
    pub profiles: String,
    pub articles: String,
    pub train_file: String,
    pub eval_file: String,
    pub eval_share: f64,
    pub max_repeat: usize,
    pub contrastive_delta: f64,
    pub min_profiles: usize,
    pub min_rows_per_profile: usize,
    /// Codes of the languages an article may be relevant in (guard D12); empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Least share of rows that no screen chose (guard D18).
    #[serde(default = "a_tenth", skip_serializing_if = "is_a_tenth")]
    pub min_random_share: f64,
    #[serde(default)]
    pub targets: Vec<MixTarget>,
    /// What rows of earlier training files are held to; absent: to nothing but being readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportPolicy>,
}

/// Which rows of chat and training files are kept; score files are not touched by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportPolicy {
    /// The least score that is kept: low ones of an earlier file may have been filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
    /// Only rows that describe one reader.
    pub single_profile: bool,
    /// Only rows whose score has one decimal and whose reason is one line.
    pub well_formed: bool,
}

/// Think blocks loop below this temperature, whatever a recipe says.
const THINK_FLOOR: f64 = 0.5;

/// What is asked where a recipe does not say: enough to see what a screen never lets through.
const RANDOM_SHARE: f64 = 0.1;

fn a_tenth() -> f64 {
    RANDOM_SHARE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_a_tenth(value: &f64) -> bool {
    (*value - RANDOM_SHARE).abs() < f64::EPSILON
}

/// A wanted share of training rows over some bands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixTarget {
    pub bands: Vec<String>,
    pub share: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: usize,
    pub max_new_tokens: usize,
    pub repeat_penalty: f32,
    pub temperature_floor: f64,
    /// Texts that end an answer, beside the end of the turn; they are cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Higher,
    Lower,
}

/// One success criterion. For `higher`: below `failure_below` fails, from `success_from` succeeds, from
/// `stretch_from` is a stretch, the rest is partial. For `lower`: mirrored with `failure_above`, `success_to`
/// (excluded) and `stretch_to` (excluded). A bound that is not given does not exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    pub metric: String,
    pub direction: Direction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_below: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_from: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch_from: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_to: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch_to: Option<f64>,
}

/// Articles whose scores everybody agrees on, for some readers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sanity {
    #[serde(default)]
    pub min_gap: f64,
    #[serde(default)]
    pub articles: Vec<SanityArticle>,
    #[serde(default)]
    pub cells: Vec<SanityCell>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SanityArticle {
    pub title: String,
    pub summary: String,
    pub source: String,
    pub source_type: SourceType,
    pub expect: Vec<Expectation>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

impl Expectation {
    pub fn holds(&self, score: f64) -> bool {
        self.min.is_none_or(|m| score >= m)
            && self.above.is_none_or(|a| score > a)
            && self.max.is_none_or(|m| score <= m)
            && self.below.is_none_or(|b| score < b)
    }

    /// "≥ 9.0", "5.0–7.0", "< 2.0"
    pub fn words(&self) -> String {
        let bounds = [("≥", self.min), (">", self.above), ("≤", self.max), ("<", self.below)];
        let parts: Vec<String> = bounds.iter().filter_map(|(sign, b)| b.map(|b| format!("{sign} {b:.1}"))).collect();
        parts.join(", ")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SanityCell {
    pub title: String,
    pub summary: String,
    pub source: String,
    pub source_type: SourceType,
    /// Checked on the teacher's answer but not required of the student.
    #[serde(default)]
    pub teacher_only: bool,
    #[serde(flatten)]
    pub expect: Expectation,
}

impl Recipe {
    /// Reads and proves a recipe.
    pub fn from_toml(text: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(text).map_err(|e| RecipeError::Toml(e.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// How students answer, whoever asks and whatever a file says: a recipe with think blocks never below the temperature
    /// where they begin to loop (guard S4).
    pub fn served_sampling(&self) -> Sampling {
        self.floored(&self.sampling)
    }

    /// The same for other rules.
    pub fn floored(&self, rules: &Sampling) -> Sampling {
        let floor = if self.student.think { self.sampling.temperature_floor.max(THINK_FLOOR) } else { 0.0 };
        Sampling { temperature: rules.temperature.max(floor), ..rules.clone() }
    }

    /// What the recipe calls a rank correlation; `None`: it has no names for them.
    pub fn rho_tier(&self, rho: f64) -> Option<&str> {
        self.rho_tiers.as_ref().map(|tiers| tiers.name_of(rho))
    }

    fn check(&self) -> Result<(), RecipeError> {
        let invalid = |section, why: String| Err(RecipeError::Invalid { section, why });
        if self.scale.min >= self.scale.max {
            return invalid("scale", format!("min {} is not below max {}", self.scale.min, self.scale.max));
        }
        let first_edge = self.bands.edges().next().unwrap_or(self.scale.min);
        if (first_edge - self.scale.min).abs() > f64::EPSILON {
            return invalid("bands", format!("the lowest band begins at {first_edge}, the scale at {}", self.scale.min));
        }
        for band in self.bands.names() {
            let tiers = self.depth.tiers.iter().filter(|t| t.bands.iter().any(|b| b == band)).count();
            if self.student.think && tiers != 1 {
                return invalid("depth", format!("band '{band}' belongs to {tiers} tiers; give it exactly one"));
            }
        }
        let named = self.depth.tiers.iter().flat_map(|t| &t.bands).chain(self.data.targets.iter().flat_map(|t| &t.bands));
        if let Some(unknown) = named.into_iter().find(|name| self.bands.index_of_name(name).is_none()) {
            return invalid("bands", format!("'{unknown}' is named but is not in the band table"));
        }
        let share: f64 = self.data.targets.iter().map(|t| t.share).sum();
        if !self.data.targets.is_empty() && (share - 1.0).abs() > 1e-6 {
            return invalid("data.targets", format!("the shares add up to {share}, not 1"));
        }
        if !(0.0..1.0).contains(&self.data.eval_share) {
            return invalid("data", format!("eval_share {} is not in [0, 1)", self.data.eval_share));
        }
        if self.data.max_repeat == 0 {
            return invalid("data", "max_repeat is 0; 1 means no repetition".into());
        }
        for (name, share) in [("prompt", self.seedling.prompt_dropout), ("hidden", self.seedling.hidden_dropout)] {
            if !(0.0..=0.5).contains(&share) {
                return invalid("seedling", format!("{name}_dropout {share} is not in [0, 0.5]"));
            }
        }
        if self.student.think && self.teacher.structured_rubric.trim().is_empty() {
            return invalid("teacher", "structured_rubric is missing; a recipe with a think block needs it".into());
        }
        if let Some(why) = self.train.defect() {
            return invalid("train", why);
        }
        if let Some(why) = self.deploy.defect() {
            return invalid("deploy", why);
        }
        if !(0.0..=1.0).contains(&self.data.min_random_share) {
            return invalid("data", format!("min_random_share {} is not in [0, 1]", self.data.min_random_share));
        }
        if let Some(tiers) = &self.rho_tiers
            && tiers.edges().next().is_none_or(|edge| edge > -1.0)
        {
            return invalid("rho_tiers", "the lowest tier must begin at -1, so that every correlation has one".into());
        }
        if self.awareness.is_some_and(|a| a.articles == 0 || a.profiles < 2) {
            return invalid("awareness", "it needs an article and two profiles at least".into());
        }
        for (section, run) in [("train", &self.train.run), ("seedling", &self.seedling.run)] {
            if let Some(why) = run.defect(self.bands.len()) {
                return invalid(section, why);
            }
        }
        if self.student.think && self.sampling.temperature < self.sampling.temperature_floor {
            return invalid(
                "sampling",
                format!(
                    "temperature {} is below the floor {}; think recipes loop there",
                    self.sampling.temperature, self.sampling.temperature_floor
                ),
            );
        }
        Renderer::new(self).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V19: &str = include_str!("../../data/recipes/stratos-v19.toml");

    #[test]
    fn the_shipped_recipe_is_sound() {
        let recipe = Recipe::from_toml(V19).expect("sound");
        assert_eq!(recipe.bands.names().collect::<Vec<_>>(), ["Noise", "Low", "Moderate", "High", "Critical"]);
        assert!(recipe.scale.forbids(5.0) && !recipe.scale.forbids(5.1));
    }

    #[test]
    fn a_recipe_with_a_flaw_is_refused_with_the_section() {
        let cases = [
            ("share = 0.25", "share = 0.35", "data.targets"),
            ("bands = [\"Critical\"]\nmin_words", "bands = [\"Hot\"]\nmin_words", "depth"),
            ("effective_batch = 32", "effective_batch = 33", "train"),
            ("temperature = 0.6", "temperature = 0.2", "sampling"),
            ("max_repeat = ", "max_repeat = 0 # ", "data"),
            ("{{ article.title }}", "{{ article.title ", "student.user"),
        ];
        for (good, bad, section) in cases {
            assert!(V19.contains(good), "{good}");
            let error = Recipe::from_toml(&V19.replacen(good, bad, 1)).expect_err(section).to_string();
            assert!(error.contains(section), "{section}: {error}");
        }
    }

    #[test]
    fn a_think_recipe_is_never_asked_below_its_floor_and_another_is_asked_as_it_says() {
        let mut recipe = Recipe::from_toml(V19).expect("sound");
        let at =
            |recipe: &Recipe, temperature: f64| recipe.floored(&Sampling { temperature, ..recipe.sampling.clone() }).temperature;
        let table = [(0.5, 0.0, 0.5), (0.5, 0.7, 0.7), (0.0, 0.1, 0.5), (0.6, 0.5, 0.6)];
        for (floor, asked, wanted) in table {
            recipe.sampling.temperature_floor = floor;
            assert!((at(&recipe, asked) - wanted).abs() < 1e-12, "{floor} {asked}");
        }
        recipe.student.think = false;
        assert!(at(&recipe, 0.0).abs() < 1e-12);
    }

    #[test]
    fn an_unknown_key_is_refused_not_ignored() {
        assert!(Recipe::from_toml(&V19.replacen("max_repeat", "max_repeats", 1)).is_err());
    }
}
