//! The dataset's guards over readers and rows: D1, D8, D10, D13, D16.
//!
//! Owns what each looks at and says. D3 stands beside the split it checks; the registry is `guards`'.

use std::collections::BTreeMap;

use crate::domain::{Profile, ProfileId, Seniority, one_line};
use crate::guards::Finding;

use super::example::Provenance;

/// Guard D1: enough readers, and enough training rows for each of them. `rows` counts training rows per reader and
/// names every reader that anything was judged for, those without usable rows too.
pub fn d1(rows: &BTreeMap<ProfileId, usize>, min_profiles: usize, min_rows: usize) -> Finding {
    let with_rows = rows.values().filter(|n| **n > 0).count();
    let short: Vec<String> = rows.iter().filter(|(_, n)| **n < min_rows).map(|(p, n)| format!("{p} ({n})")).collect();
    if with_rows < min_profiles {
        return Finding::fail(
            "D1",
            format!("training rows of {with_rows} readers; a student of fewer than {min_profiles} forgets every other one"),
            "judge the articles for more readers, then build the dataset again",
        );
    }
    if !short.is_empty() {
        return Finding::fail(
            "D1",
            format!("fewer than {min_rows} training rows for {}", list(&short)),
            "judge more articles for these readers, or leave them out: [select] profiles, [labels] min_rows_per_reader",
        );
    }
    let least = rows.values().min().copied().unwrap_or(0);
    Finding::pass("D1", format!("{with_rows} readers, the least of them with {least} training rows"))
}

/// Guard D8: every value says who gave it, and the values of one annotator were calibrated alike.
pub fn d8<'a>(rows: impl IntoIterator<Item = &'a Provenance>) -> Finding {
    let (mut all, mut unsigned) = (0, 0);
    let mut calibrated: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in rows {
        all += 1;
        unsigned += usize::from(row.annotator.trim().is_empty());
        *calibrated.entry((&row.annotator, row.calibrated_by.as_deref().unwrap_or("nothing"))).or_default() += 1;
    }
    let mut ways: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((annotator, by), n) in &calibrated {
        ways.entry(annotator).or_default().push(format!("{n} by {}", one_line(by, 40)));
    }
    let mut wrong: Vec<String> = Vec::new();
    if unsigned > 0 {
        wrong.push(format!("{unsigned} rows do not say who judged"));
    }
    let mixed = ways.iter().filter(|(_, by)| by.len() > 1);
    wrong.extend(mixed.map(|(annotator, by)| format!("{} is calibrated in part: {}", one_line(annotator, 40), by.join(", "))));
    if wrong.is_empty() {
        let by: Vec<String> = ways.iter().map(|(a, by)| format!("{}: {}", one_line(a, 40), by.join(", "))).collect();
        return Finding::pass("D8", format!("{all} rows, all signed; calibrated {}", list(&by)));
    }
    Finding::fail(
        "D8",
        format!("of {all} rows {}", list(&wrong)),
        "leave one of the two kinds out, or import the file with --annotator",
    )
}

/// Guard D10: rows quarantined for a score the recipe forbids or the scale does not have.
pub fn d10(forbidden: usize, out_of_scale: usize, rows: usize) -> Finding {
    if forbidden + out_of_scale == 0 {
        return Finding::pass("D10", format!("no forbidden score and none outside the scale in {rows} rows"));
    }
    Finding::fail(
        "D10",
        format!("{forbidden} rows with a forbidden score and {out_of_scale} outside the scale, of {rows}; they are left out"),
        "retry these pairs if they matter; the rubric tells the teacher to take a side",
    )
}

/// Guard D13: prompts with a list joined letter by letter ("E, q, u, a, t, e"). Takes (name, text) of each prompt.
pub fn d13<'a>(prompts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Finding {
    let mut seen = 0;
    let mut bad = Vec::new();
    for (name, text) in prompts {
        seen += 1;
        if let Some(line) = text.lines().find(|line| is_joined_by_letter(line)) {
            bad.push(format!("{name}: \"{}\"", one_line(line, 60)));
        }
    }
    if bad.is_empty() {
        return Finding::pass("D13", format!("{seen} prompts, no list joined letter by letter"));
    }
    Finding::fail(
        "D13",
        format!("{} of {seen} prompts hold a list joined letter by letter: {}", bad.len(), list(&bad)),
        "give the list as an array or a comma-separated text in the profile's file",
    )
}

