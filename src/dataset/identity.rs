//! Which stored reader and article a row means that names them by their texts.
//!
//! Owns the matching, and making a reader or an article of a row whose own is not known, so that clusters and the seal
//! can see it. Does not store anything.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use crate::domain::{Article, ArticleId, Digest, Profile, ProfileId, ProfileRow, one_line};

use super::cluster::title_key;
use super::keys::words;
use super::legacy::Turn;

/// What is known, and what was made of rows on the way.
pub struct Identities {
    /// Role and place, as words, and whole system prompts; `None`: of several readers, so of none.
    readers: HashMap<Vec<String>, Option<ProfileId>>,
    /// Title, or title and text where the title is short.
    articles: HashMap<String, ArticleId>,
    of_prompt: HashMap<String, ProfileId>,
    made_profiles: BTreeMap<ProfileId, Profile>,
    made_articles: BTreeMap<ArticleId, Article>,
}

impl Identities {
    /// `profiles` come with the system prompt that is rendered for them.
    pub fn new<'a>(
        profiles: impl IntoIterator<Item = (&'a Profile, String)>,
        articles: impl IntoIterator<Item = &'a Article>,
    ) -> Self {
        let mut readers: HashMap<Vec<String>, Option<ProfileId>> = HashMap::new();
        for (profile, prompt) in profiles {
            for key in [facts_key(&profile.role, &profile.location), words(&prompt)] {
                let known = readers.entry(key).or_insert_with(|| Some(profile.id.clone()));
                if known.as_ref() != Some(&profile.id) {
                    *known = None;
                }
            }
        }
        let mut of_title: HashMap<String, ArticleId> = HashMap::new();
        for article in articles {
            // A turn hardly names its source, so the title counts with and without one at its end.
            let unnamed = Article { source: String::new(), ..article.clone() };
            for key in [title_key(article), title_key(&unnamed)].into_iter().flatten() {
                let known = of_title.entry(key).or_insert_with(|| article.id.clone());
                if article.id < *known {
                    known.clone_from(&article.id);
                }
            }
        }
        Self {
            readers,
            articles: of_title,
            of_prompt: HashMap::new(),
            made_profiles: BTreeMap::new(),
            made_articles: BTreeMap::new(),
        }
    }

    /// The reader that a system prompt describes: a known one with this very prompt or with its role and place, else one
    /// that is made and keyed by the prompt's digest. `id`: what a row that carries both calls it.
    pub fn reader(&mut self, system: &str, id: Option<&ProfileId>) -> Option<ProfileId> {
        if system.trim().is_empty() {
            return None;
        }
        if let (None, Some(known)) = (id, self.of_prompt.get(system)) {
            return Some(known.clone());
        }
        let (role, place, context) = described(system);
        let by_facts = role.as_ref().map(|role| facts_key(role, place.as_deref().unwrap_or_default()));
        let known =
            [Some(words(system)), by_facts].into_iter().flatten().find_map(|key| self.readers.get(&key).cloned().flatten());
        let found = match (id, known) {
            (None, Some(known)) => known,
            (id, _) => {
                let own = || ProfileId::new(format!("reader-{}", Digest::of(system).short())).ok();
                let id = id.cloned().or_else(own)?;
                let made = reader_of(&id, system, role, place, &context)?;
                self.made_profiles.insert(id.clone(), made);
                id
            }
        };
        self.of_prompt.insert(system.to_owned(), found.clone());
        Some(found)
    }

    /// The article of a turn: a known one with its title, else one that is made. `id`: what a row that carries both calls it.
    pub fn article(&mut self, turn: &Turn, id: Option<&ArticleId>) -> Option<ArticleId> {
        let own = Digest::of_json(&(words(&turn.title), words(&turn.content)));
        let name = id.map_or_else(|| format!("row-{}", own.short()), ToString::to_string);
        let row = json!({
            "id": name, "title": turn.title, "summary": turn.content, "source": turn.source,
            "category": turn.category,
            "keywords": turn.keywords.split([',', ';']).map(str::trim).filter(|k| !k.is_empty()).collect::<Vec<_>>(),
        });
        let made: Article = serde_json::from_value(row).ok()?;
        let key = title_key(&made);
        if let (None, Some(known)) = (id, key.as_ref().and_then(|key| self.articles.get(key))) {
            return Some(known.clone());
        }
        let id = made.id.clone();
        if let Some(key) = key {
            self.articles.entry(key).or_insert_with(|| id.clone());
        }
        self.made_articles.entry(id.clone()).or_insert(made);
        Some(id)
    }

    /// What was made of rows: readers and articles that were not known.
    pub fn made(self) -> (Vec<Profile>, Vec<Article>) {
        (self.made_profiles.into_values().collect(), self.made_articles.into_values().collect())
    }
}

fn facts_key(role: &str, place: &str) -> Vec<String> {
    let mut key = words(role);
    key.push("|".into());
    key.extend(words(place));
    key
}

