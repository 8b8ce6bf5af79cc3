//! Guards D6, D7 and D8: whether the rows of one annotator were judged at all, judged evenly, and by whom they say.
//!
//! Owns what counts as one reason and as one distribution. What a reason should read like is `lint`'s.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::compare::{Common, common, copies};
use super::{Scored, percent};
use crate::domain::recipe::Scale;
use crate::domain::{Finding, PairKey, ProfileId, one_line};

/// Fewer rows than this say nothing about their writer.
const ENOUGH: usize = 50;

/// Judgements repeat a reason now and then; a script repeats it always. Real teachers stand near 1, 0 and 0 here.
const LEAST_DISTINCT: f64 = 0.5;
const MOST_REPEATED: f64 = 0.3;
const MOST_MODAL: f64 = 0.1;

/// A scale of a hundred values that three of them nearly exhaust is not used as one.
const MOST_OF_THREE: f64 = 0.85;
const MOST_OF_ONE: f64 = 0.6;

/// Largest distance of two cumulative distributions that is still no drift, whatever its significance.
const DRIFT: f64 = 0.2;

/// Kolmogorov and Smirnov's factor at p < 0.001. Ties only make the test more careful.
const KS_FACTOR: f64 = 1.95;

/// Guard D6: reasons are written for the pair, not filled in. Case, punctuation, numbers and the words of the reader's
/// id do not make two reasons different.
pub fn d6(rows: &[Scored]) -> Finding {
    if rows.len() < ENOUGH {
        return Finding::pass("D6", format!("{} rows: too few to tell a template by", rows.len()));
    }
    let mut counts: HashMap<String, (usize, &str)> = HashMap::new();
    for row in rows {
        counts.entry(template(&row.reason, &row.pair.profile)).or_insert((0, &row.reason)).0 += 1;
    }
    // Of equal counts the alphabetically first, so that the same rows say the same.
    let modal = counts.values().max_by_key(|(n, text)| (*n, std::cmp::Reverse(*text))).copied().unwrap_or((0, ""));
    let repeated: usize = counts.values().map(|(n, _)| *n).filter(|n| *n > 2).sum();
    let mut saw = format!(
        "{} distinct reasons in {} rows ({}); {} of the rows have a reason that three or more share",
        counts.len(),
        rows.len(),
        percent(counts.len(), rows.len()),
        percent(repeated, rows.len())
    );
    if repeated > 0 {
        saw += ", ";
        saw += &percent(modal.0, rows.len());
        saw += " the commonest: \"";
        saw += &one_line(modal.1, 70);
        saw += "\"";
    }
    let share = |n: usize| n as f64 / rows.len() as f64;
    if share(counts.len()) >= LEAST_DISTINCT && share(repeated) <= MOST_REPEATED && share(modal.0) <= MOST_MODAL {
        return Finding::pass("D6", saw);
    }
    let remedy = "read ten of the rows: reasons from templates mean labels from a script, as the rehearsal teacher's are by design; \
                  for labels worth teaching from, ask a model that reads";
    Finding::fail("D6", saw, remedy)
}

/// A reason without what a template fills in.
fn template(reason: &str, reader: &ProfileId) -> String {
    let id = reader.as_str().to_lowercase();
    let named: HashSet<&str> = id.split(|c: char| !c.is_alphanumeric()).filter(|part| part.len() > 2).collect();
    let lower = reason.to_lowercase();
    let mut out = String::with_capacity(lower.len());
    let mut filled = false;
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let fill = named.contains(word) || word.bytes().any(|b| b.is_ascii_digit());
        if !(fill && filled) {
            out.push_str(if fill { "#" } else { word });
            out.push(' ');
        }
        filled = fill;
    }
    out
}

/// How often each value was given, values in tenths so that they can be keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: BTreeMap<i64, usize>,
    pub n: usize,
}

impl Histogram {
    /// Values that are no numbers are left out.
    pub fn of(scores: impl IntoIterator<Item = f64>) -> Self {
        let mut histogram = Self::default();
        for score in scores.into_iter().filter(|s| s.is_finite()) {
            *histogram.counts.entry((score * 10.0).round() as i64).or_default() += 1;
            histogram.n += 1;
        }
        histogram
    }

    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// The commonest values with how often, commonest first.
    pub fn commonest(&self, most: usize) -> Vec<(f64, usize)> {
        let mut counts: Vec<(i64, usize)> = self.counts.iter().map(|(v, n)| (*v, *n)).collect();
        counts.sort_by_key(|(value, n)| (std::cmp::Reverse(*n), *value));
        counts.into_iter().take(most).map(|(value, n)| (value as f64 / 10.0, n)).collect()
    }

