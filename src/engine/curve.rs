//! A curve of a run at two resolutions: the newest points as they came, and the whole run in buckets that merge as it grows.
//!
//! Owns how many points are kept and what a bucket remembers. A million points take as much room as two thousand, and one
//! more costs the same at any length, so that a snapshot which carries curves stays small on a socket. What a curve means,
//! and how it is drawn, is its readers'.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Points kept as they came: more than a terminal has columns of dots.
pub const RECENT: usize = 512;
/// Buckets of the whole run at most; at this many, neighbours merge and half of them are left.
pub const BUCKETS: usize = 1024;

/// One value of a step; `None` where it was no finite number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "(u64, Option<f32>)", from = "(u64, Option<f32>)")]
pub struct Point {
    pub step: u64,
    pub value: Option<f32>,
}

/// A stretch of steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "BucketRow", from = "BucketRow")]
pub struct Bucket {
    pub first: u64,
    pub last: u64,
    pub low: f32,
    pub high: f32,
    /// Of the finite values; 0 where there is none.
    pub mean: f32,
    /// Finite values.
    pub n: u64,
    /// Values that were no finite numbers.
    pub holes: u64,
}

/// As a bucket crosses a socket: numbers without names.
type BucketRow = (u64, u64, f32, f32, f32, u64, u64);

impl From<Point> for (u64, Option<f32>) {
    fn from(p: Point) -> Self {
        (p.step, p.value)
    }
}

impl From<(u64, Option<f32>)> for Point {
    fn from((step, value): (u64, Option<f32>)) -> Self {
        Self { step, value: value.filter(|v| v.is_finite()) }
    }
}

impl From<Bucket> for BucketRow {
    fn from(b: Bucket) -> Self {
        (b.first, b.last, b.low, b.high, b.mean, b.n, b.holes)
    }
}

impl From<BucketRow> for Bucket {
    fn from((first, last, low, high, mean, n, holes): BucketRow) -> Self {
        Self { first, last, low, high, mean, n, holes }
    }
}

impl Bucket {
    fn of(point: Point) -> Self {
        let v = point.value.unwrap_or(0.0);
        let n = u64::from(point.value.is_some());
        Self { first: point.step, last: point.step, low: v, high: v, mean: v, n, holes: 1 - n }
    }

    /// Both as one; either may be without a finite value.
    fn and(self, later: Self) -> Self {
        let (first, last, holes) = (self.first.min(later.first), self.last.max(later.last), self.holes + later.holes);
        let n = self.n + later.n;
        let (low, high, mean) = match (self.n, later.n) {
            (0, _) => (later.low, later.high, later.mean),
            (_, 0) => (self.low, self.high, self.mean),
            (a, b) => {
                let mean = (f64::from(self.mean) * a as f64 + f64::from(later.mean) * b as f64) / n as f64;
                (self.low.min(later.low), self.high.max(later.high), mean as f32)
            }
        };
        Self { first, last, low, high, mean, n, holes }
    }

    fn values(self) -> u64 {
        self.n + self.holes
    }
}

/// Values by step, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    recent: VecDeque<Point>,
    whole: Vec<Bucket>,
    /// Values of a full bucket; 0 before the first.
    size: u64,
    /// Values in all.
    count: u64,
}

impl Curve {
    /// Adds a value; one that is no finite number is kept as a hole.
    pub fn push(&mut self, step: u64, value: f64) {
        let value = Some(value as f32).filter(|v| v.is_finite());
        let point = Point { step, value };
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(point);
        self.count += 1;
        match self.whole.last_mut() {
            Some(last) if last.values() < self.size => *last = last.and(Bucket::of(point)),
            _ => {
                self.size = self.size.max(1);
                self.whole.push(Bucket::of(point));
            }
        }
        if self.whole.len() == BUCKETS {
            self.whole = self.whole.chunks(2).map(|pair| pair.iter().copied().reduce(Bucket::and).unwrap_or(pair[0])).collect();
            self.size *= 2;
        }
    }

