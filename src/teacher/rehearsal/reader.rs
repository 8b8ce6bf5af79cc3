//! A profile compiled for matching: the names and interests as phrases and topics, the trade, the home.

use super::phrases::{Phrase, tokenise};
use super::reading::Place;
use super::vocabulary::{Meaning, Vocabulary};
use crate::domain::{Profile, Seniority, one_line};

/// One tracked name or interest.
#[derive(Debug, Clone)]
pub struct Follow {
    /// In the profile's spelling.
    pub name: String,
    /// Any of these is the thing itself.
    pub phrases: Vec<Phrase>,
    /// Several words that mean it when all stand close together.
    pub words: Vec<String>,
    /// Topics that are the thing itself.
    pub topics: Vec<usize>,
    /// Topics that are part of it.
    pub parts: Vec<usize>,
    /// An ordinary word: counts only beside other evidence.
    pub common: bool,
    /// Too wide to decide outside a headline.
    pub broad: bool,
}

/// Where the reader lives, as far as the lexicon knows.
#[derive(Debug, Clone, Default)]
pub struct Home {
    pub country: Option<usize>,
    /// Most specific first, wider areas after.
    pub areas: Vec<usize>,
    /// What the profile calls it, most specific part.
    pub name: String,
}

#[derive(Debug, Clone)]
pub struct Reader {
    pub tracked: Vec<Follow>,
    pub interests: Vec<Follow>,
    pub trades: Vec<usize>,
    pub home: Home,
    /// Position in the lexicon's levels; `None` for who is past working.
    pub level: Option<usize>,
}

impl Reader {
    pub fn of(vocabulary: &Vocabulary, profile: &Profile) -> Self {
        let real = |name: &&String| !vocabulary.lexicon.void.iter().any(|v| v.eq_ignore_ascii_case(name.trim()));
        let role = tokenise(&profile.role);
        let trades = vocabulary.trade_phrases.iter().enumerate();
        let working = profile.seniority != Seniority::Retired;
        Self {
            tracked: profile.tracked.iter().filter(real).map(|name| tracked(vocabulary, name)).collect(),
            interests: profile.interests.iter().filter(real).map(|name| interest(vocabulary, name)).collect(),
            trades: trades.filter(|(_, names)| working && names.iter().any(|p| p.is_in(&role))).map(|(i, _)| i).collect(),
            home: home(vocabulary, profile),
            level: match profile.seniority {
                Seniority::Student => Some(0),
                Seniority::Graduate => Some(1),
                Seniority::Early => Some(2),
                Seniority::Mid => Some(3),
                Seniority::Senior => Some(4),
                Seniority::Retired => None,
            },
        }
    }
}

impl Reader {
    /// The name a host is registered under is a tracked name, written together: "paloaltonetworks".
    pub fn tracks_host(&self, label: &str) -> bool {
        let label = label.to_ascii_lowercase();
        let joined = |phrase: &Phrase| phrase.folds().collect::<String>() == singular_label(&label);
        !label.is_empty() && self.tracked.iter().flat_map(|f| &f.phrases).any(joined)
    }
}

/// Folded as the phrases are.
fn singular_label(label: &str) -> String {
    tokenise(label).into_iter().map(|t| t.fold).collect()
}

/// At most four words, so that an evidence line keeps its length.
fn short(name: &str) -> String {
    let flat = one_line(name, 60);
    flat.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
}

fn is_common(vocabulary: &Vocabulary, name: &str) -> bool {
    vocabulary.lexicon.common.iter().any(|c| c.eq_ignore_ascii_case(name.trim()))
}

fn tracked(vocabulary: &Vocabulary, name: &str) -> Follow {
    // "Novartis (Kymriah)" is followed by either name.
    let plain = name.split('(').next().unwrap_or(name).trim();
    let mut phrases: Vec<Phrase> = name.split(['(', ')']).filter_map(Phrase::new).collect();
    phrases.extend(vocabulary.lexicon.spellings(plain).filter_map(Phrase::new));
    let common = is_common(vocabulary, plain);
    Follow { name: short(name), phrases, words: Vec::new(), topics: Vec::new(), parts: Vec::new(), common, broad: false }
}

