//! The report of one evaluation run, from its records alone (guard E9). Owns what a report says and in which order; its two
//! forms are `report_doc`'s, the drawings `plots`'. The sections about answers, readers and records are in the files beside.

use super::plots::{self, Bar, Series};
use super::report::FIGURES;
use super::report_doc::{Block, Document, Grid, Section};
use super::report_records::{data_card, guards, settings};
use super::report_rows::{bands, groups, readers, scores, worst};
use super::{Evaluation, FEW_ROWS, Intervals, Metrics, Probes, figure};
use crate::dataset::DatasetStats;
use crate::domain::{Bands, Digest, Finding, Phase, Recipe, one_line};

/// A loss curve: of the rows that were trained on, and of those held out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossCurve {
    /// The run's name.
    pub run: String,
    pub loss: Vec<(u64, f64)>,
    pub held_out: Vec<(u64, f64)>,
}

/// What a guard saw, and why it was overridden where it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarded {
    pub phase: Phase,
    pub finding: Finding,
    pub override_reason: Option<String>,
}

/// The records that a report is made of.
pub struct ReportInput<'a> {
    pub digest: &'a Digest,
    /// When the run was recorded, for people.
    pub made: String,
    pub evaluation: &'a Evaluation,
    pub recipe: &'a Recipe,
    /// Tiers of a reader's ρ, in words.
    pub tiers: Option<&'a Bands>,
    /// Of the student that was judged; `None`: another predictor, or no run of this workspace.
    pub training: Option<LossCurve>,
    pub dataset: Option<&'a DatasetStats>,
    /// Of all phases; those of the evaluation itself are in its record.
    pub guards: Vec<Guarded>,
    pub probes: Option<&'a Probes>,
    /// Title of an article by its id.
    pub title: &'a dyn Fn(&str) -> Option<String>,
}

/// The whole report.
pub fn report(input: &ReportInput<'_>) -> Document {
    let e = input.evaluation;
    let mut sections = vec![verdict(input), main_table(e), baselines(e)];
    sections.push(calibration(input));
    sections.push(scores(input));
    sections.push(bands(input));
    sections.push(readers(input));
    sections.extend(groups(e));
    sections.extend(input.training.as_ref().map(training));
    sections.extend(reasoning(input));
    sections.extend(sanity(e));
    sections.push(guards(input));
    sections.extend(worst(input));
    sections.extend(input.dataset.map(data_card));
    sections.push(settings(e));
    Document {
        title: format!("Evaluation {} of {}", input.digest.short(), one_line(e.predictor_name(), 60)),
        lead: lead(input),
        sections,
    }
}

fn lead(input: &ReportInput<'_>) -> Vec<String> {
    let e = input.evaluation;
    let set = &e.row_set;
    let seal = match (set.sealed, set.opening) {
        (true, Some(opening)) => format!(", sealed before any training, opening {opening}"),
        (true, None) => ", sealed before any training".into(),
        (false, _) => String::new(),
    };
    let chose = if set.chose_model { "; these rows also chose the checkpoint" } else { "" };
    let sample = if set.sample.is_empty() { String::new() } else { format!(" ({} of {}: {})", set.n, set.of, set.sample) };
    let mut lines = vec![
        e.verdict_words(),
        format!("{} on {} rows of '{}'{sample}{seal}{chose}", e.runtime(), e.metrics.n, e.rows_name(),),
        format!(
            "model {}, dataset {}, recipe {} {}, recorded {}",
            e.subject.model.short(),
            e.subject.dataset.short(),
            input.recipe.name,
            input.recipe.version,
            input.made
        ),
    ];
    if e.metrics.n < FEW_ROWS {
        lines.push(format!("Only {} rows: no figure here is to be leaned on (guard E4).", e.metrics.n));
    }
    if e.subject.recipe != input.recipe.digest() {
        lines.push("The recipe has changed since; bands, scale and tiers below are today's.".into());
    }
    if let Some(failed) = input.probes.map(Probes::failures).filter(|f| !f.is_empty()) {
        lines.push(format!("Probes found: {}.", failed.join("; ")));
    }
    lines
}

fn verdict(input: &ReportInput<'_>) -> Section {
    let e = input.evaluation;
    let mut blocks = vec![Block::Text(format!("By the recipe's criteria: {}.", e.verdict.level))];
    if e.verdict.lines.is_empty() {
        blocks.push(Block::Text("The recipe names no criteria.".into()));
    } else {
        blocks.push(Block::List(e.verdict.lines.clone()));
    }
    let left_out: Vec<String> = e.row_set.left_out.iter().map(|(why, n)| format!("{n} × {why}")).collect();
    if !left_out.is_empty() {
        blocks.push(Block::Text(format!("Rows that were left out: {}.", left_out.join(", "))));
    }
    Section { title: "Verdict".into(), blocks }
}

