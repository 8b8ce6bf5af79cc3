//! The machine under a run: memory, processors, cards, with the last minutes of each, and the memory that was forecast.
//!
//! Owns the words and the bars. Reading the machine is the engine's.

use std::collections::VecDeque;

use ratatui::text::{Line, Span};

use super::scene::{Scene, bytes};
use crate::domain::one_line;
use crate::engine::GpuView;
use crate::tui::charts::signs::{ascii, bar, spark};
use crate::tui::theme::Role;
use crate::tui::widgets::text::{pad, width, wrapped};

/// Cells of a gauge's name.
const NAME: usize = 9;
/// Cells of its bar at most.
const BAR: usize = 16;
/// °C at the top of a temperature's line.
const HOT: u8 = 100;

/// One gauge: name, bar, reading, the last minutes.
struct Gauge<'a> {
    name: &'a str,
    /// Of 1; `None`: it has no end.
    share: Option<f64>,
    reading: String,
    history: Option<(&'a VecDeque<u8>, u8)>,
}

fn line(scene: &Scene<'_>, gauge: &Gauge<'_>, columns: usize) -> Line<'static> {
    let ascii = ascii(scene.theme);
    let style = |role| scene.theme.style(role);
    let mut spans = vec![Span::styled(pad(gauge.name, NAME), style(Role::Dim))];
    let room = columns.saturating_sub(NAME + 1 + width(&gauge.reading));
    // The reading goes first, then half of what is left each for bar and history.
    let cells = (room / 2).min(BAR);
    if let Some(share) = gauge.share.filter(|_| cells >= 4) {
        spans.push(Span::styled(bar(share, cells, ascii), style(Role::Gauge)));
        spans.push(Span::raw(" "));
    }
    spans.push(Span::styled(gauge.reading.clone(), style(Role::Text)));
    let used: usize = spans.iter().map(|s| width(&s.content)).sum();
    if let Some((history, most)) = gauge.history.filter(|(h, _)| !h.is_empty() && columns > used + 4) {
        let cells = (columns - used - 1).min(history.len()).min(60);
        spans.push(Span::styled(format!(" {}", spark(history, most, cells, ascii)), style(Role::Gauge)));
    }
    Line::from(spans)
}

fn share(part: u64, total: u64) -> Option<f64> {
    (total > 0).then(|| part as f64 / total as f64)
}

/// Every gauge in full.
pub fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let m = scene.machine;
    if m.total == 0 {
        let words = "The machine is looked at while a job runs.";
        return wrapped(scene.theme, Role::Dim, words, columns);
    }
    let percent = |v: f32| format!("{:.0} %", v * 100.0);
    let mut gauges = vec![
        Gauge {
            name: "RAM",
            share: share(m.used, m.total),
            reading: format!("{} of {}", bytes(m.used), bytes(m.total)),
            history: Some((&m.history.ram, 100)),
        },
        Gauge {
            name: "engine",
            share: share(m.process, m.total),
            reading: format!("{}, at most {}", bytes(m.process), bytes(m.peak)),
            history: Some((&m.history.process, 100)),
        },
    ];
    if let Some(child) = m.child {
        gauges.push(Gauge { name: "trainer", share: share(child, m.total), reading: bytes(child), history: None });
    }
    gauges.push(Gauge {
        name: "CPU",
        share: Some(m.machine_cpu.into()),
        reading: format!("{}, engine {} of all cores", percent(m.machine_cpu), percent(m.cpu)),
        history: Some((&m.history.cpu, 100)),
    });
    if let Some(celsius) = m.temperature {
        let history = Some((&m.history.temperature, HOT));
        gauges.push(Gauge { name: "CPU heat", share: None, reading: format!("{celsius:.0} °C"), history });
    }
    let mut lines: Vec<Line<'static>> = gauges.iter().map(|g| line(scene, g, columns)).collect();
    lines.extend(wrapped(scene.theme, Role::Text, &forecast(scene), columns));
    for (i, card) in m.gpus.iter().enumerate() {
        lines.extend(gpu(scene, card, i == 0, columns));
    }
    if m.gpus.is_empty() && !m.no_gpu.is_empty() {
        lines.push(Line::styled(one_line(&m.no_gpu, columns), scene.theme.style(Role::Dim)));
    }
    lines
}

