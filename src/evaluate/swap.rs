//! The same article with other names: whether a score comes from what is said or from names learnt by heart.
//!
//! Owns which names are found, the unseen ones that replace them, and what a shift of scores means. A name that the reader
//! follows, or lives in, is replaced in the profile too: what follows stays followed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::figure;
use crate::domain::{Article, Digester, Profile, one_line};

/// A mean shift of this or more speaks of memory.
pub const SHIFT_BELOW: f64 = 2.0;
/// Share of capitalised words from which a title is one in title case: its capitals say nothing.
const TITLE_CASE: f64 = 0.6;
/// Words in capitals up to this length, such as GPU, are terms unless somebody follows them.
const TERM: usize = 5;
/// Shorter words take no endings: "US" is not "U" in the plural.
const STEM: usize = 4;
/// The widest shifts that are shown.
const WIDEST: usize = 5;

/// Capitalised words that are part of names but name nobody.
const GENERIC: &str = " academy agency airlines airport airways association authority bank board bureau capital center centre city \
    college commission committee company conference corp corporation council county court department exchange festival foundation \
    fund gmbh group holdings hospital inc institute international laboratory labs league limited llc ltd magazine ministry museum \
    national network newsroom north office organization park partners plc press prize research school sciences services society \
    south station stock studio studios systems technologies technology times union united university ventures west east ";

/// Words that begin sentences or are written with a capital without being names.
const COMMON: &str = " a after all also an and another any applications apply are as at be before both but by can company days each \
    every for free from friday he here his how if in is it its january february march april may june july august september october \
    november december last many monday more most much my new next no not now of officials on once one only open or orders our over \
    people registration researchers saturday scientists several she since some sunday that the their there these they this those \
    three thursday to today tuesday two under until up users we wednesday what when where which while who why will with workers \
    year you your ceo cfo cto i mr mrs ms dr ";

/// Endings that make other words of a place's or people's name.
const ENDINGS: [&str; 7] = ["", "s", "i", "is", "n", "an", "ian"];

const ONSETS: [&str; 16] = ["b", "br", "d", "dr", "f", "g", "k", "kr", "l", "m", "n", "p", "t", "tr", "v", "z"];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ae"];
const CODAS: [&str; 8] = ["l", "m", "n", "r", "rn", "s", "th", "x"];

/// An article and its reader with other names.
#[derive(Debug, Clone, PartialEq)]
pub struct Swapped {
    pub article: Article,
    pub profile: Profile,
    /// Old word, new word.
    pub names: Vec<(String, String)>,
}

/// Replaces the names of companies, places and people by ones that nobody has seen. `known` are names to look for besides
/// what capitals show: what any reader follows. `is_read`: the word occurs in what the model may have read. `is_word`:
/// somewhere it is written without a capital, so that a capital alone makes no name of it (Jobs, World, Director). The same
/// word, seed and readers always give the same new word. `None`: no names were found.
pub fn swap_names(
    article: &Article,
    profile: &Profile,
    known: &[&str],
    is_read: &dyn Fn(&str) -> bool,
    is_word: &dyn Fn(&str) -> bool,
    seed: u64,
) -> Option<Swapped> {
    let mut words: BTreeSet<String> = BTreeSet::new();
    let text = format!("{}\n{}", article.title, article.summary);
    for name in known.iter().copied().chain(profile.tracked.iter().map(String::as_str)).chain(profile.places()) {
        if occurs(name, &text) {
            words.extend(name_words(name, true));
        }
    }
    for name in capitalised(article) {
        words.extend(name_words(&name, false).into_iter().filter(|word| !is_word(word)));
    }
    // "Kuwaiti" follows "Kuwait": one invention for both.
    let follows = |word: &str| {
        let stems = ENDINGS.iter().filter(|e| !e.is_empty()).filter_map(|e| word.strip_suffix(e));
        stems.into_iter().any(|stem| stem.chars().count() >= STEM && words.contains(stem))
    };
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for word in words.iter().filter(|word| !follows(word)) {
        let taken = |coin: &str| is_read(coin) || map.values().any(|c| c.eq_ignore_ascii_case(coin));
        let coin = coin(word, seed, &taken);
        map.insert(word.clone(), coin);
    }
    if map.is_empty() {
        return None;
    }
    let prose = |text: &str| replace(text, &map, true);
    let mut other = article.clone();
    (other.title, other.summary, other.source) = (prose(&article.title), prose(&article.summary), prose(&article.source));
    let mut reader = profile.clone();
    for field in [&mut reader.role, &mut reader.context, &mut reader.description, &mut reader.location] {
        *field = prose(field);
    }
    for item in reader.tracked.iter_mut().chain(&mut reader.interests) {
        *item = replace(item, &map, false);
    }
    reader.system_prompt = profile.system_prompt.as_deref().map(prose);
    (other != *article).then(|| Swapped { article: other, profile: reader, names: map.into_iter().collect() })
}

