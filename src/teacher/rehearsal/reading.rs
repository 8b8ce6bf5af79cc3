//! One article read once, without any reader in mind: what it is about, where, what one can do and until when.

use std::collections::HashSet;

use super::phrases::{Found, Token, tokenise};
use super::source;
use super::vocabulary::{Mark, Meaning, Vocabulary};
use crate::domain::{Article, SourceType, safe_text};

/// A topic's words in the article.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    pub topic: usize,
    pub headline: bool,
    /// Only a name that suggests the topic.
    pub hint: bool,
}

/// The article speaks to people of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub trade: usize,
    /// How many words say so; one word alone may be ambiguous.
    pub words: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Country(usize),
    Area(usize, usize),
    Region(usize),
}

#[derive(Debug, Clone)]
pub struct Reading {
    /// Title, then summary.
    pub tokens: Vec<Token>,
    pub title_len: usize,
    /// The name of the source, and of its host; empty where anybody can publish there.
    pub source_tokens: Vec<Token>,
    pub source: SourceType,
    pub english: bool,
    pub kind: usize,
    pub mentions: Vec<Mention>,
    pub asks: Vec<Ask>,
    /// In reading order.
    pub places: Vec<Place>,
    pub action: Option<usize>,
    /// The day after a word like "until", as written: "22 March".
    pub deadline: Option<String>,
    pub levels: Vec<usize>,
    /// Years of experience asked for.
    pub years: Option<u32>,
    /// Over, a rumour, for others only: what the text says of itself.
    pub marks: Vec<Mark>,
}

impl Reading {
    pub fn of(vocabulary: &Vocabulary, article: &Article) -> Self {
        let lexicon = &vocabulary.lexicon;
        let title = without_platform(&safe_text(&article.title), &lexicon.platforms);
        let mut tokens = tokenise(&title);
        let title_len = tokens.len();
        tokens.extend(tokenise(&safe_text(&article.summary)));
        let source = source::infer(&lexicon.sources, article);
        let is_platform = lexicon.platforms.iter().any(|p| p.eq_ignore_ascii_case(&article.source));
        let mut source_tokens = if is_platform { Vec::new() } else { tokenise(&article.source) };
        if !is_platform && source != SourceType::Blog {
            source_tokens.extend(tokenise(source::label(&article.url)));
        }
        let found = vocabulary.book.find(&tokens);
        let english = is_english(vocabulary, &tokens);
        let deadline = deadline_day(&tokens, &found);
        let kind = kind_of(vocabulary, &found, title_len);
        let marks = marks_of(&found, title_len, source);
        let urgent = marks.contains(&Mark::Urgent);
        let action = action_of(&found, lexicon.marks.actions.len()).or((urgent && deadline.is_some()).then_some(0));
        let mut reading = Self {
            title_len,
            source_tokens,
            source,
            english,
            kind,
            mentions: Vec::new(),
            asks: Vec::new(),
            places: places(&found),
            action: if english { action } else { None },
            deadline,
            levels: Vec::new(),
            years: years(&tokens),
            marks,
            tokens,
        };
        for f in &found {
            let headline = f.at < title_len;
            match f.meaning {
                Meaning::Topic(topic) if english => reading.mentions.push(Mention { topic, headline, hint: false }),
                Meaning::Hint(topic) if english => reading.mentions.push(Mention { topic, headline, hint: true }),
                Meaning::Trade(trade) if english => reading.asks.push(Ask { trade, words: f.len }),
                Meaning::Level(level) if !reading.levels.contains(&level) => reading.levels.push(level),
                _ => {}
            }
        }
        reading
    }

