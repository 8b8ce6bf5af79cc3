//! Articles. Owns the typed article and the reading of article rows; near-duplicates are `dataset`'s.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::profile::ListOrText;
use super::{ArticleId, Digest};

/// What kind of voice speaks; decides how high a score the article can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceType {
    Official,
    News,
    Blog,
    #[default]
    Unknown,
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Official => "official",
            Self::News => "news",
            Self::Blog => "blog",
            Self::Unknown => "unknown",
        })
    }
}

/// One article as it is judged: headline and a short text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ArticleRow")]
pub struct Article {
    pub id: ArticleId,
    pub title: String,
    pub summary: String,
    pub source: String,
    pub url: String,
    pub source_type: SourceType,
    /// ISO date of publication where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// The desk or topic it was filed under, as its source says; empty where it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub category: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Readers the article was written for; a label for tests and browsing, never shown to a teacher or student.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Remarks such as `expired`, `rumour`, `cross_profile`; never shown to a teacher or student.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Error)]
pub enum ArticleError {
    #[error("the article has no '{0}'; add the field")]
    Missing(&'static str),
    #[error(transparent)]
    Id(#[from] super::IdError),
}

#[derive(Deserialize)]
struct ArticleRow {
    #[serde(alias = "article_id")]
    id: Option<String>,
    title: Option<String>,
    #[serde(alias = "content", alias = "description")]
    summary: Option<String>,
    source: Option<String>,
    #[serde(alias = "link")]
    url: Option<String>,
    source_type: Option<SourceType>,
    #[serde(alias = "date")]
    published: Option<String>,
    #[serde(alias = "topic", alias = "section")]
    category: Option<String>,
    #[serde(alias = "tags")]
    keywords: Option<ListOrText>,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    traits: Vec<String>,
}

impl TryFrom<ArticleRow> for Article {
    type Error = ArticleError;

    fn try_from(row: ArticleRow) -> Result<Self, ArticleError> {
        let title = row.title.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).ok_or(ArticleError::Missing("title"))?;
        let summary = row.summary.unwrap_or_default().trim().to_owned();
        let url = row.url.unwrap_or_default().trim().to_owned();
        let id = match row.id {
            Some(id) => ArticleId::new(id)?,
            // Feeds without ids: the content names itself, so the same row always gets the same id.
            None => ArticleId::new(Digest::of_json(&(&title, &summary, &url)).short())?,
        };
        Ok(Self {
            id,
            title,
            summary,
            source: row.source.unwrap_or_default().trim().to_owned(),
            url,
            source_type: row.source_type.unwrap_or_default(),
            published: row.published,
            category: row.category.unwrap_or_default().trim().to_owned(),
            keywords: row.keywords.map(ListOrText::items).unwrap_or_default(),
            targets: row.targets,
            traits: row.traits,
        })
    }
}

impl Article {
    /// An article that a teacher wrote for a reader. Its id is its content, so the same article twice is one.
    pub fn written(
        title: &str,
        summary: &str,
        source: &str,
        source_type: SourceType,
        reader: &super::ProfileId,
    ) -> Result<Self, ArticleError> {
        let row = ArticleRow {
            id: Some(format!("gen-{}", Digest::of_json(&(title.trim(), summary.trim())).short())),
            title: Some(super::one_line(title, 300)),
            summary: Some(super::one_line(summary, 2000)).filter(|s| !s.is_empty()),
            source: Some(super::one_line(source, 120)),
            url: None,
            source_type: Some(source_type),
            published: None,
            category: None,
            keywords: None,
            targets: vec![reader.to_string()],
            traits: vec!["generated".into()],
        };
        let article = Self::try_from(row)?;
        if article.summary.is_empty() { Err(ArticleError::Missing("summary")) } else { Ok(article) }
    }

    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn category_and_keywords_are_read_where_they_are_and_change_nothing_where_they_are_not() {
        let read = |json: &str| serde_json::from_str::<Article>(json).expect("reads");
        let rich = read(r#"{"title":"T","topic":" Energy ","tags":"oil; gas,Oil","summary":"s"}"#);
        assert_eq!((rich.category.as_str(), rich.keywords.clone()), ("Energy", vec!["oil".to_owned(), "gas".to_owned()]));
        assert_eq!(read(&serde_json::to_string(&rich).expect("writes")), rich);
        let plain = serde_json::to_string(&read(r#"{"id":"a","title":"T"}"#)).expect("writes");
        assert!(!plain.contains("category") && !plain.contains("keywords"), "{plain}");
    }

    #[test]
    fn an_article_without_an_id_is_named_by_its_content() {
        let read = |json: &str| serde_json::from_str::<Article>(json);
        let a = read(r#"{"title":"T","summary":"s"}"#).expect("reads");
        let b = read(r#"{"title":" T ","summary":"s"}"#).expect("reads");
        assert_eq!(a.id, b.id);
        assert_eq!(read(r#"{"summary":"s"}"#).expect_err("no title").to_string(), "the article has no 'title'; add the field");
    }
}
