//! The audit: think blocks that a person should read, and in which order.
//!
//! Owns the queue's order. Verdicts are the operator's and live in the ledger; what a rejection does to the dataset is
//! `dataset`'s.

use crate::domain::{Digest, Digester, PairKey};

/// One think block that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub pair: PairKey,
    /// Name of the band of the teacher's score.
    pub band: String,
    pub teacher: f64,
    pub student: Option<f64>,
    /// The student was asked and its answer could not be read.
    pub student_failed: bool,
}

/// Orders the queue: unreadable answers first, then by disagreement; among pairs that the student was not asked
/// about, bands take turns so that fifty read blocks are not fifty of the most frequent band. Seeded, so that two
/// looks see the same queue.
pub fn queue(mut candidates: Vec<Candidate>, seed: u64) -> Vec<Candidate> {
    let draw = |c: &Candidate| -> Digest {
        Digester::new().field(seed.to_le_bytes()).field(c.pair.article.as_str()).field(c.pair.profile.as_str()).finish()
    };
    candidates.sort_by_cached_key(draw);
    let (mut asked, mut unasked): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|c| c.student.is_some() || c.student_failed);
    let gap = |c: &Candidate| c.student.map_or(f64::INFINITY, |s| (s - c.teacher).abs());
    asked.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
    asked.extend(by_turns(&mut unasked));
    asked
}

/// One of each band, then one of each again, keeping the order inside a band.
fn by_turns(candidates: &mut Vec<Candidate>) -> Vec<Candidate> {
    let mut turns: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut keyed: Vec<(usize, String, Candidate)> = candidates
        .drain(..)
        .map(|c| {
            let turn = turns.entry(c.band.clone()).or_default();
            *turn += 1;
            (*turn, c.band.clone(), c)
        })
        .collect();
    keyed.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    keyed.into_iter().map(|(_, _, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ArticleId, ProfileId};

    fn candidate(article: &str, band: &str, teacher: f64, student: Option<f64>, student_failed: bool) -> Candidate {
        let pair = PairKey { article: ArticleId::new(article).expect("id"), profile: ProfileId::new("p").expect("id") };
        Candidate { pair, band: band.into(), teacher, student, student_failed }
    }

    #[test]
    fn the_widest_disagreement_is_read_first_and_failures_before_it() {
        let queue = queue(
            vec![
                candidate("near", "Noise", 1.0, Some(1.2), false),
                candidate("unasked", "Noise", 1.0, None, false),
                candidate("far", "High", 8.0, Some(1.0), false),
                candidate("failed", "High", 8.0, None, true),
            ],
            19,
        );
        let names: Vec<&str> = queue.iter().map(|c| c.pair.article.as_str()).collect();
        assert_eq!(names, ["failed", "far", "near", "unasked"]);
    }

    #[test]
    fn rare_bands_come_up_as_early_as_frequent_ones() {
        let mut candidates: Vec<Candidate> = (0..20).map(|i| candidate(&format!("n{i}"), "Noise", 0.5, None, false)).collect();
        candidates.push(candidate("c", "Critical", 9.5, None, false));
        let queue = queue(candidates, 19);
        assert!(queue.iter().position(|c| c.band == "Critical").expect("queued") < 2);
    }
}
