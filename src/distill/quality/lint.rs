//! Guards D11 and D12: what a reason must not read like, and judgements that contradict the recipe's languages.
//!
//! The detector of languages is a small one. By letters it tells the script, and with it a handful of languages; among
//! those in Latin letters it knows nine by their commonest words. Of a text without enough of either it says nothing,
//! and nothing said is never a finding.

use std::collections::HashMap;

use super::{Scored, percent};
use crate::domain::{ArticleId, Finding};

/// Marks of a program that moved scores and told so in the reason.
const FIXER_PHRASES: [&str; 6] =
    ["adjusted from", "recalibrated", "re-calibrated", "rescaled from", "score adjusted", "auto-corrected"];

/// A share of cut or empty reasons that chance explains.
const MOST_CUT: f64 = 0.01;

/// Guard D11: reasons are whole sentences and speak of the pair, not of the score's own history.
pub fn d11(rows: &[Scored]) -> Finding {
    let count = |is: fn(&str) -> bool| rows.iter().filter(|row| is(row.reason.trim())).count();
    let (empty, cut, fixed) = (count(str::is_empty), count(is_cut), count(tells_of_change));
    let saw = format!(
        "{} reasons: {cut} without an end ({}), {empty} empty, {fixed} that tell of a changed score",
        rows.len(),
        percent(cut, rows.len())
    );
    if fixed == 0 && (cut + empty) as f64 <= MOST_CUT * rows.len() as f64 {
        return Finding::pass("D11", saw);
    }
    let remedy = match (fixed, cut + empty) {
        (0, _) => "ask these pairs again with more room for the answer, or leave them out: a student learns to stop halfway",
        _ => "leave rows with changed scores out: their reason belongs to another score; judge these pairs again",
    };
    Finding::fail("D11", saw, remedy)
}

/// Without final punctuation, or with an ellipsis for an end.
pub fn is_cut(reason: &str) -> bool {
    let end = reason.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '*']);
    let stops = ['.', '!', '?', '。', '！', '？', '؟', '।', '۔'];
    !reason.is_empty() && (!end.ends_with(stops) || end.ends_with(".."))
}

/// The reason speaks of the score's own history.
pub fn tells_of_change(reason: &str) -> bool {
    let lower = reason.to_lowercase();
    FIXER_PHRASES.iter().any(|phrase| lower.contains(phrase))
}

/// Guard D12: where the recipe wants certain languages, no article in another is scored relevant. `None` where the
/// recipe says nothing.
pub fn d12(
    rows: &[Scored],
    wanted: &[String],
    relevant_from: f64,
    article: &dyn Fn(&ArticleId) -> Option<String>,
) -> Option<Finding> {
    if wanted.is_empty() {
        return None;
    }
    let mut known: HashMap<&ArticleId, Option<bool>> = HashMap::new();
    let (mut relevant, mut unknown) = (0, 0);
    let mut against: Vec<&Scored> = Vec::new();
    for row in rows.iter().filter(|r| r.score >= relevant_from) {
        relevant += 1;
        let of_article = |id: &ArticleId| {
            let codes = languages_of(&article(id)?);
            (!codes.is_empty()).then(|| codes.iter().any(|code| wanted.iter().any(|w| w.eq_ignore_ascii_case(code))))
        };
        match known.entry(&row.pair.article).or_insert_with_key(|id| of_article(id)) {
            Some(true) => {}
            Some(false) => against.push(row),
            None => unknown += 1,
        }
    }
    let list = wanted.join(", ");
    let told = format!(
        "of {relevant} rows scored relevant, {} are about articles not in {list}; of {unknown} the language cannot be told",
        against.len()
    );
    if against.is_empty() {
        return Some(Finding::pass("D12", told));
    }
    let named: Vec<String> = against.iter().take(3).map(|r| format!("{} {:.1}", r.pair, r.score)).collect();
    let remedy = "the rubric does not say that other languages are not relevant, or the teacher does not heed it; \
                  say it in the rubric, reject these rows in the audit, or take data.languages out of the recipe";
    Some(Finding::fail("D12", format!("{told}; such as {}", named.join(", ")), remedy))
}