fn in_list(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split_whitespace().any(|w| w == word)
}

/// The words of a name that name somebody, in lower case. `followed`: short terms in capitals are names here.
fn name_words(name: &str, followed: bool) -> Vec<String> {
    let names = |word: &&str| {
        let lower = word.to_lowercase();
        let term = word.chars().count() <= TERM && word.chars().all(|c| !c.is_lowercase());
        word.chars().any(char::is_alphabetic)
            && word.chars().count() >= 2
            && !in_list(GENERIC, &lower)
            && !in_list(COMMON, &lower)
            && (followed || !term)
            && word.chars().next().is_some_and(|c| followed || c.is_uppercase())
    };
    split(name).filter(names).map(str::to_lowercase).collect()
}

/// Words of a text: letters, digits and what joins them inside a word.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty())
}

/// Whether a name stands in a text as whole words, in any case.
fn occurs(name: &str, text: &str) -> bool {
    let name: Vec<String> = split(name).map(str::to_lowercase).collect();
    let words: Vec<String> = split(text).map(str::to_lowercase).collect();
    !name.is_empty() && words.windows(name.len()).any(|run| run == name.as_slice())
}

/// A word of a text with what its surroundings say about its capital.
struct Seen<'a> {
    word: &'a str,
    capital: bool,
    /// First of its sentence: its capital says nothing.
    first: bool,
    /// Nothing but a space stands before it.
    joined: bool,
}

fn look(text: &str) -> Vec<Seen<'_>> {
    let mut all = Vec::new();
    let mut rest = text;
    let (mut first, mut gap) = (true, String::new());
    while let Some(start) = rest.find(char::is_alphanumeric) {
        gap.push_str(&rest[..start]);
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_alphanumeric()).unwrap_or(tail.len());
        let word = &tail[..end];
        first = first || gap.contains(['.', '!', '?', ':', '\n', '"', '“', '…']);
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        all.push(Seen { word, capital, first, joined: gap == " " });
        rest = &tail[end..];
        (first, gap) = (false, String::new());
    }
    all
}

/// Runs of capitalised words, as far as their capitals say something.
fn capitalised(article: &Article) -> Vec<String> {
    let (title, summary) = (look(&article.title), look(&article.summary));
    let capitals = title.iter().filter(|w| w.capital).count();
    let title_case = title.len() > 2 && capitals as f64 >= TITLE_CASE * title.len() as f64;
    let mut runs = named_runs(&summary);
    if !title_case {
        runs.extend(named_runs(&title));
    }
    runs
}