    /// What was pushed since a curve was as `old` is; `None`: it cannot be told from the values that are kept.
    pub fn growth_since(&self, old: &Self) -> Option<CurveGrowth> {
        let more = usize::try_from(self.count.checked_sub(old.count)?).ok()?;
        let before = self.recent.len().checked_sub(more)?;
        // What both have must be the same, and something of the old end must still be here, or it is another curve.
        let alike = self.recent.iter().take(before).rev().zip(old.recent.iter().rev()).all(|(new, old)| new == old);
        if !alike || (old.count > 0 && before == 0) {
            return None;
        }
        Some(CurveGrowth { from: old.count, points: self.recent.iter().skip(before).copied().collect() })
    }

    /// Pushes what somebody else's copy of this curve has more.
    pub fn grow(&mut self, growth: CurveGrowth) -> Result<(), String> {
        if growth.from != self.count {
            return Err(format!("a curve grew from value {}, where {} are known", growth.from, self.count));
        }
        for point in growth.points {
            self.push(point.step, point.value.map_or(f64::NAN, f64::from));
        }
        Ok(())
    }

    /// The newest values, oldest first.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = Point> + ExactSizeIterator + '_ {
        self.recent.iter().copied()
    }

    /// The whole run, oldest first.
    pub fn whole(&self) -> &[Bucket] {
        &self.whole
    }

    /// Values in all, holes among them.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn last(&self) -> Option<Point> {
        self.recent.back().copied()
    }

    /// The newest value, if it is a number.
    pub fn value(&self) -> Option<f64> {
        self.last()?.value.map(f64::from)
    }

    /// Values that were no finite numbers.
    pub fn holes(&self) -> u64 {
        self.whole.iter().map(|b| b.holes).sum()
    }

    /// The value nearest to a step: of a single point where it is still known, else the mean of its bucket.
    pub fn at(&self, step: u64) -> Option<Reading> {
        let first = self.recent.front()?.step;
        if step >= first || self.whole.len() < 2 {
            let near = self.recent.iter().min_by_key(|p| p.step.abs_diff(step))?;
            return Some(Reading { first: near.step, last: near.step, value: near.value.map(f64::from) });
        }
        let away =
            |b: &&Bucket| if (b.first..=b.last).contains(&step) { 0 } else { b.first.abs_diff(step).min(b.last.abs_diff(step)) };
        let b = self.whole.iter().min_by_key(away)?;
        Some(Reading { first: b.first, last: b.last, value: (b.n > 0).then_some(f64::from(b.mean)) })
    }
}

/// The values by which a curve is longer than it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurveGrowth {
    /// Values before these.
    from: u64,
    points: Vec<Point>,
}

/// What a curve says at a step: one value, or the mean over a stretch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub first: u64,
    pub last: u64,
    pub value: Option<f64>,
}

impl FromIterator<(u64, f64)> for Curve {
    fn from_iter<I: IntoIterator<Item = (u64, f64)>>(points: I) -> Self {
        let mut curve = Self::default();
        for (step, value) in points {
            curve.push(step, value);
        }
        curve
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_curve_that_grows_by_what_another_has_more_is_the_other(
            before in 0_usize..3000, more in 0_usize..700, hole in 0_usize..5,
        ) {
            let value = |step: usize| if step % 5 == hole { f64::NAN } else { (step as f64).sin() };
            let mut ours: Curve = (0..before).map(|step| (step as u64, value(step))).collect();
            let theirs: Curve = (0..before + more).map(|step| (step as u64, value(step))).collect();
            match theirs.growth_since(&ours) {
                Some(growth) => {
                    prop_assert_eq!(ours.grow(growth), Ok(()));
                    prop_assert_eq!(ours, theirs);
                }
                None => prop_assert!(more >= RECENT, "{} more", more),
            }
        }
    }

