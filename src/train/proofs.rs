//! The proofs between "Train" and the first step: each looks at what will really be trained and returns what it saw. Owns
//! one function for each guard of the start; what a failed one stops is the registry's and the engine's.
//!
//! Here: the text side and the order (T1, T8, T9, T11). `numbers` computes on a few short rows (T6, T7, T12, T16),
//! `records` compares with what lies on disk (T3, T4, T18, T19).

mod numbers;
mod records;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use numbers::{short, t6, t7, t12, t16};
pub use records::{SETTINGS_FILE, differences, parent_settings, settings, t3, t4, t17, t18, t19};

use super::TrainExample;
use super::learner::predicted;
use super::objective::Row;
use crate::dataset::{Draws, OrderRow, SamplerReport};
use crate::domain::recipe::{OrderStrategy, RunRules};
use crate::domain::{Bands, Finding, one_line};
use crate::student::{Codec, StudentError};
use crate::workspace::atomic_write;

/// Rows that are looked at one by one, spread over all.
const LOOKED_AT: usize = 8;
/// Share of tokens that may carry loss: below, hardly anything is learnt; above, the prompt must be among them.
const SANE_SHARE: (f64, f64) = (0.005, 0.9);
/// Names of rows that are listed.
const LISTED: usize = 10;
/// Ids of an epoch's order that are written down.
const LOGGED: usize = 100;
const ORDER_FILE: &str = "order.jsonl";

fn spread<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(LOOKED_AT).max(1))
}

/// Guard T1: of real rows, as the pass is told them, no prompt token is predicted, the end of the turn is, and the share of
/// tokens with loss is sane.
pub fn t1(codec: &Codec, examples: &[TrainExample], rows: &[Row]) -> Result<Finding, StudentError> {
    let end = codec.tokenizer.end();
    let pairs: Vec<(&TrainExample, &Row)> = examples.iter().zip(rows).collect();
    for (example, row) in spread(&pairs) {
        let Some((_, before)) = example.messages.split_last() else { continue };
        let (prompt, targets) = (codec.prompt(before)?.len(), predicted(row));
        let named = one_line(&row.id, 80);
        let remedy = "Look at the row with 'stratos dataset mask', and mend the chat template.";
        if targets.len() + prompt != row.encoded.ids.len() {
            let wrong = (targets.len() + prompt).abs_diff(row.encoded.ids.len());
            let kind = if targets.len() + prompt > row.encoded.ids.len() {
                "prompt tokens carry loss"
            } else {
                "answer tokens carry none"
            };
            return Ok(Finding::fail("T1", format!("of row '{named}' {wrong} {kind}"), remedy));
        }
        if targets.last().map(|(_, target)| *target) != Some(end) {
            let saw = format!("the last token with loss of row '{named}' is not {}", codec.tokenizer.end_name());
            return Ok(Finding::fail("T1", saw, remedy));
        }
    }
    let all: usize = rows.iter().map(|r| r.encoded.ids.len()).sum();
    let share = rows.iter().map(|r| r.encoded.loss_tokens()).sum::<usize>() as f64 / all.max(1) as f64;
    let saw = format!("{:.1} % of {all} tokens carry loss; prompts carry none, the end of the turn does", 100.0 * share);
    if (SANE_SHARE.0..=SANE_SHARE.1).contains(&share) {
        return Ok(Finding::pass("T1", saw));
    }
    let remedy = "Look at rows with 'stratos dataset mask': answers are too short for their prompts, or prompts are missing.";
    Ok(Finding::fail("T1", saw, remedy))
}

/// Guard T11: a row's tokens in training begin with exactly the tokens that serving sends for it.
pub fn t11(serve: &Codec, examples: &[TrainExample], rows: &[Row]) -> Result<Finding, StudentError> {
    let pairs: Vec<(&TrainExample, &Row)> = examples.iter().zip(rows).collect();
    let mut compared = 0;
    for (example, row) in spread(&pairs) {
        let Some((_, before)) = example.messages.split_last() else { continue };
        let (served, trained) = (serve.prompt(before)?, &row.encoded.ids[..row.encoded.loss_from]);
        if served != trained {
            let same = served.iter().zip(trained).take_while(|(a, b)| a == b).count();
            let around = |ids: &[u32]| {
                let text: String = ids.iter().skip(same).take(6).map(|id| serve.tokenizer.piece(*id)).collect();
                one_line(&format!("{text:?}"), 80)
            };
            let saw = format!(
                "row '{}' differs from token {same} on: trained {}, served {}",
                one_line(&row.id, 80),
                around(trained),
                around(&served)
            );
            return Ok(Finding::fail("T11", saw, "Train and serve with one template and one thinking setting."));
        }
        compared += 1;
    }
    Ok(Finding::pass("T11", format!("the prompts of {compared} rows have the same tokens in training and in serving")))
}

