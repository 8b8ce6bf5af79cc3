//! Small statistics of counts. Owns Wilson's interval, `McNemar`'s tests, Cohen's h and Holm's correction; intervals of
//! metrics are `bootstrap`'s.

/// 97.5th percentile of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a share: (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). (0, 1) for n = 0.
pub fn wilson(hits: u64, n: u64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let count = n as f64;
    let share = hits.min(n) as f64 / count;
    let z2 = Z95 * Z95;
    let scale = 1.0 + z2 / count;
    let middle = share + z2 / (2.0 * count);
    let half = Z95 * (share * (1.0 - share) / count + z2 / (4.0 * count * count)).sqrt();
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// Outcome of a `McNemar` test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    pub chi_squared: f64,
    pub p: f64,
}

/// `McNemar` with continuity correction: χ² = (max(|b − c| − 1, 0))² / (b + c), p from χ² with one degree of freedom.
/// `b` and `c` count the rows that only one of two raters gets right. No such row: χ² 0, p 1.
pub fn mcnemar(b: u64, c: u64) -> McNemar {
    if b + c == 0 {
        return McNemar { chi_squared: 0.0, p: 1.0 };
    }
    let gap = (b.abs_diff(c) as f64 - 1.0).max(0.0);
    let chi_squared = gap * gap / (b + c) as f64;
    McNemar { chi_squared, p: chi_squared_upper_1(chi_squared) }
}

/// Exact `McNemar`: p = min(1, 2·P(X ≤ min(b, c))), X binomial with n = b + c and ½.
pub fn mcnemar_exact(b: u64, c: u64) -> f64 {
    let n = b + c;
    // ln C(n, k) grows by one factor per k, so no factorial overflows.
    let mut ln_choose = 0.0;
    let mut tail = 0.0;
    for k in 0..=b.min(c) {
        if k > 0 {
            ln_choose += ((n - k + 1) as f64).ln() - (k as f64).ln();
        }
        tail += (ln_choose - n as f64 * std::f64::consts::LN_2).exp();
    }
    (2.0 * tail).min(1.0)
}

/// Cohen's h = 2·asin √p₁ − 2·asin √p₂.
pub fn cohens_h(p1: f64, p2: f64) -> f64 {
    let angle = |p: f64| 2.0 * p.clamp(0.0, 1.0).sqrt().asin();
    angle(p1) - angle(p2)
}

/// Holm's step-down correction: the p of rank i (from 0) of m is multiplied by m − i, never below the one before it, at
/// most 1. In the order given.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|&a, &b| ps[a].total_cmp(&ps[b]));
    let (mut corrected, mut least) = (vec![1.0; ps.len()], 0.0_f64);
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(ps[i] * (ps.len() - rank) as f64).min(1.0);
        corrected[i] = least;
    }
    corrected
}

/// P(χ²₁ > x) = erfc(√(x/2)).
fn chi_squared_upper_1(x: f64) -> f64 {
    erfc((x / 2.0).max(0.0).sqrt())
}

/// Complementary error function for x ≥ 0: the series of erf below 2.5, Lentz's continued fraction above, both to
/// about 1e-14.
fn erfc(x: f64) -> f64 {
    let root_pi = std::f64::consts::PI.sqrt();
    if x < 2.5 {
        // erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)): all terms positive, nothing cancels.
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term > sum * 1e-17 && n < 500.0 {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        return 1.0 - 2.0 / root_pi * (-x * x).exp() * sum;
    }
    // erfc x = e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3/2/(x + …)))), from the inside out.
    let inner = (1..=120).rev().fold(x, |below, k| x + f64::from(k) / 2.0 / below);
    (-x * x).exp() / root_pi / inner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) -> bool {
        (a - b).abs() <= tolerance
    }

    #[test]
    fn wilson_gives_the_known_intervals() {
        let (low, high) = wilson(243, 300);
        assert!(near(low, 0.7618, 5e-5) && near(high, 0.8504, 5e-5), "{low} {high}");
        let (low, high) = wilson(300, 300);
        assert!(near(low, 0.9874, 5e-5) && near(high, 1.0, 1e-12), "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert!(near(wilson(0, 10).0, 0.0, 1e-12));
    }

    #[test]
    fn mcnemar_gives_the_known_answers() {
        let test = mcnemar(57, 2);
        assert!(near(test.chi_squared, 49.4237, 5e-5) && near(test.p, 2.06e-12, 5e-15), "{test:?}");
        assert!(near(mcnemar_exact(8, 2), 0.109_375, 1e-12));
        assert!(near(mcnemar(0, 0).p, 1.0, 0.0) && near(mcnemar(3, 3).p, 1.0, 1e-12) && near(mcnemar_exact(3, 3), 1.0, 0.0));
        assert!(near(mcnemar_exact(2000, 2000), 1.0, 1e-9) && mcnemar_exact(3000, 1000) < 1e-100);
    }

    #[test]
    fn cohens_h_gives_the_known_answer() {
        assert!(near(cohens_h(0.3, 0.5), -0.41152, 5e-6));
    }

    #[test]
    fn holm_gives_what_r_gives() {
        // p.adjust(c(.01, .04, .03, .005), "holm")
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (ours, theirs) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!(near(*ours, theirs, 1e-12), "{corrected:?}");
        }
        assert_eq!((holm(&[0.6, 0.9]), holm(&[])), (vec![1.0, 1.0], Vec::new()));
    }

    #[test]
    fn the_two_halves_of_erfc_meet() {
        assert!(near(erfc(0.0), 1.0, 1e-15) && near(erfc(1.0), 0.157_299_207_050_285_13, 1e-14));
        assert!(near(erfc(2.5 - 1e-12), erfc(2.5), 1e-12) && near(erfc(3.0) / 2.209_049_699_858_544e-5, 1.0, 1e-12));
    }
}
