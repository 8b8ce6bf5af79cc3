//! Page cost: what the plan would buy and for how much, what is kept, and the receipt.
//!
//! Owns the words around the engine's figures. Every amount is shown with its basis: measured, counted or assumed.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::Look;
use super::super::common::{grouped, next_step, sentence};
use crate::domain::{Phase, Usd, one_line};
use crate::engine::{DistillView, Forecast, PlanView, Receipt, ReceiptLine};
use crate::tui::overlays::approval::money;
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::text::{field, field_wrapped, pad, pad_left, wrapped};
use crate::tui::widgets::{bar, pane, text};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>) {
    let view = &look.snapshot.distill;
    // A second opinion or new articles: planned besides, and read before what the phase itself plans.
    let own = view.plan.as_ref();
    let aside = look.snapshot.planned.as_deref().filter(|planned| own.is_none_or(|plan| plan.digest != planned.digest));
    let Some(plan) = aside.or(own) else {
        let run = "There is no cost preview yet: run this phase to make one; nothing is bought before you approve it.";
        return sentence(frame, area, look, "Cost", &next_step(look.snapshot, Phase::Distill, run, run));
    };
    let title = if aside.is_some() { "Cost of what was planned last, besides the phase's own" } else { "Cost" };
    let inner = pane::pane(frame, area, look.theme, title, true);
    let (theme, columns) = (look.theme, inner.width.into());
    let mut lines = bought(theme, view, plan, columns);
    lines.push(Line::default());
    lines.extend(amounts(theme, plan));
    lines.extend(remarks(theme, plan, columns));
    lines.extend(price(theme, plan, columns));
    lines.push(Line::default());
    lines.extend(traces(theme, view, columns));
    if let Some(receipt) = &view.receipt {
        lines.push(Line::default());
        lines.extend(receipt_lines(theme, receipt, columns));
    }
    text::page(frame, inner, theme, lines, &look.tab.scroll);
}

/// What would be sent, to whom, and how many tokens that is.
fn bought(theme: &Theme, view: &DistillView, plan: &PlanView, columns: usize) -> Vec<Line<'static>> {
    let e = &plan.estimate;
    let what = format!("{} ({}): {}", plan.digest.short(), one_line(&plan.kind, 30), one_line(&plan.scope, 200));
    let key = if view.key.trim().is_empty() { String::new() } else { format!(" · key: {}", one_line(&view.key, 100)) };
    let teacher = format!("{} · {}{key}", one_line(&plan.teacher, 100), one_line(&plan.model, 100));
    let retries = if e.retries == 0 { String::new() } else { format!(", {} of them retries", e.retries) };
    let requests = format!("{} to send in {}{retries}", e.requests, counted(e.chunks, "batch", "batches"));
    let others = format!("{} answered and not bought again, {} under way, {} given up", e.answered, e.under_way, e.given_up);
    let mut lines = field_wrapped(theme, "plan", &what, columns);
    lines.extend(field_wrapped(theme, "teacher", &teacher, columns));
    lines.extend(field_wrapped(theme, "requests", &requests, columns));
    lines.extend(field_wrapped(theme, "", &others, columns));
    lines.extend(field_wrapped(theme, "tokens", &tokens(&e.forecast), columns));
    if let Some(before) = &e.before {
        lines.extend(field_wrapped(theme, "unmeasured", &tokens(before), columns));
    }
    lines
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn tokens(forecast: &Forecast) -> String {
    let again = forecast.retry_share * 100.0;
    let again = if again > 0.0 { format!(", {again:.1} % asked again") } else { String::new() };
    let (prompt, output) = (grouped(forecast.prompt_tokens), grouped(forecast.output_tokens));
    format!("{prompt} in, {output} out{again} ({})", forecast.basis.words())
}

/// Columns of an amount, and of the same amount before it was measured.
const NOW: usize = 12;
const BEFORE: usize = 18;

/// The money, one amount a row.
fn amounts(theme: &Theme, plan: &PlanView) -> Vec<Line<'static>> {
    let (e, before) = (&plan.estimate, plan.estimate.before.as_ref());
    let row = |label: &str, now: Usd, then: Option<String>| {
        let mut line = amount(theme, label, &money(now), Role::Strong);
        if before.is_some() {
            let then = then.unwrap_or_else(|| "—".into());
            line.push_span(Span::styled(pad_left(&then, BEFORE), theme.style(Role::Dim)));
        }
        line
    };
    let mut lines = Vec::new();
    if before.is_some() {
        let head = format!("{}{}{}", pad("", 13), pad_left("now", NOW), pad_left("before the pilot", BEFORE));
        lines.push(Line::styled(head, theme.style(Role::Dim)));
    }
    lines.push(row("expected", e.forecast.expected, before.map(|b| money(b.expected))));
    lines.push(row("95 %", e.forecast.p95, before.map(|b| money(b.p95))));
    lines.push(row("at worst", e.worst, None));
    if e.at_once > e.forecast.expected {
        let words = format!("{}  as a ceiling, this sends everything at once", pad_left(&money(e.at_once), NOW));
        lines.push(field(theme, "at once", &words, Role::Dim));
    }
    lines.push(ceiling(theme, plan));
    lines.push(spent(theme, plan));
    lines
}

fn amount(theme: &Theme, label: &str, value: &str, role: Role) -> Line<'static> {
    field(theme, label, &pad_left(value, NOW), role)
}

