//! Curves, gauges and bars.
//!
//! Owns how numbers become marks on a grid of cells: the loss chart with its axes, labelled gauges, bars. Does not know
//! where the numbers come from or which tab shows them.

#[cfg(test)]
pub mod fixture;
pub mod parts;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LegendPosition};

use super::theme::{Role, Theme};

/// Cells under which axes would leave no room for a curve.
const SMALLEST_WITH_AXES: (u16, u16) = (24, 6);

/// A curve: (step, loss).
pub type Curve<'a> = &'a [(u64, f64)];

/// Draws training and evaluation loss over steps. The training curve is a line, the evaluation curve dots: they are
/// told apart without colour.
pub fn loss_chart(frame: &mut Frame<'_>, area: Rect, theme: &Theme, train: Curve<'_>, eval: Curve<'_>) {
    let block = Block::bordered()
        .title(Span::styled(" loss by step ", theme.style(Role::Strong)))
        .border_style(theme.style(Role::Border));
    let (small_width, small_height) = SMALLEST_WITH_AXES;
    if area.width < small_width || area.height < small_height {
        return;
    }
    let columns = usize::from(area.width.saturating_sub(10)).max(1);
    let (train, eval) = (downsample(train, columns), downsample(eval, columns));
    let Some(range) = Range::of(train.iter().chain(&eval).copied()) else {
        frame.render_widget(block, area);
        return;
    };
    let dim = theme.style(Role::Dim);
    let label = |text: String| Span::styled(text, dim);
    let x_labels = [range.left, f64::midpoint(range.left, range.right), range.right].map(|step| label(format!("{step:.0}")));
    let digits = range.digits();
    let y_labels = [range.low, f64::midpoint(range.low, range.high), range.high].map(|loss| label(format!("{loss:.digits$}")));
    let mut curves = vec![
        Dataset::default()
            .name("⠒ train")
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(theme.style(Role::CurveA))
            .data(&train),
    ];
    if !eval.is_empty() {
        curves.push(
            Dataset::default()
                .name("• eval")
                .marker(Marker::Dot)
                .graph_type(GraphType::Scatter)
                .style(theme.style(Role::CurveB))
                .data(&eval),
        );
    }
    let chart = Chart::new(curves)
        .block(block)
        .legend_position(Some(LegendPosition::TopRight))
        .x_axis(Axis::default().style(dim).bounds([range.left, range.right]).labels(x_labels))
        .y_axis(Axis::default().style(dim).bounds([range.low, range.high]).labels(y_labels));
    frame.render_widget(chart, area);
}

/// What the axes span.
struct Range {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
}

impl Range {
    /// `None` without points. A flat or single-point curve gets room around it.
    fn of(points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let range = points.fold(None, |range: Option<Self>, (x, y)| {
            let r = range.unwrap_or(Self { left: x, right: x, low: y, high: y });
            Some(Self { left: r.left.min(x), right: r.right.max(x), low: r.low.min(y), high: r.high.max(y) })
        })?;
        let margin = if range.high > range.low { (range.high - range.low) * 0.05 } else { range.high.abs().max(1.0) * 0.1 };
        Some(Self {
            left: range.left,
            right: range.right.max(range.left + 1.0),
            // A loss is never below zero; neither is its axis.
            low: if range.low >= 0.0 { (range.low - margin).max(0.0) } else { range.low - margin },
            high: range.high + margin,
        })
    }

    /// Decimals that tell the labels of the loss axis apart.
    fn digits(&self) -> usize {
        let span = self.high - self.low;
        if span >= 1.0 {
            2
        } else if span >= 0.01 {
            3
        } else {
            5
        }
    }
}

/// Keeps the lowest and the highest point of each column, in order of step, so that a spike survives. What is not a
/// number is left out.
pub fn downsample(curve: Curve<'_>, columns: usize) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = curve.iter().map(|&(step, loss)| (step as f64, loss)).filter(|p| p.1.is_finite()).collect();
    let columns = columns.max(1);
    if points.len() <= columns * 2 {
        return points;
    }
    let mut kept = Vec::with_capacity(columns * 2);
    for column in points.chunks(points.len().div_ceil(columns)) {
        let by_loss = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (column.iter().min_by(by_loss), column.iter().max_by(by_loss)) else { continue };
        let (first, second) = if low.0 <= high.0 { (*low, *high) } else { (*high, *low) };
        kept.push(first);
        if second != first {
            kept.push(second);
        }
    }
    kept
}

/// `width` cells of which a share is filled; what is not a number fills nothing.
pub fn bar(share: f64, width: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * width as f64).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// Cells of a gauge's label.
const LABEL: usize = 10;

/// One line: label, bar, reading. The reading is there because a bar alone is a guess.
pub fn gauge(theme: &Theme, label: &str, share: f64, reading: &str, width: usize) -> Line<'static> {
    let room = width.saturating_sub(LABEL + 1 + reading.chars().count());
    Line::from(vec![
        Span::styled(parts::fit(label, LABEL), theme.style(Role::Dim)),
        Span::styled(bar(share, room.min(24)), theme.style(Role::Gauge)),
        Span::styled(format!(" {reading}"), theme.style(Role::Text)),
    ])
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(width: u16, height: u16, train: Curve<'_>, eval: Curve<'_>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| loss_chart(frame, frame.area(), &Theme::default(), train, eval)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_spike_survives_downsampling() {
        let mut curve: Vec<(u64, f64)> = (0..10_000).map(|step| (step, 1.0)).collect();
        curve[4_321].1 = 9.0;
        let kept = downsample(&curve, 50);
        assert!(kept.len() <= 100);
        assert!(kept.contains(&(4_321.0, 9.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn losses_that_are_not_numbers_are_left_out() {
        assert_eq!(downsample(&[(1, f64::NAN), (2, f64::INFINITY), (3, 0.5)], 10), [(3.0, 0.5)]);
    }

    #[test]
    fn the_chart_labels_its_axes_and_names_its_curves() {
        let train: Vec<(u64, f64)> = (1..=200).map(|step| (step, 4.0 / step as f64)).collect();
        let text = drawn(70, 16, &train, &[(100, 1.0), (200, 0.5)]);
        for word in ["loss by step", "200", "4.20", "⠒ train", "• eval"] {
            assert!(text.contains(word), "{word} is missing in\n{text}");
        }
    }

    #[test]
    fn any_size_and_any_curve_draw() {
        for (width, height) in [(1, 1), (2, 3), (24, 6), (200, 2), (80, 24)] {
            drawn(width, height, &[], &[]);
            drawn(width, height, &[(7, 0.0)], &[]);
            drawn(width, height, &[(7, f64::NAN)], &[(u64::MAX, f64::MAX)]);
        }
    }

    #[test]
    fn a_bar_keeps_its_width() {
        for share in [f64::NAN, -1.0, 0.0, 0.31, 1.0, 7.0] {
            assert_eq!(bar(share, 12).chars().count(), 12);
        }
        assert_eq!(bar(0.5, 4), "██░░");
    }
}
