//! The queue: every think block once, the most telling first, bands in turns.
//!
//! Owns the three orders. Whatever the order, the bands take turns, so that fifty read blocks are not fifty of the most
//! frequent band (guard E3); inside a band the order decides, and a seeded draw where it cannot.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::{Bands, Digest, Digester, Finding, PairKey, one_line};

/// Which blocks come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueOrder {
    /// The widest |teacher − student|; unreadable answers of the student before all.
    #[default]
    Disagreement,
    /// Where the model was least sure.
    Uncertainty,
    /// A seeded draw: the one order whose shares stand for all blocks.
    Random,
}

impl QueueOrder {
    pub const ALL: [Self; 3] = [Self::Disagreement, Self::Uncertainty, Self::Random];

    pub fn id(self) -> &'static str {
        match self {
            Self::Disagreement => "disagreement",
            Self::Uncertainty => "uncertainty",
            Self::Random => "random",
        }
    }

    /// The one after it, and after the last the first.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Disagreement => Self::Uncertainty,
            Self::Uncertainty => Self::Random,
            Self::Random => Self::Disagreement,
        }
    }
}

impl fmt::Display for QueueOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for QueueOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || format!("'{}' is no order; use disagreement, uncertainty or random", one_line(text, 30));
        Self::ALL.into_iter().find(|o| o.id() == text.trim()).ok_or_else(known)
    }
}

/// What the queue is ordered by of one pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub pair: PairKey,
    /// The teacher's score; it decides the band.
    pub teacher: f64,
    pub student: Option<f64>,
    /// The student was asked and its answer could not be read.
    pub student_failed: bool,
    /// The student's probability-weighted score, where its evaluation has one.
    pub expected: Option<f64>,
}

impl Candidate {
    /// |teacher − student|; `None`: the student was not asked, or its answer could not be read.
    pub fn gap(&self) -> Option<f64> {
        self.student.map(|s| (s - self.teacher).abs())
    }

    /// How far the student's own distribution pulls from the score it wrote.
    fn pull(&self) -> Option<f64> {
        Some((self.expected? - self.student?).abs())
    }
}

/// What an order was told by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "basis")]
pub enum Basis {
    /// So many pairs have an answer of the student.
    Gap {
        asked: usize,
    },
    /// So many have a read-out of the student's distribution; the others follow by how near their score is to a band's edge.
    Readout {
        rows: usize,
    },
    /// No evaluation has a read-out: the nearer a score is to a band's edge, the earlier.
    Edge,
    Draw {
        seed: u64,
    },
}

impl Basis {
    /// In words, for the title of the queue.
    pub fn words(&self) -> String {
        match self {
            Self::Gap { asked: 0 } => "no student answered yet: drawn at random".into(),
            Self::Gap { .. } => "widest |teacher − student| first".into(),
            Self::Readout { rows } => format!("the student's distribution pulls furthest from its score first ({rows} pairs)"),
            Self::Edge => "nearest to a band's edge first (no read-out of the student)".into(),
            Self::Draw { seed } => format!("drawn at random with seed {seed}"),
        }
    }
}

/// The queue: places of candidates, the first to be read first.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    pub order: Vec<usize>,
    pub basis: Basis,
}

