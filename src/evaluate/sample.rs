//! Samples of rows: by band and by seed, never the head of a file (guard E3). Owns which rows are drawn.

use super::bootstrap::shuffled;

/// Which of the rows are drawn: at most `limit`, from each band its share (largest remainder; a band with rows keeps at
/// least one while there is room), inside a band by the seed. `bands[i]` is the band of row `i`; ascending positions.
pub fn stratified(bands: &[usize], limit: usize, seed: u64) -> Vec<usize> {
    if limit >= bands.len() {
        return (0..bands.len()).collect();
    }
    let count = bands.iter().max().map_or(0, |last| last + 1);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (row, band) in bands.iter().enumerate() {
        members[*band].push(row);
    }
    let quotas = quotas(&members.iter().map(Vec::len).collect::<Vec<_>>(), limit);
    let mut drawn = Vec::with_capacity(limit);
    for (band, (rows, quota)) in members.into_iter().zip(quotas).enumerate() {
        drawn.extend(shuffled(rows, seed.wrapping_add(band as u64)).into_iter().take(quota));
    }
    drawn.sort_unstable();
    drawn
}

/// How many of each band, `limit` in all, `limit` being below the sum of `sizes`.
fn quotas(sizes: &[usize], limit: usize) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    let share = |size: usize| size as f64 * limit as f64 / all as f64;
    let present = sizes.iter().filter(|s| **s > 0).count();
    let least = |size: usize| usize::from(size > 0 && limit >= present);
    let mut quotas: Vec<usize> = sizes.iter().map(|&s| (share(s).floor() as usize).max(least(s)).min(s)).collect();
    // What rounding left over or took too much, where it is furthest from its share.
    while quotas.iter().sum::<usize>() < limit {
        let short = |i: &usize| share(sizes[*i]) - quotas[*i] as f64;
        let Some(i) = (0..sizes.len()).filter(|&i| quotas[i] < sizes[i]).max_by(|a, b| short(a).total_cmp(&short(b))) else {
            break;
        };
        quotas[i] += 1;
    }
    while quotas.iter().sum::<usize>() > limit {
        let over = |i: &usize| quotas[*i] as f64 - share(sizes[*i]);
        let Some(i) = (0..sizes.len()).filter(|&i| quotas[i] > least(sizes[i])).max_by(|a, b| over(a).total_cmp(&over(b))) else {
            break;
        };
        quotas[i] -= 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The documented failure: the first 469 rows of a file in the order of its bands were 468 rows of noise and one that
    /// was critical.
    #[test]
    fn a_sample_of_a_file_in_the_order_of_its_bands_has_all_bands() {
        let bands: Vec<usize> = [(0, 700), (1, 200), (2, 60), (3, 30), (4, 10)].iter().flat_map(|&(b, n)| vec![b; n]).collect();
        let drawn = stratified(&bands, 100, 19);
        let count = |band| drawn.iter().filter(|i| bands[**i] == band).count();
        assert_eq!((0..5).map(count).collect::<Vec<_>>(), [70, 20, 6, 3, 1]);
        assert_ne!(drawn, stratified(&bands, 100, 20));
        assert_eq!(drawn, stratified(&bands, 100, 19));
    }

    proptest! {
        #[test]
        fn a_sample_is_as_large_as_asked_without_repetition_and_near_its_shares(
            bands in prop::collection::vec(0usize..5, 0..200), limit in 0usize..220, seed in 0u64..5
        ) {
            let drawn = stratified(&bands, limit, seed);
            prop_assert_eq!(drawn.len(), limit.min(bands.len()));
            prop_assert!(drawn.windows(2).all(|w| w[0] < w[1]));
            for band in 0..5 {
                let all = bands.iter().filter(|b| **b == band).count();
                let had = drawn.iter().filter(|i| bands[**i] == band).count();
                let share = all as f64 * drawn.len() as f64 / bands.len().max(1) as f64;
                prop_assert!((had as f64 - share).abs() <= 5.0, "band {} has {} of share {}", band, had, share);
                prop_assert!(drawn.len() < 5 || all == 0 || had > 0);
            }
        }
    }
}
