//! A chart: curves over steps, with axes that say their units.
//!
//! ```text
//! ┌ loss, nats a token ── ─ train  • eval ┐
//! │4.2 ┤⠉⠒⢄                               │
//! │2.1 ┤   ⠑⠢⣀  •                         │
//! │0.0 ┤      ⠉⠒⠒⠤⠤⠤•⠤⠤                   │
//! │     1            50          100 steps│
//! └───────────────────────────────────────┘
//! ```
//!
//! Owns scales, ticks and what falls where. Spikes are kept: a stretch is drawn from its lowest to its highest value. What
//! is no number is a mark on the lower edge, and breaks its line.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::canvas::{Canvas, Ink};
use super::series::{Series, Stretch, joined, usual_distance};
use super::signs;
use crate::tui::theme::{Role, Theme};
use crate::tui::widgets::text::{pad_left, width};

/// Cells under which axes would leave no room for a curve.
const SMALLEST_WITH_AXES: (u16, u16) = (20, 4);

pub struct Plot<'a> {
    /// "loss, nats a token"
    pub name: &'a str,
    /// What its marks mean: (mark, words).
    pub legend: Vec<(Ink, String)>,
    /// The later above the earlier.
    pub series: Vec<Series>,
    pub log: bool,
    pub cross: Option<u64>,
    /// Said where there is nothing to draw.
    pub nothing: &'a str,
    pub focus: bool,
}