/// Commonest words that no other of these languages shares much.
const WORDS: [(&str, &[&str]); 9] = [
    ("en", &["the", "and", "of", "to", "for", "with", "is", "that", "from", "are", "as", "by", "this", "at", "will"]),
    ("de", &["der", "die", "und", "das", "ist", "nicht", "mit", "von", "für", "den", "dem", "ein", "eine", "auf", "auch"]),
    ("fr", &["le", "les", "des", "et", "est", "une", "dans", "pour", "que", "sur", "au", "aux", "du", "avec", "par"]),
    ("es", &["el", "los", "las", "y", "del", "una", "por", "con", "para", "que", "es", "su", "más", "en", "al"]),
    ("pt", &["o", "os", "e", "do", "da", "dos", "das", "uma", "não", "para", "com", "em", "que", "ao", "mais"]),
    ("it", &["il", "gli", "di", "che", "della", "per", "una", "con", "sono", "nel", "dei", "più", "è", "del", "alla"]),
    ("nl", &["de", "het", "een", "van", "en", "niet", "met", "voor", "zijn", "aan", "ook", "naar", "bij", "op", "dat"]),
    ("tr", &["ve", "bir", "bu", "için", "ile", "olarak", "daha", "çok", "olan", "gibi", "sonra", "kadar", "göre", "yeni", "en"]),
    (
        "id",
        &["yang", "dan", "di", "untuk", "dengan", "ini", "dari", "pada", "dalam", "tidak", "akan", "itu", "adalah", "ke", "oleh"],
    ),
];

/// Fewer letters than this are a name, not a language.
const LEAST_LETTERS: usize = 20;

/// The languages that a text may be in, by their codes; none where it cannot be told.
pub fn languages_of(text: &str) -> &'static [&'static str] {
    let mut counts = [0_usize; SCRIPTS.len()];
    let mut letters = 0;
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        letters += 1;
        if let Some(at) = SCRIPTS.iter().position(|(ranges, _)| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c))) {
            counts[at] += 1;
        }
    }
    // A letter of the ideographic scripts is a word.
    let ideographs: usize = counts[JAPANESE] + counts[HAN] + counts[KOREAN];
    if letters + 4 * ideographs < LEAST_LETTERS {
        return &[];
    }
    if counts[JAPANESE] * 10 > letters {
        return SCRIPTS[JAPANESE].1;
    }
    let most = (0..SCRIPTS.len()).max_by_key(|at| counts[*at]).unwrap_or(LATIN);
    match counts[most] * 2 > letters {
        true if most == LATIN => by_words(text),
        true => SCRIPTS[most].1,
        false => &[],
    }
}

