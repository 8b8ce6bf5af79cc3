//! `stratos.toml`: what one workspace chooses. Everything that a system *is* stands in the recipe instead.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{DeployChoice, ExportChoice, FeedChoice, LabelChoice, ScoringChoice, TrainChoice};
use crate::domain::one_line;

/// The recipe with short reasons, whose prompts the fast pass of a cascade reads where nothing else is said.
pub(super) const SHORT_RECIPE: &str = "stratos-v2";

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
    /// The console hears the mouse; the terminal's own selection then needs shift.
    pub mouse: bool,
    /// The console's keys where they differ from its own: names of actions and lists of keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Vec<String>>,
    pub teacher: TeacherChoice,
    /// Further teachers by name, for second opinions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub teachers: BTreeMap<String, TeacherChoice>,
    pub student: StudentChoice,
    pub labels: LabelChoice,
    pub scoring: ScoringChoice,
    pub train: TrainChoice,
    pub export: ExportChoice,
    pub deploy: DeployChoice,
    pub select: Select,
    /// Where 'stratos articles fetch' looks for articles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<FeedChoice>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TeacherChoice {
    /// "rehearsal", "anthropic", "openai", "gemini" or "compatible" (any server with OpenAI's chat API).
    pub provider: String,
    pub model: String,
    /// The rehearsal teacher spoils this share of first answers, so that rejects and retries are rehearsed too.
    pub rehearsal_faults: f64,
    /// Where the API is, if not at the provider's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Name of the environment variable that holds the key, if not the provider's usual one. Never the key itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
    /// Answers by JSON schema; absent: where the provider supports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub structured: Option<bool>,
    /// Marks the prompts' shared front for the provider's cache.
    pub cache: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How hard a reasoning model thinks, in the provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Requests of one batch, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batch: Option<usize>,
    /// Seconds between two looks at a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_seconds: Option<f64>,
    /// Seconds after which a batch that nobody finds at the provider counts as never made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_seconds: Option<f64>,
    /// Requests under way at once, where they are asked one by one.
    pub concurrency: usize,
    pub pilot: Pilot,
}

/// Whether a few requests are bought first, to see what answers look like and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pilot {
    /// Where there is much to buy and nothing like it was bought before.
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudentChoice {
    /// "seedling": the practice student of the recipe. Else a model's folder, a GGUF file, or a hub id that was pulled.
    pub base: String,
}

/// Which of the stored profiles and articles take part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Select {
    /// Ids; empty = all.
    pub profiles: Vec<String>,
    /// "shipped", "imported"; empty = both. For profiles and articles alike. "labels": what came with files of labels, which
    /// is judged already and takes part in distillation only if it is named.
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
            mouse: true,
            keys: BTreeMap::new(),
            teacher: TeacherChoice::default(),
            teachers: BTreeMap::new(),
            student: StudentChoice::default(),
            labels: LabelChoice::default(),
            scoring: ScoringChoice::default(),
            train: TrainChoice::default(),
            export: ExportChoice::default(),
            deploy: DeployChoice::default(),
            select: Select::default(),
            feeds: Vec::new(),
        }
    }
}

