//! The money guards: whether the ledger's books are in order, from what is stored.
//!
//! Each reads facts and changes nothing. What they guard against is made impossible elsewhere (write-ahead rows, joins by
//! id, raw bytes first); these say that it held, and find a workspace whose files were tampered with.

use super::receipt::receipt;
use super::{DistillError, Plan};
use crate::domain::{Finding, UnixMillis};
use crate::workspace::{Ledger, PlanRow, RawStore, RequestState, SubmissionRow, SubmissionState};

/// The findings over some plans and their submissions.
pub fn examine_books(ledger: &Ledger, raw: &RawStore, plans: &[PlanRow], at: UnixMillis) -> Result<Vec<Finding>, DistillError> {
    let mine: Vec<SubmissionRow> =
        ledger.submissions()?.into_iter().filter(|s| plans.iter().any(|p| p.digest == s.plan)).collect();
    let mut findings = Vec::new();
    findings.extend(bill(ledger, plans)?);
    findings.extend(price(plans, at));
    findings.push(unsettled(&mine));
    findings.push(raw_bytes(ledger, raw, &mine)?);
    findings.push(cut_answers(ledger, plans)?);
    findings.push(ends(ledger, plans)?);
    findings.push(complete(ledger, &mine)?);
    Ok(findings)
}

/// M1: the bill against what was said to stay below.
fn bill(ledger: &Ledger, plans: &[PlanRow]) -> Result<Option<Finding>, DistillError> {
    let receipt = receipt(ledger, plans)?;
    let mut saw = Vec::new();
    let mut over = false;
    for line in &receipt.lines {
        let Some(plan) = plans.iter().find(|p| p.digest == line.plan).and_then(Plan::of_row) else { continue };
        let p95 = plan.estimate.forecast.p95;
        over |= line.billed > p95;
        saw.push(format!("{} billed {} of {} expected, {p95} at 95 %", line.plan.short(), line.billed, line.estimated));
    }
    if saw.is_empty() {
        return Ok(None);
    }
    let saw = saw.join("; ");
    Ok(Some(if over {
        Finding::fail("M1", saw, "Plan the rest anew: it is forecast from what these answers used.")
    } else {
        Finding::pass("M1", saw)
    }))
}

/// M2: the price row is the one of the model id that was sent, and somebody looked at it lately.
fn price(plans: &[PlanRow], at: UnixMillis) -> Option<Finding> {
    let last = plans.iter().filter_map(|row| Plan::of_row(row).map(|plan| (row, plan))).next_back()?;
    let (row, plan) = last;
    let price = &plan.estimate.price;
    if price.model != row.model || price.provider != row.provider {
        let saw = format!("plan {} asks {} and is priced as {}", row.digest.short(), row.model, price.model);
        return Some(Finding::fail("M2", saw, "Do not approve it; make a new plan."));
    }
    let remarks = price.remarks(at);
    let saw = format!("priced by the id that is sent: {}", price.line());
    Some(if remarks.is_empty() {
        Finding::pass("M2", saw)
    } else {
        Finding::fail("M2", format!("{saw}; {}", remarks.join("; ")), "Look the price up and mend data/prices.toml.")
    })
}

/// M3: no submission of which nobody knows whether it was made.
fn unsettled(submissions: &[SubmissionRow]) -> Finding {
    let open: Vec<String> = submissions
        .iter()
        .filter(|s| matches!(s.state, SubmissionState::Unknown | SubmissionState::Submitting))
        .map(|s| s.id.to_string())
        .collect();
    if open.is_empty() {
        return Finding::pass("M3", format!("each of {} submissions was made once, or not at all", submissions.len()));
    }
    Finding::fail(
        "M3",
        format!("submissions {} are unsettled", open.join(", ")),
        "Run the phase again, or 'stratos distill settle'.",
    )
}

/// M4: the bytes of every imported batch are on the disk, whole.
fn raw_bytes(ledger: &Ledger, raw: &RawStore, submissions: &[SubmissionRow]) -> Result<Finding, DistillError> {
    let (mut files, mut bytes, mut lost) = (0, 0, Vec::new());
    for s in submissions.iter().filter(|s| s.state == SubmissionState::Imported) {
        let Some(file) = ledger.raw_of(s.id)? else { continue };
        let size = std::fs::metadata(raw.path(&file.name)).map_or(0, |m| m.len());
        if size == file.bytes {
            (files, bytes) = (files + 1, bytes + size);
        } else {
            lost.push(file.name);
        }
    }
    Ok(if lost.is_empty() {
        Finding::pass("M4", format!("{files} result files, {bytes} bytes, as they came"))
    } else {
        let remedy = "Restore .stratos/raw from a backup; the answers themselves are still in the ledger.";
        Finding::fail("M4", format!("result files are missing or changed: {}", lost.join(", ")), remedy)
    })
}

/// M6: cut answers were asked again with more room, never as they were.
fn cut_answers(ledger: &Ledger, plans: &[PlanRow]) -> Result<Finding, DistillError> {
    let (mut cut, mut answered) = (0, 0);
    for plan in plans {
        answered += ledger.usage(&plan.digest)?.requests;
        cut += ledger.rejects(&plan.digest)?.iter().filter(|r| r.reject.kind() == "truncated").count();
    }
    let saw = format!("{cut} of {answered} billed answers were cut by the token limit");
    Ok(if answered >= 20 && cut as f64 > 0.05 * answered as f64 {
        Finding::fail("M6", saw, "Raise teacher.max_output_tokens in the recipe: a cut answer is paid and useless.")
    } else {
        Finding::pass("M6", saw)
    })
}

/// M9: every request ended as kept or rejected.
fn ends(ledger: &Ledger, plans: &[PlanRow]) -> Result<Finding, DistillError> {
    let count = |state| -> Result<usize, DistillError> {
        plans.iter().filter(|p| p.void.is_none()).try_fold(0, |n, p| Ok(n + ledger.count_requests(&p.digest, state)?))
    };
    let (planned, sent) = (count(RequestState::Planned)?, count(RequestState::Submitted)?);
    let saw = format!(
        "{} requests kept, {} rejected, {sent} under way, {planned} not sent",
        count(RequestState::Kept)?,
        count(RequestState::Rejected)?
    );
    Ok(if planned + sent == 0 { Finding::pass("M9", saw) } else { Finding::fail("M9", saw, "Run the phase again.") })
}

/// M10: every imported batch has one answer for each of its requests.
fn complete(ledger: &Ledger, submissions: &[SubmissionRow]) -> Result<Finding, DistillError> {
    let mut short = Vec::new();
    let imported: Vec<&SubmissionRow> = submissions.iter().filter(|s| s.state == SubmissionState::Imported).collect();
    for s in &imported {
        let open = ledger.requests_of(s.id)?.iter().filter(|r| r.state == RequestState::Submitted).count();
        if open > 0 {
            short.push(format!("{} lacks {open}", s.id));
        }
    }
    Ok(if short.is_empty() {
        Finding::pass("M10", format!("{} batches brought an answer for each of their requests", imported.len()))
    } else {
        let remedy = "Import the whole result file again: 'stratos distill import FILE'.";
        Finding::fail("M10", format!("batches are incomplete: {}", short.join(", ")), remedy)
    })
}
