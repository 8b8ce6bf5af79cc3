//! What the verdicts add up to: kinds by band and by reader, teacher and student apart, each share with its interval.
//!
//! Owns the counting and what has to be said beside it: how few were read (guard E4), and in which order (guard E3): what
//! was read in order of disagreement does not stand for all blocks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::QueueOrder;
use super::book::Standing;
use crate::domain::{Author, Bands, ReviewSubject, Verdict};
use crate::evaluate::{FEW_ROWS, wilson};

/// Verdicts below which a share is too uncertain to lean on.
pub const FEW_READ: usize = FEW_ROWS;

/// A share of `n` with Wilson's 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    pub hits: usize,
    pub n: usize,
    pub low: f64,
    pub high: f64,
}

impl Share {
    pub fn of(hits: usize, n: usize) -> Self {
        let (low, high) = wilson(hits as u64, n as u64);
        Self { hits, n, low, high }
    }

    /// `None` of nothing.
    pub fn value(&self) -> Option<f64> {
        (self.n > 0).then(|| self.hits as f64 / self.n as f64)
    }

    /// Too few to lean on.
    pub fn weak(&self) -> bool {
        self.n < FEW_READ
    }
}

/// One line of the table: a band, a reader, or all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    pub name: String,
    /// In the order of [`Verdict::ALL`]: of all verdicts of the line, those of this kind.
    pub kinds: Vec<Share>,
}

impl ResultRow {
    fn of(name: impl Into<String>, verdicts: &[Verdict]) -> Self {
        let share = |kind: Verdict| Share::of(verdicts.iter().filter(|v| **v == kind).count(), verdicts.len());
        Self { name: name.into(), kinds: Verdict::ALL.into_iter().map(share).collect() }
    }

    pub fn n(&self) -> usize {
        self.kinds.first().map_or(0, |share| share.n)
    }

    /// The share of faithful blocks.
    pub fn faithful(&self) -> Option<Share> {
        self.kinds.first().copied()
    }
}

/// The verdicts on one author's blocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuthorResults {
    pub author: Author,
    pub all: ResultRow,
    /// Lowest band first; bands that nothing was read of have n = 0. Blocks of no known score come last, if there are any.
    pub bands: Vec<ResultRow>,
    /// In order of name.
    pub readers: Vec<ResultRow>,
    /// Median seconds of a reading, and how many were measured.
    pub seconds: Option<(f64, usize)>,
    /// How many were drawn at random: only these stand for all blocks.
    pub random: Share,
    /// Verdicts that an earlier version gave no kind to.
    pub carried: usize,
    /// Verdicts on texts of another teacher or student than today's; they are not counted.
    pub elsewhere: usize,
    /// What has to be known beside the figures.
    pub remarks: Vec<String>,
}

/// The table, teacher first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Results {
    pub authors: Vec<AuthorResults>,
}

/// One verdict that counts.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    pub subject: &'a ReviewSubject,
    pub standing: &'a Standing,
    /// The block was written by today's teacher or student.
    pub current: bool,
}

/// Counts the verdicts.
pub fn results<'a>(reads: impl IntoIterator<Item = Read<'a>>, bands: &Bands) -> Results {
    let reads: Vec<Read<'a>> = reads.into_iter().collect();
    Results { authors: Author::ALL.into_iter().map(|author| of_author(author, &reads, bands)).collect() }
}

/// A median needs a few.
const MEDIAN_FROM: usize = 3;