impl Default for TeacherChoice {
    fn default() -> Self {
        Self {
            provider: "rehearsal".into(),
            model: "rehearsal-prism-1".into(),
            rehearsal_faults: 0.01,
            base_url: None,
            key_env: None,
            structured: None,
            cache: true,
            temperature: None,
            effort: None,
            max_batch: None,
            poll_seconds: None,
            settle_seconds: None,
            concurrency: 4,
            pilot: Pilot::Auto,
        }
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
        if let Some(odd) = config.select.origins.iter().find(|o| !["shipped", "imported", "labels"].contains(&o.as_str())) {
            return Err(format!("select.origins: '{odd}' is not an origin; use \"shipped\", \"imported\" or \"labels\""));
        }
        if config.student.base.trim().is_empty() {
            return Err("student.base is empty; use \"seedling\", a model's folder, a .gguf file or a hub id".into());
        }
        config.feeds.iter().try_for_each(FeedChoice::check)?;
        config.labels.check()?;
        config.scoring.check()?;
        config.train.check()?;
        config.export.check()?;
        config.deploy.check()?;
        config.teacher.check("teacher")?;
        for (name, teacher) in &config.teachers {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                return Err(format!("teachers: '{}' is no name; use letters, digits, - and _", one_line(name, 40)));
            }
            teacher.check(&format!("teachers.{name}"))?;
        }
        Ok(config)
    }

    pub fn to_toml(&self) -> String {
        // Plain scalars and lists always serialise.
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

const PROVIDERS: [&str; 5] = ["rehearsal", "anthropic", "openai", "gemini", "compatible"];

impl TeacherChoice {
    /// `place`: the table's name in the file.
    fn check(&self, place: &str) -> Result<(), String> {
        if !PROVIDERS.contains(&self.provider.as_str()) {
            let known = PROVIDERS.join(", ");
            return Err(format!("{place}.provider '{}' is not known; use one of {known}", one_line(&self.provider, 40)));
        }
        if self.model.trim().is_empty() {
            return Err(format!("{place}.model is empty; name a model of {}", self.provider));
        }
        self.check_numbers(place)?;
        if self.effort.as_ref().is_some_and(|e| e.is_empty() || !e.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            return Err(format!("{place}.effort must be one of the provider's words, such as \"low\""));
        }
        // What stands here may be a key by mistake, so it is not shown.
        let is_name = |name: &String| {
            let rest = |c: char| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit();
            name.starts_with(|c: char| c == '_' || c.is_ascii_uppercase()) && name.chars().all(rest)
        };
        if !self.key_env.as_ref().is_none_or(is_name) {
            return Err(format!(
                "{place}.key_env must be the name of an environment variable, such as MY_API_KEY; the key itself never stands in this file"
            ));
        }
        match &self.base_url {
            Some(url) => self.check_url(place, url),
            None if self.provider == "compatible" => {
                Err(format!("{place}.base_url is missing; a compatible server needs one, such as \"http://127.0.0.1:11434/v1\""))
            }
            None => Ok(()),
        }
    }

    fn check_numbers(&self, place: &str) -> Result<(), String> {
        if !(0.0..=0.5).contains(&self.rehearsal_faults) {
            return Err(format!("{place}.rehearsal_faults must lie between 0 and 0.5"));
        }
        if self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            return Err(format!("{place}.temperature must lie between 0 and 2"));
        }
        if self.max_batch == Some(0) {
            return Err(format!("{place}.max_batch must be at least 1"));
        }
        if self.poll_seconds.is_some_and(|s| !(0.001..=86_400.0).contains(&s)) {
            return Err(format!("{place}.poll_seconds must lie between 0.001 and 86400"));
        }
        if self.settle_seconds.is_some_and(|s| !(0.001..=86_400.0).contains(&s)) {
            return Err(format!("{place}.settle_seconds must lie between 0.001 and 86400"));
        }
        if !(1..=64).contains(&self.concurrency) {
            return Err(format!("{place}.concurrency must lie between 1 and 64"));
        }
        Ok(())
    }

    fn check_url(&self, place: &str, text: &str) -> Result<(), String> {
        let url = reqwest::Url::parse(text).map_err(|e| format!("{place}.base_url is not a url: {e}"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "{place}.base_url may hold no user, password, query or fragment; a key belongs into the environment or the keyring"
            ));
        }
        let host = url.host_str().filter(|_| ["http", "https"].contains(&url.scheme()));
        let Some(host) = host else {
            return Err(format!("{place}.base_url must begin with http:// or https:// and a host"));
        };
        let has_key = self.provider != "compatible" || self.key_env.is_some();
        if url.scheme() == "http" && has_key && !is_near(host) {
            return Err(format!(
                "{place}.base_url: {host} is not on this network, and a key would travel in the clear; use https://"
            ));
        }
        Ok(())
    }
}

/// Whether a host is this machine or one of its network.
fn is_near(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => !host.contains('.') || [".localhost", ".local"].iter().any(|end| host.ends_with(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teacher(keys: &str) -> Result<Config, String> {
        Config::from_toml(&format!("[teacher]\n{keys}"))
    }

    #[test]
    fn a_paid_teacher_is_configured_and_written_back() {
        let text = "[teacher]\nprovider='anthropic'\nmodel='m'\neffort='low'\nmax_batch=9\npilot='always'\n\
                    [teachers.second]\nprovider='compatible'\nmodel='q'\nbase_url='http://127.0.0.1:11434/v1'";
        let config = Config::from_toml(text).expect("valid");
        assert_eq!((config.teacher.max_batch, config.teacher.pilot, config.teacher.cache), (Some(9), Pilot::Always, true));
        assert_eq!(config.teachers["second"].concurrency, 4);
        assert_eq!(Config::from_toml(&config.to_toml()), Ok(config));
    }

    #[test]
    fn what_a_teacher_cannot_be_is_refused_with_the_key_to_mend() {
        let table = [
            ("provider='claude'", "teacher.provider 'claude'"),
            ("provider='openai'\nmodel=' '", "teacher.model"),
            ("provider='compatible'\nmodel='m'", "teacher.base_url is missing"),
            ("base_url='ftp://x'", "http://"),
            ("base_url='x'", "teacher.base_url"),
            ("base_url='https://me:secret@x/'", "no user"),
            ("provider='openai'\nbase_url='http://api.example.com'", "in the clear"),
            ("provider='compatible'\nkey_env='K'\nbase_url='http://203.0.113.7/v1'", "in the clear"),
            ("key_env='sk-secret'", "teacher.key_env"),
            ("temperature=3.0", "teacher.temperature"),
            ("poll_seconds=nan", "teacher.poll_seconds"),
            ("poll_seconds=0", "teacher.poll_seconds"),
            ("max_batch=0", "teacher.max_batch"),
            ("concurrency=0", "teacher.concurrency"),
            ("effort=''", "teacher.effort"),
            ("keyenv='X'", "keyenv"),
        ];
        for (keys, wanted) in table {
            let error = teacher(keys).expect_err(keys);
            assert!(error.contains(wanted) && !error.contains("secret"), "{keys}: {error}");
        }
        assert!(Config::from_toml("[teachers.b]\nprovider='x'").expect_err("unknown").contains("teachers.b.provider"));
    }

    #[test]
    fn a_server_nearby_may_be_asked_in_the_clear() {
        for host in ["localhost:1", "127.0.0.1:1", "[::1]:1", "10.0.0.3", "192.168.1.9:80", "ollama:11434", "box.local"] {
            assert!(teacher(&format!("provider='anthropic'\nbase_url='http://{host}'")).is_ok(), "{host}");
        }
        assert!(teacher("provider='compatible'\nbase_url='http://gpu.example.com/v1'").is_ok());
    }

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