    fn words(&self) -> String {
        let top: Vec<String> = self.commonest(3).iter().map(|(v, n)| format!("{v:.1} in {}", percent(*n, self.n))).collect();
        format!("{} distinct values in {} rows, {}", self.distinct(), self.n, top.join(", "))
    }
}

/// Guard D7: an annotator uses the scale, as the others do on the same ground, and does not change on the way.
pub fn d7(rows: &[Scored], others: &[&[Scored]]) -> Finding {
    let histogram = Histogram::of(rows.iter().map(|r| r.score));
    if histogram.n < ENOUGH {
        return Finding::pass("D7", format!("{} rows: too few to tell a habit by", histogram.n));
    }
    let mut seen = vec![histogram.words()];
    let mut wrong = Vec::new();
    let top: Vec<usize> = histogram.commonest(3).into_iter().map(|(_, n)| n).collect();
    let three: usize = top.iter().sum();
    if three as f64 > MOST_OF_THREE * histogram.n as f64 {
        wrong.push(format!("three values make up {} of the rows", percent(three, histogram.n)));
    } else if top.first().is_some_and(|n| *n as f64 > MOST_OF_ONE * histogram.n as f64) {
        wrong.push("one value makes up most of the rows".to_owned());
    }
    let drifts = others.iter().filter_map(|other| against(rows, other)).chain(batches(rows));
    for drift in drifts {
        let list = if drift.is_one() { &mut wrong } else { &mut seen };
        list.push(drift.words());
    }
    if wrong.is_empty() {
        return Finding::pass("D7", seen.join("; "));
    }
    wrong.extend(seen);
    let remedy =
        "compare the two on the same pairs (stratos distill compare), and do not mix annotators that use the scale differently";
    Finding::fail("D7", wrong.join("; "), remedy)
}

/// The distance of two distributions of scores.
struct Drift {
    whose: String,
    from: String,
    /// Whether both judged the same ground, so that a difference is the annotator's.
    fair: bool,
    distance: f64,
    n: (usize, usize),
}

impl Drift {
    fn is_one(&self) -> bool {
        self.fair && self.is_wide()
    }

    fn is_wide(&self) -> bool {
        let (a, b) = (self.n.0 as f64, self.n.1 as f64);
        self.distance >= DRIFT && self.distance > KS_FACTOR * ((a + b) / (a * b)).sqrt()
    }

    fn words(&self) -> String {
        let Self { whose, from, distance, n, .. } = self;
        let by = if self.is_wide() { "differ from" } else { "are like" };
        format!("{whose} {by} {from} (distance {distance:.2} of 1, {} against {} rows)", n.0, n.1)
    }
}

/// Against another annotator: on common pairs where there are enough that neither copied, else on common readers, else on
/// everything; the last is told and held against nobody, for their readers may differ and not they.
fn against(rows: &[Scored], other: &[Scored]) -> Option<Drift> {
    let name = other.first().map(|row| one_line(&row.annotator, 40))?;
    let whose = || "scores".to_owned();
    let mut pairs = common(rows, other);
    pairs.retain(|pair| !pair.is_copy());
    if pairs.len() >= ENOUGH {
        let side = |of: fn(&Common<'_>) -> f64| pairs.iter().map(|p| (of(p), 1.0)).collect();
        let distance = largest_gap(side(|p| p.a.score), side(|p| p.b.score));
        let n = (pairs.len(), pairs.len());
        return Some(Drift { whose: whose(), from: format!("{name}'s on their common pairs"), fair: true, distance, n });
    }
    let (a, b): (Vec<&Scored>, Vec<&Scored>) = (rows.iter().collect(), other.iter().collect());
    by_reader(&a, &b, whose(), format!("{name}'s on their common readers")).or_else(|| {
        let enough = a.len().min(b.len()) >= ENOUGH;
        let weigh = |rows: &[&Scored]| rows.iter().map(|row| (row.score, 1.0)).collect();
        enough.then(|| Drift {
            whose: whose(),
            from: format!("{name}'s over all rows, which hardly share a reader"),
            fair: false,
            distance: largest_gap(weigh(&a), weigh(&b)),
            n: (a.len(), b.len()),
        })
    })
}

/// Each later batch against all before it, on the readers of both; the widest gap.
fn batches(rows: &[Scored]) -> Option<Drift> {
    let mut by_batch: BTreeMap<usize, Vec<&Scored>> = BTreeMap::new();
    for row in rows {
        by_batch.entry(row.batch).or_default().push(row);
    }
    let mut before: Vec<&Scored> = Vec::new();
    let mut widest: Option<Drift> = None;
    for (batch, rows) in by_batch {
        let gap = by_reader(&rows, &before, format!("scores of batch {}", batch + 1), "those of the batches before it".into());
        let key = |d: &Drift| (d.is_one(), d.distance);
        if gap.as_ref().is_some_and(|g| widest.as_ref().is_none_or(|w| key(g) > key(w))) {
            widest = gap;
        }
        before.extend(rows);
    }
    widest
}

/// The distance on common readers, the second side weighed so that it has the readers of the first as often. `None`
/// where either has too few rows of them.
fn by_reader(a: &[&Scored], b: &[&Scored], whose: String, from: String) -> Option<Drift> {
    let count = |rows: &[&Scored]| {
        let mut counts: HashMap<ProfileId, usize> = HashMap::new();
        for row in rows {
            *counts.entry(row.pair.profile.clone()).or_default() += 1;
        }
        counts
    };
    let (in_a, in_b) = (count(a), count(b));
    let left: Vec<(f64, f64)> = a.iter().filter(|r| in_b.contains_key(&r.pair.profile)).map(|r| (r.score, 1.0)).collect();
    let weigh = |row: &&'_ Scored| {
        let (wanted, there) = (in_a.get(&row.pair.profile)?, in_b.get(&row.pair.profile)?);
        Some((row.score, *wanted as f64 / *there as f64))
    };
    let right: Vec<(f64, f64)> = b.iter().filter_map(weigh).collect();
    let n = (left.len(), right.len());
    (n.0.min(n.1) >= ENOUGH).then(|| Drift { whose, from, fair: true, distance: largest_gap(left, right), n })
}

