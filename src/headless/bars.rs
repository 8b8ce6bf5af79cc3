//! Progress bars and the closing table, for people at a plain terminal or a log file.

use indicatif::{ProgressBar, ProgressStyle};

use super::{clean, say};
use crate::domain::Phase;
use crate::engine::{ApprovalRequest, Event, Level, MetricRow, ValidateView};

/// The bar of the phase that runs, and whether the operator asked to stop.
pub struct Bars {
    bar: Option<(Phase, ProgressBar)>,
    stops: usize,
    detail: String,
}

impl Bars {
    pub fn new() -> Self {
        Self { bar: None, stops: 0, detail: String::new() }
    }

    /// Counts a Ctrl-C; false for the second.
    pub fn asked_to_stop(&mut self) -> bool {
        self.stops += 1;
        if self.stops == 1 {
            self.line("stopping at the next safe point; Ctrl-C again ends at once");
        }
        self.stops == 1
    }

    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// A line above the bar.
    fn line(&self, text: &str) {
        match &self.bar {
            Some((_, bar)) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    pub fn show(&mut self, event: &Event) {
        match event {
            Event::PhaseStarted { phase } => self.start(*phase),
            Event::Progress { done, total, unit, message, .. } => self.progress(*done, *total, unit, message),
            Event::Step { step, total_steps, epoch, loss, tokens_per_second, .. } => {
                let detail = format!("epoch {epoch} · loss {loss:.3} · {tokens_per_second:.0} tokens/s{}", self.detail);
                self.progress(*step, *total_steps, "steps", &detail);
            }
            Event::EvalLoss { loss, .. } => self.detail = format!(" · eval loss {loss:.3}"),
            Event::Sample { step, id, score, defect, teacher, .. } => {
                let wrote = score.map_or_else(|| "no score".to_owned(), |s| format!("{s:.1}"));
                let form = defect.as_deref().unwrap_or("in the full format");
                self.line(&clean(&format!("  · step {step}: {id} wrote {wrote}, teacher {teacher:.1} ({form})")));
            }
            Event::Finding { finding, .. } if finding.failed() => {
                self.line(&clean(&format!("  ! {}: {} → {}", finding.guard, finding.saw, finding.remedy)));
            }
            Event::Approval { request } => {
                self.clear();
                say(&format!("? needs approval: {}", clean(&describe(request))));
                if let ApprovalRequest::Spend { notice: Some(notice), .. } = request {
                    say(&format!("  ! {}", clean(notice)));
                }
                say(&format!("  {}", request.how()));
            }
            Event::PhaseDone { phase, headline, seconds } => {
                self.clear();
                say(&format!("✓ {:<9} {}  ({seconds:.1} s)", phase.title(), clean(headline)));
            }
            Event::PhaseKept { phase, headline } => say(&format!("= {:<9} {}  (up to date)", phase.title(), clean(headline))),
            Event::PhaseStopped { phase } => {
                self.clear();
                say(&format!("■ {:<9} stopped; run again to go on", phase.title()));
            }
            Event::PhaseFailed { phase, reason, next } => {
                self.clear();
                say(&format!("✗ {:<9} {}", phase.title(), clean(reason)));
                say(&format!("  {}", clean(next)));
            }
            Event::Log { level: Level::Warn | Level::Error, text } => self.line(&format!("  ! {}", clean(text))),
            _ => {}
        }
    }

    fn start(&mut self, phase: Phase) {
        self.clear();
        self.detail.clear();
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("▶ {prefix:<9} {bar:24} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(phase.title());
        self.bar = Some((phase, bar));
    }

    fn progress(&mut self, done: u64, total: u64, unit: &str, message: &str) {
        let Some((_, bar)) = &self.bar else { return };
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(clean(&format!("{unit} {message}")));
    }
}

fn describe(request: &ApprovalRequest) -> String {
    match request {
        ApprovalRequest::Spend { plan, what, requests, expected, p95, worst, ceiling, .. } => format!(
            "{what}, plan {}, sends {requests} requests: expected {expected}, in 95 of 100 cases below {p95}, at worst {worst}; \
             a ceiling of {ceiling} would usually be enough",
            plan.short()
        ),
        ApprovalRequest::Dataset { dataset, rows, .. } => {
            format!("the statistics of dataset {} ({rows} rows) have to be read before training", dataset.short())
        }
    }
}

/// The validation table, 80 columns wide, with the verdict.
pub fn validation_lines(view: &ValidateView) -> Vec<String> {
    let mut lines = vec![String::new(), view.subject.clone().unwrap_or_default()];
    let names: Vec<&str> = view.table.first().map(|r| r.baselines.iter().map(|(n, _)| n.as_str()).collect()).unwrap_or_default();
    let header = names.iter().fold(String::new(), |header, name| header + &format!("{name:>15}"));
    lines.push(format!("{:<22}{:>8} {:>17}{:>6}{header}", "metric", "model", "95 % interval", "n"));
    lines.extend(view.table.iter().map(row));
    if !view.sanity.is_empty() {
        lines.push(String::new());
        lines.push(format!("{:<44}{:<26}{:>12}{:>9}", "sanity", "reader", "expected", "student"));
    }
    for cell in &view.sanity {
        let student = cell.student.map_or_else(|| "—".to_owned(), |s| format!("{s:.1}"));
        let mark = if cell.passed { "✓" } else { "✗" };
        let article = crate::domain::one_line(&cell.article, 42);
        lines.push(clean(&format!("{article:<44}{:<26}{:>12}{student:>7} {mark}", cell.profile, cell.expected)));
    }
    lines.push(String::new());
    lines.extend(view.think.iter().map(|line| clean(line)));
    lines.push(String::new());
    lines.push(clean(&view.verdict));
    lines.extend(view.verdict_lines.iter().map(|line| clean(&format!("  {line}"))));
    lines
}

fn row(row: &MetricRow) -> String {
    let baselines = row.baselines.iter().fold(String::new(), |text, (_, value)| text + &format!("{value:>15}"));
    let weak = if row.weak { " few rows" } else { "" };
    format!("{:<22}{:>8} {:>17}{:>6}{baselines}{weak}", row.name, row.model, row.interval, row.n)
}