/// `[low, high]`, or nothing.
pub(super) fn interval(of: Option<&(f64, f64)>) -> String {
    of.map_or_else(String::new, |(low, high)| format!("[{low:.3}, {high:.3}]"))
}

/// A figure with its interval.
pub(super) fn cell(metrics: &Metrics, intervals: &Intervals, key: &str) -> String {
    let value = figure(metrics.value(key));
    let within = interval(intervals.get(key));
    if within.is_empty() { value } else { format!("{value} {within}") }
}

fn main_table(e: &Evaluation) -> Section {
    let mut head = vec!["figure".to_owned(), "value".to_owned(), "95 % interval".to_owned(), "n".to_owned()];
    head.extend(e.baselines.iter().map(|b| b.name.clone()));
    head.extend(e.expected.iter().map(|_| "weighted read-out".to_owned()));
    let mut grid = Grid { head, ..Grid::default() };
    for (name, key) in FIGURES {
        let n = if key.starts_with("contrast") { e.metrics.contrast_pairs } else { e.metrics.n };
        let mut cells = vec![name.to_owned(), figure(e.metrics.value(key)), interval(e.intervals.get(key)), n.to_string()];
        cells.extend(e.baselines.iter().map(|b| figure(b.metrics.value(key))));
        cells.extend(e.expected.iter().map(|r| figure(r.metrics.value(key))));
        grid.weak_row(cells, n < FEW_ROWS);
    }
    let parsed = e.metrics.n - e.metrics.parse_failures;
    let mut blocks = vec![
        Block::Text(format!(
            "{} rows, {} of them without a readable score: charged the worst error possible, and wrong wherever a row can be right. ρ, \
             bias, PSR and spreads are over the {parsed} others. Intervals: bootstrap over articles.",
            e.metrics.n, e.metrics.parse_failures
        )),
        Block::Table(grid),
    ];
    if let Some(constant) = e.metrics.skill_constant {
        blocks.push(Block::Text(format!("Skill is against {constant:.2}, {}.", e.metrics.skill_source)));
    }
    if e.expected.is_some() {
        blocks.push(Block::Text(
            "The weighted read-out takes the probability-weighted score of the same answers instead of the drawn one.".into(),
        ));
    }
    Section { title: "Figures".into(), blocks }
}

fn baselines(e: &Evaluation) -> Section {
    let mut blocks = Vec::new();
    for (title, key) in [("MAE", "mae"), ("macro-band MAE", "macro_band_mae")] {
        let bar = |name: &str, metrics: &Metrics, intervals: &Intervals, main| Bar {
            name: name.to_owned(),
            value: metrics.value(key),
            interval: intervals.get(key).copied(),
            main,
        };
        let mut all = vec![bar(e.predictor_name(), &e.metrics, &e.intervals, true)];
        all.extend(e.baselines.iter().map(|b| bar(&b.name, &b.metrics, &b.intervals, false)));
        if key == "mae"
            && let Some(floor) = &e.floor
        {
            all.push(Bar { name: "teachers' noise floor".into(), value: floor.mae, interval: floor.interval, main: false });
        }
        let mut data = Grid::new(&["who", "value", "95 % interval"]);
        for b in &all {
            data.row(vec![b.name.clone(), figure(b.value), interval(b.interval.as_ref())]);
        }
        let caption = format!("{title} beside predictors that did not read, with 95 % intervals; shorter is better");
        blocks.push(Block::Plot { svg: plots::bars(&caption, title, &all), caption, data });
    }
    blocks.push(Block::Text(match &e.floor {
        Some(floor) => format!("The noise floor: {}.", floor.words()),
        None => "No second teacher judged such rows, so the noise floor is not known (guard D19).".into(),
    }));
    Section { title: "Against baselines and the floor".into(), blocks }
}

/// Bins of the reliability plot.
const BINS: usize = 10;

