//! The dataset's guards over its own figures: D2, D5, D15, D17, D18.
//!
//! Owns what each looks at and says. The figures are `stats`' and `contrastive`'s; readers and prompts are `checks`'.

use std::collections::{BTreeMap, BTreeSet};

use super::contrastive::{self, ScoredRow};
use super::example::{Example, Side};
use super::order::OrderRow;
use super::stats::DatasetStats;
use crate::domain::recipe::{OrderStrategy, RunRules};
use crate::domain::{Bands, PairKey, Recipe};
use crate::guards::Finding;

/// Fewer training rows than this have no shape yet.
const ENOUGH: usize = 50;
/// Shares of what is read in training: one score, and the two most frequent together, above which it has collapsed.
const COLLAPSED: (f64, f64) = (0.5, 0.7);

/// All of them, over a dataset as it was built. `given`: judgements it was built from; `set_aside`: those that were left out
/// with a reason.
pub fn findings(recipe: &Recipe, examples: &[Example], stats: &DatasetStats, given: usize, set_aside: usize) -> Vec<Finding> {
    let scored: Vec<ScoredRow> = examples
        .iter()
        .map(|e| ScoredRow { article: e.pair.article.clone(), profile: e.pair.profile.clone(), score: e.score })
        .collect();
    let pairs = contrastive::pairs(&scored, recipe.data.contrastive_delta).count();
    vec![
        d2(&recipe.train.run, &recipe.bands, examples),
        d15(examples.iter().map(|e| &e.pair)),
        d17(Counts { given, rows: stats.totals.rows, set_aside, pairs, reported: stats.contrastive_pairs }),
        d18(stats.unscreened_share, recipe.data.min_random_share),
    ]
}

/// Guard D2: what training reads has more than two scores. Reads are rows × repeats, and × the sampler's weights where `run`
/// draws by them.
pub fn d2(run: &RunRules, bands: &Bands, examples: &[Example]) -> Finding {
    let (mut reads, mut by_band): (BTreeMap<i64, f64>, Vec<f64>) = (BTreeMap::new(), vec![0.0; bands.len()]);
    let mut rows = 0;
    for e in examples.iter().filter(|e| e.split == Side::Train) {
        let row = OrderRow::new(e.score, e.repeats, run, bands);
        let weight = if run.order == OrderStrategy::Weighted { row.weight } else { 1.0 };
        let read = weight * f64::from(e.repeats);
        *reads.entry((e.score * 10.0).round() as i64).or_default() += read;
        by_band[bands.index(e.score)] += read;
        rows += 1;
    }
    let all: f64 = reads.values().sum();
    let mut frequent: Vec<(i64, f64)> = reads.into_iter().collect();
    frequent.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let share = |n: f64| n / all.max(f64::MIN_POSITIVE);
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let told: Vec<String> = bands.names().zip(&by_band).map(|(name, n)| format!("{name} {}", percent(share(*n)))).collect();
    let one = frequent.first().map_or(0.0, |(_, n)| share(*n));
    let two = one + frequent.get(1).map_or(0.0, |(_, n)| share(*n));
    let named: Vec<String> = frequent.iter().take(2).map(|(tenths, _)| format!("{:.1}", *tenths as f64 / 10.0)).collect();
    let saw = format!(
        "{} of what training reads of {rows} rows has one of the two most frequent of {} scores ({}); bands: {}",
        percent(two),
        frequent.len(),
        named.join(", "),
        told.join(", ")
    );
    if rows >= ENOUGH && (one > COLLAPSED.0 || two > COLLAPSED.1) {
        let remedy = "judge articles of the thin bands, or let the recipe's sampler weigh the bands; a student of two scores \
                      has good averages and tells nobody anything";
        return Finding::fail("D2", saw, remedy);
    }
    Finding::pass("D2", saw)
}

/// Guard D5: the seed that made the split is written with it, and is the workspace's.
pub fn d5(written: u64, configured: u64) -> Finding {
    if written == configured {
        return Finding::pass("D5", format!("seed {written} makes this split again; it is written with the dataset"));
    }
    Finding::fail(
        "D5",
        format!("the dataset was split with seed {written}; stratos.toml says {configured}"),
        "set the seed back, or build the dataset again with the new one",
    )
}