    pub fn is(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    pub fn headline(&self) -> &[Token] {
        &self.tokens[..self.title_len.min(self.tokens.len())]
    }
}

/// The marks that hold: one doubtful word from a serious source makes no rumour, and sport counts in the headline only.
fn marks_of(found: &[Found<Meaning>], title_len: usize, source: SourceType) -> Vec<Mark> {
    let rumours = found.iter().filter(|f| f.meaning == Meaning::Mark(Mark::Rumour)).count();
    let serious = matches!(source, SourceType::Official | SourceType::News);
    let mut marks = Vec::new();
    for f in found {
        let Meaning::Mark(mark) = f.meaning else {
            continue;
        };
        let holds = match mark {
            Mark::Rumour => rumours >= 2 || !serious,
            Mark::Sport => f.at < title_len,
            _ => true,
        };
        if holds && !marks.contains(&mark) {
            marks.push(mark);
        }
    }
    marks
}

/// Search results end in the site's name: "Vacancy at X - Facebook".
fn without_platform(title: &str, platforms: &[String]) -> String {
    for separator in [" - ", " | ", " – "] {
        if let Some((head, tail)) = title.rsplit_once(separator)
            && platforms.iter().any(|p| p.eq_ignore_ascii_case(tail.trim()))
        {
            return head.to_owned();
        }
    }
    title.to_owned()
}

/// Snippets are short, so the question is only which language's small words prevail.
fn is_english(vocabulary: &Vocabulary, tokens: &[Token]) -> bool {
    let count = |words: &HashSet<String>| tokens.iter().filter(|t| words.contains(&t.raw.to_lowercase())).count();
    let letters =
        |f: fn(&char) -> bool| tokens.iter().flat_map(|t| t.raw.chars()).filter(|c| c.is_alphabetic()).filter(f).count();
    let (all, ascii) = (letters(|_| true), letters(char::is_ascii));
    let (english, foreign) = (count(&vocabulary.english), count(&vocabulary.foreign));
    ascii * 10 >= all * 8 && foreign <= english && !(english == 0 && tokens.len() > 25)
}

fn places(found: &[Found<Meaning>]) -> Vec<Place> {
    let place = |f: &Found<Meaning>| match f.meaning {
        Meaning::Country(c) => Some(Place::Country(c)),
        Meaning::Area(c, a) => Some(Place::Area(c, a)),
        Meaning::Region(r) => Some(Place::Region(r)),
        _ => None,
    };
    let spans: Vec<(&Found<Meaning>, Place)> = found.iter().filter_map(|f| place(f).map(|p| (f, p))).collect();
    let mut out = Vec::new();
    for (f, p) in &spans {
        // "Washington State" is not Washington, "Mexico City" not only Mexico.
        let nested = spans.iter().any(|(g, _)| g.at <= f.at && f.at + f.len <= g.at + g.len && g.len > f.len);
        if !nested && !out.contains(p) {
            out.push(*p);
        }
    }
    out
}

/// The kind whose words are found most, the headline counting threefold; the first in the lexicon where equal.
fn kind_of(vocabulary: &Vocabulary, found: &[Found<Meaning>], title_len: usize) -> usize {
    let kinds = vocabulary.lexicon.kinds.len();
    let mut votes = vec![0usize; kinds];
    for f in found {
        if let Meaning::Kind(k) = f.meaning
            && let Some(vote) = votes.get_mut(k)
        {
            *vote += if f.at < title_len { 3 } else { 1 };
        }
    }
    let most = votes.iter().copied().max().unwrap_or(0);
    // Nothing tells: the last kind of the lexicon is the plainest.
    if most == 0 { kinds.saturating_sub(1) } else { votes.iter().position(|v| *v == most).unwrap_or(0) }
}

/// The action named most often; the first in the lexicon where equal.
fn action_of(found: &[Found<Meaning>], actions: usize) -> Option<usize> {
    let count = |a: usize| found.iter().filter(|f| f.meaning == Meaning::Action(a)).count();
    (0..actions).filter(|a| count(*a) > 0).min_by_key(|a| (std::cmp::Reverse(count(*a)), *a))
}

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

/// The first day that follows a deadline word within a few words.
fn deadline_day(tokens: &[Token], found: &[Found<Meaning>]) -> Option<String> {
    let is_month = |t: &Token| MONTHS.contains(&t.raw.to_lowercase().as_str());
    let is_day = |t: &Token| t.raw.parse::<u32>().is_ok_and(|d| (1..=31).contains(&d));
    let marked = |at: usize| {
        let deadline = |f: &&Found<Meaning>| matches!(f.meaning, Meaning::Mark(Mark::Deadline | Mark::Urgent));
        found.iter().filter(deadline).any(|f| f.at < at && at - f.at <= 5)
    };
    let day = tokens.windows(2).enumerate().find(|(at, pair)| {
        let dated = (is_day(&pair[0]) && is_month(&pair[1])) || (is_month(&pair[0]) && is_day(&pair[1]));
        dated && marked(*at)
    });
    day.map(|(_, pair)| format!("{} {}", pair[0].raw, pair[1].raw))
}

const NUMBERS: [(&str, u32); 14] = [
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("twelve", 12),
    ("fifteen", 15),
    ("eighteen", 18),
    ("twenty", 20),
    ("thirty", 30),
];

/// "at least ten years", "5-10 years", "four to eight years": the lower number before "years", the greatest of several.
fn years(tokens: &[Token]) -> Option<u32> {
    let number = |t: &Token| {
        let word = t.raw.to_lowercase();
        let spelt = NUMBERS.iter().find(|(name, _)| *name == word).map(|(_, n)| *n);
        spelt.or_else(|| word.parse().ok()).filter(|n| (1..=40).contains(n))
    };
    let mut most = None;
    for (at, token) in tokens.iter().enumerate() {
        let word = token.raw.to_lowercase();
        let after = tokens.get(at + 1).map(|t| t.raw.to_lowercase()).unwrap_or_default();
        if (word != "years" && word != "yrs") || ["old", "ago", "out"].contains(&after.as_str()) {
            continue;
        }
        let before = &tokens[at.saturating_sub(4)..at];
        if let Some(n) = before.iter().find_map(number) {
            most = most.max(Some(n));
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::rehearsal::lexicon::Lexicon;

    fn read(title: &str, summary: &str, source: &str) -> Reading {
        let vocabulary = Vocabulary::new(Lexicon::shipped().expect("reads")).expect("compiles");
        let json = serde_json::json!({ "title": title, "summary": summary, "source": source });
        Reading::of(&vocabulary, &serde_json::from_value(json).expect("an article"))
    }

    #[test]
    fn a_deadline_is_a_day_after_a_word_that_ends_something() {
        let day = |text: &str| read("T", text, "S").deadline;
        assert_eq!(day("Applications close 22 March 2026."), Some("22 March".into()));
        assert_eq!(day("The deadline is March 15."), Some("March 15".into()));
        assert_eq!(day("It was founded on 3 May 1990."), None);
    }

    #[test]
    fn years_of_experience_are_read_in_digits_and_words() {
        let years = |text: &str| read("T", text, "S").years;
        assert_eq!(years("A minimum of ten years in automation"), Some(10));
        assert_eq!(years("at least ten years of experience"), Some(10));
        assert_eq!(years("5–10 years of experience"), Some(5));
        assert_eq!(years("the company is forty years old"), None);
    }

    #[test]
    fn a_site_name_at_the_end_of_a_title_is_not_read() {
        let reading = read("Showroom manager vacancy - Facebook", "", "Serper/Google");
        assert!(reading.tokens.iter().all(|t| t.raw != "Facebook"));
    }

    #[test]
    fn other_languages_are_recognised() {
        assert!(!read("Kuwait Finance House بنك", "يعزز مكانته في السوق المصري بحلول مصرفية رقمية مبتكرة", "x").english);
        assert!(
            !read("Videospiel-Branche vor Wachstum", "Der Markt ist in die folgenden Regionen unterteilt und wächst", "x")
                .english
        );
        assert!(read("CERN upgrade", "The collider is finished", "x").english);
    }
}
