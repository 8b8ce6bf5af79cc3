//! What a student's think blocks are worth as text: format, depth, repetition, copying. Owns the measures over finished
//! outputs; whether the reasoning is the cause of the score is measured by truncation, elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::report::figure;
use crate::domain::{Answer, AnswerDefect, DepthRules, Recipe, read_tolerant, split_think, word_count};

/// Words of a run that counts as repetition.
const REPEATED_WORDS: usize = 8;
/// Occurrences from which it does.
const REPEATED_TIMES: usize = 3;
/// A run longer than this, found in the article or the prompt, is copied.
const COPIED_WORDS: usize = 12;

/// One output and what it was made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CotItem<'a> {
    pub output: &'a str,
    pub article: &'a str,
    pub prompt: &'a str,
    /// The teacher's score.
    pub truth: f64,
}

/// Think words of one tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TierDepth {
    pub tier: String,
    pub min_words: usize,
    pub max_words: usize,
    pub n: usize,
    /// Median words of the think block.
    pub median: Option<f64>,
    /// Share with min ≤ words ≤ max.
    pub inside: Option<f64>,
}

/// The measures over a set of outputs. `None` is "undefined", never 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CotReport {
    pub n: usize,
    /// Share of outputs in the recipe's full format.
    pub format_compliance: Option<f64>,
    /// Outputs outside the full format, by cause.
    pub failures: BTreeMap<AnswerDefect, usize>,
    /// Outputs without even a tolerant score, by cause.
    pub unreadable: BTreeMap<AnswerDefect, usize>,
    /// Share whose think block is absent or white space; `None` where the recipe asks for none.
    pub empty_think: Option<f64>,
    /// By the tier of the student's own score; outputs without a score belong to none.
    pub depth_by_predicted: Vec<TierDepth>,
    pub depth_by_teacher: Vec<TierDepth>,
    /// Outputs where some run of 8 words occurs at least 3 times.
    pub repetition: usize,
    /// Outputs whose think block or reason copies more than 12 words in a row from the article or the prompt.
    pub echo: usize,
}

