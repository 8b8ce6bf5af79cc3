//! The lexicon compiled for finding: one phrase book, and the neighbourhood of topics as a table.

use std::collections::{HashMap, HashSet};

use super::lexicon::{Lexicon, LexiconError};
use super::phrases::{Phrase, PhraseBook, tokenise};

/// What a phrase in an article means. Numbers are positions in the lexicon's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Topic(usize),
    Hint(usize),
    Trade(usize),
    Country(usize),
    Area(usize, usize),
    Region(usize),
    Kind(usize),
    Action(usize),
    Level(usize),
    Mark(Mark),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Deadline,
    Urgent,
    Expired,
    Rumour,
    Restricted,
    Excluded,
    Online,
    Listing,
    Sport,
}

/// How close two topics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    Far,
    Near,
    Same,
}

#[derive(Debug, Clone)]
pub struct Vocabulary {
    pub lexicon: Lexicon,
    pub book: PhraseBook<Meaning>,
    /// Per topic: its name and its words, the name first.
    pub topic_phrases: Vec<Vec<Phrase>>,
    /// Per trade: how readers name it.
    pub trade_phrases: Vec<Vec<Phrase>>,
    pub filler: HashSet<String>,
    pub english: HashSet<String>,
    pub foreign: HashSet<String>,
    closeness: HashMap<(usize, usize), Closeness>,
}

impl Vocabulary {
    pub fn new(lexicon: Lexicon) -> Result<Self, LexiconError> {
        let mut book = Adder { book: PhraseBook::new() };
        for (i, t) in lexicon.topics.iter().enumerate() {
            book.add("topics", &t.words, Meaning::Topic(i))?;
            book.add("topics", &t.hints, Meaning::Hint(i))?;
        }
        for (i, t) in lexicon.trades.iter().enumerate() {
            book.add("trades", &t.asks, Meaning::Trade(i))?;
            check_topics(&lexicon, "trade", &t.name, &t.topics)?;
        }
        for (i, country) in lexicon.countries.iter().enumerate() {
            book.add("countries", &country.words, Meaning::Country(i))?;
            for (j, area) in country.areas.iter().enumerate() {
                book.add("areas", &area.words, Meaning::Area(i, j))?;
                if let Some(within) = area.within.as_ref().filter(|w| !country.areas.iter().any(|a| a.name == **w)) {
                    return Err(LexiconError::UnknownArea {
                        area: area.name.clone(),
                        within: within.clone(),
                        country: country.name.clone(),
                    });
                }
            }
        }
        for (i, r) in lexicon.regions.iter().enumerate() {
            book.add("regions", &r.words, Meaning::Region(i))?;
        }
        if lexicon.kinds.is_empty() {
            return Err(LexiconError::Nothing("kinds"));
        }
        for (i, k) in lexicon.kinds.iter().enumerate() {
            book.add("kinds", &k.words, Meaning::Kind(i))?;
        }
        for (i, l) in lexicon.levels.iter().enumerate() {
            book.add("levels", &l.words, Meaning::Level(i))?;
        }
        for (i, a) in lexicon.marks.actions.iter().enumerate() {
            book.add("marks.actions", &a.words, Meaning::Action(i))?;
        }
        let m = &lexicon.marks;
        let marks = [
            (&m.deadline, Mark::Deadline),
            (&m.urgent, Mark::Urgent),
            (&m.expired, Mark::Expired),
            (&m.rumour, Mark::Rumour),
            (&m.restricted, Mark::Restricted),
            (&m.excluded, Mark::Excluded),
            (&m.online, Mark::Online),
            (&m.listing, Mark::Listing),
            (&m.sport, Mark::Sport),
        ];
        for (words, mark) in marks {
            book.add("marks", words, Meaning::Mark(mark))?;
        }
        let closeness = neighbourhood(&lexicon)?;
        let phrases = |words: &[String]| words.iter().filter_map(|w| Phrase::new(w)).collect::<Vec<_>>();
        let topic_phrases = lexicon.topics.iter().map(|t| Phrase::new(&t.name).into_iter().chain(phrases(&t.words)).collect());
        let folds = |words: &[String]| words.iter().flat_map(|w| tokenise(w)).map(|t| t.fold).collect();
        Ok(Self {
            book: book.book,
            topic_phrases: topic_phrases.collect(),
            trade_phrases: lexicon.trades.iter().map(|t| phrases(&t.words)).collect(),
            filler: folds(&lexicon.filler),
            english: lexicon.marks.english.iter().cloned().collect(),
            foreign: lexicon.marks.foreign.iter().cloned().collect(),
            closeness,
            lexicon,
        })
    }

