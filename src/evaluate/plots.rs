//! Plots as SVG text, for a page without scripts. Owns the drawing; what is drawn is the report's. Colours are classes that
//! the page's style gives a meaning to, so that a plot is readable on light and on dark ground.

use std::fmt::Write as _;

/// Width of every plot, in units of its own.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
/// Room for labels: left, right, top, bottom.
const MARGIN: [f64; 4] = [52.0, 14.0, 12.0, 40.0];
/// Height of one row of horizontal bars.
const ROW: f64 = 22.0;
/// No figure of a report is as large; what is, is drawn at the edge.
const LARGEST: f64 = 1e9;
/// Characters of a label that are shown.
const LABEL: usize = 28;

/// Text as it may stand in HTML and SVG, in attributes too. Control characters are dropped.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::domain::safe_text(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in XML, and nothing to see.
            '\u{FFFE}' | '\u{FFFF}' => {}
            c => out.push(c),
        }
    }
    out
}

/// A label of limited length.
fn label(text: &str) -> String {
    escape(&crate::domain::one_line(text, LABEL))
}

/// Points of one line, or of marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub marks: bool,
}

/// A value with its interval, for a row of bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub name: String,
    pub value: Option<f64>,
    pub interval: Option<(f64, f64)>,
    /// Drawn first among its like: the model itself.
    pub main: bool,
}

