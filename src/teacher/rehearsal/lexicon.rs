//! The lexicon as data: topics, names, trades, places, kinds of article, marks in the text. Finding them is `vocabulary`'s.

use serde::Deserialize;
use thiserror::Error;

const SHIPPED: &str = include_str!("../../../data/lexicon.toml");

/// Why a lexicon cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LexiconError {
    #[error("the lexicon is not readable: {0}")]
    Toml(String),
    #[error("{section} '{name}' refers to the topic '{topic}', which is not in the lexicon; add it or mend the spelling")]
    UnknownTopic { section: &'static str, name: String, topic: String },
    #[error("area '{area}' lies within '{within}', which is not an area of {country}")]
    UnknownArea { area: String, within: String, country: String },
    #[error("{section}: '{phrase}' holds no word to look for")]
    EmptyPhrase { section: &'static str, phrase: String },
    #[error("the lexicon has no {0}; it needs at least one")]
    Nothing(&'static str),
}

/// A subject readers follow and articles are about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    pub name: String,
    pub words: Vec<String>,
    /// Names that make the topic likely without saying it.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Close neighbours, both ways.
    #[serde(default)]
    pub near: Vec<String>,
    /// Distant neighbours, both ways.
    #[serde(default)]
    pub far: Vec<String>,
    /// Wide: touches so much that it decides only in the headline.
    #[serde(default)]
    pub broad: bool,
    /// An everyday word: decides nothing alone.
    #[serde(default)]
    pub generic: bool,
}

/// Other spellings of a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameSpelling {
    pub name: String,
    pub also: Vec<String>,
}

/// A trade: how readers name it and how articles address its people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trade {
    pub name: String,
    pub words: Vec<String>,
    pub asks: Vec<String>,
    /// Where given, a one-word `asks` counts only beside one of these.
    #[serde(default)]
    pub topics: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    pub name: String,
    pub words: Vec<String>,
    #[serde(default)]
    pub within: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Country {
    pub name: String,
    pub region: String,
    pub words: Vec<String>,
    #[serde(default)]
    pub areas: Vec<Area>,
}

/// A named list of phrases: a region, a level, an action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub name: String,
    pub words: Vec<String>,
}

/// A kind of article.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    pub name: String,
    pub words: Vec<String>,
    /// Somebody is wanted for paid work, so level and trade must fit.
    #[serde(default)]
    pub work: bool,
    /// Taking part means being there.
    #[serde(default)]
    pub bound: bool,
}

/// Marks an article can bear.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    pub actions: Vec<Named>,
    pub deadline: Vec<String>,
    pub urgent: Vec<String>,
    pub expired: Vec<String>,
    pub rumour: Vec<String>,
    pub restricted: Vec<String>,
    pub excluded: Vec<String>,
    pub online: Vec<String>,
    pub listing: Vec<String>,
    pub sport: Vec<String>,
    /// Words that betray a language.
    pub english: Vec<String>,
    pub foreign: Vec<String>,
}

/// How to tell who speaks from a host or a source's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTells {
    pub official_hosts: Vec<String>,
    pub official_words: Vec<String>,
    pub blog_hosts: Vec<String>,
    pub blog_words: Vec<String>,
    pub news_hosts: Vec<String>,
    pub news_words: Vec<String>,
}

/// Everything the rehearsal teacher knows about words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lexicon {
    /// Names and interests that are ordinary words too.
    pub common: Vec<String>,
    /// Entries of interest lists that mean "none".
    pub void: Vec<String>,
    /// Words of an interest that carry no meaning of their own.
    pub filler: Vec<String>,
    /// Where things are published by anybody.
    pub platforms: Vec<String>,
    pub names: Vec<NameSpelling>,
    pub topics: Vec<Topic>,
    pub trades: Vec<Trade>,
    pub countries: Vec<Country>,
    pub regions: Vec<Named>,
    pub kinds: Vec<Kind>,
    pub levels: Vec<Named>,
    pub marks: Marks,
    pub sources: SourceTells,
}

impl Lexicon {
    /// The lexicon in the binary.
    pub fn shipped() -> Result<Self, LexiconError> {
        Self::from_toml(SHIPPED)
    }

    pub fn from_toml(text: &str) -> Result<Self, LexiconError> {
        toml::from_str(text).map_err(|e| LexiconError::Toml(e.to_string()))
    }

    pub fn topic_index(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name == name)
    }

    /// Other spellings of a name, whichever spelling is asked for.
    pub fn spellings<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let known =
            self.names.iter().find(|n| n.name.eq_ignore_ascii_case(name) || n.also.iter().any(|a| a.eq_ignore_ascii_case(name)));
        known.into_iter().flat_map(|n| std::iter::once(n.name.as_str()).chain(n.also.iter().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_lexicon_reads() {
        let lexicon = Lexicon::shipped().expect("reads");
        assert!(lexicon.topics.len() > 60);
        assert_eq!(lexicon.spellings("Kuwait Oil Company").collect::<Vec<_>>(), ["KOC", "Kuwait Oil Company"]);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(matches!(Lexicon::from_toml("comon = []"), Err(LexiconError::Toml(_))));
    }
}