    /// How close two topics are; `None` for strangers.
    pub fn closeness(&self, a: usize, b: usize) -> Option<Closeness> {
        if a == b { Some(Closeness::Same) } else { self.closeness.get(&(a, b)).copied() }
    }
}

struct Adder {
    book: PhraseBook<Meaning>,
}

impl Adder {
    fn add(&mut self, section: &'static str, words: &[String], meaning: Meaning) -> Result<(), LexiconError> {
        for word in words {
            if !self.book.add(word, meaning) {
                return Err(LexiconError::EmptyPhrase { section, phrase: word.clone() });
            }
        }
        Ok(())
    }
}

fn check_topics(lexicon: &Lexicon, section: &'static str, name: &str, topics: &[String]) -> Result<(), LexiconError> {
    match topics.iter().find(|t| lexicon.topic_index(t).is_none()) {
        Some(topic) => Err(LexiconError::UnknownTopic { section, name: name.to_owned(), topic: topic.clone() }),
        None => Ok(()),
    }
}

fn neighbourhood(lexicon: &Lexicon) -> Result<HashMap<(usize, usize), Closeness>, LexiconError> {
    let mut table: HashMap<(usize, usize), Closeness> = HashMap::new();
    for (i, topic) in lexicon.topics.iter().enumerate() {
        check_topics(lexicon, "topic", &topic.name, &topic.near)?;
        check_topics(lexicon, "topic", &topic.name, &topic.far)?;
        for (names, closeness) in [(&topic.near, Closeness::Near), (&topic.far, Closeness::Far)] {
            for j in names.iter().filter_map(|n| lexicon.topic_index(n)) {
                for key in [(i, j), (j, i)] {
                    let known = table.entry(key).or_insert(closeness);
                    *known = (*known).max(closeness);
                }
            }
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(edit: impl FnOnce(&mut Lexicon)) -> Result<Vocabulary, LexiconError> {
        let mut lexicon = Lexicon::shipped().expect("reads");
        edit(&mut lexicon);
        Vocabulary::new(lexicon)
    }

    #[test]
    fn neighbours_are_neighbours_both_ways() {
        let v = compile(|_| {}).expect("compiles");
        let index = |name| v.lexicon.topic_index(name).expect("known");
        let (gpus, chips) = (index("GPUs"), index("semiconductors"));
        assert_eq!(v.closeness(gpus, chips), Some(Closeness::Near));
        assert_eq!(v.closeness(chips, gpus), Some(Closeness::Near));
        assert_eq!(v.closeness(gpus, index("cooking")), None);
    }

    #[test]
    fn a_lexicon_with_a_flaw_is_refused_by_name() {
        let error = compile(|l| l.topics[0].near.push("magic".into())).expect_err("unknown");
        assert!(error.to_string().contains("magic"), "{error}");
        let error = compile(|l| l.kinds[0].words.push("—".into())).expect_err("empty");
        assert!(matches!(error, LexiconError::EmptyPhrase { section: "kinds", .. }));
        assert!(matches!(compile(|l| l.kinds.clear()), Err(LexiconError::Nothing("kinds"))));
    }
}
