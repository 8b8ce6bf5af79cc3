//! Files shipped inside the binary, so that an installed binary works anywhere; files in the workspace override them.

use std::path::Path;

use super::{WorkspaceError, files};

/// One shipped file of `data/`.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Path below `data/`.
    pub name: &'static str,
    pub text: &'static str,
}

const SHIPPED: &[Shipped] = &[
    Shipped { name: "recipes/stratos-v19.toml", text: include_str!("../../data/recipes/stratos-v19.toml") },
    Shipped { name: "recipes/stratos-v2.toml", text: include_str!("../../data/recipes/stratos-v2.toml") },
    Shipped { name: "profiles_v19.json", text: include_str!("../../data/profiles_v19.json") },
    Shipped { name: "polarizing_articles_v19.json", text: include_str!("../../data/polarizing_articles_v19.json") },
    Shipped { name: "prices.toml", text: include_str!("../../data/prices.toml") },
];

/// Names of the shipped recipes.
pub fn shipped_recipes() -> Vec<&'static str> {
    SHIPPED.iter().filter_map(|f| f.name.strip_prefix("recipes/")?.strip_suffix(".toml")).collect()
}

/// A theme file of the workspace's `themes/`, if it has one of that name.
pub fn shipped_theme(root: &Path, name: &str) -> Result<Option<String>, WorkspaceError> {
    let safe = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let path = root.join("themes").join(format!("{name}.toml"));
    if safe && path.is_file() { files::read_text(&path).map(Some) } else { Ok(None) }
}

/// The text of `data/NAME` and where it came from: the workspace's file, else the shipped one.
pub fn find_text(root: &Path, name: &str) -> Result<Option<(String, String)>, WorkspaceError> {
    let path = root.join("data").join(name);
    if path.is_file() {
        return Ok(Some((files::read_text(&path)?, format!("data/{name}"))));
    }
    Ok(SHIPPED.iter().find(|f| f.name == name).map(|f| (f.text.to_owned(), format!("shipped {name}"))))
}