/// More than two fifths of at least four comma-separated items are single characters.
fn is_joined_by_letter(line: &str) -> bool {
    let line = line.split_once(": ").map_or(line, |(_, rest)| rest);
    let items: Vec<&str> = line.split(',').map(str::trim).collect();
    let single = items.iter().filter(|item| item.chars().count() <= 1).count();
    items.len() >= 4 && single * 5 > items.len() * 2
}

/// Guard D16: system prompts that are empty, equal, or contradict the reader's seniority. `prompts` belong to
/// `profiles` one by one.
pub fn d16(profiles: &[Profile], prompts: &[String]) -> Finding {
    let mut defects = Vec::new();
    let mut first_with: BTreeMap<String, &ProfileId> = BTreeMap::new();
    for (profile, prompt) in profiles.iter().zip(prompts) {
        let flat = prompt.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if flat.is_empty() {
            defects.push(format!("{} has an empty system prompt", profile.id));
        } else if let Some(other) = first_with.get(&flat) {
            defects.push(format!("{} and {other} have the same system prompt", profile.id));
        } else {
            first_with.insert(flat, &profile.id);
        }
        for (what, items) in [("tracked", &profile.tracked), ("interests", &profile.interests)] {
            if is_joined_by_letter(&items.join(",")) {
                defects.push(format!("{}: the list '{what}' is joined letter by letter", profile.id));
            }
        }
        if let Some(why) = seniority_contradiction(profile, prompt) {
            defects.push(format!("{}: {why}", profile.id));
        }
    }
    if defects.is_empty() {
        return Finding::pass("D16", format!("{} system prompts, all different, seniority agrees in each", profiles.len()));
    }
    Finding::fail("D16", list(&defects), "correct these profiles in the profile editor, then build the dataset again")
}

/// How many defects one sentence names; the rest are counted.
const NAMED: usize = 6;

fn list(items: &[String]) -> String {
    let rest = items.len().saturating_sub(NAMED);
    let named = items.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if rest == 0 { named } else { format!("{named}; and {rest} more") }
}

