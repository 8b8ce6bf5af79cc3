//! `stratos doctor`: what every guard says of the workspace, printed like a compiler; and what a guard is for.

use std::process::ExitCode;

use clap::Args;
use color_eyre::eyre::{Result, bail};
use unicode_width::UnicodeWidthStr;

use crate::engine::{self, Checkup, Diagnosis, State};
use crate::guards::{Guard, Severity, Standing, guard};
use crate::headless::{self, say};
use crate::workspace::Workspace;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// What a guard is for: the documented failure, its moment, the remedy
    #[arg(long, value_name = "GUARD")]
    explain: Option<String>,
    /// Guards that passed, too
    #[arg(long, short)]
    verbose: bool,
    #[arg(long)]
    json: bool,
}

const WIDTH: usize = 100;

impl DoctorArgs {
    /// The guard that is asked about; explaining one needs no workspace.
    pub fn explained(&self) -> Option<&str> {
        self.explain.as_deref()
    }

    pub fn json(&self) -> bool {
        self.json
    }
}

pub fn explain(id: &str, json: bool) -> Result<ExitCode> {
    let Some(row) = guard(id) else {
        let all: Vec<&str> = crate::guards::registry().map(|row| row.id).collect();
        bail!("there is no guard '{}'; there are {}", headless::clean(id), all.join(" "))
    };
    if json {
        say(&serde_json::to_string(row)?);
    } else {
        for line in explanation(row) {
            say(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explanation(row: &Guard) -> Vec<String> {
    let stops = match row.severity {
        Severity::Stop => "stops what it guards until it is mended, or overridden with a written reason that is kept",
        Severity::Warn => "warns and stops nothing",
    };
    let standing = match row.standing {
        Standing::Checked => "checked".to_owned(),
        Standing::Built(how) => format!("cannot happen any more: {how}"),
    };
    let mut lines = vec![format!("{}: prevents {}", row.id, row.prevents), String::new()];
    for (name, text) in [
        ("what happened", row.happened),
        ("when", row.moment.words()),
        ("it", stops),
        ("state", &standing),
        ("remedy", row.remedy),
    ] {
        wrap(&format!("  {name:<14}"), text, &mut lines);
    }
    lines
}

pub fn doctor(workspace: &Workspace, args: &DoctorArgs) -> Result<ExitCode> {
    let checkup = engine::examine(workspace)?;
    if args.json {
        say(&serde_json::to_string(&checkup)?);
    } else {
        for line in lines(&checkup, args.verbose) {
            say(&headless::clean(&line));
        }
    }
    Ok(if checkup.count(State::Error) > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn lines(checkup: &Checkup, verbose: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for found in checkup.diagnoses.iter().filter(|d| verbose || d.state != State::Passed) {
        one(found, &mut lines);
    }
    let list = |name: &str, ids: &[&str]| (!ids.is_empty()).then(|| format!("note: {name}: {}", ids.join(" ")));
    let notes = [
        list("about inputs that changed since; run their phases again", &checkup.outdated),
        list("their moment has not come here", &checkup.not_yet),
        list("cannot happen any more", &checkup.built),
    ];
    let shown = if verbose { notes.len() } else { 1 };
    lines.extend(notes.into_iter().take(shown).flatten());
    let count = |state, one: &str, many: &str| {
        let n = checkup.count(state);
        format!("{n} {}", if n == 1 { one } else { many })
    };
    let parts = [
        count(State::Error, "error", "errors"),
        count(State::Warning, "warning", "warnings"),
        format!("{} passed", checkup.count(State::Passed)),
        format!("{} outdated", checkup.outdated.len()),
        format!("{} not yet", checkup.not_yet.len()),
        format!("{} impossible", checkup.built.len()),
    ];
    lines.push(format!("doctor: {}", parts.join(", ")));
    lines
}

fn one(found: &Diagnosis, lines: &mut Vec<String>) {
    let word = match found.state {
        State::Error => "error",
        State::Warning => "warning",
        State::Passed => "ok",
    };
    lines.push(format!("{word}[{}]: {}", found.guard, found.prevents));
    let of = found.subject.as_ref().map_or_else(String::new, |subject| format!(" {}", subject.short()));
    let when = if found.fresh { "looked at now" } else { "recalled" };
    lines.push(format!("  --> {}{of} ({when})", found.phase));
    wrap("   = saw: ", &found.saw, lines);
    if found.state != State::Passed {
        wrap("   = help: ", &found.remedy, lines);
    }
    if let Some(reason) = &found.overridden {
        wrap("   = note: overridden: ", reason, lines);
    } else if found.state == State::Error && !found.fresh {
        let how = format!("stratos guards override {} --phase {} --reason \"…\"", found.guard, found.phase);
        lines.push(format!("   = note: to go on all the same: {how}"));
    }
    lines.push(String::new());
}

/// Text after a prefix, later lines under its first word.
fn wrap(prefix: &str, text: &str, lines: &mut Vec<String>) {
    let indent = " ".repeat(prefix.width());
    let mut line = prefix.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.width() + 1 + word.width() > WIDTH {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line.trim_end().to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_can_be_explained_within_the_width() {
        for row in crate::guards::registry() {
            let lines = explanation(row);
            assert!(lines.len() >= 6 && lines.iter().skip(1).all(|l| l.width() <= WIDTH), "{lines:#?}");
        }
        assert!(explain("d3", false).is_ok() && explain("D99", false).is_err());
    }

    #[test]
    fn long_text_is_wrapped_under_its_first_word() {
        let mut lines = Vec::new();
        wrap("   = saw: ", &"word ".repeat(40), &mut lines);
        assert!(lines.len() > 1 && lines[1].starts_with("          word"));
        let mut lines = Vec::new();
        wrap("   = saw: ", &"x".repeat(200), &mut lines);
        assert_eq!(lines.len(), 1, "a word longer than the line stays whole");
    }
}