fn interest(vocabulary: &Vocabulary, name: &str) -> Follow {
    let lexicon = &vocabulary.lexicon;
    let tokens = tokenise(name);
    let filler = |fold: &str| vocabulary.filler.contains(fold);
    let content: Vec<String> = tokens.iter().map(|t| t.fold.clone()).filter(|fold| !filler(fold)).collect();
    let own = Phrase::new(name);
    let (mut topics, mut parts) = (Vec::new(), Vec::new());
    for (i, phrases) in vocabulary.topic_phrases.iter().enumerate() {
        for (rank, phrase) in phrases.iter().enumerate() {
            let same = own.as_ref().is_some_and(|o| o.same_words(phrase));
            let core: Vec<&str> = phrase.folds().filter(|f| !filler(f)).collect();
            let same_core = !core.is_empty() && content.iter().map(String::as_str).eq(core.iter().copied());
            // A topic's name and first two words mean the topic; its later words are only subjects within it.
            if (same || same_core) && rank <= 2 && !topics.contains(&i) {
                topics.push(i);
            } else if (same || same_core || phrase.is_in(&tokens)) && !parts.contains(&i) {
                parts.push(i);
            }
        }
    }
    parts.retain(|p| !topics.contains(p));
    let all = |test: fn(&super::lexicon::Topic) -> bool| {
        !topics.is_empty() && topics.iter().all(|t| lexicon.topics.get(*t).is_some_and(test))
    };
    let mut phrases: Vec<Phrase> = own.into_iter().collect();
    phrases.extend(lexicon.spellings(name).filter_map(Phrase::new));
    Follow {
        name: short(name),
        phrases,
        words: if content.len() > 1 { content } else { Vec::new() },
        common: is_common(vocabulary, name) || all(|t| t.generic),
        broad: all(|t| t.broad),
        topics,
        parts,
    }
}

fn home(vocabulary: &Vocabulary, profile: &Profile) -> Home {
    let mut home = Home { name: profile.places().next().map(short).unwrap_or_default(), ..Home::default() };
    let found = vocabulary.book.find(&tokenise(&profile.location));
    let places = found.iter().filter_map(|f| match f.meaning {
        Meaning::Country(c) => Some(Place::Country(c)),
        Meaning::Area(c, a) => Some(Place::Area(c, a)),
        _ => None,
    });
    for place in places {
        match place {
            Place::Country(c) => home.country = Some(c),
            Place::Area(c, a) => {
                home.country.get_or_insert(c);
                let area = vocabulary.lexicon.countries.get(c).and_then(|country| country.areas.get(a));
                let wider = area.and_then(|x| x.within.as_deref()).and_then(|w| {
                    vocabulary.lexicon.countries.get(c).and_then(|country| country.areas.iter().position(|x| x.name == w))
                });
                for index in std::iter::once(a).chain(wider) {
                    if !home.areas.contains(&index) {
                        home.areas.push(index);
                    }
                }
            }
            Place::Region(_) => {}
        }
    }
    home
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::rehearsal::lexicon::Lexicon;

    fn reader(json: serde_json::Value) -> (Vocabulary, Reader) {
        let vocabulary = Vocabulary::new(Lexicon::shipped().expect("reads")).expect("compiles");
        let row: crate::domain::ProfileRow = serde_json::from_value(json).expect("a row");
        let reader = Reader::of(&vocabulary, &row.into_profile().expect("a profile"));
        (vocabulary, reader)
    }

    #[test]
    fn interests_find_their_topics_and_homes_their_areas() {
        let (v, r) = reader(serde_json::json!({
            "id": "x", "role": "Senior emergency nurse", "location": "Houston, Texas, USA",
            "interests": ["semiconductor industry", "AI in law", "travel"], "tracked_companies": "Novartis (Kymriah), None"
        }));
        let topic = |name| v.lexicon.topic_index(name).expect("known");
        assert_eq!(r.interests[0].topics, [topic("semiconductors")]);
        assert_eq!(r.interests[1].topics, [topic("legal tech")]);
        assert_eq!(r.interests[1].parts, [topic("AI")]);
        assert!(r.interests[2].common);
        assert_eq!(r.tracked.len(), 1);
        let country = &v.lexicon.countries[r.home.country.expect("known")];
        let areas: Vec<&str> = r.home.areas.iter().map(|a| country.areas[*a].name.as_str()).collect();
        assert_eq!((country.name.as_str(), areas), ("United States", vec!["Houston", "Texas"]));
        assert_eq!(v.lexicon.trades[r.trades[0]].name, "nursing");
    }
}