/// The largest difference of two cumulative distributions of (score, weight), 0 to 1; what is no number is left out.
fn largest_gap(mut a: Vec<(f64, f64)>, mut b: Vec<(f64, f64)>) -> f64 {
    a.retain(|(score, _)| score.is_finite());
    b.retain(|(score, _)| score.is_finite());
    let total = |side: &[(f64, f64)]| side.iter().map(|(_, w)| w).sum::<f64>();
    let (of_a, of_b) = (total(&a), total(&b));
    if of_a <= 0.0 || of_b <= 0.0 {
        return 0.0;
    }
    let mut steps: Vec<(f64, f64)> = a.into_iter().map(|(s, w)| (s, w / of_a)).collect();
    steps.extend(b.into_iter().map(|(s, w)| (s, -w / of_b)));
    steps.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut gap, mut widest) = (0.0_f64, 0.0_f64);
    for tie in steps.chunk_by(|x, y| x.0.total_cmp(&y.0).is_eq()) {
        gap += tie.iter().map(|(_, w)| w).sum::<f64>();
        widest = widest.max(gap.abs());
    }
    widest
}

/// Guard D8: each value lies on the scale, says who gave it, and is nobody else's. Copies show only against `others`.
pub fn d8(rows: &[Scored], others: &[&[Scored]], scale: &Scale) -> Finding {
    let (min, max) = scale.range();
    let outside = rows.iter().filter(|r| !(min..=max).contains(&r.score)).count();
    let finer = rows.iter().filter(|r| (r.score * 10.0 - (r.score * 10.0).round()).abs() > 1e-6).count();
    let unsigned = rows.iter().filter(|r| r.annotator.trim().is_empty()).count();
    let mut scores: HashMap<&PairKey, f64> = HashMap::new();
    let mut torn: HashSet<&PairKey> = HashSet::new();
    for row in rows {
        if scores.insert(&row.pair, row.score).is_some_and(|old| old.total_cmp(&row.score).is_ne()) {
            torn.insert(&row.pair);
        }
    }
    let counted = [
        (outside, "outside the scale"),
        (finer, "with more than one decimal"),
        (unsigned, "without an annotator"),
        (torn.len(), "pairs with two scores"),
    ];
    let mut wrong: Vec<String> = counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    for other in others {
        let pairs = common(rows, other);
        let copied = copies(&pairs);
        // Two teachers may say the same of a few pairs, not of many, word for word.
        if copied > 2 && copied * 10 > pairs.len() {
            let name = other.first().map(|r| one_line(&r.annotator, 40)).unwrap_or_default();
            wrong.push(format!("{copied} of {} common pairs copied from {name} or by it, word for word", pairs.len()));
        }
    }
    if wrong.is_empty() {
        return Finding::pass("D8", format!("{} rows, all on the scale {min}–{max} with one decimal, all signed", rows.len()));
    }
    let saw = format!("of {} rows: {}", rows.len(), wrong.join(", "));
    Finding::fail("D8", saw, "find out where these values come from before you teach from them; leave them out if nobody knows")
}
