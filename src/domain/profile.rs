//! Readers. Owns the typed profile and the reading of profile files; the prompt rendered from it is `render`'s.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Digest, ProfileId, one_line};

/// How far along the reader is; a vacancy for somebody else's level is worth little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seniority {
    Student,
    Graduate,
    Early,
    Mid,
    Senior,
    Retired,
}

/// What makes the reader read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Motivation {
    Career,
    Interest,
}

impl fmt::Display for Seniority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Student => "student",
            Self::Graduate => "graduate",
            Self::Early => "early",
            Self::Mid => "mid",
            Self::Senior => "senior",
            Self::Retired => "retired",
        })
    }
}

impl fmt::Display for Motivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Career => "career",
            Self::Interest => "interest",
        })
    }
}

/// One reader. Lists are lists by type: a comma-separated string is split when it is read (guard D13).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub id: ProfileId,
    pub description: String,
    /// "computer engineering fresh graduate"
    pub role: String,
    pub seniority: Seniority,
    /// Most specific place first, country last: "Houston, Texas, United States".
    pub location: String,
    pub context: String,
    pub motivation: Motivation,
    /// Companies and institutions the reader follows by name.
    pub tracked: Vec<String>,
    pub interests: Vec<String>,
    /// A system prompt given word for word in the file. `None`: rendered from the recipe's template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum ProfileError {
    #[error("{0}")]
    Json(String),
    #[error("the profile has no '{0}'; add the field")]
    Missing(&'static str),
    #[error(transparent)]
    Id(#[from] super::IdError),
    #[error("'{0}' is not a seniority; use student, graduate, early, mid, senior or retired")]
    Seniority(String),
}

impl Profile {
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// The parts of the location, most specific first.
    pub fn places(&self) -> impl Iterator<Item = &str> {
        self.location.split(',').map(str::trim).filter(|part| !part.is_empty())
    }
}

/// A list that files give as an array or as one comma-separated string.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum ListOrText {
    List(Vec<String>),
    Text(String),
}

impl ListOrText {
    pub(super) fn items(self) -> Vec<String> {
        let parts: Vec<String> = match self {
            Self::List(items) => items,
            Self::Text(text) => text.split([',', ';']).map(str::to_owned).collect(),
        };
        let mut items: Vec<String> = Vec::new();
        for part in parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()) {
            if !items.iter().any(|known| known.eq_ignore_ascii_case(part)) {
                items.push(part.to_owned());
            }
        }
        items
    }
}

/// A profile as files in the wild spell it; [`ProfileRow::into_profile`] makes it typed.
#[derive(Debug, Clone, Deserialize)]
pub struct ProfileRow {
    #[serde(alias = "profile_id")]
    id: Option<String>,
    description: Option<String>,
    role: Option<String>,
    seniority: Option<String>,
    location: Option<String>,
    context: Option<String>,
    motivation: Option<Motivation>,
    tracked: Option<ListOrText>,
    tracked_companies: Option<ListOrText>,
    tracked_institutions: Option<ListOrText>,
    tracked_industries: Option<ListOrText>,
    interests: Option<ListOrText>,
    diversity_tag: Option<String>,
    system_prompt: Option<String>,
}

impl ProfileRow {
    pub fn into_profile(self) -> Result<Profile, ProfileError> {
        let id = ProfileId::new(self.id.ok_or(ProfileError::Missing("id"))?)?;
        let role = required(self.role, "role")?;
        let location = required(self.location, "location")?;
        let context = self.context.unwrap_or_default().trim().to_owned();
        let mut tracked = Vec::new();
        for list in [self.tracked, self.tracked_companies, self.tracked_institutions].into_iter().flatten() {
            extend_unique(&mut tracked, list.items());
        }
        let mut interests = Vec::new();
        for list in [self.interests, self.tracked_industries].into_iter().flatten() {
            extend_unique(&mut interests, list.items());
        }
        let seniority = match self.seniority {
            Some(text) => parse_seniority(&text)?,
            None => guess_seniority(&role, &context, self.diversity_tag.as_deref().unwrap_or_default()),
        };
        let motivation =
            self.motivation.unwrap_or(if seniority == Seniority::Retired { Motivation::Interest } else { Motivation::Career });
        Ok(Profile {
            description: self.description.unwrap_or_else(|| one_line(&role, 120)),
            id,
            role,
            seniority,
            location,
            context,
            motivation,
            tracked,
            interests,
            system_prompt: self.system_prompt,
        })
    }
}

fn required(field: Option<String>, name: &'static str) -> Result<String, ProfileError> {
    field.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).ok_or(ProfileError::Missing(name))
}

fn extend_unique(into: &mut Vec<String>, items: Vec<String>) {
    for item in items {
        if !into.iter().any(|known| known.eq_ignore_ascii_case(&item)) {
            into.push(item);
        }
    }
}

fn parse_seniority(text: &str) -> Result<Seniority, ProfileError> {
    serde_json::from_value(serde_json::Value::String(text.trim().to_lowercase()))
        .map_err(|_| ProfileError::Seniority(one_line(text, 40)))
}

/// Files without a seniority say it in words; the first word that tells decides, `Mid` where none does.
fn guess_seniority(role: &str, context: &str, tag: &str) -> Seniority {
    const TELLS: [(&str, Seniority); 14] = [
        ("retired", Seniority::Retired),
        ("fresh", Seniority::Graduate),
        ("graduate student", Seniority::Student),
        ("student", Seniority::Student),
        ("graduate", Seniority::Graduate),
        ("junior", Seniority::Early),
        ("entry-level", Seniority::Early),
        ("early-career", Seniority::Early),
        ("senior", Seniority::Senior),
        ("executive", Seniority::Senior),
        ("director", Seniority::Senior),
        ("head of", Seniority::Senior),
        ("experienced", Seniority::Senior),
        ("mid-career", Seniority::Mid),
    ];
    let texts = [role.to_lowercase(), tag.to_lowercase(), context.to_lowercase()];
    texts.iter().find_map(|text| TELLS.iter().find(|(word, _)| text.contains(word)).map(|(_, s)| *s)).unwrap_or(Seniority::Mid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Profile, ProfileError> {
        serde_json::from_str::<ProfileRow>(json).map_err(|e| ProfileError::Json(e.to_string()))?.into_profile()
    }

    #[test]
    fn a_list_joined_as_a_string_becomes_a_list_again() {
        let profile = read(r#"{"id":"a","role":"Student of law","location":"Kuwait","tracked_companies":"Equate, SLB , ,equate","interests":["AI"],"tracked_industries":"fintech, ai"}"#).expect("reads");
        assert_eq!(profile.tracked, ["Equate", "SLB"]);
        assert_eq!(profile.interests, ["AI", "fintech"]);
        assert_eq!(profile.seniority, Seniority::Student);
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(read(r#"{"id":"a","location":"Kuwait"}"#), Err(ProfileError::Missing("role")));
        assert!(matches!(read(r#"{"id":"a b","role":"x","location":"y"}"#), Err(ProfileError::Id(_))));
    }
}
