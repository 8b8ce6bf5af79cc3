//! Isotonic regression. Owns the pooling of adjacent violators; what is calibrated with it is the caller's.

/// The non-decreasing sequence nearest to `y` in least squares, `y` being ordered by its x: neighbours that violate
/// the order are pooled to their mean. (1, 3, 2, 4) → (1, 2.5, 2.5, 4). Values that are not finite give nonsense.
pub fn isotonic(y: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::with_capacity(y.len());
    for &value in y {
        let mut block = (value, 1);
        while let Some(&(mean, n)) = blocks.last()
            && mean > block.0
        {
            blocks.pop();
            block = ((mean * n as f64 + block.0 * block.1 as f64) / (n + block.1) as f64, n + block.1);
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean, n)).collect()
}

/// [`isotonic`] of points in any order: sorted by x, equal x pooled first. Returns (x, fitted y) by ascending x.
pub fn isotonic_points(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Pooling weights blocks by their size, so an x that occurs k times enters as k copies of its mean.
    let mut y = Vec::with_capacity(sorted.len());
    for same in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let mean = same.iter().map(|p| p.1).sum::<f64>() / same.len() as f64;
        y.extend(std::iter::repeat_n(mean, same.len()));
    }
    let mut fitted: Vec<(f64, f64)> = sorted.iter().map(|p| p.0).zip(isotonic(&y)).collect();
    fitted.dedup_by(|a, b| a.0.total_cmp(&b.0).is_eq());
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn adjacent_violators_are_pooled() {
        assert_eq!(isotonic(&[1.0, 3.0, 2.0, 4.0]), [1.0, 2.5, 2.5, 4.0]);
        assert_eq!(isotonic(&[3.0, 2.0, 1.0]), [2.0, 2.0, 2.0]);
        assert_eq!(isotonic(&[]), [0.0; 0]);
        let points = [(2.0, 3.0), (1.0, 1.0), (4.0, 4.0), (3.0, 2.0)];
        assert_eq!(isotonic_points(&points), [(1.0, 1.0), (2.0, 2.5), (3.0, 2.5), (4.0, 4.0)]);
        assert_eq!(isotonic_points(&[(1.0, 0.0), (1.0, 2.0)]), [(1.0, 1.0)]);
    }

    proptest! {
        #[test]
        fn the_fit_ascends_and_keeps_the_sum(y in prop::collection::vec(-10.0..10.0f64, 0..50)) {
            let fit = isotonic(&y);
            prop_assert_eq!(fit.len(), y.len());
            prop_assert!(fit.windows(2).all(|w| w[0] <= w[1]));
            prop_assert!((fit.iter().sum::<f64>() - y.iter().sum::<f64>()).abs() < 1e-6);
        }
    }
}
