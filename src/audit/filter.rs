//! The queue's filter: `band:critical profile:texas_nurse verdict:none teacher:>7 gap:2.. words`.
//!
//! Owns its grammar. Words are looked for in title, reader and ids; a field that is not known is an error, not a word.

use thiserror::Error;

use crate::domain::{Author, Verdict, one_line};

/// What a filter looks at of one row.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub band: &'a str,
    pub profile: &'a str,
    pub article: &'a str,
    pub title: &'a str,
    pub role: &'a str,
    pub teacher: f64,
    pub student: Option<f64>,
    /// Verdicts on the teacher's and the student's block, as far as the reviewer may see them.
    pub teacher_verdict: Option<Verdict>,
    pub student_verdict: Option<Verdict>,
    /// What becomes of the rejected trace: drop, fix, retry; empty where nothing does.
    pub remedy: &'a str,
    pub has_note: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    #[error("'{0}:' is no field; use band, profile, article, verdict, remedy, note, teacher, student or gap")]
    Field(String),
    #[error("'{0}' is no range; write 7, >7, <3, 2..4, 2.. or ..4")]
    Range(String),
    #[error("'{0}' is no verdict here; use none, any, rejected, {known}", known = VERDICTS)]
    Verdict(String),
}

const VERDICTS: &str = "faithful, profile, article, overlap, calibration or unfaithful";

/// A range of numbers, both ends included where they are given with `..`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Range {
    Between(f64, f64),
    Above(f64),
    Below(f64),
}

impl Range {
    fn read(text: &str) -> Option<Self> {
        let number = |t: &str| t.parse::<f64>().ok().filter(|n| n.is_finite());
        if let Some(rest) = text.strip_prefix('>') {
            return number(rest).map(Self::Above);
        }
        if let Some(rest) = text.strip_prefix('<') {
            return number(rest).map(Self::Below);
        }
        if let Some((low, high)) = text.split_once("..") {
            let end = |t: &str, open: f64| if t.is_empty() { Some(open) } else { number(t) };
            return Some(Self::Between(end(low, f64::NEG_INFINITY)?, end(high, f64::INFINITY)?));
        }
        // One score: what is shown as it.
        number(text).map(|n| Self::Between(n - 0.05, n + 0.05))
    }

