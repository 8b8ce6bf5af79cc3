//! Reading answers: strictly where they become training data, tolerantly where a model serves.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An answer in its full format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text between the tags, trimmed. Empty where the recipe asks for no think block.
    pub think: String,
    pub score: f64,
    pub reason: String,
}

/// Why a text is not an answer. The closed set that parse failures are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerDefect {
    #[error("the answer is empty")]
    Empty,
    #[error("there is no think block")]
    NoThink,
    #[error("the think block is empty")]
    EmptyThink,
    #[error("the think block is not closed")]
    UnclosedThink,
    #[error("there is text before the think block or between it and the score line")]
    StrayText,
    #[error("there is no score line")]
    NoScore,
    #[error("the score is not a number with one decimal")]
    BadScore,
    #[error("the score is outside the scale")]
    OutOfScale,
    #[error("there is no reason")]
    NoReason,
    #[error("there is text after the score line")]
    TrailingText,
    #[error("the answer is not the JSON object that was asked for")]
    NotFields,
}

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

impl Answer {
    /// Reads the recipe's full format and nothing else: optional think block, then `SCORE: X.X | REASON: …`.
    /// `scale` is the inclusive score range.
    pub fn parse_strict(text: &str, think: bool, scale: (f64, f64)) -> Result<Self, AnswerDefect> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AnswerDefect::Empty);
        }
        let (think, rest) = if think { strict_think(text)? } else { (String::new(), text) };
        let (score, reason) = strict_score_line(rest.trim(), scale)?;
        Ok(Self { think, score, reason })
    }
}

fn strict_think(text: &str) -> Result<(String, &str), AnswerDefect> {
    let Some(start) = text.find(OPEN) else {
        return Err(AnswerDefect::NoThink);
    };
    if start != 0 {
        return Err(AnswerDefect::StrayText);
    }
    let inner = &text[OPEN.len()..];
    let Some(end) = inner.find(CLOSE) else {
        return Err(AnswerDefect::UnclosedThink);
    };
    let think = inner[..end].trim();
    if think.is_empty() {
        return Err(AnswerDefect::EmptyThink);
    }
    Ok((think.to_owned(), &inner[end + CLOSE.len()..]))
}

fn strict_score_line(rest: &str, scale: (f64, f64)) -> Result<(f64, String), AnswerDefect> {
    let Some(after) = rest.strip_prefix("SCORE:") else {
        return Err(if rest.contains("SCORE:") { AnswerDefect::StrayText } else { AnswerDefect::NoScore });
    };
    let (number, reason) = after.split_once('|').ok_or(AnswerDefect::NoReason)?;
    let score = one_decimal(number.trim()).ok_or(AnswerDefect::BadScore)?;
    if !(scale.0..=scale.1).contains(&score) {
        return Err(AnswerDefect::OutOfScale);
    }
    let reason = reason.trim().strip_prefix("REASON:").ok_or(AnswerDefect::NoReason)?.trim();
    if reason.is_empty() {
        return Err(AnswerDefect::NoReason);
    }
    if reason.contains('\n') {
        return Err(AnswerDefect::TrailingText);
    }
    Ok((score, reason.to_owned()))
}

/// `X.X` or `XX.X`, digits only.
fn one_decimal(text: &str) -> Option<f64> {
    let (whole, tenth) = text.split_once('.')?;
    let digits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    (digits(whole, 2) && digits(tenth, 1)).then(|| text.parse().ok()).flatten()
}

/// Splits an answer into its think block, if one is opened, and what follows. An unclosed block takes everything. The tags
/// may be written in any case.
pub fn split_think(text: &str) -> (Option<&str>, &str) {
    // ASCII lowering keeps byte positions.
    let lower = text.to_ascii_lowercase();
    let Some(start) = lower.find(OPEN) else {
        // Some templates open the block in the prompt; then only the closing tag is in the answer.
        return lower.find(CLOSE).map_or((None, text), |end| (Some(&text[..end]), &text[end + CLOSE.len()..]));
    };
    let inner = start + OPEN.len();
    match lower[inner..].find(CLOSE) {
        Some(end) => (Some(&text[inner..inner + end]), &text[inner + end + CLOSE.len()..]),
        None => (Some(&text[inner..]), ""),
    }
}

