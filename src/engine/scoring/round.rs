//! One voice, asked about many rows: what is remembered, what has to be asked, and rows that ask the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::super::job::Failure;
use super::cache::{self, Terms};
use super::questions::Question;
use super::voice::Voice;
use super::{asking, desk::Row};
use crate::domain::Digest;
use crate::scorer::ScorerError;
use crate::student::{Generated, Stop, StudentError};
use crate::workspace::{Ledger, Workspace};

/// What came back for a row.
pub(super) struct Answer<'a> {
    pub written: &'a Generated,
    /// Since the answer before.
    pub seconds: f64,
    pub cached: bool,
    /// Why it was not even asked.
    pub refused: Option<&'a str>,
}

/// Hears of each answered row, may write to the ledger, and may end the whole.
pub(super) type OnAnswer<'a> = &'a mut dyn FnMut(&mut Ledger, usize, Answer<'_>) -> Result<ControlFlow<()>, Failure>;

/// How rows are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Nothing is taken from the cache.
    pub fresh: bool,
    /// Answers are kept.
    pub keeps: bool,
}

/// A question, the rows that ask it (first ones first) and what names its answer.
struct Same {
    question: Question,
    key: Digest,
    rows: Vec<usize>,
}

/// Asks a voice about rows. Rows that ask the same are asked once. `true`: `on` ended it.
pub(super) fn ask(
    workspace: &Workspace,
    ledger: &mut Ledger,
    voice: &Voice,
    rows: &[&Row<'_>],
    manner: Manner,
    on: OnAnswer<'_>,
) -> Result<bool, Failure> {
    voice.scorer.check()?;
    let terms = voice.terms(workspace.config.seed);
    let mut open = Vec::new();
    for same in gathered(workspace, voice, &terms, rows)? {
        let kept = if manner.fresh { None } else { cache::find(ledger, &same.key, &same.question.prompt.id)? };
        let Some(written) = kept else {
            open.push(same);
            continue;
        };
        for row in &same.rows {
            let answer = Answer { written: &written, seconds: 0.0, cached: true, refused: None };
            if on(ledger, *row, answer)?.is_break() {
                return Ok(true);
            }
        }
    }
    for round in rounds(open) {
        if ask_round(workspace, ledger, voice, round, manner, on)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The different questions of some rows, in the order of their first rows.
fn gathered(workspace: &Workspace, voice: &Voice, terms: &Terms, rows: &[&Row<'_>]) -> Result<Vec<Same>, Failure> {
    let mut all: Vec<Same> = Vec::new();
    let mut known: BTreeMap<Digest, usize> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let question = voice.question(workspace, row.profile, row.article)?;
        let key = terms.key(&question.prompt);
        match known.get(&key) {
            Some(at) => all[*at].rows.push(i),
            None => {
                known.insert(key.clone(), all.len());
                all.push(Same { question, key, rows: vec![i] });
            }
        }
    }
    Ok(all)
}

/// A row's name decides its draw, so two texts of one name are asked one after the other.
fn rounds(open: Vec<Same>) -> Vec<BTreeMap<String, Same>> {
    let mut rounds: Vec<BTreeMap<String, Same>> = Vec::new();
    for same in open {
        let name = same.question.prompt.id.clone();
        match rounds.iter_mut().find(|round| !round.contains_key(&name)) {
            Some(round) => drop(round.insert(name, same)),
            None => rounds.push(BTreeMap::from([(name, same)])),
        }
    }
    rounds
}

/// Rows asked together that a server may read otherwise than the student before it is taken for the wrong one.
const MOST_ODD: usize = 5;

fn ask_round(
    workspace: &Workspace,
    ledger: &mut Ledger,
    voice: &Voice,
    mut round: BTreeMap<String, Same>,
    manner: Manner,
    on: OnAnswer<'_>,
) -> Result<bool, Failure> {
    let mut end = Ok(ControlFlow::Continue(()));
    let mut odd = 0;
    loop {
        let mut answered = BTreeSet::new();
        let questions: Vec<Question> = round.values().map(|same| same.question.clone()).collect();
        let asked = asking::hear(voice.scorer.as_ref(), &voice.rules, workspace.config.seed, &questions, &mut |reply| {
            let Some(same) = round.get(&reply.written.id) else { return ControlFlow::Continue(()) };
            answered.insert(reply.written.id.clone());
            end = tell(ledger, voice, same, &reply.written, reply.seconds, manner, on);
            if matches!(end, Ok(ControlFlow::Continue(()))) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let taken_out = match asked {
            Ok(()) => return end.map(|flow| flow.is_break()),
            // Proved before anything was asked: the rest goes without them.
            Err(ScorerError::Student(StudentError::TooLong { limit, rows, .. })) => (
                rows,
                Refused { why: format!("its prompt is longer than the {limit} tokens that the model reads"), stop: Stop::Length },
            ),
            // Some texts are cut into tokens otherwise by other people's tokenizers; when many are, it is another student's.
            Err(ScorerError::Tokens { row, why, .. }) if odd < MOST_ODD => {
                odd += 1;
                round.retain(|name, _| !answered.contains(name));
                let why = format!("guard T11: the server reads its prompt otherwise than the student: {why}");
                (vec![row], Refused { why, stop: Stop::End })
            }
            Err(error) => {
                // A server that cuts prompts cuts others too: it ends here, and the drift watch hears of it (guard S8).
                if let ScorerError::Cut { row, .. } | ScorerError::Room { row, .. } = &error {
                    let why = "the server would cut its prompt".into();
                    refuse(ledger, &mut round, (vec![row.clone()], Refused { why, stop: Stop::Length }), on)?;
                }
                return Err(error.into());
            }
        };
        if refuse(ledger, &mut round, taken_out, on)? {
            return Ok(true);
        }
        if round.is_empty() {
            return Ok(false);
        }
    }
}

/// Keeps an answer and tells it to all rows that asked.
fn tell(
    ledger: &mut Ledger,
    voice: &Voice,
    same: &Same,
    written: &Generated,
    seconds: f64,
    manner: Manner,
    on: OnAnswer<'_>,
) -> Result<ControlFlow<()>, Failure> {
    if manner.keeps {
        cache::keep(ledger, &same.key, &voice.release, written)?;
    }
    for (nth, row) in same.rows.iter().enumerate() {
        let seconds = if nth == 0 { seconds } else { 0.0 };
        let answer = Answer { written, seconds, cached: nth > 0, refused: None };
        if on(ledger, *row, answer)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Why a row is not asked. `stop`: as if it had been, `Length` where there was no room for an answer.
struct Refused {
    why: String,
    stop: Stop,
}

/// Takes rows out that cannot be asked, and tells why.
fn refuse(
    ledger: &mut Ledger,
    round: &mut BTreeMap<String, Same>,
    (names, refused): (Vec<String>, Refused),
    on: OnAnswer<'_>,
) -> Result<bool, Failure> {
    let names: BTreeSet<String> = names.into_iter().collect();
    let taken: Vec<Same> = names.iter().filter_map(|name| round.remove(name)).collect();
    if taken.is_empty() {
        return Err(Failure::new("texts were refused that nobody asked about", "Report it with this text."));
    }
    for same in &taken {
        let id = same.question.prompt.id.clone();
        let nothing =
            Generated { id, text: String::new(), tokens: 0, prompt_tokens: 0, stop: refused.stop, expected_score: None };
        for row in &same.rows {
            let answer = Answer { written: &nothing, seconds: 0.0, cached: false, refused: Some(&refused.why) };
            if on(ledger, *row, answer)?.is_break() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
