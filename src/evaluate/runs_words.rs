//! A comparison of runs for people: at most a hundred columns. Owns the wording; the figures are `runs_compare`'s.

use super::figure;
use super::paired::{Difference, Outcome};
use super::runs_compare::{AgainstFirst, Change, RunComparison, RunDisagreement, RunLabel};
use crate::domain::one_line;

const COLUMNS: usize = 100;

impl RunComparison {
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("first  {}", label(&self.first))];
        for other in &self.others {
            lines.push(String::new());
            one(other, &mut lines);
        }
        lines.push(String::new());
        let corrected = match self.others.len() {
            1 => format!("p is corrected by Holm over the {} figures tested", self.tests),
            n => format!("p is corrected by Holm over all {} tests of {n} runs against the first", self.tests),
        };
        wrap(
            &format!("{corrected}; a figure is called better or worse only if its 95 % interval excludes 0 and p < .05."),
            "",
            &mut lines,
        );
        lines
    }
}

fn label(run: &RunLabel) -> String {
    one_line(
        &format!("{}  {}, {}, {} rows ({})", run.digest.short(), run.predictor, run.runtime, run.n, run.row_set),
        COLUMNS - 7,
    )
}

/// "better", with what it rests on.
pub fn verdict_of(other: &AgainstFirst) -> String {
    let named = |outcome: Outcome| {
        let names: Vec<&str> =
            other.paired.differences.iter().filter(|d| d.outcome == outcome).map(|d| name(&d.metric)).collect();
        names.join(", ")
    };
    match other.outcome {
        Outcome::Better => format!("better: {}", named(Outcome::Better)),
        Outcome::Worse => format!("worse: {}", named(Outcome::Worse)),
        Outcome::CannotTell if other.mixed => {
            format!("cannot tell: better in {}, worse in {}", named(Outcome::Better), named(Outcome::Worse))
        }
        Outcome::CannotTell => "cannot tell: every interval holds 0, or p is too large for so many tests".into(),
    }
}

/// The name of a figure that is compared.
pub fn name(metric: &str) -> &str {
    match metric {
        "mae" => "MAE",
        "macro_band_mae" => "macro-band MAE",
        "spearman" => "Spearman ρ",
        "contrast_ordered" => "contrast ordered",
        "direction_accuracy" => "direction",
        other => other,
    }
}

fn one(other: &AgainstFirst, lines: &mut Vec<String>) {
    lines.push(format!("other  {}", label(&other.run)));
    if other.across_runtimes {
        wrap("ACROSS RUNTIMES: the difference is the runtimes' as much as the models' (E6)", "  ", lines);
    }
    let paired = &other.paired;
    wrap(
        &format!(
            "{} common rows, {} articles in {} clusters; left out: {} only in the first, {} only in the other, {} with another truth",
            other.common, paired.articles, paired.clusters, other.only_first, other.only_other, other.other_truth
        ),
        "  ",
        lines,
    );
    lines.push(format!("  the other run is {}", verdict_of(other)));
    lines.push(format!("  {:<17}{:>8}{:>8}{:>9}  {:<19}{:>8}  ", "", "first", "other", "change", "95 % interval", "p"));
    lines.extend(paired.differences.iter().map(difference));
    let (sides, nearer) = (paired.sides, paired.nearer);
    lines.push(format!(
        "  right side of relevant: {} rows only the first, {} only the other; McNemar p {}",
        sides.only_a,
        sides.only_b,
        p_words(Some(sides.p))
    ));
    lines.push(format!(
        "  nearer to the truth: first {}, other {}, ties {}; Cliff's delta {}",
        nearer.a,
        nearer.b,
        nearer.ties,
        figure(nearer.delta)
    ));
    lines.push(format!("  could not be read: {} of the first, {} of the other", paired.failures_a, paired.failures_b));
    changed(&other.changed, lines);
    if !other.disagreements.is_empty() {
        lines.push(format!("  the {} rows farthest apart", other.disagreements.len()));
        other.disagreements.iter().for_each(|d| disagreement(d, lines));
    }
    for finding in other.findings.iter().filter(|f| f.failed()) {
        wrap(&format!("{}: {}. {}", finding.guard, finding.saw, finding.remedy), "  ", lines);
    }
}

fn difference(d: &Difference) -> String {
    let interval = d.interval.map_or_else(|| "none".to_owned(), |(low, high)| format!("[{low:+.3}, {high:+.3}]"));
    let change = d.difference.map_or_else(|| "—".to_owned(), |gap| format!("{gap:+.3}"));
    let p = p_words(d.p_corrected);
    format!("  {:<17}{:>8}{:>8}{change:>9}  {interval:<19}{p:>8}  {}", name(&d.metric), figure(d.a), figure(d.b), d.outcome)
}

/// A p value to three decimals; never "0".
pub fn p_words(p: Option<f64>) -> String {
    match p {
        None => "—".into(),
        Some(p) if p < 0.001 => "<.001".into(),
        Some(p) => format!("{p:.3}"),
    }
}

fn changed(changes: &[Change], lines: &mut Vec<String>) {
    if changes.is_empty() {
        lines.push("  no recorded setting differs".into());
        return;
    }
    lines.push(format!("  {} settings differ", changes.len()));
    let value = |v: &Option<String>| v.as_ref().map_or_else(|| "—".to_owned(), |v| short(v));
    lines.extend(changes.iter().map(|c| one_line_kept(&format!("    {}: {} → {}", c.name, value(&c.first), value(&c.other)))));
}

/// A value as it is, a digest by its first digits.
fn short(value: &str) -> String {
    let digest = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if digest { value.chars().take(12).collect() } else { one_line(value, 60) }
}

fn disagreement(d: &RunDisagreement, lines: &mut Vec<String>) {
    let score = |s: Option<f64>| s.map_or_else(|| "unreadable".to_owned(), |s| format!("{s:.1}"));
    lines.push(one_line_kept(&format!("    {}", d.title)));
    let (first, other) = (score(d.first), score(d.other));
    lines.push(one_line_kept(&format!("      for {}: truth {:.1}, first {first}, other {other}", d.profile, d.truth)));
    for (who, output) in [("first", &d.first_output), ("other", &d.other_output)] {
        if !output.is_empty() {
            wrap(&format!("{who}: {}", one_line(output, 360)), "        ", lines);
        }
    }
}

/// Cut at the right edge with its indent kept.
fn one_line_kept(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    format!("{}{}", " ".repeat(indent), one_line(line.trim_start(), COLUMNS - indent))
}

fn wrap(text: &str, indent: &str, lines: &mut Vec<String>) {
    let mut line = indent.to_owned();
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS && line.trim() != "" {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        }
        if line.len() > indent.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
}