/// Measures outputs against the recipe they were asked to follow.
pub fn measure_cot(items: &[CotItem<'_>], recipe: &Recipe) -> CotReport {
    let (think, scale, n) = (recipe.student.think, recipe.scale.range(), items.len());
    let share = |count: usize| (n > 0).then(|| count as f64 / n as f64);
    let mut failures = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    let (mut empty, mut repetition, mut echo) = (0, 0, 0);
    let (mut by_predicted, mut by_teacher) = (Depths::default(), Depths::default());
    for item in items {
        if let Err(defect) = Answer::parse_strict(item.output, think, scale) {
            *failures.entry(defect).or_insert(0) += 1;
        }
        let (block, rest) = split_think(item.output);
        let block = block.unwrap_or_default();
        let count = word_count(block);
        empty += usize::from(block.trim().is_empty());
        let tier_of = |score| recipe.depth.tier_of(&recipe.bands, score).map(|tier| tier.name.clone());
        match read_tolerant(item.output, scale) {
            Ok((score, _)) => by_predicted.add(tier_of(score), count),
            Err(defect) => *unreadable.entry(defect).or_insert(0) += 1,
        }
        by_teacher.add(tier_of(item.truth), count);
        repetition += usize::from(repeats(&words(item.output)));
        let own = [words(block), words(rest)];
        echo += usize::from([item.article, item.prompt].into_iter().any(|source| copies(&own, &words(source))));
    }
    CotReport {
        n,
        format_compliance: share(n - failures.values().sum::<usize>()),
        failures,
        unreadable,
        empty_think: if think { share(empty) } else { None },
        depth_by_predicted: by_predicted.tiers(&recipe.depth),
        depth_by_teacher: by_teacher.tiers(&recipe.depth),
        repetition,
        echo,
    }
}

#[derive(Debug, Default)]
struct Depths(HashMap<String, Vec<usize>>);

impl Depths {
    fn add(&mut self, tier: Option<String>, words: usize) {
        if let Some(tier) = tier {
            self.0.entry(tier).or_default().push(words);
        }
    }

    fn tiers(mut self, rules: &DepthRules) -> Vec<TierDepth> {
        let measured = rules.tiers.iter().map(|tier| {
            let mut counts = self.0.remove(&tier.name).unwrap_or_default();
            counts.sort_unstable();
            let n = counts.len();
            let inside = counts.iter().filter(|c| (tier.min_words..=tier.max_words).contains(*c)).count();
            TierDepth {
                tier: tier.name.clone(),
                min_words: tier.min_words,
                max_words: tier.max_words,
                n,
                median: (n > 0).then(|| f64::midpoint(counts[(n - 1) / 2] as f64, counts[n / 2] as f64)),
                inside: (n > 0).then(|| inside as f64 / n as f64),
            }
        });
        measured.collect()
    }
}

/// Words in lower case without the punctuation around them.
fn words(text: &str) -> Vec<String> {
    let bare = text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
    bare.filter(|word| !word.is_empty()).collect()
}

fn repeats(words: &[String]) -> bool {
    let mut seen: HashMap<&[String], usize> = HashMap::new();
    words.windows(REPEATED_WORDS).any(|run| {
        let times = seen.entry(run).or_insert(0);
        *times += 1;
        *times >= REPEATED_TIMES
    })
}

fn copies(own: &[Vec<String>], source: &[String]) -> bool {
    let runs: HashSet<&[String]> = source.windows(COPIED_WORDS + 1).collect();
    own.iter().any(|words| words.windows(COPIED_WORDS + 1).any(|run| runs.contains(run)))
}

impl CotReport {
    /// The report for people; — is undefined.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("format compliance {} of {} outputs", figure(self.format_compliance), self.n)];
        lines.extend(self.failures.iter().map(|(defect, n)| format!("  {n} × {defect}")));
        if self.empty_think.is_some() {
            lines.push(format!("empty think blocks {}", figure(self.empty_think)));
        }
        for (by, tiers) in [("its own score", &self.depth_by_predicted), ("the teacher's score", &self.depth_by_teacher)] {
            for t in tiers {
                let median = t.median.map_or_else(|| "—".to_owned(), |m| format!("{m:.0}"));
                let (inside, limits) = (figure(t.inside), format!("{}–{}", t.min_words, t.max_words));
                lines.push(format!("think words, {} by {by}: median {median}, {inside} inside {limits}, over {}", t.tier, t.n));
            }
        }
        lines.push(format!("{} outputs repeat {REPEATED_WORDS} words {REPEATED_TIMES} times or more", self.repetition));
        lines.push(format!("{} outputs copy more than {COPIED_WORDS} words in a row of article or prompt", self.echo));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recipe() -> Recipe {
        Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound")
    }

    fn numbered(from: usize, n: usize) -> String {
        (from..from + n).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ")
    }

    fn item<'a>(output: &'a str, article: &'a str, truth: f64) -> CotItem<'a> {
        CotItem { output, article, prompt: "", truth }
    }

    #[test]
    fn format_and_empty_blocks_are_counted_by_cause() {
        let outputs = [
            "<think>a</think>\nSCORE: 1.0 | REASON: r",
            "<think> </think>\nSCORE: 1.0 | REASON: r",
            "SCORE: 1.0 | REASON: r",
            "nothing",
        ];
        let report = measure_cot(&outputs.map(|o| item(o, "", 1.0)), &recipe());
        assert_eq!((report.format_compliance, report.empty_think), (Some(0.25), Some(0.75)));
        assert_eq!(report.failures, BTreeMap::from([(AnswerDefect::NoThink, 2), (AnswerDefect::EmptyThink, 1)]));
        assert_eq!(report.unreadable, BTreeMap::from([(AnswerDefect::NoScore, 1)]));
        assert!(report.lines().iter().any(|l| l == "  2 × there is no think block"));
        serde_json::to_string(&report).expect("serialises");
    }

    #[test]
    fn depth_is_told_by_the_own_and_by_the_teachers_tier() {
        let output = |words, score: &str| format!("<think>{}</think>SCORE: {score} | REASON: r", numbered(0, words));
        let outputs = [output(20, "1.0"), output(60, "1.0"), output(90, "6.0")];
        let items: Vec<CotItem<'_>> = outputs.iter().map(|o| item(o, "", 9.5)).collect();
        let report = measure_cot(&items, &recipe());
        let own: Vec<_> = report.depth_by_predicted.iter().map(|t| (t.n, t.median, t.inside)).collect();
        assert_eq!(own, [(2, Some(40.0), Some(0.5)), (1, Some(90.0), Some(1.0)), (0, None, None)]);
        assert_eq!((report.depth_by_teacher[2].n, report.depth_by_teacher[2].inside), (3, Some(0.0)));
    }

    #[test]
    fn eight_words_three_times_are_repetition_and_twice_are_not() {
        let loops = |times| format!("{} ", numbered(0, 8)).repeat(times);
        assert!(!repeats(&words(&loops(2))) && repeats(&words(&loops(3))));
    }

    #[test]
    fn an_answer_that_runs_in_circles_is_counted_however_it_ends() {
        // Guard S4: what greedy decoding makes of a think block.
        let circle = "The reader follows chips and the article is about chips, so it matters. ".repeat(4);
        let outputs = [
            format!("<think>{circle}</think>\nSCORE: 7.0 | REASON: r."),
            format!("<think>{circle}"),
            format!("<think>a</think>\nSCORE: 7.0 | REASON: {}", circle.to_uppercase()),
            "<think>The reader follows chips.</think>\nSCORE: 7.0 | REASON: r.".to_owned(),
        ];
        let items: Vec<CotItem<'_>> = outputs.iter().map(|o| item(o, "", 7.0)).collect();
        let report = measure_cot(&items, &recipe());
        assert_eq!((report.repetition, report.echo), (3, 0));
        assert!(report.lines().iter().any(|l| l.starts_with("3 outputs repeat 8 words 3 times")));
    }

    #[test]
    fn thirteen_copied_words_are_an_echo_and_twelve_are_not() {
        let article = format!("Start, {}. End.", numbered(0, 30));
        for (copied, echoes) in [(12, 0), (13, 1)] {
            let think = format!("<think>I read: {}</think>SCORE: 1.0 | REASON: r", numbered(3, copied).to_uppercase());
            assert_eq!(measure_cot(&[item(&think, &article, 1.0)], &recipe()).echo, echoes);
            let reason = format!("<think>a</think>SCORE: 1.0 | REASON: {}", numbered(3, copied));
            let prompt = CotItem { output: &reason, article: "", prompt: &article, truth: 1.0 };
            assert_eq!(measure_cot(&[prompt], &recipe()).echo, echoes);
        }
    }

    #[test]
    fn no_outputs_leave_gaps_not_zeros() {
        let report = measure_cot(&[], &recipe());
        assert_eq!((report.format_compliance, report.empty_think), (None, None));
        assert!(report.lines()[0].contains('—'));
    }

    proptest! {
        #[test]
        fn any_output_is_measured(output in ".{0,120}", truth in 0.0..10.0f64) {
            let report = measure_cot(&[item(&output, &output, truth)], &recipe());
            prop_assert_eq!(report.depth_by_teacher.iter().map(|t| t.n).sum::<usize>(), 1);
        }
    }
}
