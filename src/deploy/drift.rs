//! The drift watch: are live answers still like those that the release was judged on?
//!
//! Owns what is compared and when it counts: answers that cannot be read, the distribution of scores (two-sample
//! Kolmogorov-Smirnov), prompts that did not fit (guard S8), and the pace. Reads nothing; the engine brings the rows. Other
//! articles than the evaluation's give other scores too, so a line says what is so, not why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluate::wilson;

/// Live answers that are looked at: the last so many.
pub const WINDOW: usize = 500;

/// Fewer tell nothing.
pub const ENOUGH: usize = 50;

/// c(α) of the Kolmogorov-Smirnov test: D beyond c·√((n + m) / nm) happens by chance in 5 of 100 windows, and in 1 of 1,000.
const KS_WATCH: f64 = 1.358;
const KS_DRIFT: f64 = 1.949;

/// A window this many times slower than the evaluation is worth a look.
const SLOWER: f64 = 2.0;

/// Unreadable answers beyond this share are worth a look, whatever the evaluation had.
const UNREAD_WATCH: f64 = 0.02;

/// One live answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    pub score: Option<f64>,
    /// Why it has no score, or what else went wrong; empty: nothing.
    pub cause: String,
    pub prompt_tokens: usize,
    /// The prompt did not fit and was not answered.
    pub truncated: bool,
    pub seconds: f64,
}

/// What the release was judged on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reference {
    pub scores: Vec<f64>,
    pub unread: usize,
    /// Mean of an answer; `None`: not known, or of another runtime.
    pub seconds: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftLevel {
    #[default]
    CannotTell,
    Steady,
    Watch,
    Drifted,
}

impl DriftLevel {
    pub fn words(self) -> &'static str {
        match self {
            Self::CannotTell => "cannot tell yet",
            Self::Steady => "steady",
            Self::Watch => "watch",
            Self::Drifted => "drifted",
        }
    }
}

/// One thing that is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftLine {
    /// "unread", "scores", "prompts", "pace"
    pub what: String,
    pub level: DriftLevel,
    pub text: String,
}

/// What the watch saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Live answers in the window.
    pub n: usize,
    /// The worst of the lines.
    pub level: DriftLevel,
    pub lines: Vec<DriftLine>,
    /// Answers that went wrong, by cause.
    pub causes: BTreeMap<String, usize>,
}

impl Drift {
    /// `None` for the reference: the release was never judged.
    pub fn watch(window: &[Live], reference: Option<&Reference>) -> Self {
        let mut causes = BTreeMap::new();
        for live in window.iter().filter(|l| !l.cause.is_empty()) {
            *causes.entry(live.cause.clone()).or_insert(0) += 1;
        }
        let lines = vec![unread(window, reference), scores(window, reference), prompts(window), pace(window, reference)];
        let level = lines.iter().map(|line| line.level).max().unwrap_or_default();
        Self { n: window.len(), level, lines, causes }
    }

    /// The whole in one line: the worst thing, or that all is steady.
    pub fn headline(&self) -> String {
        match self.level {
            DriftLevel::CannotTell => format!("cannot tell yet (n {} < {ENOUGH})", self.n),
            DriftLevel::Steady => format!("steady over the last {} answers", self.n),
            level => {
                let worst: Vec<&str> = self.lines.iter().filter(|l| l.level == level).map(|l| l.text.as_str()).collect();
                format!("{}: {}", level.words(), worst.join("; "))
            }
        }
    }
}

fn line(what: &str, level: DriftLevel, text: String) -> DriftLine {
    DriftLine { what: what.into(), level, text }
}

