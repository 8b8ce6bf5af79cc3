//! A reader as it is being edited: what the student would read, how long that is, what is doubtful, what changed, and what
//! a save would make stale.

use super::{Library, Read};
use crate::domain::{Phase, Profile, ProfileId, lint, read_draft, word_count, write_draft};
use crate::engine::phases::{dataset_file, takes_part};
use crate::engine::subject::Choice;
use crate::student::StudentTokenizer;
use crate::student::outline::Words;

/// A draft, examined.
#[derive(Debug, Clone)]
pub struct DraftView {
    /// The profile, or why the draft is none.
    pub profile: Result<Profile, String>,
    /// As the student reads it.
    pub system_prompt: String,
    pub words: usize,
    /// Tokens of the prompt by the student's own tokenizer; `None`: there is none yet.
    pub tokens: Option<usize>,
    pub remarks: Vec<String>,
    /// Against what is stored: lines with ' ', '-' or '+'. Empty: nothing is stored under this id.
    pub diff: Vec<(char, String)>,
    /// Phases that are done and would have to run again.
    pub stale: Vec<Phase>,
    /// Takes part in this workspace's runs.
    pub takes_part: bool,
}

/// How the student counts, loaded once.
pub(super) enum Counter {
    Own(Box<StudentTokenizer>),
    Base(Box<Words>),
    None,
}

impl Library {
    pub(super) fn draft(&mut self, text: &str, saved: Option<&ProfileId>) -> Read<DraftView> {
        let stored = self.ledger.profiles()?;
        let before = saved.and_then(|id| stored.iter().find(|(profile, _)| profile.id == *id));
        let diff = before.map(|(profile, _)| diff(&write_draft(profile), text)).unwrap_or_default();
        let empty = DraftView {
            profile: Err(String::new()),
            system_prompt: String::new(),
            words: 0,
            tokens: None,
            remarks: Vec::new(),
            diff,
            stale: Vec::new(),
            takes_part: false,
        };
        let profile = match read_draft(text) {
            Ok(profile) => profile,
            Err(error) => return Ok(DraftView { profile: Err(error.to_string()), ..empty }),
        };
        let mut remarks = lint(&profile);
        if saved != Some(&profile.id) && stored.iter().any(|(other, _)| other.id == profile.id) {
            remarks.insert(0, format!("there is a reader '{}' already; saving replaces it", profile.id));
        }
        let system_prompt = self.workspace.renderer.system(&profile).unwrap_or_else(|error| {
            remarks.insert(0, error.to_string());
            String::new()
        });
        let origin = before.map_or("imported", |(_, origin)| origin.as_str());
        let takes_part = takes_part(&self.workspace.config.select, &profile.id, origin);
        let changed = before.is_none_or(|(stored, _)| *stored != profile);
        let stale = if takes_part && changed { self.done_phases()? } else { Vec::new() };
        Ok(DraftView {
            words: word_count(&system_prompt),
            tokens: self.count(&system_prompt),
            profile: Ok(profile),
            system_prompt,
            remarks,
            stale,
            takes_part,
            ..empty
        })
    }

    /// Phases with a record: whatever the readers are, everything that was made of them follows.
    fn done_phases(&self) -> Read<Vec<Phase>> {
        let mut done = Vec::new();
        for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Articles) {
            if self.ledger.last_record(phase)?.is_some() {
                done.push(phase);
            }
        }
        Ok(done)
    }

    fn count(&mut self, text: &str) -> Option<usize> {
        if self.counter.is_none() {
            self.counter = Some(self.load_counter());
        }
        match self.counter.as_ref()? {
            Counter::Own(tokenizer) => tokenizer.encode(text).ok().map(|ids| ids.len()),
            Counter::Base(words) => words.encode(text).ok().map(|ids| ids.len()),
            Counter::None => None,
        }
    }

    /// The base's tokenizer, or the one the practice student's last dataset was made with.
    fn load_counter(&self) -> Counter {
        let loaded = match Choice::of(&self.workspace) {
            Ok(Choice::Base(path)) => Words::load(&path).ok().map(|words| Counter::Base(Box::new(words))),
            Ok(Choice::Seedling) => self.ledger.last_record(Phase::Dataset).ok().flatten().and_then(|record| {
                let path = dataset_file(&self.workspace, &record.output, "tokenizer.json").ok()?;
                StudentTokenizer::load(&path).ok().map(|tokenizer| Counter::Own(Box::new(tokenizer)))
            }),
            Err(_) => None,
        };
        loaded.unwrap_or(Counter::None)
    }
}

/// Lines of both texts by longest common subsequence. Drafts have tens of lines, so the table is small.
fn diff(before: &str, after: &str) -> Vec<(char, String)> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut longest = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push((' ', a[i].to_owned()));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(('-', a[i].to_owned()));
            i += 1;
        } else {
            lines.push(('+', b[j].to_owned()));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_changed_line_is_taken_away_and_put_back() {
        let lines: Vec<String> = diff("a\nb\nc", "a\nx\nc\nd").into_iter().map(|(sign, line)| format!("{sign}{line}")).collect();
        assert_eq!(lines, [" a", "-b", "+x", " c", "+d"]);
    }

    proptest! {
        #[test]
        fn a_diff_holds_both_texts(a in "([abc]\n){0,8}", b in "([abc]\n){0,8}") {
            let lines = diff(&a, &b);
            let side = |sign| lines.iter().filter(|(s, _)| *s == ' ' || *s == sign).map(|(_, l)| l.as_str()).collect::<Vec<_>>();
            prop_assert_eq!(side('-'), a.lines().collect::<Vec<_>>());
            prop_assert_eq!(side('+'), b.lines().collect::<Vec<_>>());
        }
    }
}