/// Role, place and context of "You are … for a ROLE in PLACE." and the line that tells of the reader.
fn described(system: &str) -> (Option<String>, Option<String>, String) {
    let first = system.trim().lines().next().unwrap_or_default().trim().trim_end_matches('.');
    let told = first.split_once(" for ").map(|(_, rest)| rest.trim());
    let told = told.map(|t| ["a ", "an ", "the "].iter().find_map(|article| t.strip_prefix(article)).unwrap_or(t));
    let split =
        told.map(|t| t.rsplit_once(" in ").map_or((t, None), |(role, place)| (role.trim(), Some(place.trim().to_owned()))));
    let labels = ["User context:", "Reader:", "Context:"];
    let context = system.lines().find_map(|line| labels.iter().find_map(|label| line.trim().strip_prefix(label)));
    let role = split.as_ref().map(|(role, _)| (*role).to_owned()).filter(|role| !role.is_empty());
    (role, split.and_then(|(_, place)| place), context.unwrap_or_default().trim().to_owned())
}

/// A reader made of a prompt; the prompt is kept word for word.
fn reader_of(id: &ProfileId, system: &str, role: Option<String>, place: Option<String>, context: &str) -> Option<Profile> {
    let role = role.map_or_else(|| "reader of an imported prompt".to_owned(), |role| one_line(&role, 200));
    let place = place.map_or_else(|| "unknown".to_owned(), |place| one_line(&place, 200));
    let row = json!({
        "id": id.as_str(), "role": role, "location": place, "context": context, "description": format!("imported: {role}"),
        "interests": [], "system_prompt": system,
    });
    serde_json::from_value::<ProfileRow>(row).ok()?.into_profile().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article, profiles};
    use super::*;

    fn turn(title: &str, content: &str) -> Turn {
        Turn { title: title.into(), content: content.into(), ..Turn::default() }
    }

    fn known() -> (Vec<Profile>, Vec<Article>) {
        let mut wire = article("a3", "A furnace opens in the lagoon - Gulf Wire", "Hot.", "");
        wire.source = "Gulf Wire".into();
        let articles = vec![
            wire,
            article("a1", "Equate hires forty graduates in Kuwait", "Some text.", ""),
            article("a2", "Markets today", "Oil rose by two percent after the meeting.", ""),
        ];
        (profiles(), articles)
    }

    #[test]
    fn an_article_is_found_by_its_title_however_it_is_spelt_and_else_made_once() {
        let (_, articles) = known();
        let mut all = Identities::new([], &articles);
        let mut find = |title: &str, content: &str| all.article(&turn(title, content), None).expect("an id").to_string();
        assert_eq!(find("EQUATE hires forty graduates in Kuwait!", "Other text"), "a1");
        assert_ne!(find("Markets today", "Gold fell."), "a2", "two words are shared by chance");
        assert_eq!(find("Markets today", "Oil rose by two percent after the meeting"), "a2");
        assert_eq!(find("A furnace opens in the lagoon - Gulf Wire", "x"), "a3");
        assert_eq!(find("A furnace opens in the lagoon", "x"), "a3");
        let new = find("A title that nobody knows yet", "x");
        assert!(new.starts_with("row-"));
        assert_eq!(find("A title that nobody knows yet", "other words, same article"), new);
        assert_eq!(all.made().1.len(), 2);
    }

    #[test]
    fn a_reader_is_found_by_role_and_place_and_else_keyed_by_the_prompt() {
        let (mut profiles, _) = known();
        let role = profiles[0].role.clone();
        let place = profiles[0].location.clone();
        let with = |profiles: &[Profile]| Identities::new(profiles.iter().map(|p| (p, format!("rendered for {}", p.id))), []);
        let system = format!("You are a relevance scorer for a {role} in {place}.\nUser context: Tracks things.\nReply.");
        assert_eq!(with(&profiles).reader(&system, None).as_ref(), Some(&profiles[0].id));
        assert_eq!(with(&profiles).reader(&format!("rendered for {}", profiles[1].id), None).as_ref(), Some(&profiles[1].id));
        // Two readers with these facts: it could be either, so it is neither.
        let twin = Profile { id: ProfileId::new("twin").expect("id"), ..profiles[0].clone() };
        profiles.push(twin);
        let mut all = with(&profiles);
        let made = all.reader(&system, None).expect("a reader");
        assert!(made.as_str().starts_with("reader-"));
        assert_eq!(all.reader(&system, None), Some(made.clone()));
        assert_eq!(all.reader("  ", None), None);
        let (readers, _) = all.made();
        assert_eq!((readers.len(), &readers[0].id), (1, &made));
        assert_eq!((readers[0].context.as_str(), readers[0].system_prompt.as_deref()), ("Tracks things.", Some(system.as_str())));
    }
}
