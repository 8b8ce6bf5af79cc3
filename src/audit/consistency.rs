//! The reviewer's agreement with herself: Cohen's kappa of first readings and blind repeats.
//!
//! κ = (pₒ − pₑ) / (1 − pₑ): pₒ the share of equal verdicts, pₑ the share that the two rounds' own frequencies would give by
//! chance. Undefined (not 0, not 1) where pₑ is 1. Intervals are drawn over articles, as everywhere.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::book::Repeat;
use crate::domain::Verdict;
use crate::evaluate::{DRAWS, percentile, wilson};

/// Repeats from which an agreement is shown at all.
pub const ENOUGH_REPEATS: usize = 5;

/// How alike somebody judges the same block twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Consistency {
    pub repeats: usize,
    pub equal: usize,
    /// Wilson, 95 %.
    pub equal_interval: (f64, f64),
    /// Of the six verdicts. `None`: undefined, or too few repeats.
    pub kappa: Option<f64>,
    /// Bootstrap over articles, 95 %. `None` where a draw in twenty or more is undefined.
    pub kappa_interval: Option<(f64, f64)>,
    /// Of faithful against all that is not.
    pub kappa_faithful: Option<f64>,
}

/// Cohen's kappa of pairs of categories; `None`: nothing was judged, or chance alone would agree always.
pub fn cohen_kappa(pairs: &[(usize, usize)]) -> Option<f64> {
    if pairs.is_empty() {
        return None;
    }
    let n = pairs.len() as f64;
    let mut marginals: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (first, again) in pairs {
        marginals.entry(*first).or_default().0 += 1.0;
        marginals.entry(*again).or_default().1 += 1.0;
    }
    let observed = pairs.iter().filter(|(a, b)| a == b).count() as f64 / n;
    let chance: f64 = marginals.values().map(|(a, b)| a / n * (b / n)).sum();
    (chance < 1.0 - 1e-12).then(|| (observed - chance) / (1.0 - chance))
}

/// What the repeats say of the reviewer.
pub fn consistency(repeats: &[Repeat], seed: u64) -> Consistency {
    let place = |v: Verdict| Verdict::ALL.iter().position(|other| *other == v).unwrap_or(0);
    let pairs: Vec<(usize, usize)> = repeats.iter().map(|r| (place(r.first), place(r.again))).collect();
    let equal = pairs.iter().filter(|(a, b)| a == b).count();
    let mut found = Consistency {
        repeats: pairs.len(),
        equal,
        equal_interval: wilson(equal as u64, pairs.len() as u64),
        ..Consistency::default()
    };
    if pairs.len() >= ENOUGH_REPEATS {
        found.kappa = cohen_kappa(&pairs);
        found.kappa_interval = found.kappa.and_then(|_| interval(repeats, &pairs, seed));
        let halves: Vec<(usize, usize)> = pairs.iter().map(|(a, b)| (usize::from(*a > 0), usize::from(*b > 0))).collect();
        found.kappa_faithful = cohen_kappa(&halves);
    }
    found
}

fn interval(repeats: &[Repeat], pairs: &[(usize, usize)], seed: u64) -> Option<(f64, f64)> {
    let mut articles: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (repeat, pair) in repeats.iter().zip(pairs) {
        articles.entry(repeat.subject.pair.article.as_str()).or_default().push(*pair);
    }
    let articles: Vec<Vec<(usize, usize)>> = articles.into_values().collect();
    if articles.len() < 2 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // The bias of the multiplication is below n / 2⁶⁴.
    let mut below = |n: usize| ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize;
    let mut drawn = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let sample: Vec<(usize, usize)> =
            (0..articles.len()).flat_map(|_| articles[below(articles.len())].iter().copied()).collect();
        drawn.extend(cohen_kappa(&sample));
    }
    if drawn.len() * 20 < DRAWS * 19 {
        return None;
    }
    drawn.sort_by(f64::total_cmp);
    Some((percentile(&drawn, 0.025)?, percentile(&drawn, 0.975)?))
}

#[cfg(test)]
mod tests {
    use super::super::book::testing::subject;
    use super::*;
    use crate::domain::Author;
    use proptest::prelude::*;

    fn repeat(article: usize, first: Verdict, again: Verdict) -> Repeat {
        Repeat { subject: subject(&format!("a{article}"), Author::Teacher), first, again }
    }

    #[test]
    fn kappa_gives_the_known_answers() {
        // 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: pₒ 0.7, pₑ 0.5, κ 0.4.
        let table = [((0, 0), 20), ((0, 1), 5), ((1, 0), 10), ((1, 1), 15)];
        let pairs: Vec<(usize, usize)> = table.iter().flat_map(|(pair, n)| std::iter::repeat_n(*pair, *n)).collect();
        assert!((cohen_kappa(&pairs).expect("defined") - 0.4).abs() < 1e-12);
        assert_eq!(cohen_kappa(&[(0, 0), (1, 1)]), Some(1.0));
        assert_eq!(cohen_kappa(&[(0, 1), (1, 0)]), Some(-1.0));
        assert_eq!(cohen_kappa(&[(2, 2), (2, 2)]), None, "chance alone would agree: not 1");
        assert_eq!(cohen_kappa(&[]), None);
    }

    #[test]
    fn too_few_repeats_have_no_kappa_and_their_share_has_its_interval() {
        let few: Vec<Repeat> = (0..ENOUGH_REPEATS - 1).map(|i| repeat(i, Verdict::Faithful, Verdict::Faithful)).collect();
        let found = consistency(&few, 1);
        assert_eq!((found.repeats, found.equal, found.kappa), (4, 4, None));
        assert!(found.equal_interval.0 < 0.6, "{found:?}");
    }

    #[test]
    fn the_interval_holds_the_kappa_and_the_seed_repeats_it() {
        let of = |i: usize| {
            let first = Verdict::ALL[i % 3];
            repeat(i, first, if i.is_multiple_of(4) { Verdict::Unfaithful } else { first })
        };
        let repeats: Vec<Repeat> = (0..40).map(of).collect();
        let found = consistency(&repeats, 3);
        let (kappa, (low, high)) = (found.kappa.expect("defined"), found.kappa_interval.expect("drawn"));
        assert!(low <= kappa && kappa <= high && low > 0.3 && high < 1.0, "{low} {kappa} {high}");
        assert_eq!(found, consistency(&repeats, 3));
    }

    proptest! {
        #[test]
        fn kappa_lies_between_minus_one_and_one(pairs in prop::collection::vec((0usize..6, 0usize..6), 0..60)) {
            if let Some(kappa) = cohen_kappa(&pairs) {
                prop_assert!((-1.0 - 1e-9..=1.0 + 1e-9).contains(&kappa), "{}", kappa);
                let equal = pairs.iter().all(|(a, b)| a == b);
                prop_assert_eq!(equal, (kappa - 1.0).abs() < 1e-9);
            }
            let swapped: Vec<(usize, usize)> = pairs.iter().map(|(a, b)| (*b, *a)).collect();
            prop_assert_eq!(cohen_kappa(&pairs).is_some(), cohen_kappa(&swapped).is_some());
        }
    }
}