fn named_runs(words: &[Seen<'_>]) -> Vec<String> {
    // A word that begins a sentence is a name if it has its capital elsewhere too, and never a lower-case form.
    let elsewhere = |word: &str| words.iter().any(|w| !w.first && w.capital && w.word == word);
    let plain = |word: &str| words.iter().any(|w| !w.capital && w.word.eq_ignore_ascii_case(word));
    let mut runs: Vec<Vec<&Seen<'_>>> = Vec::new();
    for word in words {
        let name = word.capital && !in_list(COMMON, &word.word.to_lowercase());
        match runs.last_mut() {
            Some(run) if name && word.joined && !word.first && !run.is_empty() => run.push(word),
            _ => runs.push(if name { vec![word] } else { Vec::new() }),
        }
    }
    let named = runs.into_iter().filter_map(|run| {
        let alone = run.len() == 1;
        let kept: Vec<&str> =
            run.iter().filter(|w| !(w.first && (plain(w.word) || (alone && !elsewhere(w.word))))).map(|w| w.word).collect();
        (!kept.is_empty()).then(|| kept.join(" "))
    });
    named.collect()
}

/// An invented word in the place of `word`.
fn coin(word: &str, seed: u64, taken: &dyn Fn(&str) -> bool) -> String {
    for turn in 0_u32..1000 {
        let digest = Digester::new().field("name").field(seed.to_le_bytes()).field(word).field(turn.to_le_bytes()).finish();
        let digits = digest.as_str().as_bytes();
        let pick = |place: usize, from: &[&'static str]| {
            let pair = digits.get(2 * place..2 * place + 2).unwrap_or(b"00");
            from[(usize::from(pair[0]) * 31 + usize::from(pair[1])) % from.len()]
        };
        let coin = [pick(0, &ONSETS), pick(1, &VOWELS), pick(2, &ONSETS), pick(3, &VOWELS), pick(4, &CODAS)].concat();
        if !taken(&coin) {
            return coin;
        }
    }
    // A thousand inventions are taken only where everything is; then the word itself turned round is unseen enough.
    word.chars().rev().collect()
}

/// Text with the words of `map` replaced, in their case and with their endings; `capitals`: only words with a capital.
fn replace(text: &str, map: &BTreeMap<String, String>, capitals: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        out.push_str(&rest[..start]);
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_alphanumeric()).unwrap_or(tail.len());
        let word = &tail[..end];
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        match replaced(word, map).filter(|_| capital || !capitals) {
            Some(new) => out.push_str(&new),
            None => out.push_str(word),
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    out
}

fn replaced(word: &str, map: &BTreeMap<String, String>) -> Option<String> {
    let lower = word.to_lowercase();
    let (coin, ending) = ENDINGS.iter().find_map(|ending| {
        let stem = lower.strip_suffix(ending)?;
        (ending.is_empty() || stem.chars().count() >= STEM).then(|| map.get(stem)).flatten().map(|coin| (coin, *ending))
    })?;
    let all_capitals = word.chars().count() > 1 && word.chars().all(|c| !c.is_lowercase());
    if all_capitals {
        return Some(format!("{coin}{ending}").to_uppercase());
    }
    let mut letters = coin.chars();
    let first = letters.next()?;
    let capital = word.chars().next().is_some_and(char::is_uppercase);
    let first = if capital { first.to_ascii_uppercase() } else { first };
    Some(format!("{first}{}{ending}", letters.as_str()))
}

/// One row: its score as it is, asked once more, and with other names.
#[derive(Debug, Clone, PartialEq)]
pub struct SwapRow {
    pub article: String,
    pub profile: String,
    pub own: Option<f64>,
    pub again: Option<f64>,
    pub swapped: Option<f64>,
}

/// Anti-memorisation by entity swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memorisation {
    /// Rows with both scores.
    pub n: usize,
    /// Rows whose article names nobody.
    pub nameless: usize,
    pub unreadable: usize,
    /// Mean |score − score with other names|.
    pub mean_shift: Option<f64>,
    /// The same between asking twice: what drawing alone makes.
    pub mean_again: Option<f64>,
    /// Below 2.0.
    pub passed: Option<bool>,
    /// Article, reader, score, score with other names: the widest first.
    pub widest: Vec<(String, String, f64, f64)>,
}

/// Reads the scores of swapped rows. `sealed` names in the report are the caller's.
pub fn memorisation(rows: &[SwapRow], nameless: usize) -> Memorisation {
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let gap = |a: Option<f64>, b: Option<f64>| Some((a? - b?).abs());
    let shifts: Vec<f64> = rows.iter().filter_map(|r| gap(r.own, r.swapped)).collect();
    let again: Vec<f64> = rows.iter().filter_map(|r| gap(r.own, r.again)).collect();
    let mean_shift = mean(&shifts);
    let mut widest: Vec<(String, String, f64, f64)> =
        rows.iter().filter_map(|r| Some((one_line(&r.article, 80), one_line(&r.profile, 80), r.own?, r.swapped?))).collect();
    widest.sort_by(|a, b| (b.2 - b.3).abs().total_cmp(&(a.2 - a.3).abs()).then_with(|| (&a.0, &a.1).cmp(&(&b.0, &b.1))));
    widest.truncate(WIDEST);
    Memorisation {
        n: shifts.len(),
        nameless,
        unreadable: rows.len() - shifts.len(),
        mean_shift,
        mean_again: mean(&again),
        passed: mean_shift.map(|shift| shift < SHIFT_BELOW),
        widest,
    }
}

