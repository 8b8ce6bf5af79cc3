//! Forms of the Distill tab: what to plan, whom to ask besides, what an unclear batch is, which file to import.
//!
//! Owns how filled-in values become a scope or a command. Every one of them plans or settles; none can spend.

use std::path::PathBuf;

use crate::domain::{ProfileId, one_line};
use crate::engine::{BatchView, Command, Errand, Scope, Snapshot, Which};
use crate::tui::overlays::form::{Field, Form};

const WHICH: [(&str, Which); 4] = [
    ("every pair without an answer", Which::All),
    ("pairs that were never answered", Which::Missing),
    ("pairs whose question changed", Which::Changed),
    ("pairs that a reviewer sent back", Which::SentBack),
];
const EVERY: &str = "every reader";
const PLAN: &str = "plan it and send nothing";
const SEND: &str = "send what is approved, bring home what is over";

/// The three fields that choose pairs.
fn scope_fields(snapshot: &Snapshot) -> Vec<Field> {
    vec![Field::choice("pairs", WHICH.map(|(words, _)| words)), readers(snapshot), Field::text("sample", "")]
}

fn readers(snapshot: &Snapshot) -> Field {
    let ids = snapshot.profiles.iter().filter(|p| p.selected).map(|p| p.profile.id.to_string());
    Field::choice("reader", [EVERY.to_owned()].into_iter().chain(ids))
}

fn scope(which: &str, reader: &str, sample: &str) -> Result<Scope, String> {
    let which = WHICH.iter().find(|(words, _)| *words == which).map_or(Which::All, |(_, which)| *which);
    let profile = (reader != EVERY).then(|| ProfileId::new(reader).map_err(|e| e.to_string())).transpose()?;
    let sample = match sample {
        "" => None,
        number => match number.parse() {
            Ok(0) | Err(_) => return Err("a sample is a number of pairs; leave it empty for all of them".into()),
            Ok(n) => Some(n),
        },
    };
    Ok(Scope { which, profile, sample })
}

pub(super) fn plan(snapshot: &Snapshot) -> Form {
    let hint = "Counts and prices the requests of these pairs; nothing is sent before the plan is approved. A sample is drawn \
                by the seed, with every reader in it.";
    Form::new("Plan", hint, scope_fields(snapshot), |values| {
        let [which, reader, sample] = values else { return Err("three values are needed".into()) };
        Ok(Command::Errand { errand: Errand::Plan { scope: scope(which, reader, sample)? } })
    })
}

pub(super) fn second_opinion(snapshot: &Snapshot) -> Form {
    let hint = "Asks another teacher of stratos.toml, by its name under [teachers]. Plan it, approve the plan, then send.";
    let fields = [Field::text("teacher", "")].into_iter().chain(scope_fields(snapshot)).chain([Field::choice("do", [PLAN, SEND])]);
    Form::new("Second opinion", hint, fields.collect(), |values| {
        let [teacher, which, reader, sample, act] = values else { return Err("five values are needed".into()) };
        if teacher.is_empty() {
            return Err("name a teacher of stratos.toml".into());
        }
        let scope = scope(which, reader, sample)?;
        Ok(Command::Errand { errand: Errand::SecondOpinion { teacher: teacher.clone(), scope, send: act == SEND } })
    })
}

pub(super) fn polarise(snapshot: &Snapshot) -> Form {
    let hint = "Has the teacher write articles that one reader needs and others do not. Plan it, approve the plan, then send; \
                what comes home becomes articles.";
    let all: Vec<ProfileId> = snapshot.profiles.iter().filter(|p| p.selected).map(|p| p.profile.id.clone()).collect();
    let fields = vec![readers(snapshot), Field::text("articles each", "10"), Field::choice("do", [PLAN, SEND])];
    Form::new("Write polarising articles", hint, fields, move |values| {
        let [reader, count, act] = values else { return Err("three values are needed".into()) };
        let count = count.parse().ok().filter(|n| *n > 0).ok_or("how many is a whole number from 1")?;
        let chosen = scope("", reader, "")?.profile.map_or_else(|| all.clone(), |one| vec![one]);
        Ok(Command::Errand { errand: Errand::Polarise { profiles: chosen, count, send: act == SEND } })
    })
}

pub(super) fn settle(batch: &BatchView) -> Form {
    const LATER: &str = "not known yet";
    const NONE: &str = "none: plan its requests anew";
    const ADOPT: &str = "the batch with this id";
    let submission = batch.id;
    let hint = format!(
        "Submission {submission} ({} requests, {}) got no clear answer. Look at the provider's own list of batches. If it is none \
         and you say so, its requests are bought again: if it is there after all, they are paid twice.",
        batch.requests,
        one_line(&batch.state, 40)
    );
    let fields = vec![Field::choice("it is", [LATER, NONE, ADOPT]), Field::text("batch id", "")];
    Form::new("Settle an unclear submission", hint, fields, move |values| {
        let [what, id] = values else { return Err("two values are needed".into()) };
        match (what.as_str(), id.as_str()) {
            (LATER, _) => Err("choose what it is, or leave with esc".into()),
            (ADOPT, "") => Err("give the provider's id of the batch".into()),
            (ADOPT, id) => Ok(Command::Settle { submission, adopt: Some(id.to_owned()) }),
            _ => Ok(Command::Settle { submission, adopt: None }),
        }
    })
}

pub(super) fn import_answers() -> Form {
    const WHOLE: &str = "complete: every request has its line";
    const CUT: &str = "all there is: what has no line is missing";
    let hint = "A result file that was fetched from the provider by hand. Its ids are matched with what was sent; the same file \
                twice changes nothing.";
    let fields = vec![Field::text("file", ""), Field::choice("it is", [WHOLE, CUT])];
    Form::new("Import answers", hint, fields, |values| {
        let [file, what] = values else { return Err("two values are needed".into()) };
        if file.is_empty() {
            return Err("name a file".into());
        }
        Ok(Command::ImportAnswers { path: PathBuf::from(file), partial: what == CUT })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_what_was_chosen_and_a_sample_is_a_number() {
        let made = scope(WHICH[2].0, "nurse", "40").expect("a scope");
        assert_eq!((made.which, made.profile.map(|p| p.to_string()), made.sample), (Which::Changed, Some("nurse".into()), Some(40)));
        assert!(scope(WHICH[0].0, EVERY, "").expect("all").is_all());
        for sample in ["0", "many", "-1"] {
            assert!(scope(WHICH[0].0, EVERY, sample).is_err());
        }
    }
}
