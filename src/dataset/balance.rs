//! Up-sampling: how often each training row is read in an epoch, so that the bands come near the recipe's mix.
//!
//! Owns the repeats and the report of what could not be reached. Rows are never dropped, and no row repeats more
//! often than the recipe's cap; a target that this puts out of reach is reported, not forced.

use serde::{Deserialize, Serialize};

use crate::domain::recipe::MixTarget;
use crate::domain::{BandIndex, Bands};

use super::seeded::{generator, shuffle};

/// A share this near counts as reached.
const TOLERANCE: f64 = 0.005;

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetOutcome {
    pub bands: Vec<String>,
    pub wanted: f64,
    /// Share of the targeted rows before up-sampling.
    pub raw: f64,
    /// Share after up-sampling.
    pub achieved: f64,
    pub rows: usize,
    pub rows_after: usize,
    /// Why the share is not the wanted one; `None`: it is.
    pub unmet_reason: Option<String>,
}

/// Repeats of each training row, in the order the rows were given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    pub repeats: Vec<u32>,
    pub achieved: Vec<TargetOutcome>,
}

impl Balance {
    /// Rows read in one epoch.
    pub fn epoch_size(&self) -> usize {
        self.repeats.iter().map(|&r| r as usize).sum()
    }
}

/// One target and the rows it is about.
struct Group<'a> {
    target: &'a MixTarget,
    share: f64,
    rows: Vec<usize>,
    most: usize,
}

impl Group<'_> {
    /// Rows of this group in an epoch of `size` targeted rows.
    fn wanted(&self, size: usize) -> usize {
        (self.exact(size).round() as usize).clamp(self.rows.len(), self.most)
    }

    /// The same before rounding, which would make the search below jump.
    fn exact(&self, size: usize) -> f64 {
        (self.share * size as f64).clamp(self.rows.len() as f64, self.most as f64)
    }
}

/// Repeats rows until the mix is as near to the targets as the cap allows.
///
/// A group that is over-represented stays at one repeat. The epoch is the smallest in which every other group has its
/// wanted share or has reached the cap: the smallest `T` with `Σ clamp(share · T, rows, cap · rows) ≤ T`. A larger
/// epoch would only take share from the capped groups, a smaller one from the others. Rows whose band has no
/// target keep one repeat and do not count.
pub fn balance(train: &[BandIndex], targets: &[MixTarget], max_repeat: usize, bands: &Bands, seed: u64) -> Balance {
    let cap = max_repeat.clamp(1, u32::MAX as usize);
    let groups = groups(train, targets, cap, bands);
    let size = epoch_size(&groups);
    let mut repeats = vec![1u32; train.len()];
    for (g, group) in groups.iter().enumerate().filter(|(_, group)| !group.rows.is_empty()) {
        let total = group.wanted(size);
        let (each, extra) = (total / group.rows.len(), total % group.rows.len());
        let mut chosen = group.rows.clone();
        shuffle(&mut chosen, &mut generator(seed, "balance", g as u64));
        for (i, row) in chosen.into_iter().enumerate() {
            repeats[row] = u32::try_from(each + usize::from(i < extra)).unwrap_or(u32::MAX);
        }
    }
    let rows: usize = groups.iter().map(|g| g.rows.len()).sum();
    let rows_after: usize = groups.iter().filter(|g| !g.rows.is_empty()).map(|g| g.wanted(size)).sum();
    let achieved = groups.iter().map(|g| outcome(g, g.wanted(size), rows, rows_after, cap)).collect();
    Balance { repeats, achieved }
}

/// A band that two targets name belongs to the first.
fn groups<'a>(train: &[BandIndex], targets: &'a [MixTarget], cap: usize, bands: &Bands) -> Vec<Group<'a>> {
    let all: f64 = targets.iter().map(|t| t.share.max(0.0)).sum();
    let mut groups: Vec<Group> = targets
        .iter()
        .map(|target| Group {
            target,
            share: if all > 0.0 { target.share.max(0.0) / all } else { 0.0 },
            rows: Vec::new(),
            most: 0,
        })
        .collect();
    let home: Vec<Option<usize>> =
        bands.names().map(|name| targets.iter().position(|t| t.bands.iter().any(|b| b == name))).collect();
    for (row, &band) in train.iter().enumerate() {
        if let Some(group) = home.get(band).copied().flatten().and_then(|g| groups.get_mut(g)) {
            group.rows.push(row);
        }
    }
    for group in &mut groups {
        group.most = group.rows.len().saturating_mul(cap);
    }
    groups
}