    #[test]
    fn another_run_is_not_a_growth() {
        let one: Curve = (0..10).map(|step| (step, 1.0)).collect();
        let other: Curve = (0..20).map(|step| (step, 2.0)).collect();
        assert_eq!(other.growth_since(&one), None);
        assert_eq!(one.growth_since(&other), None);
    }

    #[test]
    fn a_million_points_cost_what_a_few_thousand_cost() {
        let curve: Curve = (1..=1_000_000).map(|step| (step, 1.0 / step as f64)).collect();
        assert_eq!((curve.recent().len(), curve.count()), (RECENT, 1_000_000));
        assert!((BUCKETS / 2..BUCKETS).contains(&curve.whole().len()));
        assert_eq!((curve.whole()[0].first, curve.whole().last().map(|b| b.last)), (1, Some(1_000_000)));
        let bytes = serde_json::to_vec(&curve).expect("serialises").len();
        assert!(bytes < 96 << 10, "{bytes} bytes");
    }

    #[test]
    fn a_spike_anywhere_survives_every_merge() {
        let curve: Curve = (0..200_000).map(|step| (step, if step == 70_001 { 9.0 } else { 1.0 })).collect();
        let spike: Vec<&Bucket> = curve.whole().iter().filter(|b| b.high > 1.0).collect();
        assert_eq!(spike.len(), 1);
        assert!((spike[0].first..=spike[0].last).contains(&70_001) && (spike[0].low - 1.0).abs() < 1e-6 && spike[0].mean < 1.2);
    }

    #[test]
    fn what_is_no_number_is_a_hole_and_spoils_no_mean() {
        let mut curve = Curve::default();
        for (step, value) in [(1, 2.0), (2, f64::NAN), (3, f64::INFINITY), (4, 4.0)] {
            curve.push(step, value);
        }
        assert_eq!(curve.recent().map(|p| p.value).collect::<Vec<_>>(), [Some(2.0), None, None, Some(4.0)]);
        assert_eq!(curve.holes(), 2);
        for step in 5..5000 {
            curve.push(step, 3.0);
        }
        assert!(curve.whole().iter().all(|b| b.mean.is_finite() && (b.n == 0 || (2.0..=4.0).contains(&b.mean))));
        assert_eq!(curve.holes(), 2);
        let text = serde_json::to_string(&curve).expect("serialises");
        assert_eq!(serde_json::from_str::<Curve>(&text).expect("reads"), curve);
    }

    #[test]
    fn a_step_is_read_as_a_point_while_it_is_one_and_as_a_mean_later() {
        let curve: Curve = (1..=10_000).map(|step| (step, step as f64)).collect();
        assert_eq!(curve.at(9_999), Some(Reading { first: 9_999, last: 9_999, value: Some(9_999.0) }));
        let early = curve.at(40).expect("known");
        assert!(early.first <= 40 && early.last >= 40 && early.last > early.first);
        assert!((early.value.expect("a number") - 40.0).abs() < 16.0);
        assert_eq!(curve.at(1 << 40).map(|r| r.first), Some(10_000));
        assert_eq!(Curve::default().at(3), None);
    }

    proptest! {
        #[test]
        fn buckets_hold_every_value_once_in_order(values in prop::collection::vec(-1e6f64..1e6, 1..5000)) {
            let curve: Curve = values.iter().copied().enumerate().map(|(i, v)| (i as u64, v)).collect();
            prop_assert_eq!(curve.whole().iter().map(|b| b.n).sum::<u64>(), values.len() as u64);
            prop_assert!(curve.whole().windows(2).all(|w| w[0].last + 1 == w[1].first));
            for b in curve.whole() {
                let part = &values[b.first as usize..=b.last as usize];
                let mean = part.iter().sum::<f64>() / part.len() as f64;
                let least = part.iter().copied().fold(f64::INFINITY, f64::min) as f32;
                prop_assert!((b.low - least).abs() <= f32::EPSILON * least.abs());
                prop_assert!((f64::from(b.mean) - mean).abs() < 1.0);
            }
        }
    }
}