fn gpu(scene: &Scene<'_>, card: &GpuView, first: bool, columns: usize) -> Vec<Line<'static>> {
    let history = &scene.machine.history;
    let of = |track| if first { Some((track, 100)) } else { None };
    let mut lines = vec![Line::styled(one_line(&card.name, columns), scene.theme.style(Role::Strong))];
    if let Some((used, total)) = card.memory() {
        let reading = format!("{} of {}", bytes(used), bytes(total));
        lines.push(line(scene, &Gauge { name: "VRAM", share: share(used, total), reading, history: of(&history.vram) }, columns));
    }
    if let Some(busy) = card.busy {
        let gauge =
            Gauge { name: "GPU", share: Some(f64::from(busy) / 100.0), reading: format!("{busy} %"), history: of(&history.gpu) };
        lines.push(line(scene, &gauge, columns));
    }
    let mut rest: Vec<String> = card.temperature.map(|t| format!("{t:.0} °C")).into_iter().collect();
    match (card.power, card.power_limit) {
        (Some(drawn), Some(limit)) => rest.push(format!("{drawn:.0} W of {limit:.0} W")),
        (Some(drawn), None) => rest.push(format!("{drawn:.0} W")),
        _ => {}
    }
    if !rest.is_empty() {
        let reading = rest.join(" · ");
        lines.push(line(scene, &Gauge { name: "", share: None, reading, history: None }, columns));
    }
    lines
}

/// "memory 2.0 GiB of 2.2 GiB forecast (−9 %)"
pub fn forecast(scene: &Scene<'_>) -> String {
    let held = scene.machine.peak;
    match scene.train.forecast {
        None if scene.train.elsewhere => "memory of a trainer elsewhere is not forecast".into(),
        None => "no forecast of memory for this run".into(),
        Some(forecast) if held == 0 || !scene.is_live() => format!("forecast {} of memory", bytes(forecast)),
        Some(forecast) => {
            let off = (held as f64 - forecast as f64) / forecast.max(1) as f64 * 100.0;
            let sign = if off < 0.0 { "−" } else { "+" };
            format!("memory {} at most, {} forecast ({sign}{:.0} %)", bytes(held), bytes(forecast), off.abs())
        }
    }
}

/// One line for a narrow screen.
pub fn condensed(scene: &Scene<'_>, columns: usize) -> Line<'static> {
    let m = scene.machine;
    if m.total == 0 {
        return Line::styled(forecast(scene), scene.theme.style(Role::Dim));
    }
    let ascii = ascii(scene.theme);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let memory = |name: &str, used: u64, total: u64| format!("{name} {:.1}/{:.1} GiB", gib(used), gib(total));
    let mut parts: Vec<(String, Option<&VecDeque<u8>>)> = Vec::new();
    match m.gpus.first() {
        Some(card) => {
            parts.extend(card.memory().map(|(used, total)| (memory("VRAM", used, total), Some(&m.history.vram))));
            parts.extend(card.busy.map(|busy| (format!("GPU {busy} %"), Some(&m.history.gpu))));
            parts.extend(card.temperature.map(|t| (format!("{t:.0} °C"), None)));
            parts.extend(card.power.map(|w| (format!("{w:.0} W"), None)));
        }
        None if !m.no_gpu.is_empty() => parts.push((one_line(&m.no_gpu, 30), None)),
        None => {}
    }
    parts.insert(0, (memory("RAM", m.used, m.total), Some(&m.history.ram)));
    parts.insert(1, (format!("engine {}", bytes(m.process)), None));
    parts.insert(2, (format!("CPU {:.0} %", m.machine_cpu * 100.0), Some(&m.history.cpu)));
    // What does not fit goes whole, the least urgent first.
    while parts.len() > 1 && parts.iter().map(|(text, _)| width(text) + 2).sum::<usize>() > columns + 2 {
        parts.pop();
    }
    let words: usize = parts.iter().map(|(text, _)| width(text) + 2).sum();
    let lines = parts.iter().filter(|(_, h)| h.is_some_and(|h| !h.is_empty())).count();
    // What is left of the line goes to the histories, evenly.
    let cells = columns.saturating_sub(words).checked_div(lines).unwrap_or(0).saturating_sub(1).min(12);
    let mut spans = Vec::new();
    for (text, history) in parts {
        spans.push(Span::styled(text, scene.theme.style(Role::Text)));
        if let Some(history) = history.filter(|h| !h.is_empty() && cells >= 3) {
            spans.push(Span::styled(
                format!(" {}", spark(history, 100, cells.min(history.len()), ascii)),
                scene.theme.style(Role::Gauge),
            ));
        }
        spans.push(Span::raw("  "));
    }
    Line::from(spans)
}
