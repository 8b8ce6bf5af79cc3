//! The sanity table: articles whose scores everybody agrees on. Owns the comparison of scores with the recipe's
//! expectations; asking the teacher or the student for the scores is the caller's.

use serde::{Deserialize, Serialize};

use crate::domain::one_line;
use crate::domain::recipe::{Expectation, Sanity};

/// Who is examined: some cells are required of the teacher only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Examinee {
    Teacher,
    Student,
}

/// One cell: an article, a reader, a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SanityRow {
    pub title: String,
    pub profile: String,
    /// The bounds in words, "≥ 9.0".
    pub expected: String,
    /// `None`: no score; never passes.
    pub score: Option<f64>,
    pub pass: bool,
    /// Whether a failure here counts for this examinee.
    pub required: bool,
}

/// Whether an article tells its readers apart: max − min of its scores > the recipe's `min_gap`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SanityGap {
    pub title: String,
    /// `None` where a reader has no score; never passes.
    pub gap: Option<f64>,
    pub more_than: f64,
    pub pass: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SanityReport {
    pub rows: Vec<SanityRow>,
    pub gaps: Vec<SanityGap>,
}

/// Holds the scores against the recipe's table. `score_of` is asked with an article's title and a profile's id.
pub fn sanity(table: &Sanity, examinee: Examinee, score_of: &dyn Fn(&str, &str) -> Option<f64>) -> SanityReport {
    let row = |title: &str, expect: &Expectation, required: bool| {
        let score = score_of(title, &expect.profile).filter(|s| s.is_finite());
        SanityRow {
            title: title.to_owned(),
            profile: expect.profile.clone(),
            expected: expect.words(),
            score,
            pass: score.is_some_and(|s| expect.holds(s)),
            required,
        }
    };
    let mut report = SanityReport::default();
    for article in &table.articles {
        let rows: Vec<SanityRow> = article.expect.iter().map(|expect| row(&article.title, expect, true)).collect();
        if rows.len() > 1 {
            let scores: Option<Vec<f64>> = rows.iter().map(|r| r.score).collect();
            let gap = scores.map(|scores| {
                let (low, high) = scores.iter().fold((f64::MAX, f64::MIN), |(low, high), s| (low.min(*s), high.max(*s)));
                high - low
            });
            // Scores are decimals: 8.2 − 5.2 is not more than 3, whatever binary says.
            let pass = gap.is_some_and(|gap| gap > table.min_gap + 1e-9);
            report.gaps.push(SanityGap { title: article.title.clone(), gap, more_than: table.min_gap, pass });
        }
        report.rows.extend(rows);
    }
    for cell in &table.cells {
        let required = examinee == Examinee::Teacher || !cell.teacher_only;
        report.rows.push(row(&cell.title, &cell.expect, required));
    }
    report
}

impl SanityReport {
    /// Whether every required cell and every gap holds.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.pass || !row.required) && self.gaps.iter().all(|gap| gap.pass)
    }

    /// (held, asked) over required cells and gaps together.
    pub fn tally(&self) -> (usize, usize) {
        let cells = self.rows.iter().filter(|row| row.required).map(|row| row.pass);
        cells
            .chain(self.gaps.iter().map(|gap| gap.pass))
            .fold((0, 0), |(held, asked), pass| (held + usize::from(pass), asked + 1))
    }

    /// One line per cell and per gap, and one that counts them.
    pub fn lines(&self) -> Vec<String> {
        let mark = |pass: bool, required: bool| match (pass, required) {
            (true, _) => "✓",
            (false, true) => "✗",
            (false, false) => "·",
        };
        let number = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |v| format!("{v:.1}"));
        let mut lines = Vec::with_capacity(self.rows.len() + self.gaps.len() + 1);
        for row in &self.rows {
            let note = if row.required { "" } else { " (asked of the teacher only)" };
            let (mark, score, title) = (mark(row.pass, row.required), number(row.score), one_line(&row.title, 56));
            lines.push(format!("{mark} {score:>4}  {:<12} {:<24} {title}{note}", row.expected, row.profile));
        }
        for gap in &self.gaps {
            let (mark, title) = (mark(gap.pass, true), one_line(&gap.title, 56));
            lines.push(format!(
                "{mark} {:>4}  > {:<10.1} {:<24} {title}",
                number(gap.gap),
                gap.more_than,
                "best to worst reader"
            ));
        }
        let (held, asked) = self.tally();
        lines.push(format!("{held} of {asked} hold"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Recipe;

    fn table() -> Sanity {
        Recipe::from_toml(include_str!("../../data/recipes/stratos-v19.toml")).expect("sound").sanity
    }

    fn good(title: &str, profile: &str) -> Option<f64> {
        let readers = [
            ("Equate hiring", [("kuwait_cpeg", 9.5), ("texas_nurse", 0.5), ("seoul_gamer_investor", 1.0)].as_slice()),
            ("NVIDIA", [("seoul_gamer_investor", 9.0), ("kuwait_cpeg", 6.0), ("texas_nurse", 0.5)].as_slice()),
            ("CERN", [("ankara_politics_physics", 9.0), ("portland_retired_space", 5.5), ("texas_nurse", 0.5)].as_slice()),
            ("James Webb", [("portland_retired_space", 9.2)].as_slice()),
        ];
        let (_, scores) = readers.iter().find(|(start, _)| title.starts_with(start) && !title.contains("closed"))?;
        scores.iter().find(|(id, _)| *id == profile).map(|(_, score)| *score)
    }

    #[test]
    fn a_student_need_not_pass_what_is_asked_of_the_teacher_only() {
        let student = sanity(&table(), Examinee::Student, &good);
        assert!(student.passed(), "{:#?}", student.lines());
        assert_eq!((student.rows.len(), student.gaps.len(), student.tally()), (12, 3, (13, 13)));
        assert!(!sanity(&table(), Examinee::Teacher, &good).passed());
        assert!(student.lines().iter().any(|l| l.contains("—") && l.ends_with("(asked of the teacher only)")));
    }

    #[test]
    fn a_missing_score_fails_its_cell_and_its_gap() {
        let report = sanity(&table(), Examinee::Student, &|title, who| good(title, who).filter(|_| who != "texas_nurse"));
        assert_eq!(report.tally(), (7, 13));
    }

    #[test]
    fn a_gap_of_exactly_the_bound_is_too_small() {
        let gap = |high: f64, low: f64| {
            let score = move |_: &str, who: &str| Some(if who == "kuwait_cpeg" { high } else { low });
            sanity(&table(), Examinee::Student, &score).gaps[0].pass
        };
        assert!(!gap(8.2, 5.2) && !gap(5.3, 2.3) && gap(5.4, 2.3));
    }
}