/// What a served answer says, however it is spelt: any case, any spacing, `**Score:** 8/10`, `score = 7,5`, a JSON object, a
/// missing reason or one on the next line. Think blocks are stripped first, so that a score mentioned inside one is never
/// taken for the verdict.
pub fn read_tolerant(text: &str, scale: (f64, f64)) -> Result<(f64, Option<String>), AnswerDefect> {
    let (think, rest) = split_think(text);
    if rest.trim().is_empty() {
        let unclosed = think.is_some() && !text.to_ascii_lowercase().contains(CLOSE);
        return Err(if unclosed { AnswerDefect::UnclosedThink } else { AnswerDefect::Empty });
    }
    let spoken = spoken(rest);
    let rest = spoken.as_ref();
    let lower = rest.to_ascii_lowercase();
    let named: Vec<usize> = words(&lower, "score").map(|at| at + "score".len()).collect();
    let (score, after) = named
        .iter()
        .find_map(|at| number(&rest[*at..]).map(|(score, used)| (score, at + used)))
        .ok_or(if named.is_empty() { AnswerDefect::NoScore } else { AnswerDefect::BadScore })?;
    if !(scale.0..=scale.1).contains(&score) {
        return Err(AnswerDefect::OutOfScale);
    }
    let labelled = words(&lower, "reason").map(|at| at + "reason".len());
    // Where it stands is not always behind the score.
    let at = labelled.clone().find(|at| *at > after).or_else(|| labelled.clone().next());
    Ok((score, at.and_then(|at| reason(&rest[at..]))))
}

/// A text without the think blocks that are opened in it. A tag that closes nothing stays: models that run on write it again
/// and again, and what they said first is what they meant.
fn spoken(text: &str) -> Cow<'_, str> {
    let (mut out, mut rest) = (Cow::Borrowed(""), text);
    while let Some(open) = rest.to_ascii_lowercase().find(OPEN) {
        out.to_mut().push_str(&rest[..open]);
        rest = split_think(&rest[open..]).1;
    }
    if out.is_empty() { Cow::Borrowed(rest) } else { out + rest }
}

/// Where a word begins in a lower-cased text; not within another word.
fn words<'a>(lower: &'a str, word: &'a str) -> impl Iterator<Item = usize> + Clone + 'a {
    let begins = |at: usize| !lower[..at].ends_with(|c: char| c.is_alphanumeric());
    lower.match_indices(word).map(|(at, _)| at).filter(move |at| begins(*at))
}

/// What may stand between a label and what it labels.
fn is_filling(c: char) -> bool {
    c.is_whitespace() || ":=*\"'`[(_：".contains(c)
}

/// The number that a label names, and how many bytes it took with what stands before it: digits, then perhaps one decimal
/// point or comma and more digits.
fn number(after: &str) -> Option<(f64, usize)> {
    let start = after.find(|c: char| !is_filling(c))?;
    let mut rest = &after[start..];
    // "SCORE - 7": a dash that stands alone is no sign.
    if let Some(spaced) = rest.strip_prefix(['-', '–', '—']).filter(|r| r.starts_with(char::is_whitespace)) {
        rest = spaced.trim_start_matches(is_filling);
    }
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(rest);
    let decimals = rest[whole..].strip_prefix(['.', ',']).map_or(0, digits);
    let end = if whole > 0 && decimals > 0 { whole + 1 + decimals } else { whole };
    let score = rest[..end].replace(',', ".").parse().ok()?;
    Some((score, after.len() - rest.len() + end))
}