/// Orders the candidates. A permutation of them; the same seed gives the same one.
pub fn queue(candidates: &[Candidate], order: QueueOrder, bands: &Bands, seed: u64) -> Queued {
    let readouts = candidates.iter().filter(|c| c.pull().is_some()).count();
    let basis = match order {
        QueueOrder::Disagreement => {
            Basis::Gap { asked: candidates.iter().filter(|c| c.student.is_some() || c.student_failed).count() }
        }
        QueueOrder::Uncertainty if readouts > 0 => Basis::Readout { rows: readouts },
        QueueOrder::Uncertainty => Basis::Edge,
        QueueOrder::Random => Basis::Draw { seed },
    };
    // Larger is earlier. Whole tiers are apart: no distance on a scale of scores reaches 1,000.
    let key = |c: &Candidate| match order {
        QueueOrder::Disagreement if c.student_failed => f64::INFINITY,
        QueueOrder::Disagreement => c.gap().unwrap_or(-1.0),
        QueueOrder::Uncertainty => c.pull().map_or(-edge_distance(c.teacher, bands), |pull| 1_000.0 + pull),
        QueueOrder::Random => 0.0,
    };
    let mut by_band: Vec<Vec<(f64, Digest, usize)>> = vec![Vec::new(); bands.len()];
    for (i, c) in candidates.iter().enumerate() {
        by_band[bands.index(c.teacher)].push((key(c), draw(&c.pair, seed), i));
    }
    let earlier = |a: &(f64, Digest, usize), b: &(f64, Digest, usize)| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1));
    for rows in &mut by_band {
        rows.sort_by(earlier);
    }
    let turns = by_band.iter().map(Vec::len).max().unwrap_or(0);
    let mut places = Vec::with_capacity(candidates.len());
    for turn in 0..turns {
        let mut round: Vec<&(f64, Digest, usize)> = by_band.iter().filter_map(|rows| rows.get(turn)).collect();
        round.sort_by(|a, b| earlier(a, b));
        places.extend(round.into_iter().map(|(.., i)| *i));
    }
    Queued { order: places, basis }
}

/// Guard E3: what is read first is no head of a file, but has every band that there is.
pub fn e3(candidates: &[Candidate], queued: &Queued, bands: &Bands, seed: u64, target: usize) -> Finding {
    let of = |places: &[usize]| -> BTreeSet<usize> { places.iter().map(|i| bands.index(candidates[*i].teacher)).collect() };
    let first = &queued.order[..target.min(queued.order.len())];
    let (there, covered) = (of(&queued.order), of(first));
    let names = |set: &BTreeSet<usize>| set.iter().map(|i| bands.name(*i)).collect::<Vec<_>>().join(", ");
    let missing: BTreeSet<usize> = there.difference(&covered).copied().collect();
    if missing.is_empty() {
        let n = first.len();
        return Finding::pass("E3", format!("bands take turns, seed {seed}: the first {n} blocks are of {}", names(&covered)));
    }
    let saw = format!("the first {} blocks have none of {}", first.len(), names(&missing));
    Finding::fail("E3", saw, "Read more blocks, or the missing bands by a filter.")
}

/// A draw that depends on the seed and the pair alone.
fn draw(pair: &PairKey, seed: u64) -> Digest {
    Digester::new().field(seed.to_le_bytes()).field(pair.article.as_str()).field(pair.profile.as_str()).finish()
}

