//! Whether the scorer itself can be trusted: known good and bad rows go through the same reading and the same figures as a
//! model's, before any model's do (guard E7). Owns the rows and what must come out.
//!
//! The failure behind it: a scorer that punished long answers and did not look at correctness; results were withdrawn.

use super::{Metrics, Row};
use crate::domain::{Finding, Recipe, read_tolerant};

/// Guard E7 on the scorer as it is: tolerant reading and [`Metrics::compute`].
pub fn e7(recipe: &Recipe) -> Finding {
    let read = |text: &str| read_tolerant(text, recipe.scale.range()).ok().map(|(score, _)| score);
    let measure = |rows: &[Row]| Metrics::compute(rows, &recipe.bands, &recipe.scale, None);
    e7_of(recipe, &read, &measure)
}

/// The same on any reading and any figures.
pub fn e7_of(recipe: &Recipe, read: &dyn Fn(&str) -> Option<f64>, measure: &dyn Fn(&[Row]) -> Metrics) -> Finding {
    let mut wrong = readings(recipe, read);
    wrong.extend(figures(recipe, measure));
    if wrong.is_empty() {
        return Finding::pass("E7", "known good and bad rows get the figures they must");
    }
    let remedy = "This is a fault of StratOS, and no figure of this run would be worth anything; report it with this text.";
    Finding::fail("E7", format!("the scorer fails its own test: {}", wrong.join("; ")), remedy)
}

/// Texts whose score everybody agrees on.
fn readings(recipe: &Recipe, read: &dyn Fn(&str) -> Option<f64>) -> Vec<String> {
    let (min, max) = recipe.scale.range();
    let score = (max - (max - min) / 8.0).round();
    let line = format!("SCORE: {score:.1} | REASON: It names the reader's own field.");
    let think = |words: usize| format!("<think>\n{}\n</think>\n{line}", "the reader follows this ".repeat(words / 4));
    let right = [
        ("a short answer", line.clone()),
        ("an answer with a think block", think(40)),
        ("an answer with a long think block", think(2_000)),
        ("a long reason", format!("{line} {}", "It matters. ".repeat(200))),
    ];
    let mut wrong = Vec::new();
    for (what, text) in right {
        match read(&text) {
            Some(found) if (found - score).abs() < 1e-9 => {}
            found => wrong.push(format!("{what} of score {score:.1} is read as {found:?}")),
        }
    }
    let off = max + (max - min);
    let bad = [
        ("an empty answer", String::new()),
        ("an answer without a score", "It is about wheat.".to_owned()),
        ("a score off the scale", format!("SCORE: {off:.1} | REASON: Very.")),
    ];
    for (what, text) in bad {
        if let Some(found) = read(&text) {
            wrong.push(format!("{what} is read as {found}"));
        }
    }
    wrong
}

/// Eight articles for five readers whose scores are spread over the scale.
fn truths(recipe: &Recipe) -> Vec<Row> {
    let (min, max) = recipe.scale.range();
    let cell = |a: usize, p: usize| {
        let part = ((a * 3 + p * 7) % 20) as f64 / 19.0;
        Row { article: format!("a{a}"), profile: format!("p{p}"), truth: min + part * (max - min), predicted: None }
    };
    (0..8).flat_map(|a| (0..5).map(move |p| cell(a, p))).collect()
}

/// Predictors whose figures are known beforehand.
fn figures(recipe: &Recipe, measure: &dyn Fn(&[Row]) -> Metrics) -> Vec<String> {
    let (min, max) = recipe.scale.range();
    let truths = truths(recipe);
    let of = |predict: &dyn Fn(&Row) -> Option<f64>| {
        measure(&truths.iter().map(|r| Row { predicted: predict(r), ..r.clone() }).collect::<Vec<_>>())
    };
    let perfect = of(&|r| Some(r.truth));
    let mirrored = of(&|r| Some(max - (r.truth - min)));
    let constant = of(&|_| perfect.skill_constant);
    let silent = of(&|_| None);
    let half = of(&|r| (r.truth < f64::midpoint(min, max)).then_some(r.truth));
    let near = |value: Option<f64>, wanted: f64| value.is_some_and(|v| (v - wanted).abs() < 1e-9);
    let worst = truths.iter().map(|r| (r.truth - min).max(max - r.truth)).sum::<f64>() / truths.len() as f64;
    let tests = [
        ("a perfect predictor has no error", near(perfect.mae, 0.0) && near(perfect.spearman, 1.0) && near(perfect.skill, 1.0)),
        ("a perfect predictor orders every contrast", near(perfect.contrast_ordered, 1.0)),
        ("a mirrored one orders none", near(mirrored.contrast_ordered, 0.0) && near(mirrored.spearman, -1.0)),
        ("a constant has no skill and no order", near(constant.skill, 0.0) && near(constant.contrast_ordered, 0.5)),
        ("a silent one is charged its worst", near(silent.mae, worst) && silent.parse_failures == truths.len()),
        (
            "answering only the easy half does not pay",
            half.mae > perfect.mae && half.direction_accuracy < perfect.direction_accuracy,
        ),
    ];
    tests.iter().filter(|(_, holds)| !holds).map(|(what, _)| format!("not so: {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound")
    }

    #[test]
    fn our_own_scorer_passes() {
        let finding = e7(&recipe());
        assert!(!finding.failed(), "{finding:?}");
    }

    /// The documented failure: long answers were punished, whatever they said.
    #[test]
    fn a_scorer_that_punishes_long_answers_is_caught() {
        let recipe = recipe();
        let read = |text: &str| {
            let score = read_tolerant(text, recipe.scale.range()).ok().map(|(s, _)| s);
            score.filter(|_| text.len() < 1_000)
        };
        let measure = |rows: &[Row]| Metrics::compute(rows, &recipe.bands, &recipe.scale, None);
        let finding = e7_of(&recipe, &read, &measure);
        assert!(finding.failed() && finding.saw.contains("long think block"), "{finding:?}");
    }

    #[test]
    fn a_scorer_that_drops_failures_or_ignores_correctness_is_caught() {
        let recipe = recipe();
        let read = |text: &str| read_tolerant(text, recipe.scale.range()).ok().map(|(s, _)| s);
        let measure = |rows: &[Row]| Metrics::compute(rows, &recipe.bands, &recipe.scale, None);
        let dropping = |rows: &[Row]| measure(&rows.iter().filter(|r| r.predicted.is_some()).cloned().collect::<Vec<_>>());
        assert!(e7_of(&recipe, &read, &dropping).saw.contains("silent"));
        let blind = |rows: &[Row]| measure(&rows.iter().map(|r| Row { predicted: Some(5.5), ..r.clone() }).collect::<Vec<_>>());
        assert!(e7_of(&recipe, &read, &blind).failed());
    }
}
