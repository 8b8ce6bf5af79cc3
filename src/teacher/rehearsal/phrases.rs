//! Words and phrases: how a text is cut into tokens and how a phrase is found among them. Knows no topic and no reader.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// One word: as written, and folded for comparison (small letters, no accents, singular).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub raw: String,
    pub fold: String,
}

/// Cuts a text into words at everything that is neither letter nor digit. A possessive `'s` is dropped.
pub fn tokenise(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut possessive = false;
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_alphanumeric() || is_combining_mark(c) {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            let raw = std::mem::take(&mut word);
            if !(possessive && raw == "s") {
                let fold = fold(&raw);
                tokens.push(Token { raw, fold });
            }
        }
        possessive = matches!(c, '\'' | '’');
    }
    tokens
}

/// "GPUs" is the plural of an abbreviation; its stem is "GPU".
fn acronym(raw: &str) -> &str {
    match raw.strip_suffix('s') {
        Some(stem) if stem.chars().count() >= 2 && stem.chars().all(|c| c.is_uppercase() || c.is_numeric()) => stem,
        _ => raw,
    }
}

fn fold(raw: &str) -> String {
    let plain: String = acronym(raw).nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    singular(&plain)
}

fn singular(word: &str) -> String {
    let keeps = word.chars().count() <= 3 || word == "news" || ["ss", "us", "is"].iter().any(|end| word.ends_with(end));
    if keeps {
        return word.to_owned();
    }
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.chars().count() >= 2) {
        return format!("{stem}y");
    }
    for end in ["ches", "shes", "sses", "xes"] {
        if let Some(stem) = word.strip_suffix("es").filter(|_| word.ends_with(end)) {
            return stem.to_owned();
        }
    }
    word.strip_suffix('s').unwrap_or(word).to_owned()
}

/// A phrase to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    tokens: Vec<Token>,
}

impl Phrase {
    /// `None` for a text without a single word.
    pub fn new(text: &str) -> Option<Self> {
        let tokens = tokenise(text);
        (!tokens.is_empty()).then_some(Self { tokens })
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn folds(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|t| t.fold.as_str())
    }

    /// Written with a capital or in a script without case: found in a text of any language.
    pub fn is_name(&self) -> bool {
        self.tokens.iter().any(|t| t.raw.chars().any(|c| c.is_uppercase() || (c.is_alphabetic() && !c.is_lowercase())))
    }

    /// Same words, whatever their case.
    pub fn same_words(&self, other: &Self) -> bool {
        self.folds().eq(other.folds())
    }

    pub fn matches_at(&self, tokens: &[Token], at: usize) -> bool {
        let Some(window) = tokens.get(at..at + self.tokens.len()) else {
            return false;
        };
        self.tokens.iter().zip(window).all(|(want, have)| want.fold == have.fold && case_fits(&want.raw, &have.raw))
    }

    pub fn is_in(&self, tokens: &[Token]) -> bool {
        (0..tokens.len()).any(|at| self.matches_at(tokens, at))
    }
}

/// Small letters match any case; a name must be capitalised, a short one written exactly.
fn case_fits(want: &str, have: &str) -> bool {
    if !want.chars().next().is_some_and(char::is_uppercase) {
        return true;
    }
    if want.is_ascii() && acronym(want).len() <= 3 {
        return acronym(want) == acronym(have);
    }
    have.chars().next().is_some_and(char::is_uppercase)
}

/// Where a phrase was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<T> {
    pub at: usize,
    pub len: usize,
    pub meaning: T,
}

/// Phrases by their first word.
#[derive(Debug, Clone)]
pub struct PhraseBook<T> {
    by_first: HashMap<String, Vec<(Phrase, T)>>,
}

impl<T: Copy> PhraseBook<T> {
    pub fn new() -> Self {
        Self { by_first: HashMap::new() }
    }

    /// False where the text holds no word and so cannot be looked for.
    pub fn add(&mut self, text: &str, meaning: T) -> bool {
        let Some(phrase) = Phrase::new(text) else {
            return false;
        };
        if let Some(first) = phrase.tokens.first().map(|t| t.fold.clone()) {
            self.by_first.entry(first).or_default().push((phrase, meaning));
        }
        true
    }

    /// Every phrase at every place, in reading order.
    pub fn find(&self, tokens: &[Token]) -> Vec<Found<T>> {
        let mut found = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            for (phrase, meaning) in self.by_first.get(&token.fold).into_iter().flatten() {
                if phrase.matches_at(tokens, at) {
                    found.push(Found { at, len: phrase.len(), meaning: *meaning });
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(phrase: &str, text: &str) -> bool {
        Phrase::new(phrase).is_some_and(|p| p.is_in(&tokenise(text)))
    }

    #[test]
    fn a_phrase_is_found_only_on_word_boundaries() {
        assert!(holds("AI", "New AI chip") && !holds("AI", "The airline said") && !holds("AI", "ai"));
        assert!(holds("trauma", "Trauma care") && !holds("trauma", "traumatic"));
    }

    #[test]
    fn a_name_must_be_capitalised_and_a_short_one_exact() {
        assert!(holds("Equate", "EQUATE says") && !holds("Equate", "this would equate to"));
        assert!(holds("LSE", "the LSE's day") && !holds("LSE", "Lse"));
        assert!(holds("NASA", "Nasa said"));
    }

    #[test]
    fn plural_accent_and_possessive_make_no_difference() {
        assert!(holds("GPUs", "one GPU") && holds("EVs", "an EV") && holds("battery", "batteries"));
        assert!(holds("São Paulo", "Sao Paulo's market") && holds("Industry 4.0", "industry: Industry 4.0."));
    }

    #[test]
    fn scripts_without_case_do_not_disturb() {
        assert_eq!(tokenise("知乎 - KFH مصر").len(), 3);
        assert!(holds("KFH", "بنك #KFH مصر"));
    }
}