/// A linear axis with round ticks.
struct Axis {
    low: f64,
    high: f64,
    /// Where `low` and `high` are drawn.
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// Over finite values of a size that can be drawn; ticks are 1, 2 or 5 times a power of ten apart.
    fn of(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|v| v.abs() <= LARGEST)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = match (low, high) {
            (low, high) if low > high => (0.0, 1.0),
            (low, high) if high - low < 1e-9 * (1.0 + low.abs().max(high.abs())) => (low - 0.5, high + 0.5),
            range => range,
        };
        let raw = (high - low) / 5.0;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw - 1e-12).unwrap_or(raw);
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        let count = ((high - low) / step).round() as usize;
        let ticks = (0..=count).map(|i| low + i as f64 * step).collect();
        Self { low, high, from, to, ticks }
    }

    fn at(&self, value: f64) -> f64 {
        // What is too large to be drawn stands at the edge.
        self.from + (value.clamp(self.low, self.high) - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// A tick's label without a tail of noughts.
fn tick(value: f64) -> String {
    let text = format!("{:.4}", if value.abs() < 1e-9 { 0.0 } else { value });
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// One drawing: opened with its size and what it shows, closed at the end.
struct Canvas {
    out: String,
}

impl Canvas {
    fn new(height: f64, title: &str) -> Self {
        let title = escape(title);
        let out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>");
        Self { out }
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = write!(
            self.out,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let (width, height) = (size.0.max(0.0), size.1.max(0.0));
        let _ = write!(
            self.out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            at.0, at.1
        );
    }

    /// `text` is escaped already; `anchor` as SVG spells it.
    fn text(&mut self, class: &str, anchor: &str, at: (f64, f64), text: &str) {
        let _ = write!(
            self.out,
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            at.0, at.1
        );
    }

    fn dot(&mut self, class: &str, at: (f64, f64)) {
        let _ = write!(self.out, "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", at.0, at.1);
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let drawn: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(self.out, "<polyline class=\"{class}\" points=\"{}\"/>", drawn.join(" "));
    }

    fn axes(&mut self, x: &Axis, y: &Axis, names: (&str, &str)) {
        for value in &y.ticks {
            self.line("grid", (x.from, y.at(*value)), (x.to, y.at(*value)));
            self.text("tick", "end", (x.from - 6.0, y.at(*value) + 4.0), &tick(*value));
        }
        for value in &x.ticks {
            self.text("tick", "middle", (x.at(*value), y.from + 16.0), &tick(*value));
        }
        self.line("axis", (x.from, y.from), (x.to, y.from));
        self.text("name", "middle", (f64::midpoint(x.from, x.to), y.from + 34.0), &label(names.0));
        let _ = write!(
            self.out,
            "<text class=\"name\" text-anchor=\"middle\" transform=\"translate(12 {:.1}) rotate(-90)\">{}</text>",
            f64::midpoint(y.from, y.to),
            label(names.1)
        );
    }

    fn legend(&mut self, names: &[&str]) {
        for (place, name) in names.iter().enumerate() {
            let at = (WIDTH - MARGIN[1] - 150.0, MARGIN[2] + 8.0 + 16.0 * place as f64);
            self.rect(&format!("fill{}", place + 1), (at.0, at.1 - 8.0), (10.0, 10.0));
            self.text("tick", "start", (at.0 + 16.0, at.1 + 1.0), &label(name));
        }
    }

    fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }
}

fn frame(xs: impl Iterator<Item = f64>, ys: impl Iterator<Item = f64>) -> (Axis, Axis) {
    (Axis::of(xs, MARGIN[0], WIDTH - MARGIN[1]), Axis::of(ys, HEIGHT - MARGIN[3], MARGIN[2]))
}

/// Lines over a common axis; values that are not finite interrupt nothing and are left out.
pub fn lines(title: &str, names: (&str, &str), series: &[Series]) -> String {
    let finite = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let series: Vec<(&Series, Vec<(f64, f64)>)> = series.iter().map(|s| (s, finite(&s.points))).collect();
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let (x, y) = frame(all().map(|p| p.0), all().map(|p| p.1));
    let mut canvas = Canvas::new(HEIGHT, title);
    canvas.axes(&x, &y, names);
    for (place, (series, points)) in series.iter().enumerate() {
        let drawn: Vec<(f64, f64)> = points.iter().map(|(a, b)| (x.at(*a), y.at(*b))).collect();
        canvas.path(&format!("line{}", place + 1), &drawn);
        if series.marks {
            for at in &drawn {
                canvas.dot(&format!("fill{}", place + 1), *at);
            }
        }
    }
    canvas.legend(&series.iter().map(|(s, _)| s.name.as_str()).collect::<Vec<_>>());
    canvas.finish()
}

/// Shares of two sets of scores in the same bins, side by side.
pub fn histogram(title: &str, scale: (f64, f64), bins: usize, sets: &[(&str, Vec<f64>)]) -> String {
    let counts: Vec<Vec<f64>> = sets.iter().map(|(_, values)| shares(values, scale, bins)).collect();
    let highest = counts.iter().flatten().copied().fold(0.0, f64::max);
    let x = Axis::of([scale.0, scale.1].into_iter(), MARGIN[0], WIDTH - MARGIN[1]);
    let y = Axis::of([0.0, highest.max(0.01)].into_iter(), HEIGHT - MARGIN[3], MARGIN[2]);
    let mut canvas = Canvas::new(HEIGHT, title);
    canvas.axes(&x, &y, ("score", "share of rows"));
    let bin = (scale.1 - scale.0) / bins.max(1) as f64;
    for (set, counts) in counts.iter().enumerate() {
        for (place, share) in counts.iter().enumerate() {
            let left = x.at(scale.0 + bin * (place as f64 + set as f64 / sets.len() as f64));
            let right = x.at(scale.0 + bin * (place as f64 + (set + 1) as f64 / sets.len() as f64));
            let top = y.at(*share);
            canvas.rect(&format!("fill{}", set + 1), (left + 0.5, top), (right - left - 1.0, y.from - top));
        }
    }
    canvas.legend(&sets.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    canvas.finish()
}

/// Share of finite values in each of `bins` equal bins; the last takes its upper end, what lies outside its nearest.
pub fn shares(values: &[f64], scale: (f64, f64), bins: usize) -> Vec<f64> {
    let mut counts = vec![0.0; bins];
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    for value in &finite {
        let place = (value - scale.0) / (scale.1 - scale.0) * bins as f64;
        if let Some(count) = counts.get_mut((place.max(0.0) as usize).min(bins.saturating_sub(1))) {
            *count += 1.0;
        }
    }
    counts.iter().map(|c| c / (finite.len().max(1)) as f64).collect()
}

/// Horizontal bars with their intervals, one a row.
pub fn bars(title: &str, name: &str, bars: &[Bar]) -> String {
    let bottom = MARGIN[2] + ROW * bars.len() as f64;
    let left = 190.0;
    let ends = bars.iter().flat_map(|b| b.value.into_iter().chain(b.interval.into_iter().flat_map(|(low, high)| [low, high])));
    let x = Axis::of(std::iter::once(0.0).chain(ends), left, WIDTH - 60.0);
    let mut canvas = Canvas::new(bottom + MARGIN[3], title);
    for value in &x.ticks {
        canvas.line("grid", (x.at(*value), MARGIN[2]), (x.at(*value), bottom));
        canvas.text("tick", "middle", (x.at(*value), bottom + 16.0), &tick(*value));
    }
    for (place, bar) in bars.iter().enumerate() {
        let middle = MARGIN[2] + ROW * (place as f64 + 0.5);
        canvas.text("tick", "end", (left - 8.0, middle + 4.0), &label(&bar.name));
        let Some(value) = bar.value.filter(|v| v.is_finite()) else {
            canvas.text("tick", "start", (x.at(0.0) + 6.0, middle + 4.0), "—");
            continue;
        };
        let (from, to) = (x.at(value.min(0.0)), x.at(value.max(0.0)));
        canvas.rect(if bar.main { "fill1" } else { "fill2" }, (from, middle - 7.0), (to - from, 14.0));
        if let Some((low, high)) = bar.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) {
            canvas.line("interval", (x.at(low), middle), (x.at(high), middle));
            canvas.line("interval", (x.at(low), middle - 4.0), (x.at(low), middle + 4.0));
            canvas.line("interval", (x.at(high), middle - 4.0), (x.at(high), middle + 4.0));
        }
        let end = bar.interval.map_or(to, |(_, high)| x.at(high.max(value)));
        canvas.text("tick", "start", (end + 6.0, middle + 4.0), &format!("{value:.3}"));
    }
    canvas.text("name", "middle", (f64::midpoint(x.from, x.to), bottom + 34.0), &label(name));
    canvas.finish()
}

/// Mean truth over mean prediction, bin by bin, beside the line where both are equal. Points: (prediction, truth, rows).
pub fn reliability(title: &str, scale: (f64, f64), points: &[(f64, f64, usize)]) -> String {
    let (x, y) = frame([scale.0, scale.1].into_iter(), [scale.0, scale.1].into_iter());
    let mut canvas = Canvas::new(HEIGHT, title);
    canvas.axes(&x, &y, ("mean predicted score", "mean true score"));
    canvas.line("ideal", (x.at(scale.0), y.at(scale.0)), (x.at(scale.1), y.at(scale.1)));
    let drawn: Vec<(f64, f64)> = points.iter().map(|(p, g, _)| (x.at(*p), y.at(*g))).collect();
    canvas.path("line1", &drawn);
    for (at, (.., n)) in drawn.iter().zip(points) {
        canvas.dot("fill1", *at);
        canvas.text("tick", "middle", (at.0, at.1 - 8.0), &n.to_string());
    }
    canvas.finish()
}

/// Counts by true band (rows) and predicted band (columns), darker where more of a row lies.
pub fn confusion(title: &str, rows: &[&str], columns: &[&str], counts: &[Vec<usize>]) -> String {
    let (left, top, cell) = (130.0, 34.0, 34.0);
    let width = (WIDTH - left - MARGIN[1]) / columns.len().max(1) as f64;
    let mut canvas = Canvas::new(top + cell * rows.len() as f64 + 26.0, title);
    for (place, name) in columns.iter().enumerate() {
        let middle = left + width * (place as f64 + 0.5);
        canvas.text("tick", "middle", (middle, top - 8.0), &escape(&crate::domain::one_line(name, 14)));
    }
    for (place, (name, row)) in rows.iter().zip(counts).enumerate() {
        let above = top + cell * place as f64;
        canvas.text("tick", "end", (left - 8.0, above + cell / 2.0 + 4.0), &escape(&crate::domain::one_line(name, 18)));
        let all: usize = row.iter().sum();
        for (column, count) in row.iter().enumerate() {
            let share = *count as f64 / all.max(1) as f64;
            let heat = (share * 5.0).ceil() as usize;
            let at = (left + width * column as f64, above);
            canvas.rect(&format!("heat{}", heat.min(5)), (at.0 + 1.0, at.1 + 1.0), (width - 2.0, cell - 2.0));
            canvas.text("cell", "middle", (at.0 + width / 2.0, at.1 + cell / 2.0 + 4.0), &count.to_string());
        }
    }
    let bottom = top + cell * rows.len() as f64 + 18.0;
    canvas.text("name", "middle", (f64::midpoint(left, WIDTH), bottom), "predicted band; rows are true bands");
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One element a line.
    fn spread(svg: &str) -> String {
        svg.replace("><", ">\n<")
    }

    fn bar(name: &str, value: Option<f64>, interval: Option<(f64, f64)>, main: bool) -> Bar {
        Bar { name: name.into(), value, interval, main }
    }

    #[test]
    fn bars_are_as_they_were() {
        let all = [
            bar("student", Some(0.8), Some((0.6, 1.0)), true),
            bar("<b>\"constant\"</b> & a name that goes on and on", Some(1.2), None, false),
            bar("undefined", None, None, false),
        ];
        insta::assert_snapshot!(spread(&bars("MAE beside others", "MAE", &all)));
    }

    #[test]
    fn lines_are_as_they_were() {
        let series = [
            Series { name: "training".into(), points: vec![(1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0)], marks: false },
            Series { name: "held-out".into(), points: vec![(2.0, 1.7)], marks: true },
        ];
        insta::assert_snapshot!(spread(&lines("loss", ("step", "loss"), &series)));
    }

    #[test]
    fn histograms_reliability_and_confusion_are_as_they_were() {
        let sets = [("truth", vec![0.0, 0.4, 9.9, 10.0]), ("predicted", vec![5.0, f64::NAN])];
        let all = [
            histogram("scores", (0.0, 10.0), 4, &sets),
            reliability("calibration", (0.0, 10.0), &[(1.0, 1.5, 12), (8.0, 7.0, 3)]),
            confusion("bands", &["Noise", "High"], &["Noise", "High", "unreadable"], &[vec![8, 1, 1], vec![0, 0, 0]]),
        ];
        insta::assert_snapshot!(spread(&all.join("\n")));
    }

    #[test]
    fn shares_sum_to_one_and_the_ends_have_their_bins() {
        assert_eq!(shares(&[0.0, 10.0, 11.0, -1.0], (0.0, 10.0), 2), [0.5, 0.5]);
        assert_eq!(shares(&[], (0.0, 10.0), 2), [0.0, 0.0]);
    }

    #[test]
    fn ticks_are_round_and_hold_every_value() {
        for (low, high) in [(0.0, 1.0), (0.13, 0.137), (-3.0, 700.0), (2.0, 2.0)] {
            let axis = Axis::of([low, high].into_iter(), 0.0, 100.0);
            assert!(
                axis.low <= low && axis.high >= high && (2..=12).contains(&axis.ticks.len()),
                "{low} {high}: {:?}",
                axis.ticks
            );
        }
        let wild = Axis::of([-1e308, 1e308, 1e-320, 2e-320, 3.0].into_iter(), 0.0, 100.0);
        assert!(wild.ticks.len() <= 12 && wild.at(1e308) <= 100.0 && wild.at(-1e308) >= 0.0);
        assert_eq!((tick(-0.0), tick(2.5), tick(100.0)), ("0".into(), "2.5".into(), "100".into()));
    }

    proptest! {
        #[test]
        fn any_name_and_value_makes_a_drawing_of_its_own_tags_alone(name in ".{0,40}", value in prop::num::f64::ANY, low in prop::num::f64::ANY) {
            let svg = bars(&name, &name, &[bar(&name, Some(value), Some((low, value)), true)]);
            for tag in svg.split('<').skip(1) {
                let known = ["svg", "title", "/title", "line", "rect", "text", "/text", "/svg"];
                prop_assert!(known.contains(&tag.split([' ', '>', '/']).find(|t| !t.is_empty()).map_or("", |t| if tag.starts_with('/') { &tag[..=t.len()] } else { t })), "{}", tag);
            }
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        }
    }
}