impl Memorisation {
    pub fn lines(&self) -> Vec<String> {
        let verdict = match self.passed {
            Some(true) => "passed",
            Some(false) => "FAILED: scores follow names, not what is said",
            None => "nothing could be measured",
        };
        let mut lines = vec![
            format!(
                "other names in {} articles ({} name nobody, {} unreadable): mean shift {}, below {SHIFT_BELOW:.1} expected: {verdict}",
                self.n,
                self.nameless,
                self.unreadable,
                figure(self.mean_shift)
            ),
            format!("  asking the same twice shifts by {}", figure(self.mean_again)),
        ];
        lines.extend(
            self.widest
                .iter()
                .map(|(article, profile, own, swapped)| format!("  {own:.1} → {swapped:.1}  {article} for {profile}")),
        );
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProfileRow, SourceType};
    use proptest::prelude::*;

    fn reader() -> Profile {
        let row: ProfileRow = serde_json::from_str(
            r#"{"id":"r","role":"engineer","location":"Kuwait City, Kuwait","context":"Seeks work at Equate, follows Nvidia.",
                "tracked":["Equate","NVDA"],"interests":["chips","Nintendo Switch"]}"#,
        )
        .expect("reads");
        row.into_profile().expect("sound")
    }

    fn article(title: &str, summary: &str) -> Article {
        let row =
            serde_json::json!({"title": title, "summary": summary, "source": "Kuwait Times", "source_type": SourceType::News});
        serde_json::from_value(row).expect("reads")
    }

    fn swapped(title: &str, summary: &str) -> Swapped {
        swap_names(&article(title, summary), &reader(), &["Warba Bank"], &|_| false, &|_| false, 19).expect("names")
    }

    fn old(names: &Swapped) -> Vec<&str> {
        names.names.iter().map(|(old, _)| old.as_str()).collect()
    }

    #[test]
    fn companies_places_and_people_are_replaced_and_the_rest_stays() {
        let s = swapped(
            "Equate opens posts for graduates",
            "The company EQUATE hires in Kuwait. Officials said that Maria Lopez leads the GPU team at Warba Bank. Apply by March 15.",
        );
        assert_eq!(old(&s), ["equate", "kuwait", "lopez", "maria", "warba"]);
        for gone in ["Equate", "EQUATE", "Kuwait", "Lopez", "Maria", "Warba"] {
            assert!(!format!("{} {} {}", s.article.title, s.article.summary, s.article.source).contains(gone), "{gone}: {s:?}");
        }
        for kept in
            ["opens posts for graduates", "The company ", " hires in ", "GPU team", " Bank", "Apply by March 15.", "Officials"]
        {
            assert!(s.article.title.contains(kept) || s.article.summary.contains(kept), "{kept}: {s:?}");
        }
        // EQUATE stays in capitals.
        assert!(s.article.summary.split(' ').nth(2).is_some_and(|w| w.chars().all(char::is_uppercase)), "{s:?}");
    }

    #[test]
    fn what_the_reader_follows_and_where_it_lives_is_replaced_alike_in_the_profile() {
        let s = swapped("Equate and Nintendo", "News of Equate, of the Nintendo Switch, and of Kuwait's chips.");
        let new = |word: &str| s.names.iter().find(|(old, _)| old == word).map(|(_, new)| new.clone()).unwrap_or_default();
        assert_eq!(s.profile.tracked[0].to_lowercase(), new("equate"));
        assert_eq!(s.profile.tracked[1], "NVDA");
        assert!(s.profile.location.to_lowercase().contains(&new("kuwait")), "{s:?}");
        assert!(s.profile.interests[1].to_lowercase().starts_with(&new("nintendo")), "{s:?}");
        assert!(s.profile.context.to_lowercase().contains(&new("equate")) && s.profile.context.contains("follows Nvidia"));
        assert!(s.article.summary.contains("'s chips"));
    }

    #[test]
    fn capitals_that_say_nothing_are_left_alone() {
        let plain = article(
            "Chips are getting faster",
            "Faster chips arrive. Nobody is named here. On Friday, the AI and GPU makers met.",
        );
        assert_eq!(swap_names(&plain, &reader(), &[], &|_| false, &|_| false, 1), None);
        // A title in title case says nothing; a name there is found by its lists.
        let s = swapped("New Chips Are Getting Faster For Warba Bank", "Faster chips arrive.");
        assert_eq!(old(&s), ["warba"]);
    }

    #[test]
    fn a_word_that_is_written_without_a_capital_elsewhere_is_no_name_by_its_capital() {
        let text = "The Managing Director said that Jobs at Betatown and Warba Bank stay.";
        let is_word = |word: &str| ["managing", "director", "jobs", "warba"].contains(&word);
        let s = swap_names(&article("x", text), &reader(), &["Warba Bank"], &|_| false, &is_word, 19).expect("names");
        assert_eq!(old(&s), ["betatown", "warba"]);
    }

    #[test]
    fn other_words_of_a_name_follow_it() {
        let s = swapped("News", "Growth in Kuwait surprised Kuwaitis and the Kuwaiti press.");
        let new = s.names[0].1.clone();
        let text = s.article.summary.to_lowercase();
        assert!(text.contains(&format!("{new}is and the {new}i press")), "{text}");
    }

    #[test]
    fn new_names_are_unseen_distinct_and_the_same_every_time() {
        let text = "Talks between Alphaville, Betatown and Gammastad ended.";
        let first = swapped("x", text);
        assert_eq!(first, swapped("x", text));
        let used = first.names[0].1.clone();
        let other = swap_names(&article("x", text), &reader(), &[], &|coin| coin == used, &|_| false, 19).expect("names");
        assert_ne!(other.names[0].1, used);
        let distinct: BTreeSet<&String> = first.names.iter().map(|(_, new)| new).collect();
        assert_eq!(distinct.len(), first.names.len());
        assert_ne!(
            swap_names(&article("x", text), &reader(), &[], &|_| false, &|_| false, 20).expect("names").names,
            first.names
        );
    }

    fn row(own: f64, again: f64, swapped: f64) -> SwapRow {
        SwapRow { article: "a".into(), profile: "p".into(), own: Some(own), again: Some(again), swapped: Some(swapped) }
    }

    #[test]
    fn memory_shifts_scores_and_reading_does_not() {
        let learnt = memorisation(&[row(9.0, 9.0, 1.0), row(1.0, 1.5, 1.0)], 1);
        assert_eq!((learnt.n, learnt.nameless, learnt.mean_shift, learnt.passed), (2, 1, Some(4.0), Some(false)));
        assert_eq!((learnt.mean_again, learnt.widest[0].3), (Some(0.25), 1.0));
        assert!(learnt.lines()[0].contains("FAILED"));
        assert_eq!(memorisation(&[row(9.0, 9.0, 7.5)], 0).passed, Some(true));
        let unread = SwapRow { swapped: None, ..row(9.0, 9.0, 1.0) };
        assert_eq!((memorisation(std::slice::from_ref(&unread), 0).passed, memorisation(&[unread], 0).unreadable), (None, 1));
    }

    proptest! {
        #[test]
        fn any_article_is_swapped_without_touching_its_numbers(title in ".{1,60}", summary in "([A-Za-z0-9 .,'’ÄöÜß-]|Kuwait |Equate ){0,40}") {
            let article = article(&format!("T{title}"), &summary);
            if let Some(s) = swap_names(&article, &reader(), &["Warba Bank"], &|_| false, &|_| false, 3) {
                let digits = |text: &str| split(text).filter(|w| w.chars().all(|c| c.is_ascii_digit())).map(str::to_owned).collect::<Vec<_>>();
                prop_assert_eq!(digits(&s.article.summary), digits(&article.summary));
                prop_assert_eq!(split(&s.article.summary).count(), split(&article.summary).count());
            }
        }
    }
}