/// Guard T9: how long rows are beside what may be trained; those that are too long by name. `left_out`: rows that a limit
/// set by the histogram leaves out of the run, with their tokens.
pub fn t9(rows: &[Row], max_tokens: usize, left_out: &[(String, usize)]) -> Finding {
    let mut lengths: Vec<usize> = rows.iter().map(|r| r.encoded.ids.len()).collect();
    lengths.sort_unstable();
    let at = |share: f64| lengths.get(((lengths.len() as f64 * share) as usize).min(lengths.len().saturating_sub(1))).copied();
    let (p50, p99, longest) = (at(0.5).unwrap_or(0), at(0.99).unwrap_or(0), lengths.last().copied().unwrap_or(0));
    let advised = (p99 as f64 * 1.1).ceil() as usize;
    let saw =
        format!("tokens of a row: median {p50}, p99 {p99}, longest {longest}; allowed {max_tokens}, p99 + 10 % is {advised}");
    let long: Vec<(String, usize)> =
        rows.iter().map(|r| (r.id.clone(), r.encoded.ids.len())).filter(|(_, n)| *n > max_tokens).collect();
    if !long.is_empty() {
        let remedy = "Shorten these rows or raise max_tokens; none is cut.";
        return Finding::fail("T9", format!("{saw}; too long: {}", named(&long)), remedy);
    }
    if left_out.is_empty() {
        return Finding::pass("T9", saw);
    }
    let (n, which) = (left_out.len(), named(left_out));
    let remedy = "Shorten these rows, or set train.max_tokens to a number that holds them; none is cut.";
    Finding::fail("T9", format!("{saw}; {n} longer rows are left out of the run: {which}"), remedy)
}

/// The first names of a list with their tokens, and how many more there are.
fn named(rows: &[(String, usize)]) -> String {
    let listed: Vec<String> = rows.iter().take(LISTED).map(|(id, n)| format!("{} ({n})", one_line(id, 60))).collect();
    let more = if rows.len() > LISTED { format!(" and {} more", rows.len() - LISTED) } else { String::new() };
    format!("{}{more}", listed.join(", "))
}

/// What guard T8 looks at.
pub struct Order<'a> {
    pub run: &'a RunRules,
    pub rows: &'a [OrderRow],
    pub ids: &'a [String],
    pub bands: &'a Bands,
    pub middle: f64,
    pub orders: &'a [Vec<u32>],
    /// Of the simulation that says how far chance alone goes.
    pub seed: u64,
}

impl Order<'_> {
    /// Guard T8: the order is the strategy's, its mix of bands the expected one, and a run that goes on reads what it read
    /// before: the first ids of every epoch are written into the run's folder.
    pub fn t8(&self, run_dir: &Path) -> Finding {
        let defect = self.defect().or_else(|| self.differs_from_log(run_dir));
        if let Some(saw) = defect {
            return Finding::fail(
                "T8",
                saw,
                "Start the run anew ('stratos train --again'). Honest draws fail this for one seed in a hundred: with another seed \
                 it passes, or it is a defect of StratOS.",
            );
        }
        let strategy = format!("{:?}", self.run.order).to_lowercase();
        let rows: usize = self.orders.iter().map(Vec::len).sum();
        let saw = format!("{strategy} order of {rows} rows; {}", self.sampler().words());
        Finding::pass("T8", format!("{saw}; the first {LOGGED} ids of each epoch are in {ORDER_FILE}"))
    }

    fn sampler(&self) -> SamplerReport {
        let draws = Draws { strategy: self.run.order, rows: self.rows, ids: self.ids, bands: self.bands, orders: self.orders };
        SamplerReport::of(&draws, self.seed)
    }

    fn defect(&self) -> Option<String> {
        let first = self.orders.first()?;
        if let Some(unknown) = self.orders.iter().flatten().find(|i| **i as usize >= self.rows.len()) {
            return Some(format!("the order names row {unknown} of {}", self.rows.len()));
        }
        if self.run.order == OrderStrategy::Weighted {
            let sampler = self.sampler();
            return (!sampler.pass).then(|| sampler.words());
        }
        for (epoch, order) in self.orders.iter().enumerate() {
            let mut times = vec![0_u32; self.rows.len()];
            for i in order {
                times[*i as usize] += 1;
            }
            if let Some(i) = (0..times.len()).find(|i| times[*i] != self.rows[*i].repeats) {
                let (have, want) = (times[i], self.rows[i].repeats);
                return Some(format!("epoch {} reads row {i} {have} times instead of {want}", epoch + 1));
            }
        }
        if self.run.order == OrderStrategy::Curriculum {
            let clear = |i: &u32| {
                let score = self.rows[*i as usize].score;
                if score.is_finite() { (score - self.middle).abs() } else { 0.0 }
            };
            let at = first.windows(2).position(|pair| clear(&pair[0]) < clear(&pair[1]) - 1e-6);
            return at.map(|at| {
                format!("the curriculum is not one: row {} of the first epoch is clearer than the one before", at + 2)
            });
        }
        None
    }

    fn differs_from_log(&self, run_dir: &Path) -> Option<String> {
        let name = |i: &u32| self.ids.get(*i as usize).map_or("", String::as_str);
        let line = |(epoch, order): (usize, &Vec<u32>)| {
            let ids: Vec<&str> = order.iter().take(LOGGED).map(name).collect();
            format!("{}\n", serde_json::json!({"epoch": epoch + 1, "ids": ids}))
        };
        let planned: String = self.orders.iter().enumerate().map(line).collect();
        let path = run_dir.join(ORDER_FILE);
        match std::fs::read_to_string(&path) {
            Ok(logged) if logged == planned => None,
            Ok(logged) => {
                let epoch = logged.lines().zip(planned.lines()).take_while(|(a, b)| a == b).count() + 1;
                Some(format!("epoch {epoch} would read other rows than {} says this run began with", path.display()))
            }
            Err(_) => atomic_write(&path, planned.as_bytes()).err().map(|e| format!("the order cannot be written down: {e}")),
        }
    }
}