/// How values become heights.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    left: f64,
    right: f64,
    /// After the logarithm, if there is one.
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// `None` without a number. A flat curve gets room around it.
    fn of(series: &[Series], log: bool) -> Option<Self> {
        let all = || series.iter().flat_map(|s| &s.stretches);
        let numbers = || all().filter(|s| s.mean.is_some());
        let (left, right) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, r), s| (l.min(s.first), r.max(s.last)));
        let least_positive = numbers().map(|s| s.low).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        // Without a positive value there is no logarithm to draw.
        let log = log && least_positive.is_finite();
        let of = |v: f64| if log { v.max(least_positive).log10() } else { v };
        let (low, high) = numbers().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), s| (l.min(of(s.low)), h.max(of(s.high))));
        if !low.is_finite() || !high.is_finite() {
            return None;
        }
        let margin = if high > low { (high - low) * 0.05 } else { (high.abs() * 0.1).max(if log { 0.1 } else { 1e-9 }) };
        // What is never below nought has no axis below it.
        let floor = if !log && low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Some(Self { left, right: right.max(left + 1.0), low: (low - margin).max(floor), high: high + margin, log })
    }

    /// Share of the height, from below, of a value.
    fn height(&self, value: f64) -> f64 {
        let v = if self.log { if value > 0.0 { value.log10() } else { self.low } } else { value };
        ((v - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn across(&self, step: f64) -> f64 {
        ((step - self.left) / (self.right - self.left)).clamp(0.0, 1.0)
    }

    /// The value at a share of the height.
    fn value(&self, height: f64) -> f64 {
        let v = self.low + height * (self.high - self.low);
        if self.log { 10f64.powf(v) } else { v }
    }
}

/// A number of an axis or of a reading, short: "0.532", "1.2e-4", "12k". `near` is what it must be told apart from.
pub fn short(value: f64, near: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "no number".into();
    }
    if size >= 1e6 {
        format!("{:.1}M", value / 1e6)
    } else if size >= 1e4 {
        format!("{:.0}k", value / 1e3)
    } else if size > 0.0 && size < 1e-3 {
        format!("{value:.1e}")
    } else {
        let near = near.abs().max(1e-6);
        let digits = (-near.log10().floor()).clamp(0.0, 5.0) as usize;
        format!("{value:.digits$}")
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, theme: &Theme, plot: &Plot<'_>) {
    let inner = framed(frame, area, theme, plot);
    if inner.is_empty() {
        return;
    }
    let Some(scale) = Scale::of(&plot.series, plot.log) else {
        frame.render_widget(Paragraph::new(Span::styled(plot.nothing, theme.style(Role::Dim))), inner);
        return;
    };
    let (width, height) = SMALLEST_WITH_AXES;
    let axes = inner.width >= width && inner.height >= height;
    let field = if axes { axis(frame, inner, theme, &scale) } else { inner };
    let mut canvas = Canvas::new(field.width, field.height, signs::ascii(theme));
    for series in &plot.series {
        curve(&mut canvas, series, &scale);
    }
    let cross = plot.cross.map(|step| canvas.column(across(&canvas, &scale, step as f64)));
    canvas.draw(field, frame.buffer_mut(), theme, cross);
}

/// The frame with the name of the chart and of its marks.
fn framed(frame: &mut Frame<'_>, area: Rect, theme: &Theme, plot: &Plot<'_>) -> Rect {
    let ascii = signs::ascii(theme);
    let mark = if plot.focus { "» " } else { "" };
    let log = if plot.log { ", log" } else { "" };
    let mut title = vec![Span::styled(format!(" {mark}{}{log} ", plot.name), theme.style(Role::Strong))];
    let mut used = width(&title[0].content);
    for (ink, words) in &plot.legend {
        let text = format!("{} {words} ", ink.sign(ascii));
        used += width(&text);
        if used + 2 <= usize::from(area.width) {
            title.push(Span::styled(text, theme.style(ink.role())));
        }
    }
    let block = signs::block(theme).title(Line::from(title)).border_style(theme.style(Role::Border));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

/// Labels on the left and below; gives what is left for the curves.
fn axis(frame: &mut Frame<'_>, area: Rect, theme: &Theme, scale: &Scale) -> Rect {
    let rows = area.height - 1;
    let ticks = rows.div_ceil(4).clamp(2, 8);
    // A fifth of the distance: neighbours are told apart, and a value is not rounded onto one.
    let spread = if scale.log { 0.0 } else { (scale.high - scale.low) / f64::from(ticks) / 5.0 };
    let at = |i: u16| {
        let row = u32::from(i) * u32::from(rows - 1) / u32::from(ticks - 1);
        let value = scale.value(1.0 - (f64::from(row) + 0.5) / f64::from(rows));
        let near = if scale.log { value / 10.0 } else { spread };
        (row as u16, short(value, near))
    };
    let labels: Vec<(u16, String)> = (0..ticks).map(at).collect();
    let gutter = labels.iter().map(|(_, text)| width(text)).max().unwrap_or(0) + 1;
    let wide = u16::try_from(gutter + 1).unwrap_or(u16::MAX);
    let dim = theme.style(Role::Dim);
    let (plain, tick) = if signs::ascii(theme) { ("|", "+") } else { ("│", "┤") };
    for row in 0..rows {
        let label = labels.iter().find(|(at, _)| *at == row);
        let text = label.map_or_else(|| " ".repeat(gutter) + plain, |(_, text)| pad_left(text, gutter - 1) + " " + tick);
        frame.buffer_mut().set_stringn(area.x, area.y + row, text, area.width.into(), dim);
    }
    let field = Rect { x: area.x + wide, y: area.y, width: area.width.saturating_sub(wide), height: rows };
    steps(frame, field, theme, scale);
    field
}

/// First, middle and last step under the curves, as far as they have room.
fn steps(frame: &mut Frame<'_>, field: Rect, theme: &Theme, scale: &Scale) {
    let (dim, y, room) = (theme.style(Role::Dim), field.y + field.height, usize::from(field.width));
    let first = format!("{:.0}", scale.left);
    let last = format!("{:.0} steps", scale.right);
    let middle = format!("{:.0}", f64::midpoint(scale.left, scale.right));
    if width(&first) + width(&last) + 1 > room {
        frame.buffer_mut().set_stringn(field.x, y, &last, room, dim);
        return;
    }
    frame.buffer_mut().set_stringn(field.x, y, &first, room, dim);
    let at = room - width(&last);
    frame.buffer_mut().set_stringn(field.x + at as u16, y, &last, room, dim);
    let centre = (room / 2).saturating_sub(width(&middle) / 2);
    if centre > width(&first) + 1 && centre + width(&middle) + 1 < at && scale.right - scale.left >= 2.0 {
        frame.buffer_mut().set_stringn(field.x + centre as u16, y, &middle, room, dim);
    }
}

fn across(canvas: &Canvas, scale: &Scale, step: f64) -> usize {
    (scale.across(step) * canvas.width().saturating_sub(1) as f64).round() as usize
}

fn curve(canvas: &mut Canvas, series: &Series, scale: &Scale) {
    let bottom = canvas.height().saturating_sub(1);
    let down = |value: f64| ((1.0 - scale.height(value)) * bottom as f64).round() as usize;
    let usual = usual_distance(&series.stretches);
    let mut before: Option<(&Stretch, (usize, usize))> = None;
    for s in &series.stretches {
        let x = across(canvas, scale, f64::midpoint(s.first, s.last));
        if s.hole {
            canvas.dot(x, bottom, Ink::Hole);
        }
        let Some(mean) = s.mean else {
            before = None;
            continue;
        };
        if series.ink == Ink::Line || series.ink == Ink::Raw {
            let (low, high) = (down(s.low), down(s.high));
            if low != high {
                canvas.line((x, high), (x, low), Ink::Raw);
            }
        }
        let here = (x, down(mean));
        match before.filter(|(b, _)| series.ink.is_joined() && joined(b, s, usual)) {
            Some((_, from)) => canvas.line(from, here, series.ink),
            None => canvas.dot(here.0, here.1, series.ink),
        }
        before = Some((s, here));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::series::{recent, whole};
    use super::*;
    use crate::engine::Curve;

    fn plot(series: Vec<Series>) -> Plot<'static> {
        let legend = vec![(Ink::Line, "train".into()), (Ink::Points, "eval".into())];
        Plot { name: "loss, nats a token", legend, series, log: false, cross: None, nothing: "no step yet", focus: false }
    }

    fn drawn(plot: &Plot<'_>, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, frame.area(), &Theme::default(), plot)).unwrap();
        terminal.backend().to_string()
    }

    fn line(values: impl IntoIterator<Item = (u64, f64)>) -> Series {
        Series { ink: Ink::Line, stretches: recent(&values.into_iter().collect::<Curve>()) }
    }

    #[test]
    fn a_chart_names_its_curves_its_units_and_its_steps() {
        let train = line((1..=200).map(|step| (step, 4.0 / step as f64)));
        let eval = Series { ink: Ink::Points, stretches: recent(&[(100, 1.0), (200, 0.5)].into_iter().collect()) };
        let text = drawn(&plot(vec![train, eval]), 70, 16);
        for word in ["loss, nats a token", "─ train", "• eval", "200 steps", "•", "100"] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_a_mark_and_breaks_the_line() {
        let text = drawn(&plot(vec![line([(1, 1.0), (2, f64::NAN), (3, 1.0)])]), 40, 8);
        assert_eq!(text.matches('×').count(), 1, "{text}");
        let text = drawn(&plot(vec![line([(7, f64::NAN)])]), 40, 8);
        assert!(text.contains("no step yet"), "{text}");
    }

    #[test]
    fn missing_steps_are_a_gap() {
        let count = |text: String| text.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        let whole = count(drawn(&plot(vec![line((1..=100).map(|s| (s, 1.0)))]), 60, 8));
        let gap = count(drawn(&plot(vec![line((1..=20).chain(80..=100).map(|s| (s, 1.0)))]), 60, 8));
        assert!(whole > gap + 20, "{whole} and {gap}");
    }

    #[test]
    fn a_spike_of_a_million_steps_is_seen() {
        let curve: Curve = (1..=1_000_000).map(|s| (s, if s == 654_321 { 9.0 } else { 1.0 })).collect();
        let text = drawn(&plot(vec![Series { ink: Ink::Line, stretches: whole(&curve) }]), 80, 12);
        let top = text.lines().nth(2).unwrap();
        assert!(top.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
    }

    #[test]
    fn the_crosshair_is_a_column_even_where_there_is_no_curve() {
        let mut plot = plot(vec![line((1..=9).map(|s| (s, 1.0)))]);
        plot.cross = Some(5);
        let text = drawn(&plot, 40, 10);
        assert!(text.lines().filter(|l| l.matches('│').count() >= 3).count() >= 5, "{text}");
    }

    #[test]
    fn numbers_are_short_and_tell_apart_what_stands_beside_them() {
        for (value, near, expected) in [
            (0.5321, 0.1, "0.5"),
            (0.5321, 0.001, "0.532"),
            (1.2e-4, 1.0, "1.2e-4"),
            (12_345.0, 1.0, "12k"),
            (2_500_000.0, 1.0, "2.5M"),
            (0.0, 0.5, "0.0"),
            (f64::NAN, 1.0, "no number"),
        ] {
            assert_eq!(short(value, near), expected);
        }
    }

    #[test]
    fn a_logarithm_keeps_small_values_apart_and_takes_nought() {
        let values = [(1, 100.0), (2, 0.0), (3, 0.01), (4, -1.0)];
        let mut plot = plot(vec![line(values)]);
        plot.log = true;
        let text = drawn(&plot, 60, 12);
        assert!(text.contains(", log") && text.contains("0.01"), "{text}");
    }

    proptest! {
        #[test]
        fn any_size_and_any_curve_draw(
            values in prop::collection::vec((any::<u64>(), prop::num::f64::ANY), 0..40),
            size in (0u16..70, 0u16..20),
            log in any::<bool>(),
            cross in any::<Option<u64>>(),
        ) {
            let mut plot = plot(vec![line(values)]);
            (plot.log, plot.cross) = (log, cross);
            drawn(&plot, size.0.max(1), size.1.max(1));
        }
    }
}