fn reason(after: &str) -> Option<String> {
    let plain = |text: &'_ str| -> usize {
        text.len() - text.trim_start_matches(|c: char| c.is_whitespace() || ":=*：".contains(c)).len()
    };
    let mut text = &after[plain(after)..];
    // In JSON a quotation mark ends the key, and another opens the text.
    let mut quoted = false;
    while let Some(inner) = text.strip_prefix('"') {
        quoted = true;
        text = &inner[plain(inner)..];
    }
    let line = text.lines().next()?.trim().trim_end_matches(['*', '`']).trim_end();
    let line = if quoted { line.trim_end_matches(['}', '"', ' ']) } else { line };
    Some(line.to_owned()).filter(|r| !r.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCALE: (f64, f64) = (0.0, 10.0);

    #[test]
    fn the_full_format_is_read() {
        let answer = Answer::parse_strict("<think>\nPROFILE: x\n</think>\nSCORE: 9.5 | REASON: Because.", true, SCALE);
        assert_eq!(answer, Ok(Answer { think: "PROFILE: x".into(), score: 9.5, reason: "Because.".into() }));
    }

    #[test]
    fn each_way_of_missing_the_format_has_its_own_name() {
        use AnswerDefect as D;
        let cases = [
            ("", D::Empty),
            ("SCORE: 9.5 | REASON: r", D::NoThink),
            ("<think> \n</think>SCORE: 9.5 | REASON: r", D::EmptyThink),
            ("<think>a SCORE: 9.5 | REASON: r", D::UnclosedThink),
            ("Sure! <think>a</think>SCORE: 9.5 | REASON: r", D::StrayText),
            ("<think>a</think> So: SCORE: 9.5 | REASON: r", D::StrayText),
            ("<think>a</think> 9.5", D::NoScore),
            ("<think>a</think>SCORE: 9 | REASON: r", D::BadScore),
            ("<think>a</think>SCORE: nan | REASON: r", D::BadScore),
            ("<think>a</think>SCORE: 10.5 | REASON: r", D::OutOfScale),
            ("<think>a</think>SCORE: 9.5", D::NoReason),
            ("<think>a</think>SCORE: 9.5 | REASON: ", D::NoReason),
            ("<think>a</think>SCORE: 9.5 | REASON: r\nmore", D::TrailingText),
        ];
        for (text, defect) in cases {
            assert_eq!(Answer::parse_strict(text, true, SCALE), Err(defect), "{text}");
        }
    }

    #[test]
    fn a_served_answer_is_read_however_it_is_spelt() {
        let cases = [
            ("<think>score: 1.0</think> score : 7 | reason: ok", Ok((7.0, Some("ok".to_owned())))),
            ("**Score:** 8.5", Ok((8.5, None))),
            ("SCORE=3.5. REASON: a\nb", Ok((3.5, Some("a".to_owned())))),
            ("score : 8", Ok((8.0, None))),
            ("**Score:** 8/10\n\n**Reason:** It names him.", Ok((8.0, Some("It names him.".to_owned())))),
            ("Score: 7,5 | Reason: x", Ok((7.5, Some("x".to_owned())))),
            ("SCORE: 7, REASON: x", Ok((7.0, Some("x".to_owned())))),
            ("SCORE: 7.\nREASON:\nOn the next line.", Ok((7.0, Some("On the next line.".to_owned())))),
            ("Here is the score for you.\nSCORE: 6.5", Ok((6.5, None))),
            ("The reasoning is short. SCORE: 6.5 | REASON: r", Ok((6.5, Some("r".to_owned())))),
            ("REASON: first | SCORE: 2.0", Ok((2.0, Some("first | SCORE: 2.0".to_owned())))),
            ("{\"score\": 3.5, \"reason\": \"because\"}", Ok((3.5, Some("because".to_owned())))),
            ("SCORE [8.0]", Ok((8.0, None))),
            ("Score - 8.0", Ok((8.0, None))),
            ("Score：8.0", Ok((8.0, None))),
            ("<THINK>score: 1.0</Think>SCORE: 4.0", Ok((4.0, None))),
            ("<think>a</think>SCORE: 2.0 <think>or not</think> SCORE: 4.0", Ok((2.0, None))),
            ("<think>a</think><think>SCORE: 1.0</think> SCORE: 4.0", Ok((4.0, None))),
            // As small models run on.
            (
                "<think>a</think>SCORE: 1.0 | REASON: r\nVERDICT: x\n</think>\nSCORE: 2.0 | REASON: s",
                Ok((1.0, Some("r".to_owned()))),
            ),
            ("<think>a</think>SCORE: 2.0 <think>hm", Ok((2.0, None))),
            ("SCORE: -1", Err(AnswerDefect::BadScore)),
            ("SCORE: 80/100", Err(AnswerDefect::OutOfScale)),
            ("underscore 5", Err(AnswerDefect::NoScore)),
            ("<think>SCORE: 9.0</think>", Err(AnswerDefect::Empty)),
            ("<think>SCORE: 9.0", Err(AnswerDefect::UnclosedThink)),
            ("thinking</think>Score 2.0", Ok((2.0, None))),
            ("no number", Err(AnswerDefect::NoScore)),
            ("score: high", Err(AnswerDefect::BadScore)),
        ];
        for (text, read) in cases {
            assert_eq!(read_tolerant(text, SCALE), read, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_either_reader_panic(text in ".{0,200}") {
            let _ = Answer::parse_strict(&text, true, SCALE);
            let _ = read_tolerant(&text, SCALE);
        }

        #[test]
        fn what_the_strict_reader_accepts_the_tolerant_one_reads_the_same(score in 0u32..=100, reason in "[a-z ]{1,30}[.]") {
            let score = f64::from(score) / 10.0;
            let text = format!("<think>x</think>\nSCORE: {score:.1} | REASON: {reason}");
            let strict = Answer::parse_strict(&text, true, SCALE).expect("in format");
            let (tolerant, _) = read_tolerant(&text, SCALE).expect("in format");
            prop_assert!((strict.score - tolerant).abs() < 1e-12);
        }
    }
}
