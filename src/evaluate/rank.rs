//! Ranks and rank correlation. Owns the treatment of ties and of "undefined"; which rows are compared is `metrics`'.

use std::cmp::Ordering;

/// Ranks from 1, ties sharing the mean of the places they take: (5, 7, 7) → (1, 2.5, 2.5).
pub fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tie in order.chunk_by(|&a, &b| values[a].partial_cmp(&values[b]).is_some_and(Ordering::is_eq)) {
        let rank = (2 * start + tie.len() + 1) as f64 / 2.0;
        for &i in tie {
            ranks[i] = rank;
        }
        start += tie.len();
    }
    ranks
}

/// Pearson's r = Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)²·Σ(y−ȳ)²) of weighted points `(x, y, weight)`; `None` where it is undefined:
/// total weight below 2, a side without variance, or a value that is not finite.
pub fn weighted_pearson(points: impl Iterator<Item = (f64, f64, f64)> + Clone) -> Option<f64> {
    let (mut n, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
    for (x, y, w) in points.clone() {
        n += w;
        sum_x += w * x;
        sum_y += w * y;
    }
    if n < 2.0 || !sum_x.is_finite() || !sum_y.is_finite() {
        return None;
    }
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y, w) in points {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xy += w * dx * dy;
        xx += w * dx * dx;
        yy += w * dy * dy;
    }
    // Ranks are multiples of ½: a true variance is far above this, a sum of rounding errors far below.
    let varies = |square: f64| square / n > 1e-9;
    (varies(xx) && varies(yy)).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Spearman's ρ = Pearson of the average ranks. `None`, not 0, for n < 2, for sides of different length, without
/// variance or with a value that is not finite.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.iter().chain(b).any(|v| !v.is_finite()) {
        return None;
    }
    let (ranks_a, ranks_b) = (average_ranks(a), average_ranks(b));
    weighted_pearson(ranks_a.iter().zip(&ranks_b).map(|(&x, &y)| (x, y, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-12)
    }

    #[test]
    fn one_swap_among_four_gives_four_fifths() {
        assert!(near(spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]), 0.8));
    }

    #[test]
    fn ties_share_their_average_rank() {
        assert_eq!(average_ranks(&[7.0, 5.0, 7.0, 9.0]), [2.5, 1.0, 2.5, 4.0]);
        // Pearson of (1, 2.5, 2.5, 4) and (1, 2, 3, 4) by hand: 4.5 / √(4.5·5).
        assert!(near(spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]), 4.5 / 22.5_f64.sqrt()));
    }

    #[test]
    fn without_variance_or_company_it_is_undefined_not_zero() {
        assert_eq!(spearman(&[1.0], &[2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
        assert_eq!(spearman(&[0.5, 0.5, 0.5], &[1.0, 2.0, 3.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
    }

    proptest! {
        #[test]
        fn it_is_symmetric_bounded_and_blind_to_monotone_changes(points in prop::collection::vec((0u8..20, 0u8..20), 0..40)) {
            let a: Vec<f64> = points.iter().map(|p| f64::from(p.0)).collect();
            let b: Vec<f64> = points.iter().map(|p| f64::from(p.1)).collect();
            let cubed: Vec<f64> = a.iter().map(|v| v.powi(3)).collect();
            let rho = spearman(&a, &b);
            prop_assert_eq!(rho.is_some(), spearman(&b, &a).is_some());
            prop_assert_eq!(rho, spearman(&cubed, &b));
            if let (Some(r), Some(s)) = (rho, spearman(&b, &a)) {
                prop_assert!((-1.0..=1.0).contains(&r) && (r - s).abs() < 1e-9);
            }
        }
    }
}
