//! The cascade's frontier: what each pair of thresholds costs and gives, measured on rows that both passes answered.
//!
//! Owns the grid and its figures: share sent on, seconds per article, MAE and Spearman's ρ with bootstrap intervals over
//! articles, and the paired differences to the fast pass alone and the think pass alone.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Doubt;
use crate::domain::recipe::Scale;
use crate::domain::{Bands, Digest};
use crate::evaluate::{Difference, Metrics, PairedRow, Row, intervals, paired};

/// Thresholds that are tried, beside the configured ones.
const LOWS: [f64; 5] = [2.0, 3.0, 4.0, 5.0, 6.0];
const HIGHS: [f64; 5] = [5.0, 6.0, 7.0, 8.0, 9.0];

/// A judged row that both passes answered; a score is `None` where it could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct TwiceAnswered {
    pub article: String,
    pub profile: String,
    /// Near-duplicates of one article are drawn together.
    pub cluster: String,
    pub truth: f64,
    pub fast: Option<f64>,
    /// The probability-weighted one, which decides where there is one.
    pub fast_expected: Option<f64>,
    pub fast_seconds: f64,
    pub think: Option<f64>,
    pub think_seconds: f64,
}

/// How the passes are set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    FastOnly,
    ThinkOnly,
    Cascade(Doubt),
}

/// What one setting costs and gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub setting: Setting,
    /// It is the configured one.
    pub configured: bool,
    /// Rows that the think pass answers.
    pub sent_on: f64,
    pub seconds_per_article: f64,
    pub unread: usize,
    pub mae: Option<f64>,
    pub mae_interval: Option<(f64, f64)>,
    pub rho: Option<f64>,
    pub rho_interval: Option<(f64, f64)>,
    /// This less the fast pass alone: MAE, then ρ. Empty for itself.
    pub against_fast: Vec<Difference>,
    /// This less the think pass alone.
    pub against_think: Vec<Difference>,
    /// No other setting is both faster and nearer to the truth.
    pub efficient: bool,
}

/// A measured frontier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frontier {
    pub rows: usize,
    pub articles: usize,
    /// What answered: models, runtimes and sampling of both passes, and the rows.
    pub fast: String,
    pub think: String,
    pub row_set: String,
    pub row_digest: Digest,
    /// Cheapest first.
    pub points: Vec<Point>,
}

/// The settings that are tried: both passes alone, the grid, and the configured thresholds.
fn settings(configured: Doubt) -> Vec<Setting> {
    let mut all = vec![Setting::FastOnly, Setting::ThinkOnly];
    let grid = LOWS.iter().flat_map(|low| HIGHS.iter().map(|high| Doubt { low: *low, high: *high }));
    all.extend(grid.filter(|d| d.low < d.high).map(Setting::Cascade));
    if !all.contains(&Setting::Cascade(configured)) {
        all.push(Setting::Cascade(configured));
    }
    all
}

impl Setting {
    fn sends_on(self, row: &TwiceAnswered) -> bool {
        match self {
            Self::FastOnly => false,
            Self::ThinkOnly => true,
            Self::Cascade(doubt) => doubt.sends_on(row.fast, row.fast_expected),
        }
    }

    fn score(self, row: &TwiceAnswered) -> Option<f64> {
        if self.sends_on(row) { row.think } else { row.fast }
    }

    /// The fast pass is asked about everything, except where there is none.
    fn seconds(self, row: &TwiceAnswered) -> f64 {
        let fast = if self == Self::ThinkOnly { 0.0 } else { row.fast_seconds };
        fast + if self.sends_on(row) { row.think_seconds } else { 0.0 }
    }
}

/// The points of all settings on rows that both passes answered, cheapest first.
pub fn points(rows: &[TwiceAnswered], configured: Doubt, bands: &Bands, scale: &Scale, seed: u64) -> Vec<Point> {
    measured(&settings(configured), rows, configured, bands, scale, seed)
}

fn measured(
    settings: &[Setting],
    rows: &[TwiceAnswered],
    configured: Doubt,
    bands: &Bands,
    scale: &Scale,
    seed: u64,
) -> Vec<Point> {
    let point = |setting: &Setting| point(*setting, configured, rows, bands, scale, seed);
    let mut points: Vec<Point> = settings.par_iter().map(point).collect();
    points.sort_by(|a, b| a.seconds_per_article.total_cmp(&b.seconds_per_article));
    let figures: Vec<(f64, Option<f64>)> = points.iter().map(|p| (p.seconds_per_article, p.mae)).collect();
    for (i, point) in points.iter_mut().enumerate() {
        let beaten = figures.iter().enumerate().any(|(j, other)| j != i && dominates(*other, figures[i]));
        point.efficient = point.mae.is_some() && !beaten;
    }
    points
}

/// At least as fast and as near, and better in one of the two.
fn dominates((seconds, mae): (f64, Option<f64>), (than_seconds, than_mae): (f64, Option<f64>)) -> bool {
    let (Some(mae), Some(than_mae)) = (mae, than_mae) else { return false };
    seconds <= than_seconds && mae <= than_mae && (seconds < than_seconds || mae < than_mae)
}

