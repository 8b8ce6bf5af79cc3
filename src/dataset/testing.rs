//! What the tests of this module share: small articles, and the real ones where they are.

use std::path::PathBuf;

use crate::domain::{Article, ArticleId, Profile, ProfileId, ProfileRow, Recipe, SourceType};

pub fn recipe() -> Recipe {
    Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("the shipped recipe is sound")
}

pub fn article(id: &str, title: &str, summary: &str, url: &str) -> Article {
    Article {
        id: ArticleId::new(id).expect("id"),
        title: title.into(),
        summary: summary.into(),
        source: String::new(),
        url: url.into(),
        source_type: SourceType::News,
        published: None,
        category: String::new(),
        keywords: Vec::new(),
        targets: Vec::new(),
        traits: Vec::new(),
    }
}

pub fn article_id(id: &str) -> ArticleId {
    ArticleId::new(id).expect("id")
}

pub fn profile_id(id: &str) -> ProfileId {
    ProfileId::new(id).expect("id")
}

/// The ten shipped readers.
pub fn profiles() -> Vec<Profile> {
    let rows: Vec<ProfileRow> = serde_json::from_str(include_str!("../../data/profiles_v19.json")).expect("reads");
    rows.into_iter().map(|row| row.into_profile().expect("sound")).collect()
}

/// The shipped articles.
pub fn shipped_articles() -> Vec<Article> {
    serde_json::from_str(include_str!("../../data/polarizing_articles_v19.json")).expect("reads")
}

/// A file of the real material, or `None` with a line that says so.
pub fn real_file(name: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("STRATOS_TEST_DATA") else {
        eprintln!("skipped: STRATOS_TEST_DATA does not name a folder with {name}");
        return None;
    };
    match std::fs::read_to_string(PathBuf::from(folder).join(name)) {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("skipped: {name} in STRATOS_TEST_DATA: {error}");
            None
        }
    }
}

pub fn real_articles() -> Option<Vec<Article>> {
    let text = real_file("articles.jsonl")?;
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a real article reads")).collect())
}

pub fn real_profiles() -> Option<Vec<Profile>> {
    let text = real_file("profiles.jsonl")?;
    let row = |line| serde_json::from_str::<ProfileRow>(line).expect("reads").into_profile().expect("sound");
    Some(text.lines().map(row).collect())
}
