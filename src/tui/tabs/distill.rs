//! The Distill tab: what the teacher's answers cost, where they are, what was rejected and why.
//!
//! Owns four pages: cost, batches, rejects, samples. Prices, counts and receipts are computed by the engine; nothing
//! here can spend.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::common::{age, empty_list, findings, grouped, list_title, matches, next_step, sentence};
use super::{Look, TabState};
use crate::domain::{Phase, Usd, one_line, safe_text};
use crate::engine::{BatchView, DistillView, PlanView, Receipt, RejectView, Sample, Snapshot};
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::list::List;
use crate::tui::widgets::text::{field, field_wrapped, wrapped};
use crate::tui::widgets::{bar, pane, text};

const BATCHES: usize = 1;
const REJECTS: usize = 2;
const SAMPLES: usize = 3;

fn batches<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a BatchView> {
    snapshot.distill.batches.iter().filter(|b| matches(&tab.filter, &[&b.remote, &b.state])).collect()
}

fn rejects<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a RejectView> {
    snapshot.distill.rejected.iter().filter(|r| matches(&tab.filter, &[&r.pair, &r.reason])).collect()
}

fn samples<'a>(snapshot: &'a Snapshot, tab: &TabState) -> Vec<&'a Sample> {
    let all = snapshot.distill.plan.as_ref().map_or(&[][..], |plan| plan.estimate.samples.as_slice());
    all.iter().filter(|s| matches(&tab.filter, &[&s.pair, &s.text])).collect()
}

pub fn rows(snapshot: &Snapshot, tab: &TabState) -> usize {
    match tab.page {
        BATCHES => batches(snapshot, tab).len(),
        REJECTS => rejects(snapshot, tab).len(),
        SAMPLES => samples(snapshot, tab).len(),
        _ => 0,
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let area = findings(frame, area, look, Phase::Distill);
    match look.tab.page {
        BATCHES => draw_batches(frame, area, look),
        REJECTS => draw_rejects(frame, area, look),
        SAMPLES => draw_samples(frame, area, look),
        _ => draw_cost(frame, area, look),
    }
}

fn draw_cost(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let view = &look.snapshot.distill;
    let Some(plan) = &view.plan else {
        let run = "There is no cost preview yet: run this phase to make one; nothing is bought before you approve it.";
        return sentence(frame, area, look, "Cost", &next_step(look.snapshot, Phase::Distill, run, run));
    };
    let inner = pane::pane(frame, area, look.theme, "Cost", true);
    let columns = inner.width.into();
    let mut lines = plan_lines(look.theme, plan, columns);
    lines.push(Line::default());
    lines.extend(trace_lines(look.theme, view, columns));
    if let Some(receipt) = &view.receipt {
        lines.push(Line::default());
        lines.extend(receipt_lines(look.theme, receipt, columns));
    }
    text::page(frame, inner, look.theme, lines, look.tab.scroll);
}

fn plan_lines(theme: &Theme, plan: &PlanView, columns: usize) -> Vec<Line<'static>> {
    let estimate = &plan.estimate;
    let forecast = &estimate.forecast;
    let teacher = format!("{} · {}", one_line(&plan.teacher, 100), one_line(&plan.model, 100));
    let tokens = format!(
        "{} in, {} out ({})",
        grouped(forecast.prompt_tokens),
        grouped(forecast.output_tokens),
        forecast.basis.words()
    );
    let requests = format!("{} to send, {} answered already and not bought again", estimate.requests, estimate.answered);
    let mut lines = vec![field(theme, "plan", &format!("{} ({})", plan.digest.short(), plan.kind), Role::Strong)];
    lines.extend(field_wrapped(theme, "teacher", &teacher, columns));
    lines.extend(field_wrapped(theme, "requests", &requests, columns));
    lines.extend(field_wrapped(theme, "tokens", &tokens, columns));
    lines.push(field(theme, "expected", &forecast.expected.to_string(), Role::Strong));
    lines.push(field(theme, "95 %", &forecast.p95.to_string(), Role::Strong));
    lines.push(field(theme, "at worst", &estimate.worst.to_string(), Role::Strong));
    lines.push(match plan.approved {
        Some(ceiling) if ceiling < forecast.expected => {
            field(theme, "ceiling", &format!("! {ceiling} approved, below what is expected"), Role::Warn)
        }
        Some(ceiling) => field(theme, "ceiling", &format!("✓ {ceiling} approved"), Role::Good),
        None => field(theme, "ceiling", "? not approved: nothing is sent", Role::Warn),
    });
    lines.extend(field_wrapped(theme, "price", &one_line(&estimate.price.line(), 300), columns));
    lines
}

