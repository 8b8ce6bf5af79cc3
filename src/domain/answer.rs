//! Reading answers: strictly where they become training data, tolerantly where a model serves.

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

/// Splits an answer into its think block, if one is opened, and what follows. An unclosed block takes everything.
pub fn split_think(text: &str) -> (Option<&str>, &str) {
    let Some(start) = text.find(OPEN) else {
        // Some templates open the block in the prompt; then only the closing tag is in the answer.
        return text.split_once(CLOSE).map_or((None, text), |(think, rest)| (Some(think), rest));
    };
    let inner = &text[start + OPEN.len()..];
    inner.split_once(CLOSE).map_or((Some(inner), ""), |(think, rest)| (Some(think), rest))
}

/// What a served answer says, however it is spelt: any case, any spacing, `SCORE=7`, a missing reason. The think
/// block is stripped first, so that a score mentioned inside it is never taken for the verdict.
pub fn read_tolerant(text: &str, scale: (f64, f64)) -> Result<(f64, Option<String>), AnswerDefect> {
    let (think, rest) = split_think(text);
    if rest.trim().is_empty() {
        return Err(if think.is_some() && !text.contains(CLOSE) { AnswerDefect::UnclosedThink } else { AnswerDefect::Empty });
    }
    // ASCII lowering keeps byte positions, so they are valid in `rest` too.
    let lower = rest.to_ascii_lowercase();
    let at = lower.find("score").ok_or(AnswerDefect::NoScore)?;
    let after = rest[at + "score".len()..].trim_start_matches(|c: char| c.is_whitespace() || ":=*".contains(c));
    let number: String = after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let score: f64 = number.trim_end_matches('.').parse().map_err(|_| AnswerDefect::BadScore)?;
    if !(scale.0..=scale.1).contains(&score) {
        return Err(AnswerDefect::OutOfScale);
    }
    let reason = lower
        .find("reason")
        .map(|i| rest[i + "reason".len()..].trim_start_matches(|c: char| c.is_whitespace() || ":=*".contains(c)));
    let reason = reason.and_then(|r| r.lines().next()).map(|r| r.trim().to_owned()).filter(|r| !r.is_empty());
    Ok((score, reason))
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
