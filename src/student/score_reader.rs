//! The probability-weighted score: instead of the one score that was drawn, the expectation over the digits at the place
//! where it stands. Watches an answer token by token. The whole part is Σ p(d)·d over the digits (and 10, where the
//! tokenizer spells it as one token or where 1 is drawn and may go on with 0), the tenth Σ p(d)·d/10 after the drawn
//! whole part; both over digits only.

use super::StudentTokenizer;

/// Which token spells which number, for one tokenizer.
#[derive(Debug, Clone)]
pub struct Digits {
    /// Token, value; with and without a leading space.
    whole: Vec<(u32, f64)>,
    /// Of 0 to 9, without a space.
    tenth: Vec<(u32, f64)>,
}

impl Digits {
    pub fn new(tokenizer: &StudentTokenizer) -> Self {
        let single = |text: String| tokenizer.encode(&text).ok().and_then(|ids| if let [id] = ids[..] { Some(id) } else { None });
        let numbers = |most: u32, lead: &'static str| {
            (0..=most).filter_map(move |n| single(format!("{lead}{n}")).map(|id| (id, f64::from(n)))).collect::<Vec<_>>()
        };
        let mut whole = numbers(10, "");
        whole.extend(numbers(10, " "));
        whole.sort_by_key(|(id, _)| *id);
        whole.dedup_by_key(|(id, _)| *id);
        Self { whole, tenth: numbers(9, "") }
    }
}

/// Expectation over some tokens, and how much of all probability they have.
fn expected(logits: &[f32], tokens: &[(u32, f64)]) -> (f64, f64) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mass = |id: u32| f64::from(logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY) - most).exp();
    let here: f64 = tokens.iter().map(|(id, _)| mass(*id)).sum();
    let all: f64 = logits.iter().map(|l| f64::from(l - most).exp()).sum();
    let mean = tokens.iter().map(|(id, value)| mass(*id) * value).sum::<f64>() / here.max(f64::MIN_POSITIVE);
    (mean, here / all)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Before,
    /// The whole part was drawn; 1 may go on.
    Whole {
        mean: f64,
        one: f64,
    },
    Point {
        whole: f64,
    },
    Done(f64),
}

/// Follows one answer.
#[derive(Debug, Clone)]
pub struct ScoreReader {
    place: Place,
}

impl Default for ScoreReader {
    fn default() -> Self {
        Self { place: Place::Before }
    }
}

impl ScoreReader {
    /// Whether the next position matters to it.
    pub fn wants(&self, tail: &str) -> bool {
        match self.place {
            Place::Before => tail.trim_end_matches(' ').to_ascii_uppercase().ends_with("SCORE:"),
            Place::Whole { .. } | Place::Point { .. } => true,
            Place::Done(_) => false,
        }
    }

    /// Looks at one position: the logits before any penalty, the end of the text so far, and the token drawn.
    pub fn see(&mut self, digits: &Digits, logits: &[f32], tail: &str, drawn: u32) {
        let value = |tokens: &[(u32, f64)]| tokens.iter().find(|(id, _)| *id == drawn).map(|(_, v)| *v);
        self.place = match self.place {
            Place::Before if self.wants(tail) => {
                let (mean, mass) = expected(logits, &digits.whole);
                match value(&digits.whole) {
                    // A position where digits are unlikely is a space before them.
                    Some(drawn) if mass > 0.0 => {
                        let share = |v: f64| {
                            let at: Vec<(u32, f64)> = digits.whole.iter().copied().filter(|(_, w)| (w - v).abs() < 0.5).collect();
                            expected(logits, &at).1 / mass
                        };
                        let one = if (drawn - 1.0).abs() < 0.5 { share(1.0) } else { 0.0 };
                        Place::Whole { mean, one }
                    }
                    _ => Place::Before,
                }
            }
            Place::Whole { mean, one } => {
                let ten = expected(logits, &digits.tenth[..1.min(digits.tenth.len())]).1;
                // After 1, a 0 makes it ten.
                let whole = if one > 0.0 { mean + one * 9.0 * ten } else { mean };
                if value(&digits.tenth) == Some(0.0) && one > 0.0 {
                    Place::Whole { mean: whole, one: 0.0 }
                } else {
                    Place::Point { whole }
                }
            }
            Place::Point { whole } => match value(&digits.tenth) {
                Some(_) => Place::Done((whole + expected(logits, &digits.tenth).0 / 10.0).clamp(0.0, 10.0)),
                None => Place::Done(whole.clamp(0.0, 10.0)),
            },
            other => other,
        };
    }

    /// The expectation, once the score was read.
    pub fn score(&self) -> Option<f64> {
        match self.place {
            Place::Done(score) => Some(score),
            Place::Whole { mean: whole, .. } | Place::Point { whole } => Some(whole.clamp(0.0, 10.0)),
            Place::Before => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer::tests::toy;
    use super::*;

    /// Reads an answer whose every position has the given probabilities, by text of the token.
    fn read(answer: &[(&str, &[(&str, f64)])]) -> Option<f64> {
        let tokenizer = toy();
        let (digits, mut reader, mut tail) = (Digits::new(&tokenizer), ScoreReader::default(), "x\nSCORE:".to_owned());
        let id = |text: &str| *tokenizer.encode(text).unwrap().last().unwrap();
        for (drawn, chances) in answer {
            let mut logits = vec![-30.0f32; tokenizer.vocab_size()];
            for (text, p) in *chances {
                logits[id(text) as usize] = p.ln() as f32;
            }
            reader.see(&digits, &logits, &tail, id(drawn));
            tail.push_str(drawn);
        }
        reader.score()
    }

    #[test]
    fn it_is_the_mean_over_the_digits() {
        let sure = |text: &'static str| [(text, 1.0)];
        let whole = [("7", 0.5), ("3", 0.5)];
        let tenth = [("0", 0.5), ("5", 0.5)];
        let score = read(&[(" ", &sure(" ")), ("7", &whole), (".", &sure(".")), ("5", &tenth)]).unwrap();
        assert!((score - 5.25).abs() < 1e-6, "{score}");
    }

    #[test]
    fn a_one_that_may_become_ten_counts_as_both() {
        let after = [("0", 0.25), (".", 0.75)];
        let tenth = [("0", 1.0)];
        let score = read(&[("1", &[("1", 1.0)]), (".", &after), ("0", &tenth)]).unwrap();
        assert!((score - (1.0 + 9.0 * 0.25)).abs() < 1e-6, "{score}");
    }

    #[test]
    fn without_a_score_there_is_none() {
        assert_eq!(read(&[("news", &[("news", 1.0)])]), None);
    }
}