    fn holds(self, value: f64) -> bool {
        match self {
            Self::Between(low, high) => (low..=high).contains(&value),
            Self::Above(low) => value > low,
            Self::Below(high) => value < high,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted {
    None,
    Any,
    Rejected,
    Kind(Verdict),
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Word(String),
    Band(String),
    Profile(String),
    Article(String),
    Verdict(Wanted),
    Remedy(String),
    Note,
    Teacher(Range),
    Student(Range),
    Gap(Range),
}

/// A filter, read. The empty one takes everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    pub fn read(text: &str) -> Result<Self, FilterError> {
        let mut terms = Vec::new();
        for token in text.split_whitespace() {
            terms.extend(term(token)?);
        }
        Ok(Self { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row is taken. `author`: whose verdict `verdict:` is about.
    pub fn takes(&self, facts: &Facts<'_>, author: Author) -> bool {
        self.terms.iter().all(|term| takes(term, facts, author))
    }
}

fn term(token: &str) -> Result<Option<Term>, FilterError> {
    let Some((field, value)) = token.split_once(':') else { return Ok(Some(Term::Word(token.to_lowercase()))) };
    if field.is_empty() || field.chars().any(|c| !c.is_ascii_alphabetic()) {
        return Ok(Some(Term::Word(token.to_lowercase())));
    }
    let lower = value.to_lowercase();
    let range = || Range::read(value).ok_or_else(|| FilterError::Range(one_line(value, 30)));
    let read = match field.to_ascii_lowercase().as_str() {
        // While a field is being typed it takes everything.
        "band" | "profile" | "article" | "verdict" | "remedy" | "note" | "teacher" | "student" | "gap" if value.is_empty() => {
            return Ok(None);
        }
        "band" => Term::Band(lower),
        "profile" => Term::Profile(lower),
        "article" => Term::Article(lower),
        "verdict" => Term::Verdict(wanted(&lower).ok_or_else(|| FilterError::Verdict(one_line(value, 30)))?),
        "remedy" => Term::Remedy(lower),
        "note" => Term::Note,
        "teacher" => Term::Teacher(range()?),
        "student" => Term::Student(range()?),
        "gap" => Term::Gap(range()?),
        other => return Err(FilterError::Field(one_line(other, 30))),
    };
    Ok(Some(read))
}

/// Verdicts by their ids or by the one word that tells them apart; a word's beginning will do.
fn wanted(text: &str) -> Option<Wanted> {
    let fixed = [("none", Wanted::None), ("unread", Wanted::None), ("any", Wanted::Any), ("rejected", Wanted::Rejected)];
    if let Some((_, wanted)) = fixed.into_iter().find(|(name, _)| name.starts_with(text)) {
        return Some(wanted);
    }
    let short = |v: Verdict| v.id().trim_start_matches("wrong_");
    Verdict::ALL.into_iter().find(|v| v.id().starts_with(text) || short(*v).starts_with(text)).map(Wanted::Kind)
}

fn takes(term: &Term, facts: &Facts<'_>, author: Author) -> bool {
    let holds = |text: &str, part: &str| text.to_lowercase().contains(part);
    let verdict = if author == Author::Teacher { facts.teacher_verdict } else { facts.student_verdict };
    match term {
        Term::Word(word) => [facts.title, facts.role, facts.profile, facts.article].into_iter().any(|text| holds(text, word)),
        Term::Band(name) => holds(facts.band, name),
        Term::Profile(name) => holds(facts.profile, name),
        Term::Article(name) => holds(facts.article, name),
        Term::Verdict(Wanted::None) => verdict.is_none(),
        Term::Verdict(Wanted::Any) => verdict.is_some(),
        Term::Verdict(Wanted::Rejected) => verdict.is_some_and(Verdict::rejects),
        Term::Verdict(Wanted::Kind(kind)) => verdict == Some(*kind),
        Term::Remedy(name) => !facts.remedy.is_empty() && facts.remedy.starts_with(name.as_str()),
        Term::Note => facts.has_note,
        Term::Teacher(range) => range.holds(facts.teacher),
        Term::Student(range) => facts.student.is_some_and(|s| range.holds(s)),
        Term::Gap(range) => facts.student.is_some_and(|s| range.holds((s - facts.teacher).abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> Facts<'static> {
        Facts {
            band: "Critical",
            profile: "texas_nurse",
            article: "a-17",
            title: "Ward opens in Houston",
            role: "nurse",
            teacher: 9.1,
            student: Some(6.0),
            teacher_verdict: Some(Verdict::WrongOverlap),
            student_verdict: None,
            remedy: "fix",
            has_note: true,
        }
    }

    #[test]
    fn every_field_takes_what_it_says() {
        let cases = [
            ("", true),
            ("houston", true),
            ("HOUSTON nurse", true),
            ("dallas", false),
            ("band:critical profile:texas verdict:overlap", true),
            ("band:noise", false),
            ("verdict:none", false),
            ("verdict:rejected", true),
            ("verdict:faithful", false),
            ("verdict:wrong_overlap", true),
            ("teacher:>9", true),
            ("teacher:9.1", true),
            ("teacher:>9.1", false),
            ("student:2..6", true),
            ("student:..5", false),
            ("gap:3..", true),
            ("gap:<3", false),
            ("remedy:fix note:yes", true),
            ("remedy:retry", false),
            ("teacher:", true),
            ("12:30", false),
        ];
        for (text, taken) in cases {
            let filter = Filter::read(text).expect("reads");
            assert_eq!(filter.takes(&facts(), Author::Teacher), taken, "{text}");
        }
        let unread = Filter::read("verdict:none").expect("reads");
        assert!(unread.takes(&facts(), Author::Student), "the student's block is unread");
        let unasked = Facts { student: None, ..facts() };
        assert!(!Filter::read("gap:0..").expect("reads").takes(&unasked, Author::Teacher));
    }

    #[test]
    fn what_is_no_field_is_told_with_what_would_be() {
        let error = Filter::read("bnad:critical").expect_err("no field").to_string();
        assert!(error.contains("'bnad:'") && error.contains("profile"), "{error}");
        assert!(Filter::read("teacher:high").expect_err("no range").to_string().contains("2..4"));
        assert!(Filter::read("verdict:good").expect_err("no verdict").to_string().contains("overlap"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(filter) = Filter::read(&text) {
                filter.takes(&facts(), Author::Teacher);
            }
        }
    }
}