/// Distance to the nearest edge between two bands; the lowest band's own edge parts it from nothing.
fn edge_distance(score: f64, bands: &Bands) -> f64 {
    bands.edges().skip(1).map(|edge| (score - edge).abs()).fold(f64::MAX, f64::min).min(999.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bands() -> Bands {
        Bands::from_edges(&[0.0, 2.0, 5.5, 7.0, 9.0]).expect("ascending")
    }

    fn candidate(article: &str, teacher: f64, student: Option<f64>) -> Candidate {
        let pair = PairKey { article: article.parse().expect("id"), profile: "p".parse().expect("id") };
        Candidate { pair, teacher, student, student_failed: false, expected: None }
    }

    fn names(candidates: &[Candidate], order: QueueOrder) -> Vec<String> {
        let queued = queue(candidates, order, &bands(), 19);
        queued.order.iter().map(|i| candidates[*i].pair.article.to_string()).collect()
    }

    #[test]
    fn the_widest_disagreement_is_read_first_and_failures_before_it() {
        let mut failed = candidate("failed", 1.0, None);
        failed.student_failed = true;
        let all = [candidate("near", 1.0, Some(1.2)), candidate("unasked", 1.5, None), candidate("far", 0.5, Some(9.0)), failed];
        assert_eq!(names(&all, QueueOrder::Disagreement), ["failed", "far", "near", "unasked"]);
    }

    #[test]
    fn rare_bands_come_up_as_early_as_frequent_ones() {
        let mut all: Vec<Candidate> = (0..20).map(|i| candidate(&format!("n{i}"), 0.5, Some(5.0))).collect();
        all.push(candidate("critical", 9.5, None));
        for order in QueueOrder::ALL {
            let place = names(&all, order).iter().position(|n| n == "critical");
            assert!(place.is_some_and(|p| p < 2), "{order}: {place:?}");
        }
    }

    #[test]
    fn uncertainty_says_what_it_was_told_by() {
        let plain = [candidate("edge", 5.4, Some(5.0)), candidate("middle", 3.5, Some(3.5))];
        let queued = queue(&plain, QueueOrder::Uncertainty, &bands(), 1);
        assert_eq!((queued.basis, queued.order), (Basis::Edge, vec![0, 1]));
        let mut read = plain.to_vec();
        read[1].expected = Some(4.5);
        let queued = queue(&read, QueueOrder::Uncertainty, &bands(), 1);
        assert_eq!((queued.basis.clone(), queued.order), (Basis::Readout { rows: 1 }, vec![1, 0]));
        assert!(queued.basis.words().contains("distribution"));
    }

    #[test]
    fn the_head_of_a_file_is_no_sample() {
        let all: Vec<Candidate> = (0..60).map(|i| candidate(&format!("a{i}"), if i < 50 { 0.5 } else { 9.5 }, None)).collect();
        let head = Queued { order: (0..60).collect(), basis: Basis::Draw { seed: 1 } };
        let finding = e3(&all, &head, &bands(), 1, 50);
        assert!(finding.failed() && finding.saw.contains("none of from 9"), "{finding:?}");
    }

    #[test]
    fn a_score_of_no_number_is_queued_all_the_same() {
        let all = [candidate("nan", f64::NAN, None), candidate("a", 1.0, Some(f64::NAN))];
        for order in QueueOrder::ALL {
            assert_eq!(queue(&all, order, &bands(), 1).order.len(), 2);
        }
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0.0..10.0f64, prop::option::of(0.0..10.0f64), any::<bool>(), prop::option::of(0.0..10.0f64));
        prop::collection::vec(one, 0..120).prop_map(|rows| {
            let of = |(i, (teacher, student, failed, expected)): (usize, (f64, Option<f64>, bool, Option<f64>))| Candidate {
                student_failed: failed && student.is_none(),
                expected,
                ..candidate(&format!("a{i}"), teacher, student)
            };
            rows.into_iter().enumerate().map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn every_order_is_a_permutation_and_the_seed_repeats_it(candidates in any_candidates(), seed in any::<u64>()) {
            for order in QueueOrder::ALL {
                let queued = queue(&candidates, order, &bands(), seed);
                let mut places = queued.order.clone();
                places.sort_unstable();
                prop_assert_eq!(places, (0..candidates.len()).collect::<Vec<_>>());
                prop_assert_eq!(queued, queue(&candidates, order, &bands(), seed));
            }
        }

        #[test]
        fn the_first_fifty_cover_every_band_that_has_a_block(candidates in any_candidates(), seed in any::<u64>()) {
            let of = |i: &usize| bands().index(candidates[*i].teacher);
            let present: BTreeSet<usize> = (0..candidates.len()).map(|i| of(&i)).collect();
            for order in QueueOrder::ALL {
                let queued = queue(&candidates, order, &bands(), seed);
                let first: BTreeSet<usize> = queued.order.iter().take(50).map(of).collect();
                prop_assert_eq!(&first, &present);
                prop_assert!(!e3(&candidates, &queued, &bands(), seed, 50).failed());
            }
        }
    }
}