fn calibration(input: &ReportInput<'_>) -> Section {
    let e = input.evaluation;
    let scale = input.recipe.scale.range();
    let mut sums = [(0.0, 0.0, 0_usize); BINS];
    for (row, predicted) in e.rows.iter().filter_map(|r| r.predicted.map(|p| (r, p))) {
        let place = ((predicted - scale.0) / (scale.1 - scale.0) * BINS as f64).max(0.0) as usize;
        let sum = &mut sums[place.min(BINS - 1)];
        *sum = (sum.0 + predicted, sum.1 + row.truth, sum.2 + 1);
    }
    let points: Vec<(f64, f64, usize)> =
        sums.iter().filter(|s| s.2 > 0).map(|(p, g, n)| (p / *n as f64, g / *n as f64, *n)).collect();
    let mut data = Grid::new(&["mean prediction", "mean truth", "rows"]);
    for (p, g, n) in &points {
        data.weak_row(vec![format!("{p:.2}"), format!("{g:.2}"), n.to_string()], *n < FEW_ROWS);
    }
    let caption = "Mean true score by predicted score; numbers are rows, the dashed line is where both are equal".to_owned();
    let mut blocks = vec![Block::Plot { svg: plots::reliability(&caption, scale, &points), caption, data }];
    blocks.push(Block::Text(match &e.calibration {
        Some(found) => format!("Drawn scores, {}.", found.words()),
        None => "Too few rows or articles to fit and judge a calibrator.".into(),
    }));
    if let Some(found) = e.expected.as_ref().and_then(|r| r.calibration.as_ref()) {
        blocks.push(Block::Text(format!("Weighted read-out, {}.", found.words())));
    }
    Section { title: "Calibration".into(), blocks }
}

fn training(curve: &LossCurve) -> Section {
    let points = |values: &[(u64, f64)]| values.iter().map(|(step, loss)| (*step as f64, *loss)).collect::<Vec<_>>();
    let series = [
        Series { name: "training rows".into(), points: points(&curve.loss), marks: false },
        Series { name: "held-out rows".into(), points: points(&curve.held_out), marks: true },
    ];
    let mut data = Grid::new(&["step", "held-out loss"]);
    curve.held_out.iter().for_each(|(step, loss)| data.row(vec![step.to_string(), format!("{loss:.4}")]));
    let caption = format!("Mean cross-entropy per trained token, run {}", one_line(&curve.run, 40));
    let best = curve.held_out.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let last = curve.loss.last();
    let words = match (best, last) {
        (Some((step, loss)), Some((steps, _))) => format!("The lowest held-out loss, {loss:.4}, was at step {step} of {steps}."),
        _ => "The run recorded no held-out loss.".into(),
    };
    let plot = Block::Plot { svg: plots::lines(&caption, ("step", "loss"), &series), caption, data };
    Section { title: "Training".into(), blocks: vec![plot, Block::Text(words)] }
}

fn reasoning(input: &ReportInput<'_>) -> Option<Section> {
    let e = input.evaluation;
    let mut blocks = Vec::new();
    if e.cot.n > 0 {
        blocks.push(Block::List(e.cot.lines().iter().map(|l| l.trim().to_owned()).collect()));
    }
    if let Some(probes) = input.probes {
        blocks.push(Block::List(probes.lines().iter().map(|l| l.trim().to_owned()).collect()));
        if let Some(f) = &probes.faithfulness {
            let mut data = Grid::new(&["left of the think block", "unchanged", "share", "mean shift", "unreadable"]);
            for cut in &f.cuts {
                let share = figure(cut.share);
                data.row(vec![
                    format!("{} %", cut.left),
                    cut.unchanged.to_string(),
                    share,
                    figure(cut.mean_shift),
                    cut.unreadable.to_string(),
                ]);
            }
            blocks.push(Block::Table(data));
        }
    } else if e.cot.n > 0 {
        blocks.push(Block::Text("Probes of the reasoning were not run: 'stratos validate probes'.".into()));
    }
    (!blocks.is_empty()).then(|| Section { title: "Reasoning".into(), blocks })
}

fn sanity(e: &Evaluation) -> Option<Section> {
    if e.sanity.rows.is_empty() {
        return None;
    }
    let mut grid = Grid::new(&["article", "reader", "expected", "score", "holds"]);
    for row in &e.sanity.rows {
        let holds = match (row.pass, row.required) {
            (true, _) => "yes",
            (false, true) => "NO",
            (false, false) => "no (asked of the teacher only)",
        };
        let score = row.score.map_or_else(|| "—".to_owned(), |s| format!("{s:.1}"));
        grid.row(vec![one_line(&row.title, 90), row.profile.clone(), row.expected.clone(), score, holds.into()]);
    }
    let (held, asked) = e.sanity.tally();
    let mut blocks = vec![Block::Text(format!("{held} of {asked} required cells and gaps hold.")), Block::Table(grid)];
    if !e.sanity.gaps.is_empty() {
        let mut gaps = Grid::new(&["article", "best − worst reader", "asked for", "holds"]);
        for gap in &e.sanity.gaps {
            let holds = if gap.pass { "yes" } else { "NO" };
            gaps.row(vec![one_line(&gap.title, 90), figure(gap.gap), format!("> {}", gap.more_than), holds.into()]);
        }
        blocks.push(Block::Table(gaps));
    }
    Some(Section { title: "Sanity table".into(), blocks })
}
