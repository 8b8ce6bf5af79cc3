//! A profile as text that a person edits: TOML with every field, in the order of the questions one asks about a reader.
//!
//! Owns writing and reading that text, and the lint of a reader: what an operator would want to know before paying for
//! questions about it. Where drafts are kept is not known here.

use std::fmt::Write as _;

use super::profile::{ProfileError, ProfileRow};
use super::{Motivation, Profile, Seniority, one_line};

/// Fields of a draft, in order.
const FIELDS: [&str; 10] =
    ["id", "description", "role", "seniority", "location", "context", "motivation", "tracked", "interests", "system_prompt"];

/// The profile as a draft; reading it back gives the same profile.
pub fn write_draft(profile: &Profile) -> String {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let mut draft = String::new();
    let mut field = |name: &str, value: String| {
        let _ = writeln!(draft, "{name} = {value}");
    };
    field("id", text(profile.id.as_str()));
    field("description", text(&profile.description));
    field("role", text(&profile.role));
    field("seniority", format!("{}  # student, graduate, early, mid, senior or retired", text(&profile.seniority.to_string())));
    field("location", text(&profile.location));
    field("context", text(&profile.context));
    field("motivation", format!("{}  # career or interest", text(&profile.motivation.to_string())));
    field("tracked", list(&profile.tracked));
    field("interests", list(&profile.interests));
    if let Some(prompt) = &profile.system_prompt {
        field("system_prompt", text(prompt));
    }
    draft
}

/// One item on a line, so that adding and moving one is a line's work.
fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "[]".into();
    }
    let lines: Vec<String> = items.iter().map(|item| format!("  {},\n", toml::Value::String(item.clone()))).collect();
    format!("[\n{}]", lines.concat())
}

/// Reads a draft; errors say the line where TOML knows it.
pub fn read_draft(text: &str) -> Result<Profile, ProfileError> {
    let wrong = |why: String| ProfileError::Json(one_line(&why, 300));
    let table: toml::Table = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
    if let Some(field) = table.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        let shown = one_line(field, 40);
        return Err(ProfileError::Json(format!("there is no field '{shown}'; there are {}", FIELDS.join(", "))));
    }
    let row: ProfileRow = toml::Value::Table(table).try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    row.into_profile()
}

/// What is doubtful about a reader, a sentence each.
pub fn lint(profile: &Profile) -> Vec<String> {
    let mut remarks = Vec::new();
    if profile.context.is_empty() {
        remarks.push("no context: the teacher knows only the role".to_owned());
    }
    if profile.description.is_empty() {
        remarks.push("no description: lists show only the role".to_owned());
    }
    if profile.interests.is_empty() && profile.tracked.is_empty() {
        remarks.push("neither tracked names nor interests: nothing can match".to_owned());
    }
    remarks.extend(contradiction(profile));
    for (name, items) in [("tracked", &profile.tracked), ("interests", &profile.interests)] {
        let joined = |item: &&String| item.contains([',', ';', '|']) || item.contains(" / ");
        for item in items.iter().filter(joined) {
            remarks.push(format!("{name}: '{}' looks like several in one; give each an item of its own", one_line(item, 60)));
        }
    }
    if profile.seniority == Seniority::Retired && profile.motivation == Motivation::Career {
        remarks.push("retired, yet reads for a career: motivation \"interest\" is usual".to_owned());
    }
    remarks
}

/// Words of a role that say how far along somebody is, and what they may then be.
const TELLS: [(&str, &[Seniority]); 9] = [
    ("retired", &[Seniority::Retired]),
    ("student", &[Seniority::Student, Seniority::Graduate]),
    ("fresh graduate", &[Seniority::Graduate]),
    ("recent graduate", &[Seniority::Graduate]),
    ("junior", &[Seniority::Early, Seniority::Graduate]),
    ("entry-level", &[Seniority::Early, Seniority::Graduate]),
    ("senior", &[Seniority::Senior]),
    ("director", &[Seniority::Senior]),
    ("mid-career", &[Seniority::Mid]),
];

fn contradiction(profile: &Profile) -> Option<String> {
    let role = profile.role.to_lowercase();
    // A word that only begins like one ("seniority", "studentship") tells nothing.
    let says = |word: &str| {
        role.match_indices(word).any(|(at, _)| {
            let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            alone(role[..at].chars().next_back()) && alone(role[at + word.len()..].chars().next())
        })
    };
    let (word, _) = TELLS.iter().find(|(word, may_be)| says(word) && !may_be.contains(&profile.seniority))?;
    Some(format!("the role says '{word}', the seniority {}: one of them is wrong", profile.seniority))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ProfileId;

    fn nurse() -> Profile {
        Profile {
            id: ProfileId::new("texas_nurse").expect("id"),
            description: "A nurse".into(),
            role: "senior nurse".into(),
            seniority: Seniority::Senior,
            location: "Houston, Texas".into(),
            context: "Works nights.".into(),
            motivation: Motivation::Career,
            tracked: vec!["Methodist".into()],
            interests: vec!["shifts".into()],
            system_prompt: None,
        }
    }

    #[test]
    fn a_sound_reader_has_nothing_said_about_it() {
        assert_eq!(lint(&nurse()), Vec::<String>::new());
    }

    #[test]
    fn the_lint_names_what_is_doubtful() {
        type Change = fn(&mut Profile);
        let cases: [(&str, Change); 5] = [
            ("no context", |p| p.context.clear()),
            ("the role says 'senior', the seniority student", |p| p.seniority = Seniority::Student),
            ("'a, b' looks like several", |p| p.tracked = vec!["a, b".into()]),
            ("nothing can match", |p| (p.tracked, p.interests) = (vec![], vec![])),
            ("retired, yet", |p| (p.role, p.seniority) = ("retired nurse".into(), Seniority::Retired)),
        ];
        for (words, change) in cases {
            let mut profile = nurse();
            change(&mut profile);
            let said = lint(&profile);
            assert!(said.iter().any(|line| line.contains(words)), "{words}: {said:?}");
        }
    }

    #[test]
    fn a_graduate_student_may_be_either_and_seniority_is_not_senior() {
        for (role, seniority) in [("graduate student", Seniority::Graduate), ("seniority researcher", Seniority::Early)] {
            assert_eq!(contradiction(&Profile { role: role.into(), seniority, ..nurse() }), None);
        }
    }

    #[test]
    fn a_draft_with_an_unknown_field_or_half_a_line_says_which() {
        assert!(read_draft("id = \"a\"\nrole = \"b\"\nplace = \"c\"").unwrap_err().to_string().contains("'place'"));
        assert!(read_draft("id = \"a").unwrap_err().to_string().contains("line 1"));
        assert!(read_draft("id = \"a\"\nrole = \"b\"").unwrap_err().to_string().contains("'location'"));
    }

    proptest! {
        #[test]
        fn a_draft_reads_back_as_it_was_written(role in "[^\\s].{0,30}[^\\s]", context in "\\PC{0,40}", names in prop::collection::vec("[a-z\"\\\\,;']{1,12}", 0..4)) {
            let mut tracked = names;
            tracked.retain(|n| !n.trim().is_empty());
            tracked.sort();
            tracked.dedup_by_key(|n| n.to_lowercase());
            let profile = Profile { role: role.trim().into(), context: context.trim().into(), tracked, ..nurse() };
            prop_assert_eq!(read_draft(&write_draft(&profile)).expect("reads"), profile);
        }
    }
}
