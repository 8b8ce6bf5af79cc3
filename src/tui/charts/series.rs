//! From a kept curve to what is drawn of it: the newest points or the whole run, as they came or smoothed.
//!
//! Owns the window and the mean. Where it goes on a screen is `plot`'s.

use super::canvas::Ink;
use crate::engine::Curve;

/// A stretch of steps and what was measured in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    pub first: f64,
    pub last: f64,
    pub low: f64,
    pub high: f64,
    /// `None`: nothing in it was a number.
    pub mean: Option<f64>,
    /// Values that count into the mean.
    pub n: u64,
    /// Something in it was no number.
    pub hole: bool,
}

/// One curve of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub ink: Ink,
    pub stretches: Vec<Stretch>,
}

/// Everything that is kept of the newest points.
pub fn recent(curve: &Curve) -> Vec<Stretch> {
    let stretch = |p: crate::engine::Point| {
        let (at, value) = (p.step as f64, p.value.map(f64::from));
        let v = value.unwrap_or(0.0);
        Stretch { first: at, last: at, low: v, high: v, mean: value, n: u64::from(value.is_some()), hole: value.is_none() }
    };
    curve.recent().map(stretch).collect()
}

/// The whole run, in at most a thousand stretches.
pub fn whole(curve: &Curve) -> Vec<Stretch> {
    let stretch = |b: &crate::engine::Bucket| Stretch {
        first: b.first as f64,
        last: b.last as f64,
        low: b.low.into(),
        high: b.high.into(),
        mean: (b.n > 0).then_some(b.mean.into()),
        n: b.n,
        hole: b.holes > 0,
    };
    curve.whole().iter().map(stretch).collect()
}

/// The exponential mean over about `span` values, freed of its start at nought (the first value stands for itself). A
/// stretch of several values weighs as they do together; one without a number is passed over.
pub fn smooth(stretches: &[Stretch], span: f64) -> Vec<Stretch> {
    let keep = 1.0 - 2.0 / (span.max(1.0) + 1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    stretches
        .iter()
        .map(|s| {
            if let Some(mean) = s.mean {
                let kept = keep.powf(s.n as f64);
                sum = kept * sum + (1.0 - kept) * mean;
                weight = kept * weight + (1.0 - kept);
            }
            let mean = s.mean.filter(|_| weight > 0.0).map(|_| sum / weight);
            let v = mean.unwrap_or(0.0);
            Stretch { low: v, high: v, mean, ..*s }
        })
        .collect()
}

/// Whether a line may join two neighbours: nothing in between was left out. `usual` is the usual distance.
pub fn joined(a: &Stretch, b: &Stretch, usual: f64) -> bool {
    !a.hole && !b.hole && b.first >= a.first && b.first - a.last <= 4.0 * usual.max(1.0)
}

/// The usual distance between neighbours.
pub fn usual_distance(stretches: &[Stretch]) -> f64 {
    let mut gaps: Vec<f64> = stretches.windows(2).map(|w| w[1].first - w[0].last).collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Curve {
        (1..).zip(values.iter().copied()).collect()
    }

    #[test]
    fn a_mean_begins_at_the_first_value_and_passes_over_what_is_no_number() {
        let smoothed =
            |values: &[f64]| -> Vec<Option<f64>> { smooth(&recent(&curve(values)), 3.0).iter().map(|s| s.mean).collect() };
        assert_eq!(smoothed(&[4.0]), [Some(4.0)]);
        assert_eq!(smoothed(&[2.0, 2.0, f64::NAN, 2.0]), [Some(2.0), Some(2.0), None, Some(2.0)]);
        let risen = smoothed(&[0.0, 3.0]);
        assert_eq!(risen[1], Some(2.0), "(0·½·½ + 3·½) / (1 − ¼)");
    }

    #[test]
    fn a_mean_of_stretches_follows_as_far_as_the_values_in_them() {
        let one = [Stretch { first: 1.0, last: 1.0, low: 0.0, high: 0.0, mean: Some(0.0), n: 1, hole: false }];
        let after = |n| {
            let next = Stretch { first: 2.0, last: 9.0, low: 1.0, high: 1.0, mean: Some(1.0), n, hole: false };
            smooth(&[one[0], next], 9.0)[1].mean.unwrap()
        };
        assert!(after(100) > 0.99 && after(1) < after(10));
    }

    #[test]
    fn a_line_breaks_where_steps_are_missing_or_no_number() {
        let every_ten: Curve = (1..=20).map(|i| (i * 10, 1.0)).collect();
        let stretches = recent(&every_ten);
        let usual = usual_distance(&stretches);
        assert!(stretches.windows(2).all(|w| joined(&w[0], &w[1], usual)));
        let mut far = stretches[19];
        (far.first, far.last) = (300.0, 300.0);
        assert!(!joined(&stretches[19], &far, usual));
        assert!(!joined(&stretches[0], &Stretch { hole: true, ..stretches[1] }, usual));
    }

    #[test]
    fn both_windows_show_a_hole() {
        let curve = curve(&[1.0, f64::NAN, 3.0]);
        for stretches in [recent(&curve), whole(&curve)] {
            assert_eq!(stretches.iter().map(|s| s.hole).collect::<Vec<_>>(), [false, true, false]);
        }
    }
}
