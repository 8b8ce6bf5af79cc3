//! A record of named fields as an article: what columns may be called, and what stands in them.

use serde_json::{Map, Value};

use super::identity::made_id;
use crate::domain::{Article, safe_text};

/// What columns may be called, the better name first.
const COLUMNS: [(&str, &[&str]); 11] = [
    ("id", &["id", "article_id"]),
    ("title", &["title", "headline"]),
    ("summary", &["summary", "description", "content"]),
    ("source", &["source"]),
    ("url", &["url", "link"]),
    ("source_type", &["source_type"]),
    ("published", &["published", "date"]),
    ("category", &["category", "topic", "section"]),
    ("keywords", &["keywords", "tags"]),
    ("targets", &["targets"]),
    ("traits", &["traits"]),
];

/// What one field of a record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(String),
    List(Vec<String>),
}

/// The field that a column's name stands for.
pub fn field(name: &str) -> Option<&'static str> {
    let name = plain_name(name);
    COLUMNS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(field, _)| *field)
}

/// Which column each field stands in, by the better of its names.
pub fn columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(&'static str, usize)> {
    let names: Vec<String> = names.into_iter().map(plain_name).collect();
    let column = |wanted: &[&str]| wanted.iter().find_map(|name| names.iter().position(|n| n == name));
    COLUMNS.iter().filter_map(|(field, wanted)| Some((*field, column(wanted)?))).collect()
}

fn plain_name(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().trim_matches('"').trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

/// The fields as an article, and whether they say what its source is. Without an id it is named by where it stood.
pub fn article(fields: impl IntoIterator<Item = (&'static str, Content)>) -> Result<(Article, bool), String> {
    let mut row = Map::new();
    for (field, cell) in fields {
        let value = match (field, cell) {
            ("targets" | "traits", Content::Text(text)) => list(text.split([',', ';'])),
            ("targets" | "traits" | "keywords", Content::List(items)) => list(items.iter().map(String::as_str)),
            (_, Content::List(items)) => Value::from(clean(&items.join(", "))),
            ("source_type", Content::Text(text)) => Value::from(clean(&text).to_ascii_lowercase()),
            (_, Content::Text(text)) => Value::from(clean(&text)),
        };
        if value != "" {
            row.insert(field.to_owned(), value);
        }
    }
    let typed = row.contains_key("source_type");
    if !row.contains_key("id") {
        let of = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default();
        let id = made_id(of("url"), of("title"), of("source"));
        row.insert("id".into(), id.into());
    }
    serde_json::from_value(Value::Object(row)).map(|article| (article, typed)).map_err(|e| e.to_string())
}

fn clean(text: &str) -> String {
    safe_text(text).trim().to_owned()
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    items.map(clean).filter(|item| !item.is_empty()).collect()
}