fn trace_lines(theme: &Theme, view: &DistillView, columns: usize) -> Vec<Line<'static>> {
    let kept = format!(
        "{} of {} pairs  {}",
        view.kept,
        view.pairs,
        bar::bar(view.kept as f64, view.pairs as f64, columns.saturating_sub(40).min(24))
    );
    let rejected: usize = view.rejects.iter().map(|(_, n)| n).sum();
    vec![
        field(theme, "kept", &kept, Role::Text),
        field(theme, "rejected", &format!("{rejected} answers"), Role::Text),
        field(theme, "flagged", &format!("{} kept traces outside their tier's word range", view.flagged), Role::Text),
    ]
}

fn receipt_lines(theme: &Theme, receipt: &Receipt, columns: usize) -> Vec<Line<'static>> {
    let over = receipt.billed > receipt.estimated;
    let (sign, gap) =
        if over { ("more", receipt.billed - receipt.estimated) } else { ("less", receipt.estimated - receipt.billed) };
    let gap = if gap == Usd::ZERO { "as estimated".to_owned() } else { format!("{gap} {sign} than estimated") };
    let mut lines = vec![
        Line::styled("Receipt", theme.style(Role::Strong)),
        field(theme, "estimated", &receipt.estimated.to_string(), Role::Text),
        field(theme, "billed", &format!("{}, {gap}", receipt.billed), if over { Role::Warn } else { Role::Strong }),
    ];
    for line in &receipt.lines {
        let t = line.tokens;
        let text = format!("{} in, {} out in {} answers", grouped(t.prompt()), grouped(t.output), line.answers);
        lines.extend(field_wrapped(theme, line.kind.id(), &text, columns));
    }
    if let Some(per) = receipt.per_kept {
        // Two decimals hide what one trace costs.
        lines.push(field(theme, "price", &format!("{} $ per kept trace", per.amount().round_dp(5).normalize()), Role::Text));
    }
    lines
}

fn draw_batches(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let found = batches(look.snapshot, look.tab);
    if found.is_empty() {
        let run = "No batches were sent yet: approve the cost preview, then run this phase.";
        let words = next_step(look.snapshot, Phase::Distill, run, "Done without a batch: every answer was here already.");
        return empty_list(frame, area, look, "Batches", &words);
    }
    let title = list_title("Batches", look, found.len(), look.snapshot.distill.batches.len());
    let inner = pane::pane(frame, area, look.theme, &title, true);
    let remote = i16::try_from(usize::from(inner.width).saturating_sub(64).clamp(10, 40)).unwrap_or(10);
    let cells = |cells: [&str; 6]| {
        let widths = [-4, remote, 12, -11, -7, 18];
        let pairs: Vec<(&str, i16)> = cells.into_iter().zip(widths).collect();
        text::columns(&pairs)
    };
    let header = cells(["id", "remote", "state", "answered", "attempt", "age"]);
    let list = List { header: &header, total: found.len(), selected: look.tab.selected };
    list.draw(frame, inner, look.theme, |index, columns| {
        let b = found[index];
        let age = match b.ended {
            Some(ended) => format!("ended {} ago", age(look.now, ended)),
            None => age(look.now, b.created),
        };
        let answered = format!("{}/{}", b.answered, b.requests);
        let (remote, state) = (one_line(&b.remote, 80), one_line(&b.state, 40));
        let line = cells([&b.id.to_string(), &remote, &state, &answered, &b.attempt.to_string(), &age]);
        let role = if b.ended.is_some() { Role::Dim } else { Role::Text };
        Line::styled(text::cut(&line, columns), look.theme.style(role))
    });
}