type Script = (&'static [(char, char)], &'static [&'static str]);

const LATIN: usize = 0;
const JAPANESE: usize = 1;
const HAN: usize = 2;
const KOREAN: usize = 3;

/// Letters and the languages written in them.
const SCRIPTS: [Script; 10] = [
    (&[('A', 'Z'), ('a', 'z'), ('\u{c0}', '\u{24f}'), ('\u{1e00}', '\u{1eff}')], &[]),
    (&[('\u{3040}', '\u{30ff}')], &["ja"]),
    (&[('\u{3400}', '\u{9fff}')], &["zh", "ja"]),
    (&[('\u{ac00}', '\u{d7af}'), ('\u{1100}', '\u{11ff}')], &["ko"]),
    (&[('\u{600}', '\u{77f}'), ('\u{fb50}', '\u{fdff}'), ('\u{fe70}', '\u{feff}')], &["ar", "fa", "ur"]),
    (&[('\u{400}', '\u{52f}')], &["ru", "uk", "bg", "sr", "kk"]),
    (&[('\u{590}', '\u{5ff}')], &["he"]),
    (&[('\u{900}', '\u{97f}')], &["hi", "mr", "ne"]),
    (&[('\u{370}', '\u{3ff}')], &["el"]),
    (&[('\u{e00}', '\u{e7f}')], &["th"]),
];

/// The language whose common words a text has most of: at least three of them, and half as many again as the next.
fn by_words(text: &str) -> &'static [&'static str] {
    let mut hits = [0_usize; WORDS.len()];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
        for (hit, (_, words)) in hits.iter_mut().zip(&WORDS) {
            *hit += usize::from(words.contains(&word));
        }
    }
    let mut order: Vec<usize> = (0..WORDS.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(hits[*at]));
    let (first, second) = (order[0], order[1]);
    let clear = hits[first] >= 3 && hits[first] * 2 >= hits[second] * 3;
    if clear { std::slice::from_ref(&WORDS[first].0) } else { &[] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PairKey;

    fn row(article: &str, score: f64, reason: &str) -> Scored {
        let pair = PairKey { article: article.parse().expect("id"), profile: "p".parse().expect("id") };
        Scored { pair, score, reason: reason.into(), annotator: "x".into(), batch: 0 }
    }

    #[test]
    fn languages_are_told_by_letters_and_by_common_words() {
        let cases: [(&str, &[&str]); 8] = [
            ("The bank will open two branches for students of the university this spring.", &["en"]),
            ("Die Bank eröffnet im Frühling zwei Filialen für Studenten, und das ist nicht alles.", &["de"]),
            ("El banco abrirá dos sucursales para los estudiantes de las universidades por la demanda.", &["es"]),
            ("La banque ouvre deux agences pour les étudiants et une école dans le sud.", &["fr"]),
            ("أعلن البنك عن فتح فرعين جديدين للطلاب في الكويت", &["ar", "fa", "ur"]),
            ("銀行は学生のために新しい支店を二つ開く", &["ja"]),
            ("Банк откроет два отделения для студентов", &["ru", "uk", "bg", "sr", "kk"]),
            ("NVIDIA RTX 5090", &[]),
        ];
        for (text, codes) in cases {
            assert_eq!(languages_of(text), codes, "{text}");
        }
        assert!(languages_of("").is_empty() && languages_of("Zürich Paris Milano Berlin Torino Genève Basel").is_empty());
    }

    #[test]
    fn an_article_in_another_language_scored_relevant_is_named_where_the_recipe_says_so() {
        let rows = [row("a1", 8.0, "Good."), row("a2", 9.0, "Good."), row("a2", 1.0, "Bad."), row("a3", 7.0, "Good.")];
        let text = |id: &ArticleId| match id.as_str() {
            "a1" => Some("The bank is open to all of the students and their friends.".to_owned()),
            "a2" => Some("أعلن البنك عن فتح فرعين جديدين للطلاب في الكويت".to_owned()),
            _ => None,
        };
        let check = |wanted: &[&str]| d12(&rows, &wanted.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), 5.0, &text);
        assert_eq!(check(&[]), None);
        let finding = check(&["en"]).expect("a rule");
        assert!(
            finding.failed() && finding.saw.contains("of 3 rows scored relevant, 1 ") && finding.saw.contains("a2"),
            "{}",
            finding.saw
        );
        assert!(!check(&["en", "ar"]).expect("a rule").failed());
    }

    #[test]
    fn cut_reasons_and_fixers_marks_are_counted_and_whole_ones_are_not() {
        for whole in ["Fine.", "She said \"no.\"", "Is it? (Yes!)", "はい。"] {
            assert!(!is_cut(whole), "{whole}");
        }
        for cut in ["The article is about", "The article…", "The article...", "Fine"] {
            assert!(is_cut(cut), "{cut}");
        }
        assert!(!d11(&[row("a", 1.0, "Fine.")]).failed() && !d11(&[]).failed());
        assert!(d11(&[row("a", 1.0, "Fine."), row("b", 1.0, "")]).saw.contains("1 empty"));
        assert!(d11(&[row("a", 5.5, "Adjusted from 5.0 to avoid the middle.")]).failed());
    }
}
