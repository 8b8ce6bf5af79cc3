//! Near-duplicate texts: all pairs of shingle sets with Jaccard similarity of at least 3/5, exactly.
//!
//! Owns the search. Two sets that overlap so far must share one of their rarest shingles (prefix filtering), so an
//! index over those alone finds every pair; each candidate is then verified in full. No sampling, nothing missed,
//! and close to linear on news, where rare shingles are rare.

use std::collections::HashMap;

/// The similarity from which two texts are the same text, as a fraction: 3/5.
pub const NUMERATOR: usize = 3;
pub const DENOMINATOR: usize = 5;

/// Jaccard similarity of two sorted sets, if it makes them the same text.
pub fn similarity(a: &[u64], b: &[u64]) -> Option<f64> {
    let shared = intersection(a, b);
    let union = a.len() + b.len() - shared;
    (union > 0 && shared * DENOMINATOR >= union * NUMERATOR).then(|| shared as f64 / union as f64)
}

/// Calls `found(a, b, shared, union)` with `a < b` for every near pair. `known(a, b)` says that a pair is already
/// joined and need not be verified; such pairs are not reported.
pub fn near_pairs<S>(
    sets: &[Vec<u64>],
    state: &mut S,
    known: impl Fn(&mut S, usize, usize) -> bool,
    mut found: impl FnMut(&mut S, usize, usize, usize, usize),
) {
    // Lookups only: iteration order of the maps never shows.
    let mut frequency: HashMap<u64, u32> = HashMap::new();
    for &shingle in sets.iter().flatten() {
        *frequency.entry(shingle).or_default() += 1;
    }
    let mut by_size: Vec<usize> = (0..sets.len()).filter(|&i| !sets[i].is_empty()).collect();
    by_size.sort_by_key(|&i| (sets[i].len(), i));

    let mut index: HashMap<u64, Vec<usize>> = HashMap::new();
    let mut stamp = vec![usize::MAX; sets.len()];
    for &a in &by_size {
        let set = &sets[a];
        let least = (NUMERATOR * set.len()).div_ceil(DENOMINATOR);
        let mut rare: Vec<(u32, u64)> = set.iter().map(|s| (frequency.get(s).copied().unwrap_or(1), *s)).collect();
        rare.sort_unstable();
        rare.truncate(set.len() - least + 1);
        // A shingle that occurs once leads nowhere.
        rare.retain(|(n, _)| *n > 1);
        for (_, shingle) in &rare {
            let Some(posted) = index.get(shingle) else { continue };
            // Posted in ascending size: from the back until they are too short to be near.
            for &b in posted.iter().rev() {
                if sets[b].len() < least {
                    break;
                }
                if std::mem::replace(&mut stamp[b], a) == a || known(state, a, b) {
                    continue;
                }
                let shared = intersection(set, &sets[b]);
                let union = set.len() + sets[b].len() - shared;
                if shared * DENOMINATOR >= union * NUMERATOR {
                    found(state, a.min(b), a.max(b), shared, union);
                }
            }
        }
        for (_, shingle) in rare {
            index.entry(shingle).or_default().push(a);
        }
    }
}

/// Size of the intersection of two sorted sets.
fn intersection(a: &[u64], b: &[u64]) -> usize {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, shared) = (i + 1, j + 1, shared + 1),
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn near(sets: &[Vec<u64>]) -> BTreeSet<(usize, usize)> {
        let mut pairs = BTreeSet::new();
        near_pairs(
            sets,
            &mut pairs,
            |_, _, _| false,
            |pairs, a, b, _, _| {
                pairs.insert((a, b));
            },
        );
        pairs
    }

    proptest! {
        #[test]
        fn the_index_finds_exactly_what_comparing_everything_finds(
            sets in prop::collection::vec(prop::collection::btree_set(0u64..14, 0..9), 0..25)
        ) {
            let sets: Vec<Vec<u64>> = sets.into_iter().map(|s| s.into_iter().collect()).collect();
            let mut all = BTreeSet::new();
            for b in 0..sets.len() {
                for a in 0..b {
                    let shared = intersection(&sets[a], &sets[b]);
                    let union = sets[a].len() + sets[b].len() - shared;
                    if shared > 0 && shared * 5 >= union * 3 {
                        all.insert((a, b));
                    }
                }
            }
            prop_assert_eq!(near(&sets), all);
        }
    }
}