/// A word in the role, in the opening of the context or description, or in the prompt's first line that cannot be
/// said of a reader of this seniority.
fn seniority_contradiction(profile: &Profile, prompt: &str) -> Option<String> {
    let first_line = prompt.trim().lines().next().unwrap_or_default();
    let parts = [
        ("role", words(&profile.role)),
        ("context", opening(&profile.context)),
        ("description", opening(&profile.description)),
        ("system prompt", words(first_line)),
    ];
    parts.into_iter().find_map(|(part, words)| {
        let told = tell(&words)?;
        (!told.1.contains(&profile.seniority))
            .then(|| format!("the {part} says \"{}\" but the seniority is {}", told.0, profile.seniority))
    })
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// The first words say who the reader is; later ones say what they want.
fn opening(text: &str) -> Vec<String> {
    let mut words = words(text.split(['.', ',', ';']).next().unwrap_or_default());
    words.truncate(5);
    words
}

/// The first words that tell a seniority, and the seniorities they can be said of. "Senior" and "experienced" can be
/// said of a mid-career reader; a graduate or student can be neither.
fn tell(words: &[String]) -> Option<(String, &'static [Seniority])> {
    use Seniority as S;
    for (i, word) in words.iter().enumerate() {
        let next = words.get(i + 1).map_or("", String::as_str);
        let wanted = i > 0 && matches!(words[i - 1].as_str(), "for" | "seeks" | "seeking" | "wants" | "to" | "of" | "with");
        if wanted && word != "retired" {
            continue;
        }
        let said_of: Option<&'static [S]> = match word.as_str() {
            "fresh" | "recent" | "new" | "newly"
                if words[i + 1..].iter().take(5).any(|w| w == "graduate" || w == "graduated") =>
            {
                Some(&[S::Graduate, S::Early])
            }
            "sophomore" | "undergraduate" | "freshman" => Some(&[S::Student]),
            "student" if !matches!(next, "affairs" | "services" | "support" | "loans" | "success" | "counsellor") => {
                Some(&[S::Student, S::Graduate])
            }
            "junior" if next != "year" => Some(&[S::Early, S::Graduate, S::Student]),
            "senior" if !matches!(next, "year" | "student" | "living" | "care") => Some(&[S::Senior, S::Mid]),
            "experienced" | "veteran" => Some(&[S::Senior, S::Mid, S::Retired]),
            "retired" => Some(&[S::Retired]),
            _ => None,
        };
        if let Some(said_of) = said_of {
            return Some((word.clone(), said_of));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::testing::{profile_id, profiles, real_profiles, recipe};
    use super::*;
    use crate::domain::Renderer;

    fn check(profiles: &[Profile]) -> Finding {
        let renderer = Renderer::new(&recipe()).expect("sound");
        let prompts: Vec<String> = profiles.iter().map(|p| renderer.system(p).expect("renders")).collect();
        d16(profiles, &prompts)
    }

    #[test]
    fn the_shipped_readers_pass() {
        let finding = check(&profiles());
        assert!(!finding.failed(), "{}", finding.saw);
    }

    #[test]
    fn the_real_readers_pass() {
        let Some(profiles) = real_profiles() else { return };
        let finding = check(&profiles);
        assert!(!finding.failed(), "{}", finding.saw);
    }

    #[test]
    fn a_fresh_graduate_called_experienced_is_caught() {
        let plant = |change: fn(&mut Profile)| {
            let mut all = profiles();
            let at = all.iter().position(|p| p.id.as_str() == "bangalore_ds").expect("shipped");
            change(&mut all[at]);
            check(&all)
        };
        let prompt = |p: &mut Profile| {
            p.system_prompt = Some("You are a relevance scorer for an experienced data scientist in Bangalore.".into());
        };
        let finding = plant(prompt);
        assert!(
            finding.failed() && finding.saw.contains("bangalore_ds: the system prompt says \"experienced\""),
            "{}",
            finding.saw
        );
        let finding = plant(|p| p.seniority = Seniority::Senior);
        assert!(finding.failed() && finding.saw.contains("seniority is senior"), "{}", finding.saw);
        assert!(plant(|p| p.system_prompt = Some(" \n".into())).saw.contains("empty"));
        assert!(plant(|p| p.interests = "Python".chars().map(String::from).collect()).saw.contains("letter by letter"));
    }

    #[test]
    fn equal_prompts_are_named_in_pairs() {
        let mut all = profiles();
        all[1].system_prompt = all[0].system_prompt.clone();
        assert!(check(&all).saw.contains("texas_nurse and kuwait_cpeg have the same system prompt"));
    }

    #[test]
    fn a_list_joined_letter_by_letter_is_caught_and_a_normal_one_is_not() {
        assert!(d13([("x", "Tracks: E, q, u, a, t, e\nok")]).failed());
        let fine = "Tracks: Equate, SLB, KOC, X\nInterests: AI, C, R, embedded systems, quantum computing";
        assert!(!d13([("x", fine)]).failed());
    }

    #[test]
    fn too_few_readers_or_rows_are_named() {
        let rows = |ns: &[usize]| ns.iter().enumerate().map(|(i, &n)| (profile_id(&format!("p{i}")), n)).collect();
        assert!(!d1(&rows(&[20, 30, 40, 50]), 4, 20).failed());
        assert!(d1(&rows(&[20, 30]), 4, 20).saw.contains("of 2 readers"));
        assert!(d1(&rows(&[20, 30, 40, 50, 3]), 4, 20).saw.contains("p4 (3)"));
    }

    #[test]
    fn rows_that_nobody_signed_or_that_were_calibrated_in_part_are_told() {
        let row = |annotator: &str, by: Option<&str>| Provenance {
            annotator: annotator.into(),
            calibrated_by: by.map(str::to_owned),
            ..Provenance::default()
        };
        assert!(!d8(&[row("a", None), row("b", Some("isotonic 1"))]).failed());
        let finding = d8(&[row("a", None), row("a", Some("isotonic 1")), row("", None)]);
        assert!(finding.failed() && finding.saw.contains("1 rows do not say") && finding.saw.contains("a is calibrated in part"));
    }

    #[test]
    fn forbidden_scores_are_counted() {
        assert!(!d10(0, 0, 7).failed());
        assert!(d10(2, 1, 7).saw.starts_with("2 rows with a forbidden score and 1 outside"));
    }
}