fn draw_rejects(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let view = &look.snapshot.distill;
    let found = rejects(look.snapshot, look.tab);
    let most = view.rejects.iter().map(|(_, n)| *n).max().unwrap_or(0);
    let counts: Vec<Line<'static>> = view
        .rejects
        .iter()
        .map(|(kind, n)| {
            let text = text::columns(&[(&one_line(kind, 60), 28), (&n.to_string(), -6)]);
            Line::styled(format!(" {text}  {}", bar::bar(*n as f64, most as f64, 20)), look.theme.style(Role::Warn))
        })
        .collect();
    let rows = if look.tab.detail { 0 } else { counts.len().min(usize::from(area.height / 4)) };
    let (top, area) = pane::take_top(area, rows);
    text::page(frame, top, look.theme, counts, 0);
    if found.is_empty() {
        let run = "No answers yet: approve the cost preview, then run this phase.";
        let words = next_step(look.snapshot, Phase::Distill, run, "No answer was rejected.");
        return empty_list(frame, area, look, "Rejects", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let title = list_title("Rejects", look, found.len(), view.rejected.len());
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        List { header: "", total: found.len(), selected }.draw(frame, inner, look.theme, |index, columns| {
            let r = found[index];
            let line = format!("#{} {}  {}", r.attempt, one_line(&r.pair, 120), one_line(&r.reason, 200));
            Line::styled(text::cut(&line, columns), look.theme.style(Role::Text))
        });
    }
    if let Some(right) = right {
        let reject = found[selected];
        let inner = pane::pane(frame, right, look.theme, "Whole answer", look.tab.detail);
        let columns = inner.width.into();
        let head = format!("{}, attempt {}", one_line(&reject.pair, 300), reject.attempt);
        let mut lines = wrapped(look.theme, Role::Strong, &head, columns);
        lines.extend(wrapped(look.theme, Role::Warn, &one_line(&reject.reason, 1000), columns));
        lines.push(Line::default());
        let raw = safe_text(&reject.raw);
        let raw = if raw.trim().is_empty() { "(the answer is empty)" } else { &raw };
        lines.extend(wrapped(look.theme, Role::Text, raw, columns));
        text::page(frame, inner, look.theme, lines, look.tab.scroll);
    }
}

fn draw_samples(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let found = samples(look.snapshot, look.tab);
    if found.is_empty() {
        let run = "No requests to read yet: run this phase to make the cost preview.";
        let words = next_step(look.snapshot, Phase::Distill, run, "Every pair is answered; there is no request left to send.");
        return empty_list(frame, area, look, "Samples", &words);
    }
    let (left, right) = pane::list_and_detail(area, look.tab.detail);
    let selected = look.tab.selected.min(found.len() - 1);
    if let Some(left) = left {
        let total = look.snapshot.distill.plan.as_ref().map_or(0, |plan| plan.estimate.samples.len());
        let title = list_title("Samples", look, found.len(), total);
        let inner = pane::pane(frame, left, look.theme, &title, !look.tab.detail);
        List { header: "", total: found.len(), selected }.draw(frame, inner, look.theme, |index, columns| {
            Line::styled(text::cut(&one_line(&found[index].pair, 300), columns), look.theme.style(Role::Text))
        });
    }
    if let Some(right) = right {
        let inner = pane::pane(frame, right, look.theme, "Whole request", look.tab.detail);
        let lines = wrapped(look.theme, Role::Text, &safe_text(&found[selected].text), inner.width.into());
        text::page(frame, inner, look.theme, lines, look.tab.scroll);
    }
}
