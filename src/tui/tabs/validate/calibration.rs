//! The calibration plot: mean truth of what was predicted, against the diagonal of a perfect judge.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{interval, name_of, number};
use crate::domain::safe_text;
use crate::engine::{Bin, EvaluationView};
use crate::tui::charts::canvas::{Canvas, Ink};
use crate::tui::tabs::Look;
use crate::tui::theme::Role;
use crate::tui::widgets::list::List;
use crate::tui::widgets::pane::{list_and_detail, pane, take_top};
use crate::tui::widgets::text::{from_top, pad_left, wrapped};

/// Columns of the numbers beside the plot.
const AXIS: u16 = 5;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let (left, right) = list_and_detail(area, look.tab.detail, look.tab.share);
    if let Some(area) = left {
        table(frame, area, look, view);
    }
    if let Some(area) = right {
        plot(frame, area, look, view);
    }
}

fn table(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let inner = pane(frame, area, look.theme, &name_of(view), !look.tab.detail);
    let ece = number(view.ece, 3);
    let readable: usize = view.bins.iter().map(|b| b.n).sum();
    let mut head = vec![format!("expected calibration error {ece} points over {readable} readable rows")];
    head.extend(view.calibrator.as_ref().map(|words| safe_text(words)));
    let mut lines: Vec<Line<'static>> =
        head.iter().flat_map(|text| wrapped(look.theme, Role::Text, text, inner.width.into())).collect();
    lines.truncate(usize::from(inner.height) / 2);
    let (top, rest) = take_top(inner, lines.len());
    from_top(frame, top, look.theme, lines);
    let row = |from: &str, predicted: &str, truth: &str, within: &str, n: &str| {
        let cells = [pad_left(from, 9), pad_left(predicted, 6), pad_left(truth, 6), pad_left(within, 15), pad_left(n, 5)];
        cells.join(" ")
    };
    let header = row("predicted", "mean", "truth", "95 % interval", "n");
    let list = List { header: &header, total: view.bins.len(), selected: look.tab.selected };
    list.draw(frame, rest, look.theme, |at, _| {
        let b = &view.bins[at];
        let text = row(&format!("{}–{}", b.from, b.to), &number(Some(b.predicted), 2), &number(Some(b.truth), 2), &interval(b.interval), &b.n.to_string());
        Line::styled(text, look.theme.style(Role::Text))
    });
}

fn plot(frame: &mut Frame<'_>, area: Rect, look: &Look<'_>, view: &EvaluationView) {
    let ascii = look.theme.ascii();
    let (curve, diagonal) = (Ink::Line.sign(ascii), Ink::Raw.sign(ascii));
    let interval = Ink::Past.sign(ascii);
    let title = format!("mean truth {curve} by prediction, 95 % {interval}; perfect {diagonal}");
    let inner = pane(frame, area, look.theme, &title, look.tab.detail);
    if inner.width <= AXIS + 2 || inner.height < 4 || view.bins.is_empty() {
        return;
    }
    let place = Rect { x: inner.x + AXIS, width: inner.width - AXIS, height: inner.height - 1, ..inner };
    let mut canvas = Canvas::new(place.width, place.height, ascii);
    let (min, max) = view.scale;
    let (right, bottom) = (canvas.width().saturating_sub(1), canvas.height().saturating_sub(1));
    let share = |v: f64| ((v - min) / (max - min)).clamp(0.0, 1.0);
    let at = |x: f64, y: f64| {
        ((share(x) * right as f64).round() as usize, ((1.0 - share(y)) * bottom as f64).round() as usize)
    };
    canvas.line(at(min, min), at(max, max), Ink::Raw);
    let points: Vec<(usize, usize)> = view.bins.iter().map(|b| at(b.predicted, b.truth)).collect();
    for pair in points.windows(2) {
        canvas.line(pair[0], pair[1], Ink::Line);
    }
    for bin in &view.bins {
        bars(&mut canvas, bin, &at);
    }
    for (x, y) in points {
        canvas.dot(x, y, Ink::Points);
    }
    let cross = view.bins.get(look.tab.selected).map(|b| canvas.column(at(b.predicted, b.truth).0));
    canvas.draw(place, frame.buffer_mut(), look.theme, cross);
    for (row, value) in [(0, max), (place.height / 2, f64::midpoint(min, max)), (place.height - 1, min)] {
        let line = Rect { y: inner.y + row, height: 1, width: AXIS - 1, ..inner };
        frame.render_widget(Line::styled(pad_left(&format!("{value}"), 4), look.theme.style(Role::Dim)), line);
    }
    let foot = Rect { y: inner.y + inner.height - 1, height: 1, ..place };
    let ends = format!("{min}{}", pad_left(&format!("predicted  {max}"), usize::from(foot.width).saturating_sub(1)));
    frame.render_widget(Line::styled(ends, look.theme.style(Role::Dim)), foot);
}

/// The interval of a bin's mean truth, as a bar through its point.
fn bars(canvas: &mut Canvas, bin: &Bin, at: &impl Fn(f64, f64) -> (usize, usize)) {
    if let Some((low, high)) = bin.interval {
        canvas.line(at(bin.predicted, low), at(bin.predicted, high), Ink::Past);
    }
}