fn ceiling(theme: &Theme, plan: &PlanView) -> Line<'static> {
    let forecast = &plan.estimate.forecast;
    let (value, words, role) = match plan.approved {
        None => {
            let words = format!("? not approved: nothing is sent ({} suggested)", money(plan.suggested));
            ("—".to_owned(), words, Role::Warn)
        }
        Some(c) if c < forecast.expected => {
            (money(c), "! approved, below what is expected: the run stops there".into(), Role::Warn)
        }
        Some(c) if c < forecast.p95 => (money(c), "✓ approved, below the 95 %".into(), Role::Good),
        Some(c) => (money(c), "✓ approved".into(), Role::Good),
    };
    let mut line = amount(theme, "ceiling", &value, role);
    line.push_span(Span::styled(format!("  {words}"), theme.style(role)));
    line
}

fn spent(theme: &Theme, plan: &PlanView) -> Line<'static> {
    let reached = plan.approved.is_some_and(|ceiling| ceiling > Usd::ZERO && plan.spent >= ceiling);
    let (words, role) = if reached {
        ("! the ceiling is reached: nothing more is sent", Role::Warn)
    } else if plan.spent > Usd::ZERO {
        ("the most that is under way included", Role::Text)
    } else {
        ("", Role::Text)
    };
    let mut line = amount(theme, "spent so far", &money(plan.spent), role);
    line.push_span(Span::styled(format!("  {words}"), theme.style(if reached { role } else { Role::Dim })));
    line
}

fn remarks(theme: &Theme, plan: &PlanView, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(whole) = &plan.estimate.whole {
        let words = format!("{} expected, {} at 95 %, measured better after the pilot", money(whole.expected), money(whole.p95));
        lines.extend(field_wrapped(theme, "all pairs", &words, columns));
    }
    for remark in &plan.estimate.remarks {
        lines.extend(wrapped(theme, Role::Warn, &format!("! {}", one_line(remark, 600)), columns));
    }
    lines
}

fn price(theme: &Theme, plan: &PlanView, columns: usize) -> Vec<Line<'static>> {
    let price = &plan.estimate.price;
    let words = format!("{} · {}", one_line(&price.line(), 300), one_line(&price.source, 200));
    field_wrapped(theme, "price", &words, columns)
}

fn traces(theme: &Theme, view: &DistillView, columns: usize) -> Vec<Line<'static>> {
    let bar = bar::bar(view.kept as f64, view.pairs as f64, columns.saturating_sub(40).min(24));
    let rejected: usize = view.rejects.iter().map(|(_, n)| n).sum();
    let flagged = format!("{} kept traces outside their tier's word range", view.flagged);
    vec![
        field(theme, "kept", &format!("{} of {} pairs  {bar}", view.kept, view.pairs), Role::Text),
        field(theme, "rejected", &counted(rejected, "answer", "answers"), Role::Text),
        field(theme, "flagged", &flagged, Role::Text),
    ]
}

fn receipt_lines(theme: &Theme, receipt: &Receipt, columns: usize) -> Vec<Line<'static>> {
    let over = receipt.billed > receipt.estimated;
    let billed = format!("{}, {}", money(receipt.billed), gap(receipt.estimated, receipt.billed));
    let mut lines = vec![
        Line::styled("Receipt", theme.style(Role::Strong)),
        field(theme, "estimated", &money(receipt.estimated), Role::Text),
        field(theme, "billed", &billed, if over { Role::Warn } else { Role::Strong }),
    ];
    if receipt.perhaps > Usd::ZERO {
        let perhaps = format!("answers lost on the way are perhaps billed, up to {} more", money(receipt.perhaps));
        lines.extend(field_wrapped(theme, "", &perhaps, columns));
    }
    for line in &receipt.lines {
        lines.extend(receipt_line(theme, line, columns));
    }
    if let Some(per) = receipt.per_kept {
        // Two decimals hide what one trace costs.
        lines.push(field(
            theme,
            "per trace",
            &format!("{} $ per kept trace", per.amount().round_dp(5).normalize()),
            Role::Strong,
        ));
    }
    lines
}

/// "0.40 $ more than estimated"
fn gap(estimated: Usd, billed: Usd) -> String {
    if billed == estimated {
        return "as estimated".into();
    }
    let (sign, gap) = if billed > estimated { ("more", billed - estimated) } else { ("less", estimated - billed) };
    format!("{} {sign} than estimated", money(gap))
}

/// One plan of the receipt: its bill, its tokens, and what came of its answers.
fn receipt_line(theme: &Theme, line: &ReceiptLine, columns: usize) -> Vec<Line<'static>> {
    let ceiling = line.ceiling.map(|c| format!(", ceiling {}", money(c))).unwrap_or_default();
    let bill = format!(
        "{} {} · plan {}: estimated {}, billed {}{ceiling}",
        one_line(&line.provider, 60),
        one_line(&line.model, 80),
        line.plan.short(),
        money(line.estimated),
        money(line.billed),
    );
    let tokens = format!(
        "{} in, {} out, {:.0} % of the prompts read from the cache",
        grouped(line.tokens.prompt()),
        grouped(line.tokens.output),
        line.cache_share() * 100.0
    );
    let lost = match line.lost {
        0 => "none lost".to_owned(),
        n => format!("{} lost (perhaps billed up to {})", grouped(n), money(line.perhaps)),
    };
    let answers =
        format!("{} answers: {} kept, {} rejected, {lost}", grouped(line.answers), grouped(line.kept), grouped(line.rejected));
    let mut lines = field_wrapped(theme, line.kind.id(), &bill, columns);
    lines.extend(field_wrapped(theme, "", &tokens, columns));
    lines.extend(field_wrapped(theme, "", &answers, columns));
    lines
}