fn point(setting: Setting, configured: Doubt, rows: &[TwiceAnswered], bands: &Bands, scale: &Scale, seed: u64) -> Point {
    let n = rows.len().max(1) as f64;
    let plain: Vec<Row> = rows
        .iter()
        .map(|r| Row { article: r.article.clone(), profile: r.profile.clone(), truth: r.truth, predicted: setting.score(r) })
        .collect();
    let metrics = Metrics::compute(&plain, bands, scale, None);
    let within = intervals(&plain, bands, scale, None, seed);
    let against = |other: Setting| {
        if setting == other {
            return Vec::new();
        }
        let pair = |r: &TwiceAnswered| PairedRow {
            article: r.article.clone(),
            profile: r.profile.clone(),
            cluster: r.cluster.clone(),
            truth: r.truth,
            a: other.score(r),
            b: setting.score(r),
        };
        let pairs: Vec<PairedRow> = rows.iter().map(pair).collect();
        let told = |d: &Difference| ["mae", "spearman"].contains(&d.metric.as_str());
        paired(&pairs, bands, scale, seed).differences.into_iter().filter(told).collect()
    };
    Point {
        configured: setting == Setting::Cascade(configured),
        sent_on: rows.iter().filter(|r| setting.sends_on(r)).count() as f64 / n,
        seconds_per_article: rows.iter().map(|r| setting.seconds(r)).sum::<f64>() / n,
        unread: plain.iter().filter(|r| r.predicted.is_none()).count(),
        mae: metrics.mae,
        mae_interval: within.get("mae").copied(),
        rho: metrics.spearman,
        rho_interval: within.get("spearman").copied(),
        against_fast: against(Setting::FastOnly),
        against_think: against(Setting::ThinkOnly),
        efficient: false,
        setting,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::domain::Recipe;

    /// The fast pass is off by 2 in the middle and right at the ends; the think pass is right everywhere and slow.
    fn rows() -> Vec<TwiceAnswered> {
        let row = |i: usize| {
            let truth = (i * 7 % 101) as f64 / 10.0;
            let middle = (4.0..=8.0).contains(&truth);
            TwiceAnswered {
                article: format!("a{}", i / 2),
                profile: format!("p{}", i % 2),
                cluster: format!("a{}", i / 2),
                truth,
                // Some fast answers cannot be read.
                fast: (i % 10 != 3).then_some(if middle { if truth < 6.0 { truth + 2.0 } else { truth - 2.0 } } else { truth }),
                fast_expected: None,
                fast_seconds: 0.1,
                think: Some(truth),
                think_seconds: 1.0,
            }
        };
        (0..40).map(row).collect()
    }

    const CONFIGURED: Doubt = Doubt { low: 4.0, high: 8.0 };

    /// Measured once: thousands of draws take a while.
    static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
        let recipe = Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound");
        let wide = Setting::Cascade(Doubt { low: 2.0, high: 9.0 });
        let some = [Setting::ThinkOnly, wide, Setting::Cascade(CONFIGURED), Setting::FastOnly];
        measured(&some, &rows(), CONFIGURED, &recipe.bands, &recipe.scale, 7)
    });

    fn of(points: &[Point], setting: Setting) -> &Point {
        points.iter().find(|p| p.setting == setting).expect("measured")
    }

    #[test]
    fn each_setting_costs_what_it_asks_and_gives_what_decides() {
        let (fast, think) = (of(&POINTS, Setting::FastOnly), of(&POINTS, Setting::ThinkOnly));
        assert!(fast.sent_on.abs() < 1e-12 && (fast.seconds_per_article - 0.1).abs() < 1e-9 && fast.unread == 4);
        assert!((think.sent_on - 1.0).abs() < 1e-12 && (think.seconds_per_article - 1.0).abs() < 1e-9);
        assert_eq!((think.mae, think.unread), (Some(0.0), 0));
        let cascade = of(&POINTS, Setting::Cascade(CONFIGURED));
        assert!(cascade.configured && cascade.unread == 0, "what the fast pass cannot say goes on");
        assert!((cascade.seconds_per_article - (0.1 + cascade.sent_on)).abs() < 1e-9);
        assert!(cascade.sent_on > 0.2 && cascade.sent_on < 0.8);
        assert!(cascade.mae < fast.mae && cascade.mae_interval.is_some() && cascade.rho_interval.is_some());
        let gain = &cascade.against_fast.iter().find(|d| d.metric == "mae").expect("compared").interval.expect("drawn");
        assert!(gain.1 < 0.0, "better than the fast pass beyond chance: {gain:?}");
        assert!(fast.against_fast.is_empty() && think.against_think.is_empty());
    }

    #[test]
    fn the_frontier_is_what_nothing_beats_and_the_cheapest_comes_first() {
        assert!(POINTS.windows(2).all(|w| w[0].seconds_per_article <= w[1].seconds_per_article));
        assert_eq!(POINTS.iter().filter(|p| p.configured).count(), 1);
        let efficient: Vec<&Point> = POINTS.iter().filter(|p| p.efficient).collect();
        assert!(efficient.len() >= 2 && of(&POINTS, Setting::FastOnly).efficient);
        assert!(efficient.windows(2).all(|w| w[1].mae < w[0].mae), "dearer only where it is nearer");
    }

    #[test]
    fn the_configured_thresholds_are_tried_with_the_grid_and_only_once() {
        let count = |low, high| {
            let all = settings(Doubt { low, high });
            assert!(all.iter().all(|s| !matches!(s, Setting::Cascade(d) if d.low >= d.high)), "{all:?}");
            (all.len(), all.iter().filter(|s| **s == Setting::Cascade(Doubt { low, high })).count())
        };
        let (grid, once) = count(4.0, 8.0);
        assert_eq!((count(3.5, 7.5), once), ((grid + 1, 1), 1));
    }
}