fn of_author(author: Author, reads: &[Read<'_>], bands: &Bands) -> AuthorResults {
    let all: Vec<&Read<'_>> = reads.iter().filter(|r| r.subject.author == author).collect();
    let (own, elsewhere): (Vec<&Read<'_>>, Vec<&Read<'_>>) = all.into_iter().partition(|r| r.current);
    let mut by_band: Vec<Vec<Verdict>> = vec![Vec::new(); bands.len()];
    let mut unknown = Vec::new();
    let mut by_reader: BTreeMap<&str, Vec<Verdict>> = BTreeMap::new();
    for read in &own {
        let reading = &read.standing.reading;
        match reading.score {
            Some(score) => by_band[bands.index(score)].push(reading.verdict),
            None => unknown.push(reading.verdict),
        }
        by_reader.entry(read.subject.pair.profile.as_str()).or_default().push(reading.verdict);
    }
    let mut rows: Vec<ResultRow> = by_band.iter().enumerate().map(|(i, v)| ResultRow::of(bands.name(i), v)).collect();
    if !unknown.is_empty() {
        rows.push(ResultRow::of("no score", &unknown));
    }
    let verdicts: Vec<Verdict> = own.iter().map(|r| r.standing.reading.verdict).collect();
    let mut seconds: Vec<f64> = own.iter().filter_map(|r| r.standing.reading.seconds).filter(|s| s.is_finite()).collect();
    seconds.sort_by(f64::total_cmp);
    let drawn = own.iter().filter(|r| r.standing.reading.drawn == QueueOrder::Random.id()).count();
    let mut found = AuthorResults {
        author,
        all: ResultRow::of("all", &verdicts),
        bands: rows,
        readers: by_reader.into_iter().map(|(name, v)| ResultRow::of(name, &v)).collect(),
        seconds: (seconds.len() >= MEDIAN_FROM).then(|| (seconds[seconds.len() / 2], seconds.len())),
        random: Share::of(drawn, own.len()),
        carried: own.iter().filter(|r| r.standing.reading.carried).count(),
        elsewhere: elsewhere.len(),
        remarks: Vec::new(),
    };
    found.remarks = remarks(&found);
    found
}

fn remarks(found: &AuthorResults) -> Vec<String> {
    let n = found.all.n();
    let mut remarks = Vec::new();
    if n == 0 {
        return remarks;
    }
    if n < FEW_READ {
        remarks.push(format!("{n} were read; below {FEW_READ} an interval is wider than most differences"));
    }
    let chosen = n - found.random.hits;
    if chosen > 0 {
        remarks.push(format!(
            "{chosen} of {n} were not drawn at random, and bands take turns: these shares describe what was read, not all blocks"
        ));
    } else {
        remarks.push("drawn at random, bands in turns: within a band the shares stand for all its blocks".into());
    }
    if found.carried > 0 {
        remarks.push(format!("{} come from an earlier version, which knew only keep and reject", found.carried));
    }
    if found.elsewhere > 0 {
        let author = found.author;
        remarks.push(format!("{} verdicts on texts of another {author} are not counted here", found.elsewhere));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::super::Book;
    use super::super::book::testing::*;
    use super::*;
    use crate::domain::{ReviewAct, Round};

    fn bands() -> Bands {
        Bands::from_edges(&[0.0, 5.5]).expect("ascending")
    }

    fn given(name: &str, author: Author, verdict: Verdict, score: Option<f64>, drawn: &str) -> (ReviewSubject, ReviewAct) {
        let mut reading = reading(Round::First, verdict);
        (reading.score, reading.drawn, reading.seconds) = (score, drawn.into(), Some(30.0));
        (subject(name, author), ReviewAct::Judged(reading))
    }

    fn table(acts: Vec<(ReviewSubject, ReviewAct)>, elsewhere: &str) -> Results {
        let book = Book::of(entries(acts));
        let reads = book.standings().into_iter().map(|(subject, standing)| Read {
            subject,
            standing,
            current: subject.pair.article.as_str() != elsewhere,
        });
        results(reads.collect::<Vec<_>>(), &bands())
    }

    #[test]
    fn teacher_and_student_are_counted_apart_by_band_and_by_reader() {
        let found = table(
            vec![
                given("a", Author::Teacher, Verdict::Faithful, Some(1.0), "random"),
                given("b", Author::Teacher, Verdict::WrongOverlap, Some(9.0), "random"),
                given("c", Author::Teacher, Verdict::Faithful, None, "random"),
                given("a", Author::Student, Verdict::Unfaithful, Some(2.0), "disagreement"),
            ],
            "",
        );
        let [teacher, student] = &found.authors[..] else { panic!("two authors") };
        let counts = |row: &ResultRow| (row.name.clone(), row.n(), row.faithful().map(|s| s.hits));
        let rows: Vec<_> = teacher.bands.iter().map(counts).collect();
        assert_eq!(rows, [("from 0".into(), 1, Some(1)), ("from 5.5".into(), 1, Some(0)), ("no score".into(), 1, Some(1))]);
        assert_eq!(counts(&teacher.all), ("all".into(), 3, Some(2)));
        assert_eq!((teacher.readers.len(), counts(&teacher.readers[0]).1), (1, 3));
        assert_eq!((student.all.n(), student.all.kinds[5].hits, student.random.hits), (1, 1, 0));
        assert_eq!(teacher.seconds, Some((30.0, 3)));
        assert!(student.seconds.is_none() && student.remarks.iter().any(|r| r.contains("not drawn at random")));
        assert!(teacher.remarks.iter().all(|r| !r.contains("not drawn")), "{:?}", teacher.remarks);
    }

    #[test]
    fn every_share_has_its_interval_and_nothing_has_none() {
        let share = Share::of(243, 300);
        assert!((share.low - 0.7618).abs() < 5e-5 && (share.high - 0.8504).abs() < 5e-5 && !share.weak());
        assert_eq!((Share::of(0, 0).value(), Share::of(0, 0).weak()), (None, true));
    }

    #[test]
    fn verdicts_on_another_models_texts_are_told_and_not_counted() {
        let found = table(
            vec![
                given("old", Author::Student, Verdict::Faithful, Some(1.0), "random"),
                given("new", Author::Student, Verdict::Faithful, Some(1.0), "random"),
            ],
            "old",
        );
        assert_eq!((found.authors[1].all.n(), found.authors[1].elsewhere), (1, 1));
        assert!(found.authors[1].remarks.iter().any(|r| r.contains("another student")));
    }
}