/// Guard D5 at the build: made a second time from the same seed, the split is the same.
pub fn d5_again(seed: u64, same: bool) -> Finding {
    if same {
        return Finding::pass("D5", format!("made twice, seed {seed} gives this split; it is written with the dataset"));
    }
    Finding::fail(
        "D5",
        format!("made twice, seed {seed} gives two splits"),
        "this is a defect of StratOS: please report it with the dataset's digest",
    )
}

/// Guard D15: rows are told apart by article and reader, never by a title.
pub fn d15<'a>(pairs: impl IntoIterator<Item = &'a PairKey>) -> Finding {
    let (mut rows, mut seen, mut twice) = (0, BTreeSet::new(), Vec::new());
    for pair in pairs {
        rows += 1;
        if !seen.insert(pair) {
            twice.push(pair.to_string());
        }
    }
    if twice.is_empty() {
        return Finding::pass("D15", format!("{rows} rows, each the only one of its article and reader"));
    }
    let named: Vec<&str> = twice.iter().take(6).map(String::as_str).collect();
    Finding::fail(
        "D15",
        format!("{} of {rows} rows repeat an article and reader: {}", twice.len(), named.join(", ")),
        "this is a defect of StratOS: please report it with the dataset's digest",
    )
}

/// What guard D17 counts.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub given: usize,
    pub rows: usize,
    pub set_aside: usize,
    /// Contrastive pairs, counted anew.
    pub pairs: usize,
    /// As the statistics report them.
    pub reported: usize,
}

/// Guard D17: what was given is in the dataset or was set aside with a reason, and no list was cut without its count.
pub fn d17(counts: Counts) -> Finding {
    let Counts { given, rows, set_aside, pairs, reported } = counts;
    let mut lost = Vec::new();
    if rows + set_aside != given {
        lost.push(format!("{given} judgements came in, {rows} are rows and {set_aside} were set aside"));
    }
    if pairs != reported {
        lost.push(format!("{reported} of {pairs} contrastive pairs are reported"));
    }
    if lost.is_empty() {
        let saw =
            format!("{given} judgements: {rows} rows, {set_aside} set aside with a reason; {pairs} contrastive pairs, no cap");
        return Finding::pass("D17", saw);
    }
    Finding::fail("D17", lost.join("; "), "this is a defect of StratOS: please report it with the dataset's digest")
}

/// Guard D18: enough of the rows were chosen by nobody.
pub fn d18(random_share: f64, least: f64) -> Finding {
    let saw = format!(
        "{:.0} % of the rows were judged without being screened first; the recipe asks for {:.0} %",
        random_share * 100.0,
        least * 100.0
    );
    if random_share + 1e-9 >= least {
        return Finding::pass("D18", saw);
    }
    Finding::fail(
        "D18",
        saw,
        "have randomly drawn pairs judged too; a student of screened rows alone cannot tell what a screen drops",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{article_id, profile_id};
    use super::*;

    fn pair(article: &str, profile: &str) -> PairKey {
        PairKey { article: article_id(article), profile: profile_id(profile) }
    }

    #[test]
    fn a_split_whose_seed_is_no_longer_the_workspaces_is_seen_d5() {
        assert!(!d5(19, 19).failed());
        assert!(d5_again(19, false).failed() && !d5_again(19, true).failed());
        assert!(d5(19, 20).saw.contains("stratos.toml says 20"));
    }

    #[test]
    fn two_rows_of_one_pair_are_seen_and_two_readers_of_one_article_are_not_d15() {
        assert!(!d15(&[pair("a", "x"), pair("a", "y")]).failed());
        assert!(d15(&[pair("a", "x"), pair("a", "x")]).saw.starts_with("1 of 2 rows"));
    }

    #[test]
    fn a_row_that_disappears_and_a_capped_list_are_seen_d17() {
        let counts = Counts { given: 10, rows: 7, set_aside: 3, pairs: 1200, reported: 1200 };
        assert!(!d17(counts).failed());
        assert!(d17(Counts { set_aside: 2, ..counts }).saw.contains("10 judgements came in"));
        assert!(d17(Counts { reported: 1000, ..counts }).saw.contains("1000 of 1200 contrastive pairs"));
    }

    #[test]
    fn screened_rows_alone_are_seen_d18() {
        assert!(d18(0.0, 0.1).failed() && d18(0.09, 0.1).failed());
        assert!(!d18(0.1, 0.1).failed());
    }
}
