//! What goes wrong in written answers, counted by cause (guard S12). Owns the causes and how each is told; whether a score
//! could be read is `domain::answer`'s.

use std::collections::BTreeMap;

use crate::domain::{AnswerDefect, read_tolerant};
use crate::student::Stop;

/// An answer with more of its letters in another script than Latin counts as in another script. Names in their own spelling
/// stay below.
const OTHER_SCRIPT: f64 = 0.3;

/// Counts the causes over answers: (text, why it ended). Causes with no answer are not listed.
pub fn causes<'a>(answers: impl Iterator<Item = (&'a str, Option<Stop>)>, scale: (f64, f64)) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut count = |cause: String| *counts.entry(cause).or_insert(0) += 1;
    for (text, stop) in answers {
        match stop {
            Some(Stop::Length) => count("cut by the token limit".into()),
            Some(Stop::Loop) => count("runs in circles".into()),
            Some(Stop::End) | None => {}
        }
        if open_think(text) {
            count("think block not closed".into());
        }
        if other_script(text) {
            count("in another script".into());
        }
        if let Err(defect) = read_tolerant(text, scale)
            && defect != AnswerDefect::UnclosedThink
        {
            count(defect.to_string());
        }
    }
    counts
}

fn open_think(text: &str) -> bool {
    text.rfind("<think>").is_some_and(|open| !text[open..].contains("</think>"))
}

/// Whether too many letters are in another script than Latin.
fn other_script(text: &str) -> bool {
    let (mut letters, mut others) = (0_usize, 0_usize);
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        letters += 1;
        others += usize::from(!matches!(u32::from(c), 0..=0x24F | 0x1E00..=0x1EFF | 0x2C60..=0x2C7F | 0xA720..=0xA7FF));
    }
    others as f64 > OTHER_SCRIPT * letters as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_by_its_own_sign() {
        let good = "<think>\na\n</think>\nSCORE: 4.0 | REASON: Meets Müller in 東京.";
        let answers = [
            (good, Some(Stop::End)),
            ("<think>\nand on and on", Some(Stop::Length)),
            ("<think>\nand on and on and on", Some(Stop::Loop)),
            ("SCORE: 3.0 | REASON: 这篇文章与读者无关", Some(Stop::End)),
            ("I cannot say.", Some(Stop::End)),
        ];
        let counts = causes(answers.into_iter(), (0.0, 10.0));
        let wanted = [
            ("cut by the token limit", 1),
            ("in another script", 1),
            ("runs in circles", 1),
            ("think block not closed", 2),
            ("there is no score line", 1),
        ];
        for (cause, n) in wanted {
            assert_eq!(counts.get(cause), Some(&n), "{cause}: {counts:?}");
        }
        assert!(causes([(good, Some(Stop::End))].into_iter(), (0.0, 10.0)).is_empty());
    }
}