/// The smallest epoch that holds all groups at their wanted share or bound; found by bisection, since the room left
/// never shrinks as the epoch grows.
fn epoch_size(groups: &[Group]) -> usize {
    let fits = |size: usize| groups.iter().map(|g| g.exact(size)).sum::<f64>() <= size as f64 + 1e-6;
    let mut low = groups.iter().map(|g| g.rows.len()).sum::<usize>();
    let mut high = groups.iter().map(|g| g.most).fold(0usize, usize::saturating_add);
    while low < high {
        let middle = usize::midpoint(low, high);
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn outcome(group: &Group, after: usize, rows: usize, rows_after: usize, cap: usize) -> TargetOutcome {
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let n = group.rows.len();
    let achieved = share(after, rows_after);
    let unmet_reason = if (achieved - group.share).abs() <= TOLERANCE {
        None
    } else if n == 0 {
        Some("there are no training rows in it".to_owned())
    } else if achieved > group.share && after == n {
        Some("over-represented already; rows are never dropped".to_owned())
    } else if achieved > group.share {
        Some("the other targets are short of rows".to_owned())
    } else if after == group.most {
        Some(format!("{n} rows can be read {cap} times each and no more"))
    } else {
        Some(format!("{n} rows cannot be divided any finer"))
    };
    TargetOutcome {
        bands: group.target.bands.clone(),
        wanted: group.share,
        raw: share(n, rows),
        achieved,
        rows: n,
        rows_after: after,
        unmet_reason,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::recipe;
    use super::*;
    use proptest::prelude::*;

    fn rows(counts: [usize; 5]) -> Vec<BandIndex> {
        counts.iter().enumerate().flat_map(|(band, &n)| std::iter::repeat_n(band, n)).collect()
    }

    fn run(counts: [usize; 5], cap: usize) -> Balance {
        let recipe = recipe();
        balance(&rows(counts), &recipe.data.targets, cap, &recipe.bands, 19)
    }

    fn after(balance: &Balance) -> Vec<usize> {
        balance.achieved.iter().map(|t| t.rows_after).collect()
    }

    #[test]
    fn with_room_under_the_cap_every_target_is_met() {
        let out = run([150, 100, 100, 200, 60], 6);
        assert_eq!(after(&out), [250, 300, 300, 150]);
        assert_eq!(out.epoch_size(), 1000);
        assert!(out.achieved.iter().all(|t| t.unmet_reason.is_none()), "{:?}", out.achieved);
    }

    #[test]
    fn too_much_noise_stays_and_the_rest_is_raised_to_the_cap() {
        let out = run([900, 0, 50, 50, 10], 6);
        assert_eq!(after(&out), [900, 300, 300, 60]);
        let reasons: Vec<bool> = out.achieved.iter().map(|t| t.unmet_reason.is_some()).collect();
        assert_eq!(reasons, [true; 4]);
        assert!(out.achieved[0].unmet_reason.as_ref().is_some_and(|r| r.contains("never dropped")));
        assert!(out.achieved[3].unmet_reason.as_ref().is_some_and(|r| r.contains("6 times")));
    }

    #[test]
    fn a_capped_band_does_not_drag_the_others_along() {
        // Critical can only reach 60 rows; moderate and high still get exactly their share of the epoch.
        let out = run([400, 0, 100, 100, 10], 6);
        assert!((out.achieved[1].achieved - 0.30).abs() < 0.002, "{:?}", out.achieved);
        assert!((out.achieved[2].achieved - 0.30).abs() < 0.002);
        assert_eq!(out.achieved[3].rows_after, 60);
    }

    #[test]
    fn a_band_without_rows_is_reported_and_nothing_else_is_hurt() {
        let out = run([100, 0, 20, 20, 0], 6);
        assert!((out.achieved[1].achieved - 0.30).abs() < 0.005, "{:?}", out.achieved);
        assert_eq!(out.achieved[3].unmet_reason.as_deref(), Some("there are no training rows in it"));
        assert_eq!(run([0; 5], 6).repeats, Vec::<u32>::new());
    }

    #[test]
    fn without_targets_nothing_repeats() {
        let recipe = recipe();
        assert_eq!(balance(&rows([3, 3, 0, 0, 1]), &[], 6, &recipe.bands, 1).repeats, [1; 7]);
    }

    proptest! {
        #[test]
        fn no_row_is_dropped_or_read_above_the_cap_and_a_group_repeats_evenly(
            counts in [0usize..300, 0usize..100, 0usize..60, 0usize..60, 0usize..30],
            cap in 1usize..9,
            seed in any::<u64>(),
        ) {
            let recipe = recipe();
            let train = rows(counts);
            let out = balance(&train, &recipe.data.targets, cap, &recipe.bands, seed);
            prop_assert_eq!(out.repeats.len(), train.len());
            prop_assert!(out.repeats.iter().all(|&r| r >= 1 && r as usize <= cap));
            for target in &recipe.data.targets {
                let of: Vec<u32> = train
                    .iter()
                    .zip(&out.repeats)
                    .filter(|(band, _)| target.bands.iter().any(|b| b == recipe.bands.name(**band)))
                    .map(|(_, r)| *r)
                    .collect();
                if let (Some(least), Some(most)) = (of.iter().min(), of.iter().max()) {
                    prop_assert!(most - least <= 1);
                }
            }
            // Nothing smaller or larger is nearer to the wanted mix (by L1), up to rounding.
            let distance = |scale: f64| {
                let n: Vec<f64> = out.achieved.iter().map(|t| {
                    (t.wanted * scale).clamp(t.rows as f64, (t.rows * cap) as f64)
                }).collect();
                let all: f64 = n.iter().sum();
                out.achieved.iter().zip(&n).map(|(t, n)| (n / all - t.wanted).abs()).sum::<f64>()
            };
            if !train.is_empty() {
                let ours: f64 = out.achieved.iter().map(|t| (t.achieved - t.wanted).abs()).sum();
                for tenth in 1..60 {
                    let other = distance(train.len() as f64 * f64::from(tenth) / 10.0);
                    prop_assert!(ours <= other + 4.0 / train.len() as f64, "{} > {}", ours, other);
                }
            }
            prop_assert_eq!(balance(&train, &recipe.data.targets, cap, &recipe.bands, seed), out);
        }
    }
}