fn few(what: &str, n: usize) -> DriftLine {
    line(what, DriftLevel::CannotTell, format!("cannot tell yet (n {n} < {ENOUGH})"))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Worse than the evaluation beyond chance drifts; more than a few is worth a look.
fn unread(window: &[Live], reference: Option<&Reference>) -> DriftLine {
    const WHAT: &str = "unread";
    let n = window.iter().filter(|l| !l.truncated).count();
    if n < ENOUGH {
        return few(WHAT, n);
    }
    let lost = window.iter().filter(|l| !l.truncated && l.score.is_none()).count();
    let share = lost as f64 / n as f64;
    let (least, _) = wilson(lost as u64, n as u64);
    let before = reference.map(|r| (r.unread as u64, (r.unread + r.scores.len()) as u64)).filter(|(_, of)| *of > 0);
    let (was, most) = match before {
        Some((k, of)) => (percent(k as f64 / of as f64), wilson(k, of).1),
        None => ("unknown".into(), 1.0),
    };
    let level = match () {
        () if least > most => DriftLevel::Drifted,
        () if share > UNREAD_WATCH && before.is_none_or(|(k, of)| share > k as f64 / of as f64) => DriftLevel::Watch,
        () => DriftLevel::Steady,
    };
    line(WHAT, level, format!("{lost} of {n} answers without a score ({}; in the evaluation {was})", percent(share)))
}

fn scores(window: &[Live], reference: Option<&Reference>) -> DriftLine {
    const WHAT: &str = "scores";
    let live: Vec<f64> = window.iter().filter_map(|l| l.score).filter(|s| s.is_finite()).collect();
    let judged: &[f64] = reference.map_or(&[], |r| &r.scores);
    if live.len() < ENOUGH {
        return few(WHAT, live.len());
    }
    if judged.len() < ENOUGH {
        let text = format!("cannot tell: the evaluation has {} scores to compare with, and {ENOUGH} are needed", judged.len());
        return line(WHAT, DriftLevel::CannotTell, text);
    }
    let (n, m) = (live.len() as f64, judged.len() as f64);
    let distance = kolmogorov_smirnov(&live, judged);
    let scale = ((n + m) / (n * m)).sqrt();
    let level = match distance / scale {
        d if d > KS_DRIFT => DriftLevel::Drifted,
        d if d > KS_WATCH => DriftLevel::Watch,
        _ => DriftLevel::Steady,
    };
    let words = if level == DriftLevel::Steady { "as in the evaluation" } else { "otherwise than in the evaluation" };
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let text = format!(
        "scores lie {words}: D {distance:.3} (watch from {:.3}, drift from {:.3}; n {n} against {m}), mean {:.2} against {:.2}",
        KS_WATCH * scale,
        KS_DRIFT * scale,
        mean(&live),
        mean(judged)
    );
    line(WHAT, level, text)
}

/// One prompt that did not fit is one too many: its reader was never told.
fn prompts(window: &[Live]) -> DriftLine {
    const WHAT: &str = "prompts";
    let cut = window.iter().filter(|l| l.truncated).count();
    let longest = window.iter().map(|l| l.prompt_tokens).max().unwrap_or(0);
    match (cut, window.len()) {
        (0, n) if n < ENOUGH => few(WHAT, n),
        (0, n) => line(WHAT, DriftLevel::Steady, format!("all {n} prompts were read whole; the longest had {longest} tokens")),
        (cut, n) => line(WHAT, DriftLevel::Drifted, format!("{cut} of {n} prompts did not fit and were not answered (guard S8)")),
    }
}

fn pace(window: &[Live], reference: Option<&Reference>) -> DriftLine {
    const WHAT: &str = "pace";
    let seconds: Vec<f64> = window.iter().filter(|l| !l.truncated).map(|l| l.seconds).collect();
    if seconds.len() < ENOUGH {
        return few(WHAT, seconds.len());
    }
    let now = seconds.iter().sum::<f64>() / seconds.len() as f64;
    let Some(then) = reference.and_then(|r| r.seconds).filter(|s| *s > 0.0) else {
        return line(WHAT, DriftLevel::Steady, format!("{now:.2} s per answer; the evaluation's pace here is not known"));
    };
    let level = if now > SLOWER * then { DriftLevel::Watch } else { DriftLevel::Steady };
    line(WHAT, level, format!("{now:.2} s per answer, in the evaluation {then:.2} s"))
}

/// The largest distance between two empirical distributions.
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let sorted = |scores: &[f64]| {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut most) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        // Equal scores step together, on both sides.
        let at = a[i].min(b[j]);
        i += a[i..].iter().take_while(|s| **s <= at).count();
        j += b[j..].iter().take_while(|s| **s <= at).count();
        most = most.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn live(score: Option<f64>) -> Live {
        let cause = if score.is_some() { "" } else { "there is no score line" };
        Live { score, cause: cause.into(), prompt_tokens: 300, truncated: false, seconds: 1.0 }
    }

    /// `n` scores spread evenly over 0 to 10, then moved.
    fn spread(n: usize, by: f64) -> Vec<f64> {
        (0..n).map(|i| (i * 37 % n) as f64 / n as f64 * 10.0 + by).collect()
    }

    fn window(n: usize, by: f64, lost: usize) -> Vec<Live> {
        let mut all: Vec<Live> = spread(n - lost, by).into_iter().map(|s| live(Some(s))).collect();
        all.extend((0..lost).map(|_| live(None)));
        all
    }

    fn reference(n: usize, unread: usize) -> Reference {
        Reference { scores: spread(n, 0.0), unread, seconds: Some(1.0) }
    }

    fn level(drift: &Drift, what: &str) -> DriftLevel {
        drift.lines.iter().find(|l| l.what == what).expect("watched").level
    }

    #[test]
    fn each_drift_is_told_by_its_own_line() {
        use DriftLevel as L;
        let slow: Vec<Live> = window(100, 0.0, 0).into_iter().map(|l| Live { seconds: 2.5, ..l }).collect();
        let mut cut = window(100, 0.0, 0);
        cut.push(Live { truncated: true, ..Live::default() });
        // (window, evaluation's unread, expected levels of unread, scores, prompts, pace)
        let table = [
            ("steady", window(100, 0.0, 0), 0, [L::Steady, L::Steady, L::Steady, L::Steady]),
            ("few", window(49, 0.0, 0), 0, [L::CannotTell; 4]),
            ("moved far", window(100, 3.0, 0), 0, [L::Steady, L::Drifted, L::Steady, L::Steady]),
            ("moved a little", window(200, 1.9, 0), 0, [L::Steady, L::Watch, L::Steady, L::Steady]),
            ("unreadable", window(100, 0.0, 20), 0, [L::Drifted, L::Steady, L::Steady, L::Steady]),
            ("some unreadable", window(100, 0.0, 4), 1, [L::Watch, L::Steady, L::Steady, L::Steady]),
            ("as unreadable as ever", window(100, 0.0, 20), 30, [L::Steady, L::Steady, L::Steady, L::Steady]),
            ("slow", slow, 0, [L::Steady, L::Steady, L::Steady, L::Watch]),
            ("cut", cut, 0, [L::Steady, L::Steady, L::Drifted, L::Steady]),
        ];
        for (name, window, unread, wanted) in table {
            let drift = Drift::watch(&window, Some(&reference(120, unread)));
            let found = ["unread", "scores", "prompts", "pace"].map(|what| level(&drift, what));
            assert_eq!(found, wanted, "{name}: {drift:?}");
            assert_eq!(drift.level, wanted.into_iter().max().expect("four"), "{name}");
        }
    }

    #[test]
    fn a_cut_prompt_is_told_however_few_answers_there_are() {
        let drift = Drift::watch(&[Live { truncated: true, ..Live::default() }], None);
        assert_eq!(drift.level, DriftLevel::Drifted);
        assert!(drift.headline().contains("1 of 1 prompts"), "{}", drift.headline());
    }

    #[test]
    fn without_an_evaluation_scores_are_not_compared_and_nothing_else_is_lost() {
        let drift = Drift::watch(&window(60, 0.0, 3), None);
        assert_eq!(level(&drift, "scores"), DriftLevel::CannotTell);
        assert_eq!(level(&drift, "unread"), DriftLevel::Watch, "5 % is worth a look");
        assert_eq!(drift.causes["there is no score line"], 3);
        assert_eq!(Drift::watch(&[], None).headline(), "cannot tell yet (n 0 < 50)");
    }

    #[test]
    fn the_distance_is_that_of_the_textbook() {
        // The largest gap is after 3: 3/4 against 1/4.
        assert!((kolmogorov_smirnov(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]) - 0.5).abs() < 1e-12);
        assert!(kolmogorov_smirnov(&[5.0; 9], &[5.0; 4]).abs() < 1e-12, "equal scores step together");
        assert!((kolmogorov_smirnov(&[0.0; 3], &[1.0; 7]) - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric_and_between_0_and_1(a in prop::collection::vec(0u8..20, 1..60), b in prop::collection::vec(0u8..20, 1..60)) {
            let floats = |v: &[u8]| v.iter().map(|x| f64::from(*x) / 2.0).collect::<Vec<_>>();
            let (a, b) = (floats(&a), floats(&b));
            let d = kolmogorov_smirnov(&a, &b);
            prop_assert!((0.0..=1.0).contains(&d));
            prop_assert!((d - kolmogorov_smirnov(&b, &a)).abs() < 1e-12);
            prop_assert!(kolmogorov_smirnov(&a, &a).abs() < 1e-12);
        }
    }
}
