//! A comparison for people: at most a hundred columns. Owns the wording; the figures are `compare`'s.

use unicode_width::UnicodeWidthStr;

use super::{Comparison, Disagreement, Side};
use crate::domain::one_line;
use crate::evaluate::figure;

const COLUMNS: usize = 100;

impl Comparison {
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![heading("A", &self.a), heading("B", &self.b), String::new()];
        self.sides(&mut lines);
        lines.push(String::new());
        self.figures(&mut lines);
        for (letter, side) in [("A", &self.a), ("B", &self.b)] {
            lines.push(String::new());
            guards(letter, side, &mut lines);
        }
        if !self.widest.is_empty() {
            lines.push(String::new());
            lines.push(format!("The {} widest disagreements", self.widest.len()));
            self.widest.iter().for_each(|d| disagreement(d, &mut lines));
        }
        lines
    }

    /// What each side is like by itself, over all its rows.
    fn sides(&self, lines: &mut Vec<String>) {
        let (a, b) = (&self.a, &self.b);
        lines.push(format!("{:<40}{:>16}{:>16}", "Each over all its rows", "A", "B"));
        let mut line = |label: &str, a: String, b: String| lines.push(format!("{label:<40}{a:>16}{b:>16}"));
        line("rows", a.rows.to_string(), b.rows.to_string());
        line("of them unusable: no score on the scale", a.unusable.to_string(), b.unusable.to_string());
        line("distinct scores", a.distinct_scores.to_string(), b.distinct_scores.to_string());
        let between = format!("scores between {:.1} and {:.1}, ends excluded", self.middle.0, self.middle.1);
        line(&between, share(a.middle_share), share(b.middle_share));
        line("forbidden scores", share(a.forbidden_share), share(b.forbidden_share));
        let cost = |side: &Side| {
            side.cost_per_kept.map_or_else(|| "unknown".into(), |usd| format!("{} $", usd.amount().round_dp(5).normalize()))
        };
        line("cost per kept trace", cost(a), cost(b));
        if let Some(ratio) = self.middle_ratio {
            lines.push(format!("B gives scores of that middle {ratio:.2} times as often as A"));
        }
    }

    fn figures(&self, lines: &mut Vec<String>) {
        let all = self.n == self.common;
        let drawn = if all { "all compared".into() } else { format!("{} drawn, A's bands taking turns", self.n) };
        lines.push(format!("{} pairs judged by both, {drawn}", self.common));
        if let Some(advice) = &self.advice {
            wrapped(advice, "  ", lines);
        }
        if self.copies > 0 {
            let copies = format!(
                "{} of these pairs have the same score and the same words on both sides: copies, whose agreement says nothing",
                self.copies
            );
            wrapped(&copies, "  ", lines);
        }
        if self.n == 0 {
            return;
        }
        if !all {
            lines.push("  figures are of the pairs drawn: rare bands weigh more in them than in the data".into());
        }
        lines.push(format!("  {:<38}{:>10}   95 % interval", "", "value"));
        let mut line = |label: &str, value: Option<f64>, interval: Option<(f64, f64)>| {
            let interval = interval.map(|(low, high)| format!("[{low:.3}, {high:.3}]")).unwrap_or_default();
            lines.push(format!("  {label:<38}{:>10}   {interval}", figure(value)).trim_end().to_owned());
        };
        line("mean absolute difference", self.mae, self.mae_interval);
        line("bias, B − A", self.bias, self.bias_interval);
        line("Spearman ρ", self.spearman, self.spearman_interval);
        for band in self.bands.iter().filter(|b| b.n > 0) {
            let label = format!("bias where A says {} (n = {})", one_line(&band.band, 14), band.n);
            line(&label, band.bias, None);
        }
    }
}

fn heading(letter: &str, side: &Side) -> String {
    format!("{letter}  {}", one_line(&format!("{} ({})", side.name, side.annotator), COLUMNS - 3))
}

fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "—".into(), |s| format!("{:.1} %", 100.0 * s))
}

fn guards(letter: &str, side: &Side, lines: &mut Vec<String>) {
    let failed = side.findings.iter().filter(|f| f.failed()).count();
    let verdict = if failed == 0 { "all passed".into() } else { format!("{failed} of {} FAILED", side.findings.len()) };
    lines.push(format!("Guards of the import on {letter}: {verdict}"));
    for finding in &side.findings {
        let mark = if finding.failed() { "FAILED" } else { "passed" };
        wrapped(&format!("{:<4}{mark}  {}", finding.guard, finding.saw), "  ", lines);
        if finding.failed() {
            wrapped(&format!("→ {}", finding.remedy), "              ", lines);
        }
    }
}

fn disagreement(d: &Disagreement, lines: &mut Vec<String>) {
    lines.push(format!("  A {:>4.1}  B {:>4.1}  {}", d.a, d.b, one_line(&d.pair.to_string(), COLUMNS - 20)));
    for (letter, reason) in [("A", &d.reason_a), ("B", &d.reason_b)] {
        wrapped(&format!("{letter}: {}", one_line(reason, 170)), "      ", lines);
    }
}

/// The text in lines of at most [`COLUMNS`] columns; those after the first stand two further in.
fn wrapped(text: &str, indent: &str, lines: &mut Vec<String>) {
    let mut line = indent.to_owned();
    let mut bare = true;
    for word in safe(text).split(' ') {
        let mut word = word;
        while line.width() + word.width() + usize::from(!bare) > COLUMNS {
            if bare {
                // A word wider than the line is cut where it fits.
                let at = fitting(word, COLUMNS - line.width());
                line.push_str(&word[..at]);
                word = &word[at..];
            }
            lines.push(std::mem::replace(&mut line, format!("{indent}  ")));
            bare = true;
        }
        if !bare {
            line.push(' ');
        }
        line.push_str(word);
        bare = false;
    }
    lines.push(line);
}

/// Without what moves a cursor, on one line; runs of blanks stay, so that columns do.
fn safe(text: &str) -> String {
    crate::domain::safe_text(text).replace('\n', " ")
}

/// How many bytes of a word fit into so many columns; at least one letter, so that cutting comes to an end.
fn fitting(word: &str, columns: usize) -> usize {
    let ends = word.char_indices().map(|(i, c)| i + c.len_utf8());
    let first = word.chars().next().map_or(0, char::len_utf8);
    ends.take_while(|end| word[..*end].width() <= columns).last().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_a_hundred_columns_whatever_is_in_it() {
        for text in ["word ".repeat(60), "x".repeat(350), "新しい".repeat(60), "a \u{1b}[31m b".to_owned(), String::new()] {
            let mut lines = Vec::new();
            wrapped(text.trim(), "    ", &mut lines);
            assert!(lines.iter().all(|l| l.width() <= COLUMNS && !l.contains('\u{1b}')), "{lines:?}");
            let kept: String = lines.concat().split_whitespace().collect();
            assert_eq!(kept, safe(&text).split_whitespace().collect::<String>());
        }
    }
}
